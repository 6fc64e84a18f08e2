//! Power failures: whatever the backend's file looks like afterwards, the
//! member comes back with a whole prefix of what it applied, no shorter than
//! what it had told the Raft lane is durable.

use super::bench::{Bench, config, del, put};
use super::crash_disk::CrashDisk;
use bytes::Bytes;
use prost::Message as _;
use raft_proto::eraftpb::Snapshot;
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::{InternalRaftRequest, RequestHeader};
use squall_api::{ApplyView, Config, Effect, Fatal, Input, LaneMsg, OpenError, View};
use std::collections::BTreeMap;

/// A commit every third entry.
fn eager() -> Config {
    Config {
        backend_commit_entries: 3,
        ..config()
    }
}

/// The log: entry `index`'s data.
fn data(index: u64) -> Bytes {
    let command = match index % 5 {
        0 => return Bytes::new(),
        1 => Command::DeleteRange(del("k1", "k3")),
        _ => Command::Put(put(
            &format!("k{}", index % 4),
            &"v".repeat(index as usize * 40),
        )),
    };
    let req = InternalRaftRequest {
        header: Some(RequestHeader {
            id: 1000 + index,
            ..RequestHeader::default()
        }),
        command: Some(command),
    };
    req.encode_to_vec().into()
}

/// Applies the log up to `last` from wherever the member is.
fn apply(bench: &mut Bench, last: u64, durable: &mut u64) -> Result<(), Fatal> {
    while bench.index < last {
        let effects = bench.commit(data(bench.index + 1))?;
        note_durable(&effects, durable);
    }
    Ok(())
}

fn note_durable(effects: &[Effect], durable: &mut u64) {
    for effect in effects {
        match effect {
            Effect::Lane(LaneMsg::Applied {
                index,
                durable: upto,
            }) => {
                assert_eq!(index, upto);
                *durable = *upto;
            }
            Effect::Lane(LaneMsg::Installed(snapshot)) => {
                assert!(snapshot.data.is_empty());
                *durable = snapshot.get_metadata().index;
            }
            _ => {}
        }
    }
}

const INSTALLED_AT: u64 = 20;
const LAST: u64 = 30;

/// A member's life: it is born, applies 8 entries, is replaced by a snapshot
/// at 20, and goes on to 30.
fn live(disk: &CrashDisk, snapshot: &Snapshot, durable: &mut u64) -> Result<(), Fatal> {
    let mut bench = match Bench::open(&disk.shared(), eager()) {
        Ok(bench) => bench,
        Err(OpenError::Disk(e)) => return Err(Fatal::Disk(e)),
        Err(e) => panic!("{e}"),
    };
    apply(&mut bench, 8, durable)?;
    let install = LaneMsg::Install(Box::new(snapshot.clone()));
    note_durable(&bench.step(Input::Lane(install))?, durable);
    bench.index = INSTALLED_AT;
    apply(&mut bench, LAST, durable)
}

/// The member that never fails: its state at every index, its snapshot at 20,
/// and its hash at the end.
fn reference() -> (BTreeMap<u64, ApplyView>, Box<Snapshot>, u32) {
    let mut bench = Bench::new();
    apply(&mut bench, INSTALLED_AT, &mut 0).unwrap();
    let snapshot = bench.snapshot();
    apply(&mut bench, LAST, &mut 0).unwrap();
    let views = bench.applied.iter().map(|v| (v.index, v.clone())).collect();
    (views, snapshot, bench.hash(0).unwrap().hash)
}

