//! The kernel that checks verdicts: small, and without any part in finding them.
//!
//! *Fine* is given only with an order that explains every answer, and only after
//! that order was replayed here from an empty store, operation by operation,
//! against the intervals in which they must lie.

use super::agree::agree;
use super::keys::Keys;
use super::model::State;
use super::mvcc::Mvcc;
use super::timeline::{Known, Timeline, is_serializable};
use squall_record::Outcome;

/// Whether a timeline whose order was checked is explained if these operations of
/// unknown outcome took the revisions that no answer claims. `fillers` gives them
/// by revision, each as an index into the history; those beyond the last answer
/// are not looked at.
pub(crate) fn explains(timeline: &Timeline<'_>, keys: &Keys<'_>, fillers: &[(i64, u32)]) -> bool {
    let mut used: Vec<u32> = fillers.iter().map(|(_, op)| *op).collect();
    used.sort_unstable();
    if used.windows(2).any(|pair| pair[0] == pair[1]) {
        return false;
    }
    let mut fillers = fillers.iter();
    let mut state = Mvcc::new(keys);
    // No answer at or above the revision may precede the filler's invocation.
    let mut deadlines = vec![u64::MAX; timeline.known.len() + 1];
    for (i, k) in timeline.known.iter().enumerate().rev() {
        deadlines[i] = deadlines[i + 1].min(k.ret);
    }
    for (i, k) in timeline.known.iter().enumerate() {
        while state.revision() < k.revision - i64::from(k.wrote) {
            let Some((revision, op)) = fillers.next() else {
                return false;
            };
            let index = *op;
            let op = &timeline.ops[index as usize];
            if *revision != state.revision() + 1
                || op.invoke > deadlines[i]
                || !matches!(op.outcome, Outcome::Unknown(_))
                || state.apply(index, &op.call) != Ok(true)
            {
                return false;
            }
        }
        if !fits(&mut state, timeline, k) {
            return false;
        }
    }
    true
}

fn fits<'a>(state: &mut Mvcc<'_, 'a>, timeline: &Timeline<'a>, k: &Known) -> bool {
    let op = &timeline.ops[k.op as usize];
    matches!(&op.outcome, Outcome::Ok(got) if state.judge(k.op, &op.call, got).is_ok())
}

/// Whether a whole order, given as indices into the history, explains every
/// answer. It is replayed on the specification itself.
pub(crate) fn is_explained_by(timeline: &Timeline<'_>, order: &[u32]) -> bool {
    let mut placed: Vec<u32> = order.to_vec();
    placed.sort_unstable();
    let all_answers = || {
        let mut known = timeline.known.iter();
        known.all(|k| placed.binary_search(&k.op).is_ok())
    };
    if placed.windows(2).any(|pair| pair[0] == pair[1]) || !all_answers() {
        return false;
    }
    let mut state = State::default();
    let mut latest = 0;
    for index in order {
        let op = &timeline.ops[*index as usize];
        if !is_serializable(&op.call) {
            latest = latest.max(op.invoke);
        }
        let Ok(expected) = state.answer(&op.call) else {
            return false;
        };
        if let Outcome::Ok(got) = &op.outcome
            && (op.ret.unwrap_or(u64::MAX) < latest || agree(&op.call, &expected, got).is_err())
        {
            return false;
        }
    }
    true
}
