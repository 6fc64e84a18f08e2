//! Verdicts: pass, fail with a witness, or unknown with a reason.

use crate::Op;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What one check says about one run. Unknown is never pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The guarantee held.
    Pass {
        /// How many operations, views or states were judged.
        judged: u64,
        /// How many of them had an unknown outcome.
        unknown: u64,
    },
    /// The guarantee was broken, and this shows it.
    Fail(Box<Witness>),
    /// It could not be decided.
    Unknown(Reason),
}

/// Why a check could not decide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The budget was spent first.
    Budget {
        /// Search steps taken.
        steps: u64,
        /// What was left to decide.
        left: String,
    },
    /// There was nothing, or too little, to judge.
    TooLittle(String),
    /// The check was not run.
    Skipped(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Budget { steps, left } => {
                write!(f, "the budget was spent after {steps} steps; left: {left}")
            }
            Reason::TooLittle(what) => write!(f, "too little to judge: {what}"),
            Reason::Skipped(why) => write!(f, "skipped: {why}"),
        }
    }
}

/// Why a guarantee was broken, small enough to read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Witness {
    /// The guarantee, as documented: `a linearizable read returns the latest
    /// acknowledged write`.
    pub guarantee: String,
    /// What went wrong here, in one sentence with names and times.
    pub sentence: String,
    /// When it could first be seen.
    pub t: u64,
    /// The node it is about, if it is about one.
    pub node: Option<u64>,
    /// The smallest set of operations that proves it, in order of invocation.
    pub ops: Vec<Op>,
    /// The state that proves it, and the steps of the argument, in order.
    pub facts: Vec<Fact>,
    /// What stays the same when the run is made smaller: which kind of
    /// violation it is, without times, keys and numbers.
    pub class: String,
}

/// One line of an argument: something with a name, and what is true of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// Who or what: `n2`, `log index 17`, `revision 42`.
    pub subject: String,
    /// What is true of it.
    pub text: String,
}

impl Fact {
    /// A line of an argument.
    pub fn new(subject: impl Into<String>, text: impl Into<String>) -> Fact {
        Fact {
            subject: subject.into(),
            text: text.into(),
        }
    }
}

/// A check and what it said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Its name: `linearizable`, `raft.election_safety`.
    pub name: String,
    /// Its verdict.
    pub verdict: Verdict,
}

impl Check {
    /// What identifies this failure over seeds and shrinking.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match &self.verdict {
            Verdict::Fail(witness) => Some(Fingerprint(format!("{}/{}", self.name, witness.class))),
            Verdict::Pass { .. } | Verdict::Unknown(_) => None,
        }
    }
}

/// Identifies a kind of failure: equal for runs that fail in the same way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub String);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// True time as people read it: `14.203s`. Milliseconds, rounded down.
pub fn seconds(t: u64) -> impl fmt::Display {
    struct Seconds(u64);
    impl fmt::Display for Seconds {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(
                f,
                "{}.{:03}s",
                self.0 / 1_000_000_000,
                self.0 / 1_000_000 % 1_000
            )
        }
    }
    Seconds(t)
}
