//! The near-linear path: replay the history in the order that its revisions
//! force, and search only for who took the revisions that no answer claims.
//!
//! # Why it is sound
//!
//! What is judged is whether *some* order of the operations, each within its
//! interval, makes the specification ([`model`](super::model)) give every answer
//! that was given. In the specification the revision begins at 1 and rises by
//! exactly one with each effective write, and every answer carries the revision at
//! its point in the order: after its own write, if it made one. Nothing is assumed
//! about the store that was tested; a store that counts otherwise is one that the
//! specification does not explain, which is the verdict. From this follows, for
//! any order that explains the history:
//!
//! 1. *Answers stand in the order of their revisions*, a write before the reads of
//!    its revision. Reads of one revision see one state and may stand in any order
//!    that their intervals allow. Two writes of one revision: no order. An answer
//!    that came before the call of an operation that must stand before it: no
//!    order. `Timeline::check_order` decides this in one pass. Intervals are closed,
//!    so what touches is concurrent. A serializable read may see any state that
//!    existed before it was answered, so it has no earliest point.
//! 2. *Every revision up to the last that was answered was taken by exactly one
//!    write.* One that no answer claims is a gap. It was taken by an operation of
//!    unknown outcome (a refused one has no effect) that was sent no later than the
//!    first answer at or above that revision came. If fewer were sent in time than
//!    there are gaps, there is no order (`gaps`).
//! 3. *Nothing else is open.* An operation of unknown outcome that takes no gap
//!    either had no effect, or took effect after the last answer; neither shows.
//!    So an order is given by who fills each gap, and whether it explains the
//!    history is seen by replaying it.
//! 4. *Evidence before search.* An answer that shows a key with a `mod_revision`
//!    or `create_revision` at a gap says that whoever filled it put that key, with
//!    that value: only such operations are tried, and one that is alone in this
//!    fills no other gap. A key that is shown with a version pins how often it was
//!    put since it was created. A filler that contradicts what is shown next of a
//!    key that it writes is passed over without trying (`Facts::fits`,
//!    `Facts::grows`): the answer would be wrong whatever came between, since
//!    between a key's creation and its last write nothing deletes it and every put
//!    raises its version.
//! 5. *Jumping back skips nothing.* An answer depends on the state of the keys
//!    that its call names and on nothing else. If it is wrong, it stays wrong as
//!    long as the writes to those keys stay the same, since the last answer that
//!    shows the whole key. A gap whose filler wrote none of them can only be part
//!    of the reason if another filler could write one of them; then only those are
//!    tried. A filler that was passed over because of the state adds what it reads
//!    to the reason; one that was in use adds the gap that holds it (`blame`). So a
//!    choice that is skipped on the way back could not have helped, and when none
//!    is left no order exists.
//! 6. *The plan decides nothing.* Fillers are tried in the order of a plan
//!    (`plan`): what answers show of keys is a set of needs, each for so many
//!    writes of one key within a window of revisions, and the plan is a matching
//!    of operations and gaps that meets them. Where the replay proves it wrong, a
//!    need or a ban is added to it and the part that hangs on it is matched anew,
//!    wherever it lies; all else stays. After a bounded number of these, or where
//!    the matching has no answer, every filler is tried.
//!
//! A verdict of *fine* comes with its order, and is replayed from an empty store
//! by [`kernel`](super::kernel) before it is given.
//!
//! # When a store lies about revisions
//!
//! Then point 1 or 2 fails, or an answer is wrong at the place that its revision
//! gives it, and the verdict is *broken*: linearizability of this store includes
//! its revisions. It is not this path alone that says so: the complete search
//! takes nothing about revisions for granted but what the specification answers,
//! agrees on every random history of the tests, and confirms the smallest part
//! that fails ([`core`](super::core)). If the share of the budget for this path is
//! spent, the complete search decides instead.
//!
//! # What it costs
//!
//! Three passes over the answers (evidence, search, replay), with sorting by
//! counting, as long as the plan works out; each mend repeats the part between the
//! gap that is filled otherwise and the answer that was wrong.

mod blame;
mod candidates;
mod demands;
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
        writers: candidates.first.clone(),
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
    state.judge(k.op, &op.call, got)
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
