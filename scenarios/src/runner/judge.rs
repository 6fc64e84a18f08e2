//! The verdicts on a run, and whether it proves anything.

use super::setup::CLUSTER;
use super::story::Ending;
use super::suspend::{may_stop, suspend};
use super::tally;
use super::watch::{Suspension, Watch};
use crate::format::{After, CheckSpec, Expect, FaultAction, Scenario};
use crate::plan::{Fired, Schedule};
use bytes::Bytes;
use squall_api::pb::request_op::Request as RequestOp;
use squall_api::{Bug, Bugs, pb};
use squall_checkers::auth::{self, Took};
use squall_checkers::lease::{self, Ended};
use squall_checkers::linearizable::{self, Applied, Budget};
use squall_checkers::{alarms, compaction};
use squall_checkers::{durability, line, monotonic, recovery, replicas, watch};
use squall_record::{
    Call, Check, Event, Fact, Kind, Op, Outcome, Reason, Ret, Run, Stats, Stop, Stream, Summary,
    Verdict, Witness, seconds,
};
use squall_sim::world::{AppliedEntry, Simulated};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that a run left.
pub(super) struct Evidence<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) seed: u64,
    pub(super) bugs: Bugs,
    pub(super) faults_planned: u64,
    pub(super) schedule: Schedule,
    pub(super) simulated: Simulated<Ending>,
    pub(super) watch: Watch,
    /// How many processes, clocks or connections each fault found to hit.
    pub(super) hits: BTreeMap<u32, u64>,
}

