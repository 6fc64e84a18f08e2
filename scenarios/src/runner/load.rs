//! The load: concurrent clients, each with at most one operation open.

use crate::format::Workload;
use crate::sessions::Session;
use crate::workload::{Generator, Observed};
use squall_record::{Outcome, Target};
use squall_sim::world::World;
use std::time::Duration;

/// Runs one client until true time `end`.
pub(super) async fn client(world: World, workload: Workload, seed: u64, client: u32, end: u64) {
    let limit = Duration::from_nanos(workload.client_timeout.ns());
    let mut target = world.client(client);
    let mut generator = Generator::new(&workload, seed, client);
    let mut observed = Observed::default();
    let mut member = first_member(&world, client);
    let mut due = world.now();
    loop {
        // A client that was kept waiting does not catch up: its next operation
        // comes one gap after the last one ended, at the earliest.
        due = (due + generator.gap()).max(world.now());
        if due >= end {
            return;
        }
        world.sleep_until(due).await;
        let call = generator.next(&observed);
        let outcome = target.call(member, call.clone(), limit).await;
        observed.learn(&call, &outcome);
        match outcome {
            Outcome::Ok(_) => {}
            // Whoever does not answer is left for the next member.
            Outcome::Refused(_) | Outcome::Unknown(_) => member = world.next_member(member),
        }
    }
}

/// Runs one client that holds leases, until true time `end`.
pub(super) async fn session(world: World, workload: Workload, seed: u64, client: u32, end: u64) {
    let limit = Duration::from_nanos(workload.client_timeout.ns());
    let mut target = world.client(client);
    let mut session = Session::new(&workload.sessions, seed, client);
    let mut member = first_member(&world, client);
    loop {
        let step = session.next_step();
        let due = world.now().saturating_add(step.wait);
        if due >= end {
            return;
        }
        world.sleep_until(due).await;
        if step.elsewhere {
            member = world.next_member(member);
        }
        let outcome = target.call(member, step.call.clone(), limit).await;
        session.learn(&step.call, &outcome);
        if matches!(outcome, Outcome::Unknown(_)) {
            member = world.next_member(member);
        }
    }
}

/// The member that a client begins with.
pub(super) fn first_member(world: &World, client: u32) -> u64 {
    let members = world.members();
    members[client as usize % members.len()]
}
