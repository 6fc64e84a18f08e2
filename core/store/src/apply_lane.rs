//! The apply lane: the state machine, its backend, and the clients' requests.

mod alarms;
mod auth;
mod compaction;
mod corruption;
mod lease;
mod line;
mod maintenance;
mod members;
mod watch;

use crate::alarms::{Alarms, cost};
use crate::auth::{Auth, Caller};
use crate::auto_compaction::AutoCompactor;
use crate::backend::guard::guarded;
use crate::backend::{Backend, open_error};
use crate::check::check;
use crate::digest::entry_id;
use crate::error::{Failed, Refusal};
use crate::hash::hash_kv;
use crate::leader_calls::Asker;
use crate::lease::Lessor;
use crate::line::Line;
use crate::meta::Meta;
use crate::mvcc::Mvcc;
use crate::range::range;
use crate::reads::{Query, Read, Reads};
use crate::rows::Rows;
use crate::waiting::Waiting;
use crate::watch::Hub;
use crate::{snapshot, txn};
use auth::Callers;
use compaction::Compacting;
use corruption::CorruptionCheck;
use lease::Leasing;
use maintenance::Transfer;
use prost::Message as _;
use raft_proto::eraftpb::{ConfChangeV2, Entry, Snapshot};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::{
    AlarmType, ConfChangeContext, InternalRaftRequest, MemberListResponse, RequestHeader,
    StatusResponse,
};
use squall_api::{
    Bug, Bugs, ClusterRequest, ClusterResponse, Config, Effect, Effects, Env, Fatal, Input,
    LaneMsg, LeaseRequest, Machine, Metadata, Now, OpenError, ReqId, Request, Response, SessionId,
    Status, View,
};
use squall_raft::{LogBase, decode_conf_change, is_conf_change};
use xxhash_rust::xxh3::xxh3_64;

/// The etcd release whose API and behaviour this store follows, as reported by
/// `Maintenance.Status`.
pub const ETCD_VERSION: &str = "3.5.21";

/// Writes are refused while this many entries are committed and not applied;
/// etcd's.
const MAX_APPLY_GAP: u64 = 5_000;

/// The lane that owns the state.
///
/// It answers every [`Input::Request`], applies what the Raft lane says is
/// committed, and commits to the backend in batches, which blocks the lane for
/// the time of a sync.
#[derive(Debug)]
pub struct ApplyLane {
    cfg: Config,
    store: Mvcc,
    rows: Rows,
    leasing: Leasing,
    /// Of what is applied; the backend has it as of its last commit.
    meta: Meta,
    bugs: Bugs,
    /// A planted bug: the revision of the last backend commit, which reads see.
    committed_revision: i64,
    /// A planted bug: the position before the last entry, which snapshots claim.
    claimed: Option<Meta>,
    /// Whether the first view was shown.
    shown: bool,
    /// Entries up to here may be handed in again.
    applied_at_open: u64,
    /// Entries applied since the last backend commit, and when they have to be
    /// committed. Invariant: `uncommitted == 0` exactly if there is no deadline.
    uncommitted: u64,
    commit_deadline: Option<u64>,
    /// The next id of a proposal or a read: unique over members and
    /// incarnations, because it counts up from a random 64-bit number.
    next_id: u64,
    term: u64,
    leader: u64,
    /// Highest index known to be committed.
    known_commit: u64,
    alarms: Alarms,
    auto_compactor: AutoCompactor,
    corruption: CorruptionCheck,
    auth: Auth,
    callers: Callers,
    /// When an alarm was last proposed here.
    alarm_proposed: Option<u64>,
    transfers: Vec<Transfer>,
    compacting: Compacting,
    waiting: Waiting,
    reads: Reads,
    hub: Hub,
    line: Line,
    /// Since when nobody is known to lead.
    leaderless_since: Option<u64>,
    /// The member was removed, and ends at this time: until then it tells
    /// others what it knows to be committed.
    removed: Option<u64>,
    scratch: Vec<u8>,
}

