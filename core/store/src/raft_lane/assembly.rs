//! A snapshot that arrives in parts.

use super::marks;
use bytes::{Bytes, BytesMut};
use raft_proto::eraftpb::{Message, MessageType};
use squall_api::pb::peer::{SnapshotChunk, SnapshotReceived};
use squall_api::wire;
use xxhash_rust::xxh3::xxh3_64;

/// A snapshot with more data than this many bytes is refused: it is put
/// together in memory.
const MAX_SNAPSHOT_BYTES: u64 = 4 << 30;

/// What has arrived of the one snapshot that is under way to this member.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    /// The one that `data` is the beginning of.
    current: Option<Key>,
    data: BytesMut,
    /// The last one that was complete.
    done: Option<Key>,
}

/// Names a snapshot: chunks of the same one fit together, whoever sends them
/// and in whatever term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    term: u64,
    index: u64,
    checksum: u64,
    total: u64,
}

/// What came of a chunk.
#[derive(Debug)]
pub(super) enum Taken {
    /// Nothing, for the reason that the mark tells.
    Refused(&'static str),
    /// More is needed; its sender is to hear this.
    Part {
        received: SnapshotReceived,
        mark: &'static str,
    },
    /// The snapshot is complete, and is what its sender meant.
    Whole {
        received: SnapshotReceived,
        snapshot: Box<Message>,
    },
    /// The member is not behind this snapshot: its message, without data.
    Known(Box<Message>),
}

impl Assembly {
    /// Takes a chunk for member `me`, whose log is committed up to `commit`, in
    /// `term`.
    pub(super) fn take(
        &mut self,
        from: u64,
        me: u64,
        chunk: SnapshotChunk,
        commit: u64,
        term: u64,
    ) -> Taken {
        let Some((key, msg)) = check(from, me, &chunk) else {
            return Taken::Refused(marks::REFUSED_MALFORMED_CHUNK);
        };
        if msg.term < term {
            return Taken::Refused(marks::REFUSED_OLD_CHUNK);
        }
        if key.index <= commit {
            self.drop_current();
            return Taken::Known(Box::new(msg));
        }
        if self.done == Some(key) {
            let received = key.received(key.total, false);
            let mark = marks::KNOWN_SNAPSHOT_CHUNK;
            return Taken::Part { received, mark };
        }
        let mut mark = marks::RECEIVED_SNAPSHOT_CHUNK;
        if self.current != Some(key) {
            let is_older = |current: Key| (key.term, key.index) < (current.term, current.index);
            if self.current.is_some_and(is_older) {
                return Taken::Refused(marks::REFUSED_OLD_CHUNK);
            }
            if self.current.is_some() {
                mark = marks::SUPERSEDED_SNAPSHOT;
            }
            self.drop_current();
            self.current = Some(key);
        }
        let (offset, has) = (chunk.offset, self.data.len() as u64);
        if offset > has {
            let received = key.received(has, true);
            let mark = marks::MISSED_SNAPSHOT_CHUNK;
            return Taken::Part { received, mark };
        }
        let known = usize::try_from(has - offset).unwrap_or(usize::MAX);
        match chunk.data.get(known..) {
            Some(news) if !news.is_empty() => self.data.extend_from_slice(news),
            _ => mark = marks::KNOWN_SNAPSHOT_CHUNK,
        }
        let has = self.data.len() as u64;
        if has < key.total {
            let received = key.received(has, false);
            return Taken::Part { received, mark };
        }
        let data = std::mem::take(&mut self.data).freeze();
        self.current = None;
        if xxh3_64(&data) != key.checksum {
            let received = key.received(0, true);
            let mark = marks::REFUSED_SNAPSHOT_CHECKSUM;
            return Taken::Part { received, mark };
        }
        self.done = Some(key);
        Taken::Whole {
            received: key.received(key.total, false),
            snapshot: Box::new(with_data(msg, data)),
        }
    }

    fn drop_current(&mut self) {
        self.current = None;
        self.data = BytesMut::new();
    }
}

impl Key {
    fn received(&self, received: u64, gap: bool) -> SnapshotReceived {
        SnapshotReceived {
            index: self.index,
            checksum: self.checksum,
            received,
            gap,
        }
    }
}

fn with_data(mut msg: Message, data: Bytes) -> Message {
    msg.mut_snapshot().data = data;
    msg
}

/// Which snapshot a chunk is of, and its message; `None` if it is of none.
fn check(from: u64, me: u64, chunk: &SnapshotChunk) -> Option<(Key, Message)> {
    let msg = wire::parse::<Message>(&chunk.message).ok()?;
    let is_addressed = msg.from == from && msg.to == me;
    let end = chunk.offset.checked_add(chunk.data.len() as u64)?;
    let metadata = msg.get_snapshot().get_metadata();
    let is_sound = msg.msg_type == MessageType::MsgSnapshot
        && is_addressed
        && metadata.index > 0
        && metadata.term <= msg.term
        && !chunk.data.is_empty()
        && end <= chunk.total
        && chunk.total <= MAX_SNAPSHOT_BYTES;
    let key = Key {
        term: metadata.term,
        index: metadata.index,
        checksum: chunk.checksum,
        total: chunk.total,
    };
    is_sound.then_some((key, msg))
}
