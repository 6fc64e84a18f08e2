//! Messages: how they are made, and which of them are nonsense.

use bytes::Bytes;
use protobuf::Message as _;
use raft_proto::eraftpb::{
    ConfChange, ConfChangeSingle, ConfChangeV2, Entry, EntryType, Message, MessageType,
};
use squall_api::wire;

/// No log is this long: indexes beyond are nonsense, and sums with them safe.
const MAX_INDEX: u64 = u64::MAX >> 1;

/// A message to `to`. Its sender and term are filled in when it is sent.
pub(crate) fn message(msg_type: MessageType, to: u64) -> Message {
    Message {
        msg_type,
        to,
        ..Default::default()
    }
}

/// Whether a message of this type goes to a leader through a follower: such
/// messages belong to no term.
pub(crate) fn is_forward(msg_type: MessageType) -> bool {
    matches!(
        msg_type,
        MessageType::MsgPropose | MessageType::MsgReadIndex
    )
}

/// Eight bytes, big-endian: proposal ids and rounds of heartbeats.
pub(crate) fn encode_id(id: u64) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}

/// What [`encode_id`] wrote.
pub(crate) fn decode_id(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// A normal entry with the proposal's id as its context; term and index are
/// the leader's to give.
pub(crate) fn proposal(id: u64, data: Bytes) -> Entry {
    Entry {
        data,
        context: encode_id(id),
        ..Default::default()
    }
}

/// The same for a change of membership.
pub(crate) fn conf_change(id: u64, change: &ConfChangeV2) -> Entry {
    let data = change.write_to_bytes();
    Entry {
        entry_type: EntryType::EntryConfChangeV2,
        data: data.expect("a Vec grows as needed").into(),
        context: encode_id(id),
        ..Default::default()
    }
}

/// Whether an entry changes the membership when it is applied.
pub fn is_conf_change(entry: &Entry) -> bool {
    entry.entry_type != EntryType::EntryNormal
}

/// The change in an entry of either type; `None` if its data is none.
pub fn decode_conf_change(entry: &Entry) -> Option<ConfChangeV2> {
    if entry.entry_type == EntryType::EntryConfChangeV2 {
        return wire::parse::<ConfChangeV2>(&entry.data).ok();
    }
    let mut old = wire::parse::<ConfChange>(&entry.data).ok()?;
    let mut change = ConfChangeV2::default();
    change.changes.push(ConfChangeSingle {
        change_type: old.change_type,
        node_id: old.node_id,
        ..Default::default()
    });
    change.context = std::mem::take(&mut old.context);
    Some(change)
}

/// Whether a message agrees with itself, whoever sent it.
pub(crate) fn is_well_formed(msg: &Message) -> bool {
    let in_range = msg.index <= MAX_INDEX && msg.commit <= MAX_INDEX;
    in_range
        && match msg.msg_type {
            MessageType::MsgAppend => entries_follow(msg),
            MessageType::MsgSnapshot => {
                let metadata = msg.get_snapshot().get_metadata();
                metadata.index > 0
                    && metadata.index <= MAX_INDEX
                    && metadata.term > 0
                    && metadata.term <= msg.term
            }
            MessageType::MsgPropose => {
                let is_proposal = |entry: &Entry| {
                    (!is_conf_change(entry) || decode_conf_change(entry).is_some())
                        && decode_id(&entry.context).is_some()
                };
                !msg.entries.is_empty() && msg.entries.iter().all(is_proposal)
            }
            MessageType::MsgReadIndex | MessageType::MsgReadIndexResp => msg.entries.len() == 1,
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => msg.log_term < msg.term,
            _ => true,
        }
}

/// Entries must follow (`index`, `log_term`) without gaps, in terms that do
/// not decrease and that their sender can know.
fn entries_follow(msg: &Message) -> bool {
    if (msg.index == 0) != (msg.log_term == 0) {
        return false;
    }
    let mut before = (msg.index, msg.log_term);
    for entry in &msg.entries {
        let follows = entry.index == before.0 + 1 && entry.term >= before.1 && entry.term > 0;
        if !follows {
            return false;
        }
        before = (entry.index, entry.term);
    }
    before.1 <= msg.term
}
