//! A stream of watches, and how far each has been told.

use squall_api::pb::watch_request::RequestUnion;
use squall_api::pb::{self, Event, WatchCreateRequest, WatchResponse};
use squall_record::{Call, Ret};
use squall_sim::world::SimStream;
use std::collections::VecDeque;

/// What a watch is to be told next that will be asked for no more.
const OVER: i64 = i64::MAX;

/// A watch as its client keeps it, so that it can go on elsewhere.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    pub(super) create: WatchCreateRequest,
    /// The first revision that it was not told of; 0 until that is known.
    pub(super) next: i64,
    id: Option<i64>,
}

/// An open stream.
pub(super) struct Follow {
    pub(super) stream: SimStream,
    pub(super) watches: Vec<Followed>,
    /// Watches that were asked for and not yet created, by position.
    asked: VecDeque<usize>,
    /// The newest revision that a response came from.
    pub(super) seen: i64,
}

/// What a response means to the client.
pub(super) enum Heard {
    /// A watch was told of changes.
    Events(Vec<Event>),
    /// A watch, by its position, is over because of compaction.
    Compacted(usize),
    /// Nothing that its owner has to act on.
    Nothing,
}

impl Followed {
    pub(super) fn new(create: WatchCreateRequest) -> Followed {
        let next = create.start_revision;
        Followed {
            create,
            next,
            id: None,
        }
    }

    /// The request by which it goes on where it was.
    pub(super) fn resume(&self) -> WatchCreateRequest {
        WatchCreateRequest {
            start_revision: self.next,
            watch_id: 0,
            ..self.create.clone()
        }
    }
}

/// The request that creates a watch.
pub(super) fn create(create: WatchCreateRequest) -> Call {
    Call::Watch(pb::WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    })
}

impl Follow {
    /// Takes over a stream that was opened with the first of `watches`, and asks
    /// for the others.
    pub(super) fn new(stream: SimStream, watches: Vec<Followed>) -> Follow {
        let mut follow = Follow {
            stream,
            watches,
            asked: VecDeque::from([0]),
            seen: 0,
        };
        for watch in &mut follow.watches {
            watch.id = None;
        }
        for i in 1..follow.watches.len() {
            follow.ask(i);
        }
        follow
    }

    /// Asks for a watch that is not open.
    pub(super) fn ask(&mut self, i: usize) {
        self.stream.say(create(self.watches[i].resume()));
        self.asked.push_back(i);
    }

    /// Begins another watch on the same stream.
    pub(super) fn add(&mut self, watch: Followed) {
        self.watches.push(watch);
        self.ask(self.watches.len() - 1);
    }

    /// Wants no more of a watch, if it is open; forgets it when that is said.
    pub(super) fn cancel(&mut self, i: usize) {
        let Some(watch_id) = self.watches[i].id else {
            return;
        };
        self.stream.say(Call::Watch(pb::WatchRequest {
            request_union: Some(RequestUnion::CancelRequest(pb::WatchCancelRequest {
                watch_id,
            })),
        }));
    }

    /// Wants no more of watches of a future that will not come, once `last` is the
    /// last revision: as in etcd, a stream with one of them is not told how far it
    /// is, however far the others are.
    pub(super) fn cancel_beyond(&mut self, last: i64) {
        for i in 0..self.watches.len() {
            let next = self.watches[i].next;
            if next > last + 1 && next != OVER {
                self.cancel(i);
            }
        }
    }

    pub(super) fn ask_progress(&self) {
        self.stream.say(Call::Watch(pb::WatchRequest {
            request_union: Some(RequestUnion::ProgressRequest(pb::WatchProgressRequest {})),
        }));
    }

    /// The first revision that some watch was not told of: 0 before all were
    /// created, and the end of time if all are over.
    pub(super) fn next(&self) -> i64 {
        self.watches.iter().map(|w| w.next).min().unwrap_or(OVER)
    }

    /// Takes a message in.
    pub(super) fn hear(&mut self, message: Ret) -> Heard {
        let Ret::Watch(response) = message else {
            return Heard::Nothing;
        };
        let revision = response.header.as_ref().map_or(0, |h| h.revision);
        self.seen = self.seen.max(revision);
        if response.created {
            return self.created(&response, revision);
        }
        if response.watch_id == -1 {
            for watch in self.watches.iter_mut().filter(|w| w.id.is_some()) {
                watch.next = watch.next.max(revision + 1);
            }
            return Heard::Nothing;
        }
        let at = self
            .watches
            .iter()
            .position(|w| w.id == Some(response.watch_id));
        let Some(i) = at else {
            return Heard::Nothing;
        };
        let watch = &mut self.watches[i];
        if response.canceled {
            watch.id = None;
            if response.compact_revision > 0 {
                watch.next = response.compact_revision;
                return Heard::Compacted(i);
            }
            watch.next = OVER;
            return Heard::Nothing;
        }
        if response.events.is_empty() {
            watch.next = watch.next.max(revision + 1);
            return Heard::Nothing;
        }
        let last = response
            .events
            .iter()
            .filter_map(|e| Some(e.kv.as_ref()?.mod_revision))
            .max();
        if let Some(last) = last
            && !response.fragment
        {
            watch.next = watch.next.max(last + 1);
        }
        Heard::Events(response.events)
    }

    fn created(&mut self, response: &WatchResponse, revision: i64) -> Heard {
        let Some(i) = self.asked.pop_front() else {
            return Heard::Nothing;
        };
        if !response.canceled {
            let watch = &mut self.watches[i];
            watch.id = Some(response.watch_id);
            if watch.next == 0 {
                watch.next = revision + 1;
            }
        }
        Heard::Nothing
    }

    /// What is to be gone on with elsewhere.
    pub(super) fn give_up(self) -> (SimStream, Vec<Followed>) {
        let mut watches = self.watches;
        watches.retain(|w| w.next != OVER);
        (self.stream, watches)
    }
}
