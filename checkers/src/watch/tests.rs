//! Named histories: one line a case, and what each shows.
//!
//! Every case is the same little history, damaged in one way. Revision 2 puts
//! a=1, 3 puts a=2 and b=1 in one transaction, 4 deletes a, 5 puts c=1.

use super::{Cache, check};
use crate::linearizable::Applied;
use bytes::Bytes;
use squall_api::LockRequest;
use squall_api::pb::request_op::Request as RequestOp;
use squall_api::pb::watch_create_request::FilterType;
use squall_api::pb::watch_request::RequestUnion;
use squall_api::pb::{
    self, Event, KeyValue, ResponseHeader, WatchCreateRequest, WatchResponse, event,
};
use squall_record::{Call, Heard, Op, Outcome, Reason, Ret, Said, Stream, Verdict, Why};
use std::collections::BTreeMap;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest {
        key: bytes(key),
        value: bytes(value),
        ..pb::PutRequest::default()
    }
}

/// The operations, by revision less 2, each invoked at ten times its revision.
fn history() -> (Vec<Op>, Vec<Applied>) {
    let op = |request| pb::RequestOp {
        request: Some(request),
    };
    let calls = [
        Call::Put(put("a", "1")),
        Call::Txn(pb::TxnRequest {
            success: vec![
                op(RequestOp::RequestPut(put("a", "2"))),
                op(RequestOp::RequestPut(put("b", "1"))),
            ],
            ..pb::TxnRequest::default()
        }),
        Call::DeleteRange(pb::DeleteRangeRequest {
            key: bytes("a"),
            ..pb::DeleteRangeRequest::default()
        }),
        Call::Put(put("c", "1")),
        // It has no outcome and was never applied.
        Call::Compact(pb::CompactionRequest {
            revision: 3,
            physical: false,
        }),
    ];
    let ops = calls.into_iter().enumerate().map(|(i, call)| Op {
        token: String::new(),
        id: i as u64,
        client: 1,
        process: 1,
        member: 1,
        invoke: 10 * (i as u64 + 2),
        ret: None,
        call,
        // Whether answers came does not matter here.
        outcome: Outcome::Unknown(Why::RunEnded),
    });
    let applied = (0..4).map(|op| Applied {
        op: Some(op),
        lease: None,
        revision: op as i64 + 2,
    });
    (ops.collect(), applied.collect())
}

fn kv(key: &str, value: &str, create: i64, modified: i64, version: i64) -> KeyValue {
    KeyValue {
        key: bytes(key),
        value: bytes(value),
        create_revision: create,
        mod_revision: modified,
        version,
        lease: 0,
    }
}

fn event(kv: KeyValue, prev_kv: Option<KeyValue>) -> Event {
    let kind = match kv.version {
        0 => event::EventType::Delete,
        _ => event::EventType::Put,
    };
    Event {
        r#type: kind as i32,
        kv: Some(kv),
        prev_kv,
    }
}

/// The events of each revision, with what was there before.
fn events(revision: i64) -> Vec<Event> {
    let (a1, a2) = (kv("a", "1", 2, 2, 1), kv("a", "2", 2, 3, 2));
    match revision {
        2 => vec![event(a1, None)],
        3 => vec![event(a2, Some(a1)), event(kv("b", "1", 3, 3, 1), None)],
        4 => vec![event(kv("a", "", 0, 4, 0), Some(a2))],
        5 => vec![event(kv("c", "1", 5, 5, 1), None)],
        _ => unreachable!("the history ends at 5"),
    }
}

/// What one watch of all keys, with previous values, is told: one response for
/// each revision, a bookmark behind it.
struct Told {
    create: WatchCreateRequest,
    id: i64,
    heard: Vec<(u64, WatchResponse)>,
    said: Vec<(u64, RequestUnion)>,
    caches: Vec<Cache>,
    others: Vec<Stream>,
}

fn response(revision: i64, events: Vec<Event>) -> WatchResponse {
    WatchResponse {
        header: Some(ResponseHeader {
            revision,
            ..ResponseHeader::default()
        }),
        events,
        ..WatchResponse::default()
    }
}

fn told() -> Told {
    let created = WatchResponse {
        created: true,
        ..response(1, Vec::new())
    };
    let mut heard = vec![(15, created)];
    heard.extend((2..=5).map(|r| (10 * r as u64 + 5, response(r, events(r)))));
    heard.push((70, response(5, Vec::new())));
    Told {
        create: WatchCreateRequest {
            key: bytes("a"),
            range_end: Bytes::from_static(&[0]),
            prev_kv: true,
            start_revision: 2,
            ..WatchCreateRequest::default()
        },
        id: 0,
        heard,
        said: Vec::new(),
        caches: Vec::new(),
        others: Vec::new(),
    }
}

