//! Sets of keys, as unions of intervals.

use bytes::Bytes;

/// Disjoint intervals in order, none touching the next: from a key, included,
/// to a key, excluded, or to the end of the key space.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Intervals(Vec<(Bytes, Option<Bytes>)>);

impl Intervals {
    /// The keys in any of these spans, each a key and a range end as etcd's
    /// requests have them.
    pub(super) fn of<'a>(spans: impl Iterator<Item = (&'a Bytes, &'a Bytes)>) -> Intervals {
        let mut spans: Vec<_> = spans
            .map(|(key, end)| (key.clone(), end_of(key, end)))
            .collect();
        spans.sort();
        let mut all: Vec<(Bytes, Option<Bytes>)> = Vec::new();
        for (start, end) in spans {
            match all.last_mut() {
                Some((_, None)) => break,
                Some((_, Some(last))) if start <= *last => match end {
                    None => all.last_mut().expect("there is a last one").1 = None,
                    Some(end) => *last = end.max(last.clone()),
                },
                _ => all.push((start, end)),
            }
        }
        Intervals(all)
    }

    /// The keys between the first and the last of these spans: what a planted
    /// bug takes the union for.
    pub(super) fn hull<'a>(spans: impl Iterator<Item = (&'a Bytes, &'a Bytes)>) -> Intervals {
        let Intervals(all) = Intervals::of(spans);
        let hull = all.first().zip(all.last());
        Intervals(
            hull.map(|(first, last)| (first.0.clone(), last.1.clone()))
                .into_iter()
                .collect(),
        )
    }

    /// Whether every key of the span is in the set. A span that ends before it
    /// starts is taken for its first key.
    pub(super) fn cover(&self, key: &[u8], range_end: &[u8]) -> bool {
        let after = self.0.partition_point(|(start, _)| start[..] <= *key);
        let Some((_, end)) = after.checked_sub(1).map(|i| &self.0[i]) else {
            return false;
        };
        let Some(end) = end else { return true };
        match range_end {
            [0] => false,
            wanted if wanted > key => wanted <= &end[..],
            _ => *key < end[..],
        }
    }
}

fn end_of(key: &Bytes, range_end: &Bytes) -> Option<Bytes> {
    match &range_end[..] {
        [] => Some([&key[..], &[0]].concat().into()),
        [0] => None,
        _ => Some(range_end.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    fn of(spans: &[(&str, &str)]) -> Intervals {
        let spans: Vec<_> = spans.iter().map(|(k, e)| (bytes(k), bytes(e))).collect();
        Intervals::of(spans.iter().map(|(k, e)| (k, e)))
    }

    #[test]
    fn what_touches_becomes_one_and_what_does_not_stays_apart() {
        let set = of(&[("a", "c"), ("c", "e"), ("x", "")]);
        assert!(set.cover(b"a", b"e"));
        assert!(set.cover(b"b", b"d"));
        assert!(!set.cover(b"b", b"f"));
        assert!(!set.cover(b"e", b""), "the end is not part of it");
        assert!(!set.cover(b"a", b"y"), "there is a gap");
        assert!(set.cover(b"x", b"") && set.cover(b"x", b"x\0"));
        assert!(!set.cover(b"x", b"x\x01"), "one key is not its prefix");
        assert!(!set.cover(b"a", b"\0"));
    }

    #[test]
    fn only_an_open_end_covers_an_open_end() {
        let set = of(&[("b", "\0"), ("c", "d")]);
        assert!(set.cover(b"b", b"\0") && set.cover(b"c", b"\0") && set.cover(b"z", b""));
        assert!(!set.cover(b"a", b"\0"));
        assert!(!of(&[("b", "\u{7f}")]).cover(b"b", b"\0"));
    }

    #[test]
    fn two_keys_are_not_the_range_between_them() {
        assert!(!of(&[("a", ""), ("c", "")]).cover(b"b", b""));
        assert_eq!(of(&[]), Intervals::default());
        assert!(!of(&[]).cover(b"a", b""));
    }

    proptest! {
        /// Against the obvious: every key that there can be, one by one.
        #[test]
        fn agrees_with_sets_of_keys(
            spans in vec((0u8..12, 0u8..13), 0..6),
            asked in (0u8..12, 0u8..13),
        ) {
            // Letters as keys; 12 is an open end, equal numbers one key.
            let span = |(from, to): (u8, u8)| {
                let key = Bytes::from(vec![b'a' + from]);
                let end = match to {
                    12 => vec![0],
                    to if to == from => vec![],
                    to => vec![b'a' + to],
                };
                (key, Bytes::from(end))
            };
            let is_span = |(from, to): (u8, u8)| from <= to;
            let keys = |(from, to): (u8, u8)| match to {
                12 => from..13,
                to if to == from => from..from + 1,
                to => from..to,
            };
            let spans: Vec<_> = spans.into_iter().filter(|s| is_span(*s)).collect();
            prop_assume!(is_span(asked));
            let owned: Vec<_> = spans.iter().map(|s| span(*s)).collect();
            let set = Intervals::of(owned.iter().map(|(k, e)| (k, e)));
            let all: std::collections::BTreeSet<u8> = spans.iter().flat_map(|s| keys(*s)).collect();
            let expected = keys(asked).all(|key| all.contains(&key));
            let (key, end) = span(asked);
            // One letter is not the range to the next: there are keys between.
            // A union of single keys never covers a range, so it is left out.
            let single = |(from, to): &(u8, u8)| from == to;
            if spans.iter().any(single) && !single(&asked) {
                prop_assert!(expected || !set.cover(&key, &end));
            } else {
                prop_assert_eq!(set.cover(&key, &end), expected);
            }
        }

        #[test]
        fn order_does_not_matter(spans in btree_set(("[a-e]{1,2}", "[f-i]{0,2}"), 0..5)) {
            let owned: Vec<_> = spans.iter().map(|(k, e)| (bytes(k), bytes(e))).collect();
            let forth = Intervals::of(owned.iter().map(|(k, e)| (k, e)));
            let back = Intervals::of(owned.iter().rev().map(|(k, e)| (k, e)));
            prop_assert_eq!(forth, back);
        }
    }
}
