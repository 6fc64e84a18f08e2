//! A short run, crashed at its disk operations: nothing is lost, members come
//! back from every image, also when they crash again while they recover, and a
//! store that does one step in the wrong order is found out.

use squall::crash_points::{CrashSweep, Crashed, Table};
use squall::plan::CrashPoint;
use squall::runner::{RunOptions, run};
use squall::sweep::Stop;
use squall::{Scenario, hunts, library};
use squall_api::{Bug, Bugs};
use std::ops::ControlFlow;

const NAME: &str = "crash-points";
const SEED: u64 = 1;

fn scenario() -> Scenario {
    let text = library::get(NAME).expect("the library has it");
    Scenario::parse(NAME, text).unwrap_or_else(|e| panic!("{e}"))
}

/// What failed first: where, which check, and what it says.
type Finding = (Vec<CrashPoint>, String, String);

fn sweep(seed: u64, bugs: Bugs, images: u32, points: Option<usize>) -> (Table, Option<Finding>) {
    let scenario = scenario();
    let crashes = CrashSweep {
        scenario: &scenario,
        seed,
        bugs,
        jobs: 2,
        images,
        points,
    };
    let mut found = None;
    let table = crashes.go(&run, &Stop::new(), |Crashed { judged, points }| {
        let Some(check) = judged.summary.failure() else {
            return ControlFlow::Continue(());
        };
        let text = format!("{:?}", check.verdict);
        found = Some((points, check.name.clone(), text));
        ControlFlow::Break(())
    });
    (table, found)
}

#[test]
fn a_sweep_crashes_everything_that_members_do_to_their_disks() {
    let (table, found) = sweep(SEED, Bugs::NONE, 2, Some(90));
    assert_eq!(found, None);
    for work in [
        "first start: database created",
        "log appended",
        "log synced",
        "log segment begun",
        "log purged",
        "database committed",
        "snapshot installed",
        "recovery: log",
        "recovery: database",
    ] {
        assert!(
            table.runs_of(work) > 0,
            "{work} was never crashed:\n{table}"
        );
    }
    assert!(!table.unfinished);
    assert!(table.is_partial(), "moments were left out, and it says so");
    assert!(table.to_string().contains("moments were left out"));
}

fn found_by_crashing(bug: Bug, seed: u64) {
    assert!(hunts::needs_crash_points(bug));
    assert_eq!(hunts::scenarios(bug), [NAME]);
    let bugs = Bugs::NONE.with(bug);
    let (table, found) = sweep(seed, bugs, 3, None);
    let (points, check, sentence) =
        found.unwrap_or_else(|| panic!("{} was not found:\n{table}", bug.name()));
    println!("{}: {check} at {points:?}: {sentence}", bug.name());

    // The address alone makes it again, and without the bug nothing is wrong.
    let again = |bugs| {
        let options = RunOptions {
            bugs,
            crash_points: points.clone(),
            ..RunOptions::default()
        };
        run(&scenario(), seed, &options).map(|run| run.summary)
    };
    let planted = again(bugs).expect("it is judged");
    assert_eq!(planted.failure().map(|c| c.name.as_str()), Some(&*check));
    let clean = again(Bugs::NONE).expect("it is judged");
    assert_eq!(clean.failure(), None);
}

#[test]
fn a_database_created_in_place_is_found() {
    found_by_crashing(Bug::CreateBackendInPlace, SEED);
}

#[test]
fn a_log_that_restarts_before_the_install_is_found() {
    found_by_crashing(Bug::RestartLogBeforeInstall, SEED);
}

#[test]
fn unchecked_records_are_found() {
    found_by_crashing(Bug::UncheckedRecords, 5);
}

#[test]
fn an_unsynced_segment_name_is_found() {
    found_by_crashing(Bug::UnsyncedSegmentName, SEED);
}

#[test]
fn an_unsynced_snapshot_is_found() {
    found_by_crashing(Bug::UnsyncedSnapshot, SEED);
}

#[test]
fn a_leftover_temporary_is_found() {
    found_by_crashing(Bug::UseLeftoverTemporary, SEED);
}
