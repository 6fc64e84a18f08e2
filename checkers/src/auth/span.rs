//! Spans of keys, as permissions name them.

use super::access::Touch;

/// From a key to an end, as etcd's requests have them.
pub(super) type Span<'a> = (&'a [u8], &'a [u8]);

/// Whether the union of spans has every key that is touched.
pub(super) fn covers(mut spans: Vec<Span<'_>>, touch: &Touch<'_>) -> bool {
    spans.sort_unstable();
    let after = |key: &[u8]| [key, &[0]].concat();
    let (mut reached, end) = (
        touch.key.to_vec(),
        match touch.range_end {
            [] => Some(after(touch.key)),
            [0] => None,
            end if end <= touch.key => Some(after(touch.key)),
            end => Some(end.to_vec()),
        },
    );
    for (key, range_end) in spans {
        if key > &reached[..] {
            break;
        }
        let to = match range_end {
            [] => after(key),
            [0] => return true,
            end => end.to_vec(),
        };
        reached = reached.max(to);
    }
    end.is_some_and(|end| reached >= end)
}
#[cfg(test)]
mod tests {
    use super::super::access::Access;
    use super::*;

    #[test]
    fn spans_cover_what_they_cover_together() {
        let touch = |key: &'static str, end: &'static str| Touch {
            access: Access::Read,
            key: key.as_bytes(),
            range_end: end.as_bytes(),
        };
        type Case = (
            &'static [(&'static str, &'static str)],
            &'static str,
            &'static str,
            bool,
        );
        let cases: [Case; 11] = [
            (&[], "a", "", false),
            (&[("a", "")], "a", "", true),
            (&[("a", "")], "a", "b", false),
            (&[("a", ""), ("c", "")], "b", "", false),
            (&[("a", "c"), ("c", "e")], "a", "e", true),
            (&[("c", "e"), ("a", "c")], "b", "d", true),
            (&[("a", "b"), ("c", "e")], "a", "e", false),
            (&[("a", "z"), ("b", "c")], "a", "z", true),
            (&[("b", "\0")], "b", "\0", true),
            (&[("b", "\0")], "a", "\0", false),
            (&[("a", "z")], "a", "\0", false),
        ];
        for (spans, key, end, expected) in cases {
            let of = spans.iter().map(|(k, e)| (k.as_bytes(), e.as_bytes()));
            assert_eq!(
                covers(of.collect(), &touch(key, end)),
                expected,
                "{spans:?}"
            );
        }
    }
}
