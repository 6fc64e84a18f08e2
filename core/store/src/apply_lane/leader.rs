//! Calls that only the leader can answer: how they are brought to it, and what
//! becomes of its answers.

use super::ApplyLane;
use crate::leader_calls::{Answer, Ask, Asker, Call, LeaderCalls};
use crate::reads::Read;
use squall_api::pb::LeaseKeepAliveRequest;
use squall_api::pb::peer::{Forwarded, InSyncRequest, InSyncResponse, forwarded::Body};
use squall_api::{Effect, Effects, Fatal, LaneMsg, Now, PeerBody, PeerFrame, ReqId, VERSION};
use std::collections::BTreeMap;

/// What the lane keeps for calls that only the leader can answer.
#[derive(Debug, Default)]
pub(super) struct Asking {
    calls: LeaderCalls,
    /// Leader: who asked what the Raft lane is to say of a learner.
    in_sync: BTreeMap<u64, Asker>,
}

impl Asking {
    pub(super) fn deadline(&self) -> Option<u64> {
        self.calls.deadline()
    }
}

impl ApplyLane {
    /// Asks the leader for a client's call, which waits.
    pub(super) fn ask_leader(
        &mut self,
        now: Now,
        req: ReqId,
        ask: Ask,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        let id = self.draw_id();
        let revision = self.meta.revision;
        let unconfirmed = self.answers_unconfirmed(&ask).then(|| ask.clone());
        self.asking.calls.add(id, Call { req, ask, revision });
        match unconfirmed {
            None => {
                self.route(now, id, fx);
                Ok(())
            }
            Some(ask) => self.serve_ask(now, Asker::Call(id), ask, fx),
        }
    }

    /// Brings a call to the leader, if there is one.
    fn route(&mut self, now: Now, id: u64, fx: &mut Effects) {
        let call = self.asking.calls.get(id).expect("a call that waits");
        if self.leader == self.cfg.id {
            self.reads.add(Read::Leader {
                term: self.term,
                asker: Asker::Call(id),
                ask: call.ask.clone(),
            });
        } else if self.leader != 0 {
            let body = match &call.ask {
                Ask::KeepAlive(id) => Body::KeepAlive(LeaseKeepAliveRequest { id: *id }),
                Ask::TimeToLive(req) => Body::TimeToLive(*req),
                Ask::IsInSync(member) => Body::IsInSync(InSyncRequest { member: *member }),
                Ask::Expire => unreachable!("no client asks for expiries"),
            };
            self.send(self.leader, id, body, fx);
            let retry_at = now.mono.saturating_add(2 * self.cfg.heartbeat);
            self.asking.calls.retry_at(retry_at);
        }
    }

    fn route_all(&mut self, now: Now, fx: &mut Effects) {
        let waiting = &self.waiting;
        for id in self.asking.calls.wanted(|req| waiting.has(req)) {
            self.route(now, id, fx);
        }
    }

    /// Sends again what was not answered in time.
    pub(super) fn repeat_leader_calls(&mut self, now: Now, fx: &mut Effects) {
        if self.asking.calls.is_retry_due(now.mono) {
            self.route_all(now, fx);
        }
    }

    /// There is another leader, or none: all calls are brought to the new one.
    pub(super) fn redirect_leader_calls(&mut self, now: Now, fx: &mut Effects) {
        self.asking.calls.is_retry_due(u64::MAX);
        self.route_all(now, fx);
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
            Some(Body::IsInSync(req)) => Ask::IsInSync(req.member),
            Some(Body::KeptAlive(resp)) => {
                return self.answer_call(now, call, Answer::KeptAlive(resp), fx);
            }
            Some(Body::TimeLeft(resp)) => {
                return self.answer_call(now, call, Answer::TimeLeft(resp), fx);
            }
            Some(Body::InSync(resp)) => {
                return self.answer_call(now, call, Answer::IsInSync(resp.is_in_sync), fx);
            }
            Some(Body::Hash(req)) => return self.answer_hash(from, call, req, fx),
            Some(Body::Hashed(resp)) => {
                self.heard_hash(now, from, call, &resp, fx);
                return Ok(());
            }
            Some(Body::WasRemoved(_)) => {
                self.tell_who_was_removed(from, call, fx);
                return Ok(());
            }
            Some(Body::Removed(_)) => {
                self.was_told_of_removal(now, from, fx);
                return Ok(());
            }
            // It asks nothing.
            None => return Ok(()),
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
        match self.leasing.lessor.leads() == Some(term) {
            true => self.serve_ask(now, asker, ask, fx),
            // Calls were brought to the next leader already.
            false => Ok(()),
        }
    }