impl Told {
    fn stream(&self, id: u64) -> Stream {
        let message = |request| {
            Call::Watch(pb::WatchRequest {
                request_union: Some(request),
            })
        };
        let first = (10, RequestUnion::CreateRequest(self.create.clone()));
        let said = [first].into_iter().chain(self.said.clone());
        Stream {
            token: String::new(),
            id,
            client: 7,
            member: 1,
            said: said
                .map(|(t, request)| Said {
                    t,
                    message: message(request),
                })
                .collect(),
            heard: self
                .heard
                .iter()
                .map(|(t, response)| Heard {
                    t: *t,
                    message: Ret::Watch(WatchResponse {
                        watch_id: if response.watch_id == 0 {
                            self.id
                        } else {
                            response.watch_id
                        },
                        ..response.clone()
                    }),
                })
                .collect(),
            end: None,
        }
    }

    /// The names and classes of the checks that fail.
    fn failures(&self) -> Vec<String> {
        let mut streams = vec![self.stream(0)];
        streams.extend(self.others.iter().cloned());
        let (ops, applied) = history();
        check(&streams, &self.caches, &ops, Some(&applied))
            .into_iter()
            .filter_map(|check| match check.verdict {
                Verdict::Fail(witness) => {
                    let name = check.name.strip_prefix("watch.").expect("a watch's check");
                    Some(format!("{name}/{}", witness.class))
                }
                Verdict::Pass { .. } | Verdict::Unknown(_) => None,
            })
            .collect()
    }

    fn event(&mut self, response: usize, event: usize) -> &mut Event {
        &mut self.heard[response].1.events[event]
    }
}

type Damage = fn(&mut Told);

fn cache(kvs: &[KeyValue]) -> Cache {
    Cache {
        client: 9,
        key: bytes("a"),
        range_end: Bytes::from_static(&[0]),
        t: 90,
        revision: 5,
        kvs: kvs
            .iter()
            .map(|kv| (kv.key.clone(), kv.clone()))
            .collect::<BTreeMap<_, _>>(),
    }
}

fn cancel(watch_id: i64) -> RequestUnion {
    RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id })
}

fn canceled(revision: i64, compact_revision: i64) -> WatchResponse {
    WatchResponse {
        canceled: true,
        compact_revision,
        ..response(revision, Vec::new())
    }
}

#[test]
fn what_is_as_it_should_be_passes() {
    let cases: &[(&str, Damage)] = &[
        ("everything in order", |_| {}),
        ("a batch of revisions", |t| {
            let rest = t.heard[2].1.events.clone();
            t.heard[3].1.events.splice(0..0, rest);
            t.heard.remove(2);
        }),
        ("a revision in fragments", |t| {
            let last = t.heard[2].1.events.split_off(1);
            t.heard[2].1.fragment = true;
            t.heard.insert(3, (36, response(3, last)));
        }),
        ("from a later revision on", |t| {
            t.create.start_revision = 4;
            t.heard.drain(1..3);
        }),
        ("from the next revision on", |t| {
            t.create.start_revision = 0;
            t.heard[0].1.header = response(3, vec![]).header;
            t.heard.drain(1..3);
        }),
        ("told too little so far", |t| t.heard.truncate(3)),
        ("no deletes", |t| {
            t.create.filters = vec![FilterType::Nodelete as i32];
            t.heard.remove(3);
        }),
        ("one key", |t| {
            t.create.range_end = Bytes::new();
            t.heard[2].1.events.pop();
            t.heard.remove(4);
        }),
        ("a previous value that is compacted", |t| {
            t.event(2, 0).prev_kv = None;
        }),
        ("overtaken by compaction", |t| {
            t.heard.truncate(1);
            t.heard.push((70, canceled(5, 3)));
        }),
        ("canceled as it was asked for", |t| {
            t.said.push((60, cancel(0)));
            t.heard.pop();
            t.heard.push((70, canceled(5, 0)));
        }),
        ("a bookmark for the whole stream", |t| {
            t.heard[5].1.watch_id = -1
        }),
        ("a cache that is right", |t| {
            t.caches
                .push(cache(&[kv("b", "1", 3, 3, 1), kv("c", "1", 5, 5, 1)]));
        }),
        ("two who agree", |t| t.others.push(told().stream(1))),
    ];
    for (name, damage) in cases {
        let mut told = told();
        damage(&mut told);
        assert_eq!(told.failures(), [""; 0], "{name}");
    }
}

