//! Ranges in parts: merged they are the whole, of one revision, and no more of
//! them is under way than the client takes.

use super::auth_bench::{DENIED, enabled, revoke};
use super::bench::{Bench, SESSION, bytes, config, del, get, put};
use super::crash_disk::CrashDisk;
use proptest::prelude::*;
use squall_api::pb::range_request::{SortOrder, SortTarget};
use squall_api::pb::{self, RangeRequest, RangeResponse};
use squall_api::{Config, Effect, Input, LaneMsg, Metadata, ReqId, Request, Response, Status};

/// Keys k00 to k19 of some thirty bytes each with their values, in parts of four.
fn bench() -> Bench {
    let cfg = Config {
        max_request_bytes: 100,
        ..config()
    };
    let mut bench = Bench::open(&CrashDisk::default().shared(), cfg).unwrap();
    for i in 0..20 {
        bench.say(Request::Put(put(
            &format!("k{i:02}"),
            "a value of 20 bytes!",
        )));
    }
    bench
}

type Answer = Result<RangeResponse, Status>;

/// What was answered to `id`, and whether it was the last of it.
fn answers(id: ReqId, effects: Vec<Effect>) -> Vec<(Answer, bool)> {
    let answer = |effect| match effect {
        Effect::Reply {
            id: to,
            result,
            last,
        } if to == id => Some(match *result {
            Ok(Response::RangeStream(part)) => (Ok(part), last),
            Err(status) => (Err(status), last),
            other => panic!("{other:?}"),
        }),
        _ => None,
    };
    effects.into_iter().filter_map(answer).collect()
}

/// Begins a range, with Raft agreeing at once.
fn begin(bench: &mut Bench, range: RangeRequest) -> (ReqId, Vec<(Answer, bool)>) {
    let (id, mut effects) = bench.request(Request::RangeStream(range));
    if let Some(Effect::Lane(LaneMsg::ReadIndex { ctx })) = effects.last() {
        let (ctx, index) = (*ctx, bench.index);
        let readable = Input::Lane(LaneMsg::Readable { ctx, index });
        effects = bench.step(readable).unwrap();
    }
    (id, answers(id, effects))
}

fn take(bench: &mut Bench, id: ReqId) -> Vec<(Answer, bool)> {
    let taken = Input::Taken { id, answers: 1 };
    answers(id, bench.step(taken).unwrap())
}

/// Reads a range to its end, and merges its parts.
fn whole(bench: &mut Bench, range: RangeRequest) -> (Answer, usize) {
    let (id, mut parts) = begin(bench, range);
    let mut taken = 0;
    while !parts.last().is_some_and(|(_, last)| *last) {
        taken += 1;
        let more = take(bench, id);
        assert_eq!(more.len(), 1, "one is taken, and one follows");
        parts.extend(more);
        assert_eq!(parts.len(), taken + 2, "two are under way");
    }
    let count = parts.len();
    let mut merged = RangeResponse::default();
    for (part, last) in parts {
        let part = match part {
            Ok(part) => part,
            Err(status) => return (Err(status), count),
        };
        assert_eq!(part.header.is_some(), last, "the header comes last");
        assert!(last || (part.count, part.more) == (0, false), "{part:?}");
        merged.kvs.extend(part.kvs);
        (merged.header, merged.count, merged.more) = (part.header, part.count, part.more);
    }
    (Ok(merged), count)
}

#[test]
fn a_range_comes_in_parts_of_one_revision_as_they_are_taken() {
    let mut bench = bench();
    let (id, first) = begin(&mut bench, get("k", "l"));
    assert_eq!(first.len(), 2, "the window");
    let keys = |part: &(Answer, bool)| part.0.as_ref().unwrap().kvs.len();
    assert_eq!(first.iter().map(keys).collect::<Vec<_>>(), [4, 4]);
    // What happens meanwhile is not seen.
    bench.say(Request::Put(put("k19", "new")));
    bench.say(Request::DeleteRange(del("k10", "k15")));
    let mut parts = first;
    while !parts.last().unwrap().1 {
        parts.extend(take(&mut bench, id));
    }
    let read: Vec<pb::KeyValue> = parts
        .iter()
        .flat_map(|(part, _)| part.as_ref().unwrap().kvs.clone())
        .collect();
    assert_eq!(read.len(), 20);
    assert!(read.iter().all(|kv| kv.value.len() == 20));
    let last = parts.pop().unwrap().0.unwrap();
    assert_eq!((last.count, last.more), (20, false));
    assert_eq!(last.header.unwrap().revision, 21);
    assert!(take(&mut bench, id).is_empty(), "it is over");
}

