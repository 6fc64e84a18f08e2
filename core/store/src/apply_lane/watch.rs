//! Watches: the lane's dealings with those who have a stream open.

use super::ApplyLane;
use crate::error::Refusal;
use crate::mvcc::Change;
use crate::watch::Said;
use squall_api::pb::WatchRequest;
use squall_api::{Bug, Effects, Fatal, Metadata, Now, ReqId, Response, SessionId, Status};

/// A stream that requires a leader ends when there has been none for this many
/// election timeouts, as in etcd.
const LEADERLESS_TIMEOUTS: u64 = 3;

impl ApplyLane {
    pub(super) fn open_watch(
        &mut self,
        now: Now,
        stream: ReqId,
        session: SessionId,
        meta: Metadata,
        first: WatchRequest,
        fx: &mut Effects,
    ) {
        self.hub.open(stream, session, meta);
        self.watch_message(now, stream, first, fx);
    }

    pub(super) fn watch_message(
        &mut self,
        now: Now,
        stream: ReqId,
        message: WatchRequest,
        fx: &mut Effects,
    ) {
        if !self.admit_watch(now, stream, &message, fx) {
            return;
        }
        let mut out = Vec::new();
        self.hub
            .message(now.mono, &self.store, stream, message, &mut out);
        self.say(out, fx);
    }

    /// Tells the watchers what a transaction has changed.
    pub(super) fn publish(&mut self, changes: &[Change], fx: &mut Effects) -> Result<(), Fatal> {
        let mut out = Vec::new();
        self.hub.publish(&self.store, changes, &mut out)?;
        self.say(out, fx);
        Ok(())
    }

    /// What is due at the end of each step.
    pub(super) fn serve_watches(&mut self, now: Now, fx: &mut Effects) -> Result<(), Fatal> {
        let mut out = Vec::new();
        self.hub.catch_up(&self.store, &mut out)?;
        self.hub.tick(now.mono, &self.store, &mut out);
        self.say(out, fx);
        if self.leaderless_ends().is_some_and(|at| at <= now.mono) {
            for stream in self.hub.end_leaderless() {
                end_stream(stream, Refusal::NoLeader.status(), fx);
            }
            for id in self.line.observers(|observer| observer.meta.require_leader) {
                self.end_observer(id, Refusal::NoLeader.status(), fx);
            }
        }
        Ok(())
    }

    /// When the lane has something to do for watchers.
    pub(super) fn watch_deadline(&self) -> Option<u64> {
        let due = [self.hub.deadline(), self.leaderless_ends()];
        due.into_iter().flatten().min()
    }

    /// The member ends, and its streams with it.
    pub(super) fn end_watches(&mut self, fx: &mut Effects) {
        for stream in self.hub.end_all() {
            end_stream(stream, Refusal::Stopped.status(), fx);
        }
    }

    /// When streams that require a leader end, if there is none.
    fn leaderless_ends(&self) -> Option<u64> {
        let since = self.leaderless_since?;
        if !self.hub.needs_leader() && !self.line.needs_leader()
            || self.bugs.has(Bug::WatchSurvivesMinority)
        {
            return None;
        }
        Some(since.saturating_add(LEADERLESS_TIMEOUTS * self.cfg.election_timeout))
    }

    pub(super) fn say(&self, out: Vec<Said>, fx: &mut Effects) {
        for Said {
            stream,
            mut response,
        } in out
        {
            let header = response.header.as_mut().expect("it is made with a header");
            header.cluster_id = self.cfg.cluster;
            header.member_id = self.cfg.id;
            header.raft_term = self.term;
            fx.reply(stream, Ok(Response::Watch(response)), false);
        }
    }
}

fn end_stream(stream: ReqId, status: Status, fx: &mut Effects) {
    fx.reply(stream, Err(status), true);
}
