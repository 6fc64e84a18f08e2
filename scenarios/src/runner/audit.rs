//! The audit: each member's full contents, after convergence.

use super::identity::Identity;
use bytes::Bytes;
use squall_api::pb;
use squall_checkers::replicas::Replica;
use squall_record::{Call, Outcome, Ret, Target};
use squall_sim::world::World;
use std::time::Duration;

/// How often the members are read again, if they have applied more meanwhile.
const TRIES: u32 = 50;
/// The pause before they are, in nanoseconds.
const PAUSE: u64 = 200_000_000;

/// Reads every member's contents as they stand there, all as of one entry. A
/// cluster that nobody asks for anything goes on by itself while there are leases.
pub(super) async fn replicas(
    world: &World,
    auditor: &mut Identity,
    limit: Duration,
) -> Result<Vec<Replica>, String> {
    let applied = || -> Vec<u64> {
        let members = world.members().into_iter();
        members.map(|node| world.standing(node).applied).collect()
    };
    let mut tries = 0;
    loop {
        let before = applied();
        let replicas = read(world, auditor, limit).await?;
        tries += 1;
        let is_one = before.iter().all(|index| *index == before[0]);
        if is_one && before == applied() || tries == TRIES {
            return Ok(replicas);
        }
        world.sleep(PAUSE).await;
    }
}

async fn read(
    world: &World,
    auditor: &mut Identity,
    limit: Duration,
) -> Result<Vec<Replica>, String> {
    let learners = &world.configuration().learners;
    let mut replicas = Vec::new();
    for member in world.members() {
        let everything = Call::Range(pb::RangeRequest {
            key: Bytes::from_static(b"\0"),
            range_end: Bytes::from_static(b"\0"),
            serializable: true,
            ..Default::default()
        });
        let hash = Call::HashKv(pb::HashKvRequest::default());
        let status = Call::Status(pb::StatusRequest::default());
        let mut ask = async |call: Call| {
            let what = call.name();
            match auditor.call(member, call, limit).await {
                Outcome::Ok(answer) => Ok(answer),
                other => Err(format!("n{member} did not answer {what}: {other:?}")),
            }
        };
        let range = ask(everything).await?;
        let hash = match learners.contains(&member) {
            true => None,
            false => Some(ask(hash).await?),
        };
        let status = ask(status).await?;
        let (Ret::Range(range), None | Some(Ret::HashKv(_)), Ret::Status(status)) =
            (&range, &hash, &status)
        else {
            return Err(format!(
                "n{member} gave answers of other kinds: {range:?}, {hash:?}, {status:?}"
            ));
        };
        replicas.push(Replica {
            member,
            revision: range.header.as_ref().map_or(0, |header| header.revision),
            applied_index: status.raft_applied_index,
            hash_kv: match &hash {
                Some(Ret::HashKv(hash)) => Some(hash.hash),
                _ => None,
            },
            kvs: range.kvs.clone(),
        });
    }
    Ok(replicas)
}
