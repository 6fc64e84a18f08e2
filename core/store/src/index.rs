//! The key index: in memory, which revisions every key has. The backend knows
//! revisions only; it is asked for a key's value once the index has said which.

use crate::revision::{Revision, RevisionKey};
use bytes::Bytes;
use squall_api::{Bug, Bugs};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Which keys a call is about, by etcd's rules for `key` and `range_end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span<'a> {
    /// The key itself.
    One(&'a [u8]),
    /// All keys from this one on.
    From(&'a [u8]),
    /// From the first, included, to the second, excluded.
    Between(&'a [u8], &'a [u8]),
}

impl<'a> Span<'a> {
    /// No end is one key, a zero byte is the end of the key space.
    pub(crate) fn new(key: &'a [u8], range_end: &'a [u8]) -> Span<'a> {
        match range_end {
            [] => Span::One(key),
            [0] => Span::From(key),
            end => Span::Between(key, end),
        }
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        match *self {
            Span::One(only) => key == only,
            Span::From(first) => key >= first,
            Span::Between(first, end) => key >= first && key < end,
        }
    }

    fn bounds(&self) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
        match *self {
            Span::One(only) => (Bound::Included(only), Bound::Included(only)),
            Span::From(first) => (Bound::Included(first), Bound::Unbounded),
            // An end before the start is an empty range, not a panic.
            Span::Between(first, end) => (Bound::Included(first.min(end)), Bound::Excluded(end)),
        }
    }
}

/// The revision of a key that is visible at some point of history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Visible {
    pub(crate) modified: Revision,
    pub(crate) create_revision: i64,
    pub(crate) version: i64,
}

/// All keys that were ever written and not compacted away.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    keys: BTreeMap<Bytes, History>,
    /// A planted bug: compaction leaves what happened to a key before it was
    /// deleted, and the deletion.
    keeps_ended: bool,
}

impl Index {
    /// No key yet, in a member with these bugs.
    pub(crate) fn new(bugs: Bugs) -> Index {
        Index {
            keeps_ended: bugs.has(Bug::KeepEndedLives),
            ..Index::default()
        }
    }

    /// Notes a put, and says with which create revision and version.
    pub(crate) fn put(&mut self, key: &[u8], revision: Revision) -> Visible {
        let history = match self.keys.get_mut(key) {
            Some(history) => history,
            // Copied: a slice would keep the whole log entry in memory.
            None => self.keys.entry(Bytes::copy_from_slice(key)).or_default(),
        };
        history.put(revision, revision.main, 1)
    }

    /// How many changes of `key` are known, in all its lives.
    pub(crate) fn versions(&self, key: &[u8]) -> i64 {
        let lives = self.keys.get(key).map(|history| &history.generations);
        let count =
            |lives: &Vec<Generation>| lives.iter().map(|g| g.revisions.len()).sum::<usize>();
        lives.map_or(0, count) as i64
    }

    /// Notes the deletion of a key that is visible now.
    pub(crate) fn delete(&mut self, key: &[u8], revision: Revision) {
        let history = self.keys.get_mut(key);
        history
            .unwrap_or_else(|| panic!("{key:?} was never written, and deleted at {revision:?}"))
            .delete(revision);
    }

    /// Notes a put read back from the backend.
    pub(crate) fn restore_put(
        &mut self,
        key: &[u8],
        revision: Revision,
        create_revision: i64,
        version: i64,
    ) {
        self.keys
            .entry(Bytes::copy_from_slice(key))
            .or_default()
            .put(revision, create_revision, version);
    }

    /// Notes a deletion read back from the backend; what it deleted may have
    /// been compacted away.
    pub(crate) fn restore_delete(&mut self, key: &[u8], revision: Revision) {
        self.keys
            .entry(Bytes::copy_from_slice(key))
            .or_default()
            .delete(revision);
    }

    /// Forgets what cannot be seen at main revision `at` or later, of the keys
    /// from `from` on: of at most `keys` of them, and until `most` changes are
    /// `gone`. Returns the key to go on with.
    pub(crate) fn compact(
        &mut self,
        from: &Bytes,
        at: i64,
        keys: usize,
        most: usize,
        mut gone: impl FnMut(RevisionKey),
    ) -> Option<Bytes> {
        let (mut looked_at, mut forgotten) = (0, 0);
        let (mut empty, mut next) = (Vec::new(), None);
        for (key, history) in self.keys.range_mut::<Bytes, _>(from..) {
            if looked_at >= keys || forgotten >= most {
                next = Some(key.clone());
                break;
            }
            looked_at += 1;
            history.compact(at, self.keeps_ended, |revision| {
                forgotten += 1;
                gone(revision);
            });
            if history.generations.is_empty() {
                empty.push(key.clone());
            }
        }
        for key in empty {
            self.keys.remove(&key);
        }
        next
    }

