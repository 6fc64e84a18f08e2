//! `squall wal`: a member's log, for people to read.

use super::console::Console;
use super::{Complaint, Format};
use crate::rundir::said;
use serde::Serialize;
use squall_ci::Exit;
use squall_server::LogFiles;
use squall_store::{check_log, dump_log};
use std::path::PathBuf;

/// What to do with a log.
#[derive(Debug, clap::Args)]
pub(super) struct WalArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show every record of a log, and what is wrong with it
    ///
    /// Changes nothing; the member need not be stopped, but what it is writing
    /// may look torn. Exits with 1 if the member would not start from the log.
    Dump {
        /// A data directory, the directory of its log, or one file of it
        #[arg(value_name = "DIR|FILE")]
        path: PathBuf,
    },
}

#[derive(Serialize)]
struct Dumped {
    records: Vec<String>,
    /// Files that do not end with an intact record.
    damaged: usize,
    /// Why a member would not start from it, and what to do.
    problem: Option<String>,
    /// Bytes that the next start cuts off.
    torn: u64,
}

pub(super) fn wal(
    args: &WalArgs,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Complaint> {
    let What::Dump { path } = &args.what;
    let named = |e: std::io::Error| Complaint::usage(format!("{}: {}", path.display(), said(&e)));
    let log = LogFiles::at(path).map_err(named)?;
    let (text, damaged) = dump_log(&log).map_err(named)?;
    // One file does not say whether the others connect to it.
    let (torn, problem) = match check_log(&log) {
        _ if log.is_part() => (0, None),
        Ok(torn) => (torn, None),
        Err(e) => (0, Some(e.to_string())),
    };
    let bad = match log.is_part() {
        true => damaged > 0,
        false => problem.is_some(),
    };
    match format {
        Format::Json => console.json(&Dumped {
            records: text.lines().map(str::to_owned).collect(),
            damaged,
            problem,
            torn,
        })?,
        Format::Human => {
            console.print(&text);
            let end = match (&problem, torn) {
                (Some(problem), _) => format!("a member does not start from this log: {problem}\n"),
                (None, _) if log.is_part() && bad => "this file does not end with an intact \
                    record: in the last file of a log that is what a crash leaves, and the next \
                    start mends it; dump the whole directory to see whether a member would start\n"
                    .into(),
                (None, _) if log.is_part() => String::new(),
                (None, 0) => "a member starts from this log\n".into(),
                (None, torn) => format!(
                    "a member starts from this log, and cuts {torn} bytes off its end that a \
                     crash left\n"
                ),
            };
            console.print(&end);
        }
    }
    Ok(if bad { Exit::Violation } else { Exit::Pass })
}
