//! The sweep's side: workers, and what their deaths mean.

use super::protocol::{Answer, Ask, SAYS};
use super::worker::WORKER;
use crate::Scenario;
use crate::runner::{End, RunFailure, RunOptions};
use squall_record::Run;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

/// How much of what a worker says on stderr is kept, in bytes.
const LAST_WORDS_MAX: usize = 8 << 10;

/// How a worker is started.
#[derive(Debug, Clone)]
pub struct Worker {
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// What is added to its environment.
    pub env: Vec<(OsString, OsString)>,
}

impl Worker {
    /// This very program, even if its file was replaced meanwhile: two builds
    /// may come to different results. It may take `memory_max` bytes of address
    /// space; 0 for as much as there is.
    ///
    /// # Errors
    /// If the system does not say where the program is.
    pub fn of_this_program(memory_max: u64) -> io::Result<Worker> {
        let program = if cfg!(target_os = "linux") {
            OsString::from("/proc/self/exe")
        } else {
            std::env::current_exe()?.into_os_string()
        };
        Ok(Worker {
            program,
            args: vec![WORKER.into(), memory_max.to_string().into()],
            env: Vec::new(),
        })
    }
}

/// Makes runs in worker processes: as many as run at a time.
#[derive(Debug)]
pub struct Pool {
    worker: Worker,
    idle: Mutex<Vec<Running>>,
}

impl Pool {
    /// A pool without a worker yet.
    pub fn new(worker: Worker) -> Pool {
        Pool {
            worker,
            idle: Mutex::default(),
        }
    }

    /// Makes a run in a worker. A run that was not recorded and passed comes
    /// without its history.
    ///
    /// # Errors
    /// As [`runner::run`](crate::runner::run), and if the worker dies of the run.
    pub fn run(
        &self,
        scenario: &Scenario,
        seed: u64,
        options: &RunOptions,
    ) -> Result<Run, RunFailure> {
        let ask = Ask::new(scenario, seed, options);
        let mut worker = self
            .worker()
            .map_err(|e| internal(format!("a worker process cannot be started: {e}")))?;
        match worker.ask(&ask) {
            Some(answer) => {
                self.idle().push(worker);
                match answer {
                    Answer::Run(run, probed) => {
                        if let Some(probe) = &options.probe {
                            probe.set(probed.map(|probed| *probed));
                        }
                        Ok(*run)
                    }
                    Answer::Failed(failure) => Err(failure),
                }
            }
            None => Err(worker.post_mortem()),
        }
    }

    fn worker(&self) -> io::Result<Running> {
        while let Some(mut idle) = self.idle().pop() {
            // Somebody may have killed it while it had nothing to do.
            if idle.child.try_wait()?.is_none() {
                return Ok(idle);
            }
        }
        Running::start(&self.worker)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Running>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker process.
#[derive(Debug)]
struct Running {
    child: Child,
    /// Taken only to end it.
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    last_words: Option<JoinHandle<String>>,
}

impl Running {
    fn start(worker: &Worker) -> io::Result<Running> {
        let mut child = Command::new(&worker.program)
            .args(&worker.args)
            .envs(worker.env.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let taken = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(asks), Some(answers), Some(stderr)) = taken else {
            return Err(io::Error::other("it came without pipes"));
        };
        let last_words = std::thread::spawn(move || end_of(stderr));
        Ok(Running {
            child,
            asks: Some(asks),
            answers: BufReader::new(answers),
            last_words: Some(last_words),
        })
    }

    /// Asks for a run and waits for it; `None` if the worker is no more.
    fn ask(&mut self, ask: &Ask) -> Option<Answer> {
        let asks = self.asks.as_mut()?;
        let mut line = serde_json::to_vec(ask).ok()?;
        line.push(b'\n');
        asks.write_all(&line).and_then(|()| asks.flush()).ok()?;
        let mut line = String::new();
        loop {
            line.clear();
            if self.answers.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(json) = line.strip_prefix(SAYS) {
                return serde_json::from_str(json).ok();
            }
        }
    }

    /// What it died of.
    fn post_mortem(mut self) -> RunFailure {
        drop(self.asks.take());
        let status = self.child.wait();
        let words = self.last_words.take();
        let words = words
            .and_then(|words| words.join().ok())
            .unwrap_or_default();
        match status {
            Ok(status) => died(status, words.trim()),
            Err(e) => internal(format!("a worker process is lost: {e}")),
        }
    }
}

impl Drop for Running {
    /// Without requests it ends; it must not stay behind as a zombie.
    fn drop(&mut self) {
        drop(self.asks.take());
        let _ = self.child.wait();
    }
}

fn internal(panic: String) -> RunFailure {
    RunFailure {
        end: End::Panic,
        panic,
        node: None,
        t: 0,
        internal: true,
    }
}

/// The run that ended a process, as a finding.
fn died(status: ExitStatus, words: &str) -> RunFailure {
    let (end, text) =
        if words.contains("has overflowed its stack") {
            // The message names a thread by a number that is never the same twice.
            (End::StackOverflow, "a thread had no stack left".to_owned())
        } else if let Some(line) = words
            .lines()
            .find(|line| line.starts_with("memory allocation of "))
        {
            (End::OutOfMemory, line.to_owned())
        } else {
            match signal(status) {
            Some(SIGKILL) => (
                End::Killed,
                "the process was killed from outside (SIGKILL), most likely because the machine \
                 ran out of memory"
                    .to_owned(),
            ),
            Some(SIGABRT) => (End::Abort, text("SIGABRT ended the process", words)),
            Some(number) => {
                let what = format!("signal {number} ended the process");
                (End::Abort, text(&what, words))
            }
            None => (End::Abort, text(&format!("the process ended: {status}"), words)),
        }
        };
    RunFailure {
        end,
        panic: text,
        node: None,
        t: 0,
        internal: false,
    }
}

fn text(what: &str, words: &str) -> String {
    match words {
        "" => what.to_owned(),
        words => format!("{what}\n{words}"),
    }
}

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_status: ExitStatus) -> Option<i32> {
    None
}

/// Reads to the end and returns the last of it.
fn end_of(mut stream: impl Read) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..read]);
        let excess = kept.len().saturating_sub(LAST_WORDS_MAX);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).into_owned()
}
