//! `squall check`: judge histories that something else recorded.

use super::console::Console;
use super::{Complaint, Format};
use crate::rundir::{self, said};
use serde::Serialize;
use squall_checkers::foreign::{self, CoreOp, Parsed};
use squall_checkers::linearizable::{self, Budget, Path as Way};
use squall_ci::{Exit, worst};
use squall_record::{Op, Verdict, read_history};
use squall_reports::{Judgement, judgement};
use std::fs;
use std::io::{self, Read};
use std::num::NonZero;
use std::path::{Path, PathBuf};

/// Which histories, and how hard to try.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// Files, run directories, or - for stdin
    #[arg(value_name = "HISTORY", required = true)]
    histories: Vec<PathBuf>,

    /// The format: squall, jepsen-edn, jepsen-log or kv-log; guessed from the
    /// content if not given
    #[arg(long, value_name = "FORMAT")]
    from: Option<foreign::Format>,

    /// Search steps before the verdict is "unknown". A number of steps, not of
    /// seconds: a verdict must not depend on the machine
    #[arg(long, value_name = "STEPS", default_value_t = Budget::default().steps,
          allow_negative_numbers = true)]
    budget: u64,
}

/// A history that was read.
enum History {
    /// Squall's own.
    Own(Vec<Op>),
    /// Somebody else's.
    Foreign(Parsed),
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
    format: foreign::Format,
    /// What the operations act on.
    model: String,
    guarantee: &'static str,
    verdict: Verdict,
    /// What decided: the store's own order, its revisions, or a search.
    by: Way,
    judged: u64,
    steps: u64,
    /// The operations of the witness, where the format is not squall's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    core: Vec<CoreOp>,
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
    let mut all = Vec::new();
    let mut exit = Exit::Pass;
    for (file, history) in histories {
        let checked = judge(file, &history, budget);
        exit = worst([exit, exit_of(&checked.verdict)]);
        if format == Format::Human {
            let judged = Judgement {
                subject: &checked.file,
                check: "linearizable",
                guarantee: checked.guarantee,
                verdict: &checked.verdict,
                how: &how(&checked),
            };
            let text = judgement(&judged, console.width());
            console.print(&text);
        }
        all.push(checked);
    }
    if format == Format::Json {
        console.json(&Document {
            format: "squall-check",
            version: squall_record::FormatVersion { major: 1, minor: 0 },
            histories: all,
            exit: exit.code(),
        })?;
    }
    Ok(exit)
}

fn judge(file: String, history: &History, budget: Budget) -> Checked {
    match history {
        History::Own(ops) => {
            let report = linearizable::check(ops, None, budget);
            Checked {
                file,
                format: foreign::Format::Squall,
                model: "etcd".into(),
                guarantee: linearizable::GUARANTEE,
                by: report.path,
                judged: report.judged,
                steps: report.steps,
                verdict: report.verdict,
                core: Vec::new(),
            }
        }
        History::Foreign(parsed) => {
            let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
            let report = parsed.check(budget, threads);
            Checked {
                file,
                format: report.format,
                model: report.model,
                guarantee: linearizable::GUARANTEE,
                by: Way::Search,
                judged: report.judged,
                steps: report.steps,
                verdict: report.verdict,
                core: report.core,
            }
        }
    }
}

fn exit_of(verdict: &Verdict) -> Exit {
    match verdict {
        Verdict::Pass { .. } => Exit::Pass,
        Verdict::Fail(_) => Exit::Violation,
        Verdict::Unknown(_) => Exit::Inconclusive,
    }
}

fn how(checked: &Checked) -> String {
    match (checked.by, checked.format) {
        (Way::Witness, _) => "by the order in which the store applied them".into(),
        (Way::Anchored, _) => "by the revisions in the answers".into(),
        (Way::Search, foreign::Format::Squall) => "by searching all orders".into(),
        (Way::Search, format) => {
            format!(
                "by searching all orders; read as {format}, {}",
                checked.model
            )
        }
    }
}

fn read(path: &Path, from: Option<foreign::Format>) -> Result<History, Complaint> {
    let bytes = bytes(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        let at = e.valid_up_to();
        complaint(path, &format!("not a history: byte {at} is not text"))
    })?;
    if text.trim().is_empty() {
        return Err(complaint(path, &"not a history: the file is empty"));
    }
    let guessed = from.or_else(|| foreign::Format::guess(text));
    if guessed == Some(foreign::Format::Squall) {
        let ops = read_history(text.as_bytes()).map_err(|e| complaint(path, &e))?;
        return Ok(History::Own(ops));
    }
    let parsed = foreign::parse(text.as_bytes(), from).map_err(|e| complaint(path, &e))?;
    Ok(History::Foreign(parsed))
}

fn bytes(path: &Path) -> Result<Vec<u8>, Complaint> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        let read = io::stdin().read_to_end(&mut bytes);
        return read.map(|_| bytes).map_err(|e| complaint(path, &said(&e)));
    }
    if path.is_dir() {
        rundir::readable(path).map_err(Complaint::usage)?;
        let history = path.join("history.jsonl");
        if !history.is_file() {
            let what =
                "a directory without a history.jsonl; a run that ends in a panic leaves none";
            return Err(complaint(path, &what));
        }
        return fs::read(&history).map_err(|e| complaint(&history, &said(&e)));
    }
    fs::read(path).map_err(|e| complaint(path, &said(&e)))
}

fn complaint(path: &Path, what: &dyn std::fmt::Display) -> Complaint {
    Complaint::usage(format!("{}: {what}", path.display()))
}
