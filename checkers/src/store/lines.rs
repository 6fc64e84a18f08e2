//! Locks and elections, told in terms of keys.
//!
//! Their calls are made of transactions: to join a line, to leave it, to change
//! a value. So they need nothing of their own in the specification either: a history
//! with them is judged as the same history with such transactions. Whether and when
//! each part was applied no answer says, so each is of unknown outcome; the order
//! that the host of the store saw tells. What is lost with this is judged elsewhere
//! ([`line`](crate::line)).

use crate::line::Place;
use crate::linearizable::Applied;
use bytes::Bytes;
use squall_api::pb::compare::{CompareResult, CompareTarget, TargetUnion};
use squall_api::pb::{self, request_op::Request as SubRequest};
use squall_api::{ElectionRequest, LockRequest};
use squall_record::{Call, Op, Outcome, Why};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// A history without locks and elections, and who was applied when.
pub(crate) struct Told<'a> {
    pub(crate) history: Cow<'a, [Op]>,
    pub(crate) applied: Option<Cow<'a, [Applied]>>,
    /// Operations that nobody called.
    pub(crate) added: u64,
}

/// Tells a history and what its host saw in terms of keys.
pub(crate) fn told<'a>(history: &'a [Op], applied: Option<&'a [Applied]>) -> Told<'a> {
    let is_of_line = |op: &Op| matches!(op.call, Call::Lock(_) | Call::Election(_));
    if !history.iter().any(is_of_line) {
        return Told {
            history: Cow::Borrowed(history),
            applied: applied.map(Cow::Borrowed),
            added: 0,
        };
    }
    let mut ops = history.to_vec();
    let mut next = history.iter().map(|op| op.id).max().unwrap_or(0) + 1;
    let mut second = BTreeMap::new();
    for (i, op) in history.iter().enumerate() {
        if matches!(op.outcome, Outcome::Refused(_)) {
            continue;
        }
        let Some((call, then)) = parts(&op.call) else {
            continue;
        };
        let told = |id, call| Op {
            id,
            call,
            ret: None,
            outcome: Outcome::Unknown(Why::RunEnded),
            ..op.clone()
        };
        if let Some(then) = then {
            second.insert(op.id, next);
            ops.push(Op {
                client: u32::MAX,
                process: u32::MAX,
                ..told(next, then)
            });
            next += 1;
        }
        ops[i] = told(op.id, call);
    }
    let added = (ops.len() - history.len()) as u64;
    let applied = applied.map(|applied| {
        let mut applied = applied.to_vec();
        let mut seen = BTreeSet::new();
        for entry in &mut applied {
            if let Some(op) = entry.op
                && !seen.insert(op)
            {
                entry.op = second.remove(&op);
            }
        }
        Cow::Owned(applied)
    });
    Told {
        history: Cow::Owned(ops),
        applied,
        added,
    }
}

/// What a call does first, and what it may do then: who gave up leaves the line.
fn parts(call: &Call) -> Option<(Call, Option<Call>)> {
    Some(match call {
        Call::Lock(LockRequest::Lock(r)) if r.lease != 0 => {
            let place = Place::new(&r.name, r.lease);
            let join = join(&place, Bytes::new());
            (join, Some(Call::DeleteRange(delete(&place.key))))
        }
        Call::Lock(LockRequest::Unlock(r)) => (Call::DeleteRange(delete(&r.key)), None),
        Call::Election(ElectionRequest::Campaign(r)) if r.lease != 0 => {
            let place = Place::new(&r.name, r.lease);
            let join = join(&place, r.value.clone());
            (join, Some(Call::DeleteRange(delete(&place.key))))
        }
        Call::Election(ElectionRequest::Proclaim(r)) => {
            let leader = r.leader.as_ref()?;
            let put = put(&leader.key, r.value.clone(), leader.lease);
            (guarded(&leader.key, leader.rev, put), None)
        }
        Call::Election(ElectionRequest::Resign(r)) => {
            let leader = r.leader.as_ref()?;
            let delete = SubRequest::RequestDeleteRange(delete(&leader.key));
            (guarded(&leader.key, leader.rev, delete), None)
        }
        _ => return None,
    })
}

fn join(place: &Place, value: Bytes) -> Call {
    guarded(&place.key, 0, put(&place.key, value, place.lease))
}

fn put(key: &Bytes, value: Bytes, lease: i64) -> SubRequest {
    SubRequest::RequestPut(pb::PutRequest {
        key: key.clone(),
        value,
        lease,
        ..pb::PutRequest::default()
    })
}

fn delete(key: &Bytes) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest {
        key: key.clone(),
        ..pb::DeleteRangeRequest::default()
    }
}

/// Does `then` if the key was created at `revision`; at 0: if it is not there.
fn guarded(key: &Bytes, revision: i64, then: SubRequest) -> Call {
    Call::Txn(pb::TxnRequest {
        compare: vec![pb::Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Create.into(),
            key: key.clone(),
            range_end: Bytes::new(),
            target_union: Some(TargetUnion::CreateRevision(revision)),
        }],
        success: vec![pb::RequestOp {
            request: Some(then),
        }],
        failure: Vec::new(),
    })
}
