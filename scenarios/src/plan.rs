//! The fault planner: from a scenario and a seed to a [`Plan`], from a plan
//! and a living cluster to a [`Schedule`], and from a schedule to the same
//! faults again, without the RNG.
//!
//! Every draw is keyed by the seed and the fault's label, never taken from one
//! shared sequence: a fault that is removed changes nothing about the others.

use crate::format::{CrashDisk, Partition, Scenario, Selector};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Everything that the seed decides about a run before it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The clocks of nodes 1, 2, ...
    pub clocks: Vec<NodeClock>,
    /// The faults, in order of time.
    pub faults: Vec<PlannedFault>,
}

/// How wrong one node's clocks are from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeClock {
    /// The node.
    pub node: u64,
    /// Wall clock minus true time, in nanoseconds.
    pub offset_ns: i64,
    /// By how many millionths the clocks run fast.
    pub drift_ppm: i64,
}

/// One fault with its times drawn, its roles still open.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedFault {
    /// Its number in the plan, from 0.
    pub number: u32,
    /// Its label; a repeated fault carries the same one each time.
    pub label: String,
    /// When it sets in, in nanoseconds from the start of the load.
    pub at: u64,
    /// After how many nanoseconds it ends (a crash: the process starts again);
    /// `None` if only the healing at the end undoes it.
    pub lasts: Option<u64>,
    /// What it does.
    pub action: PlannedAction,
    /// Keys the picks that are made when it fires.
    key: PickKey,
}

/// What a fault does, with its amounts drawn and its roles still open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlannedAction {
    /// Messages between some nodes are lost.
    Partition(Partition),
    /// Syncs take `delay` nanoseconds longer.
    FsyncStall {
        /// Whose disk.
        node: Selector,
        /// Nanoseconds.
        delay: u64,
    },
    /// The process stands still.
    Pause {
        /// Whose.
        node: Selector,
    },
    /// The process is killed.
    Crash {
        /// Whose.
        node: Selector,
        /// What becomes of unsynced data.
        disk: CrashDisk,
    },
    /// The clocks go wrong.
    ClockSkew {
        /// Whose.
        node: Selector,
        /// By how many nanoseconds the wall clock jumps.
        wall_step: i64,
        /// By how many millionths the clocks run fast.
        drift_ppm: i64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PickKey {
    seed: u64,
    fault: u64,
    repetition: u64,
}

/// What the planner asks of a living cluster when a fault fires.
pub trait Cluster {
    /// How many nodes there are; their ids are 1 to this.
    fn nodes(&self) -> u64;
    /// Who leads, or, while nobody does, who led last. `None` if nobody ever
    /// has.
    fn leader(&self) -> Option<u64>;
    /// Whether the node's process runs. Random picks prefer those that do.
    fn running(&self, node: u64) -> bool;
}

impl Plan {
    /// Draws everything that `scenario` leaves to the seed.
    pub fn draw(_scenario: &Scenario, _seed: u64) -> Plan {
        todo!()
    }
}

impl PlannedFault {
    /// Resolves the roles, once and for all. Never fails: a fault always fires
    /// at somebody. `at` is true time, in nanoseconds since the start of the run.
    pub fn fire(&self, _at: u64, _cluster: &impl Cluster) -> Fired {
        todo!()
    }
}

/// The faults of one run as they fired: what `schedule.toml` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The scenario's name.
    pub scenario: String,
    /// The seed. Workload, links and disks still draw from it.
    pub seed: u64,
    /// The clocks of nodes 1, 2, ...
    #[serde(default, rename = "clock")]
    pub clocks: Vec<NodeClock>,
    /// The faults, in the order in which they fired.
    #[serde(default, rename = "fault")]
    pub faults: Vec<Fired>,
}

/// One fault as it fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fired {
    /// Its number in the plan that it came from.
    pub number: u32,
    /// Its label.
    pub label: String,
    /// When it set in: true nanoseconds since the start of the run.
    pub at: u64,
    /// After how many nanoseconds it ends (a crash: the process starts again);
    /// `None` if only the healing at the end undoes it.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<u64>,
    /// What it did.
    pub action: Action,
}

/// What a fault did, to which nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Messages from the first to the second of each pair were lost.
    Partition {
        /// Directed links, sorted.
        cut: Vec<(u64, u64)>,
    },
    /// Syncs took longer.
    FsyncStall {
        /// On these nodes.
        nodes: Vec<u64>,
        /// By so many nanoseconds.
        delay: u64,
    },
    /// Processes stood still.
    Pause {
        /// On these nodes.
        nodes: Vec<u64>,
    },
    /// Processes were killed.
    Crash {
        /// On these nodes.
        nodes: Vec<u64>,
        /// What became of unsynced data.
        disk: CrashDisk,
    },
    /// Clocks went wrong.
    ClockSkew {
        /// On these nodes.
        nodes: Vec<u64>,
        /// By how many nanoseconds the wall clock jumped.
        wall_step: i64,
        /// By how many millionths the clocks ran fast.
        drift_ppm: i64,
    },
}

/// What a fault did, in a line: `partition n1 | n2 n3`.
impl fmt::Display for Action {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScheduleError(String);

impl Schedule {
    /// The schedule as `schedule.toml`.
    pub fn to_toml(&self) -> String {
        todo!()
    }

    /// Reads a schedule. `source_name` is what errors call the text.
    pub fn parse(_source_name: &str, _text: &str) -> Result<Schedule, ScheduleError> {
        todo!()
    }
}
