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
use crate::leader_calls::{Answer, Ask, Asker, KeepAliveStreams};
use crate::lease::{Lessor, Renewal};
use crate::reads::Read;
use crate::rows::Rows;
use prost::Message as _;
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::{
    InternalRaftRequest, LeaseCheckpoint, LeaseCheckpointRequest, LeaseGrantRequest,
    LeaseGrantResponse, LeaseKeepAliveResponse, LeaseLeasesResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
    RequestHeader, ResponseHeader,
};
use squall_api::{
    Bug, Bugs, Config, Effect, Effects, Fatal, LaneMsg, LeaseRequest, LeaseResponse, Now, ReqId,
    Response, SessionId, Status,
};
use std::collections::BTreeMap;

/// What the lane keeps for leases.
#[derive(Debug, Default)]
pub(super) struct Leasing {
    pub(super) lessor: Lessor,
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
        match self.expiring || self.lessor.expires_locally() {
            true => None,
            false => self.lessor.deadline(),
        }
    }

    /// What is due is to be asked for again.
    pub(super) fn expiry_refused(&mut self) {
        self.expiring = false;
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
    pub(super) fn answers_unconfirmed(&self, ask: &Ask) -> bool {
        let lessor = &self.leasing.lessor;
        match ask {
            Ask::KeepAlive(id) if lessor.get(*id).is_none() => {
                self.bugs.has(Bug::AnswerUnknownLease)
            }
            Ask::KeepAlive(_) => {
                self.bugs.has(Bug::UnconfirmedKeepAlive) && lessor.leads().is_some()
            }
            Ask::TimeToLive(_) => self.bugs.has(Bug::UnconfirmedTimeToLive),
            Ask::IsInSync(_) | Ask::Expire => false,
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

    /// A quorum has confirmed the leader since leases were due.
    pub(super) fn expire(&mut self, now: Now, fx: &mut Effects) {
        self.leasing.expiring = false;
        if let Some(term) = self.leasing.lessor.leads() {
            self.propose_expiries(now, term, fx);
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

    pub(super) fn renew(
        &mut self,
        now: Now,
        id: i64,
        asker: Asker,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
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
        self.answer_asker(now, asker, Answer::KeptAlive(answer), fx)
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

    pub(super) fn time_to_live(
        &self,
        now: Now,
        req: LeaseTimeToLiveRequest,
    ) -> LeaseTimeToLiveResponse {
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

    /// Tells a client that its lease was renewed. The header is that of the member
    /// that was asked, and its revision is not beyond the moment of the renewal,
    /// as in etcd.
    pub(super) fn kept_alive(
        &mut self,
        now: Now,
        req: ReqId,
        revision: i64,
        mut resp: LeaseKeepAliveResponse,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        if !self.waiting.take(req) {
            return Ok(());
        }
        resp.header = Some(ResponseHeader {
            revision,
            ..ResponseHeader::default()
        });
        fx.reply(
            req,
            self.finish(Ok(Response::Lease(LeaseResponse::KeepAlive(resp))))?,
            false,
        );
        if let Some((session, lease)) = self.leasing.streams.answered(req) {
            self.wait(now, req, session, None);
            return self.ask_leader(now, req, Ask::KeepAlive(lease), fx);
        }
        Ok(())
    }

    /// Tells a client what is left of a lease.
    pub(super) fn time_left(
        &mut self,
        now: Now,
        req: ReqId,
        mut resp: LeaseTimeToLiveResponse,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        if !self.waiting.has(req) {
            return Ok(());
        }
        resp.header = Some(self.header());
        let result = match self.permit_keys(now, req, &resp.keys) {
            Ok(()) => Ok(Response::Lease(LeaseResponse::TimeToLive(resp))),
            Err(refusal) => Err(refusal.into()),
        };
        let result = self.finish(result)?;
        self.answer(req, result, fx);
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
    pub(super) fn leave_leases(&mut self) {
        if !self.bugs.has(Bug::RevokeWhenDeposed) && !self.bugs.has(Bug::ExpireLocally) {
            self.leasing.forget_leading();
        }
    }

    /// Does what time, or what was applied, asks for; at the end of each step.
    pub(super) fn tend_leases(&mut self, now: Now, fx: &mut Effects) {
        let leads = self.leader == self.cfg.id && self.meta.entry.term == self.term;
        if leads && self.leasing.lessor.leads().is_none() {
            fx.mark("lease.extended_all");
            self.leasing.lessor.lead(self.lease_clock(now), self.term);
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
