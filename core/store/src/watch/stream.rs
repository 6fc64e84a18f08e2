//! A client's stream of watches, and the watchers on it.

use super::interest::Watched;
use bytes::Bytes;
use squall_api::pb::watch_create_request::FilterType;
use squall_api::pb::{Event, WatchCreateRequest, event};
use squall_api::{Metadata, SessionId};
use std::collections::BTreeMap;

/// One call of `Watch`.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) session: SessionId,
    /// What the call came with; each further message is of the same caller.
    pub(super) meta: Metadata,
    /// Who the caller was when it last asked for a watch; nobody while auth is
    /// disabled.
    pub(super) user: Option<String>,
    pub(super) watchers: BTreeMap<i64, Watcher>,
    /// Where to look for the next id that the client leaves to us.
    next_id: i64,
    /// Responses that the client's connection has not taken yet.
    pub(super) untaken: u32,
    /// When those who want it are next told how far they are.
    pub(super) progress_due: Option<u64>,
}

/// One watch.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) watched: Watched,
    /// The first main revision that it has not been told about. A synced
    /// watcher was told everything that there is, whatever this says.
    pub(super) next: i64,
    pub(super) is_synced: bool,
    /// Where it began; only a planted bug asks.
    pub(super) began: i64,
    without: [bool; 2],
    pub(super) prev_kv: bool,
    pub(super) fragment: bool,
    pub(super) progress_notify: bool,
    /// Whether it was sent nothing since it was last due to hear of progress.
    pub(super) is_quiet: bool,
}

impl Stream {
    pub(super) fn new(session: SessionId, meta: Metadata) -> Stream {
        Stream {
            session,
            meta,
            user: None,
            watchers: BTreeMap::new(),
            next_id: 0,
            untaken: 0,
            progress_due: None,
        }
    }

    /// The id for a new watcher that wants to be `wanted`; 0 lets us choose.
    pub(super) fn free_id(&mut self, wanted: i64) -> Option<i64> {
        if wanted != 0 {
            return (!self.watchers.contains_key(&wanted)).then_some(wanted);
        }
        while self.watchers.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        Some(self.next_id - 1)
    }
}

impl Watcher {
    /// The watcher that is asked for, from revision `next` on; `None` if it
    /// would watch nothing.
    pub(super) fn new(create: &WatchCreateRequest, next: i64) -> Option<Watcher> {
        // Copied: a slice would keep the whole message in memory.
        let key = match create.key.as_ref() {
            [] => Bytes::from_static(&[0]),
            key => Bytes::copy_from_slice(key),
        };
        let watched = match create.range_end.as_ref() {
            [] => Watched::One(key),
            [0] => Watched::Range(key, None),
            end if key.as_ref() < end => Watched::Range(key, Some(Bytes::copy_from_slice(end))),
            _ => return None,
        };
        let without = |filter: FilterType| create.filters.contains(&(filter as i32));
        Some(Watcher {
            watched,
            next,
            is_synced: true,
            began: next,
            without: [without(FilterType::Noput), without(FilterType::Nodelete)],
            prev_kv: create.prev_kv,
            fragment: create.fragment,
            progress_notify: create.progress_notify,
            is_quiet: true,
        })
    }

    /// Whether its filters let an event pass.
    pub(super) fn wants(&self, event: &Event, swapped: bool) -> bool {
        let is_delete = event.r#type == event::EventType::Delete as i32;
        !self.without[usize::from(is_delete != swapped)]
    }
}
