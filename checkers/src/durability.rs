//! Durability: what was acknowledged is in every replica at the end.
//!
//! Judged per key, by revision alone and so in linear time: the acknowledged
//! write or delete with the highest revision must be there, or something newer.
//! It needs no total order of the history, and holds even where that cannot be
//! found.

mod range;

use crate::replicas::{Replica, holds, show};
use crate::store::lines;
use bytes::Bytes;
use range::{ByRange, KeyRange};
use squall_api::pb::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, RequestOp, ResponseOp, TxnRequest,
    TxnResponse, request_op::Request, response_op::Response,
};
use squall_record::{Call, Check, Fact, Op, Outcome, Reason, Ret, Verdict, Witness, seconds};
use std::collections::BTreeMap;

const GUARANTEE: &str = "an acknowledged write is in every later state of every member";

/// Compares every replica with what was acknowledged in `history`. Locks and
/// elections delete keys, too: those may be gone.
pub fn check(history: &[Op], finals: &[Replica]) -> Check {
    let lines = lines::told(history, None);
    let acked = Acknowledged {
        unknown: history.iter().filter(|op| is_open_write(op)).count() as u64,
        ..Acknowledged::of(&lines.history)
    };
    let verdict = if finals.is_empty() {
        Verdict::Unknown(Reason::TooLittle("no replica to judge".into()))
    } else if acked.mutations == 0 {
        Verdict::Unknown(Reason::TooLittle("no write was acknowledged".into()))
    } else {
        match finals.iter().find_map(|replica| acked.lost_in(replica)) {
            Some(witness) => Verdict::Fail(Box::new(witness)),
            None => Verdict::Pass {
                judged: acked.mutations,
                unknown: acked.unknown,
            },
        }
    };
    Check {
        name: "durability".into(),
        verdict,
    }
}

/// An acknowledged put: the operation, and what it wrote at which revision.
#[derive(Debug, Clone, Copy)]
struct Written<'a> {
    op: &'a Op,
    put: &'a PutRequest,
    revision: i64,
}

/// An acknowledged delete that removed something.
#[derive(Debug, Clone, Copy)]
struct Deleted<'a> {
    op: &'a Op,
    revision: i64,
}

/// The newest acknowledged mutations.
#[derive(Debug, Default)]
struct Acknowledged<'a> {
    puts: BTreeMap<&'a Bytes, Written<'a>>,
    deletes: ByRange<Deleted<'a>>,
    /// Ranges whose keys an operation of unknown outcome may have deleted.
    maybe_deleted: ByRange<()>,
    newest: Option<(i64, &'a Op)>,
    mutations: u64,
    /// Writes of unknown outcome.
    unknown: u64,
}

