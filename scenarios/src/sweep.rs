//! Sweeps: many runs on several threads, reported as if on one.
//!
//! Work is numbered: every scenario with the first seed, then every scenario
//! with the next. Threads take numbers as they come, and results are handed
//! over in the order of the numbers, so that what a sweep reports, and where
//! it stops, does not depend on how many threads there are or how fast.

use crate::Scenario;
use crate::differ::{self, Compared, Difference};
use crate::panics::Watch;
use crate::runner::{End, RunFailure, RunOptions};
use squall_api::Bugs;
use squall_ci::{Exit, Extent, Sample, judge, worst};
use squall_record::{Check, Fact, Resources, Run, Stats, Summary, Verdict, Witness};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;

/// How far, in runs per thread, the fastest may be ahead of what was reported:
/// bounds what waits for its turn.
const AHEAD: u64 = 16;

/// What makes a run; a parameter, so that sweeps are tested without a world.
pub trait Runner: Fn(&Scenario, u64, &RunOptions) -> Result<Run, RunFailure> + Sync {}

impl<F: Fn(&Scenario, u64, &RunOptions) -> Result<Run, RunFailure> + Sync> Runner for F {}

/// What to run.
#[derive(Debug, Clone)]
pub struct Sweep<'a> {
    /// The scenarios, in order. Not empty.
    pub scenarios: &'a [Scenario],
    /// The first seed.
    pub first_seed: u64,
    /// How many seeds, or how long.
    pub extent: Extent,
    /// The planted bugs.
    pub bugs: Bugs,
    /// Threads; at least one is used.
    pub jobs: usize,
    /// Which runs are made twice although they did not fail.
    pub check_determinism: Sample,
    /// Record every run in full, not only those that fail.
    pub record_all: bool,
}

/// A run that was judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Which of the sweep's scenarios it ran.
    pub scenario: usize,
    /// What came of it. A panic is a failed check here.
    pub summary: Summary,
    /// The run itself, if it failed or everything is recorded.
    pub run: Option<Box<Run>>,
    /// Whether a second run came out the same; `None` if there was none.
    pub reproduced: Option<bool>,
    /// Where the two came apart, if they did and it could be shown.
    pub difference: Option<Box<Difference>>,
    /// What the run means for the exit.
    pub exit: Exit,
}