#[test]
fn each_damage_is_found_by_its_guarantee() {
    let cases: &[(&str, Damage, &[&str])] = &[
        (
            "out of order",
            |t| t.heard.swap(3, 4),
            &["ordered/out-of-order"],
        ),
        (
            "told twice",
            |t| {
                let again = t.heard[4].1.events[0].clone();
                t.heard[4].1.events.push(again);
            },
            &["unique/told-twice"],
        ),
        (
            "a response sent again",
            |t| {
                let again = (56, t.heard[4].1.clone());
                t.heard.insert(5, again);
            },
            &["unique/told-twice", "atomic/revision-split"],
        ),
        (
            "a revision in two responses",
            |t| {
                let last = t.heard[2].1.events.split_off(1);
                t.heard.insert(3, (36, response(3, last)));
            },
            &["atomic/revision-split"],
        ),
        (
            "a part of a revision",
            |t| drop(t.heard[2].1.events.pop()),
            &["atomic/revision-cut"],
        ),
        (
            "a key that is not watched",
            |t| t.create.key = bytes("b"),
            &["filters/other-key"],
        ),
        (
            "an event that is filtered",
            |t| t.create.filters = vec![FilterType::Nodelete as i32],
            &["filters/filtered"],
        ),
        ("a gap", |t| drop(t.heard.remove(3)), &["reliable/gap"]),
        (
            "a start that is missed",
            |t| drop(t.heard.remove(1)),
            &["resumable/start-missed"],
        ),
        (
            "older than its start",
            |t| t.create.start_revision = 3,
            &["resumable/before-start"],
        ),
        (
            "a bookmark over a gap",
            |t| drop(t.heard.remove(4)),
            &["bookmarkable/bookmark-gap"],
        ),
        (
            "a bookmark before its events",
            |t| {
                t.heard[5].0 = 51;
                t.heard.swap(4, 5);
            },
            &["bookmarkable/bookmark-too-early"],
        ),
        (
            "a bookmark that goes back",
            |t| t.heard.push((80, response(4, vec![]))),
            &["bookmarkable/bookmark-went-back"],
        ),
        (
            "a bookmark before the start",
            |t| {
                t.create.start_revision = 4;
                t.heard.drain(1..3);
                t.heard.insert(1, (16, response(2, vec![])));
            },
            &["bookmarkable/bookmark-before-start"],
        ),
        (
            "another value",
            |t| t.event(4, 0).kv.as_mut().unwrap().value = bytes("x"),
            &["true/untrue"],
        ),
        (
            "a change that was never made",
            |t| {
                let phantom = event(kv("x", "1", 5, 5, 1), None);
                t.heard[4].1.events.push(phantom);
            },
            &["true/untrue"],
        ),
        (
            "before it was asked for",
            |t| t.heard[1].0 = 16,
            &["true/before-its-time"],
        ),
        (
            "an update told as a creation",
            |t| t.event(2, 0).kv.as_mut().unwrap().create_revision = 3,
            &["true/untrue", "create/create-flag"],
        ),
        (
            "the new value as the previous one",
            |t| t.event(3, 0).prev_kv = Some(kv("a", "", 0, 4, 0)),
            &["prev_kv/prev-wrong"],
        ),
        (
            "a previous value that is kept back",
            |t| t.event(3, 0).prev_kv = None,
            &["prev_kv/prev-wrong"],
        ),
        (
            "a previous value that nobody asked for",
            |t| t.create.prev_kv = false,
            &["prev_kv/prev-unasked"],
        ),
        (
            "canceled without a reason",
            |t| t.heard.push((80, canceled(5, 0))),
            &["compaction/canceled-unasked"],
        ),
        (
            "canceled for a compaction that nobody asked for",
            |t| {
                t.heard.truncate(1);
                t.heard.push((70, canceled(5, 4)));
            },
            &["compaction/never-compacted"],
        ),
        (
            "canceled though it was ahead of the compaction",
            |t| t.heard.push((80, canceled(5, 3))),
            &["compaction/canceled-needlessly"],
        ),
        (
            "told after its cancellation",
            |t| {
                t.said.push((20, cancel(0)));
                t.heard.insert(1, (21, canceled(1, 0)));
            },
            &["protocol/events-of-no-watch"],
        ),
        (
            "told under another id",
            |t| t.heard[3].1.watch_id = 5,
            &["protocol/events-of-no-watch", "reliable/gap"],
        ),
        (
            "a cancellation that is passed over",
            |t| {
                let again = RequestUnion::CreateRequest(t.create.clone());
                t.said.extend([(20, cancel(0)), (21, again)]);
                let created = WatchResponse {
                    watch_id: 1,
                    ..t.heard[0].1.clone()
                };
                t.heard.push((80, created));
            },
            &["protocol/cancel-ignored"],
        ),
        (
            "a cache with a key that is gone",
            |t| {
                let kvs = [
                    kv("a", "2", 2, 3, 2),
                    kv("b", "1", 3, 3, 1),
                    kv("c", "1", 5, 5, 1),
                ];
                t.caches.push(cache(&kvs));
            },
            &["cache/cache-differs"],
        ),
        (
            "two who are told different values",
            |t| {
                let mut other = told();
                other.event(4, 0).kv.as_mut().unwrap().value = bytes("x");
                t.others.push(other.stream(1));
            },
            &["true/untrue", "agree/watchers-differ"],
        ),
    ];
    for (name, damage, expected) in cases {
        let mut told = told();
        damage(&mut told);
        assert_eq!(told.failures(), *expected, "{name}");
    }
}

