//! Watches: golden transcripts, one rule of etcd's at a time.

use super::bench::{Bench, IntoOp as _, SECOND, SESSION, bytes, config, del, put, txn};
use super::crash_disk::CrashDisk;
use squall_api::pb::watch_create_request::FilterType;
use squall_api::pb::watch_request::RequestUnion;
use squall_api::pb::{self, WatchCreateRequest, WatchResponse};
use squall_api::{
    Config, Effect, Input, LaneMsg, Metadata, ReqId, Request, Response, SessionId, Status,
};

const STREAM: ReqId = ReqId(1_000);

pub(super) fn watch(key: &str, end: &str) -> WatchCreateRequest {
    WatchCreateRequest {
        key: bytes(key),
        range_end: bytes(end),
        ..WatchCreateRequest::default()
    }
}

fn create(create: WatchCreateRequest) -> pb::WatchRequest {
    pb::WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    }
}

pub(super) fn cancel(watch_id: i64) -> pb::WatchRequest {
    pb::WatchRequest {
        request_union: Some(RequestUnion::CancelRequest(pb::WatchCancelRequest {
            watch_id,
        })),
    }
}

fn progress() -> pb::WatchRequest {
    pb::WatchRequest {
        request_union: Some(RequestUnion::ProgressRequest(pb::WatchProgressRequest {})),
    }
}

/// What streams are told: `revision #watch what`.
fn show(result: &Result<Response, Status>) -> String {
    let response = match result {
        Ok(Response::Watch(response)) => response,
        Ok(other) => panic!("{other:?} on a watch"),
        Err(status) => return format!("end: {status}"),
    };
    let WatchResponse {
        header,
        watch_id,
        created,
        canceled,
        compact_revision,
        cancel_reason,
        fragment,
        events,
    } = response;
    let mut text = format!("{} #{watch_id}", header.as_ref().unwrap().revision);
    for (is, word) in [(created, " created"), (canceled, " canceled")] {
        text.push_str(if *is { word } else { "" });
    }
    if *compact_revision != 0 {
        text.push_str(&format!(" compacted {compact_revision}"));
    }
    if !cancel_reason.is_empty() {
        text.push_str(&format!(" ({cancel_reason})"));
    }
    for event in events {
        let kv = |kv: &pb::KeyValue| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            format!("{}={}@{}", text(&kv.key), text(&kv.value), kv.mod_revision)
        };
        let sign = if event.r#type == 0 { '+' } else { '-' };
        text.push_str(&format!(" {sign}{}", kv(event.kv.as_ref().unwrap())));
        if let Some(prev) = &event.prev_kv {
            text.push_str(&format!(" (was {})", kv(prev)));
        }
    }
    if *fragment {
        text.push_str(" ...");
    }
    text
}

/// A lane with one stream open.
pub(super) struct Watching {
    pub(super) bench: Bench,
    heard: Vec<String>,
    /// The same, as they came.
    pub(super) responses: Vec<WatchResponse>,
}

impl Watching {
    pub(super) fn new(cfg: Config) -> Watching {
        let bench = Bench::open(&CrashDisk::default().shared(), cfg).unwrap();
        Watching {
            bench,
            heard: Vec::new(),
            responses: Vec::new(),
        }
    }

    fn hear(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Reply {
                id: STREAM,
                result,
                last,
            } = effect
            {
                assert_eq!(*last, result.is_err());
                self.heard.push(show(result));
                if let Ok(Response::Watch(response)) = &**result {
                    self.responses.push(response.clone());
                }
            }
        }
    }

    pub(super) fn step(&mut self, input: Input) {
        let effects = self.bench.step(input).unwrap();
        self.hear(&effects);
    }

    fn open_with(&mut self, meta: Metadata, first: pb::WatchRequest) {
        self.step(Input::Request {
            id: STREAM,
            session: SESSION,
            meta,
            req: Box::new(Request::Watch(first)),
        });
    }

    pub(super) fn open(&mut self, first: WatchCreateRequest) {
        self.open_with(Metadata::default(), create(first));
    }

    pub(super) fn send(&mut self, message: pb::WatchRequest) {
        self.step(Input::Message {
            id: STREAM,
            req: Box::new(Request::Watch(message)),
        });
    }

    pub(super) fn watch(&mut self, request: WatchCreateRequest) {
        self.send(create(request));
    }

    pub(super) fn take(&mut self, answers: u32) {
        self.step(Input::Taken {
            id: STREAM,
            answers,
        });
    }

    /// A write, with Raft agreeing at once.
    pub(super) fn write(&mut self, req: Request) {
        let (_, effects) = self.bench.request(req);
        let data = effects.iter().find_map(|effect| match effect {
            Effect::Lane(LaneMsg::Propose { data, .. }) => Some(data.clone()),
            _ => None,
        });
        let effects = self.bench.commit(data.expect("a write is proposed"));
        self.hear(&effects.unwrap());
    }

    fn put(&mut self, key: &str, value: &str) {
        self.write(Request::Put(put(key, value)));
    }

    fn delete(&mut self, key: &str, end: &str) {
        self.write(Request::DeleteRange(del(key, end)));
    }

    /// What the stream was told since it was last looked at, once the lane has
    /// nothing more to do at this time.
    pub(super) fn heard(&mut self) -> Vec<String> {
        while self.bench.lane_is_due() {
            self.step(Input::Deadline);
        }
        std::mem::take(&mut self.heard)
    }
}

