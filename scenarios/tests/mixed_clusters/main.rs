//! Mixed clusters: our members and members that raft-rs drives vote for each
//! other, replicate to each other and serve each other's reads, under faults.
//! What clients see is linearizable, Raft's properties hold over both, and a
//! seed gives the same run again.
//!
//! `SQUALL_MIXED_SEEDS` is how many seeds each scenario gets; 84 make 504 runs each
//! way. `83-83` are the seeds from 83 to 83.

mod lane;
mod log_file;

use lane::RaftRsLane;
use squall::runner::{RunOptions, run_with};
use squall::{Scenario, library};
use squall_record::{Run, Summary};
use squall_sim::world::{Lanes, Open, store};
use squall_store::ApplyLane;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const SCENARIOS: [&str; 6] = [
    "symmetric-partition",
    "one-way-partition-leader",
    "rolling-crashes-torn-writes",
    "power-loss-majority",
    "election-storm",
    "everything-at-once",
];

fn raft_rs(elected: Arc<AtomicU64>) -> Open {
    Arc::new(move |env, now| {
        let (apply, applied) = ApplyLane::open(&env, now)?;
        let raft = RaftRsLane::open(env, now, applied.index, elected.clone())?;
        Ok(Lanes {
            raft: Box::new(raft),
            apply: Box::new(apply),
        })
    })
}

/// Makes a run in which the members of `theirs` are driven by raft-rs, and says
/// how many elections they won.
fn make(scenario: &Scenario, seed: u64, theirs: &[u64]) -> (Run, u64) {
    let elected = Arc::new(AtomicU64::new(0));
    let open = |id| match theirs.contains(&id) {
        true => raft_rs(elected.clone()),
        false => store(),
    };
    let run = run_with(scenario, seed, &RunOptions::default(), &open).unwrap_or_else(|e| {
        panic!(
            "{}@{seed} with raft-rs in {theirs:?}: {}",
            scenario.name, e.panic
        )
    });
    (run, elected.load(Ordering::Relaxed))
}

/// The library's scenario on three members that never compact their logs:
/// raft-rs's store could not make a snapshot of our state machine.
fn scenario(name: &str) -> Scenario {
    let text = library::get(name).expect("the library has it");
    let mut scenario = Scenario::parse(name, text).unwrap_or_else(|e| panic!("{e}"));
    scenario.cluster.nodes = 3;
    scenario.cluster.snapshot_entries = 1_000_000;
    // Marks of our own Raft lane are not raft-rs's.
    scenario.expects.clear();
    scenario
}

fn seeds() -> RangeInclusive<u64> {
    let Ok(text) = std::env::var("SQUALL_MIXED_SEEDS") else {
        return 1..=2;
    };
    let number = |text: &str| text.parse().expect("SQUALL_MIXED_SEEDS has numbers");
    match text.split_once('-') {
        Some((first, last)) => number(first)..=number(last),
        None => 1..=number(&text),
    }
}

fn hold(theirs: &[&[u64]]) {
    let seeds = seeds();
    let (mut led_by_theirs, mut led_by_ours) = (0, 0);
    for name in SCENARIOS {
        let scenario = scenario(name);
        for seed in seeds.clone() {
            let theirs = theirs[seed as usize % theirs.len()];
            let (made, elected) = make(&scenario, seed, theirs);
            let Summary { stats, hash, .. } = &made.summary;
            let failure = made.summary.failure();
            assert_eq!(failure, None, "{name}@{seed} with raft-rs in {theirs:?}");
            assert!(stats.ops_ok > 100, "{name}@{seed} did too little");
            led_by_theirs += elected;
            led_by_ours += stats.elections - elected;
            if seed == *seeds.start() {
                let (again, _) = make(&scenario, seed, theirs);
                assert_eq!(*hash, again.summary.hash, "{name}@{seed} made again");
            }
        }
    }
    println!("elections won: {led_by_ours} by ours, {led_by_theirs} by raft-rs");
    assert!(led_by_ours > 0 && led_by_theirs > 0);
}

#[test]
fn one_member_of_raft_rs_among_two_of_ours() {
    hold(&[&[1], &[2], &[3]]);
}

#[test]
fn one_member_of_ours_among_two_of_raft_rs() {
    hold(&[&[2, 3], &[1, 3], &[1, 2]]);
}
