//! An operator: compacts history and defragments databases while clients go on.

use crate::format::Workload;
use squall_api::{MaintenanceRequest, pb};
use squall_record::{Call, Outcome, Ret, Target};
use squall_sim::world::World;
use std::time::Duration;

/// Revisions that a compaction leaves, so that who is close behind is not
/// always overtaken.
const BEHIND: i64 = 5;

/// Works until true time `end`, each time on the next member.
pub(super) async fn upkeep(world: World, workload: Workload, end: u64) {
    let limit = Duration::from_nanos(workload.client_timeout.ns());
    let mut target = world.client(workload.upkeeper());
    let every = |every: Option<crate::format::Duration>| every.map_or(u64::MAX, |e| e.ns());
    let compact_every = every(workload.upkeep.compact_every);
    let defragment_every = every(workload.upkeep.defragment_every);
    let mut compact_at = world.now().saturating_add(compact_every);
    let mut defragment_at = world.now().saturating_add(defragment_every);
    for turn in 0_u64.. {
        let due = compact_at.min(defragment_at);
        if due >= end {
            return;
        }
        world.sleep_until(due).await;
        let members = world.members();
        let member = members[turn as usize % members.len()];
        if compact_at == due {
            // Every other compaction is answered only when it is done.
            let physical = turn.is_multiple_of(2);
            compact(&mut target, member, limit, physical).await;
            compact_at = world.now().saturating_add(compact_every);
        } else {
            let defragment = MaintenanceRequest::Defragment(pb::DefragmentRequest {});
            let call = Call::Maintenance(defragment);
            target.call(member, call, limit).await;
            defragment_at = world.now().saturating_add(defragment_every);
        }
    }
}

/// Compacts up to a little before what `member` has.
async fn compact(target: &mut impl Target, member: u64, limit: Duration, physical: bool) {
    let status = Call::Status(pb::StatusRequest::default());
    let Outcome::Ok(Ret::Status(status)) = target.call(member, status, limit).await else {
        return;
    };
    let revision = status.header.map_or(0, |header| header.revision) - BEHIND;
    if revision > 0 {
        let call = Call::Compact(pb::CompactionRequest { revision, physical });
        target.call(member, call, limit).await;
    }
}
