//! Compaction: an entry decides it, and the lane does the work in its own time.

use super::ApplyLane;
use crate::error::Failed;
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::{CompactionRequest, CompactionResponse};
use squall_api::{Bug, Effects, Fatal, Now, ReqId, Response};

/// Nanoseconds between two batches of removals, which are left to others;
/// etcd's.
const PAUSE: u64 = 10_000_000;

/// What the lane remembers of a compaction that is under way.
#[derive(Debug, Default)]
pub(super) struct Compacting {
    /// When the next batch is due.
    at: Option<u64>,
    /// Who hears of it when everything is removed, durably.
    waiting: Vec<(ReqId, Response)>,
}

impl Compacting {
    /// A crash may have left something to do.
    pub(super) fn at_open(is_compacting: bool) -> Compacting {
        Compacting {
            at: is_compacting.then_some(0),
            waiting: Vec::new(),
        }
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        self.at
    }
}

impl ApplyLane {
    /// Applies a compaction: history ends at its revision.
    pub(super) fn compact(&mut self, req: CompactionRequest) -> Result<Response, Failed> {
        self.store.compact(req.revision)?;
        Ok(Response::Compact(CompactionResponse {
            header: Some(self.header()),
        }))
    }

    /// Proposes to compact what has come of age, where this member leads.
    pub(super) fn compact_by_itself(&mut self, now: Now, fx: &mut Effects) {
        let revision = self.meta.revision;
        let Some(at) = self.auto_compactor.due(now.mono, revision) else {
            return;
        };
        if self.leader != self.cfg.id || at <= self.store.compact_revision() {
            return;
        }
        fx.mark("apply.compacts_by_itself");
        let req = CompactionRequest {
            revision: at,
            physical: false,
        };
        self.propose_for_nobody(Command::Compaction(req), fx);
    }

    /// Begins to remove what an entry compacted away.
    pub(super) fn start_compaction(&mut self, now: Now, fx: &mut Effects) {
        fx.mark("apply.compacted");
        self.compacting.at = Some(now.mono);
    }

    /// The answer of a compaction that is to wait for all removals.
    pub(super) fn answer_when_removed(&mut self, req: ReqId, response: Response) {
        self.compacting.waiting.push((req, response));
    }

    /// Removes the next batch if it is due.
    pub(super) fn continue_compaction(&mut self, now: Now, fx: &mut Effects) -> Result<(), Fatal> {
        if self.compacting.at.is_none_or(|at| at > now.mono) {
            return Ok(());
        }
        if self.store.continue_compaction() {
            self.commit(fx)?;
            fx.mark("apply.removed_compacted");
        }
        if self.store.is_compacting() {
            self.compacting.at = Some(now.mono.saturating_add(PAUSE));
            return Ok(());
        }
        self.compacting.at = None;
        if self.bugs.has(Bug::DefragmentAfterCompaction) {
            self.rewrite_backend(fx)?;
        }
        for (req, response) in std::mem::take(&mut self.compacting.waiting) {
            self.answer(req, Ok(response), fx);
        }
        Ok(())
    }
}
