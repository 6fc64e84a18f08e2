//! Planted bugs: for each, the shortest schedule in which it breaks a promise,
//! and the same schedule without it, in which the promise is kept.

use crate::cluster::Cluster;
use squall_api::Bug;

/// Runs the schedule with the bug and without, and expects the promise to be
/// broken by the bug alone.
fn assert_breaks(bug: Bug, promise: &str, schedule: impl Fn(&mut Cluster)) {
    let mut sound = Cluster::new(3);
    schedule(&mut sound);
    sound.invariants.assert_kept();

    let mut planted = Cluster::with_bug(3, Some(bug));
    schedule(&mut planted);
    assert!(
        planted.invariants.has_broken(promise),
        "{} should break {promise:?}, it broke {:#?}",
        bug.name(),
        planted.invariants.broken
    );
}

/// Node `id` stands for election among `voters`; the rest hears nothing.
fn campaign(c: &mut Cluster, id: u64, voters: &[u64]) {
    c.timeout(id);
    c.settle_among(voters);
}

/// Node 2 votes for node 1, durably, and restarts.
fn vote_and_crash(c: &mut Cluster) {
    c.timeout(1);
    c.sync(1);
    c.deliver(1, 2);
    c.sync(2);
    c.crash(2, 0);
}

#[test]
fn ack_before_fsync() {
    assert_breaks(Bug::AckBeforeFsync, "leader completeness", |c| {
        c.elect(1);
        c.propose(1, 7);
        c.sync(1);
        // Node 2 says that it has p7, loses it with its power, and is elected
        // by node 3, which never had it.
        c.deliver(1, 2);
        c.isolate(3);
        if c.network.iter().any(|m| m.from == 2) {
            c.deliver(2, 1);
        }
        c.crash(2, 0);
        c.network.clear();
        campaign(c, 2, &[2, 3]);
    });
}

#[test]
fn ack_on_append() {
    assert_breaks(Bug::AckOnAppend, "leader completeness", |c| {
        c.elect(1);
        c.propose(1, 7);
        c.sync(1);
        c.network.clear();
        campaign(c, 2, &[2, 3]);
    });
}

#[test]
fn forget_vote() {
    assert_breaks(Bug::ForgetVote, "one vote a term", |c| {
        vote_and_crash(c);
        campaign(c, 3, &[2, 3]);
    });
}

#[test]
fn forget_vote_elects_two_leaders() {
    assert_breaks(Bug::ForgetVote, "election safety", |c| {
        vote_and_crash(c);
        c.deliver(2, 1);
        c.network.clear();
        campaign(c, 3, &[2, 3]);
    });
}

#[test]
fn unconfirmed_read() {
    assert_breaks(Bug::UnconfirmedRead, "fresh reads", |c| {
        c.elect(1);
        campaign(c, 2, &[2, 3]);
        c.propose(2, 7);
        c.settle_among(&[2, 3]);
        c.read(1, 1);
    });
}

#[test]
fn vote_shorter_log() {
    assert_breaks(Bug::VoteShorterLog, "leader completeness", |c| {
        c.elect(1);
        c.propose(1, 7);
        c.settle_among(&[1, 2]);
        // Node 3 lacks p7, which is committed; node 2 has it.
        campaign(c, 3, &[2, 3]);
    });
}
