//! Transcripts: each golden file in `snapshots/` reads as a story of what the
//! nodes did, line by line. `INSTA_UPDATE=always cargo test -p squall-raft`
//! writes them anew; review the difference like code.
//!
//! Lines that begin with `>` are what happened to a node; indented below is
//! what came of it. `#3` is the number of an output that is to be persisted,
//! `after #3` a message that waits until it is.

use crate::cluster::{Cluster, ELECTION_TIMEOUT};
use crate::tell::assert_story;
use raft_proto::eraftpb::{Message, MessageType};
use squall_api::Role;

/// A node's elections of earlier terms, of which nobody hears: its next one is
/// of `term`.
fn fail_elections_before(c: &mut Cluster, id: u64, term: u64) {
    while c.raft(id).term() + 1 < term {
        c.timeout(id);
        c.settle_among(&[id]);
    }
}

#[test]
fn first_election() {
    let mut c = Cluster::new(3);
    c.say("Node 1 hears from no leader and stands for election. Nothing leaves before its vote for itself is durable.");
    c.timeout(1);
    c.sync(1);
    c.say("Node 2 votes. Its vote leaves when it is durable, and makes node 1 leader.");
    c.deliver(1, 2);
    c.sync(2);
    c.deliver(2, 1);
    assert_eq!(c.raft(1).role(), Role::Leader);
    c.say("Node 3's vote comes late and changes nothing.");
    c.deliver(1, 3);
    c.sync(3);
    c.deliver(3, 1);
    assert_story!(c);
}

#[test]
fn a_single_node_leads_and_commits_once_it_is_durable() {
    let mut c = Cluster::new(1);
    c.timeout(1);
    c.sync(1);
    assert_eq!(c.raft(1).role(), Role::Leader);
    c.sync(1);
    c.propose(1, 7);
    assert_eq!(c.raft(1).commit(), 1, "p7 is not durable yet");
    c.sync(1);
    assert_eq!(c.raft(1).commit(), 2);
    c.read(1, 1);
    assert_eq!(c.nodes[&1].readable, [(1, 2)]);
    assert_story!(c);
}

#[test]
fn split_vote() {
    let mut c = Cluster::new(4);
    c.say("Nodes 1 and 2 stand for election in the same term. Each gets one other vote, and four nodes need three.");
    c.timeout(1);
    c.timeout(2);
    c.sync(1);
    c.sync(2);
    c.deliver(1, 3);
    c.deliver(2, 4);
    c.deliver(1, 2);
    c.deliver(2, 1);
    c.deliver(1, 4);
    c.deliver(2, 3);
    c.sync(3);
    c.sync(4);
    for candidate in [1, 2] {
        c.deliver(3, candidate);
        c.deliver(4, candidate);
    }
    assert!((1..=4).all(|id| c.raft(id).leader() == 0));
    c.say("Node 2's next timeout passes first, and the next term has a leader.");
    c.timeout(2);
    c.quietly(Cluster::settle);
    assert_eq!(c.raft(2).role(), Role::Leader);
    assert_story!(c);
}

#[test]
fn replication_and_commit() {
    let mut c = Cluster::new(3);
    c.quietly(|c| c.elect(1));
    c.say(
        "A proposal goes out before the leader's own fsync, and is committed by the first quorum.",
    );
    c.propose(1, 7);
    c.deliver(1, 2);
    c.sync(2);
    c.deliver(2, 1);
    c.sync(1);
    assert_eq!(c.raft(1).commit(), 2);
    c.say("The followers learn the commit index with the next append.");
    c.deliver(1, 2);
    c.deliver(1, 3);
    c.sync(3);
    c.deliver(3, 1);
    assert_eq!(c.raft(3).commit(), 2);
    assert_story!(c);
}