fn fresh() -> Watching {
    Watching::new(config())
}

#[test]
fn ids_are_chosen_by_either_side_and_never_twice() {
    let mut w = fresh();
    w.open(watch("a", ""));
    w.watch(watch("a", ""));
    w.watch(WatchCreateRequest {
        watch_id: 2,
        ..watch("a", "")
    });
    w.watch(watch("a", ""));
    w.watch(WatchCreateRequest {
        watch_id: 2,
        ..watch("a", "")
    });
    w.watch(WatchCreateRequest {
        watch_id: -7,
        ..watch("a", "")
    });
    assert_eq!(
        w.heard(),
        [
            "1 #0 created",
            "1 #1 created",
            "1 #2 created",
            "1 #3 created",
            "1 #-1 created canceled (mvcc: duplicate watch ID provided on the WatchStream)",
            "1 #-7 created",
        ]
    );
}

#[test]
fn a_range_without_keys_and_a_negative_revision_are_refused() {
    let mut w = fresh();
    w.open(watch("b", "a"));
    w.watch(watch("b", "b"));
    w.watch(WatchCreateRequest {
        start_revision: -1,
        ..watch("b", "")
    });
    assert_eq!(
        w.heard(),
        [
            "1 #-1 created canceled (mvcc: watcher range is empty)",
            "1 #-1 created canceled (mvcc: watcher range is empty)",
            "1 #-1 created canceled (mvcc: required revision has been compacted)",
        ]
    );
}

#[test]
fn keys_ranges_and_open_ends_hear_what_is_theirs() {
    let mut w = fresh();
    w.open(watch("b", ""));
    w.watch(watch("b", "c"));
    w.watch(watch("b1", "\0"));
    w.watch(watch("", "\0"));
    w.heard();
    for key in ["a", "b", "b1", "c"] {
        w.put(key, "v");
    }
    assert_eq!(
        w.heard(),
        [
            "2 #3 +a=v@2",
            "3 #0 +b=v@3",
            "3 #1 +b=v@3",
            "3 #3 +b=v@3",
            "4 #1 +b1=v@4",
            "4 #2 +b1=v@4",
            "4 #3 +b1=v@4",
            "5 #2 +c=v@5",
            "5 #3 +c=v@5",
        ]
    );
}

#[test]
fn an_empty_key_alone_is_the_smallest_key() {
    let mut w = fresh();
    w.open(watch("", ""));
    w.put("a", "v");
    w.put("\0", "v");
    assert_eq!(w.heard(), ["1 #0 created", "3 #0 +\0=v@3"]);
}

#[test]
fn a_past_revision_is_told_from_history_and_then_goes_on() {
    let mut w = fresh();
    for value in ["1", "2", "3"] {
        w.put("a", value);
    }
    w.delete("a", "");
    w.open(WatchCreateRequest {
        start_revision: 3,
        ..watch("a", "")
    });
    assert_eq!(w.heard(), ["5 #0 created", "5 #0 +a=2@3 +a=3@4 -a=@5"]);
    w.put("a", "4");
    assert_eq!(w.heard(), ["6 #0 +a=4@6"]);
}

#[test]
fn history_is_told_across_backend_commits() {
    let mut w = fresh();
    w.put("a", "1");
    w.bench.now.mono += SECOND;
    w.step(Input::Deadline);
    w.put("a", "2");
    w.open(WatchCreateRequest {
        start_revision: 2,
        ..watch("a", "")
    });
    assert_eq!(w.heard(), ["3 #0 created", "3 #0 +a=1@2 +a=2@3"]);
}

