//! Same scenario, seed and build: same hash. In a sweep beside other runs,
//! alone, in a process of its own, with the other cores busy, recorded or not,
//! and when a schedule is followed instead of drawn.

use squall::runner::{RunOptions, run};
use squall::{Scenario, Schedule, library};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many seeds of each scenario; `SQUALL_TEST_SEEDS` asks for more.
fn seeds() -> u64 {
    let asked = std::env::var("SQUALL_TEST_SEEDS").ok();
    asked.map_or(1, |text| {
        text.parse().expect("SQUALL_TEST_SEEDS is a number")
    })
}

fn scenarios() -> Vec<Scenario> {
    library::all()
        .iter()
        .map(|(name, text)| Scenario::parse(name, text).unwrap_or_else(|e| panic!("{e}")))
        .collect()
}

fn hash(scenario: &Scenario, seed: u64, options: &RunOptions) -> (String, u64) {
    let run = run(scenario, seed, options)
        .unwrap_or_else(|e| panic!("{}@{seed}: {}", scenario.name, e.panic));
    (run.summary.hash, run.summary.stats.events)
}

/// The hash that a process of its own leaves in its run directory.
fn hash_in_a_fresh_process(name: &str, seed: u64) -> String {
    let out = tempfile::tempdir().expect("a temporary directory");
    let status = Command::new(env!("CARGO_BIN_EXE_squall"))
        .args([
            "run",
            name,
            "--seed",
            &seed.to_string(),
            "--keep",
            "all",
            "--out",
        ])
        .arg(out.path())
        .output()
        .expect("squall starts");
    let text = std::fs::read_to_string(out.path().join("latest/run.json"))
        .unwrap_or_else(|e| panic!("{name}@{seed}: {e}: {status:?}"));
    let run: serde_json::Value = serde_json::from_str(&text).expect("run.json is JSON");
    run["summary"]["hash"]
        .as_str()
        .unwrap_or_else(|| panic!("no hash in {text}"))
        .to_owned()
}

/// Keeps one core busy for as long as it lives.
struct Busy<'a>(&'a AtomicBool);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[test]
fn a_seed_is_the_same_run_wherever_it_runs() {
    let work: Vec<(Scenario, u64)> = scenarios()
        .into_iter()
        .flat_map(|scenario| (1..=seeds()).map(move |seed| (scenario.clone(), 1000 + seed)))
        .collect();
    let recorded = RunOptions {
        record: true,
        ..RunOptions::default()
    };
    let alone: Vec<_> = work
        .iter()
        .map(|(scenario, seed)| hash(scenario, *seed, &RunOptions::default()))
        .collect();

    // Beside each other, and recorded.
    let beside: Vec<_> = std::thread::scope(|scope| {
        let run = |(scenario, seed): &(Scenario, u64)| hash(scenario, *seed, &recorded);
        let (left, right) = work.split_at(work.len() / 2);
        let left = scope.spawn(move || left.iter().map(run).collect::<Vec<_>>());
        let right = scope.spawn(move || right.iter().map(run).collect::<Vec<_>>());
        [left, right]
            .into_iter()
            .flat_map(|half| half.join().expect("no panic"))
            .collect()
    });

    // In a fresh process, with another core busy meanwhile.
    let busy = AtomicBool::new(true);
    let fresh: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while busy.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let _until_here = Busy(&busy);
        work.iter()
            .map(|(scenario, seed)| hash_in_a_fresh_process(&scenario.name, *seed))
            .collect()
    });

    for (i, (scenario, seed)) in work.iter().enumerate() {
        assert_eq!(
            beside[i], alone[i],
            "{}@{seed} beside another run",
            scenario.name
        );
        assert_eq!(
            fresh[i], alone[i].0,
            "{}@{seed} in a fresh process",
            scenario.name
        );
    }
}

#[test]
fn following_a_schedule_makes_the_run_that_it_came_from() {
    for scenario in scenarios() {
        let drawn = run(&scenario, 7, &RunOptions::default()).expect("no panic");
        let schedule =
            Schedule::parse("schedule.toml", &drawn.schedule).unwrap_or_else(|e| panic!("{e}"));
        let follow = RunOptions {
            follow: Some(schedule),
            ..RunOptions::default()
        };
        let followed = run(&scenario, 7, &follow).expect("no panic");
        assert_eq!(
            followed.summary.hash, drawn.summary.hash,
            "{}@7",
            scenario.name
        );
        assert_eq!(followed.schedule, drawn.schedule);
    }
}
