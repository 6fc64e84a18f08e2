//! The nemesis: makes each fault set in and end, and writes down what it did.

use super::replace::Replacer;
use super::watch::Watch;
use crate::format::{ClientWay, CrashDisk, Damage, Region};
use crate::plan::{Action, Cluster, DiskAction, Fired, Onset, PlannedFault};
use squall_api::Version;
use squall_record::FaultPhase;
use squall_sim::world::World;
use squall_sim::{Atlas, ClockFault, DiskFaultKind, PowerLoss, Streams};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How often it is looked for members that refuse to run, in nanoseconds.
const LOOK_EVERY: u64 = 50_000_000;

/// Injects faults into a world.
#[derive(Clone)]
pub(super) struct Nemesis {
    world: World,
    watch: Watch,
    atlas: Arc<Atlas>,
    replacer: Replacer,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What fired, in order.
    fired: Vec<Fired>,
    /// Faults that have set in and not ended.
    active: Vec<Fired>,
    /// How many processes, clocks or connections each fault found to hit.
    hits: BTreeMap<u32, u64>,
    /// Who led when it was last known.
    last_leader: Option<u64>,
    /// As what members ran before they were started as another release.
    ran_as: BTreeMap<u64, Version>,
}

impl Nemesis {
    pub(super) fn new(
        world: World,
        watch: Watch,
        damage: Damage,
        replacer: Replacer,
        seed: u64,
    ) -> Nemesis {
        let members = world.nodes();
        let atlas = match damage {
            Damage::Minority => Atlas::new(members, &Streams::new(seed)),
            Damage::Unrestricted => Atlas::unrestricted(members),
        };
        Nemesis {
            world,
            watch,
            atlas: Arc::new(atlas),
            replacer,
            state: Arc::default(),
        }
    }

    /// Lets planned faults fire, each at its own time after `base`, or at the
    /// mark that it waits for.
    pub(super) fn plan(&self, faults: Vec<PlannedFault>, base: u64) {
        for fault in faults {
            let nemesis = self.clone();
            self.world.spawn(async move {
                let here = match &fault.at {
                    Onset::At(at) => {
                        nemesis.world.sleep_until(base + at).await;
                        None
                    }
                    Onset::Mark { name, nth } => Some(nemesis.world.at_mark(name, *nth).await),
                };
                let fired = fault.fire(nemesis.world.now(), &nemesis.view(here));
                nemesis.run(fired).await;
            });
        }
    }

    /// Lets faults fire again as they once did.
    pub(super) fn follow(&self, faults: Vec<Fired>) {
        for mut fired in faults {
            let nemesis = self.clone();
            self.world.spawn(async move {
                match fired.mark() {
                    None => nemesis.world.sleep_until(fired.at).await,
                    Some((name, nth)) => {
                        nemesis.world.at_mark(name, nth).await;
                        fired.at = nemesis.world.now();
                    }
                }
                nemesis.run(fired).await;
            });
        }
    }

    async fn run(&self, fired: Fired) {
        self.lock().fired.push(fired.clone());
        self.lock().active.push(fired.clone());
        self.begin(&fired);
        let Some(lasts) = fired.lasts else { return };
        let end = self.world.now().saturating_add(lasts);
        if let Action::Partition {
            cut,
            flap: Some(flap),
            ..
        } = &fired.action
        {
            self.flap(&fired, cut, *flap, end).await;
        }
        self.world.sleep_until(end).await;
        self.end(fired.number, false);
    }

    /// Lifts a partition and puts it up again, until it ends.
    async fn flap(&self, fired: &Fired, cut: &[(u64, u64)], every: u64, end: u64) {
        let mut there = true;
        loop {
            let next = self.world.now().saturating_add(every.max(1));
            if next >= end {
                return;
            }
            self.world.sleep_until(next).await;
            let active = (self.lock().active.iter()).any(|fault| fault.number == fired.number);
            if !active {
                return;
            }
            there = !there;
            if there {
                for &(from, to) in cut {
                    self.world.cut(fired.world_number(), from, to);
                }
            } else {
                self.world.heal(fired.world_number());
            }
        }
    }

