//! Planted bugs of the key space and of maintenance: each changes what a short
//! script of calls is answered. The answers without it are those of the golden
//! cases and the model.

use super::backup::backup;
use super::bench::{Bench, IntoOp as _, bytes, config, del, get, put, txn, when};
use super::crash_disk::CrashDisk;
use crate::{RestoreOptions, backup_status, restore};
use squall_api::pb::alarm_request::AlarmAction;
use squall_api::pb::compare::{CompareResult as Is, CompareTarget as Of, TargetUnion as Operand};
use squall_api::pb::{self, AlarmType, RangeRequest};
use squall_api::{Bug, Bugs, Config, Effect, Input, LaneMsg, MaintenanceRequest, Request};

/// What a member with `bugs` answers to everything that these bugs distort.
fn transcript(bugs: Bugs) -> Vec<String> {
    let disk = CrashDisk::default().shared();
    let small = Config {
        quota_bytes: 6_000,
        max_txn_ops: 4,
        ..config()
    };
    let mut bench = Bench::open_with(&disk, small.clone(), bugs).unwrap();
    let mut said = Vec::new();
    let mut say = |bench: &mut Bench, req: Request| said.push(bench.say(req));
    let range = |req| Request::Range(req);

    for (key, value) in [("b", "1"), ("a", "2"), ("c", "0"), ("a", "3")] {
        say(&mut bench, Request::Put(put(key, value)));
    }
    let prev = pb::PutRequest {
        prev_kv: true,
        ..put("a", "4")
    };
    say(&mut bench, Request::Put(prev));
    say(&mut bench, range(get("b", "\0")));
    let by_value = RangeRequest {
        sort_order: pb::range_request::SortOrder::Ascend as i32,
        sort_target: pb::range_request::SortTarget::Value as i32,
        limit: 1,
        ..get("a", "z")
    };
    say(&mut bench, range(by_value));
    let two = RangeRequest {
        limit: 1,
        ..get("a", "z")
    };
    say(&mut bench, range(two));
    say(&mut bench, Request::DeleteRange(del("x", "")));
    say(&mut bench, Request::DeleteRange(del("b", "")));
    say(&mut bench, Request::Put(put("b", "again")));
    say(&mut bench, range(get("b", "")));
    let keep_value = pb::PutRequest {
        ignore_value: true,
        ..put("new", "")
    };
    say(&mut bench, Request::Put(keep_value));
    let sees = vec![put("t", "1").op(), get("t", "").op(), put("u", "1").op()];
    say(&mut bench, Request::Txn(txn(vec![], sees, vec![])));
    let empty = when(Of::Value, "none", Is::Equal, Operand::Value(bytes("")));
    let compared = txn(
        vec![empty],
        vec![put("v", "1").op()],
        vec![get("a", "").op()],
    );
    say(&mut bench, Request::Txn(compared));
    let many = (0..5).map(|i| put(&format!("m{i}"), "").op()).collect();
    say(&mut bench, Request::Txn(txn(vec![], many, vec![])));

    // Two that both saw the key absent; only one may create it.
    let create = || {
        let absent = when(Of::Version, "lock", Is::Equal, Operand::Version(0));
        Request::Txn(txn(vec![absent], vec![put("lock", "mine").op()], vec![]))
    };
    let proposed = |effects: &[Effect]| {
        let data = effects.iter().find_map(|effect| match effect {
            Effect::Lane(LaneMsg::Propose { data, .. }) => Some(data.clone()),
            _ => None,
        });
        data.expect("it was proposed")
    };
    let both = [create(), create()].map(|req| proposed(&bench.request(req).1));
    for data in both {
        bench.commit(data).unwrap();
    }
    say(&mut bench, range(get("lock", "")));

    bench.now.mono += config().backend_commit_interval;
    bench.step(Input::Deadline).unwrap();
    say(&mut bench, Request::Put(put("tail", "1")));
    let hash = bench.hash(0).unwrap().hash;
    said.push(format!("hash {hash:08x}"));
    let status = backup_status(&backup(&mut bench)).unwrap();
    said.push(format!("backup of {} changes", status.changes));
    let mut say = |bench: &mut Bench, req: Request| said.push(bench.say(req));
    let defragment = MaintenanceRequest::Defragment(pb::DefragmentRequest {});
    say(&mut bench, Request::Maintenance(defragment));
    // Whatever was lost shows after a restart.
    say(&mut bench, Request::DeleteRange(del("tail", "")));
    bench.stop();
    let mut bench = Bench::open_with(&disk, small.clone(), bugs).unwrap();
    let all = || Request::Range(get("a", "z"));
    say(&mut bench, all());

    let revision = bench.revision();
    let compact = pb::CompactionRequest {
        revision: revision - 1,
        physical: true,
    };
    say(&mut bench, Request::Compact(compact));
    for at in [revision - 2, revision - 1] {
        let req = RangeRequest {
            revision: at,
            ..get("a", "z")
        };
        say(&mut bench, range(req.clone()));
        let writes = vec![put("a", "kept?").op(), req.op()];
        say(&mut bench, Request::Txn(txn(vec![], writes, vec![])));
        say(&mut bench, range(get("a", "")));
    }
    say(&mut bench, Request::DeleteRange(del("a", "")));
    bench.stop();
    let mut bench = Bench::open_with(&disk, small.clone(), bugs).unwrap();
    said.push(format!("revision {} after a restart", bench.revision()));

    let mut say = |bench: &mut Bench, req: Request| said.push(bench.say(req));
    let leads = LaneMsg::Leader { term: 1, leader: 1 };
    bench.step(Input::Lane(leads)).unwrap();
    let move_leader = MaintenanceRequest::MoveLeader(pb::MoveLeaderRequest { target_id: 9 });
    say(&mut bench, Request::Maintenance(move_leader));
    // An entry that a member with more space let through.
    let mut other = Bench::new();
    let large = || Request::Put(put("large", &"v".repeat(7_000)));
    let data = proposed(&other.request(large()).1);
    bench.commit(data).unwrap();
    say(&mut bench, all());
    let (_, effects) = bench.request(large());
    for effect in effects {
        if let Effect::Lane(LaneMsg::Propose { data, .. }) = effect {
            bench.commit(data).unwrap();
        }
    }
    let alarms = || {
        let get = pb::AlarmRequest {
            action: AlarmAction::Get as i32,
            alarm: AlarmType::None as i32,
            ..pb::AlarmRequest::default()
        };
        Request::Maintenance(MaintenanceRequest::Alarm(get))
    };
    say(&mut bench, alarms());
    bench.stop();
    let Ok(mut bench) = Bench::open_with(&disk, small, bugs) else {
        said.push("it does not open again".into());
        return said;
    };
    let mut say = |bench: &mut Bench, req: Request| said.push(bench.say(req));
    say(&mut bench, alarms());
    let far = LaneMsg::Readable {
        ctx: 0,
        index: bench.index + 9_000,
    };
    bench.step(Input::Lane(far)).unwrap();
    let (_, effects) = bench.request(Request::DeleteRange(del("a", "")));
    said.push(format!("{} effects of a write behind a gap", effects.len()));
    said
}

