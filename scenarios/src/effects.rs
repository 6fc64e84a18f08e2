//! What faults are good for: how often each kind set in, did something, and
//! changed how something came out.
//!
//! What a fault changed is found by leaving it out: the same seed follows the
//! same schedule without it. Draws are keyed and one conductor decides the
//! order of everything, so that the two runs are the same up to its onset, and
//! whatever differs afterwards has no other cause.

use crate::format::FaultKind;
use crate::plan::Fired;
use crate::runner::{RunFailure, RunOptions};
use crate::sweep::Runner;
use crate::{Scenario, Schedule};
use serde::Serialize;
use squall_api::Role;
use squall_record::{Event, Kind, Op, Outcome, Run};
use std::collections::{BTreeMap, BTreeSet};

/// How long after a fault's end its effects still count as its own, in
/// nanoseconds.
const AFTERMATH: u64 = 1_000_000_000;

/// What faults of one kind came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Effects {
    /// How often one set in.
    pub set_in: u64,
    /// How many messages, operations of disks, processes, clocks or connections
    /// they touched.
    pub hits: u64,
    /// How many of them were left out for comparison: one of a kind in each run.
    pub measured: u64,
    /// Of those, how many changed the outcome of an operation.
    pub operation: u64,
    /// How many changed who was elected, or when a term had a leader at all.
    pub election: u64,
    /// How many changed how a recovery came out.
    pub recovery: u64,
    /// How many changed any of these.
    pub any: u64,
}

impl Effects {
    /// Adds other counts.
    pub fn add(&mut self, other: &Effects) {
        let Effects {
            set_in,
            hits,
            measured,
            operation,
            election,
            recovery,
            any,
        } = other;
        self.set_in += set_in;
        self.hits += hits;
        self.measured += measured;
        self.operation += operation;
        self.election += election;
        self.recovery += recovery;
        self.any += any;
    }
}

/// Makes one run, and one more for each kind of fault in it, without the first
/// fault of that kind.
///
/// # Errors
/// If a run panics.
pub fn measure(
    runner: &impl Runner,
    scenario: &Scenario,
    seed: u64,
    options: &RunOptions,
) -> Result<(Run, BTreeMap<FaultKind, Effects>), RunFailure> {
    let with = runner(scenario, seed, options)?;
    let mut effects: BTreeMap<FaultKind, Effects> = BTreeMap::new();
    for (name, count) in &with.summary.stats.faults {
        if let Some(kind) = FaultKind::named(name) {
            let effect = effects.entry(kind).or_default();
            (effect.set_in, effect.hits) = (count.set_in, count.hits);
        }
    }
    let Ok(schedule) = Schedule::parse("schedule.toml", &with.schedule) else {
        return Ok((with, effects));
    };
    let mut measured = BTreeSet::new();
    for (at, fault) in schedule.faults.iter().enumerate() {
        let new: Vec<FaultKind> = (fault.action.kinds().into_iter())
            .filter(|kind| measured.insert(*kind))
            .collect();
        if new.is_empty() {
            continue;
        }
        let mut rest = schedule.clone();
        rest.faults.remove(at);
        let options = RunOptions {
            follow: Some(rest),
            ..options.clone()
        };
        let without = runner(scenario, seed, &options)?;
        let changed = compare(&with, &without, fault);
        for kind in new {
            effects.entry(kind).or_default().add(&changed);
        }
    }
    Ok((with, effects))
}

/// What came out otherwise with a fault than without it.
fn compare(with: &Run, without: &Run, fault: &Fired) -> Effects {
    let begin = fault.at;
    let end = match fault.lasts {
        Some(lasts) => begin.saturating_add(lasts).saturating_add(AFTERMATH),
        None => u64::MAX,
    };
    let operation = operations(&with.history, &without.history, begin, end);
    let within = |events: &[Event]| {
        let within = events.iter().filter(|e| (begin..=end).contains(&e.t));
        within.cloned().collect::<Vec<Event>>()
    };
    let (one, other) = (within(&with.events), within(&without.events));
    let election = leaders(&one) != leaders(&other);
    let recovery = recoveries(&one) != recoveries(&other);
    Effects {
        measured: 1,
        operation: operation.into(),
        election: election.into(),
        recovery: recovery.into(),
        any: (operation || election || recovery).into(),
        ..Effects::default()
    }
}

/// Whether an operation that was open in that time came out otherwise: the n-th
/// of a client is compared with the n-th of the same client.
fn operations(with: &[Op], without: &[Op], begin: u64, end: u64) -> bool {
    let by_client = |history: &[Op]| {
        let mut clients: BTreeMap<u32, Vec<(u64, Option<u64>, u8)>> = BTreeMap::new();
        for op in history {
            let class = match op.outcome {
                Outcome::Ok(_) => 0,
                Outcome::Refused(_) => 1,
                Outcome::Unknown(_) => 2,
            };
            let ops = clients.entry(op.client).or_default();
            ops.push((op.invoke, op.ret, class));
        }
        clients
    };
    let without = by_client(without);
    by_client(with).into_iter().any(|(client, ops)| {
        let others = without.get(&client).into_iter().flatten();
        ops.into_iter().zip(others).any(|(one, other)| {
            let open = one.0 <= end && one.1.is_none_or(|ret| ret >= begin);
            open && one.2 != other.2
        })
    })
}

/// Who was elected, in which terms, in order.
fn leaders(events: &[Event]) -> Vec<(Option<u64>, u64)> {
    let elected = events.iter().filter_map(|event| match event.kind {
        Kind::Role {
            role: Role::Leader,
            term,
            ..
        } => Some((event.node, term)),
        _ => None,
    });
    elected.collect()
}

/// How often each member ended by itself, died before it had opened, and needed
/// a leader's snapshot.
fn recoveries(events: &[Event]) -> BTreeMap<Option<u64>, [u64; 3]> {
    let mut counts: BTreeMap<Option<u64>, [u64; 3]> = BTreeMap::new();
    let mut opening = BTreeSet::new();
    for event in events {
        let node = event.node;
        let slot = match event.kind {
            Kind::Started { .. } => {
                opening.insert(node);
                continue;
            }
            Kind::Role { .. } => {
                opening.remove(&node);
                continue;
            }
            Kind::Ended { illegal: true, .. } => 0,
            Kind::Crashed { .. } if opening.remove(&node) => 1,
            Kind::SnapshotInstalled { .. } => 2,
            _ => continue,
        };
        counts.entry(node).or_default()[slot] += 1;
    }
    counts
}
