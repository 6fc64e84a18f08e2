//! The command line. Data goes to stdout, narration to stderr; a closed pipe
//! is no error; the exit code is a contract (see [`squall_ci::Exit`]).

mod bugs;
mod check;
mod console;
mod crash_points;
mod diff;
mod hunt;
mod lint;
mod list;
mod progress;
mod replay;
mod reporter;
mod run;
mod select;
mod settings;
mod snapshot;
mod wal;

pub use console::Console;

use crate::Scenario;
use crate::format::Size;
use crate::isolate::{self, Pool, WORKER, Worker};
use crate::runner::RunOptions;
use crate::sweep::{Runner, Stop};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand, ValueEnum};
use squall_ci::Exit;
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;

const EXITS: &str = "\
Exit codes:
  0   every check passed
  1   a safety guarantee was broken, or the store panicked
  2   the command line, a scenario or an input file is wrong
  3   inconclusive: something could not be decided, and nothing failed
  4   nothing was selected
  5   nondeterminism: the same run came out differently
  7   liveness or availability was missed
  8   a required mark or planted bug was not hit
  70  squall itself is broken
  130 interrupted
The worst wins: 70, 5, 1, 7, 8, 130, 3, 4, 0.

Settings come from a flag, else from SQUALL_* in the environment, else from the
profile, else from squall.toml, else from the embedded default, which
`squall list settings` shows with comments.

Runs are made in worker processes, so that one that aborts, overflows its stack
or runs out of memory is a finding like any other. A worker may take 4 GiB of
address space; SQUALL_MEMORY_MAX says otherwise (512MiB, 0 for no limit).";

/// Fault scenarios for a consensus store: run, replay, check, list.
///
/// Without a command, runs the built-in suite: every scenario that squall
/// carries, with a few seeds each.
#[derive(Debug, Parser)]
#[command(name = "squall", version, after_help = EXITS, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    look: Look,
}

/// How output looks.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Output")]
struct Look {
    /// What goes to stdout: text for people, or one JSON document
    #[arg(
        long,
        global = true,
        value_enum,
        env = "SQUALL_FORMAT",
        default_value_t = Format::Human,
        hide_env = true
    )]
    format: Format,

    /// When to use colour; `auto` means on a terminal, unless NO_COLOR is set
    #[arg(
        long,
        global = true,
        value_enum,
        env = "SQUALL_COLOR",
        default_value_t = Color::Auto,
        hide_env = true
    )]
    color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios under many seeds
    Run(run::RunArgs),
    /// Run one run again, exactly
    Replay(replay::ReplayArgs),
    /// Show the first event that differs between two runs
    Diff(diff::DiffArgs),
    /// Judge histories that something else recorded
    Check(check::CheckArgs),
    /// Show what there is
    List(list::ListArgs),
    /// Check scenario files without running them
    Lint(lint::LintArgs),
    /// Look at a member's log
    Wal(wal::WalArgs),
    /// Look at backups of the store, and restore them
    Snapshot(snapshot::SnapshotArgs),
    /// Planted bugs: known mistakes that prove that bugs are found
    Bugs(bugs::BugsArgs),
}

/// Why a command ended without doing its work: one line, and an exit.
#[derive(Debug)]
struct Complaint {
    exit: Exit,
    text: String,
}

impl Complaint {
    fn usage(text: impl ToString) -> Complaint {
        Complaint {
            exit: Exit::Usage,
            text: text.to_string(),
        }
    }
}

/// Runs the process's command line, with the signals and streams that belong
/// to it.
pub fn main() -> Exit {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == WORKER)
    {
        return work();
    }
    /// Raised by the handler, which lives as long as the process.
    static STOP: Stop = Stop::new();
    let handler = ctrlc::set_handler(|| {
        if STOP.raise() {
            exit(Exit::Interrupted.code().into());
        }
        console::narrate("\nstopping after the runs in flight; again to stop at once");
    });
    std::panic::set_hook(Box::new(|info| {
        // Panics of runs are kept by whoever watches them, and become
        // findings; what gets here is a mistake of ours.
        console::narrate(&format!(
            "squall: internal error: {info}\n{}",
            std::backtrace::Backtrace::capture()
        ));
    }));
    let mut console = Console::of_process();
    if let Err(e) = handler {
        console.warn(&format!("an interrupt will not be orderly: {e}"));
    }
    let pool = match memory_max().map(Worker::of_this_program) {
        Ok(Ok(worker)) => Pool::new(worker),
        Ok(Err(e)) => {
            console.complain(&format!("this program's own file cannot be found: {e}"));
            return Exit::Internal;
        }
        Err(why) => {
            console.complain(&why);
            return Exit::Usage;
        }
    };
    let runner =
        |scenario: &Scenario, seed, options: &RunOptions| pool.run(scenario, seed, options);
    let squall = || go(std::env::args_os(), &runner, &mut console, &STOP);
    catch_unwind(AssertUnwindSafe(squall)).unwrap_or(Exit::Internal)
}

