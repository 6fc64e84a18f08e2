//! Calls of clients: what is checked, answered at once, read or proposed.

use super::{ApplyLane, MAX_APPLY_GAP, reply};
use crate::auth::Caller;
use crate::check::check;
use crate::error::{Failed, Refusal};
use crate::hash::hash_kv;
use crate::reads::Query;
use crate::txn;
use prost::Message as _;
use squall_api::pb::InternalRaftRequest;
use squall_api::pb::internal_raft_request::Command;
use squall_api::{
    Bug, ClusterRequest, Effect, Effects, Fatal, LaneMsg, LeaseRequest, Metadata, Now, ReqId,
    Request, Response, SessionId, View,
};

impl ApplyLane {
    pub(super) fn request(
        &mut self,
        now: Now,
        id: ReqId,
        session: SessionId,
        meta: Metadata,
        req: Request,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        if meta.require_leader && self.leader == 0 {
            reply(id, Err(Refusal::NoLeader.status()), fx);
            return Ok(());
        }
        if !self.serves(&req) {
            reply(id, Err(Refusal::NotForLearner.status()), fx);
            return Ok(());
        }
        let max_txn_ops = match self.bugs.has(Bug::UnboundedTxn) {
            true => usize::MAX,
            false => self.cfg.max_txn_ops,
        };
        if let Err(refusal) = check(&req, max_txn_ops) {
            reply(id, Err(refusal.status()), fx);
            return Ok(());
        }
        let Some((meta, req)) = self.note_caller(now, id, session, meta, req) else {
            return Ok(());
        };
        if let Err(refusal) = self.admit(now, id, &req) {
            reply(id, Err(refusal.status()), fx);
            return Ok(());
        }
        let command = match req {
            Request::Range(req) => {
                let serializable = req.serializable;
                return self.read(now, id, session, Query::Range(req), serializable, fx);
            }
            Request::RangeStream(req) => {
                let serializable = req.serializable;
                let query = Query::RangeStream(session, req);
                return self.read(now, id, session, query, serializable, fx);
            }
            Request::Txn(req) if txn::is_read_only(&req) => {
                let serializable = txn::is_serializable(&req);
                return self.read(now, id, session, Query::Txn(req), serializable, fx);
            }
            Request::HashKv(req) => {
                let mut result = hash_kv(&mut self.store, &req);
                if self.bugs.has(Bug::HashCoversMember) {
                    result = result.map(|mut answer| {
                        answer.hash ^= self.cfg.id as u32;
                        answer
                    });
                }
                let result = result.map(Response::HashKv);
                let result = self.finish(result)?;
                reply(id, result, fx);
                return Ok(());
            }
            Request::Status(_) => {
                let result = Ok(Response::Status(self.status()?));
                let result = self.finish(result)?;
                reply(id, result, fx);
                return Ok(());
            }
            Request::Cluster(ClusterRequest::MemberList(req)) => {
                let is_serializable = !req.linearizable;
                return self.read(now, id, session, Query::Members, is_serializable, fx);
            }
            Request::Cluster(ClusterRequest::MemberUpdate(req)) => Command::MemberUpdate(req),
            Request::Cluster(req) => {
                return self.propose_conf_change(now, id, session, req, fx);
            }
            Request::Maintenance(req) => return self.maintain(now, id, session, req, fx),
            Request::Lease(req) => return self.lease_request(now, id, session, req, fx),
            Request::Put(req) => Command::Put(req),
            Request::DeleteRange(req) => Command::DeleteRange(req),
            Request::Txn(mut req) => {
                if self.bugs.has(Bug::CompareAtPropose)
                    && let Err(Failed::Fatal(fatal)) = txn::decide_early(&self.store, &mut req)
                {
                    return Err(fatal);
                }
                Command::Txn(req)
            }
            Request::Compact(req) => Command::Compaction(req),
            Request::Watch(first) => {
                self.open_watch(now, id, session, meta, first, fx);
                return Ok(());
            }
            Request::Auth(req) => return self.auth_request(now, id, session, req, fx),
            Request::Lock(req) => return self.lock_request(now, id, session, meta, req, fx),
            Request::Election(req) => {
                return self.election_request(now, id, session, meta, req, fx);
            }
        };
        self.propose(now, id, session, command, fx);
        Ok(())
    }

    /// A further message on a call that is a stream.
    pub(super) fn message(
        &mut self,
        now: Now,
        id: ReqId,
        req: Request,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        match req {
            Request::Watch(message) => self.watch_message(now, id, message, fx),
            Request::Lease(LeaseRequest::KeepAlive(message)) => {
                self.keep_alive(now, id, message.id, fx)?;
            }
            // No other call that this member answers is a stream.
            _ => {}
        }
        Ok(())
    }

    pub(super) fn propose(
        &mut self,
        now: Now,
        req: ReqId,
        session: SessionId,
        command: Command,
        fx: &mut Effects,
    ) {
        let gap = self.known_commit.saturating_sub(self.meta.index);
        if gap > MAX_APPLY_GAP && !self.bugs.has(Bug::NoApplyGapLimit) {
            reply(req, Err(Refusal::TooManyRequests.status()), fx);
            return;
        }
        if self.refuse_without_space(now, req, &command, fx) {
            return;
        }
        let caller = match self.caller(now, req) {
            Ok(caller) => caller,
            Err(refusal) => return reply(req, Err(refusal.status()), fx),
        };
        let proposal = self.draw_id();
        self.wait(now, req, session, Some(proposal));
        self.propose_as(caller, req, proposal, command, fx);
    }

    /// Proposes for a request that waits for `proposal`.
    pub(super) fn propose_as(
        &mut self,
        caller: Option<Caller>,
        req: ReqId,
        proposal: u64,
        command: Command,
        fx: &mut Effects,
    ) {
        let data = InternalRaftRequest {
            header: Some(Caller::header(caller, proposal)),
            command: Some(command),
        }
        .encode_to_vec();
        if data.len() > self.cfg.max_request_bytes {
            return self.answer(req, Err(Refusal::RequestTooLarge.status()), fx);
        }
        let asker = self.line.asker(req);
        fx.push(Effect::View(View::Proposed {
            req: asker,
            proposal,
        }));
        fx.push(Effect::Lane(LaneMsg::Propose {
            id: proposal,
            data: data.into(),
        }));
    }

    /// Proposes what no client waits for.
    pub(super) fn propose_for_nobody(&mut self, command: Command, fx: &mut Effects) {
        let id = self.draw_id();
        let header = Some(Caller::header(Some(Caller::member()), id));
        let command = Some(command);
        let data = InternalRaftRequest { header, command }.encode_to_vec();
        fx.push(Effect::Lane(LaneMsg::Propose {
            id,
            data: data.into(),
        }));
    }
}
