//! The log, as far as it is in memory: all that is after the base.

use crate::LogBase;
use raft_proto::eraftpb::Entry;
use std::collections::VecDeque;

/// Bytes that an entry takes in a message besides its data and context.
const ENTRY_OVERHEAD: u64 = 32;

/// The bytes that an entry takes in a message, nearly.
pub(crate) fn bytes(entry: &Entry) -> u64 {
    (entry.data.len() + entry.context.len()) as u64 + ENTRY_OVERHEAD
}

/// The entries after `base`.
///
/// Invariants: entry `i` stands at position `i - base.index - 1`; terms never
/// decrease; everything from `unsaved_from` on was not yet handed out to be
/// persisted.
#[derive(Debug)]
pub(crate) struct Log {
    base: LogBase,
    entries: VecDeque<Entry>,
    unsaved_from: u64,
    changed_from: Option<u64>,
}

impl Log {
    /// A log as it was restored: all of it saved, and news to whoever looks.
    pub(crate) fn new(base: LogBase, entries: Vec<Entry>) -> Log {
        let mut log = Log {
            base,
            entries: entries.into(),
            unsaved_from: 0,
            changed_from: Some(base.index + 1),
        };
        log.unsaved_from = log.last_index() + 1;
        log
    }

    /// The entry before the first one.
    pub(crate) fn base(&self) -> LogBase {
        self.base
    }

    /// Index of the first entry, whether or not there is one.
    pub(crate) fn first_index(&self) -> u64 {
        self.base.index + 1
    }

    /// Index of the last entry, or of the base if there is none.
    pub(crate) fn last_index(&self) -> u64 {
        self.base.index + self.entries.len() as u64
    }

    /// Term of the last entry, or of the base if there is none.
    pub(crate) fn last_term(&self) -> u64 {
        self.entries.back().map_or(self.base.term, |e| e.term)
    }