/// Whether a damaged backup is refused, and whose cluster a good one becomes.
fn restoring(bugs: Bugs) -> String {
    let mut bench = Bench::new();
    bench.say(Request::Put(put("k", "value")));
    let good = backup(&mut bench);
    let mut damaged = good.clone();
    let at = good.len() - 33;
    damaged[at] ^= 1;
    let options = RestoreOptions {
        bugs,
        ..RestoreOptions::default()
    };
    let cfg = Config::new(0xd2, 7, vec![7, 8, 9]);
    let disk = CrashDisk::default().shared();
    let refused = restore(&disk, &cfg, &damaged, options).is_err();
    let disk = CrashDisk::default().shared();
    restore(&disk, &cfg, &good, options).unwrap();
    let opened = Bench::open(&disk, cfg).is_ok();
    format!("refused {refused}, opened {opened}")
}

/// The bugs of this store that are found here.
const PLANTED: [Bug; 26] = [
    Bug::CompactRevisionRefused,
    Bug::CompareAtPropose,
    Bug::CountWithinLimit,
    Bug::DefragmentDropsBatch,
    Bug::EmptyDeleteTakesRevision,
    Bug::FailedTxnKeepsPuts,
    Bug::ForgetAlarms,
    Bug::ForgetTombstones,
    Bug::FuzzyBackup,
    Bug::HashIgnoresTail,
    Bug::IgnoreValueCreates,
    Bug::LocalAlarm,
    Bug::LocalQuota,
    Bug::MissingKeyHasValue,
    Bug::MoveLeaderToAnyone,
    Bug::NoApplyGapLimit,
    Bug::PrevIsNew,
    Bug::RestoreKeepsIds,
    Bug::RestoreUnverified,
    Bug::RevisionFromKeys,
    Bug::SortWithinLimit,
    Bug::TxnReadsBefore,
    Bug::TxnSplitsRevisions,
    Bug::UnboundedTxn,
    Bug::VersionOutlivesKey,
    Bug::ZeroEndIsEmpty,
];

#[test]
fn each_planted_bug_changes_an_answer() {
    let (answers, restored) = (transcript(Bugs::NONE), restoring(Bugs::NONE));
    assert_eq!(answers, transcript(Bugs::NONE));
    assert_eq!(restored, "refused true, opened true");
    for bug in PLANTED {
        let bugs = Bugs::NONE.with(bug);
        let found = match bug {
            Bug::RestoreKeepsIds | Bug::RestoreUnverified => restoring(bugs) != restored,
            _ => transcript(bugs) != answers,
        };
        assert!(found, "{} changes nothing", bug.name());
    }
}
