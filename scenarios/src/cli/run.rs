//! `squall run`, and `squall` alone.

use super::console::Console;
use super::crash_points::{self, Bounds};
use super::hunt::Hunt;
use super::reporter::Reporter;
use super::select::{Selected, select};
use super::settings::settle;
use super::{Complaint, Format};
use crate::sweep::{Judged, Runner, Stop, Sweep, bug_names};
use crate::{Scenario, commit, hunts};
use squall_api::{Bug, Bugs};
use squall_ci::{Exit, Extent, FirstSeed, Keep, Layer, MustFind, Sample, Settings, parse_duration};
use squall_reports::{Hunted, Started, Totals};
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Which runs, how many, and what to do about those that fail.
#[derive(Debug, Default, clap::Args)]
pub(super) struct RunArgs {
    /// Names of the library, files, or directories of files; "library" stands
    /// for everything built in, which is also the default
    #[arg(value_name = "SCENARIO|FILE|DIR")]
    scenarios: Vec<String>,

    /// The first seed; "commit" or "clock" derive one. Alone, runs just that seed
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    seed: Option<FirstSeed>,

    /// How many seeds each scenario runs with: S, S+1, ...
    #[arg(long, value_name = "N", conflicts_with = "run_for",
          allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,

    /// Go on with further seeds for so long, as in 90s, 10m or 2h
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    run_for: Option<String>,

    /// Worker threads; 0 means one for each core. The result does not depend on it
    #[arg(long, short, value_name = "N", allow_negative_numbers = true)]
    jobs: Option<usize>,

    /// A named set of settings: quick, ci, nightly, or one of squall.toml
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,

    /// Stop after so many failed runs; 0 means never
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_fail: Option<u64>,

    /// Override a scenario's value, as in --set cluster.nodes=3
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<String>,

    /// Plant a known bug in every member. Without a scenario, runs one that is
    /// known to find it, and stops when it does
    #[arg(long = "bug", value_name = "NAME", value_parser = bug)]
    bugs: Vec<Bug>,

    /// Which runs leave a directory behind
    #[arg(long, value_name = "WHICH", value_parser = keep)]
    keep: Option<Keep>,

    /// Where run directories go
    #[arg(long, value_name = "DIR")]
    out: Option<String>,

    /// Crash each run at every one of its disk operations, and again in the
    /// recoveries: one sweep for each scenario and seed
    #[arg(long, conflicts_with = "run_for")]
    crash_points: bool,

    /// With --crash-points: how many images of the disk to try at each operation
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,

    /// With --crash-points: crash at so many moments only, spread evenly
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    points: Option<u64>,

    /// Run every Nth run twice and compare, as in 1/50; 0 for none
    #[arg(long, value_name = "1/N")]
    check_determinism: Option<Sample>,
}

/// `squall` alone: the built-in suite.
pub(super) fn suite(
    format: Format,
    runner: &impl Runner,
    console: &mut Console<'_>,
    stop: &Stop,
) -> Result<Exit, Complaint> {
    run(&RunArgs::default(), format, runner, console, stop)
}

