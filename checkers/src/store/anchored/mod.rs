//! The near-linear path: replay the history in the order that its revisions
//! force, and search only for who took the revisions that no answer claims.
//!
//! Why this is complete: in any linearization of the history the store's
//! revision rises by exactly one with each effective write, and every answer
//! carries the revision at its point. So known operations stand in the order of
//! their revisions; at one revision the write comes first, and the reads commute.
//! Every revision that no answer claims was taken by an operation of unknown
//! outcome that was sent before the first return of anything at or above that
//! revision. What remains open is which one, and nothing else. Operations of
//! unknown outcome beyond the last known revision, or without effect, prove and
//! refute nothing.
//!
//! Why jumping back is complete: when an answer is wrong, or a candidate does not
//! fit, the reason lies in the state of some keys since they were last pinned by
//! another answer. A choice that did not write these keys since, and for which no
//! other candidate could, has no part in it.

mod blame;
mod candidates;
mod gaps;
mod plan;
mod search;

use super::facts::{Facts, Unclaimed};
use super::keys::Keys;
use super::mvcc::{Fault, Mvcc};
use super::timeline::{Known, Timeline};
use super::violation::Violation;
use candidates::Candidates;
use gaps::Gaps;
use search::Search;
use squall_record::{Op, Outcome};

/// What the path found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    /// This order explains the history: operations of unknown outcome that
    /// were applied, by revision.
    Legal(Vec<(i64, u32)>),
    /// No order does.
    Illegal(Violation),
    /// The budget was spent.
    Spent,
}

/// Decides a timeline whose order was checked, within `steps`, which is
/// reduced by what it took.
pub(crate) fn decide(timeline: &Timeline<'_>, keys: &Keys<'_>, steps: &mut u64) -> Decision {
    let gaps = match Gaps::new(timeline) {
        Ok(gaps) => gaps,
        Err(violation) => return Decision::Illegal(violation),
    };
    if gaps.list.is_empty() {
        return replay(timeline, keys);
    }
    let candidates = Candidates::new(timeline, keys);
    let unclaimed = Unclaimed {
        gaps: gaps.list.iter().map(|g| (g.revision, g.deadline)).collect(),
        deleters: candidates.deleters.clone(),
    };
    let facts = Facts::new(timeline, keys, unclaimed);
    if let Some((op, kv)) = facts.phantom {
        let kv = Box::new(kv.clone());
        return Decision::Illegal(Violation::Phantom { op, kv });
    }
    match Search::new(timeline, keys, &gaps, &facts, &candidates) {
        Ok(search) => search.run(steps),
        Err(violation) => Decision::Illegal(violation),
    }
}

/// Decides a timeline without unclaimed revisions.
fn replay(timeline: &Timeline<'_>, keys: &Keys<'_>) -> Decision {
    let mut state = Mvcc::new(keys);
    for k in &timeline.known {
        if let Err(fault) = judge(&mut state, timeline.ops, k) {
            return Decision::Illegal(violation(k.op, fault, 0));
        }
    }
    Decision::Legal(Vec::new())
}

/// Answers an operation in the state that its revision implies, and compares.
pub(crate) fn judge<'a>(state: &mut Mvcc<'_, 'a>, ops: &'a [Op], k: &Known) -> Result<(), Fault> {
    let op = &ops[k.op as usize];
    let Outcome::Ok(got) = &op.outcome else {
        unreachable!("only operations with an answer are judged");
    };
    state.judge(&op.call, got)
}

fn violation(op: u32, fault: Fault, tried: u64) -> Violation {
    match fault {
        Fault::Wrong(difference) => Violation::Wrong {
            op,
            difference,
            tried,
        },
        Fault::Refused(refusal) => Violation::NotRefused { op, refusal, tried },
    }
}
