//! Planted bugs of membership: the schedule in which each breaks a promise, and
//! the same one without it.

use crate::cluster::Cluster;
use squall_api::{Bug, Role};

#[track_caller]
fn assert_breaks(bug: Bug, promise: &str, schedule: impl Fn(Option<Bug>) -> Cluster) {
    schedule(None).invariants.assert_kept();
    let planted = schedule(Some(bug));
    assert!(
        planted.invariants.has_broken(promise),
        "{} should break {promise:?}, it broke {:#?}",
        bug.name(),
        planted.invariants.broken
    );
}

/// Messages, syncs and snapshots happen until nothing is left to happen.
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

/// Node `to` has what `leader` sent, and says so; nobody hears more.
fn replicate(c: &mut Cluster, leader: u64, to: u64) {
    c.sync(leader);
    c.deliver(leader, to);
    c.sync(to);
    c.deliver(to, leader);
}

#[test]
fn half_quorum() {
    assert_breaks(Bug::HalfQuorum, "leader completeness", |bug| {
        let mut c = Cluster::with_bug(4, bug);
        c.elect(1);
        c.propose(1, 7);
        c.settle_among(&[1, 2]);
        c.timeout(3);
        c.settle_among(&[3, 4]);
        c
    });
}

#[test]
fn learner_counts() {
    assert_breaks(Bug::LearnerCounts, "leader completeness", |bug| {
        let mut c = Cluster::with_bug(5, bug);
        c.elect(1);
        c.change(1, "l4");
        c.settle();
        c.change(1, "l5");
        c.settle();
        c.propose(1, 7);
        c.settle_among(&[1, 4, 5]);
        c.timeout(2);
        c.settle_among(&[2, 3]);
        c
    });
}

#[test]
fn two_conf_changes() {
    assert_breaks(Bug::TwoConfChanges, "leader completeness", |bug| {
        let mut c = Cluster::with_bug(3, bug);
        c.elect(1);
        c.add_node(4);
        c.add_node(5);
        // Both are committed by nodes 1 and 2, of which 2 does not know it.
        c.change(1, "v4");
        c.change(1, "v5");
        replicate(&mut c, 1, 2);
        settle_with_snapshots_among(&mut c, &[1, 4, 5]);
        c.propose(1, 7);
        c.settle_among(&[1, 4, 5]);
        // Three of five have p7. Node 2 still needs two of three.
        c.timeout(2);
        c.settle_among(&[2, 3]);
        c
    });
}

#[test]
fn early_conf_change() {
    assert_breaks(Bug::EarlyConfChange, "leader completeness", |bug| {
        let mut c = Cluster::with_bug(3, bug);
        c.elect(1);
        c.add_node(4);
        c.add_node(5);
        c.change(1, "v4");
        c.sync(1);
        c.deliver(1, 2);
        c.sync(2);
        c.network.clear();
        // Node 2 leads in term 2, with the change of term 1 in its log.
        c.timeout(2);
        c.sync(2);
        c.deliver(2, 3);
        c.sync(3);
        c.deliver(3, 2);
        assert_eq!(c.raft(2).role(), Role::Leader);
        c.change(2, "v5");
        for _ in 0..3 {
            if c.network.iter().any(|m| (m.from, m.to) == (2, 3)) {
                replicate(&mut c, 2, 3);
            }
            if bug.is_some() && c.raft(2).configuration().voters.iter().count() == 5 {
                break;
            }
        }
        settle_with_snapshots_among(&mut c, &[2, 4, 5]);
        c.propose(2, 7);
        c.settle_among(&[2, 4, 5]);
        c.timeout(3);
        c.settle_among(&[1, 3]);
        c
    });
}

#[test]
fn removed_leader_stays() {
    let removed = |bug| {
        let mut c = Cluster::with_bug(3, bug);
        c.elect(1);
        c.change(1, "r1");
        c.settle();
        c.raft(1).role()
    };
    assert_eq!(removed(None), Role::Follower);
    assert_eq!(removed(Some(Bug::RemovedLeaderStays)), Role::Leader);
}

#[test]
fn snapshot_forgets_learners() {
    let installed = |bug| {
        let mut c = Cluster::with_bug(3, bug);
        c.elect(1);
        c.change(1, "l3");
        c.settle();
        c.add_node(4);
        c.change(1, "v4");
        settle_with_snapshots_among(&mut c, &[1, 2, 3, 4]);
        c.raft(4).configuration().to_string()
    };
    assert_eq!(installed(None), "voters=(1 2 4) learners=(3)");
    let forgot = installed(Some(Bug::SnapshotForgetsLearners));
    assert_eq!(forgot, "voters=(1 2 4)");
}
