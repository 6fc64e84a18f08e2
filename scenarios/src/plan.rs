//! The fault planner: from a scenario and a seed to a [`Plan`], from a plan
//! and a living cluster to a [`Schedule`], and from a schedule to the same
//! faults again, without the RNG.
//!
//! Every draw is keyed by the seed and the fault's label, never taken from one
//! shared sequence: a fault that is removed changes nothing about the others.

mod action;
mod crash_point;
mod disk;
mod link;
mod schedule;
mod select;
mod text;

pub use action::{Action, Links};
pub use crash_point::CrashPoint;
pub use disk::DiskAction;
pub use link::{Delay, LinkAction};
pub use schedule::{Fired, Schedule, ScheduleError};
pub use select::Cluster;

use crate::draw::{Draw, hash};
use crate::format::{
    Between, DiskSpec, Duration, Fault, FaultAction, Moment, Partition, Scenario, SignedDuration,
    Size,
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
    /// When it sets in.
    pub at: Onset,
    /// After how many nanoseconds it ends (a crash: the process starts again);
    /// `None` if only the healing at the end undoes it.
    pub lasts: Option<u64>,
    /// What it does: every range is drawn, and holds one value.
    pub action: FaultAction,
    key: FaultKey,
}

/// When a planned fault sets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Onset {
    /// So many nanoseconds after the start of the load.
    At(u64),
    /// When a mark is passed, the how many-th time since the start of the load.
    Mark {
        /// Its name.
        name: String,
        /// From 1.
        nth: u64,
    },
}

impl Onset {
    /// The time, in nanoseconds from the start of the load, if it is one.
    pub const fn time(&self) -> Option<u64> {
        match self {
            Onset::At(time) => Some(*time),
            Onset::Mark { .. } => None,
        }
    }
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

    fn duration(self, stream: &str, range: Between<Duration>) -> Between<Duration> {
        Between::exactly(Duration::from_ns(self.between(stream, range)))
    }

    fn size(self, stream: &str, range: Between<Size>) -> Between<Size> {
        let bytes = (self.draw(stream)).between(range.min.bytes(), range.max.bytes());
        Between::exactly(Size::from_bytes(bytes))
    }

    fn number(self, stream: &str, range: Between<u64>) -> Between<u64> {
        Between::exactly(self.draw(stream).between(range.min, range.max))
    }
}

