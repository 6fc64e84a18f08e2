//! The lane's dealings with clients and with the Raft lane.

use super::bench::{Bench, IntoOp as _, SECOND, SESSION, config, del, env, get, put, replies, txn};
use super::crash_disk::CrashDisk;
use crate::ApplyLane;
use bytes::Bytes;
use raft_proto::eraftpb::{Entry, EntryType};
use squall_api::{
    Code, Config, Effect, Fatal, Input, LaneMsg, Machine as _, Now, ReqId, Request, View, pb,
};

fn proposal(effects: &[Effect]) -> (u64, Bytes) {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Lane(LaneMsg::Propose { id, data }) => Some((*id, data.clone())),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("nothing proposed: {effects:?}"))
}

fn asked(effects: &[Effect]) -> Option<u64> {
    effects.iter().find_map(|effect| match effect {
        Effect::Lane(LaneMsg::ReadIndex { ctx }) => Some(*ctx),
        _ => None,
    })
}

fn answered(effects: &[Effect]) -> Vec<(u64, Option<Code>)> {
    replies(effects)
        .into_iter()
        .map(|(id, result)| (id.0, result.err().map(|status| status.code)))
        .collect()
}

fn linearizable() -> Request {
    Request::Range(get("k", ""))
}

#[test]
fn the_first_step_shows_what_was_opened_and_is_due_at_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.lane.deadline(), Some(0));
    let effects = bench.step(Input::Deadline).unwrap();
    let [
        Effect::View(View::Opened(view)),
        Effect::View(View::Versions(_)),
    ] = effects.as_slice()
    else {
        panic!("{effects:?}");
    };
    assert_eq!((view.index, view.revision, view.state), (0, 1, 0));
    assert_eq!(bench.lane.deadline(), None);
    assert!(bench.step(Input::Deadline).unwrap().is_empty());
}

#[test]
fn a_write_is_proposed_applied_and_answered_once() {
    let mut bench = Bench::new();
    let (req, effects) = bench.request(Request::Put(put("k", "v")));
    let (id, data) = proposal(&effects);
    assert!(effects.iter().any(|effect| matches!(
        effect,
        Effect::View(View::Proposed { req: r, proposal }) if *r == req && *proposal == id
    )));
    let effects = bench.commit(data.clone()).unwrap();
    assert_eq!(answered(&effects), [(req.0, None)]);
    let applied = bench.applied.last().unwrap();
    assert_eq!(
        (applied.index, applied.proposal, applied.revision),
        (1, id, 2)
    );
    // Raft committed a duplicate: it is applied, but nobody waits for it.
    let effects = bench.commit(data).unwrap();
    assert_eq!(answered(&effects), []);
    assert_eq!(bench.applied.last().unwrap().revision, 3);
}