#[test]
fn old_term_entries_are_not_committed_by_counting() {
    let mut c = Cluster::with_logs(5, 1, 1, &[1, 2, 3, 4, 5].map(|id| (id, &[1][..])))
        .tune(|s| s.max_append_bytes = 1);
    c.say("(a) Node 1 leads in term 2 and replicates entry 2 to node 2 only.");
    c.quietly(|c| {
        c.timeout(1);
        c.sync(1);
        for peer in [2, 3] {
            c.deliver(1, peer);
            c.sync(peer);
            c.deliver(peer, 1);
        }
        c.sync(1);
        c.deliver(1, 2);
        c.sync(2);
        c.network.clear();
    });
    assert_eq!((c.terms(1), c.terms(2)), (vec![1, 2], vec![1, 2]));
    c.say("(b) It crashes. Node 5 is elected in term 3 by nodes 3 and 4, and has another entry 2.");
    c.crash(1, 0);
    c.quietly(|c| {
        fail_elections_before(c, 5, 3);
        c.timeout(5);
        c.sync(5);
        for peer in [3, 4] {
            c.deliver(5, peer);
            c.sync(peer);
            c.deliver(peer, 5);
        }
        c.sync(5);
        c.network.clear();
    });
    assert_eq!((c.raft(5).role(), c.terms(5)), (Role::Leader, vec![1, 3]));
    c.say("(c) Node 5 crashes, node 1 is elected in term 4. Its entry 2 of term 2 reaches a quorum, nodes 1, 3 and 4, which does not commit it.");
    c.crash(5, 0);
    c.quietly(|c| {
        fail_elections_before(c, 1, 4);
        c.timeout(1);
        c.sync(1);
        for peer in [3, 4] {
            c.deliver(1, peer);
            c.sync(peer);
            c.deliver(peer, 1);
        }
        assert_eq!((c.raft(1).role(), c.raft(1).term()), (Role::Leader, 4));
        c.sync(1);
    });
    for peer in [3, 4] {
        c.deliver(1, peer);
        c.deliver(peer, 1);
        c.deliver(1, peer);
        c.sync(peer);
        c.deliver(peer, 1);
    }
    assert_eq!((c.terms(3), c.terms(4)), (vec![1, 2], vec![1, 2]));
    assert_eq!(c.raft(1).commit(), 1);
    c.say("(d) Node 1 crashes. Node 5 is elected once more, in term 5, and rightly replaces entry 2 everywhere.");
    c.quietly(|c| c.network.clear());
    c.crash(1, 0);
    c.quietly(|c| {
        fail_elections_before(c, 5, 5);
        c.timeout(5);
        c.settle();
    });
    assert_eq!((c.raft(5).role(), c.raft(5).term()), (Role::Leader, 5));
    assert!((1..=5).all(|id| c.terms(id) == [1, 3, 5]));
    assert_story!(c);
}

#[test]
fn conflicts_are_found_in_one_round_trip_a_term() {
    let leader: &[u64] = &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    let follower: &[u64] = &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3];
    let mut c = Cluster::with_logs(3, 7, 1, &[(1, leader), (2, follower), (3, leader)]);
    c.say(
        "Node 1 is elected in term 8. Node 2's log went another way after entry 3 (Figure 7, f).",
    );
    c.quietly(|c| {
        c.timeout(1);
        c.sync(1);
        c.deliver(1, 3);
        c.sync(3);
        c.deliver(3, 1);
        c.sync(1);
        c.deliver(1, 3);
        c.lift(|m| m.msg_type == MessageType::MsgRequestVote);
    });
    let mut round_trips = 0;
    while c.terms(2) != c.terms(1) {
        c.deliver(1, 2);
        round_trips += 1;
        if c.unsynced(2) > 0 {
            c.sync(2);
        }
        c.deliver(2, 1);
    }
    assert_eq!(round_trips, 2, "one to find the place, one to mend it");
    assert_story!(c);
}

#[test]
fn a_follower_commits_only_what_the_append_vouches_for() {
    let leader: &[u64] = &[1, 1, 3, 3];
    let follower: &[u64] = &[1, 1, 2, 2];
    let mut c = Cluster::with_logs(3, 4, 1, &[(1, leader), (2, follower), (3, leader)])
        .tune(|s| s.max_append_bytes = 1);
    c.quietly(|c| {
        c.timeout(1);
        c.settle_among(&[1, 3]);
        c.timeout(1);
    });
    assert_eq!(c.raft(1).commit(), 5);
    c.say("Node 1 has committed 5 entries. Node 2 shares two of them, and has two others that were never committed. An append that reaches only as far as entry 2 commits no more than that.");
    let mut append = Message {
        msg_type: MessageType::MsgAppend,
        from: 1,
        to: 2,
        term: 5,
        index: 1,
        log_term: 1,
        commit: 5,
        ..Default::default()
    };
    append.entries = c.raft(1).entries_from(2).take(1).cloned().collect();
    c.forge(append);
    assert_eq!((c.terms(2), c.raft(2).commit()), (follower.to_vec(), 2));
    c.say("With the real ones, it catches up.");
    c.sync(2);
    while c.terms(2) != c.terms(1) {
        c.deliver(1, 2);
        c.sync(2);
        c.deliver(2, 1);
    }
    assert_eq!(c.terms(2), [1, 1, 3, 3, 5]);
    assert_story!(c);
}

