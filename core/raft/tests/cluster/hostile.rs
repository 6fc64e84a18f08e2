//! Messages that no honest member sends. They are ignored, with a mark.

use crate::cluster::Cluster;
use bytes::Bytes;
use proptest::prelude::*;
use raft_proto::eraftpb::{Entry, EntryType, Message, MessageType};
use squall_api::Role;
use squall_raft::marks;

const TYPES: [MessageType; 19] = [
    MessageType::MsgHup,
    MessageType::MsgBeat,
    MessageType::MsgPropose,
    MessageType::MsgAppend,
    MessageType::MsgAppendResponse,
    MessageType::MsgRequestVote,
    MessageType::MsgRequestVoteResponse,
    MessageType::MsgSnapshot,
    MessageType::MsgHeartbeat,
    MessageType::MsgHeartbeatResponse,
    MessageType::MsgUnreachable,
    MessageType::MsgSnapStatus,
    MessageType::MsgCheckQuorum,
    MessageType::MsgTransferLeader,
    MessageType::MsgTimeoutNow,
    MessageType::MsgReadIndex,
    MessageType::MsgReadIndexResp,
    MessageType::MsgRequestPreVote,
    MessageType::MsgRequestPreVoteResponse,
];

fn message(msg_type: MessageType, from: u64, to: u64, term: u64) -> Message {
    Message {
        msg_type,
        from,
        to,
        term,
        ..Default::default()
    }
}

fn entry(index: u64, term: u64) -> Entry {
    Entry {
        index,
        term,
        ..Default::default()
    }
}

/// Node 1 leads in term 1; `msg` arrives. The mark tells why it is ignored.
#[track_caller]
fn assert_ignored(msg: Message, mark: &str) {
    let mut c = Cluster::new(3);
    c.quietly(|c| c.elect(1));
    let to = msg.to.clamp(1, 3);
    let before = (c.terms(to), c.raft(to).commit(), c.raft(to).term());
    let now = c.now;
    let node = c.nodes.get_mut(&to).expect("a node");
    node.raft.step(now, msg);
    let out = node.raft.take();
    assert!(out.marks.contains(&mark), "{:?}", out.marks);
    assert!(!out.must_persist());
    assert_eq!(
        before,
        (c.terms(to), c.raft(to).commit(), c.raft(to).term())
    );
}

#[test]
fn misaddressed_and_strangers() {
    let heartbeat = |from, to| message(MessageType::MsgHeartbeat, from, to, 1);
    assert_ignored(heartbeat(1, 9), marks::IGNORED_MISADDRESSED);
    let ack = message(MessageType::MsgAppendResponse, 9, 1, 1);
    assert_ignored(ack, marks::IGNORED_STRANGER);
    assert_ignored(heartbeat(2, 2), marks::IGNORED_STRANGER);
}

#[test]
fn types_that_members_do_not_send() {
    for msg_type in [MessageType::MsgHup, MessageType::MsgUnreachable] {
        assert_ignored(message(msg_type, 1, 2, 1), marks::IGNORED_TYPE);
    }
}

#[test]
fn appends_that_contradict_themselves() {
    let append = |index, log_term, entries: Vec<Entry>| {
        let mut msg = message(MessageType::MsgAppend, 1, 2, 1);
        msg.index = index;
        msg.log_term = log_term;
        msg.entries = entries.into();
        msg
    };
    for nonsense in [
        append(1, 1, vec![entry(3, 1)]),
        append(1, 1, vec![entry(2, 1), entry(2, 1)]),
        append(1, 1, vec![entry(2, 0)]),
        append(1, 1, vec![entry(2, 9)]),
        append(0, 1, vec![]),
        append(1, 0, vec![]),
        append(u64::MAX, 1, vec![entry(0, 1)]),
        append(u64::MAX, 1, vec![]),
    ] {
        assert_ignored(nonsense, marks::IGNORED_MALFORMED);
    }
}

#[test]
fn an_append_that_contradicts_what_is_committed() {
    let start = || {
        let mut c = Cluster::with_logs(3, 2, 2, &[1, 2, 3].map(|id| (id, &[1, 2][..])));
        c.mute();
        c
    };
    let append = |index, log_term, entries: Vec<Entry>| {
        let mut msg = message(MessageType::MsgAppend, 1, 2, 3);
        msg.index = index;
        msg.log_term = log_term;
        msg.entries = entries.into();
        msg
    };
    for contradiction in [
        append(2, 1, vec![]),
        append(1, 1, vec![entry(2, 3)]),
        append(0, 0, vec![entry(1, 2), entry(2, 2), entry(3, 3)]),
    ] {
        let mut c = start();
        c.forge(contradiction);
        let mark = marks::IGNORED_CONFLICT_BELOW_COMMIT;
        assert!(c.nodes[&2].marks.contains(&mark));
        c.sync(2);
        assert_eq!(c.under_way(MessageType::MsgAppendResponse), 0);
        assert_eq!(c.terms(2), [1, 2]);
    }
    // What agrees with it is acknowledged, however old.
    let mut c = start();
    c.forge(append(0, 0, vec![entry(1, 1)]));
    c.sync(2);
    assert_eq!(c.under_way(MessageType::MsgAppendResponse), 1);
}

