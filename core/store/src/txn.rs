//! Executing writes and transactions.
//!
//! A transaction is decided before it is executed: all compares, nested ones
//! too, see the store as it was before, and so do the checks that can make it
//! fail. What comes after cannot fail, so no transaction leaves half its
//! effects behind.

use crate::error::{Failed, Refusal};
use crate::index::Span;
use crate::lease::Lessor;
use crate::mvcc::Mvcc;
use crate::range::range;
use squall_api::Bug;
use squall_api::pb::compare::{CompareResult, CompareTarget, TargetUnion};
use squall_api::pb::request_op::Request as Op;
use squall_api::pb::response_op::Response as OpResponse;
use squall_api::pb::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest, PutResponse,
    RangeRequest, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
};
use std::cmp::Ordering;

/// Whether a transaction only ranges: it needs no log entry then. A nested
/// transaction counts as a write, as in etcd.
pub(crate) fn is_read_only(txn: &TxnRequest) -> bool {
    all_ops(txn).all(|op| matches!(op.request, Some(Op::RequestRange(_))))
}

/// Whether a read-only transaction is content with what this member has
/// applied. One that only compares is not: nothing in it says so.
pub(crate) fn is_serializable(txn: &TxnRequest) -> bool {
    let mut ranges = all_ops(txn).peekable();
    ranges.peek().is_some()
        && ranges
            .all(|op| matches!(&op.request, Some(Op::RequestRange(range)) if range.serializable))
}

/// Applies a put, as a transaction of its own that the caller ends.
pub(crate) fn put(
    store: &mut Mvcc,
    lessor: &Lessor,
    req: PutRequest,
) -> Result<PutResponse, Failed> {
    lessor.check(req.lease)?;
    let may_create = store.has(Bug::IgnoreValueCreates);
    if (req.ignore_value || req.ignore_lease) && !may_create && !exists(store, &req.key) {
        return Err(Refusal::KeyNotFound.into());
    }
    Ok(execute_put(store, req)?)
}

/// Applies a deletion, as a transaction of its own that the caller ends.
pub(crate) fn delete_range(
    store: &mut Mvcc,
    req: &DeleteRangeRequest,
) -> Result<DeleteRangeResponse, Failed> {
    let deleted = execute_delete(store, req)?;
    if deleted.deleted == 0 && store.has(Bug::EmptyDeleteTakesRevision) {
        store.skip_revision();
    }
    Ok(deleted)
}

/// Applies a transaction that the caller ends. On an error it had no effect.
pub(crate) fn txn(
    store: &mut Mvcc,
    lessor: &Lessor,
    req: TxnRequest,
) -> Result<TxnResponse, Failed> {
    let taken = decide(store, req)?;
    if !store.has(Bug::FailedTxnKeepsPuts) {
        Feasible::of(lessor).check(store, &taken)?;
    }
    let mut resp = execute(store, taken)?;
    resp.header = header(store.current_revision());
    Ok(resp)
}

/// A planted bug: the transaction as the store decides it now, with a compare
/// that cannot come out otherwise later.
pub(crate) fn decide_early(store: &Mvcc, txn: &mut TxnRequest) -> Result<(), Failed> {
    let mut holds_all = true;
    for compare in &txn.compare {
        holds_all &= holds(store, compare)?;
    }
    let never = Compare {
        result: CompareResult::Less as i32,
        target: CompareTarget::Version as i32,
        key: bytes::Bytes::from_static(b"\0"),
        target_union: Some(TargetUnion::Version(0)),
        ..Compare::default()
    };
    txn.compare = if holds_all { vec![] } else { vec![never] };
    Ok(())
}

/// Answers a read-only transaction.
pub(crate) fn read_only_txn(
    store: &Mvcc,
    lessor: &Lessor,
    req: TxnRequest,
) -> Result<TxnResponse, Failed> {
    let taken = decide(store, req)?;
    Feasible::of(lessor).check(store, &taken)?;
    let mut resp = TxnResponse {
        header: header(store.current_revision()),
        succeeded: taken.succeeded,
        responses: Vec::with_capacity(taken.ops.len()),
    };
    for op in &taken.ops {
        match op {
            TakenOp::Range(req) => {
                let range = OpResponse::ResponseRange(range(store, req)?);
                resp.responses.push(response_op(range));
            }
            other => panic!("a read-only transaction has {other:?}"),
        }
    }
    Ok(resp)
}

