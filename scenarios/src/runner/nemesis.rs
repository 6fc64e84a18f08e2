//! The nemesis: makes each fault set in and end, and writes down what it did.

use crate::format::CrashDisk;
use crate::plan::{Action, Cluster, Fired, NodeClock, PlannedFault};
use squall_record::FaultPhase;
use squall_sim::PowerLoss;
use squall_sim::world::World;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Injects faults into a world.
#[derive(Clone)]
pub(super) struct Nemesis {
    world: World,
    clocks: Arc<Vec<NodeClock>>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What fired, in order.
    fired: Vec<Fired>,
    /// Faults that have set in and not ended.
    active: Vec<Fired>,
    /// Who led when it was last known.
    last_leader: Option<u64>,
}

impl Nemesis {
    pub(super) fn new(world: World, clocks: Vec<NodeClock>) -> Nemesis {
        Nemesis {
            world,
            clocks: Arc::new(clocks),
            state: Arc::default(),
        }
    }

    /// Lets planned faults fire, each at its own time after `base`.
    pub(super) fn plan(&self, faults: Vec<PlannedFault>, base: u64) {
        for fault in faults {
            let nemesis = self.clone();
            self.world.spawn(async move {
                nemesis.world.sleep_until(base + fault.at).await;
                let fired = fault.fire(nemesis.world.now(), &nemesis.view());
                nemesis.run(fired).await;
            });
        }
    }

    /// Lets faults fire again as they once did.
    pub(super) fn follow(&self, faults: Vec<Fired>) {
        for fired in faults {
            let nemesis = self.clone();
            self.world.spawn(async move {
                nemesis.world.sleep_until(fired.at).await;
                nemesis.run(fired).await;
            });
        }
    }

    async fn run(&self, fired: Fired) {
        self.lock().fired.push(fired.clone());
        self.lock().active.push(fired.clone());
        self.begin(&fired);
        let Some(lasts) = fired.lasts else { return };
        self.world.sleep(lasts).await;
        self.end(fired.number);
    }

    /// Ends everything that has not ended, and starts whoever is down.
    pub(super) fn heal(&self) {
        let active: Vec<u32> = self
            .lock()
            .active
            .iter()
            .map(|fault| fault.number)
            .collect();
        for number in active {
            self.end(number);
        }
        for node in 1..=self.world.members() {
            // Also who ended by itself: if it cannot start, it will say why.
            if !self.world.is_up(node) {
                self.world.start(node);
            }
        }
    }

    /// What fired, in order.
    pub(super) fn fired(&self) -> Vec<Fired> {
        self.lock().fired.clone()
    }

    /// The cluster as selectors see it now.
    fn view(&self) -> View<'_> {
        let mut state = self.lock();
        if let Some(leader) = self.world.leader() {
            state.last_leader = Some(leader);
        }
        View {
            world: &self.world,
            leader: state.last_leader,
        }
    }

    fn begin(&self, fired: &Fired) {
        let (world, number) = (&self.world, fired.number);
        world.fault(
            number,
            FaultPhase::Start,
            &fired.label,
            &fired.action.to_string(),
        );
        match &fired.action {
            Action::Partition { cut } => {
                for &(from, to) in cut {
                    world.cut(number, from, to);
                }
            }
            Action::FsyncStall { nodes, delay } => {
                for &node in nodes {
                    world.stall(number, node, *delay);
                }
            }
            Action::Pause { nodes } => {
                for &node in nodes {
                    world.pause(number, node);
                }
            }
            Action::Crash { nodes, disk } => {
                for &node in nodes {
                    world.crash(node, power_loss(*disk));
                }
            }
            Action::ClockSkew {
                nodes,
                wall_step,
                drift_ppm,
            } => {
                for &node in nodes {
                    world.step_wall(node, *wall_step);
                    world.drift(node, *drift_ppm as f64);
                }
            }
        }
    }

    fn end(&self, number: u32) {
        let fired = {
            let mut state = self.lock();
            let Some(at) = state.active.iter().position(|fault| fault.number == number) else {
                return;
            };
            state.active.remove(at)
        };
        let world = &self.world;
        world.fault(
            number,
            FaultPhase::End,
            &fired.label,
            &fired.action.to_string(),
        );
        match &fired.action {
            Action::Partition { .. } => world.heal(number),
            Action::FsyncStall { nodes, .. } => {
                for &node in nodes {
                    world.unstall(number, node);
                }
            }
            Action::Pause { nodes } => {
                for &node in nodes {
                    world.resume(number, node);
                }
            }
            Action::Crash { nodes, .. } => {
                for &node in nodes {
                    world.start(node);
                }
            }
            Action::ClockSkew {
                nodes, wall_step, ..
            } => {
                for &node in nodes {
                    world.step_wall(node, -wall_step);
                    let usual = self.clocks.iter().find(|clock| clock.node == node);
                    world.drift(node, usual.map_or(0.0, |clock| clock.drift_ppm as f64));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct View<'a> {
    world: &'a World,
    leader: Option<u64>,
}

impl Cluster for View<'_> {
    fn nodes(&self) -> u64 {
        self.world.members()
    }

    fn leader(&self) -> Option<u64> {
        self.leader
    }

    fn running(&self, node: u64) -> bool {
        self.world.is_up(node)
    }
}

const fn power_loss(disk: CrashDisk) -> PowerLoss {
    match disk {
        CrashDisk::Kept => PowerLoss::Kept,
        CrashDisk::Lost => PowerLoss::Lost,
        CrashDisk::TornWrite => PowerLoss::Torn,
    }
}
