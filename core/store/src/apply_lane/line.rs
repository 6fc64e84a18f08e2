//! etcd's lock and election services: the lane as a client of itself.
//!
//! As in etcd, a call of these services is carried out by ordinary requests, which
//! the member makes of itself in its caller's name: so each of them is admitted,
//! proposed, confirmed and timed out like any other. What such a request is
//! answered does not leave the lane. Between them a call may wait for as long as
//! its caller wants to; what it waits for, that a key is gone, this member may
//! see in what it has applied, because nobody ever joins a line at its front.
//! That the caller's own key is still there it may not: before it says that
//! somebody holds a lock or leads, it reads that key linearizably. (etcd does this
//! for locks only, and may tell a candidate whose lease has expired that it leads.)

use super::{ApplyLane, reply};
use crate::error::Refusal;
use crate::line::{
    Call, Observer, Place, Stage, Wish, changed_at, first_of, guarded, moved, prefix,
};
use crate::mvcc::Change;
use crate::range::range;
use crate::reads::Query;
use squall_api::pb::range_request::SortOrder;
use squall_api::pb::request_op::Request as Op;
use squall_api::pb::v3electionpb::{
    CampaignResponse, LeaderKey, LeaderResponse, ProclaimResponse, ResignResponse,
};
use squall_api::pb::v3lockpb::{LockResponse, UnlockResponse};
use squall_api::pb::{self, ResponseHeader, response_op::Response as OpResponse};
use squall_api::{
    Bug, Bugs, Effect, Effects, ElectionRequest, ElectionResponse, Fatal, LeaseRequest,
    LeaseResponse, LockRequest, Metadata, Now, ReqId, Request, Response, SessionId, Status,
};

/// The TTL of the lease that a caller without one is given, in seconds; etcd's.
const OWN_TTL: i64 = 60;

impl ApplyLane {
    pub(super) fn lock_request(
        &mut self,
        now: Now,
        id: ReqId,
        session: SessionId,
        meta: Metadata,
        req: LockRequest,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        let (wish, place) = match req {
            LockRequest::Lock(req) => (Wish::Lock, Place::new(req.name, req.lease)),
            LockRequest::Unlock(req) => (Wish::Unlock, Place::of_key(req.key)),
        };
        self.begin(now, id, Call::new(session, meta, wish, place), fx)
    }

    pub(super) fn election_request(
        &mut self,
        now: Now,
        id: ReqId,
        session: SessionId,
        meta: Metadata,
        req: ElectionRequest,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        let of_leader = |leader: Option<LeaderKey>| {
            leader.map(|leader| Place {
                name: leader.name,
                key: leader.key,
                lease: leader.lease,
                revision: leader.rev,
            })
        };
        let (wish, place) = match req {
            ElectionRequest::Campaign(req) => {
                let wish = Wish::Lead { value: req.value };
                (wish, Some(Place::new(req.name, req.lease)))
            }
            ElectionRequest::Proclaim(req) => {
                (Wish::Proclaim { value: req.value }, of_leader(req.leader))
            }
            ElectionRequest::Resign(req) => (Wish::Resign, of_leader(req.leader)),
            ElectionRequest::Leader(req) => (Wish::Leader, Some(Place::new(req.name, 0))),
            ElectionRequest::Observe(req) => {
                let observer = Observer::new(session, meta, prefix(&req.name));
                return self.observe(now, id, observer, fx);
            }
        };
        let Some(place) = place else {
            reply(id, Err(Refusal::NoLeaderKey.status()), fx);
            return Ok(());
        };
        self.begin(now, id, Call::new(session, meta, wish, place), fx)
    }

    // --- one call ---

    fn begin(&mut self, now: Now, id: ReqId, call: Call, fx: &mut Effects) -> Result<(), Fatal> {
        let is_without_lease = call.place.lease == 0 && call.wish.needs_lease();
        self.waiting.hold(id, call.session);
        self.line.add(id, call);
        if is_without_lease {
            let grant = pb::LeaseGrantRequest {
                id: 0,
                ttl: OWN_TTL,
            };
            let grant = Request::Lease(LeaseRequest::Grant(grant));
            return self.ask_itself(now, id, Stage::Granting, grant, fx);
        }
        self.ask_for_it(now, id, fx)?;
        match self.bugs.has(Bug::ProclaimUncommitted) {
            true => self.answer_early(id, fx),
            false => Ok(()),
        }
    }