#[test]
fn a_torn_write_may_keep_the_log_and_lose_the_term() {
    let mut c = Cluster::new(3);
    c.quietly(|c| {
        c.timeout(1);
        c.sync(1);
        c.deliver(1, 2);
        c.sync(2);
        c.lose(1, 3);
        c.deliver(2, 1);
    });
    c.say("Node 3 hears of term 1 with its first entry. Of the write, only the entry reaches the disk. It comes back in the entry's term: it cannot have voted there.");
    c.deliver(1, 3);
    c.crash_torn(3, 0, true);
    assert_eq!(
        (c.raft(3).term(), c.raft(3).vote(), c.terms(3)),
        (1, 0, vec![1])
    );
    assert_story!(c);
}

#[test]
fn a_restart_keeps_the_vote() {
    let mut c = Cluster::new(3);
    c.say("Node 2 votes for node 1 in term 1, and crashes.");
    c.timeout(1);
    c.sync(1);
    c.deliver(1, 2);
    c.sync(2);
    c.crash(2, 0);
    c.say("It still knows when node 3 asks for its vote in the same term.");
    c.timeout(3);
    c.sync(3);
    c.deliver(3, 2);
    c.deliver(2, 3);
    assert_eq!((c.raft(2).vote(), c.raft(3).role()), (1, Role::Candidate));
    assert_story!(c);
}

#[test]
fn a_vote_that_was_not_synced_was_never_given() {
    let mut c = Cluster::new(3);
    c.timeout(1);
    c.sync(1);
    c.deliver(1, 2);
    c.say("Node 2 crashes before its vote is durable. No one has heard of it, and it may vote for node 3.");
    c.crash(2, 0);
    assert_eq!(c.raft(2).vote(), 0);
    c.timeout(3);
    c.sync(3);
    c.deliver(3, 2);
    c.sync(2);
    c.deliver(2, 3);
    assert_eq!(c.raft(3).role(), Role::Leader);
    assert_story!(c);
}

#[test]
fn a_follower_acknowledges_only_what_it_synced() {
    let mut c = Cluster::new(3);
    c.quietly(|c| c.elect(1));
    c.say("Node 2 has the entry, in memory. It answers when the entry is durable.");
    c.propose(1, 7);
    c.sync(1);
    c.deliver(1, 2);
    assert_eq!(c.under_way(MessageType::MsgAppendResponse), 0);
    c.say("A heartbeat is answered at once.");
    c.timeout(1);
    c.deliver(1, 2);
    assert_eq!(c.under_way(MessageType::MsgHeartbeatResponse), 1);
    assert_eq!(c.under_way(MessageType::MsgAppendResponse), 0);
    c.say("The sync ends.");
    c.sync(2);
    assert_eq!(c.under_way(MessageType::MsgAppendResponse), 1);
    c.deliver(2, 1);
    assert_eq!(c.raft(1).commit(), 2);
    assert_story!(c);
}

#[test]
fn a_leader_counts_itself_only_after_its_sync() {
    let mut c = Cluster::new(3);
    c.quietly(|c| c.elect(1));
    c.say("Node 2 has entry 2 durably, the leader not yet: one of three.");
    c.propose(1, 7);
    c.deliver(1, 2);
    c.sync(2);
    c.deliver(2, 1);
    assert_eq!(c.raft(1).commit(), 1);
    c.say("Node 3 has it as well: committed, without the leader's disk. The leader does not apply it yet.");
    c.deliver(1, 3);
    c.sync(3);
    c.deliver(3, 1);
    assert_eq!(c.raft(1).commit(), 2);
    assert!(!c.nodes[&1].state.contains_key(&2));
    c.sync(1);
    assert!(c.nodes[&1].state.contains_key(&2));
    assert_story!(c);
}

