//! Linearizability of a store's history.
//!
//! Three ways lead to a verdict, tried in this order:
//!
//! 0. the *witness*: whoever ran the store saw in which order operations took
//!    effect; if that order explains every answer, the history is fine;
//! 1. the *anchored* path: answers carry revisions, which force their order;
//!    only who took unclaimed revisions is searched for;
//! 2. the *complete search*, if the anchored one spent its share of the budget.

use crate::search::Found;
use crate::store::anchored::{self, Decision};
use crate::store::keys::Keys;
use crate::store::timeline::{Timeline, is_kv, may_write};
use crate::store::violation::Violation;
use crate::store::{applied, complete, core, explain, kernel, leases, lines, refute};
use serde::{Deserialize, Serialize};
use squall_record::{Op, Outcome, Reason, Verdict};

/// An operation that took effect on the replicas, as the host of the store saw
/// it. The order of a slice of these is the order of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The operation's id; none if no client asked for it.
    pub op: Option<u64>,
    /// The lease that it ended, if it ended one.
    pub lease: Option<i64>,
    /// The store's revision after it.
    pub revision: i64,
}

/// How much a check may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Search steps.
    pub steps: u64,
    /// Bytes of search tables, roughly.
    pub bytes: u64,
}

impl Default for Budget {
    /// A few seconds and half a gigabyte.
    fn default() -> Budget {
        Budget {
            steps: 20_000_000,
            bytes: 512 << 20,
        }
    }
}

/// Which way led to the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Path {
    /// The order that the host of the store saw explains everything.
    Witness,
    /// Revisions forced the order.
    Anchored,
    /// Every possible order was searched.
    Search,
}

/// A verdict and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Whether the history is linearizable.
    pub verdict: Verdict,
    /// What decided, or gave up.
    pub path: Path,
    /// Operations judged: key-value operations with an answer or of unknown
    /// outcome.
    pub judged: u64,
    /// How many of them have an unknown outcome.
    pub unknown: u64,
    /// Writes of unknown outcome that were applied, if the host said so.
    pub unknown_applied: Option<u64>,
    /// Writes of unknown outcome that were not, if the host said so.
    pub unknown_not_applied: Option<u64>,
    /// Search steps taken.
    pub steps: u64,
}

/// The guarantee that [`check`] judges.
pub const GUARANTEE: &str =
    "operations take effect atomically, one after another, between their call and their answer";

/// Whether some order of the operations, within their intervals, explains every
/// answer of a store that began empty at revision 1. `applied` is what the host
/// of the store saw, if it looked. Revocations and expiries of leases are judged
/// by what they do to keys. Other calls outside the key-value service are ignored,
/// and so are refused ones, which had no effect.
pub fn check(history: &[Op], applied: Option<&[Applied]>, budget: Budget) -> Report {
    let mut steps = budget.steps;
    let lines = lines::told(history, applied);
    let mut told = leases::told(&lines.history, lines.applied.as_deref());
    told.added += lines.added;
    let mut report = decide(&told.history, told.applied.as_deref(), budget, &mut steps);
    report.steps = budget.steps - steps;
    report.judged -= told.added.min(report.judged);
    report.unknown -= told.added.min(report.unknown);
    if let Verdict::Pass { judged, unknown } = &mut report.verdict {
        *judged -= told.added.min(*judged);
        *unknown -= told.added.min(*unknown);
    }
    if let Some(applied) = applied {
        let (yes, no) = count_unknown(history, applied);
        report.unknown_applied = Some(yes);
        report.unknown_not_applied = Some(no);
    }
    report
}

fn decide(history: &[Op], applied: Option<&[Applied]>, budget: Budget, steps: &mut u64) -> Report {
    let unknown = history
        .iter()
        .filter(|op| is_kv(&op.call) && matches!(op.outcome, Outcome::Unknown(_)))
        .count() as u64;
    let report = |verdict, path, judged| Report {
        verdict,
        path,
        judged,
        unknown,
        unknown_applied: None,
        unknown_not_applied: None,
        steps: 0,
    };
    let fail = |violation: &Violation, path, judged| {
        let mut witness = explain::explain(history, violation);
        let named = |op: &Op| witness.ops.iter().any(|named| named.id == op.id);
        let suspects: Vec<u32> = (0..)
            .zip(history)
            .filter(|(_, op)| named(op))
            .map(|(i, _)| i)
            .collect();
        if let Some(core) = core::minimal(history, &suspects) {
            explain::add_core(history, &core, &mut witness);
        } else if !refute::confirms(history, violation) {
            explain::add_unconfirmed(&mut witness);
        }
        report(Verdict::Fail(Box::new(witness)), path, judged)
    };
    let timeline = match Timeline::new(history) {
        Ok(timeline) => timeline,
        Err(violation) => return fail(&violation, Path::Anchored, history.len() as u64),
    };
    let judged = timeline.judged();
    if judged == 0 {
        let nothing = Reason::TooLittle("the history holds no key-value operation".into());
        return report(Verdict::Unknown(nothing), Path::Anchored, judged);
    }
    if let Err(violation) = timeline.check_order() {
        return fail(&violation, Path::Anchored, judged);
    }
    let pass = Verdict::Pass {
        judged,
        unknown: timeline.unknown,
    };
    let keys = Keys::new(history);
    if let Some(applied) = applied
        && applied::verify(&timeline, &keys, applied)
    {
        return report(pass, Path::Witness, judged);
    }
    let mut share = *steps / 2;
    *steps -= share;
    let decision = anchored::decide(&timeline, &keys, &mut share);
    *steps += share;
    match decision {
        Decision::Legal(fillers) => {
            if kernel::explains(&timeline, &keys, &fillers) {
                return report(pass, Path::Anchored, judged);
            }
        }
        Decision::Illegal(violation) => return fail(&violation, Path::Anchored, judged),
        Decision::Spent => {}
    }
    // One of its steps copies a state, which grows with the history.
    let weight = 1 + judged / 20;
    let mut weighed = *steps / weight;
    let found = complete::decide(&timeline, &mut weighed, budget.bytes);
    *steps = weighed * weight;
    match found {
        Found::Legal(order) if kernel::is_explained_by(&timeline, &order) => {
            report(pass, Path::Search, judged)
        }
        Found::Legal(_) => {
            let reason = Reason::Skipped("no order that was found survives its replay".into());
            report(Verdict::Unknown(reason), Path::Search, judged)
        }
        Found::Illegal { stuck, order } => {
            let violation = complete::violation(&timeline, stuck, &order);
            fail(&violation, Path::Search, judged)
        }
        Found::Spent => {
            let reason = Reason::Budget {
                steps: budget.steps - *steps,
                left: format!(
                    "an order of {judged} operations, {} of unknown outcome",
                    timeline.unknown
                ),
            };
            report(Verdict::Unknown(reason), Path::Search, judged)
        }
    }
}

/// How many writes of unknown outcome the host saw applied, and how many not.
fn count_unknown(history: &[Op], applied: &[Applied]) -> (u64, u64) {
    let mut ids: Vec<u64> = applied.iter().filter_map(|a| a.op).collect();
    ids.sort_unstable();
    let (mut yes, mut no) = (0, 0);
    for op in history {
        if matches!(op.outcome, Outcome::Unknown(_)) && may_write(&op.call) {
            match ids.binary_search(&op.id) {
                Ok(_) => yes += 1,
                Err(_) => no += 1,
            }
        }
    }
    (yes, no)
}
