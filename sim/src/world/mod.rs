//! The world on madsim: members, clients and faults under one conductor.
//!
//! madsim brings deterministic tasks and their destruction; time, network,
//! disk and processes are our own physics. A single *conductor* owns a queue
//! of everything that is due, ordered by true time. It takes the next thing,
//! lets exactly one task run, and waits until that task has come to rest, so
//! that the executor never has a choice to make.
//!
//! [`simulate`] runs one async function, the scenario, against a [`World`]:
//!
//! 1. [`World::start`] the members;
//! 2. [`World::spawn`] clients (each with a [`World::client`]) and whoever
//!    injects faults;
//! 3. wait with [`World::sleep_until`] and [`World::join`], and return.
//!
//! Tasks may await nothing but what this module offers: anything else would
//! let the executor choose.

mod client;
mod conductor;
mod conns;
mod faults;
mod inner;
mod lane;
mod marks;
mod process;
mod queue;
mod recorder;
mod wire;

pub use client::SimClient;
pub use inner::{AppliedEntry, Violation};
pub use marks::AtMark;
pub use process::Standing;
pub use recorder::Keep;

use crate::{ClockParams, DiskParams, LinkParams, Net, NodeClock, NodeDisk, PowerLoss, Streams};
use inner::{Inner, Task};
use lane::{LaneHost, run_lane};
use process::{Exit, Lane, LaneState, Node};
use queue::Due;
use recorder::Recorder;
use squall_api::eraftpb::Message;
use squall_api::{Bugs, Code, Config, Effects, Env, Machine, Now, OpenError, Status, View};
use squall_record::{Event, FaultPhase, Kind, Op, RunPhase, Stats};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// What a world is made of. Member ids are 1 to `members.len()`.
#[derive(Clone)]
pub struct Setup {
    /// The root of all randomness.
    pub seed: u64,
    /// Each member's settings and clock.
    pub members: Vec<MemberSetup>,
    /// Every disk.
    pub disk: DiskParams,
    /// Links between members.
    pub link: LinkParams,
    /// Links between clients and members: loss and duplication do not apply,
    /// they are connections.
    pub client_link: LinkParams,
    /// What each step takes of its lane's time besides the disk's, in
    /// nanoseconds. A step's effects leave so much later.
    pub step_cost: u64,
    /// How many clients the run has.
    pub clients: u32,
    /// The planted bugs, in every member.
    pub bugs: Bugs,
    /// How much is kept.
    pub keep: Keep,
}

/// One member.
#[derive(Clone)]
pub struct MemberSetup {
    /// Its settings.
    pub config: Config,
    /// Its node's clocks.
    pub clock: ClockParams,
    /// Opens its process: [`store`], or another machine that speaks the same.
    pub open: Open,
}

/// Opens a member from its disk.
pub type Open = Arc<dyn Fn(Env, Now) -> Result<Lanes, OpenError> + Send + Sync>;

/// A member's two lanes.
pub struct Lanes {
    /// Raft and the write-ahead log.
    pub raft: Box<dyn Machine>,
    /// The state machine and the clients.
    pub apply: Box<dyn Machine>,
}

/// The store under test.
pub fn store() -> Open {
    Arc::new(|env, now| {
        let (raft, apply) = squall_store::open(env, now)?;
        Ok(Lanes {
            raft: Box::new(raft),
            apply: Box::new(apply),
        })
    })
}

/// Watches the members' views while the run goes on.
pub trait Observer: Send {
    /// A member showed something; an error is a broken invariant and ends the
    /// run.
    fn view(&mut self, t: u64, node: u64, view: &View) -> Result<(), Violation>;
    /// A message left a member: what it told others, it must never forget.
    fn sent(&mut self, t: u64, node: u64, msg: &Message) -> Result<(), Violation>;
    /// A member's process starts.
    fn started(&mut self, node: u64);
    /// A member's process is gone, with everything that was only in memory.
    fn crashed(&mut self, node: u64);
    /// A member's disk was replaced by an empty one: whatever it promised is
    /// forgotten.
    fn wiped(&mut self, node: u64) {
        let _ = node;
    }
}