/// Raised by a signal: no new run is begun.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Not raised.
    pub const fn new() -> Stop {
        Stop(AtomicBool::new(false))
    }

    /// Raises it; says whether it was raised before.
    pub fn raise(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
    }

    /// Whether it was raised.
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Sweep<'_> {
    /// Makes the runs and hands each to `each`, in order. `each` may break,
    /// which ends the sweep after the runs in flight; what they say is dropped,
    /// so that the same runs are reported whatever the threads did.
    ///
    /// # Panics
    /// If `scenarios` is empty.
    pub fn go<B>(
        &self,
        runner: &impl Runner,
        stop: &Stop,
        mut each: impl FnMut(Judged) -> ControlFlow<B>,
    ) -> Option<B> {
        assert!(!self.scenarios.is_empty(), "a sweep needs a scenario");
        let queue = Queue::new(self, stop);
        let (tx, rx) = mpsc::channel();
        std::thread::scope(|scope| {
            let useful = queue.total.unwrap_or(u64::MAX).max(1);
            let threads = usize::try_from(useful).map_or(self.jobs, |n| n.min(self.jobs));
            for _ in 0..threads.max(1) {
                let tx = tx.clone();
                let queue = &queue;
                scope.spawn(move || {
                    while let Some(number) = queue.take() {
                        let judged = self.judge(runner, number);
                        if tx.send((number, judged)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(tx);

            // Holds what came early: at most `AHEAD` runs a thread.
            let mut early = BTreeMap::new();
            let mut next = 0;
            while let Ok((number, judged)) = rx.recv() {
                early.insert(number, judged);
                while let Some(judged) = early.remove(&next) {
                    next += 1;
                    queue.reported(next);
                    if let ControlFlow::Break(value) = each(judged) {
                        queue.close();
                        return Some(value);
                    }
                }
            }
            None
        })
    }

    /// The scenario and the seed of that number.
    fn work(&self, number: u64) -> (usize, u64) {
        let scenarios = self.scenarios.len() as u64;
        let seed = self.first_seed.wrapping_add(number / scenarios);
        ((number % scenarios) as usize, seed)
    }

    fn judge(&self, runner: &impl Runner, number: u64) -> Judged {
        let (at, seed) = self.work(number);
        let scenario = &self.scenarios[at];
        let options = RunOptions {
            bugs: self.bugs,
            record: self.record_all,
            ..RunOptions::default()
        };
        let again = self.check_determinism.takes(number);
        judge_once(runner, scenario, seed, &options, again, at)
    }
}

/// Makes one run and judges it. A failed run is made again and recorded in
/// full: recording must not change what happens, and neither must anything
/// else. `again` makes any run twice.
pub fn judge_once(
    runner: &impl Runner,
    scenario: &Scenario,
    seed: u64,
    options: &RunOptions,
    again: bool,
    at: usize,
) -> Judged {
    let recorded = RunOptions {
        record: true,
        ..options.clone()
    };
    let mut internal = false;
    let mut difference = None;
    let mut apart = |first: &Run, second: &Run| {
        let found = differ::locate(runner, scenario, seed, options, [first, second]);
        if let Ok(Compared::Differ(found)) = found {
            difference = Some(found);
        }
    };
    let (summary, run, reproduced) = match guarded(runner, scenario, seed, options) {
        Ok(run) if run.summary.failure().is_some() => {
            match guarded(runner, scenario, seed, &recorded) {
                Ok(second) if same(&run, &second) => {
                    (second.summary.clone(), Some(Box::new(second)), Some(true))
                }
                second => {
                    if let Ok(second) = second {
                        apart(&run, &second);
                    }
                    (run.summary.clone(), Some(Box::new(run)), Some(false))
                }
            }
        }
        Ok(run) => {
            let reproduced = again.then(|| match guarded(runner, scenario, seed, options) {
                Ok(second) if same(&run, &second) => true,
                Ok(second) => {
                    apart(&run, &second);
                    false
                }
                Err(_) => false,
            });
            let summary = run.summary.clone();
            let kept = options.record.then(|| Box::new(run));
            (summary, kept, reproduced)
        }
        Err(failure) => {
            let second = guarded(runner, scenario, seed, &recorded);
            let same = second.is_err_and(|second| same_failure(&failure, &second));
            // Whoever kills a process need not do it again.
            let reproduced = (same || failure.end != End::Killed).then_some(same);
            internal = failure.internal;
            let summary = panicked(scenario, seed, options.bugs, &failure);
            (summary, None, reproduced)
        }
    };
    let differed = match reproduced {
        Some(false) => Exit::Nondeterminism,
        Some(true) | None => Exit::Pass,
    };
    let broken = if internal { Exit::Internal } else { Exit::Pass };
    Judged {
        scenario: at,
        exit: worst([judge(&summary), differed, broken]),
        summary,
        run,
        reproduced,
        difference,
    }
}

fn same(first: &Run, second: &Run) -> bool {
    first.summary.hash == second.summary.hash
}

/// Whether a run failed again as it did before. What a dying process says may
/// hold addresses and thread ids.
fn same_failure(first: &RunFailure, second: &RunFailure) -> bool {
    first.end == second.end && (first.end != End::Panic || first == second)
}

/// A panic that escapes the runner is squall's own.
pub(crate) fn guarded(
    runner: &impl Runner,
    scenario: &Scenario,
    seed: u64,
    options: &RunOptions,
) -> Result<Run, RunFailure> {
    let watch = Watch::new();
    let _guard = watch.this_thread();
    let result = catch_unwind(AssertUnwindSafe(|| runner(scenario, seed, options)));
    result.unwrap_or_else(|_| {
        let text = watch.take();
        Err(RunFailure {
            end: End::Panic,
            panic: text.unwrap_or_else(|| "a panic that said nothing".into()),
            node: None,
            t: 0,
            internal: true,
        })
    })
}

/// A run that panicked, as a run with a failed check.
fn panicked(scenario: &Scenario, seed: u64, bugs: Bugs, failure: &RunFailure) -> Summary {
    let first_line = failure.panic.lines().next().unwrap_or_default();
    let (name, guarantee, who) = if failure.internal {
        (
            "internal",
            "squall itself never panics; the store is not to blame for this",
            "squall".to_owned(),
        )
    } else {
        (
            failure.end.check(),
            "no request, fault or crash makes a member panic, or ends its process in another way",
            failure
                .node
                .map_or_else(|| "the store".to_owned(), |n| format!("n{n}")),
        )
    };
    let witness = Witness {
        guarantee: guarantee.into(),
        sentence: format!("{who} {}: {first_line}", failure.end.verb()),
        t: failure.t,
        node: failure.node,
        ops: Vec::new(),
        facts: vec![Fact::new(failure.end.check(), failure.panic.clone())],
        class: without_numbers(first_line),
    };
    Summary {
        scenario: scenario.name.clone(),
        seed,
        bugs: bug_names(bugs),
        world: "madsim".into(),
        hash: String::new(),
        checks: vec![Check {
            name: name.into(),
            verdict: Verdict::Fail(Box::new(witness)),
        }],
        inconclusive: Vec::new(),
        suspended: Vec::new(),
        stops: Vec::new(),
        availability: None,
        resources: Resources::default(),
        stats: Stats::default(),
    }
}

/// What stays the same of a message over seeds.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match (c.is_ascii_digit(), out.ends_with('#')) {
            (false, _) => out.push(c),
            (true, false) => out.push('#'),
            (true, true) => {}
        }
    }
    out
}

/// The names of a set of planted bugs.
pub fn bug_names(bugs: Bugs) -> Vec<String> {
    let planted = squall_api::Bug::ALL.iter().filter(|b| bugs.has(**b));
    planted.map(|bug| bug.name().to_owned()).collect()
}

/// Hands out numbers until it is closed, interrupted, out of time or empty.
struct Queue<'a> {
    state: Mutex<State>,
    moved: Condvar,
    /// How many numbers there are; `None` if time decides.
    total: Option<u64>,
    deadline: Option<Instant>,
    /// How far the next number may be ahead of what was reported.
    ahead: u64,
    /// At least so many are handed out before time is up, so that a short time
    /// still tries every scenario once.
    least: u64,
    stop: &'a Stop,
}

