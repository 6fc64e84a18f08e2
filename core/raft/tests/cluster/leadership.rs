//! Stories of who leads: pre-vote, check-quorum, and followers that keep to
//! their leader. See [`stories`](crate::stories) for how to read them.

use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT};
use crate::tell::assert_story;
use raft_proto::eraftpb::{Message, MessageType};
use squall_api::Role;
use squall_raft::marks;

fn has_passed(c: &Cluster, id: u64, mark: &str) -> bool {
    c.nodes[&id].marks.contains(&mark)
}

/// The messages that are lost between these pairs, both ways.
fn cut(links: &[(u64, u64)]) -> impl Fn(&Message) -> bool + '_ {
    |m| links.contains(&(m.from, m.to)) || links.contains(&(m.to, m.from))
}

/// The node's election timeout passes while hardly any time does for others.
fn lose_patience(c: &mut Cluster, id: u64) {
    let now = c.now;
    c.timeout(id);
    c.now = now;
}

/// Others would vote for `id` in its next term.
fn say_yes(c: &mut Cluster, id: u64, others: &[u64]) {
    for from in others {
        c.forge(Message {
            msg_type: MessageType::MsgRequestPreVoteResponse,
            from: *from,
            to: id,
            term: c.raft(id).term() + 1,
            ..Default::default()
        });
    }
}

#[test]
fn first_election_with_pre_vote() {
    let mut c = Cluster::sticky(3);
    c.say("Node 1 hears from no leader and asks whether it could win in term 1. It stays in term 0, and nothing needs a disk.");
    c.timeout(1);
    assert_eq!((c.raft(1).term(), c.unsynced(1)), (0, 0));
    c.say("Node 2 would vote for it, and stays in term 0 as well. That is a quorum: node 1 stands for election.");
    c.deliver(1, 2);
    assert_eq!((c.raft(2).term(), c.raft(2).vote()), (0, 0));
    c.deliver(2, 1);
    assert_eq!((c.raft(1).role(), c.raft(1).term()), (Role::Candidate, 1));
    c.quietly(Cluster::settle);
    assert_eq!(c.raft(1).role(), Role::Leader);
    assert_story!(c);
}

#[test]
fn a_node_that_comes_back_does_not_depose_the_leader() {
    let mut c = Cluster::sticky(3);
    c.quietly(|c| {
        c.elect(1);
        c.pass(3 * ELECTION_TIMEOUT, cut(&[(1, 3), (2, 3)]));
        c.propose(1, 7);
        c.settle_among(&[1, 2]);
    });
    assert!(has_passed(&c, 3, marks::POLLED));
    c.say("Node 3 was cut off for three election timeouts. It asked whether it could win, again and again, and is still in term 1.");
    assert_eq!((c.raft(3).term(), c.raft(3).leader()), (1, 0));
    c.say("Back again, it asks once more. The others hear their leader and do not even answer.");
    lose_patience(&mut c, 3);
    c.deliver(3, 1);
    c.deliver(3, 2);
    assert_eq!(c.network.len(), 0);
    c.say("The next heartbeat finds it, and it catches up.");
    c.timeout(1);
    c.deliver(1, 3);
    c.quietly(Cluster::settle);
    let leaders: Vec<u64> = (1..=3).map(|id| c.raft(id).leader()).collect();
    assert_eq!((leaders, c.raft(1).term()), (vec![1; 3], 1));
    assert_eq!(c.nodes[&3].state, c.nodes[&1].state);
    assert_story!(c);
}

#[test]
fn a_leader_that_hears_no_quorum_steps_down() {
    let mut c = Cluster::sticky(3);
    c.quietly(|c| c.elect(1));
    c.say("Node 1 leads and is cut off.");
    c.propose(1, 7);
    c.read(1, 1);
    c.quietly(|c| {
        let led_until = c.now + 2 * ELECTION_TIMEOUT - HEARTBEAT;
        while c.now < led_until {
            c.timeout(1);
        }
        c.network.clear();
        assert_eq!(c.raft(1).role(), Role::Leader);
    });
    c.say("For a whole election timeout it has heard nobody.");
    c.timeout(1);
    assert_eq!(c.raft(1).role(), Role::Follower);
    assert!(has_passed(&c, 1, marks::STEPPED_DOWN_ON_LOST_QUORUM));
    c.say("It has stepped down, within its term and with its vote: nobody waits for p7 here any more, and the read is refused.");
    assert_eq!((c.raft(1).term(), c.raft(1).vote()), (1, 1));
    assert_eq!(c.nodes[&1].refused, [1]);
    assert!(!c.propose(1, 8));
    c.say("Its own acknowledgement of p7 comes from the disk, and finds it a follower.");
    c.sync(1);
    c.say("It may lead again in another term.");
    c.quietly(|c| c.pass(2 * ELECTION_TIMEOUT, cut(&[])));
    let leader = c.raft(1).leader();
    assert!(leader != 0 && c.raft(1).term() > 1);
    assert_story!(c);
}