#[test]
fn an_entry_overwritten_and_restored_is_durable_only_the_second_time() {
    let mut c = Cluster::with_logs(5, 1, 1, &[1, 2, 3, 4, 5].map(|id| (id, &[1][..])));
    let elect = |c: &mut Cluster, id: u64, voters: &[u64]| {
        c.timeout(id);
        c.sync(id);
        for voter in voters {
            c.deliver(id, *voter);
            c.sync(*voter);
            c.deliver(*voter, id);
        }
        assert_eq!(c.raft(id).role(), Role::Leader);
        c.lift(|m| m.msg_type != MessageType::MsgAppend || m.to != 3);
    };
    c.say("Node 3 gets entry 2 of term 2 from node 1. Its disk is slow.");
    c.quietly(|c| elect(c, 1, &[4, 5]));
    c.deliver(1, 3);
    c.say("Node 2 leads in term 3 and overwrites the entry.");
    c.quietly(|c| {
        fail_elections_before(c, 2, 3);
        elect(c, 2, &[4, 5]);
    });
    c.deliver(2, 3);
    c.say("Node 1 leads again, in term 4, and brings its entry back. (The append is forged: an honest leader would first ask where to start, and the answer waits for the disk.)");
    c.quietly(|c| {
        c.sync(1);
        c.crash(1, 0);
        fail_elections_before(c, 1, 4);
        elect(c, 1, &[4, 5]);
        c.network.clear();
    });
    let mut append = Message {
        msg_type: MessageType::MsgAppend,
        from: 1,
        to: 3,
        term: 4,
        index: 1,
        log_term: 1,
        commit: 3,
        ..Default::default()
    };
    append.entries = c.raft(1).entries_from(2).cloned().collect();
    c.forge(append);
    assert_eq!((c.terms(3), c.raft(3).commit()), (vec![1, 2, 4], 3));
    c.say("The first sync covers entry 2 of term 2 as it was first written. It proves nothing: the overwriting one may be the last to survive a crash. Its acknowledgement is of term 2, and void.");
    c.sync_some(3, 1);
    assert!(!c.nodes[&3].state.contains_key(&2));
    c.deliver(3, 1);
    c.say("Nor does the second, of the overwriting entry.");
    c.sync_some(3, 1);
    assert!(!c.nodes[&3].state.contains_key(&2));
    c.say("With the third, entry 2 is durable for good, and applied.");
    c.sync_some(3, 1);
    assert!(c.nodes[&3].state.contains_key(&2));
    c.deliver(3, 1);
    assert_story!(c);
}

#[test]
fn a_read_waits_for_the_first_commit_of_the_term() {
    let mut c = Cluster::with_logs(3, 1, 1, &[1, 2, 3].map(|id| (id, &[1, 1][..])));
    c.quietly(|c| {
        c.timeout(1);
        c.sync(1);
        c.deliver(1, 2);
        c.sync(2);
        c.deliver(2, 1);
        c.sync(1);
    });
    assert_eq!(c.raft(1).role(), Role::Leader);
    c.say("Node 1 leads in term 2. Entry 2 may have been committed in term 1, which it cannot know. The read's round is confirmed, but it waits.");
    c.read(1, 1);
    c.quietly(|c| drop(c.lift(|m| m.msg_type == MessageType::MsgAppend)));
    c.deliver(1, 2);
    c.deliver(2, 1);
    assert_eq!(c.nodes[&1].readable, []);
    c.say("The first entry of term 2 is committed, and with it the read is answered.");
    c.deliver(1, 2);
    c.sync(2);
    c.deliver(2, 1);
    assert_eq!(c.nodes[&1].readable, [(1, 3)]);
    assert_story!(c);
}

#[test]
fn reads_share_rounds_of_heartbeats() {
    let mut c = Cluster::new(3);
    c.quietly(|c| c.elect(1));
    c.say("r1 starts a round. r2 and r3 come while it is under way and share the next.");
    c.read(1, 1);
    c.read(1, 2);
    c.read(1, 3);
    c.deliver(1, 2);
    c.deliver(2, 1);
    assert_eq!(c.nodes[&1].readable, [(1, 1)]);
    c.say("The answer of a lost round is not waited for: the next heartbeat asks again.");
    c.lose(1, 2);
    c.lose(1, 3);
    c.timeout(1);
    c.deliver(1, 3);
    c.deliver(3, 1);
    assert_eq!(c.nodes[&1].readable, [(1, 1), (2, 1), (3, 1)]);
    assert_story!(c);
}

