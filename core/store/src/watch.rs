//! Watches: who is told about which changes.
//!
//! A *synced* watcher has been told everything; it hears of a change when it is
//! applied. All others *lag*: they are told from history, in batches of whole
//! revisions, those that are farthest behind first. Who has no room for a
//! response, because its client does not take them, lags, too, and all that is
//! kept for it is the revision at which it goes on. So no watcher holds up
//! another, none misses anything, and the memory that a watcher may take is
//! bounded: its place in the index, and its share of its stream's window.

mod events;
mod interest;
mod progress;
mod stream;
mod telling;

use crate::mvcc::Mvcc;
use interest::Interest;
use squall_api::pb::watch_request::RequestUnion;
use squall_api::pb::{ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse};
use squall_api::{Bug, Bugs, Config, Metadata, ReqId, SessionId};
use std::collections::{BTreeMap, BTreeSet};
use stream::{Stream, Watcher};

/// The id in answers that are about no watcher.
const NO_WATCHER: i64 = -1;

/// A response, and the stream that it is for. Its header has a revision only.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) stream: ReqId,
    pub(crate) response: WatchResponse,
}

/// A watcher's name: its stream, and its id there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct WatcherId {
    stream: ReqId,
    id: i64,
}

impl WatcherId {
    const MIN: WatcherId = WatcherId {
        stream: ReqId(0),
        id: i64::MIN,
    };
    const MAX: WatcherId = WatcherId {
        stream: ReqId(u64::MAX),
        id: i64::MAX,
    };
}

/// All watchers of one member.
#[derive(Debug)]
pub(crate) struct Hub {
    streams: BTreeMap<ReqId, Stream>,
    synced: Interest,
    lagging: Interest,
    /// Those who lag and have room for a response, by what they are to be told
    /// next.
    behind: BTreeSet<(i64, WatcherId)>,
    /// Streams that are to hear of progress, and when.
    progress: BTreeSet<(u64, ReqId)>,
    /// How many responses may wait for a stream's client to take them.
    window: u32,
    /// Of how many changes laggards are told in one step.
    batch: usize,
    progress_interval: u64,
    /// A response that may be fragmented is not to be longer.
    fragment_bytes: usize,
    bugs: Bugs,
}

impl Hub {
    pub(crate) fn new(cfg: &Config, bugs: Bugs) -> Hub {
        Hub {
            streams: BTreeMap::new(),
            synced: Interest::default(),
            lagging: Interest::default(),
            behind: BTreeSet::new(),
            progress: BTreeSet::new(),
            window: match bugs.has(Bug::UnboundedWatchWindow) {
                true => u32::MAX,
                false => cfg.watch_window,
            },
            batch: cfg.watch_batch as usize,
            progress_interval: cfg.watch_progress_interval,
            fragment_bytes: cfg.max_request_bytes,
            bugs,
        }
    }

    /// A client opens a stream.
    pub(crate) fn open(&mut self, stream: ReqId, session: SessionId, meta: Metadata) {
        self.streams.insert(stream, Stream::new(session, meta));
    }

    /// A message on a stream.
    pub(crate) fn message(
        &mut self,
        now: u64,
        store: &Mvcc,
        stream: ReqId,
        message: WatchRequest,
        out: &mut Vec<Said>,
    ) {
        if !self.streams.contains_key(&stream) {
            return;
        }
        match message.request_union {
            Some(RequestUnion::CreateRequest(create)) => {
                self.create(now, store, stream, &create, out);
            }
            Some(RequestUnion::CancelRequest(cancel)) => {
                let id = cancel.watch_id;
                self.cancel(store, WatcherId { stream, id }, out);
            }
            Some(RequestUnion::ProgressRequest(_)) => self.ask_progress(store, stream, out),
            // As etcd does: a message that says nothing is no error.
            None => {}
        }
    }

    /// A watch is not created, for this reason.
    pub(crate) fn refuse(
        &mut self,
        store: &Mvcc,
        stream: ReqId,
        reason: String,
        out: &mut Vec<Said>,
    ) {
        if self.streams.contains_key(&stream) {
            let refused = WatchResponse {
                header: header(store.current_revision()),
                watch_id: NO_WATCHER,
                created: true,
                canceled: true,
                cancel_reason: reason,
                ..WatchResponse::default()
            };
            self.say(stream, refused, out);
        }
    }

    /// The token that a stream came with.
    pub(crate) fn token(&self, stream: ReqId) -> Option<&str> {
        Some(&self.streams.get(&stream)?.meta.token)
    }

