//! Leases and the keys attached to them.

use super::{Leases, granted_id, witness};
use crate::rules::{Found, Judged};
use crate::store::mvcc::visit_puts;
use squall_api::pb::{self, KeyValue, response_op::Response as SubResponse};
use squall_record::{Fact, Op, Outcome, Ret, seconds};
use std::collections::BTreeMap;

/// A lease is granted under an id that is free, and a key is put only with a
/// lease that is there.
pub(super) fn exists(leases: &Leases<'_>) -> Found {
    const GUARANTEE: &str = "an id names one lease at a time, and keys are attached to leases that \
                             exist";
    let mut judged = Judged::default();
    let mut granted: BTreeMap<i64, &Op> = BTreeMap::new();
    for op in leases.history {
        if !matches!(op.outcome, Outcome::Ok(_)) {
            continue;
        }
        if let Some(id) = granted_id(op) {
            judged.sure += 1;
            let ended = leases.leases[&id].ended;
            if let Some(first) = granted.insert(id, op)
                && ended.is_none_or(|end| end.t > op.ret.unwrap_or(u64::MAX))
            {
                let sentence = format!(
                    "lease {id} was granted to op {} and again to op {}, and had not ended",
                    first.id, op.id
                );
                let ops = vec![first, op];
                let t = op.ret.unwrap_or(op.invoke);
                return Err(witness(
                    GUARANTEE,
                    "granted-twice",
                    sentence,
                    t,
                    ops,
                    Vec::new(),
                ));
            }
        }
        let mut broken = None;
        // A transaction puts in one of its branches only: which one, the answer
        // does not say of keys. Plain puts are enough here.
        if !matches!(op.call, squall_record::Call::Put(_)) {
            continue;
        }
        visit_puts(&op.call, &mut |put| {
            if put.lease == 0 {
                return;
            }
            judged.sure += 1;
            let ret = op.ret.unwrap_or(u64::MAX);
            let lease = leases.leases.get(&put.lease);
            let may_exist = lease.is_some_and(|l| l.grants.iter().any(|g| g.invoke <= ret));
            let ended = leases.one(put.lease).and_then(|lease| lease.ended);
            broken = match ended {
                _ if !may_exist => Some((put, "nobody had been granted".to_owned())),
                Some(end) if end.t < op.invoke => {
                    Some((put, format!("had ended at {}", seconds(end.t))))
                }
                _ => return,
            };
        });
        if let Some((put, why)) = broken {
            let sentence = format!(
                "op {}, sent at {}, put key {} with lease {}, which {why}",
                op.id,
                seconds(op.invoke),
                put.key.escape_ascii(),
                put.lease
            );
            let t = op.ret.unwrap_or(op.invoke);
            return Err(witness(
                GUARANTEE,
                "unknown-lease",
                sentence,
                t,
                vec![op],
                Vec::new(),
            ));
        }
    }
    Ok(judged)
}

/// With a lease its keys are gone, all at the revision at which it ended: no
/// state from there on shows any of them.
pub(super) fn end(leases: &Leases<'_>) -> Found {
    const GUARANTEE: &str = "the keys of a lease are gone, all at once, at the revision at which it \
                             ends";
    let mut judged = Judged::default();
    for op in leases.history {
        let Outcome::Ok(ret) = &op.outcome else {
            continue;
        };
        let mut broken = None;
        visit_shown(op, ret, &mut |kv, at| {
            if kv.lease == 0 {
                return;
            }
            match leases.is_repeated(kv.lease) {
                true => judged.unclear += 1,
                false => judged.sure += 1,
            }
            let ended = leases.one(kv.lease).and_then(|lease| lease.ended);
            if let Some(end) = ended.filter(|end| end.revision <= at) {
                broken.get_or_insert((kv.clone(), at, end));
            }
        });
        if let Some((kv, at, end)) = broken {
            let sentence = format!(
                "op {} was shown key {} at revision {at}, attached to lease {}, which ended at \
                 revision {}",
                op.id,
                kv.key.escape_ascii(),
                kv.lease,
                end.revision
            );
            let text = format!("ended at {}, revision {}", seconds(end.t), end.revision);
            let facts = vec![Fact::new(format!("lease {}", kv.lease), text)];
            let t = op.ret.unwrap_or(op.invoke);
            return Err(witness(GUARANTEE, "orphan", sentence, t, vec![op], facts));
        }
    }
    Ok(judged)
}

/// Calls `f` for every key that ranges of an answer show, with the revision of
/// the state that is shown.
fn visit_shown(op: &Op, ret: &Ret, f: &mut impl FnMut(&KeyValue, i64)) {
    let mut range = |r: &pb::RangeResponse, asked: i64, at: i64| {
        let at = if asked > 0 { asked } else { at };
        r.kvs.iter().for_each(|kv| f(kv, at));
    };
    let revision = ret.header().map_or(0, |header| header.revision);
    match (&op.call, ret) {
        (squall_record::Call::Range(call), Ret::Range(r)) => range(r, call.revision, revision),
        (_, Ret::Txn(r)) => {
            for response in &r.responses {
                if let Some(SubResponse::ResponseRange(r)) = &response.response {
                    // What the transaction itself is about to change is shown
                    // as of before: one revision earlier at most.
                    range(r, 0, revision - 1);
                }
            }
        }
        _ => {}
    }
}
