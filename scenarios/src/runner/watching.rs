//! Clients that watch: some as restlessly as they can, some as a controller
//! does that lists and then follows.

mod controller;
mod follow;
mod watcher;

use crate::format::Scenario;
use squall_checkers::watch::Cache;
use squall_record::seconds;
use squall_sim::world::{Running, World};
use std::sync::{Arc, Mutex, PoisonError};

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
    (board, tasks)
}

/// That somebody did not come to the goal in time.
fn late(who: &str, next: i64, goal: i64, t: u64) -> String {
    format!(
        "{who} had been told of everything before revision {next} at {}, and not of revision {goal}",
        seconds(t)
    )
}
