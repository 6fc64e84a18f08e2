//! One run, from an empty world to what it leaves.

use super::conductor;
use super::handle::World;
use super::inner::Inner;
use super::process::{LaneState, Node, Standing};
use super::recorder::Recorder;
use super::setup::{Observer, Panicked, Setup, Simulated};
use super::shared::Shared;
use crate::{DiskStats, Net, NodeClock, NodeDisk, PowerLoss, Streams};
use squall_record::PartKind;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

/// Runs `scenario` in a world of its own, on a thread of its own: a second
/// madsim runtime on one thread would see another hash-map order.
pub fn simulate<T, S, F>(
    setup: Setup,
    observer: Box<dyn Observer>,
    scenario: S,
) -> Result<Simulated<T>, Panicked>
where
    T: Send + 'static,
    S: FnOnce(World) -> F + Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    #[expect(
        clippy::disallowed_methods,
        reason = "a fresh thread per run, and nothing else on it"
    )]
    let thread = std::thread::spawn(move || {
        let runtime =
            madsim::runtime::Runtime::with_seed_and_config(setup.seed, madsim::Config::default());
        runtime.block_on(async { run(setup, observer, scenario) })
    });
    thread.join().map_err(|panic| Panicked {
        message: match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => match panic.downcast::<&'static str>() {
                Ok(text) => (*text).to_owned(),
                Err(_) => "a panic without a message".to_owned(),
            },
        },
    })
}

fn run<T, S, F>(setup: Setup, observer: Box<dyn Observer>, scenario: S) -> Simulated<T>
where
    T: Send + 'static,
    S: FnOnce(World) -> F + Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let streams = Streams::new(setup.seed);
    let count = setup.members.len() as u64;
    let shared = Arc::new(Shared {
        inner: Mutex::new(None),
    });
    let mut nodes = Vec::new();
    for (id, member) in (1u64..).zip(&setup.members) {
        nodes.push(Node {
            member: member.clone(),
            disk: NodeDisk::new(id, setup.disk.clone(), &streams),
            clock: NodeClock::new(member.clock.clone()),
            up: false,
            ended: None,
            incarnation: 0,
            pauses: BTreeSet::new(),
            paused_since: 0,
            held: Vec::new(),
            held_exit: None,
            step_cost: setup.step_cost,
            slow: BTreeMap::new(),
            wipes: 0,
            doom: None,
            openings: Vec::new(),
            images: None,
            lanes: [LaneState::default(), LaneState::default()],
            standing: Standing::of_nobody(),
            configuration: None,
        });
    }
    let net = Net::new(
        count,
        setup.link.clone(),
        setup.client_link.clone(),
        &streams,
    );
    let recorder = Recorder::new(setup.keep, setup.trace, setup.seed);
    *shared.inner.lock().expect("nobody has panicked yet") =
        Some(Inner::new(&setup, nodes, net, recorder, observer));

    let world = World {
        shared: shared.clone(),
        clients: setup.clients,
    };
    let result: Arc<Mutex<Option<T>>> = Arc::new(Mutex::new(None));
    let (slot, scenario_world) = (result.clone(), world.clone());
    world.spawn(async move {
        let value = scenario(scenario_world.clone()).await;
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        scenario_world.shared.lock().stopped = true;
    });
    let lanes = conductor::conduct(&shared);

    // Tear down: nothing of a process may act any more when it is dropped, and
    // tasks hold the world that holds them.
    let tasks = {
        let mut inner = shared.lock();
        let now = inner.now;
        for node in &inner.nodes {
            node.disk.crash(now, PowerLoss::Kept);
        }
        std::mem::take(&mut inner.tasks)
    };
    drop(lanes);
    drop(tasks);

    let mut inner = shared.inner.lock().unwrap_or_else(PoisonError::into_inner);
    let mut inner = inner.take().expect("the world is there until here");
    inner.end_of_run();
    for node in &inner.nodes {
        let hash = node.disk.take_hash().to_le_bytes();
        inner.recorder.mix(PartKind::Disk, node.disk.node(), &hash);
    }
    let mut disk_faults = inner.replaced_disks;
    let disks: Vec<DiskStats> = inner.nodes.iter().map(|node| node.disk.stats()).collect();
    for stats in &disks {
        disk_faults.add(&stats.fired);
        inner.charge(stats);
    }
    inner.resources.commits = inner.applied_index;
    let hashed = inner.recorder.hashed();
    let events_seen = inner.recorder.events_seen();
    let mut stats = inner.recorder.stats;
    stats.events = events_seen;
    stats.marks = inner.marks.totals();
    stats.simulated_ns = inner.now;
    Simulated {
        value: result.lock().unwrap_or_else(PoisonError::into_inner).take(),
        history: inner.recorder.history,
        streams: inner.recorder.streams,
        events: inner.recorder.events,
        applied: inner.applied,
        violation: inner.violation,
        stats,
        disk_faults,
        resources: inner.resources,
        link_hits: inner.net.hits().clone(),
        hash: hashed.hash,
        checkpoints: hashed.checkpoints,
        trace: hashed.trace,
    }
}
