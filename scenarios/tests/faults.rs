//! What the fault planner and the library promise: to remove one fault leaves
//! the others as they were, and every kind of fault does something.

use squall::format::FaultKind;
use squall::plan::{Cluster, Plan, PlannedFault};
use squall::runner::{RunOptions, run};
use squall::{Scenario, Schedule, library};
use squall_record::{Event, FaultPhase, Kind};
use std::collections::{BTreeMap, BTreeSet};

/// Five members, of which the second leads, and the last two may be damaged.
struct Five;

impl Cluster for Five {
    fn nodes(&self) -> Vec<u64> {
        vec![1, 2, 3, 4, 5]
    }
    fn leader(&self) -> Option<u64> {
        Some(2)
    }
    fn running(&self, _node: u64) -> bool {
        true
    }
    fn damageable(&self, node: u64) -> bool {
        node > 3
    }
}

/// All faults of the library in one scenario of five members.
fn everything() -> Scenario {
    let mut all: Option<Scenario> = None;
    for (name, text) in library::all() {
        let scenario = Scenario::parse(name, text).unwrap();
        if scenario.cluster.nodes != 5 {
            continue;
        }
        let into = all.get_or_insert_with(|| Scenario {
            faults: Vec::new(),
            ..scenario.clone()
        });
        let relabelled = scenario.faults.into_iter().map(|mut fault| {
            fault.label = format!("{name}: {}", fault.label);
            fault
        });
        into.faults.extend(relabelled);
    }
    all.expect("there are scenarios of five members")
}

/// A fault, but for its place among the others.
fn told(fault: &PlannedFault) -> String {
    let mut fired = fault.fire(fault.at.time().unwrap_or(0), &Five);
    let world_number = fired.world_number();
    fired.number = 0;
    format!("{:?} {fired:?} {world_number}", fault.at)
}

#[test]
fn removing_one_fault_leaves_every_draw_of_the_others_as_it_was() {
    let whole = everything();
    assert!(whole.faults.len() > 30);
    for seed in 0..100 {
        let removed = seed as usize % whole.faults.len();
        let mut rest = whole.clone();
        let label = rest.faults.remove(removed).label;
        let before = Plan::draw(&whole, seed);
        let after = Plan::draw(&rest, seed);
        assert_eq!(before.clocks, after.clocks);
        let others = before.faults.iter().filter(|fault| fault.label != label);
        let mut others: Vec<String> = others.map(told).collect();
        let mut left: Vec<String> = after.faults.iter().map(told).collect();
        others.sort();
        left.sort();
        assert_eq!(others, left, "seed {seed} without {label:?}");
    }
}

#[test]
fn faults_are_told_apart_by_the_world() {
    let whole = everything();
    for seed in 0..20 {
        let plan = Plan::draw(&whole, seed);
        let numbers = plan.faults.iter().map(|f| f.fire(0, &Five).world_number());
        let distinct: BTreeSet<u32> = numbers.collect();
        assert_eq!(distinct.len(), plan.faults.len());
    }
}

/// A short run with faults of many kinds.
const SHORT: &str = r#"
schema = 1
name = "short"
about = "A little of everything, for a moment."
[cluster]
nodes = 3
election_timeout = "200ms"
heartbeat = "20ms"
link = { latency = "500us..3ms", loss = 0.01 }
[workload]
clients = 3
rate = 100
run_for = "1200ms"
[[fault]]
at = "100ms..300ms"
for = "300ms"
link = { from = "all", to = "all", delay = { min = "1ms", mean = "5ms" }, loss = 0.1 }
[[fault]]
at = "200ms..500ms"
for = "400ms"
write_error = { node = "random", probability = 0.01 }
[[fault]]
at = "300ms..600ms"
crash = { node = "random", disk = "torn_write", restart_after = "50ms..100ms" }
[[fault]]
at = "500ms..700ms"
for = "200ms"
partition = { partial = 0.3 }
[[fault]]
at = "600ms..800ms"
for = "100ms"
clock_freeze = { node = "leader" }
"#;

/// Events up to that time, faults aside.
fn until(events: &[Event], t: u64) -> Vec<Event> {
    let world = events.iter().filter(|e| e.t < t);
    world.cloned().collect()
}

