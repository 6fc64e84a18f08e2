//! Golden cases of leases: what etcd answers (measured on 3.4.23), and who lets
//! them expire when.

use super::bench::{Bench, IntoOp as _, SECOND, config, del, get, put, txn, when};
use super::crash_disk::CrashDisk;
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;
use squall_api::pb::compare::{CompareResult as Is, CompareTarget as Of, TargetUnion as Operand};
use squall_api::pb::{self, internal_raft_request::Command};
use squall_api::{Disk, Effect, Input, LaneMsg, LeaseRequest, Machine as _, Request};
use std::collections::BTreeMap;
use std::sync::Arc;

const NOT_FOUND: &str = "NotFound: etcdserver: requested lease not found";
const EXISTS: &str = "FailedPrecondition: etcdserver: lease already exists";
const TOO_LARGE: &str = "OutOfRange: etcdserver: too large lease TTL";

fn grant(id: i64, ttl: i64) -> Request {
    Request::Lease(LeaseRequest::Grant(pb::LeaseGrantRequest { id, ttl }))
}

fn revoke(id: i64) -> Request {
    Request::Lease(LeaseRequest::Revoke(pb::LeaseRevokeRequest { id }))
}

fn leases() -> Request {
    Request::Lease(LeaseRequest::Leases(pb::LeaseLeasesRequest {}))
}

fn put_on(key: &str, lease: i64) -> pb::PutRequest {
    pb::PutRequest {
        lease,
        ..put(key, "v")
    }
}

/// Says each, and compares.
fn transcript(bench: &mut Bench, steps: Vec<(Request, &str)>) {
    for (i, (step, expected)) in steps.into_iter().enumerate() {
        let asked = format!("{step:?}");
        assert_eq!(bench.say(step), expected, "step {i}: {asked}");
    }
}

#[test]
fn grants_and_revocations_are_answered_as_etcd_does() {
    let mut bench = Bench::new();
    transcript(
        &mut bench,
        vec![
            (grant(7, 100), "1: granted 7 for 100 s"),
            (grant(7, 5), EXISTS),
            (grant(8, 0), "1: granted 8 for 2 s"),
            (grant(9, -1), "1: granted 9 for 2 s"),
            (grant(10, 1), "1: granted 10 for 2 s"),
            (grant(-5, 9_000_000_000), "1: granted -5 for 9000000000 s"),
            (grant(11, 9_000_000_001), TOO_LARGE),
            (leases(), "1: leases [-5 7 8 9 10]"),
            (revoke(8), "1: revoked"),
            (revoke(8), NOT_FOUND),
            (revoke(0), NOT_FOUND),
            (leases(), "1: leases [-5 7 9 10]"),
        ],
    );
}