    /// The stream's caller was found to be `user`.
    pub(crate) fn known_as(&mut self, stream: ReqId, user: Option<String>) {
        if let Some(state) = self.streams.get_mut(&stream) {
            state.user = user;
        }
    }

    /// Cancels the watches of those that may not read any more what they watch.
    pub(crate) fn recheck(
        &mut self,
        store: &Mvcc,
        may_read: impl Fn(Option<&str>, &[u8], &[u8]) -> bool,
        reason: &str,
        out: &mut Vec<Said>,
    ) {
        let mut gone = Vec::new();
        for (&stream, state) in &self.streams {
            for (&id, watcher) in &state.watchers {
                let (key, range_end) = match &watcher.watched {
                    interest::Watched::One(key) => (&key[..], &[][..]),
                    interest::Watched::Range(key, None) => (&key[..], &[0][..]),
                    interest::Watched::Range(key, Some(end)) => (&key[..], &end[..]),
                };
                if !may_read(state.user.as_deref(), key, range_end) {
                    gone.push(WatcherId { stream, id });
                }
            }
        }
        for id in gone {
            self.remove(id);
            let canceled = WatchResponse {
                header: header(store.current_revision()),
                watch_id: id.id,
                canceled: true,
                cancel_reason: reason.into(),
                ..WatchResponse::default()
            };
            self.say(id.stream, canceled, out);
        }
    }

    /// The client's connection took this many responses of the stream.
    pub(crate) fn taken(&mut self, stream: ReqId, responses: u32) {
        let Some(state) = self.streams.get_mut(&stream) else {
            return;
        };
        let was_full = state.untaken >= self.window;
        if was_full && self.bugs.has(Bug::StayFull) {
            return;
        }
        state.untaken = state.untaken.saturating_sub(responses);
        if was_full && state.untaken < self.window {
            for (&id, watcher) in &state.watchers {
                if !watcher.is_synced {
                    self.behind.insert((watcher.next, WatcherId { stream, id }));
                }
            }
        }
    }

    /// The stream has ended.
    pub(crate) fn end(&mut self, stream: ReqId) {
        let Some(state) = self.streams.get(&stream) else {
            return;
        };
        if let Some(at) = state.progress_due {
            self.progress.remove(&(at, stream));
        }
        for id in state.watchers.keys().copied().collect::<Vec<_>>() {
            self.remove(WatcherId { stream, id });
        }
        self.streams.remove(&stream);
    }

    /// A connection has ended, and its streams with it.
    pub(crate) fn close(&mut self, session: SessionId) {
        for stream in self.streams_with(|state| state.session == session) {
            self.end(stream);
        }
    }

    /// Whether any stream has to end while there is no leader.
    pub(crate) fn needs_leader(&self) -> bool {
        self.streams.values().any(|state| state.meta.require_leader)
    }

    /// Ends the streams that require a leader, and names them.
    pub(crate) fn end_leaderless(&mut self) -> Vec<ReqId> {
        let gone = self.streams_with(|state| state.meta.require_leader);
        gone.iter().for_each(|stream| self.end(*stream));
        gone
    }

    /// Ends all streams, and names them.
    pub(crate) fn end_all(&mut self) -> Vec<ReqId> {
        let all = self.streams_with(|_| true);
        all.iter().for_each(|stream| self.end(*stream));
        all
    }

    fn create(
        &mut self,
        now: u64,
        store: &Mvcc,
        stream: ReqId,
        create: &WatchCreateRequest,
        out: &mut Vec<Said>,
    ) {
        let revision = store.current_revision();
        let refused = |reason: &str| WatchResponse {
            header: header(revision),
            watch_id: NO_WATCHER,
            created: true,
            canceled: true,
            cancel_reason: reason.into(),
            ..WatchResponse::default()
        };
        let next = match create.start_revision {
            0 if self.bugs.has(Bug::WatchFromNowReplays) => 1,
            0 => revision + 1,
            start => start,
        };
        if next < 0 {
            let why = refused("mvcc: required revision has been compacted");
            return self.say(stream, why, out);
        }
        let Some(mut watcher) = Watcher::new(create, next) else {
            return self.say(stream, refused("mvcc: watcher range is empty"), out);
        };
        if self.bugs.has(Bug::KeyWatchedAsRange)
            && let interest::Watched::One(key) = &watcher.watched
        {
            watcher.watched = interest::Watched::Range(key.clone(), None);
        }
        let Some(id) = self.stream(stream).free_id(create.watch_id) else {
            let why = "mvcc: duplicate watch ID provided on the WatchStream";
            return self.say(stream, refused(why), out);
        };
        let interval = self.progress_interval;
        let state = self.stream(stream);
        if watcher.progress_notify && state.progress_due.is_none() {
            let due = now.saturating_add(interval);
            state.progress_due = Some(due);
            self.progress.insert((due, stream));
        }
        let created = WatchResponse {
            header: header(revision),
            watch_id: id,
            created: true,
            ..WatchResponse::default()
        };
        self.say(stream, created, out);
        let name = WatcherId { stream, id };
        self.synced.insert(&watcher.watched, name);
        self.stream(stream).watchers.insert(id, watcher);
        if next <= revision {
            self.lag(name, next);
        }
    }

