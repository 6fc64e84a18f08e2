//! The one committed log of the cluster, as its members revealed it.

use squall_api::EntryId;
use std::collections::BTreeMap;

/// Who revealed something, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) node: u64,
    pub(super) t: u64,
}

/// How far the log was committed, and by whose word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) index: u64,
    pub(super) source: Source,
}

/// The committed log. An index, once known, never changes.
#[derive(Debug, Default)]
pub(super) struct Canonical {
    entries: BTreeMap<u64, EntryId>,
    /// Sources of runs of entries, by the run's first index: only needed to
    /// tell a violation, so they are kept once per advance, not once per entry.
    sources: BTreeMap<u64, Source>,
    /// The highest commit index seen in a view of each term. What was committed
    /// in a term shows up in views of that term or a later one, so a leader of
    /// term T surely owes everything below the marks of terms before T. (Not
    /// everything committed before it took office: a late vote may make a
    /// leader of term 4 while term 5 already commits.)
    by_term: BTreeMap<u64, Mark>,
}

impl Canonical {
    /// `entry` is committed at `index`; the contradicting entry if another is.
    pub(super) fn learn(
        &mut self,
        source: Source,
        index: u64,
        entry: EntryId,
    ) -> Result<(), (EntryId, Source)> {
        let mut added = false;
        let known = *self.entries.entry(index).or_insert_with(|| {
            added = true;
            entry
        });
        if added {
            self.note_source(source, index);
        }
        if known == entry {
            Ok(())
        } else {
            Err((known, self.source(index)))
        }
    }

    /// A view of `term` showed that everything up to `index` is committed.
    pub(super) fn reached(&mut self, source: Source, term: u64, index: u64) {
        let mark = self.by_term.entry(term).or_insert(Mark { index, source });
        if mark.index < index {
            *mark = Mark { index, source };
        }
    }

    /// The highest index known to be committed in a term before `term`.
    pub(super) fn owed_by_leader_of(&self, term: u64) -> Option<(u64, Mark)> {
        self.by_term
            .range(..term)
            .map(|(term, mark)| (*term, *mark))
            .max_by_key(|(_, mark)| mark.index)
    }

    /// The committed entries from `from` to `to`, with their indexes.
    pub(super) fn range(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, EntryId)> + '_ {
        let end = (to + 1).max(from);
        self.entries.range(from..end).map(|(i, e)| (*i, *e))
    }

    /// Who revealed the entry at `index` first.
    pub(super) fn source(&self, index: u64) -> Source {
        *self
            .sources
            .range(..=index)
            .next_back()
            .expect("every known entry has a source")
            .1
    }

    fn note_source(&mut self, source: Source, index: u64) {
        let run = self.sources.range(..=index).next_back().map(|(_, s)| *s);
        if run == Some(source) {
            return;
        }
        // Learned into a gap: the entry behind it keeps its own source.
        if let Some(run) = run
            && self.entries.contains_key(&(index + 1))
        {
            self.sources.entry(index + 1).or_insert(run);
        }
        self.sources.insert(index, source);
    }

    /// The highest index known to be committed.
    pub(super) fn end(&self) -> u64 {
        self.entries.last_key_value().map_or(0, |(index, _)| *index)
    }
}
