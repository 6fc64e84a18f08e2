//! Three real members on turmoil: puts, a crash with a torn disk, a restart,
//! and linearizable reads from everyone; and the same run, to the last byte, in
//! every process.
//!
//! turmoil allows one run a process, so this file holds one test, which starts
//! itself again for each run.

use squall_api::eraftpb::Message;
use squall_api::{Bugs, Config, Request, Response, View, pb};
use squall_checkers::raft::Invariants;
use squall_checkers::replicas::Chain;
use squall_record::{Outcome, Verdict, Witness};
use squall_sim::turmoil_world::{Setup, Simulated, World, simulate};
use squall_sim::world::{Lanes, MemberSetup, Observer, Violation};
use squall_sim::{ClockParams, DiskParams, PowerLoss};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MEMBERS: [u64; 3] = [1, 2, 3];
const SEED: &str = "SQUALL_TURMOIL_SMOKE_SEED";
const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const SECOND: Duration = Duration::from_secs(1);
/// What a new election may take.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn three_members_keep_their_data_through_a_crash_the_same_in_every_process() {
    #[expect(
        clippy::disallowed_methods,
        reason = "how the test tells itself which run it is"
    )]
    let seed = std::env::var(SEED);
    if let Ok(seed) = seed {
        let seed = seed.parse().expect("a seed");
        let seen = Seen::default();
        let run = simulate(setup(seed), Box::new(seen.clone()), story);
        let run = run.unwrap_or_else(|panic| panic!("{}", panic.message));
        if let Some(Violation { check, witness }) = run.violation {
            panic!("{check}: {}", witness.sentence);
        }
        seen.assert_judged();
        let Simulated {
            value,
            events,
            hash,
            ..
        } = run;
        println!("run: {value} calls, {events} events, hash {hash:016x}");
        return;
    }
    let first = run_elsewhere(7);
    assert_eq!(first, run_elsewhere(7), "the same seed, another process");
    assert_ne!(first, run_elsewhere(8), "another seed");
}

/// Runs this test in a fresh process; gives the line that it prints.
fn run_elsewhere(seed: u64) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--nocapture", "--test-threads=1"])
        .env(SEED, seed.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "seed {seed}:\n{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // The harness may have begun the line with the test's name.
    let run = text.lines().find_map(|line| line.split_once("run: "));
    run.expect("the run's line").1.to_owned()
}

/// The online checks, which the test asks for what they judged.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<(Invariants, Chain)>>);

impl Seen {
    fn assert_judged(self) {
        let (invariants, chain) = std::mem::take(&mut *self.0.lock().unwrap());
        for check in invariants.finish().into_iter().chain([chain.finish()]) {
            assert!(matches!(check.verdict, Verdict::Pass { .. }), "{check:?}");
        }
    }
}

fn violation(check: &'static str) -> impl FnOnce(Box<Witness>) -> Violation {
    move |witness| Violation { check, witness }
}

impl Observer for Seen {
    fn view(&mut self, t: u64, node: u64, view: &View) -> Result<(), Violation> {
        let (invariants, chain) = &mut *self.0.lock().unwrap();
        invariants
            .observe(t, node, view)
            .map_err(violation("raft"))?;
        match view {
            View::Applied(applied) | View::Installed(applied) | View::Opened(applied) => chain
                .observe(t, node, applied)
                .map_err(violation("replicas.chain")),
            _ => Ok(()),
        }
    }

    fn sent(&mut self, t: u64, node: u64, msg: &Message) -> Result<(), Violation> {
        let (invariants, _) = &mut *self.0.lock().unwrap();
        invariants.sent(t, node, msg).map_err(violation("raft"))
    }

    fn started(&mut self, node: u64) {
        self.0.lock().unwrap().0.restarted(node);
    }

    fn crashed(&mut self, node: u64) {
        self.0.lock().unwrap().0.crashed(node);
    }
}

