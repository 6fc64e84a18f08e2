//! The cluster's members: how changes of them are asked for and applied.

use super::{ApplyLane, reply};
use crate::auth::Caller;
use crate::error::{Failed, Refusal};
use crate::leader_calls::Ask;
use crate::membership::single;
use raft_proto::eraftpb::{ConfChangeType, ConfChangeV2};
use squall_api::pb::{
    ConfChangeContext, Member, MemberAddResponse, MemberPromoteRequest, MemberPromoteResponse,
    MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse, ResponseHeader,
};
use squall_api::{
    Bug, ClusterRequest, ClusterResponse, Effect, Effects, Fatal, LaneMsg, MaintenanceRequest, Now,
    ReqId, Request, Response, SessionId, View,
};
use squall_raft::confchange::Configuration;

impl ApplyLane {
    /// The configuration in force, as of the last entry applied.
    pub(crate) fn configuration(&self) -> Configuration {
        self.meta.membership.config.clone()
    }

    /// Whether this member gets the log, and does not count.
    pub(super) fn is_learner(&self) -> bool {
        let learners = &self.meta.membership.config.learners;
        learners.contains(&self.cfg.id)
    }

    /// Whether this member answers such a call. A learner answers little, and
    /// only from what it has.
    pub(super) fn serves(&self, req: &Request) -> bool {
        let is_harmless = match req {
            Request::Range(range) => range.serializable,
            Request::Status(_) => true,
            Request::Maintenance(req) => matches!(req, MaintenanceRequest::Snapshot(_)),
            _ => false,
        };
        is_harmless || !self.is_learner() || self.bugs.has(Bug::LearnerServes)
    }

    /// Proposes to add, remove or promote a member. A learner is promoted if the
    /// leader says that it has caught up: else it would count towards quorums that
    /// it cannot help to make.
    pub(super) fn propose_conf_change(
        &mut self,
        now: Now,
        req: ReqId,
        session: SessionId,
        request: ClusterRequest,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        let proposal = self.draw_id();
        let change = match self.conf_change(now, req, proposal, &request) {
            Ok(change) => change,
            Err(refusal) => {
                reply(req, Err(refusal.status()), fx);
                return Ok(());
            }
        };
        if let ClusterRequest::MemberPromote(promote) = request
            && !self.bugs.has(Bug::PromoteUnready)
        {
            self.wait(now, req, session, None);
            return self.ask_leader(now, req, Ask::IsInSync(promote.id), fx);
        }
        self.wait(now, req, session, Some(proposal));
        send_conf_change(req, proposal, change, fx);
        Ok(())
    }

    /// Goes on with a promotion when the leader has said whether the learner has
    /// caught up.
    pub(super) fn promote(
        &mut self,
        now: Now,
        req: ReqId,
        member: u64,
        is_in_sync: bool,
        fx: &mut Effects,
    ) {
        if !is_in_sync {
            fx.mark("apply.refused_unready_learner");
            return self.answer(req, Err(Refusal::MemberNotInSync.status()), fx);
        }
        if !self.waiting.has(req) {
            return;
        }
        let proposal = self.draw_id();
        let request = ClusterRequest::MemberPromote(MemberPromoteRequest { id: member });
        match self.conf_change(now, req, proposal, &request) {
            Ok(change) => {
                self.waiting.await_proposal(req, proposal);
                send_conf_change(req, proposal, change, fx);
            }
            // Since it was asked, somebody else has changed the members.
            Err(refusal) => self.answer(req, Err(refusal.status()), fx),
        }
    }

    /// The change that is asked for, if it can be made as far as this member
    /// knows.
    fn conf_change(
        &self,
        now: Now,
        req: ReqId,
        proposal: u64,
        request: &ClusterRequest,
    ) -> Result<ConfChangeV2, Refusal> {
        let caller = self.caller(now, req)?;
        let mut context = ConfChangeContext {
            header: Some(Caller::header(caller, proposal)),
            ..ConfChangeContext::default()
        };
        let change = match request {
            ClusterRequest::MemberAdd(add) => {
                let id = self.meta.membership.free_id();
                let change_type = match add.is_learner {
                    true => ConfChangeType::AddLearnerNode,
                    false => ConfChangeType::AddNode,
                };
                context.member = Some(Member {
                    id,
                    peer_ur_ls: add.peer_ur_ls.clone(),
                    is_learner: add.is_learner,
                    ..Member::default()
                });
                single(change_type, id, &context)
            }
            ClusterRequest::MemberPromote(promote) => {
                context.is_promote = true;
                single(ConfChangeType::AddNode, promote.id, &context)
            }
            ClusterRequest::MemberRemove(remove) => {
                single(ConfChangeType::RemoveNode, remove.id, &context)
            }
            other => unreachable!("{} changes no configuration", other.name()),
        };
        self.meta.membership.clone().change(&change, context)?;
        Ok(change)
    }

    /// Applies a change of members, and says what its proposer is to hear.
    pub(super) fn change_members(
        &mut self,
        change: &ConfChangeV2,
        context: ConfChangeContext,
    ) -> Result<Response, Failed> {
        let caller = context.header.as_ref().and_then(Caller::of);
        self.auth.may_manage(caller.as_ref())?;
        let (added, is_promote) = (context.member.clone(), context.is_promote);
        self.meta
            .membership
            .change(change, context)
            .map_err(Failed::Refused)?;
        for single in &change.changes {
            if single.change_type == ConfChangeType::RemoveNode {
                self.versions.forget(&mut self.rows, single.node_id);
                self.versions_changed();
            }
        }
        if is_promote && self.bugs.has(Bug::ForgetPromotion) {
            self.meta.membership.leave_promotion_unsaved(change);
        }
        let (header, members) = (Some(self.header()), self.meta.membership.list());
        Ok(Response::Cluster(match (added, is_promote) {
            (Some(member), false) => ClusterResponse::MemberAdd(MemberAddResponse {
                header,
                member: Some(member),
                members,
            }),
            (_, true) => ClusterResponse::MemberPromote(MemberPromoteResponse { header, members }),
            (None, false) => {
                ClusterResponse::MemberRemove(MemberRemoveResponse { header, members })
            }
        }))
    }

    /// Applies new addresses of a member.
    pub(super) fn update_member(
        &mut self,
        update: MemberUpdateRequest,
    ) -> Result<Response, Failed> {
        self.meta
            .membership
            .update(update.id, update.peer_ur_ls)
            .map_err(Failed::Refused)?;
        Ok(Response::Cluster(ClusterResponse::MemberUpdate(
            MemberUpdateResponse {
                header: Some(self.header()),
                members: self.meta.membership.list(),
            },
        )))
    }

    /// If the member was removed, it ends when the others had time to hear from
    /// it what is committed, its own removal above all.
    pub(super) fn note_removal(&mut self, now: Now, fx: &mut Effects) {
        if self.removed.is_none() && self.meta.membership.was_removed(self.cfg.id) {
            fx.mark("apply.removed");
            self.removed = Some(now.mono.saturating_add(self.cfg.election_timeout));
        }
    }

    /// A header that [`finish`](ApplyLane::finish) completes.
    pub(super) fn header(&self) -> ResponseHeader {
        ResponseHeader {
            revision: self.meta.revision,
            ..ResponseHeader::default()
        }
    }
}

fn send_conf_change(req: ReqId, proposal: u64, change: ConfChangeV2, fx: &mut Effects) {
    fx.push(Effect::View(View::Proposed { req, proposal }));
    fx.push(Effect::Lane(LaneMsg::ProposeConfChange {
        id: proposal,
        change: Box::new(change),
    }));
}
