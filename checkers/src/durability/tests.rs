//! Every rule, a line a case. Operations, separated by `;`, are numbered from
//! 0 and acknowledged at the revision after `@` (`@?`: outcome unknown,
//! `@!`: refused):
//!
//! * `put k v @5`, `put-lease k v @5`, `touch k @5` (a put that ignores the value);
//! * `del k @5`, `del a..c @5`, `del a.. @5` (from key), `del .. @5` (all keys);
//!   `none` after the revision: nothing was deleted; `unlock k @5`;
//! * `then [ops] else [ops] @5 yes`: a transaction, and which branch ran; its
//!   operations are separated by `,` and may be transactions in `{}`.
//!
//! A replica is its revision and its keys: `9 k=v@5 l=w@3..7` (created at 3,
//! modified at 7).

use super::*;
use squall_api::pb::v3lockpb::{UnlockRequest, UnlockResponse};
use squall_api::pb::{DeleteRangeResponse, KeyValue, PutResponse, ResponseHeader, TxnResponse};
use squall_api::{LockRequest, LockResponse};
use squall_record::{Code, Status, Why};

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..Default::default()
    })
}

fn put(words: &[&str]) -> Option<PutRequest> {
    let (lease, key, value, ignore_value) = match *words {
        ["put", key, value] => (0, key, value, false),
        ["put-lease", key, value] => (7, key, value, false),
        ["touch", key] => (0, key, "", true),
        _ => return None,
    };
    Some(PutRequest {
        key: bytes(key),
        value: bytes(value),
        lease,
        ignore_value,
        ..Default::default()
    })
}

fn delete(words: &[&str]) -> Option<DeleteRangeRequest> {
    let ["del", keys, ..] = *words else {
        return None;
    };
    let (key, range_end) = match keys.split_once("..") {
        None => (keys, ""),
        Some((key, "")) => (key, "\0"),
        Some((key, end)) => (key, end),
    };
    Some(DeleteRangeRequest {
        key: bytes(key),
        range_end: bytes(range_end),
        ..Default::default()
    })
}

fn branch(text: &str) -> Vec<(RequestOp, ResponseOp)> {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    let mut ops = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = match rest.strip_prefix('{') {
            Some(_) => rest.find('}').expect("a closing brace") + 1,
            None => rest.find(',').unwrap_or(rest.len()),
        };
        let (op, tail) = rest.split_at(end);
        rest = tail.trim_start_matches(',').trim();
        let words: Vec<&str> = op.split_whitespace().collect();
        let (request, response) = if op.starts_with('{') {
            let nested = op.trim_start_matches('{').trim_end_matches('}');
            let (request, response) = txn(nested);
            (
                Request::RequestTxn(request),
                Response::ResponseTxn(response),
            )
        } else if let Some(put) = put(&words) {
            (
                Request::RequestPut(put),
                Response::ResponsePut(PutResponse::default()),
            )
        } else {
            let deleted = i64::from(!words.contains(&"none"));
            let response = DeleteRangeResponse {
                deleted,
                ..Default::default()
            };
            let request = delete(&words).expect("a put, a delete or a transaction");
            (
                Request::RequestDeleteRange(request),
                Response::ResponseDeleteRange(response),
            )
        };
        ops.push((
            RequestOp {
                request: Some(request),
            },
            ResponseOp {
                response: Some(response),
            },
        ));
    }
    ops
}

/// `then <ops> else <ops> yes|no`; nested ones have `/` for `,`.
fn txn(text: &str) -> (TxnRequest, TxnResponse) {
    let text = text.trim().replace('/', ",");
    let succeeded = !text.ends_with("no");
    let text = text.trim_end_matches("yes").trim_end_matches("no");
    let text = text.strip_prefix("then").expect("then");
    let (then, otherwise) = text.rsplit_once("else").expect("else");
    let (then, otherwise) = (branch(then), branch(otherwise));
    let ran = if succeeded { &then } else { &otherwise };
    let responses = ran.iter().map(|(_, response)| response.clone()).collect();
    let requests = |ops: Vec<(RequestOp, ResponseOp)>| ops.into_iter().map(|(r, _)| r).collect();
    let response = TxnResponse {
        header: None,
        succeeded,
        responses,
    };
    let request = TxnRequest {
        compare: Vec::new(),
        success: requests(then),
        failure: requests(otherwise),
    };
    (request, response)
}

