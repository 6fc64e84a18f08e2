//! What a run must not depend on, planted where only this test can reach: in a
//! machine around the store's Raft lane. Each is noticed, and the first event
//! that it changed is named.

use squall::cli::{Console, go};
use squall::runner::{self, RunFailure, RunOptions};
use squall::sweep::{Runner, Stop};
use squall::{Scenario, library};
use squall_api::{Effect, Effects, Fatal, Input, Machine, Now};
use squall_ci::Exit;
use squall_record::Run;
use squall_sim::world::{Lanes, Open, store};
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

/// What happens after the lane's step, on its effects.
type Taint = Arc<dyn Fn(&mut Effects) + Send + Sync>;

struct Tainted {
    lane: Box<dyn Machine>,
    taint: Taint,
}

impl Machine for Tainted {
    fn step(&mut self, now: Now, input: Input, fx: &mut Effects) -> Result<(), Fatal> {
        let result = self.lane.step(now, input, fx);
        (self.taint)(fx);
        result
    }

    fn deadline(&self) -> Option<u64> {
        self.lane.deadline()
    }
}

/// A store whose Raft lane is tainted.
fn tainted(taint: &Taint) -> Open {
    let taint = taint.clone();
    Arc::new(move |env, now| {
        let Lanes { raft, apply } = store()(env, now)?;
        let lane = Tainted {
            lane: raft,
            taint: taint.clone(),
        };
        Ok(Lanes {
            raft: Box::new(lane),
            apply,
        })
    })
}

/// Makes runs that are tainted by what `taint` gives, which is asked on the
/// sweep's own thread, outside of the simulation.
fn runner(taint: impl Fn() -> Taint + Sync) -> impl Runner {
    move |scenario: &Scenario, seed: u64, options: &RunOptions| -> Result<Run, RunFailure> {
        let taint = taint();
        runner::run_with(scenario, seed, options, &|_| tainted(&taint))
    }
}

const SHORT: [&str; 4] = ["--set", "workload.run_for=2s", "--set", "expect=[]"];

fn squall(args: &[&str], runner: &impl Runner) -> (Exit, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = ["squall"]
        .iter()
        .chain(args)
        .chain(&SHORT)
        .map(OsString::from);
    let mut console = Console::plain(&mut out, &mut err, 1_000);
    let exit = go(args, runner, &mut console, &Stop::new());
    drop(console);
    out.extend(err);
    (exit, String::from_utf8(out).expect("text"))
}

/// That a sweep that checks its determinism ends with the exit for it and names
/// an event, and that `diff` shows both versions of it.
fn named(taint: impl Fn() -> Taint + Sync, differs: &[&str]) {
    let runner = runner(taint);
    let out = tempfile::tempdir().expect("a temporary directory");
    let dir = out.path().display().to_string();
    let sweep = [
        "run",
        "healthy",
        "--seed",
        "1",
        "--check-determinism",
        "1/1",
        "--out",
        &dir,
    ];
    let (exit, text) = squall(&sweep, &runner);
    assert_eq!(exit, Exit::Nondeterminism, "{text}");
    assert!(text.contains("is the first that differs"), "{text}");
    assert!(text.contains("squall diff 'healthy@1'"), "{text}");

    let (exit, text) = squall(&["diff", "healthy@1"], &runner);
    assert_eq!(exit, Exit::Nondeterminism, "{text}");
    let rows: Vec<&str> = text.lines().collect();
    for row in ["first", "second", "caused by"] {
        assert!(
            rows.iter().any(|line| line.trim().starts_with(row)),
            "{text}"
        );
    }
    let said = text
        .split("What differs:")
        .nth(1)
        .expect("it says what differs");
    assert!(
        differs.iter().any(|what| said.contains(what)),
        "{differs:?}: {text}"
    );

    let (exit, text) = squall(&["diff", "healthy@1", "--format", "json"], &runner);
    assert_eq!(exit, Exit::Nondeterminism, "{text}");
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let difference = &document["difference"];
    let seq = difference["first"]["event"]["seq"]
        .as_u64()
        .expect("a number");
    let (after, upto) = (
        &difference["window"]["after"],
        &difference["window"]["upto"],
    );
    assert!(
        after.as_u64() < Some(seq) && Some(seq) <= upto.as_u64(),
        "{text}"
    );
}

