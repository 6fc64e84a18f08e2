//! A member's log, as its views tell it.

use squall_api::{EntryId, LogChange};
use std::collections::VecDeque;

/// The log of one member, rebuilt from its [`LogChange`]s.
#[derive(Debug, Clone)]
pub(crate) struct Shadow {
    /// Index of the first entry that is still in the log.
    first: u64,
    /// The entry before `first`, where it was ever seen.
    base: Option<EntryId>,
    entries: VecDeque<EntryId>,
}

impl Shadow {
    /// A log that starts at `first` with `entries`; what came before is unknown.
    pub(crate) fn new(first: u64, entries: &[EntryId]) -> Shadow {
        Shadow {
            first,
            base: None,
            entries: entries.iter().copied().collect(),
        }
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Index of the last entry; `first - 1` in an empty log.
    pub(crate) fn last(&self) -> u64 {
        self.first + self.entries.len() as u64 - 1
    }

    /// The entry at `index`, also the one just before the first.
    pub(crate) fn get(&self, index: u64) -> Option<EntryId> {
        if index + 1 == self.first {
            return self.base;
        }
        let at = index.checked_sub(self.first)?;
        self.entries.get(at as usize).copied()
    }

    /// The entries from `from` on, with their indexes.
    pub(crate) fn from(&self, from: u64) -> impl Iterator<Item = (u64, EntryId)> + '_ {
        let skip = from.saturating_sub(self.first);
        (self.first + skip..).zip(self.entries.iter().skip(skip as usize).copied())
    }

    /// Whether `change` continues this log, rather than starting another.
    pub(crate) fn takes(&self, change: &LogChange) -> bool {
        change.from >= self.first && change.from <= self.last() + 1
    }

    /// Index of the first entry that `change` rewrites, removes or adds.
    /// The change must be one that this log [takes](Shadow::takes).
    pub(crate) fn first_difference(&self, change: &LogChange) -> u64 {
        let same = self
            .from(change.from)
            .zip(&change.entries)
            .take_while(|((_, old), new)| old == *new)
            .count();
        change.from + same as u64
    }

    /// Everything at and after `change.from` becomes `change.entries`.
    pub(crate) fn apply(&mut self, change: &LogChange) {
        self.entries.truncate((change.from - self.first) as usize);
        self.entries.extend(&change.entries);
    }

    /// Forgets the entries before `first`.
    pub(crate) fn compact(&mut self, first: u64) {
        while self.first < first {
            let Some(entry) = self.entries.pop_front() else {
                break;
            };
            self.base = Some(entry);
            self.first += 1;
        }
    }
}
