//! Golden cases: what etcd answers, one option of one call at a time. Those that
//! are not etcd's documented behaviour were compared with etcd 3.4.23.

use super::bench::{Bench, IntoOp as _, bytes, del, get, put, txn, when};
use bytes::Bytes;
use squall_api::pb::compare::{CompareResult as Is, CompareTarget as Of, TargetUnion as Operand};
use squall_api::pb::range_request::{SortOrder, SortTarget};
use squall_api::pb::{self, RangeRequest, RequestOp};
use squall_api::{Code, Request, Response};

const COMPACTED: &str = "OutOfRange: etcdserver: mvcc: required revision has been compacted";
const DUPLICATE_KEY: &str = "InvalidArgument: etcdserver: duplicate key given in txn request";
const EMPTY_KEY: &str = "InvalidArgument: etcdserver: key is not provided";
const FUTURE: &str = "OutOfRange: etcdserver: mvcc: required revision is a future revision";
const KEY_NOT_FOUND: &str = "InvalidArgument: etcdserver: key not found";
const LEASE_NOT_FOUND: &str = "NotFound: etcdserver: requested lease not found";
const TOO_MANY_OPS: &str = "InvalidArgument: etcdserver: too many operations in txn request";

/// a=2 (2,5,2), b=1 (3,3,1), c=3 (4,4,1); d was put at 6 and deleted at 7.
fn bench() -> Bench {
    let mut bench = Bench::new();
    let steps = [
        Request::Put(put("a", "1")),
        Request::Put(put("b", "1")),
        Request::Put(put("c", "3")),
        Request::Put(put("a", "2")),
        Request::Put(put("d", "4")),
        Request::DeleteRange(del("d", "")),
    ];
    for (i, step) in steps.into_iter().enumerate() {
        let said = bench.say(step);
        assert!(said.starts_with(&format!("{}: ", i + 2)), "{said}");
    }
    bench
}