#[test]
fn what_would_have_to_be_gathered_first_is_refused() {
    let mut bench = bench();
    let mut refused = |change: fn(&mut RangeRequest)| {
        let mut range = get("k", "l");
        change(&mut range);
        bench.say(Request::RangeStream(range))
    };
    let order = "Unimplemented: RangeStream does not support custom sort orders";
    let filter = "Unimplemented: RangeStream does not support revision filters";
    assert_eq!(refused(|r| r.set_sort_order(SortOrder::Descend)), order);
    let by_value = |r: &mut RangeRequest| {
        r.set_sort_order(SortOrder::Ascend);
        r.set_sort_target(SortTarget::Value);
    };
    assert_eq!(refused(by_value), order);
    assert_eq!(refused(|r| r.min_mod_revision = 3), filter);
    assert_eq!(refused(|r| r.max_create_revision = 3), filter);
    assert_eq!(
        refused(|r| r.key.clear()),
        "InvalidArgument: etcdserver: key is not provided"
    );
    assert_eq!(
        refused(|r| r.revision = 100),
        "OutOfRange: etcdserver: mvcc: required revision is a future revision"
    );
}

#[test]
fn a_compaction_under_way_ends_it() {
    let mut bench = bench();
    let (id, _) = begin(&mut bench, get("k", "l"));
    bench.say(Request::Put(put("k00", "new")));
    bench.say(Request::Compact(pb::CompactionRequest {
        revision: 22,
        ..pb::CompactionRequest::default()
    }));
    let ended = take(&mut bench, id);
    let [(Err(status), true)] = &ended[..] else {
        panic!("{ended:?}")
    };
    assert_eq!(
        status.to_string(),
        "OutOfRange: etcdserver: mvcc: required revision has been compacted"
    );
}

#[test]
fn a_permission_that_is_revoked_under_way_ends_it() {
    let mut bench = enabled();
    let roots = bench.meta.clone();
    let big = "x".repeat(1 << 20);
    for key in ["b", "ba", "bb", "bc", "bd"] {
        bench.say(Request::Put(put(key, &big)));
    }
    bench.become_user("u");
    let (id, first) = begin(&mut bench, get("b", "d"));
    assert!(
        matches!(first[..], [(Ok(_), false), (Ok(_), false)]),
        "{first:?}"
    );
    bench.meta = roots;
    bench.done([revoke("r", "b", "d")]);
    let ended = take(&mut bench, id);
    let [(Err(status), true)] = &ended[..] else {
        panic!("{ended:?}")
    };
    assert_eq!(status.to_string(), DENIED);
}

#[test]
fn who_wants_no_more_gets_no_more_and_who_waits_hears_of_the_end() {
    let mut bench = bench();
    let (given_up, _) = begin(&mut bench, get("k", "l"));
    let (cut_off, _) = begin(&mut bench, get("k", "l"));
    bench.step(Input::Cancel(given_up)).unwrap();
    assert!(take(&mut bench, given_up).is_empty());
    bench.step(Input::Closed(SESSION)).unwrap();
    assert!(take(&mut bench, cut_off).is_empty());
    let (waits, _) = begin(&mut bench, get("k", "l"));
    let ended = answers(waits, bench.stop_with_effects());
    let [(Err(status), true)] = &ended[..] else {
        panic!("{ended:?}")
    };
    assert_eq!(
        status.to_string(),
        "Unavailable: etcdserver: server stopped"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parts_merged_are_the_range(
        from in 0..22u32,
        to in prop_oneof![Just(None), (0..22u32).prop_map(Some)],
        open in any::<bool>(),
        limit in 0..25i64,
        revision in 0..22i64,
        keys_only in any::<bool>(),
        count_only in prop::bool::weighted(0.2),
        serializable in any::<bool>(),
    ) {
        let mut bench = bench();
        bench.meta = Metadata::default();
        let range = RangeRequest {
            key: bytes(&format!("k{from:02}")),
            range_end: match (open, to) {
                (true, _) => bytes("\0"),
                (false, None) => bytes(""),
                (false, Some(to)) => bytes(&format!("k{to:02}")),
            },
            limit,
            revision,
            keys_only,
            count_only,
            serializable,
            ..RangeRequest::default()
        };
        let Ok(Response::Range(expected)) = bench.call(Request::Range(range.clone())) else {
            panic!("{range:?}")
        };
        let (merged, parts) = whole(&mut bench, range);
        prop_assert_eq!(merged.unwrap(), expected.clone());
        // Thirty bytes a key, or ten without its value.
        prop_assert!(parts <= expected.kvs.len() / 3 + 1, "{} parts", parts);
    }
}
