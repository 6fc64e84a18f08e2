//! Stories of members that come and go. See [`stories`](crate::stories) for
//! how to read them; `{v4}` makes 4 a voter, `{l4}` a learner, `{r4}` removes
//! it, and `{}` leaves a joint configuration.

use crate::cluster::{Cluster, ELECTION_TIMEOUT};
use crate::tell::assert_story;
use squall_api::Role;
use squall_raft::marks;

/// Snapshots are taken and installed until nobody waits for one.
fn settle_with_snapshots(c: &mut Cluster) {
    let ids: Vec<u64> = c.nodes.keys().copied().collect();
    settle_with_snapshots_among(c, &ids);
}

fn settle_with_snapshots_among(c: &mut Cluster, ids: &[u64]) {
    for _ in 0..8 {
        c.settle_among(ids);
        for id in ids {
            if c.nodes[id].want_snapshot {
                c.take_snapshot(*id);
            }
            if c.nodes[id].install.is_some() {
                c.install(*id);
            }
        }
    }
    c.settle_among(ids);
}

fn configuration(c: &Cluster, id: u64) -> String {
    c.raft(id).configuration().to_string()
}

#[test]
fn a_learner_is_brought_up_to_date_and_promoted() {
    let mut c = Cluster::new(3);
    c.quietly(|c| {
        c.elect(1);
        c.propose(1, 7);
        c.settle();
        c.add_node(4);
    });
    c.say("Node 4 is added as a learner. It knows no configuration, so that it asks for a snapshot: the first members stand in no log.");
    c.change(1, "l4");
    c.quietly(|c| c.settle_among(&[1, 2, 3]));
    c.timeout(1);
    c.deliver(1, 4);
    c.sync(4);
    c.deliver(4, 1);
    c.deliver(1, 4);
    c.deliver(4, 1);
    c.take_snapshot(1);
    c.deliver(1, 4);
    c.install(4);
    c.sync(4);
    c.deliver(4, 1);
    c.quietly(|c| {
        c.timeout(1);
        settle_with_snapshots(c);
    });
    assert_eq!(configuration(&c, 4), "voters=(1 2 3) learners=(4)");
    c.say(
        "It is replicated to, and does not count: with nodes 2 and 3 away, nothing is committed.",
    );
    c.propose(1, 8);
    let before = c.raft(1).commit();
    c.quietly(|c| c.settle_among(&[1, 4]));
    assert_eq!(c.raft(4).last_index(), c.raft(1).last_index());
    assert_eq!(c.raft(1).commit(), before);
    c.say("Nor does it stand for election, however long it hears nothing.");
    c.timeout(4);
    assert!(c.network.is_empty());
    c.quietly(|c| {
        c.timeout(1);
        c.settle();
    });
    c.say("Promoted, it is one of four, of whom three decide.");
    c.change(1, "v4");
    c.quietly(Cluster::settle);
    c.propose(1, 9);
    c.quietly(|c| c.settle_among(&[1, 4]));
    assert!(c.raft(1).commit() < c.raft(1).last_index());
    c.quietly(|c| {
        c.timeout(1);
        c.settle_among(&[1, 2, 4]);
    });
    assert_eq!(c.raft(1).commit(), c.raft(1).last_index());
    assert_story!(c);
}

#[test]
fn leadership_is_not_handed_to_a_learner() {
    let mut c = Cluster::new(3);
    c.quietly(|c| {
        c.elect(1);
        c.change(1, "l3");
        c.settle();
    });
    assert!(c.transfer(1, 3).is_err());
    assert_story!(c);
}

#[test]
fn a_change_takes_effect_when_it_is_applied() {
    let mut c = Cluster::new(3);
    c.quietly(|c| c.elect(1));
    c.say("Node 1 removes node 3. While the change is in its log only, node 3 counts.");
    c.change(1, "r3");
    assert_eq!(configuration(&c, 1), "voters=(1 2 3)");
    c.say("Committed, it waits for the state machine. Another change has to wait as well.");
    c.hold_changes(1, true);
    c.quietly(Cluster::settle);
    assert_eq!(configuration(&c, 1), "voters=(1 2 3)");
    assert!(!c.change(1, "v4"));
    c.say("Applied, it is in force, and the next change may be made.");
    c.hold_changes(1, false);
    assert_eq!(configuration(&c, 1), "voters=(1 2)");
    assert!(c.change(1, "l3"));
    assert_story!(c);
}