#[test]
fn range_answers_every_option_as_etcd_does() {
    let all = || get("\0", "\0");
    let sorted = |target: SortTarget, order: SortOrder, limit: i64| RangeRequest {
        sort_target: target as i32,
        sort_order: order as i32,
        limit,
        ..all()
    };
    let at = |revision: i64| RangeRequest { revision, ..all() };
    let (a, b, c) = ("a=2(2,5,2)", "b=1(3,3,1)", "c=3(4,4,1)");
    let cases: Vec<(&str, RangeRequest, String)> = vec![
        ("one key", get("a", ""), format!("7: [{a}] of 1")),
        ("no such key", get("x", ""), "7: [] of 0".into()),
        ("a deleted key", get("d", ""), "7: [] of 0".into()),
        ("an interval", get("a", "c"), format!("7: [{a} {b}] of 2")),
        ("a prefix", get("b", "c"), format!("7: [{b}] of 1")),
        (
            "from a key on",
            get("b", "\0"),
            format!("7: [{b} {c}] of 2"),
        ),
        ("everything", all(), format!("7: [{a} {b} {c}] of 3")),
        (
            "an end before the start",
            get("c", "a"),
            "7: [] of 0".into(),
        ),
        (
            "an end equal to the start",
            get("b", "b"),
            "7: [] of 0".into(),
        ),
        (
            "limit below the count",
            RangeRequest { limit: 2, ..all() },
            format!("7: [{a} {b}] of 3 more"),
        ),
        (
            "limit equal to the count",
            RangeRequest { limit: 3, ..all() },
            format!("7: [{a} {b} {c}] of 3"),
        ),
        (
            "a negative limit is none",
            RangeRequest { limit: -1, ..all() },
            format!("7: [{a} {b} {c}] of 3"),
        ),
        (
            "keys_only",
            RangeRequest {
                keys_only: true,
                ..get("a", "c")
            },
            "7: [a=(2,5,2) b=(3,3,1)] of 2".into(),
        ),
        (
            "count_only, whatever the limit",
            RangeRequest {
                count_only: true,
                limit: 1,
                ..all()
            },
            "7: [] of 3".into(),
        ),
        (
            "serializable",
            RangeRequest {
                serializable: true,
                ..get("b", "")
            },
            format!("7: [{b}] of 1"),
        ),
        ("before the first write", at(1), "7: [] of 0".into()),
        (
            "at an old revision",
            at(4),
            "7: [a=1(2,2,1) b=1(3,3,1) c=3(4,4,1)] of 3".into(),
        ),
        (
            "while d lived",
            RangeRequest {
                revision: 6,
                ..get("d", "")
            },
            "7: [d=4(6,6,1)] of 1".into(),
        ),
        (
            "at the current revision",
            at(7),
            format!("7: [{a} {b} {c}] of 3"),
        ),
        (
            "a negative revision is the current one",
            at(-3),
            format!("7: [{a} {b} {c}] of 3"),
        ),
        ("a future revision", at(8), FUTURE.into()),
        ("no key", get("", ""), EMPTY_KEY.into()),
        ("no key, but an end", get("", "z"), EMPTY_KEY.into()),
        (
            "keys descending",
            sorted(SortTarget::Key, SortOrder::Descend, 0),
            format!("7: [{c} {b} {a}] of 3"),
        ),
        (
            "the limit applies after sorting",
            sorted(SortTarget::Key, SortOrder::Descend, 1),
            format!("7: [{c}] of 3 more"),
        ),
        (
            "by version, equals in order of keys",
            sorted(SortTarget::Version, SortOrder::Ascend, 0),
            format!("7: [{b} {c} {a}] of 3"),
        ),
        (
            "by version descending",
            sorted(SortTarget::Version, SortOrder::Descend, 0),
            format!("7: [{a} {b} {c}] of 3"),
        ),
        (
            "by create revision descending",
            sorted(SortTarget::Create, SortOrder::Descend, 0),
            format!("7: [{c} {b} {a}] of 3"),
        ),
        (
            "by mod revision",
            sorted(SortTarget::Mod, SortOrder::Ascend, 0),
            format!("7: [{b} {c} {a}] of 3"),
        ),
        (
            "by value descending",
            sorted(SortTarget::Value, SortOrder::Descend, 2),
            format!("7: [{c} {a}] of 3 more"),
        ),
        (
            "a target without an order sorts ascending",
            sorted(SortTarget::Value, SortOrder::None, 0),
            format!("7: [{b} {a} {c}] of 3"),
        ),
        (
            "but only among those within the limit, and one more",
            sorted(SortTarget::Mod, SortOrder::None, 1),
            format!("7: [{b}] of 3 more"),
        ),
        (
            "an unknown order",
            RangeRequest {
                sort_order: 3,
                ..all()
            },
            "InvalidArgument: etcdserver: invalid sort option".into(),
        ),
        (
            "an unknown target",
            RangeRequest {
                sort_target: 5,
                ..all()
            },
            "InvalidArgument: etcdserver: invalid sort option".into(),
        ),
        (
            "min_mod_revision",
            RangeRequest {
                min_mod_revision: 4,
                ..all()
            },
            format!("7: [{a} {c}] of 3"),
        ),
        (
            "max_mod_revision, limit after the filter",
            RangeRequest {
                max_mod_revision: 4,
                limit: 1,
                ..all()
            },
            format!("7: [{b}] of 3 more"),
        ),
        (
            "min_create_revision",
            RangeRequest {
                min_create_revision: 3,
                ..all()
            },
            format!("7: [{b} {c}] of 3"),
        ),
        (
            "max_create_revision",
            RangeRequest {
                max_create_revision: 3,
                ..all()
            },
            format!("7: [{a} {b}] of 3"),
        ),
    ];
    let mut bench = bench();
    for (what, req, want) in cases {
        assert_eq!(bench.say(Request::Range(req)), want, "{what}");
    }
}