#[test]
fn power_failure_at_every_disk_operation_leaves_a_whole_prefix() {
    let (views, snapshot, hash) = reference();
    let whole = CrashDisk::default();
    live(&whole, &snapshot, &mut 0).unwrap();
    let operations = whole.operations();
    assert!(
        operations > 60,
        "only {operations} operations: what failed?"
    );

    let mut recovered_at = BTreeMap::new();
    for at in 1..=operations {
        let disk = CrashDisk::default();
        disk.fail_at(at);
        let mut durable = 0;
        match live(&disk, &snapshot, &mut durable) {
            Err(Fatal::Disk(_)) => {}
            // The lane had all it wanted; closing it met the failure.
            Ok(()) => {}
            Err(other) => panic!("at operation {at}: {other}"),
        }
        for fate in 0..4 {
            let disk = disk.after_power_loss(fate);
            let mut bench = Bench::open(&disk.shared(), eager())
                .unwrap_or_else(|e| panic!("operation {at}, fate {fate}: {e}"));
            let names: Vec<_> = disk.names();
            assert_eq!(names.len(), 1, "left over: {names:?}");
            let index = bench.index;
            assert!(
                index >= durable,
                "operation {at}, fate {fate}: {index} < {durable}"
            );
            *recovered_at.entry(index).or_insert(0) += 1;

            let effects = bench.step(Input::Deadline).unwrap();
            let Some(Effect::View(View::Opened(opened))) = effects.first() else {
                panic!("the first step shows what was opened, not {effects:?}");
            };
            if index > 0 {
                let want = ApplyView {
                    proposal: 0,
                    ..views[&index].clone()
                };
                assert_eq!(*opened, want, "operation {at}, fate {fate}");
            }
            apply(&mut bench, LAST, &mut 0).unwrap();
            assert_eq!(bench.hash(0).unwrap().hash, hash);
            for view in &bench.applied {
                assert_eq!(*view, views[&view.index], "operation {at}, fate {fate}");
            }
        }
    }
    let seen: Vec<u64> = recovered_at.into_keys().collect();
    assert_eq!(seen, [0, 3, 6, INSTALLED_AT, 23, 26, 29]);
}

#[test]
fn a_backend_error_ends_the_lane() {
    let disk = CrashDisk::default();
    let mut bench = Bench::open(&disk.shared(), eager()).unwrap();
    apply(&mut bench, 2, &mut 0).unwrap();
    disk.fail_at(1);
    let end = bench.commit(data(3));
    assert!(matches!(end, Err(Fatal::Disk(_))), "{end:?}");
}

#[test]
fn data_of_another_member_or_cluster_is_refused() {
    let disk = CrashDisk::default();
    Bench::open(&disk.shared(), config()).unwrap().stop();
    for cfg in [
        Config { id: 2, ..config() },
        Config {
            cluster: 0xc2,
            ..config()
        },
    ] {
        let error = Bench::open(&disk.shared(), cfg).err().expect("it opened");
        assert!(matches!(error, OpenError::Identity { .. }), "{error}");
    }
    Bench::open(&disk.shared(), config()).unwrap();
}

#[test]
fn a_damaged_file_is_refused_with_its_name() {
    let disk = CrashDisk::default();
    let mut bench = Bench::open(&disk.shared(), eager()).unwrap();
    apply(&mut bench, LAST, &mut 0).unwrap();
    bench.stop();
    let shared = disk.shared();
    let file = shared
        .open("db/state.redb".as_ref(), squall_api::Open::Existing)
        .unwrap();
    file.write_at(0, &[0xff; 4096]).unwrap();
    let error = Bench::open(&shared, eager()).err().expect("it opened");
    let OpenError::Corrupt(why) = error else {
        panic!("{error}");
    };
    assert!(why.contains("db/state.redb"), "{why}");
}

/// redb may panic on a file that lost a page, as after a disk that lied about
/// a sync; so may whatever reads the file's contents. None of it gets out.
#[test]
fn a_lost_page_is_an_error_or_goes_unnoticed_but_never_a_panic() {
    const PAGE: u64 = 4096;
    let disk = CrashDisk::default();
    let mut bench = Bench::open(&disk.shared(), eager()).unwrap();
    apply(&mut bench, LAST, &mut 0).unwrap();
    drop(bench);
    let path = "db/state.redb".as_ref();
    let file = |disk: &CrashDisk| {
        disk.shared()
            .open(path, squall_api::Open::Existing)
            .unwrap()
    };
    let pages = file(&disk).len().unwrap() / PAGE;
    let mut refused = 0;
    for page in 0..pages {
        let damaged = disk.after_power_loss(0);
        let file = file(&damaged);
        let mut before = [0; PAGE as usize];
        file.read_at(page * PAGE, &mut before).unwrap();
        if before == [0; PAGE as usize] {
            continue;
        }
        file.write_at(page * PAGE, &[0; PAGE as usize]).unwrap();
        match Bench::open(&damaged.shared(), eager()) {
            Ok(_) => {}
            Err(OpenError::Corrupt(why)) => {
                assert!(!why.is_empty());
                refused += 1;
            }
            Err(OpenError::Disk(e)) => panic!("page {page}: {e}"),
            Err(e) => panic!("page {page}: {e}"),
        }
    }
    assert!(refused > 0, "no page of {pages} was missed");
}
