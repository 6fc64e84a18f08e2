//! The digests that both lanes show in their views.

use raft_proto::eraftpb::Entry;
use squall_api::EntryId;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The identity of a log entry: term, and xxh3 over index, term, type and data.
///
/// The Raft lane shows it for what is in the log, the apply lane for what was
/// applied; a checker compares the two.
pub fn entry_id(entry: &Entry) -> EntryId {
    let mut head = [0; 20];
    head[..8].copy_from_slice(&entry.index.to_le_bytes());
    head[8..16].copy_from_slice(&entry.term.to_le_bytes());
    head[16..].copy_from_slice(&(entry.get_entry_type() as u32).to_le_bytes());
    EntryId {
        term: entry.term,
        digest: xxh3_64_with_seed(&entry.data, xxh3_64(&head)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use raft_proto::eraftpb::EntryType;

    #[test]
    fn every_part_of_an_entry_counts() {
        let entry = |index, term, kind, data: &'static [u8]| {
            let entry = Entry {
                index,
                term,
                entry_type: kind,
                data: Bytes::from_static(data),
                ..Entry::default()
            };
            entry_id(&entry).digest
        };
        let normal = EntryType::EntryNormal;
        let base = entry(1, 1, normal, b"x");
        assert_eq!(base, entry(1, 1, normal, b"x"));
        assert_ne!(base, entry(2, 1, normal, b"x"));
        assert_ne!(base, entry(1, 2, normal, b"x"));
        assert_ne!(base, entry(1, 1, EntryType::EntryConfChange, b"x"));
        assert_ne!(base, entry(1, 1, normal, b"y"));
    }
}