#[test]
fn put_answers_every_option_as_etcd_does() {
    let with = |f: fn(&mut pb::PutRequest)| {
        let mut req = put("a", "9");
        f(&mut req);
        Request::Put(req)
    };
    let mut bench = bench();
    let cases = [
        (
            "prev_kv",
            with(|r| r.prev_kv = true),
            "8: put over a=2(2,5,2)",
        ),
        (
            "prev_kv of a new key",
            with(|r| {
                r.key = bytes("new");
                r.prev_kv = true;
            }),
            "9: put",
        ),
        (
            "ignore_value keeps the value",
            with(|r| {
                r.value = Bytes::new();
                r.ignore_value = true;
                r.prev_kv = true;
            }),
            "10: put over a=9(2,8,3)",
        ),
        (
            "ignore_value with a value",
            with(|r| r.ignore_value = true),
            "InvalidArgument: etcdserver: value is provided",
        ),
        (
            "ignore_value without a key to take it from",
            with(|r| {
                r.key = bytes("d");
                r.value = Bytes::new();
                r.ignore_value = true;
            }),
            KEY_NOT_FOUND,
        ),
        ("ignore_lease", with(|r| r.ignore_lease = true), "11: put"),
        (
            "ignore_lease with a lease",
            with(|r| {
                r.lease = 1;
                r.ignore_lease = true;
            }),
            "InvalidArgument: etcdserver: lease is provided",
        ),
        (
            "ignore_lease without a key to take it from",
            with(|r| {
                r.key = bytes("x");
                r.ignore_lease = true;
            }),
            KEY_NOT_FOUND,
        ),
        ("an unknown lease", with(|r| r.lease = 7), LEASE_NOT_FOUND),
        ("no key", with(|r| r.key = Bytes::new()), EMPTY_KEY),
    ];
    for (what, req, want) in cases {
        assert_eq!(bench.say(req), want, "{what}");
    }
    assert_eq!(
        bench.say(Request::Range(get("a", ""))),
        "11: [a=9(2,11,5)] of 1"
    );
    // A key that comes back starts anew.
    bench.say(Request::Put(put("d", "5")));
    assert_eq!(
        bench.say(Request::Range(get("d", ""))),
        "12: [d=5(12,12,1)] of 1"
    );
}

#[test]
fn delete_answers_every_option_as_etcd_does() {
    let with_prev = |key: &str, end: &str| {
        let mut req = del(key, end);
        req.prev_kv = true;
        Request::DeleteRange(req)
    };
    let mut bench = bench();
    let cases = [
        ("no key", Request::DeleteRange(del("", "")), EMPTY_KEY),
        (
            "deleting nothing takes no revision",
            Request::DeleteRange(del("x", "z")),
            "7: deleted 0",
        ),
        (
            "prev_kv of an interval",
            with_prev("a", "c"),
            "8: deleted 2 [a=2(2,5,2) b=1(3,3,1)]",
        ),
        ("twice", Request::DeleteRange(del("a", "")), "8: deleted 0"),
        (
            "from a key on",
            Request::DeleteRange(del("b", "\0")),
            "9: deleted 1",
        ),
    ];
    for (what, req, want) in cases {
        assert_eq!(bench.say(req), want, "{what}");
    }
    let old = RangeRequest {
        revision: 7,
        ..get("\0", "\0")
    };
    assert_eq!(
        bench.say(Request::Range(old)),
        "9: [a=2(2,5,2) b=1(3,3,1) c=3(4,4,1)] of 3"
    );
}

