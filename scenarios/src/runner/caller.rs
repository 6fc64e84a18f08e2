//! Somebody who calls: one call after the other, of one member, until the run's
//! load ends.

use crate::format::Workload;
use squall_record::{Call, Outcome, Target};
use squall_sim::world::{SimClient, World};
use std::time::Duration;

/// The load has come to its end.
pub(super) struct Over;

/// A client, whom it asks, and for how long.
pub(super) struct Caller<T> {
    pub(super) world: World,
    pub(super) target: T,
    /// Who is asked.
    pub(super) member: u64,
    /// How long it waits for an answer.
    pub(super) limit: Duration,
    /// Until when it calls, in true time.
    pub(super) end: u64,
}

impl<T> Caller<T> {
    pub(super) fn new(world: &World, workload: &Workload, target: T, end: u64) -> Caller<T> {
        Caller {
            world: world.clone(),
            target,
            member: 1,
            limit: Duration::from_nanos(workload.client_timeout.ns()),
            end,
        }
    }

    /// Begins with a member that follows from its number, so that not all ask the
    /// same one.
    pub(super) fn from(self, number: u32) -> Caller<T> {
        Caller {
            member: first_member(&self.world, number),
            ..self
        }
    }

    /// Waits, but not beyond the end.
    pub(super) async fn wait(&self, nanos: u64) -> Result<(), Over> {
        let due = self.world.now().saturating_add(nanos);
        self.wait_until(due).await
    }

    pub(super) async fn wait_until(&self, due: u64) -> Result<(), Over> {
        if due >= self.end {
            return Err(Over);
        }
        self.world.sleep_until(due).await;
        Ok(())
    }

    /// Asks the next member from now on.
    pub(super) fn move_on(&mut self) {
        self.member = self.world.next_member(self.member);
    }

    /// Whoever does not answer is left for the next member.
    pub(super) fn heard(&mut self, outcome: &Outcome) {
        if matches!(outcome, Outcome::Unknown(_)) {
            self.move_on();
        }
    }
}

impl<T: Target> Caller<T> {
    /// Asks, and waits for the answer as long as clients do.
    pub(super) async fn ask(&mut self, call: Call) -> Outcome {
        self.ask_for(call, self.limit).await
    }

    pub(super) async fn ask_for(&mut self, call: Call, limit: Duration) -> Outcome {
        let outcome = self.target.call(self.member, call, limit).await;
        self.heard(&outcome);
        outcome
    }
}

/// The member that a client begins with.
pub(super) fn first_member(world: &World, client: u32) -> u64 {
    let members = world.members();
    members[client as usize % members.len()]
}

/// Clients with the numbers from `first` on, one at each call.
pub(super) fn clients(world: &World, first: u32) -> impl FnMut() -> (u32, SimClient) {
    let mut numbers = first..;
    move || {
        let number = numbers.next().expect("there is always a next number");
        (number, world.client(number))
    }
}
