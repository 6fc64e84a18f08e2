//! Revisions, and the keys under which the backend stores what they wrote.

use std::cmp::Ordering;
use std::fmt;

/// One change of the store: `main` counts transactions, `sub` the changes
/// within one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Revision {
    pub(crate) main: i64,
    pub(crate) sub: i64,
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.main, self.sub)
    }
}

/// A revision as a key of the backend, as in etcd: `main` and `sub` big-endian
/// with `_` between them, and a `t` behind where the change is a deletion. The
/// bytes sort as the revisions do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RevisionKey {
    bytes: [u8; RevisionKey::TOMBSTONE_LEN],
    len: usize,
}

impl RevisionKey {
    pub(crate) const PUT_LEN: usize = 17;
    const TOMBSTONE_LEN: usize = 18;

    pub(crate) fn new(revision: Revision, tombstone: bool) -> RevisionKey {
        let mut bytes = [0; RevisionKey::TOMBSTONE_LEN];
        bytes[..8].copy_from_slice(&revision.main.to_be_bytes());
        bytes[8] = b'_';
        bytes[9..17].copy_from_slice(&revision.sub.to_be_bytes());
        bytes[17] = b't';
        RevisionKey {
            bytes,
            len: if tombstone {
                RevisionKey::TOMBSTONE_LEN
            } else {
                RevisionKey::PUT_LEN
            },
        }
    }

    /// The key in `bytes`, or `None` if they are none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<RevisionKey> {
        let tombstone = match bytes.len() {
            RevisionKey::PUT_LEN => false,
            RevisionKey::TOMBSTONE_LEN => true,
            _ => return None,
        };
        let revision = Revision {
            main: i64::from_be_bytes(bytes[..8].try_into().ok()?),
            sub: i64::from_be_bytes(bytes[9..17].try_into().ok()?),
        };
        let key = RevisionKey::new(revision, tombstone);
        (key.as_bytes() == bytes && revision.main > 0 && revision.sub >= 0).then_some(key)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(crate) fn revision(&self) -> Revision {
        let number =
            |at: usize| i64::from_be_bytes(self.bytes[at..at + 8].try_into().expect("eight bytes"));
        Revision {
            main: number(0),
            sub: number(9),
        }
    }

    pub(crate) fn is_tombstone(&self) -> bool {
        self.len == RevisionKey::TOMBSTONE_LEN
    }
}

/// As the bytes sort.
impl Ord for RevisionKey {
    fn cmp(&self, other: &RevisionKey) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for RevisionKey {
    fn partial_cmp(&self, other: &RevisionKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for RevisionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_tombstone() { "t" } else { "" };
        write!(f, "{:?}{mark}", self.revision())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_revisions_and_survive_parsing() {
        let revisions = [(1, 0), (1, 1), (1, 255), (1, 256), (2, 0), (256, 0)];
        let keys: Vec<RevisionKey> = revisions
            .iter()
            .enumerate()
            .map(|(i, &(main, sub))| RevisionKey::new(Revision { main, sub }, i % 2 == 0))
            .collect();
        assert!(keys.is_sorted_by(|a, b| a.as_bytes() < b.as_bytes()));
        for key in keys {
            assert_eq!(RevisionKey::parse(key.as_bytes()), Some(key));
        }
    }

    #[test]
    fn other_bytes_are_no_revision() {
        let good = RevisionKey::new(Revision { main: 7, sub: 3 }, true);
        for (at, byte) in [(8, b'-'), (17, b'p'), (0, 0x80), (9, 0x80)] {
            let mut bytes = good.as_bytes().to_vec();
            bytes[at] = byte;
            assert_eq!(RevisionKey::parse(&bytes), None, "byte {at}");
        }
        assert_eq!(RevisionKey::parse(&good.as_bytes()[..16]), None);
        assert_eq!(RevisionKey::parse(&[]), None);
    }
}