#[derive(Default)]
struct State {
    next: u64,
    reported: u64,
    closed: bool,
}

impl<'a> Queue<'a> {
    fn new(sweep: &Sweep<'_>, stop: &'a Stop) -> Queue<'a> {
        let scenarios = sweep.scenarios.len() as u64;
        let (total, deadline) = match sweep.extent {
            Extent::Seeds(seeds) => (Some(seeds.saturating_mul(scenarios)), None),
            Extent::For(time) => (None, Instant::now().checked_add(time)),
        };
        Queue {
            state: Mutex::default(),
            moved: Condvar::new(),
            total,
            deadline,
            ahead: AHEAD * sweep.jobs.max(1) as u64,
            least: scenarios,
            stop,
        }
    }

    fn take(&self) -> Option<u64> {
        let mut state = self.lock();
        while !state.closed && state.next >= state.reported + self.ahead {
            state = self
                .moved
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let late = self.deadline.is_some_and(|d| Instant::now() >= d);
        let empty = self.total.is_some_and(|total| state.next >= total);
        if state.closed || empty || self.stop.raised() || (late && state.next >= self.least) {
            return None;
        }
        state.next += 1;
        Some(state.next - 1)
    }

    fn reported(&self, reported: u64) {
        self.lock().reported = reported;
        self.moved.notify_all();
    }

    fn close(&self) {
        self.lock().closed = true;
        self.moved.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
