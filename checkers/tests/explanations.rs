//! What people read when a store broke its promise.

mod histories;

use histories::{Store, get, header, put};
use squall_api::pb;
use squall_checkers::linearizable::{Budget, check};
use squall_record::{Call, Op, Outcome, Ret, Verdict};

fn told(history: &[Op]) -> String {
    let report = check(history, None, Budget::default());
    let Verdict::Fail(witness) = report.verdict else {
        panic!("{report:#?}");
    };
    let mut text = format!("{}\nclass: {}\n", witness.sentence, witness.class);
    for fact in &witness.facts {
        text += &format!("  {}: {}\n", fact.subject, fact.text);
    }
    text
}

#[test]
fn a_stale_read() {
    let mut store = Store::default();
    store.put(13_000, 13_100, "k7", "old", 2);
    store.put(13_500, 13_871, "k7", "new", 3);
    store.ok(14_203, 14_210, get("k7"), 2, &[("k7", "old", 2, 2, 1)]);
    insta::assert_snapshot!(told(&store.ops));
}

#[test]
fn a_lost_write() {
    let mut store = Store::default();
    store.put(100, 110, "k7", "old", 2);
    store.put(200, 210, "k7", "new", 3);
    store.ok(300, 310, get("k7"), 3, &[("k7", "old", 2, 2, 1)]);
    insta::assert_snapshot!(told(&store.ops));
}

#[test]
fn a_revision_used_twice() {
    let mut store = Store::default();
    store.put(100, 110, "a", "1", 2);
    store.put(200, 210, "b", "2", 2);
    insta::assert_snapshot!(told(&store.ops));
}

#[test]
fn a_phantom_value() {
    let mut store = Store::default();
    store.put(100, 110, "a", "1", 2);
    store.unknown(120, put("b", "2"));
    store.ok(200, 210, get("a"), 3, &[("a", "3", 2, 3, 2)]);
    insta::assert_snapshot!(told(&store.ops));
}

#[test]
fn a_key_that_comes_back() {
    let mut store = Store::default();
    store.put(100, 110, "a", "1", 2);
    let delete = Call::DeleteRange(pb::DeleteRangeRequest {
        key: "a".into(),
        ..pb::DeleteRangeRequest::default()
    });
    let deleted = Ret::DeleteRange(pb::DeleteRangeResponse {
        header: header(3),
        deleted: 1,
        prev_kvs: Vec::new(),
    });
    store.push(200, Some(210), delete, Outcome::Ok(deleted));
    store.ok(300, 310, get("a"), 3, &[("a", "1", 2, 2, 1)]);
    insta::assert_snapshot!(told(&store.ops));
}

#[test]
fn a_revision_that_nobody_took() {
    let mut store = Store::default();
    store.put(100, 110, "a", "1", 2);
    store.put(200, 210, "a", "2", 5);
    store.unknown(300, put("a", "late"));
    insta::assert_snapshot!(told(&store.ops));
}

#[test]
fn a_transaction_that_took_the_wrong_branch() {
    let mut store = Store::default();
    store.put(100, 110, "lock", "me", 2);
    let absent = pb::Compare {
        target: pb::compare::CompareTarget::Create as i32,
        key: "lock".into(),
        target_union: Some(pb::compare::TargetUnion::CreateRevision(0)),
        ..pb::Compare::default()
    };
    let take = pb::RequestOp {
        request: Some(pb::request_op::Request::RequestPut(pb::PutRequest {
            key: "lock".into(),
            value: "you".into(),
            ..pb::PutRequest::default()
        })),
    };
    let taken = pb::ResponseOp {
        response: Some(pb::response_op::Response::ResponsePut(pb::PutResponse {
            header: header(3),
            prev_kv: None,
        })),
    };
    store.push(
        200,
        Some(210),
        Call::Txn(pb::TxnRequest {
            compare: vec![absent],
            success: vec![take],
            failure: Vec::new(),
        }),
        Outcome::Ok(Ret::Txn(pb::TxnResponse {
            header: header(3),
            succeeded: true,
            responses: vec![taken],
        })),
    );
    insta::assert_snapshot!(told(&store.ops));
}