fn op(id: u64, text: &str) -> Op {
    let (what, tail) = text.rsplit_once('@').expect("a revision");
    let tail: Vec<&str> = tail.split_whitespace().collect();
    let revision = tail[0].parse().unwrap_or(0);
    let words: Vec<&str> = what.split_whitespace().collect();
    let (call, ret) = if let Some(put) = put(&words) {
        let ret = Ret::Put(PutResponse {
            header: header(revision),
            prev_kv: None,
        });
        (Call::Put(put), ret)
    } else if let Some(delete) = delete(&words) {
        let ret = Ret::DeleteRange(DeleteRangeResponse {
            header: header(revision),
            deleted: i64::from(!tail.contains(&"none")),
            prev_kvs: Vec::new(),
        });
        (Call::DeleteRange(delete), ret)
    } else if let ["unlock", key] = words[..] {
        let ret = LockResponse::Unlock(UnlockResponse {
            header: header(revision),
        });
        let call = LockRequest::Unlock(UnlockRequest { key: bytes(key) });
        (Call::Lock(call), Ret::Lock(ret))
    } else {
        let (request, mut response) = txn(&format!("{} {}", what.trim(), tail[1..].join(" ")));
        response.header = header(revision);
        (Call::Txn(request), Ret::Txn(response))
    };
    let outcome = match tail[0] {
        "?" => Outcome::Unknown(Why::Timeout),
        "!" => Outcome::Refused(Status::new(Code::InvalidArgument, "no")),
        _ => Outcome::Ok(ret),
    };
    Op {
        token: String::new(),
        id,
        client: 1,
        process: 1,
        member: 2,
        invoke: id * 1_000_000_000,
        ret: Some(id * 1_000_000_000 + 500_000_000),
        call,
        outcome,
    }
}

fn replica(text: &str) -> Replica {
    let mut words = text.split_whitespace();
    let revision = words.next().expect("a revision").parse().expect("a number");
    let kvs = words
        .map(|word| {
            let (key, rest) = word.split_once('=').expect("key=value");
            let (value, at) = rest.split_once('@').expect("value@revision");
            let (create, modified) = at.split_once("..").unwrap_or((at, at));
            KeyValue {
                key: bytes(key),
                value: bytes(value),
                create_revision: create.parse().expect("a revision"),
                mod_revision: modified.parse().expect("a revision"),
                version: 1,
                lease: 0,
            }
        })
        .collect();
    Replica {
        member: 3,
        revision,
        applied_index: 9,
        hash_kv: Some(0),
        kvs,
    }
}

fn judge(history: &str, end: &str) -> Verdict {
    let texts = history.split(';').filter(|text| !text.trim().is_empty());
    let ops: Vec<Op> = texts.zip(0..).map(|(text, id)| op(id, text)).collect();
    let check = check(&ops, &[replica(end)]);
    assert_eq!(check.name, "durability");
    check.verdict
}

#[test]
fn what_was_acknowledged_is_there() {
    let cases = [
        ("the write itself", "put k v @5", "5 k=v@5"),
        ("a newer write", "put k v @5; put k w @6", "6 k=w@5..6"),
        (
            "a newer write of unknown outcome",
            "put k v @5; put k w @?",
            "6 k=w@5..6",
        ),
        (
            "an unknown write is not owed",
            "put k v @5; put k w @?",
            "5 k=v@5",
        ),
        (
            "a refused write is not owed",
            "put k v @5; put k w @!",
            "5 k=v@5",
        ),
        (
            "a write that kept the value",
            "put k v @5; touch k @6",
            "6 k=v@5..6",
        ),
        ("a delete", "put k v @5; del k @6", "6"),
        (
            "a delete, and a newer write",
            "put k v @5; del k @6; put k w @7",
            "7 k=w@7",
        ),
        ("a delete of unknown outcome", "put k v @5; del k @?", "6"),
        (
            "an unknown delete that was not applied",
            "put k v @5; del k @?",
            "5 k=v@5",
        ),
        (
            "an unknown delete in a branch",
            "put k v @5; then [{then [del k] else [] yes}] else [] @? yes",
            "6",
        ),
        (
            "a delete of nothing is not owed",
            "put k v @5; del k @4 none",
            "5 k=v@5",
        ),
        ("a lock that was given up", "put k v @5; unlock k @6", "6"),
        ("a lease may have ended", "put-lease k v @5", "6"),
        ("a range", "put a v @5; put c v @6; del a..c @7", "7 c=v@6"),
        (
            "from a key on",
            "put a v @5; put c v @6; del b.. @7",
            "7 a=v@5",
        ),
        ("every key", "put a v @5; put c v @6; del .. @7", "7"),
        (
            "the branch that ran",
            "then [put k v] else [put k w] @5 yes",
            "5 k=v@5",
        ),
        (
            "the other branch",
            "then [put k v] else [put k w] @5 no",
            "5 k=w@5",
        ),
        (
            "a nested transaction",
            "then [{then [put k v/put l v] else [put m v] yes}] else [] @5 yes",
            "5 k=v@5 l=v@5",
        ),
        (
            "a delete and a put in one transaction",
            "put k v @4; then [del a..z, put k w] else [] @5 yes",
            "5 k=w@5",
        ),
        (
            "a put and a delete in one transaction",
            "then [put k w, del k] else [] @5 yes",
            "5",
        ),
        (
            "a delete of nothing in a transaction",
            "put k v @4; then [del k none, put l v] else [] @5 yes",
            "5 k=v@4 l=v@5",
        ),
    ];
    for (name, history, end) in cases {
        let verdict = judge(history, end);
        assert!(
            matches!(verdict, Verdict::Pass { judged: 1.., .. }),
            "{name}: {verdict:?}"
        );
    }
}

