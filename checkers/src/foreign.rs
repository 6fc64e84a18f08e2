//! Judging histories from files: squall's own, and other people's.

use crate::formats;
use crate::generic::decide::decide;
use crate::linearizable::{self, Budget};
use serde::{Deserialize, Serialize};
use squall_record::Verdict;
use std::num::NonZero;

pub use crate::formats::{Format, FormatError};

/// What was said about a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The format that it was read as.
    pub format: Format,
    /// What its operations act on: `etcd`, `register`, `cas-register`, `kv with
    /// append`, `list-append`.
    pub model: String,
    /// Whether it is linearizable.
    pub verdict: Verdict,
    /// Operations judged.
    pub judged: u64,
    /// How many of them have an unknown outcome.
    pub unknown: u64,
    /// Parts that were judged one by one, because no operation spans two.
    pub parts: u64,
    /// Search steps taken.
    pub steps: u64,
    /// The operations of the witness, for formats whose operations are not
    /// etcd's (for those that are, the witness holds them).
    pub core: Vec<CoreOp>,
}

/// An operation of a witness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreOp {
    /// The process, as the file names it.
    pub process: u64,
    /// The line of its invocation.
    pub line: u64,
    /// The line of its return; `None` if its outcome is unknown.
    pub ret: Option<u64>,
    /// What it did and what it was told: `read -> 4`.
    pub text: String,
}

/// Judges the bytes of a file, on one thread per available core. `from` names
/// the format; without it, it is guessed. The report does not depend on the
/// number of threads.
pub fn check(bytes: &[u8], from: Option<Format>, budget: Budget) -> Result<Report, FormatError> {
    let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    check_on(bytes, from, budget, threads)
}

/// As [`check`], on at most this many threads.
pub fn check_on(
    bytes: &[u8],
    from: Option<Format>,
    budget: Budget,
    threads: NonZero<usize>,
) -> Result<Report, FormatError> {
    let history = parse(bytes, from)?;
    Ok(history.check(budget, threads))
}

/// A history that was read and can be judged.
#[derive(Debug, Clone)]
pub struct Parsed(Inner);

#[derive(Debug, Clone)]
enum Inner {
    Store(Vec<squall_record::Op>),
    Generic(Format, crate::generic::History),
}

/// Reads a history; see [`check`].
pub fn parse(bytes: &[u8], from: Option<Format>) -> Result<Parsed, FormatError> {
    let text = std::str::from_utf8(bytes).map_err(|e| FormatError::NotText {
        at: e.valid_up_to(),
    })?;
    let format = from
        .or_else(|| Format::guess(text))
        .ok_or(FormatError::Unrecognized)?;
    Ok(Parsed(match format {
        Format::Squall => Inner::Store(squall_record::read_history(bytes)?),
        Format::JepsenEdn | Format::JepsenLog | Format::KvLog => {
            Inner::Generic(format, formats::parse(text, format)?)
        }
    }))
}

impl Parsed {
    /// Whether it is linearizable, without a witness if it is not: `None` if
    /// the budget was spent. For measurements.
    pub fn decide(&self, budget: Budget, threads: NonZero<usize>) -> Option<bool> {
        match &self.0 {
            Inner::Store(ops) => match linearizable::check(ops, None, budget).verdict {
                Verdict::Pass { .. } => Some(true),
                Verdict::Fail(_) => Some(false),
                Verdict::Unknown(_) => None,
            },
            Inner::Generic(_, history) => crate::generic::decide::only(history, budget, threads),
        }
    }

    /// Judges it.
    pub fn check(&self, budget: Budget, threads: NonZero<usize>) -> Report {
        match &self.0 {
            Inner::Store(ops) => {
                let report = linearizable::check(ops, None, budget);
                Report {
                    format: Format::Squall,
                    model: "etcd".into(),
                    judged: report.judged,
                    unknown: report.unknown,
                    verdict: report.verdict,
                    parts: 1,
                    steps: report.steps,
                    core: Vec::new(),
                }
            }
            Inner::Generic(format, history) => {
                let judgement = decide(history, budget, threads);
                let unknown = history.ops.iter().filter(|op| op.ret.is_none()).count();
                Report {
                    format: *format,
                    model: history.kind.name().into(),
                    judged: history.ops.len() as u64,
                    unknown: unknown as u64,
                    verdict: judgement.verdict,
                    parts: judgement.parts,
                    steps: judgement.steps,
                    core: judgement
                        .core
                        .iter()
                        .map(|i| {
                            let op = &history.ops[*i];
                            CoreOp {
                                process: op.process,
                                line: op.line,
                                ret: op.ret,
                                text: op.action.text(op.ret.is_some()),
                            }
                        })
                        .collect(),
                }
            }
        }
    }
}
