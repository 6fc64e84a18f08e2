//! Leases in the lane: who renews them, and who lets them expire.
//!
//! The leader alone does, and it may be leader no more without knowing. It
//! therefore renews a lease, or says what is left of one, only after a quorum
//! has confirmed it since it was asked. Before it proposes an expiry it asks, too:
//! meanwhile the keep-alives that wait in its own queue, because the lane was
//! stuck, are heard, and a leader without a quorum proposes nothing. What makes
//! expiry *safe* is another thing: the entry says in which term it is good. An
//! entry of that term is applied before any entry of a later leader, so it ends
//! no lease that a later leader has renewed; in a later term it is void.

use super::{ApplyLane, reply};
use crate::error::Failed;
use crate::leader_calls::{Ask, Asker, Call, KeepAliveStreams, LeaderCalls};
use crate::lease::{Lessor, Renewal};
use crate::reads::Read;
use crate::rows::Rows;
use prost::Message as _;
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::peer::{Forwarded, forwarded::Body};
use squall_api::pb::{
    InternalRaftRequest, LeaseCheckpoint, LeaseCheckpointRequest, LeaseGrantRequest,
    LeaseGrantResponse, LeaseKeepAliveResponse, LeaseLeasesResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
    RequestHeader, ResponseHeader,
};
use squall_api::{
    Bug, Bugs, Config, Effect, Effects, Fatal, LaneMsg, LeaseRequest, LeaseResponse, Now, PeerBody,
    PeerFrame, ReqId, Response, SessionId, Status, VERSION,
};
use std::collections::BTreeMap;

/// What the lane keeps for leases.
#[derive(Debug, Default)]
pub(super) struct Leasing {
    pub(super) lessor: Lessor,
    pub(super) calls: LeaderCalls,
    pub(super) streams: KeepAliveStreams,
    /// Keep-alives that wait for an entry about their lease to be applied.
    parked: BTreeMap<i64, Vec<Asker>>,
    /// The expiry of what is due waits for a confirmation.
    expiring: bool,
    ended: Vec<i64>,
}

impl Leasing {
    pub(super) fn of(rows: &Rows, cfg: &Config, bugs: Bugs) -> Result<Leasing, Fatal> {
        Ok(Leasing {
            lessor: Lessor::of(rows, cfg.lease_checkpoint_interval, bugs)?,
            ..Leasing::default()
        })
    }

    /// The leases that the entry being applied has ended.
    pub(super) fn take_ended(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.ended)
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        // A planted bug lets leases expire when something is applied.
        let lessor = match self.expiring || self.lessor.expires_locally() {
            true => None,
            false => self.lessor.deadline(),
        };
        [lessor, self.calls.deadline()].into_iter().flatten().min()
    }

    fn forget_leading(&mut self) {
        self.lessor.follow();
        self.parked.clear();
        self.expiring = false;
    }
}

impl ApplyLane {
    pub(super) fn lease_request(
        &mut self,
        now: Now,
        id: ReqId,
        session: SessionId,
        req: LeaseRequest,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        match req {
            LeaseRequest::Grant(mut grant) => {
                // Settled before the entry is made, so that all members apply
                // the same, whatever their settings.
                grant.ttl = match self.bugs.has(Bug::ShortLease) {
                    true => grant.ttl.max(1),
                    false => grant.ttl.max(self.cfg.min_lease_ttl()),
                };
                while grant.id == 0 {
                    grant.id = (self.draw_id() & i64::MAX as u64) as i64;
                }
                self.propose(now, id, session, Command::LeaseGrant(grant), fx);
            }
            LeaseRequest::Revoke(revoke) => {
                self.propose(now, id, session, Command::LeaseRevoke(revoke), fx);
            }
            LeaseRequest::KeepAlive(keep_alive) => {
                self.leasing.streams.open(id, session);
                self.keep_alive(now, id, keep_alive.id, fx)?;
            }
            LeaseRequest::TimeToLive(req) => {
                self.wait(now, id, session, None);
                self.ask_leader(now, id, Ask::TimeToLive(req), fx)?;
            }
            LeaseRequest::Leases(_) => {
                let ids = self.leasing.lessor.ids();
                let leases = ids.map(|id| LeaseStatus { id }).collect();
                let result = self.finish(Ok(Response::Lease(LeaseResponse::Leases(
                    LeaseLeasesResponse {
                        header: Some(self.header()),
                        leases,
                    },
                ))))?;
                reply(id, result, fx);
            }
        }
        Ok(())
    }