#[test]
fn a_future_revision_is_waited_for() {
    let mut w = fresh();
    w.open(WatchCreateRequest {
        start_revision: 4,
        ..watch("a", "")
    });
    for value in ["1", "2", "3", "4"] {
        w.put("a", value);
    }
    assert_eq!(w.heard(), ["1 #0 created", "4 #0 +a=3@4", "5 #0 +a=4@5"]);
}

#[test]
fn a_transaction_is_told_at_once_and_a_failed_one_never() {
    let mut w = fresh();
    w.open(watch("", "\0"));
    w.put("b", "1");
    w.write(Request::Txn(txn(
        vec![],
        vec![put("a", "x").op(), del("b", "").op(), put("c", "y").op()],
        vec![],
    )));
    w.delete("nothing", "");
    w.write(Request::Txn(txn(
        vec![],
        vec![del("nothing", "").op()],
        vec![],
    )));
    assert_eq!(
        w.heard(),
        ["1 #0 created", "2 #0 +b=1@2", "3 #0 +a=x@3 -b=@3 +c=y@3"]
    );
}

#[test]
fn filters_take_away_what_they_name() {
    let mut w = fresh();
    let without = |filters: &[FilterType]| WatchCreateRequest {
        filters: filters.iter().map(|f| *f as i32).collect(),
        ..watch("a", "")
    };
    w.open(without(&[FilterType::Noput]));
    w.watch(without(&[FilterType::Nodelete]));
    w.watch(without(&[FilterType::Noput, FilterType::Nodelete]));
    w.heard();
    w.put("a", "1");
    w.delete("a", "");
    assert_eq!(w.heard(), ["2 #1 +a=1@2", "3 #0 -a=@3"]);
}

#[test]
fn the_previous_value_is_that_before_the_revision() {
    let mut w = fresh();
    w.open(WatchCreateRequest {
        prev_kv: true,
        ..watch("a", "")
    });
    w.put("a", "1");
    w.put("a", "2");
    w.delete("a", "");
    w.put("a", "3");
    w.watch(WatchCreateRequest {
        prev_kv: true,
        start_revision: 3,
        ..watch("a", "")
    });
    assert_eq!(
        w.heard(),
        [
            "1 #0 created",
            "2 #0 +a=1@2",
            "3 #0 +a=2@3 (was a=1@2)",
            "4 #0 -a=@4 (was a=2@3)",
            "5 #0 +a=3@5",
            "5 #1 created",
            "5 #1 +a=2@3 (was a=1@2) -a=@4 (was a=2@3) +a=3@5",
        ]
    );
}

#[test]
fn a_canceled_watch_is_told_so_once_and_nothing_more() {
    let mut w = fresh();
    w.open(watch("a", ""));
    w.watch(watch("a", ""));
    w.send(cancel(0));
    w.send(cancel(0));
    w.send(cancel(77));
    w.put("a", "1");
    assert_eq!(
        w.heard(),
        [
            "1 #0 created",
            "1 #1 created",
            "1 #0 canceled",
            "2 #1 +a=1@2"
        ]
    );
    w.step(Input::Cancel(STREAM));
    w.put("a", "2");
    w.watch(watch("a", ""));
    assert_eq!(w.heard(), Vec::<String>::new());
}

#[test]
fn a_connection_that_ends_takes_its_streams_along() {
    let mut w = fresh();
    w.open(watch("a", ""));
    w.step(Input::Closed(SessionId(77)));
    w.put("a", "1");
    w.step(Input::Closed(SESSION));
    w.put("a", "2");
    assert_eq!(w.heard(), ["1 #0 created", "2 #0 +a=1@2"]);
}

#[test]
fn progress_is_confirmed_only_when_the_whole_stream_is_up_to_date() {
    let mut w = fresh();
    w.put("a", "1");
    w.open(watch("a", ""));
    w.send(progress());
    assert_eq!(w.heard(), ["2 #0 created", "2 #-1"]);
    // A watch of the future could not go on from there.
    w.watch(WatchCreateRequest {
        start_revision: 4,
        ..watch("x", "")
    });
    w.send(progress());
    assert_eq!(w.heard(), ["2 #1 created"]);
    w.put("a", "2");
    w.send(progress());
    assert_eq!(w.heard(), ["3 #0 +a=2@3", "3 #-1"]);
}