/// What a run leaves, besides what the scenario returned.
pub struct Simulated<T> {
    /// What the scenario returned; `None` if a violation ended the run first.
    pub value: Option<T>,
    /// Every operation, in order of invocation.
    pub history: Vec<Op>,
    /// The events that were kept.
    pub events: Vec<Event>,
    /// The order in which entries were applied.
    pub applied: Vec<AppliedEntry>,
    /// The first broken invariant, if one was.
    pub violation: Option<Violation>,
    /// Counts.
    pub stats: Stats,
    /// The rolling hash over all events and payloads.
    pub hash: u64,
}

/// A panic inside a run: always a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked {
    /// What the panic said.
    pub message: String,
}

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
        runtime.block_on(run(setup, observer, scenario))
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

async fn run<T, S, F>(setup: Setup, observer: Box<dyn Observer>, scenario: S) -> Simulated<T>
where
    T: Send + 'static,
    S: FnOnce(World) -> F + Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let executor = madsim::runtime::Handle::current();
    let streams = Streams::new(setup.seed);
    let count = setup.members.len() as u64;
    let shared = Arc::new(Shared {
        inner: Mutex::new(None),
    });
    let mut nodes = Vec::new();
    for (id, member) in (1u64..).zip(&setup.members) {
        let (world, member_of, bugs, seed) =
            (shared.clone(), member.clone(), setup.bugs, setup.seed);
        let clock = NodeClock::new(member.clock.clone());
        let machine = executor
            .create_node()
            .name(format!("n{id}"))
            .init(move || boot(world.clone(), id, member_of.clone(), bugs, seed))
            .build();
        // Building a node runs its init; processes start when they are told to.
        executor.kill(machine.id());
        nodes.push(Node {
            machine: machine.id(),
            disk: NodeDisk::new(id, setup.disk.clone(), &streams),
            clock,
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
            lanes: [LaneState::default(), LaneState::default()],
            standing: Standing::of_nobody(),
        });
    }
    // The killed init tasks are dropped before anything else runs.
    madsim::time::sleep(std::time::Duration::from_millis(1)).await;

    let net = Net::new(
        count,
        setup.link.clone(),
        setup.client_link.clone(),
        &streams,
    );
    let recorder = Recorder::new(setup.keep, setup.seed);
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
    conductor::conduct(&shared).await;

    // Tear down: nothing of a process may act any more, and every task is
    // dropped before the runtime is.
    let machines: Vec<_> = {
        let inner = shared.lock();
        let now = inner.now;
        inner
            .nodes
            .iter()
            .map(|node| (node.machine, node.disk.clone(), now))
            .collect()
    };
    for (machine, disk, now) in machines {
        disk.crash(now, PowerLoss::Kept);
        executor.kill(machine);
    }
    madsim::time::sleep(std::time::Duration::from_millis(1)).await;

    let mut inner = shared.inner.lock().unwrap_or_else(PoisonError::into_inner);
    let mut inner = inner.take().expect("the world is there until here");
    inner.end_of_run();
    for node in &inner.nodes {
        inner.recorder.hash.mix_u64(node.disk.take_hash());
    }
    let events_seen = inner.recorder.events_seen();
    let mut stats = inner.recorder.stats;
    stats.events = events_seen;
    stats.marks = inner.marks.totals();
    stats.simulated_ns = inner.now;
    Simulated {
        value: result.lock().unwrap_or_else(PoisonError::into_inner).take(),
        history: inner.recorder.history,
        events: inner.recorder.events,
        applied: inner.applied,
        violation: inner.violation,
        stats,
        hash: inner.recorder.hash.value(),
    }
}

/// A process's first task. It never ends: madsim takes its end for the node's.
async fn boot(shared: Arc<Shared>, node: u64, member: MemberSetup, bugs: Bugs, seed: u64) {
    open_member(shared, node, member, bugs, seed);
    std::future::pending::<()>().await;
}