    /// A planted bug: who leads, as far as this member knows, is told that it has
    /// proclaimed what it has asked for.
    fn answer_early(&mut self, id: ReqId, fx: &mut Effects) -> Result<(), Fatal> {
        let Some(call) = self.line.call(id) else {
            return Ok(());
        };
        let (place, proclaims) = (
            call.place.clone(),
            matches!(call.wish, Wish::Proclaim { .. }),
        );
        let found = self.store.get(&place.key)?;
        let leads = found.is_some_and(|kv| kv.create_revision == place.revision);
        if !proclaims || !leads || self.leader == 0 {
            return Ok(());
        }
        let header = Some(self.header());
        let answer = ElectionResponse::Proclaim(ProclaimResponse { header });
        let result = self.finish(Ok(Response::Election(answer)))?;
        self.end_call(id, result, fx);
        Ok(())
    }

    /// Asks for what a call is all about.
    fn ask_for_it(&mut self, now: Now, id: ReqId, fx: &mut Effects) -> Result<(), Fatal> {
        let bugs = self.bugs;
        let Some(Call { wish, place, .. }) = self.line.call(id) else {
            return Ok(());
        };
        let request = match wish {
            Wish::Lock => Request::Txn(place.join(bytes::Bytes::new())),
            Wish::Lead { value } => Request::Txn(place.join(value.clone())),
            Wish::Proclaim { value } => {
                let mut txn = place.proclaim(value.clone());
                if bugs.has(Bug::UnguardedProclaim) {
                    txn.compare.clear();
                }
                if bugs.has(Bug::ProclaimNothing) {
                    txn.success.clear();
                }
                if bugs.has(Bug::ProclaimOnce) {
                    txn.compare = vec![changed_at(&place.key, place.revision)];
                }
                Request::Txn(txn)
            }
            Wish::Resign => Request::Txn(resign(place, bugs)),
            Wish::Unlock => Request::DeleteRange(place.leave()),
            Wish::Leader => {
                let mut look = first_of(&prefix(&place.name));
                if bugs.has(Bug::NewestLeads) {
                    look.sort_order = SortOrder::Descend.into();
                }
                Request::Range(look)
            }
        };
        self.ask_itself(now, id, Stage::Asking, request, fx)
    }

    /// Makes a request of this member, in the name of a call's caller.
    fn ask_itself(
        &mut self,
        now: Now,
        id: ReqId,
        stage: Stage,
        request: Request,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        let Some(call) = self.line.call(id) else {
            return Ok(());
        };
        call.stage = stage;
        let (session, meta) = (call.session, call.own_meta());
        let own = self.line.own(id);
        self.request(now, own, session, meta, request, fx)
    }

    /// Goes on with the calls whose requests were answered in this step.
    pub(super) fn serve_line(&mut self, now: Now, fx: &mut Effects) -> Result<(), Fatal> {
        loop {
            let is_own = |e: &Effect| matches!(e, Effect::Reply { id, .. } if id.is_own());
            let answers = fx.take(is_own);
            if answers.is_empty() {
                return Ok(());
            }
            for answer in answers {
                if let Effect::Reply { id, result, .. } = answer
                    && let Some(id) = self.line.answered(id)
                {
                    self.go_on(now, id, *result, fx)?;
                }
            }
        }
    }