#[test]
fn compares_hold_and_fail_as_etcds_do() {
    let value = |text: &str| Operand::Value(bytes(text));
    let ranged = |mut compare: pb::Compare, end: &str| {
        compare.range_end = bytes(end);
        compare
    };
    let raw = |f: fn(&mut pb::Compare)| {
        let mut compare = when(Of::Version, "a", Is::Equal, Operand::Version(2));
        f(&mut compare);
        compare
    };
    let cases = [
        (
            "version =",
            when(Of::Version, "a", Is::Equal, Operand::Version(2)),
            true,
        ),
        (
            "version !=",
            when(Of::Version, "a", Is::NotEqual, Operand::Version(2)),
            false,
        ),
        (
            "version >",
            when(Of::Version, "a", Is::Greater, Operand::Version(1)),
            true,
        ),
        (
            "version <",
            when(Of::Version, "a", Is::Less, Operand::Version(2)),
            false,
        ),
        (
            "create =",
            when(Of::Create, "a", Is::Equal, Operand::CreateRevision(2)),
            true,
        ),
        (
            "create <",
            when(Of::Create, "c", Is::Less, Operand::CreateRevision(4)),
            false,
        ),
        (
            "mod =",
            when(Of::Mod, "a", Is::Equal, Operand::ModRevision(5)),
            true,
        ),
        (
            "mod >",
            when(Of::Mod, "b", Is::Greater, Operand::ModRevision(3)),
            false,
        ),
        ("value =", when(Of::Value, "c", Is::Equal, value("3")), true),
        (
            "value >",
            when(Of::Value, "c", Is::Greater, value("29")),
            true,
        ),
        (
            "value !=",
            when(Of::Value, "c", Is::NotEqual, value("3")),
            false,
        ),
        (
            "lease =",
            when(Of::Lease, "a", Is::Equal, Operand::Lease(0)),
            true,
        ),
        (
            "lease >",
            when(Of::Lease, "a", Is::Greater, Operand::Lease(0)),
            false,
        ),
        (
            "a missing key has version 0",
            when(Of::Version, "x", Is::Equal, Operand::Version(0)),
            true,
        ),
        (
            "and create revision 0",
            when(Of::Create, "x", Is::Equal, Operand::CreateRevision(0)),
            true,
        ),
        (
            "and mod revision 0",
            when(Of::Mod, "d", Is::Less, Operand::ModRevision(1)),
            true,
        ),
        (
            "and lease 0",
            when(Of::Lease, "x", Is::Equal, Operand::Lease(0)),
            true,
        ),
        (
            "but no value, not even empty",
            when(Of::Value, "x", Is::Equal, value("")),
            false,
        ),
        (
            "nor another",
            when(Of::Value, "x", Is::NotEqual, value("z")),
            false,
        ),
        (
            "all keys of a range",
            ranged(when(Of::Version, "b", Is::Equal, Operand::Version(1)), "\0"),
            true,
        ),
        (
            "not only the first of a range",
            ranged(when(Of::Mod, "b", Is::Equal, Operand::ModRevision(3)), "\0"),
            false,
        ),
        (
            "values of a range",
            ranged(when(Of::Value, "a", Is::NotEqual, value("3")), "c"),
            true,
        ),
        (
            "an empty range counts as one missing key",
            ranged(when(Of::Version, "x", Is::Equal, Operand::Version(0)), "z"),
            true,
        ),
        ("no operand is 0", raw(|c| c.target_union = None), false),
        (
            "another target's operand is 0",
            raw(|c| c.target_union = Some(Operand::ModRevision(2))),
            false,
        ),
        ("an unknown relation holds", raw(|c| c.result = 9), true),
        ("an unknown target is equal", raw(|c| c.target = 9), true),
    ];
    let mut bench = bench();
    for (what, compare, want) in cases {
        // Both as a read and as a write, which is the same revision later.
        for write in [false, true] {
            let ops: Vec<RequestOp> = if write {
                vec![del("nothing", "").op()]
            } else {
                vec![get("nothing", "").op()]
            };
            let req = txn(vec![compare.clone()], ops.clone(), ops);
            let said = bench.say(Request::Txn(req));
            let branch = if want { "7: then" } else { "7: else" };
            assert!(said.starts_with(branch), "{what}: {said}");
        }
    }
    let holds = when(Of::Version, "a", Is::Equal, Operand::Version(2));
    let fails = when(Of::Version, "b", Is::Equal, Operand::Version(2));
    for (compares, want) in [
        (vec![], "7: then"),
        (vec![holds.clone(), fails.clone()], "7: else"),
        (vec![fails, holds], "7: else"),
    ] {
        let said = bench.say(Request::Txn(txn(compares, vec![], vec![])));
        assert!(said.starts_with(want), "{said}");
    }
}