impl Plan {
    /// Draws everything that `scenario` leaves to the seed.
    pub fn draw(scenario: &Scenario, seed: u64) -> Plan {
        let clocks = (1..=scenario.all_nodes()).map(|node| draw_clock(scenario, seed, node));
        let mut faults: Vec<_> = scenario
            .faults
            .iter()
            .flat_map(|fault| draw_fault(fault, seed))
            .collect();
        // Stable: faults that set in at one time keep the file's order.
        // Those at marks come last: nobody knows when they do.
        faults.sort_by_key(|fault| fault.at.time().unwrap_or(u64::MAX));
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
        let mut nodes = self.action.node().map(|node| picker.select(node));
        if self.action.is_damage() {
            let mut draw = self.key.draw("fault.damage");
            nodes = nodes.map(|nodes| picker.damageable(nodes, &mut draw));
        }
        let nodes = nodes.unwrap_or_default();
        let action = match &self.action {
            FaultAction::Partition(Partition { cut, flap }) => Action::Partition {
                form: cut.name().to_owned(),
                cut: picker.cut(cut),
                flap: flap.map(|flap| flap.min.ns()),
            },
            FaultAction::Link { way, what } => Action::Link {
                links: picker.way(way),
                what: LinkAction::of(what),
            },
            FaultAction::Clog(way) => Action::Clog {
                links: picker.way(way),
            },
            FaultAction::Hold(way) => Action::Hold {
                links: picker.way(way),
            },
            FaultAction::ClientLink { way, delay, .. } => Action::ClientLink {
                nodes,
                way: way.name().to_owned(),
                delay: (*delay).into(),
            },
            FaultAction::ClientCut { way, .. } => Action::ClientCut {
                nodes,
                way: way.name().to_owned(),
            },
            FaultAction::ClientReset { .. } => Action::ClientReset { nodes },
            FaultAction::Disk { what, .. } => Action::Disk {
                nodes,
                what: DiskAction::of(what),
            },
            FaultAction::Pause { .. } => Action::Pause { nodes },
            FaultAction::SlowCpu { factor, .. } => Action::SlowCpu {
                nodes,
                factor: factor.min,
            },
            FaultAction::Stop { .. } => Action::Stop { nodes },
            FaultAction::Crash { disk, again_at, .. } => Action::Crash {
                nodes,
                disk: *disk,
                again_at: again_at.map(|at| at.min),
            },
            FaultAction::Wipe { .. } => Action::Wipe { nodes },
            FaultAction::Replace { .. } => Action::Replace { nodes },
            FaultAction::Upgrade { to, .. } => Action::Upgrade { nodes, to: *to },
            FaultAction::Downgrade { to, .. } => Action::Downgrade { nodes, to: *to },
            FaultAction::ClockSkew {
                wall_step,
                drift_ppm,
                ..
            } => Action::ClockSkew {
                nodes,
                wall_step: wall_step.ns(),
                drift_ppm: *drift_ppm,
            },
            FaultAction::ClockFreeze { .. } => Action::ClockFreeze { nodes },
            FaultAction::ClockStep { by, .. } => Action::ClockStep {
                nodes,
                by: by.min.ns(),
            },
        };
        let mark = match &self.at {
            Onset::At(_) => None,
            Onset::Mark { name, nth } => Some(format!("{name}#{nth}")),
        };
        Fired {
            number: self.number,
            label: self.label.clone(),
            repetition: self.key.repetition,
            mark,
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
        let at = match (&fault.at, &fault.repeat) {
            (Moment::Mark { name, nth }, _) => Onset::Mark {
                name: name.clone(),
                nth: *nth,
            },
            (Moment::Time(_), Some(repeat)) if repetition > 0 => {
                onset += key.between("fault.every", repeat.every);
                Onset::At(onset)
            }
            (Moment::Time(at), _) => {
                onset = key.between("fault.at", *at);
                Onset::At(onset)
            }
        };
        planned.push(PlannedFault {
            number: 0, // Numbered by time, once all faults are drawn.
            label: fault.label.clone(),
            at,
            lasts: fault.lasts.map(|lasts| key.between("fault.for", lasts)),
            action: draw_action(&fault.action, key),
            key,
        });
    }
    planned
}

/// The action with every range drawn.
fn draw_action(action: &FaultAction, key: FaultKey) -> FaultAction {
    let mut action = action.clone();
    match &mut action {
        FaultAction::Partition(partition) => {
            if let Some(flap) = &mut partition.flap {
                *flap = key.duration("fault.flap", *flap);
            }
        }
        FaultAction::Disk { what, .. } => draw_disk(what, key),
        FaultAction::SlowCpu { factor, .. } => *factor = key.number("fault.factor", *factor),
        FaultAction::Crash {
            again_at: Some(at), ..
        } => *at = key.number("fault.again_at", *at),
        FaultAction::ClockStep { by, .. } => {
            let mut draw = key.draw("fault.by");
            let ns = draw.between_signed(by.min.ns(), by.max.ns());
            *by = Between::exactly(SignedDuration::from_ns(ns));
        }
        // Distributions are drawn from for each message.
        FaultAction::Link { .. }
        | FaultAction::Clog(_)
        | FaultAction::Hold(_)
        | FaultAction::ClientLink { .. }
        | FaultAction::ClientCut { .. }
        | FaultAction::ClientReset { .. }
        | FaultAction::Pause { .. }
        | FaultAction::Stop { .. }
        | FaultAction::Crash { again_at: None, .. }
        | FaultAction::Wipe { .. }
        | FaultAction::Replace { .. }
        | FaultAction::Upgrade { .. }
        | FaultAction::Downgrade { .. }
        | FaultAction::ClockSkew { .. }
        | FaultAction::ClockFreeze { .. } => {}
    }
    action
}

fn draw_disk(what: &mut DiskSpec, key: FaultKey) {
    match what {
        DiskSpec::FsyncStall { delay } | DiskSpec::SlowDisk { delay, .. } => {
            *delay = key.duration("fault.delay", *delay);
        }
        DiskSpec::Throttle { rate } => *rate = key.size("fault.rate", *rate),
        DiskSpec::DiskFull { room } => *room = key.size("fault.room", *room),
        DiskSpec::BitRot { sectors, .. } | DiskSpec::LatentError { sectors, .. } => {
            *sectors = key.number("fault.sectors", *sectors);
        }
        DiskSpec::LostName { names, .. } => *names = key.number("fault.names", *names),
        DiskSpec::WriteError { .. }
        | DiskSpec::FsyncError { .. }
        | DiskSpec::FsyncLie { .. }
        | DiskSpec::ReadFlip { .. }
        | DiskSpec::MisdirectedWrite { .. } => {}
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
            assert!(plan.faults.is_sorted_by_key(|fault| fault.at.time()));
            for (i, fault) in plan.faults.iter().enumerate() {
                assert_eq!(fault.number, i as u32);
            }
            let crashes = of(&plan, "crashes");
            let at = |i: usize| crashes[i].at.time().unwrap();
            assert!((S..=2 * S).contains(&at(0)));
            for i in 1..crashes.len() {
                assert!((2 * S..=3 * S).contains(&(at(i) - at(i - 1))));
                let (this, last) = (crashes[i].lasts, crashes[i - 1].lasts);
                assert_ne!(this, last, "each repetition draws afresh");
            }
            for clock in &plan.clocks {
                assert!(clock.offset_ns.abs() <= 50_000_000);
                assert!(clock.drift_ppm.abs() <= 100);
            }
        }
    }
}
