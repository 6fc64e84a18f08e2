//! The replicated state beside the key space, as rows: leases, users and roles,
//! alarms, versions.
//!
//! Whoever keeps such state keeps it in types of its own, and writes each
//! change through to its row. Commits, snapshots, digests and restarts need to
//! know nothing but rows, so that no part of the state can be left out of one
//! of them.

use crate::backend::Write;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// All rows as of the last entry applied. Each part of the state has a prefix
/// of its own.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    rows: BTreeMap<Bytes, Bytes>,
    /// What the entry that is being applied has changed.
    changed: BTreeSet<Bytes>,
    /// What changed since the last commit.
    uncommitted: BTreeSet<Bytes>,
}

impl Rows {
    /// These rows, which are committed.
    pub(crate) fn of(rows: BTreeMap<Bytes, Bytes>) -> Rows {
        Rows {
            rows,
            ..Rows::default()
        }
    }

    /// The rows whose keys begin with `prefix`, in order, keys without it.
    pub(crate) fn under<'a>(
        &'a self,
        prefix: &'static [u8],
    ) -> impl Iterator<Item = (Bytes, &'a Bytes)> + 'a {
        self.rows
            .range(Bytes::from_static(prefix)..)
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(move |(key, value)| (key.slice(prefix.len()..), value))
    }

    /// Every row, in order.
    pub(crate) fn all(&self) -> &BTreeMap<Bytes, Bytes> {
        &self.rows
    }

    /// Writes a row, in the entry that is being applied.
    pub(crate) fn set(&mut self, key: Bytes, value: Bytes) {
        if self.rows.insert(key.clone(), value.clone()) != Some(value) {
            self.changed.insert(key);
        }
    }

    /// Removes a row, if it is there, in the entry that is being applied.
    pub(crate) fn remove(&mut self, key: &[u8]) {
        if let Some((key, _)) = self.rows.remove_entry(key) {
            self.changed.insert(key);
        }
    }

    /// Ends the entry, and appends to `digest` what it has changed.
    pub(crate) fn end_entry(&mut self, digest: &mut Vec<u8>) {
        for key in std::mem::take(&mut self.changed) {
            digest.extend((key.len() as u32).to_le_bytes());
            digest.extend(&key);
            match self.rows.get(&key) {
                Some(value) => {
                    digest.push(1);
                    digest.extend((value.len() as u32).to_le_bytes());
                    digest.extend(value);
                }
                None => digest.push(0),
            }
            self.uncommitted.insert(key);
        }
    }

    /// What the next commit has to write.
    pub(crate) fn writes(&self) -> impl Iterator<Item = Write<'_>> {
        self.uncommitted.iter().map(|key| match self.rows.get(key) {
            Some(value) => Write::Row(key, value),
            None => Write::RemoveRow(key),
        })
    }

    /// Everything is committed.
    pub(crate) fn committed(&mut self) {
        self.uncommitted.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn what_changed_is_digested_once_and_written_until_committed() {
        let mut rows = Rows::of([(bytes("a/1"), bytes("old"))].into());
        let mut digest = Vec::new();
        rows.set(bytes("a/1"), bytes("old"));
        rows.remove(b"a/2");
        rows.end_entry(&mut digest);
        assert!(digest.is_empty(), "nothing has changed");

        rows.set(bytes("a/2"), bytes("x"));
        rows.remove(b"a/1");
        rows.end_entry(&mut digest);
        assert!(!digest.is_empty());
        let len = digest.len();
        rows.end_entry(&mut digest);
        assert_eq!(digest.len(), len);
        let writes: Vec<String> = rows.writes().map(|write| format!("{write:?}")).collect();
        assert_eq!(
            writes,
            ["RemoveRow(b\"a/1\")", "Row(b\"a/2\", b\"x\")"].map(|w| {
                // As slices print themselves.
                w.replace("b\"a/1\"", "[97, 47, 49]")
                    .replace("b\"a/2\"", "[97, 47, 50]")
                    .replace("b\"x\"", "[120]")
            })
        );
        rows.committed();
        assert_eq!(rows.writes().count(), 0);
    }

    #[test]
    fn a_prefix_holds_its_own_rows_only() {
        let rows = ["a", "a/1", "a/2", "b/1"].map(|key| (bytes(key), bytes("")));
        let rows = Rows::of(rows.into());
        let keys: Vec<Bytes> = rows.under(b"a/").map(|(key, _)| key).collect();
        assert_eq!(keys, ["1", "2"]);
    }
}