#[test]
fn a_transaction_is_one_revision_and_sees_its_own_writes() {
    let mut bench = bench();
    let mut prev = put("a", "3");
    prev.prev_kv = true;
    let req = txn(
        vec![],
        vec![
            get("\0", "\0").op(),
            prev.op(),
            get("a", "").op(),
            del("b", "").op(),
            put("e", "1").op(),
            get("\0", "\0").op(),
            RangeRequest {
                revision: 7,
                ..get("b", "")
            }
            .op(),
        ],
        vec![],
    );
    assert_eq!(
        bench.say(Request::Txn(req)),
        "8: then {7: [a=2(2,5,2) b=1(3,3,1) c=3(4,4,1)] of 3; 8: put over a=2(2,5,2); \
         8: [a=3(2,8,3)] of 1; 8: deleted 1; 8: put; \
         8: [a=3(2,8,3) c=3(4,4,1) e=1(8,8,1)] of 3; 8: [b=1(3,3,1)] of 1}"
    );
    let nothing = txn(vec![], vec![del("x", "").op(), get("a", "").op()], vec![]);
    assert_eq!(
        bench.say(Request::Txn(nothing)),
        "8: then {8: deleted 0; 8: [a=3(2,8,3)] of 1}"
    );
}

#[test]
fn nested_compares_see_the_store_as_it_was_before() {
    let mut bench = bench();
    let inner = txn(
        vec![when(Of::Value, "a", Is::Equal, Operand::Value(bytes("2")))],
        vec![put("in", "then").op()],
        vec![put("in", "else").op()],
    );
    let req = txn(
        vec![],
        vec![put("a", "changed").op(), inner.op(), get("in", "").op()],
        vec![],
    );
    assert_eq!(
        bench.say(Request::Txn(req)),
        "8: then {8: put; 0: then {8: put}; 8: [in=then(8,8,1)] of 1}"
    );
}

#[test]
fn a_transaction_that_cannot_be_executed_writes_nothing() {
    let ranged = |revision: i64| RangeRequest {
        revision,
        ..get("a", "")
    };
    let mut lease = put("y", "1");
    lease.lease = 5;
    let mut keep = put("x", "");
    keep.ignore_value = true;
    let mut keep_deleted = put("a", "");
    keep_deleted.ignore_value = true;
    let cases = [
        (
            "a future range after a put",
            vec![put("p", "1").op(), ranged(8).op()],
            FUTURE,
        ),
        (
            "nested, after a put",
            vec![
                put("p", "1").op(),
                txn(vec![], vec![ranged(99).op()], vec![]).op(),
            ],
            FUTURE,
        ),
        (
            "far below 0",
            vec![put("p", "1").op(), ranged(-2).op()],
            COMPACTED,
        ),
        (
            "an unknown lease",
            vec![put("p", "1").op(), lease.op()],
            LEASE_NOT_FOUND,
        ),
        (
            "ignore_value of nothing",
            vec![put("p", "1").op(), keep.op()],
            KEY_NOT_FOUND,
        ),
        (
            "ignore_value of what was just deleted",
            vec![del("a", "\0").op(), keep_deleted.op()],
            KEY_NOT_FOUND,
        ),
    ];
    let mut bench = bench();
    for (what, ops, want) in cases {
        assert_eq!(
            bench.say(Request::Txn(txn(vec![], ops, vec![]))),
            want,
            "{what}"
        );
        assert_eq!(
            bench.say(Request::Range(get("\0", "\0"))),
            "7: [a=2(2,5,2) b=1(3,3,1) c=3(4,4,1)] of 3",
            "{what}"
        );
    }
    // What is not taken is not checked.
    let req = txn(vec![], vec![put("p", "1").op()], vec![ranged(99).op()]);
    assert_eq!(bench.say(Request::Txn(req)), "8: then {8: put}");
}