#[test]
fn who_hears_its_leader_gives_nobody_else_a_vote() {
    let mut c = Cluster::new(3).tune(|s| s.check_quorum = true);
    c.quietly(|c| c.elect(1));
    c.say(
        "Without pre-vote, node 3 stands for election at once. Nodes 1 and 2 stay in their term.",
    );
    c.timeout(1);
    c.deliver(1, 2);
    c.deliver(2, 1);
    c.lose(1, 3);
    lose_patience(&mut c, 3);
    c.sync(3);
    c.deliver(3, 1);
    c.deliver(3, 2);
    assert_eq!((c.raft(1).term(), c.raft(2).term()), (1, 1));
    c.say("It has left their term behind, though, and cannot follow node 1. Its answer to a heartbeat forces an election, which pre-vote would have spared.");
    c.timeout(1);
    c.deliver(1, 3);
    c.deliver(3, 1);
    assert_eq!((c.raft(1).role(), c.raft(1).term()), (Role::Follower, 2));
    c.quietly(|c| c.pass(3 * ELECTION_TIMEOUT, cut(&[])));
    assert!(c.raft(1).leader() != 0);
    assert_story!(c);
}

#[test]
fn a_node_with_the_better_log_and_the_lower_term_is_not_stuck() {
    let mut c = Cluster::sticky(3);
    c.quietly(|c| {
        c.elect(1);
        // Node 1 wins a poll, enters term 2 as a candidate, and is cut off.
        c.crash(1, 0);
        c.crash(2, 0);
        c.timeout(1);
        c.deliver(1, 2);
        c.deliver(2, 1);
        c.sync(1);
        c.isolate(1);
        // Node 2 leads in term 1 no more; p7 is in its log alone.
        c.timeout(2);
        c.settle_among(&[2, 3]);
        c.propose(2, 7);
        c.settle_among(&[2, 3]);
        // Node 1 goes further ahead in terms.
        for _ in 0..2 {
            c.timeout(1);
            c.lose(1, 2);
            say_yes(c, 1, &[2, 3]);
            c.sync(1);
            c.isolate(1);
        }
        c.crash(2, 0);
        c.crash(3, 0);
        c.network.clear();
    });
    let ahead = c.raft(1).term();
    assert!(ahead > c.raft(2).term());
    c.say("Node 1 is ahead in terms and behind in its log. Node 3 is away. Node 2 would not vote for it, in a refusal of an older term...");
    c.timeout(1);
    c.deliver(1, 2);
    c.deliver(2, 1);
    assert_eq!(c.raft(1).term(), ahead);
    c.say("... and asks about a term that node 1 has left behind. It is told so.");
    c.isolate(3);
    c.timeout(2);
    c.deliver(2, 1);
    assert!(has_passed(&c, 1, marks::REFUSED_OLD_POLL));
    c.deliver(1, 2);
    assert_eq!(c.raft(2).term(), ahead);
    c.say("Next time it asks about the right one, and wins.");
    c.quietly(|c| c.isolate(3));
    c.sync(2);
    c.timeout(2);
    c.deliver(2, 1);
    c.deliver(1, 2);
    c.quietly(|c| c.settle_among(&[1, 2]));
    assert_eq!(c.raft(2).role(), Role::Leader);
    assert_story!(c);
}

#[test]
fn a_poll_that_cannot_be_won_raises_no_term() {
    let logs: [(u64, &[u64]); 3] = [(1, &[1]), (2, &[1, 1]), (3, &[1, 1])];
    let mut c = Cluster::with_logs(3, 1, 1, &logs).tune(|s| s.pre_vote = true);
    c.say("Node 1 lacks entry 2, and nobody would vote for it.");
    c.timeout(1);
    for peer in [2, 3] {
        c.deliver(1, peer);
        c.deliver(peer, 1);
    }
    assert!(has_passed(&c, 1, marks::LOST_POLL));
    assert!((1..=3).all(|id| c.raft(id).term() == 1));
    c.say("A late yes to an earlier poll is worth nothing once its term has begun.");
    c.quietly(|c| c.elect(2));
    say_yes(&mut c, 1, &[2, 3]);
    assert_eq!((c.raft(1).role(), c.raft(1).leader()), (Role::Follower, 2));
    assert_story!(c);
}

