//! Progress: up to which revision a watcher was told everything.

use super::stream::Watcher;
use super::{Hub, NO_WATCHER, Said, WatcherId, header};
use crate::mvcc::Mvcc;
use squall_api::pb::WatchResponse;
use squall_api::{Bug, ReqId};

impl Hub {
    /// Tells of progress whom it is due to.
    pub(crate) fn tick(&mut self, now: u64, store: &Mvcc, out: &mut Vec<Said>) {
        while let Some(&(at, stream)) = self.progress.first()
            && at <= now
        {
            self.progress.remove(&(at, stream));
            let next = now.saturating_add(self.progress_interval);
            self.progress.insert((next, stream));
            let state = self.stream(stream);
            state.progress_due = Some(next);
            for id in state.watchers.keys().copied().collect::<Vec<_>>() {
                self.tick_watcher(store, WatcherId { stream, id }, out);
            }
        }
    }

    /// When [`tick`](Hub::tick) or [`catch_up`](Hub::catch_up) has something to
    /// do; 0 is at once.
    pub(crate) fn deadline(&self) -> Option<u64> {
        match self.behind.is_empty() {
            false => Some(0),
            true => self.progress.first().map(|(at, _)| *at),
        }
    }

    /// Answers for the whole stream, if all of it has been told everything.
    pub(super) fn ask_progress(&mut self, store: &Mvcc, stream: ReqId, out: &mut Vec<Said>) {
        let revision = store.current_revision();
        let state = &self.streams[&stream];
        let is_due = |watcher: &Watcher| {
            self.bugs.has(Bug::ProgressWhileBehind) || is_up_to_date(watcher, revision)
        };
        if !state.watchers.is_empty() && state.watchers.values().all(is_due) {
            let progress = WatchResponse {
                header: header(revision),
                watch_id: NO_WATCHER,
                ..WatchResponse::default()
            };
            self.say(stream, progress, out);
        }
    }

    fn tick_watcher(&mut self, store: &Mvcc, id: WatcherId, out: &mut Vec<Said>) {
        let revision = store.current_revision();
        let has_room = self.has_room(id.stream);
        let watcher = self.watcher(id);
        // Events that were sent since tell as much.
        let was_quiet = std::mem::replace(&mut watcher.is_quiet, true);
        if watcher.progress_notify && was_quiet && has_room && is_up_to_date(watcher, revision) {
            let ahead = i64::from(self.bugs.has(Bug::ProgressAhead));
            let progress = WatchResponse {
                header: header(revision + ahead),
                watch_id: id.id,
                ..WatchResponse::default()
            };
            self.say(id.stream, progress, out);
        }
    }
}

/// Whether a watcher was told everything up to `revision`, and could go on from
/// there without hearing more than it asked for.
fn is_up_to_date(watcher: &Watcher, revision: i64) -> bool {
    watcher.is_synced && watcher.next <= revision + 1
}
