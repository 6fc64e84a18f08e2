//! Stories of flow control: what may be under way to a follower, and how a slow
//! one is fed. See [`stories`](crate::stories) for how to read them.

use crate::cluster::Cluster;
use crate::tell::assert_story;
use raft_proto::eraftpb::MessageType;

/// What an entry of one of these proposals takes in a message, nearly.
const ENTRY: u64 = 2 + 8 + 32;

#[test]
fn appends_follow_each_other_without_waiting_within_a_window_of_bytes() {
    let mut c = Cluster::new(3).tune(|s| {
        s.max_inflight = 100;
        s.max_inflight_bytes = 2 * ENTRY;
    });
    c.quietly(|c| c.elect(1));
    c.say("Appends leave without waiting for answers. Two fill the window, though many more could be under way by their number.");
    for proposal in 1..=4 {
        c.propose(1, proposal);
    }
    assert_eq!(c.under_way(MessageType::MsgAppend), 2 * 2);
    c.say("An answer makes room, and all that waited leaves at once.");
    c.deliver(1, 3);
    c.sync(3);
    c.deliver(3, 1);
    assert!(c.network.iter().any(|m| m.to == 3 && m.entries.len() == 2));
    assert_story!(c);
}

#[test]
fn a_lagging_follower_gets_appends_of_bounded_size() {
    let mut c = Cluster::new(3).tune(|s| {
        s.max_append_bytes = 2 * ENTRY;
        s.max_inflight = 2;
    });
    c.quietly(|c| {
        c.elect(1);
        for proposal in 1..=7 {
            c.propose(1, proposal);
            c.lose(1, 3);
            c.settle_among(&[1, 2]);
        }
        c.unreachable(1, 3);
        c.timeout(1);
    });
    c.say("Node 3 was away, and lacks seven entries. It is probed with one append of two entries; then the others follow each other, two entries each, and two appends at a time.");
    for _ in 0..4 {
        c.deliver(1, 3);
        if c.unsynced(3) > 0 {
            c.sync(3);
        }
        let appends = c.network.iter().filter(|m| m.to == 3);
        assert!(appends.clone().all(|m| m.entries.len() <= 2));
        assert!(appends.count() <= 2);
        c.deliver(3, 1);
    }
    assert_eq!(c.raft(3).last_index(), 8);
    assert_story!(c);
}

#[test]
fn a_tail_of_the_log_spares_a_slow_follower_a_snapshot() {
    let mut c = Cluster::new(3);
    c.quietly(|c| {
        c.elect(1);
        c.propose(1, 1);
        c.settle();
        c.timeout(1);
        c.settle();
        for proposal in 2..=4 {
            c.propose(1, proposal);
            c.lose(1, 3);
            c.settle_among(&[1, 2]);
        }
        c.unreachable(1, 3);
    });
    c.say("Node 3 lacks the last three entries. The log is compacted, but for a tail of three.");
    c.compact_but(1, 3);
    c.say("So it needs no snapshot.");
    c.timeout(1);
    c.deliver(1, 3);
    c.deliver(3, 1);
    c.deliver(1, 3);
    c.sync(3);
    c.deliver(3, 1);
    assert_eq!(c.raft(3).last_index(), 5);
    assert!(!c.nodes[&1].want_snapshot);
    c.say("Had the tail been shorter by one, it would.");
    c.quietly(|c| {
        for proposal in 5..=7 {
            c.propose(1, proposal);
            c.lose(1, 3);
            c.settle_among(&[1, 2]);
        }
        c.unreachable(1, 3);
    });
    c.compact_but(1, 2);
    c.timeout(1);
    c.deliver(1, 3);
    c.deliver(3, 1);
    assert!(c.nodes[&1].want_snapshot);
    assert_story!(c);
}
