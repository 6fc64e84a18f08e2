//! Clients that watch: some as restlessly as they can, some as a controller
//! does that lists and then follows, and one that compacts what they lag behind.

mod controller;
mod follow;
mod watcher;

use crate::format::Scenario;
use squall_api::pb;
use squall_checkers::watch::Cache;
use squall_record::{Call, Outcome, Target, seconds};
use squall_sim::world::{Running, World};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What those who watch know of the run, and what it will know of them.
#[derive(Clone, Default)]
pub(super) struct Board(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The revision that everybody is to come to, at the latest when.
    goal: Option<(i64, u64)>,
    late: Vec<String>,
    caches: Vec<Cache>,
    /// The highest revision that anybody was told of.
    newest: i64,
}

impl Board {
    fn goal(&self) -> Option<(i64, u64)> {
        self.with(|state| state.goal)
    }

    /// Everything is healed: whoever watches has to come to `revision`.
    pub(super) fn set_goal(&self, revision: i64, until: u64) {
        self.with(|state| state.goal = Some((revision, until)));
    }

    fn saw(&self, revision: i64) {
        self.with(|state| state.newest = state.newest.max(revision));
    }

    /// Who did not come to the goal, and what those who did believe.
    pub(super) fn take(&self) -> (Vec<String>, Vec<Cache>) {
        self.with(|state| {
            (
                std::mem::take(&mut state.late),
                std::mem::take(&mut state.caches),
            )
        })
    }

    fn late(&self, who: String) {
        self.with(|state| state.late.push(who));
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Sets out everybody who watches; they stop when the goal is reached.
pub(super) fn spawn(
    world: &World,
    scenario: &Scenario,
    seed: u64,
    end: u64,
) -> (Board, Vec<Running>) {
    let board = Board::default();
    let workload = &scenario.workload;
    let mut clients = workload.first_watcher()..;
    let mut next = || clients.next().expect("there is always a next number");
    let mut tasks = Vec::new();
    for _ in 0..workload.watch.watchers {
        let watcher = watcher::Watcher::new(world, workload, &board, seed, next());
        tasks.push(world.spawn(watcher.run(end)));
    }
    for _ in 0..workload.watch.controllers {
        let controller = controller::Controller::new(world, workload, &board, next());
        tasks.push(world.spawn(controller.run()));
    }
    if let Some(every) = workload.watch.compact_every {
        let compactor = compact(world.clone(), board.clone(), next(), every.ns(), end);
        tasks.push(world.spawn(compactor));
    }
    (board, tasks)
}

/// Compacts, ever again, up to a revision that some watchers have not come to.
async fn compact(world: World, board: Board, client: u32, every: u64, end: u64) {
    const BEHIND: i64 = 5;
    let mut target = world.client(client);
    let (mut member, mut last) = (1, 0);
    loop {
        world.sleep(every).await;
        if world.now() >= end {
            return;
        }
        let revision = board.with(|state| state.newest) - BEHIND;
        if revision <= last {
            continue;
        }
        let call = Call::Compact(pb::CompactionRequest {
            revision,
            physical: false,
        });
        let limit = Duration::from_nanos(every);
        match target.call(member, call, limit).await {
            Outcome::Ok(_) => last = revision,
            Outcome::Refused(_) | Outcome::Unknown(_) => member = member % world.members() + 1,
        }
    }
}

/// That somebody did not come to the goal in time.
fn late(who: &str, next: i64, goal: i64, t: u64) -> String {
    format!(
        "{who} had been told of everything before revision {next} at {}, and not of revision {goal}",
        seconds(t)
    )
}
