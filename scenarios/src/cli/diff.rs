//! `squall diff`: the first event that differs between two runs.

use super::console::Console;
use super::replay::{Again, again};
use super::settings::settle;
use super::{Complaint, Format};
use crate::differ::{Compared, Difference, Side, Version, compare, same_thing};
use crate::runner::RunFailure;
use crate::sweep::{Runner, guarded};
use serde::Serialize;
use squall_api::Bug;
use squall_ci::{Exit, Layer, Settings};
use squall_record::{Event, seconds};
use squall_reports::{Column, table};

const EXITS: &str = "\
A run is made again from its scenario and seed, and the stretch in which the two
part is recorded. Exit codes:
  0  the runs are the same; or they differ, and are not of the same thing
  3  the records differ, but all runs that were made now are the same
  5  nondeterminism: runs of the same thing differ";

/// Which runs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXITS)]
pub(super) struct DiffArgs {
    /// A run directory, its name, "latest", or 'scenario@seed'
    #[arg(value_name = "RUN")]
    first: String,

    /// What it is compared with; without it, the same run, made now
    #[arg(value_name = "RUN")]
    second: Option<String>,

    /// The planted bug that both carried; a run directory knows its own
    #[arg(long = "bug", value_name = "NAME", value_parser = super::run::bug)]
    bugs: Vec<Bug>,

    /// An override that both had; a run directory knows its own
    #[arg(long = "set", value_name = "PATH=VALUE")]
    overrides: Vec<String>,

    /// Where run directories are
    #[arg(long, value_name = "DIR")]
    out: Option<String>,
}

/// What is said.
#[derive(Debug, Serialize)]
struct Said<'a> {
    first: &'a str,
    second: &'a str,
    /// Whether both are of the same scenario, seed, faults and bugs.
    same_thing: bool,
    /// The rolling hashes, as recorded or made now.
    hashes: [&'a str; 2],
    difference: Option<&'a Difference>,
    exit: u8,
}

pub(super) fn diff(
    args: &DiffArgs,
    format: Format,
    runner: &impl Runner,
    console: &mut Console<'_>,
) -> Result<Exit, Complaint> {
    let flags = Layer {
        out: args.out.clone(),
        ..Layer::default()
    };
    let (settings, _) = settle(flags, None)?;
    let names = [&args.first, args.second.as_ref().unwrap_or(&args.first)].map(String::as_str);
    let [first, second] = names.map(|name| read(name, args, &settings));
    let (first, second) = (first?, second?);
    let (first, first_hash) = side(names[0], &first, false, runner)?;
    let (second, second_hash) = side(names[1], &second, args.second.is_none(), runner)?;

    let compared = match first_hash == second_hash {
        true => Compared::Same,
        false => compare(runner, &first, &second).map_err(|e| ended("one of the runs", &e))?,
    };
    let same_thing = same_thing(&first, &second);
    let difference = match &compared {
        Compared::Same => None,
        Compared::Differ(difference) => Some(difference.as_ref()),
    };
    let exit = match difference {
        Some(_) if same_thing => Exit::Nondeterminism,
        Some(_) => Exit::Pass,
        None if first_hash == second_hash => Exit::Pass,
        None => Exit::Inconclusive,
    };
    match format {
        Format::Json => console.json(&Said {
            first: names[0],
            second: names[1],
            same_thing,
            hashes: [&first_hash, &second_hash],
            difference,
            exit: exit.code(),
        })?,
        Format::Human => {
            let width = console.width();
            console.print(&text(
                names,
                difference,
                same_thing,
                exit,
                &first_hash,
                width,
            ));
        }
    }
    Ok(exit)
}

fn read(name: &str, args: &DiffArgs, settings: &Settings) -> Result<Again, Complaint> {
    // Overrides and bugs are for runs that no directory describes.
    let named = name.rsplit_once('@').is_some() && !super::reporter::is_path(name);
    let none = (Vec::new(), Vec::new());
    let (bugs, overrides) = match named {
        true => (args.bugs.clone(), args.overrides.clone()),
        false => none,
    };
    again(name, &bugs, &overrides, settings)
}

