//! Watches as their clients saw them, read out of streams.

use bytes::Bytes;
use squall_api::pb::watch_create_request::FilterType;
use squall_api::pb::watch_request::RequestUnion;
use squall_api::pb::{Event, WatchCreateRequest, WatchResponse, event};
use squall_record::{Call, Ret, Stream, seconds};
use std::collections::{BTreeMap, BTreeSet};

/// One watch, from its creation on.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    pub(crate) stream: &'a Stream,
    pub(crate) id: i64,
    pub(crate) create: &'a WatchCreateRequest,
    /// The first revision that it is to tell of.
    pub(crate) start: i64,
    /// What was heard for it, or for its whole stream.
    pub(crate) heard: Vec<(u64, &'a WatchResponse)>,
    /// When its client asked to cancel it.
    pub(crate) cancel_said: Option<u64>,
}

/// What does not belong to any watch: a broken protocol, and when it was seen.
#[derive(Debug)]
pub(crate) struct Stray<'a> {
    pub(crate) stream: &'a Stream,
    pub(crate) t: u64,
    pub(crate) text: String,
    pub(crate) class: &'static str,
}

impl<'a> Watch<'a> {
    /// Its name in sentences.
    pub(crate) fn name(&self) -> String {
        let Stream {
            id, client, member, ..
        } = self.stream;
        format!("c{client}'s watch {} (stream {id}, at n{member})", self.id)
    }

    /// Every event, with when it came.
    pub(crate) fn events(&self) -> impl Iterator<Item = (u64, &'a Event)> + '_ {
        self.heard
            .iter()
            .flat_map(|(t, response)| response.events.iter().map(|event| (*t, event)))
    }

    /// Bookmarks: up to which revision everything was told, and when it was said.
    pub(crate) fn bookmarks(&self) -> impl Iterator<Item = (u64, i64)> + '_ {
        self.heard
            .iter()
            .filter_map(|(t, response)| Some((*t, bookmark(response)?)))
    }

    /// The response that ended it, if one did: nothing is heard after it.
    pub(crate) fn canceled(&self) -> Option<(u64, &'a WatchResponse)> {
        self.heard.last().filter(|(_, r)| r.canceled).copied()
    }

    /// Whether a change of `key` is to be told, as far as its key goes.
    pub(crate) fn covers(&self, key: &[u8]) -> bool {
        let start = match self.create.key.as_ref() {
            [] => &[0],
            key => key,
        };
        crate::store::model::within(start, &self.create.range_end, key)
    }

    /// Whether its filters let such an event pass.
    pub(crate) fn passes(&self, event: &Event) -> bool {
        let filter = match event.r#type() {
            event::EventType::Put => FilterType::Noput,
            event::EventType::Delete => FilterType::Nodelete,
        };
        !self.create.filters.contains(&(filter as i32))
    }
}

/// Up to which revision a response says that everything was told, if it says so.
pub(crate) fn bookmark(response: &WatchResponse) -> Option<i64> {
    let is_bookmark = response.events.is_empty() && !response.created && !response.canceled;
    is_bookmark.then(|| revision(response))
}

pub(crate) fn revision(response: &WatchResponse) -> i64 {
    response.header.as_ref().map_or(0, |header| header.revision)
}

pub(crate) fn kv_of(event: &Event) -> (&Bytes, i64) {
    static NOTHING: Bytes = Bytes::new();
    match &event.kv {
        Some(kv) => (&kv.key, kv.mod_revision),
        None => (&NOTHING, 0),
    }
}

/// Reads the watches of all streams. Control messages are answered in order, so
/// the n-th creation answers the n-th request for one.
pub(crate) fn read(streams: &[Stream]) -> (Vec<Watch<'_>>, Vec<Stray<'_>>) {
    let (mut watches, mut strays) = (Vec::new(), Vec::new());
    for stream in streams {
        read_stream(stream, &mut watches, &mut strays);
    }
    (watches, strays)
}

fn read_stream<'a>(stream: &'a Stream, watches: &mut Vec<Watch<'a>>, strays: &mut Vec<Stray<'a>>) {
    let requests = || {
        stream.said.iter().filter_map(|said| match &said.message {
            Call::Watch(request) => Some((said.t, request.request_union.as_ref()?)),
            _ => None,
        })
    };
    let mut creates = requests().filter_map(|(_, request)| match request {
        RequestUnion::CreateRequest(create) => Some(create),
        _ => None,
    });
    let mut stray = |t, text: String, class| {
        strays.push(Stray {
            stream,
            t,
            text,
            class,
        });
    };
    // Of each identifier, which watches had it, one after the other; and which
    // watches go on.
    let mut named: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    let mut open: BTreeSet<usize> = BTreeSet::new();
    for heard in &stream.heard {
        let (t, Ret::Watch(response)) = (heard.t, &heard.message) else {
            stray(heard.t, "an answer to another call".into(), "other-answer");
            continue;
        };
        if response.created {
            let Some(create) = creates.next() else {
                stray(t, "a watch that nobody asked for".into(), "uninvited");
                continue;
            };
            if response.canceled {
                continue;
            }
            let start = match create.start_revision {
                0 => revision(response) + 1,
                start => start,
            };
            named
                .entry(response.watch_id)
                .or_default()
                .push(watches.len());
            open.insert(watches.len());
            watches.push(Watch {
                stream,
                id: response.watch_id,
                create,
                start,
                heard: vec![(t, response)],
                cancel_said: None,
            });
            continue;
        }
        let is_progress = response.events.is_empty() && !response.canceled;
        if response.watch_id == -1 && is_progress {
            open.iter()
                .for_each(|i| watches[*i].heard.push((t, response)));
            continue;
        }
        let so_named = named.get(&response.watch_id);
        match so_named.into_iter().flatten().find(|i| open.contains(i)) {
            Some(i) => {
                watches[*i].heard.push((t, response));
                if response.canceled {
                    open.remove(i);
                }
            }
            None => stray(
                t,
                format!(
                    "something for watch {}, which was {} at {}",
                    response.watch_id,
                    match so_named {
                        Some(_) => "canceled",
                        None => "not created",
                    },
                    seconds(t)
                ),
                "events-of-no-watch",
            ),
        }
    }
    for (t, request) in requests() {
        if let RequestUnion::CancelRequest(cancel) = request {
            let so_named = named.get(&cancel.watch_id).into_iter().flatten();
            let by_then = so_named.take_while(|i| watches[**i].heard[0].0 <= t);
            if let Some(i) = by_then.last() {
                watches[*i].cancel_said.get_or_insert(t);
            }
        }
    }
}
