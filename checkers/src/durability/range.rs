//! Ranges of keys, and what is known of them.

use bytes::Bytes;
use squall_api::pb::DeleteRangeRequest;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The keys of a `range_end`, as etcd reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyRange {
    pub(super) start: Bytes,
    end: End,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// No `range_end`: the key alone.
    Single,
    /// Up to this key, which is not included. A prefix is such a range too.
    Before(Bytes),
    /// `range_end` is one zero byte: every key from the start on.
    All,
}

impl KeyRange {
    pub(super) fn of(request: &DeleteRangeRequest) -> KeyRange {
        let end = match &request.range_end[..] {
            [] => End::Single,
            [0] => End::All,
            _ => End::Before(request.range_end.clone()),
        };
        // An empty key stands for the first key there can be.
        let start = match &request.key[..] {
            [] if end != End::Single => Bytes::from_static(&[0]),
            _ => request.key.clone(),
        };
        KeyRange { start, end }
    }

    pub(super) fn contains(&self, key: &Bytes) -> bool {
        match &self.end {
            End::Single => *key == self.start,
            End::Before(end) => *key >= self.start && key < end,
            End::All => *key >= self.start,
        }
    }
}

impl std::fmt::Display for KeyRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = self.start.escape_ascii();
        match &self.end {
            End::Single => write!(f, "{start}"),
            End::Before(end) => write!(f, "[{start}, {})", end.escape_ascii()),
            End::All => write!(f, "[{start}, ...)"),
        }
    }
}

/// Values by range. Single keys, of which there are many, are found without
/// looking at any other.
#[derive(Debug)]
pub(super) struct ByRange<T> {
    keys: BTreeMap<KeyRange, T>,
    ranges: BTreeMap<KeyRange, T>,
}

impl<T> Default for ByRange<T> {
    fn default() -> Self {
        ByRange {
            keys: BTreeMap::new(),
            ranges: BTreeMap::new(),
        }
    }
}

impl<T> ByRange<T> {
    pub(super) fn entry(&mut self, range: KeyRange) -> Entry<'_, KeyRange, T> {
        match range.end {
            End::Single => self.keys.entry(range),
            End::Before(_) | End::All => self.ranges.entry(range),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&KeyRange, &T)> {
        self.keys.iter().chain(&self.ranges)
    }

    /// The values of all ranges that contain `key`.
    pub(super) fn covering(&self, key: &Bytes) -> impl Iterator<Item = &T> {
        let single = KeyRange {
            start: key.clone(),
            end: End::Single,
        };
        let ranges = self.ranges.iter().filter(|(range, _)| range.contains(key));
        self.keys
            .get(&single)
            .into_iter()
            .chain(ranges.map(|(_, value)| value))
    }
}