    fn cancel(&mut self, store: &Mvcc, id: WatcherId, out: &mut Vec<Said>) {
        if !self.stream(id.stream).watchers.contains_key(&id.id) {
            return;
        }
        if id.id == 0 && self.bugs.has(Bug::CancelIgnoresZero) {
            return;
        }
        if !self.bugs.has(Bug::CancelKeepsWatcher) {
            self.remove(id);
        }
        self.say(id.stream, canceled(store, id.id), out);
    }

    /// Cancels whoever would have to be told what is compacted. What was
    /// changed *at* the compacted revision is still there.
    fn cancel_compacted(&mut self, store: &Mvcc, out: &mut Vec<Said>) {
        let compacted = store.compact_revision();
        while let Some(&(next, id)) = self.behind.first()
            && next < compacted
        {
            if self.bugs.has(Bug::SkipCompactedEvents) {
                self.behind.remove(&(next, id));
                self.watcher(id).next = compacted;
                self.behind.insert((compacted, id));
                continue;
            }
            self.remove(id);
            let named = !self.bugs.has(Bug::CompactedUnnamed);
            let canceled = WatchResponse {
                header: header(store.current_revision()),
                watch_id: id.id,
                canceled: true,
                compact_revision: if named { compacted } else { 0 },
                ..WatchResponse::default()
            };
            self.say(id.stream, canceled, out);
        }
    }

    /// A watcher has been told everything before `next`, and not what is there.
    fn lag(&mut self, id: WatcherId, next: i64) {
        let has_room = self.has_room(id.stream);
        let state = self.streams.get_mut(&id.stream).expect("it is there");
        let watcher = state.watchers.get_mut(&id.id).expect("it is there");
        watcher.next = next;
        watcher.is_synced = false;
        self.synced.remove(&watcher.watched, id);
        self.lagging.insert(&watcher.watched, id);
        if has_room {
            self.behind.insert((next, id));
        }
    }

    fn sync(&mut self, id: WatcherId) {
        let state = self.streams.get_mut(&id.stream).expect("it is there");
        let watcher = state.watchers.get_mut(&id.id).expect("it is there");
        watcher.is_synced = true;
        self.lagging.remove(&watcher.watched, id);
        if self.bugs.has(Bug::SyncForgets) {
            watcher.next = i64::MAX;
            return;
        }
        self.synced.insert(&watcher.watched, id);
    }

    fn remove(&mut self, id: WatcherId) {
        let state = self.stream(id.stream);
        let Some(watcher) = state.watchers.remove(&id.id) else {
            return;
        };
        self.behind.remove(&(watcher.next, id));
        match watcher.is_synced {
            true => self.synced.remove(&watcher.watched, id),
            false => self.lagging.remove(&watcher.watched, id),
        }
    }

    fn has_room(&self, stream: ReqId) -> bool {
        self.streams[&stream].untaken < self.window
    }

    fn stream(&mut self, stream: ReqId) -> &mut Stream {
        self.streams.get_mut(&stream).expect("the stream is open")
    }

    fn watcher(&mut self, id: WatcherId) -> &mut Watcher {
        let watchers = &mut self.stream(id.stream).watchers;
        watchers
            .get_mut(&id.id)
            .expect("whoever is indexed is there")
    }

    fn all(&self) -> impl Iterator<Item = WatcherId> + '_ {
        self.streams.iter().flat_map(|(&stream, state)| {
            let ids = state.watchers.keys();
            ids.map(move |&id| WatcherId { stream, id })
        })
    }

    fn streams_with(&self, is: impl Fn(&Stream) -> bool) -> Vec<ReqId> {
        let found = self.streams.iter().filter(|(_, state)| is(state));
        found.map(|(id, _)| *id).collect()
    }
}

/// What ends a watch.
fn canceled(store: &Mvcc, watch_id: i64) -> WatchResponse {
    WatchResponse {
        header: header(store.current_revision()),
        watch_id,
        canceled: true,
        ..WatchResponse::default()
    }
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}