#[test]
fn a_commit_beyond_the_log() {
    let mut msg = message(MessageType::MsgHeartbeat, 1, 2, 1);
    msg.commit = 1_000;
    assert_ignored(msg, marks::CLAMPED_COMMIT);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent() {
    let mut msg = message(MessageType::MsgAppendResponse, 2, 1, 1);
    msg.index = 1_000;
    assert_ignored(msg, marks::IGNORED_ACK_BEYOND_LOG);
}

#[test]
fn an_answer_to_a_round_that_was_never_asked() {
    let mut c = Cluster::new(3);
    c.quietly(|c| c.elect(1));
    for from in [2, 3] {
        let mut msg = message(MessageType::MsgHeartbeatResponse, from, 1, 1);
        msg.context = Bytes::copy_from_slice(&1_000_u64.to_be_bytes());
        c.forge(msg);
    }
    c.read(1, 1);
    assert_eq!(c.nodes[&1].readable, []);
    c.deliver(1, 2);
    c.deliver(2, 1);
    assert_eq!(c.nodes[&1].readable, [(1, 1)]);
}

#[test]
fn a_second_leader_in_the_leaders_term() {
    for msg_type in [MessageType::MsgHeartbeat, MessageType::MsgAppend] {
        assert_ignored(message(msg_type, 2, 1, 1), marks::IGNORED_SECOND_LEADER);
    }
}

#[test]
fn proposals_that_are_none() {
    let propose = |entries: Vec<Entry>| {
        let mut msg = message(MessageType::MsgPropose, 2, 1, 0);
        msg.entries = entries.into();
        msg
    };
    let mut change = entry(0, 0);
    change.entry_type = EntryType::EntryConfChange;
    change.context = Bytes::from_static(&[0; 8]);
    change.data = Bytes::from_static(&[0xff; 3]);
    for nonsense in [
        propose(vec![]),
        propose(vec![entry(0, 0)]),
        propose(vec![change]),
    ] {
        assert_ignored(nonsense, marks::IGNORED_MALFORMED);
    }
    assert_ignored(
        message(MessageType::MsgReadIndex, 2, 1, 0),
        marks::IGNORED_MALFORMED,
    );
}

#[test]
fn a_stale_leader_is_told_the_term() {
    let mut c = Cluster::new(3);
    c.quietly(|c| {
        c.elect(1);
        c.timeout(2);
        c.settle_among(&[2, 3]);
        c.timeout(1);
    });
    assert_eq!(
        (c.raft(1).role(), c.raft(2).role()),
        (Role::Leader, Role::Leader)
    );
    c.deliver(1, 3);
    c.deliver(3, 1);
    assert_eq!((c.raft(1).role(), c.raft(1).term()), (Role::Follower, 2));
}

#[test]
fn the_last_term_is_no_reason_to_panic() {
    let mut c = Cluster::new(3);
    c.forge(message(MessageType::MsgHeartbeat, 2, 1, u64::MAX));
    c.timeout(1);
    assert!(c.nodes[&1].marks.contains(&marks::TERM_EXHAUSTED));
    assert_eq!(c.raft(1).role(), Role::Follower);
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..6, 1 => Just(u64::MAX), 1 => Just(u64::MAX >> 1), 1 => any::<u64>()]
}

fn hostile() -> impl Strategy<Value = Message> {
    let fields = (0..TYPES.len(), 0_u64..5, 1_u64..4, number(), number());
    let more = (number(), number(), number(), any::<bool>());
    let entries = prop::collection::vec((number(), number()), 0..4);
    let snapshot = prop::option::of((number(), number()));
    let context = prop::collection::vec(any::<u8>(), 0..20);
    (fields, more, entries, snapshot, context).prop_map(
        |(fields, more, entries, snapshot, context)| {
            let (msg_type, from, to, term, index) = fields;
            let (log_term, commit, reject_hint, reject) = more;
            let mut msg = message(TYPES[msg_type], from, to, term);
            msg.index = index;
            msg.log_term = log_term;
            msg.commit = commit;
            msg.reject_hint = reject_hint;
            msg.reject = reject;
            msg.context = context.clone().into();
            let entry = |(index, term): &(u64, u64)| Entry {
                context: context.clone().into(),
                data: context.clone().into(),
                ..entry(*index, *term)
            };
            msg.entries = entries.iter().map(entry).collect();
            if let Some((index, term)) = snapshot {
                msg.mut_snapshot().mut_metadata().index = index;
                msg.mut_snapshot().mut_metadata().term = term;
            }
            msg
        },
    )
}

proptest! {
    #[test]
    fn no_message_makes_a_node_panic(
        messages in prop::collection::vec((hostile(), 0_u8..4), 1..60)
    ) {
        let mut c = Cluster::new(3);
        c.mute();
        c.elect(1);
        for (msg, then) in messages {
            let to = msg.to;
            c.forge(msg);
            match then {
                0 => c.sync(to),
                1 => c.timeout(to),
                _ => {}
            }
        }
    }
}
