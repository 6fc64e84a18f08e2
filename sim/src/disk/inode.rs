//! One file: what a process sees, and how to go back to what is durable.

use super::pages::{PAGE, Page, Pages};
use crate::rng::{Keyed, Streams};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// One file, with or without a name.
///
/// The pages hold what a process reads. What is durable is reached from there
/// by undoing the pending changes, last one first: a sync that covers changes
/// just forgets how to undo them.
///
/// Invariants: stamps of pending changes never fall; every byte at or beyond
/// `len` is zero; every byte at or beyond `high` is zero.
#[derive(Clone)]
pub(super) struct Inode {
    /// Names the file's streams of draws, and the file in the operation hash.
    pub(super) key: u64,
    /// Handles of the living process.
    pub(super) handles: u32,
    /// Pages that only the disk has: the next read of one costs time.
    cold: BTreeSet<u64>,
    /// When the last asynchronous sync ends: the next one not before it.
    pub(super) last_due: u64,
    pub(super) write_draws: Keyed,
    pub(super) sync_draws: Keyed,
    pub(super) read_draws: Keyed,
    pub(super) len: u64,
    high: u64,
    pub(super) pages: Pages,
    pub(super) pending: VecDeque<Change>,
    /// The number of the first pending change: how many were made durable.
    durable: u64,
    /// What pending writes replaced.
    replaced: Replaced,
    /// Blocking syncs whose end may be yet to come: (end, changes they cover).
    syncs: VecDeque<(u64, u64)>,
}

/// A change that is not durable yet, and what it takes to undo it.
#[derive(Clone)]
pub(super) struct Change {
    /// True time at which it was done.
    pub(super) stamp: u64,
    /// The file's length before it.
    pub(super) old_len: u64,
    pub(super) kind: ChangeKind,
}

#[derive(Clone)]
pub(super) enum ChangeKind {
    Write {
        offset: u64,
        len: u64,
        /// Where [`Replaced`] has the bytes that it replaced...
        replaced: u64,
        /// ... and how many: those after them were zero.
        replaced_len: u64,
    },
    SetLen {
        len: u64,
        /// The pages that it changed, as they were.
        pages: Vec<(usize, Arc<Page>)>,
    },
}

/// A queue of bytes, addressed by how many were ever put in before.
#[derive(Clone, Default)]
struct Replaced {
    bytes: Vec<u8>,
    start: u64,
}

impl Inode {
    /// An empty file.
    pub(super) fn new(key: u64, streams: &Streams) -> Inode {
        Inode {
            key,
            handles: 0,
            cold: BTreeSet::new(),
            last_due: 0,
            write_draws: streams.keyed("disk/write", key),
            sync_draws: streams.keyed("disk/fsync", key),
            read_draws: streams.keyed("disk/read", key),
            len: 0,
            high: 0,
            pages: Pages::default(),
            pending: VecDeque::new(),
            durable: 0,
            replaced: Replaced::default(),
            syncs: VecDeque::new(),
        }
    }

    /// Writes, done at `stamp`; `data` is not empty.
    pub(super) fn write(&mut self, stamp: u64, offset: u64, data: &[u8]) {
        let (len, old_len) = (data.len() as u64, self.len);
        let replaced = self.replaced.end();
        let replaced_len = self.high.saturating_sub(offset).min(len);
        self.pages
            .append_to(&mut self.replaced.bytes, offset, replaced_len);
        self.push(Change {
            stamp,
            old_len,
            kind: ChangeKind::Write {
                offset,
                len,
                replaced,
                replaced_len,
            },
        });
        self.pages.write(offset, data);
        self.len = old_len.max(offset + len);
        self.high = self.high.max(offset + len);
    }

    /// Brings pages into the page cache. Returns whether one was not there.
    pub(super) fn warm_up(&mut self, offset: u64, len: u64) -> bool {
        if self.cold.is_empty() || len == 0 {
            return false;
        }
        let pages = offset / PAGE..=(offset + len - 1) / PAGE;
        pages.fold(false, |cold, page| self.cold.remove(&page) | cold)
    }

