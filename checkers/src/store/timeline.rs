//! A history in the order that its own revisions force.
//!
//! Every effective mutation takes exactly one revision, and every answer but a
//! stale one carries the revision at its linearization point. So the order of
//! answers with different revisions is known, and among equal ones the mutator
//! comes first. What is left to find out is who took the revisions that no
//! answer claims.

use super::violation::Violation;
use squall_api::pb;
use squall_record::{Call, Op, Outcome, Ret};

use pb::request_op::Request as SubRequest;
use pb::response_op::Response as SubResponse;

/// An operation whose outcome is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its index in the history.
    pub(crate) op: u32,
    /// The revision in its answer's header.
    pub(crate) revision: i64,
    /// Whether its answer says that it changed something.
    pub(crate) wrote: bool,
    /// No earlier linearization point; 0 for serializable reads, which may see
    /// any state of the past.
    pub(crate) invoke: u64,
    /// No later linearization point.
    pub(crate) ret: u64,
}

/// An operation whose outcome is unknown and which may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsure {
    /// Its index in the history.
    pub(crate) op: u32,
    /// It cannot have been applied before; it may be at any time after.
    pub(crate) invoke: u64,
}

/// A history, sorted by what is known.
#[derive(Debug)]
pub(crate) struct Timeline<'a> {
    /// The whole history.
    pub(crate) ops: &'a [Op],
    /// By revision, mutators before readers, then by invocation.
    pub(crate) known: Vec<Known>,
    /// By invocation.
    pub(crate) unsure: Vec<Unsure>,
    /// Operations of unknown outcome, those that only read among them.
    pub(crate) unknown: u64,
}

