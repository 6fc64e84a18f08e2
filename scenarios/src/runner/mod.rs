//! One run: a pure function of scenario, seed and build.

mod audit;
mod caller;
mod holding;
mod identity;
mod judge;
mod liveness;
mod load;
mod nemesis;
mod operator;
mod oracle;
mod people;
mod probe;
mod replace;
mod setup;
mod story;
mod suspend;
mod tally;
mod upkeep;
mod watch;
mod watching;

pub use probe::{Done, NodeProbe, Probe, Probed};

use crate::panics::Watch;
use crate::plan::CrashPoint;
use crate::{Plan, Scenario, Schedule};
use serde::{Deserialize, Serialize};
use squall_api::Bugs;
use squall_record::{Event, Op, Run, Stats, Window};
use squall_sim::world::{Observer, Open, Simulated, simulate};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a run is to be made; nothing here changes what happens in it, except
/// the bugs and the schedule.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// The planted bugs that every member carries.
    pub bugs: Bugs,
    /// Keep every event, not only the notable ones.
    pub record: bool,
    /// Follow this schedule of faults instead of drawing one from the seed.
    pub follow: Option<Schedule>,
    /// Power losses at exact moments, besides the faults.
    pub crash_points: Vec<CrashPoint>,
    /// Filled with what the run did to its disks, unless it ended early.
    pub probe: Option<Probe>,
    /// Keep the events of this window with everything that was hashed.
    pub trace: Option<Window>,
}

/// How a run ended without a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It panicked.
    Panic,
    /// It took its process with it.
    Abort,
    /// A thread's stack was too small for it, which took its process.
    StackOverflow,
    /// It asked for more memory than it may have, which took its process.
    OutOfMemory,
    /// Somebody killed its process.
    Killed,
}

impl End {
    /// The name of the check that a run with this end fails.
    pub const fn check(self) -> &'static str {
        match self {
            End::Panic => "panic",
            End::Abort => "abort",
            End::StackOverflow => "stack-overflow",
            End::OutOfMemory => "out-of-memory",
            End::Killed => "killed",
        }
    }

    /// What it did.
    pub const fn verb(self) -> &'static str {
        match self {
            End::Panic => "panicked",
            End::Abort => "aborted",
            End::StackOverflow => "overflowed its stack",
            End::OutOfMemory => "ran out of memory",
            End::Killed => "was killed",
        }
    }
}

/// A run that came to no verdict because something in it panicked or aborted.
/// In the store that is a finding, always.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFailure {
    /// How it ended.
    pub end: End,
    /// The panic's message, with its place in the code; or what is known of the
    /// death of the process.
    pub panic: String,
    /// The node that was running, if one was.
    pub node: Option<u64>,
    /// True nanoseconds since the start of the run, as far as known.
    pub t: u64,
    /// The fault is squall's own, not the store's: nothing was proved.
    pub internal: bool,
}

/// Runs `scenario` with `seed` and judges it. Synchronous, self-contained, and
/// safe to call from several threads at once.
pub fn run(scenario: &Scenario, seed: u64, options: &RunOptions) -> Result<Run, RunFailure> {
    run_with(scenario, seed, options, &|_| squall_sim::world::store())
}

/// Runs `scenario` as [`run`] does, on members that `open` opens, by their ids:
/// clusters of other implementations, or of several.
pub fn run_with(
    scenario: &Scenario,
    seed: u64,
    options: &RunOptions,
    open: &dyn Fn(u64) -> Open,
) -> Result<Run, RunFailure> {
    let watch = watch::Watch::new(scenario.cluster.nodes);
    let observer = Box::new(watch.clone());
    let played = play(scenario, seed, options, open, watch.clone(), observer)?;
    Ok(judge::judge(judge::Evidence {
        scenario,
        seed,
        bugs: options.bugs,
        faults_planned: played.planned,
        schedule: played.schedule,
        simulated: played.simulated,
        watch,
        hits: played.hits,
    }))
}

/// A run that nobody has judged.
#[derive(Debug)]
pub struct Unjudged {
    /// Counts.
    pub stats: Stats,
    /// The events that were kept.
    pub events: Vec<Event>,
    /// Every operation, in order of invocation.
    pub history: Vec<Op>,
}

/// Makes a run as [`run_with`] does, but watches and judges nothing: what the
/// world alone costs, and what faults do to members that are no store.
///
/// # Errors
/// If it panics.
pub fn run_unchecked(
    scenario: &Scenario,
    seed: u64,
    options: &RunOptions,
    open: &dyn Fn(u64) -> Open,
) -> Result<Unjudged, RunFailure> {
    let watch = watch::Watch::new(scenario.cluster.nodes);
    let observer = Box::new(());
    let played = play(scenario, seed, options, open, watch, observer)?;
    let Simulated {
        stats,
        events,
        history,
        ..
    } = played.simulated;
    Ok(Unjudged {
        stats,
        events,
        history,
    })
}

/// A run before anybody has judged it.
struct Played {
    simulated: Simulated<story::Ending>,
    schedule: Schedule,
    /// How many faults and crash points it should have had.
    planned: u64,
    hits: BTreeMap<u32, u64>,
}

fn play(
    scenario: &Scenario,
    seed: u64,
    options: &RunOptions,
    open: &dyn Fn(u64) -> Open,
    watch: watch::Watch,
    observer: Box<dyn Observer>,
) -> Result<Played, RunFailure> {
    let plan = Plan::draw(scenario, seed);
    let clocks = match &options.follow {
        Some(schedule) => schedule.clocks.clone(),
        None => plan.clocks.clone(),
    };
    let planned = match &options.follow {
        Some(schedule) => schedule.faults.len(),
        None => plan.faults.len(),
    };
    let setup = setup::world(scenario, &clocks, seed, options, open);
    let mut crash_points = options.crash_points.clone();
    if let Some(schedule) = &options.follow {
        crash_points.extend(&schedule.crash_points);
    }
    let notes = Arc::new(story::Notes::default());
    let script = story::Script {
        scenario: scenario.clone(),
        seed,
        plan,
        follow: options
            .follow
            .as_ref()
            .map(|schedule| schedule.faults.clone()),
        watch,
        crash_points: crash_points.clone(),
        probe: options.probe.clone(),
        notes: notes.clone(),
    };
    let panics = Watch::new();
    let watch_run = panics.clone();
    let tell = move |world| {
        watch_run.this_thread_for_good();
        story::tell(world, script)
    };
    let simulated = simulate(setup, observer, tell).map_err(|panicked| RunFailure {
        end: End::Panic,
        panic: panics.take().unwrap_or(panicked.message),
        node: None,
        t: 0,
        internal: false,
    })?;

    let fired = notes.fired();
    let crashes = crash_points.len() as u64;
    let schedule = Schedule {
        scenario: scenario.name.clone(),
        seed,
        clocks,
        faults: fired,
        crash_points,
    };
    Ok(Played {
        simulated,
        schedule,
        planned: planned as u64 + crashes,
        hits: notes.hits(),
    })
}