    /// A message on a stream of keep-alives.
    pub(super) fn keep_alive(
        &mut self,
        now: Now,
        id: ReqId,
        lease: i64,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        match self.leasing.streams.message(id, lease) {
            Some(session) => {
                self.wait(now, id, session, None);
                self.ask_leader(now, id, Ask::KeepAlive(lease), fx)
            }
            None => Ok(()),
        }
    }

    /// Whether a planted bug answers what only a confirmed leader may.
    fn answers_unconfirmed(&self, ask: &Ask) -> bool {
        let lessor = &self.leasing.lessor;
        match ask {
            Ask::KeepAlive(id) if lessor.get(*id).is_none() => {
                self.bugs.has(Bug::AnswerUnknownLease)
            }
            Ask::KeepAlive(_) => {
                self.bugs.has(Bug::UnconfirmedKeepAlive) && lessor.leads().is_some()
            }
            Ask::TimeToLive(_) => self.bugs.has(Bug::UnconfirmedTimeToLive),
            Ask::Expire => false,
        }
    }

    /// What leases run by.
    fn lease_clock(&self, now: Now) -> u64 {
        match self.bugs.has(Bug::LeaseByWallClock) {
            true => now.wall,
            false => now.mono,
        }
    }

    /// A planted bug: by the clock of each member, at its next entry.
    pub(super) fn expire_locally(&mut self, now: Now) {
        if self.bugs.has(Bug::ExpireLocally) {
            if self.leasing.lessor.leads().is_none() {
                self.leasing.lessor.lead(now.mono, self.term);
            }
            for id in self.leasing.lessor.take_expired(now.mono) {
                let _ = self.revoke_lease(LeaseRevokeRequest { id });
            }
        }
    }

    fn ask_leader(
        &mut self,
        now: Now,
        req: ReqId,
        ask: Ask,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        let id = self.draw_id();
        let revision = self.meta.revision;
        let unconfirmed = self.answers_unconfirmed(&ask).then(|| ask.clone());
        self.leasing.calls.add(id, Call { req, ask, revision });
        match unconfirmed {
            None => {
                self.route(now, id, fx);
                Ok(())
            }
            Some(Ask::TimeToLive(req)) => {
                let answer = self.time_to_live(now, req);
                self.answer_call(now, id, LeaseResponse::TimeToLive(answer), fx)
            }
            Some(Ask::KeepAlive(lease)) => self.renew(now, lease, Asker::Call(id), fx),
            Some(Ask::Expire) => unreachable!("no client asks for expiries"),
        }
    }

    /// Brings a call to the leader, if there is one.
    fn route(&mut self, now: Now, id: u64, fx: &mut Effects) {
        let call = self.leasing.calls.get(id).expect("a call that waits");
        if self.leader == self.cfg.id {
            self.reads.add(Read::Leader {
                term: self.term,
                asker: Asker::Call(id),
                ask: call.ask.clone(),
            });
        } else if self.leader != 0 {
            let body = match &call.ask {
                Ask::KeepAlive(id) => {
                    Body::KeepAlive(squall_api::pb::LeaseKeepAliveRequest { id: *id })
                }
                Ask::TimeToLive(req) => Body::TimeToLive(*req),
                Ask::Expire => unreachable!("no client asks for expiries"),
            };
            self.send(self.leader, id, body, fx);
            let retry_at = now.mono.saturating_add(2 * self.cfg.heartbeat);
            self.leasing.calls.retry_at(retry_at);
        }
    }

    fn route_all(&mut self, now: Now, fx: &mut Effects) {
        let waiting = &self.waiting;
        for id in self.leasing.calls.wanted(|req| waiting.has(req)) {
            self.route(now, id, fx);
        }
    }

    pub(super) fn send(&self, to: u64, id: u64, body: Body, fx: &mut Effects) {
        fx.push(Effect::Send(PeerFrame {
            cluster: self.cfg.cluster,
            from: self.cfg.id,
            to,
            version: VERSION,
            body: PeerBody::Forwarded(Box::new(Forwarded {
                id,
                body: Some(body),
            })),
        }));
    }