impl<'a> Timeline<'a> {
    /// Sorts a history; fails if an answer carries no revision, or is the
    /// answer to another kind of call.
    pub(crate) fn new(ops: &'a [Op]) -> Result<Timeline<'a>, Violation> {
        let mut known = Vec::with_capacity(ops.len());
        let mut unsure = Vec::new();
        let mut unknown = 0;
        for (i, op) in ops.iter().enumerate() {
            if !is_kv(&op.call) {
                continue;
            }
            let i = i as u32;
            match &op.outcome {
                Outcome::Ok(ret) => known.push(place(op, ret, i)?),
                Outcome::Unknown(_) => {
                    unknown += 1;
                    if may_write(&op.call) {
                        let invoke = op.invoke;
                        unsure.push(Unsure { op: i, invoke });
                    }
                }
                Outcome::Refused(_) => {}
            }
        }
        let known = by_revision(known);
        unsure.sort_unstable_by_key(|u| (u.invoke, u.op));
        Ok(Timeline {
            ops,
            known,
            unsure,
            unknown,
        })
    }

    /// How many operations are judged.
    pub(crate) fn judged(&self) -> u64 {
        self.known.len() as u64 + self.unknown
    }

    /// Whether real time and the order of revisions contradict each other, or
    /// two mutators share a revision.
    pub(crate) fn check_order(&self) -> Result<(), Violation> {
        // The latest invocation among everything strictly before a position.
        let mut latest: Option<Known> = None;
        let mut i = 0;
        while i < self.known.len() {
            let revision = self.known[i].revision;
            let end = i + self.known[i..].partition_point(|k| k.revision == revision);
            let writers = self.known[i..end].partition_point(|k| k.wrote);
            if writers > 1 {
                return Err(Violation::Reused {
                    first: self.known[i].op,
                    second: self.known[i + 1].op,
                    revision,
                });
            }
            let after = |k: &Known, latest: Option<Known>| match latest {
                Some(l) if k.ret < l.invoke => Err(Violation::Backwards {
                    early: k.op,
                    late: l.op,
                }),
                _ => Ok(()),
            };
            let later = |a: Option<Known>, b: &Known| match a {
                Some(a) if a.invoke >= b.invoke => Some(a),
                _ => Some(*b),
            };
            if writers == 1 {
                after(&self.known[i], latest)?;
                latest = later(latest, &self.known[i]);
            }
            let readers = &self.known[i + writers..end];
            let mut next = latest;
            for reader in readers {
                after(reader, latest)?;
                next = later(next, reader);
            }
            latest = next;
            i = end;
        }
        Ok(())
    }
}

/// Sorts by revision, mutators before readers, then by invocation.
fn by_revision(mut known: Vec<Known>) -> Vec<Known> {
    let order = |k: &Known| (!k.wrote, k.invoke, k.op);
    let last = known.iter().map(|k| k.revision).max().unwrap_or(0);
    if last as u64 > 4 * known.len() as u64 {
        known.sort_unstable_by_key(|k| (k.revision, order(k)));
        return known;
    }
    // Revisions are dense, unless somebody lies: each has its place.
    let mut starts = vec![0u32; last as usize + 2];
    for k in &known {
        starts[k.revision as usize + 1] += 1;
    }
    for i in 1..starts.len() {
        starts[i] += starts[i - 1];
    }
    let mut next = starts.clone();
    let mut sorted = known.clone();
    for k in &known {
        let at = &mut next[k.revision as usize];
        sorted[*at as usize] = *k;
        *at += 1;
    }
    for range in starts.windows(2) {
        sorted[range[0] as usize..range[1] as usize].sort_unstable_by_key(order);
    }
    sorted
}

fn place(op: &Op, ret: &Ret, index: u32) -> Result<Known, Violation> {
    if !is_same_kind(&op.call, ret) {
        return Err(Violation::WrongKind { op: index });
    }
    let revision = ret.header().map_or(0, |h| h.revision);
    if revision < super::model::FIRST_REVISION {
        return Err(Violation::NoRevision { op: index });
    }
    Ok(Known {
        op: index,
        revision,
        wrote: says_it_wrote(ret),
        invoke: if is_serializable(&op.call) {
            0
        } else {
            op.invoke
        },
        ret: op.ret.unwrap_or(u64::MAX).max(op.invoke),
    })
}

/// Whether an answer is one to that kind of call.
pub(crate) const fn is_same_kind(call: &Call, ret: &Ret) -> bool {
    matches!(
        (call, ret),
        (Call::Range(_), Ret::Range(_))
            | (Call::Put(_), Ret::Put(_))
            | (Call::DeleteRange(_), Ret::DeleteRange(_))
            | (Call::Txn(_), Ret::Txn(_))
    )
}

/// Whether a call belongs to the key-value service.
pub(crate) const fn is_kv(call: &Call) -> bool {
    matches!(
        call,
        Call::Range(_) | Call::Put(_) | Call::DeleteRange(_) | Call::Txn(_)
    )
}

/// Whether a call can change anything.
pub(crate) fn may_write(call: &Call) -> bool {
    match call {
        Call::Put(_) | Call::DeleteRange(_) => true,
        Call::Txn(txn) => txn_may_write(txn),
        _ => false,
    }
}

fn txn_may_write(txn: &pb::TxnRequest) -> bool {
    let writes = |op: &pb::RequestOp| match &op.request {
        Some(SubRequest::RequestPut(_) | SubRequest::RequestDeleteRange(_)) => true,
        Some(SubRequest::RequestTxn(nested)) => txn_may_write(nested),
        Some(SubRequest::RequestRange(_)) | None => false,
    };
    txn.success.iter().chain(&txn.failure).any(writes)
}

/// Whether a call asks for any state of the past, as etcd decides it: a
/// serializable range, or a transaction of nothing else.
pub(crate) fn is_serializable(call: &Call) -> bool {
    match call {
        Call::Range(r) => r.serializable,
        Call::Txn(txn) => {
            txn.success.iter().chain(&txn.failure).all(
                |op| matches!(&op.request, Some(SubRequest::RequestRange(r)) if r.serializable),
            )
        }
        _ => false,
    }
}

/// Whether an operation was answered, and the answer says that it changed
/// something.
pub(crate) fn says_it_wrote_op(op: &Op) -> bool {
    matches!(&op.outcome, Outcome::Ok(ret) if says_it_wrote(ret))
}

/// Whether an answer says that its call changed something.
fn says_it_wrote(ret: &Ret) -> bool {
    match ret {
        Ret::Put(_) => true,
        Ret::DeleteRange(r) => r.deleted > 0,
        Ret::Txn(txn) => txn_says_it_wrote(txn),
        _ => false,
    }
}

fn txn_says_it_wrote(txn: &pb::TxnResponse) -> bool {
    txn.responses.iter().any(|op| match &op.response {
        Some(SubResponse::ResponsePut(_)) => true,
        Some(SubResponse::ResponseDeleteRange(r)) => r.deleted > 0,
        Some(SubResponse::ResponseTxn(nested)) => txn_says_it_wrote(nested),
        Some(SubResponse::ResponseRange(_)) | None => false,
    })
}