    /// Truncates or extends, done at `stamp`.
    pub(super) fn set_len(&mut self, stamp: u64, len: u64) {
        let pages = if len < self.high {
            self.pages.truncate(len)
        } else {
            Vec::new()
        };
        self.push(Change {
            stamp,
            old_len: self.len,
            kind: ChangeKind::SetLen { len, pages },
        });
        self.len = len;
        self.high = self.high.min(len);
    }

    /// How many changes were ever made: a sync that begins now covers them.
    pub(super) fn changes(&self) -> u64 {
        self.durable + self.pending.len() as u64
    }

    /// A blocking sync of everything up to now, which ends at `end`.
    pub(super) fn sync_ending(&mut self, end: u64) {
        self.syncs.push_back((end, self.changes()));
    }

    /// Takes over the blocking syncs that have ended by `t`.
    pub(super) fn settle(&mut self, t: u64) {
        while let Some((_, upto)) = self.syncs.pop_front_if(|(end, _)| *end <= t) {
            self.make_durable(upto);
        }
    }

    /// The first `upto` changes are durable.
    pub(super) fn make_durable(&mut self, upto: u64) {
        assert!(
            upto <= self.changes(),
            "a sync covers {upto} changes of a file that had {}",
            self.changes()
        );
        let n = upto.saturating_sub(self.durable) as usize;
        self.pending.drain(..n);
        self.durable += n as u64;
        let needed = self.pending.iter().find_map(|change| match change.kind {
            ChangeKind::Write { replaced, .. } => Some(replaced),
            ChangeKind::SetLen { .. } => None,
        });
        let needed = needed.unwrap_or_else(|| self.replaced.end());
        self.replaced.forget(needed);
    }

    /// Undoes what was done after `at`, and forgets the syncs that had not
    /// ended by then.
    pub(super) fn cut(&mut self, at: u64) {
        self.settle(at);
        self.syncs.clear();
        self.last_due = 0;
        while self.pending.back().is_some_and(|change| change.stamp > at) {
            self.undo();
        }
    }

    /// Undoes the last pending change.
    pub(super) fn undo(&mut self) {
        let change = self.pending.pop_back().expect("a pending change to undo");
        match change.kind {
            ChangeKind::Write {
                offset,
                len,
                replaced,
                replaced_len,
            } => {
                self.pages.write(offset, self.replaced.from(replaced));
                self.pages.zero(offset + replaced_len, len - replaced_len);
                self.replaced.cut(replaced);
            }
            ChangeKind::SetLen { pages, .. } => {
                self.pages.restore(pages);
                self.high = change.old_len;
            }
        }
        self.len = change.old_len;
    }

    /// Power was lost, and the file now is what the disk has of it: nothing is
    /// pending, and nothing is cached.
    pub(super) fn settle_on(&mut self, len: u64) {
        assert!(
            self.pending.is_empty(),
            "pending changes survived a power loss"
        );
        self.pages.truncate(len);
        self.len = len;
        self.high = len;
        self.replaced = Replaced::default();
        self.cold = self.pages.present().collect();
    }

    fn push(&mut self, change: Change) {
        let last = self.pending.back().map_or(0, |change| change.stamp);
        assert!(
            last <= change.stamp,
            "a file was changed at {} by one lane and at {last} by another: files are not shared",
            change.stamp
        );
        self.pending.push_back(change);
    }
}

impl Replaced {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn from(&self, at: u64) -> &[u8] {
        &self.bytes[(at - self.start) as usize..]
    }

    fn cut(&mut self, at: u64) {
        self.bytes.truncate((at - self.start) as usize);
    }

    /// Drops what was put in before `at`, once that is worth moving the rest.
    fn forget(&mut self, at: u64) {
        let dead = (at - self.start) as usize;
        if dead >= self.bytes.len() / 2 {
            self.bytes.drain(..dead);
            self.start = at;
        }
    }
}