/// Takes from a transaction what only its answer needs: on a member where
/// nobody waits for it, that would be reading for nothing. What remains has the
/// same effects, and fails in the same cases.
pub(crate) fn strip_reads(txn: &mut TxnRequest) {
    for op in txn.success.iter_mut().chain(&mut txn.failure) {
        match &mut op.request {
            Some(Op::RequestRange(range)) => {
                *range = RangeRequest {
                    key: std::mem::take(&mut range.key),
                    revision: range.revision,
                    count_only: true,
                    ..RangeRequest::default()
                };
            }
            Some(Op::RequestPut(put)) => put.prev_kv = false,
            Some(Op::RequestDeleteRange(delete)) => delete.prev_kv = false,
            Some(Op::RequestTxn(txn)) => strip_reads(txn),
            None => {}
        }
    }
}

/// A transaction whose compares were evaluated.
#[derive(Debug)]
struct Taken {
    succeeded: bool,
    ops: Vec<TakenOp>,
}

/// An operation of the branch that is taken.
#[derive(Debug)]
enum TakenOp {
    Range(RangeRequest),
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(Taken),
}

fn all_ops(txn: &TxnRequest) -> impl Iterator<Item = &RequestOp> {
    txn.success.iter().chain(&txn.failure)
}

fn decide(store: &Mvcc, req: TxnRequest) -> Result<Taken, Failed> {
    let mut succeeded = true;
    for compare in &req.compare {
        if !holds(store, compare)? {
            succeeded = false;
            break;
        }
    }
    let branch = if succeeded { req.success } else { req.failure };
    let mut ops = Vec::with_capacity(branch.len());
    for op in branch {
        ops.push(match op.request {
            Some(Op::RequestRange(req)) => TakenOp::Range(req),
            Some(Op::RequestPut(req)) => TakenOp::Put(req),
            Some(Op::RequestDeleteRange(req)) => TakenOp::Delete(req),
            Some(Op::RequestTxn(req)) => TakenOp::Txn(decide(store, req)?),
            None => return Err(Refusal::KeyNotFound.into()),
        });
    }
    Ok(Taken { succeeded, ops })
}

/// Whether a compare holds for every key of its range.
fn holds(store: &Mvcc, compare: &Compare) -> Result<bool, Failed> {
    let span = Span::new(&compare.key, &compare.range_end);
    let index_knows = !matches!(
        CompareTarget::try_from(compare.target),
        Ok(CompareTarget::Value | CompareTarget::Lease)
    );
    let mut any = false;
    for (_, visible) in store.visible(span, store.current_revision()) {
        any = true;
        let kv = if index_knows {
            KeyValue {
                version: visible.version,
                create_revision: visible.create_revision,
                mod_revision: visible.modified.main,
                ..KeyValue::default()
            }
        } else {
            store.read(visible)?
        };
        if !holds_for(compare, &kv) {
            return Ok(false);
        }
    }
    // A key that is not there has no value, not even an empty one. All its
    // numbers are 0.
    let has_value = store.has(Bug::MissingKeyHasValue);
    Ok(any
        || (has_value || compare.target != CompareTarget::Value as i32)
            && holds_for(compare, &KeyValue::default()))
}

/// A missing operand is 0 or empty; unknown targets are equal, and an unknown
/// relation holds, as in etcd.
fn holds_for(compare: &Compare, kv: &KeyValue) -> bool {
    let union = compare.target_union.as_ref();
    let number = |actual: i64, wanted: Option<i64>| actual.cmp(&wanted.unwrap_or(0));
    let ordering = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Version) => number(
            kv.version,
            union.and_then(|u| match u {
                TargetUnion::Version(v) => Some(*v),
                _ => None,
            }),
        ),
        Ok(CompareTarget::Create) => number(
            kv.create_revision,
            union.and_then(|u| match u {
                TargetUnion::CreateRevision(v) => Some(*v),
                _ => None,
            }),
        ),
        Ok(CompareTarget::Mod) => number(
            kv.mod_revision,
            union.and_then(|u| match u {
                TargetUnion::ModRevision(v) => Some(*v),
                _ => None,
            }),
        ),
        Ok(CompareTarget::Lease) => number(
            kv.lease,
            union.and_then(|u| match u {
                TargetUnion::Lease(v) => Some(*v),
                _ => None,
            }),
        ),
        Ok(CompareTarget::Value) => match union {
            Some(TargetUnion::Value(value)) => kv.value.cmp(value),
            _ => kv.value[..].cmp(&[]),
        },
        Err(_) => Ordering::Equal,
    };
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering.is_eq(),
        Ok(CompareResult::NotEqual) => ordering.is_ne(),
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        Err(_) => true,
    }
}

