//! An operator: compacts history, defragments databases, and makes room where
//! there is none left, while clients go on.

use crate::format::Workload;
use squall_api::pb::alarm_request::AlarmAction;
use squall_api::pb::{self, AlarmMember, AlarmType};
use squall_api::{MaintenanceRequest, MaintenanceResponse};
use squall_record::{Call, Outcome, Ret, Target};
use squall_sim::world::{SimClient, World};
use std::time::Duration;

/// Revisions that a compaction leaves, so that who is close behind is not
/// always overtaken.
const BEHIND: i64 = 5;

/// The pause before somebody else is asked, in nanoseconds.
const AGAIN: u64 = 20_000_000;

/// Works until true time `end`, each time on the next member.
pub(super) async fn upkeep(world: World, workload: Workload, end: u64) {
    let mut operator = Operator::new(&world, &workload);
    let every = |every: Option<crate::format::Duration>| every.map_or(u64::MAX, |e| e.ns());
    let compact_every = every(workload.upkeep.compact_every);
    let defragment_every = every(workload.upkeep.defragment_every);
    let make_room_every = every(workload.upkeep.make_room_every);
    let mut compact_at = world.now().saturating_add(compact_every);
    let mut defragment_at = world.now().saturating_add(defragment_every);
    let mut make_room_at = world.now().saturating_add(make_room_every);
    for turn in 0_u64.. {
        let due = compact_at.min(defragment_at).min(make_room_at);
        if due >= end {
            return;
        }
        world.sleep_until(due).await;
        let members = world.members();
        let member = members[turn as usize % members.len()];
        if make_room_at == due {
            let full = operator.alarms(member).await.unwrap_or_default();
            if !full.is_empty() {
                operator.make_room(member, full).await;
            }
            make_room_at = world.now().saturating_add(make_room_every);
        } else if compact_at == due {
            // Every other compaction is answered only when it is done.
            let physical = turn.is_multiple_of(2);
            operator.compact(member, BEHIND, physical).await;
            compact_at = world.now().saturating_add(compact_every);
        } else {
            operator.defragment(member).await;
            defragment_at = world.now().saturating_add(defragment_every);
        }
    }
}

/// Makes room where that is the operator's work, so that the cluster can show that
/// it serves; gives up at true time `until`. Who has an alarm is full; who has none
/// may be as good as full.
pub(super) async fn leave_room(world: &World, workload: &Workload, until: u64) {
    if workload.upkeep.make_room_every.is_none() {
        return;
    }
    let mut operator = Operator::new(world, workload);
    for turn in 0.. {
        let members = world.members();
        let member = members[turn % members.len()];
        if let Some(full) = operator.alarms(member).await
            && operator.make_room(member, full).await
        {
            return;
        }
        if world.now() >= until {
            return;
        }
        world.sleep(AGAIN).await;
    }
}

struct Operator {
    world: World,
    client: SimClient,
    /// How long it waits for an answer.
    limit: Duration,
}

impl Operator {
    fn new(world: &World, workload: &Workload) -> Operator {
        Operator {
            world: world.clone(),
            client: world.client(workload.upkeeper()),
            limit: Duration::from_nanos(workload.client_timeout.ns()),
        }
    }

    async fn ask(&mut self, member: u64, call: Call) -> Option<Ret> {
        match self.client.call(member, call, self.limit).await {
            Outcome::Ok(ret) => Some(ret),
            Outcome::Refused(_) | Outcome::Unknown(_) => None,
        }
    }

    /// Compacts up to `behind` revisions before what `member` has. Says whether
    /// history is surely compacted so far: now, or before.
    async fn compact(&mut self, member: u64, behind: i64, physical: bool) -> bool {
        let status = Call::Status(pb::StatusRequest::default());
        let Some(Ret::Status(status)) = self.ask(member, status).await else {
            return false;
        };
        let revision = status.header.map_or(0, |header| header.revision) - behind;
        if revision <= 0 {
            return false;
        }
        let compact = Call::Compact(pb::CompactionRequest { revision, physical });
        match self.client.call(member, compact, self.limit).await {
            Outcome::Ok(_) => true,
            Outcome::Refused(status) => status.message.ends_with("revision has been compacted"),
            Outcome::Unknown(_) => false,
        }
    }

    async fn defragment(&mut self, member: u64) {
        let defragment = MaintenanceRequest::Defragment(pb::DefragmentRequest {});
        self.ask(member, Call::Maintenance(defragment)).await;
    }

    /// What etcd's documentation says to do when members have no space left: compact
    /// all history, defragment every member, and then deactivate the alarms. Without
    /// the first it would be in vain. Says whether room was made.
    async fn make_room(&mut self, member: u64, full: Vec<AlarmMember>) -> bool {
        if !self.compact(member, 0, true).await {
            return false;
        }
        for member in self.world.members() {
            self.defragment(member).await;
        }
        for alarm in full {
            self.ask(member, alarms(AlarmAction::Deactivate, alarm.member_id))
                .await;
        }
        true
    }

    /// Who has no space left; `None` if nobody said.
    async fn alarms(&mut self, member: u64) -> Option<Vec<AlarmMember>> {
        match self.ask(member, alarms(AlarmAction::Get, 0)).await? {
            Ret::Maintenance(MaintenanceResponse::Alarm(told)) => Some(told.alarms),
            _ => None,
        }
    }
}

/// Asks for something about the alarm of a member that has no space left; of member
/// 0, about that of any.
fn alarms(action: AlarmAction, member_id: u64) -> Call {
    Call::Maintenance(MaintenanceRequest::Alarm(pb::AlarmRequest {
        action: action as i32,
        member_id,
        alarm: AlarmType::Nospace as i32,
    }))
}