#[test]
fn a_member_draws_a_positive_id_that_is_free() {
    let mut bench = Bench::new();
    let mut ids = Vec::new();
    for _ in 0..20 {
        match bench.call(grant(0, 10)) {
            Ok(squall_api::Response::Lease(squall_api::LeaseResponse::Grant(r))) => ids.push(r.id),
            other => panic!("{other:?}"),
        }
    }
    assert!(ids.iter().all(|id| *id > 0), "{ids:?}");
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

#[test]
fn revoking_deletes_the_attached_keys_at_one_revision() {
    let mut bench = Bench::new();
    transcript(
        &mut bench,
        vec![
            (grant(1, 100), "1: granted 1 for 100 s"),
            (grant(2, 100), "1: granted 2 for 100 s"),
            (Request::Put(put_on("c", 1)), "2: put"),
            (Request::Put(put_on("a", 1)), "3: put"),
            (Request::Put(put_on("b", 2)), "4: put"),
            (Request::Put(put_on("free", 0)), "5: put"),
            (revoke(1), "6: revoked"),
            (
                Request::Range(get("\0", "\0")),
                "6: [b=v(4,4,1) free=v(5,5,1)] of 2",
            ),
            (
                Request::Range(pb::RangeRequest {
                    revision: 5,
                    ..get("a", "d")
                }),
                "6: [a=v(3,3,1) b=v(4,4,1) c=v(2,2,1)] of 3",
            ),
            (leases(), "6: leases [2]"),
        ],
    );
}

#[test]
fn a_key_belongs_to_the_lease_of_its_last_put() {
    let again = |key: &str, lease: i64, ignore_lease: bool| {
        Request::Put(pb::PutRequest {
            lease,
            ignore_lease,
            ..put(key, "w")
        })
    };
    let mut bench = Bench::new();
    transcript(
        &mut bench,
        vec![
            (grant(1, 100), "1: granted 1 for 100 s"),
            (grant(2, 100), "1: granted 2 for 100 s"),
            (Request::Put(put_on("detached", 1)), "2: put"),
            (Request::Put(put_on("moved", 1)), "3: put"),
            (Request::Put(put_on("kept", 1)), "4: put"),
            (Request::Put(put_on("deleted", 1)), "5: put"),
            (again("detached", 0, false), "6: put"),
            (again("moved", 2, false), "7: put"),
            (again("kept", 0, true), "8: put"),
            (Request::DeleteRange(del("deleted", "")), "9: deleted 1"),
            (again("deleted", 0, false), "10: put"),
            (revoke(1), "11: revoked"),
            (
                Request::Range(get("\0", "\0")),
                "11: [deleted=w(10,10,1) detached=w(2,6,2) moved=w(3,7,2)] of 3",
            ),
            (revoke(2), "12: revoked"),
            (
                Request::Range(get("\0", "\0")),
                "12: [deleted=w(10,10,1) detached=w(2,6,2)] of 2",
            ),
        ],
    );
}

#[test]
fn a_put_with_an_unknown_lease_has_no_effect_also_in_a_transaction() {
    let mut bench = Bench::new();
    let on = |lease| when(Of::Lease, "k", Is::Equal, Operand::Lease(lease));
    let both = |lease| {
        let ops = vec![put("other", "v").op(), put_on("k", lease).op()];
        Request::Txn(txn(vec![], ops, vec![]))
    };
    let compare = |lease| Request::Txn(txn(vec![on(lease)], vec![get("k", "").op()], vec![]));
    transcript(
        &mut bench,
        vec![
            (Request::Put(put_on("k", 5)), NOT_FOUND),
            (both(5), NOT_FOUND),
            (grant(5, 100), "1: granted 5 for 100 s"),
            (compare(0), "1: then {1: [] of 0}"),
            (both(5), "2: then {2: put; 2: put}"),
            (compare(5), "2: then {2: [k=v(2,2,1)] of 1}"),
            (compare(0), "2: else {}"),
            (revoke(5), "3: revoked"),
            (Request::Put(put_on("k", 5)), NOT_FOUND),
        ],
    );
}

#[test]
fn a_restart_and_a_snapshot_keep_leases_and_what_is_attached() {
    let disk: Arc<dyn Disk> = CrashDisk::default().shared();
    let mut bench = Bench::open(&disk, config()).unwrap();
    for step in [
        grant(-3, 100),
        grant(4, 50),
        grant(6, 50),
        Request::Put(put_on("a", -3)),
        Request::Put(put_on("b", 4)),
        Request::Put(put_on("a", 4)),
        Request::Put(put_on("c", -3)),
        revoke(6),
    ] {
        bench.call(step).unwrap();
    }
    let snapshot = bench.snapshot();
    bench.stop();

    let after: Vec<(Request, &str)> = vec![
        (leases(), "5: leases [-3 4]"),
        (revoke(4), "6: revoked"),
        (Request::Range(get("\0", "\0")), "6: [c=v(5,5,1)] of 1"),
        (revoke(-3), "7: revoked"),
        (Request::Range(get("\0", "\0")), "7: [] of 0"),
    ];
    let mut restarted = Bench::open(&disk, config()).unwrap();
    transcript(&mut restarted, after.clone());

    // Onto a member with other leases, and the same key on another one.
    let mut other = Bench::new();
    for step in [grant(9, 10), Request::Put(put_on("c", 9))] {
        other.call(step).unwrap();
    }
    other.step(Input::Lane(LaneMsg::Install(snapshot))).unwrap();
    other.index = 8;
    transcript(&mut other, after);
}

fn keep_alive(id: i64) -> Request {
    Request::Lease(LeaseRequest::KeepAlive(pb::LeaseKeepAliveRequest { id }))
}

fn time_to_live(id: i64) -> Request {
    let keys = true;
    Request::Lease(LeaseRequest::TimeToLive(pb::LeaseTimeToLiveRequest {
        id,
        keys,
    }))
}

/// A lane that has heard that member 1, itself, leads in term 1.
fn leading() -> Bench {
    let mut bench = Bench::new();
    lead(&mut bench);
    bench
}

fn lead(bench: &mut Bench) {
    follow(bench, 1);
    bench.commit(Bytes::new()).unwrap();
}

fn follow(bench: &mut Bench, leader: u64) -> Vec<Effect> {
    let told = LaneMsg::Leader { term: 1, leader };
    bench.step(Input::Lane(told)).unwrap()
}

/// Lets time pass, with Raft agreeing to whatever the lane wants; what was
/// proposed.
fn pass(bench: &mut Bench, seconds: u64) -> Vec<Command> {
    let mut proposed = Vec::new();
    let until = bench.now.mono + seconds * SECOND;
    loop {
        let next = bench.lane.deadline().unwrap_or(until);
        bench.now.mono = next.clamp(bench.now.mono, until);
        let mut effects = bench.step(Input::Deadline).unwrap();
        while !effects.is_empty() {
            let mut next = Vec::new();
            for effect in effects {
                match effect {
                    Effect::Lane(LaneMsg::ReadIndex { ctx }) => {
                        let index = bench.index;
                        let msg = LaneMsg::Readable { ctx, index };
                        next.extend(bench.step(Input::Lane(msg)).unwrap());
                    }
                    Effect::Lane(LaneMsg::Propose { data, .. }) => {
                        let request = pb::InternalRaftRequest::decode(data.clone()).unwrap();
                        proposed.extend(request.command);
                        next.extend(bench.commit(data).unwrap());
                    }
                    _ => {}
                }
            }
            effects = next;
        }
        if bench.lane.deadline().is_none_or(|next| next > until) {
            bench.now.mono = until;
            return proposed;
        }
    }
}

#[test]
fn the_leader_lets_leases_expire_by_its_clock_and_a_keep_alive_gives_all_again() {
    let mut bench = leading();
    bench.call(grant(1, 5)).unwrap();
    bench.call(grant(2, 9)).unwrap();
    bench.call(Request::Put(put_on("a", 1))).unwrap();
    assert!(pass(&mut bench, 4).is_empty());
    assert_eq!(bench.say(time_to_live(1)), "2: 1 of 5 s [a]");
    assert_eq!(bench.say(keep_alive(1)), "2: kept 1 for 5 s");
    assert!(pass(&mut bench, 4).is_empty());
    let revoke = |id| Command::LeaseRevoke(pb::LeaseRevokeRequest { id });
    assert_eq!(pass(&mut bench, 1), [revoke(1), revoke(2)]);
    assert_eq!(bench.say(leases()), "3: leases []");
    assert_eq!(bench.say(Request::Range(get("a", ""))), "3: [] of 0");
    assert_eq!(bench.say(keep_alive(1)), "3: kept 1 for 0 s");
    assert_eq!(bench.say(time_to_live(1)), "3: -1 of 0 s []");
}

#[test]
fn a_follower_lets_nothing_expire_and_a_new_leader_begins_anew() {
    let mut bench = leading();
    bench.call(grant(1, 5)).unwrap();
    follow(&mut bench, 2);
    assert!(pass(&mut bench, 100).is_empty());
    follow(&mut bench, 1);
    assert!(pass(&mut bench, 4).is_empty());
    assert_eq!(pass(&mut bench, 2).len(), 1);
}

#[test]
fn an_expiry_is_void_in_any_other_term_than_its_leaders() {
    let mut bench = leading();
    bench.call(grant(1, 5)).unwrap();
    let expiry = |term: u64| {
        let request = pb::InternalRaftRequest {
            header: Some(pb::RequestHeader {
                id: 99,
                term,
                ..pb::RequestHeader::default()
            }),
            command: Some(Command::LeaseRevoke(pb::LeaseRevokeRequest { id: 1 })),
        };
        Bytes::from(request.encode_to_vec())
    };
    // Entries of a bench are of term 1.
    bench.commit(expiry(7)).unwrap();
    assert_eq!(bench.say(leases()), "1: leases [1]");
    bench.commit(expiry(1)).unwrap();
    assert_eq!(bench.say(leases()), "1: leases []");
}

#[test]
fn a_keep_alive_waits_for_the_leader_to_be_confirmed_and_is_void_if_it_was_deposed() {
    let mut bench = leading();
    bench.call(grant(1, 5)).unwrap();
    let (_, effects) = bench.request(keep_alive(1));
    let Some(Effect::Lane(LaneMsg::ReadIndex { ctx })) = effects.last() else {
        panic!("{effects:?}");
    };
    let (ctx, index) = (*ctx, bench.index);
    // It is deposed: the call goes to member 2, and the confirmation says nothing.
    let told = LaneMsg::Leader { term: 2, leader: 2 };
    let effects = bench.step(Input::Lane(told)).unwrap();
    let [Effect::Send(frame)] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!((frame.to, frame.is_for_raft()), (2, false));
    let late = LaneMsg::Readable { ctx, index };
    assert!(bench.step(Input::Lane(late)).unwrap().is_empty());
    // Frames get lost: it is asked again, and again.
    bench.now.mono += 2 * config().heartbeat;
    let effects = bench.step(Input::Deadline).unwrap();
    assert!(matches!(effects[0], Effect::Send(_)), "{effects:?}");
}

#[test]
fn a_forwarded_keep_alive_is_answered_by_the_leader_and_by_nobody_else() {
    let mut follower = Bench::new();
    follow(&mut follower, 2);
    let (req, effects) = follower.request(keep_alive(1));
    let [Effect::Send(asked)] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    let asked = squall_api::PeerFrame {
        from: 3,
        to: 1,
        ..asked.clone()
    };
    let mut leader = leading();
    leader.call(grant(1, 5)).unwrap();
    let effects = leader.step(Input::Peer(asked.clone())).unwrap();
    let Some(Effect::Lane(LaneMsg::ReadIndex { ctx })) = effects.last() else {
        panic!("{effects:?}");
    };
    let (ctx, index) = (*ctx, leader.index);
    let effects = leader.step(Input::Lane(LaneMsg::Readable { ctx, index }));
    let Ok([Effect::Send(answer)]) = effects.as_deref() else {
        panic!("{effects:?}");
    };
    assert_eq!(answer.to, 3);
    let answer = squall_api::PeerFrame {
        to: 1,
        ..answer.clone()
    };
    let effects = follower.step(Input::Peer(answer.clone())).unwrap();
    let answers = super::bench::replies(&effects);
    assert_eq!(answers[0].0, req);
    let kept = answers[0].1.as_ref().unwrap();
    assert_eq!(super::bench::show(kept), "1: kept 1 for 5 s");
    // The network repeats it: nobody waits any more.
    assert!(follower.step(Input::Peer(answer)).unwrap().is_empty());
    // Who does not lead keeps quiet; whoever asks finds the leader.
    follow(&mut leader, 2);
    assert!(leader.step(Input::Peer(asked)).unwrap().is_empty());
}

#[test]
fn a_checkpoint_bounds_what_the_next_leader_gives_and_a_keep_alive_takes_it_back() {
    let disk: Arc<dyn Disk> = CrashDisk::default().shared();
    let checkpointing = squall_api::Config {
        lease_checkpoint_interval: 3 * SECOND,
        ..config()
    };
    let mut bench = Bench::open(&disk, checkpointing).unwrap();
    lead(&mut bench);
    bench.call(grant(1, 10)).unwrap();
    let checkpoint = |left: i64| {
        Command::LeaseCheckpoint(pb::LeaseCheckpointRequest {
            checkpoints: vec![pb::LeaseCheckpoint {
                id: 1,
                remaining_ttl: left,
            }],
        })
    };
    assert_eq!(pass(&mut bench, 7), [checkpoint(7), checkpoint(4)]);
    follow(&mut bench, 2);
    follow(&mut bench, 1);
    bench.step(Input::Deadline).unwrap();
    assert_eq!(bench.say(time_to_live(1)), "1: 4 of 10 s []");

    // The answer waits until followers know that there is no checkpoint.
    let (req, mut effects) = bench.request(keep_alive(1));
    let mut taken_back = false;
    while super::bench::replies(&effects).is_empty() {
        effects = match effects.pop() {
            Some(Effect::Lane(LaneMsg::ReadIndex { ctx })) => {
                let index = bench.index;
                let msg = LaneMsg::Readable { ctx, index };
                bench.step(Input::Lane(msg)).unwrap()
            }
            Some(Effect::Lane(LaneMsg::Propose { data, .. })) => {
                taken_back = true;
                bench.commit(data).unwrap()
            }
            other => panic!("{other:?}"),
        };
    }
    assert!(taken_back);
    assert_eq!(super::bench::replies(&effects)[0].0, req);
    follow(&mut bench, 2);
    follow(&mut bench, 1);
    bench.step(Input::Deadline).unwrap();
    assert_eq!(bench.say(time_to_live(1)), "1: 10 of 10 s []");
}

#[test]
fn many_leases_expire_in_batches() {
    let mut bench = leading();
    for id in 1..=1_200 {
        bench.call(grant(id, 5)).unwrap();
    }
    bench.now.mono += 5 * SECOND - SECOND / 4;
    let counts = [(); 3].map(|()| {
        // Half a second each.
        let until = bench.now.mono + SECOND / 2;
        let mut count = 0;
        while let Some(at) = bench.lane.deadline().filter(|at| *at < until) {
            bench.now.mono = at.max(bench.now.mono);
            count += pass(&mut bench, 0).len();
        }
        bench.now.mono = until;
        count
    });
    assert_eq!(counts, [500, 500, 200]);
}

#[test]
fn a_stream_of_keep_alives_is_answered_message_by_message() {
    let mut bench = leading();
    bench.call(grant(1, 5)).unwrap();
    bench.call(grant(2, 7)).unwrap();
    let (req, effects) = bench.request(keep_alive(1));
    let message = Input::Message {
        id: req,
        req: Box::new(keep_alive(2)),
    };
    assert!(
        bench.step(message).unwrap().is_empty(),
        "one after the other"
    );
    let mut said = Vec::new();
    let mut effects = effects;
    while let Some(effect) = effects.pop() {
        match effect {
            Effect::Reply { id, result, last } => {
                assert_eq!((id, last), (req, false));
                said.push(super::bench::show(&result.unwrap()));
            }
            Effect::Lane(LaneMsg::ReadIndex { ctx }) => {
                let index = bench.index;
                let msg = LaneMsg::Readable { ctx, index };
                effects.extend(bench.step(Input::Lane(msg)).unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
    said.sort();
    assert_eq!(said, ["1: kept 1 for 5 s", "1: kept 2 for 7 s"]);
    bench.step(Input::Cancel(req)).unwrap();
    let message = Input::Message {
        id: req,
        req: Box::new(keep_alive(1)),
    };
    assert!(bench.step(message).unwrap().is_empty(), "it was given up");
}

/// What the model of a random run knows of a lease: its TTL, and when it ends.
type Model = BTreeMap<i64, (i64, u64)>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a model that knows nothing but when each lease ends.
    #[test]
    fn a_lone_leader_keeps_leases_as_the_model_does(
        steps in prop::collection::vec((0_u8..6, 1_i64..5, 2_i64..6), 1..60)
    ) {
        let mut bench = leading();
        let mut model = Model::new();
        let mut keys: BTreeMap<i64, i64> = BTreeMap::new();
        for (what, id, ttl) in steps {
            let now = bench.now.mono;
            let ends = now + ttl as u64 * SECOND;
            match what {
                0 => {
                    let granted = bench.call(grant(id, ttl)).is_ok();
                    prop_assert_eq!(granted, !model.contains_key(&id));
                    model.entry(id).or_insert((ttl, ends));
                }
                1 => {
                    prop_assert_eq!(bench.call(revoke(id)).is_ok(), model.remove(&id).is_some());
                }
                2 => {
                    let left = model.get_mut(&id).map_or(0, |(ttl, ends)| {
                        *ends = now + *ttl as u64 * SECOND;
                        *ttl
                    });
                    let said = bench.say(keep_alive(id));
                    prop_assert!(said.ends_with(&format!("kept {id} for {left} s")), "{}", said);
                }
                3 => {
                    let put = bench.call(Request::Put(put_on(&format!("k{ttl}"), id)));
                    prop_assert_eq!(put.is_ok(), model.contains_key(&id));
                    if put.is_ok() {
                        keys.insert(ttl, id);
                    }
                }
                _ => {
                    pass(&mut bench, 1);
                    let now = bench.now.mono;
                    model.retain(|_, (_, ends)| *ends > now);
                }
            }
            keys.retain(|_, lease| model.contains_key(lease));
            let said = bench.say(leases());
            let ids: Vec<String> = model.keys().map(i64::to_string).collect();
            prop_assert!(said.ends_with(&format!("leases [{}]", ids.join(" "))), "{}", said);
            let said = bench.say(Request::Range(pb::RangeRequest { count_only: true, ..get("k", "l") }));
            prop_assert!(said.ends_with(&format!("of {}", keys.len())), "{}", said);
        }
    }
}
