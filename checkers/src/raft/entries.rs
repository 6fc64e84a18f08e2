//! Every entry that ever stood in any log: the log matching property.

use squall_api::EntryId;
use std::collections::BTreeMap;

/// Where an entry was first seen, and what stood before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting {
    pub(super) digest: u64,
    /// The term of the entry before it; unknown at the start of a compacted log.
    pub(super) previous_term: Option<u64>,
    pub(super) node: u64,
    pub(super) t: u64,
}

/// How an entry contradicts one that was seen before.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mismatch {
    /// Same index and term, another content.
    Content(Sighting),
    /// Same index and term, another predecessor.
    Predecessor(Sighting),
}

/// All entries by (index, term). An entry with a known predecessor of the same
/// term as elsewhere has, by induction, the same log before it.
#[derive(Debug, Default)]
pub(super) struct Entries(BTreeMap<(u64, u64), Sighting>);

impl Entries {
    /// Remembers that `node` has `entry` at `index`, after one of `previous_term`.
    pub(super) fn see(
        &mut self,
        t: u64,
        node: u64,
        index: u64,
        entry: EntryId,
        previous_term: Option<u64>,
    ) -> Result<(), Mismatch> {
        let known = self.0.entry((index, entry.term)).or_insert(Sighting {
            digest: entry.digest,
            previous_term,
            node,
            t,
        });
        if known.digest != entry.digest {
            return Err(Mismatch::Content(*known));
        }
        match (known.previous_term, previous_term) {
            (Some(a), Some(b)) if a != b => Err(Mismatch::Predecessor(*known)),
            (None, Some(_)) => {
                known.previous_term = previous_term;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