#[test]
fn what_no_state_can_make_sense_of_never_reaches_raft() {
    let puts =
        |n: usize| -> Vec<RequestOp> { (0..n).map(|i| put(&format!("k{i}"), "").op()).collect() };
    let only = |ops: Vec<RequestOp>| txn(vec![], ops, vec![]);
    let nested = |ops: Vec<RequestOp>| only(ops).op();
    let deep = |levels: usize| {
        let mut req = only(puts(1));
        for _ in 1..levels {
            req = only(vec![req.op()]);
        }
        req
    };
    let compares = vec![when(Of::Version, "a", Is::Equal, Operand::Version(0)); 129];
    let no_key = when(Of::Version, "", Is::Equal, Operand::Version(0));
    let fine = "then";
    let cases = [
        ("128 operations", only(puts(128)), fine),
        ("129 operations", only(puts(129)), TOO_MANY_OPS),
        (
            "129 in the branch not taken",
            txn(vec![], vec![], puts(129)),
            TOO_MANY_OPS,
        ),
        ("129 compares", txn(compares, vec![], vec![]), TOO_MANY_OPS),
        ("128 below one", only(vec![nested(puts(128))]), TOO_MANY_OPS),
        ("127 below one", only(vec![nested(puts(127))]), fine),
        ("32 levels", deep(32), fine),
        ("33 levels", deep(33), TOO_MANY_OPS),
        (
            "an empty key in a compare",
            txn(vec![no_key], vec![], vec![]),
            EMPTY_KEY,
        ),
        (
            "an empty key in a put",
            only(vec![put("", "v").op()]),
            EMPTY_KEY,
        ),
        (
            "an empty key, nested",
            only(vec![nested(vec![get("", "").op()])]),
            EMPTY_KEY,
        ),
        (
            "no operation at all",
            only(vec![RequestOp::default()]),
            KEY_NOT_FOUND,
        ),
        (
            "two puts of a key",
            only(vec![put("k", "1").op(), put("k", "2").op()]),
            DUPLICATE_KEY,
        ),
        (
            "a put before its deletion",
            only(vec![put("k", "1").op(), del("k", "").op()]),
            DUPLICATE_KEY,
        ),
        (
            "and after it",
            only(vec![del("j", "l").op(), put("k", "1").op()]),
            DUPLICATE_KEY,
        ),
        (
            "a put beside a deletion",
            only(vec![del("j", "k").op(), put("k", "1").op()]),
            fine,
        ),
        (
            "two deletions",
            only(vec![del("k", "").op(), del("j", "l").op()]),
            fine,
        ),
        (
            "in the branch not taken",
            txn(vec![], vec![], vec![put("k", "1").op(), put("k", "2").op()]),
            DUPLICATE_KEY,
        ),
        (
            "one put in each branch",
            txn(vec![], vec![put("k", "1").op()], vec![put("k", "2").op()]),
            fine,
        ),
        (
            "one put in each nested branch",
            only(vec![
                txn(vec![], vec![put("k", "1").op()], vec![put("k", "2").op()]).op(),
            ]),
            fine,
        ),
        (
            "a put in two nested transactions",
            only(vec![
                nested(vec![put("k", "1").op()]),
                nested(vec![put("k", "2").op()]),
            ]),
            DUPLICATE_KEY,
        ),
        (
            "a put above and below",
            only(vec![nested(vec![put("k", "1").op()]), put("k", "2").op()]),
            DUPLICATE_KEY,
        ),
        (
            "a put above, deleted below",
            only(vec![nested(vec![del("k", "").op()]), put("k", "2").op()]),
            DUPLICATE_KEY,
        ),
        (
            "a put below, deleted above",
            only(vec![nested(vec![put("k", "1").op()]), del("k", "").op()]),
            DUPLICATE_KEY,
        ),
        (
            "from a key on, as etcd has it",
            only(vec![del("a", "\0").op(), put("k", "1").op()]),
            fine,
        ),
    ];
    for (what, req, want) in cases {
        let mut bench = bench();
        let before = bench.index;
        let said = bench.say(Request::Txn(req));
        if want == fine {
            assert!(said.contains(": then {"), "{what}: {said}");
        } else {
            assert_eq!(said, want, "{what}");
            assert_eq!(bench.index, before, "{what}: it reached the log");
        }
    }
}

