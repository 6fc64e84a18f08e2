//! `[[fault]]`: what breaks, when, and for how long.

use super::{Between, Duration, Selector, SignedDuration};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One fault, or one that comes again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What it is called; unique in its scenario, and what its draws are keyed
    /// by. A file that names none gets one from the action.
    pub label: String,
    /// When it sets in, from the start of the load.
    pub at: Between<Duration>,
    /// How long it lasts. For a crash: how long the process stays down. `None`
    /// only for a crash: down until everything is healed at the end.
    pub lasts: Option<Between<Duration>>,
    /// How often, and how far apart.
    pub repeat: Option<Repeat>,
    /// What it does.
    pub action: FaultAction,
}

/// `repeat`: the fault comes again, with fresh draws each time.
#[derive(Debug, Clone, PartialEq)]
pub struct Repeat {
    /// From one onset to the next.
    pub every: Between<Duration>,
    /// How many times in all, the first one included.
    pub times: u32,
}

/// What a fault does, with roles in place of nodes and ranges not yet drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultAction {
    /// Messages between some nodes are lost.
    Partition(Partition),
    /// Syncs take longer.
    FsyncStall {
        /// Whose disk.
        node: Selector,
        /// By how much each sync takes longer.
        delay: Between<Duration>,
    },
    /// The process stands still while its clocks run on, as in a long
    /// collection of garbage.
    Pause {
        /// Whose process.
        node: Selector,
    },
    /// The process is killed.
    Crash {
        /// Whose process.
        node: Selector,
        /// What becomes of data that was not synced.
        disk: CrashDisk,
    },
    /// The clocks go wrong: the wall clock steps, both drift.
    ClockSkew {
        /// Whose clocks.
        node: Selector,
        /// By how much the wall clock jumps.
        wall_step: SignedDuration,
        /// By how many millionths the clocks run fast from then on.
        drift_ppm: i64,
    },
}

impl FaultAction {
    /// The key that a scenario file names it by.
    pub const fn key(&self) -> &'static str {
        match self {
            FaultAction::Partition(_) => "partition",
            FaultAction::FsyncStall { .. } => "fsync_stall",
            FaultAction::Pause { .. } => "pause",
            FaultAction::Crash { .. } => "crash",
            FaultAction::ClockSkew { .. } => "clock_skew",
        }
    }
}

/// The fault in a few words: `crash random(follower)`.
impl fmt::Display for FaultAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultAction::Partition(partition) => partition.fmt(f),
            FaultAction::FsyncStall { node, .. } => write!(f, "stall {node}"),
            FaultAction::Pause { node } => write!(f, "pause {node}"),
            FaultAction::Crash { node, .. } => write!(f, "crash {node}"),
            FaultAction::ClockSkew { node, .. } => write!(f, "skew {node}"),
        }
    }
}

/// Which messages a partition loses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partition {
    /// Those from the first to the second, and only those.
    OneWay {
        /// Senders that are not heard.
        from: Selector,
        /// Who does not hear them.
        to: Selector,
    },
    /// Those between the selected nodes and all others, both ways.
    Isolate(Selector),
    /// Those between two halves, as equal as can be, both ways; drawn at random.
    Halves,
    /// Those between two groups, both ways.
    Split(Selector, Selector),
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Partition::OneWay { from, to } => write!(f, "cut {from} -> {to}"),
            Partition::Isolate(selector) => write!(f, "isolate {selector}"),
            Partition::Halves => f.write_str("split in halves"),
            Partition::Split(one, other) => write!(f, "split {one} | {other}"),
        }
    }
}

/// What becomes of data that was written but not synced when a process is
/// killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrashDisk {
    /// All of it stays: only the process died.
    Kept,
    /// All of it is gone: the power failed.
    Lost,
    /// Any sector of it may stay, go, or hold part of both: the power failed
    /// in mid-write.
    TornWrite,
}

impl CrashDisk {
    /// As it is written in files and events.
    pub const fn name(self) -> &'static str {
        match self {
            CrashDisk::Kept => "kept",
            CrashDisk::Lost => "lost",
            CrashDisk::TornWrite => "torn_write",
        }
    }
}
