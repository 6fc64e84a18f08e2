//! A client that holds locks. What a lock protects is a key: who is careful
//! writes it in a transaction that says by which lock, and the others trust their
//! memory.

use super::{Over, Owner, SECOND};
use crate::format::Locks;
use bytes::Bytes;
use squall_api::pb::compare::{CompareResult, CompareTarget, TargetUnion};
use squall_api::pb::request_op::Request as Op;
use squall_api::pb::v3lockpb::{LockRequest as Lock, UnlockRequest as Unlock};
use squall_api::pb::{self, Compare, RequestOp, TxnRequest};
use squall_api::{LockRequest, LockResponse};
use squall_record::{Call, Outcome, Ret};

pub(super) async fn run(mut owner: Owner, locks: Locks) {
    while session(&mut owner, locks).await.is_ok() {}
}

/// One lease, and what is done with it.
async fn session(owner: &mut Owner, locks: Locks) -> Result<(), Over> {
    if !owner.begin().await? {
        return Ok(());
    }
    let mut draw = owner.draw();
    let number = draw.below(locks.names.into());
    let is_careful = draw.unit() < locks.fenced.get();
    let name = Bytes::from(format!("lock{number}"));
    let resource = Bytes::from(format!("resource{number}"));
    let lease = owner.lease;
    let lock = Call::Lock(LockRequest::Lock(Lock { name, lease }));
    let patience = owner.patience();
    let held = owner.caller.ask_for(lock.clone(), patience).await;
    let Outcome::Ok(Ret::Lock(LockResponse::Lock(held))) = held else {
        return Ok(());
    };
    let key = held.key;
    for n in 0..draw.below(4) {
        match draw.below(8) {
            0 => drop(owner.caller.ask(lock.clone()).await),
            1 | 2 => owner.keep_alive().await,
            _ => {
                let value = Bytes::from(format!("c{}.{lease}.{n}", owner.number));
                let put = pb::PutRequest {
                    key: resource.clone(),
                    value,
                    ..pb::PutRequest::default()
                };
                owner
                    .caller
                    .ask(write(put, is_careful.then_some(&key)))
                    .await;
            }
        }
        // As of a process that is paused, now and then.
        let longest = match draw.one_in(6) {
            true => owner.granted + owner.granted / 2,
            false => SECOND / 4,
        };
        owner.caller.wait(draw.below(longest)).await?;
    }
    // Or it dies.
    if !draw.one_in(4) {
        owner
            .caller
            .ask(Call::Lock(LockRequest::Unlock(Unlock { key })))
            .await;
    }
    Ok(())
}

/// A write, if need be only while `lock` is there.
fn write(put: pb::PutRequest, lock: Option<&Bytes>) -> Call {
    let Some(lock) = lock else {
        return Call::Put(put);
    };
    Call::Txn(TxnRequest {
        compare: vec![Compare {
            result: CompareResult::NotEqual.into(),
            target: CompareTarget::Create.into(),
            key: lock.clone(),
            range_end: Bytes::new(),
            target_union: Some(TargetUnion::CreateRevision(0)),
        }],
        success: vec![RequestOp {
            request: Some(Op::RequestPut(put)),
        }],
        failure: Vec::new(),
    })
}