pub(super) fn judge(evidence: Evidence<'_>) -> Run {
    let Evidence {
        scenario,
        seed,
        bugs,
        faults_planned,
        schedule,
        simulated,
        watch: observer,
        hits,
    } = evidence;
    let Simulated {
        value,
        history,
        streams,
        events,
        applied,
        violation,
        mut stats,
        disk_faults,
        link_hits,
        hash,
        checkpoints,
        trace,
    } = simulated;
    let broken = violation.is_some();
    let orders = orders(&history, &applied);

    let is_watch = |stream: &&Stream| matches!(stream.said[0].message, Call::Watch(_));
    let watched: Vec<Stream> = streams.iter().filter(is_watch).cloned().collect();
    let suspension = observer.suspension();
    let mut checks = Vec::new();
    for spec in &scenario.checks {
        match spec {
            CheckSpec::Linearizable { budget } => {
                let budget = Budget {
                    steps: *budget,
                    ..Budget::default()
                };
                let report = linearizable::check(&history, Some(&orders), budget);
                stats.unknown_applied = report.unknown_applied.unwrap_or_default();
                stats.unknown_not_applied = report.unknown_not_applied.unwrap_or_default();
                checks.push(Check {
                    name: "linearizable".into(),
                    verdict: report.verdict,
                });
            }
            CheckSpec::Raft => checks.extend(observer.finish()),
            CheckSpec::Durable => checks.push(at_the_end("durability", &value, |finals| {
                durability::check(&history, finals)
            })),
            CheckSpec::ReplicasAgree => {
                checks.push(at_the_end("replicas", &value, replicas::check));
            }
            // Where nobody watches there is nothing to judge.
            CheckSpec::Watch if watched.is_empty() => {}
            CheckSpec::Watch => {
                let caches = value.as_ref().map_or(&[][..], |ending| &ending.caches);
                checks.extend(watch::check(&watched, caches, &history, Some(&orders)));
                checks.push(told_in_time(&value, stats.simulated_ns));
            }
        }
    }
    checks.push(monotonic::check(&history, &events));
    checks.extend(compaction::check(&history));
    if !broken {
        let differ =
            |check: &Check| check.name == "replicas" && matches!(check.verdict, Verdict::Fail(_));
        let quota = scenario.cluster.member(CLUSTER, 1).quota_bytes;
        let differ = checks.iter().any(differ);
        checks.push(alarms::check(&history, quota, differ));
    }
    let ended: Vec<Ended> = applied.iter().filter_map(ended).collect();
    let workload = &scenario.workload;
    if workload.locks.count + workload.elections.candidates > 0 {
        checks.extend(line::check(&history, &streams, Some(&orders), &ended));
        stats.unsafe_holds = line::both_believe(&history, &ended);
    }
    if workload.owners() > 0 {
        let until = value.as_ref().map_or(stats.simulated_ns, |v| v.load_end);
        let terms = lease_terms(scenario);
        checks.extend(lease::check(&history, &events, &ended, terms, until));
    }
    if scenario.workload.auth.users > 0 {
        let took: Vec<Took> = applied.iter().map(took).collect();
        let terms = auth::Terms {
            token_ttl: scenario.cluster.auth_token_ttl.ns(),
            drift_ppm: drift_ppm(scenario),
        };
        checks.extend(auth::check(&history, &streams, &events, Some(&took), terms));
    }
    let (stops, own_end) = members(&events, &schedule.faults, suspension.as_ref());
    checks.push(own_end);
    checks.push(liveness(&value, stats.simulated_ns));
    checks.extend((scenario.expects.iter()).filter_map(|e| recovery(e, &value, &history, &events)));
    if broken && !checks.iter().any(|c| matches!(c.verdict, Verdict::Fail(_))) {
        // The scenario does not ask for the check that ended the run.
        let violation = violation.expect("the run was broken");
        let verdict = Verdict::Fail(violation.witness);
        checks.push(Check {
            name: violation.check.into(),
            verdict,
        });
    }

    let suspended = match &suspension {
        Some(suspension) => suspend(&mut checks, suspension),
        None => Vec::new(),
    };
    stats.stops = stops.len() as u64;
    stats.suspended = suspended.len() as u64;
    stats.faults = tally::faults(&schedule.faults, &hits, &link_hits, &disk_faults);
    stats.faults_planned = faults_planned;
    count(&history, &mut stats);
    let inconclusive = if broken {
        Vec::new()
    } else {
        proves_nothing(scenario, &stats)
    };
    let summary = Summary {
        scenario: scenario.name.clone(),
        seed,
        bugs: Bug::ALL
            .iter()
            .filter(|bug| bugs.has(**bug))
            .map(|bug| bug.name().to_owned())
            .collect(),
        world: "madsim".into(),
        hash: format!("{hash:016x}"),
        checks,
        inconclusive,
        suspended,
        stops,
        stats,
    };
    Run {
        summary,
        history,
        streams,
        events,
        schedule: schedule.to_toml(),
        checkpoints,
        trace,
    }
}

fn ended(entry: &AppliedEntry) -> Option<Ended> {
    Some(Ended {
        lease: entry.lease?,
        t: entry.t,
        revision: entry.revision,
        expired: entry.op.is_none(),
    })
}

/// What took effect on the keys, in order. A write of which nobody knows what came
/// of it, and that took no revision, had none: it may have been refused when it was
/// applied.
fn orders(history: &[Op], applied: &[AppliedEntry]) -> Vec<Applied> {
    let mut orders = Vec::new();
    let mut revision = 1;
    for entry in applied {
        let before = std::mem::replace(&mut revision, entry.revision);
        let op = entry.op.filter(|op| {
            let Op { call, outcome, .. } = &history[*op as usize];
            let is_write = matches!(call, Call::Put(_) | Call::DeleteRange(_) | Call::Txn(_));
            let is_open = matches!(outcome, Outcome::Unknown(_));
            !(is_write && is_open && entry.revision == before)
        });
        if op.is_some() || entry.lease.is_some() {
            orders.push(Applied {
                op,
                lease: entry.lease,
                revision: entry.revision,
            });
        }
    }
    orders
}

fn took(entry: &AppliedEntry) -> Took {
    Took {
        op: entry.op,
        lease: entry.lease,
        t: entry.t,
        revision: entry.revision,
    }
}

