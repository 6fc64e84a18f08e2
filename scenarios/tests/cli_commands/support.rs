//! A made-up runner, and a console that remembers.

use squall::cli::{Console, go};
use squall::runner::{RunFailure, RunOptions};
use squall::sweep::{Runner, Stop, bug_names};
use squall::{Plan, Scenario, Schedule};
use squall_ci::Exit;
use squall_record::{
    Availability, Call, Check, Event, Fact, FaultPhase, Kind, Op, Outage, Outcome, Recovery,
    Resources, Ret, Run, RunPhase, Stats, Summary, Verdict, Why, Witness,
};
use std::ffi::OsString;
use std::path::Path;

const MS: u64 = 1_000_000;

/// A scenario that parses; its name is all that matters here.
pub(crate) fn scenario(name: &str) -> Scenario {
    Scenario::parse(name, &text(name)).unwrap()
}

pub(crate) fn text(name: &str) -> String {
    format!(
        "schema = 1\nname = \"{name}\"\nabout = \"Made up for a test.\"\n\n\
         [cluster]\nnodes = 3\n\n[workload]\nclients = 2\n\n\
         [[fault]]\nat = \"1s\"\nfor = \"1s\"\nlabel = \"a pause\"\npause = {{ node = \"leader\" }}\n"
    )
}

