//! Defragmentation, backups, and clusters made from them.

use super::bench::{Bench, config, del, env, get, put};
use super::crash_disk::CrashDisk;
use crate::{ApplyLane, RestoreError, RestoreOptions, backup_status, restore};
use squall_api::pb::{self, AlarmType};
use squall_api::{
    Bugs, Config, Disk, Effect, Fatal, Input, Machine as _, MaintenanceRequest,
    MaintenanceResponse, Now, OpenError, Request, Response, Version,
};
use std::sync::Arc;

const COMPACTED: &str = "OutOfRange: etcdserver: mvcc: required revision has been compacted";

fn defragment() -> Request {
    Request::Maintenance(MaintenanceRequest::Defragment(pb::DefragmentRequest {}))
}

/// The pieces of a backup.
fn pieces(bench: &mut Bench) -> Vec<pb::SnapshotResponse> {
    let snapshot = MaintenanceRequest::Snapshot(pb::SnapshotRequest {});
    let (id, effects) = bench.request(Request::Maintenance(snapshot));
    let mut pieces = Vec::new();
    let mut ended = false;
    for effect in effects {
        if let Effect::Reply {
            id: to,
            result,
            last,
        } = effect
        {
            assert!(to == id && !ended);
            ended = last;
            match result.unwrap() {
                Response::Maintenance(MaintenanceResponse::Snapshot(piece)) => pieces.push(piece),
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(ended, "the stream ends");
    pieces
}

pub(super) fn backup(bench: &mut Bench) -> Vec<u8> {
    let pieces = pieces(bench);
    pieces
        .iter()
        .flat_map(|piece| piece.blob.to_vec())
        .collect()
}

/// 200 versions of a large value, two of a small one, and an alarm.
fn full(bench: &mut Bench) {
    for version in 0..200 {
        let value = format!("{version}-{}", "v".repeat(2_000));
        bench.say(Request::Put(put("large", &value)));
    }
    bench.say(Request::Put(put("small", "1")));
    bench.say(Request::Put(put("small", "2")));
    let alarm = pb::AlarmRequest {
        action: pb::alarm_request::AlarmAction::Activate as i32,
        member_id: 1,
        alarm: AlarmType::Nospace as i32,
    };
    bench.say(Request::Maintenance(MaintenanceRequest::Alarm(alarm)));
}

fn sizes(bench: &mut Bench) -> (i64, i64) {
    match bench.call(Request::Status(pb::StatusRequest {})) {
        Ok(Response::Status(status)) => (status.db_size, status.db_size_in_use),
        other => panic!("{other:?}"),
    }
}

#[test]
fn defragmenting_gives_space_back_and_loses_nothing() {
    let disk = CrashDisk::default().shared();
    let mut bench = Bench::open(&disk, config()).unwrap();
    full(&mut bench);
    let revision = bench.revision();
    bench.say(Request::Compact(pb::CompactionRequest {
        revision,
        physical: true,
    }));
    // Applied, and not committed to the backend.
    bench.say(Request::DeleteRange(del("large", "")));
    let hash = bench.hash(0).unwrap();
    let before = sizes(&mut bench);
    let answer = bench.call(defragment()).unwrap();
    assert_eq!(answer.header(), None, "as in etcd");
    let after = sizes(&mut bench);
    assert!(after.0 < before.0 / 2, "{before:?} to {after:?}");
    assert_eq!(after.1, before.1);
    assert_eq!(bench.hash(0).unwrap(), hash);
    let index = bench.index;
    drop(bench);
    let mut again = Bench::open(&disk, config()).unwrap();
    assert_eq!(again.index, index);
    let found = again.hash(0).unwrap();
    assert_eq!(
        (found.hash, found.hash_revision),
        (hash.hash, hash.hash_revision)
    );
}

#[test]
fn a_crash_at_any_moment_of_defragmenting_leaves_the_old_file_or_the_new() {
    let life = |disk: &CrashDisk| -> Result<(u64, u64, u32), Fatal> {
        let mut bench = match Bench::open(&disk.shared(), config()) {
            Err(OpenError::Disk(e)) => return Err(Fatal::Disk(e)),
            opened => opened.unwrap(),
        };
        for i in 0..20 {
            bench.say(Request::Put(put("k", &i.to_string())));
        }
        bench.now.mono += config().backend_commit_interval;
        bench.step(Input::Deadline)?;
        let hash = bench.hash(0).unwrap().hash;
        let before = disk.operations();
        bench.step(Input::Request {
            id: squall_api::ReqId(99),
            session: super::bench::SESSION,
            meta: squall_api::Metadata::default(),
            req: Box::new(defragment()),
        })?;
        Ok((before, disk.operations(), hash))
    };
    let (first, last, hash) = life(&CrashDisk::default()).unwrap();
    assert!(last - first > 10, "operations {first} to {last}");
    for operation in first + 1..=last {
        let disk = CrashDisk::default();
        disk.fail_at(operation);
        assert!(matches!(life(&disk), Err(Fatal::Disk(_))), "{operation}");
        for fate in 0..4 {
            let disk = disk.after_power_loss(fate);
            let mut bench = Bench::open(&disk.shared(), config())
                .unwrap_or_else(|e| panic!("operation {operation}, fate {fate}: {e}"));
            assert_eq!(bench.hash(0).unwrap().hash, hash, "operation {operation}");
            assert_eq!(disk.names().len(), 1, "{:?}", disk.names());
        }
    }
}

#[test]
fn a_backup_is_a_stream_of_pieces_that_ends_with_its_checksum() {
    let mut bench = Bench::new();
    full(&mut bench);
    let pieces = pieces(&mut bench);
    assert!(pieces.len() > 10, "{} pieces", pieces.len());
    let total: usize = pieces.iter().map(|piece| piece.blob.len()).sum();
    let mut left = total - 32;
    for piece in &pieces[..pieces.len() - 1] {
        left -= piece.blob.len();
        assert_eq!(piece.remaining_bytes, left as u64);
    }
    assert_eq!(pieces.last().unwrap().blob.len(), 32);
    let status = backup_status(&backup(&mut bench)).unwrap();
    let (cluster, revision, changes, rows) = (0xc1, 203, 202, 5);
    assert_eq!(
        (status.cluster, status.revision, status.changes, status.rows),
        (cluster, revision, changes, rows)
    );
    assert_eq!((status.compact_revision, status.bytes), (-1, total as u64));
}

/// A member of another cluster, on an empty disk.
fn restored(
    backup: &[u8],
    options: RestoreOptions,
) -> Result<(Arc<dyn Disk>, Config), RestoreError> {
    let disk = CrashDisk::default().shared();
    let cfg = Config::new(0xd2, 7, vec![7, 8, 9]);
    restore(&disk, &cfg, backup, options).map(|()| (disk, cfg))
}

#[test]
fn a_new_cluster_begins_with_what_the_backup_holds() {
    let mut bench = Bench::new();
    full(&mut bench);
    let backup = backup(&mut bench);
    let (disk, cfg) = restored(&backup, RestoreOptions::default()).unwrap();
    // The log goes on where the backend is.
    drop(crate::open(env(&disk, cfg.clone()), Now::default()).unwrap());
    let mut new = Bench::open(&disk, cfg).unwrap();
    assert_eq!(new.hash(0).unwrap().hash, bench.hash(0).unwrap().hash);
    assert_eq!(
        new.say(Request::Range(get("small", ""))),
        "203: [small=2(202,203,2)] of 1"
    );
    let status = new.call(Request::Status(pb::StatusRequest {})).unwrap();
    let header = status.header().unwrap();
    assert_eq!((header.cluster_id, header.member_id), (0xd2, 7));
    let Response::Status(status) = status else {
        panic!("{status:?}");
    };
    assert_eq!(
        status.errors,
        ["etcdserver: no leader"],
        "the alarm was member 1's"
    );
    assert!(
        new.say(Request::Put(put("small", "3")))
            .starts_with("204: ")
    );
}

#[test]
fn a_restored_cluster_may_begin_later_and_without_history() {
    let mut bench = Bench::new();
    full(&mut bench);
    let backup = backup(&mut bench);
    let options = RestoreOptions {
        bump_revision: 1_000_000,
        mark_compacted: true,
        bugs: Bugs::NONE,
    };
    let (disk, cfg) = restored(&backup, options).unwrap();
    let mut new = Bench::open(&disk, cfg).unwrap();
    assert_eq!(new.revision(), 1_000_203);
    let at = |revision| {
        Request::Range(pb::RangeRequest {
            revision,
            ..get("small", "")
        })
    };
    assert_eq!(new.say(at(203)), COMPACTED);
    assert_eq!(new.say(at(1_000_202)), COMPACTED);
    assert_eq!(new.say(at(0)), "1000203: [small=2(202,203,2)] of 1");
    assert!(
        new.say(Request::Put(put("small", "3")))
            .starts_with("1000204: ")
    );
    let too_far = RestoreOptions {
        bump_revision: u64::MAX,
        ..options
    };
    let error = restored(&backup, too_far).unwrap_err();
    assert!(matches!(error, RestoreError::Revision { .. }), "{error}");
}

#[test]
fn damaged_backups_and_used_directories_are_refused() {
    let mut bench = Bench::new();
    bench.say(Request::Put(put("k", "v")));
    let good = backup(&mut bench);
    for at in (0..good.len()).step_by(7) {
        let mut damaged = good.clone();
        damaged[at] ^= 1;
        let error = restored(&damaged, RestoreOptions::default()).unwrap_err();
        assert!(
            matches!(error, RestoreError::Damaged(_)),
            "byte {at}: {error}"
        );
        assert!(error.to_string().contains("sha256"), "{error}");
        assert!(backup_status(&damaged).is_err());
    }
    for len in [0, 31, 32, 100, good.len() - 1] {
        assert!(backup_status(&good[..len]).is_err(), "{len} bytes");
    }
    let (disk, cfg) = restored(&good, RestoreOptions::default()).unwrap();
    let again = restore(&disk, &cfg, &good, RestoreOptions::default()).unwrap_err();
    assert!(again.to_string().contains("db/state.closed"), "{again}");
    let (mut lane, _) = ApplyLane::open(&env(&disk, cfg), Now::default()).unwrap();
    let mut fx = squall_api::Effects::new(Arc::new(squall_api::NoStamp));
    lane.step(Now::default(), Input::Deadline, &mut fx).unwrap();
}

#[test]
fn a_backup_of_another_version_is_refused() {
    let backup = backup(&mut Bench::new());
    let version = backup_status(&backup).unwrap().version;
    assert_eq!(version, Some(config().birth_version));
    let older = Config {
        version: Version::new(3, 5, 0),
        birth_version: Version::new(3, 5, 0),
        ..config()
    };
    let disk = CrashDisk::default().shared();
    let refused = restore(&disk, &older, &backup, RestoreOptions::default()).unwrap_err();
    let why = refused.to_string();
    assert!(why.contains("of another version"), "{why}");
    assert!(why.contains("enable a downgrade to 3.5"), "{why}");
    // Nothing was created.
    assert_eq!(disk.list("db".as_ref()).unwrap().len(), 0);
    let newer = Config {
        version: Version::NEWEST,
        ..config()
    };
    restore(&disk, &newer, &backup, RestoreOptions::default()).unwrap();
}
