//! Compaction: what it forgets, what it keeps, and that nobody can tell how far
//! a member has come with it.

use super::bench::{Bench, IntoOp as _, config, del, get, put, replies, txn};
use super::crash_disk::CrashDisk;
use crate::compaction::BATCH_REMOVALS;
use squall_api::pb::{CompactionRequest, RangeRequest};
use squall_api::{Effect, Input, LaneMsg, Machine as _, Request};

const COMPACTED: &str = "OutOfRange: etcdserver: mvcc: required revision has been compacted";
const FUTURE: &str = "OutOfRange: etcdserver: mvcc: required revision is a future revision";

fn compact(revision: i64, physical: bool) -> Request {
    Request::Compact(CompactionRequest { revision, physical })
}

fn at(revision: i64) -> RangeRequest {
    RangeRequest {
        revision,
        ..get("\0", "\0")
    }
}

/// `a` is put at 2, 3 and 6, `b` at 4, and deleted at 5.
fn bench() -> Bench {
    let mut bench = Bench::new();
    for (key, value) in [("a", "1"), ("a", "2"), ("b", "1")] {
        bench.say(Request::Put(put(key, value)));
    }
    bench.say(Request::DeleteRange(del("b", "")));
    bench.say(Request::Put(put("a", "3")));
    bench
}

/// Lets compaction finish.
fn settle(bench: &mut Bench) {
    while let Some(due) = bench.lane.deadline() {
        bench.now.mono = bench.now.mono.max(due);
        bench.step(Input::Deadline).unwrap();
    }
}

/// The revisions whose changes are still there, deletions with a mark.
fn kept(bench: &mut Bench) -> Vec<String> {
    let mut kept = Vec::new();
    let changes = bench
        .lane
        .store()
        .history(0, usize::MAX, usize::MAX)
        .unwrap()
        .0;
    kept.extend(
        changes
            .iter()
            .map(|change| format!("{:?}", change.revision)),
    );
    kept
}

#[test]
fn history_ends_at_the_compact_revision_which_can_still_be_read() {
    let mut bench = bench();
    let (at_4, at_6) = (
        bench.say(Request::Range(at(4))),
        bench.say(Request::Range(at(6))),
    );
    assert!(bench.say(compact(4, false)).starts_with("6: "));
    for settled in [false, true] {
        if settled {
            settle(&mut bench);
        }
        assert_eq!(bench.say(Request::Range(at(3))), COMPACTED);
        assert_eq!(bench.say(Request::Range(at(4))), at_4);
        assert_eq!(bench.say(Request::Range(at(6))), at_6);
        assert_eq!(bench.hash(3).unwrap_err().to_string(), COMPACTED);
        assert_eq!(bench.hash(4).unwrap().compact_revision, 4);
        assert_eq!(bench.say(compact(4, false)), COMPACTED);
        assert_eq!(bench.say(compact(3, true)), COMPACTED);
        assert_eq!(bench.say(compact(7, false)), FUTURE);
    }
    assert_eq!(bench.revision(), 6);
}

#[test]
fn what_happened_at_the_compact_revision_is_kept_and_older_deletions_go() {
    let mut bench = bench();
    bench.say(compact(5, true));
    assert_eq!(kept(&mut bench), ["3_0", "5_0t", "6_0"]);
    bench.say(compact(6, true));
    assert_eq!(kept(&mut bench), ["6_0"]);
}

#[test]
fn a_transaction_that_reads_what_is_compacted_writes_nothing() {
    let mut bench = bench();
    bench.say(compact(4, true));
    let before = bench.hash(0).unwrap();
    for (revision, refusal) in [(3, COMPACTED), (8, FUTURE)] {
        let ops = vec![put("a", "lost").op(), at(revision).op()];
        let req = Request::Txn(txn(vec![], ops, vec![]));
        assert_eq!(bench.say(req), refusal);
    }
    assert_eq!(bench.hash(0).unwrap(), before);
}

/// So many versions of one key that compaction takes several batches.
fn full(bench: &mut Bench) -> i64 {
    for version in 0..BATCH_REMOVALS * 5 / 2 {
        bench.say(Request::Put(put("k", &version.to_string())));
    }
    bench.revision()
}

#[test]
fn a_physical_compaction_answers_when_everything_is_removed_durably() {
    let disk = CrashDisk::default().shared();
    let mut bench = Bench::open(&disk, config()).unwrap();
    let last = full(&mut bench);
    let (id, effects) = bench.request(compact(last, true));
    let Some(Effect::Lane(LaneMsg::Propose { data, .. })) = effects.last() else {
        panic!("{effects:?}");
    };
    let mut effects = bench.commit(data.clone()).unwrap();
    let mut batches = 1;
    while replies(&effects).is_empty() {
        bench.now.mono = bench.lane.deadline().expect("there is more to remove");
        effects = bench.step(Input::Deadline).unwrap();
        batches += 1;
    }
    assert_eq!(replies(&effects)[0].0, id);
    assert_eq!(batches, 3);
    drop(bench);

    let mut again = Bench::open(&disk, config()).unwrap();
    assert_eq!(kept(&mut again), [format!("{last}_0")]);
    assert_eq!(again.revision(), last);
}

