//! The calls of the service `Maintenance`.

use super::{ApplyLane, reply};
use crate::error::Refusal;
use crate::hash::hash_all;
use crate::{backup, snapshot};
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::{
    DefragmentResponse, HashResponse, MoveLeaderRequest, MoveLeaderResponse, SnapshotResponse,
};
use squall_api::{
    Bug, Effect, Effects, Fatal, LaneMsg, MaintenanceRequest, MaintenanceResponse, Now, ReqId,
    Response, SessionId,
};

/// Bytes of one piece of a backup; etcd's.
const BLOB: usize = 32 << 10;

/// A transfer of leadership that somebody waits for.
#[derive(Debug)]
pub(super) struct Transfer {
    req: ReqId,
    /// Under which the Raft lane knows it.
    id: u64,
    to: u64,
}

impl ApplyLane {
    pub(super) fn maintain(
        &mut self,
        now: Now,
        id: ReqId,
        session: SessionId,
        req: MaintenanceRequest,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        match req {
            MaintenanceRequest::Alarm(req) => {
                self.propose(now, id, session, Command::Alarm(req), fx);
            }
            MaintenanceRequest::MoveLeader(req) => self.move_leader(now, id, session, &req, fx),
            MaintenanceRequest::Defragment(_) => self.defragment(id, fx)?,
            MaintenanceRequest::Hash(_) => {
                let hash = hash_all(&mut self.store, &self.rows)?;
                let answer = MaintenanceResponse::Hash(HashResponse {
                    header: Some(self.header()),
                    hash,
                });
                let result = self.finish(Ok(Response::Maintenance(answer)))?;
                reply(id, result, fx);
            }
            MaintenanceRequest::Snapshot(_) => self.backup(id, fx)?,
            MaintenanceRequest::Downgrade(req) => self.downgrade(now, id, session, req, fx)?,
        }
        Ok(())
    }

    /// Rewrites this member's backend without holes; as in etcd the answer has
    /// no header. The lane does nothing else meanwhile.
    fn defragment(&mut self, req: ReqId, fx: &mut Effects) -> Result<(), Fatal> {
        self.rewrite_backend(fx)?;
        let answer = MaintenanceResponse::Defragment(DefragmentResponse { header: None });
        reply(req, Ok(Response::Maintenance(answer)), fx);
        Ok(())
    }

    pub(super) fn rewrite_backend(&mut self, fx: &mut Effects) -> Result<(), Fatal> {
        if self.bugs.has(Bug::DefragmentDropsBatch) {
            self.store.drop_pending(&self.meta, &mut self.rows)?;
        } else if self.uncommitted > 0 {
            self.commit(fx)?;
        }
        self.store.defragment()?;
        fx.mark("apply.defragmented");
        Ok(())
    }

    /// Streams the state as it is now, in pieces, and their checksum last. All
    /// pieces share one dump, made in one step: no write comes between them.
    fn backup(&mut self, req: ReqId, fx: &mut Effects) -> Result<(), Fatal> {
        let (rows, meta) = (&self.rows, &self.meta);
        let dump = match self.bugs.has(Bug::FuzzyBackup) {
            true => self
                .store
                .without_pending(|store| snapshot::dump(store, rows, meta))?,
            false => snapshot::dump(&mut self.store, rows, meta)?,
        };
        let checksum = backup::checksum(&dump);
        let mut rest = dump;
        loop {
            let blob = rest.split_to(rest.len().min(BLOB));
            let last = blob.is_empty();
            let answer = MaintenanceResponse::Snapshot(SnapshotResponse {
                header: Some(self.header()),
                remaining_bytes: rest.len() as u64,
                blob: if last { checksum.clone() } else { blob },
                version: self.cfg.version.to_string(),
            });
            fx.reply(req, self.finish(Ok(Response::Maintenance(answer)))?, last);
            if last {
                fx.mark("apply.streamed_backup");
                return Ok(());
            }
        }
    }

    /// Asks the Raft lane to hand leadership over. The answer comes when the
    /// successor leads; as in etcd it has no header.
    fn move_leader(
        &mut self,
        now: Now,
        req: ReqId,
        session: SessionId,
        request: &MoveLeaderRequest,
        fx: &mut Effects,
    ) {
        let to = request.target_id;
        let refusal = if self.leader != self.cfg.id {
            Some(Refusal::NotLeader)
        } else if self.bugs.has(Bug::MoveLeaderToAnyone) {
            return reply(req, Ok(moved()), fx);
        } else if !self.meta.membership.config.voters.contains(to) {
            Some(Refusal::BadLeaderTransferee)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return reply(req, Err(refusal.status()), fx);
        }
        let id = self.draw_id();
        fx.push(Effect::Lane(LaneMsg::MoveLeader { id, to }));
        if to == self.cfg.id {
            return reply(req, Ok(moved()), fx);
        }
        self.wait(now, req, session, None);
        self.transfers.push(Transfer { req, id, to });
    }

    /// Answers who waited for `leader` to lead.
    pub(super) fn note_leader(&mut self, leader: u64, fx: &mut Effects) {
        for transfer in self.transfers.extract_if(.., |t| t.to == leader) {
            if self.waiting.take(transfer.req) {
                reply(transfer.req, Ok(moved()), fx);
            }
        }
        let waiting = &self.waiting;
        self.transfers.retain(|transfer| waiting.has(transfer.req));
    }

    /// The Raft lane does not lead any more, or was asked for a member that is
    /// no voter any more.
    pub(super) fn refuse_transfer(&mut self, id: u64, fx: &mut Effects) {
        for transfer in self.transfers.extract_if(.., |t| t.id == id) {
            if self.waiting.take(transfer.req) {
                reply(transfer.req, Err(Refusal::NotLeader.status()), fx);
            }
        }
    }
}

fn moved() -> Response {
    Response::Maintenance(MaintenanceResponse::MoveLeader(MoveLeaderResponse {
        header: None,
    }))
}
