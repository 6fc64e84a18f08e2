//! How watchers hear of changes: at once, or later from history.

use super::events::{Told, skip_revision};
use super::interest::Interest;
use super::{Hub, Said, WatcherId, canceled, header};
use crate::mvcc::{Change, Mvcc};
use prost::Message as _;
use squall_api::pb::{Event, WatchResponse};
use squall_api::{Bug, Fatal, ReqId};
use std::collections::{BTreeMap, BTreeSet};

/// Of how many bytes of changes laggards are told in one step.
const BATCH_BYTES: usize = 1 << 20;

impl Hub {
    /// One transaction was applied, with these changes.
    pub(crate) fn publish(
        &mut self,
        store: &Mvcc,
        changes: &[Change],
        out: &mut Vec<Said>,
    ) -> Result<(), Fatal> {
        if self.streams.is_empty() || changes.is_empty() {
            return Ok(());
        }
        let mut told = self.told(store, changes)?;
        let for_whom = interested(&self.synced, &told);
        self.tell(store, &mut told, for_whom, out)?;
        if self.bugs.has(Bug::EventsBeforeBacklog) {
            let for_whom = interested(&self.lagging, &told);
            self.tell(store, &mut told, for_whom, out)?;
        }
        Ok(())
    }

    /// A snapshot replaced the store, whose revision was `before`: who had been
    /// told everything up to there goes on from there.
    pub(crate) fn installed(&mut self, before: i64, store: &Mvcc) {
        if self.bugs.has(Bug::InstallForgetsWatchers) {
            return;
        }
        let now = store.current_revision();
        let all: Vec<WatcherId> = self.all().collect();
        for id in all {
            let watcher = self.watcher(id);
            if !watcher.is_synced {
                continue;
            }
            let next = watcher.next.max(before + 1);
            let next = match () {
                () if self.bugs.has(Bug::InstallReplaysWatches) => self.watcher(id).began,
                () if self.bugs.has(Bug::InstallResetsFuture) => before + 1,
                () => next,
            };
            if next <= now {
                self.lag(id, next);
            }
        }
    }

