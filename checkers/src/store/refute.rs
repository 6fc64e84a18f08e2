//! The kernel that checks *broken*: it takes a violation that somebody found, and
//! shows it again from the answers themselves, without any search.
//!
//! Each rule below holds in every order of the operations, whatever those of
//! unknown outcome did. A violation that none of them shows may still be one; then
//! the complete search confirms it, on a part that is small enough ([`core`]).
//!
//! [`core`]: super::core

use super::agree::agree;
use super::model::{FIRST_REVISION, State, within};
use super::mvcc::{Seen, visit_puts};
use super::timeline::{is_kv, is_same_kind, is_serializable, may_write, says_it_wrote_op};
use super::violation::Violation;
use bytes::Bytes;
use squall_api::pb::{self, KeyValue};
use squall_record::{Call, Op, Outcome, Ret};
use std::collections::BTreeMap;

use pb::request_op::Request as SubRequest;
use pb::response_op::Response as SubResponse;

/// Whether one of the rules shows a violation again.
pub(crate) fn confirms(history: &[Op], violation: &Violation) -> bool {
    let op = |index: &u32| &history[*index as usize];
    match violation {
        Violation::NoRevision { op: i } => revision(op(i)).is_some_and(|r| r < FIRST_REVISION),
        Violation::Reused { first, second, .. } => {
            let (a, b) = (op(first), op(second));
            let both = first != second && says_it_wrote_op(a) && says_it_wrote_op(b);
            both && revision(a) == revision(b)
        }
        Violation::Backwards { early, late } => {
            let (a, b) = (op(early), op(late));
            let before = a.ret.is_some_and(|ret| ret < b.invoke) && !is_serializable(&b.call);
            match (revision(a), revision(b)) {
                (Some(first), Some(second)) if before => {
                    second < first || second == first && says_it_wrote_op(b)
                }
                _ => false,
            }
        }
        Violation::Skipped { revision, .. } => lacks_writers(history, *revision),
        Violation::Phantom { op: i, .. } => {
            let mut phantom = false;
            visit_shown(op(i), &mut |kv, _| {
                let revisions = [kv.mod_revision, kv.create_revision];
                phantom |= revisions
                    .iter()
                    .any(|at| !may_have_been_put(history, kv, *at, *i));
            });
            phantom || is_contradicted(history, *i)
        }
        Violation::Wrong { op, .. } | Violation::NotRefused { op, .. } => {
            is_contradicted(history, *op) || is_wrong_in_any_case(history, *op).unwrap_or(false)
        }
        Violation::WrongKind { op: i } => {
            let op = op(i);
            matches!(&op.outcome, Outcome::Ok(ret) if is_kv(&op.call) && !is_same_kind(&op.call, ret))
        }
        Violation::Unplaced { .. } => false,
    }
}

/// The revision in an answer's header; 0 if there is none.
fn revision(op: &Op) -> Option<i64> {
    match &op.outcome {
        Outcome::Ok(ret) => Some(ret.header().map_or(0, |h| h.revision)),
        Outcome::Unknown(_) | Outcome::Refused(_) => None,
    }
}

/// The revision of the state that an operation found.
fn found(op: &Op) -> Option<i64> {
    Some(revision(op)? - i64::from(says_it_wrote_op(op)))
}

/// Every revision up to one was taken by an operation of its own: by those that
/// say so, and by others of unknown outcome, which were sent before any answer
/// from then on came.
fn lacks_writers(history: &[Op], upto: i64) -> bool {
    let mut claimed = 0;
    let mut deadline = u64::MAX;
    for op in history {
        let Some(at) = revision(op) else { continue };
        if at >= upto {
            deadline = deadline.min(op.ret.unwrap_or(u64::MAX));
        }
        claimed += i64::from(says_it_wrote_op(op) && at > FIRST_REVISION && at <= upto);
    }
    let others = history
        .iter()
        .filter(|op| is_unsure(op) && op.invoke <= deadline);
    deadline < u64::MAX && claimed + (others.count() as i64) < upto - FIRST_REVISION
}

fn is_unsure(op: &Op) -> bool {
    matches!(op.outcome, Outcome::Unknown(_)) && may_write(&op.call)
}