#[test]
fn progress_is_told_at_intervals_to_who_asks_and_hears_nothing_else() {
    let mut w = Watching::new(Config {
        watch_progress_interval: SECOND,
        ..config()
    });
    w.open(WatchCreateRequest {
        progress_notify: true,
        ..watch("a", "")
    });
    w.watch(watch("a", ""));
    w.heard();
    let pass = |w: &mut Watching, seconds: u64| {
        w.bench.now.mono += seconds * SECOND;
        w.step(Input::Deadline);
        w.heard()
    };
    assert_eq!(pass(&mut w, 1), ["1 #0"]);
    w.put("b", "1");
    assert_eq!(pass(&mut w, 1), ["2 #0"]);
    w.put("a", "1");
    assert_eq!(pass(&mut w, 1), ["3 #0 +a=1@3", "3 #1 +a=1@3"]);
    assert_eq!(pass(&mut w, 1), ["3 #0"]);
}

#[test]
fn who_does_not_take_responses_lags_and_misses_nothing() {
    let mut w = Watching::new(Config {
        watch_window: 2,
        ..config()
    });
    w.open(watch("a", ""));
    w.put("a", "1");
    w.put("a", "2");
    w.put("b", "x");
    w.put("a", "3");
    w.send(progress());
    assert_eq!(w.heard(), ["1 #0 created", "2 #0 +a=1@2"]);
    w.take(1);
    assert_eq!(w.heard(), ["5 #0 +a=2@3 +a=3@5"]);
    w.put("a", "4");
    w.take(2);
    assert_eq!(w.heard(), ["6 #0 +a=4@6"]);
    w.put("a", "5");
    assert_eq!(w.heard(), ["7 #0 +a=5@7"]);
}

#[test]
fn a_slow_client_holds_up_nobody_else() {
    let mut w = Watching::new(Config {
        watch_window: 1,
        ..config()
    });
    w.open(watch("a", ""));
    w.put("a", "1");
    let other = Input::Request {
        id: ReqId(2_000),
        session: SessionId(2),
        meta: Metadata::default(),
        req: Box::new(Request::Watch(create(WatchCreateRequest {
            start_revision: 1,
            ..watch("a", "")
        }))),
    };
    let told = |effects: Vec<Effect>| -> Vec<String> {
        let to_other = |effect: &Effect| match effect {
            Effect::Reply {
                id: ReqId(2_000),
                result,
                ..
            } => Some(show(result)),
            _ => None,
        };
        effects.iter().filter_map(to_other).collect()
    };
    assert_eq!(told(w.bench.step(other).unwrap()), ["2 #0 created"]);
    let take = Input::Taken {
        id: ReqId(2_000),
        answers: 1,
    };
    assert_eq!(told(w.bench.step(take).unwrap()), ["2 #0 +a=1@2"]);
    assert_eq!(w.heard(), ["1 #0 created"]);
}

#[test]
fn a_long_history_comes_in_batches_of_whole_revisions() {
    let mut w = fresh();
    for n in 0..30 {
        let puts = (0..100).map(|k| put(&format!("k{k:02}"), &n.to_string()).op());
        w.write(Request::Txn(txn(vec![], puts.collect(), vec![])));
    }
    w.open(WatchCreateRequest {
        start_revision: 2,
        ..watch("k", "l")
    });
    let heard = w.heard();
    assert_eq!(
        heard.len(),
        4,
        "a created, and three batches of 1,000 changes"
    );
    let told: Vec<usize> = heard
        .iter()
        .map(|text| text.matches(" +").count())
        .collect();
    assert_eq!(told, [0, 1_000, 1_000, 1_000]);
    for (i, text) in heard.iter().skip(1).enumerate() {
        assert!(
            text.contains(&format!("+k00={}@{}", 10 * i, 10 * i + 2)),
            "{i}"
        );
        assert!(
            text.ends_with(&format!("+k99={}@{}", 10 * i + 9, 10 * i + 11)),
            "{i}"
        );
    }
}

