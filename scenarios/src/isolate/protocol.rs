//! What a sweep and its workers tell each other: one line of JSON for each run
//! that is asked for, one for what came of it.

use crate::plan::CrashPoint;
use crate::runner::{Probe, Probed, RunFailure, RunOptions};
use crate::{Scenario, Schedule};
use serde::{Deserialize, Serialize};
use squall_api::{Bug, Bugs};
use squall_record::{Run, Window};

/// Begins every line that a worker says; whatever a dependency may print to the
/// same stream does not begin with it.
pub(super) const SAYS: &str = "\u{1e}squall ";

/// A run, please.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ask {
    scenario: String,
    seed: u64,
    bugs: Vec<String>,
    record: bool,
    follow: Option<String>,
    crash_points: Vec<CrashPoint>,
    probe: bool,
    trace: Option<Window>,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Run(Box<Run>, Option<Box<Probed>>),
    Failed(RunFailure),
}

impl Ask {
    pub(super) fn new(scenario: &Scenario, seed: u64, options: &RunOptions) -> Ask {
        Ask {
            scenario: scenario.to_toml(),
            seed,
            bugs: crate::sweep::bug_names(options.bugs),
            record: options.record,
            follow: options.follow.as_ref().map(Schedule::to_toml),
            crash_points: options.crash_points.clone(),
            probe: options.probe.is_some(),
            trace: options.trace,
        }
    }

    /// What is asked, or why it cannot be done: then the two are not of the same
    /// build.
    pub(super) fn read(&self) -> Result<(Scenario, u64, RunOptions), String> {
        let scenario = Scenario::parse("scenario", &self.scenario).map_err(|e| e.to_string())?;
        let follow = self.follow.as_ref();
        let follow = follow.map(|text| Schedule::parse("schedule", text));
        let mut bugs = Bugs::NONE;
        for name in &self.bugs {
            let bug = Bug::from_name(name).ok_or_else(|| format!("no bug is called {name:?}"))?;
            bugs = bugs.with(bug);
        }
        let options = RunOptions {
            bugs,
            record: self.record,
            follow: follow.transpose().map_err(|e| e.to_string())?,
            crash_points: self.crash_points.clone(),
            probe: self.probe.then(Probe::default),
            trace: self.trace,
        };
        Ok((scenario, self.seed, options))
    }
}