#[test]
fn a_deposed_leader_never_answers_a_read() {
    let mut c = Cluster::new(3);
    c.quietly(|c| {
        c.elect(1);
        c.timeout(2);
        c.settle_among(&[2, 3]);
        c.propose(2, 7);
        c.settle_among(&[2, 3]);
    });
    assert_eq!(c.raft(2).role(), Role::Leader);
    c.say("Node 1 was cut off and believes to lead in term 1. Node 2 leads in term 2 and has committed p7.");
    c.read(1, 1);
    c.timeout(1);
    c.deliver(1, 2);
    c.deliver(1, 3);
    assert_eq!(c.nodes[&1].readable, []);
    c.say("The answer tells it so. The read is refused, for its client to ask elsewhere.");
    c.deliver(2, 1);
    assert_eq!(c.nodes[&1].refused, [1]);
    assert_eq!(c.nodes[&1].readable, []);
    assert_story!(c);
}

#[test]
fn a_lagging_follower_gets_a_snapshot() {
    let mut c = Cluster::new(3);
    c.quietly(|c| {
        c.elect(1);
        for proposal in 1..=3 {
            c.propose(1, proposal);
            c.settle_among(&[1, 2]);
        }
        c.compact(1);
    });
    c.say("Node 3 was away while the log was compacted. Its answer to a heartbeat shows that it lacks what is gone.");
    c.timeout(1);
    c.deliver(1, 3);
    c.deliver(3, 1);
    c.deliver(1, 3);
    c.deliver(3, 1);
    assert!(c.nodes[&1].want_snapshot);
    c.say("It is sent one snapshot; heartbeats bring no second.");
    c.take_snapshot(1);
    c.timeout(1);
    c.deliver(1, 3);
    c.deliver(3, 1);
    assert_eq!(c.under_way(MessageType::MsgSnapshot), 0);
    assert!(!c.nodes[&1].want_snapshot);
    c.say("Installed and durable, it is acknowledged, and appends go on from there.");
    c.install(3);
    c.sync(3);
    c.deliver(3, 1);
    c.propose(1, 4);
    c.quietly(Cluster::settle);
    assert_eq!(c.nodes[&3].state, c.nodes[&1].state);
    assert_eq!(c.raft(3).first_index(), 5);
    assert_story!(c);
}

#[test]
fn a_snapshot_that_the_log_reaches_is_not_installed() {
    let mut c = Cluster::new(3);
    let to_3 = |m: &Message| m.to == 3;
    let mut late = Vec::new();
    c.quietly(|c| {
        c.elect(1);
        c.settle();
        for proposal in 1..=3 {
            c.propose(1, proposal);
            late.extend(c.lift(to_3));
            c.settle_among(&[1, 2]);
        }
        late.extend(c.lift(to_3));
        c.compact(1);
        c.unreachable(1, 3);
        c.timeout(1);
        c.deliver(1, 3);
        c.deliver(3, 1);
        c.take_snapshot(1);
    });
    let snapshot = c.lift(|m| m.msg_type == MessageType::MsgSnapshot);
    c.say("Appends to node 3 were late, so that it is sent a snapshot. Then they arrive, and it after them: node 3 has its last entry, and knows now that it is committed.");
    for msg in late.into_iter().filter(|m| !m.entries.is_empty()) {
        c.arrive(msg);
    }
    for msg in snapshot {
        c.arrive(msg);
    }
    c.sync(3);
    assert!(c.nodes[&3].install.is_none());
    assert_eq!((c.raft(3).commit(), c.raft(3).first_index()), (4, 1));
    assert_story!(c);
}

#[test]
fn who_has_a_shorter_log_gets_no_vote() {
    let mut c = Cluster::with_logs(3, 2, 1, &[(1, &[1, 1, 1]), (2, &[1, 2]), (3, &[1])]);
    c.say("Node 1 has more entries than node 2, but the last one of node 2 is of a later term.");
    c.timeout(1);
    c.sync(1);
    c.deliver(1, 2);
    c.say("Node 3 has fewer entries than either, and votes for whoever asks first.");
    c.deliver(1, 3);
    c.sync(3);
    c.lose(3, 1);
    c.say("Node 2 may have everybody's vote.");
    c.timeout(2);
    c.sync(2);
    c.deliver(2, 1);
    c.sync(1);
    c.deliver(1, 2);
    assert_eq!(c.raft(2).role(), Role::Leader);
    assert_story!(c);
}

