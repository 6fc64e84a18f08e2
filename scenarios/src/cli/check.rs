//! `squall check`: judge histories that something else recorded.

use super::console::Console;
use super::{Complaint, Format};
use clap::ValueEnum;
use serde::Serialize;
use squall_checkers::linearizable::{self, Budget, Path as Way, Report};
use squall_ci::{Exit, worst};
use squall_record::{Op, Verdict, read_history};
use squall_reports::{Judgement, judgement};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Which histories, and how hard to try.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// Files, run directories, or - for stdin
    #[arg(value_name = "HISTORY", required = true)]
    histories: Vec<PathBuf>,

    /// The format; guessed from the content if not given
    #[arg(long, value_name = "FORMAT", value_enum)]
    from: Option<From>,

    /// Search steps before the verdict is "unknown". A number of steps, not of
    /// seconds: a verdict must not depend on the machine
    #[arg(long, value_name = "STEPS", default_value_t = Budget::default().steps)]
    budget: u64,
}

/// Formats of histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    /// Squall's own JSON lines
    Squall,
}

#[derive(Serialize)]
struct Document {
    format: &'static str,
    version: squall_record::FormatVersion,
    histories: Vec<Checked>,
    exit: u8,
}

#[derive(Serialize)]
struct Checked {
    file: String,
    guarantee: &'static str,
    verdict: Verdict,
    /// What decided: the store's own order, its revisions, or a search.
    by: Way,
    judged: u64,
    steps: u64,
}

pub(super) fn check(
    args: &CheckArgs,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Complaint> {
    // What cannot be read is said before anything is judged.
    let mut histories = Vec::new();
    for path in &args.histories {
        histories.push((path.display().to_string(), read(path, args.from)?));
    }
    let budget = Budget {
        steps: args.budget,
        ..Budget::default()
    };
    let mut checked = Vec::new();
    let mut exit = Exit::Pass;
    for (file, history) in histories {
        let report = linearizable::check(&history, None, budget);
        exit = worst([exit, exit_of(&report.verdict)]);
        if format == Format::Human {
            let judged = Judgement {
                subject: &file,
                check: "linearizable",
                guarantee: linearizable::GUARANTEE,
                verdict: &report.verdict,
                how: how(report.path),
            };
            let text = judgement(&judged, console.width());
            console.print(&text);
        }
        checked.push(result(file, report));
    }
    if format == Format::Json {
        console.json(&Document {
            format: "squall-check",
            version: squall_record::FormatVersion { major: 1, minor: 0 },
            histories: checked,
            exit: exit.code(),
        })?;
    }
    Ok(exit)
}

fn result(file: String, report: Report) -> Checked {
    Checked {
        file,
        guarantee: linearizable::GUARANTEE,
        by: report.path,
        judged: report.judged,
        steps: report.steps,
        verdict: report.verdict,
    }
}

fn exit_of(verdict: &Verdict) -> Exit {
    match verdict {
        Verdict::Pass { .. } => Exit::Pass,
        Verdict::Fail(_) => Exit::Violation,
        Verdict::Unknown(_) => Exit::Inconclusive,
    }
}

fn how(way: Way) -> &'static str {
    match way {
        Way::Witness => "by the order in which the store applied them",
        Way::Anchored => "by the revisions in the answers",
        Way::Search => "by searching all orders",
    }
}

fn read(path: &Path, from: Option<From>) -> Result<Vec<Op>, Complaint> {
    let bytes = bytes(path).map_err(|e| complaint(path, &e))?;
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        let at = e.valid_up_to();
        complaint(path, &format!("not a history: byte {at} is not text"))
    })?;
    match from {
        // There is one format yet, so there is nothing to guess: what is not
        // it is said by its reader.
        None | Some(From::Squall) => read_history(text.as_bytes()).map_err(|e| complaint(path, &e)),
    }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    if path.is_dir() {
        return fs::read(path.join("history.jsonl"));
    }
    fs::read(path)
}

fn complaint(path: &Path, what: &dyn std::fmt::Display) -> Complaint {
    Complaint::usage(format!("{}: {what}", path.display()))
}
