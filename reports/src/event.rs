//! What a sweep tells while it goes, in an order that threads do not decide.

use crate::Explanation;
use serde::{Deserialize, Serialize};
use squall_record::{Summary, Verdict};

/// One thing that a sweep did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum SweepEvent {
    /// It begins. Always the first event.
    Started(Started),
    /// A run was judged.
    RunFinished(Box<RunFinished>),
    /// A run failed in a way that is worth reading.
    Finding(Box<Finding>),
    /// The hunt for a planted bug ended.
    Hunted(Hunted),
    /// A recorded run was run again.
    Replayed(Replayed),
    /// Something that changes no verdict, but that people should know.
    Warning {
        /// What.
        text: String,
    },
    /// It is over. Always the last event.
    Finished(Finished),
}

/// What a sweep is going to do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// The scenarios, in the order in which they run.
    pub scenarios: Vec<String>,
    /// The first seed.
    pub first_seed: u64,
    /// How many seeds each scenario gets; `None` if time decides.
    pub seeds: Option<u64>,
    /// How long it may go on, in milliseconds of wall time.
    pub time_box_ms: Option<u64>,
    /// The planted bugs.
    pub bugs: Vec<String>,
    /// The profile.
    pub profile: String,
    /// Worker threads.
    pub jobs: usize,
}

impl Started {
    /// How many runs are planned, if that is known.
    pub fn planned(&self) -> Option<u64> {
        self.seeds
            .map(|seeds| seeds.saturating_mul(self.scenarios.len() as u64))
    }
}

/// One run that was judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFinished {
    /// The judged run.
    pub summary: Summary,
    /// The same hash came out when it was run again; `None` if it was not.
    pub reproduced: Option<bool>,
}

impl RunFinished {
    /// What became of it, in one word.
    pub fn verdict(&self) -> RunVerdict {
        let checks = &self.summary.checks;
        let unknown = |v: &Verdict| matches!(v, Verdict::Unknown(_));
        if self.summary.failure().is_some() {
            RunVerdict::Fail
        } else if !self.summary.inconclusive.is_empty()
            || checks.is_empty()
            || checks.iter().any(|check| unknown(&check.verdict))
        {
            RunVerdict::Inconclusive
        } else {
            RunVerdict::Pass
        }
    }

    /// Why it proves nothing, if it does not.
    pub fn reasons(&self) -> Vec<String> {
        let checks = self
            .summary
            .checks
            .iter()
            .filter_map(|check| match &check.verdict {
                Verdict::Unknown(reason) => Some(format!("{}: {reason}", check.name)),
                Verdict::Pass { .. } | Verdict::Fail(_) => None,
            });
        let nothing = self.summary.checks.is_empty();
        let none = nothing.then(|| "nothing was checked".to_owned());
        let run = self.summary.inconclusive.iter().cloned();
        run.chain(checks).chain(none).collect()
    }
}

/// What became of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunVerdict {
    /// Every check passed.
    Pass,
    /// A check failed.
    Fail,
    /// No check failed, but something could not be decided.
    Inconclusive,
}

impl RunVerdict {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            RunVerdict::Pass => "pass",
            RunVerdict::Fail => "fail",
            RunVerdict::Inconclusive => "inconclusive",
        }
    }
}

/// A failed run, explained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What identifies this kind of failure over seeds.
    pub fingerprint: String,
    /// The run directory, if one could be written.
    pub run_dir: Option<String>,
    /// Why it is a failure.
    pub explanation: Explanation,
}

/// How the hunt for a planted bug went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hunted {
    /// The bug.
    pub bug: String,
    /// The scenario that is known to find it.
    pub scenario: String,
    /// How many runs it took, or was given.
    pub runs: u64,
    /// The seed that found it; `None` if none did.
    pub seed: Option<u64>,
    /// The check that found it.
    pub check: Option<String>,
}

/// A recorded run, run again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// The run directory.
    pub run_dir: String,
    /// Its rolling hash.
    pub recorded: String,
    /// The rolling hash now.
    pub now: String,
    /// How the builds differ, if they are known to.
    pub builds: Option<String>,
}

impl Replayed {
    /// Whether the same came out.
    pub fn same(&self) -> bool {
        self.recorded == self.now
    }
}

/// How a sweep ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// Wall time, in milliseconds. The only thing here that differs between
    /// equal sweeps.
    pub wall_ms: u64,
    /// What the process exits with.
    pub exit: ExitInfo,
    /// Why it ended before everything planned had run.
    pub stopped: Option<String>,
}

/// An exit code and what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitInfo {
    /// The code.
    pub code: u8,
    /// What it means, in a few words.
    pub meaning: String,
}
