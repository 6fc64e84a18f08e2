//! One run: a pure function of scenario, seed and build.

mod audit;
mod judge;
mod liveness;
mod load;
mod nemesis;
mod setup;
mod story;
mod watch;

use crate::panics::Watch;
use crate::{Plan, Scenario, Schedule};
use squall_api::Bugs;
use squall_record::{Run, Window};
use squall_sim::world::{Open, simulate};
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
    /// Keep the events of this window with everything that was hashed.
    pub trace: Option<Window>,
}

/// A run that came to no verdict because something in it panicked or aborted.
/// In the store that is a finding, always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFailure {
    /// The panic's message, with its place in the code.
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
    let watch = watch::Watch::new();
    let observer = Box::new(watch.clone());

    let notes = Arc::new(story::Notes::default());
    let script = story::Script {
        scenario: scenario.clone(),
        seed,
        clocks: clocks.clone(),
        plan,
        follow: options
            .follow
            .as_ref()
            .map(|schedule| schedule.faults.clone()),
        notes: notes.clone(),
    };
    let panics = Watch::new();
    let watch_run = panics.clone();
    let tell = move |world| {
        watch_run.this_thread_for_good();
        story::tell(world, script)
    };
    let simulated = simulate(setup, observer, tell).map_err(|panicked| RunFailure {
        panic: panics.take().unwrap_or(panicked.message),
        node: None,
        t: 0,
        internal: false,
    })?;

    let fired = notes.fired();
    let schedule = Schedule {
        scenario: scenario.name.clone(),
        seed,
        clocks,
        faults: fired,
    };
    Ok(judge::judge(judge::Evidence {
        scenario,
        seed,
        bugs: options.bugs,
        faults_planned: planned as u64,
        schedule,
        simulated,
        watch,
    }))
}
