//! Messages on the wire between members.
//!
//! A damaged message may parse into a different one. A frame therefore carries
//! its own length and a checksum, and nothing is parsed before both hold, nor
//! before it was looked through: a checksum keeps nobody from writing nonsense.

use crate::pb::peer::{Forwarded, SnapshotChunk, SnapshotReceived};
use crate::wire;
use bytes::{Buf, BufMut, BytesMut};
use protobuf::Message as _;
use raft_proto::eraftpb::Message;

/// The version of the frame format, and of what a member understands.
pub const VERSION: u16 = 1;
/// Bytes before a frame's body: magic, version, length, checksum, cluster, from, to.
pub const FRAME_HEADER_LEN: usize = 4 + 2 + 4 + 4 + 8 + 8 + 8;
/// The largest body that is accepted.
///
/// Members send appends of at most their settings' `max_append_bytes`, or one
/// entry, and snapshots in parts: nothing that they say is nearly as long.
pub const MAX_FRAME_LEN: usize = 64 << 20;
const MAGIC: [u8; 4] = *b"sqRF";

/// A message, addressed.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerFrame {
    /// The sender's cluster.
    pub cluster: u64,
    /// The sender.
    pub from: u64,
    /// The addressee.
    pub to: u64,
    /// The sender's [`VERSION`].
    pub version: u16,
    /// The message.
    pub body: PeerBody,
}

/// What one member tells another.
#[derive(Debug, Clone, PartialEq)]
pub enum PeerBody {
    /// A Raft message, from Raft lane to Raft lane.
    Raft(Box<Message>),
    /// A call that only the leader can answer, or its answer: from apply lane
    /// to apply lane. Like every frame it may get lost or repeated.
    Forwarded(Box<Forwarded>),
    /// A part of a snapshot, from Raft lane to Raft lane.
    Chunk(Box<SnapshotChunk>),
    /// How much of a snapshot has arrived, from Raft lane to Raft lane.
    Received(SnapshotReceived),
}

const RAFT: u8 = 1;
const FORWARDED: u8 = 2;
const CHUNK: u8 = 3;
const RECEIVED: u8 = 4;

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// More bytes are needed before anything can be said.
    #[error("{missing} more bytes needed")]
    Incomplete {
        /// At least this many.
        missing: usize,
    },
    /// The first bytes are not a frame's.
    #[error("not a peer frame: it starts with {found:02x?}")]
    Magic {
        /// What is there instead.
        found: [u8; 4],
    },
    /// A version that this build does not understand.
    #[error("frame version {found} is newer than {VERSION}")]
    Version {
        /// The frame's.
        found: u16,
    },
    /// A body longer than is ever sent.
    #[error("frame of {found} bytes is longer than {MAX_FRAME_LEN}")]
    TooLong {
        /// The length it claims.
        found: usize,
    },
    /// The checksum does not match: the frame was damaged on its way.
    #[error("frame checksum is {found:08x}, its bytes give {computed:08x}")]
    Checksum {
        /// What the frame says.
        found: u32,
        /// What its bytes say.
        computed: u32,
    },
    /// The checksum holds, but the body is no message.
    #[error("frame body is no message: {0}")]
    Body(String),
}