    fn serve_ask(
        &mut self,
        now: Now,
        asker: Asker,
        ask: Ask,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        match ask {
            Ask::KeepAlive(id) => self.renew(now, id, asker, fx),
            Ask::TimeToLive(req) => {
                let answer = self.time_to_live(now, req);
                self.answer_asker(now, asker, Answer::TimeLeft(answer), fx)
            }
            Ask::IsInSync(member) => {
                let id = self.draw_id();
                self.asking.in_sync.insert(id, asker);
                fx.push(Effect::Lane(LaneMsg::IsInSync { id, member }));
                Ok(())
            }
            Ask::Expire => {
                self.expire(now, fx);
                Ok(())
            }
        }
    }

    /// The Raft lane says whether a learner has caught up.
    pub(super) fn heard_in_sync(
        &mut self,
        now: Now,
        id: u64,
        is_in_sync: bool,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        match self.asking.in_sync.remove(&id) {
            Some(asker) => self.answer_asker(now, asker, Answer::IsInSync(is_in_sync), fx),
            None => Ok(()),
        }
    }

    /// This member leads no more, says the Raft lane, which was asked about a
    /// learner.
    pub(super) fn refuse_in_sync(&mut self, now: Now, id: u64) {
        if let Some(asker) = self.asking.in_sync.remove(&id) {
            self.leader_ask_refused(now, asker);
        }
    }

    /// Answers who asked the leader, which this member is.
    pub(super) fn answer_asker(
        &mut self,
        now: Now,
        asker: Asker,
        answer: Answer,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        match asker {
            Asker::Call(id) => self.answer_call(now, id, answer, fx),
            Asker::Peer { member, call, .. } => {
                let body = match answer {
                    Answer::KeptAlive(resp) => Body::KeptAlive(resp),
                    Answer::TimeLeft(resp) => Body::TimeLeft(resp),
                    Answer::IsInSync(is_in_sync) => Body::InSync(InSyncResponse { is_in_sync }),
                };
                self.send(member, call, body, fx);
                Ok(())
            }
            Asker::Lessor => unreachable!("the lessor asks for no answer: {answer:?}"),
        }
    }

    /// The leader's answer to a client's call.
    fn answer_call(
        &mut self,
        now: Now,
        id: u64,
        answer: Answer,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        let calls = &mut self.asking.calls;
        let Some(call) = calls.take_if(id, |ask| answer.is_for(ask)) else {
            return Ok(());
        };
        match (answer, call.ask) {
            (Answer::IsInSync(is_in_sync), Ask::IsInSync(member)) => {
                self.promote(now, call.req, member, is_in_sync, fx);
                Ok(())
            }
            (Answer::KeptAlive(resp), _) => self.kept_alive(now, call.req, call.revision, resp, fx),
            (Answer::TimeLeft(resp), _) => self.time_left(now, call.req, resp, fx),
            (answer, ask) => unreachable!("{answer:?} is no answer to {ask:?}"),
        }
    }

    /// What waited for a confirmation does so in vain.
    pub(super) fn leader_ask_refused(&mut self, now: Now, asker: Asker) {
        match asker {
            Asker::Lessor => self.leasing.expiry_refused(),
            Asker::Call(_) => {
                let retry_at = now.mono.saturating_add(2 * self.cfg.heartbeat);
                self.asking.calls.retry_at(retry_at);
            }
            Asker::Peer { .. } => {}
        }
    }
}
