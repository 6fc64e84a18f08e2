//! One file: what a process sees, and how to go back to what is durable.

use super::change::{Change, ChangeKind, Replaced};
use super::damage::Damage;
use super::loss::SECTOR;
use super::pages::{PAGE, Pages};
use crate::rng::{Keyed, Streams};
use std::collections::{BTreeSet, VecDeque};

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
    /// The directory it was created in.
    pub(super) home: &'static str,
    /// Calls so far: they number the draws of faults.
    pub(super) calls: Calls,
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
    pub(super) durable: u64,
    /// What pending writes replaced.
    replaced: Replaced,
    /// Blocking syncs whose end may be yet to come.
    syncs: VecDeque<Sync>,
    /// What the disk does not hold as it was written.
    pub(super) damage: Damage,
    /// How many of its changes a sync falsely called durable.
    lied: u64,
}

/// How often each was called on a file.
#[derive(Clone, Copy, Default)]
pub(super) struct Calls {
    pub(super) writes: u64,
    pub(super) syncs: u64,
    pub(super) reads: u64,
}

/// A sync under way.
#[derive(Clone, Copy)]
pub(super) struct Sync {
    /// When it ends.
    pub(super) end: u64,
    /// How many changes had been made when it began.
    pub(super) upto: u64,
    pub(super) fate: SyncFate,
}

/// What a sync does when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SyncFate {
    /// It makes durable what it covers.
    Honest,
    /// It says so, and does not.
    Lie,
    /// It fails, and drops what it covers.
    Fail,
}

impl Inode {
    /// An empty file.
    pub(super) fn new(key: u64, home: &'static str, streams: &Streams) -> Inode {
        Inode {
            key,
            home,
            calls: Calls::default(),
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
            damage: Damage::default(),
            lied: 0,
        }
    }

    /// Writes, done at `stamp`; `data` is not empty.
    pub(super) fn write(&mut self, stamp: u64, offset: u64, data: &[u8]) {
        let (len, old_len) = (data.len() as u64, self.len);
        if !self.damage.is_empty() {
            self.damage
                .replaced(self.changes(), &(offset..offset + len));
        }
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
        if !self.damage.is_empty() && len < self.len {
            self.damage.replaced(self.changes(), &(len..u64::MAX));
        }
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
    pub(super) fn sync_ending(&mut self, end: u64, fate: SyncFate) {
        let upto = self.changes();
        self.syncs.push_back(Sync { end, upto, fate });
    }

    /// A sync has ended.
    pub(super) fn ended(&mut self, sync: Sync) {
        match sync.fate {
            SyncFate::Honest => self.make_durable(sync.upto),
            SyncFate::Lie => self.lied = self.lied.max(sync.upto),
            SyncFate::Fail => self.drop_dirty(sync.upto),
        }
    }

    /// Whether a sync said that something is durable that is not.
    pub(super) fn is_belied(&self) -> bool {
        self.lied > self.durable && !self.pending.is_empty()
    }

    /// Takes over the blocking syncs that have ended by `t`.
    pub(super) fn settle(&mut self, t: u64) {
        while let Some(sync) = self.syncs.pop_front_if(|sync| sync.end <= t) {
            self.ended(sync);
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
        if !self.damage.is_empty() {
            self.damage.durable(upto);
        }
    }

    /// The sectors of which the disk may have a copy, by number.
    pub(super) fn sectors(&self) -> impl Iterator<Item = u64> + '_ {
        let pages = self.pages.present();
        let sectors = pages.flat_map(|page| (0..PAGE / SECTOR).map(move |i| page * 8 + i));
        sectors.filter(|sector| sector * SECTOR < self.len)
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
        if !self.damage.is_empty() {
            self.damage.undone(self.changes());
        }
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
        self.lied = 0;
        self.damage
            .forget(&(len.div_ceil(SECTOR) * SECTOR..u64::MAX));
        self.damage.power_lost();
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
