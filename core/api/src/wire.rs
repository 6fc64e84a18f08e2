//! Protobuf from disks and networks, looked through before it is parsed.
//!
//! The parsers trust what they are given. rust-protobuf 2.28 lets a sub-message
//! run past its own end, so that damaged bytes parse into another message; it
//! follows groups, and keeps every field that it does not know. Both parsers
//! make of an empty element, which takes two bytes, what takes fifty times as
//! much. So bytes that come from outside are first [looked through](scan), in
//! one pass that allocates nothing: each field must be one that the message has,
//! of its type, and whole, and what they make in memory stays below
//! [`MAX_PARSED_LEN`].

use crate::pb::peer::Forwarded;
use raft_proto::eraftpb::{
    ConfChange, ConfChangeSingle, ConfChangeV2, ConfState, Entry, Message, Snapshot,
    SnapshotMetadata,
};

/// What one message may take in memory, roughly, in bytes.
pub const MAX_PARSED_LEN: usize = 256 << 20;

/// Why bytes are not the message that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A number or a tag breaks off, or is longer than any number.
    #[error("byte {at}: a number does not end here")]
    Number {
        /// Where it begins.
        at: usize,
    },
    /// A field runs past the end of its message.
    #[error("byte {at}: field {field} claims {claimed} bytes, and its message has {left} left")]
    Overrun {
        /// Where the field's content begins.
        at: usize,
        /// Its number.
        field: u32,
        /// The length that it claims.
        claimed: u64,
        /// What there is.
        left: usize,
    },
    /// A field that the message does not have, or not in this way: groups are
    /// had by none.
    #[error("byte {at}: the message has no field {field} of wire type {wire_type}")]
    Field {
        /// Where its tag begins.
        at: usize,
        /// Its number.
        field: u32,
        /// How it is written.
        wire_type: u8,
    },
    /// Too many elements.
    #[error("byte {at}: up to here it would take more than {MAX_PARSED_LEN} bytes of memory")]
    TooLarge {
        /// How far it was read.
        at: usize,
    },
    /// The parser itself refuses it.
    #[error("{0}")]
    Parser(String),
}

/// A rust-protobuf message that can be looked through.
pub trait Shaped: protobuf::Message {
    /// Its fields.
    const SHAPE: &'static Shape;
}