#[test]
fn a_run_without_one_fault_is_the_same_until_that_would_have_set_in() {
    let scenario = Scenario::parse("short.toml", SHORT).unwrap();
    let record = RunOptions {
        record: true,
        ..RunOptions::default()
    };
    for seed in 0..15 {
        let with = run(&scenario, seed, &record).expect("no panic");
        let schedule = Schedule::parse("schedule.toml", &with.schedule).unwrap();
        let at = seed as usize % schedule.faults.len();
        let mut rest = schedule.clone();
        let removed = rest.faults.remove(at);
        let follow = RunOptions {
            follow: Some(rest.clone()),
            ..record.clone()
        };
        let without = run(&scenario, seed, &follow).expect("no panic");
        assert_eq!(
            until(&with.events, removed.at),
            until(&without.events, removed.at),
            "short@{seed} without {:?}",
            removed.label
        );
        // The others set in when they did, at whom they did.
        let fired = Schedule::parse("schedule.toml", &without.schedule).unwrap();
        assert_eq!(fired.faults, rest.faults, "short@{seed}");
        let gone = |e: &Event| {
            let start = FaultPhase::Start;
            matches!(&e.kind, Kind::Fault { label, phase, .. }
                     if *label == removed.label && *phase == start)
        };
        assert!(with.events.iter().any(gone) && !without.events.iter().any(gone));
    }
}

#[test]
fn every_kind_of_fault_does_something() {
    let mut hits: BTreeMap<String, u64> = BTreeMap::new();
    let idle = |hits: &BTreeMap<String, u64>| {
        let none = |kind: &FaultKind| hits.get(kind.name()).copied().unwrap_or(0) == 0;
        FaultKind::ALL.into_iter().filter(none).collect::<Vec<_>>()
    };
    for seed in 1..=20 {
        for (name, text) in library::all() {
            let scenario = Scenario::parse(name, text).unwrap();
            let missing = idle(&hits);
            let names = |f: &squall::format::Fault| {
                f.action.kinds().iter().any(|kind| missing.contains(kind))
            };
            if !scenario.faults.iter().any(names) {
                continue;
            }
            let run = run(&scenario, seed, &RunOptions::default()).expect("no panic");
            for (kind, count) in &run.summary.stats.faults {
                *hits.entry(kind.clone()).or_default() += count.hits;
            }
        }
        if idle(&hits).is_empty() {
            return;
        }
    }
    panic!("in 20 seeds, nothing was done by {:?}", idle(&hits));
}

#[test]
fn jumps_of_wall_clocks_change_no_answer_and_no_time() {
    let text = library::get("wrong-clocks").unwrap();
    let scenario = Scenario::parse("wrong-clocks", text).unwrap();
    let with = run(&scenario, 1, &RunOptions::default()).unwrap();
    let mut schedule = Schedule::parse("schedule.toml", &with.schedule).unwrap();
    let planned = schedule.faults.len();
    let jumps = |kind: &FaultKind| kind.name() == "clock_step";
    (schedule.faults).retain(|fault| !fault.action.kinds().iter().any(jumps));
    assert_eq!(planned - schedule.faults.len(), 4, "jumps");
    let options = RunOptions {
        follow: Some(schedule),
        ..RunOptions::default()
    };
    let without = run(&scenario, 1, &options).unwrap();
    assert_eq!(with.history, without.history);
}

#[test]
fn what_rests_on_disks_that_lie_is_suspended_and_neither_passed_nor_failed() {
    let text = library::get("lying-disks").unwrap();
    let scenario = Scenario::parse("lying-disks", text).unwrap();
    let run = run(&scenario, 3, &RunOptions::default()).expect("no panic");
    let left: Vec<&str> = run.summary.checks.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(left, ["raft.leader_append_only", "members"]);
    let suspended: Vec<_> = (run.summary.suspended.iter())
        .map(|s| s.check.as_str())
        .collect();
    for check in ["linearizable", "durability", "raft.vote_once", "liveness"] {
        assert!(suspended.contains(&check), "{check} is not suspended");
    }
    assert!(run.summary.suspended[0].why.contains("fsync_lie"));
    assert_eq!(run.summary.stats.suspended, suspended.len() as u64);
}

#[test]
fn a_member_whose_disk_fails_stops_and_says_why() {
    let text = library::get("failing-disks").unwrap();
    let scenario = Scenario::parse("failing-disks", text).unwrap();
    let run = run(&scenario, 1, &RunOptions::default()).expect("no panic");
    assert!(
        run.summary.failure().is_none(),
        "{:#?}",
        run.summary.failure()
    );
    assert!(run.summary.suspended.is_empty(), "a failing disk is no lie");
    assert!(!run.summary.stops.is_empty());
    for stop in &run.summary.stops {
        assert!(stop.reason.contains("disk failed"), "{stop:?}");
    }
}