    /// The keys of `span` that are visible at main revision `at`, in order.
    pub(crate) fn visible<'a>(
        &'a self,
        span: Span<'a>,
        at: i64,
    ) -> impl Iterator<Item = (&'a Bytes, Visible)> {
        self.keys
            .range::<[u8], _>(span.bounds())
            .filter_map(move |(key, history)| Some((key, history.visible(at)?)))
    }
}

/// A key's lives, oldest first; only the last one may go on.
#[derive(Debug, Default, PartialEq, Eq)]
struct History {
    generations: Vec<Generation>,
}

/// One life of a key, from its creation to its deletion.
#[derive(Debug, PartialEq, Eq)]
struct Generation {
    create_revision: i64,
    /// The version that the first of `revisions` wrote: above 1 if earlier
    /// ones were compacted away.
    first_version: i64,
    /// Invariant: ascending, never empty.
    revisions: Vec<Revision>,
    /// Whether the last of `revisions` is a deletion.
    ended: bool,
}

impl History {
    fn put(&mut self, revision: Revision, create_revision: i64, version: i64) -> Visible {
        self.assert_newer(revision);
        match self.generations.last_mut() {
            Some(generation) if !generation.ended => {
                generation.revisions.push(revision);
                generation.at(generation.revisions.len() - 1)
            }
            _ => {
                let generation = Generation {
                    create_revision,
                    first_version: version,
                    revisions: vec![revision],
                    ended: false,
                };
                let visible = generation.at(0);
                self.generations.push(generation);
                visible
            }
        }
    }

    fn delete(&mut self, revision: Revision) {
        self.assert_newer(revision);
        match self.generations.last_mut() {
            Some(generation) if !generation.ended => {
                generation.revisions.push(revision);
                generation.ended = true;
            }
            _ => self.generations.push(Generation {
                create_revision: 0,
                first_version: 0,
                revisions: vec![revision],
                ended: true,
            }),
        }
    }

    /// What a read at `at` sees stays, and so does all that happened at `at`
    /// itself, deletions too: a watch may begin there.
    fn compact(&mut self, at: i64, keeps_ended: bool, mut gone: impl FnMut(RevisionKey)) {
        let last = self.visible(at).map(|visible| visible.modified);
        self.generations.retain_mut(|generation| {
            if generation.ended && keeps_ended {
                return true;
            }
            let revisions = &mut generation.revisions;
            let first_kept = revisions.partition_point(|r| r.main < at && Some(*r) != last);
            let count = revisions.len();
            for (position, revision) in revisions.drain(..first_kept).enumerate() {
                let is_deletion = generation.ended && position + 1 == count;
                gone(RevisionKey::new(revision, is_deletion));
            }
            generation.first_version += first_kept as i64;
            !generation.revisions.is_empty()
        });
    }

    fn assert_newer(&self, revision: Revision) {
        let last = self.generations.last().and_then(|g| g.revisions.last());
        assert!(
            last.is_none_or(|last| *last < revision),
            "revision {revision:?} comes after {last:?} of the same key"
        );
    }

    fn visible(&self, at: i64) -> Option<Visible> {
        let generation = self
            .generations
            .iter()
            .rev()
            .find(|g| g.revisions[0].main <= at)?;
        let last = generation.revisions.partition_point(|r| r.main <= at) - 1;
        let deleted = generation.ended && last + 1 == generation.revisions.len();
        (!deleted).then(|| generation.at(last))
    }
}