#[test]
fn the_single_server_bug_of_2015() {
    let mut c = Cluster::new(4);
    c.quietly(|c| {
        c.elect(1);
        c.add_node(5);
    });
    c.say("Node 1 leads in term 1 and wishes to add node 5. Only its own log has the change.");
    c.change(1, "v5");
    c.sync(1);
    c.network.clear();
    c.say("Node 2 leads in term 2, with the votes of 3 and 4, and is asked at once to remove node 1. It refuses until an entry of its term is committed.");
    c.quietly(|c| {
        c.timeout(2);
        c.sync(2);
        for voter in [3, 4] {
            c.deliver(2, voter);
            c.sync(voter);
            c.deliver(voter, 2);
        }
    });
    assert_eq!(c.raft(2).role(), Role::Leader);
    assert!(!c.change(2, "r1"));
    c.say(
        "By then, no quorum of any configuration can elect a leader that has the change of term 1.",
    );
    c.quietly(|c| c.settle_among(&[2, 3, 4]));
    assert!(c.change(2, "r1"));
    c.quietly(|c| c.settle_among(&[2, 3, 4]));
    c.say("Node 1 comes back with its change, which nobody else has: it wins no election, neither among the four nor with node 5.");
    c.timeout(1);
    c.quietly(|c| c.settle_among(&[1, 2, 3, 4, 5]));
    assert_ne!(c.raft(1).role(), Role::Leader);
    assert_story!(c);
}

#[test]
fn a_new_leader_waits_for_a_change_that_is_in_its_log() {
    let mut c = Cluster::new(3);
    c.quietly(|c| c.elect(1));
    c.say("Node 1 removes node 3; node 2 has the change as well, and it is not known to be committed.");
    c.change(1, "r3");
    c.quietly(|c| {
        c.deliver(1, 2);
        c.sync(2);
        c.network.clear();
    });
    c.say("Node 2 becomes leader. The change of term 1 may become committed with its first entry, so that it makes no other before.");
    c.quietly(|c| c.hold_changes(2, true));
    c.quietly(|c| {
        c.timeout(2);
        c.settle_among(&[2, 3]);
    });
    assert_eq!(c.raft(2).role(), Role::Leader);
    assert!(!c.change(2, "r1"));
    c.hold_changes(2, false);
    assert_eq!(configuration(&c, 2), "voters=(1 2)");
    assert_story!(c);
}

#[test]
fn a_removed_leader_steps_down_once_the_change_is_committed() {
    let mut c = Cluster::new(3);
    c.quietly(|c| c.elect(1));
    c.say("Node 1 is asked to remove itself. It leads on until the others have the change.");
    c.change(1, "r1");
    c.deliver(1, 2);
    c.sync(2);
    assert_eq!(c.raft(1).role(), Role::Leader);
    c.deliver(2, 1);
    c.sync(1);
    assert_eq!(c.raft(1).role(), Role::Follower);
    c.quietly(Cluster::settle);
    c.say("It stands for no election any more; the others elect one of them.");
    c.timeout(1);
    assert!(c.network.is_empty());
    c.quietly(|c| c.elect(2));
    assert_story!(c);
}

#[test]
fn a_removed_member_does_not_disturb_the_others() {
    let mut c = Cluster::sticky(3);
    c.quietly(|c| c.elect(1));
    c.say("Node 3 is removed while it cannot be reached: it does not know.");
    c.change(1, "r3");
    c.quietly(|c| c.settle_among(&[1, 2]));
    c.quietly(|c| c.pass(2 * ELECTION_TIMEOUT, |m| m.from == 3 || m.to == 3));
    let term = c.raft(1).term();
    c.say("It asks whether it could win. The others hear their leader and do not even answer.");
    let now = c.now;
    c.timeout(3);
    c.now = now;
    c.settle();
    assert_eq!((c.raft(1).role(), c.raft(1).term()), (Role::Leader, term));
    assert_story!(c);
}

