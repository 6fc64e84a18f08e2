//! Messages between members, from the step that sends one to the lane that takes it.

use super::inner::Inner;
use super::marks;
use super::process::Lane;
use super::queue::Due;
use super::wire::{self, Flight, Wire};
use crate::Fate;
use squall_api::eraftpb::{Entry, Message};
use squall_api::{FRAME_HEADER_LEN, Input, PeerBody, PeerFrame};
use squall_record::{DropReason, Kind, PartKind};

impl Inner {
    pub(crate) fn send(&mut self, node: u64, frame: PeerFrame, cause: Option<u64>) {
        let now = self.now;
        let to = frame.to;
        assert!(
            frame.from == node && self.has_node(to),
            "n{node} sent {frame:?}"
        );
        self.scratch.clear();
        write_down(&frame, &mut self.scratch);
        let bytes = FRAME_HEADER_LEN + frame.body_len();
        self.recorder
            .mix(PartKind::Message, node << 32 | to, &self.scratch);
        self.charge_message(&frame, bytes as u64);
        if self.violation.is_none()
            && let Some(msg) = frame.raft()
            && let Err(violation) = self.observer.sent(now, node, msg)
        {
            self.violate(Some(node), cause, violation);
        }
        // A message is known by the number of the event that sent it.
        let msg = self.recorder.next();
        let sent = self
            .recorder
            .detail(now, Some(node), cause, || sent(msg, &frame));
        match self.net.send(now, node, to, bytes) {
            Fate::Drop(why) => {
                self.recorder
                    .detail(now, Some(node), Some(sent), || Kind::Dropped {
                        msg,
                        to,
                        why,
                    });
            }
            Fate::Deliver(at) => self.fly(at, msg, sent, frame, None),
            Fate::DeliverTwice(first, second) => {
                self.fly(first, msg, sent, frame.clone(), None);
                self.fly(second, msg, sent, frame, None);
            }
            Fate::Damaged { at, damage } => self.fly(at, msg, sent, frame, Some(damage)),
        }
    }

    fn charge_message(&mut self, frame: &PeerFrame, bytes: u64) {
        let resources = &mut self.resources;
        resources.messages += 1;
        resources.sent_bytes += bytes;
        let snapshot = match &frame.body {
            PeerBody::Raft(msg) => msg.get_snapshot().data.len() as u64,
            PeerBody::Chunk(chunk) => chunk.total,
            PeerBody::Forwarded(_) | PeerBody::Received(_) => 0,
        };
        resources.snapshot_bytes = resources.snapshot_bytes.max(snapshot);
    }

    /// Puts a frame on its way, to arrive at true time `at`.
    pub(crate) fn fly(
        &mut self,
        at: u64,
        msg: u64,
        sent: u64,
        frame: PeerFrame,
        damage: Option<u64>,
    ) {
        let (from, to) = (frame.from, frame.to);
        let arrives = self.net.link_time(self.now, from, to) + (at - self.now);
        let flight = Flight {
            msg,
            sent,
            frame,
            damage,
        };
        self.wire(from, to).push(arrives, flight);
        self.queue.push(at, Due::Arrive { from, to });
    }

    pub(crate) fn wire(&mut self, from: u64, to: u64) -> &mut Wire {
        let nodes = self.nodes.len() as u64;
        &mut self.wires[((from - 1) * nodes + (to - 1)) as usize]
    }

    /// Ends what a fault did to the network, and lets go what it kept there.
    pub(crate) fn heal(&mut self, fault: u32) {
        let now = self.now;
        self.net.heal(fault);
        if self.net.relieve_clients(fault) {
            for due in std::mem::take(&mut self.kept_from_clients) {
                self.queue.push(now, due);
            }
        }
        for (from, to) in self.net.relieve(now, fault) {
            let reached = self.net.link_time(now, from, to);
            let waits: Vec<u64> = self
                .wire(from, to)
                .arrivals()
                .map(|at| at.saturating_sub(reached))
                .collect();
            for wait in waits {
                self.queue.push(now + wait, Due::Arrive { from, to });
            }
        }
    }

