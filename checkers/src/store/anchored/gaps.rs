//! Revisions that no answer claims.

use crate::store::model::FIRST_REVISION;
use crate::store::timeline::{Timeline, Unsure};
use crate::store::violation::Violation;

/// A revision that no answer claims.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gap {
    pub(super) revision: i64,
    /// Whoever took it was sent no later.
    pub(super) deadline: u64,
}

/// All of them, in order.
pub(super) struct Gaps {
    pub(super) list: Vec<Gap>,
}

impl Gaps {
    /// Fails if fewer operations of unknown outcome were sent in time than
    /// there are revisions to account for.
    pub(super) fn new(timeline: &Timeline<'_>) -> Result<Gaps, Violation> {
        let known = &timeline.known;
        let mut deadlines = vec![u64::MAX; known.len() + 1];
        for (i, k) in known.iter().enumerate().rev() {
            deadlines[i] = deadlines[i + 1].min(k.ret);
        }
        let mut list: Vec<Gap> = Vec::new();
        let mut taken = FIRST_REVISION;
        for (i, k) in known.iter().enumerate() {
            let below = k.revision - i64::from(k.wrote);
            let free = (below - taken).max(0) as u64;
            let in_time = |u: &Unsure| u.invoke <= deadlines[i];
            if free > 0 {
                let candidates = timeline.unsure.partition_point(in_time) as u64;
                let needed = list.len() as u64 + free;
                if candidates < needed {
                    return Err(Violation::Skipped {
                        revision: taken + 1 + (candidates.saturating_sub(list.len() as u64)) as i64,
                        shown_by: k.op,
                        candidates,
                        needed,
                    });
                }
                list.extend((taken + 1..=below).map(|revision| Gap {
                    revision,
                    deadline: deadlines[i],
                }));
            }
            taken = taken.max(k.revision);
        }
        Ok(Gaps { list })
    }
}
