//! What is refused before it reaches Raft: requests that no state could make
//! sense of.

use crate::error::Refusal;
use crate::index::Span;
use crate::lease::MAX_TTL;
use crate::range::filters;
use bytes::Bytes;
use squall_api::pb::downgrade_request::DowngradeAction;
use squall_api::pb::range_request::{SortOrder, SortTarget};
use squall_api::pb::request_op;
use squall_api::pb::{
    DeleteRangeRequest, DowngradeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use squall_api::{LeaseRequest, MaintenanceRequest, Request, Version};
use std::collections::BTreeSet;

/// Transactions nested deeper than this are refused as having too many
/// operations. etcd's own bound is `max_txn_ops` levels, which is more than a
/// protobuf reader accepts: the entry would be committed, and unreadable.
const MAX_TXN_DEPTH: usize = 32;

/// Whether `req` may be executed, or why not.
pub(crate) fn check(req: &Request, max_txn_ops: usize) -> Result<(), Refusal> {
    match req {
        Request::Range(range) => check_range(range),
        Request::RangeStream(range) => check_range_stream(range),
        Request::Put(put) => check_put(put),
        Request::DeleteRange(delete) => check_delete(delete),
        Request::Txn(txn) => {
            check_txn(txn, max_txn_ops, MAX_TXN_DEPTH)?;
            Touched::by(&txn.success)?;
            Touched::by(&txn.failure)?;
            Ok(())
        }
        Request::Maintenance(MaintenanceRequest::Downgrade(req)) => check_downgrade(req),
        Request::Compact(_)
        | Request::HashKv(_)
        | Request::Status(_)
        | Request::Cluster(_)
        | Request::Maintenance(_)
        | Request::Watch(_) => Ok(()),
        Request::Lease(LeaseRequest::Grant(grant)) if grant.ttl > MAX_TTL => {
            Err(Refusal::LeaseTtlTooLarge)
        }
        Request::Lease(_) | Request::Auth(_) => Ok(()),
        // What they are made of is checked when the member asks it of itself.
        Request::Lock(_) | Request::Election(_) => Ok(()),
    }
}

fn check_downgrade(req: &DowngradeRequest) -> Result<(), Refusal> {
    match DowngradeAction::try_from(req.action) {
        Ok(DowngradeAction::Cancel) => Ok(()),
        Ok(DowngradeAction::Validate | DowngradeAction::Enable) => {
            let target = req.version.parse::<Version>();
            target.map(|_| ()).map_err(|_| Refusal::NoVersion)
        }
        Err(_) => Err(Refusal::UnknownMethod),
    }
}

fn check_range(req: &RangeRequest) -> Result<(), Refusal> {
    if req.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    if SortOrder::try_from(req.sort_order).is_err()
        || SortTarget::try_from(req.sort_target).is_err()
    {
        return Err(Refusal::InvalidSortOption);
    }
    Ok(())
}

/// What would have to be gathered before it can be sent is no stream.
fn check_range_stream(req: &RangeRequest) -> Result<(), Refusal> {
    check_range(req)?;
    match (req.sort_order(), req.sort_target()) {
        (SortOrder::None, _) | (SortOrder::Ascend, SortTarget::Key) => {}
        _ => return Err(Refusal::SortedStream),
    }
    match filters(req) {
        true => Err(Refusal::FilteredStream),
        false => Ok(()),
    }
}

fn check_put(req: &PutRequest) -> Result<(), Refusal> {
    if req.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    if req.ignore_value && !req.value.is_empty() {
        return Err(Refusal::ValueProvided);
    }
    if req.ignore_lease && req.lease != 0 {
        return Err(Refusal::LeaseProvided);
    }
    Ok(())
}

fn check_delete(req: &DeleteRangeRequest) -> Result<(), Refusal> {
    if req.key.is_empty() {
        return Err(Refusal::EmptyKey);
    }
    Ok(())
}

/// A level may use `max_ops`; what it uses, the levels below it may not.
fn check_txn(txn: &TxnRequest, max_ops: usize, max_depth: usize) -> Result<(), Refusal> {
    let ops = txn
        .compare
        .len()
        .max(txn.success.len())
        .max(txn.failure.len());
    if ops > max_ops || max_depth == 0 {
        return Err(Refusal::TooManyOps);
    }
    if txn.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Refusal::EmptyKey);
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(request_op::Request::RequestRange(req)) => check_range(req)?,
            Some(request_op::Request::RequestPut(req)) => check_put(req)?,
            Some(request_op::Request::RequestDeleteRange(req)) => check_delete(req)?,
            Some(request_op::Request::RequestTxn(txn)) => {
                check_txn(txn, max_ops - ops, max_depth - 1)?;
            }
            None => return Err(Refusal::KeyNotFound),
        }
    }
    Ok(())
}

/// What a list of operations puts and deletes, whichever branches are taken.
/// A key must not be put twice, nor put and deleted by a range.
#[derive(Default)]
struct Touched<'a> {
    puts: BTreeSet<&'a Bytes>,
    deletes: Vec<&'a DeleteRangeRequest>,
}

impl<'a> Touched<'a> {
    /// Deletes of this level first, then what is nested, then its puts: that is
    /// etcd's order, and it decides what counts as a conflict.
    fn by(ops: &'a [RequestOp]) -> Result<Touched<'a>, Refusal> {
        let mut all = Touched::default();
        for op in ops {
            if let Some(request_op::Request::RequestDeleteRange(delete)) = &op.request {
                all.deletes.push(delete);
            }
        }
        for op in ops {
            if let Some(request_op::Request::RequestTxn(txn)) = &op.request {
                let success = Touched::by(&txn.success)?;
                let failure = Touched::by(&txn.failure)?;
                for key in &success.puts {
                    all.put(key)?;
                }
                // Only one of the branches is taken, so both may put a key.
                for key in failure.puts.difference(&success.puts) {
                    all.put(key)?;
                }
                all.deletes.extend(success.deletes);
                all.deletes.extend(failure.deletes);
            }
        }
        for op in ops {
            if let Some(request_op::Request::RequestPut(put)) = &op.request {
                all.put(&put.key)?;
            }
        }
        Ok(all)
    }

    fn put(&mut self, key: &'a Bytes) -> Result<(), Refusal> {
        let deleted = self.deletes.iter().any(|delete| {
            match Span::new(&delete.key, &delete.range_end) {
                // As in etcd, a deletion to the end of the key space takes no
                // part: the put simply comes before or after it.
                Span::From(_) => false,
                span => span.contains(key),
            }
        });
        if deleted || !self.puts.insert(key) {
            return Err(Refusal::DuplicateKey);
        }
        Ok(())
    }
}