/// Which fields a message has.
#[derive(Debug)]
pub struct Shape(&'static [(u32, Field)]);

#[derive(Debug)]
enum Field {
    /// One number; or several, each with a tag or all in one run.
    Varint,
    Varints,
    Fixed64,
    Bytes,
    /// A message, and what it takes in memory beside its parts.
    Message(&'static Shape, usize),
}

/// Parses what was [looked through](scan).
pub fn parse<M: Shaped>(bytes: &[u8]) -> Result<M, WireError> {
    scan(bytes, M::SHAPE)?;
    let mut message = M::new();
    message
        .merge_from_bytes(bytes)
        .map_err(|e| WireError::Parser(e.to_string()))?;
    Ok(message)
}

/// The same for messages of prost's.
pub(crate) fn parse_prost<M: prost::Message + Default>(
    bytes: &[u8],
    shape: &Shape,
) -> Result<M, WireError> {
    scan(bytes, shape)?;
    M::decode(bytes).map_err(|e| WireError::Parser(e.to_string()))
}

/// Looks a message through.
pub fn scan(bytes: &[u8], shape: &Shape) -> Result<(), WireError> {
    let mut scan = Scan {
        bytes,
        at: 0,
        costs: 0,
    };
    scan.message(bytes.len(), shape)
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    costs: usize,
}

impl Scan<'_> {
    /// Looks through a message that ends at `end`. As deep as shapes are.
    fn message(&mut self, end: usize, shape: &Shape) -> Result<(), WireError> {
        while self.at < end {
            let at = self.at;
            let tag = self.number(end)?;
            let (number, wire_type) = ((tag >> 3) as u32, (tag & 7) as u8);
            let known = shape
                .0
                .iter()
                .find(|(known, _)| u64::from(*known) == tag >> 3);
            match (known.map(|(_, field)| field), wire_type) {
                (Some(Field::Varint | Field::Varints), 0) => {
                    self.number(end)?;
                    self.cost(16)?;
                }
                (Some(Field::Varints), 2) => {
                    let end = self.length(number, end)?;
                    while self.at < end {
                        self.number(end)?;
                        self.cost(16)?;
                    }
                }
                (Some(Field::Fixed64), 1) => {
                    let end = self.end_of(number, 8, end)?;
                    self.at = end;
                    self.cost(16)?;
                }
                (Some(Field::Bytes), 2) => {
                    let end = self.length(number, end)?;
                    self.cost(64 + (end - self.at))?;
                    self.at = end;
                }
                (Some(Field::Message(shape, takes)), 2) => {
                    let end = self.length(number, end)?;
                    // Twice, for lists grow by doubling.
                    self.cost(2 * takes)?;
                    self.message(end, shape)?;
                }
                _ => {
                    let field = number;
                    return Err(WireError::Field {
                        at,
                        field,
                        wire_type,
                    });
                }
            }
        }
        Ok(())
    }

    fn number(&mut self, end: usize) -> Result<u64, WireError> {
        let at = self.at;
        let mut number = 0_u64;
        for shift in 0..10 {
            let Some(byte) = self.bytes[..end].get(self.at) else {
                break;
            };
            self.at += 1;
            number |= u64::from(byte & 0x7f) << (7 * shift);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(WireError::Number { at })
    }

    /// Reads a length; returns where the content ends, which begins here.
    fn length(&mut self, field: u32, end: usize) -> Result<usize, WireError> {
        let claimed = self.number(end)?;
        self.end_of(field, claimed, end)
    }

    fn end_of(&self, field: u32, claimed: u64, end: usize) -> Result<usize, WireError> {
        let (at, left) = (self.at, end - self.at);
        match usize::try_from(claimed) {
            Ok(claimed) if claimed <= left => Ok(at + claimed),
            _ => Err(WireError::Overrun {
                at,
                field,
                claimed,
                left,
            }),
        }
    }

    fn cost(&mut self, bytes: usize) -> Result<(), WireError> {
        self.costs = self.costs.saturating_add(bytes);
        match self.costs <= MAX_PARSED_LEN {
            true => Ok(()),
            false => Err(WireError::TooLarge { at: self.at }),
        }
    }
}

const CONF_STATE: Shape = Shape(&[
    (1, Field::Varints),
    (2, Field::Varints),
    (3, Field::Varints),
    (4, Field::Varints),
    (5, Field::Varint),
]);

const METADATA: Shape = Shape(&[
    (1, Field::Message(&CONF_STATE, size_of::<ConfState>())),
    (2, Field::Varint),
    (3, Field::Varint),
]);

const SNAPSHOT: Shape = Shape(&[
    (1, Field::Bytes),
    (2, Field::Message(&METADATA, size_of::<SnapshotMetadata>())),
]);

const ENTRY: Shape = Shape(&[
    (1, Field::Varint),
    (2, Field::Varint),
    (3, Field::Varint),
    (4, Field::Bytes),
    (5, Field::Varint),
    (6, Field::Bytes),
]);

const CHANGE: Shape = Shape(&[(1, Field::Varint), (2, Field::Varint)]);

impl Shaped for Message {
    const SHAPE: &'static Shape = &Shape(&[
        (1, Field::Varint),
        (2, Field::Varint),
        (3, Field::Varint),
        (4, Field::Varint),
        (5, Field::Varint),
        (6, Field::Varint),
        (7, Field::Message(&ENTRY, size_of::<Entry>())),
        (8, Field::Varint),
        (9, Field::Message(&SNAPSHOT, size_of::<Snapshot>())),
        (10, Field::Varint),
        (11, Field::Varint),
        (12, Field::Bytes),
        (13, Field::Varint),
        (14, Field::Varint),
        (15, Field::Varint),
        (16, Field::Varint),
    ]);
}

impl Shaped for Entry {
    const SHAPE: &'static Shape = &ENTRY;
}

impl Shaped for ConfState {
    const SHAPE: &'static Shape = &CONF_STATE;
}

impl Shaped for ConfChange {
    const SHAPE: &'static Shape = &Shape(&[
        (1, Field::Varint),
        (2, Field::Varint),
        (3, Field::Varint),
        (4, Field::Bytes),
    ]);
}

impl Shaped for ConfChangeV2 {
    const SHAPE: &'static Shape = &Shape(&[
        (1, Field::Varint),
        (2, Field::Message(&CHANGE, size_of::<ConfChangeSingle>())),
        (3, Field::Bytes),
    ]);
}

const HEADER: Shape = Shape(&[
    (1, Field::Varint),
    (2, Field::Varint),
    (3, Field::Varint),
    (4, Field::Varint),
]);

/// Questions and answers that say all by being there.
const EMPTY: Shape = Shape(&[]);

/// Questions, and answers without lists.
const FLAT: Shape = Shape(&[
    (1, Field::Varint),
    (2, Field::Varint),
    (3, Field::Varint),
    (4, Field::Varint),
]);

/// Answers that begin with a header.
const ANSWER: Shape = Shape(&[
    (1, Field::Message(&HEADER, 32)),
    (2, Field::Varint),
    (3, Field::Varint),
    (4, Field::Varint),
    (5, Field::Bytes),
]);

const BODY: usize = size_of::<Forwarded>();

pub(crate) const FORWARDED: Shape = Shape(&[
    (1, Field::Varint),
    (2, Field::Message(&FLAT, BODY)),
    (3, Field::Message(&FLAT, BODY)),
    (4, Field::Message(&FLAT, BODY)),
    (5, Field::Message(&FLAT, BODY)),
    (6, Field::Message(&EMPTY, BODY)),
    (12, Field::Message(&ANSWER, BODY)),
    (13, Field::Message(&ANSWER, BODY)),
    (14, Field::Message(&FLAT, BODY)),
    (15, Field::Message(&EMPTY, BODY)),
    (16, Field::Message(&ANSWER, BODY)),
]);

