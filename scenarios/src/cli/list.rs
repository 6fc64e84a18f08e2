//! `squall list`: what there is.

mod faults;
mod marks;

use super::console::{Console, quoted};
use super::settings::settle;
use super::{Complaint, Format};
use crate::rundir::RunDirs;
use crate::sweep::{Runner, Stop};
use crate::{Scenario, library};
use serde::Serialize;
use squall_checkers::raft::Invariant;
use squall_ci::{DEFAULT, Exit, Layer};
use squall_reports::{Column, table};
use std::collections::BTreeMap;

/// What to show.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The scenarios that squall carries
    Scenarios,
    /// The run directories that were kept
    Runs(RunsArgs),
    /// What is checked in a run
    Checks,
    /// The named points of the code, and how often the kept runs passed them
    Marks(RunsArgs),
    /// What a scenario can break, as it is written in its file
    Faults(faults::FaultsArgs),
    /// Every setting and its default, as a commented squall.toml
    Settings,
}

#[derive(Debug, clap::Args)]
struct RunsArgs {
    /// Where run directories are
    #[arg(long, value_name = "DIR")]
    out: Option<String>,
}

/// Every check that is no Raft invariant.
const CHECKS: [(&str, &str); 12] = [
    (
        "linearizable",
        "operations take effect one after another, between their call and their answer",
    ),
    (
        "durable",
        "an acknowledged write is in every later state of every member",
    ),
    (
        "replicas_agree",
        "all members hold the same contents once they have converged",
    ),
    (
        "watch",
        "watches are told every change once, in order, whole, and nothing else",
    ),
    (
        "monotonic",
        "while a member's process lives, its answers never go back in revision or term",
    ),
    (
        "alarms",
        "writes are refused for corruption only where members differ, and for want of space only \
         where there may be none; what an active alarm forbids is refused, and the alarm listed",
    ),
    (
        "compaction",
        "history is read from the compacted revision to the newest one, and refused elsewhere",
    ),
    (
        "members",
        "no member ends by itself, unless its disk fails it; none panics",
    ),
    (
        "liveness",
        "once everything is healed, the cluster converges within a bound; and while a quorum is \
         well, what clients ask for gets done within ten election timeouts",
    ),
    (
        "budget",
        "a run needs no more messages, syncs, bytes and room than the scenario allows",
    ),
    (
        "recovers",
        "after a fault, operations succeed again within a bound",
    ),
    ("panic", "no request, fault or crash makes the store panic"),
];

pub(super) fn list(
    args: &ListArgs,
    format: Format,
    runner: &impl Runner,
    console: &mut Console<'_>,
    stop: &Stop,
) -> Result<Exit, Complaint> {
    match &args.what {
        What::Scenarios => scenarios(format, console),
        What::Runs(args) => runs(args, format, console),
        What::Checks => checks(format, console),
        What::Marks(args) => marks::marks(args, format, console),
        What::Faults(args) => faults::faults(args, format, runner, console, stop),
        What::Settings => settings(format, console),
    }
}

#[derive(Serialize)]
struct ListedScenario {
    name: String,
    nodes: u64,
    faults: usize,
    tags: Vec<String>,
    about: String,
}

fn scenarios(format: Format, console: &mut Console<'_>) -> Result<Exit, Complaint> {
    let listed: Vec<ListedScenario> = library::all()
        .iter()
        .map(|(name, text)| {
            let scenario = Scenario::parse(name, text).map_err(Complaint::usage)?;
            Ok(ListedScenario {
                nodes: scenario.cluster.nodes,
                faults: scenario.faults.len(),
                tags: scenario.tags,
                about: scenario.about,
                name: scenario.name,
            })
        })
        .collect::<Result<_, Complaint>>()?;
    if format == Format::Json {
        console.json(&listed)?;
        return Ok(Exit::Pass);
    }
    let columns = [
        Column::left("scenario"),
        Column::right("nodes"),
        Column::right("faults"),
        Column::left("what happens").wrapping(),
    ];
    let rows = listed.into_iter().map(|s| {
        let about = first_sentence(&s.about);
        let (nodes, faults) = (s.nodes.to_string(), s.faults.to_string());
        vec![s.name, nodes, faults, about]
    });
    show(console, &columns, rows.collect());
    let program = console.program();
    console.print(&format!("\n  {program} run NAME  # run one\n"));
    Ok(Exit::Pass)
}