impl ApplyLane {
    /// Opens the member's backend, or creates it. The second part says up to
    /// which entry its effects are durable: the log goes on from there.
    pub fn open(env: &Env, now: Now) -> Result<(ApplyLane, LogBase), OpenError> {
        env.cfg.validate()?;
        let opening = || {
            let (backend, meta) = Backend::open(env)?;
            let rows = Rows::of(backend.rows().map_err(open_error)?);
            let store = Mvcc::open(backend, &meta, env.bugs).map_err(open_error)?;
            Ok::<_, OpenError>((store, rows, meta))
        };
        let opened = match env.bugs.has(Bug::OpenUnguarded) {
            true => opening(),
            false => guarded(|| Ok(opening())).map_err(open_error)?,
        };
        let (mut store, rows, mut meta) = opened?;
        if env.bugs.has(Bug::RevisionFromKeys) && meta.compact_revision > 0 {
            meta.revision = store.take_revision_from_keys();
        }
        meta.membership.misread(env.bugs);
        let base = LogBase {
            index: meta.index,
            term: meta.entry.term,
        };
        // Seeded from the member's generator, not drawn from it: the Raft lane
        // owns that one.
        let leasing = Leasing::of(&rows, &env.cfg, env.bugs).map_err(open_error)?;
        let mut seed = [0; 32];
        env.rng.clone().fill_bytes(&mut seed);
        let mut rng = ChaCha8Rng::from_seed(seed);
        let next_id = rng.next_u64();
        let lane = ApplyLane {
            alarms: match env.bugs.has(Bug::ForgetAlarms) {
                true => Alarms::default(),
                false => Alarms::load(&rows).map_err(open_error)?,
            },
            auto_compactor: AutoCompactor::new(env.cfg.auto_compaction, now.mono),
            corruption: CorruptionCheck::new(env.cfg.corrupt_check_interval, now.mono),
            callers: Callers::new(rng),
            auth: Auth::load(&rows, env.cfg.auth_token_ttl, env.bugs).map_err(open_error)?,
            alarm_proposed: None,
            transfers: Vec::new(),
            compacting: Compacting::at_open(store.is_compacting()),
            cfg: env.cfg.clone(),
            store,
            rows,
            leasing,
            bugs: env.bugs,
            committed_revision: meta.revision,
            claimed: None,
            shown: false,
            applied_at_open: meta.index,
            uncommitted: 0,
            commit_deadline: None,
            next_id,
            term: meta.entry.term,
            leader: 0,
            known_commit: meta.index,
            waiting: Waiting::default(),
            reads: Reads::default(),
            hub: Hub::new(&env.cfg, env.bugs),
            line: Line::default(),
            leaderless_since: Some(now.mono),
            scratch: Vec::new(),
            removed: meta.membership.was_removed(env.cfg.id).then_some(0),
            meta,
        };
        Ok((lane, base))
    }

    fn lane_msg(&mut self, now: Now, msg: LaneMsg, fx: &mut Effects) -> Result<(), Fatal> {
        match msg {
            LaneMsg::Committed(entries) => {
                for entry in &entries {
                    self.apply(now, entry, fx)?;
                }
                self.serve_reads(now, fx)?;
                self.serve_early(now, fx)
            }
            LaneMsg::Readable { ctx, index } => {
                self.known_commit = self.known_commit.max(index);
                self.reads.confirm(ctx, index);
                self.serve_reads(now, fx)
            }
            LaneMsg::Refused { id } => {
                for read in self.reads.refuse(id) {
                    match read {
                        Read::Client { req, .. } => {
                            self.answer(req, Err(Refusal::NoLeader.status()), fx);
                        }
                        Read::Leader { asker, .. } => self.leader_ask_refused(now, asker),
                    }
                }
                if let Some(req) = self.waiting.take_proposal(id) {
                    reply(req, Err(Refusal::NoLeader.status()), fx);
                }
                self.refuse_transfer(id, fx);
                Ok(())
            }
            LaneMsg::WantSnapshot => {
                let meta = self.claimed.as_ref().unwrap_or(&self.meta);
                let snapshot = snapshot::take(&mut self.store, &self.rows, meta)?;
                fx.mark("apply.took_snapshot");
                fx.push(Effect::Lane(LaneMsg::Snapshot(Box::new(snapshot))));
                Ok(())
            }
            LaneMsg::Install(snapshot) => self.install(now, &snapshot, fx),
            LaneMsg::Leader { term, leader } => {
                self.term = term;
                self.leader = leader;
                self.leaderless_since = match leader {
                    0 => self.leaderless_since.or(Some(now.mono)),
                    _ => None,
                };
                self.note_leader(leader, fx);
                self.leader_changed(now, fx);
                Ok(())
            }
            LaneMsg::Propose { .. }
            | LaneMsg::ProposeConfChange { .. }
            | LaneMsg::ConfChangeApplied { .. }
            | LaneMsg::ReadIndex { .. }
            | LaneMsg::MoveLeader { .. }
            | LaneMsg::Applied { .. }
            | LaneMsg::Snapshot(_)
            | LaneMsg::Installed(_) => {
                unreachable!("the apply lane sends this message, and was given it: {msg:?}")
            }
        }
    }