pub(crate) const CHUNK: Shape = Shape(&[
    (1, Field::Bytes),
    (2, Field::Varint),
    (3, Field::Varint),
    (4, Field::Fixed64),
    (5, Field::Bytes),
]);

pub(crate) const RECEIVED: Shape = Shape(&[
    (1, Field::Varint),
    (2, Field::Fixed64),
    (3, Field::Varint),
    (4, Field::Varint),
]);

#[cfg(test)]
mod tests {
    use super::*;
    use protobuf::Message as _;
    use raft_proto::eraftpb::MessageType;

    fn message() -> Message {
        let mut msg = Message {
            msg_type: MessageType::MsgSnapshot,
            to: 1,
            from: 300,
            term: u64::MAX,
            reject: true,
            reject_hint: 5,
            request_snapshot: 6,
            deprecated_priority: 7,
            commit_term: 8,
            priority: -9,
            context: b"context".to_vec().into(),
            ..Message::default()
        };
        msg.entries.push(Entry {
            index: 3,
            data: b"data".to_vec().into(),
            sync_log: true,
            ..Entry::default()
        });
        let metadata = msg.mut_snapshot().mut_metadata();
        metadata.index = 9;
        let conf_state = metadata.mut_conf_state();
        conf_state.voters = vec![1, 2, 300];
        conf_state.learners_next = vec![4];
        conf_state.auto_leave = true;
        msg
    }

    fn refused<M: Shaped>(bytes: &[u8]) -> String {
        parse::<M>(bytes).expect_err("hostile bytes").to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let msg = message();
        let bytes = msg.write_to_bytes().unwrap();
        assert_eq!(parse::<Message>(&bytes), Ok(msg));
        for end in 1..bytes.len() {
            // A prefix may be a message, but never one that runs past its end.
            if let Ok(prefix) = parse::<Message>(&bytes[..end]) {
                assert_eq!(prefix.write_to_bytes().unwrap().len(), end);
            }
        }
        let mut change = ConfChangeV2::default();
        change.changes.push(ConfChangeSingle {
            node_id: 4,
            ..ConfChangeSingle::default()
        });
        let bytes = change.write_to_bytes().unwrap();
        assert_eq!(parse::<ConfChangeV2>(&bytes), Ok(change));
    }

    #[test]
    fn a_sub_message_that_runs_past_its_end_is_refused() {
        // One entry, says rust-protobuf.
        let overrun = [0x3a, 0x05, 0x10, 0x01];
        assert!(Message::parse_from_bytes(&overrun).is_ok());
        let why = "byte 2: field 7 claims 5 bytes, and its message has 2 left";
        assert_eq!(refused::<Message>(&overrun), why);
        // The same within a message that goes on.
        let inner = [0x3a, 0x04, 0x22, 0x03, 0x01, 0x02, 0x10, 0x01];
        let why = "byte 4: field 4 claims 3 bytes, and its message has 2 left";
        assert_eq!(refused::<Message>(&inner), why);
        let number = [0x3a, 0x02, 0x10, 0x80, 0x01];
        assert_eq!(
            refused::<Message>(&number),
            "byte 3: a number does not end here"
        );
        let run = [0x0a, 0x01, 0x80, 0x01];
        assert_eq!(
            refused::<ConfState>(&run),
            "byte 2: a number does not end here"
        );
    }

    #[test]
    fn groups_and_fields_that_nobody_writes_are_refused() {
        let why = "byte 0: the message has no field 7 of wire type 3";
        assert_eq!(refused::<Message>(&[0x3b, 0x3c]), why);
        let nested = [0x3b].repeat(100_000);
        assert_eq!(refused::<Message>(&nested), why);
        let why = "byte 0: the message has no field 0 of wire type 0";
        assert_eq!(refused::<Entry>(&[0x00, 0x01]), why);
        let why = "byte 0: the message has no field 31 of wire type 0";
        assert_eq!(refused::<Entry>(&[0xf8, 0x01, 0x00]), why);
        let why = "byte 0: the message has no field 2 of wire type 2";
        assert_eq!(refused::<Entry>(&[0x12, 0x01, 0x00]), why);
        let long = [0x10]
            .iter()
            .chain(&[0xff; 11])
            .copied()
            .collect::<Vec<u8>>();
        assert_eq!(
            refused::<Entry>(&long),
            "byte 1: a number does not end here"
        );
    }

    #[test]
    fn empty_elements_are_paid_for() {
        let entries = [0x3a, 0x00].repeat(2 << 20);
        let why = refused::<Message>(&entries);
        assert!(
            why.ends_with("would take more than 268435456 bytes of memory"),
            "{why}"
        );
        assert!(parse::<Message>(&entries[..1 << 12]).is_ok());
    }
}