#[test]
fn only_who_asks_for_fragments_gets_them() {
    let mut w = Watching::new(Config {
        max_request_bytes: 60,
        ..config()
    });
    for key in ["a", "b", "c", "d", "e", "f", "g"] {
        w.put(key, "0");
    }
    w.open(WatchCreateRequest {
        fragment: true,
        ..watch("a", "z")
    });
    w.watch(watch("a", "z"));
    w.heard();
    w.delete("a", "z");
    assert_eq!(
        w.heard(),
        [
            "9 #0 -a=@9 -b=@9 -c=@9 -d=@9 -e=@9 -f=@9 ...",
            "9 #0 -g=@9",
            "9 #1 -a=@9 -b=@9 -c=@9 -d=@9 -e=@9 -f=@9 -g=@9",
        ]
    );
}

#[test]
fn a_stream_that_requires_a_leader_ends_without_one() {
    let mut w = fresh();
    let strict = Metadata {
        require_leader: true,
        ..Metadata::default()
    };
    w.open_with(strict.clone(), create(watch("a", "")));
    assert_eq!(w.heard(), ["end: Unavailable: etcdserver: no leader"]);
    let leader = |leader| Input::Lane(LaneMsg::Leader { term: 1, leader });
    w.step(leader(2));
    w.open_with(strict, create(watch("a", "")));
    w.step(leader(0));
    assert_eq!(w.heard(), ["1 #0 created"]);
    w.bench.now.mono += 3 * SECOND - 1;
    w.step(Input::Deadline);
    assert_eq!(w.heard(), Vec::<String>::new());
    w.bench.now.mono += 1;
    w.step(Input::Deadline);
    assert_eq!(w.heard(), ["end: Unavailable: etcdserver: no leader"]);
}

#[test]
fn after_a_snapshot_everybody_goes_on_from_where_they_were() {
    let mut source = fresh();
    for n in 2..=9 {
        source.put("a", &n.to_string());
    }
    let snapshot = source.bench.snapshot();

    let mut w = fresh();
    w.put("a", "2");
    w.open(watch("a", ""));
    w.put("a", "3");
    w.watch(WatchCreateRequest {
        start_revision: 2,
        ..watch("a", "")
    });
    w.watch(WatchCreateRequest {
        start_revision: 8,
        ..watch("a", "")
    });
    w.watch(WatchCreateRequest {
        start_revision: 11,
        ..watch("a", "")
    });
    w.watch(watch("x", ""));
    w.heard();
    w.step(Input::Lane(LaneMsg::Install(snapshot)));
    w.bench.index = 8;
    assert_eq!(
        w.heard(),
        [
            "9 #0 +a=4@4 +a=5@5 +a=6@6 +a=7@7 +a=8@8 +a=9@9",
            "9 #1 +a=4@4 +a=5@5 +a=6@6 +a=7@7 +a=8@8 +a=9@9",
            "9 #2 +a=8@8 +a=9@9",
        ]
    );
    w.put("a", "10");
    w.put("a", "11");
    assert_eq!(
        w.heard(),
        [
            "10 #0 +a=10@10",
            "10 #1 +a=10@10",
            "10 #2 +a=10@10",
            "11 #0 +a=11@11",
            "11 #1 +a=11@11",
            "11 #2 +a=11@11",
            "11 #3 +a=11@11",
        ]
    );
}

#[test]
fn a_member_that_stops_ends_its_streams() {
    let mut w = fresh();
    w.open(watch("a", ""));
    w.heard();
    let mut bench = w.bench;
    let effects = bench.stop_with_effects();
    let heard: Vec<String> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Reply {
                id: STREAM, result, ..
            } => Some(show(result)),
            _ => None,
        })
        .collect();
    assert_eq!(heard, ["end: Unavailable: etcdserver: server stopped"]);
}

#[test]
fn of_a_hundred_thousand_watchers_the_one_that_is_concerned_is_told() {
    let window = 1_000;
    let mut stream = Watching::new(Config {
        watch_window: window,
        ..config()
    });
    let name = |i: u32| format!("k{i:06}");
    stream.open(watch(&name(0), ""));
    for i in 1..100_000 {
        stream.watch(watch(&name(i), ""));
        if i % window == 0 {
            stream.take(window);
        }
    }
    stream.take(window);
    assert_eq!(stream.heard().len(), 100_000);
    for (i, revision) in [(0, 3), (77_777, 5), (99_999, 7)] {
        stream.put("other", "v");
        assert_eq!(stream.heard(), [""; 0]);
        stream.put(&name(i), "v");
        let told = format!("{revision} #{i} +{}=v@{revision}", name(i));
        assert_eq!(stream.heard(), [told]);
        stream.take(1);
    }
}