impl<'a> Acknowledged<'a> {
    fn of(history: &'a [Op]) -> Acknowledged<'a> {
        let mut acked = Acknowledged::default();
        for op in history {
            match (&op.call, &op.outcome) {
                (Call::Put(put), Outcome::Ok(ret @ Ret::Put(_))) => {
                    acked.put(op, put, revision(ret));
                }
                (Call::DeleteRange(delete), Outcome::Ok(ret @ Ret::DeleteRange(response))) => {
                    acked.delete(op, delete, response, revision(ret));
                }
                (Call::Txn(txn), Outcome::Ok(ret @ Ret::Txn(response))) => {
                    acked.txn(op, txn, response, revision(ret));
                }
                (Call::DeleteRange(delete), Outcome::Unknown(_)) => {
                    acked.maybe_deleted.entry(KeyRange::of(delete)).or_default();
                }
                (Call::Txn(txn), Outcome::Unknown(_)) => acked.maybe_txn(txn),
                _ => {}
            }
        }
        acked
    }

    fn mutation(&mut self, op: &'a Op, revision: i64) {
        self.mutations += 1;
        if self.newest.is_none_or(|(newest, _)| newest < revision) {
            self.newest = Some((revision, op));
        }
    }

    fn put(&mut self, op: &'a Op, put: &'a PutRequest, revision: i64) {
        self.mutation(op, revision);
        let written = Written { op, put, revision };
        let newest = self.puts.entry(&put.key).or_insert(written);
        // At equal revisions the later one of a transaction counts.
        if newest.revision <= revision {
            *newest = written;
        }
    }

    fn delete(
        &mut self,
        op: &'a Op,
        delete: &DeleteRangeRequest,
        response: &DeleteRangeResponse,
        revision: i64,
    ) {
        // A delete of nothing takes no revision, and leaves nothing to keep.
        if response.deleted == 0 {
            return;
        }
        self.mutation(op, revision);
        let deleted = Deleted { op, revision };
        let newest = self.deletes.entry(KeyRange::of(delete)).or_insert(deleted);
        if newest.revision < revision {
            *newest = deleted;
        }
    }

    /// All of a transaction's writes, nested ones too, have its one revision.
    fn txn(&mut self, op: &'a Op, txn: &'a TxnRequest, response: &TxnResponse, revision: i64) {
        let ran = if response.succeeded {
            &txn.success
        } else {
            &txn.failure
        };
        for (request, response) in ran.iter().zip(&response.responses) {
            match parts(request, response) {
                (Some(Request::RequestPut(put)), Some(Response::ResponsePut(_))) => {
                    self.put(op, put, revision);
                }
                (
                    Some(Request::RequestDeleteRange(delete)),
                    Some(Response::ResponseDeleteRange(response)),
                ) => self.delete(op, delete, response, revision),
                (Some(Request::RequestTxn(txn)), Some(Response::ResponseTxn(response))) => {
                    self.txn(op, txn, response, revision);
                }
                _ => {}
            }
        }
    }

    fn maybe_txn(&mut self, txn: &TxnRequest) {
        for request in txn.success.iter().chain(&txn.failure) {
            match &request.request {
                Some(Request::RequestDeleteRange(delete)) => {
                    self.maybe_deleted.entry(KeyRange::of(delete)).or_default();
                }
                Some(Request::RequestTxn(txn)) => self.maybe_txn(txn),
                _ => {}
            }
        }
    }

    fn lost_in(&self, replica: &Replica) -> Option<Witness> {
        let kvs = replica.by_key();
        for (key, written) in &self.puts {
            let kv = kvs.get(*key).copied();
            let class = match kv {
                None if self.may_be_gone(key, written) => continue,
                None => "write-lost",
                Some(kv) if kv.mod_revision < written.revision => "write-lost",
                Some(kv) if kv.mod_revision > written.revision => continue,
                Some(kv) if written.put.ignore_value || kv.value == written.put.value => continue,
                Some(_) => "value-differs",
            };
            let what = if written.put.ignore_value {
                format!("the put to key {}", key.escape_ascii())
            } else {
                format!(
                    "the put of {} to key {}",
                    show(&written.put.value),
                    key.escape_ascii()
                )
            };
            let holds = format!("n{} holds {} there", replica.member, holds(kv));
            return Some(lost(
                class,
                replica,
                written.op,
                written.revision,
                &what,
                &holds,
            ));
        }
        for (range, deleted) in self.deletes.iter() {
            // What is there after a delete was created after it; a put of the
            // same transaction has the same revision.
            let left = kvs
                .range::<Bytes, _>(&range.start..)
                .take_while(|(key, _)| range.contains(key))
                .find(|(_, kv)| kv.create_revision < deleted.revision);
            if let Some((key, kv)) = left {
                let what = format!("the delete of {range}");
                let holds = format!(
                    "n{} still holds {} at key {}",
                    replica.member,
                    holds(Some(kv)),
                    key.escape_ascii()
                );
                let (op, revision) = (deleted.op, deleted.revision);
                return Some(lost("delete-undone", replica, op, revision, &what, &holds));
            }
        }
        let (newest, op) = self.newest?;
        (replica.revision < newest).then(|| {
            let holds = format!("n{} is at revision {}", replica.member, replica.revision);
            lost("revision-went-back", replica, op, newest, "a write", &holds)
        })
    }

    /// Whether something later than `written` may have removed `key`.
    fn may_be_gone(&self, key: &Bytes, written: &Written<'_>) -> bool {
        // A key with a lease goes with it.
        written.put.lease != 0
            || written.put.ignore_lease
            || self.maybe_deleted.covering(key).next().is_some()
            || self
                .deletes
                .covering(key)
                .any(|deleted| deleted.revision >= written.revision)
    }
}

fn is_open_write(op: &Op) -> bool {
    let writes = matches!(op.call, Call::Put(_) | Call::DeleteRange(_) | Call::Txn(_));
    writes && matches!(op.outcome, Outcome::Unknown(_))
}

fn parts<'a, 'b>(
    request: &'a RequestOp,
    response: &'b ResponseOp,
) -> (Option<&'a Request>, Option<&'b Response>) {
    (request.request.as_ref(), response.response.as_ref())
}

fn revision(ret: &Ret) -> i64 {
    ret.header().map_or(0, |header| header.revision)
}

fn lost(
    class: &str,
    replica: &Replica,
    op: &Op,
    revision: i64,
    what: &str,
    holds: &str,
) -> Witness {
    let acked = op.ret.unwrap_or(op.invoke);
    Witness {
        guarantee: GUARANTEE.into(),
        sentence: format!(
            "{what} was acknowledged at revision {revision} (op {}, n{}, {}), but {holds}",
            op.id,
            op.member,
            seconds(acked)
        ),
        t: acked,
        node: Some(replica.member),
        ops: vec![op.clone()],
        facts: vec![
            Fact::new(
                format!("op {}", op.id),
                format!(
                    "acknowledged at revision {revision} by n{} at {}",
                    op.member,
                    seconds(acked)
                ),
            ),
            Fact::new(
                format!("n{}", replica.member),
                format!(
                    "at the end: revision {}, {} keys; {holds}",
                    replica.revision,
                    replica.kvs.len()
                ),
            ),
        ],
        class: class.into(),
    }
}

#[cfg(test)]
mod tests;
