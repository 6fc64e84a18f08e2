//! Leases, told in terms of keys.
//!
//! What ends a lease, its revocation or its expiry, deletes the keys that are
//! attached to it then, all at one revision, and takes none if there are none.
//! That is a transaction: for each key that anybody may have attached to the
//! lease, delete it if its lease is that one. So leases need nothing of their own
//! in the specification: a history with leases is judged as the same history with
//! such transactions.
//!
//! An expiry is nobody's call. It may happen once a grant, at any time after the
//! first put with the lease was sent: a transaction of unknown outcome. An
//! acknowledged revocation is taken for one, too: its answer says at which
//! revision it was applied, but not whether it took that revision. What is lost
//! with this is judged elsewhere ([`lease`](crate::lease)). Both may make the
//! verdict *fine* where it is not, and never the other way round.

use super::mvcc::visit_puts;
use crate::linearizable::Applied;
use bytes::Bytes;
use squall_api::LeaseRequest;
use squall_api::pb::compare::{CompareResult, CompareTarget, TargetUnion};
use squall_api::pb::{self, request_op::Request as SubRequest};
use squall_record::{Call, Op, Outcome, Why};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// A history without leases, and who was applied when.
pub(crate) struct Told<'a> {
    pub(crate) history: Cow<'a, [Op]>,
    pub(crate) applied: Option<Cow<'a, [Applied]>>,
    /// Operations that nobody called.
    pub(crate) added: u64,
}

/// Tells a history and what its host saw in terms of keys.
pub(crate) fn told<'a>(history: &'a [Op], applied: Option<&'a [Applied]>) -> Told<'a> {
    let attached = Attached::of(history);
    if attached.keys.is_empty() {
        return Told {
            history: Cow::Borrowed(history),
            applied: applied.map(Cow::Borrowed),
            added: 0,
        };
    }
    let mut ops = history.to_vec();
    for op in &mut ops {
        if let Call::Lease(LeaseRequest::Revoke(revoke)) = &op.call
            && !matches!(op.outcome, Outcome::Refused(_))
            && let Some((_, keys)) = attached.keys.get(&revoke.id)
        {
            op.call = end_of(revoke.id, keys);
            op.outcome = Outcome::Unknown(Why::RunEnded);
        }
    }
    let mut next = history.iter().map(|op| op.id).max().unwrap_or(0) + 1;
    let mut expiries: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
    for (lease, (since, keys)) in &attached.keys {
        for _ in 0..attached.grants.get(lease).copied().unwrap_or(0) {
            expiries.entry(*lease).or_default().push(next);
            ops.push(Op {
                token: String::new(),
                id: next,
                client: u32::MAX,
                process: u32::MAX,
                member: 0,
                invoke: *since,
                ret: None,
                call: end_of(*lease, keys),
                outcome: Outcome::Unknown(Why::RunEnded),
            });
            next += 1;
        }
    }
    let count = (ops.len() - history.len()) as u64;
    let applied = applied.map(|applied| {
        let mut applied = applied.to_vec();
        for entry in &mut applied {
            if let (None, Some(lease)) = (entry.op, entry.lease) {
                let ids = expiries.get_mut(&lease);
                entry.op = ids.filter(|ids| !ids.is_empty()).map(|ids| ids.remove(0));
            }
        }
        Cow::Owned(applied)
    });
    Told {
        history: Cow::Owned(ops),
        applied,
        added: count,
    }
}

/// Which keys may be attached to which lease.
#[derive(Default)]
struct Attached<'a> {
    /// With the first time that somebody tried.
    keys: BTreeMap<i64, (u64, BTreeSet<&'a Bytes>)>,
    /// How often each lease may have been granted.
    grants: BTreeMap<i64, u64>,
}

impl<'a> Attached<'a> {
    fn of(history: &'a [Op]) -> Attached<'a> {
        let mut attached = Attached::default();
        for op in history {
            if matches!(op.outcome, Outcome::Refused(_)) {
                continue;
            }
            visit_puts(&op.call, &mut |put| {
                if put.lease != 0 {
                    let since = (op.invoke, BTreeSet::new());
                    let (since, keys) = attached.keys.entry(put.lease).or_insert(since);
                    *since = op.invoke.min(*since);
                    keys.insert(&put.key);
                }
            });
            if let Some(id) = crate::lease::granted_id(op) {
                *attached.grants.entry(id).or_default() += 1;
            }
        }
        attached
    }
}

/// The transaction that deletes those of `keys` that are attached to `lease`.
fn end_of(lease: i64, keys: &BTreeSet<&Bytes>) -> Call {
    let nested = |key: &Bytes| pb::TxnRequest {
        compare: vec![pb::Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Lease.into(),
            key: key.clone(),
            range_end: Bytes::new(),
            target_union: Some(TargetUnion::Lease(lease)),
        }],
        success: vec![op(SubRequest::RequestDeleteRange(pb::DeleteRangeRequest {
            key: key.clone(),
            ..pb::DeleteRangeRequest::default()
        }))],
        failure: Vec::new(),
    };
    let each = keys
        .iter()
        .map(|key| op(SubRequest::RequestTxn(nested(key))));
    Call::Txn(pb::TxnRequest {
        compare: Vec::new(),
        success: each.collect(),
        failure: Vec::new(),
    })
}

fn op(request: SubRequest) -> pb::RequestOp {
    pb::RequestOp {
        request: Some(request),
    }
}
