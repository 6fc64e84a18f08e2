//! A member without I/O: inputs in, effects out.

use crate::{Config, ConfigError, PeerFrame, Request, Response, Stamp, Status, SyncId, View};
use bytes::Bytes;
use raft_proto::eraftpb::{ConfChangeV2, ConfState, Entry, Snapshot};
use std::io;
use std::sync::Arc;

/// Names one request of one member's life; the host picks it, below
/// [`ReqId::OWN`], and sees it again in the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReqId(pub u64);

impl ReqId {
    /// From here on ids name what a member asks of itself: no host sees them.
    pub const OWN: u64 = !0 << 48;

    /// Whether a member asks this of itself.
    pub const fn is_own(self) -> bool {
        self.0 >= ReqId::OWN
    }
}

/// Names a client connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// What a client says beside its call: gRPC's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The token that `Authenticate` gave; empty for none.
    pub token: String,
    /// Whether the call is to fail while there is no leader, rather than wait.
    pub require_leader: bool,
}

/// The two clocks of a node, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic: may drift and freeze, never goes back. Timers use it.
    pub mono: u64,
    /// Wall clock, since 1970: may step in either direction. For people only.
    pub wall: u64,
}

/// What happens to a lane.
#[derive(Debug)]
pub enum Input {
    /// The deadline that the lane asked for has come.
    Deadline,
    /// A clean stop: finish what is cheap, then end with [`Fatal::Stopped`].
    Stop,
    /// A frame from another member. To the lane that [`PeerFrame::is_for_raft`]
    /// says.
    Peer(PeerFrame),
    /// A frame to this member could not be delivered. To the Raft lane.
    Unreachable(u64),
    /// A message from the other lane.
    Lane(LaneMsg),
    /// A sync started with [`File::start_sync`](crate::File::start_sync) has
    /// ended. To the Raft lane.
    Synced {
        /// Which one.
        id: SyncId,
        /// How.
        result: io::Result<()>,
    },
    /// A client's call. To the apply lane, which answers it in every case but
    /// the end of the member.
    Request {
        /// Echoed in the reply.
        id: ReqId,
        /// The connection it came from.
        session: SessionId,
        /// What came beside it.
        meta: Metadata,
        /// What is asked. Boxed, as inputs are moved from hand to hand.
        req: Box<Request>,
    },
    /// A further message of a call that is a stream: a watch, a keep-alive. To
    /// the apply lane, which ignores it if the call has ended meanwhile.
    Message {
        /// The call.
        id: ReqId,
        /// The message, of the same kind as the one that began the call.
        req: Box<Request>,
    },
    /// The client's connection took this many answers of a call that is a
    /// stream. To the apply lane, which lets only so many wait for it.
    Taken {
        /// The call.
        id: ReqId,
        /// How many more than it was told of before.
        answers: u32,
    },
    /// The client has given up this call; its connection may go on. To the
    /// apply lane, which need not answer it any more.
    Cancel(ReqId),
    /// A client connection is gone: nobody waits for its replies any more.
    Closed(SessionId),
}

/// What the two lanes of one member tell each other, in order and without loss.
#[derive(Debug, Clone)]
pub enum LaneMsg {
    // Apply lane to Raft lane.
    /// Replicate `data` under the unique id `id`.
    Propose {
        /// Unique over members and incarnations.
        id: u64,
        /// An encoded `InternalRaftRequest`.
        data: Bytes,
    },
    /// Change the configuration, under the unique id `id`.
    ProposeConfChange {
        /// Unique over members and incarnations.
        id: u64,
        /// With an encoded `ConfChangeContext` as its context.
        change: Box<ConfChangeV2>,
    },
    /// The change of configuration in entry `index` was applied: `state` is in
    /// force, which is the old one if the change was void.
    ConfChangeApplied {
        /// The entry that held the change.
        index: u64,
        /// The configuration as of `index`.
        state: Box<ConfState>,
    },
    /// Confirm leadership for the reads known as `ctx`.
    ReadIndex {
        /// Echoed in [`LaneMsg::Readable`] or [`LaneMsg::Refused`].
        ctx: u64,
    },
    /// Hand leadership over, if this member leads. Refused if it does not, or
    /// `to` is no voter.
    MoveLeader {
        /// Echoed in [`LaneMsg::Refused`].
        id: u64,
        /// Who is to lead.
        to: u64,
    },
    /// Say whether a learner has caught up. Answered with [`LaneMsg::InSync`], or
    /// with [`LaneMsg::Refused`] if this member does not lead.
    IsInSync {
        /// Echoed in the answer.
        id: u64,
        /// The learner.
        member: u64,
    },
    /// The state machine has come this far.
    Applied {
        /// Index of the last entry applied.
        index: u64,
        /// Index of the last entry whose effects are durable in the backend:
        /// the log may be compacted up to here.
        durable: u64,
    },
    /// A snapshot of the state machine for a lagging follower, as asked for.
    Snapshot(Box<Snapshot>),
    /// The backend now *is* this snapshot, durably (data left out).
    Installed(Box<Snapshot>),

