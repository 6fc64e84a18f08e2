//! Compaction: forgetting what no read at the compact revision or later can see.
//!
//! That history ends at a revision is decided in one step, when the entry that
//! says so is applied: from then on every replica refuses to read below it.
//! What becomes invisible by that is removed afterwards, in batches, each with
//! the commit of the backend that makes it durable. A crash in between costs
//! nothing but the work: opening walks the index again. How far a replica has
//! come shows in none of its answers, digests and snapshots.

use crate::index::Index;
use crate::revision::RevisionKey;
use bytes::Bytes;
use std::collections::BTreeSet;

/// Keys of the index that one batch looks at, at most.
const BATCH_KEYS: usize = 10_000;
/// Changes that one batch removes, at most; etcd's batch.
pub(crate) const BATCH_REMOVALS: usize = 1_000;

/// What is still to be removed.
#[derive(Debug, Default)]
pub(crate) struct Compaction {
    /// Where the walk through the index goes on; none if it is done.
    next: Option<Bytes>,
    /// Out of the index, and still in the backend. In order, so that a key's
    /// deletion never goes before what it deleted: a restart in between would
    /// bring that back.
    doomed: BTreeSet<RevisionKey>,
}

impl Compaction {
    /// Begins to walk, again if it had begun: the revision has risen.
    pub(crate) fn start(&mut self) {
        self.next = Some(Bytes::new());
    }

    /// Whether there is nothing left to do.
    pub(crate) fn is_done(&self) -> bool {
        self.next.is_none() && self.doomed.is_empty()
    }

    /// Looks at some more keys, until there is enough for a batch.
    pub(crate) fn walk(&mut self, index: &mut Index, at: i64) {
        if self.doomed.len() >= BATCH_REMOVALS {
            return;
        }
        if let Some(from) = self.next.take() {
            let most = BATCH_REMOVALS - self.doomed.len();
            self.next = index.compact(&from, at, BATCH_KEYS, most, |gone| {
                self.doomed.insert(gone);
            });
        }
    }

    /// Looks at all the rest.
    pub(crate) fn walk_to_end(&mut self, index: &mut Index, at: i64) {
        if let Some(from) = self.next.take() {
            index.compact(&from, at, usize::MAX, usize::MAX, |gone| {
                self.doomed.insert(gone);
            });
        }
    }

    /// Whether this change was found to be invisible.
    pub(crate) fn dooms(&self, change: &RevisionKey) -> bool {
        self.doomed.contains(change)
    }

    /// The next batch, in order.
    pub(crate) fn batch(&self) -> impl Iterator<Item = &RevisionKey> {
        self.doomed.iter().take(BATCH_REMOVALS)
    }

    /// The batch is removed, durably.
    pub(crate) fn removed(&mut self) {
        match self.doomed.iter().nth(BATCH_REMOVALS).copied() {
            Some(first) => self.doomed = self.doomed.split_off(&first),
            None => self.doomed.clear(),
        }
    }
}
