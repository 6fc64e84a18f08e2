//! The fault planner: from a scenario and a seed to a [`Plan`], from a plan
//! and a living cluster to a [`Schedule`], and from a schedule to the same
//! faults again, without the RNG.
//!
//! Every draw is keyed by the seed and the fault's label, never taken from one
//! shared sequence: a fault that is removed changes nothing about the others.

mod schedule;
mod select;

pub use schedule::{Action, Fired, Schedule, ScheduleError};
pub use select::Cluster;

use crate::draw::{Draw, hash};
use crate::format::{
    Between, CrashDisk, Duration, Fault, FaultAction, Partition, Scenario, Selector,
};
use select::Picker;
use serde::{Deserialize, Serialize};

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
    key: FaultKey,
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

/// What a fault's draws are keyed by, besides the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FaultKey {
    seed: u64,
    /// The hash of its label.
    fault: u64,
    repetition: u64,
}

impl FaultKey {
    fn draw(self, stream: &str) -> Draw {
        Draw::keyed(self.seed, stream, self.fault, self.repetition)
    }

    fn between(self, stream: &str, range: Between<Duration>) -> u64 {
        self.draw(stream).between(range.min.ns(), range.max.ns())
    }
}

impl Plan {
    /// Draws everything that `scenario` leaves to the seed.
    pub fn draw(scenario: &Scenario, seed: u64) -> Plan {
        let clocks = (1..=scenario.cluster.nodes).map(|node| draw_clock(scenario, seed, node));
        let mut faults: Vec<_> = scenario
            .faults
            .iter()
            .flat_map(|fault| draw_fault(fault, seed))
            .collect();
        // Stable: faults that set in at one time keep the file's order.
        faults.sort_by_key(|fault| fault.at);
        for (number, fault) in faults.iter_mut().enumerate() {
            fault.number = number as u32;
        }
        Plan {
            clocks: clocks.collect(),
            faults,
        }
    }
}

impl PlannedFault {
    /// Resolves the roles, once and for all. Never fails: a fault always finds
    /// somebody. `at` is true time in nanoseconds since the start of the run.
    pub fn fire(&self, at: u64, cluster: &impl Cluster) -> Fired {
        let mut picker = Picker::new(cluster, self.key.draw("fault.pick"));
        let action = match &self.action {
            PlannedAction::Partition(partition) => Action::Partition {
                cut: picker.cut(partition),
            },
            PlannedAction::FsyncStall { node, delay } => Action::FsyncStall {
                nodes: picker.select(node),
                delay: *delay,
            },
            PlannedAction::Pause { node } => Action::Pause {
                nodes: picker.select(node),
            },
            PlannedAction::Crash { node, disk } => Action::Crash {
                nodes: picker.select(node),
                disk: *disk,
            },
            PlannedAction::ClockSkew {
                node,
                wall_step,
                drift_ppm,
            } => Action::ClockSkew {
                nodes: picker.select(node),
                wall_step: *wall_step,
                drift_ppm: *drift_ppm,
            },
        };
        Fired {
            number: self.number,
            label: self.label.clone(),
            at,
            lasts: self.lasts,
            action,
        }
    }
}

fn draw_clock(scenario: &Scenario, seed: u64, node: u64) -> NodeClock {
    let clock = &scenario.cluster.clock;
    let Between { min, max } = clock.offset;
    let mut offset = Draw::keyed(seed, "clock.offset", node, 0);
    let mut drift = Draw::keyed(seed, "clock.drift", node, 0);
    NodeClock {
        node,
        offset_ns: offset.between_signed(min.ns(), max.ns()),
        drift_ppm: drift.between_signed(clock.drift_ppm.min, clock.drift_ppm.max),
    }
}

/// The fault, or each of its repetitions.
fn draw_fault(fault: &Fault, seed: u64) -> Vec<PlannedFault> {
    let times = fault.repeat.as_ref().map_or(1, |repeat| repeat.times);
    let mut onset = 0;
    let mut planned = Vec::new();
    for repetition in 0..u64::from(times) {
        let key = FaultKey {
            seed,
            fault: hash(&fault.label),
            repetition,
        };
        onset += match &fault.repeat {
            Some(repeat) if repetition > 0 => key.between("fault.every", repeat.every),
            _ => key.between("fault.at", fault.at),
        };
        planned.push(PlannedFault {
            number: 0, // Numbered by time, once all faults are drawn.
            label: fault.label.clone(),
            at: onset,
            lasts: fault.lasts.map(|lasts| key.between("fault.for", lasts)),
            action: draw_action(&fault.action, key),
            key,
        });
    }
    planned
}