/// Whether another answer contradicts what an answer shows.
fn is_contradicted(history: &[Op], op: u32) -> bool {
    let suspect = &history[op as usize];
    let Some(at) = found(suspect) else {
        return false;
    };
    let mut shown: Vec<(&KeyValue, bool)> = Vec::new();
    visit_shown(suspect, &mut |kv, past| shown.push((kv, past)));
    let contradicts = |other: &Op| {
        let written = revision(other).filter(|_| says_it_wrote_op(other));
        shown.iter().any(|(kv, past)| {
            written.is_some_and(|revision| {
                // It was overwritten before, or is not what was written there.
                let overwritten = !past && kv.mod_revision < revision && revision <= at;
                overwritten && last_write(other, &kv.key).is_some()
                    || kv.mod_revision == revision && !is_put_by(other, kv)
            })
        }) || differs(other, &shown)
    };
    (0..)
        .zip(history)
        .any(|(i, other)| i != op && contradicts(other))
}

/// Whether an answer shows the same version of a key otherwise.
fn differs(other: &Op, shown: &[(&KeyValue, bool)]) -> bool {
    let mut differs = false;
    visit_shown(other, &mut |b, _| {
        differs |= shown.iter().any(|(a, _)| {
            (a.mod_revision, &a.key) == (b.mod_revision, &b.key)
                && (a.create_revision, a.version) != (b.create_revision, b.version)
        });
    });
    differs
}

/// The last thing that an acknowledged write did to a key, if it names it alone:
/// a put, or else a delete.
fn last_write<'a>(op: &'a Op, key: &[u8]) -> Option<Option<&'a pb::PutRequest>> {
    let mut last = None;
    visit_writes(op, &mut |start, end, put| {
        if end.is_empty() && start == key {
            last = Some(put);
        }
    });
    last
}

fn is_put_by(op: &Op, kv: &KeyValue) -> bool {
    // A read of keys alone shows no value.
    let same =
        |put: &pb::PutRequest| put.ignore_value || kv.value.is_empty() || put.value == kv.value;
    matches!(last_write(op, &kv.key), Some(Some(put)) if same(put))
}

/// Whether anybody may have put what is shown, at a revision.
fn may_have_been_put(history: &[Op], kv: &KeyValue, at: i64, told: u32) -> bool {
    let deadline = history[told as usize].ret.unwrap_or(u64::MAX);
    let claimed = history
        .iter()
        .find(|op| revision(op) == Some(at) && says_it_wrote_op(op));
    let puts = |op: &Op| {
        let mut puts = false;
        visit_puts(&op.call, &mut |put| {
            let same = at != kv.mod_revision || kv.value.is_empty() || put.value == kv.value;
            puts |= put.key == kv.key && (put.ignore_value || same);
        });
        puts
    };
    match claimed {
        Some(op) => puts(op),
        None => history
            .iter()
            .any(|op| is_unsure(op) && op.invoke <= deadline && puts(op)),
    }
}

/// Whether an answer is wrong whatever the others of unknown outcome did, because
/// none of them writes a key that its call names: then acknowledged writes alone
/// say what it should have been. None if one of them may.
fn is_wrong_in_any_case(history: &[Op], op: u32) -> Option<bool> {
    let suspect = &history[op as usize];
    let Outcome::Ok(got) = &suspect.outcome else {
        return None;
    };
    let at = found(suspect)?;
    let mut seen = Seen::default();
    seen.call(&suspect.call);
    let concerns = |op: &Op| {
        let mut other = Seen::default();
        other.call(&op.call);
        let meets = |a: &(&[u8], &[u8])| {
            let mut intervals = seen.intervals.iter();
            intervals.any(|b| within(a.0, a.1, b.0) || within(b.0, b.1, a.0))
        };
        other.intervals.iter().any(meets)
    };
    let in_time = |op: &&Op| op.invoke <= suspect.ret.unwrap_or(u64::MAX);
    if history
        .iter()
        .filter(in_time)
        .any(|op| is_unsure(op) && concerns(op))
    {
        return None;
    }
    let is_before = |op: &&Op| revision(op).is_some_and(|r| r <= at) && says_it_wrote_op(op);
    let mut writes: Vec<&Op> = history
        .iter()
        .filter(is_before)
        .filter(|op| concerns(op))
        .collect();
    writes.sort_by_key(|op| revision(op));
    let mut newest: BTreeMap<Bytes, KeyValue> = BTreeMap::new();
    let mut state = State::at_revision(at);
    for op in writes {
        let main = revision(op)?;
        visit_writes(op, &mut |start, end, put| {
            let keys: Vec<Bytes> = match put {
                Some(put) => vec![put.key.clone()],
                None => {
                    let there = newest.iter().filter(|(_, kv)| kv.version > 0);
                    let there = there.filter(|(key, _)| within(start, end, key));
                    there.map(|(key, _)| key.clone()).collect()
                }
            };
            for key in keys {
                let before = newest.get(&key).filter(|kv| kv.version > 0);
                let kv = written(key.clone(), put, before, main);
                newest.insert(key, kv.clone());
                state.insert(kv);
            }
        });
    }
    let expected = state.answer(&suspect.call);
    Some(expected.is_err() || agree(&suspect.call, &expected.ok()?, got).is_err())
}

