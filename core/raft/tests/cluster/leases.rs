//! Stories of reads by leases. See [`stories`](crate::stories) for how to read
//! them.

use crate::cluster::{Cluster, ELECTION_TIMEOUT, HEARTBEAT};
use crate::tell::assert_story;
use raft_proto::eraftpb::MessageType;
use squall_api::Role;

const LEASE: u64 = ELECTION_TIMEOUT - HEARTBEAT;

/// Three nodes with leases; node 1 leads, and has committed its first entry.
fn leased() -> Cluster {
    let mut c = Cluster::sticky(3).tune(|s| s.read_lease = LEASE);
    c.quietly(|c| {
        c.elect(1);
        c.timeout(1);
        c.settle();
    });
    c
}

#[test]
fn a_leader_reads_under_its_lease() {
    let mut c = leased();
    c.say("A quorum answered a heartbeat of node 1: for the length of its lease nobody else can lead, and it answers reads without a message.");
    c.read(1, 1);
    assert_eq!(c.nodes[&1].readable, [(1, 1)]);
    assert_eq!(c.network.len(), 0);
    c.say("A follower's read costs one round trip.");
    c.read(3, 2);
    c.deliver(3, 1);
    c.deliver(1, 3);
    assert_eq!(c.nodes[&3].readable, [(2, 1)]);
    c.say("Cut off, it goes on until its lease is over, which is counted from when the heartbeat was sent.");
    c.quietly(|c| {
        c.now += LEASE - 1;
        c.read(1, 3);
        c.now += 1;
    });
    assert_eq!(c.nodes[&1].readable, [(1, 1), (3, 1)]);
    c.say("Then it asks a quorum, as without a lease.");
    c.read(1, 4);
    assert_eq!(c.nodes[&1].readable.len(), 2);
    assert_eq!(c.under_way(MessageType::MsgHeartbeat), 2);
    c.quietly(Cluster::settle);
    assert_eq!(c.nodes[&1].readable.last(), Some(&(4, 1)));
    assert_story!(c);
}

#[test]
fn who_has_just_started_may_have_promised_patience() {
    let mut c = leased();
    c.say("Node 2 answered node 1 and was restarted at once: it does not remember that it has a leader. Node 3 was cut off for long, and asks for its vote.");
    c.quietly(|c| c.crash(2, 0));
    c.quietly(|c| {
        let now = c.now;
        c.timeout(3);
        c.now = now;
    });
    c.lose(3, 1);
    c.deliver(3, 2);
    assert_eq!((c.raft(2).term(), c.network.len()), (1, 0));
    c.say("It does not even answer: node 1 may still read under its lease.");
    c.read(1, 1);
    assert_eq!(c.nodes[&1].readable, [(1, 1)]);
    assert_story!(c);
}

#[test]
fn an_offered_place_ends_the_lease() {
    let mut c = leased();
    c.say("Node 1 hands over to node 2. Its offer may arrive at any time, and nobody will be patient then: it asks a quorum from now on, even when the transfer is given up.");
    c.transfer(1, 2).expect("node 1 leads");
    c.quietly(|c| c.network.clear());
    c.read(1, 1);
    assert_eq!(c.nodes[&1].readable, []);
    c.quietly(Cluster::settle);
    assert_eq!(c.nodes[&1].readable, [(1, 1)]);
    c.quietly(|c| c.pass(2 * ELECTION_TIMEOUT, |_| false));
    assert_eq!(
        (c.raft(1).role(), c.raft(1).transferring_to()),
        (Role::Leader, 0)
    );
    let before = c.nodes[&1].readable.len();
    c.read(1, 2);
    assert_eq!(c.nodes[&1].readable.len(), before);
    assert_story!(c);
}

#[test]
fn a_new_leader_has_no_lease_before_its_first_commit() {
    let mut c = Cluster::sticky(3).tune(|s| s.read_lease = LEASE);
    c.quietly(|c| {
        c.elect(1);
        c.propose(1, 7);
        c.settle_among(&[1, 2]);
        c.network.clear();
        // Node 2 does not know yet that entry 2 is committed, or it is.
        c.now += 2 * ELECTION_TIMEOUT;
        c.timeout(2);
        c.deliver(2, 3);
        c.deliver(3, 2);
        c.sync(2);
        c.deliver(2, 3);
        c.sync(3);
        c.deliver(3, 2);
    });
    assert_eq!(c.raft(2).role(), Role::Leader);
    c.say("Node 2 has just been elected, and a quorum answers its heartbeats. What was committed before it came it does not know before its own first entry is: the read waits.");
    c.read(2, 1);
    assert_eq!(c.nodes[&2].readable, []);
    c.quietly(Cluster::settle);
    let index = c.nodes[&2].readable[0].1;
    assert!(index >= 3, "{index}");
    assert_story!(c);
}