    fn go_on(
        &mut self,
        now: Now,
        id: ReqId,
        result: Result<Response, Status>,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        if self.line.observer(id).is_some() {
            return self.admit_observer(now, id, result, fx);
        }
        let response = match result {
            Ok(response) => response,
            Err(status) => return self.fail(now, id, status, fx),
        };
        let Some(call) = self.line.call(id) else {
            return Ok(());
        };
        match (call.stage, response) {
            (Stage::Granting, Response::Lease(LeaseResponse::Grant(granted))) => {
                match call.wish {
                    Wish::Lock | Wish::Lead { .. } => {
                        call.place = Place::new(call.place.name.clone(), granted.id);
                    }
                    _ => call.place.lease = granted.id,
                }
                self.ask_for_it(now, id, fx)
            }
            (Stage::Asking, Response::Txn(answer)) => match &call.wish {
                Wish::Proclaim { .. } if !answer.succeeded => {
                    self.fail(now, id, Refusal::ElectionNotLeader.status(), fx)
                }
                Wish::Lock | Wish::Lead { .. } => self.joined(now, id, answer, fx),
                _ => self.fulfil(id, answer.header, fx),
            },
            (Stage::Asking, Response::DeleteRange(answer)) => self.fulfil(id, answer.header, fx),
            (Stage::Asking, Response::Range(answer)) => {
                let header = answer.header;
                match answer.kvs.into_iter().next() {
                    None => self.fail(now, id, Refusal::ElectionNoLeader.status(), fx),
                    kv => {
                        let leader = LeaderResponse { header, kv };
                        let answer = Response::Election(ElectionResponse::Leader(leader));
                        self.end_call(id, Ok(answer), fx);
                        Ok(())
                    }
                }
            }
            (Stage::Renaming { is_first }, Response::Txn(answer)) => {
                match (answer.succeeded, is_first) {
                    (false, _) => self.fail(now, id, Refusal::ElectionNotLeader.status(), fx),
                    (true, true) => self.fulfil(id, None, fx),
                    (true, false) => self.stand(now, id, fx),
                }
            }
            (Stage::Confirming, Response::Range(answer)) => {
                let created = answer.kvs.first().map(|kv| kv.create_revision);
                if created == Some(call.place.revision) {
                    return self.fulfil(id, answer.header, fx);
                }
                let gone = match call.wish {
                    Wish::Lock => Refusal::SessionExpired,
                    _ => Refusal::ElectionNotLeader,
                };
                self.fail(now, id, gone.status(), fx)
            }
            (stage, response) => unreachable!("{stage:?} was answered with {response:?}"),
        }
    }

    /// The caller has a place in line.
    fn joined(
        &mut self,
        now: Now,
        id: ReqId,
        answer: pb::TxnResponse,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        let relock_waits = self.bugs.has(Bug::RelockWaits) && !answer.succeeded;
        let Some(call) = self.line.call(id) else {
            return Ok(());
        };
        let first = |i: usize| match answer.responses.get(i)?.response.as_ref()? {
            OpResponse::ResponseRange(found) => found.kvs.first(),
            _ => None,
        };
        let own = first(0);
        call.place.revision = match own {
            Some(kv) => kv.create_revision,
            None => answer.header.as_ref().map_or(0, |header| header.revision),
        };
        let leads_at_once =
            self.bugs.has(Bug::LeadWithoutWaiting) && matches!(call.wish, Wish::Lead { .. });
        let is_first = leads_at_once
            || first(1).is_some_and(|kv| kv.create_revision == call.place.revision)
                && !relock_waits;
        call.joined = answer.header;
        if let Wish::Lead { value } = &call.wish
            && let Some(own) = own
            && own.value != *value
        {
            let rename = Request::Txn(call.place.proclaim(value.clone()));
            return self.ask_itself(now, id, Stage::Renaming { is_first }, rename, fx);
        }
        match is_first {
            true => self.fulfil(id, answer.header, fx),
            false => self.stand(now, id, fx),
        }
    }

    /// Lets a call wait for whoever is before it, if anybody is.
    fn stand(&mut self, now: Now, id: ReqId, fx: &mut Effects) -> Result<(), Fatal> {
        match self.line.wait(&self.store, id) {
            true => Ok(()),
            false => self.confirm(now, id, fx),
        }
    }

    /// Nobody is before a call: makes sure that it is still in line itself.
    fn confirm(&mut self, now: Now, id: ReqId, fx: &mut Effects) -> Result<(), Fatal> {
        let Some(call) = self.line.call(id) else {
            return Ok(());
        };
        if self.bugs.has(Bug::HoldAfterExpiry) {
            let header = call.joined;
            return self.fulfil(id, header, fx);
        }
        let own = Request::Range(call.place.own());
        self.ask_itself(now, id, Stage::Confirming, own, fx)
    }