/// A side with its checkpoints, and its hash: as recorded, or made now.
fn side<'a>(
    name: &str,
    again: &'a Again,
    now: bool,
    runner: &impl Runner,
) -> Result<(Side<'a>, String), Complaint> {
    let recorded = again.recorded.as_ref();
    let known = recorded.filter(|r| !now && !r.checkpoints.is_empty());
    let scenario = &again.selected.scenario;
    let mut options = again.options.clone();
    options.record = false;
    let (checkpoints, hash) = match known {
        Some(recorded) => (
            recorded.checkpoints.clone(),
            recorded.file.summary.hash.clone(),
        ),
        None => {
            let run =
                guarded(runner, scenario, again.seed, &options).map_err(|e| ended(name, &e))?;
            (run.checkpoints, run.summary.hash)
        }
    };
    let side = Side {
        scenario,
        seed: again.seed,
        options,
        checkpoints,
    };
    Ok((side, hash))
}

fn ended(name: &str, failure: &RunFailure) -> Complaint {
    let line = failure.panic.lines().next().unwrap_or_default();
    Complaint {
        exit: Exit::Violation,
        text: format!(
            "{name} {}, and leaves no hash to compare: {line}",
            failure.end.verb()
        ),
    }
}

fn text(
    names: [&str; 2],
    difference: Option<&Difference>,
    same_thing: bool,
    exit: Exit,
    hash: &str,
    width: usize,
) -> String {
    let [first, second] = names;
    let Some(found) = difference else {
        return match exit {
            Exit::Pass => format!("{first} and {second} are the same run: hash {hash}\n"),
            _ => format!(
                "The records of {first} and {second} differ, but all runs that were made now are \
                 the same.\nAnother build recorded one of them, or the difference is rare: try \
                 again.\n"
            ),
        };
    };
    let verdict = match same_thing {
        true => "nondeterminism: both are runs of the same thing",
        false => "they are not runs of the same thing",
    };
    let mut out = format!("{first} and {second} part: {verdict}.\n");
    let window = found.window;
    let agreed = match found.agreed {
        Some(point) => format!(
            "They agree up to event #{} at {}, by their checkpoints",
            point.seq,
            seconds(point.t)
        ),
        None => "They part before their first checkpoint".to_owned(),
    };
    out.push_str(&format!(
        "{agreed}; the events after #{} were made again.\n\n",
        window.after
    ));
    let columns = [
        Column::left(""),
        Column::right("event"),
        Column::right("time"),
        Column::left("member"),
        Column::left("what").wrapping(),
    ];
    let mut rows = Vec::new();
    versions(&mut rows, "first", found.first.as_ref());
    versions(&mut rows, "second", found.second.as_ref());
    table(&mut out, &columns, &rows, width);
    out.push_str("\nWhat differs:\n");
    for respect in &found.respects {
        out.push_str(&format!("  - {respect}\n"));
    }
    out
}

fn versions(rows: &mut Vec<Vec<String>>, which: &str, version: Option<&Version>) {
    let row = |which: &str, event: &Event, sentence: &str| {
        let member = event
            .node
            .map_or_else(|| "-".to_owned(), |n| format!("n{n}"));
        let time = format!(
            "{}.{:09}s",
            event.t / 1_000_000_000,
            event.t % 1_000_000_000
        );
        vec![
            which.to_owned(),
            format!("#{}", event.seq),
            time,
            member,
            sentence.to_owned(),
        ]
    };
    let Some(version) = version else {
        let mut nothing = vec![String::new(); 4];
        nothing[0] = which.to_owned();
        nothing.push("nothing: the run has ended".into());
        rows.push(nothing);
        return;
    };
    rows.push(row(which, &version.event, &version.sentence));
    match (&version.cause, &version.cause_sentence) {
        (Some(event), Some(sentence)) => rows.push(row("  caused by", event, sentence)),
        _ => {
            let mut nothing = vec![String::new(); 4];
            nothing[0] = "  caused by".to_owned();
            nothing.push("a timer, a fault, or a client".into());
            rows.push(nothing);
        }
    }
}
