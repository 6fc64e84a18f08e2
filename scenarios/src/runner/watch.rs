//! The online checks of a run, as the world's observer.

use squall_api::eraftpb::Message;
use squall_api::{MembersView, RaftView, SyncId, View};
use squall_checkers::disks::Disks;
use squall_checkers::promotion::Promotions;
use squall_checkers::raft::{Invariant, Invariants};
use squall_checkers::replicas::Chain;
use squall_checkers::versions::Versions;
use squall_record::{Check, Op, Witness};
use squall_sim::world::{Observer, Violation};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Watches every view and message of a run; its clones share what they saw.
#[derive(Clone)]
pub(super) struct Watch(Arc<Mutex<State>>);

struct State {
    raft: Invariants,
    disks: Disks,
    chain: Chain,
    versions: Versions,
    promotions: Promotions,
    /// When something was last seen.
    seen: u64,
    suspended: Option<Suspension>,
    /// Members whose log may have been damaged so that nothing tells it from a
    /// torn tail, and by which fault.
    rotten: BTreeMap<u64, String>,
}

/// Since when, and why, promises that rest on disks are not asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspension {
    /// True nanoseconds since the start of the run.
    pub(super) since: u64,
    pub(super) why: String,
}

impl State {
    fn new(voters: u64) -> State {
        let first = MembersView::first(1..=voters);
        State {
            raft: Invariants::of(first.clone()),
            disks: Disks::new(first),
            chain: Chain::new(),
            versions: Versions::new(),
            promotions: Promotions::default(),
            seen: 0,
            suspended: None,
            rotten: BTreeMap::new(),
        }
    }
}

impl Watch {
    /// Watches a cluster of voters 1 to `voters`.
    pub(super) fn new(voters: u64) -> Watch {
        Watch(Arc::new(Mutex::new(State::new(voters))))
    }

    /// A disk has lied, or will: what rests on a member's word is not asked for
    /// from now on.
    pub(super) fn suspend(&self, t: u64, why: &str) {
        self.lock().suspended.get_or_insert_with(|| Suspension {
            since: t,
            why: why.to_owned(),
        });
    }

    /// From now on a member's log may be cut short without anybody noticing.
    pub(super) fn rots(&self, node: u64, label: &str) {
        self.lock().rotten.insert(node, label.to_owned());
    }

    /// Why and since when promises that rest on disks are not asked for, if
    /// they are not.
    pub(super) fn suspension(&self) -> Option<Suspension> {
        self.lock().suspended.clone()
    }

    /// What each online check says.
    pub(super) fn finish(&self) -> Vec<Check> {
        let mut state = self.lock();
        let done = State {
            versions: std::mem::take(&mut state.versions),
            promotions: std::mem::take(&mut state.promotions),
            ..State::new(0)
        };
        let state = std::mem::replace(&mut *state, done);
        let mut checks = state.raft.finish();
        checks.extend(state.disks.finish());
        checks.push(state.chain.finish());
        checks
    }

    /// What the check of versions says, which knows these calls.
    pub(super) fn finish_versions(&self, history: &[Op]) -> Check {
        let versions = std::mem::take(&mut self.lock().versions);
        versions.finish(history)
    }

    /// What the check of promotions says, if one of these calls asks for one.
    pub(super) fn finish_promotions(&self, history: &[Op]) -> Option<Check> {
        let promotions = std::mem::take(&mut self.lock().promotions);
        promotions.finish(history)
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

fn of_versions(witness: Box<Witness>) -> Violation {
    Violation {
        check: "versions",
        witness,
    }
}

impl Observer for Watch {
    fn view(&mut self, t: u64, node: u64, view: &View) -> Result<(), Violation> {
        let mut state = self.lock();
        state.seen = t;
        let state = &mut *state;
        let suspended = state.suspended.is_some();
        if let View::Raft(view) = view {
            // It is kept, and what it leads to is still to come.
            let _ = state.disks.shown(t, node, view);
            state.promotions.observe(t, node, view);
        }
        let seen = raft(state.raft.observe(t, node, view)).and_then(|()| match view {
            View::Applied(applied) | View::Installed(applied) | View::Opened(applied) => state
                .chain
                .observe(t, node, applied)
                .map_err(|witness| Violation {
                    check: "replicas.chain",
                    witness,
                }),
            View::Versions(view) => state.versions.observe(t, node, view).map_err(of_versions),
            View::Gated { index, since } => state
                .versions
                .gated(t, node, *index, *since)
                .map_err(of_versions),
            View::Raft(_) | View::Proposed { .. } | View::LeaseEnded { .. } => Ok(()),
        });
        if suspended { Ok(()) } else { seen }
    }

    fn sent(&mut self, t: u64, node: u64, msg: &Message) -> Result<(), Violation> {
        let mut state = self.lock();
        let _ = state.disks.sent(t, node, msg);
        let sent = raft(state.raft.sent(t, node, msg));
        if state.suspended.is_some() {
            return Ok(());
        }
        sent
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

    fn marked(&mut self, t: u64, node: u64, name: &'static str) {
        if name != "wal.tail_truncated" {
            return;
        }
        let by = self.lock().rotten.get(&node).cloned();
        if let Some(label) = by {
            let why = format!("{label}: n{node} took damage for the torn end of its log");
            self.suspend(t, &why);
        }
    }

    fn wiped(&mut self, node: u64) {
        let mut state = self.lock();
        state.disks.wiped(node);
        let since = state.seen;
        state.suspended.get_or_insert_with(|| Suspension {
            since,
            why: format!("n{node} came back with an empty disk"),
        });
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
