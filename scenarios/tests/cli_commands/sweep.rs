//! Sweeps: order, stopping, and what a second run is for.

use crate::support::{fails, passes, scenario};
use squall::Scenario;
use squall::runner::{End, RunFailure, RunOptions};
use squall::sweep::{Judged, Runner, Stop, Sweep};
use squall_api::Bugs;
use squall_ci::{Exit, Extent, Sample};
use squall_record::Run;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn sweep(scenarios: &[Scenario], extent: Extent, jobs: usize) -> Sweep<'_> {
    Sweep {
        scenarios,
        first_seed: 10,
        extent,
        bugs: Bugs::NONE,
        jobs,
        check_determinism: Sample::NONE,
        record_all: false,
    }
}

fn all(sweep: &Sweep<'_>, runner: &impl Runner) -> Vec<Judged> {
    let mut all = Vec::new();
    sweep.go(runner, &Stop::new(), |judged| {
        all.push(judged);
        ControlFlow::<()>::Continue(())
    });
    all
}

/// The slower, the earlier: without reordering, results would come backwards.
fn slow_start(s: &Scenario, seed: u64, o: &RunOptions) -> Result<Run, RunFailure> {
    std::thread::sleep(Duration::from_millis(20_u64.saturating_sub(seed)));
    if seed.is_multiple_of(4) {
        fails(s, seed, o)
    } else {
        passes(s, seed, o)
    }
}

#[test]
fn what_is_reported_does_not_depend_on_the_number_of_threads() {
    let scenarios = [scenario("a"), scenario("b")];
    let one = all(&sweep(&scenarios, Extent::Seeds(8), 1), &slow_start);
    let many = all(&sweep(&scenarios, Extent::Seeds(8), 7), &slow_start);
    assert_eq!(one, many);
    let order: Vec<(usize, u64)> = one.iter().map(|j| (j.scenario, j.summary.seed)).collect();
    assert_eq!(order[..4], [(0, 10), (1, 10), (0, 11), (1, 11)]);
    assert_eq!(order.len(), 16);
}

#[test]
fn where_it_stops_does_not_depend_on_the_number_of_threads() {
    let scenarios = [scenario("a")];
    let stopped_at = |jobs| {
        let mut seeds = Vec::new();
        sweep(&scenarios, Extent::Seeds(100), jobs).go(&slow_start, &Stop::new(), |judged| {
            seeds.push(judged.summary.seed);
            match judged.exit {
                Exit::Pass => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        });
        seeds
    };
    assert_eq!(stopped_at(1), [10, 11, 12]);
    assert_eq!(stopped_at(6), [10, 11, 12]);
}

#[test]
fn a_failed_run_is_made_again_and_recorded() {
    let recorded = Mutex::new(Vec::new());
    let runner = |s: &Scenario, seed: u64, o: &RunOptions| {
        recorded.lock().unwrap().push(o.record);
        fails(s, seed, o)
    };
    let scenarios = [scenario("a")];
    let judged = all(&sweep(&scenarios, Extent::Seeds(1), 1), &runner).remove(0);
    assert_eq!(*recorded.lock().unwrap(), [false, true]);
    assert_eq!(judged.reproduced, Some(true));
    assert_eq!(judged.exit, Exit::Violation);
    assert!(judged.run.unwrap().events.iter().any(|e| e.seq == 5_600));
}

#[test]
fn a_run_that_comes_out_differently_is_nondeterminism_and_not_only_a_failure() {
    let calls = AtomicU64::new(0);
    let runner = |s: &Scenario, seed: u64, o: &RunOptions| {
        let mut run = fails(s, seed, o)?;
        run.summary.hash = calls.fetch_add(1, Ordering::Relaxed).to_string();
        Ok(run)
    };
    let scenarios = [scenario("a")];
    let judged = all(&sweep(&scenarios, Extent::Seeds(1), 1), &runner).remove(0);
    assert_eq!(judged.reproduced, Some(false));
    assert_eq!(judged.exit, Exit::Nondeterminism);
}

#[test]
fn every_nth_run_is_made_twice() {
    let calls = AtomicU64::new(0);
    let runner = |s: &Scenario, seed: u64, o: &RunOptions| {
        calls.fetch_add(1, Ordering::Relaxed);
        passes(s, seed, o)
    };
    let scenarios = [scenario("a")];
    let sampled = Sweep {
        check_determinism: "1/4".parse().unwrap(),
        ..sweep(&scenarios, Extent::Seeds(8), 2)
    };
    let judged = all(&sampled, &runner);
    assert_eq!(calls.load(Ordering::Relaxed), 10);
    let twice: Vec<u64> = judged
        .iter()
        .filter(|j| j.reproduced == Some(true))
        .map(|j| j.summary.seed)
        .collect();
    assert_eq!(twice, [10, 14]);
}

#[test]
fn a_panic_of_the_store_is_a_violation_and_one_of_squall_an_internal_error() {
    let scenarios = [scenario("a")];
    let store = |_: &Scenario, _: u64, _: &RunOptions| -> Result<Run, RunFailure> {
        Err(RunFailure {
            end: End::Panic,
            panic: "index 17 is not in the log (core/raft/src/log.rs:203)".into(),
            node: Some(2),
            t: 3_000_000_000,
            internal: false,
        })
    };
    let judged = all(&sweep(&scenarios, Extent::Seeds(1), 1), &store).remove(0);
    assert_eq!(judged.exit, Exit::Violation);
    let check = &judged.summary.checks[0];
    let print = check.fingerprint().unwrap().0;
    assert_eq!(
        print,
        "panic/index # is not in the log (core/raft/src/log.rs:#)"
    );

    let squall = |_: &Scenario, _: u64, _: &RunOptions| -> Result<Run, RunFailure> {
        panic!("the sweep survives this")
    };
    let judged = all(&sweep(&scenarios, Extent::Seeds(2), 2), &squall);
    assert_eq!(judged.len(), 2);
    assert_eq!(judged[0].exit, Exit::Internal);
}

#[test]
fn runs_that_passed_keep_nothing() {
    let scenarios = [scenario("a")];
    let judged = all(&sweep(&scenarios, Extent::Seeds(3), 1), &passes);
    assert!(judged.iter().all(|j| j.run.is_none()));
}

#[test]
fn time_is_up_after_every_scenario_was_tried_once() {
    let scenarios = [scenario("a"), scenario("b"), scenario("c")];
    let none = Extent::For(Duration::from_nanos(1));
    assert_eq!(all(&sweep(&scenarios, none, 2), &passes).len(), 3);
    // Long enough that a busy machine gets to more than one round.
    let some = Extent::For(Duration::from_millis(500));
    let slow = |s: &Scenario, seed: u64, o: &RunOptions| {
        std::thread::sleep(Duration::from_millis(5));
        passes(s, seed, o)
    };
    let judged = all(&sweep(&scenarios, some, 1), &slow);
    assert!((4..=101).contains(&judged.len()), "{}", judged.len());
}

#[test]
fn an_interrupt_ends_it_after_the_runs_in_flight() {
    let stop = Stop::new();
    let runner = |s: &Scenario, seed: u64, o: &RunOptions| {
        if seed == 12 {
            stop.raise();
        }
        passes(s, seed, o)
    };
    let scenarios = [scenario("a")];
    let mut seeds = Vec::new();
    sweep(&scenarios, Extent::Seeds(1_000), 1).go(&runner, &stop, |judged| {
        seeds.push(judged.summary.seed);
        ControlFlow::<()>::Continue(())
    });
    assert_eq!(seeds, [10, 11, 12]);
}