    fn request(
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
            Request::Txn(req) if txn::is_read_only(&req) => {
                let serializable = txn::is_serializable(&req);
                return self.read(now, id, session, Query::Txn(req), serializable, fx);
            }
            Request::HashKv(req) => {
                let result = hash_kv(&mut self.store, &req).map(Response::HashKv);
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
                self.propose_conf_change(now, id, session, req, fx);
                return Ok(());
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
    fn message(
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

    fn propose(
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
    fn propose_as(
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
    fn propose_for_nobody(&mut self, command: Command, fx: &mut Effects) {
        let id = self.draw_id();
        let header = Some(Caller::header(Some(Caller::member()), id));
        let command = Some(command);
        let data = InternalRaftRequest { header, command }.encode_to_vec();
        fx.push(Effect::Lane(LaneMsg::Propose {
            id,
            data: data.into(),
        }));
    }

    fn read(
        &mut self,
        now: Now,
        req: ReqId,
        session: SessionId,
        query: Query,
        serializable: bool,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        if serializable {
            let result = self.query(now, req, query)?;
            reply(req, result, fx);
        } else {
            self.wait(now, req, session, None);
            self.reads.add(Read::Client { req, query });
        }
        Ok(())
    }

    fn query(&self, now: Now, req: ReqId, query: Query) -> Result<Result<Response, Status>, Fatal> {
        if let Err(refusal) = self.permit_query(now, req, &query) {
            return self.finish(Err(refusal.into()));
        }
        self.finish(match query {
            Query::Range(mut req) => {
                let as_committed = req.serializable && self.bugs.has(Bug::ReadLastCommit);
                if as_committed {
                    req.revision = self.committed_revision;
                }
                let answer = range(&self.store, &req).map(Response::Range);
                answer.map(|mut answer| {
                    if let (true, Some(header)) = (as_committed, answer.header_mut()) {
                        header.revision = self.committed_revision;
                    }
                    answer
                })
            }
            Query::Txn(req) => {
                txn::read_only_txn(&self.store, &self.leasing.lessor, req).map(Response::Txn)
            }
            Query::Members => Ok(Response::Cluster(ClusterResponse::MemberList(
                MemberListResponse {
                    header: Some(self.header()),
                    members: self.meta.membership.list(),
                },
            ))),
            Query::Auth(req) => self.query_auth(&req),
            Query::Login(login) => unreachable!("{login:?} is answered by an entry"),
        })
    }

    fn serve_reads(&mut self, now: Now, fx: &mut Effects) -> Result<(), Fatal> {
        let applied = match self.bugs.has(Bug::ReadBeforeApplied) {
            true => u64::MAX,
            false => self.meta.index,
        };
        for read in self.reads.servable(applied) {
            match read {
                Read::Client {
                    req,
                    query: Query::Login(login),
                } => {
                    if self.waiting.has(req) {
                        self.log_in(req, login, fx);
                    }
                }
                Read::Client { req, query } if self.waiting.take(req) => {
                    let result = self.query(now, req, query)?;
                    reply(req, result, fx);
                }
                Read::Client { .. } => {}
                Read::Leader { term, asker, ask } => {
                    // What it was elected with may be applied just now.
                    self.tend_leases(now, fx);
                    self.serve_as_leader(now, term, asker, ask, fx)?;
                }
            }
        }
        Ok(())
    }

    fn apply(&mut self, now: Now, entry: &Entry, fx: &mut Effects) -> Result<(), Fatal> {
        if entry.index <= self.applied_at_open {
            return Ok(());
        }
        assert_eq!(
            entry.index,
            self.meta.index + 1,
            "entries are applied in order without gaps; applied is {:?}",
            self.meta
        );
        let changes_members = is_conf_change(entry);
        let mut answers_when_removed = false;
        let mut about_leases = Vec::new();
        let auth_epoch = self.auth.epoch();
        let (proposal, result) = match decode(entry)? {
            None => (0, None),
            Some(Applied::ConfChange(change, context)) => {
                let proposal = context.header.as_ref().map_or(0, |header| header.id);
                let result = self.change_members(&change, context);
                (proposal, Some(self.finish(result)?))
            }
            Some(Applied::Command(header, command)) => {
                answers_when_removed = matches!(&command, Command::Compaction(c) if c.physical);
                about_leases = leases_of(&command);
                (header.id, self.execute_in(now, entry, &header, command)?)
            }
        };

        if self.bugs.has(Bug::SnapshotAheadOfIndex) && self.meta.index > 0 {
            self.claimed = Some(self.meta.clone());
        }
        self.scratch.clear();
        self.scratch.extend(self.meta.state.to_le_bytes());
        self.scratch.extend(entry.index.to_le_bytes());
        let (revision, changes) = self.store.end_txn();
        let changes = changes.to_vec();
        for change in &changes {
            self.scratch.extend(change.revision.as_bytes());
            self.scratch.extend(&change.value[..]);
        }
        self.rows.end_entry(&mut self.scratch);
        if changes_members {
            // All of it, not the change: who came to it another way shows here.
            self.scratch.extend(self.meta.membership.encode());
        }
        if self.meta.compact_revision != self.store.compact_revision() {
            self.meta.compact_revision = self.store.compact_revision();
            self.scratch.extend(b"compacted");
            self.scratch
                .extend(self.meta.compact_revision.to_le_bytes());
            self.start_compaction(now, fx);
        }
        self.meta.state = xxh3_64(&self.scratch);
        self.meta.revision = revision;
        self.meta.index = entry.index;
        self.meta.entry = entry_id(entry);
        self.known_commit = self.known_commit.max(entry.index);
        self.uncommitted += 1;
        self.commit_deadline
            .get_or_insert(now.mono.saturating_add(self.cfg.backend_commit_interval));

        fx.push(Effect::View(View::Applied(self.meta.view(proposal))));
        for lease in self.leasing.take_ended() {
            fx.push(Effect::View(View::LeaseEnded {
                index: entry.index,
                lease,
                revision,
            }));
        }
        if changes_members {
            fx.push(Effect::Lane(LaneMsg::ConfChangeApplied {
                index: entry.index,
                state: Box::new(self.meta.membership.config.to_state()),
            }));
            self.note_removal(now, fx);
        }
        self.publish(&changes, fx)?;
        self.move_line(now, &changes, fx)?;
        if self.auth.epoch() != auth_epoch {
            self.recheck_watches(fx);
        }
        match result {
            Some(Ok(response)) if answers_when_removed => {
                if let Some(req) = self.waiting.proposer(proposal) {
                    self.answer_when_removed(req, response);
                }
            }
            Some(result) => {
                if let Some(req) = self.waiting.take_proposal(proposal) {
                    reply(req, result, fx);
                }
            }
            None => {}
        }
        self.unpark(now, about_leases, fx)
    }

    /// Executes a command, unless it is good in another term only. What nobody
    /// asked for is not answered.
    fn execute_in(
        &mut self,
        now: Now,
        entry: &Entry,
        header: &RequestHeader,
        command: Command,
    ) -> Result<Option<Result<Response, Status>>, Fatal> {
        self.expire_locally(now);
        if header.term != 0 && header.term != entry.term {
            return Ok(None);
        }
        if let Command::LeaseCheckpoint(req) = command {
            self.checkpoint_leases(header.id, &req);
            return Ok(None);
        }
        let result = self.execute(now, entry, header, command);
        self.finish(result).map(Some)
    }

    fn execute(
        &mut self,
        now: Now,
        entry: &Entry,
        header: &RequestHeader,
        mut command: Command,
    ) -> Result<Response, Failed> {
        self.permit(header, &command)?;
        // Permission is needed for what only the answer needs, too: every member
        // has to have asked for it.
        if !self.waiting.has_proposal(header.id) {
            strip_reads(&mut command);
        }
        self.alarms.check(&command)?;
        if self.bugs.has(Bug::LocalQuota)
            && self.store.stored_bytes() + cost(&command) > self.cfg.quota_bytes
        {
            return Err(Refusal::NoSpace.into());
        }
        if let Some(done) = self.manage(&command) {
            return done;
        }
        match command {
            Command::Authenticate(req) => self.authenticate(now, entry.index, header, &req),
            Command::Alarm(req) => self.alarm(&req),
            Command::Put(req) => {
                txn::put(&mut self.store, &self.leasing.lessor, req).map(Response::Put)
            }
            Command::DeleteRange(req) => {
                txn::delete_range(&mut self.store, &req).map(Response::DeleteRange)
            }
            Command::Txn(req) => {
                txn::txn(&mut self.store, &self.leasing.lessor, req).map(Response::Txn)
            }
            Command::Compaction(req) => self.compact(req),
            Command::LeaseGrant(req) => self.grant_lease(now, &req),
            Command::LeaseRevoke(req) => self.revoke_lease(req),
            Command::MemberUpdate(req) => self.update_member(req),
            _ => Err(not_understood(entry, "holds a request of unknown kind").into()),
        }
    }

    /// Replaces the state by a leader's. Proposals that wait go on waiting:
    /// whether they were applied can no longer be seen, so they time out.
    fn install(&mut self, now: Now, snapshot: &Snapshot, fx: &mut Effects) -> Result<(), Fatal> {
        let contents = snapshot::read(snapshot)
            .map_err(|why| Fatal::Corrupt(format!("the leader's snapshot: {why}")))?;
        if contents.meta.cluster != self.cfg.cluster {
            return Err(Fatal::Corrupt(format!(
                "the leader's snapshot is of cluster {:x}, and this is cluster {:x}",
                contents.meta.cluster, self.cfg.cluster
            )));
        }
        assert!(
            contents.meta.index > self.meta.index,
            "a snapshot never goes back: {:?} after {:?}",
            contents.meta,
            self.meta
        );
        let mut meta = Meta {
            member: self.cfg.id,
            ..contents.meta
        };
        meta.membership.misread(self.bugs);
        let mut installed = Snapshot::default();
        installed.set_metadata(snapshot.get_metadata().clone());
        let mut tell = Some(Effect::Lane(LaneMsg::Installed(Box::new(installed))));
        if self.bugs.has(Bug::RestartLogBeforeInstall) {
            fx.push(tell.take().expect("nobody was told yet"));
        }
        self.store
            .replace(&contents.changes, &contents.rows, &meta)?;
        self.rows = Rows::of(contents.rows);
        self.hub.installed(self.meta.revision, &self.store);
        self.alarms = Alarms::load(&self.rows)?;
        self.auth.installed(&self.rows)?;
        if !self.bugs.has(Bug::KeepOldLeases) {
            let interval = self.cfg.lease_checkpoint_interval;
            self.leasing.lessor = Lessor::of(&self.rows, interval, self.bugs)?;
        }
        self.meta = meta;
        self.committed_revision = self.meta.revision;
        self.claimed = None;
        self.known_commit = self.known_commit.max(self.meta.index);
        self.uncommitted = 0;
        self.commit_deadline = None;
        fx.mark("apply.installed_snapshot");
        fx.push(Effect::View(View::Installed(self.meta.view(0))));
        if let Some(tell) = tell {
            fx.push(tell);
        }
        self.note_removal(now, fx);
        self.recheck_watches(fx);
        self.line_installed(now, fx)?;
        self.serve_reads(now, fx)?;
        self.serve_early(now, fx)
    }

    fn commit(&mut self, fx: &mut Effects) -> Result<(), Fatal> {
        self.store.commit(&mut self.rows, &self.meta)?;
        self.committed_revision = self.meta.revision;
        self.uncommitted = 0;
        self.commit_deadline = None;
        fx.mark("apply.committed_backend");
        fx.push(Effect::Lane(LaneMsg::Applied {
            index: self.meta.index,
            durable: self.meta.index,
        }));
        Ok(())
    }

    fn commit_is_due(&self, now: Now) -> bool {
        self.uncommitted >= self.cfg.backend_commit_entries
            || self.commit_deadline.is_some_and(|at| at <= now.mono)
    }

    fn status(&self) -> Result<StatusResponse, Fatal> {
        let mut errors = Vec::new();
        if self.leader == 0 {
            errors.push(Refusal::NoLeader.status().message);
        }
        for alarm in self.alarms.list(AlarmType::None as i32) {
            let (member, kind) = (alarm.member_id, alarm.alarm().as_str_name());
            errors.push(format!("memberID:{member} alarm:{kind} "));
        }
        Ok(StatusResponse {
            header: Some(self.header()),
            version: ETCD_VERSION.into(),
            db_size: self.store.file_bytes()? as i64,
            leader: self.leader,
            raft_index: self.known_commit,
            raft_term: self.term,
            raft_applied_index: self.meta.index,
            errors,
            db_size_in_use: self.store.stored_bytes() as i64,
            db_size_quota: self.cfg.quota_bytes as i64,
            is_learner: self.is_learner(),
            ..StatusResponse::default()
        })
    }

    /// Completes an answer's header, or turns a refusal into its status.
    fn finish(&self, result: Result<Response, Failed>) -> Result<Result<Response, Status>, Fatal> {
        let mut response = match result {
            Ok(response) => response,
            Err(Failed::Refused(refusal)) => return Ok(Err(refusal.status())),
            Err(Failed::Fatal(fatal)) => return Err(fatal),
        };
        // Not every answer has one: etcd leaves it out of some.
        if let Some(header) = response.header_mut() {
            header.cluster_id = self.cfg.cluster;
            header.member_id = self.cfg.id;
            header.raft_term = self.term;
        }
        Ok(Ok(response))
    }

    fn wait(&mut self, now: Now, req: ReqId, session: SessionId, proposal: Option<u64>) {
        let deadline = now.mono.saturating_add(self.cfg.request_timeout);
        self.waiting.add(req, session, deadline, proposal);
    }

    fn answer(&mut self, req: ReqId, result: Result<Response, Status>, fx: &mut Effects) {
        if self.waiting.take(req) {
            reply(req, result, fx);
        }
    }

    fn draw_id(&mut self) -> u64 {
        let id = self.next_id;
        // 0 means "no proposal".
        self.next_id = id.wrapping_add(1).max(1);
        id.max(1)
    }

    fn ask(&mut self, now: Now, fx: &mut Effects) {
        let ctx = self.next_id.max(1);
        let waiting = &self.waiting;
        let retry_after = self.cfg.election_timeout;
        let term = self.term;
        let wants = |read: &Read| match *read {
            Read::Client { req, .. } => waiting.has(req),
            Read::Leader {
                term: asked_in,
                asker,
                ..
            } => {
                asked_in == term
                    && match asker {
                        Asker::Peer { until, .. } => now.mono < until,
                        Asker::Call(_) | Asker::Lessor => true,
                    }
            }
        };
        if self.reads.ask(now.mono, retry_after, ctx, wants) {
            self.draw_id();
            fx.push(Effect::Lane(LaneMsg::ReadIndex { ctx }));
        }
    }

    fn end(&mut self, reason: Fatal, fx: &mut Effects) -> Result<(), Fatal> {
        while let Some(req) = self.waiting.take_any() {
            self.end_stream(req);
            reply(req, Err(Refusal::Stopped.status()), fx);
        }
        fx.take(|effect| matches!(effect, Effect::Reply { id, .. } if id.is_own()));
        self.end_watches(fx);
        self.end_streams(&Refusal::Stopped.status(), fx);
        if self.uncommitted > 0 {
            self.commit(fx)?;
        }
        self.store.close();
        Err(reason)
    }
}

impl Machine for ApplyLane {
    fn step(&mut self, now: Now, input: Input, fx: &mut Effects) -> Result<(), Fatal> {
        if !self.shown {
            self.shown = true;
            fx.push(Effect::View(View::Opened(self.meta.view(0))));
        }
        match input {
            Input::Deadline => {}
            Input::Stop => return self.end(Fatal::Stopped, fx),
            Input::Lane(msg) => self.lane_msg(now, msg, fx)?,
            Input::Request {
                id,
                session,
                meta,
                req,
            } => self.request(now, id, session, meta, req, fx)?,
            Input::Cancel(id) => {
                self.waiting.take(id);
                self.hub.end(id);
                self.end_stream(id);
                self.give_up(now, id, fx)?;
            }
            Input::Message { id, req } => {
                if let Some(req) = self.note_message(id, req) {
                    self.message(now, id, req, fx)?;
                }
            }
            Input::Taken { id, answers } => {
                self.hub.taken(id, answers);
                self.observer_took(now, id, answers, fx)?;
            }
            Input::Peer(frame) => self.forwarded(now, frame, fx)?,
            Input::Closed(session) => {
                self.waiting.close(session);
                self.hub.close(session);
                self.leasing.streams.close(session);
                self.close_line(now, session, fx)?;
            }
            Input::Unreachable(_) | Input::Synced { .. } => {
                unreachable!("an input of the Raft lane was given to the apply lane: {input:?}")
            }
        }
        while let Some(req) = self.waiting.take_expired(now.mono) {
            self.end_stream(req);
            reply(req, Err(Refusal::TimedOut.status()), fx);
        }
        self.serve_line(now, fx)?;
        self.tend_leases(now, fx);
        self.ask(now, fx);
        self.serve_watches(now, fx)?;
        if self.removed.is_some_and(|at| at <= now.mono) {
            return self.end(Fatal::Removed, fx);
        }
        if self.commit_is_due(now) {
            self.commit(fx)?;
        }
        self.compact_by_itself(now, fx);
        self.compare_members(now, fx)?;
        self.continue_compaction(now, fx)
    }

    fn deadline(&self) -> Option<u64> {
        if !self.shown {
            return Some(0);
        }
        [
            self.commit_deadline,
            self.compacting.deadline(),
            self.auto_compactor.deadline(),
            self.corruption.deadline(),
            self.waiting.deadline(),
            self.reads.deadline(),
            self.watch_deadline(),
            self.leasing.deadline(),
            self.removed,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

/// What an entry tells the state machine to do.
enum Applied {
    Command(RequestHeader, Command),
    ConfChange(ConfChangeV2, ConfChangeContext),
}

/// `None` for an empty entry, as every new leader appends it.
fn decode(entry: &Entry) -> Result<Option<Applied>, Fatal> {
    if is_conf_change(entry) {
        let change = decode_conf_change(entry)
            .ok_or_else(|| not_understood(entry, "holds no change of configuration"))?;
        let context = ConfChangeContext::decode(change.context.clone()).map_err(|e| {
            not_understood(entry, &format!("holds a change without a context: {e}"))
        })?;
        return Ok(Some(Applied::ConfChange(change, context)));
    }
    if entry.data.is_empty() {
        return Ok(None);
    }
    let req = InternalRaftRequest::decode(entry.data.clone())
        .map_err(|e| not_understood(entry, &format!("holds no request: {e}")))?;
    let header = req
        .header
        .ok_or_else(|| not_understood(entry, "holds a request without a header"))?;
    // To skip it would be to have another state than those who understand it.
    let command = req
        .command
        .ok_or_else(|| not_understood(entry, "holds a request of unknown kind"))?;
    Ok(Some(Applied::Command(header, command)))
}

fn not_understood(entry: &Entry, what: &str) -> Fatal {
    Fatal::Corrupt(format!(
        "entry {} of term {} {what}; a build that understands it is needed",
        entry.index, entry.term
    ))
}

/// Takes from a command what only its answer needs: see [`txn::strip_reads`].
fn strip_reads(command: &mut Command) {
    match command {
        Command::Put(put) => put.prev_kv = false,
        Command::DeleteRange(delete) => delete.prev_kv = false,
        Command::Txn(txn) => txn::strip_reads(txn),
        _ => {}
    }
}

/// The leases that keep-alives may wait for this command for.
fn leases_of(command: &Command) -> Vec<i64> {
    match command {
        Command::LeaseRevoke(req) => vec![req.id],
        Command::LeaseCheckpoint(req) => req.checkpoints.iter().map(|c| c.id).collect(),
        _ => Vec::new(),
    }
}

fn reply(id: ReqId, result: Result<Response, Status>, fx: &mut Effects) {
    fx.push(Effect::Reply {
        id,
        result,
        last: true,
    });
}

// Last, for marks are looked for up to where a file's tests begin.
#[cfg(test)]
impl ApplyLane {
    /// The state itself, for tests that look at what no call shows.
    pub(crate) fn store(&self) -> &Mvcc {
        &self.store
    }
}