#[test]
fn a_request_beyond_the_size_limit_is_refused() {
    let mut bench = bench();
    let before = bench.index;
    let big = put("big", &"v".repeat(3 << 19));
    let status = bench.call(Request::Put(big)).unwrap_err();
    assert_eq!(status.code, Code::InvalidArgument);
    assert_eq!(status.message, "etcdserver: request is too large");
    assert_eq!(bench.index, before);
    bench
        .call(Request::Put(put("big", &"v".repeat((3 << 19) - 100))))
        .unwrap();
}

#[test]
fn hash_kv_covers_history_up_to_a_revision() {
    let mut bench = bench();
    let now = bench.hash(0).unwrap();
    assert_eq!((now.hash_revision, now.compact_revision), (7, -1));
    assert_eq!(bench.hash(7).unwrap().hash, now.hash);
    assert_ne!(bench.hash(6).unwrap().hash, now.hash);
    assert_eq!(bench.hash(8).unwrap_err().to_string(), FUTURE);
    bench.say(Request::Put(put("a", "4")));
    assert_eq!(
        bench.hash(7).unwrap().hash,
        now.hash,
        "history is immutable"
    );
    assert_ne!(bench.hash(0).unwrap().hash, now.hash);
}

/// The numbers are what etcd 3.4.23 answers after the same calls.
#[test]
fn the_hash_is_etcds_own() {
    let mut bench = bench();
    let mut hashes = vec![bench.hash(0).unwrap().hash];
    let only = |ops: Vec<RequestOp>| Request::Txn(txn(vec![], ops, vec![]));
    bench.say(only(vec![
        put("a", "3").op(),
        del("b", "").op(),
        put("e", "1").op(),
    ]));
    let inner = txn(
        vec![when(Of::Value, "a", Is::Equal, Operand::Value(bytes("3")))],
        vec![put("in", "then").op()],
        vec![],
    );
    bench.say(only(vec![put("a", "changed").op(), inner.op()]));
    bench.say(Request::Put(put("q", "1")));
    assert_eq!(
        bench.say(only(vec![del("a", "\0").op(), put("k", "1").op()])),
        "11: then {11: deleted 5; 11: put}"
    );
    assert_eq!(
        bench.say(Request::Range(get("\0", "\0"))),
        "11: [k=1(11,11,1)] of 1"
    );
    hashes.push(bench.hash(0).unwrap().hash);
    assert_eq!(
        bench.say(only(vec![put("k", "2").op(), del("a", "\0").op()])),
        "12: then {12: put; 12: deleted 1}"
    );
    assert_eq!(bench.say(Request::Range(get("\0", "\0"))), "12: [] of 0");
    hashes.push(bench.hash(0).unwrap().hash);
    assert_eq!(hashes, [3_868_159_821, 2_195_102_931, 3_401_767_825]);
}

#[test]
fn headers_and_status_say_who_answers() {
    use squall_api::{Input, LaneMsg};
    let mut bench = bench();
    let leader = LaneMsg::Leader { term: 4, leader: 2 };
    let Response::Status(status) = bench.call(Request::Status(pb::StatusRequest {})).unwrap()
    else {
        panic!("another answer");
    };
    assert_eq!(status.errors, ["etcdserver: no leader"]);
    bench.step(Input::Lane(leader)).unwrap();
    for req in [Request::Range(get("a", "")), Request::Put(put("a", "5"))] {
        let resp = bench.call(req).unwrap();
        let header = resp.header().unwrap();
        assert_eq!(
            (header.cluster_id, header.member_id, header.raft_term),
            (0xc1, 1, 4)
        );
    }
    let Response::Status(status) = bench.call(Request::Status(pb::StatusRequest {})).unwrap()
    else {
        panic!("another answer");
    };
    assert_eq!((status.leader, status.raft_term), (2, 4));
    assert_eq!((status.raft_applied_index, status.raft_index), (7, 7));
    assert!(status.errors.is_empty());
    assert!(status.db_size >= status.db_size_in_use && status.db_size_in_use > 0);
}
