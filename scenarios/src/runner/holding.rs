//! Clients that hold locks, and clients that want to lead: with care, and without.

mod candidate;
mod holder;
mod observer;

use super::caller::{Caller, Over, clients};
use crate::draw::Draw;
use crate::format::{Between, Duration as Length, Scenario};
use bytes::Bytes;
use squall_api::pb;
use squall_api::{LeaseRequest, LeaseResponse};
use squall_record::{Call, Outcome, Ret};
use squall_sim::world::{Running, SimClient, World};
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

/// Sets out everybody who holds locks, stands for election or observes; they are
/// known by numbers from `first` on, and stop at `end`.
pub(super) fn spawn(
    world: &World,
    scenario: &Scenario,
    seed: u64,
    first: u32,
    end: u64,
) -> Vec<Running> {
    let workload = &scenario.workload;
    let mut next = clients(world, first);
    let mut owner = |ttl| {
        let (number, client) = next();
        let caller = Caller::new(world, workload, client, end).from(number);
        Owner::new(caller, seed, number, ttl)
    };
    let mut tasks = Vec::new();
    for _ in 0..workload.locks.count {
        tasks.push(world.spawn(holder::run(owner(workload.locks.ttl), workload.locks)));
    }
    for _ in 0..workload.elections.candidates {
        tasks.push(world.spawn(candidate::run(owner(workload.elections.ttl))));
    }
    for _ in 0..workload.elections.observers {
        tasks.push(world.spawn(observer::run(owner(workload.elections.ttl))));
    }
    tasks
}

/// The name of every election: there is one.
fn election() -> Bytes {
    Bytes::from_static(b"election")
}

/// A client that owns one lease after the other.
struct Owner {
    caller: Caller<SimClient>,
    seed: u64,
    number: u32,
    ttl: Between<Length>,
    draws: u64,
    leases: i64,
    lease: i64,
    /// The lease's TTL in nanoseconds.
    granted: u64,
}

impl Owner {
    fn new(caller: Caller<SimClient>, seed: u64, number: u32, ttl: Between<Length>) -> Owner {
        Owner {
            caller,
            seed,
            number,
            ttl,
            draws: 0,
            leases: 0,
            lease: 0,
            granted: 0,
        }
    }

    fn draw(&mut self) -> Draw {
        self.draws += 1;
        Draw::keyed(self.seed, "holding", self.number.into(), self.draws)
    }

    /// Gets itself a new lease; false if that failed.
    async fn begin(&mut self) -> Result<bool, Over> {
        let mut draw = self.draw();
        self.caller.wait(draw.below(SECOND / 2)).await?;
        self.leases += 1;
        self.lease = i64::from(self.number + 1) * 1_000_000 + self.leases;
        // Ids in another order than that in which they are granted.
        if draw.one_in(2) {
            self.lease = 1_000_000_000 - self.lease;
        }
        let ttl = draw.between(self.ttl.min.ns(), self.ttl.max.ns());
        let grant = pb::LeaseGrantRequest {
            id: self.lease,
            ttl: ttl.div_ceil(SECOND) as i64,
        };
        let granted = self
            .caller
            .ask(Call::Lease(LeaseRequest::Grant(grant)))
            .await;
        let Outcome::Ok(Ret::Lease(LeaseResponse::Grant(granted))) = granted else {
            return Ok(false);
        };
        self.granted = u64::try_from(granted.ttl).unwrap_or(0) * SECOND;
        Ok(true)
    }

    async fn keep_alive(&mut self) {
        let id = self.lease;
        let keep_alive = LeaseRequest::KeepAlive(pb::LeaseKeepAliveRequest { id });
        self.caller.ask(Call::Lease(keep_alive)).await;
    }

    /// For how long it is ready to wait for its turn: at times longer than its
    /// lease lives, which nobody renews meanwhile.
    fn patience(&mut self) -> Duration {
        let longest = 2 * self.granted + SECOND;
        Duration::from_nanos(self.draw().between(self.granted / 4, longest))
    }
}
