//! Events: everything that happened in a run, in order.

use serde::{Deserialize, Serialize};
use squall_api::Role;
use std::borrow::Cow;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the run: events are numbered without gaps, also those that
    /// were not kept.
    pub seq: u64,
    /// True time in nanoseconds since the start of the run.
    pub t: u64,
    /// Where it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u64>,
    /// `seq` of the event that made it happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<u64>,
    /// What it was.
    #[serde(flatten)]
    pub kind: Kind,
}

/// Start or end of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultPhase {
    /// The fault sets in.
    Start,
    /// The fault ends.
    End,
}

/// The phases of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunPhase {
    /// The cluster forms; no load, no faults.
    Boot,
    /// Load and faults.
    Safety,
    /// Everything is healed; the cluster must converge.
    Liveness,
    /// The last reads, and the comparison of replicas.
    Audit,
}

/// Why a message did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// The link lost it by chance.
    Loss,
    /// A partition stood between sender and addressee.
    Partition,
    /// The addressee was down.
    Down,
    /// The link damaged it, and its checksum said so.
    Corrupt,
    /// Too much waited before it to be sent.
    Queue,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// A phase of the run began.
    Phase {
        /// Which.
        phase: RunPhase,
    },
    /// A fault set in or ended.
    Fault {
        /// Its number in the schedule, from 0.
        fault: u32,
        /// Start or end.
        phase: FaultPhase,
        /// What it is called.
        label: String,
        /// What it does, with roles resolved: `partition n1 | n2 n3`.
        what: String,
    },
    /// A node's process started.
    Started {
        /// How often it has started before.
        incarnation: u32,
    },
    /// A node's process ended by itself.
    Ended {
        /// Why.
        reason: String,
        /// Whether that is no legal end (a panic, a corrupt store).
        illegal: bool,
    },
    /// A node's process was killed.
    Crashed {
        /// What became of unsynced data: `kept`, `lost`, `torn_write`.
        disk: Cow<'static, str>,
        /// Sectors (512 bytes) written but not synced at that moment.
        unsynced_sectors: u64,
        /// How many of them were lost or torn.
        lost_sectors: u64,
    },
    /// A node's process stopped running, while its clocks ran on.
    Paused,
    /// A paused process runs again.
    Resumed,
    /// A node changed role, term or leader.
    Role {
        /// Its role.
        role: Role,
        /// Its term.
        term: u64,
        /// The leader it follows; 0 if none.
        leader: u64,
    },
    /// A node's commit index rose.
    Commit {
        /// To this index.
        index: u64,
    },
    /// A message left.
    Sent {
        /// Unique in the run.
        msg: u64,
        /// The addressee.
        to: u64,
        /// The Raft message type: `MsgAppend`.
        what: Cow<'static, str>,
        /// The sender's term.
        term: u64,
        /// The message's index.
        index: u64,
        /// How many entries it carries.
        entries: u32,
    },
    /// A message arrived.
    Delivered {
        /// As in `Sent`.
        msg: u64,
        /// The sender.
        from: u64,
    },
    /// A message did not arrive.
    Dropped {
        /// As in `Sent`.
        msg: u64,
        /// The addressee.
        to: u64,
        /// Why.
        why: DropReason,
    },
    /// A WAL sync began.
    SyncStarted {
        /// Unique for its node.
        sync: u64,
    },
    /// A WAL sync ended: what it covers is durable.
    Synced {
        /// As in `SyncStarted`.
        sync: u64,
        /// How long it took, in nanoseconds.
        took: u64,
    },
    /// An entry was applied.
    Applied {
        /// Its index.
        index: u64,
        /// Its term.
        term: u64,
        /// The operation that proposed it, if a client's.
        op: Option<u64>,
        /// The store's revision after it.
        revision: i64,
    },
    /// A leader's snapshot replaced the state machine.
    SnapshotInstalled {
        /// The snapshot's index.
        index: u64,
        /// The store's revision at it.
        revision: i64,
    },
    /// A client sent an operation.
    Invoked {
        /// The operation.
        op: u64,
        /// The client.
        client: u32,
        /// The RPC's name.
        what: Cow<'static, str>,
    },
    /// A client knows an operation's outcome.
    Returned {
        /// The operation.
        op: u64,
        /// The client.
        client: u32,
        /// `ok`, `refused` or `unknown`.
        outcome: Cow<'static, str>,
    },
    /// A client opened a stream.
    StreamOpened {
        /// The stream.
        stream: u64,
        /// The client.
        client: u32,
        /// The RPC's name.
        what: Cow<'static, str>,
    },
    /// A client took a message of a stream from its connection.
    Heard {
        /// The stream.
        stream: u64,
        /// The client.
        client: u32,
    },
    /// A client knows that a stream has ended.
    StreamEnded {
        /// The stream.
        stream: u64,
        /// The client.
        client: u32,
    },
    /// A named point in the code was passed.
    Mark {
        /// Its name.
        name: Cow<'static, str>,
    },
    /// An online invariant was broken.
    Violated {
        /// The check.
        check: String,
        /// What is wrong, in a sentence.
        sentence: String,
    },
}
