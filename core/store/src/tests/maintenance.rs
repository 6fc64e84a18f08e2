//! The service `Maintenance`, as far as one apply lane answers it.

use super::bench::{Bench, IntoOp as _, config, del, get, put, replies, txn};
use super::crash_disk::CrashDisk;
use bytes::Bytes;
use squall_api::pb::alarm_request::AlarmAction;
use squall_api::pb::{self, AlarmType};
use squall_api::{
    Config, Effect, Input, LaneMsg, MaintenanceRequest, MaintenanceResponse, Request, Response,
};

const NO_SPACE: &str = "ResourceExhausted: etcdserver: mvcc: database space exceeded";
const CORRUPT: &str = "DataLoss: etcdserver: corrupt cluster";

fn alarm(action: AlarmAction, kind: AlarmType, member_id: u64) -> Request {
    Request::Maintenance(MaintenanceRequest::Alarm(pb::AlarmRequest {
        action: action as i32,
        member_id,
        alarm: kind as i32,
    }))
}

/// The alarms in an answer, as `(member, type)`.
fn alarms(bench: &mut Bench, req: Request) -> Vec<(u64, i32)> {
    match bench.call(req) {
        Ok(Response::Maintenance(MaintenanceResponse::Alarm(resp))) => {
            assert!(resp.header.unwrap().revision > 0);
            let shown = |a: &pb::AlarmMember| (a.member_id, a.alarm);
            resp.alarms.iter().map(shown).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn move_leader(target_id: u64) -> Request {
    Request::Maintenance(MaintenanceRequest::MoveLeader(pb::MoveLeaderRequest {
        target_id,
    }))
}

fn lease_grant(bench: &Bench) -> Bytes {
    use prost::Message as _;
    let grant = pb::LeaseGrantRequest { ttl: 10, id: 7 };
    let req = pb::InternalRaftRequest {
        header: Some(pb::RequestHeader {
            id: 900 + bench.index,
            ..pb::RequestHeader::default()
        }),
        command: Some(pb::internal_raft_request::Command::LeaseGrant(grant)),
    };
    req.encode_to_vec().into()
}

/// What was proposed.
fn proposed(effects: &[Effect]) -> Vec<Bytes> {
    let data = |effect: &Effect| match effect {
        Effect::Lane(LaneMsg::Propose { data, .. }) => Some(data.clone()),
        _ => None,
    };
    effects.iter().filter_map(data).collect()
}

#[test]
fn alarms_are_activated_listed_and_deactivated_one_by_one() {
    let mut bench = Bench::new();
    let (none, nospace, corrupt) = (AlarmType::None, AlarmType::Nospace, AlarmType::Corrupt);
    let get = |kind| alarm(AlarmAction::Get, kind, 0);
    assert_eq!(alarms(&mut bench, get(none)), []);
    for (kind, member) in [(nospace, 2), (corrupt, 3), (nospace, 2)] {
        let activate = alarm(AlarmAction::Activate, kind, member);
        assert_eq!(alarms(&mut bench, activate), [(member, kind as i32)]);
    }
    assert_eq!(alarms(&mut bench, get(none)), [(2, 1), (3, 2)]);
    assert_eq!(alarms(&mut bench, get(corrupt)), [(3, 2)]);
    let status = bench.call(Request::Status(pb::StatusRequest {})).unwrap();
    let Response::Status(status) = status else {
        panic!("{status:?}");
    };
    assert_eq!(
        status.errors,
        [
            "etcdserver: no leader",
            "memberID:2 alarm:NOSPACE ",
            "memberID:3 alarm:CORRUPT "
        ]
    );
    let nothing = alarm(AlarmAction::Deactivate, nospace, 3);
    assert_eq!(alarms(&mut bench, nothing), []);
    let nothing = alarm(AlarmAction::Activate, none, 3);
    assert_eq!(alarms(&mut bench, nothing), []);
    let gone = alarm(AlarmAction::Deactivate, nospace, 2);
    assert_eq!(alarms(&mut bench, gone.clone()), [(2, 1)]);
    assert_eq!(alarms(&mut bench, gone), []);
    assert_eq!(alarms(&mut bench, get(none)), [(3, 2)]);
}

#[test]
fn alarms_survive_restarts_and_come_with_snapshots() {
    let disk = CrashDisk::default().shared();
    let mut bench = Bench::open(&disk, config()).unwrap();
    bench.say(alarm(AlarmAction::Activate, AlarmType::Nospace, 2));
    let snapshot = bench.snapshot();
    bench.stop();
    let get = alarm(AlarmAction::Get, AlarmType::None, 0);
    let mut again = Bench::open(&disk, config()).unwrap();
    assert_eq!(alarms(&mut again, get.clone()), [(2, 1)]);
    let gone = alarm(AlarmAction::Deactivate, AlarmType::Nospace, 2);
    alarms(&mut again, gone);
    again.stop();
    let mut again = Bench::open(&disk, config()).unwrap();
    assert_eq!(alarms(&mut again, get.clone()), []);

    let mut other = Bench::new();
    other.step(Input::Lane(LaneMsg::Install(snapshot))).unwrap();
    other.index = 1;
    assert_eq!(alarms(&mut other, get), [(2, 1)]);
    assert_eq!(other.say(Request::Put(put("k", "v"))), NO_SPACE);
}

#[test]
fn without_space_puts_and_leases_are_refused_and_the_rest_is_not() {
    let mut bench = Bench::new();
    bench.say(Request::Put(put("k", "v")));
    bench.say(alarm(AlarmAction::Activate, AlarmType::Nospace, 3));
    assert_eq!(bench.say(Request::Put(put("k", "w"))), NO_SPACE);
    let put_if = Request::Txn(txn(vec![], vec![], vec![put("k", "w").op()]));
    assert_eq!(bench.say(put_if), NO_SPACE);
    let grant = lease_grant(&bench);
    bench.commit(grant).expect("refused, not unknown");
    assert_eq!(
        bench.say(Request::Range(get("k", ""))),
        "2: [k=v(2,2,1)] of 1"
    );
    let delete = Request::Txn(txn(vec![], vec![del("k", "").op()], vec![]));
    assert!(bench.say(delete).starts_with("3: "));
    let compact = pb::CompactionRequest {
        revision: 3,
        physical: true,
    };
    assert!(bench.say(Request::Compact(compact)).starts_with("3: "));
    bench.say(alarm(AlarmAction::Deactivate, AlarmType::Nospace, 3));
    assert!(bench.say(Request::Put(put("k", "w"))).starts_with("4: "));
}

#[test]
fn a_corrupt_cluster_changes_nothing_any_more() {
    let mut bench = Bench::new();
    bench.say(Request::Put(put("k", "v")));
    bench.say(alarm(AlarmAction::Activate, AlarmType::Corrupt, 3));
    let before = bench.hash(0).unwrap();
    let compact = pb::CompactionRequest {
        revision: 2,
        physical: false,
    };
    for req in [
        Request::Put(put("k", "w")),
        Request::DeleteRange(del("k", "")),
        Request::Txn(txn(vec![], vec![del("k", "").op()], vec![])),
        Request::Compact(compact),
    ] {
        assert_eq!(bench.say(req), CORRUPT);
    }
    assert_eq!(bench.hash(0).unwrap(), before);
    assert_eq!(
        bench.say(Request::Range(get("k", ""))),
        "2: [k=v(2,2,1)] of 1"
    );
}

#[test]
fn a_member_at_its_quota_raises_the_alarm_and_its_own_quota_decides_no_entry() {
    let small = Config {
        quota_bytes: 4_096,
        ..config()
    };
    let disk = CrashDisk::default().shared();
    let mut bench = Bench::open(&disk, small).unwrap();
    let mut large = Bench::new();
    let big = || Request::Put(put("k", &"v".repeat(1_000)));
    for _ in 0..3 {
        bench.call(big()).unwrap();
    }
    let (id, effects) = bench.request(big());
    let told = replies(&effects);
    assert_eq!(told[0].0, id);
    assert_eq!(told[0].1.as_ref().unwrap_err().to_string(), NO_SPACE);
    let [raised] = &proposed(&effects)[..] else {
        panic!("{effects:?}");
    };
    // Not again before the first had a chance.
    let (_, again) = bench.request(big());
    assert_eq!(proposed(&again), [] as [Bytes; 0]);
    // What a member with more space let through is applied here, too.
    let (_, effects) = large.request(big());
    bench.commit(proposed(&effects)[0].clone()).unwrap();
    assert_eq!(bench.revision(), 5);
    bench.commit(raised.clone()).unwrap();
    let get = alarm(AlarmAction::Get, AlarmType::None, 0);
    assert_eq!(alarms(&mut bench, get), [(1, 1)]);

    // The way out: forget, and say that there is space again.
    bench.say(Request::Compact(pb::CompactionRequest {
        revision: 5,
        physical: true,
    }));
    assert_eq!(bench.say(big()), NO_SPACE);
    bench.say(alarm(AlarmAction::Deactivate, AlarmType::Nospace, 1));
    assert!(bench.say(big()).starts_with("6: "));
}

#[test]
fn writes_are_refused_while_too_much_is_committed_and_not_applied() {
    let mut bench = Bench::new();
    let readable = |index| Input::Lane(LaneMsg::Readable { ctx: 0, index });
    bench.step(readable(5_000)).unwrap();
    assert!(bench.say(Request::Put(put("k", "v"))).starts_with("2: "));
    bench.step(readable(5_002)).unwrap();
    let said = bench.say(Request::Put(put("k", "v")));
    assert_eq!(said, "Unknown: etcdserver: too many requests");
}

#[test]
fn leadership_is_handed_over_by_the_leader_to_a_voter() {
    let mut bench = Bench::new();
    let leads = |leader| Input::Lane(LaneMsg::Leader { term: 1, leader });
    assert_eq!(
        bench.say(move_leader(2)),
        "FailedPrecondition: etcdserver: not leader"
    );
    bench.step(leads(1)).unwrap();
    assert_eq!(
        bench.say(move_leader(9)),
        "FailedPrecondition: etcdserver: bad leader transferee"
    );
    let moved = |effects: &[Effect]| -> Vec<bool> {
        let answers = replies(effects);
        answers.iter().map(|(_, r)| r.is_ok()).collect()
    };
    let transfer = |effects: &[Effect]| {
        let asked = effects.iter().find_map(|effect| match effect {
            Effect::Lane(LaneMsg::MoveLeader { id, to }) => Some((*id, *to)),
            _ => None,
        });
        asked.expect("the Raft lane was asked")
    };
    let (_, effects) = bench.request(move_leader(1));
    assert_eq!(moved(&effects), [true], "it leads already");

    let (_, effects) = bench.request(move_leader(2));
    let (id, to) = transfer(&effects);
    assert_eq!((to, moved(&effects)), (2, vec![]));
    let effects = bench.step(Input::Lane(LaneMsg::Refused { id })).unwrap();
    assert_eq!(moved(&effects), [false]);

    let (req, effects) = bench.request(move_leader(2));
    transfer(&effects);
    let effects = bench.step(leads(0)).unwrap();
    assert_eq!(moved(&effects), [false; 0]);
    let effects = bench.step(leads(2)).unwrap();
    assert_eq!(moved(&effects), [true]);
    let (told, answer) = replies(&effects).remove(0);
    assert_eq!(told, req);
    assert_eq!(answer.unwrap().header(), None, "as in etcd");
}

/// What the lane sends to other members.
fn sent(effects: &[Effect]) -> Vec<squall_api::PeerFrame> {
    let frame = |effect: &Effect| match effect {
        Effect::Send(frame) => Some(frame.clone()),
        _ => None,
    };
    effects.iter().filter_map(frame).collect()
}

#[test]
fn a_member_whose_hash_differs_from_the_majoritys_is_named_in_an_alarm() {
    use super::bench::SECOND;
    let cfg = Config {
        corrupt_check_interval: SECOND,
        ..config()
    };
    let member = |value: &str| {
        let disk: std::sync::Arc<dyn squall_api::Disk> = CrashDisk::default().shared();
        let mut bench = Bench::open(&disk, cfg.clone()).unwrap();
        bench.call(Request::Put(put("k", value))).unwrap();
        bench
    };
    // At the same revision; one has another history.
    let (mut leader, mut equal, mut other) = (member("v"), member("v"), member("w"));
    let told = LaneMsg::Leader { term: 1, leader: 1 };
    leader.step(Input::Lane(told)).unwrap();
    let mut asked = Vec::new();
    // The first time, there is no revision that was current a while before.
    for _ in 0..2 {
        leader.now.mono += SECOND;
        asked = sent(&leader.step(Input::Deadline).unwrap());
    }
    assert_eq!(asked.iter().map(|f| f.to).collect::<Vec<_>>(), [2, 3]);
    let mut raised = Vec::new();
    for (from, bench) in [(2, &mut equal), (3, &mut other)] {
        let mut frame = asked[from as usize - 2].clone();
        frame.to = 1;
        let effects = bench.step(Input::Peer(frame)).unwrap();
        let mut answer = sent(&effects).remove(0);
        (answer.from, answer.to) = (from, 1);
        raised.extend(proposed(&leader.step(Input::Peer(answer.clone())).unwrap()));
        // The network repeats it.
        assert!(proposed(&leader.step(Input::Peer(answer)).unwrap()).is_empty());
    }
    let [raised] = raised.as_slice() else {
        panic!("{raised:?}");
    };
    leader.commit(raised.clone()).unwrap();
    let all = alarm(AlarmAction::Get, AlarmType::None, 0);
    assert_eq!(alarms(&mut leader, all), [(3, AlarmType::Corrupt as i32)]);
    assert_eq!(leader.say(Request::Put(put("k", "x"))), CORRUPT);
}

#[test]
fn the_hash_of_everything_is_the_same_on_equal_members_and_sees_every_part() {
    let hash = |bench: &mut Bench| match bench.call(Request::Maintenance(MaintenanceRequest::Hash(
        pb::HashRequest {},
    ))) {
        Ok(Response::Maintenance(MaintenanceResponse::Hash(answer))) => {
            assert!(answer.header.unwrap().revision > 0);
            answer.hash
        }
        other => panic!("{other:?}"),
    };
    let open = |id| {
        let disk = CrashDisk::default().shared();
        Bench::open(&disk, Config { id, ..config() }).unwrap()
    };
    let (mut one, mut other) = (open(1), open(2));
    let mut seen = vec![hash(&mut one)];
    for request in [
        Request::Put(put("k", "v")),
        Request::Put(put("k", "w")),
        alarm(AlarmAction::Activate, AlarmType::Nospace, 2),
        Request::DeleteRange(del("k", "")),
    ] {
        one.call(request).unwrap();
        let now = hash(&mut one);
        assert!(!seen.contains(&now), "it sees each change");
        seen.push(now);
    }
    for data in one.log.clone() {
        other.commit(data).unwrap();
    }
    assert_eq!(hash(&mut other), hash(&mut one));
}
