//! What a Raft node is told when it starts.

use crate::confchange::Configuration;
use crate::inflights::Limits;
use raft_proto::eraftpb::{Entry, HardState};
use squall_api::Bugs;

/// A node's settings. Durations are nanoseconds of its monotonic clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// This node's id; never 0.
    pub id: u64,
    /// The voters at the cluster's birth; none if the node joins it later, and
    /// learns them from a snapshot.
    pub voters: Vec<u64>,
    /// The shortest election timeout; each one is drawn from `[t, 2t)`.
    pub election_timeout: u64,
    /// How often a leader sends heartbeats.
    pub heartbeat: u64,
    /// An append carries entries up to this many bytes, but always one.
    pub max_append_bytes: u64,
    /// Appends that may be under way to one follower without an answer.
    pub max_inflight: usize,
    /// No further append is sent while appends with this many bytes of entries
    /// or more are under way to a follower; the last may bring them above it.
    pub max_inflight_bytes: u64,
    /// A leader refuses proposals that would bring what is not committed in its
    /// log above this many bytes.
    pub max_uncommitted_bytes: u64,
    /// Whether to ask the others before each election whether it can be won.
    pub pre_vote: bool,
    /// Whether a leader that hears no quorum for an election timeout steps
    /// down, and nobody votes who has heard a leader within one.
    pub check_quorum: bool,
    /// Lease-based reads: for how long after it sent a heartbeat that a quorum
    /// answered a leader may serve reads without asking anybody; 0 for never.
    ///
    /// They rest on clocks, as reads by [`read_index`](crate::Raft::read_index)
    /// alone do not: no member's monotonic clock may run an
    /// `election_timeout` while the leader's runs less than this. Needs
    /// `check_quorum`, by which followers keep to a leader that they hear.
    pub read_lease: u64,
    /// The bugs planted in it.
    pub bugs: Bugs,
}

impl Settings {
    /// How much may be under way to one follower.
    pub(crate) fn window(&self) -> Limits {
        Limits {
            appends: self.max_inflight,
            bytes: self.max_inflight_bytes,
        }
    }
}

/// The entry before the first one in the log: (0, 0) at birth, later the last
/// entry that was compacted away or came as a snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogBase {
    /// Its index.
    pub index: u64,
    /// Its term.
    pub term: u64,
}

/// What was durable when the node opened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Restored {
    /// Term, vote and commit as last persisted.
    pub hard_state: HardState,
    /// Where the log starts.
    pub base: LogBase,
    /// The log after `base`, without gaps.
    pub entries: Vec<Entry>,
    /// Index of the last entry whose effects the state machine has.
    pub applied: u64,
    /// The configuration in force at `applied`; `None` for that of the
    /// cluster's birth.
    pub configuration: Option<Configuration>,
}

impl Restored {
    /// Drops a log that the state machine has overtaken, and says whether it
    /// did: a crash between a snapshot's installation and the reset of the log
    /// leaves a log that ends before `applied`, or has another entry there.
    /// The owner must persist the new `base` before it persists anything else.
    pub fn reconcile(&mut self, applied: LogBase) -> bool {
        self.applied = applied.index;
        if applied.index <= self.base.index {
            return false;
        }
        let in_log = self
            .entries
            .get((applied.index - self.base.index - 1) as usize);
        if in_log.is_some_and(|entry| entry.term == applied.term) {
            return false;
        }
        self.base = applied;
        self.entries.clear();
        self.hard_state.commit = applied.index;
        true
    }

    /// Whether a node can start from this; says what contradicts what if not.
    pub fn validate(&self) -> Result<(), String> {
        let mut before = self.base;
        for entry in &self.entries {
            if Some(entry.index) != before.index.checked_add(1) || entry.term < before.term {
                return Err(format!(
                    "log entry {} of term {} cannot follow entry {} of term {}",
                    entry.index, entry.term, before.index, before.term
                ));
            }
            before = LogBase {
                index: entry.index,
                term: entry.term,
            };
        }
        if self.hard_state.commit > before.index {
            return Err(format!(
                "the hard state says that index {} is committed, but the log ends at {}",
                self.hard_state.commit, before.index
            ));
        }
        if self.applied < self.base.index || self.applied > before.index {
            return Err(format!(
                "index {} is applied, but the log runs from {} to {}",
                self.applied,
                self.base.index + 1,
                before.index
            ));
        }
        Ok(())
    }
}