impl Generation {
    fn at(&self, position: usize) -> Visible {
        Visible {
            modified: self.revisions[position],
            create_revision: self.create_revision,
            version: self.first_version + position as i64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rev(main: i64, sub: i64) -> Revision {
        Revision { main, sub }
    }

    fn keys(index: &Index, span: Span<'_>, at: i64) -> Vec<String> {
        index
            .visible(span, at)
            .map(|(k, _)| String::from_utf8(k.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn a_key_lives_dies_and_lives_again_with_fresh_version() {
        let mut index = Index::default();
        assert_eq!(index.put(b"k", rev(2, 0)).version, 1);
        assert_eq!(index.put(b"k", rev(3, 0)).version, 2);
        index.delete(b"k", rev(5, 0));
        let reborn = index.put(b"k", rev(7, 1));
        assert_eq!((reborn.create_revision, reborn.version), (7, 1));

        let at = |at| {
            index
                .visible(Span::One(b"k"), at)
                .next()
                .map(|(_, v)| (v.modified, v.create_revision, v.version))
        };
        assert_eq!(at(1), None);
        assert_eq!(at(2), Some((rev(2, 0), 2, 1)));
        assert_eq!(at(4), Some((rev(3, 0), 2, 2)));
        assert_eq!(at(5), None);
        assert_eq!(at(6), None);
        assert_eq!(at(100), Some((rev(7, 1), 7, 1)));
    }

    #[test]
    fn within_one_transaction_the_last_change_counts() {
        let mut index = Index::default();
        index.put(b"gone", rev(2, 0));
        index.delete(b"gone", rev(2, 1));
        index.put(b"back", rev(2, 2));
        index.delete(b"back", rev(3, 0));
        index.put(b"back", rev(3, 1));
        assert_eq!(keys(&index, Span::From(b"\0"), 2), ["back"]);
        assert_eq!(keys(&index, Span::From(b"\0"), 3), ["back"]);
    }

    #[test]
    fn spans_follow_etcds_rules() {
        let mut index = Index::default();
        for (i, key) in ["a", "b", "b1", "b2", "c"].into_iter().enumerate() {
            index.put(key.as_bytes(), rev(2, i as i64));
        }
        let cases: [(&[u8], &[u8], &[&str]); 8] = [
            (b"b", b"", &["b"]),
            (b"x", b"", &[]),
            (b"b", b"c", &["b", "b1", "b2"]),
            (b"b", b"b2", &["b", "b1"]),
            (b"b1", b"\0", &["b1", "b2", "c"]),
            (b"\0", b"\0", &["a", "b", "b1", "b2", "c"]),
            (b"c", b"a", &[]),
            (b"b", b"b", &[]),
        ];
        for (key, end, want) in cases {
            let span = Span::new(key, end);
            assert_eq!(keys(&index, span, 2), want, "{span:?}");
            for name in ["a", "b", "b1", "b2", "c"] {
                assert_eq!(
                    span.contains(name.as_bytes()),
                    want.contains(&name),
                    "{name} in {span:?}"
                );
            }
        }
    }

    #[test]
    fn compaction_keeps_what_is_seen_at_its_revision_and_what_happened_there() {
        let written = || {
            let mut index = Index::default();
            index.put(b"dead", rev(2, 0));
            index.put(b"live", rev(2, 1));
            index.put(b"live", rev(3, 0));
            index.delete(b"dead", rev(4, 0));
            index.put(b"dead", rev(5, 0));
            index.put(b"live", rev(5, 1));
            index.delete(b"dead", rev(6, 0));
            index
        };
        let compact = |at| {
            let (mut index, mut gone) = (written(), Vec::new());
            let next = index.compact(&Bytes::new(), at, usize::MAX, usize::MAX, |key| {
                gone.push(format!("{key:?}"));
            });
            assert_eq!(next, None);
            let before = written();
            for later in at..9 {
                let everything = Span::From(b"\0");
                assert!(
                    index
                        .visible(everything, later)
                        .eq(before.visible(everything, later)),
                    "at {later} after compaction at {at}"
                );
            }
            gone
        };
        assert_eq!(compact(2), [""; 0]);
        assert_eq!(compact(3), ["2_1"]);
        assert_eq!(compact(4), ["2_0", "2_1"]);
        assert_eq!(compact(5), ["2_0", "4_0t", "2_1", "3_0"]);
        assert_eq!(compact(6), ["2_0", "4_0t", "5_0", "2_1", "3_0"]);
        assert_eq!(compact(7), ["2_0", "4_0t", "5_0", "6_0t", "2_1", "3_0"]);
    }

    #[test]
    fn compaction_in_steps_forgets_the_same() {
        let mut index = Index::default();
        for i in 0..10 {
            index.put(format!("k{}", i % 5).as_bytes(), rev(2 + i, 0));
        }
        let (mut from, mut steps, mut gone) = (Some(Bytes::new()), 0, 0);
        while let Some(next) = from {
            from = index.compact(&next, 11, 2, usize::MAX, |_| gone += 1);
            steps += 1;
        }
        assert_eq!((steps, gone), (3, 5));
        assert_eq!(
            index.compact(&Bytes::new(), 12, usize::MAX, 1, |_| ()),
            None
        );
    }

    #[test]
    #[should_panic(expected = "comes after")]
    fn a_revision_never_goes_back() {
        let mut index = Index::default();
        index.put(b"k", rev(3, 0));
        index.put(b"k", rev(3, 0));
    }
}
