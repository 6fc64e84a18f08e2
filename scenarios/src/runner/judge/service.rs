//! Whether members ran and the cluster served: what is judged from how a run went
//! and how it ended.

use super::super::story::Ending;
use super::super::suspend::may_stop;
use super::super::watch::Suspension;
use crate::format::{After, Expect, Scenario};
use crate::plan::Fired;
use squall_checkers::{progress, recovery, replicas};
use squall_record::{
    Availability, Check, Event, Fact, Kind, Op, Reason, Stop, Verdict, Witness, seconds,
};
use squall_sim::world::AppliedEntry;

/// A check of the members' final contents, if there are any.
pub(super) fn at_the_end(
    name: &str,
    ending: &Option<Ending>,
    check: impl FnOnce(&[replicas::Replica]) -> Check,
) -> Check {
    let skipped = |why: String| Check {
        name: name.into(),
        verdict: Verdict::Unknown(Reason::Skipped(why)),
    };
    match ending {
        None => skipped("a broken invariant ended the run".into()),
        Some(ending) => match &ending.replicas {
            Ok(finals) => check(finals),
            Err(why) => skipped(why.clone()),
        },
    }
}

pub(super) fn recovery(
    expect: &Expect,
    ending: &Option<Ending>,
    history: &[Op],
    events: &[Event],
) -> Option<Check> {
    let Expect::Recovers { after, within } = expect else {
        return None;
    };
    let label = match after {
        After::EveryFault => None,
        After::Label(label) => Some(label.as_str()),
    };
    let end = ending.as_ref().map_or(0, |ending| ending.load_end);
    Some(recovery::check(history, events, label, within.ns(), end))
}

/// No member ends by itself, but for a reason that a fault gives it.
/// Returns those that had one.
pub(super) fn members(
    events: &[Event],
    fired: &[Fired],
    suspension: Option<&Suspension>,
) -> (Vec<Stop>, Check) {
    let mut starts = 0;
    let mut stops = Vec::new();
    let mut broken = None;
    for event in events {
        match &event.kind {
            Kind::Started { .. } => starts += 1,
            Kind::Ended {
                reason,
                illegal: true,
            } => {
                if let Some(stop) = may_stop(event, fired, suspension) {
                    stops.push(stop);
                    continue;
                }
                let node = event.node.expect("a process ends on a node");
                broken.get_or_insert_with(|| {
                    Verdict::Fail(Box::new(Witness {
                        guarantee: "a member runs until it is stopped or its disk fails it, and \
                                    starts again from whatever a crash left on its disk"
                            .into(),
                        sentence: format!(
                            "n{node} ended by itself at {}: {reason}",
                            seconds(event.t)
                        ),
                        t: event.t,
                        node: event.node,
                        ops: Vec::new(),
                        facts: vec![Fact::new(format!("n{node}"), reason.clone())],
                        class: "ended-by-itself".into(),
                    }))
                });
            }
            _ => {}
        }
    }
    let passed = Verdict::Pass {
        judged: starts,
        unknown: 0,
    };
    let check = Check {
        name: "members".into(),
        verdict: broken.unwrap_or(passed),
    };
    (stops, check)
}

/// The cluster formed, and converged once everything was healed.
pub(super) fn liveness(ending: &Option<Ending>, t: u64) -> Check {
    let verdict = match ending {
        None => Verdict::Unknown(Reason::Skipped("a broken invariant ended the run".into())),
        Some(Ending {
            converged: Ok(()), ..
        }) => Verdict::Pass {
            judged: 1,
            unknown: 0,
        },
        Some(Ending {
            converged: Err(reason),
            ..
        }) => Verdict::Fail(Box::new(Witness {
            guarantee: "once every fault is healed, all members serve and converge".into(),
            sentence: format!("the cluster had not converged at {}: {reason}", seconds(t)),
            t,
            node: None,
            ops: Vec::new(),
            facts: vec![Fact::new("the cluster", reason.clone())],
            class: "no-convergence".into(),
        })),
    };
    Check {
        name: "liveness".into(),
        verdict,
    }
}

/// Progress came while it was owed; and how the cluster served.
pub(super) fn progress(
    scenario: &Scenario,
    ending: &Ending,
    history: &[Op],
    events: &[Event],
    applied: &[AppliedEntry],
) -> (Check, Availability) {
    let done = applied.iter().filter(|entry| entry.op.is_some());
    let done: Vec<u64> = done.map(|entry| entry.t).collect();
    let terms = progress::Terms {
        election_timeout: scenario.cluster.election_timeout.ns(),
        from: ending.load_begin,
        until: ending.load_end,
    };
    progress::check(history, events, &ending.seen.conditions, &done, terms)
}

/// Whoever watched was told of everything once the cluster was whole.
pub(super) fn told_in_time(ending: &Option<Ending>, t: u64) -> Check {
    let verdict = match ending {
        Some(ending) if ending.converged.is_ok() => match ending.late.first() {
            None => Verdict::Pass {
                judged: ending.caches.len() as u64,
                unknown: 0,
            },
            Some(late) => Verdict::Fail(Box::new(Witness {
                guarantee: "once every fault is healed, an open watch is told of every change"
                    .into(),
                sentence: late.clone(),
                t,
                node: None,
                ops: Vec::new(),
                facts: ending
                    .late
                    .iter()
                    .map(|l| Fact::new("late", l.clone()))
                    .collect(),
                class: "not-told".into(),
            })),
        },
        _ => Verdict::Unknown(Reason::Skipped("the cluster did not converge".into())),
    };
    Check {
        name: "watch.live".into(),
        verdict,
    }
}
