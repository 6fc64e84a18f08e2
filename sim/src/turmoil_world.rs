//! The world on turmoil: the same members on the same disks and clocks, but
//! with byte streams between them, as in production: connections that are
//! dialled, break, and carry frames in pieces.
//!
//! It is for depth where the [world on madsim](crate::world) is for numbers of
//! seeds. turmoil moves time in ticks of a millisecond and runs one node at a
//! time within each, and tokio's timers are rounded up to a millisecond: an
//! effect leaves at its stamp or less than a millisecond later, never before.
//!
//! [`simulate`] runs inside a madsim runtime on a fresh thread, which makes
//! hash-map order and the system's clock the same in every process. What it
//! cannot reach is tokio's counter of tasks, a static that decides in which
//! order a crash drops them: therefore one run a process.

mod host;
mod peer;

use crate::world::{MemberSetup, Observer, Panicked, Violation};
use crate::{DiskParams, NodeDisk, PowerLoss, RollingHash, Streams};
use host::Node;
use squall_api::{Bugs, Code, Input, Metadata, ReqId, SessionId, Status};
use squall_record::{Call, Outcome, Why};
use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a world is made of. Member ids are 1 to `members.len()`.
#[derive(Clone)]
pub struct Setup {
    /// The root of all randomness.
    pub seed: u64,
    /// Each member's settings and clock.
    pub members: Vec<MemberSetup>,
    /// Every disk.
    pub disk: DiskParams,
    /// How long bytes take from member to member, in nanoseconds.
    pub latency: RangeInclusive<u64>,
    /// The planted bugs, in every member.
    pub bugs: Bugs,
}

/// What a run leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulated<T> {
    /// What the scenario returned.
    pub value: T,
    /// Every input and effect that was hashed.
    pub events: u64,
    /// The rolling hash over all of them, with payloads and true times, and
    /// over every disk operation.
    pub hash: u64,
    /// The first broken invariant, if one was. The scenario went on all the
    /// same: it calls the world, not the other way round.
    pub violation: Option<Violation>,
}

/// Runs `scenario` against a world of its own.
///
/// # Panics
///
/// When it is called a second time in one process: that run could not be
/// repeated in another one.
pub fn simulate<T, S>(
    setup: Setup,
    observer: Box<dyn Observer>,
    scenario: S,
) -> Result<Simulated<T>, Panicked>
where
    T: Send + 'static,
    S: FnOnce(&mut World) -> T + Send + 'static,
{
    static RAN: AtomicBool = AtomicBool::new(false);
    assert!(
        !RAN.swap(true, Ordering::SeqCst),
        "a process can hold one run on turmoil: give the second one its own"
    );
    #[expect(
        clippy::disallowed_methods,
        reason = "a fresh thread for the runtime, and nothing else on it"
    )]
    let thread = std::thread::spawn(move || {
        let config = madsim::Config::default();
        let mut runtime = madsim::runtime::Runtime::with_seed_and_config(setup.seed, config);
        // tokio's runtimes have a pool for blocking calls, which stays empty.
        runtime.set_allow_system_thread(true);
        runtime.block_on(async move {
            let mut world = World::new(setup, observer);
            let value = scenario(&mut world);
            world.finish(value)
        })
    });
    thread.join().map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        Panicked {
            message: text.unwrap_or("a panic without a message").to_owned(),
        }
    })
}

/// A running world, for its scenario. Time passes only in the calls that say so.
pub struct World {
    sim: turmoil::Sim<'static>,
    nodes: Vec<Rc<Node>>,
    trace: Rc<Trace>,
    requests: u64,
}

impl World {
    fn new(setup: Setup, observer: Box<dyn Observer>) -> World {
        let streams = Streams::new(setup.seed);
        let mut sim = turmoil::Builder::new()
            .rng_seed(setup.seed)
            .epoch(std::time::UNIX_EPOCH)
            .tick_duration(Duration::from_millis(1))
            .min_message_latency(Duration::from_nanos(*setup.latency.start()))
            .max_message_latency(Duration::from_nanos(*setup.latency.end()))
            .tcp_capacity(1 << 16)
            .build();
        let trace = Rc::new(Trace::new(setup.seed, observer));
        let nodes: Vec<Rc<Node>> = (1u64..)
            .zip(setup.members)
            .map(|(id, member)| {
                let disk = NodeDisk::new(id, setup.disk.clone(), &streams);
                disk.set_hash(true);
                Rc::new(Node::new(
                    id,
                    member,
                    setup.bugs,
                    disk,
                    streams,
                    trace.clone(),
                ))
            })
            .collect();
        for node in &nodes {
            let software = node.clone();
            sim.host(node.name(), move || host::run(software.clone()));
        }
        World {
            sim,
            nodes,
            trace,
            requests: 0,
        }
    }

    /// True time in nanoseconds since the start of the run.
    pub fn now(&self) -> u64 {
        self.sim.elapsed().as_nanos() as u64
    }

