//! One run: a pure function of scenario, seed and build.

use crate::{Scenario, Schedule};
use squall_api::Bugs;
use squall_record::Run;

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
pub fn run(_scenario: &Scenario, _seed: u64, _options: &RunOptions) -> Result<Run, RunFailure> {
    Err(RunFailure {
        panic: "the runner is not built yet".into(),
        node: None,
        t: 0,
        internal: true,
    })
}