fn first_sentence(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let end = words.iter().position(|word| word.ends_with('.'));
    words[..end.map_or(words.len(), |at| at + 1)].join(" ")
}

#[derive(Serialize)]
struct ListedRun {
    name: String,
    run: Option<String>,
    exit: Option<u8>,
    what: String,
}

fn runs(args: &RunsArgs, format: Format, console: &mut Console<'_>) -> Result<Exit, Complaint> {
    let listed: Vec<ListedRun> = kept(args)?
        .list()
        .map_err(Complaint::usage)?
        .into_iter()
        .map(|(name, file)| match file {
            Ok(file) => {
                let failed = squall_ci::headline(&file.summary).and_then(|c| c.fingerprint());
                let what = failed.map(|f| f.to_string());
                let exit = Exit::from_code(file.exit).map(Exit::meaning);
                ListedRun {
                    name,
                    run: Some(format!("{}@{}", file.summary.scenario, file.summary.seed)),
                    exit: Some(file.exit),
                    what: what.unwrap_or_else(|| exit.unwrap_or("?").to_owned()),
                }
            }
            Err(e) => ListedRun {
                name,
                run: None,
                exit: None,
                what: e.to_string(),
            },
        })
        .collect();
    if format == Format::Json {
        console.json(&listed)?;
        return Ok(Exit::Pass);
    }
    if listed.is_empty() {
        console.print("no run was kept\n");
        return Ok(Exit::Pass);
    }
    let columns = [
        Column::left("run directory"),
        Column::left("run"),
        Column::right("exit"),
        Column::left("").wrapping(),
    ];
    let rows = listed.into_iter().map(|run| {
        vec![
            run.name,
            run.run.unwrap_or_else(|| "?".into()),
            run.exit.map_or("?".into(), |exit| exit.to_string()),
            run.what,
        ]
    });
    show(console, &columns, rows.collect());
    let program = console.program();
    let out = args.out.as_deref();
    let out = out.map_or(String::new(), |out| format!(" --out {}", quoted(out)));
    let text = format!("\n  {program} replay latest{out}  # run the newest again\n");
    console.print(&text);
    Ok(Exit::Pass)
}

fn checks(format: Format, console: &mut Console<'_>) -> Result<Exit, Complaint> {
    let raft = Invariant::ALL.map(|invariant| (invariant.check(), invariant.guarantee()));
    let all = CHECKS.into_iter().chain(raft);
    pairs(("check", "what it guards"), all, format, console)
}

/// The commented file for people; its values for programs.
fn settings(format: Format, console: &mut Console<'_>) -> Result<Exit, Complaint> {
    match format {
        Format::Human => console.print(DEFAULT),
        Format::Json => {
            let values: toml::Table = toml::from_str(DEFAULT).map_err(|e| Complaint {
                exit: Exit::Internal,
                text: format!("the embedded settings cannot be read: {e}"),
            })?;
            console.json(&values)?;
        }
    }
    Ok(Exit::Pass)
}

fn kept(args: &RunsArgs) -> Result<RunDirs, Complaint> {
    let flags = Layer {
        out: args.out.clone(),
        ..Layer::default()
    };
    let (settings, _) = settle(flags, None)?;
    Ok(RunDirs::new(settings.out, settings.keep_runs))
}

/// A list of names and what they mean.
fn pairs<'a>(
    heads: (&'static str, &'static str),
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Complaint> {
    let pairs: Vec<(&str, &str)> = pairs.collect();
    if format == Format::Json {
        console.json(&pairs.into_iter().collect::<BTreeMap<_, _>>())?;
        return Ok(Exit::Pass);
    }
    let columns = [Column::left(heads.0), Column::left(heads.1).wrapping()];
    let rows = pairs
        .into_iter()
        .map(|(name, meaning)| vec![name.to_owned(), meaning.to_owned()]);
    show(console, &columns, rows.collect());
    Ok(Exit::Pass)
}

fn show(console: &mut Console<'_>, columns: &[Column], rows: Vec<Vec<String>>) {
    let mut text = String::new();
    table(&mut text, columns, &rows, console.width());
    console.print(&text);
}