#[test]
fn proposal_ids_differ_between_members_and_incarnations() {
    let disk = CrashDisk::default().shared();
    let mut ids = Vec::new();
    for id in [1, 2] {
        // Another incarnation is seeded differently, like another member.
        let cfg = Config { id, ..config() };
        let disk = if id == 1 {
            disk.clone()
        } else {
            CrashDisk::default().shared()
        };
        let mut bench = Bench::open(&disk, cfg).unwrap();
        for _ in 0..2 {
            let (_, effects) = bench.request(Request::Put(put("k", "v")));
            ids.push(proposal(&effects).0);
        }
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    assert!(!ids.contains(&0));
}

#[test]
fn the_members_own_random_stream_is_left_alone() {
    let disk = CrashDisk::default().shared();
    let env = env(&disk, config());
    let before = env.rng.clone();
    ApplyLane::open(&env, Now::default()).unwrap();
    assert_eq!(env.rng, before);
}

#[test]
fn a_refused_write_is_unavailable() {
    let mut bench = Bench::new();
    let (req, effects) = bench.request(Request::Put(put("k", "v")));
    let (id, _) = proposal(&effects);
    let effects = bench.step(Input::Lane(LaneMsg::Refused { id })).unwrap();
    let (told, result) = replies(&effects).pop().unwrap();
    assert_eq!(told, req);
    assert_eq!(
        result.unwrap_err().to_string(),
        "Unavailable: etcdserver: no leader"
    );
    let again = bench.step(Input::Lane(LaneMsg::Refused { id })).unwrap();
    assert_eq!(answered(&again), []);
}

#[test]
fn every_request_times_out_and_is_then_forgotten() {
    let mut bench = Bench::new();
    let (write, effects) = bench.request(Request::Put(put("k", "v")));
    let (_, data) = proposal(&effects);
    bench.now.mono += SECOND / 2;
    let (read, effects) = bench.request(linearizable());
    let ctx = asked(&effects).unwrap();
    bench.now.mono = 7 * SECOND - 1;
    assert_eq!(answered(&bench.step(Input::Deadline).unwrap()), []);
    bench.now.mono = 7 * SECOND;
    let effects = bench.step(Input::Deadline).unwrap();
    let (told, result) = replies(&effects).pop().unwrap();
    assert_eq!(told, write);
    assert_eq!(
        result.unwrap_err().to_string(),
        "Unavailable: etcdserver: request timed out"
    );
    bench.now.mono = 8 * SECOND;
    let effects = bench.step(Input::Deadline).unwrap();
    assert_eq!(answered(&effects), [(read.0, Some(Code::Unavailable))]);
    // Too late for both; the write takes effect all the same.
    assert_eq!(answered(&bench.commit(data).unwrap()), []);
    let late = LaneMsg::Readable { ctx, index: 0 };
    assert_eq!(answered(&bench.step(Input::Lane(late)).unwrap()), []);
    assert_eq!(bench.revision(), 2);
}

#[test]
fn a_closed_session_gets_no_answers() {
    let mut bench = Bench::new();
    let (_, effects) = bench.request(Request::Put(put("k", "v")));
    let (_, data) = proposal(&effects);
    let (_, effects) = bench.request(linearizable());
    let ctx = asked(&effects).unwrap();
    bench.step(Input::Closed(SESSION)).unwrap();
    assert_eq!(answered(&bench.commit(data).unwrap()), []);
    let readable = LaneMsg::Readable { ctx, index: 1 };
    assert_eq!(answered(&bench.step(Input::Lane(readable)).unwrap()), []);
    bench.now.mono += 100 * SECOND;
    assert_eq!(answered(&bench.step(Input::Deadline).unwrap()), []);
}

#[test]
fn linearizable_reads_share_a_read_index_and_wait_for_it_to_be_applied() {
    let mut bench = Bench::new();
    let (first, effects) = bench.request(linearizable());
    let ctx = asked(&effects).unwrap();
    let (second, effects) = bench.request(linearizable());
    assert_eq!(asked(&effects), None, "one is in flight");
    let (third, _) = bench.request(Request::Txn(txn(vec![], vec![get("k", "").op()], vec![])));
    // Confirmed at 1, which is not applied yet.
    let effects = bench
        .step(Input::Lane(LaneMsg::Readable { ctx, index: 1 }))
        .unwrap();
    assert_eq!(answered(&effects), []);
    let next = asked(&effects).expect("the waiting reads are asked for now");
    assert_ne!(next, ctx);
    let effects = bench.commit(Bytes::new()).unwrap();
    assert_eq!(answered(&effects), [(first.0, None)]);
    let effects = bench
        .step(Input::Lane(LaneMsg::Readable {
            ctx: next,
            index: 1,
        }))
        .unwrap();
    assert_eq!(answered(&effects), [(second.0, None), (third.0, None)]);
}

#[test]
fn an_unanswered_read_index_is_asked_again_after_an_election_timeout() {
    let mut bench = Bench::new();
    let (req, effects) = bench.request(linearizable());
    let ctx = asked(&effects).unwrap();
    assert_eq!(bench.lane.deadline(), Some(SECOND));
    bench.now.mono = SECOND;
    let effects = bench.step(Input::Deadline).unwrap();
    let again = asked(&effects).unwrap();
    assert_ne!(again, ctx);
    let effects = bench
        .step(Input::Lane(LaneMsg::Refused { id: ctx }))
        .unwrap();
    assert_eq!(answered(&effects), [], "the old question is void");
    let effects = bench
        .step(Input::Lane(LaneMsg::Refused { id: again }))
        .unwrap();
    assert_eq!(answered(&effects), [(req.0, Some(Code::Unavailable))]);
}

#[test]
fn serializable_reads_ask_nobody() {
    let mut bench = Bench::new();
    let range = |serializable| pb::RangeRequest {
        serializable,
        ..get("k", "")
    };
    let local = txn(vec![], vec![range(true).op()], vec![range(true).op()]);
    for req in [Request::Range(range(true)), Request::Txn(local)] {
        let (id, effects) = bench.request(req);
        assert_eq!(answered(&effects), [(id.0, None)]);
        assert_eq!(asked(&effects), None);
    }
    let mixed = txn(vec![], vec![range(true).op(), range(false).op()], vec![]);
    let empty = txn(vec![], vec![], vec![]);
    for req in [mixed, empty] {
        let mut bench = Bench::new();
        let (_, effects) = bench.request(Request::Txn(req));
        assert_eq!(answered(&effects), []);
        assert!(asked(&effects).is_some());
    }
}

#[test]
fn the_backend_commits_by_time_or_by_count_and_says_so() {
    let durable = |effects: &[Effect]| {
        let mark = effects
            .iter()
            .any(|e| matches!(e, Effect::Mark("apply.committed_backend")));
        let upto = effects.iter().find_map(|effect| match effect {
            Effect::Lane(LaneMsg::Applied { durable, .. }) => Some(*durable),
            _ => None,
        });
        assert_eq!(mark, upto.is_some());
        upto
    };
    let disk = CrashDisk::default();
    let cfg = Config {
        backend_commit_entries: 3,
        ..config()
    };
    let mut bench = Bench::open(&disk.shared(), cfg).unwrap();
    bench.step(Input::Deadline).unwrap();
    let quiet = disk.operations();

    bench.now.mono = SECOND;
    assert_eq!(durable(&bench.commit(Bytes::new()).unwrap()), None);
    assert_eq!(bench.lane.deadline(), Some(SECOND + SECOND / 10));
    bench.now.mono += SECOND / 20;
    assert_eq!(durable(&bench.commit(Bytes::new()).unwrap()), None);
    assert_eq!(bench.lane.deadline(), Some(SECOND + SECOND / 10));
    assert_eq!(disk.operations(), quiet, "applying touches no disk");
    bench.now.mono += SECOND / 20;
    assert_eq!(durable(&bench.step(Input::Deadline).unwrap()), Some(2));

    let quiet = disk.operations();
    bench.now.mono += 10 * SECOND;
    assert_eq!(durable(&bench.step(Input::Deadline).unwrap()), None);
    assert_eq!(bench.lane.deadline(), None);
    assert_eq!(disk.operations(), quiet, "nothing changed");

    for want in [None, None, Some(5)] {
        assert_eq!(durable(&bench.commit(Bytes::new()).unwrap()), want);
    }
}

#[test]
fn a_clean_stop_answers_everybody_and_commits() {
    let disk = CrashDisk::default().shared();
    let mut bench = Bench::open(&disk, config()).unwrap();
    bench.say(Request::Put(put("k", "v")));
    bench.request(linearizable());
    let mut fx = squall_api::Effects::new(std::sync::Arc::new(squall_api::NoStamp));
    let end = bench.lane.step(bench.now, Input::Stop, &mut fx);
    assert!(matches!(end, Err(Fatal::Stopped)));
    let effects: Vec<Effect> = fx.drain().map(|(_, effect)| effect).collect();
    assert_eq!(answered(&effects), [(2, Some(Code::Unavailable))]);
    drop(bench);
    assert_eq!(Bench::open(&disk, config()).unwrap().index, 1);
}

#[test]
fn replicas_that_applied_the_same_have_the_same_digest_and_hash() {
    let mut log = Vec::new();
    let mut leader = Bench::new();
    for i in 0..20 {
        let req = match i % 4 {
            3 => Request::DeleteRange(del("k1", "\0")),
            _ => Request::Put(put(&format!("k{}", i % 4), &i.to_string())),
        };
        let (_, data) = proposal(&leader.request(req).1);
        log.push(data.clone());
        leader.commit(data).unwrap();
    }
    let disk = CrashDisk::default().shared();
    let mut follower = Bench::open(&disk, Config { id: 2, ..config() }).unwrap();
    for data in &log {
        follower.commit(data.clone()).unwrap();
    }
    assert_eq!(leader.applied, follower.applied);
    assert_eq!(leader.hash(0).unwrap().hash, follower.hash(0).unwrap().hash);

    // One different value, and neither is the same again.
    let mut other = Bench::new();
    for (i, data) in log.iter().enumerate() {
        if i == 4 {
            other.say(Request::Put(put("k0", "different")));
        } else {
            other.commit(data.clone()).unwrap();
        }
    }
    let states = |bench: &Bench| bench.applied.iter().map(|v| v.state).collect::<Vec<_>>();
    assert_eq!(states(&other)[..4], states(&leader)[..4]);
    assert!(
        states(&other)[4..]
            .iter()
            .zip(&states(&leader)[4..])
            .all(|(a, b)| a != b)
    );
    assert_ne!(other.hash(0).unwrap().hash, leader.hash(0).unwrap().hash);
}

#[test]
fn a_snapshot_gives_a_follower_all_of_history() {
    let mut leader = Bench::new();
    for i in 0..10 {
        leader.say(Request::Put(put(&format!("k{}", i % 3), &i.to_string())));
    }
    leader.say(Request::DeleteRange(del("k1", "")));
    let snapshot = leader.snapshot();
    assert_eq!(snapshot.get_metadata().index, 11);
    assert_eq!(snapshot.get_metadata().get_conf_state().voters, [1, 2, 3]);

    let disk = CrashDisk::default().shared();
    let cfg = Config { id: 2, ..config() };
    let mut follower = Bench::open(&disk, cfg.clone()).unwrap();
    follower.say(Request::Put(put("k0", "to be replaced")));
    // Both wait across the installation: the read is served from the new
    // state, of the write nobody can say what became of it.
    let (write, _) = follower.request(Request::Put(put("lost", "")));
    let (read, effects) = follower.request(Request::Range(get("k0", "")));
    let ctx = asked(&effects).unwrap();
    follower
        .step(Input::Lane(LaneMsg::Readable { ctx, index: 5 }))
        .unwrap();
    let effects = follower
        .step(Input::Lane(LaneMsg::Install(snapshot.clone())))
        .unwrap();
    let Some(Effect::View(View::Installed(view))) = effects
        .iter()
        .find(|e| matches!(e, Effect::View(View::Installed(_))))
    else {
        panic!("{effects:?}");
    };
    assert_eq!(view.state, leader.applied.last().unwrap().state);
    assert_eq!(view.entry, leader.applied.last().unwrap().entry);
    let told = effects.iter().find_map(|e| match e {
        Effect::Lane(LaneMsg::Installed(s)) => Some(s),
        _ => None,
    });
    assert_eq!(told.unwrap().get_metadata(), snapshot.get_metadata());
    assert_eq!(answered(&effects), [(read.0, None)]);
    follower.now.mono += 7 * SECOND;
    let effects = follower.step(Input::Deadline).unwrap();
    assert_eq!(answered(&effects), [(write.0, Some(Code::Unavailable))]);

    // The same history, and the same snapshot again; also after a restart.
    follower.index = 11;
    for _ in 0..2 {
        assert_eq!(follower.hash(0).unwrap().hash, leader.hash(0).unwrap().hash);
        assert_eq!(follower.snapshot(), snapshot);
        for revision in 1..=12 {
            let req = Request::Range(pb::RangeRequest {
                revision,
                ..get("\0", "\0")
            });
            assert_eq!(follower.say(req.clone()), leader.say(req));
        }
        follower.stop();
        follower = Bench::open(&disk, cfg.clone()).unwrap();
    }
}

#[test]
fn a_damaged_or_foreign_snapshot_is_refused() {
    let mut leader = Bench::new();
    leader.say(Request::Put(put("k", "v")));
    let good = leader.snapshot();
    for byte in 0..good.data.len() {
        let mut damaged = good.clone();
        let mut data = damaged.data.to_vec();
        data[byte] ^= 1;
        damaged.data = data.into();
        let end = Bench::new().step(Input::Lane(LaneMsg::Install(damaged)));
        assert!(
            matches!(end, Err(Fatal::Corrupt(_))),
            "byte {byte}: {end:?}"
        );
    }
    for len in 0..good.data.len() {
        let mut short = good.clone();
        short.data = short.data.slice(..len);
        let end = Bench::new().step(Input::Lane(LaneMsg::Install(short)));
        assert!(
            matches!(end, Err(Fatal::Corrupt(_))),
            "length {len}: {end:?}"
        );
    }
    let disk = CrashDisk::default().shared();
    let mut foreign = Bench::open(
        &disk,
        Config {
            cluster: 0xc2,
            ..config()
        },
    )
    .unwrap();
    let end = foreign.step(Input::Lane(LaneMsg::Install(good)));
    assert!(matches!(end, Err(Fatal::Corrupt(why)) if why.contains("c2")));
}

#[test]
fn an_entry_of_unknown_content_ends_the_lane_with_its_index() {
    let mut empty_request = Vec::new();
    let header = pb::RequestHeader {
        id: 1,
        ..pb::RequestHeader::default()
    };
    let only_header = pb::InternalRaftRequest {
        header: Some(header),
        ..pb::InternalRaftRequest::default()
    };
    prost::Message::encode(&only_header, &mut empty_request).unwrap();
    let cases = [
        (EntryType::EntryNormal, Bytes::from_static(b"\xff\xff\xff")),
        (EntryType::EntryNormal, Bytes::from(empty_request)),
        (
            EntryType::EntryConfChangeV2,
            Bytes::from_static(b"\xff\xff\xff"),
        ),
    ];
    for (entry_type, data) in cases {
        let mut bench = Bench::new();
        let entry = Entry {
            index: 1,
            term: 1,
            entry_type,
            data,
            ..Entry::default()
        };
        let end = bench.step(Input::Lane(LaneMsg::Committed(vec![entry])));
        let Err(Fatal::Corrupt(why)) = end else {
            panic!("{end:?}");
        };
        assert!(why.contains("entry 1 of term 1"), "{why}");
    }
}

#[test]
#[should_panic(expected = "entries are applied in order without gaps")]
fn a_gap_in_the_log_is_a_bug() {
    let mut bench = Bench::new();
    bench.index += 1;
    let _ = bench.commit(Bytes::new());
}

#[test]
fn entries_applied_before_opening_are_skipped() {
    let disk = CrashDisk::default().shared();
    let mut bench = Bench::open(&disk, config()).unwrap();
    let (_, data) = proposal(&bench.request(Request::Put(put("k", "v"))).1);
    bench.commit(data.clone()).unwrap();
    bench.stop();
    let mut bench = Bench::open(&disk, config()).unwrap();
    bench.index = 0;
    bench.commit(data.clone()).unwrap();
    assert!(bench.applied.is_empty());
    bench.commit(data).unwrap();
    assert_eq!(bench.applied.last().unwrap().revision, 3);
    assert_eq!(
        bench.request(Request::Status(pb::StatusRequest {})).0,
        ReqId(2 - 1)
    );
}