#[test]
fn a_lost_snapshot_is_sent_again() {
    let mut c = Cluster::new(3);
    c.quietly(|c| {
        c.elect(1);
        for proposal in 1..=3 {
            c.propose(1, proposal);
            c.settle_among(&[1, 2]);
        }
        c.compact(1);
        c.timeout(1);
        c.settle();
    });
    c.say("The snapshot is lost, and node 3 goes on answering heartbeats.");
    c.take_snapshot(1);
    c.lose(1, 3);
    c.quietly(|c| {
        c.timeout(1);
        c.settle();
    });
    assert!(!c.nodes[&1].want_snapshot);
    c.say("After five election timeouts the leader gives it up, probes, and makes another.");
    c.now += 5 * ELECTION_TIMEOUT;
    c.timeout(1);
    c.deliver(1, 3);
    c.deliver(3, 1);
    assert!(c.nodes[&1].want_snapshot);
    c.take_snapshot(1);
    c.deliver(1, 3);
    c.install(3);
    c.quietly(Cluster::settle);
    assert_eq!(c.nodes[&3].state, c.nodes[&1].state);
    assert_story!(c);
}

#[test]
fn a_snapshot_that_the_log_has_overtaken_is_made_again() {
    let mut c = Cluster::new(3);
    c.quietly(|c| {
        c.elect(1);
        for proposal in 1..=3 {
            c.propose(1, proposal);
            c.settle_among(&[1, 2]);
        }
        c.compact(1);
        c.timeout(1);
        c.settle();
        c.propose(1, 4);
        c.settle_among(&[1, 2]);
    });
    c.say("A snapshot at 4 is on its way from the state machine while the log is compacted up to 5: what follows 4 could not be sent after it.");
    assert!(c.nodes[&1].want_snapshot);
    c.compact(1);
    c.take_snapshot_at(1, 4);
    c.take_snapshot(1);
    assert_eq!(c.under_way(MessageType::MsgSnapshot), 1);
    assert_story!(c);
}

#[test]
fn lost_appends_are_found_out_by_the_next_heartbeat() {
    let mut c = Cluster::new(3);
    c.quietly(|c| c.elect(1));
    c.say("Four appends fill the window to node 3, and all are lost.");
    for proposal in 1..=5 {
        c.propose(1, proposal);
    }
    c.lose(1, 3);
    c.quietly(|c| c.settle_among(&[1, 2]));
    c.say("The answer to a heartbeat frees one place: what is sent there is rejected, and the leader starts again from what node 3 has.");
    c.timeout(1);
    for _ in 0..3 {
        c.deliver(1, 3);
        if c.unsynced(3) > 0 {
            c.sync(3);
        }
        c.deliver(3, 1);
    }
    assert_eq!(c.raft(3).last_index(), 6);
    assert_story!(c);
}

#[test]
fn an_unreachable_follower_is_probed() {
    let mut c = Cluster::new(3);
    c.quietly(|c| c.elect(1));
    c.propose(1, 1);
    c.lose(1, 3);
    c.unreachable(1, 3);
    c.say("Nothing more is sent to node 3 but heartbeats, until it answers one.");
    c.propose(1, 2);
    c.quietly(|c| c.settle_among(&[1, 2]));
    c.timeout(1);
    c.deliver(1, 3);
    c.deliver(3, 1);
    c.deliver(1, 3);
    c.sync(3);
    c.deliver(3, 1);
    assert_eq!(c.raft(3).last_index(), 3);
    assert_story!(c);
}

