//! The audit: each member's full contents, after convergence.

use bytes::Bytes;
use squall_api::pb;
use squall_checkers::replicas::Replica;
use squall_record::{Call, Outcome, Ret, Target};
use squall_sim::world::{SimClient, World};
use std::time::Duration;

/// Reads every member's contents as they stand there.
pub(super) async fn replicas(
    world: &World,
    auditor: &mut SimClient,
    limit: Duration,
) -> Result<Vec<Replica>, String> {
    let mut replicas = Vec::new();
    for member in 1..=world.members() {
        let everything = Call::Range(pb::RangeRequest {
            key: Bytes::from_static(b"\0"),
            range_end: Bytes::from_static(b"\0"),
            serializable: true,
            ..Default::default()
        });
        let hash = Call::HashKv(pb::HashKvRequest::default());
        let status = Call::Status(pb::StatusRequest::default());
        let mut answers = Vec::new();
        for call in [everything, hash, status] {
            let what = call.name();
            match auditor.call(member, call, limit).await {
                Outcome::Ok(answer) => answers.push(answer),
                other => return Err(format!("n{member} did not answer {what}: {other:?}")),
            }
        }
        let [Ret::Range(range), Ret::HashKv(hash), Ret::Status(status)] = answers.as_slice() else {
            return Err(format!(
                "n{member} gave answers of other kinds: {answers:?}"
            ));
        };
        replicas.push(Replica {
            member,
            revision: range.header.as_ref().map_or(0, |header| header.revision),
            applied_index: status.raft_applied_index,
            hash_kv: hash.hash,
            kvs: range.kvs.clone(),
        });
    }
    Ok(replicas)
}
