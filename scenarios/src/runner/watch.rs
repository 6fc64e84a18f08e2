//! The online checks of a run, as the world's observer.

use squall_api::eraftpb::Message;
use squall_api::{RaftView, SyncId, View};
use squall_checkers::disks::Disks;
use squall_checkers::raft::{Invariant, Invariants};
use squall_checkers::replicas::Chain;
use squall_record::{Check, Witness};
use squall_sim::world::{Observer, Violation};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Watches every view and message of a run; its clones share what they saw.
#[derive(Clone)]
pub(super) struct Watch(Arc<Mutex<State>>);

struct State {
    raft: Invariants,
    disks: Disks,
    chain: Chain,
}

impl State {
    fn new(voters: u64) -> State {
        State {
            raft: Invariants::new(),
            disks: Disks::new(1..=voters),
            chain: Chain::new(),
        }
    }
}

impl Watch {
    /// Watches a cluster of voters 1 to `voters`.
    pub(super) fn new(voters: u64) -> Watch {
        Watch(Arc::new(Mutex::new(State::new(voters))))
    }

    /// What each online check says.
    pub(super) fn finish(&self) -> Vec<Check> {
        let state = std::mem::replace(&mut *self.lock(), State::new(0));
        let mut checks = state.raft.finish();
        checks.extend(state.disks.finish());
        checks.push(state.chain.finish());
        checks
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A broken invariant ends the run. A broken promise alone does not: it is kept,
/// and what it leads to, two leaders in a term or a lost write, is still to come.
fn raft(result: Result<(), Box<Witness>>) -> Result<(), Violation> {
    let Err(witness) = result else { return Ok(()) };
    match Invariant::of(&witness) {
        Some(Invariant::VoteOnce | Invariant::AcksKept) => Ok(()),
        invariant => Err(Violation {
            check: invariant.map_or("raft", Invariant::check),
            witness,
        }),
    }
}

impl Observer for Watch {
    fn view(&mut self, t: u64, node: u64, view: &View) -> Result<(), Violation> {
        let mut state = self.lock();
        raft(state.raft.observe(t, node, view))?;
        if let View::Raft(view) = view {
            // It is kept, and what it leads to is still to come.
            let _ = state.disks.shown(t, node, view);
        }
        match view {
            View::Applied(applied) | View::Installed(applied) | View::Opened(applied) => state
                .chain
                .observe(t, node, applied)
                .map_err(|witness| Violation {
                    check: "replicas.chain",
                    witness,
                }),
            View::Raft(_) | View::Proposed { .. } => Ok(()),
        }
    }

    fn sent(&mut self, t: u64, node: u64, msg: &Message) -> Result<(), Violation> {
        let mut state = self.lock();
        let _ = state.disks.sent(t, node, msg);
        raft(state.raft.sent(t, node, msg))
    }

    fn written(&mut self, node: u64, view: &RaftView) {
        self.lock().disks.written(node, view);
    }

    fn sync_started(&mut self, node: u64, id: SyncId) {
        self.lock().disks.sync_started(node, id);
    }

    fn sync_ended(&mut self, node: u64, id: SyncId) {
        self.lock().disks.sync_ended(node, id);
    }

    fn synced(&mut self, node: u64) {
        self.lock().disks.synced(node);
    }

    fn wiped(&mut self, node: u64) {
        self.lock().disks.wiped(node);
    }

    fn started(&mut self, node: u64) {
        self.lock().raft.restarted(node);
    }

    fn crashed(&mut self, node: u64) {
        let mut state = self.lock();
        state.raft.crashed(node);
        state.disks.crashed(node);
    }
}