/// Checks, against the store as it is, that what is taken can be executed.
struct Feasible<'a> {
    lessor: &'a Lessor,
    /// What earlier operations will have deleted.
    deleted: Vec<Span<'a>>,
}

impl<'a> Feasible<'a> {
    fn of(lessor: &'a Lessor) -> Feasible<'a> {
        Feasible {
            lessor,
            deleted: Vec::new(),
        }
    }

    fn check(&mut self, store: &Mvcc, taken: &'a Taken) -> Result<(), Refusal> {
        for op in &taken.ops {
            match op {
                TakenOp::Range(req) => check_range_revision(store, req.revision)?,
                TakenOp::Put(req) => {
                    let gone = || self.deleted.iter().any(|span| span.contains(&req.key));
                    if (req.ignore_value || req.ignore_lease)
                        && (gone() || !exists(store, &req.key))
                    {
                        return Err(Refusal::KeyNotFound);
                    }
                    self.lessor.check(req.lease)?;
                }
                TakenOp::Delete(req) => self.deleted.push(Span::new(&req.key, &req.range_end)),
                TakenOp::Txn(taken) => self.check(store, taken)?,
            }
        }
        Ok(())
    }
}

/// Unlike a range of its own, one in a transaction may not name a revision far
/// below 0 for the current one: that is etcd's.
fn check_range_revision(store: &Mvcc, named: i64) -> Result<(), Refusal> {
    if named != 0 && named < store.compact_revision() {
        return Err(Refusal::Compacted);
    }
    store.resolve_revision(named).map(|_| ())
}

fn exists(store: &Mvcc, key: &[u8]) -> bool {
    let mut found = store.visible(Span::One(key), store.current_revision());
    found.next().is_some()
}

fn execute(store: &mut Mvcc, taken: Taken) -> Result<TxnResponse, Failed> {
    let mut responses = Vec::with_capacity(taken.ops.len());
    for op in taken.ops {
        responses.push(response_op(match op {
            TakenOp::Range(mut req) => {
                if store.has(Bug::TxnReadsBefore) && req.revision == 0 {
                    req.revision = store.revision_before();
                }
                OpResponse::ResponseRange(range(store, &req)?)
            }
            TakenOp::Put(req) => OpResponse::ResponsePut(execute_put(store, req)?),
            TakenOp::Delete(req) => OpResponse::ResponseDeleteRange(execute_delete(store, &req)?),
            TakenOp::Txn(taken) => OpResponse::ResponseTxn(execute(store, taken)?),
        }));
        if store.has(Bug::TxnSplitsRevisions) {
            store.end_txn();
        }
    }
    Ok(TxnResponse {
        // As in etcd, a nested transaction's header is there and empty.
        header: header(0),
        succeeded: taken.succeeded,
        responses,
    })
}

fn execute_put(store: &mut Mvcc, req: PutRequest) -> Result<PutResponse, squall_api::Fatal> {
    let mut previous = if req.ignore_value || req.ignore_lease || req.prev_kv {
        store.get(&req.key)?
    } else {
        None
    };
    let (mut value, mut lease) = (req.value, req.lease);
    if let Some(previous) = &previous {
        if req.ignore_value {
            value = previous.value.clone();
        }
        if req.ignore_lease {
            lease = previous.lease;
        }
    }
    let revision = store.put(&req.key, value, lease);
    if req.prev_kv && previous.is_some() && store.has(Bug::PrevIsNew) {
        previous = store.get(&req.key)?;
    }
    Ok(PutResponse {
        header: header(revision),
        prev_kv: previous.filter(|_| req.prev_kv),
    })
}

fn execute_delete(
    store: &mut Mvcc,
    req: &DeleteRangeRequest,
) -> Result<DeleteRangeResponse, squall_api::Fatal> {
    let span = Span::new(&req.key, &req.range_end);
    let prev_kvs = if req.prev_kv {
        store.get_span(span)?
    } else {
        Vec::new()
    };
    let deleted = store.delete(span);
    Ok(DeleteRangeResponse {
        header: header(store.current_revision()),
        deleted,
        prev_kvs,
    })
}

fn response_op(response: OpResponse) -> ResponseOp {
    ResponseOp {
        response: Some(response),
    }
}

/// The lane fills in the rest of a top-level answer's header.
fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}