/// The shape of Cloudflare's outage of 2020: two members do not hear each
/// other, a third hears both.
#[test]
fn a_partial_partition_does_not_cost_liveness() {
    let mut c = Cluster::sticky(3);
    c.quietly(|c| c.elect(1));
    c.say("Nodes 1 and 2 do not hear each other for twenty election timeouts; node 3 hears both.");
    c.quietly(|c| {
        for proposal in 1..=20 {
            c.pass(ELECTION_TIMEOUT, cut(&[(1, 2)]));
            c.propose(1, proposal);
            c.pass(ELECTION_TIMEOUT / 2, cut(&[(1, 2)]));
            let data = format!("p{proposal}");
            assert!(c.nodes[&3].state.values().any(|(_, d)| *d == data));
        }
    });
    c.say("Node 2 asked node 3 again and again, which kept to its leader. All proposals were committed, in the first term.");
    assert!(has_passed(&c, 3, marks::KEPT_TO_LEADER));
    assert_eq!((c.raft(1).role(), c.raft(1).term()), (Role::Leader, 1));
    c.say("Worse: node 1 is heard by both and hears nobody. It steps down, and another leads.");
    c.quietly(|c| c.pass(6 * ELECTION_TIMEOUT, |m| m.to == 1));
    assert!(has_passed(&c, 1, marks::STEPPED_DOWN_ON_LOST_QUORUM));
    assert!([2, 3].contains(&c.raft(3).leader()));
    assert_story!(c);
}

/// The same without pre-vote and check-quorum: the leader that the first story
/// keeps is deposed over and over.
#[test]
fn a_partial_partition_without_them_costs_leaders() {
    let mut c = Cluster::new(3);
    c.mute();
    c.elect(1);
    c.pass(20 * ELECTION_TIMEOUT, cut(&[(1, 2)]));
    assert!(c.raft(3).term() > 2, "terms: {}", c.raft(3).term());
}

#[test]
fn leadership_is_handed_over_once_the_successor_has_caught_up() {
    let mut c = Cluster::sticky(3);
    c.quietly(|c| c.elect(1));
    c.say("Node 2 lacks p7. It gets it first; meanwhile node 1 takes no more proposals.");
    c.propose(1, 7);
    c.lose(1, 2);
    c.quietly(|c| {
        c.unreachable(1, 2);
        c.settle_among(&[1, 3]);
    });
    assert_eq!(c.transfer(1, 2), Ok(()));
    assert!(!c.propose(1, 8));
    c.quietly(|c| c.timeout(1));
    c.deliver(1, 2);
    c.deliver(2, 1);
    c.deliver(1, 2);
    c.sync(2);
    c.say("With all of it, it is told to stand for election. Node 3 hears its leader, and votes all the same.");
    c.deliver(2, 1);
    c.quietly(|c| drop(c.lift(|m| m.to == 3)));
    c.deliver(1, 2);
    c.sync(2);
    c.deliver(2, 3);
    c.sync(3);
    c.deliver(3, 2);
    assert_eq!((c.raft(2).role(), c.raft(2).term()), (Role::Leader, 2));
    c.quietly(Cluster::settle);
    assert_eq!((c.raft(1).role(), c.raft(1).leader()), (Role::Follower, 2));
    assert!(c.propose(1, 9));
    assert_story!(c);
}

#[test]
fn a_transfer_that_takes_too_long_is_aborted() {
    let mut c = Cluster::sticky(3);
    c.quietly(|c| c.elect(1));
    c.say("Node 2 is told to lead, and the message is lost.");
    assert_eq!(c.transfer(1, 2), Ok(()));
    c.lose(1, 2);
    assert!(!c.propose(1, 7));
    c.quietly(|c| {
        while c.raft(1).transferring_to() != 0 {
            assert!(c.now < 3 * ELECTION_TIMEOUT);
            c.timeout(1);
            c.settle_among(&[1, 3]);
        }
    });
    c.say("After an election timeout node 1 gives it up, and takes proposals again.");
    assert!(has_passed(&c, 1, marks::ABORTED_TRANSFER));
    assert!(c.propose(1, 8));
    c.say("Only leaders can hand over, and only to voters; a transfer to itself ends one.");
    assert!(c.transfer(2, 3).is_err());
    assert!(c.transfer(1, 9).is_err());
    assert_eq!(c.transfer(1, 3), Ok(()));
    assert_eq!(c.transfer(1, 1), Ok(()));
    assert_eq!(c.raft(1).transferring_to(), 0);
    assert_story!(c);
}

#[test]
fn what_is_not_committed_is_capped() {
    let mut c = Cluster::new(3).tune(|s| s.max_uncommitted_bytes = 100);
    c.quietly(|c| c.elect(1));
    c.say("Two proposals wait for a quorum. A third would be too much, from whomever it comes.");
    assert!(c.propose(1, 1));
    assert!(c.propose(1, 2));
    assert!(!c.propose(1, 3));
    assert!(c.propose(2, 4));
    c.deliver(2, 1);
    assert_eq!(c.raft(1).last_index(), 3);
    c.say("Once they are committed, there is room again.");
    c.quietly(Cluster::settle);
    assert!(c.propose(1, 5));
    assert_story!(c);
}
