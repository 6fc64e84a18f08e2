//! Clients that hold locks, and clients that want to lead: with care, and without.

mod candidate;
mod holder;
mod observer;

use super::load::first_member;
use crate::draw::Draw;
use crate::format::{Between, Duration as Length, Scenario, Workload};
use bytes::Bytes;
use squall_api::pb;
use squall_api::{LeaseRequest, LeaseResponse};
use squall_record::{Call, Outcome, Ret, Target as _};
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
    let mut clients = first..;
    let mut owner = |ttl| {
        let number = clients.next().expect("there is always a next number");
        Owner::new(world, workload, seed, number, ttl, end)
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

/// The run has come to its end.
struct Over;

/// A client that owns one lease after the other.
struct Owner {
    world: World,
    client: SimClient,
    seed: u64,
    number: u32,
    member: u64,
    limit: Duration,
    ttl: Between<Length>,
    end: u64,
    draws: u64,
    leases: i64,
    lease: i64,
    /// The lease's TTL in nanoseconds.
    granted: u64,
}

impl Owner {
    fn new(
        world: &World,
        workload: &Workload,
        seed: u64,
        number: u32,
        ttl: Between<Length>,
        end: u64,
    ) -> Owner {
        Owner {
            client: world.client(number),
            world: world.clone(),
            seed,
            number,
            member: first_member(world, number),
            limit: Duration::from_nanos(workload.client_timeout.ns()),
            ttl,
            end,
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

    /// Waits, but not beyond the end.
    async fn wait(&mut self, nanos: u64) -> Result<(), Over> {
        let due = self.world.now().saturating_add(nanos);
        if due >= self.end {
            return Err(Over);
        }
        self.world.sleep_until(due).await;
        Ok(())
    }

    /// Asks, for as long as clients do; whoever does not answer is left for the
    /// next member.
    async fn ask(&mut self, call: Call) -> Outcome {
        self.ask_for(call, self.limit).await
    }

    async fn ask_for(&mut self, call: Call, limit: Duration) -> Outcome {
        let outcome = self.client.call(self.member, call, limit).await;
        if matches!(outcome, Outcome::Unknown(_)) {
            self.member = self.world.next_member(self.member);
        }
        outcome
    }

    /// Gets itself a new lease; false if that failed.
    async fn begin(&mut self) -> Result<bool, Over> {
        let mut draw = self.draw();
        self.wait(draw.below(SECOND / 2)).await?;
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
        let granted = self.ask(Call::Lease(LeaseRequest::Grant(grant))).await;
        let Outcome::Ok(Ret::Lease(LeaseResponse::Grant(granted))) = granted else {
            return Ok(false);
        };
        self.granted = u64::try_from(granted.ttl).unwrap_or(0) * SECOND;
        Ok(true)
    }

    async fn keep_alive(&mut self) {
        let id = self.lease;
        let keep_alive = LeaseRequest::KeepAlive(pb::LeaseKeepAliveRequest { id });
        self.ask(Call::Lease(keep_alive)).await;
    }

    /// For how long it is ready to wait for its turn: at times longer than its
    /// lease lives, which nobody renews meanwhile.
    fn patience(&mut self) -> Duration {
        let longest = 2 * self.granted + SECOND;
        Duration::from_nanos(self.draw().between(self.granted / 4, longest))
    }
}
