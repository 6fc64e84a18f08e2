//! The worker's side: makes the runs that it is asked for, until nobody asks.

use super::protocol::{Answer, Ask, SAYS};
use crate::runner::{End, Probe, RunFailure};
use crate::sweep::{Runner, guarded};
use std::io::{self, BufRead, Write};

/// The command line's first word that makes a process a worker. The second is
/// the memory that it may take, in bytes; 0 for no limit.
pub const WORKER: &str = "__worker";

/// Serves the requests on `asked`, one line each, and answers on `out`.
///
/// # Errors
/// If a stream fails, or a line is no request.
pub fn serve(
    memory_max: u64,
    runner: &impl Runner,
    asked: impl BufRead,
    mut out: impl Write,
) -> io::Result<()> {
    limit_memory(memory_max)?;
    for line in asked.lines() {
        let ask: Ask = serde_json::from_str(&line?)?;
        let answer = match ask.read() {
            Err(why) => Answer::Failed(RunFailure {
                end: End::Panic,
                panic: format!("a worker cannot read what it is asked: {why}"),
                node: None,
                t: 0,
                internal: true,
            }),
            Ok((scenario, seed, options)) => match guarded(runner, &scenario, seed, &options) {
                Err(failure) => Answer::Failed(failure),
                Ok(mut run) => {
                    let wanted = options.record || run.summary.failure().is_some();
                    if !wanted {
                        // Nobody looks at them, and they are the bulk.
                        run.history.clear();
                        run.streams.clear();
                        run.events.clear();
                    }
                    let probed = options.probe.as_ref().and_then(Probe::take);
                    Answer::Run(Box::new(run), probed.map(Box::new))
                }
            },
        };
        let text = serde_json::to_string(&answer)?;
        // A line of its own, whatever was printed before it.
        write!(out, "\n{SAYS}{text}\n")?;
        out.flush()?;
    }
    Ok(())
}

/// Lets the process's address space grow no further than this: an allocation
/// beyond it fails, which aborts the process.
#[cfg(unix)]
fn limit_memory(max: u64) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    if max == 0 {
        return Ok(());
    }
    let limit = Rlimit {
        current: Some(max),
        maximum: Some(max),
    };
    Ok(setrlimit(Resource::As, limit)?)
}

#[cfg(not(unix))]
fn limit_memory(_max: u64) -> io::Result<()> {
    Ok(())
}