    // Raft lane to apply lane.
    /// These entries are committed: apply them, in order.
    Committed(Vec<Entry>),
    /// Reads known as `ctx` may be served once `index` is applied.
    Readable {
        /// Which reads.
        ctx: u64,
        /// The commit index when they were asked.
        index: u64,
    },
    /// Whether a learner has caught up with this member, which leads.
    InSync {
        /// Which question this answers.
        id: u64,
        /// Nine tenths of the leader's log are durable at the learner.
        is_in_sync: bool,
    },
    /// A proposal, a transfer, a question to the leader or a read was refused
    /// before it left this member.
    Refused {
        /// The proposal's, the transfer's or the question's id, or the read's ctx.
        id: u64,
    },
    /// A follower needs a snapshot: answer with [`LaneMsg::Snapshot`].
    WantSnapshot,
    /// Replace the state machine by this snapshot.
    Install(Box<Snapshot>),
    /// Whom this member follows, and in which term (for headers and status).
    Leader {
        /// Current term.
        term: u64,
        /// The leader's id, 0 if unknown.
        leader: u64,
    },
}

/// What a lane wants done.
#[derive(Debug)]
pub enum Effect {
    /// Send a frame to another member; it may get lost.
    Send(PeerFrame),
    /// Answer a request.
    Reply {
        /// Whose answer it is.
        id: ReqId,
        /// The answer. Boxed, as effects are moved from hand to hand.
        result: Box<Result<Response, Status>>,
        /// Whether no further answer to the same request follows.
        last: bool,
    },
    /// Tell the other lane.
    Lane(LaneMsg),
    /// A named point in the code was passed.
    Mark(&'static str),
    /// What invariants look at.
    View(View),
}

/// The effects of one step, each stamped with the disk time spent before it.
pub struct Effects {
    stamp: Arc<dyn Stamp>,
    items: Vec<(u64, Effect)>,
}

impl Effects {
    /// An empty list that takes its stamps from `stamp`.
    pub fn new(stamp: Arc<dyn Stamp>) -> Effects {
        Effects {
            stamp,
            items: Vec::new(),
        }
    }

    /// Adds an effect, stamped with the time spent so far.
    pub fn push(&mut self, effect: Effect) {
        let spent = self.stamp.spent();
        debug_assert!(
            self.items.last().is_none_or(|(at, _)| *at <= spent),
            "time spent in a step never goes back"
        );
        self.items.push((spent, effect));
    }

    /// Answers a request.
    pub fn reply(&mut self, id: ReqId, result: Result<Response, Status>, last: bool) {
        let result = Box::new(result);
        self.push(Effect::Reply { id, result, last });
    }

    /// Passes a named point in the code.
    pub fn mark(&mut self, name: &'static str) {
        self.push(Effect::Mark(name));
    }

    /// Takes all effects out, in order, as (nanoseconds into the step, effect).
    pub fn drain(&mut self) -> impl Iterator<Item = (u64, Effect)> + '_ {
        self.items.drain(..)
    }

    /// Takes out the effects of some kind, in order: those that a machine has on
    /// itself.
    pub fn take(&mut self, which: impl Fn(&Effect) -> bool) -> Vec<Effect> {
        let taken = self.items.extract_if(.., |(_, effect)| which(effect));
        taken.map(|(_, effect)| effect).collect()
    }

    /// Whether there is nothing to release.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// Why a lane ended. These are expected ends; a panic is always a bug.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// It was asked to stop, and did so cleanly.
    #[error("stopped cleanly")]
    Stopped,
    /// The disk failed; what it holds can no longer be trusted to grow.
    #[error("disk failed: {0}")]
    Disk(#[from] io::Error),
    /// The member was removed from its cluster.
    #[error("removed from the cluster")]
    Removed,
    /// Its data contradicts itself; the text says what, where, and what to do.
    #[error("data is corrupt: {0}")]
    Corrupt(String),
    /// The cluster's version is none that it can run with; the text says what to
    /// do.
    #[error("{0}")]
    Version(String),
}

/// Why a member could not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its settings cannot work.
    #[error("bad settings: {0}")]
    Config(#[from] ConfigError),
    /// The disk failed.
    #[error("disk failed: {0}")]
    Disk(#[from] io::Error),
    /// Its data contradicts itself; the text says what, where, and what to do.
    #[error("data is corrupt: {0}")]
    Corrupt(String),
    /// The data is of a version that it cannot run with; the text says what to
    /// do.
    #[error("{0}")]
    Version(String),
    /// The data belongs to another member or cluster.
    #[error("data belongs to member {found_member} of cluster {found_cluster}, not to member {} of cluster {}", .expected.id, .expected.cluster)]
    Identity {
        /// The cluster in the data.
        found_cluster: u64,
        /// The member in the data.
        found_member: u64,
        /// The settings that it was opened with.
        expected: Box<Config>,
    },
}

/// A lane: one of the two sequential halves of a member.
///
/// Call [`step`](Machine::step) for every input, in order; release its effects
/// at their stamps; give [`Input::Deadline`] once the clock has reached
/// [`deadline`](Machine::deadline). After an `Err` the lane must not be stepped
/// again.
pub trait Machine: Send {
    /// Handles one input.
    fn step(&mut self, now: Now, input: Input, fx: &mut Effects) -> Result<(), Fatal>;
    /// Monotonic time of the next timer, in nanoseconds.
    fn deadline(&self) -> Option<u64>;
}

impl<M: Machine + ?Sized> Machine for Box<M> {
    fn step(&mut self, now: Now, input: Input, fx: &mut Effects) -> Result<(), Fatal> {
        (**self).step(now, input, fx)
    }

    fn deadline(&self) -> Option<u64> {
        (**self).deadline()
    }
}