    /// What another member asks of this one as the leader, or answers as one.
    pub(super) fn forwarded(
        &mut self,
        now: Now,
        frame: PeerFrame,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        let (addressed, from) = ((frame.cluster, frame.to), frame.from);
        let PeerBody::Forwarded(forwarded) = frame.body else {
            unreachable!("a frame for the Raft lane was given to the apply lane: {frame:?}")
        };
        if addressed != (self.cfg.cluster, self.cfg.id) || frame.version > VERSION {
            fx.mark("apply.refused_frame");
            return Ok(());
        }
        let call = forwarded.id;
        let ask = match forwarded.body {
            Some(Body::KeepAlive(req)) => Ask::KeepAlive(req.id),
            Some(Body::TimeToLive(req)) => Ask::TimeToLive(req),
            Some(Body::KeptAlive(resp)) => {
                return self.answer_call(now, call, LeaseResponse::KeepAlive(resp), fx);
            }
            Some(Body::TimeLeft(resp)) => {
                return self.answer_call(now, call, LeaseResponse::TimeToLive(resp), fx);
            }
            Some(Body::Hash(req)) => return self.answer_hash(from, call, req, fx),
            Some(Body::Hashed(resp)) => {
                self.heard_hash(now, from, call, &resp, fx);
                return Ok(());
            }
            // Nothing that this member asks, or can answer.
            _ => return Ok(()),
        };
        // Else whoever asked finds the leader, and asks again.
        if self.leader == self.cfg.id {
            let until = now.mono.saturating_add(self.cfg.request_timeout);
            let asker = Asker::Peer {
                member: from,
                call,
                until,
            };
            self.reads.add(Read::Leader {
                term: self.term,
                asker,
                ask,
            });
        }
        Ok(())
    }

    /// Does what the leader was asked in `term`, and a quorum has confirmed it
    /// since.
    pub(super) fn serve_as_leader(
        &mut self,
        now: Now,
        term: u64,
        asker: Asker,
        ask: Ask,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        if self.leasing.lessor.leads() != Some(term) {
            // Calls were brought to the next leader already.
            return Ok(());
        }
        match ask {
            Ask::KeepAlive(id) => self.renew(now, id, asker, fx),
            Ask::TimeToLive(req) => {
                let answer = self.time_to_live(now, req);
                self.answer_asker(now, asker, LeaseResponse::TimeToLive(answer), fx)
            }
            Ask::Expire => {
                self.leasing.expiring = false;
                self.propose_expiries(now, term, fx);
                Ok(())
            }
        }
    }

    fn propose_expiries(&mut self, now: Now, term: u64, fx: &mut Effects) {
        let clock = self.lease_clock(now);
        for id in self.leasing.lessor.take_expired(clock) {
            fx.mark("lease.expired");
            let proposal = self.draw_id();
            let command = Command::LeaseRevoke(LeaseRevokeRequest { id });
            propose_in(term, proposal, command, fx);
        }
    }

    fn renew(&mut self, now: Now, id: i64, asker: Asker, fx: &mut Effects) -> Result<(), Fatal> {
        let revision = self.meta.revision;
        let ttl = match self.leasing.lessor.renew(self.lease_clock(now), id) {
            Renewal::Unknown => 0,
            Renewal::Renewed(ttl) => ttl,
            Renewal::Expiring => {
                self.park(id, asker);
                return Ok(());
            }
            Renewal::TakeBackCheckpoint { propose } => {
                self.park(id, asker);
                if propose && let Some(term) = self.leasing.lessor.leads() {
                    let proposal = self.draw_id();
                    let command = Command::LeaseCheckpoint(checkpoints(&[(id, 0)]));
                    propose_in(term, proposal, command, fx);
                }
                return Ok(());
            }
        };
        let answer = LeaseKeepAliveResponse {
            header: Some(ResponseHeader {
                revision,
                ..ResponseHeader::default()
            }),
            id,
            ttl,
        };
        self.answer_asker(now, asker, LeaseResponse::KeepAlive(answer), fx)
    }

    fn park(&mut self, id: i64, asker: Asker) {
        let parked = self.leasing.parked.entry(id).or_default();
        let is_same = |other: &Asker| match (asker, *other) {
            (
                Asker::Peer { member, call, .. },
                Asker::Peer {
                    member: m, call: c, ..
                },
            ) => (member, call) == (m, c),
            (asker, other) => asker == other,
        };
        // A member that hears nothing asks again.
        if !parked.iter().any(is_same) {
            parked.push(asker);
        }
    }