#[test]
fn what_was_acknowledged_is_missing() {
    let cases = [
        ("write-lost", "put k v @5", "5"),
        ("write-lost", "put k v @5; put k w @6", "6 k=v@5"),
        ("write-lost", "put k v @5; put k w @6", "6"),
        ("write-lost", "put k v @5; del k @4", "6"),
        ("write-lost", "put k v @5; del k @!", "6"),
        ("write-lost", "put k v @5; del k2 @?", "6"),
        ("write-lost", "put k v @5; unlock k2 @6", "6"),
        ("write-lost", "put k v @5; touch k @6", "6 k=v@5"),
        ("write-lost", "put b v @5; del b2..c @6", "6"),
        ("write-lost", "put a v @5; del b.. @6", "6"),
        ("write-lost", "put k v @5; put l v @5", "5 l=v@5"),
        (
            "write-lost",
            "then [put k v] else [put l w] @5 no",
            "5 k=v@5",
        ),
        (
            "write-lost",
            "then [{then [put k v] else [put l v] no}] else [] @5 yes",
            "5 k=v@5",
        ),
        ("value-differs", "put k v @5", "5 k=w@5"),
        (
            "value-differs",
            "then [put k v] else [put k w] @5 no",
            "5 k=v@5",
        ),
        ("delete-undone", "del k @6", "6 k=v@5"),
        ("delete-undone", "del k @6", "8 k=w@5..8"),
        ("delete-undone", "del a..c @6", "6 b=v@5"),
        ("delete-undone", "del b.. @6", "6 z=v@5"),
        ("delete-undone", "del .. @6", "6 a=v@5"),
        ("delete-undone", "then [del k] else [] @6 yes", "6 k=v@5"),
        ("revision-went-back", "put k v @5; del k @6", "5"),
        ("revision-went-back", "put-lease k v @5", "4"),
    ];
    for (class, history, end) in cases {
        match judge(history, end) {
            Verdict::Fail(witness) => {
                assert_eq!(witness.class, class, "{history}: {}", witness.sentence);
                assert_eq!(witness.ops.len(), 1, "{history}");
            }
            other => panic!("{history} and {end}: {other:?}"),
        }
    }
}

#[test]
fn sentences() {
    let cases = [
        ("put k v @5", "5"),
        ("put k v @5; put k w @6", "6 k=v@5"),
        ("put k v @5; touch k @6", "6 k=v@5"),
        ("put k v @5", "5 k=w@5"),
        ("del k @6", "8 k=w@5..8"),
        ("del a..c @6", "6 b=v@5"),
        ("del b.. @6", "6 z=v@5"),
        ("put k v @5; del k @6", "5"),
    ];
    let told = cases.map(|(history, end)| match judge(history, end) {
        Verdict::Fail(witness) => witness.sentence,
        other => panic!("{other:?}"),
    });
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn nothing_to_judge_is_not_a_pass() {
    let ops = [op(0, "put k v @5")];
    for verdict in [
        judge("", "5"),
        judge("put k v @?; put k v @!", "5"),
        judge("del k @5 none", "5"),
        check(&ops, &[]).verdict,
    ] {
        assert!(
            matches!(verdict, Verdict::Unknown(Reason::TooLittle(_))),
            "{verdict:?}"
        );
    }
}

#[test]
fn every_replica_is_judged() {
    let ops = [op(0, "put k v @5"), op(1, "put l v @?")];
    let whole = replica("5 k=v@5");
    let mut bare = replica("5");
    let pass = Verdict::Pass {
        judged: 1,
        unknown: 1,
    };
    assert_eq!(check(&ops, &[whole.clone(), whole.clone()]).verdict, pass);
    bare.member = 1;
    match check(&ops, &[whole, bare]).verdict {
        Verdict::Fail(witness) => assert_eq!(witness.node, Some(1)),
        other => panic!("{other:?}"),
    }
}
