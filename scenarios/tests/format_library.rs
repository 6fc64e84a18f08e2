//! The scenarios that come with squall: each is sound, and each seed draws a
//! plan from it.

use squall::format::{FaultKind, Scenario};
use squall::library;
use squall::plan::{Plan, Schedule};
use std::collections::BTreeSet;
use std::path::Path;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("library")
}

#[test]
fn the_list_is_the_folder() {
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(
            path.extension().and_then(|e| e.to_str()),
            Some("toml"),
            "{path:?}"
        );
        files.insert(path.file_stem().unwrap().to_str().unwrap().to_string());
    }
    let listed: BTreeSet<String> = library::all().iter().map(|(n, _)| n.to_string()).collect();
    assert_eq!(listed, files);
    assert_eq!(
        listed.len(),
        library::all().len(),
        "a scenario is listed twice"
    );
}

#[test]
fn every_scenario_is_sound_and_carries_its_file_name() {
    for (name, text) in library::all() {
        let scenario = Scenario::load(&folder().join(format!("{name}.toml"))).unwrap();
        assert_eq!(scenario.name, *name);
        assert_eq!(scenario, Scenario::parse(name, text).unwrap());
        assert!(
            scenario.about.split_whitespace().count() > 10,
            "{name} says too little"
        );
        for id in 1..=scenario.all_nodes() {
            scenario.cluster.member(1, id).validate().unwrap();
        }
    }
}

#[test]
fn every_scenario_asks_for_enough_to_judge() {
    // These have a load of their own: two are made anew for each operation of their
    // disks, one is about a single disk, one reads a few keys under leases, two
    // take their time over what is cut or far away, three are about watches, and
    // eight wait for leases to end; where permissions change, much is refused, and
    // one does everything, a little of each.
    const OWN_LOAD: [&str; 20] = [
        "crash-points",
        "crash-points-of-changes",
        "elections-and-crashes",
        "every-load-at-once",
        "failed-syncs-then-power-loss",
        "flood-of-events",
        "leases-and-clocks",
        "leases-and-crashes",
        "leases-and-pauses",
        "leases-and-transfers",
        "locks-and-pauses",
        "partial-partition",
        "permissions-and-restarts",
        "permissions-in-flight",
        "read-leases",
        "rolling-upgrade",
        "downgrade",
        "watches-and-compaction",
        "watches-under-faults",
        "wide-area",
    ];
    let by_itself = library::all()
        .iter()
        .filter(|(name, _)| !OWN_LOAD.contains(name));
    for (name, text) in by_itself {
        let Scenario {
            cluster, workload, ..
        } = Scenario::parse(name, text).unwrap();
        let seconds = workload.run_for.ns() as f64 / 1e9;
        assert!(
            (10.0..=20.0).contains(&seconds),
            "{name} runs for {seconds} s"
        );
        assert!(
            workload.rate * seconds >= 2_000.0,
            "{name} asks for too few operations"
        );
        let txns = u64::from(workload.mix.cas + workload.mix.txn);
        assert!(
            txns * 100 >= workload.mix.total() * 15,
            "{name} has too few transactions"
        );
        assert_eq!(workload.keys.count, 12);
        assert!(cluster.snapshot_entries <= 300, "{name} never compacts");
    }
}

#[test]
fn every_seed_draws_a_plan_that_ends_within_the_run() {
    // Nothing breaks in the first, the second is crashed from outside, and in the third
    // an operator hands leadership on.
    const NO_FAULTS: [&str; 3] = ["healthy", "crash-points-of-changes", "leases-and-transfers"];
    for (name, text) in library::all() {
        let scenario = Scenario::parse(name, text).unwrap();
        let run_for = scenario.workload.run_for.ns();
        for seed in 0..50 {
            let plan = Plan::draw(&scenario, seed);
            assert_eq!(plan, Plan::draw(&scenario, seed));
            assert_eq!(plan.clocks.len() as u64, scenario.all_nodes());
            assert_eq!(plan.faults.is_empty(), NO_FAULTS.contains(name));
            for fault in &plan.faults {
                let Some(at) = fault.at.time() else { continue };
                let end = at + fault.lasts.unwrap_or(0);
                assert!(
                    end < run_for,
                    "{name}@{seed}: {} ends at {end}",
                    fault.label
                );
            }
        }
    }
}

#[test]
fn a_scenario_survives_being_written_and_draws_the_same_plans() {
    for (name, text) in library::all() {
        let scenario = Scenario::parse(name, text).unwrap();
        let written = scenario.to_toml();
        let read = Scenario::parse(name, &written).unwrap();
        assert_eq!(read, scenario);
        assert_eq!(read.to_toml(), written);
        assert_eq!(Plan::draw(&read, 7), Plan::draw(&scenario, 7));
    }
}

/// A cluster in which node 2 leads and everyone runs.
struct Calm(u64);

impl squall::plan::Cluster for Calm {
    fn nodes(&self) -> Vec<u64> {
        (1..=self.0).collect()
    }
    fn leader(&self) -> Option<u64> {
        Some(2)
    }
    fn running(&self, _node: u64) -> bool {
        true
    }
}

#[test]
fn every_fault_fires_at_somebody_and_its_schedule_reads_back() {
    for (name, text) in library::all() {
        let scenario = Scenario::parse(name, text).unwrap();
        for seed in 0..50 {
            let plan = Plan::draw(&scenario, seed);
            let cluster = Calm(scenario.cluster.nodes);
            let fired = plan
                .faults
                .iter()
                .map(|fault| fault.fire(fault.at.time().unwrap_or(7), &cluster));
            let schedule = Schedule {
                scenario: scenario.name.clone(),
                seed,
                clocks: plan.clocks.clone(),
                faults: fired.collect(),
                crash_points: Vec::new(),
            };
            for fault in &schedule.faults {
                let nodes = fault.action.nodes();
                assert!(
                    !nodes.is_empty(),
                    "{name}@{seed}: {} hits nobody",
                    fault.label
                );
                assert!(nodes.iter().all(|n| (1..=cluster.0).contains(n)));
            }
            let read = Schedule::parse("schedule.toml", &schedule.to_toml()).unwrap();
            assert_eq!(read, schedule);
        }
    }
}

#[test]
fn the_library_names_every_kind_of_fault() {
    let mut named = BTreeSet::new();
    for (name, text) in library::all() {
        let scenario = Scenario::parse(name, text).unwrap();
        named.extend(scenario.faults.iter().flat_map(|f| f.action.kinds()));
    }
    for kind in FaultKind::ALL {
        assert!(named.contains(&kind), "no scenario has a {}", kind.name());
    }
}