/// Opens the member and starts its lanes.
fn open_member(shared: Arc<Shared>, node: u64, member: MemberSetup, bugs: Bugs, seed: u64) {
    let (env, now, disk) = {
        let mut inner = shared.lock();
        let t = inner.now;
        let state = inner.node(node);
        let mount = state.disk.mount();
        state.disk.begin_step(t);
        let incarnation = state.incarnation;
        let now = state.clock.now(t);
        inner
            .recorder
            .notable(t, Some(node), Kind::Started { incarnation });
        inner.observer.started(node);
        if incarnation > 0 {
            inner.recorder.stats.restarts += 1;
        }
        let rng = Streams::new(seed).rng("member", node << 32 | u64::from(incarnation));
        (
            Env {
                disk: mount.clone(),
                rng,
                bugs,
                cfg: member.config,
            },
            now,
            mount,
        )
    };
    let opened = (member.open)(env, now);
    let mut inner = shared.lock();
    let t = inner.now;
    match opened {
        Ok(Lanes { raft, apply }) => {
            let spent = inner.node(node).disk.spent();
            for lane in Lane::BOTH {
                let state = inner.node(node).lane(lane);
                state.busy_until = t + spent;
                // A lane that was opened is due at once.
                state.deadline = Some(0);
                inner.arm(node, lane);
            }
            inner.running += 2;
            let raft_host = LaneHost {
                shared: shared.clone(),
                node,
                lane: Lane::Raft,
                begun: false,
            };
            let apply_host = LaneHost {
                shared: shared.clone(),
                node,
                lane: Lane::Apply,
                begun: false,
            };
            let fx = Effects::new(disk.clone());
            madsim::task::spawn(run_lane(raft_host, raft, fx));
            let fx = Effects::new(disk);
            madsim::task::spawn(run_lane(apply_host, apply, fx));
        }
        Err(error) => {
            // It ends when what it did on its disk until then is over.
            let at = t + inner.node(node).disk.spent();
            let incarnation = inner.node(node).incarnation;
            let exit = Exit {
                reason: format!("cannot open: {error}"),
                illegal: true,
                asked: false,
            };
            let due = Due::Exit {
                node,
                incarnation,
                exit,
            };
            inner.queue.push(at, due);
        }
    }
    inner.park();
}

/// The world's state, shared by the conductor and all tasks of one thread.
pub(crate) struct Shared {
    inner: Mutex<Option<Inner>>,
}

/// The lock, as if the world were always there: it is, while tasks run.
pub(crate) struct InnerGuard<'a>(MutexGuard<'a, Option<Inner>>);

impl std::ops::Deref for InnerGuard<'_> {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        self.0.as_ref().expect("the world outlives its tasks")
    }
}

