//! The calls of the service `Maintenance`.

use super::{ApplyLane, reply};
use crate::error::Refusal;
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::{MoveLeaderRequest, MoveLeaderResponse};
use squall_api::{
    Effect, Effects, Fatal, LaneMsg, MaintenanceRequest, MaintenanceResponse, Now, ReqId, Response,
    SessionId,
};

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
            MaintenanceRequest::Defragment(_)
            | MaintenanceRequest::Hash(_)
            | MaintenanceRequest::Snapshot(_)
            | MaintenanceRequest::Downgrade(_) => {
                reply(id, Err(Refusal::Unimplemented.status()), fx);
            }
        }
        Ok(())
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
