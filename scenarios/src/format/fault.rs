//! `[[fault]]`: what breaks, when, and for how long.

mod check;
mod crash;
mod disk;
mod kind;
mod moment;
mod network;
mod partition;
mod read;
mod words;
mod write;

pub(super) use check::fault as check;
pub use crash::CrashDisk;
pub use disk::{DiskSpec, Region};
pub use kind::FaultKind;
pub use moment::Moment;
pub use network::{ClientWay, Latency, LinkSpec, Way};
pub use partition::{Cut, Partition};
pub(super) use read::fault as read;
pub use words::{ACTIONS, FAULT_FIELDS};
pub(super) use write::fault as write;

use super::{Between, Duration, Selector, SignedDuration};
use squall_api::Version;
use std::fmt;

/// One fault, or one that comes again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What it is called; unique in its scenario, and what its draws are keyed
    /// by. A file that names none gets one from the action.
    pub label: String,
    /// When it sets in.
    pub at: Moment,
    /// How long it lasts. For what takes a process down: how long it stays
    /// down. `None` only where [`Lasting`] lets it be left out: until everything
    /// is healed at the end.
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
    /// Messages between some nodes are late, lost, repeated, damaged.
    Link {
        /// From whom to whom.
        way: Way,
        /// What becomes of them.
        what: LinkSpec,
    },
    /// Nothing moves between some nodes; what is under way goes on afterwards.
    Clog(Way),
    /// What would arrive is held, and arrives all at once afterwards.
    Hold(Way),
    /// Clients and a member hear each other late.
    ClientLink {
        /// The member.
        node: Selector,
        /// Calls, answers or both.
        way: ClientWay,
        /// By how much.
        delay: Latency,
    },
    /// Clients and a member do not hear each other; what they said meanwhile
    /// arrives afterwards.
    ClientCut {
        /// The member.
        node: Selector,
        /// Calls, answers or both.
        way: ClientWay,
    },
    /// The connections of all clients to a member break.
    ClientReset {
        /// The member.
        node: Selector,
    },
    /// A disk misbehaves.
    Disk {
        /// Whose disk.
        node: Selector,
        /// How.
        what: DiskSpec,
    },
    /// The process stands still while its clocks run on, as in a long
    /// collection of garbage.
    Pause {
        /// Whose process.
        node: Selector,
    },
    /// The process runs, but slowly.
    SlowCpu {
        /// Whose process.
        node: Selector,
        /// How many times as long each step takes, of 20 µs.
        factor: Between<u64>,
    },
    /// The process is asked to stop, and does.
    Stop {
        /// Whose process.
        node: Selector,
    },
    /// The process is killed.
    Crash {
        /// Whose process.
        node: Selector,
        /// What becomes of data that was not synced.
        disk: CrashDisk,
        /// At which of its disk operations it is killed once more after it has
        /// started again, counted from the start.
        again_at: Option<Between<u64>>,
    },
    /// The process is killed, and comes back with an empty disk.
    Wipe {
        /// Whose process.
        node: Selector,
    },
    /// The machine is gone: its member is removed, and a spare node joins under
    /// a new id.
    Replace {
        /// Whose machine.
        node: Selector,
    },
    /// The process is stopped, and started as a later release.
    Upgrade {
        /// Whose process.
        node: Selector,
        /// The release.
        to: Version,
    },
    /// The process is stopped, and started as an earlier release.
    Downgrade {
        /// Whose process.
        node: Selector,
        /// The release.
        to: Version,
    },
    /// The clocks go wrong: the wall clock steps, both drift.
    ClockSkew {
        /// Whose clocks.
        node: Selector,
        /// By how much the wall clock is ahead while it lasts.
        wall_step: SignedDuration,
        /// By how many millionths the clocks run faster while it lasts.
        drift_ppm: i64,
    },
    /// The clocks stand still.
    ClockFreeze {
        /// Whose clocks.
        node: Selector,
    },
    /// The wall clock jumps, for good.
    ClockStep {
        /// Whose clock.
        node: Selector,
        /// By how much.
        by: Between<SignedDuration>,
    },
}