    /// A call has what it wanted, as of a header.
    fn fulfil(
        &mut self,
        id: ReqId,
        header: Option<ResponseHeader>,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        let bugs = self.bugs;
        let Some(Call {
            wish,
            place,
            joined,
            ..
        }) = self.line.call(id)
        else {
            return Ok(());
        };
        let key = place.key.clone();
        let header = match wish {
            Wish::Lock if bugs.has(Bug::LockAsOfJoining) => *joined,
            _ => header,
        };
        let lock = |answer| Response::Lock(answer);
        let election = |answer| Response::Election(answer);
        let answer = match wish {
            Wish::Lock => lock(squall_api::LockResponse::Lock(LockResponse { header, key })),
            Wish::Unlock => lock(squall_api::LockResponse::Unlock(UnlockResponse { header })),
            Wish::Lead { .. } => election(ElectionResponse::Campaign(CampaignResponse {
                // As in etcd: when it joined, not when it won.
                header: *joined,
                leader: Some(LeaderKey {
                    name: place.name.clone(),
                    key,
                    rev: place.revision,
                    lease: place.lease,
                }),
            })),
            Wish::Proclaim { .. } => {
                election(ElectionResponse::Proclaim(ProclaimResponse { header }))
            }
            Wish::Resign => election(ElectionResponse::Resign(ResignResponse { header })),
            Wish::Leader => unreachable!("it is answered with whom it found"),
        };
        if matches!(wish, Wish::Lock) && bugs.has(Bug::ReleaseAtNewLeader) {
            self.answer(id, Ok(answer), fx);
            return Ok(());
        }
        self.end_call(id, Ok(answer), fx);
        Ok(())
    }

    fn fail(&mut self, now: Now, id: ReqId, status: Status, fx: &mut Effects) -> Result<(), Fatal> {
        let left = match self.line.call(id) {
            // As in etcd: a candidate stays in line until its lease ends.
            Some(call) if matches!(call.wish, Wish::Lock) => self.leave(id),
            Some(call) if matches!(call.stage, Stage::Renaming { .. }) => {
                let place = call.place.clone();
                Some(Request::Txn(resign(&place, self.bugs)))
            }
            _ => None,
        };
        if let Some(left) = left {
            let stage = Stage::Asking;
            self.ask_itself(now, id, stage, left, fx)?;
        }
        self.end_call(id, Err(status), fx);
        Ok(())
    }

    /// Nobody wants an answer to this call any more.
    pub(super) fn give_up(&mut self, now: Now, id: ReqId, fx: &mut Effects) -> Result<(), Fatal> {
        self.line.end_observer(id);
        if let Some(left) = self.leave(id) {
            self.ask_itself(now, id, Stage::Asking, left, fx)?;
        }
        self.line.take(id);
        Ok(())
    }

    pub(super) fn close_line(
        &mut self,
        now: Now,
        session: SessionId,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        for id in self.line.of_session(session) {
            self.give_up(now, id, fx)?;
        }
        Ok(())
    }

    /// The request by which who stands in line leaves it.
    fn leave(&mut self, id: ReqId) -> Option<Request> {
        let always = self.bugs.has(Bug::LeaveBeforeJoined);
        let call = self.line.call(id)?;
        let stands = matches!(call.stage, Stage::Waiting | Stage::Confirming)
            || (always && matches!(call.wish, Wish::Lock));
        if !stands {
            return None;
        }
        let place = call.place.clone();
        Some(match call.wish {
            Wish::Lock => Request::DeleteRange(place.leave()),
            _ => Request::Txn(resign(&place, self.bugs)),
        })
    }

    /// A planted bug: who was given a lock through this member leaves its place.
    pub(super) fn release_held(&mut self, now: Now, fx: &mut Effects) -> Result<(), Fatal> {
        let held = self.line.calls_where(|id| !self.waiting.has(id));
        for id in held {
            self.give_up(now, id, fx)?;
        }
        Ok(())
    }

    fn end_call(&mut self, id: ReqId, result: Result<Response, Status>, fx: &mut Effects) {
        self.line.take(id);
        self.answer(id, result, fx);
    }

    // --- observers ---

    fn observe(
        &mut self,
        now: Now,
        id: ReqId,
        observer: Observer,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        let look = Request::Range(first_of(&observer.prefix));
        let (session, meta) = (observer.session, observer.meta.clone());
        self.waiting.hold(id, session);
        self.line.observe(id, observer);
        let own = self.line.own(id);
        self.request(now, own, session, meta, look, fx)
    }