#[test]
fn hashes_digests_and_snapshots_are_equal_however_far_removal_has_come() {
    let (mut slow, mut fast) = (Bench::new(), Bench::new());
    for bench in [&mut slow, &mut fast] {
        let last = full(bench);
        bench.say(compact(last - 10, false));
    }
    settle(&mut fast);
    assert!(slow.lane.store().is_compacting());
    assert_eq!(slow.hash(0).unwrap(), fast.hash(0).unwrap());
    assert_eq!(slow.snapshot().data, fast.snapshot().data);
    assert_eq!(slow.applied, fast.applied);
    assert!(slow.lane.store().is_compacting(), "asking removes nothing");

    let mut installed = Bench::new();
    let snapshot = LaneMsg::Install(slow.snapshot());
    installed.step(Input::Lane(snapshot)).unwrap();
    installed.index = slow.index;
    assert_eq!(installed.hash(0).unwrap(), fast.hash(0).unwrap());
    assert!(!installed.lane.store().is_compacting());
}

#[test]
fn a_crash_at_any_moment_of_a_compaction_costs_nothing_but_the_work() {
    let life = |disk: &CrashDisk| {
        let mut bench = Bench::open(&disk.shared(), config()).ok()?;
        for version in 0..BATCH_REMOVALS * 3 / 2 {
            let put = Request::Put(put("k", &version.to_string()));
            bench.say(put);
        }
        bench.say(Request::Put(put("gone", "x")));
        bench.say(Request::DeleteRange(del("gone", "")));
        // Durable before the crash.
        bench.now.mono += config().backend_commit_interval;
        bench.step(Input::Deadline).ok()?;
        let revision = bench.revision();
        let before = disk.operations();
        let (_, effects) = bench.request(compact(revision, true));
        let Some(Effect::Lane(LaneMsg::Propose { data, .. })) = effects.last() else {
            panic!("{effects:?}");
        };
        let mut outcome = bench.commit(data.clone());
        while outcome.is_ok() && bench.lane.store().is_compacting() {
            bench.now.mono += 10_000_000;
            outcome = bench.step(Input::Deadline);
        }
        Some((before, disk.operations(), data.clone(), revision))
    };
    let whole = CrashDisk::default();
    let (first, last, data, revision) = life(&whole).unwrap();
    let mut reference = Bench::open(&whole.shared(), config()).unwrap();
    let hash = reference.hash(0).unwrap().hash;
    assert!(last - first > 10, "operations {first} to {last}");
    for operation in first + 1..=last {
        let disk = CrashDisk::default();
        disk.fail_at(operation);
        life(&disk);
        for fate in 0..2 {
            let disk = disk.after_power_loss(fate);
            let mut bench = Bench::open(&disk.shared(), config()).unwrap();
            assert_eq!(bench.revision(), revision, "crash at {operation}");
            if bench.index < reference.index {
                bench.commit(data.clone()).unwrap();
            }
            settle(&mut bench);
            assert_eq!(bench.hash(0).unwrap().hash, hash, "crash at {operation}");
            assert_eq!(kept(&mut bench), kept(&mut reference), "{operation}");
        }
    }
}

#[test]
fn history_is_read_in_whole_transactions_committed_or_not() {
    let mut bench = bench();
    let ops = ["x", "y", "z"].map(|key| put(key, "1").op()).to_vec();
    for committed in [false, true] {
        bench.say(Request::Txn(txn(vec![], ops.clone(), vec![])));
        if committed {
            bench.now.mono += config().backend_commit_interval;
            bench.step(Input::Deadline).unwrap();
        }
        bench.say(Request::Put(put("a", "4")));
    }
    let from = |first, most| -> Vec<String> {
        let changes = bench
            .lane
            .store()
            .history(first, most, usize::MAX)
            .unwrap()
            .0;
        changes
            .iter()
            .map(|c| format!("{:?}", c.revision))
            .collect()
    };
    assert_eq!(from(5, 1), ["5_0t"]);
    assert_eq!(from(5, 2), ["5_0t", "6_0"]);
    assert_eq!(from(6, 2), ["6_0", "7_0", "7_1", "7_2"]);
    assert_eq!(from(7, 1), ["7_0", "7_1", "7_2"]);
    assert_eq!(from(8, 9), ["8_0", "9_0", "9_1", "9_2", "10_0"]);
    assert_eq!(from(9, 1), ["9_0", "9_1", "9_2"]);
    assert_eq!(from(11, 9), [""; 0]);
}