fn setup(seed: u64) -> Setup {
    let member = |id| MemberSetup {
        config: Config::new(0xc0ffee, id, MEMBERS.to_vec()),
        clock: ClockParams {
            wall_offset_ns: 0,
            drift_ppm: 40.0 * id as f64,
        },
        open: Arc::new(|env, now| {
            let (raft, apply) = squall_store::open(env, now)?;
            Ok(Lanes {
                raft: Box::new(raft),
                apply: Box::new(apply),
            })
        }),
    };
    Setup {
        seed,
        members: MEMBERS.map(member).into(),
        disk: DiskParams {
            read: 50 * US..=200 * US,
            write: 2 * US..=10 * US,
            fsync: 200 * US..=2 * MS,
        },
        latency: MS / 2..=3 * MS,
        bugs: Bugs::NONE,
    }
}

/// Returns how many calls it took.
fn story(world: &mut World) -> u64 {
    let mut calls = 0;
    for i in 0..20 {
        calls += put(world, 1, &format!("k{i}"), "before");
    }

    // Step 1: member 3 crashes; the other two go on.
    world.crash(3, PowerLoss::Torn);
    let refused = world.call(3, range("k1"), SECOND);
    assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
    for i in 10..30 {
        calls += put(world, 2, &format!("k{i}"), "meanwhile");
    }

    // Step 2: it comes back, and catches up.
    world.restart(3);
    for member in MEMBERS {
        for (key, value) in [("k9", "before"), ("k10", "meanwhile"), ("k29", "meanwhile")] {
            assert_eq!(
                get(world, member, key).as_deref(),
                Some(value),
                "{key} on n{member}"
            );
        }
        assert_eq!(get(world, member, "none"), None);
    }

    // Step 3: power fails everywhere; what was acknowledged is still there.
    for member in MEMBERS {
        world.crash(member, PowerLoss::Lost);
    }
    for member in MEMBERS {
        world.restart(member);
    }
    for member in MEMBERS {
        assert_eq!(
            get(world, member, "k29").as_deref(),
            Some("meanwhile"),
            "n{member}"
        );
    }

    // Step 4: member 1 is cut off, and so cannot answer; later it can.
    for other in [2, 3] {
        world.hold(1, other);
    }
    world.run_for(3 * SECOND);
    let cut_off = world.call(1, range("k29"), 3 * SECOND);
    assert!(!matches!(cut_off, Outcome::Ok(_)), "{cut_off:?}");
    calls += put(world, 2, "k29", "without n1");
    for other in [2, 3] {
        world.release(1, other);
    }
    assert_eq!(get(world, 1, "k29").as_deref(), Some("without n1"));
    calls
}

/// Repeats an idempotent call until it is answered; gives how often it called.
fn insist(world: &mut World, member: u64, request: Request) -> (Response, u64) {
    let start = world.now();
    let mut calls = 0;
    loop {
        calls += 1;
        match world.call(member, request.clone(), SECOND) {
            Outcome::Ok(response) => return (response, calls),
            other if world.now() - start > PATIENCE.as_nanos() as u64 => {
                panic!("n{member}, {request:?}: {other:?}")
            }
            Outcome::Refused(_) | Outcome::Unknown(_) => world.run_for(SECOND / 20),
        }
    }
}

fn put(world: &mut World, member: u64, key: &str, value: &str) -> u64 {
    let request = Request::Put(pb::PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..Default::default()
    });
    insist(world, member, request).1
}

fn range(key: &str) -> Request {
    Request::Range(pb::RangeRequest {
        key: key.to_owned().into(),
        ..Default::default()
    })
}

fn get(world: &mut World, member: u64, key: &str) -> Option<String> {
    match insist(world, member, range(key)).0 {
        Response::Range(range) => {
            let kv = range.kvs.into_iter().next()?;
            Some(String::from_utf8(kv.value.into()).expect("text was put"))
        }
        other => panic!("{other:?}"),
    }
}
