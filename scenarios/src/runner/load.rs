//! The load: concurrent clients, each with at most one operation open.

use super::caller::Caller;
use super::identity::Identity;
use crate::format::Workload;
use crate::sessions::Session;
use crate::workload::{Generator, Observed};
use squall_record::Outcome;

/// Runs one client.
pub(super) async fn client(
    mut caller: Caller<Identity>,
    workload: Workload,
    seed: u64,
    client: u32,
) {
    let mut generator = Generator::new(&workload, seed, client);
    let mut observed = Observed::default();
    let mut due = caller.world.now();
    loop {
        // A client that was kept waiting does not catch up: its next operation
        // comes one gap after the last one ended, at the earliest.
        due = (due + generator.gap()).max(caller.world.now());
        if caller.wait_until(due).await.is_err() {
            return;
        }
        let call = generator.next(&observed);
        let outcome = caller.ask(call.clone()).await;
        observed.learn(&call, &outcome);
        if matches!(outcome, Outcome::Refused(_)) {
            caller.move_on();
        }
    }
}

/// Runs one client that holds leases.
pub(super) async fn session(mut caller: Caller<Identity>, mut session: Session) {
    loop {
        let step = session.next_step();
        if caller.wait(step.wait).await.is_err() {
            return;
        }
        if step.elsewhere {
            caller.move_on();
        }
        let outcome = caller.ask(step.call.clone()).await;
        session.learn(&step.call, &outcome);
    }
}