impl std::ops::DerefMut for InnerGuard<'_> {
    fn deref_mut(&mut self) -> &mut Inner {
        self.0.as_mut().expect("the world outlives its tasks")
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> InnerGuard<'_> {
        InnerGuard(self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(crate) fn connection_refused() -> Status {
    Status::new(Code::Unavailable, "connection refused")
}

/// A handle to the world, for the tasks of a scenario.
#[derive(Clone)]
pub struct World {
    shared: Arc<Shared>,
    clients: u32,
}

/// A task of the scenario.
#[derive(Debug)]
pub struct Running(u32);

impl World {
    /// True time in nanoseconds since the start of the run.
    pub fn now(&self) -> u64 {
        self.shared.lock().now
    }

    /// Starts a task. It runs when the conductor gets to it.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Running {
        let task = {
            let mut inner = self.shared.lock();
            let task = inner.tasks.len() as u32;
            inner.tasks.push(Task {
                done: false,
                woken: false,
                begin: None,
                joiner: None,
            });
            // The poll that leaves the waker.
            inner.running += 1;
            let now = inner.now;
            inner.queue.push(now, Due::Begin { task });
            task
        };
        madsim::task::spawn(Baton {
            shared: self.shared.clone(),
            task,
            begun: false,
            future: Box::pin(future),
        });
        Running(task)
    }

    /// Waits until a task has ended.
    pub async fn join(&self, task: Running) {
        poll_fn(|cx| {
            let mut inner = self.shared.lock();
            let current = inner.current_task;
            let state = &mut inner.tasks[task.0 as usize];
            if state.done {
                return Poll::Ready(());
            }
            state.joiner = Some((current, cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// Waits until true time `t`.
    pub async fn sleep_until(&self, t: u64) {
        let mut armed = false;
        poll_fn(|cx| {
            let mut inner = self.shared.lock();
            if inner.now >= t {
                return Poll::Ready(());
            }
            if !armed {
                armed = true;
                let task = inner.current_task;
                inner.queue.push(
                    t,
                    Due::Wake {
                        task,
                        waker: cx.waker().clone(),
                    },
                );
            }
            Poll::Pending
        })
        .await;
    }

    /// Waits for `ns` nanoseconds of true time.
    pub async fn sleep(&self, ns: u64) {
        self.sleep_until(self.now().saturating_add(ns)).await;
    }

    /// Waits until the mark `name` is passed for the `nth` time from this call
    /// on, by whatever member, and yields that member. 1 is the next time.
    ///
    /// A mark is a moment in a step. Whoever waits for it acts *at* that moment:
    /// a crash, cut or pause from there comes before every later effect of the
    /// step, and a crash takes what the step did on its disk after it. (Disk
    /// operations that took no time at all happen in the same nanosecond, and
    /// stay.) Await it where nothing else is awaited before the fault.
    pub fn at_mark(&self, name: &str, nth: u64) -> AtMark {
        AtMark::new(self.shared.clone(), name, None, nth)
    }

    /// As [`World::at_mark`], counting only the times that `node` passes it.
    pub fn at_mark_of(&self, node: u64, name: &str, nth: u64) -> AtMark {
        AtMark::new(self.shared.clone(), name, Some(node), nth)
    }

    /// A client. Its number must be below the setup's `clients`, and be used once.
    pub fn client(&self, client: u32) -> SimClient {
        assert!(client < self.clients, "client {client} of {}", self.clients);
        SimClient::new(self.shared.clone(), client, self.clients)
    }

    // --- looking ---

    /// How many members there are; their ids are 1 to this.
    pub fn members(&self) -> u64 {
        self.shared.lock().nodes.len() as u64
    }

    /// Whether a member's process runs, paused or not.
    pub fn is_up(&self, node: u64) -> bool {
        self.shared.lock().node(node).up
    }

    /// Why a member's process ended by itself, if it did.
    pub fn ended(&self, node: u64) -> Option<String> {
        self.shared.lock().node(node).ended.clone()
    }

    /// How often a member passed a named point in the code.
    pub fn marks(&self, node: u64, name: &str) -> u64 {
        self.shared.lock().marks.passed(node, name)
    }

    /// A member's role and progress, as its last views showed them.
    pub fn standing(&self, node: u64) -> Standing {
        self.shared.lock().node(node).standing
    }

    /// The running member that leads in the highest term, if one does.
    pub fn leader(&self) -> Option<u64> {
        let inner = self.shared.lock();
        (1u64..)
            .zip(&inner.nodes)
            .filter(|(_, node)| node.up && node.standing.role == squall_api::Role::Leader)
            .max_by_key(|(_, node)| node.standing.term)
            .map(|(id, _)| id)
    }

    // --- telling ---

    /// Notes that a phase of the run begins.
    pub fn phase(&self, phase: RunPhase) {
        let mut inner = self.shared.lock();
        let now = inner.now;
        inner.recorder.notable(now, None, Kind::Phase { phase });
    }

    /// Notes that a fault sets in or ends.
    pub fn fault(&self, fault: u32, phase: FaultPhase, label: &str, what: &str) {
        let mut inner = self.shared.lock();
        let now = inner.now;
        let (label, what) = (label.to_owned(), what.to_owned());
        inner.recorder.notable(
            now,
            None,
            Kind::Fault {
                fault,
                phase,
                label,
                what,
            },
        );
        if phase == FaultPhase::Start {
            inner.recorder.stats.faults_fired += 1;
        }
    }
}

/// A task of the scenario, which hands the baton back after each poll.
struct Baton {
    shared: Arc<Shared>,
    task: u32,
    /// madsim polls what was spawned together in an order that it draws, and
    /// how often it drew before depends on every other task. So the first poll
    /// only leaves a waker, and the task begins when its turn in the queue
    /// comes.
    begun: bool,
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Future for Baton {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut inner = self.shared.lock();
            if !self.begun {
                inner.tasks[self.task as usize].begin = Some(cx.waker().clone());
                inner.park();
                drop(inner);
                self.begun = true;
                return Poll::Pending;
            }
            inner.current_task = self.task;
            inner.tasks[self.task as usize].woken = false;
        }
        let poll = pin!(&mut self.future).poll(cx);
        let mut inner = self.shared.lock();
        if poll.is_ready() {
            let state = &mut inner.tasks[self.task as usize];
            state.done = true;
            if let Some((task, waker)) = state.joiner.take() {
                inner.wake(task, waker);
            }
        }
        inner.park();
        poll
    }
}
