//! The witness path: whoever ran the store saw in which order the operations
//! took effect. That is only a claim; it decides nothing unless it explains
//! every answer.

use super::anchored::judge;
use super::keys::Keys;
use super::mvcc::Mvcc;
use super::timeline::Timeline;
use crate::linearizable::Applied;

/// Replays a timeline whose order was checked, with the operations of unknown
/// outcome where `applied` puts them. Gives them by revision if everything fits.
pub(crate) fn verify(
    timeline: &Timeline<'_>,
    keys: &Keys<'_>,
    applied: &[Applied],
) -> Option<Vec<(i64, u32)>> {
    let mut fillers = fillers(timeline, applied).into_iter().peekable();
    let mut filled = Vec::new();
    let mut state = Mvcc::new(keys);
    // No answer at or above the revision may precede the filler's invocation.
    let mut deadlines = vec![u64::MAX; timeline.known.len() + 1];
    for (i, k) in timeline.known.iter().enumerate().rev() {
        deadlines[i] = deadlines[i + 1].min(k.ret);
    }
    for (i, k) in timeline.known.iter().enumerate() {
        while state.revision() < k.revision - i64::from(k.wrote) {
            let (revision, op) = fillers.next()?;
            let op_ref = &timeline.ops[op as usize];
            if revision != state.revision() + 1 || op_ref.invoke > deadlines[i] {
                return None;
            }
            if state.apply(&op_ref.call) != Ok(true) {
                return None;
            }
            filled.push((revision, op));
        }
        judge(&mut state, timeline.ops, k).ok()?;
    }
    Some(filled)
}

/// The operations of unknown outcome that took a revision of their own, by
/// revision, each once.
fn fillers(timeline: &Timeline<'_>, applied: &[Applied]) -> Vec<(i64, u32)> {
    let mut unsure: Vec<(u64, u32)> = timeline
        .unsure
        .iter()
        .map(|u| (timeline.ops[u.op as usize].id, u.op))
        .collect();
    unsure.sort_unstable();
    let mut used = vec![false; unsure.len()];
    let mut before = super::model::FIRST_REVISION;
    let mut fillers = Vec::new();
    for a in applied {
        let effective = a.revision > before;
        before = before.max(a.revision);
        if let (true, Ok(at)) = (effective, unsure.binary_search_by_key(&a.op, |(id, _)| *id))
            && !std::mem::replace(&mut used[at], true)
        {
            fillers.push((a.revision, unsure[at].1));
        }
    }
    fillers
}