#[test]
fn a_joint_change_needs_both_quorums_and_is_left_by_itself() {
    let mut c = Cluster::new(3);
    c.quietly(|c| {
        c.elect(1);
        c.add_node(4);
        c.add_node(5);
    });
    c.say("Nodes 4 and 5 replace 2 and 3 in one change.");
    c.change(1, "v4 v5 r2 r3");
    c.sync(1);
    c.deliver(1, 2);
    c.sync(2);
    c.deliver(2, 1);
    c.quietly(|c| c.settle_among(&[1, 2, 3]));
    assert_eq!(configuration(&c, 1), "voters=(1 4 5)&&(1 2 3) autoleave");
    c.say("The old voters alone cannot commit that the joint configuration is left: the new ones must have it, too.");
    let before = c.raft(1).commit();
    c.timeout(1);
    c.quietly(|c| c.settle_among(&[1, 2, 3]));
    assert_eq!(c.raft(1).commit(), before);
    c.timeout(1);
    c.quietly(settle_with_snapshots);
    assert_eq!(configuration(&c, 1), "voters=(1 4 5)");
    assert_eq!(configuration(&c, 5), "voters=(1 4 5)");
    assert_story!(c);
}

#[test]
fn an_explicit_joint_change_is_left_by_hand() {
    let mut c = Cluster::new(3);
    c.quietly(|c| c.elect(1));
    c.change(1, "l2 l3 explicit");
    c.quietly(Cluster::settle);
    assert_eq!(
        configuration(&c, 1),
        "voters=(1)&&(1 2 3) learners_next=(2 3)"
    );
    c.say("A new leader of the joint configuration leaves it no more than the old one did.");
    c.quietly(|c| c.elect(2));
    assert!(!c.change(2, "v4"), "it must be left first");
    c.change(2, "");
    c.quietly(Cluster::settle);
    assert_eq!(configuration(&c, 1), "voters=(1) learners=(2 3)");
    assert_eq!(c.raft(2).role(), Role::Follower, "it is a learner now");
    assert_story!(c);
}

#[test]
fn no_election_before_a_committed_change_is_applied() {
    let mut c = Cluster::new(3);
    c.quietly(|c| {
        c.elect(1);
        c.hold_changes(2, true);
        c.change(1, "r3");
        c.settle();
        c.timeout(1);
        c.settle();
    });
    c.say("Node 2 knows that the removal of node 3 is committed, and has not applied it. With node 3's vote it could win in a configuration that is two changes old.");
    c.timeout(2);
    assert_eq!(c.raft(2).role(), Role::Follower);
    assert!(c.nodes[&2].marks.contains(&marks::WAITED_FOR_CONF_CHANGE));
    c.say("Applied, it is free to stand.");
    c.hold_changes(2, false);
    c.timeout(2);
    assert_eq!(c.raft(2).role(), Role::Candidate);
    assert_story!(c);
}

#[test]
fn a_restart_finds_the_configuration_and_applies_no_change_twice() {
    let mut c = Cluster::new(3);
    c.quietly(|c| {
        c.elect(1);
        c.change(1, "l3");
        c.settle();
        c.compact(2);
        c.change(1, "v4");
        c.settle();
        c.timeout(1);
        c.settle();
    });
    assert_eq!(configuration(&c, 2), "voters=(1 2 4) learners=(3)");
    c.say("Node 2's state machine durably has the first change, not the second. It comes back with the first, and applies the second from its log.");
    c.crash(2, 0);
    c.timeout(1);
    c.deliver(1, 2);
    assert_eq!(configuration(&c, 2), "voters=(1 2 4) learners=(3)");
    assert_story!(c);
}

#[test]
fn a_voter_that_has_just_joined_does_not_hold_up_reads() {
    let mut c = Cluster::new(1);
    c.quietly(|c| {
        c.elect(1);
        c.read(1, 1);
        c.add_node(2);
        c.change(1, "v2");
        c.sync(1);
        settle_with_snapshots(c);
        c.timeout(1);
        settle_with_snapshots(c);
    });
    assert_eq!(configuration(&c, 2), "voters=(1 2)");
    c.say("Node 1 has confirmed a read alone. Node 2, a voter since, has answered no round: the next read begins one at once, and does not wait for the next heartbeat.");
    c.read(1, 2);
    c.deliver(1, 2);
    c.deliver(2, 1);
    assert_eq!(c.nodes[&1].readable.last(), Some(&(2, 2)));
    assert_story!(c);
}
