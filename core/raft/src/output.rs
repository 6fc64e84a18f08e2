//! What a Raft node wants done.

use crate::LogBase;
use raft_proto::eraftpb::{Entry, HardState, Message, Snapshot};

/// Everything that came up since the last [`take`](crate::Raft::take).
///
/// Persist `reset`, `append` and `hard_state` in this order; release `send` at
/// once and `send_after_sync` when all of it is durable, then call
/// [`persisted`](crate::Raft::persisted).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Output {
    /// Rises by one with each output that has something to persist. An output
    /// without carries the number of the last one that had.
    pub seq: u64,
    /// The log restarts after this base: a snapshot was installed.
    pub reset: Option<LogBase>,
    /// Overwrites the log from `append[0].index` on.
    pub append: Vec<Entry>,
    /// To be written after `append`.
    pub hard_state: Option<HardState>,
    /// May leave at once.
    pub send: Vec<Message>,
    /// May leave once this output and all before it are durable.
    pub send_after_sync: Vec<Message>,
    /// Committed and durable here: to be applied, in order, each exactly once.
    pub committed: Vec<Entry>,
    /// Reads that may be served once this index is applied, as (ctx, index).
    pub readable: Vec<(u64, u64)>,
    /// Reads that were lost with the leader they were asked of.
    pub refused: Vec<u64>,
    /// The state machine must become this snapshot. Appends are ignored until
    /// [`snapshot_installed`](crate::Raft::snapshot_installed).
    pub install: Option<Snapshot>,
    /// Some follower is behind the first entry of the log: answer with
    /// [`snapshot_taken`](crate::Raft::snapshot_taken).
    pub want_snapshot: bool,
    /// Everything at and after this index may differ from the last output.
    pub log_changed_from: Option<u64>,
    /// Named points passed, see [`marks`](crate::marks).
    pub marks: Vec<&'static str>,
}

impl Output {
    /// Whether the output has anything that must become durable.
    pub fn must_persist(&self) -> bool {
        self.reset.is_some() || !self.append.is_empty() || self.hard_state.is_some()
    }
}
