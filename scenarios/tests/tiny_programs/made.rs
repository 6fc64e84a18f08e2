//! A run of five tiny members under one fault, and what there is to see in it.

use crate::member::{Diary, open};
use squall::Scenario;
use squall::format::FaultKind;
use squall::runner::{RunOptions, run_unchecked};
use squall_record::{DropReason, Event, FaultPhase, Kind, Op, Outcome};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

pub(crate) const MS: u64 = 1_000_000;
/// What a message takes, between members or to and from a client.
pub(crate) const LATENCY: u64 = 2 * MS;
/// What a write takes, and what a sync does.
pub(crate) const WRITE: u64 = MS;
pub(crate) const FSYNC: u64 = 3 * MS;
/// What a put takes.
pub(crate) const PUT: u64 = LATENCY + WRITE + FSYNC + LATENCY;

/// Everything costs the same each time. Each member has a client of its own,
/// which goes elsewhere only when it is not answered.
const SCENARIO: &str = r#"
schema = 1
name = "tiny"
about = "Members that beat and count."
[cluster]
nodes = 5
damage = "unrestricted"
election_timeout = "50ms"
heartbeat = "10ms"
link = { latency = "2ms..2ms" }
disk = { write = "1ms..1ms", fsync = "3ms..3ms" }
[workload]
clients = 5
rate = 1000
keys = { count = 1, skew = "uniform" }
mix = { put = 1 }
client_timeout = "700ms"
run_for = "1500ms"
"#;

/// What came of a run.
pub(crate) struct Made {
    pub(crate) events: Vec<Event>,
    pub(crate) history: Vec<Op>,
    pub(crate) diary: Diary,
    /// True time while the first fault lasted.
    pub(crate) during: Range<u64>,
}

/// A run with these faults in it, of which the first one is of `kind`.
pub(crate) fn make(kind: &str, faults: &str) -> Made {
    make_with(kind, faults, 1)
}

pub(crate) fn make_with(kind: &str, faults: &str, seed: u64) -> Made {
    let text = format!("{SCENARIO}{faults}");
    let scenario = Scenario::parse("tiny.toml", &text).unwrap_or_else(|e| panic!("{e}"));
    let kind = FaultKind::named(kind).unwrap_or_else(|| panic!("{kind} is no kind of fault"));
    let first = &scenario.faults[0].action;
    assert!(first.kinds().contains(&kind), "{first} is not {kind:?}");
    let diary = Diary::default();
    let members = diary.clone();
    let opens = move |_| -> squall_sim::world::Open {
        let diary = members.clone();
        Arc::new(move |env, now| open(env, now, diary.clone()))
    };
    let options = RunOptions {
        record: true,
        ..RunOptions::default()
    };
    let run =
        run_unchecked(&scenario, seed, &options, &opens).unwrap_or_else(|e| panic!("{}", e.panic));
    let at = |wanted: FaultPhase| {
        let mut events = run.events.iter();
        let found = events
            .find(|e| matches!(&e.kind, Kind::Fault { fault: 0, phase, .. } if *phase == wanted));
        found.map(|e| e.t)
    };
    let begun = at(FaultPhase::Start).expect("the fault sets in");
    Made {
        during: begun..at(FaultPhase::End).unwrap_or(begun),
        events: run.events,
        history: run.history,
        diary,
    }
}

impl Made {
    /// When messages were delivered on each directed link.
    pub(crate) fn arrivals(&self) -> BTreeMap<(u64, u64), Vec<u64>> {
        let mut all: BTreeMap<(u64, u64), Vec<u64>> = BTreeMap::new();
        for event in &self.events {
            if let (Kind::Delivered { from, .. }, Some(to)) = (&event.kind, event.node) {
                all.entry((*from, to)).or_default().push(event.t);
            }
        }
        all
    }

    /// When messages arrived from one member at another.
    pub(crate) fn heard(&self, from: u64, to: u64) -> Vec<u64> {
        self.arrivals().remove(&(from, to)).unwrap_or_default()
    }

    /// The directed links on which nothing arrived while the fault lasted.
    pub(crate) fn silent(&self) -> BTreeSet<(u64, u64)> {
        let arrivals = self.arrivals();
        let nodes = 1..=5;
        let links = nodes
            .clone()
            .flat_map(|from| nodes.clone().map(move |to| (from, to)));
        links
            .filter(|(from, to)| from != to)
            .filter(|link| !arrivals[link].iter().any(|t| self.during.contains(t)))
            .collect()
    }

    /// For each message from n1 to n2 that was sent while the fault lasted, what
    /// it took to arrive, each time that it did.
    pub(crate) fn took(&self) -> Vec<Vec<u64>> {
        let mut took: BTreeMap<u64, (u64, Vec<u64>)> = BTreeMap::new();
        for event in &self.events {
            match event.kind {
                Kind::Sent { msg, to: 2, .. }
                    if event.node == Some(1) && self.during.contains(&event.t) =>
                {
                    took.insert(msg, (event.t, Vec::new()));
                }
                Kind::Delivered { msg, .. } => {
                    if let Some((sent, times)) = took.get_mut(&msg) {
                        times.push(event.t - *sent);
                    }
                }
                _ => {}
            }
        }
        took.into_values().map(|(_, times)| times).collect()
    }

    /// How many messages from n1 to n2 were lost for this reason.
    pub(crate) fn dropped(&self, reason: DropReason) -> usize {
        let lost = |e: &&Event| matches!(e.kind, Kind::Dropped { to: 2, why, .. } if why == reason);
        self.events.iter().filter(lost).count()
    }

    /// What puts took at n1 that were called and answered with success while the
    /// fault lasted.
    pub(crate) fn puts(&self) -> Vec<u64> {
        let within = |t: u64| self.during.contains(&t);
        let during = self
            .at_n1()
            .filter(|op| within(op.invoke) && op.ret.is_some_and(within));
        let ok = during.filter(|op| matches!(op.outcome, Outcome::Ok(_)));
        ok.map(|op| op.ret.expect("it returned") - op.invoke)
            .collect()
    }

    /// Operations at n1.
    pub(crate) fn at_n1(&self) -> impl Iterator<Item = &Op> {
        let load = self.history.iter().filter(|op| op.client < 5);
        load.filter(|op| op.member == 1)
    }

    /// How many puts n1 has acknowledged by true time `t`.
    pub(crate) fn acknowledged(&self, t: u64) -> usize {
        let ok = |op: &&Op| matches!(op.outcome, Outcome::Ok(_)) && op.ret.is_some_and(|r| r <= t);
        self.at_n1().filter(ok).count()
    }

    /// Why n1 ended by itself, each time that it did.
    pub(crate) fn ended(&self) -> Vec<&str> {
        let own = self.events.iter().filter(|event| event.node == Some(1));
        let reasons = own.filter_map(|event| match &event.kind {
            Kind::Ended { reason, .. } => Some(reason.as_str()),
            _ => None,
        });
        reasons.collect()
    }

    /// The unsynced and the lost sectors of each crash of n1.
    pub(crate) fn crashes(&self) -> Vec<(u64, u64)> {
        let own = self.events.iter().filter(|event| event.node == Some(1));
        let crashes = own.filter_map(|event| match event.kind {
            Kind::Crashed {
                unsynced_sectors,
                lost_sectors,
                ..
            } => Some((unsynced_sectors, lost_sectors)),
            _ => None,
        });
        crashes.collect()
    }
}
