//! What a segment is made of: records, each with its length and checksum.
//!
//! ```text
//! crc u32 | length u32 | kind u8 | synced u64 | payload
//! ```
//!
//! Integers are little-endian. The CRC-32 covers where the record stands (see
//! [`Place`]) and everything after itself. `synced` is testimony: the offset up
//! to which this segment was known to be durable when the record was written.

use protobuf::Message as _;
use raft_proto::eraftpb::{Entry, HardState};
use squall_api::wire;
use squall_raft::LogBase;

/// Bytes before a record's payload.
pub(crate) const HEADER_LEN: usize = 4 + 4 + 1 + 8;
/// A payload longer than this is never written.
const MAX_PAYLOAD_LEN: usize = 1 << 30;

/// The version of the format described here.
pub(crate) const FORMAT: u64 = 1;

/// Where a record stands. The checksum covers it: a copy of a record that lies
/// elsewhere, misdirected or inside a client's value, is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The segment's sequence number.
    pub(crate) segment: u64,
    /// Bytes of the segment before the record.
    pub(crate) offset: u64,
}

impl Place {
    fn checksum(self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.segment.to_le_bytes());
        hasher.update(&self.offset.to_le_bytes());
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// Why bytes are no record; the text says what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoRecord {
    /// They are not what was written: a torn end, or damage.
    Damaged(String),
    /// They are what was written, for their checksum holds, and mean nothing.
    Written(String),
}

