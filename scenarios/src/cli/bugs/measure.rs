//! `squall bugs measure`: after how many runs each planted bug is found.

use super::super::console::Console;
use super::super::hunt::{Found, Hunt, Prey};
use super::super::run::{bug, jobs, planted};
use super::super::{Complaint, Format};
use super::record::{self, Record};
use crate::hunts;
use crate::sweep::{Runner, Stop};
use serde::Serialize;
use squall_api::Bug;
use squall_ci::Exit;
use squall_reports::{Column, table};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// First seeds of two starts are so far apart.
const BETWEEN_STARTS: u64 = 1_000_000;

#[derive(Debug, clap::Args)]
pub(in super::super) struct MeasureArgs {
    /// Which bugs; all that a scenario is known to find if none is named
    #[arg(value_name = "NAME", value_parser = bug)]
    bugs: Vec<Bug>,

    /// How many times to look for each, with seeds that nobody else uses
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    starts: u64,

    /// How many seeds to look through at most, each time
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=BETWEEN_STARTS))]
    seeds: u64,

    /// Worker threads; 0 means one for each core. The result does not depend on it
    #[arg(long, short, value_name = "N", default_value_t = 0)]
    jobs: usize,

    /// Write the track record, too; what it says of other bugs stays
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = record::FILE)]
    write: Option<PathBuf>,
}

/// How fast one bug was found.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    pub(super) bug: &'static str,
    pub(super) id: &'static str,
    pub(super) scenarios: &'static [&'static str],
    /// The checks that found it.
    pub(super) checks: Vec<String>,
    /// From how many starts it was found by one check, with no other failing beside it.
    pub(super) alone: u64,
    pub(super) starts: u64,
    pub(super) found: u64,
    /// Of the starts; those that found nothing count as longer than any other.
    /// `None` if that is the median.
    pub(super) median_runs: Option<u64>,
    pub(super) most_runs: u64,
}

pub(super) fn measure(
    args: &MeasureArgs,
    format: Format,
    runner: &impl Runner,
    console: &mut Console<'_>,
    stop: &Stop,
) -> Result<Exit, Complaint> {
    let hunted = |bug: &Bug| !hunts::scenarios(*bug).is_empty();
    let bugs: Vec<Bug> = match args.bugs.is_empty() {
        true => Bug::ALL.iter().copied().filter(hunted).collect(),
        false => args.bugs.clone(),
    };
    planted(&bugs)?;
    if let Some(none) = bugs.iter().find(|bug| !hunted(bug)) {
        return Err(Complaint::usage(format!(
            "no scenario is known to find {}: name one with `run SCENARIO --bug {0}`",
            none.name()
        )));
    }
    let mut all = Vec::new();
    for bug in bugs {
        let mut prey = Vec::new();
        for start in 0..args.starts {
            let hunt = Hunt {
                bug,
                first_seed: 1 + start * BETWEEN_STARTS,
                seeds: args.seeds,
                jobs: jobs(args.jobs),
            };
            prey.push(hunt.go(runner, stop, |_| {})?);
            if stop.raised() {
                return Ok(Exit::Interrupted);
            }
        }
        all.push(sum_up(bug, &prey));
    }
    match format {
        Format::Json => console.json(&all)?,
        Format::Human => {
            let columns = [
                Column::left("bug"),
                Column::right("found"),
                Column::right("runs, median"),
                Column::right("most"),
                Column::left("scenario"),
                Column::left("found by").wrapping(),
            ];
            let rows: Vec<Vec<String>> = all.iter().map(human).collect();
            let mut text = String::new();
            table(&mut text, &columns, &rows, console.width());
            console.print(&text);
        }
    }
    if let Some(file) = &args.write {
        // What it says of other bugs stays.
        let known = std::fs::read_to_string(file).unwrap_or_default();
        let mut record = Record::read(&known);
        record.take(&all);
        std::fs::write(file, record.markdown())
            .map_err(|e| Complaint::usage(format!("{} cannot be written: {e}", file.display())))?;
    }
    Ok(match all.iter().all(|m| m.found == m.starts) {
        true => Exit::Pass,
        false => Exit::NotHit,
    })
}

fn sum_up(bug: Bug, prey: &[Prey]) -> Measured {
    let found: Vec<&Found> = prey.iter().filter_map(|p| p.found.as_ref()).collect();
    let checks: BTreeSet<String> = found.iter().map(|found| found.check.clone()).collect();
    let alone = found.iter().filter(|found| found.alone).count() as u64;
    let mut runs: Vec<Option<u64>> = (prey.iter())
        .map(|p| p.found.as_ref().map(|_| p.runs))
        .collect();
    // What was never found stands last.
    runs.sort_unstable_by_key(|runs| runs.unwrap_or(u64::MAX));
    Measured {
        bug: bug.name(),
        id: bug.id(),
        scenarios: hunts::scenarios(bug),
        checks: checks.into_iter().collect(),
        alone,
        starts: prey.len() as u64,
        found: found.len() as u64,
        median_runs: runs.get((prey.len() - 1) / 2).copied().flatten(),
        most_runs: prey.iter().map(|p| p.runs).max().unwrap_or(0),
    }
}

pub(super) fn runs(measured: &Measured) -> String {
    measured
        .median_runs
        .map_or_else(|| "never".into(), |runs| runs.to_string())
}

fn human(m: &Measured) -> Vec<String> {
    vec![
        m.bug.into(),
        format!("{} of {}", m.found, m.starts),
        runs(m),
        m.most_runs.to_string(),
        m.scenarios.join(", "),
        m.checks.join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prey(runs: u64, found: bool) -> Prey {
        Prey {
            runs,
            found: found.then(|| Found {
                scenario: "one".into(),
                seed: runs,
                check: "linearizable".into(),
                alone: runs < 9,
            }),
        }
    }

    #[test]
    fn a_start_that_found_nothing_is_longer_than_any_other() {
        let median = |prey: &[Prey]| sum_up(Bug::ForgetVote, prey).median_runs;
        assert_eq!(median(&[prey(3, true)]), Some(3));
        assert_eq!(
            median(&[prey(9, true), prey(1, true), prey(4, true)]),
            Some(4)
        );
        assert_eq!(
            median(&[prey(5, false), prey(7, true), prey(2, true)]),
            Some(7)
        );
        assert_eq!(
            median(&[prey(5, false), prey(5, false), prey(2, true)]),
            None
        );
    }

    #[test]
    fn starts_are_counted_from_which_no_other_check_failed() {
        let alone = |prey: &[Prey]| sum_up(Bug::ForgetVote, prey).alone;
        assert_eq!(alone(&[prey(3, true), prey(4, true)]), 2);
        assert_eq!(alone(&[prey(3, true), prey(4, false)]), 1);
        assert_eq!(alone(&[prey(3, true), prey(9, true)]), 1);
        assert_eq!(alone(&[prey(3, false)]), 0);
    }
}