    /// Looks at a direction on which a frame should arrive now. A clog may have
    /// moved that, and a hold may have brought it forward: then nothing does.
    pub(crate) fn arrive(&mut self, from: u64, to: u64) {
        let now = self.now;
        if !self.net.moves(from, to) {
            self.net.kept(from, to);
            return;
        }
        let reached = self.net.link_time(now, from, to);
        let Some(flight) = self.wire(from, to).pop(reached) else {
            return;
        };
        let Flight { msg, sent, .. } = flight;
        let arrived = if !self.net.connected(from, to) {
            self.net.lost_to_cut(from, to);
            Err(DropReason::Partition)
        } else if !self.node(to).up {
            Err(DropReason::Down)
        } else {
            match flight.damage {
                None => Ok(flight.frame),
                Some(damage) => {
                    wire::damaged(&flight.frame, damage).map_err(|_| DropReason::Corrupt)
                }
            }
        };
        self.recorder
            .mix(PartKind::Arrival, msg, &[arrived.is_err() as u8]);
        let frame = match arrived {
            Ok(frame) => frame,
            Err(why) => {
                self.recorder
                    .detail(now, Some(to), Some(sent), || Kind::Dropped { msg, to, why });
                return;
            }
        };
        if flight.damage.is_some() {
            // The checksum let it pass, and so does the world: what the member
            // makes of it is the finding.
            self.recorder
                .mark(now, to, Some(sent), marks::DAMAGE_UNNOTICED);
            self.marks.pass(to, marks::DAMAGE_UNNOTICED);
        }
        self.recorder.stats.messages += 1;
        let arrival = self
            .recorder
            .detail(now, Some(to), Some(sent), || Kind::Delivered { msg, from });
        let lane = match frame.is_for_raft() {
            true => Lane::Raft,
            false => Lane::Apply,
        };
        self.give(to, lane, Input::Peer(frame), Some(arrival));
    }
}

/// Appends what tells a message from every other, for the rolling hash. Most
/// messages are Raft's, whose fields are written down as they are: that is quicker
/// than their protobuf.
fn write_down(frame: &PeerFrame, out: &mut Vec<u8>) {
    let raft = match frame.raft() {
        Some(raft) if raft.snapshot.is_none() => raft,
        _ => {
            frame.encode_body(out);
            return;
        }
    };
    // Every field by name: one that joins them must not be forgotten.
    let Message {
        msg_type,
        to,
        from,
        term,
        log_term,
        index,
        entries,
        commit,
        commit_term,
        snapshot: _,
        request_snapshot,
        reject,
        reject_hint,
        context,
        deprecated_priority,
        priority,
        unknown_fields: _,
        cached_size: _,
    } = raft;
    let fields = [
        *msg_type as u64,
        *to,
        *from,
        *term,
        *log_term,
        *index,
        entries.len() as u64,
        *commit,
        *commit_term,
        *request_snapshot,
        u64::from(*reject),
        *reject_hint,
        *deprecated_priority,
        *priority as u64,
    ];
    put_words(&fields, out);
    put_bytes(context, out);
    for entry in entries {
        let Entry {
            entry_type,
            term,
            index,
            data,
            context,
            sync_log,
            unknown_fields: _,
            cached_size: _,
        } = entry;
        let fields = [*entry_type as u64, *term, *index, u64::from(*sync_log)];
        put_words(&fields, out);
        put_bytes(data, out);
        put_bytes(context, out);
    }
}

fn put_words(words: &[u64], out: &mut Vec<u8>) {
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_words(&[bytes.len() as u64], out);
    out.extend_from_slice(bytes);
}

fn sent(msg: u64, frame: &PeerFrame) -> Kind {
    let to = frame.to;
    match frame.raft() {
        Some(raft) => Kind::Sent {
            msg,
            to,
            what: format!("{:?}", raft.get_msg_type()).into(),
            term: raft.term,
            index: raft.index,
            entries: raft.entries.len() as u32,
        },
        None => Kind::Sent {
            msg,
            to,
            what: match &frame.body {
                PeerBody::Chunk(_) => "SnapshotChunk",
                PeerBody::Received(_) => "SnapshotReceived",
                PeerBody::Raft(_) | PeerBody::Forwarded(_) => "Forwarded",
            }
            .into(),
            term: 0,
            index: match &frame.body {
                PeerBody::Received(received) => received.index,
                _ => 0,
            },
            entries: 0,
        },
    }
}