#[test]
fn what_needs_the_order_of_application_says_nothing_without_it() {
    let (ops, _) = history();
    let mut told = told();
    told.heard.remove(3);
    let checks = check(&[told.stream(0)], &[], &ops, None);
    let verdict = |name: &str| {
        let found = checks.iter().find(|check| check.name == name);
        &found.expect("it is judged").verdict
    };
    assert!(matches!(verdict("watch.reliable"), Verdict::Unknown(_)));
    assert!(matches!(
        verdict("watch.ordered"),
        Verdict::Pass {
            judged: 4,
            unknown: 0
        }
    ));
}

#[test]
fn who_joins_the_line_of_a_lock_puts_a_key_that_is_told_like_any_other() {
    let (mut ops, mut applied) = history();
    let lock = LockRequest::Lock(pb::v3lockpb::LockRequest {
        name: bytes("l"),
        lease: 7,
    });
    let joined = Op {
        id: 5,
        invoke: 60,
        call: Call::Lock(lock),
        ..ops[0].clone()
    };
    ops.push(joined);
    applied.push(Applied {
        op: Some(5),
        lease: None,
        revision: 6,
    });
    let place = KeyValue {
        lease: 7,
        ..kv("l/7", "", 6, 6, 1)
    };
    let judge = |event: Event| {
        let mut told = told();
        told.heard.push((75, response(6, vec![event])));
        let checks = check(&[told.stream(0)], &[], &ops, Some(&applied));
        let found = checks.into_iter().find(|check| check.name == "watch.true");
        found.expect("it is judged").verdict
    };
    let all = Verdict::Pass {
        judged: 6,
        unknown: 0,
    };
    assert_eq!(judge(event(place.clone(), None)), all);
    let other = KeyValue { lease: 8, ..place };
    assert!(matches!(judge(event(other, None)), Verdict::Fail(_)));
}

#[test]
fn where_what_was_changed_is_known_in_part_only_it_is_no_pass() {
    let (ops, mut applied) = history();
    applied.truncate(2);
    let judge = |told: Told| {
        let checks = check(&[told.stream(0)], &[], &ops, Some(&applied));
        let verdict = |name: &str| {
            let found = checks.iter().find(|check| check.name == name);
            found.expect("it is judged").verdict.clone()
        };
        (
            verdict("watch.reliable"),
            verdict("watch.true"),
            verdict("watch.ordered"),
        )
    };
    let short = Verdict::Unknown(Reason::TooLittle(
        "what was changed is known up to revision 3 only".into(),
    ));
    let (reliable, honest, ordered) = judge(told());
    assert_eq!((&reliable, &honest), (&short, &short));
    assert!(matches!(ordered, Verdict::Pass { .. }));
    let mut wrong = told();
    wrong.event(2, 0).kv.as_mut().unwrap().value = bytes("x");
    let (reliable, honest, _) = judge(wrong);
    assert_eq!(reliable, short);
    assert!(matches!(honest, Verdict::Fail(_)), "{honest:?}");
}
