//! `squall replay`: the same run again, recorded in full.

use super::console::Console;
use super::reporter::{Reporter, is_path};
use super::run::{bug, planted};
use super::select::{Selected, select};
use super::settings::settle;
use super::{Complaint, Format};
use crate::plan::CrashPoint;
use crate::rundir::{Recorded, RunDirError, RunDirs, RunFile};
use crate::runner::RunOptions;
use crate::sweep::{Runner, Stop, bug_names, judge_once};
use crate::{commit, library};
use squall_api::{Bug, Bugs};
use squall_ci::{Exit, Layer, Settings, parse_duration};
use squall_reports::{Replayed, Started};

/// Which run.
#[derive(Debug, clap::Args)]
pub(super) struct ReplayArgs {
    /// A run directory, its name, "latest", or 'scenario@seed'
    #[arg(value_name = "RUN|SCENARIO@SEED")]
    run: String,

    /// The planted bug that the run carried; a run directory knows its own
    #[arg(long = "bug", value_name = "NAME", value_parser = bug)]
    bugs: Vec<Bug>,

    /// An override that the run had; a run directory knows its own
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<String>,

    /// A crash that a crash-point sweep made, by its address; may be repeated
    #[arg(long = "crash-point", value_name = "NODE:NS:IMAGE")]
    crash_points: Vec<CrashPoint>,

    /// Show every event up to this moment of the run, as in 14.2s
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,

    /// Where run directories are
    #[arg(long, value_name = "DIR")]
    out: Option<String>,
}

/// True nanoseconds since the start of a run.
#[derive(Debug, Clone, Copy)]
struct Moment(u64);

/// What is run again.
pub(super) struct Again {
    pub(super) selected: Selected,
    pub(super) seed: u64,
    pub(super) options: RunOptions,
    pub(super) recorded: Option<Box<Recorded>>,
}

pub(super) fn replay(
    args: &ReplayArgs,
    format: Format,
    runner: &impl Runner,
    console: &mut Console<'_>,
    _stop: &Stop,
) -> Result<Exit, Complaint> {
    let flags = Layer {
        out: args.out.clone(),
        ..Layer::default()
    };
    let (settings, profile) = settle(flags, None)?;
    let mut again = again(&args.run, &args.bugs, &args.overrides, &settings)?;
    if !args.crash_points.is_empty() && again.recorded.is_some() {
        let text = "a run directory holds its crash points; drop --crash-point";
        return Err(Complaint::usage(text));
    }
    again.options.crash_points.clone_from(&args.crash_points);

    let started = Started {
        scenarios: vec![again.selected.scenario.name.clone()],
        first_seed: again.seed,
        seeds: Some(1),
        time_box_ms: None,
        bugs: bug_names(again.options.bugs),
        profile,
        jobs: 1,
    };
    let mut reporter = Reporter::new(console, format, started, &args.overrides);
    let judged = judge_once(
        runner,
        &again.selected.scenario,
        again.seed,
        &again.options,
        true,
        0,
    );
    if let (Some(Moment(until)), Some(run)) = (args.until, &judged.run) {
        reporter.timeline(&run.events, until);
    }
    if let Some(recorded) = again.recorded {
        reporter.replaying(&recorded.path.display().to_string());
        let panicked = judged.summary.hash.is_empty();
        let identity = |summary: &squall_record::Summary| match panicked {
            // A panic leaves no hash; what it said identifies it.
            true => format!("{:?}", summary.failure()),
            false => summary.hash.clone(),
        };
        reporter.replayed(Replayed {
            run_dir: recorded.path.display().to_string(),
            recorded: identity(&recorded.file.summary),
            now: identity(&judged.summary),
            builds: builds(&recorded.file),
        });
    }
    reporter.judged(judged, &again.selected);
    reporter.finish(None, |_, _, _| Vec::new())
}

/// Finds what a word means: a run directory, or 'scenario@seed'.
pub(super) fn again(
    word: &str,
    bugs: &[Bug],
    overrides: &[String],
    settings: &Settings,
) -> Result<Again, Complaint> {
    let dirs = RunDirs::new(&settings.out, settings.keep_runs);
    match word.rsplit_once('@') {
        Some((name, seed)) if !is_path(word) => {
            let seed = seed.parse().map_err(|_| {
                Complaint::usage(format!(
                    "{:?}: {seed:?} is not a seed: write a number from 0 to 2^64-1",
                    word
                ))
            })?;
            let mut selected = select(&[name.to_owned()], overrides)?;
            if selected.len() > 1 {
                let text = format!("{name:?} names {} scenarios; name one", selected.len());
                return Err(Complaint::usage(text));
            }
            Ok(Again {
                selected: selected.remove(0),
                seed,
                options: options(planted(bugs)?, None),
                recorded: None,
            })
        }
        _ => {
            let recorded = dirs.open(word).map_err(|e| no_run(word, &e))?;
            if !overrides.is_empty() {
                let text = "a run directory holds its scenario with every override; drop --set";
                return Err(Complaint::usage(text));
            }
            let named = recorded.file.summary.bugs.iter();
            let bugs: Vec<Bug> = if bugs.is_empty() {
                named
                    .map(|name| bug(name).map_err(Complaint::usage))
                    .collect::<Result<_, _>>()?
            } else {
                bugs.to_vec()
            };
            let summary = &recorded.file.summary;
            Ok(Again {
                selected: Selected {
                    scenario: recorded.scenario.clone(),
                    source: summary.scenario.clone(),
                },
                seed: summary.seed,
                options: options(planted(&bugs)?, recorded.schedule.clone()),
                recorded: Some(Box::new(recorded)),
            })
        }
    }
}

/// A scenario's name alone is a frequent slip.
fn no_run(word: &str, error: &RunDirError) -> Complaint {
    match error {
        RunDirError::Missing(_) if library::get(word).is_some() => Complaint::usage(format!(
            "{word:?} is a scenario, not a run: squall replay '{word}@1' runs its seed 1"
        )),
        _ => Complaint::usage(error),
    }
}

fn options(bugs: Bugs, follow: Option<crate::Schedule>) -> RunOptions {
    RunOptions {
        bugs,
        record: true,
        follow,
        ..RunOptions::default()
    }
}

/// How this build differs from the one that recorded, as far as is known.
fn builds(file: &RunFile) -> Option<String> {
    let short = |commit: &Option<String>| match commit {
        Some(commit) => commit.chars().take(12).collect(),
        None => "an unknown commit".to_owned(),
    };
    let now = commit::checked_out();
    let version = env!("CARGO_PKG_VERSION");
    (file.squall != version || file.commit != now).then(|| {
        format!(
            "squall {} at {} recorded it, this is squall {version} at {}",
            file.squall,
            short(&file.commit),
            short(&now)
        )
    })
}

fn moment(text: &str) -> Result<Moment, String> {
    let time = parse_duration(text).map_err(|e| e.to_string())?;
    u64::try_from(time.as_nanos())
        .map(Moment)
        .map_err(|_| format!("{text:?} is longer than any run"))
}