/// What a put (or else a delete) at a revision makes of a key.
fn written(
    key: Bytes,
    put: Option<&pb::PutRequest>,
    before: Option<&KeyValue>,
    main: i64,
) -> KeyValue {
    let Some(put) = put else {
        return KeyValue {
            key,
            mod_revision: main,
            ..KeyValue::default()
        };
    };
    KeyValue {
        key,
        mod_revision: main,
        create_revision: before.map_or(main, |kv| kv.create_revision),
        version: before.map_or(0, |kv| kv.version) + 1,
        value: match before {
            Some(before) if put.ignore_value => before.value.clone(),
            _ => put.value.clone(),
        },
        lease: match before {
            Some(before) if put.ignore_lease => before.lease,
            _ => put.lease,
        },
    }
}

/// One thing that an operation asked for, and what it was answered.
enum Part<'a> {
    Range(&'a pb::RangeRequest, &'a pb::RangeResponse),
    Put(&'a pb::PutRequest, Option<&'a KeyValue>),
    Delete(&'a pb::DeleteRangeRequest, &'a pb::DeleteRangeResponse),
}

/// Calls `f` for every part of an answered operation that was done, in order.
fn visit_parts<'a>(op: &'a Op, f: &mut impl FnMut(Part<'a>)) {
    fn txn<'a>(call: &'a pb::TxnRequest, got: &'a pb::TxnResponse, f: &mut impl FnMut(Part<'a>)) {
        let branch = if got.succeeded {
            &call.success
        } else {
            &call.failure
        };
        for (call, got) in branch.iter().zip(&got.responses) {
            match (&call.request, &got.response) {
                (Some(SubRequest::RequestRange(r)), Some(SubResponse::ResponseRange(got))) => {
                    f(Part::Range(r, got));
                }
                (Some(SubRequest::RequestPut(r)), Some(SubResponse::ResponsePut(got))) => {
                    f(Part::Put(r, got.prev_kv.as_ref()));
                }
                (
                    Some(SubRequest::RequestDeleteRange(r)),
                    Some(SubResponse::ResponseDeleteRange(got)),
                ) => f(Part::Delete(r, got)),
                (Some(SubRequest::RequestTxn(r)), Some(SubResponse::ResponseTxn(got))) => {
                    txn(r, got, f);
                }
                _ => {}
            }
        }
    }
    match (&op.call, &op.outcome) {
        (Call::Range(r), Outcome::Ok(Ret::Range(got))) => f(Part::Range(r, got)),
        (Call::Put(r), Outcome::Ok(Ret::Put(got))) => f(Part::Put(r, got.prev_kv.as_ref())),
        (Call::DeleteRange(r), Outcome::Ok(Ret::DeleteRange(got))) => f(Part::Delete(r, got)),
        (Call::Txn(r), Outcome::Ok(Ret::Txn(got))) => txn(r, got, f),
        _ => {}
    }
}

/// Calls `f` for every version that an answer shows, and whether it was read at
/// an earlier revision.
fn visit_shown<'a>(op: &'a Op, f: &mut impl FnMut(&'a KeyValue, bool)) {
    visit_parts(op, &mut |part| match part {
        Part::Range(r, got) => got.kvs.iter().for_each(|kv| f(kv, r.revision > 0)),
        Part::Put(_, before) => before.into_iter().for_each(|kv| f(kv, false)),
        Part::Delete(_, got) => got.prev_kvs.iter().for_each(|kv| f(kv, false)),
    });
}

/// What an acknowledged call wrote, in order: intervals of keys, each with the put
/// that was made, or else deleted.
fn visit_writes<'a>(
    op: &'a Op,
    f: &mut impl FnMut(&'a [u8], &'a [u8], Option<&'a pb::PutRequest>),
) {
    visit_parts(op, &mut |part| match part {
        Part::Put(put, _) => f(&put.key, &[], Some(put)),
        Part::Delete(d, got) if got.deleted > 0 => f(&d.key, &d.range_end, None),
        Part::Range(..) | Part::Delete(..) => {}
    });
}
