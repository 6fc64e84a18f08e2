//! The world's state. What happens to it stands in the files beside this one, a
//! noun each.

use super::Observer;
use super::conns::Conns;
use super::marks::Marks;
use super::process::Node;
use super::queue::{Due, Queue};
use super::recorder::Recorder;
use super::setup::Setup;
use super::streams::StreamState;
use super::task::Task;
use super::wire::Wire;
use crate::{DiskParams, DiskStats, FaultCounts, Net};
use squall_api::{Bugs, Effect, MembersView, Metadata};
use squall_record::{Outcome, Resources, Why, Witness};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// One application of an entry, by whichever member applied its index first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppliedEntry {
    /// The entry's index.
    pub index: u64,
    /// The operation that proposed it; `None` for entries no client asked for.
    pub op: Option<u64>,
    /// The store's revision after it.
    pub revision: i64,
    /// When that was, in true nanoseconds.
    pub t: u64,
    /// The lease that it ended, if it ended one.
    pub lease: Option<i64>,
}

/// A broken invariant, seen online.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// The check that noticed.
    pub check: &'static str,
    /// What it saw.
    pub witness: Box<Witness>,
}

/// An operation that a client waits for.
#[derive(Default)]
pub(crate) struct Waiting {
    /// The client's task, while it waits for the outcome.
    pub(crate) task: Option<u32>,
    pub(crate) done: bool,
    /// The event that it began with.
    pub(crate) invoked: u64,
    /// When the client waits no longer.
    pub(crate) until: u64,
    /// The connection it was sent on.
    pub(crate) conn: u64,
    /// What comes beside it.
    pub(crate) meta: Metadata,
}

/// The members that the cluster begins with: those who know that they are some.
fn first_members(setup: &Setup) -> Arc<MembersView> {
    let voters = setup.members.iter().flat_map(|m| &m.config.voters);
    Arc::new(MembersView::first(voters.copied()))
}

pub(crate) struct Inner {
    pub(crate) now: u64,
    /// How much has happened at this time.
    pub(crate) at_once: u32,
    pub(crate) seed: u64,
    /// The planted bugs, in every member.
    pub(crate) bugs: Bugs,
    /// What a new disk is like.
    pub(crate) disk: DiskParams,
    pub(crate) queue: Queue,
    pub(crate) stopped: bool,
    pub(crate) tasks: Vec<Task>,
    /// Tasks that were woken, in order: polled before anything else happens.
    pub(crate) ready: VecDeque<u32>,
    pub(crate) current_task: u32,
    pub(crate) nodes: Vec<Node>,
    pub(crate) net: Net,
    /// One per ordered pair of members.
    pub(crate) wires: Vec<Wire>,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) streams: Vec<StreamState>,
    pub(crate) conns: Conns,
    pub(crate) marks: Marks,
    pub(crate) recorder: Recorder,
    pub(crate) observer: Box<dyn Observer>,
    pub(crate) violation: Option<Violation>,
    /// Proposal id to operation, for writes on their way.
    pub(crate) proposals: BTreeMap<u64, u64>,
    pub(crate) applied: Vec<AppliedEntry>,
    pub(crate) applied_index: u64,
    /// The latest configuration that anybody has in force.
    pub(crate) configuration: Arc<MembersView>,
    /// The highest id that was ever in one.
    pub(crate) highest_member: u64,
    pub(crate) scratch: Vec<u8>,
    /// Emptied lists of effects, to be filled again.
    pub(crate) spare: Vec<Vec<Effect>>,
    /// What would have arrived on connections that are cut, in order.
    pub(crate) kept_from_clients: Vec<Due>,
    /// What the faults of disks that were replaced did.
    pub(crate) replaced_disks: FaultCounts,
    /// What the run cost so far; what disks did is added when they are gone.
    pub(crate) resources: Resources,
}

impl Inner {
    pub(crate) fn new(
        setup: &Setup,
        nodes: Vec<Node>,
        net: Net,
        recorder: Recorder,
        observer: Box<dyn Observer>,
    ) -> Inner {
        Inner {
            now: 0,
            at_once: 0,
            seed: setup.seed,
            bugs: setup.bugs,
            disk: setup.disk.clone(),
            queue: Queue::default(),
            stopped: false,
            tasks: Vec::new(),
            ready: VecDeque::new(),
            current_task: 0,
            wires: (0..nodes.len() * nodes.len())
                .map(|_| Wire::default())
                .collect(),
            nodes,
            net,
            waiting: Vec::new(),
            streams: Vec::new(),
            conns: Conns::default(),
            marks: Marks::default(),
            recorder,
            observer,
            violation: None,
            proposals: BTreeMap::new(),
            applied: Vec::new(),
            applied_index: 0,
            highest_member: first_members(setup).all().last().copied().unwrap_or(0),
            configuration: first_members(setup),
            scratch: Vec::new(),
            spare: Vec::new(),
            kept_from_clients: Vec::new(),
            replaced_disks: FaultCounts::default(),
            resources: Resources::default(),
        }
    }

    pub(crate) fn node(&mut self, id: u64) -> &mut Node {
        &mut self.nodes[id as usize - 1]
    }

    /// Adds what a disk was used for to what the run cost.
    pub(crate) fn charge(&mut self, disk: &DiskStats) {
        self.resources.syncs += disk.fsyncs;
        self.resources.written_bytes += disk.bytes;
    }

    pub(crate) fn has_node(&self, id: u64) -> bool {
        (1..=self.nodes.len() as u64).contains(&id)
    }

    /// Lets a task run next, unless it has ended.
    pub(crate) fn wake(&mut self, task: u32) {
        let state = &mut self.tasks[task as usize];
        if !state.done && !state.woken {
            state.woken = true;
            self.ready.push_back(task);
        }
    }

    /// Ends everything that still waits: the run is over.
    pub(crate) fn end_of_run(&mut self) {
        for op in self.recorder.history.iter_mut() {
            if op.ret.is_none() {
                op.outcome = Outcome::Unknown(Why::RunEnded);
                self.recorder.stats.ops_unknown += 1;
            }
        }
    }
}