/// How much memory a worker may take if nobody says: many times what a run of
/// the library takes, and little enough that one that runs away does not take
/// the machine with it.
const MEMORY_MAX: u64 = 4 << 30;

/// The memory that each worker may take, in bytes.
fn memory_max() -> Result<u64, String> {
    match std::env::var("SQUALL_MEMORY_MAX") {
        Err(_) => Ok(MEMORY_MAX),
        Ok(text) if text == "0" => Ok(0),
        Ok(text) => {
            let size: Size = text
                .parse()
                .map_err(|e| format!("SQUALL_MEMORY_MAX: {e}"))?;
            Ok(size.bytes())
        }
    }
}

/// Makes runs for the process that started this one, until it asks for no more.
fn work() -> Exit {
    // An interrupt is for the process that reports: it lets this run end.
    let ignored = ctrlc::set_handler(|| {});
    let memory_max = std::env::args().nth(2).and_then(|word| word.parse().ok());
    let (Ok(()), Some(memory_max)) = (ignored, memory_max) else {
        return Exit::Internal;
    };
    // Not locked: what a dependency may print must not wait for it.
    let (asked, out) = (std::io::stdin().lock(), std::io::stdout());
    match isolate::serve(memory_max, &crate::runner::run, asked, out) {
        Ok(()) => Exit::Pass,
        Err(e) => {
            console::narrate(&format!("squall: a worker failed: {e}"));
            Exit::Internal
        }
    }
}

/// Runs a command line with any runner, any streams: what `main` does, and what
/// tests call.
pub fn go(
    args: impl IntoIterator<Item = OsString>,
    runner: &impl Runner,
    console: &mut Console<'_>,
    stop: &Stop,
) -> Exit {
    let mut args = args.into_iter().peekable();
    console.set_program(args.peek());
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => return not_parsed(&e, console),
    };
    console.set_color(cli.look.color);
    let format = cli.look.format;
    let result = match cli.command {
        None => run::suite(format, runner, console, stop),
        Some(Command::Run(args)) => run::run(&args, format, runner, console, stop),
        Some(Command::Replay(args)) => replay::replay(&args, format, runner, console, stop),
        Some(Command::Diff(args)) => diff::diff(&args, format, runner, console),
        Some(Command::Check(args)) => check::check(&args, format, console),
        Some(Command::List(args)) => list::list(&args, format, runner, console, stop),
        Some(Command::Lint(args)) => lint::lint(&args, format, console),
        Some(Command::Wal(args)) => wal::wal(&args, format, console),
        Some(Command::Snapshot(args)) => snapshot::snapshot(&args, format, console),
        Some(Command::Bugs(args)) => bugs::bugs(&args, format, runner, console, stop),
    };
    result.unwrap_or_else(|complaint| {
        console.complain(&complaint.text);
        complaint.exit
    })
}

/// Help and version are no errors; everything else is said without the usage
/// text, which `--help` has.
fn not_parsed(error: &clap::Error, console: &mut Console<'_>) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            console.print(&error.render().ansi().to_string());
            Exit::Pass
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            console.narrate(&error.render().to_string());
            Exit::Usage
        }
        _ => {
            let text = error.render().to_string();
            let end = text.find("\nUsage:").or_else(|| text.find("\nFor more"));
            let text = one_line(&text[..end.unwrap_or(text.len())]);
            console.complain(text.strip_prefix("error: ").unwrap_or(&text));
            Exit::Usage
        }
    }
}

/// A message of several lines, as one.
fn one_line(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !out.is_empty() {
            out.push_str(if out.ends_with(':') { " " } else { "; " });
        }
        out.push_str(line);
    }
    out
}