    /// Ends everything that has not ended, and starts whoever is down.
    pub(super) fn heal(&self) {
        self.replacer.stop();
        let ran_as = self.lock().ran_as.clone();
        if !ran_as.is_empty() {
            self.world.spawn(go_back(self.world.clone(), ran_as));
        }
        let active: Vec<u32> = self
            .lock()
            .active
            .iter()
            .map(|fault| fault.number)
            .collect();
        for number in active {
            self.end(number, true);
        }
        for node in 1..=self.world.nodes() {
            self.world.spare(node);
        }
        for node in self.world.members() {
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

    /// How many processes, clocks or connections each fault found to hit, by
    /// its number.
    pub(super) fn hits(&self) -> BTreeMap<u32, u64> {
        self.lock().hits.clone()
    }

    /// The cluster as selectors see it now.
    fn view(&self, here: Option<u64>) -> View<'_> {
        let mut state = self.lock();
        if let Some(leader) = self.world.leader() {
            state.last_leader = Some(leader);
        }
        View {
            world: &self.world,
            atlas: &self.atlas,
            leader: state.last_leader,
            here,
        }
    }

    fn begin(&self, fired: &Fired) {
        let (world, id) = (&self.world, fired.world_number());
        world.fault(
            fired.number,
            FaultPhase::Start,
            &fired.label,
            &fired.action.to_string(),
        );
        let nodes = fired.action.nodes();
        let up = nodes.iter().filter(|node| world.is_up(**node)).count() as u64;
        let mut hits = up;
        match &fired.action {
            Action::Partition { cut, .. } => {
                for &(from, to) in cut {
                    world.cut(id, from, to);
                }
            }
            Action::Link { links, what } => {
                for &(from, to) in links {
                    world.degrade(id, from, to, what.fault());
                }
            }
            Action::Clog { links } => {
                for &(from, to) in links {
                    world.clog(id, from, to);
                }
            }
            Action::Hold { links } => {
                for &(from, to) in links {
                    world.hold(id, from, to);
                }
            }
            Action::ClientLink { nodes, way, delay } => {
                for &node in nodes {
                    world.delay_clients(id, node, client_way(way), delay.model());
                }
            }
            Action::ClientCut { nodes, way } => {
                for &node in nodes {
                    world.cut_clients(id, node, client_way(way));
                }
            }
            Action::ClientReset { nodes } => {
                hits = nodes.iter().map(|node| world.reset_member(*node)).sum();
            }
            Action::Disk { nodes, what } => {
                self.mistrust(&fired.label, nodes, what);
                for &node in nodes {
                    world.spoil(id, node, what.fault(world.allocated(node)));
                }
            }
            Action::Pause { nodes } => {
                for &node in nodes {
                    world.pause(id, node);
                }
            }
            Action::SlowCpu { nodes, factor } => {
                let factor = u32::try_from(*factor).unwrap_or(u32::MAX);
                for &node in nodes {
                    world.slow(id, node, factor);
                }
            }
            Action::Stop { nodes } => nodes.iter().for_each(|node| world.stop(*node)),
            Action::Crash { nodes, disk, .. } => {
                for &node in nodes {
                    world.crash(node, power_loss(*disk));
                }
            }
            Action::Wipe { nodes } => {
                let why = format!("{}: disks were replaced by empty ones", fired.label);
                self.watch.suspend(world.now(), &why);
                nodes.iter().for_each(|node| world.wipe(*node));
            }
            Action::Replace { nodes } => {
                for &node in nodes {
                    world.crash(node, PowerLoss::Kept);
                }
                if !nodes.is_empty() {
                    self.replacer.replace(nodes.clone());
                }
            }
            Action::Upgrade { nodes, to } | Action::Downgrade { nodes, to } => {
                for &node in nodes {
                    if world.is_up(node) {
                        self.lock().ran_as.insert(node, world.version(node));
                    }
                    world.stop(node);
                    world.set_version(node, *to);
                }
            }
            Action::ClockSkew {
                nodes,
                wall_step,
                drift_ppm,
            } => {
                let what = ClockFault {
                    drift_ppm: *drift_ppm as f64,
                    wall_offset_ns: *wall_step,
                    ..ClockFault::default()
                };
                for &node in nodes {
                    world.disturb_clock(id, node, what);
                }
            }
            Action::ClockFreeze { nodes } => {
                let what = ClockFault {
                    freeze: true,
                    ..ClockFault::default()
                };
                for &node in nodes {
                    world.disturb_clock(id, node, what);
                }
            }
            Action::ClockStep { nodes, by } => {
                for &node in nodes {
                    world.step_wall(node, *by);
                }
            }
        }
        self.lock().hits.insert(fired.number, hits);
    }

    /// Tells the checks what a disk's word is worth from now on.
    fn mistrust(&self, label: &str, nodes: &[u64], what: &DiskAction) {
        let kind = what.kind();
        let now = self.world.now();
        if kind.is_lie() {
            let why = format!("{label}: disks lie ({})", kind.name());
            self.watch.suspend(now, &why);
        } else if kind.is_damage() && !self.atlas.is_restricted() {
            let why = format!("{label}: damage is unrestricted ({})", kind.name());
            self.watch.suspend(now, &why);
        }
        // Rot in a log's last record looks like a torn tail.
        let silent = matches!(kind, DiskFaultKind::BitRot | DiskFaultKind::ReadFlip);
        if silent && what.region() != Region::Db {
            for &node in nodes {
                self.watch.rots(node, label);
            }
        }
    }

    fn end(&self, number: u32, healing: bool) {
        let fired = {
            let mut state = self.lock();
            let Some(at) = state.active.iter().position(|fault| fault.number == number) else {
                return;
            };
            state.active.remove(at)
        };
        let (world, id) = (&self.world, fired.world_number());
        world.fault(
            number,
            FaultPhase::End,
            &fired.label,
            &fired.action.to_string(),
        );
        match &fired.action {
            Action::Partition { .. }
            | Action::Link { .. }
            | Action::Clog { .. }
            | Action::Hold { .. }
            | Action::ClientLink { .. }
            | Action::ClientCut { .. } => world.heal(id),
            Action::Disk { nodes, .. } => {
                for &node in nodes {
                    world.unspoil(id, node);
                    // Whoever gave up because of it is started by its operator.
                    if world.ended(node).is_some() {
                        world.start(node);
                    }
                }
            }
            Action::Pause { nodes } => {
                for &node in nodes {
                    world.resume(id, node);
                }
            }
            Action::SlowCpu { nodes, .. } => {
                for &node in nodes {
                    world.unslow(id, node);
                }
            }
            Action::Crash {
                nodes,
                disk,
                again_at: Some(operation),
            } if !healing => {
                let down = fired.lasts.unwrap_or_default();
                for &node in nodes {
                    world.start_doomed(node, *operation, power_loss(*disk), down);
                }
            }
            Action::Stop { nodes }
            | Action::Crash { nodes, .. }
            | Action::Wipe { nodes }
            | Action::Upgrade { nodes, .. }
            | Action::Downgrade { nodes, .. } => {
                for &node in nodes {
                    world.start(node);
                }
            }
            Action::ClockSkew { nodes, .. } | Action::ClockFreeze { nodes } => {
                for &node in nodes {
                    world.relieve_clock(id, node);
                }
            }
            Action::ClientReset { .. } | Action::ClockStep { .. } | Action::Replace { .. } => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct View<'a> {
    world: &'a World,
    atlas: &'a Atlas,
    leader: Option<u64>,
    here: Option<u64>,
}

impl Cluster for View<'_> {
    fn nodes(&self) -> Vec<u64> {
        self.world.members()
    }

    fn leader(&self) -> Option<u64> {
        self.leader
    }

    fn running(&self, node: u64) -> bool {
        self.world.is_up(node)
    }

    fn damageable(&self, node: u64) -> bool {
        self.atlas.may_damage(node)
    }

    fn here(&self) -> Option<u64> {
        self.here
    }
}

/// Starts members that refuse to run as what they were changed to as what they
/// ran as before, for as long as the run goes on.
async fn go_back(world: World, ran_as: BTreeMap<u64, Version>) {
    loop {
        world.sleep(LOOK_EVERY).await;
        for (&node, &before) in &ran_as {
            let refuses = |reason: String| reason.contains("this member runs as");
            if !world.is_up(node) && world.ended(node).is_some_and(refuses) {
                world.set_version(node, before);
                world.start(node);
            }
        }
    }
}

const fn power_loss(disk: CrashDisk) -> PowerLoss {
    match disk {
        CrashDisk::Kept => PowerLoss::Kept,
        CrashDisk::Lost => PowerLoss::Lost,
        CrashDisk::TornWrite => PowerLoss::Torn,
    }
}

fn client_way(name: &str) -> squall_sim::ClientWay {
    match ClientWay::named(name) {
        Some(ClientWay::Calls) => squall_sim::ClientWay::Calls,
        Some(ClientWay::Answers) => squall_sim::ClientWay::Answers,
        Some(ClientWay::Both) | None => squall_sim::ClientWay::Both,
    }
}