#[test]
fn followers_forward_proposals_and_reads() {
    let mut c = Cluster::new(3);
    c.say("Without a leader there is nobody to go to.");
    assert!(!c.propose(2, 1));
    assert!(!c.read(2, 1));
    c.quietly(|c| c.elect(1));
    c.say("A follower forwards a proposal to its leader.");
    c.propose(2, 2);
    c.deliver(2, 1);
    c.quietly(Cluster::settle);
    assert!(c.nodes[&2].state.values().any(|(_, data)| data == "p2"));
    c.say("And a read. The leader confirms it with a round of heartbeats.");
    c.read(3, 2);
    c.deliver(3, 1);
    c.deliver(1, 2);
    c.deliver(2, 1);
    c.deliver(1, 3);
    assert_eq!(c.nodes[&3].readable, [(2, 2)]);
    c.say("A read whose question was lost is asked again; one that is lost with its leader is refused.");
    c.read(3, 3);
    c.lose(3, 1);
    c.now += ELECTION_TIMEOUT;
    c.timeout(1);
    c.deliver(1, 3);
    c.isolate(1);
    c.timeout(3);
    assert_eq!(c.nodes[&3].refused, [3]);
    c.say("A forward that reaches a node which leads no more is dropped.");
    c.propose(2, 4);
    c.quietly(|c| {
        c.sync(3);
        c.deliver(3, 1);
    });
    assert_eq!(c.raft(1).role(), Role::Follower);
    c.deliver(2, 1);
    assert_story!(c);
}

/// Found by the testbed: with repeated forwards, `everything-at-once` showed
/// clients one put at two revisions.
#[test]
fn a_forward_that_the_network_repeats_is_appended_once() {
    let mut c = Cluster::new(3);
    c.quietly(|c| c.elect(1));
    c.say("A forward arrives twice. The leader appends it once.");
    c.propose(2, 7);
    let forward = c.lift(|m| m.msg_type == MessageType::MsgPropose).remove(0);
    c.arrive(forward.clone());
    c.arrive(forward.clone());
    assert_eq!(c.raft(1).last_index(), 2);
    c.say("A third copy comes when its leader leads again, in a later term. It is void.");
    c.quietly(|c| {
        c.settle();
        c.elect(3);
        c.elect(1);
    });
    let before = c.raft(1).last_index();
    c.arrive(forward);
    assert_eq!(c.raft(1).last_index(), before);
    assert_story!(c);
}

#[test]
fn an_answer_to_an_earlier_incarnations_read_is_ignored() {
    let mut c = Cluster::new(3);
    c.quietly(|c| c.elect(1));
    c.say("Node 3 asks for r1 and crashes. The answer is under way.");
    c.read(3, 1);
    c.deliver(3, 1);
    c.deliver(1, 2);
    c.deliver(2, 1);
    c.lift(|m| m.msg_type == MessageType::MsgHeartbeat);
    let late = c.lift(|m| m.msg_type == MessageType::MsgReadIndexResp);
    c.crash(3, 0);
    c.say("Meanwhile p7 is committed. The new incarnation asks for another r1, and must not take the old answer for it.");
    c.quietly(|c| {
        c.propose(1, 7);
        c.settle();
    });
    c.read(3, 1);
    for msg in late {
        c.arrive(msg);
    }
    assert_eq!(c.nodes[&3].readable, []);
    c.quietly(Cluster::settle);
    assert_eq!(c.nodes[&3].readable, [(1, 2)]);
    assert_story!(c);
}

#[test]
fn a_crash_between_installation_and_log_reset_starts_from_the_snapshot() {
    let mut c = Cluster::new(3);
    c.quietly(|c| {
        c.elect(1);
        for proposal in 1..=3 {
            c.propose(1, proposal);
            c.settle_among(&[1, 2]);
        }
        c.compact(1);
        c.timeout(1);
        c.settle();
        c.take_snapshot(1);
        c.deliver(1, 3);
    });
    c.say("Node 3's state is the snapshot; it crashes before its log says so.");
    c.install(3);
    c.crash(3, 0);
    assert_eq!((c.raft(3).base().index, c.raft(3).last_index()), (4, 4));
    c.say("The leader, which was told nothing, gives the snapshot up for lost and sends another. Node 3 says that it has it.");
    c.quietly(|c| {
        c.now += 5 * ELECTION_TIMEOUT;
        c.timeout(1);
        c.settle();
    });
    c.take_snapshot(1);
    c.deliver(1, 3);
    c.deliver(3, 1);
    c.quietly(|c| {
        c.propose(1, 4);
        c.settle();
    });
    assert_eq!(c.nodes[&3].state, c.nodes[&1].state);
    assert_story!(c);
}
