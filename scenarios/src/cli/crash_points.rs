//! `squall run --crash-points`.

use super::console::quoted;
use super::reporter::Reporter;
use super::select::Selected;
use crate::crash_points::{CrashSweep, Crashed};
use crate::sweep::{Judged, Runner, Stop, Sweep, bug_names};
use squall_ci::{Exit, Extent};
use std::ops::ControlFlow;

/// A hunt sweeps so many seeds at most: each takes thousands of runs.
const HUNT_SEEDS: usize = 5;

/// How many crashes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) images: u32,
    pub(super) points: Option<usize>,
    /// It is to end early.
    pub(super) is_hunt: bool,
}

/// One crash-point sweep for each scenario and seed.
pub(super) fn sweep(
    sweep: &Sweep<'_>,
    selected: &[Selected],
    bounds: Bounds,
    runner: &impl Runner,
    stop: &Stop,
    reporter: &mut Reporter<'_, '_>,
    mut each: impl FnMut(Judged, &Selected, &mut Reporter<'_, '_>) -> ControlFlow<()>,
) -> Option<()> {
    let bugs = bug_names(sweep.bugs);
    for (seed, selected) in seeds(sweep).flat_map(|seed| selected.iter().map(move |s| (seed, s))) {
        let crashes = CrashSweep {
            scenario: &selected.scenario,
            seed,
            bugs: sweep.bugs,
            jobs: sweep.jobs,
            images: bounds.images,
            points: bounds.points,
        };
        let mut enough = ControlFlow::Continue(());
        let table = crashes.go(runner, stop, |Crashed { judged, points }| {
            let mut arguments = quoted(&format!("{}@{seed}", selected.source));
            for point in points {
                arguments.push_str(&format!(" --crash-point {point}"));
            }
            for bug in &bugs {
                arguments.push_str(&format!(" --bug {bug}"));
            }
            reporter.replay_with(&arguments);
            enough = each(judged, selected, reporter);
            enough
        });
        let title = format!("crash points of {}@{seed}", selected.scenario.name);
        reporter.show(&format!("{title}\n\n{table}\n"));
        if table.is_partial() && !bounds.is_hunt {
            reporter.worsen(Exit::Inconclusive);
        }
        if enough.is_break() {
            return Some(());
        }
        if stop.raised() {
            return None;
        }
    }
    None
}

/// A sweep that looks for a planted bug, and ends when `look` says so.
pub(super) fn hunt<B>(
    sweep: &Sweep<'_>,
    runner: &impl Runner,
    stop: &Stop,
    mut look: impl FnMut(Judged) -> ControlFlow<B>,
) -> Option<B> {
    let mut found = None;
    let scenarios = || sweep.scenarios.iter().enumerate();
    for (seed, (at, scenario)) in seeds(sweep)
        .take(HUNT_SEEDS)
        .flat_map(|seed| scenarios().map(move |s| (seed, s)))
    {
        let crashes = CrashSweep {
            scenario,
            seed,
            bugs: sweep.bugs,
            jobs: sweep.jobs,
            images: 3,
            points: None,
        };
        crashes.go(runner, stop, |Crashed { mut judged, .. }| {
            judged.scenario = at;
            match look(judged) {
                ControlFlow::Break(value) => {
                    found = Some(value);
                    ControlFlow::Break(())
                }
                ControlFlow::Continue(()) => ControlFlow::Continue(()),
            }
        });
        if found.is_some() || stop.raised() {
            break;
        }
    }
    found
}

fn seeds(sweep: &Sweep<'_>) -> impl Iterator<Item = u64> + use<> {
    let count = match sweep.extent {
        Extent::Seeds(seeds) => seeds,
        Extent::For(_) => 1,
    };
    let first = sweep.first_seed;
    (0..count).map(move |n| first + n)
}