pub(super) fn run(
    args: &RunArgs,
    format: Format,
    runner: &impl Runner,
    console: &mut Console<'_>,
    stop: &Stop,
) -> Result<Exit, Complaint> {
    let (settings, profile) = settle(args.layer(), args.profile.as_deref())?;
    let bugs = planted(&args.bugs)?;
    let hunted = required(&settings, args)?;
    let selected = select(&words(args, &settings), &args.overrides)?;
    let scenarios: Vec<Scenario> = selected.iter().map(|s| s.scenario.clone()).collect();
    let sweep = Sweep {
        scenarios: &scenarios,
        first_seed: first_seed(settings.seed)?,
        extent: extent(args, &settings),
        bugs,
        jobs: jobs(settings.jobs),
        check_determinism: settings.check_determinism,
        record_all: settings.keep == Keep::All,
    };
    in_range(&sweep)?;
    let crashes = args.crash_points
        || args.hunts() && args.bugs.iter().any(|bug| hunts::needs_crash_points(*bug));
    let started = started(&sweep, profile);
    let mut reporter = Reporter::new(console, format, started, &args.overrides).keep(&settings);

    let max_fail = if args.hunts() {
        args.max_fail.unwrap_or(1)
    } else {
        settings.max_fail
    };
    let each = |judged: Judged, selected: &Selected, reporter: &mut Reporter<'_, '_>| {
        reporter.judged(judged, selected);
        if max_fail != 0 && reporter.failed() >= max_fail {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let enough = if crashes {
        reporter.next_sweep(None);
        let bounds = Bounds {
            images: args.images,
            points: args
                .points
                .map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
            is_hunt: args.hunts(),
        };
        crash_points::sweep(&sweep, &selected, bounds, runner, stop, &mut reporter, each)
    } else {
        sweep.go(runner, stop, |judged| {
            let at = judged.scenario;
            each(judged, &selected[at], &mut reporter)
        })
    };
    let found = reporter.failed();

    for bug in hunted {
        if stop.raised() {
            break;
        }
        hunt(bug, &settings, runner, stop, &mut reporter)?;
    }

    let stopped = if stop.raised() {
        reporter.worsen(Exit::Interrupted);
        Some("interrupted".to_owned())
    } else {
        // A hunt that ends with its prey did not end early.
        let early = enough.is_some() && !args.hunts();
        early.then(|| format!("{found} failed, and --max-fail is {max_fail}"))
    };
    if bugs != Bugs::NONE && found == 0 && !stop.raised() {
        reporter.worsen(Exit::NotHit);
    }
    reporter.finish(stopped, |program, totals, exit| {
        next(program, args, totals, exit)
    })
}

/// Looks for one planted bug that the profile wants to be found.
fn hunt(
    bug: Bug,
    settings: &Settings,
    runner: &impl Runner,
    stop: &Stop,
    reporter: &mut Reporter<'_, '_>,
) -> Result<(), Complaint> {
    reporter.next_sweep(None);
    let hunt = Hunt {
        bug,
        first_seed: 1,
        seeds: settings.hunt_seeds,
        jobs: jobs(settings.jobs),
    };
    let prey = hunt.go(runner, stop, |judged| reporter.hunting(judged))?;
    if prey.found.is_none() && stop.raised() {
        return Ok(());
    }
    let (scenario, seed, check) = match prey.found {
        Some(found) => (found.scenario, Some(found.seed), Some(found.check)),
        None => (hunts::scenarios(bug).join(", "), None, None),
    };
    reporter.hunted(Hunted {
        bug: bug.name().into(),
        scenario,
        runs: prey.runs,
        seed,
        check,
    });
    Ok(())
}

impl RunArgs {
    /// What the flags say. A seed alone means that seed.
    fn layer(&self) -> Layer {
        let alone = matches!(self.seed, Some(FirstSeed::Number(_)))
            && self.seeds.is_none()
            && self.run_for.is_none();
        Layer {
            scenarios: None,
            seed: self.seed,
            seeds: self.seeds.or(alone.then_some(1)),
            run_for: self.run_for.clone(),
            jobs: self.jobs,
            max_fail: self.max_fail,
            check_determinism: self.check_determinism,
            keep: self.keep,
            out: self.out.clone(),
            ..Layer::default()
        }
    }

    /// Whether squall is to choose the scenario that finds the bugs.
    fn hunts(&self) -> bool {
        !self.bugs.is_empty() && self.scenarios.is_empty()
    }
}

fn words(args: &RunArgs, settings: &Settings) -> Vec<String> {
    if args.hunts() {
        let mut words: Vec<String> = Vec::new();
        for scenario in args.bugs.iter().flat_map(|bug| hunts::scenarios(*bug)) {
            if !words.iter().any(|word| word == scenario) {
                words.push((*scenario).into());
            }
        }
        words
    } else if args.scenarios.is_empty() {
        settings.scenarios.clone()
    } else {
        args.scenarios.clone()
    }
}

fn extent(args: &RunArgs, settings: &Settings) -> Extent {
    let said = args.seed.is_some() || args.seeds.is_some() || args.run_for.is_some();
    if args.hunts() && !said {
        Extent::Seeds(settings.hunt_seeds)
    } else {
        settings.extent
    }
}

fn started(sweep: &Sweep<'_>, profile: String) -> Started {
    let (seeds, time_box_ms) = match sweep.extent {
        Extent::Seeds(seeds) => (Some(seeds), None),
        Extent::For(time) => (
            None,
            Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        ),
    };
    Started {
        scenarios: sweep.scenarios.iter().map(|s| s.name.clone()).collect(),
        first_seed: sweep.first_seed,
        seeds,
        time_box_ms,
        bugs: bug_names(sweep.bugs),
        profile,
        jobs: sweep.jobs,
    }
}

/// The bugs as a set, if this build can plant them.
pub(super) fn planted(bugs: &[Bug]) -> Result<Bugs, Complaint> {
    if !bugs.is_empty() && !cfg!(feature = "planted-bugs") {
        return Err(Complaint::usage(
            "this build carries no planted bugs: build it with --features planted-bugs",
        ));
    }
    Ok(bugs.iter().fold(Bugs::NONE, |set, bug| set.with(*bug)))
}

/// The planted bugs that the profile wants to be found. Whoever plants bugs by
/// hand is not running the gate.
fn required(settings: &Settings, args: &RunArgs) -> Result<Vec<Bug>, Complaint> {
    let bugs = match &settings.must_find {
        _ if !args.bugs.is_empty() => Vec::new(),
        MustFind::All(_) => {
            let is_hunted = |bug: &Bug| !hunts::scenarios(*bug).is_empty();
            Bug::ALL.iter().copied().filter(is_hunted).collect()
        }
        MustFind::Named(names) => names
            .iter()
            .map(|name| bug(name).map_err(|e| Complaint::usage(format!("must_find: {e}"))))
            .collect::<Result<_, _>>()?,
    };
    planted(&bugs)?;
    Ok(bugs)
}

fn first_seed(seed: FirstSeed) -> Result<u64, Complaint> {
    match seed {
        FirstSeed::Number(number) => Ok(number),
        FirstSeed::Commit => commit::checked_out()
            .and_then(|commit| commit::seed(&commit))
            .ok_or_else(|| {
                Complaint::usage(
                    "no commit to derive a seed from: set SQUALL_COMMIT, or give --seed a number",
                )
            }),
        FirstSeed::Clock => Ok(SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())),
    }
}

/// Seeds end; a sweep must not begin again at 0 without saying so.
fn in_range(sweep: &Sweep<'_>) -> Result<(), Complaint> {
    match sweep.extent {
        Extent::Seeds(0) => Err(Complaint::usage("0 seeds: nothing would run")),
        Extent::Seeds(seeds) if sweep.first_seed.checked_add(seeds - 1).is_none() => {
            Err(Complaint::usage(format!(
                "there are no {seeds} seeds from {} on: the last one is {}",
                sweep.first_seed,
                u64::MAX
            )))
        }
        Extent::Seeds(_) | Extent::For(_) => Ok(()),
    }
}

pub(super) fn jobs(wanted: usize) -> usize {
    // The result does not depend on it, and nobody has more cores.
    const JOBS_MAX: usize = 1_024;
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    if wanted == 0 {
        cores()
    } else {
        wanted.min(JOBS_MAX)
    }
}

/// What is worth typing next. A failure brings its own commands.
fn next(program: &str, args: &RunArgs, totals: &Totals, exit: Exit) -> Vec<(String, String)> {
    let line = |command: &str, good_for: &str| (command.to_owned(), good_for.to_owned());
    match exit {
        Exit::Pass if !args.scenarios.is_empty() && args.run_for.is_none() => {
            let command = format!("{program} run {} --for 10m", args.scenarios.join(" "));
            vec![line(&command, "look deeper, with further seeds")]
        }
        Exit::Pass if totals.hunts.is_empty() && cfg!(feature = "planted-bugs") => vec![
            line(
                &format!("{program} run --bug ack-before-fsync"),
                "see it find a bug that is planted",
            ),
            line(
                &format!("{program} run --for 10m"),
                "look deeper, with further seeds",
            ),
        ],
        Exit::NotHit if args.hunts() => {
            let bugs: String = totals
                .started
                .bugs
                .iter()
                .map(|bug| format!(" --bug {bug}"))
                .collect();
            let command = format!("{program} run{bugs} --for 10m");
            vec![line(&command, "look for it longer")]
        }
        _ => Vec::new(),
    }
}

/// Reads a planted bug's name or id.
pub(super) fn bug(name: &str) -> Result<Bug, String> {
    Bug::from_name(name).ok_or_else(|| {
        let names = Bug::ALL.iter().map(|bug| bug.name());
        let alike = super::select::suggest(name, names);
        let hint = match alike.as_slice() {
            [] => "`squall bugs list` shows all".to_owned(),
            alike => format!("did you mean {}?", alike.join(" or ")),
        };
        format!("there is no planted bug {name:?}; {hint}")
    })
}

/// Nobody waits longer.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3_600);

fn time(text: &str) -> Result<String, String> {
    let parsed = parse_duration(text).map_err(|e| e.to_string())?;
    if parsed.is_zero() {
        return Err("no time at all: nothing would run".into());
    }
    if parsed > LONGEST {
        return Err("longer than a year".into());
    }
    Ok(text.to_owned())
}

fn keep(text: &str) -> Result<Keep, String> {
    match text {
        "failed" => Ok(Keep::Failed),
        "all" => Ok(Keep::All),
        _ => Err("write failed or all".into()),
    }
}
