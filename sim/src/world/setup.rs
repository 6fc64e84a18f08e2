//! What a world is made of, who watches it, and what it leaves.

use super::{AppliedEntry, Keep, Violation};
use crate::{ClockParams, DiskParams, FaultCounts, LinkHits, LinkParams};
use squall_api::eraftpb::Message;
use squall_api::{Bugs, Config, Env, Machine, Now, OpenError, RaftView, SyncId, View};
use squall_record::{Checkpoint, Event, Op, Resources, Stats, Stream, Traced, Window};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a world is made of. Member ids are 1 to `members.len()`; one whose
/// settings name no voters is to join later.
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
    /// The events that are kept with everything that was hashed, if any are.
    pub trace: Option<Window>,
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
    /// A step of the member wrote into its log what this view will show. The
    /// syncs of the log that are told next reach it.
    fn written(&mut self, node: u64, view: &RaftView) {
        let _ = (node, view);
    }
    /// A sync of the member's log began: it reaches what was written so far.
    fn sync_started(&mut self, node: u64, id: SyncId) {
        let _ = (node, id);
    }
    /// The member's disk says that this sync has done its work.
    fn sync_ended(&mut self, node: u64, id: SyncId) {
        let _ = (node, id);
    }
    /// The member waited for its disk: everything written so far is durable.
    fn synced(&mut self, node: u64) {
        let _ = node;
    }
    /// A member passed a named point of the code.
    fn marked(&mut self, t: u64, node: u64, name: &'static str) {
        let _ = (t, node, name);
    }
    /// A member's disk was replaced by an empty one: whatever it promised is
    /// forgotten.
    fn wiped(&mut self, node: u64) {
        let _ = node;
    }
}

/// Nobody watches.
impl Observer for () {
    fn view(&mut self, _: u64, _: u64, _: &View) -> Result<(), Violation> {
        Ok(())
    }

    fn sent(&mut self, _: u64, _: u64, _: &Message) -> Result<(), Violation> {
        Ok(())
    }

    fn started(&mut self, _: u64) {}

    fn crashed(&mut self, _: u64) {}
}

/// What a run leaves, besides what the scenario returned.
pub struct Simulated<T> {
    /// What the scenario returned; `None` if a violation ended the run first.
    pub value: Option<T>,
    /// Every operation, in order of invocation.
    pub history: Vec<Op>,
    /// Every stream, in order of opening.
    pub streams: Vec<Stream>,
    /// The events that were kept.
    pub events: Vec<Event>,
    /// The order in which entries were applied.
    pub applied: Vec<AppliedEntry>,
    /// The first broken invariant, if one was.
    pub violation: Option<Violation>,
    /// Counts.
    pub stats: Stats,
    /// How often the faults of disks did something.
    pub disk_faults: FaultCounts,
    /// What the run cost; how large logs were is for who looked
    /// ([`World::log_bytes`](super::World::log_bytes)).
    pub resources: Resources,
    /// How many messages each fault of the network did something to.
    pub link_hits: BTreeMap<u32, LinkHits>,
    /// The rolling hash over all events and payloads.
    pub hash: u64,
    /// The rolling hash along the way.
    pub checkpoints: Vec<Checkpoint>,
    /// The events of the window that was asked for, in full.
    pub trace: Vec<Traced>,
}

/// A panic inside a run: always a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked {
    /// What the panic said.
    pub message: String,
}