    /// What an observer is told comes from a state that is not older than its call.
    fn admit_observer(
        &mut self,
        now: Now,
        id: ReqId,
        result: Result<Response, Status>,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        match result {
            Ok(_) => {
                if let Some(observer) = self.line.observer(id) {
                    observer.is_admitted = true;
                }
                self.tell(now, id, fx)
            }
            Err(status) => {
                self.end_observer(id, status, fx);
                Ok(())
            }
        }
    }

    /// Tells an observer who leads now, unless it knows, or is too slow: then it is
    /// told of whoever leads when it is not.
    fn tell(&mut self, now: Now, id: ReqId, fx: &mut Effects) -> Result<(), Fatal> {
        let window = self.cfg.watch_window;
        let Some(observer) = self.line.observer(id) else {
            return Ok(());
        };
        if !observer.is_admitted || observer.untaken >= window {
            return Ok(());
        }
        let look = first_of(&observer.prefix);
        let query = Query::Range(look.clone());
        if let Err(refusal) = self.permit_query(now, id, &query) {
            self.end_observer(id, refusal.status(), fx);
            return Ok(());
        }
        let found = match range(&self.store, &look) {
            Ok(found) => found.kvs.into_iter().next(),
            Err(_) => None,
        };
        match found {
            Some(kv) => self.tell_of(id, kv, fx),
            None => Ok(()),
        }
    }

    fn tell_of(&mut self, id: ReqId, kv: pb::KeyValue, fx: &mut Effects) -> Result<(), Fatal> {
        let bugs = self.bugs;
        let Some(observer) = self.line.observer(id) else {
            return Ok(());
        };
        let version = Some((kv.key.clone(), kv.mod_revision));
        let is_known = observer.told == version;
        if is_known && !bugs.has(Bug::ObserveAgain) {
            return Ok(());
        }
        observer.told = version;
        observer.untaken += 1;
        let leader = LeaderResponse {
            header: Some(self.header()),
            kv: Some(kv),
        };
        let answer = Response::Election(ElectionResponse::Observe(leader));
        let result = self.finish(Ok(answer))?;
        fx.reply(id, result, false);
        Ok(())
    }

    /// The client's connection took answers of an observer.
    pub(super) fn observer_took(
        &mut self,
        now: Now,
        id: ReqId,
        answers: u32,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        if let Some(observer) = self.line.observer(id) {
            observer.untaken = observer.untaken.saturating_sub(answers);
            return self.tell(now, id, fx);
        }
        Ok(())
    }

    pub(super) fn end_observer(&mut self, id: ReqId, status: Status, fx: &mut Effects) {
        if self.line.end_observer(id) {
            self.answer(id, Err(status), fx);
        }
    }

    // --- what happens to the store ---

    /// A transaction was applied.
    pub(super) fn move_line(
        &mut self,
        now: Now,
        changes: &[Change],
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        if self.line.is_idle() {
            return Ok(());
        }
        let moved = moved(changes)?;
        for id in self.line.woken(&moved.deleted) {
            match self.bugs.has(Bug::WakeWithoutLooking) {
                true => self.confirm(now, id, fx)?,
                false => self.stand(now, id, fx)?,
            }
        }
        if self.bugs.has(Bug::ObserveCandidates) {
            for kv in moved.put {
                for id in self.line.observers_of(&kv.key) {
                    self.tell_of(id, kv.clone(), fx)?;
                }
            }
            return Ok(());
        }
        let keys = moved
            .deleted
            .iter()
            .chain(moved.put.iter().map(|kv| &kv.key));
        let concerned: std::collections::BTreeSet<ReqId> =
            keys.flat_map(|key| self.line.observers_of(key)).collect();
        for id in concerned {
            self.tell(now, id, fx)?;
        }
        Ok(())
    }

    /// A snapshot replaced the store.
    pub(super) fn line_installed(&mut self, now: Now, fx: &mut Effects) -> Result<(), Fatal> {
        for id in self.line.wake_all() {
            self.stand(now, id, fx)?;
        }
        for id in self.line.observers(|_| true) {
            self.tell(now, id, fx)?;
        }
        Ok(())
    }
}

fn resign(place: &Place, bugs: Bugs) -> pb::TxnRequest {
    let delete = Op::RequestDeleteRange(place.leave());
    let mut txn = guarded(&place.key, place.revision, delete);
    if bugs.has(Bug::UnguardedResign) {
        txn.compare.clear();
    }
    if bugs.has(Bug::ResignNothing) {
        txn.success.clear();
    }
    txn
}
