//! Progress: when it is owed, whether it came, and what stood in the way.
//!
//! A cluster owes nothing while no quorum can work. It owes progress where one
//! can: voters enough that are up and well, and hear each other both ways, for
//! longer than a bound. The world knows when that is so ([`Condition`]); members
//! do not. A quorum counts from when *its* members were well, so that a cluster
//! whose members take turns in being ill owes nothing.

mod outages;
mod quorums;
#[cfg(test)]
mod tests;

use crate::rules::{Judged, judged};
use quorums::Quorums;
use squall_api::LeaseRequest;
use squall_record::{
    Availability, Call, Check, Condition, Event, Fact, Op, Outcome, Ret, Witness, seconds,
};

/// How many election timeouts a healthy quorum has to get something done.
///
/// A member notices within two that nobody leads, and a failed election costs at
/// most two more; whoever was ill before may have to be caught up, or may disturb
/// one election by a higher term.
pub const BOUND: u64 = 10;

/// The guarantee, in a sentence.
pub const GUARANTEE: &str = "while a quorum of voters is up and well, and its members hear each other, \
                             what clients ask of it gets done within ten election timeouts";

/// What a run is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The shortest election timeout, in nanoseconds.
    pub election_timeout: u64,
    /// When the load began, in true nanoseconds.
    pub from: u64,
    /// When it ended.
    pub until: u64,
}

/// Judges whether writes and reads went on while they should, and tells how the
/// cluster served. `applied` says when an operation of a client was first applied,
/// in order of time; `conditions` are in order of time.
pub fn check(
    history: &[Op],
    events: &[Event],
    conditions: &[Condition],
    applied: &[u64],
    terms: Terms,
) -> (Check, Availability) {
    let quorums = Quorums::of(conditions);
    let writes = Kind::writes(history, applied);
    let reads = Kind::reads(history);
    let mut found = Ok(Judged::default());
    for kind in [&writes, &reads] {
        found = found.and_then(|before| {
            let new = owed(kind, &quorums, events, conditions, terms)?;
            Ok(Judged {
                sure: before.sure + new.sure,
                unclear: before.unclear + new.unclear,
            })
        });
    }
    let availability = outages::tell(&writes, history, events, conditions, &quorums, terms);
    (judged("liveness.progress", found), availability)
}

/// What clients ask for, and when they got it.
struct Kind {
    what: &'static str,
    /// When it was asked for, and of whom, in order of time.
    asked: Vec<(u64, u64)>,
    /// When something got done, in order of time.
    done: Vec<u64>,
}

impl Kind {
    /// Writes, done when they are applied, or refused for what they ask: not for
    /// want of a leader or of time.
    fn writes(history: &[Op], applied: &[u64]) -> Kind {
        let is_write = |op: &&Op| match &op.call {
            Call::Put(_) | Call::DeleteRange(_) | Call::Txn(_) => true,
            Call::Lease(call) => matches!(call, LeaseRequest::Grant(_) | LeaseRequest::Revoke(_)),
            _ => false,
        };
        let mut kind = Kind::of("write", history.iter().filter(is_write));
        kind.done.extend(applied);
        kind.done.sort_unstable();
        kind
    }

    /// Reads that need a quorum.
    fn reads(history: &[Op]) -> Kind {
        let is_read =
            |op: &&Op| matches!(&op.call, Call::Range(r) if !r.serializable && r.revision == 0);
        Kind::of("linearizable read", history.iter().filter(is_read))
    }

    fn of<'a>(what: &'static str, ops: impl Iterator<Item = &'a Op> + Clone) -> Kind {
        let mut asked: Vec<_> = ops.clone().map(|op| (op.invoke, op.member)).collect();
        let mut done: Vec<_> = ops.filter_map(served).collect();
        asked.sort_unstable();
        done.sort_unstable();
        Kind { what, asked, done }
    }

    /// How many were asked of these members in between, both included.
    fn asked_of(&self, members: &[u64], from: u64, to: u64) -> u64 {
        let first = self.asked.partition_point(|(t, _)| *t < from);
        let asked = self.asked[first..].iter().take_while(|(t, _)| *t <= to);
        asked.filter(|(_, of)| members.contains(of)).count() as u64
    }
}

/// When an operation was answered by a cluster that works.
fn served(op: &Op) -> Option<u64> {
    match &op.outcome {
        Outcome::Ok(Ret::Range(r)) => r.header.as_ref().and(op.ret),
        Outcome::Ok(_) => op.ret,
        Outcome::Refused(status) => {
            let code = status.code;
            let is_down = matches!(
                code,
                squall_record::Code::Unavailable | squall_record::Code::DeadlineExceeded
            );
            (!is_down).then_some(op.ret).flatten()
        }
        Outcome::Unknown(_) => None,
    }
}

/// Judges each time between two things that got done: how much of it a quorum was
/// healthy, if it was asked.
fn owed(
    kind: &Kind,
    quorums: &Quorums,
    events: &[Event],
    conditions: &[Condition],
    terms: Terms,
) -> Result<Judged, Box<Witness>> {
    let bound = BOUND * terms.election_timeout;
    let mut judged = Judged::default();
    let within = kind.done.iter().copied();
    let within = within.filter(|t| (terms.from..terms.until).contains(t));
    let mut last = terms.from;
    for next in within.chain([terms.until]) {
        let mut owed = 0;
        for healthy in quorums.during(last, next) {
            owed += 1;
            let from = last.max(healthy.from);
            let due = from.saturating_add(bound);
            if due >= healthy.to.min(next) {
                continue;
            }
            // Whoever asks at the end cannot be answered in time.
            let latest = due.saturating_sub(bound / 2);
            let asked = kind.asked_of(&healthy.members, from, latest);
            if asked > 0 {
                let gap = (from, healthy.to.min(next));
                return Err(stalled(kind, healthy, gap, asked, events, conditions));
            }
        }
        match owed {
            0 => judged.unclear += 1,
            _ => judged.sure += 1,
        }
        last = next;
    }
    Ok(judged)
}

fn stalled(
    kind: &Kind,
    healthy: &quorums::Healthy,
    (from, to): (u64, u64),
    asked: u64,
    events: &[Event],
    conditions: &[Condition],
) -> Box<Witness> {
    let members = names(&healthy.members);
    let why = outages::why(events, conditions, from, to);
    let sentence = format!(
        "no {} got done from {} to {}, although {members} were up and well and heard each other, \
         and {asked} were asked of them in time: {}",
        kind.what,
        seconds(from),
        seconds(to),
        why.join("; ")
    );
    let facts = why.into_iter().map(|why| Fact::new("meanwhile", why));
    Box::new(Witness {
        guarantee: GUARANTEE.into(),
        sentence,
        t: to,
        node: None,
        ops: Vec::new(),
        facts: facts.collect(),
        class: format!("no-{}", kind.what.replace(' ', "-")),
    })
}

/// `n1, n2 and n3`.
fn names(members: &[u64]) -> String {
    let names: Vec<String> = members.iter().map(|id| format!("n{id}")).collect();
    match names.split_last() {
        None => "nobody".into(),
        Some((one, [])) => one.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}