    /// An entry about these leases was applied, in the term in which this member
    /// leads if it does: that confirms it, too.
    pub(super) fn unpark(
        &mut self,
        now: Now,
        ids: impl IntoIterator<Item = i64>,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        for id in ids {
            for asker in self.leasing.parked.remove(&id).unwrap_or_default() {
                self.renew(now, id, asker, fx)?;
            }
        }
        Ok(())
    }

    fn time_to_live(&self, now: Now, req: LeaseTimeToLiveRequest) -> LeaseTimeToLiveResponse {
        let header = Some(self.header());
        let lessor = &self.leasing.lessor;
        match (
            lessor.get(req.id),
            lessor.time_to_live(self.lease_clock(now), req.id),
        ) {
            (Some(lease), Some(ttl)) => LeaseTimeToLiveResponse {
                header,
                id: req.id,
                ttl,
                granted_ttl: lease.ttl,
                keys: match req.keys {
                    true => self.store.attached(req.id).cloned().collect(),
                    false => Vec::new(),
                },
            },
            _ => LeaseTimeToLiveResponse {
                header,
                id: req.id,
                ttl: -1,
                ..LeaseTimeToLiveResponse::default()
            },
        }
    }

    fn answer_asker(
        &mut self,
        now: Now,
        asker: Asker,
        answer: LeaseResponse,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        match asker {
            Asker::Call(id) => self.answer_call(now, id, answer, fx),
            Asker::Peer { member, call, .. } => {
                let body = match answer {
                    LeaseResponse::KeepAlive(resp) => Body::KeptAlive(resp),
                    LeaseResponse::TimeToLive(resp) => Body::TimeLeft(resp),
                    other => unreachable!("{other:?} is no answer of a leader"),
                };
                self.send(member, call, body, fx);
                Ok(())
            }
            Asker::Lessor => unreachable!("the lessor asks for no answer: {answer:?}"),
        }
    }

    /// Answers a client's call that waited for the leader, if it still waits.
    fn answer_call(
        &mut self,
        now: Now,
        id: u64,
        answer: LeaseResponse,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        let Some(call) = self.leasing.calls.take(id) else {
            return Ok(());
        };
        if !self.waiting.take(call.req) {
            return Ok(());
        }
        // The header is that of the member that was asked, and its revision is
        // not beyond the moment of the renewal, as in etcd.
        let is_keep_alive = matches!(call.ask, Ask::KeepAlive(_));
        if let LeaseResponse::TimeToLive(time_left) = &answer
            && let Err(refusal) = self.permit_keys(now, call.req, &time_left.keys)
        {
            reply(call.req, Err(refusal.status()), fx);
            return Ok(());
        }
        let mut response = Response::Lease(answer);
        *response.header_mut() = Some(ResponseHeader {
            revision: match is_keep_alive {
                true => call.revision,
                false => self.meta.revision,
            },
            ..ResponseHeader::default()
        });
        let result = self.finish(Ok(response))?;
        fx.push(Effect::Reply {
            id: call.req,
            result,
            last: !is_keep_alive,
        });
        if let Some((session, lease)) = self.leasing.streams.answered(call.req) {
            self.wait(now, call.req, session, None);
            return self.ask_leader(now, call.req, Ask::KeepAlive(lease), fx);
        }
        Ok(())
    }

    /// A call timed out, was given up, or ended with its member.
    pub(super) fn end_stream(&mut self, id: ReqId) {
        self.leasing.streams.end(id);
    }

    /// Ends what streams are still open.
    pub(super) fn end_streams(&mut self, status: &Status, fx: &mut Effects) {
        while let Some(id) = self.leasing.streams.end_any() {
            reply(id, Err(status.clone()), fx);
        }
    }

    /// Somebody else leads, or nobody, or this member in another term.
    pub(super) fn leader_changed(&mut self, now: Now, fx: &mut Effects) {
        if !self.bugs.has(Bug::RevokeWhenDeposed) && !self.bugs.has(Bug::ExpireLocally) {
            self.leasing.forget_leading();
        }
        self.leasing.calls.is_retry_due(u64::MAX);
        self.route_all(now, fx);
    }

