//! A seed that panics, aborts, overflows its stack or runs out of memory is a
//! finding with its seed, and not the end of the sweep.
//!
//! This test's own program is the worker: started with [`DEATH`] in its
//! environment, the test `worker` serves runs in which a member dies that way
//! under the seed [`GUILTY`]. No other program can plant it.

use squall::cli::{Console, go};
use squall::isolate::{Pool, Worker, serve};
use squall::runner::{self, RunOptions};
use squall::sweep::Stop;
use squall::{Scenario, library};
use squall_api::{Effects, Fatal, Input, Machine, Now};
use squall_ci::Exit;
use squall_sim::world::{Lanes, Open, store};
use std::ffi::OsString;
use std::hint::black_box;
use std::io::{stdin, stdout};
use std::sync::Arc;

/// Says how the guilty run dies.
const DEATH: &str = "SQUALL_TEST_DEATH";
const GUILTY: u64 = 3;
/// What the workers of this test may take.
const MEMORY_MAX: u64 = 1 << 30;

/// A lane that dies of its 100th step.
struct Doomed {
    lane: Box<dyn Machine>,
    steps: u64,
    death: String,
}

impl Machine for Doomed {
    fn step(&mut self, now: Now, input: Input, fx: &mut Effects) -> Result<(), Fatal> {
        self.steps += 1;
        if self.steps == 100 {
            die(&self.death);
        }
        self.lane.step(now, input, fx)
    }

    fn deadline(&self) -> Option<u64> {
        self.lane.deadline()
    }
}

fn die(how: &str) {
    match how {
        "panic" => panic!("planted: the hundredth step"),
        "abort" => std::process::abort(),
        "stack" => {
            deeper(0);
        }
        "memory" => {
            let mut kept = Vec::new();
            loop {
                kept.push(black_box(vec![0_u8; 16 << 20]));
            }
        }
        other => unreachable!("no death is called {other:?}"),
    }
}

#[expect(unconditional_recursion, reason = "that is the point")]
fn deeper(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    deeper(depth + 1) + black_box(room)[0]
}

/// Not a test of its own: the worker of the others.
#[test]
fn worker() {
    let Ok(death) = std::env::var(DEATH) else {
        return;
    };
    let runner = |scenario: &Scenario, seed, options: &RunOptions| {
        let death = (seed == GUILTY).then(|| death.clone());
        runner::run_with(scenario, seed, options, &|_| doomed(death.clone()))
    };
    serve(MEMORY_MAX, &runner, stdin().lock(), stdout()).expect("the sweep goes on to the end");
}

fn doomed(death: Option<String>) -> Open {
    let Some(death) = death else { return store() };
    Arc::new(move |env, now| {
        let Lanes { raft, apply } = store()(env, now)?;
        let lane = Doomed {
            lane: apply,
            steps: 0,
            death: death.clone(),
        };
        Ok(Lanes {
            raft,
            apply: Box::new(lane),
        })
    })
}

/// Workers whose run dies so.
fn workers(death: &str) -> Pool {
    let args = ["worker", "--exact", "--nocapture", "--test-threads=1"];
    Pool::new(Worker {
        program: std::env::current_exe().expect("a test has a file").into(),
        args: args.map(OsString::from).to_vec(),
        env: vec![(DEATH.into(), death.into())],
    })
}

/// Sweeps five seeds, the guilty one in the middle, and returns how it ended
/// and what it said.
fn sweep(death: &str) -> (Exit, serde_json::Value) {
    let out = tempfile::tempdir().expect("a temporary directory");
    let dir = out.path().display().to_string();
    let args = [
        "squall",
        "run",
        "healthy",
        "--seed",
        "1",
        "--seeds",
        "5",
        "--jobs",
        "2",
        "--format",
        "json",
        "--set",
        "workload.run_for=1s",
        "--set",
        "expect=[]",
        "--out",
        &dir,
    ];
    let pool = workers(death);
    let runner =
        |scenario: &Scenario, seed, options: &RunOptions| pool.run(scenario, seed, options);
    let (mut said, mut told) = (Vec::new(), Vec::new());
    let mut console = Console::plain(&mut said, &mut told, 100);
    let exit = go(
        args.map(OsString::from),
        &runner,
        &mut console,
        &Stop::new(),
    );
    drop(console);
    let said = String::from_utf8(said).expect("text");
    let told = String::from_utf8(told).expect("text");
    let document = serde_json::from_str(&said);
    (
        exit,
        document.unwrap_or_else(|e| panic!("{e}: {said}{told}")),
    )
}

/// That the sweep found the guilty seed, all others passed, and what it said.
fn finds(death: &str, check: &str, sentence: &str) {
    let (exit, document) = sweep(death);
    assert_eq!(exit, Exit::Violation, "{document:#}");
    let text = document.to_string();
    let findings = document["findings"].as_array().expect("findings");
    assert_eq!(findings.len(), 1, "{document:#}");
    assert!(text.contains(&format!("healthy@{GUILTY}")), "{document:#}");
    assert!(text.contains(check), "no {check}: {document:#}");
    assert!(text.contains(sentence), "no {sentence:?}: {document:#}");
}

#[test]
fn a_seed_that_panics_is_a_finding_with_its_seed() {
    finds(
        "panic",
        "panic",
        "the store panicked: planted: the hundredth step",
    );
}

#[test]
fn a_seed_that_aborts_is_a_finding_with_its_seed() {
    finds(
        "abort",
        "abort",
        "the store aborted: SIGABRT ended the process",
    );
}

#[test]
fn a_seed_that_overflows_its_stack_is_a_finding_with_its_seed() {
    let sentence = "the store overflowed its stack: a thread had no stack left";
    finds("stack", "stack-overflow", sentence);
}

#[test]
fn a_seed_that_runs_out_of_memory_is_a_finding_with_its_seed() {
    let sentence = "the store ran out of memory: memory allocation of 16777216 bytes failed";
    finds("memory", "out-of-memory", sentence);
}

/// A worker tells the same run, whole, as the process that asks for it.
#[test]
fn a_run_is_the_same_in_a_worker() {
    let text = library::get("leader-crash").expect("the library has it");
    let scenario = Scenario::parse("leader-crash", text).expect("it parses");
    let pool = workers("abort");
    let recorded = RunOptions {
        record: true,
        ..RunOptions::default()
    };
    let there = pool.run(&scenario, 8, &recorded).expect("no death");
    let here = runner::run(&scenario, 8, &recorded).expect("no panic");
    assert_eq!(there, here);
    let brief = pool
        .run(&scenario, 8, &RunOptions::default())
        .expect("no death");
    assert_eq!(brief.summary, here.summary);
    assert!(brief.history.is_empty() && brief.events.is_empty());
}
