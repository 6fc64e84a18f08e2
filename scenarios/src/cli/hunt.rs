//! Looking for a planted bug in the scenarios that are known to find it.

use super::Complaint;
use super::crash_points;
use super::select::select;
use crate::Scenario;
use crate::hunts;
use crate::sweep::{Judged, Runner, Stop, Sweep};
use squall_api::{Bug, Bugs};
use squall_ci::{Exit, Extent, Sample, headline};
use squall_record::{Check, Verdict};
use std::ops::ControlFlow;

/// Where one hunt looks, and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hunt {
    pub(super) bug: Bug,
    pub(super) first_seed: u64,
    /// How many seeds each scenario runs with at most.
    pub(super) seeds: u64,
    pub(super) jobs: usize,
}

/// What a hunt came to.
#[derive(Debug, Clone)]
pub(super) struct Prey {
    /// How many runs were made, the one that found it among them.
    pub(super) runs: u64,
    /// The run that found it.
    pub(super) found: Option<Found>,
}

/// The run that found a bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) scenario: String,
    pub(super) seed: u64,
    /// The check that it is remembered by.
    pub(super) check: String,
    /// Whether no other check failed in it.
    pub(super) alone: bool,
}

impl Hunt {
    /// Makes runs until one finds the bug, and shows each to `each`.
    pub(super) fn go(
        &self,
        runner: &impl Runner,
        stop: &Stop,
        mut each: impl FnMut(&Judged),
    ) -> Result<Prey, Complaint> {
        let words: Vec<String> = (hunts::scenarios(self.bug).iter())
            .map(|s| (*s).into())
            .collect();
        let selected = select(&words, &[])?;
        let scenarios: Vec<Scenario> = selected.into_iter().map(|s| s.scenario).collect();
        let sweep = Sweep {
            scenarios: &scenarios,
            first_seed: self.first_seed,
            extent: Extent::Seeds(self.seeds),
            bugs: Bugs::NONE.with(self.bug),
            jobs: self.jobs,
            check_determinism: Sample::NONE,
            record_all: false,
        };
        let mut runs = 0;
        let mut look = |judged: Judged| {
            runs += 1;
            each(&judged);
            match headline(&judged.summary) {
                Some(check) if matches!(judged.exit, Exit::Violation | Exit::Liveness) => {
                    let summary = &judged.summary;
                    let failed = |check: &&Check| matches!(check.verdict, Verdict::Fail(_));
                    ControlFlow::Break(Found {
                        scenario: summary.scenario.clone(),
                        seed: summary.seed,
                        check: check.name.clone(),
                        alone: summary.checks.iter().filter(failed).count() == 1,
                    })
                }
                _ => ControlFlow::Continue(()),
            }
        };
        let found = match hunts::needs_crash_points(self.bug) {
            true => crash_points::hunt(&sweep, runner, stop, look),
            false => sweep.go(runner, stop, &mut look),
        };
        Ok(Prey { runs, found })
    }
}
