//! `squall bugs`: the planted bugs, and how fast they are found.

mod measure;
mod record;

use super::console::Console;
use super::{Complaint, Format};
use crate::hunts;
use crate::sweep::{Runner, Stop};
use record::Record;
use serde::Serialize;
use squall_api::Bug;
use squall_ci::Exit;
use squall_reports::{Column, table_with_notes};

/// What about them.
#[derive(Debug, clap::Args)]
pub(super) struct BugsArgs {
    #[command(subcommand)]
    command: Option<BugsCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum BugsCommand {
    /// Show every planted bug, and what finds it
    List,
    /// Look for each bug from several first seeds, and say after how many runs it
    /// was found
    Measure(measure::MeasureArgs),
}

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    id: &'static str,
    about: &'static str,
    found_by: &'static [&'static str],
    /// The checks that found it when it was measured.
    checks: Option<String>,
    /// How many runs that took, the median.
    runs: Option<String>,
}

pub(super) fn bugs(
    args: &BugsArgs,
    format: Format,
    runner: &impl Runner,
    console: &mut Console<'_>,
    stop: &Stop,
) -> Result<Exit, Complaint> {
    match &args.command {
        None | Some(BugsCommand::List) => list(format, console),
        Some(BugsCommand::Measure(args)) => measure::measure(args, format, runner, console, stop),
    }
}

fn list(format: Format, console: &mut Console<'_>) -> Result<Exit, Complaint> {
    let record = Record::built_in();
    let describe = |&bug: &Bug| Listed {
        name: bug.name(),
        id: bug.id(),
        about: bug.about(),
        found_by: hunts::scenarios(bug),
        checks: record.of(bug).map(|entry| entry.by.clone()),
        runs: record.of(bug).map(|entry| entry.median.clone()),
    };
    let listed: Vec<Listed> = Bug::ALL.iter().map(describe).collect();
    match format {
        Format::Json => console.json(&listed)?,
        Format::Human => {
            let columns = [
                Column::left("bug"),
                Column::left("id"),
                Column::right("runs"),
                Column::left("scenario").wrapping(),
            ];
            let rows: Vec<(Vec<String>, String)> = listed.iter().map(row).collect();
            let mut text = String::new();
            table_with_notes(&mut text, &columns, &rows, console.width());
            let program = console.program();
            text.push_str(&format!("\n  {program} run --bug NAME      # see it found\n  {program} bugs measure NAME   # how many runs that takes\n"));
            console.print(&text);
        }
    }
    Ok(Exit::Pass)
}

/// Names stand in columns, and what the store does wrong under them, so that nothing
/// is cut on a narrow terminal.
fn row(bug: &Listed) -> (Vec<String>, String) {
    let cells = vec![
        bug.name.into(),
        bug.id.into(),
        bug.runs.clone().unwrap_or_default(),
        bug.found_by.join(", "),
    ];
    let note = match &bug.checks {
        Some(checks) => format!("{}; found by {checks}", bug.about),
        None => bug.about.into(),
    };
    (cells, note)
}
