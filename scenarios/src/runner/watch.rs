//! The online checks of a run, as the world's observer.

use squall_api::View;
use squall_api::eraftpb::Message;
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
    chain: Chain,
}

impl Watch {
    pub(super) fn new() -> Watch {
        Watch(Arc::new(Mutex::new(State {
            raft: Invariants::new(),
            chain: Chain::new(),
        })))
    }

    /// What each online check says.
    pub(super) fn finish(&self) -> Vec<Check> {
        let state = std::mem::replace(
            &mut *self.lock(),
            State {
                raft: Invariants::new(),
                chain: Chain::new(),
            },
        );
        let mut checks = state.raft.finish();
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
        raft(self.lock().raft.sent(t, node, msg))
    }

    fn started(&mut self, node: u64) {
        self.lock().raft.restarted(node);
    }

    fn crashed(&mut self, node: u64) {
        self.lock().raft.crashed(node);
    }
}
