//! One run and what came of it.

use crate::{Availability, Check, Checkpoint, Event, Op, Resources, Stream, Traced, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One run, judged: what `run.json` holds, and what reports fold over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The planted bugs, by name.
    pub bugs: Vec<String>,
    /// The world it ran in: `madsim` or `turmoil`.
    pub world: String,
    /// The rolling hash over all events and payloads: equal for equal runs.
    pub hash: String,
    /// Every check of the run, in the order in which they were made.
    pub checks: Vec<Check>,
    /// Why the run proves nothing, if it does not: a fault that never fired,
    /// too few operations. Such a run is inconclusive even if all checks pass.
    pub inconclusive: Vec<String>,
    /// Checks that are neither passed nor failed, because a fault took away
    /// what they rest on.
    #[serde(default)]
    pub suspended: Vec<Suspended>,
    /// Members that stopped by themselves, as they should under their faults.
    #[serde(default)]
    pub stops: Vec<Stop>,
    /// How it served its clients; `None` if a broken invariant ended it early.
    #[serde(default)]
    pub availability: Option<Availability>,
    /// What it cost.
    #[serde(default)]
    pub resources: Resources,
    /// What was counted.
    pub stats: Stats,
}

/// A check that was not asked for, because a fault took away what it rests on:
/// a disk that lied, or damage beyond what a majority survives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspended {
    /// Its name.
    pub check: String,
    /// Since when, in true nanoseconds. What the check had seen until then
    /// still counts.
    pub since: u64,
    /// Which fault, and what it did.
    pub why: String,
    /// What it would have said, if it would have failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_fail: Option<String>,
}

/// A member that stopped by itself for a reason that its faults give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// When, in true nanoseconds.
    pub t: u64,
    /// Which member.
    pub node: u64,
    /// Why.
    pub reason: String,
}

/// What faults of one kind came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultCount {
    /// How often one set in.
    pub set_in: u64,
    /// How often it did something: to a message, an operation of a disk, a
    /// process, a clock, a connection.
    pub hits: u64,
}

impl Summary {
    /// The first check that failed.
    pub fn failure(&self) -> Option<&Check> {
        self.checks
            .iter()
            .find(|c| matches!(c.verdict, Verdict::Fail(_)))
    }
}

/// What was counted in a run. Sums over runs are sums of the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Simulated time in nanoseconds.
    pub simulated_ns: u64,
    /// Events, kept or not.
    pub events: u64,
    /// Operations that returned ok.
    pub ops_ok: u64,
    /// Operations that certainly had no effect.
    pub ops_refused: u64,
    /// Operations whose outcome the client never learned.
    pub ops_unknown: u64,
    /// Messages that clients took from their streams.
    pub messages_heard: u64,
    /// Of the unknown writes, those that were applied.
    pub unknown_applied: u64,
    /// Of the unknown writes, those that never were.
    pub unknown_not_applied: u64,
    /// Transactions among the operations that returned ok.
    pub txns_ok: u64,
    /// Distinct keys that operations named.
    pub keys: u64,
    /// Faults in the schedule.
    pub faults_planned: u64,
    /// Faults that set in.
    pub faults_fired: u64,
    /// Process starts after the first, per run.
    pub restarts: u64,
    /// Leaders elected.
    pub elections: u64,
    /// Leader's snapshots that followers installed.
    pub snapshots_installed: u64,
    /// Messages that arrived between members.
    pub messages: u64,
    /// Syncs of a file that ended.
    pub syncs: u64,
    /// How often each named point of the code was passed.
    pub marks: BTreeMap<String, u64>,
    /// What faults came to, by kind.
    pub faults: BTreeMap<String, FaultCount>,
    /// Members that stopped by themselves, as they should under their faults.
    pub stops: u64,
    /// Checks that were suspended.
    pub suspended: u64,
    /// Times that a client was given a lock which another one still believed to
    /// hold, its lease having ended unknown to it: unsafe use where what a lock
    /// protects is not fenced, and no bug of the store.
    pub unsafe_holds: u64,
}

impl Stats {
    /// Adds another run's counts.
    pub fn add(&mut self, other: &Stats) {
        let Stats {
            simulated_ns,
            events,
            ops_ok,
            ops_refused,
            ops_unknown,
            messages_heard,
            unknown_applied,
            unknown_not_applied,
            txns_ok,
            keys,
            faults_planned,
            faults_fired,
            restarts,
            elections,
            snapshots_installed,
            messages,
            syncs,
            marks,
            faults,
            stops,
            suspended,
            unsafe_holds,
        } = other;
        self.simulated_ns += simulated_ns;
        self.events += events;
        self.ops_ok += ops_ok;
        self.ops_refused += ops_refused;
        self.ops_unknown += ops_unknown;
        self.messages_heard += messages_heard;
        self.unknown_applied += unknown_applied;
        self.unknown_not_applied += unknown_not_applied;
        self.txns_ok += txns_ok;
        self.keys += keys;
        self.faults_planned += faults_planned;
        self.faults_fired += faults_fired;
        self.restarts += restarts;
        self.elections += elections;
        self.snapshots_installed += snapshots_installed;
        self.messages += messages;
        self.syncs += syncs;
        self.stops += stops;
        self.suspended += suspended;
        self.unsafe_holds += unsafe_holds;
        for (kind, count) in faults {
            let sum = self.faults.entry(kind.clone()).or_default();
            sum.set_in += count.set_in;
            sum.hits += count.hits;
        }
        for (mark, n) in marks {
            *self.marks.entry(mark.clone()).or_default() += n;
        }
    }
}

/// A run with everything that was kept of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The judged run.
    pub summary: Summary,
    /// Every operation, by invocation.
    pub history: Vec<Op>,
    /// Every stream, in order of opening.
    pub streams: Vec<Stream>,
    /// The events that were kept: all of them if the run was recorded, the
    /// notable ones (phases, faults, starts, ends, roles, violations) if not.
    pub events: Vec<Event>,
    /// Every drawn fault made concrete, as TOML that replays without the RNG.
    pub schedule: String,
    /// The rolling hash along the way, at a bounded number of events.
    pub checkpoints: Vec<Checkpoint>,
    /// The events of the window that was asked for, in full.
    pub trace: Vec<Traced>,
}
