//! The witness path: whoever ran the store saw in which order the operations
//! took effect. That is only a claim; it decides nothing unless it explains
//! every answer.

use super::kernel;
use super::keys::Keys;
use super::timeline::Timeline;
use crate::linearizable::Applied;

/// Whether a timeline whose order was checked is explained, with the operations of
/// unknown outcome where `applied` puts them.
pub(crate) fn verify(timeline: &Timeline<'_>, keys: &Keys<'_>, applied: &[Applied]) -> bool {
    kernel::explains(timeline, keys, &fillers(timeline, applied))
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
        if let (true, Some(op)) = (effective, a.op)
            && let Ok(at) = unsure.binary_search_by_key(&op, |(id, _)| *id)
            && !std::mem::replace(&mut used[at], true)
        {
            fillers.push((a.revision, unsure[at].1));
        }
    }
    fillers
}
