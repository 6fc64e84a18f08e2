//! What happens in a run, in the order in which it happens.

use super::nemesis::Nemesis;
use super::oracle::{Oracle, Seen};
use super::people::People;
use super::probe::Probe;
use super::replace::Replacer;
use super::setup::{OWN_CLIENTS, first_operator, first_replacer};
use super::watch::Watch;
use super::{audit, holding, liveness, load, operator, upkeep, watching};
use crate::format::Scenario;
use crate::plan::{CrashPoint, Fired, Plan};
use crate::sessions::Session;
use squall_checkers::replicas::Replica;
use squall_checkers::watch::Cache;
use squall_record::{FaultPhase, RunPhase};
use squall_sim::PowerLoss;
use squall_sim::world::World;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is to happen.
pub(super) struct Script {
    pub(super) scenario: Scenario,
    pub(super) seed: u64,
    pub(super) plan: Plan,
    pub(super) follow: Option<Vec<Fired>>,
    pub(super) watch: Watch,
    pub(super) crash_points: Vec<CrashPoint>,
    pub(super) probe: Option<Probe>,
    pub(super) notes: Arc<Notes>,
}

/// What must be known of a run even if a broken invariant ends it early.
#[derive(Default)]
pub(super) struct Notes {
    nemesis: Mutex<Option<Nemesis>>,
}

impl Notes {
    /// The faults that fired.
    pub(super) fn fired(&self) -> Vec<Fired> {
        let nemesis = self.nemesis.lock().unwrap_or_else(PoisonError::into_inner);
        nemesis.as_ref().map(Nemesis::fired).unwrap_or_default()
    }

    /// How many processes, clocks or connections each fault found to hit.
    pub(super) fn hits(&self) -> BTreeMap<u32, u64> {
        let nemesis = self.nemesis.lock().unwrap_or_else(PoisonError::into_inner);
        nemesis.as_ref().map(Nemesis::hits).unwrap_or_default()
    }
}

/// How a run came out that was not ended by a broken invariant.
pub(super) struct Ending {
    /// Whether the cluster formed, and converged after healing; else what it
    /// lacked.
    pub(super) converged: Result<(), String>,
    /// When the load began.
    pub(super) load_begin: u64,
    /// When it ended.
    pub(super) load_end: u64,
    /// What the oracle saw of the cluster under load.
    pub(super) seen: Seen,
    /// Each member's contents at the end; else why they could not be read.
    pub(super) replicas: Result<Vec<Replica>, String>,
    /// Who watched, and was not told everything in time.
    pub(super) late: Vec<String>,
    /// What those who list and then watch believed in the end.
    pub(super) caches: Vec<Cache>,
}

/// The numbers of crash points among faults begin here.
const CRASH_POINTS: u32 = 1 << 24;

/// One crash point: the node loses power, and starts again.
async fn crash(world: World, number: u32, point: CrashPoint) {
    let CrashPoint { node, at, image } = point;
    let label = "crash point";
    world.sleep_until(at).await;
    let what = format!("n{node} loses power, image {image} of its disk is left");
    world.fault(number, FaultPhase::Start, label, &what);
    world.crash(node, PowerLoss::Image(image));
    world.sleep(CrashPoint::DOWN).await;
    world.fault(number, FaultPhase::End, label, &what);
    world.start(node);
}

/// How many election timeouts the cluster has to form, and to converge.
const PATIENCE: u64 = 40;

/// Boot, safety, liveness, audit.
pub(super) async fn tell(world: World, script: Script) -> Ending {
    let Script {
        scenario,
        seed,
        plan,
        follow,
        watch,
        crash_points,
        probe: disks,
        notes,
    } = script;
    if disks.is_some() {
        world.record_operations();
    }
    for (number, point) in (CRASH_POINTS..).zip(crash_points) {
        world.spawn(crash(world.clone(), number, point));
    }
    let patience = PATIENCE * scenario.cluster.election_timeout.ns();
    let limit = Duration::from_nanos(scenario.workload.client_timeout.ns());
    let replacer = Replacer::new(world.clone(), first_replacer(&scenario.workload), limit);
    let damage = scenario.cluster.damage;
    let nemesis = Nemesis::new(world.clone(), watch, damage, replacer, seed);
    *notes.nemesis.lock().unwrap_or_else(PoisonError::into_inner) = Some(nemesis.clone());

    world.phase(RunPhase::Boot);
    for node in 1..=scenario.cluster.nodes {
        world.start(node);
    }
    let formed = liveness::leader(&world, world.now() + patience).await;
    let begin = world.now();
    if let Err(reason) = formed {
        let converged = Err(format!("the cluster never formed: {reason}"));
        let replicas = Err("the cluster never formed".to_owned());
        return Ending {
            converged,
            load_begin: begin,
            load_end: begin,
            seen: Seen::default(),
            replicas,
            late: Vec::new(),
            caches: Vec::new(),
        };
    }

    world.phase(RunPhase::Safety);
    let end = begin + scenario.workload.run_for.ns();
    match follow {
        Some(fired) => nemesis.follow(fired),
        None => nemesis.plan(plan.faults, begin),
    }
    let people = People::of(&world, &scenario);
    let mut clients: Vec<_> = (0..scenario.workload.clients)
        .map(|client| {
            let caller = people.caller(client, end).from(client);
            world.spawn(load::client(
                caller,
                scenario.workload.clone(),
                seed,
                client,
            ))
        })
        .collect();
    if scenario.workload.upkeep.clients() > 0 {
        let upkeep = upkeep::upkeep(world.clone(), scenario.workload.clone(), end);
        clients.push(world.spawn(upkeep));
    }
    let (board, watching) = watching::spawn(&world, &scenario, seed, end);
    let first = scenario.workload.all_clients() + OWN_CLIENTS;
    clients.extend(
        (first..first + scenario.workload.sessions.count).map(|client| {
            let caller = people.caller(client, end).from(client);
            let session = Session::new(&scenario.workload.sessions, seed, client);
            world.spawn(load::session(caller, session))
        }),
    );
    let holders = first + scenario.workload.sessions.count;
    clients.extend(holding::spawn(&world, &scenario, seed, holders, end));
    let first = first_operator(&scenario.workload);
    clients.extend(operator::spawn(&world, &scenario, seed, first, end));
    clients.extend(people.set_out(seed, end));
    let oracle = Oracle::default();
    world.spawn(oracle.clone().look(world.clone(), end));
    world.sleep_until(end).await;
    for client in clients {
        world.join(client).await;
    }

    world.phase(RunPhase::Liveness);
    nemesis.heal();
    let mut probe = people.root(scenario.workload.all_clients());
    let until = world.now() + patience;
    upkeep::leave_room(&world, &scenario.workload, until).await;
    let converged = liveness::converged(&world, &mut probe, limit, until).await;

    if converged.is_ok() && !watching.is_empty() {
        let until = world.now() + patience;
        board.set_goal(liveness::revision(&world, &mut probe, limit).await, until);
        for task in watching {
            world.join(task).await;
        }
    }
    let (late, caches) = board.take();

    world.phase(RunPhase::Audit);
    let replicas = match &converged {
        Ok(()) => {
            let mut auditor = people.root(scenario.workload.all_clients() + 1);
            audit::replicas(&world, &mut auditor, limit).await
        }
        Err(_) => Err("the cluster did not converge".to_owned()),
    };
    if let Some(disks) = disks {
        disks.fill(&world, end);
    }
    Ending {
        converged,
        load_begin: begin,
        load_end: end,
        seen: oracle.take(),
        replicas,
        late,
        caches,
    }
}
