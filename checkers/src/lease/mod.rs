//! Leases in true time: what the store promises about them, one rule a promise.
//!
//! Judged from the history, and from when the first member applied the end of
//! each lease, which only the host of the store can see. All rules are linear
//! but for sorting.

mod answers;
mod keys;
mod lifetime;
#[cfg(test)]
mod tests;

use crate::rules::{Found, judged};
use squall_api::LeaseRequest;
use squall_record::{Call, Check, Event, FaultPhase, Kind, Op, Outcome, Ret, Witness};
use std::collections::BTreeMap;

const SECOND: u64 = 1_000_000_000;

/// The end of a lease, as the first member applied it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The lease.
    pub lease: i64,
    /// When, in true nanoseconds.
    pub t: u64,
    /// The store's revision after it.
    pub revision: i64,
    /// Whether nobody asked for it: it expired.
    pub expired: bool,
}

/// What the store was told to promise. Durations are nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The shortest TTL that is granted, in seconds.
    pub min_ttl: i64,
    /// How wrong a clock may run, in millionths.
    pub drift_ppm: u64,
    /// How often the leader notes what is left of a lease.
    pub checkpoint_interval: u64,
    /// The shortest election timeout.
    pub election_timeout: u64,
    /// How long a member lets a call wait.
    pub request_timeout: u64,
}

/// Judges a history, its events, and the ends of leases; `until` is when it was
/// last looked.
pub fn check(
    history: &[Op],
    events: &[Event],
    ended: &[Ended],
    terms: Terms,
    until: u64,
) -> Vec<Check> {
    let leases = Leases::of(history, events, ended, terms, until);
    type Rule = fn(&Leases<'_>) -> Found;
    let rules: [(&str, Rule); 5] = [
        ("lease.not_early", lifetime::not_early),
        ("lease.not_late", lifetime::not_late),
        ("lease.answers", answers::true_answers),
        ("lease.exists", keys::exists),
        ("lease.keys_end", keys::end),
    ];
    rules.map(|(name, rule)| judged(name, rule(&leases))).into()
}

/// The id that an operation may have granted a lease under.
pub(crate) fn granted_id(op: &Op) -> Option<i64> {
    match (&op.call, &op.outcome) {
        (_, Outcome::Ok(Ret::Lease(squall_api::LeaseResponse::Grant(r)))) => Some(r.id),
        (Call::Lease(LeaseRequest::Grant(r)), Outcome::Unknown(_)) if r.id != 0 => Some(r.id),
        _ => None,
    }
}

/// What is known of all leases.
struct Leases<'a> {
    history: &'a [Op],
    terms: Terms,
    until: u64,
    /// Those that were granted at most once: a second life of an id would make
    /// the first one's end uncertain.
    leases: BTreeMap<i64, Lease<'a>>,
    /// When somebody began to lead.
    elections: Vec<u64>,
    /// When faults were about, or their consequences: disjoint, in order.
    disturbed: Vec<(u64, u64)>,
}

/// What is known of one lease.
#[derive(Default)]
struct Lease<'a> {
    /// Every grant that may have been applied.
    grants: Vec<&'a Op>,
    /// Keep-alives that may have been.
    keep_alives: Vec<&'a Op>,
    ended: Option<Ended>,
}

impl Lease<'_> {
    /// The granted TTL in seconds, as answers say it.
    fn ttl(&self) -> Option<i64> {
        self.grants.iter().find_map(|op| granted_ttl(op))
    }
}

impl<'a> Leases<'a> {
    fn of(
        history: &'a [Op],
        events: &[Event],
        ended: &[Ended],
        terms: Terms,
        until: u64,
    ) -> Leases<'a> {
        let mut leases: BTreeMap<i64, Lease<'a>> = BTreeMap::new();
        for op in history {
            if let Some(id) = granted_id(op) {
                leases.entry(id).or_default().grants.push(op);
            }
            if let Call::Lease(LeaseRequest::KeepAlive(r)) = &op.call {
                leases.entry(r.id).or_default().keep_alives.push(op);
            }
        }
        for end in ended {
            leases
                .entry(end.lease)
                .or_default()
                .ended
                .get_or_insert(*end);
        }
        let elections = events.iter().filter_map(|event| match &event.kind {
            Kind::Role { role, .. } if *role == squall_api::Role::Leader => Some(event.t),
            _ => None,
        });
        Leases {
            history,
            terms,
            until,
            elections: elections.collect(),
            disturbed: disturbed(events, 3 * terms.election_timeout, until),
            leases,
        }
    }

    /// How many ids were granted more than once, so that it is not known which life
    /// of theirs is meant.
    fn repeated(&self) -> u64 {
        let lives = self.leases.values().map(|lease| lease.grants.len());
        lives.filter(|lives| *lives > 1).count() as u64
    }

    /// Whether an id was granted more than once.
    fn is_repeated(&self, id: i64) -> bool {
        self.leases.get(&id).is_some_and(|l| l.grants.len() > 1)
    }

    /// The leases that have had one life at most.
    fn once(&self) -> impl Iterator<Item = (i64, &Lease<'a>)> {
        let once = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.grants.len() == 1);
        once.map(|(id, lease)| (*id, lease))
    }

    fn one(&self, id: i64) -> Option<&Lease<'a>> {
        self.leases.get(&id).filter(|lease| lease.grants.len() == 1)
    }

    /// How much of an interval was disturbed: nothing of one that ends before it
    /// begins.
    fn disturbed_within(&self, from: u64, to: u64) -> u64 {
        // They are in order, and none overlaps another.
        let first = self.disturbed.partition_point(|(_, end)| *end <= from);
        let windows = self.disturbed[first..].iter();
        let windows = windows.take_while(|(start, _)| *start < to);
        let overlap = |(start, end): &(u64, u64)| (*end).min(to).saturating_sub((*start).max(from));
        windows.map(overlap).sum()
    }
}

/// From the beginning of each fault to `after` its end.
fn disturbed(events: &[Event], after: u64, until: u64) -> Vec<(u64, u64)> {
    let mut open: BTreeMap<u32, u64> = BTreeMap::new();
    let mut windows = Vec::new();
    for event in events {
        if let Kind::Fault { fault, phase, .. } = &event.kind {
            match phase {
                FaultPhase::Start => {
                    open.entry(*fault).or_insert(event.t);
                }
                FaultPhase::End => {
                    let from = open.remove(fault).unwrap_or(event.t);
                    windows.push((from, event.t.saturating_add(after)));
                }
            }
        }
    }
    windows.extend(open.into_values().map(|from| (from, until.max(from))));
    windows.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (from, to) in windows {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// The TTL in seconds that an answered grant says.
fn granted_ttl(op: &Op) -> Option<i64> {
    match &op.outcome {
        Outcome::Ok(Ret::Lease(squall_api::LeaseResponse::Grant(r))) => Some(r.ttl),
        _ => None,
    }
}

/// The TTL in seconds that an answered keep-alive says; 0 for a lease that is
/// gone.
fn kept_ttl(op: &Op) -> Option<i64> {
    match &op.outcome {
        Outcome::Ok(Ret::Lease(squall_api::LeaseResponse::KeepAlive(r))) => Some(r.ttl),
        _ => None,
    }
}

fn witness(
    guarantee: &str,
    class: &str,
    sentence: String,
    t: u64,
    ops: Vec<&Op>,
    facts: Vec<squall_record::Fact>,
) -> Box<Witness> {
    Box::new(Witness {
        guarantee: guarantee.into(),
        sentence,
        t,
        node: None,
        ops: ops.into_iter().cloned().collect(),
        facts,
        class: class.into(),
    })
}
