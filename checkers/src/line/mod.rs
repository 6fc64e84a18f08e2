//! Locks and elections: who holds, who leads, and what is said of it.
//!
//! Three of the rules look at the history and at when leases ended, in true time.
//! The others compare with who was at the head of each line at each revision, as
//! far as the order is known in which the host of the store saw operations applied
//! ([`Truth`]).
//!
//! A lock that is lost with its lease while its holder does not know is no fault of
//! the store: two clients that both *believe* to hold a lock are counted
//! ([`both_believe`]), and judged is only what the store can answer for: whom it
//! gave the lock, and what it let be written in the lock's name.

mod by_time;
mod by_truth;
#[cfg(test)]
mod tests;

use crate::lease::Ended;
use crate::linearizable::Applied;
use crate::rules::{Found, judged};
use crate::store::{leases, lines};
use crate::watch::truth::Truth;
use bytes::Bytes;
use squall_api::LockResponse;
use squall_record::{Call, Check, Fact, Op, Outcome, Ret, Stream, Witness, seconds};
use std::collections::BTreeMap;

pub use by_time::both_believe;

/// Where the owner of a lease stands in the line of a name.
pub(crate) struct Place {
    pub(crate) key: Bytes,
    pub(crate) lease: i64,
}

impl Place {
    /// As etcd names it: the name, a slash, and the lease in hexadecimal digits.
    pub(crate) fn new(name: &[u8], lease: i64) -> Place {
        let sign = if lease < 0 { "-" } else { "" };
        let digits = format!("/{sign}{:x}", lease.unsigned_abs());
        Place {
            key: [name, digits.as_bytes()].concat().into(),
            lease,
        }
    }
}

/// A line's name with its slash, of one of its keys.
fn line_of(key: &[u8]) -> Option<&[u8]> {
    let slash = key.iter().rposition(|byte| *byte == b'/')?;
    Some(&key[..=slash])
}

/// A lock that was given to a client.
struct Hold<'a> {
    op: &'a Op,
    key: &'a Bytes,
    /// When the client was told.
    from: u64,
    /// When the first of these came: the key's deletion was asked for, or its lease
    /// ended.
    until: u64,
}

/// Everything that rules look at.
struct Case<'a> {
    history: &'a [Op],
    streams: &'a [Stream],
    /// When the first member applied the end of each lease.
    ended: BTreeMap<i64, u64>,
    holds: Vec<Hold<'a>>,
    heads: by_truth::Heads,
    truth: Truth<'a>,
}

/// Judges one promise: how much there was to judge, or how it was broken.
type Rule = fn(&Case<'_>) -> Found;

const RULES: [(&str, Rule); 7] = [
    ("lock.exclusive", by_time::exclusive),
    ("lock.in_line", by_truth::lock_in_line),
    ("lock.fenced", by_truth::fenced),
    ("election.one_leader", by_truth::one_leader),
    ("election.in_office", by_time::in_office),
    ("election.proclaimed", by_truth::proclaimed),
    ("election.observed", by_truth::observed),
];

/// Judges the locks and elections of a history, and what `streams` told of leaders.
pub fn check(
    history: &[Op],
    streams: &[Stream],
    applied: Option<&[Applied]>,
    ended: &[Ended],
) -> Vec<Check> {
    let lines = lines::told(history, applied);
    let told = leases::told(&lines.history, lines.applied.as_deref());
    let truth = match &told.applied {
        Some(applied) => Truth::replay(&told.history, applied),
        None => Truth::default(),
    };
    let ended = ends(ended);
    let case = Case {
        history,
        streams,
        holds: by_time::holds(history, &ended),
        ended,
        heads: by_truth::Heads::of(&truth),
        truth,
    };
    let has = |which: fn(&Call) -> bool| history.iter().any(|op| which(&op.call));
    let locks = has(|call| matches!(call, Call::Lock(_)));
    let elections = has(|call| matches!(call, Call::Election(_)));
    // Where nobody asks for locks, or nobody stands for election, there is nothing
    // to judge.
    let rules = RULES
        .iter()
        .filter(|(name, _)| match name.starts_with("lock.") {
            true => locks,
            false => elections,
        });
    rules
        .map(|(name, rule)| judged(name, rule(&case)))
        .collect()
}

fn ends(ended: &[Ended]) -> BTreeMap<i64, u64> {
    let mut first = BTreeMap::new();
    for end in ended {
        first.entry(end.lease).or_insert(end.t);
    }
    first
}

/// The key that a call for a lock was given, and the revision of the answer.
fn given(op: &Op) -> Option<(&Bytes, i64)> {
    match &op.outcome {
        Outcome::Ok(Ret::Lock(LockResponse::Lock(r))) => {
            Some((&r.key, r.header.as_ref().map_or(0, |h| h.revision)))
        }
        _ => None,
    }
}

fn is_answer(op: &Op, message: &str) -> bool {
    match &op.outcome {
        Outcome::Unknown(squall_record::Why::Status(status)) => status.message == message,
        _ => false,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn revision_of(op: &Op) -> i64 {
    match &op.outcome {
        Outcome::Ok(ret) => ret.header().map_or(0, |header| header.revision),
        _ => 0,
    }
}

/// How a rule was broken.
fn broken(
    guarantee: &str,
    class: &str,
    sentence: String,
    ops: Vec<&Op>,
    facts: Vec<Fact>,
) -> Box<Witness> {
    let t = ops.iter().filter_map(|op| op.ret).max().unwrap_or(0);
    Box::new(Witness {
        guarantee: guarantee.into(),
        sentence: format!("at {} {sentence}", seconds(t)),
        t,
        node: None,
        ops: ops.into_iter().cloned().collect(),
        facts,
        class: class.into(),
    })
}

fn who(op: &Op) -> String {
    let what = match &op.call {
        Call::Lock(r) => r.name(),
        Call::Election(r) => r.name(),
        other => other.name(),
    };
    format!("op {} ({what}) of client {}", op.id, op.client)
}
