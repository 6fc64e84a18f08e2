//! One node: its process, its two lanes, its clocks and its disk.

use super::setup::MemberSetup;
use super::steps::Batch;
use crate::NodeClock;
use crate::NodeDisk;
use crate::PowerLoss;
use squall_api::{Input, MembersView, Role};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Which of a member's lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Raft = 0,
    Apply = 1,
}

impl Lane {
    pub(crate) const BOTH: [Lane; 2] = [Lane::Raft, Lane::Apply];

    pub(crate) const fn other(self) -> Lane {
        match self {
            Lane::Raft => Lane::Apply,
            Lane::Apply => Lane::Raft,
        }
    }
}

/// The world's side of a lane.
#[derive(Default)]
pub(crate) struct LaneState {
    /// What waits to be handled, each with the event that it comes from.
    pub(crate) inbox: VecDeque<(Input, Option<u64>)>,
    /// The last step's timeline ends here; the next step starts no earlier, and not
    /// before the last effect has left that was due until then.
    pub(crate) busy_until: u64,
    /// How many batches of effects are due.
    pub(crate) leaving: u32,
    /// Monotonic time of the lane's next timer.
    pub(crate) deadline: Option<u64>,
    /// The earliest `Due::Lane` in the queue for it, if any.
    pub(crate) wake_at: Option<u64>,
    /// The event that the current step comes from; none for a timer.
    pub(crate) cause: Option<u64>,
    /// Somebody acts on a mark that its last step passed; until then what comes
    /// after the mark waits, and so does the next step.
    pub(crate) gated: bool,
    /// It has come to its end, and takes no input any more.
    pub(crate) ended: bool,
}

/// Why a process ends by itself.
#[derive(Debug, Clone)]
pub(crate) struct Exit {
    pub(crate) reason: String,
    /// A panic, a corrupt store: no end that is expected.
    pub(crate) illegal: bool,
    /// It was asked to.
    pub(crate) asked: bool,
}

/// What a step costs a slow CPU if the setup says that steps cost nothing.
const NOMINAL_STEP: u64 = 20_000;

/// What is known of a member's role, from its views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// The leader it follows; 0 if none.
    pub leader: u64,
    /// Its commit index.
    pub commit: u64,
    /// The last index it applied.
    pub applied: u64,
}

impl Standing {
    pub(crate) const fn of_nobody() -> Standing {
        Standing {
            role: Role::Follower,
            term: 0,
            leader: 0,
            commit: 0,
            applied: 0,
        }
    }
}

/// A kill that waits for a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doom {
    /// At which of its disk operations, from 1.
    pub(crate) operation: u64,
    pub(crate) how: PowerLoss,
    /// How long it is down then, in nanoseconds.
    pub(crate) down: u64,
}

/// A node. The machine (clock, disk) outlives its processes.
pub(crate) struct Node {
    /// What its process is made from.
    pub(crate) member: MemberSetup,
    pub(crate) disk: Arc<NodeDisk>,
    pub(crate) clock: NodeClock,
    /// Whether a process runs (it may be paused).
    pub(crate) up: bool,
    /// Why the process ended by itself, if it did.
    pub(crate) ended: Option<String>,
    /// Counts process starts; what an earlier incarnation left behind is void.
    pub(crate) incarnation: u32,
    /// The faults that pause it now, and since when it stands still.
    pub(crate) pauses: BTreeSet<u32>,
    pub(crate) paused_since: u64,
    /// Effects whose stamp came while the process stood still.
    pub(crate) held: Vec<Batch>,
    /// It would have ended while it stood still.
    pub(crate) held_exit: Option<Exit>,
    /// What a step costs, and by what factors faults make it more.
    pub(crate) step_cost: u64,
    pub(crate) slow: BTreeMap<u32, u32>,
    /// How often its disk was replaced.
    pub(crate) wipes: u64,
    /// It is to be killed again while it recovers.
    pub(crate) doom: Option<Doom>,
    /// When its processes opened their members: from, and to.
    pub(crate) openings: Vec<(u64, u64)>,
    /// How many images its last power loss could have left, as far as they are
    /// counted; known if it left one of them.
    pub(crate) images: Option<u32>,
    pub(crate) lanes: [LaneState; 2],
    pub(crate) standing: Standing,
    /// The configuration that it has in force, as its last view of one showed.
    pub(crate) configuration: Option<Arc<MembersView>>,
}

impl Node {
    pub(crate) fn lane(&mut self, lane: Lane) -> &mut LaneState {
        &mut self.lanes[lane as usize]
    }

    /// What the CPU takes for a step, in nanoseconds.
    pub(crate) fn cpu(&self) -> u64 {
        if self.slow.is_empty() {
            return self.step_cost;
        }
        let cost = match self.step_cost {
            0 => NOMINAL_STEP,
            cost => cost,
        };
        let factors = self.slow.values().map(|factor| u64::from(*factor));
        factors.fold(cost, u64::saturating_mul)
    }

    /// Whether a lane would take an input at true time `t`.
    pub(crate) fn has_work(&self, lane: Lane, t: u64) -> bool {
        let state = &self.lanes[lane as usize];
        self.up
            && self.pauses.is_empty()
            && !state.gated
            && !state.ended
            && state.leaving == 0
            && t >= state.busy_until
            && (!state.inbox.is_empty()
                || state
                    .deadline
                    .is_some_and(|due| self.clock.now(t).mono >= due))
    }

    /// When a lane will next have something to do without being told; `None`
    /// for never.
    pub(crate) fn next_wake(&self, lane: Lane, t: u64) -> Option<u64> {
        let state = &self.lanes[lane as usize];
        if !self.up || !self.pauses.is_empty() || state.gated || state.ended {
            return None;
        }
        if !state.inbox.is_empty() {
            return Some(state.busy_until.max(t));
        }
        let due = self.clock.true_at(state.deadline?)?;
        Some(due.max(state.busy_until).max(t))
    }
}