/// What a command left on its streams.
pub(crate) struct Said {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command line, 100 columns wide, nobody watching.
pub(crate) fn squall(args: &[&str], runner: &impl Runner) -> Said {
    squall_until(args, runner, &Stop::new())
}

pub(crate) fn squall_until(args: &[&str], runner: &impl Runner, stop: &Stop) -> Said {
    squall_on(args, runner, stop, 100)
}

pub(crate) fn squall_on(args: &[&str], runner: &impl Runner, stop: &Stop, width: usize) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = ["squall"].iter().chain(args).map(OsString::from);
    let mut console = Console::plain(&mut out, &mut err, width);
    let exit = go(args, runner, &mut console, stop);
    drop(console);
    Said {
        exit,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

/// A directory with scenario files in it, as an argument.
pub(crate) fn write_scenarios(dir: &Path, names: &[&str]) -> String {
    for name in names {
        std::fs::write(dir.join(format!("{name}.toml")), text(name)).unwrap();
    }
    dir.display().to_string()
}

/// The hash of a made-up run: a function of what the run is a function of.
pub(crate) fn hash(scenario: &Scenario, seed: u64, options: &RunOptions) -> String {
    let bugs = bug_names(options.bugs).len() as u64;
    let name: u64 = scenario.name.bytes().map(u64::from).sum();
    let mixed = (seed + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(name * 31 + bugs);
    format!("{mixed:016x}")
}

/// A run in which everything passed.
pub(crate) fn passes(
    scenario: &Scenario,
    seed: u64,
    options: &RunOptions,
) -> Result<Run, RunFailure> {
    Ok(run(scenario, seed, options, Vec::new()))
}

/// A run that returned a stale read.
pub(crate) fn fails(
    scenario: &Scenario,
    seed: u64,
    options: &RunOptions,
) -> Result<Run, RunFailure> {
    Ok(run(scenario, seed, options, vec![stale_read()]))
}

pub(crate) fn run(
    scenario: &Scenario,
    seed: u64,
    options: &RunOptions,
    failures: Vec<Check>,
) -> Run {
    let schedule = options.follow.clone().unwrap_or_else(|| Schedule {
        scenario: scenario.name.clone(),
        seed,
        clocks: Plan::draw(scenario, seed).clocks,
        faults: Vec::new(),
        crash_points: Vec::new(),
    });
    let mut checks = failures;
    if checks.is_empty() {
        checks.push(Check {
            name: "linearizable".into(),
            verdict: Verdict::Pass {
                judged: 900,
                unknown: 7,
            },
        });
    }
    checks.push(Check {
        name: "raft.election_safety".into(),
        verdict: Verdict::Pass {
            judged: 40,
            unknown: 0,
        },
    });
    Run {
        summary: Summary {
            scenario: scenario.name.clone(),
            seed,
            bugs: bug_names(options.bugs),
            world: "madsim".into(),
            hash: hash(scenario, seed, options),
            checks,
            inconclusive: Vec::new(),
            suspended: Vec::new(),
            stops: Vec::new(),
            availability: Some(availability()),
            resources: Resources {
                commits: 700,
                messages: 4_200,
                sent_bytes: 700_000,
                syncs: 1_900,
                written_bytes: 3_100_000,
                log_bytes: 131_072,
                snapshot_bytes: 2_900,
                unread: 0,
            },
            stats: Stats {
                simulated_ns: 40_000 * MS,
                events: 9_000,
                ops_ok: 880,
                ops_refused: 13,
                ops_unknown: 7,
                unknown_applied: 3,
                unknown_not_applied: 2,
                txns_ok: 90,
                keys: 12,
                faults_planned: 1,
                faults_fired: 1,
                restarts: 0,
                elections: 2,
                snapshots_installed: 1,
                messages: 5_200,
                syncs: 700,
                marks: [("raft.became_leader".to_owned(), 2)].into(),
                ..Stats::default()
            },
        },
        history: operations(),
        streams: Vec::new(),
        events: events(options.record),
        schedule: schedule.to_toml(),
        checkpoints: Vec::new(),
        trace: Vec::new(),
    }
}

fn stale_read() -> Check {
    Check {
        name: "linearizable".into(),
        verdict: Verdict::Fail(Box::new(Witness {
            guarantee: "a linearizable read returns the latest acknowledged write".into(),
            sentence: "stale read on k7: c3 read \"c1-41\" at 14.203s after \"c2-42\" was \
                       acknowledged at 13.871s"
                .into(),
            t: 14_203 * MS,
            node: Some(1),
            ops: operations(),
            facts: vec![
                Fact::new(
                    "#811",
                    "was answered at revision 42, 319 ms before #830 was sent",
                ),
                Fact::new(
                    "#830",
                    "returned the value of revision 41, which #811 had replaced",
                ),
            ],
            class: "stale read".into(),
        })),
    }
}

fn operations() -> Vec<Op> {
    use squall_api::pb;
    let header = |revision| {
        Some(pb::ResponseHeader {
            revision,
            ..Default::default()
        })
    };
    let put = |value: &'static str| {
        Call::Put(pb::PutRequest {
            key: "k7".into(),
            value: value.into(),
            ..Default::default()
        })
    };
    let op = |id, client, member, invoke, ret, call, outcome| Op {
        token: String::new(),
        id,
        client,
        process: client,
        member,
        invoke,
        ret,
        call,
        outcome,
    };
    vec![
        op(
            811,
            2,
            2,
            13_802 * MS,
            Some(13_871 * MS),
            put("c2-42"),
            Outcome::Ok(Ret::Put(pb::PutResponse {
                header: header(42),
                prev_kv: None,
            })),
        ),
        op(
            815,
            1,
            1,
            13_900 * MS,
            Some(14_100 * MS),
            put("c1-43"),
            Outcome::Unknown(Why::Timeout),
        ),
        op(
            830,
            3,
            1,
            14_190 * MS,
            Some(14_203 * MS),
            Call::Range(pb::RangeRequest {
                key: "k7".into(),
                ..Default::default()
            }),
            Outcome::Ok(Ret::Range(pb::RangeResponse {
                header: header(41),
                kvs: vec![pb::KeyValue {
                    key: "k7".into(),
                    value: "c1-41".into(),
                    mod_revision: 41,
                    ..Default::default()
                }],
                more: false,
                count: 1,
            })),
        ),
    ]
}

/// All events, or the notable ones.
fn events(all: bool) -> Vec<Event> {
    let event = |seq, t, node, kind| Event {
        seq,
        t: t * MS,
        node,
        cause: None,
        kind,
    };
    let role = |role, term, leader| Kind::Role { role, term, leader };
    let mut events = vec![
        event(
            0,
            0,
            None,
            Kind::Phase {
                phase: RunPhase::Boot,
            },
        ),
        event(40, 900, Some(1), role(squall_api::Role::Leader, 2, 1)),
        event(
            5_000,
            12_000,
            None,
            Kind::Fault {
                fault: 0,
                phase: FaultPhase::Start,
                label: "mute the leader".into(),
                what: "partition n1 -> n2 n3".into(),
            },
        ),
        event(
            5_400,
            13_400,
            Some(2),
            role(squall_api::Role::Candidate, 3, 0),
        ),
        event(5_420, 13_460, Some(2), role(squall_api::Role::Leader, 3, 2)),
        event(
            6_000,
            16_000,
            None,
            Kind::Fault {
                fault: 0,
                phase: FaultPhase::End,
                label: "mute the leader".into(),
                what: "partition n1 -> n2 n3".into(),
            },
        ),
    ];
    if all {
        let applied = Kind::Applied {
            index: 60,
            term: 3,
            op: Some(811),
            revision: 42,
        };
        events.insert(5, event(5_600, 13_870, Some(2), applied));
    }
    events
}

/// An outage of the run that everybody makes here, and how it ended.
fn availability() -> Availability {
    Availability {
        asked_ns: 36_000 * MS,
        outages: 1,
        out_ns: 1_800 * MS,
        longest: vec![Outage {
            from: 12_003 * MS,
            to: 13_803 * MS,
            owed_ns: 1_800 * MS,
            elected: vec![3],
            why: vec![
                "n1 led when it began".into(),
                "n1 was down from 12.020s to 13.500s".into(),
                "n3 won".into(),
            ],
        }],
        recoveries: vec![Recovery {
            fault: "cut the leader off".into(),
            ended: 13_500 * MS,
            took: Some(303 * MS),
        }],
    }
}
