//! What the backend knows about itself, committed with the effects it describes.

use crate::membership::Membership;
use squall_api::{ApplyView, EntryId};

/// The state machine's position and identity.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Meta {
    /// The cluster that the data belongs to.
    pub(crate) cluster: u64,
    /// The member that the data belongs to.
    pub(crate) member: u64,
    /// The consistent index: the last entry whose effects are included.
    pub(crate) index: u64,
    /// That entry; zeros at birth.
    pub(crate) entry: EntryId,
    /// The store's revision; 1 at birth.
    pub(crate) revision: i64,
    /// The revision up to which history was compacted; -1, as in etcd, if it
    /// never was.
    pub(crate) compact_revision: i64,
    /// The digest chained over all effects so far; 0 at birth.
    pub(crate) state: u64,
    /// The cluster's members as of `index`.
    pub(crate) membership: Membership,
}

impl Meta {
    /// A member that has applied nothing yet.
    pub(crate) fn birth(cluster: u64, member: u64, voters: &[u64]) -> Meta {
        Meta {
            cluster,
            member,
            index: 0,
            entry: EntryId { term: 0, digest: 0 },
            revision: 1,
            compact_revision: -1,
            state: 0,
            membership: Membership::of(voters),
        }
    }

    /// As shown to whoever checks invariants.
    pub(crate) fn view(&self, proposal: u64) -> ApplyView {
        ApplyView {
            index: self.index,
            entry: self.entry,
            proposal,
            revision: self.revision,
            state: self.state,
        }
    }

    /// The meta table's rows.
    pub(crate) fn rows(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut rows: Vec<(&'static str, Vec<u8>)> = NUMBERS
            .iter()
            .map(|(name, get, _)| (*name, get(self).to_le_bytes().to_vec()))
            .collect();
        rows.push((MEMBERSHIP, self.membership.encode()));
        rows
    }

    /// Reads the rows back with `get`, which fails in its own way. The inner
    /// error is a sentence that says what is wrong with them.
    pub(crate) fn from_rows<E>(
        mut get: impl FnMut(&'static str) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Result<Meta, String>, E> {
        let mut meta = Meta::birth(0, 0, &[]);
        for (name, _, set) in NUMBERS {
            let Some(bytes) = get(name)? else {
                return Ok(Err(format!("its meta table has no {name}")));
            };
            let Ok(bytes) = bytes.as_slice().try_into() else {
                return Ok(Err(format!(
                    "{name} in its meta table has {} bytes instead of 8",
                    bytes.len()
                )));
            };
            set(&mut meta, u64::from_le_bytes(bytes));
        }
        let Some(membership) = get(MEMBERSHIP)? else {
            return Ok(Err(format!("its meta table has no {MEMBERSHIP}")));
        };
        let Some(membership) = Membership::decode(membership.into()) else {
            return Ok(Err(format!("{MEMBERSHIP} in its meta table is none")));
        };
        meta.membership = membership;
        Ok(Ok(meta))
    }
}

const MEMBERSHIP: &str = "membership";

type Get = fn(&Meta) -> u64;
type Set = fn(&mut Meta, u64);

/// The numbers of the meta table. Signed ones are stored as their bits.
const NUMBERS: [(&str, Get, Set); 8] = [
    ("cluster", |m| m.cluster, |m, v| m.cluster = v),
    ("member", |m| m.member, |m, v| m.member = v),
    ("consistent_index", |m| m.index, |m, v| m.index = v),
    ("term", |m| m.entry.term, |m, v| m.entry.term = v),
    (
        "entry_digest",
        |m| m.entry.digest,
        |m, v| m.entry.digest = v,
    ),
    (
        "revision",
        |m| m.revision as u64,
        |m, v| m.revision = v as i64,
    ),
    (
        "compact_revision",
        |m| m.compact_revision as u64,
        |m, v| m.compact_revision = v as i64,
    ),
    ("state_digest", |m| m.state, |m, v| m.state = v),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Meta {
        Meta {
            index: 7,
            entry: EntryId { term: 3, digest: 9 },
            revision: 5,
            state: 11,
            ..Meta::birth(1, 2, &[1, 2, 3])
        }
    }

    fn read(rows: &[(&'static str, Vec<u8>)]) -> Result<Meta, String> {
        let got = Meta::from_rows(|name| {
            let row = rows.iter().find(|(n, _)| *n == name);
            Ok::<_, std::convert::Infallible>(row.map(|(_, v)| v.clone()))
        });
        match got {
            Ok(meta) => meta,
        }
    }

    #[test]
    fn rows_give_the_same_meta_back() {
        assert_eq!(read(&sample().rows()), Ok(sample()));
    }

    #[test]
    fn a_missing_or_short_row_is_named() {
        for i in 0..sample().rows().len() {
            let mut rows = sample().rows();
            let (name, _) = rows.remove(i);
            assert!(read(&rows).unwrap_err().contains(name));
            let mut rows = sample().rows();
            rows[i].1.pop();
            assert!(read(&rows).unwrap_err().contains(name));
        }
    }
}