    /// The term of the entry at `index`; of the base, too. `None` beyond.
    pub(crate) fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.position(index).map(|at| self.entries[at].term)
    }

    /// Whether the log has an entry of that index and term (log matching then
    /// says that everything before is the same as well).
    pub(crate) fn matches(&self, index: u64, term: u64) -> bool {
        self.term_at(index) == Some(term)
    }

    /// Whether a log that ends so is at least as up to date as this one
    /// (section 5.4.1).
    pub(crate) fn is_up_to_date(&self, last_index: u64, last_term: u64) -> bool {
        (last_term, last_index) >= (self.last_term(), self.last_index())
    }

    /// The entries from `index` on.
    pub(crate) fn entries_from(&self, index: u64) -> impl Iterator<Item = &Entry> {
        let skip = index.saturating_sub(self.first_index());
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        self.entries.range(skip.min(self.entries.len())..)
    }

    /// The entries `from..=to`, both of which must be there.
    pub(crate) fn range(&self, from: u64, to: u64) -> Vec<Entry> {
        assert!(
            from > self.base.index && to <= self.last_index(),
            "entries {from} to {to} of a log from {} to {}",
            self.first_index(),
            self.last_index()
        );
        let count = (to + 1).saturating_sub(from);
        self.entries_from(from)
            .take(count as usize)
            .cloned()
            .collect()
    }

    /// Entries from `from` on, as many as fit `max_bytes`, but at least one if
    /// there is one.
    pub(crate) fn up_to_bytes(&self, from: u64, max_bytes: u64) -> Vec<Entry> {
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            let first = bytes == 0;
            bytes += self::bytes(entry);
            first || bytes <= max_bytes
        };
        // Counted first: a vector that grows would move its entries again and again.
        let count = self.entries_from(from).take_while(fits).count();
        self.entries_from(from).take(count).cloned().collect()
    }

    /// The bytes of the entries `from..=to`, as far as they are there.
    pub(crate) fn bytes(&self, from: u64, to: u64) -> u64 {
        let is_before = |entry: &&Entry| entry.index <= to;
        let entries = self.entries_from(from).take_while(is_before);
        entries.map(bytes).sum()
    }

    /// The last entry at or before `index` whose term is not above `term`.
    ///
    /// Where two logs disagree at `index`, they cannot agree above this point:
    /// a whole term is skipped in one round trip. A base with a higher term
    /// comes back with term 0: what is before it is not known here.
    pub(crate) fn last_not_above(&self, index: u64, term: u64) -> LogBase {
        let not_above = self.entries.partition_point(|e| e.term <= term) as u64;
        let index = index.min(self.base.index + not_above);
        let found = self.term_at(index).unwrap_or(0);
        LogBase {
            index,
            term: if found <= term { found } else { 0 },
        }
    }

    /// Adds an entry of the leader's own.
    pub(crate) fn push(&mut self, entry: Entry) {
        assert_eq!(entry.index, self.last_index() + 1, "gap in the log");
        assert!(entry.term >= self.last_term(), "terms decrease in the log");
        self.changed(entry.index);
        self.entries.push_back(entry);
    }

    /// Replaces everything from the first of `entries` on by them. They must
    /// not leave a gap.
    pub(crate) fn overwrite(&mut self, entries: impl IntoIterator<Item = Entry>) {
        let mut entries = entries.into_iter().peekable();
        let Some(first) = entries.peek() else { return };
        let from = first.index;
        assert!(
            from > self.base.index && from <= self.last_index() + 1,
            "entry {from} put into a log from {} to {}",
            self.first_index(),
            self.last_index()
        );
        self.changed(from);
        self.entries.truncate((from - self.base.index - 1) as usize);
        entries.for_each(|entry| self.push(entry));
    }

    /// A planted bug's: forgets the entries after `index`.
    pub(crate) fn truncate(&mut self, index: u64) {
        let kept = index.saturating_sub(self.base.index) as usize;
        if kept < self.entries.len() {
            self.entries.truncate(kept);
            self.changed(index + 1);
        }
    }

    /// Forgets the entries up to `index`, which must be in the log.
    pub(crate) fn compact(&mut self, index: u64) {
        if index <= self.base.index {
            return;
        }
        let term = self
            .term_at(index)
            .unwrap_or_else(|| panic!("log ends at {}, compacted at {index}", self.last_index()));
        self.entries.drain(..(index - self.base.index) as usize);
        self.base = LogBase { index, term };
    }

    /// Starts anew after `base`.
    pub(crate) fn reset(&mut self, base: LogBase) {
        self.base = base;
        self.entries.clear();
        self.unsaved_from = base.index + 1;
        self.changed_from = Some(self.changed_from.unwrap_or(u64::MAX).min(base.index + 1));
    }

    /// Takes the entries that were not yet handed out to be persisted.
    pub(crate) fn take_unsaved(&mut self) -> Vec<Entry> {
        let unsaved = self.entries_from(self.unsaved_from).cloned().collect();
        self.unsaved_from = self.last_index() + 1;
        unsaved
    }

    /// Takes the lowest index whose entry changed since this was last asked.
    pub(crate) fn take_changed_from(&mut self) -> Option<u64> {
        self.changed_from.take()
    }

    fn changed(&mut self, from: u64) {
        self.unsaved_from = self.unsaved_from.min(from);
        self.changed_from = Some(self.changed_from.map_or(from, |c| c.min(from)));
    }

    fn position(&self, index: u64) -> Option<usize> {
        let at = index.checked_sub(self.base.index + 1)?;
        (at < self.entries.len() as u64).then_some(at as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn entry(index: u64, term: u64) -> Entry {
        Entry {
            index,
            term,
            ..Default::default()
        }
    }

    fn log(base: LogBase, terms: &[u64]) -> Log {
        let index = |i: usize| base.index + 1 + i as u64;
        let entries = terms.iter().enumerate();
        Log::new(base, entries.map(|(i, t)| entry(index(i), *t)).collect())
    }

    #[test]
    fn an_append_is_capped_by_bytes_but_carries_at_least_one_entry() {
        let mut log = log(LogBase::default(), &[]);
        for index in 1..=3 {
            let mut big = entry(index, 1);
            big.data = Bytes::from(vec![0; 100]);
            log.push(big);
        }
        let carried = |from, max| log.up_to_bytes(from, max).len();
        assert_eq!(carried(1, 0), 1);
        assert_eq!(carried(1, 2 * (100 + ENTRY_OVERHEAD)), 2);
        assert_eq!(carried(1, u64::MAX), 3);
        assert_eq!(carried(4, u64::MAX), 0);
    }

    #[test]
    fn what_changed_is_told_once_and_what_is_unsaved_is_handed_out_once() {
        let mut log = log(LogBase { index: 4, term: 1 }, &[1, 1, 2]);
        assert_eq!(log.take_changed_from(), Some(5), "all of it is news");
        assert_eq!(log.take_unsaved(), []);
        log.overwrite([entry(6, 3), entry(7, 3)]);
        log.push(entry(8, 3));
        assert_eq!(log.take_changed_from(), Some(6));
        assert_eq!(log.take_changed_from(), None);
        let unsaved: Vec<u64> = log.take_unsaved().iter().map(|e| e.index).collect();
        assert_eq!(unsaved, [6, 7, 8]);
        assert_eq!(log.take_unsaved(), []);
        log.reset(LogBase { index: 20, term: 3 });
        assert_eq!(log.take_changed_from(), Some(21));
        assert_eq!((log.first_index(), log.last_index()), (21, 20));
        assert_eq!(log.term_at(20), Some(3));
        assert_eq!(log.term_at(19), None);
    }

    fn terms() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(1_u64..5, 0..12).prop_map(|mut terms| {
            terms.sort_unstable();
            terms
        })
    }

    proptest! {
        #[test]
        fn the_log_is_what_was_written_last(
            start in terms(), from in 0_usize..12, more in terms(), compact in 0_u64..12
        ) {
            let mut log = log(LogBase::default(), &start);
            let mut model = start.clone();
            let from = from.min(model.len());
            model.truncate(from);
            let floor = model.last().copied().unwrap_or(0);
            let added: Vec<u64> = more.iter().map(|t| t + floor).collect();
            if !added.is_empty() {
                log.overwrite((from as u64 + 1..).zip(&added).map(|(i, t)| entry(i, *t)));
                model.extend(&added);
            } else {
                model = start;
            }
            let compact = compact.min(model.len() as u64);
            log.compact(compact);
            prop_assert_eq!(log.first_index(), compact + 1);
            prop_assert_eq!(log.last_index(), model.len() as u64);
            for index in 1..=model.len() as u64 {
                let term = (index >= compact).then(|| model[index as usize - 1]);
                prop_assert_eq!(log.term_at(index), term.or(None));
            }
            let indexes: Vec<u64> = log.entries_from(0).map(|e| e.index).collect();
            prop_assert_eq!(indexes, (compact + 1..=model.len() as u64).collect::<Vec<_>>());
        }

        #[test]
        fn the_conflict_hint_is_the_last_entry_not_above_the_term(
            terms in terms(), index in 0_u64..14, term in 0_u64..6
        ) {
            let log = log(LogBase::default(), &terms);
            let hint = log.last_not_above(index, term);
            let model = (0..=index.min(terms.len() as u64))
                .rev()
                .find(|i| log.term_at(*i).unwrap() <= term)
                .unwrap();
            prop_assert_eq!(hint.index, model);
            prop_assert_eq!(Some(hint.term), log.term_at(model));
        }

        #[test]
        fn the_hint_never_points_before_the_base(
            terms in terms(), index in 5_u64..20, term in 0_u64..6
        ) {
            let log = log(LogBase { index: 5, term: 3 }, &terms.iter().map(|t| t + 3).collect::<Vec<_>>());
            let hint = log.last_not_above(index, term);
            prop_assert!(hint.index >= 5 && hint.index <= index);
            prop_assert!(hint.term <= term);
        }
    }
}
