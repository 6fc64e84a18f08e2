//! Snapshots that travel in parts, as their sender sees them.
//!
//! Raft knows a snapshot as one message. Where its data is too large for one
//! frame, the lane sends it in chunks, a few ahead of what has arrived, and
//! again, with longer and longer pauses, what seems lost. Raft gives a snapshot
//! up of which nothing arrives any more, and a new one replaces it.

use bytes::Bytes;
use protobuf::Message as _;
use raft_proto::eraftpb::{Message, MessageType};
use squall_api::pb::peer::{SnapshotChunk, SnapshotReceived};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// Chunks that may be under way to one follower.
const WINDOW: usize = 4;
/// A pause between two attempts doubles at most so often.
const MAX_DOUBLINGS: u32 = 3;

/// The snapshots under way, by follower.
#[derive(Debug)]
pub(super) struct Streams {
    chunk: usize,
    /// The first pause before a chunk is sent again, in nanoseconds.
    pause: u64,
    streams: BTreeMap<u64, Stream>,
}

#[derive(Debug)]
struct Stream {
    /// The message, encoded, without its data.
    message: Bytes,
    index: u64,
    checksum: u64,
    data: Bytes,
    /// So much has arrived.
    arrived: usize,
    /// So much was sent, lost or not.
    sent: usize,
    /// When to send again what has not arrived.
    deadline: u64,
    attempts: u32,
    /// A gap after so many bytes was already mended.
    mended: Option<usize>,
}

impl Streams {
    pub(super) fn new(chunk_bytes: u64, pause: u64) -> Streams {
        Streams {
            chunk: usize::try_from(chunk_bytes).unwrap_or(usize::MAX).max(1),
            pause: pause.max(1),
            streams: BTreeMap::new(),
        }
    }

    /// Takes over a snapshot that is too large for one frame, in place of an
    /// earlier one to the same follower. Gives back any other message.
    pub(super) fn begin(&mut self, now: u64, mut msg: Message) -> Option<Message> {
        if msg.msg_type != MessageType::MsgSnapshot || msg.get_snapshot().data.len() <= self.chunk {
            return Some(msg);
        }
        let data = std::mem::take(&mut msg.mut_snapshot().data);
        let message = msg.write_to_bytes().expect("a Vec grows as needed");
        let stream = Stream {
            message: message.into(),
            index: msg.get_snapshot().get_metadata().index,
            checksum: xxh3_64(&data),
            data,
            arrived: 0,
            sent: 0,
            deadline: now.saturating_add(self.pause),
            attempts: 0,
            mended: None,
        };
        self.streams.insert(msg.to, stream);
        None
    }

    /// Whether one is under way to `peer`.
    pub(super) fn has(&self, peer: u64) -> bool {
        self.streams.contains_key(&peer)
    }

    /// Drops those, by follower and index, that are not wanted any more.
    pub(super) fn retain(&mut self, wanted: impl Fn(u64, u64) -> bool) {
        self.streams
            .retain(|peer, stream| wanted(*peer, stream.index));
    }

    /// `peer` tells how much it has; says whether that is more than was known.
    pub(super) fn received(&mut self, now: u64, peer: u64, told: &SnapshotReceived) -> bool {
        let Some(stream) = self.streams.get_mut(&peer) else {
            return false;
        };
        let received = usize::try_from(told.received).unwrap_or(usize::MAX);
        let is_this = (told.index, told.checksum) == (stream.index, stream.checksum);
        if !is_this || received > stream.data.len() {
            return false;
        }
        if received > stream.arrived {
            stream.arrived = received;
            stream.sent = stream.sent.max(received);
            stream.attempts = 0;
            stream.deadline = now.saturating_add(self.pause);
            stream.mended = None;
        } else if !told.gap {
            return false;
        }
        // A follower that was restarted has less than it had. Each chunk after
        // a gap tells of it again: once is enough.
        if told.gap && received < stream.sent && stream.mended != Some(received) {
            stream.mended = Some(received);
            stream.arrived = received;
            stream.sent = received;
        }
        true
    }

    /// A planted bug: what has not arrived yet is sent again.
    pub(super) fn go_back(&mut self, peer: u64) {
        if let Some(stream) = self.streams.get_mut(&peer) {
            stream.sent = stream.arrived;
        }
    }

    /// Begins again where nothing arrived for too long; says at how many.
    pub(super) fn on_deadline(&mut self, now: u64) -> usize {
        let mut repeated = 0;
        for stream in self.streams.values_mut() {
            if stream.deadline > now || stream.has_arrived() {
                continue;
            }
            stream.attempts += 1;
            let pause = self.pause << stream.attempts.min(MAX_DOUBLINGS);
            stream.deadline = now.saturating_add(pause);
            stream.sent = stream.arrived;
            stream.mended = None;
            repeated += 1;
        }
        repeated
    }

    /// When [`on_deadline`](Streams::on_deadline) is due; never if nothing is
    /// under way.
    pub(super) fn deadline(&self) -> u64 {
        let waiting = self.streams.values().filter(|s| !s.has_arrived());
        waiting.map(|s| s.deadline).min().unwrap_or(u64::MAX)
    }

    /// The chunks that may be sent now, with their addressees.
    pub(super) fn take_due(&mut self) -> Vec<(u64, SnapshotChunk)> {
        let mut due = Vec::new();
        for (peer, stream) in &mut self.streams {
            let limit = stream.arrived.saturating_add(WINDOW * self.chunk);
            while stream.sent < limit.min(stream.data.len()) {
                let end = stream.data.len().min(stream.sent + self.chunk);
                due.push((
                    *peer,
                    SnapshotChunk {
                        message: stream.message.clone(),
                        offset: stream.sent as u64,
                        total: stream.data.len() as u64,
                        checksum: stream.checksum,
                        data: stream.data.slice(stream.sent..end),
                    },
                ));
                stream.sent = end;
            }
        }
        due
    }
}

impl Stream {
    fn has_arrived(&self) -> bool {
        self.arrived == self.data.len()
    }
}
