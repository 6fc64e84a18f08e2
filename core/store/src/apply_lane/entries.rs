//! Entries of the log: what each does to the state.

use super::{ApplyLane, reply};
use crate::digest::entry_id;
use crate::error::Failed;
use crate::txn;
use prost::Message as _;
use raft_proto::eraftpb::{ConfChangeV2, Entry};
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::{ConfChangeContext, InternalRaftRequest, RequestHeader};
use squall_api::{Bug, Effect, Effects, Fatal, LaneMsg, Now, Response, Status, View};
use squall_raft::{decode_conf_change, is_conf_change};
use xxhash_rust::xxh3::xxh3_64;

impl ApplyLane {
    pub(super) fn apply(&mut self, now: Now, entry: &Entry, fx: &mut Effects) -> Result<(), Fatal> {
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
                (
                    header.id,
                    self.execute_in(now, entry, &header, command, fx)?,
                )
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
        self.show_versions(fx);
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
            self.note_standing(now);
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
    pub(super) fn execute_in(
        &mut self,
        now: Now,
        entry: &Entry,
        header: &RequestHeader,
        command: Command,
        fx: &mut Effects,
    ) -> Result<Option<Result<Response, Status>>, Fatal> {
        self.expire_locally(now);
        if header.term != 0 && header.term != entry.term {
            return Ok(None);
        }
        if !self.understands(entry.index, &command, fx)? {
            return Ok(None);
        }
        match command {
            Command::LeaseCheckpoint(req) => {
                self.checkpoint_leases(header.id, &req);
                return Ok(None);
            }
            Command::ClusterMemberAttrSet(req) => {
                self.set_member_version(req)?;
                return Ok(None);
            }
            Command::ClusterVersionSet(req) => {
                self.set_cluster_version(&req, fx)?;
                return Ok(None);
            }
            _ => {}
        }
        let result = self.execute(now, entry, header, command);
        self.finish(result).map(Some)
    }

    pub(super) fn execute(
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
        self.heed_alarms(&command)?;
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
            Command::DowngradeInfoSet(req) => self.set_downgrade(&req),
            _ => Err(not_understood(entry, "holds a request of unknown kind").into()),
        }
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
