//! The verdicts on a run, and whether it proves anything.

mod load;
mod service;

use super::setup::CLUSTER;
use super::story::Ending;
use super::suspend::suspend;
use super::tally;
use super::watch::Watch;
use crate::format::{CheckSpec, Expect, FaultAction, Scenario};
use crate::plan::Schedule;
use load::{count, proves_nothing};
use service::{at_the_end, liveness, members, recovery, told_in_time};
use squall_api::{Bug, Bugs};
use squall_checkers::auth::{self, Took};
use squall_checkers::lease::{self, Ended};
use squall_checkers::linearizable::{self, Applied, Budget};
use squall_checkers::{alarms, budget, compaction};
use squall_checkers::{durability, line, monotonic, replicas, watch};
use squall_record::{Call, Check, Op, Outcome, Run, Stream, Summary, Verdict};
use squall_sim::world::{AppliedEntry, Simulated};
use std::collections::BTreeMap;

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
        mut resources,
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
    let versions = observer.finish_versions(&history);
    if scenario.is_about_versions() || matches!(versions.verdict, Verdict::Fail(_)) {
        checks.push(versions);
    }
    checks.extend(observer.finish_promotions(&history));
    let (stops, own_end) = members(&events, &schedule.faults, suspension.as_ref());
    checks.push(own_end);
    checks.push(liveness(&value, stats.simulated_ns));
    let mut availability = None;
    if let Some(ending) = value.as_ref().filter(|v| v.load_begin < v.load_end) {
        let (check, served) = service::progress(scenario, ending, &history, &events, &applied);
        checks.push(check);
        availability = Some(served);
        resources.log_bytes = ending.seen.log_bytes;
        let budgets = scenario.expects.iter().filter_map(|expect| match expect {
            Expect::Budget(budget) => Some(budget),
            Expect::Recovers { .. } | Expect::Load { .. } => None,
        });
        checks.extend(budgets.flat_map(|budget| budget::check(&resources, budget)));
    }
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
        availability,
        resources,
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
        // Where nothing is noted, a change of leader gives back all.
        checkpoint_interval: match scenario.is_about_versions() {
            true => u64::MAX / 2,
            false => config.lease_checkpoint_interval,
        },
        election_timeout: config.election_timeout,
        request_timeout: config.request_timeout,
    }
}