    /// Tells those who lag and have room about the next batch of history.
    pub(crate) fn catch_up(&mut self, store: &Mvcc, out: &mut Vec<Said>) -> Result<(), Fatal> {
        self.cancel_compacted(store, out);
        let Some(&(from, _)) = self.behind.first() else {
            return Ok(());
        };
        let (changes, through) = store.history(from, self.batch, BATCH_BYTES)?;
        let mut told = self.told(store, &changes)?;
        if self.bugs.has(Bug::BatchByKey) {
            told.sort_by(|a, b| a.key().cmp(b.key()));
        }
        if self.bugs.has(Bug::DeletionsLast) {
            told.sort_by_key(|event| event.event.r#type);
        }
        if self.bugs.has(Bug::BatchSkipsOne) && told.len() > 2 {
            told.remove(1);
        }
        let upto = (through, WatcherId::MAX);
        let all: Vec<_> = self.behind.range(..=upto).copied().collect();
        let for_whom = interested(&self.lagging, &told);
        let skipped = self.tell(store, &mut told, for_whom, out)?;
        for (next, id) in all {
            if skipped.contains(&id) {
                continue;
            }
            self.behind.remove(&(next, id));
            self.watcher(id).next = through + 1;
            if through >= store.current_revision() {
                self.sync(id);
            } else if self.has_room(id.stream) {
                self.behind.insert((through + 1, id));
            }
        }
        Ok(())
    }

    /// What changes look like to watchers.
    fn told(&self, store: &Mvcc, changes: &[Change]) -> Result<Vec<Told>, Fatal> {
        let mut told = Vec::with_capacity(changes.len());
        for change in changes {
            let mut event = Told::new(change)?;
            if self.bugs.has(Bug::DeleteShowsValue) {
                event.show_deleted(store, |kv, before| kv.value = before.value)?;
            }
            if self.bugs.has(Bug::DeleteKeepsCreation) {
                event.show_deleted(store, |kv, old| kv.create_revision = old.create_revision)?;
            }
            if self.bugs.has(Bug::UpdateToldAsCreation) {
                event.move_creation(|kv| kv.version > 1, 0);
            }
            if self.bugs.has(Bug::CreationOneEarly) {
                event.move_creation(|kv| kv.version == 1, -1);
            }
            told.push(event);
        }
        Ok(told)
    }

    /// Tells each watcher in `for_whom` those events that are named there. Who
    /// has no room lags from the first of them on, and is returned.
    fn tell(
        &mut self,
        store: &Mvcc,
        told: &mut [Told],
        for_whom: BTreeMap<WatcherId, Vec<usize>>,
        out: &mut Vec<Said>,
    ) -> Result<BTreeSet<WatcherId>, Fatal> {
        let mut skipped = BTreeSet::new();
        for (id, which) in for_whom {
            let has_room = self.has_room(id.stream);
            let bugs = self.bugs;
            let watcher = self.watcher(id);
            let Some(first) = which.iter().find(|&&i| told[i].main >= watcher.next) else {
                continue;
            };
            let first = told[*first].main;
            let was_synced = watcher.is_synced;
            let has_room = has_room || (was_synced && bugs.has(Bug::NewNeedsNoRoom));
            if !has_room {
                skipped.insert(id);
                if bugs.has(Bug::CancelWhenFull) && was_synced {
                    self.remove(id);
                    self.say(id.stream, canceled(store, id.id), out);
                } else if was_synced && !bugs.has(Bug::LoseWhenFull) {
                    self.lag(id, first);
                }
                continue;
            }
            let mut events = Vec::new();
            let mut filtered = i64::MAX;
            for i in which {
                let event = &mut told[i];
                let passes = watcher.wants(&event.event, bugs.has(Bug::SwapFilters))
                    || (bugs.has(Bug::ForgetFilters) && !was_synced);
                if !passes {
                    filtered = filtered.min(event.main);
                }
                if event.main < watcher.next || !passes {
                    continue;
                }
                if bugs.has(Bug::DropDeleteAtCompaction)
                    && event.main == store.compact_revision()
                    && event.event.r#type != 0
                {
                    continue;
                }
                events.push(match watcher.prev_kv || bugs.has(Bug::PrevKvUnasked) {
                    true => event.with_prev(store, bugs.has(Bug::PrevKvIsNew))?,
                    false => event.event.clone(),
                });
            }
            if events.is_empty() {
                continue;
            }
            if bugs.has(Bug::FilterTakesNext) {
                skip_revision(&mut events, |revision| revision > filtered);
            }
            if bugs.has(Bug::BatchSkipsRevision) {
                skip_revision(&mut events, |_| true);
            }
            if bugs.has(Bug::BatchRepeatsLast) && !was_synced {
                events.extend(events.last().cloned());
            }
            if bugs.has(Bug::DeleteToldTwice) {
                let delete = events.iter().position(|event| event.r#type != 0);
                events.extend(delete.map(|place| events[place].clone()));
                events.sort_by_key(|event| event.kv.as_ref().map_or(0, |kv| kv.mod_revision));
            }
            watcher.is_quiet = false;
            self.send_events(store, id, events, out);
            if self.bugs.has(Bug::RepeatWhenFull) && was_synced && !self.has_room(id.stream) {
                self.lag(id, first);
            }
        }
        Ok(skipped)
    }

    fn send_events(
        &mut self,
        store: &Mvcc,
        id: WatcherId,
        events: Vec<Event>,
        out: &mut Vec<Said>,
    ) {
        let response = |events, fragment| WatchResponse {
            header: header(store.current_revision()),
            watch_id: id.id,
            events,
            fragment,
            ..WatchResponse::default()
        };
        let splits_backlog = self.bugs.has(Bug::SplitBacklog) && !self.watcher(id).is_synced;
        if self.bugs.has(Bug::SplitRevisions) || splits_backlog {
            for event in events {
                self.say(id.stream, response(vec![event], false), out);
            }
            return;
        }
        if !self.watcher(id).fragment {
            return self.say(id.stream, response(events, false), out);
        }
        let (mut part, mut bytes) = (Vec::new(), 0);
        for event in events {
            let len = event.encoded_len();
            if !part.is_empty() && bytes + len > self.fragment_bytes {
                let part = std::mem::take(&mut part);
                self.say(id.stream, response(part, true), out);
                bytes = 0;
            }
            bytes += len;
            part.push(event);
        }
        self.say(id.stream, response(part, false), out);
    }

    pub(super) fn say(&mut self, stream: ReqId, response: WatchResponse, out: &mut Vec<Said>) {
        let window = self.window;
        let state = self.stream(stream);
        state.untaken += 1;
        if state.untaken == window {
            for (&id, watcher) in &self.streams[&stream].watchers {
                self.behind
                    .remove(&(watcher.next, WatcherId { stream, id }));
            }
        }
        out.push(Said { stream, response });
    }
}

/// Who is to hear of which events.
fn interested(interest: &Interest, told: &[Told]) -> BTreeMap<WatcherId, Vec<usize>> {
    let mut found: BTreeMap<WatcherId, Vec<usize>> = BTreeMap::new();
    for (i, event) in told.iter().enumerate() {
        interest.of(event.key(), |id| found.entry(id).or_default().push(i));
    }
    found
}