/// Puts the messages of each step in the order of a map.
fn in_the_order_of(map: RandomState) -> Taint {
    Arc::new(move |fx| {
        let mut sends = HashMap::with_hasher(map.clone());
        let effects: Vec<Effect> = fx.drain().map(|(_, effect)| effect).collect();
        for effect in effects {
            match effect {
                Effect::Send(frame) => {
                    let to: &mut Vec<_> = sends
                        .entry((frame.to, frame.raft().map_or(0, |msg| msg.index)))
                        .or_default();
                    to.push(Effect::Send(frame));
                }
                other => fx.push(other),
            }
        }
        for send in sends.into_values().flatten() {
            fx.push(send);
        }
    })
}

#[test]
fn the_order_of_a_hash_map_that_outlives_the_run_is_named() {
    let taint = || in_the_order_of(RandomState::new());
    named(taint, &["what happened", "the bytes of a message"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_read_of_the_real_clock_is_named() {
    // In hundredths of a second, as the kernel tells it to whoever reads a file.
    let now = || -> u64 {
        let text = std::fs::read_to_string("/proc/uptime").expect("Linux has it");
        let digits = text
            .split(' ')
            .next()
            .map(|seconds| seconds.replace('.', ""));
        digits
            .and_then(|digits| digits.parse().ok())
            .expect("a number")
    };
    let taint = || -> Taint {
        Arc::new(move |fx| {
            // A message is repeated in every other tick of the clock.
            let repeat = now() % 2 == 0;
            let effects: Vec<Effect> = fx.drain().map(|(_, effect)| effect).collect();
            for effect in effects {
                if let (true, Effect::Send(frame)) = (repeat, &effect) {
                    fx.push(Effect::Send(frame.clone()));
                }
                fx.push(effect);
            }
        })
    };
    named(
        taint,
        &["what happened", "its time", "comes after", "the bytes of"],
    );
}

#[test]
fn a_race_with_another_thread_is_named() {
    let (count, stop) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let (counted, stopped) = (count.clone(), stop.clone());
    let other = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            counted.fetch_add(1, Ordering::Relaxed);
            std::thread::yield_now();
        }
    });
    let taint = || -> Taint {
        let count = count.clone();
        Arc::new(move |fx| {
            if count.load(Ordering::Relaxed) % 2 == 1 {
                fx.mark("test.the_other_thread_was_faster");
            }
        })
    };
    named(taint, &["what happened", "its time", "a mark of n"]);
    stop.store(true, Ordering::Relaxed);
    other.join().expect("no panic");
}

/// A thread that a lane starts itself does not even run.
#[test]
fn a_thread_that_a_lane_starts_is_refused_with_its_seed() {
    let taint = || -> Taint {
        Arc::new(|_| {
            let started = std::thread::Builder::new().spawn(|| {});
            started.expect("a thread");
        })
    };
    let out = tempfile::tempdir().expect("a temporary directory");
    let dir = out.path().display().to_string();
    let sweep = ["run", "healthy", "--seed", "1", "--out", &dir];
    let (exit, text) = squall(&sweep, &runner(taint));
    assert_eq!(exit, Exit::Violation, "{text}");
    assert!(
        text.contains("healthy@1") && text.contains("thread"),
        "{text}"
    );
}

/// What madsim takes from the system is safe by itself: a map of the run's own,
/// and the standard library's clocks, which stand at simulated time.
#[test]
fn maps_and_clocks_inside_a_run_are_the_same_every_time() {
    let taint = || -> Taint {
        Arc::new(|fx| {
            in_the_order_of(RandomState::new())(fx);
            let before = Instant::now();
            let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let odd = wall.expect("after 1970").as_nanos() / 1_000_000 % 2 == 1;
            if odd || before.elapsed().as_nanos() > 0 {
                fx.mark("test.the_clock_was_read");
            }
        })
    };
    let text = library::get("healthy").expect("the library has it");
    let overrides = ["workload.run_for=2s", "expect=[]"].map(str::to_owned);
    let scenario = Scenario::parse_with("healthy", text, &overrides).expect("it parses");
    let runner = runner(taint);
    let hashes: BTreeSet<String> = (0..4)
        .map(|_| runner(&scenario, 1, &RunOptions::default()).expect("no panic"))
        .map(|run| run.summary.hash)
        .collect();
    assert_eq!(hashes.len(), 1, "{hashes:?}");
}