/// What `for` means for an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    /// It has to be there.
    Required,
    /// Without it, the fault lasts until everything is healed at the end.
    Optional,
    /// The action has a `restart_after` instead.
    RestartAfter,
    /// The fault takes no time.
    Never,
}

impl FaultAction {
    /// The key that a scenario file names it by.
    pub const fn key(&self) -> &'static str {
        match self {
            FaultAction::Partition(_) => "partition",
            FaultAction::Link { .. } => "link",
            FaultAction::Clog(_) => "clog",
            FaultAction::Hold(_) => "hold",
            FaultAction::ClientLink { .. } => "client_link",
            FaultAction::ClientCut { .. } => "client_cut",
            FaultAction::ClientReset { .. } => "client_reset",
            FaultAction::Disk { what, .. } => what.key(),
            FaultAction::Pause { .. } => "pause",
            FaultAction::SlowCpu { .. } => "slow_cpu",
            FaultAction::Stop { .. } => "stop",
            FaultAction::Crash { .. } => "crash",
            FaultAction::Wipe { .. } => "wipe",
            FaultAction::Replace { .. } => "replace",
            FaultAction::Upgrade { .. } => "upgrade",
            FaultAction::Downgrade { .. } => "downgrade",
            FaultAction::ClockSkew { .. } => "clock_skew",
            FaultAction::ClockFreeze { .. } => "clock_freeze",
            FaultAction::ClockStep { .. } => "clock_step",
        }
    }

    /// Whether it destroys or falsifies what a member's disk called durable, so
    /// that the atlas keeps it to a minority.
    pub fn is_damage(&self) -> bool {
        match self {
            FaultAction::Disk { what, .. } => what.sim_kind().is_damage(),
            FaultAction::Wipe { .. } => true,
            _ => false,
        }
    }

    pub(super) fn lasting(&self) -> Lasting {
        match self {
            FaultAction::Crash { .. }
            | FaultAction::Stop { .. }
            | FaultAction::Wipe { .. }
            | FaultAction::Upgrade { .. }
            | FaultAction::Downgrade { .. } => Lasting::RestartAfter,
            FaultAction::ClientReset { .. }
            | FaultAction::ClockStep { .. }
            | FaultAction::Replace { .. } => Lasting::Never,
            FaultAction::Disk {
                what: DiskSpec::BitRot { .. } | DiskSpec::LatentError { .. },
                ..
            } => Lasting::Optional,
            _ => Lasting::Required,
        }
    }
}

/// The fault in a few words: `crash random(follower)`.
impl fmt::Display for FaultAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultAction::Partition(partition) => partition.fmt(f),
            FaultAction::Link { way, .. } => write!(f, "degrade {way}"),
            FaultAction::Clog(way) => write!(f, "clog {way}"),
            FaultAction::Hold(way) => write!(f, "hold {way}"),
            FaultAction::ClientLink { node, .. } => write!(f, "delay clients of {node}"),
            FaultAction::ClientCut { node, .. } => write!(f, "cut clients of {node}"),
            FaultAction::ClientReset { node } => write!(f, "reset clients of {node}"),
            FaultAction::Disk { node, what } => match what {
                DiskSpec::FsyncStall { .. } => write!(f, "stall {node}"),
                what => write!(f, "{} {node}", what.key().replace('_', " ")),
            },
            FaultAction::Pause { node } => write!(f, "pause {node}"),
            FaultAction::SlowCpu { node, .. } => write!(f, "slow {node}"),
            FaultAction::Stop { node } => write!(f, "stop {node}"),
            FaultAction::Crash { node, .. } => write!(f, "crash {node}"),
            FaultAction::Wipe { node } => write!(f, "wipe {node}"),
            FaultAction::Replace { node } => write!(f, "replace {node}"),
            FaultAction::Upgrade { node, to } => write!(f, "upgrade {node} to {}", to.short()),
            FaultAction::Downgrade { node, to } => write!(f, "downgrade {node} to {}", to.short()),
            FaultAction::ClockSkew { node, .. } => write!(f, "skew {node}"),
            FaultAction::ClockFreeze { node } => write!(f, "freeze {node}"),
            FaultAction::ClockStep { node, .. } => write!(f, "step the clock of {node}"),
        }
    }
}