fn draw_action(action: &FaultAction, key: FaultKey) -> PlannedAction {
    match action {
        FaultAction::Partition(partition) => PlannedAction::Partition(partition.clone()),
        FaultAction::FsyncStall { node, delay } => PlannedAction::FsyncStall {
            node: node.clone(),
            delay: key.between("fault.delay", *delay),
        },
        FaultAction::Pause { node } => PlannedAction::Pause { node: node.clone() },
        FaultAction::Crash { node, disk } => PlannedAction::Crash {
            node: node.clone(),
            disk: *disk,
        },
        FaultAction::ClockSkew {
            node,
            wall_step,
            drift_ppm,
        } => PlannedAction::ClockSkew {
            node: node.clone(),
            wall_step: wall_step.ns(),
            drift_ppm: *drift_ppm,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = r#"
        schema = 1
        name = "planned"
        about = "For the planner's tests."
        [cluster]
        nodes = 5
        clock = { offset = "-50ms..50ms", drift_ppm = "-100..100" }
        [workload]
        run_for = "20s"
    "#;
    const CRASHES: &str = r#"
        [[fault]]
        label = "crashes"
        at = "1s..2s"
        repeat = { every = "2s..3s", times = 5 }
        crash = { node = "random", disk = "torn_write", restart_after = "300ms..900ms" }
    "#;
    const STALL: &str = r#"
        [[fault]]
        label = "stall"
        at = "3s..9s"
        for = "1s..2s"
        fsync_stall = { node = "leader", delay = "100ms..500ms" }
    "#;

    fn plan(parts: &[&str], seed: u64) -> Plan {
        let scenario = Scenario::parse("test.toml", &parts.concat()).unwrap();
        Plan::draw(&scenario, seed)
    }

    /// What does not depend on the number of other faults.
    fn of(plan: &Plan, label: &str) -> Vec<PlannedFault> {
        let mut faults: Vec<_> = plan.faults.clone();
        faults.retain(|fault| fault.label == label);
        for fault in &mut faults {
            fault.number = 0;
        }
        faults
    }

    #[test]
    fn a_seed_always_draws_the_same_plan_and_another_seed_another() {
        let draw = |seed| plan(&[BASE, CRASHES, STALL], seed);
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7).faults, draw(8).faults);
        assert_ne!(draw(7).clocks, draw(8).clocks);
    }

    #[test]
    fn a_fault_that_is_removed_or_moved_changes_nothing_about_the_others() {
        for seed in 0..20 {
            let both = plan(&[BASE, CRASHES, STALL], seed);
            let swapped = plan(&[BASE, STALL, CRASHES], seed);
            assert_eq!(both.faults.len(), 6);
            for (label, part) in [("crashes", CRASHES), ("stall", STALL)] {
                let alone = plan(&[BASE, part], seed);
                assert_eq!(of(&both, label), of(&alone, label));
                assert_eq!(of(&swapped, label), of(&alone, label));
                assert_eq!(both.clocks, alone.clocks);
            }
        }
    }

    #[test]
    fn draws_stay_within_their_ranges_and_faults_come_in_order() {
        const S: u64 = 1_000_000_000;
        for seed in 0..50 {
            let plan = plan(&[BASE, CRASHES, STALL], seed);
            assert!(plan.faults.is_sorted_by_key(|fault| fault.at));
            for (i, fault) in plan.faults.iter().enumerate() {
                assert_eq!(fault.number, i as u32);
            }
            let crashes = of(&plan, "crashes");
            assert!((S..=2 * S).contains(&crashes[0].at));
            for pair in crashes.windows(2) {
                assert!((2 * S..=3 * S).contains(&(pair[1].at - pair[0].at)));
                assert_ne!(pair[0].lasts, pair[1].lasts, "each repetition draws afresh");
            }
            for clock in &plan.clocks {
                assert!(clock.offset_ns.abs() <= 50_000_000);
                assert!(clock.drift_ppm.abs() <= 100);
            }
        }
    }
}