/// How wrong a clock may run. Drifts add up.
fn drift_ppm(scenario: &Scenario) -> u64 {
    let own = scenario.cluster.clock.drift_ppm;
    let skews = scenario.faults.iter().map(|fault| match &fault.action {
        FaultAction::ClockSkew { drift_ppm, .. } => drift_ppm.unsigned_abs(),
        _ => 0,
    });
    own.min.unsigned_abs().max(own.max.unsigned_abs()) + skews.sum::<u64>()
}

/// What a scenario's members promise about leases.
fn lease_terms(scenario: &Scenario) -> lease::Terms {
    let cluster = &scenario.cluster;
    let config = cluster.member(CLUSTER, 1);
    lease::Terms {
        min_ttl: config.min_lease_ttl(),
        drift_ppm: drift_ppm(scenario),
        checkpoint_interval: config.lease_checkpoint_interval,
        election_timeout: config.election_timeout,
        request_timeout: config.request_timeout,
    }
}

/// A check of the members' final contents, if there are any.
fn at_the_end(
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

fn recovery(
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

/// No member ends by itself, but for a reason that a fault of its disk gives it.
/// Returns those that had one.
fn members(
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
fn liveness(ending: &Option<Ending>, t: u64) -> Check {
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

/// Whoever watched was told of everything once the cluster was whole.
fn told_in_time(ending: &Option<Ending>, t: u64) -> Check {
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

/// Counts what only the history shows.
fn count(history: &[Op], stats: &mut Stats) {
    let mut keys = BTreeSet::new();
    for op in history {
        if matches!(&op.outcome, Outcome::Ok(Ret::Txn(_))) {
            stats.txns_ok += 1;
        }
        match &op.call {
            Call::Put(put) => {
                keys.insert(&put.key);
            }
            Call::Txn(txn) => named_in(txn, &mut keys),
            Call::Range(range) if range.range_end.is_empty() => {
                keys.insert(&range.key);
            }
            // A range over several keys names none of them.
            _ => {}
        }
    }
    stats.keys = keys.len() as u64;
}

/// The keys that a transaction puts or compares.
fn named_in<'a>(txn: &'a pb::TxnRequest, keys: &mut BTreeSet<&'a Bytes>) {
    keys.extend(
        txn.compare
            .iter()
            .filter(|c| c.range_end.is_empty())
            .map(|c| &c.key),
    );
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(RequestOp::RequestPut(put)) => {
                keys.insert(&put.key);
            }
            Some(RequestOp::RequestTxn(nested)) => named_in(nested, keys),
            Some(RequestOp::RequestRange(_) | RequestOp::RequestDeleteRange(_)) | None => {}
        }
    }
}

/// Why a run without a failure proves nothing, if it does not.
fn proves_nothing(scenario: &Scenario, stats: &Stats) -> Vec<String> {
    let mut reasons = Vec::new();
    if stats.faults_fired < stats.faults_planned {
        let Stats {
            faults_fired,
            faults_planned,
            ..
        } = stats;
        reasons.push(format!(
            "only {faults_fired} of {faults_planned} faults fired"
        ));
    }
    for expect in &scenario.expects {
        let Expect::Load {
            ok,
            keys,
            transactions,
        } = expect
        else {
            continue;
        };
        if stats.ops_ok < *ok {
            reasons.push(format!(
                "only {} operations returned ok, of {ok} expected",
                stats.ops_ok
            ));
        }
        if stats.keys > *keys {
            reasons.push(format!(
                "{} keys were used, expected at most {keys}",
                stats.keys
            ));
        }
        let share = stats.txns_ok as f64 / stats.ops_ok.max(1) as f64;
        if share < transactions.get() {
            reasons.push(format!(
                "only {:.1}% of the operations were transactions, expected {:.1}%",
                100.0 * share,
                100.0 * transactions.get()
            ));
        }
    }
    reasons
}