    /// What waited for a confirmation does so in vain.
    pub(super) fn leader_ask_refused(&mut self, now: Now, asker: Asker) {
        match asker {
            Asker::Lessor => self.leasing.expiring = false,
            Asker::Call(_) => {
                let retry_at = now.mono.saturating_add(2 * self.cfg.heartbeat);
                self.leasing.calls.retry_at(retry_at);
            }
            Asker::Peer { .. } => {}
        }
    }

    /// Does what time, or what was applied, asks for; at the end of each step.
    pub(super) fn tend_leases(&mut self, now: Now, fx: &mut Effects) {
        let leads = self.leader == self.cfg.id && self.meta.entry.term == self.term;
        if leads && self.leasing.lessor.leads().is_none() {
            fx.mark("lease.extended_all");
            self.leasing.lessor.lead(self.lease_clock(now), self.term);
        }
        if self.leasing.calls.is_retry_due(now.mono) {
            self.route_all(now, fx);
        }
        let Some(term) = self.leasing.lessor.leads() else {
            return;
        };
        let clock = self.lease_clock(now);
        if self.bugs.has(Bug::ExpireLocally) {
            return;
        }
        if self.bugs.has(Bug::RevokeWhenDeposed) {
            // Good in any term.
            self.propose_expiries(now, 0, fx);
        } else if !self.leasing.expiring && self.leasing.lessor.is_due(clock) {
            self.leasing.expiring = true;
            self.reads.add(Read::Leader {
                term,
                asker: Asker::Lessor,
                ask: Ask::Expire,
            });
        }
        if self.leasing.lessor.is_checkpoint_due(clock) {
            let proposal = self.draw_id();
            let taken = self.leasing.lessor.take_checkpoints(clock, proposal);
            if !taken.is_empty() {
                fx.mark("lease.checkpointed");
                let command = Command::LeaseCheckpoint(checkpoints(&taken));
                propose_in(term, proposal, command, fx);
            }
        }
    }

    /// Applies a grant.
    pub(super) fn grant_lease(
        &mut self,
        now: Now,
        req: &LeaseGrantRequest,
    ) -> Result<Response, Failed> {
        let clock = self.lease_clock(now);
        self.leasing
            .lessor
            .grant(&mut self.rows, clock, req.id, req.ttl)?;
        Ok(Response::Lease(LeaseResponse::Grant(LeaseGrantResponse {
            header: Some(self.header()),
            id: req.id,
            ttl: req.ttl,
            error: String::new(),
        })))
    }

    /// Applies the end of a lease, and of its keys: all at one revision.
    pub(super) fn revoke_lease(&mut self, req: LeaseRevokeRequest) -> Result<Response, Failed> {
        self.leasing.lessor.revoke(&mut self.rows, req.id)?;
        let keys: Vec<_> = self.store.attached(req.id).cloned().collect();
        self.leasing.ended.push(req.id);
        for key in keys {
            self.store.delete(crate::index::Span::One(&key));
            if self.bugs.has(Bug::RevokeInSteps) {
                self.store.end_txn();
            }
        }
        Ok(Response::Lease(LeaseResponse::Revoke(
            LeaseRevokeResponse {
                header: Some(ResponseHeader {
                    revision: self.store.current_revision(),
                    ..ResponseHeader::default()
                }),
            },
        )))
    }

    /// Applies checkpoints.
    pub(super) fn checkpoint_leases(&mut self, proposal: u64, req: &LeaseCheckpointRequest) {
        for checkpoint in &req.checkpoints {
            self.leasing.lessor.checkpoint(
                &mut self.rows,
                proposal,
                checkpoint.id,
                checkpoint.remaining_ttl,
            );
        }
    }
}

/// Proposes what the leader itself wants, good in its own term only.
pub(super) fn propose_in(term: u64, proposal: u64, command: Command, fx: &mut Effects) {
    let data = InternalRaftRequest {
        header: Some(RequestHeader {
            id: proposal,
            term,
            ..RequestHeader::default()
        }),
        command: Some(command),
    };
    fx.push(Effect::Lane(LaneMsg::Propose {
        id: proposal,
        data: data.encode_to_vec().into(),
    }));
}

fn checkpoints(seconds_left: &[(i64, i64)]) -> LeaseCheckpointRequest {
    let checkpoint = |&(id, remaining_ttl): &(i64, i64)| LeaseCheckpoint { id, remaining_ttl };
    LeaseCheckpointRequest {
        checkpoints: seconds_left.iter().map(checkpoint).collect(),
    }
}