    /// Lets `limit` of true time pass.
    pub fn run_for(&mut self, limit: Duration) {
        let end = self.sim.elapsed() + limit;
        while self.sim.elapsed() < end {
            self.tick();
        }
    }

    /// Calls a member from within its own node, and lets time pass until it
    /// answers, at most `limit`.
    pub fn call(&mut self, member: u64, call: Call, limit: Duration) -> Outcome {
        self.requests += 1;
        let id = ReqId(self.requests);
        let request = Input::Request {
            id,
            session: SessionId(0),
            meta: Metadata::default(),
            req: Box::new(call),
        };
        if !self.node(member).tell_apply(request) {
            // Learning it takes time as well: who tries again may not spin.
            self.tick();
            return Outcome::Refused(Status::new(Code::Unavailable, "connection refused"));
        }
        let end = self.sim.elapsed() + limit;
        while self.sim.elapsed() < end {
            self.tick();
            match self.node(member).take_reply(id) {
                Some(Ok(response)) => return Outcome::Ok(response),
                Some(Err(status)) => return Outcome::from_status(status),
                None => {}
            }
        }
        Outcome::Unknown(Why::Timeout)
    }

    /// Kills a member's process, if it runs: nothing of it runs any more, no
    /// destructor's write counts.
    pub fn crash(&mut self, member: u64, how: PowerLoss) {
        let node = self.node(member).clone();
        if !self.sim.is_host_running(node.name()) {
            return;
        }
        // The disk is dead before anything of the process is dropped.
        node.disk.crash(self.now(), how);
        self.sim.crash(node.name());
        node.forget_process();
        self.trace.observer.borrow_mut().crashed(member);
        self.trace
            .mix(self.now(), member, tag::CRASH, how.name().as_bytes());
    }

    /// Starts a crashed member's process again.
    pub fn restart(&mut self, member: u64) {
        let node = self.node(member).clone();
        assert!(
            !self.sim.is_host_running(node.name()),
            "member {member} is restarted while it runs: crash it first"
        );
        self.sim.bounce(node.name());
    }

    /// Holds back everything between two members until [`World::release`].
    pub fn hold(&self, a: u64, b: u64) {
        self.sim.hold(self.node(a).name(), self.node(b).name());
    }

    /// Delivers what was held back between two members, and all that follows.
    pub fn release(&self, a: u64, b: u64) {
        self.sim.release(self.node(a).name(), self.node(b).name());
    }

    fn node(&self, member: u64) -> &Rc<Node> {
        let index = member.checked_sub(1).map(|i| i as usize);
        index
            .and_then(|i| self.nodes.get(i))
            .unwrap_or_else(|| panic!("member {member} of {}", self.nodes.len()))
    }

    fn tick(&mut self) {
        if let Err(error) = self.sim.step() {
            panic!("{error}");
        }
    }

    fn finish<T>(mut self, value: T) -> Simulated<T> {
        for member in 1..=self.nodes.len() as u64 {
            self.crash(member, PowerLoss::Kept);
        }
        for node in &self.nodes {
            let hash = node.disk.take_hash();
            self.trace.mix(0, node.id, tag::DISK, &hash.to_le_bytes());
        }
        Simulated {
            value,
            events: self.trace.events.get(),
            hash: self.trace.hash.borrow().value(),
            violation: self.trace.violation.take(),
        }
    }
}

/// What a hashed event was.
mod tag {
    pub(super) const START: u8 = 1;
    pub(super) const CRASH: u8 = 2;
    pub(super) const INPUT: u8 = 3;
    pub(super) const RECEIVED: u8 = 4;
    pub(super) const SYNCED: u8 = 5;
    pub(super) const REQUEST: u8 = 6;
    pub(super) const SENT: u8 = 7;
    pub(super) const REPLY: u8 = 8;
    pub(super) const MARK: u8 = 9;
    pub(super) const DISK: u8 = 10;
}

/// What is seen of one run.
struct Trace {
    hash: RefCell<RollingHash>,
    events: Cell<u64>,
    observer: RefCell<Box<dyn Observer>>,
    violation: RefCell<Option<Violation>>,
}

impl Trace {
    fn new(seed: u64, observer: Box<dyn Observer>) -> Trace {
        Trace {
            hash: RefCell::new(RollingHash::new(seed)),
            events: Cell::new(0),
            observer: RefCell::new(observer),
            violation: RefCell::new(None),
        }
    }

    fn mix(&self, t: u64, node: u64, tag: u8, bytes: &[u8]) {
        let mut hash = self.hash.borrow_mut();
        hash.mix_u64(t);
        hash.mix_u64(node);
        hash.mix(tag, bytes);
        self.events.set(self.events.get() + 1);
    }

    fn observe(&self, look: impl FnOnce(&mut dyn Observer) -> Result<(), Violation>) {
        if let Err(violation) = look(self.observer.borrow_mut().as_mut()) {
            self.violation.borrow_mut().get_or_insert(violation);
        }
    }
}