impl PeerFrame {
    /// Appends the frame's bytes to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut body = Vec::new();
        self.encode_body(&mut body);
        assert!(
            body.len() <= MAX_FRAME_LEN,
            "a message of {} bytes was built",
            body.len()
        );
        out.reserve(FRAME_HEADER_LEN + body.len());
        out.put_slice(&MAGIC);
        out.put_u16_le(self.version);
        out.put_u32_le(body.len() as u32);
        let mut tail = BytesMut::with_capacity(24);
        tail.put_u64_le(self.cluster);
        tail.put_u64_le(self.from);
        tail.put_u64_le(self.to);
        out.put_u32_le(checksum(self.version, &tail, &body));
        out.put_slice(&tail);
        out.put_slice(&body);
    }

    /// The Raft message that it carries, if it is one.
    pub fn raft(&self) -> Option<&Message> {
        match &self.body {
            PeerBody::Raft(msg) => Some(msg),
            PeerBody::Forwarded(_) | PeerBody::Chunk(_) | PeerBody::Received(_) => None,
        }
    }

    /// Whether it is the Raft lane that it goes to; else it is the apply lane.
    pub const fn is_for_raft(&self) -> bool {
        !matches!(self.body, PeerBody::Forwarded(_))
    }

    /// Appends the body's bytes alone, without the frame around them.
    pub fn encode_body(&self, out: &mut Vec<u8>) {
        match &self.body {
            PeerBody::Raft(msg) => {
                out.push(RAFT);
                msg.write_to_vec(out)
                    .expect("a Raft message has no required fields");
            }
            PeerBody::Forwarded(msg) => {
                out.push(FORWARDED);
                prost::Message::encode(&**msg, out).expect("a Vec grows as needed");
            }
            PeerBody::Chunk(msg) => {
                out.push(CHUNK);
                prost::Message::encode(&**msg, out).expect("a Vec grows as needed");
            }
            PeerBody::Received(msg) => {
                out.push(RECEIVED);
                prost::Message::encode(msg, out).expect("a Vec grows as needed");
            }
        }
    }

    /// How many bytes [`PeerFrame::encode_body`] appends.
    pub fn body_len(&self) -> usize {
        1 + match &self.body {
            PeerBody::Raft(msg) => msg.compute_size() as usize,
            PeerBody::Forwarded(msg) => prost::Message::encoded_len(&**msg),
            PeerBody::Chunk(msg) => prost::Message::encoded_len(&**msg),
            PeerBody::Received(msg) => prost::Message::encoded_len(msg),
        }
    }

    /// Takes one frame off the front of `input`; on an error, `input` is as it
    /// was. Only [`FrameError::Incomplete`] can be mended by more bytes.
    pub fn decode(input: &mut BytesMut) -> Result<PeerFrame, FrameError> {
        if input.len() < FRAME_HEADER_LEN {
            return Err(FrameError::Incomplete {
                missing: FRAME_HEADER_LEN - input.len(),
            });
        }
        let mut header = &input[..FRAME_HEADER_LEN];
        let mut magic = [0; 4];
        header.copy_to_slice(&mut magic);
        if magic != MAGIC {
            return Err(FrameError::Magic { found: magic });
        }
        let version = header.get_u16_le();
        if version > VERSION {
            return Err(FrameError::Version { found: version });
        }
        let len = header.get_u32_le() as usize;
        if len > MAX_FRAME_LEN {
            return Err(FrameError::TooLong { found: len });
        }
        if input.len() < FRAME_HEADER_LEN + len {
            return Err(FrameError::Incomplete {
                missing: FRAME_HEADER_LEN + len - input.len(),
            });
        }
        let found = header.get_u32_le();
        let tail = header;
        let body = &input[FRAME_HEADER_LEN..FRAME_HEADER_LEN + len];
        let computed = checksum(version, tail, body);
        if found != computed {
            return Err(FrameError::Checksum { found, computed });
        }
        let (cluster, from, to) = (
            header.get_u64_le(),
            header.get_u64_le(),
            header.get_u64_le(),
        );
        let body = decode_body(body)?;
        input.advance(FRAME_HEADER_LEN + len);
        Ok(PeerFrame {
            cluster,
            from,
            to,
            version,
            body,
        })
    }
}

fn decode_body(body: &[u8]) -> Result<PeerBody, FrameError> {
    match body.split_first() {
        Some((&RAFT, bytes)) => wire::parse(bytes).map(|m| PeerBody::Raft(Box::new(m))),
        Some((&FORWARDED, bytes)) => {
            wire::parse_prost(bytes, &wire::FORWARDED).map(|m| PeerBody::Forwarded(Box::new(m)))
        }
        Some((&CHUNK, bytes)) => {
            wire::parse_prost(bytes, &wire::CHUNK).map(|m| PeerBody::Chunk(Box::new(m)))
        }
        Some((&RECEIVED, bytes)) => {
            wire::parse_prost(bytes, &wire::RECEIVED).map(PeerBody::Received)
        }
        other => {
            let kind = other.map(|(kind, _)| kind);
            return Err(FrameError::Body(format!("it is of unknown kind {kind:?}")));
        }
    }
    .map_err(|e| FrameError::Body(e.to_string()))
}

fn checksum(version: u16, tail: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&version.to_le_bytes());
    hasher.update(&(body.len() as u32).to_le_bytes());
    hasher.update(tail);
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use raft_proto::eraftpb::{Entry, MessageType};

    fn frame() -> PeerFrame {
        let mut msg = Message::default();
        msg.set_msg_type(MessageType::MsgAppend);
        msg.term = 7;
        let entry = Entry {
            index: 3,
            data: Bytes::from_static(b"payload"),
            ..Entry::default()
        };
        msg.mut_entries().push(entry);
        PeerFrame {
            cluster: 1,
            from: 2,
            to: 3,
            version: VERSION,
            body: PeerBody::Raft(Box::new(msg)),
        }
    }

    #[test]
    fn a_frame_survives_the_wire_also_in_pieces() {
        let mut wire = BytesMut::new();
        frame().encode(&mut wire);
        assert_eq!(wire.len(), FRAME_HEADER_LEN + frame().body_len());
        frame().encode(&mut wire);
        let mut got = BytesMut::new();
        let mut frames = 0;
        for byte in wire {
            got.put_u8(byte);
            match PeerFrame::decode(&mut got) {
                Ok(decoded) => {
                    assert_eq!(decoded, frame());
                    frames += 1;
                }
                Err(FrameError::Incomplete { missing }) => assert!(missing > 0),
                Err(e) => panic!("{e}"),
            }
        }
        assert_eq!((frames, got.len()), (2, 0));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut wire = BytesMut::new();
        frame().encode(&mut wire);
        for bit in 0..wire.len() * 8 {
            let mut damaged = wire.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                PeerFrame::decode(&mut damaged).is_err(),
                "bit {bit} went unnoticed"
            );
        }
    }
}