impl NoRecord {
    pub(crate) fn what(self) -> String {
        match self {
            NoRecord::Damaged(what) | NoRecord::Written(what) => what,
        }
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Record {
    /// In which format the segment is, and whose log it is.
    Identity {
        format: u64,
        cluster: u64,
        member: u64,
    },
    /// Entries up to this one are gone: they are in the backend.
    Compacted(LogBase),
    /// The log restarts after this entry: the backend became a snapshot.
    Reset(LogBase),
    /// An entry; it replaces whatever the log has from its index on.
    Entry(Entry),
    /// Term, vote and commit.
    HardState(HardState),
}

impl Record {
    fn kind(&self) -> u8 {
        match self {
            Record::Identity { .. } => 1,
            Record::Compacted(_) => 2,
            Record::Reset(_) => 3,
            Record::Entry(_) => 4,
            Record::HardState(_) => 5,
        }
    }

    /// Appends the bytes of the record, which is to stand at `place`.
    pub(crate) fn encode(&self, place: Place, synced: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + HEADER_LEN, 0);
        match self {
            Record::Identity {
                format,
                cluster,
                member,
            } => push_words(out, &[*format, *cluster, *member]),
            Record::Compacted(base) | Record::Reset(base) => {
                push_words(out, &[base.index, base.term]);
            }
            Record::Entry(entry) => entry
                .write_to_vec(out)
                .expect("an entry has no required fields"),
            Record::HardState(state) => push_words(out, &[state.term, state.vote, state.commit]),
        }
        let len = out.len() - start - HEADER_LEN;
        assert!(len <= MAX_PAYLOAD_LEN, "a record of {len} bytes");
        out[start + 4..start + 8].copy_from_slice(&(len as u32).to_le_bytes());
        out[start + 8] = self.kind();
        out[start + 9..start + 17].copy_from_slice(&synced.to_le_bytes());
        let crc = place.checksum(&out[start + 4..]);
        out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads the record with which `bytes` begins: itself, its length, and its
    /// testimony.
    pub(crate) fn decode(bytes: &[u8], place: Place) -> Result<(Record, usize, u64), NoRecord> {
        let (len, synced) = check(bytes, place).map_err(NoRecord::Damaged)?;
        let record = Record::parse(bytes, len).map_err(NoRecord::Written)?;
        Ok((record, HEADER_LEN + len, synced))
    }

    /// A planted bug: as [`Record::decode`], without looking at the checksum.
    pub(crate) fn decode_unchecked(bytes: &[u8]) -> Result<(Record, usize, u64), NoRecord> {
        let len = length(bytes).map_err(NoRecord::Damaged)?;
        let record = Record::parse(bytes, len).map_err(NoRecord::Damaged)?;
        Ok((record, HEADER_LEN + len, 0))
    }

    fn parse(bytes: &[u8], len: usize) -> Result<Record, String> {
        let payload = &bytes[HEADER_LEN..HEADER_LEN + len];
        let base = |index, term| LogBase { index, term };
        Ok(match (bytes[8], payload.len()) {
            (1, 24) => Record::Identity {
                format: word(payload, 0),
                cluster: word(payload, 1),
                member: word(payload, 2),
            },
            (2, 16) => Record::Compacted(base(word(payload, 0), word(payload, 1))),
            (3, 16) => Record::Reset(base(word(payload, 0), word(payload, 1))),
            (4, _) => wire::parse(payload)
                .map(Record::Entry)
                .map_err(|e| format!("its entry does not parse: {e}"))?,
            (5, 24) => Record::HardState(HardState {
                term: word(payload, 0),
                vote: word(payload, 1),
                commit: word(payload, 2),
                ..HardState::default()
            }),
            (kind, len) => return Err(format!("kind {kind} with {len} bytes is unknown")),
        })
    }
}

/// Whether an intact record starts at `bytes`; its payload's length and its
/// testimony.
fn check(bytes: &[u8], place: Place) -> Result<(usize, u64), String> {
    let len = length(bytes)?;
    let found = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let computed = place.checksum(&bytes[4..HEADER_LEN + len]);
    if found != computed {
        return Err(format!(
            "its checksum is {found:08x}, its bytes give {computed:08x}"
        ));
    }
    Ok((len, word(&bytes[9..], 0)))
}

/// How long the record that starts at `bytes` claims its payload is.
fn length(bytes: &[u8]) -> Result<usize, String> {
    if bytes.len() < HEADER_LEN {
        return Err(format!("only {} bytes are left", bytes.len()));
    }
    let len = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize;
    if len > bytes.len() - HEADER_LEN {
        return Err(format!(
            "it claims {len} bytes, only {} are left",
            bytes.len() - HEADER_LEN
        ));
    }
    Ok(len)
}

/// How much of a segment was durable once, if an intact record after `from`
/// testifies to more than `from` bytes.
pub(crate) fn testifies_beyond(bytes: &[u8], segment: u64, from: usize) -> Option<u64> {
    (from..bytes.len().saturating_sub(HEADER_LEN - 1)).find_map(|at| {
        // Cheap tests first: most offsets are no record's.
        let plausible = (1..=5).contains(&bytes[at + 8]) && {
            let synced = word(&bytes[at + 9..], 0);
            synced > from as u64 && synced <= at as u64
        };
        if !plausible {
            return None;
        }
        let offset = at as u64;
        let (_, synced) = check(&bytes[at..], Place { segment, offset }).ok()?;
        Some(synced)
    })
}

fn push_words(out: &mut Vec<u8>, words: &[u64]) {
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let word: [u8; 8] = bytes[8 * at..8 * at + 8].try_into().expect("8 bytes");
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn records() -> Vec<Record> {
        vec![
            Record::Identity {
                format: FORMAT,
                cluster: 7,
                member: 2,
            },
            Record::Compacted(LogBase { index: 3, term: 1 }),
            Record::Reset(LogBase { index: 9, term: 4 }),
            Record::Entry(Entry {
                index: 10,
                term: 4,
                data: Bytes::from_static(b"put"),
                ..Entry::default()
            }),
            Record::HardState(HardState {
                term: 4,
                vote: 2,
                commit: 9,
                ..HardState::default()
            }),
        ]
    }

    const PLACE: Place = Place {
        segment: 3,
        offset: 1000,
    };

    #[test]
    fn every_record_survives_and_every_flipped_bit_is_noticed() {
        for record in records() {
            let mut bytes = Vec::new();
            record.encode(PLACE, 77, &mut bytes);
            assert_eq!(
                Record::decode(&bytes, PLACE),
                Ok((record.clone(), bytes.len(), 77))
            );
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(
                    Record::decode(&damaged, PLACE).is_err(),
                    "{record:?}, bit {bit}"
                );
            }
            assert!(Record::decode(&bytes[..bytes.len() - 1], PLACE).is_err());
        }
    }

    #[test]
    fn a_record_elsewhere_is_no_record() {
        let mut bytes = Vec::new();
        records()[3].encode(PLACE, 77, &mut bytes);
        for (segment, offset) in [(3, 999), (4, 1000)] {
            assert!(Record::decode(&bytes, Place { segment, offset }).is_err());
        }
    }

    /// A segment of `records`, a hole, and an entry that claims `synced`.
    fn with_hole(synced: impl Fn(u64) -> u64) -> (Vec<u8>, usize) {
        let mut bytes = Vec::new();
        let add = |record: &Record, synced, bytes: &mut Vec<u8>| {
            let offset = bytes.len() as u64;
            record.encode(Place { segment: 3, offset }, synced, bytes);
        };
        for record in records() {
            add(&record, 0, &mut bytes);
        }
        let hole = bytes.len();
        bytes.resize(hole + 100, 0);
        add(&records()[3], synced(hole as u64), &mut bytes);
        (bytes, hole)
    }

    #[test]
    fn testimony_is_found_behind_a_hole() {
        let (bytes, hole) = with_hole(|hole| hole);
        let found = testifies_beyond(&bytes, 3, hole);
        assert_eq!(found, None, "durable up to the hole, not beyond");
        let (bytes, hole) = with_hole(|hole| hole + 1);
        let found = testifies_beyond(&bytes, 3, hole);
        assert_eq!(found, Some(hole as u64 + 1));
        assert_eq!(testifies_beyond(&bytes, 4, hole), None, "a copy");
    }
}
