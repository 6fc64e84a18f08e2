//! A failure, explained: data first, rendered elsewhere.

use crate::{describe, story};
use serde::{Deserialize, Serialize};
use squall_record::{Check, Event, Fact, Op, Summary, Verdict, Witness};

/// Why one run failed, in the order in which people ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The planted bugs, by name.
    pub bugs: Vec<String>,
    /// The world it ran in.
    pub world: String,
    /// The run's rolling hash.
    pub hash: String,
    /// The check that failed.
    pub check: String,
    /// What identifies this kind of failure over seeds.
    pub fingerprint: String,
    /// What went wrong, in one sentence.
    pub sentence: String,
    /// What was promised.
    pub guarantee: String,
    /// When it could first be seen, in true nanoseconds.
    pub t: u64,
    /// The node it is about, if it is about one.
    pub node: Option<u64>,
    /// How it came about: what happened around the witness, by time.
    pub story: Vec<Beat>,
    /// The smallest set of operations that proves it.
    pub operations: Vec<OpRow>,
    /// The steps of the argument.
    pub facts: Vec<Fact>,
    /// What else failed in the same run.
    pub others: Vec<OtherFailure>,
    /// What to type next.
    pub commands: Commands,
}

/// One sentence of a story, and the event that it tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    /// True nanoseconds.
    pub t: u64,
    /// The event's position in the run; `None` if it tells an operation.
    pub seq: Option<u64>,
    /// The operation, if it tells one.
    pub op: Option<u64>,
    /// The node it is about.
    pub node: Option<u64>,
    /// The sentence.
    pub text: String,
}

/// An operation as a table shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpRow {
    /// Its id.
    pub id: u64,
    /// The client.
    pub client: u32,
    /// The member that was asked.
    pub member: u64,
    /// When it was sent, in true nanoseconds.
    pub invoke: u64,
    /// When its outcome was known.
    pub ret: Option<u64>,
    /// What was asked: `put k3 = "c2-17"`.
    pub call: String,
    /// What came of it: `ok, rev 41`.
    pub result: String,
}

/// A further check that failed in the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OtherFailure {
    /// The check.
    pub check: String,
    /// What went wrong, in one sentence.
    pub sentence: String,
}

/// Lines to copy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Commands {
    /// Runs the same thing again, anywhere.
    pub replay: String,
    /// Follows the recorded schedule, if a run directory was written.
    pub replay_recorded: Option<String>,
    /// Shows everything up to the moment, event by event.
    pub timeline: String,
}

impl Explanation {
    /// Explains why `check` of `summary` failed, from the events that were kept
    /// of the run; `None` if it did not fail. `replay` is the command that runs
    /// it again.
    pub fn of(
        summary: &Summary,
        check: &Check,
        events: &[Event],
        replay: &str,
    ) -> Option<Explanation> {
        let witness = witness(check)?;
        let others = summary.checks.iter().filter(|other| *other != check);
        Some(Explanation {
            scenario: summary.scenario.clone(),
            seed: summary.seed,
            bugs: summary.bugs.clone(),
            world: summary.world.clone(),
            hash: summary.hash.clone(),
            check: check.name.clone(),
            fingerprint: check.fingerprint()?.0,
            sentence: witness.sentence.clone(),
            guarantee: witness.guarantee.clone(),
            t: witness.t,
            node: witness.node,
            story: story::tell(witness, events),
            operations: witness.ops.iter().map(OpRow::of).collect(),
            facts: witness.facts.clone(),
            others: others
                .filter_map(|other| {
                    Some(OtherFailure {
                        check: other.name.clone(),
                        sentence: witness_sentence(other)?,
                    })
                })
                .collect(),
            commands: Commands::of(replay, witness.t),
        })
    }
}

impl OpRow {
    pub(crate) fn of(op: &Op) -> OpRow {
        OpRow {
            id: op.id,
            client: op.client,
            member: op.member,
            invoke: op.invoke,
            ret: op.ret,
            call: describe::call(&op.call),
            result: describe::outcome(op),
        }
    }
}

impl Commands {
    fn of(replay: &str, t: u64) -> Commands {
        // Rounded up to a millisecond, so that the moment itself is shown.
        let millis = t.div_ceil(1_000_000);
        let until = format!(" --until {}.{:03}s", millis / 1_000, millis % 1_000);
        Commands {
            timeline: format!("{replay}{until}"),
            replay: replay.to_owned(),
            replay_recorded: None,
        }
    }
}

fn witness(check: &Check) -> Option<&Witness> {
    match &check.verdict {
        Verdict::Fail(witness) => Some(witness),
        Verdict::Pass { .. } | Verdict::Unknown(_) => None,
    }
}

fn witness_sentence(check: &Check) -> Option<String> {
    witness(check).map(|w| w.sentence.clone())
}
