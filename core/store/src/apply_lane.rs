//! The apply lane: the state machine, its backend, and the clients' requests.

mod alarms;
mod auth;
mod calls;
mod compaction;
mod corruption;
mod entries;
mod install;
mod leader;
mod lease;
mod line;
mod maintenance;
mod members;
mod range_stream;
mod reading;
mod standing;
mod versions;
mod watch;

use crate::alarms::Alarms;
use crate::auth::Auth;
use crate::auto_compaction::AutoCompactor;
use crate::backend::guard::guarded;
use crate::backend::{Backend, open_error};
use crate::error::{Failed, Refusal};
use crate::line::Line;
use crate::meta::Meta;
use crate::mvcc::Mvcc;
use crate::reads::{Read, Reads};
use crate::rows::Rows;
use crate::snapshot;
use crate::versions::Versions;
use crate::waiting::Waiting;
use crate::watch::Hub;
use auth::Callers;
use compaction::Compacting;
use corruption::CorruptionCheck;
use leader::Asking;
use lease::Leasing;
use maintenance::Transfer;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use range_stream::RangeStreams;
use squall_api::pb::{AlarmType, StatusResponse};
use squall_api::{
    Bug, Bugs, Config, Effect, Effects, Env, Fatal, Input, LaneMsg, Machine, Now, OpenError, ReqId,
    Response, SessionId, Status, View,
};
use squall_raft::LogBase;
use standing::Standing;

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
    asking: Asking,
    /// Of what is applied; the backend has it as of its last commit.
    meta: Meta,
    bugs: Bugs,
    /// A planted bug: the revision of the last backend commit, which reads see.
    committed_revision: i64,
    /// A planted bug: the term at the last backend commit.
    committed_term: u64,
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
    versions: Versions,
    /// When what is wanted about versions is proposed again.
    version_retry: Option<u64>,
    /// They are to be shown.
    show_versions: bool,
    waiting: Waiting,
    reads: Reads,
    hub: Hub,
    range_streams: RangeStreams,
    line: Line,
    /// Since when nobody is known to lead.
    leaderless_since: Option<u64>,
    standing: Standing,
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
        if env.bugs.has(Bug::RemovedCannotStart) && meta.membership.was_removed(env.cfg.id) {
            let why = "this member is none of its cluster's";
            return Err(OpenError::Corrupt(why.into()));
        }
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
        let mut lane = ApplyLane {
            alarms: match env.bugs.has(Bug::ForgetAlarms) {
                true => Alarms::default(),
                false => Alarms::load(&rows).map_err(open_error)?,
            },
            auto_compactor: AutoCompactor::new(env.cfg.auto_compaction, now.mono),
            corruption: CorruptionCheck::new(env.cfg.corrupt_check_interval, now.mono),
            callers: Callers::new(rng),
            auth: Auth::load(&rows, &env.cfg, env.bugs).map_err(open_error)?,
            alarm_proposed: None,
            transfers: Vec::new(),
            compacting: Compacting::at_open(store.is_compacting()),
            versions: Versions::load(&rows).map_err(open_error)?,
            version_retry: None,
            show_versions: false,
            cfg: env.cfg.clone(),
            store,
            rows,
            leasing,
            asking: Asking::default(),
            bugs: env.bugs,
            committed_revision: meta.revision,
            committed_term: 0,
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
            range_streams: RangeStreams::default(),
            line: Line::default(),
            leaderless_since: Some(now.mono),
            scratch: Vec::new(),
            standing: Standing::default(),
            removed: meta.membership.was_removed(env.cfg.id).then_some(0),
            meta,
        };
        lane.check_version().map_err(open_error)?;
        lane.versions_changed();
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
                self.refuse_in_sync(now, id);
                Ok(())
            }
            LaneMsg::InSync { id, is_in_sync } => self.heard_in_sync(now, id, is_in_sync, fx),
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
                self.note_standing(now);
                self.note_leader(leader, fx);
                self.leave_leases();
                if leader != 0 && self.bugs.has(Bug::ReleaseAtNewLeader) {
                    self.release_held(now, fx)?;
                }
                self.redirect_leader_calls(now, fx);
                Ok(())
            }
            LaneMsg::Propose { .. }
            | LaneMsg::ProposeConfChange { .. }
            | LaneMsg::ConfChangeApplied { .. }
            | LaneMsg::ReadIndex { .. }
            | LaneMsg::MoveLeader { .. }
            | LaneMsg::IsInSync { .. }
            | LaneMsg::Applied { .. }
            | LaneMsg::Snapshot(_)
            | LaneMsg::Installed(_) => {
                unreachable!("the apply lane sends this message, and was given it: {msg:?}")
            }
        }
    }

    fn commit(&mut self, fx: &mut Effects) -> Result<(), Fatal> {
        self.store.commit(&mut self.rows, &self.meta)?;
        self.committed_revision = self.meta.revision;
        self.committed_term = self.term;
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
        let cluster = self.versions.cluster();
        let mut header = self.header();
        if self.bugs.has(Bug::StatusOfLastCommit) {
            header.revision = self.committed_revision;
        }
        Ok(StatusResponse {
            header: Some(header),
            version: self.cfg.version.to_string(),
            db_size: self.store.file_bytes()? as i64,
            leader: self.leader,
            raft_index: self.known_commit,
            raft_term: self.term,
            raft_applied_index: self.meta.index,
            errors,
            db_size_in_use: self.store.stored_bytes() as i64,
            db_size_quota: self.cfg.quota_bytes as i64,
            is_learner: self.is_learner(),
            storage_version: cluster.map(|v| v.to_string()).unwrap_or_default(),
            downgrade_info: Some(self.downgrade_info()),
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

    fn end(&mut self, reason: Fatal, fx: &mut Effects) -> Result<(), Fatal> {
        while let Some(req) = self.waiting.take_any() {
            self.end_stream(req);
            reply(req, Err(Refusal::Stopped.status()), fx);
        }
        fx.take(|effect| matches!(effect, Effect::Reply { id, .. } if id.is_own()));
        while let Some(req) = self.range_streams.take_any() {
            reply(req, Err(Refusal::Stopped.status()), fx);
        }
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
            self.show_versions(fx);
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
            } => self.request(now, id, session, meta, *req, fx)?,
            Input::Cancel(id) => {
                self.waiting.take(id);
                self.hub.end(id);
                self.range_streams.end(id);
                self.end_stream(id);
                self.give_up(now, id, fx)?;
            }
            Input::Message { id, req } => {
                if let Some(req) = self.note_message(id, *req) {
                    self.message(now, id, req, fx)?;
                }
            }
            Input::Taken { id, answers } => {
                self.hub.taken(id, answers);
                self.range_parts_taken(now, id, answers, fx)?;
                self.observer_took(now, id, answers, fx)?;
            }
            Input::Peer(frame) => self.forwarded(now, frame, fx)?,
            Input::Closed(session) => {
                self.waiting.close(session);
                self.hub.close(session);
                self.range_streams.close(session);
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
        self.repeat_leader_calls(now, fx);
        self.tend_leases(now, fx);
        self.tend_versions(now, fx);
        self.ask(now, fx);
        self.ask_for_standing(now, fx);
        self.serve_watches(now, fx)?;
        if self.removed.is_some_and(|at| at <= now.mono) {
            let reason = match self.bugs.has(Bug::RemovedEndsInError) {
                true => Fatal::Corrupt("this member is none of its cluster's".into()),
                false => Fatal::Removed,
            };
            return self.end(reason, fx);
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
            self.asking.deadline(),
            self.version_retry,
            self.standing.deadline(),
            self.removed,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

fn reply(id: ReqId, result: Result<Response, Status>, fx: &mut Effects) {
    fx.reply(id, result, true);
}

// Last, for marks are looked for up to where a file's tests begin.
#[cfg(test)]
impl ApplyLane {
    /// The state itself, for tests that look at what no call shows.
    pub(crate) fn store(&self) -> &Mvcc {
        &self.store
    }
}
