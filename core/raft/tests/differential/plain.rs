//! Messages without what only one of the two writes.

use raft_proto::eraftpb::{Message, MessageType};
use std::collections::BTreeMap;

/// What is compared of messages to one peer, in the order in which they leave.
///
/// raft-rs keeps its peers in a hash map: the order among messages to
/// different peers means nothing.
pub(crate) fn by_peer(messages: &[Message]) -> BTreeMap<u64, Vec<Message>> {
    let mut by_peer: BTreeMap<u64, Vec<Message>> = BTreeMap::new();
    for msg in messages {
        by_peer.entry(msg.to).or_default().push(plain(msg));
    }
    by_peer
}

/// A message, without the fields that raft-rs adds for features of its own.
pub(crate) fn plain(msg: &Message) -> Message {
    let mut plain = msg.clone();
    // Elections by priority.
    plain.priority = 0;
    plain.deprecated_priority = 0;
    if !carries_commit(msg.msg_type) {
        // Responses tell raft-rs's leaders how far followers have committed,
        // for group commit, and its candidates what a refusing voter has.
        plain.commit = 0;
        plain.commit_term = 0;
    }
    plain
}

fn carries_commit(msg_type: MessageType) -> bool {
    matches!(msg_type, MessageType::MsgAppend | MessageType::MsgHeartbeat)
}
