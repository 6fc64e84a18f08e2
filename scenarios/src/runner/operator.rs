//! The operator: changes the members and moves leadership through the API that
//! clients have, while everything goes on.
//!
//! What it does next depends on the members that it was told, and on draws keyed
//! by the seed and the number of its step.

mod under_way;

use self::under_way::UnderWay;
use super::caller::clients;
use crate::draw::Draw;
use crate::format::{Between, Duration as Lasts, Scenario};
use squall_api::pb::downgrade_request::DowngradeAction;
use squall_api::pb::{self, Member};
use squall_api::{ClusterRequest, MaintenanceRequest, Status, Version};
use squall_record::{Call, Outcome, Ret, Target};
use squall_sim::world::{Running, SimClient, World};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Never fewer voters than this are left: with one, whoever is down takes all.
const LEAST_VOTERS: usize = 2;

/// The pause after a failure, in nanoseconds.
const SOON: (u64, u64) = (3_000_000, 25_000_000);
/// How often it is looked for new members.
const LOOK_EVERY: u64 = 20_000_000;

/// Sets out the operator's clients, the first of which has this number.
pub(super) fn spawn(
    world: &World,
    scenario: &Scenario,
    seed: u64,
    first: u32,
    end: u64,
) -> Vec<Running> {
    let operator = &scenario.workload.operator;
    let limit = Duration::from_nanos(scenario.workload.client_timeout.ns());
    let mut next = clients(world, first);
    let mut tasks = Vec::new();
    let usual = scenario.cluster.nodes;
    if scenario.all_nodes() > usual {
        world.spawn(start_who_joins(world.clone(), usual));
    }
    if let Some(pause) = operator.changes {
        let under_way = Arc::<Mutex<UnderWay>>::default();
        for number in 0..2 {
            let changer = Changer {
                world: world.clone(),
                client: next().1,
                limit,
                seed,
                number,
                member: world.next_member(number),
                known: Vec::new(),
                usual: usual as usize,
                under_way: under_way.clone(),
            };
            tasks.push(world.spawn(changer.run(pause, end)));
        }
    }
    if let Some(pause) = operator.transfers {
        let transfers = transfer(world.clone(), next().1, limit, seed, pause, end);
        tasks.push(world.spawn(transfers));
    }
    if let Some(at) = operator.downgrade_at {
        let begin = end.saturating_sub(scenario.workload.run_for.ns());
        let downgrade = downgrade(world.clone(), next().1, limit, begin + at.ns(), end);
        tasks.push(world.spawn(downgrade));
    }
    tasks
}

/// Starts a node when it has become a member, for as long as the run goes on: a
/// change may take effect long after whoever asked for it has given up.
async fn start_who_joins(world: World, mut last: u64) {
    loop {
        world.sleep(LOOK_EVERY).await;
        for node in world.members() {
            // Ids count up.
            if node > last {
                last = node;
                world.start(node);
            }
        }
    }
}

/// Moves leadership to another voter, again and again.
async fn transfer(
    world: World,
    mut client: SimClient,
    limit: Duration,
    seed: u64,
    pause: Between<Lasts>,
    end: u64,
) {
    for step in 0.. {
        let mut draw = Draw::keyed(seed, "operator.transfer", 0, step);
        world
            .sleep(draw.between(pause.min.ns(), pause.max.ns()))
            .await;
        if world.now() >= end {
            return;
        }
        let Some(leader) = world.leader() else {
            continue;
        };
        let mut voters = world.configuration().voters.clone();
        voters.remove(&leader);
        let voters: Vec<u64> = voters.into_iter().collect();
        if voters.is_empty() {
            continue;
        }
        let target_id = voters[draw.below(voters.len() as u64) as usize];
        let move_leader = MaintenanceRequest::MoveLeader(pb::MoveLeaderRequest { target_id });
        client
            .call(leader, Call::Maintenance(move_leader), limit)
            .await;
    }
}

/// Asks for a downgrade by one minor version until it is enabled, and before each
/// time for what must be refused.
async fn downgrade(world: World, mut client: SimClient, limit: Duration, at: u64, end: u64) {
    world.sleep_until(at).await;
    let mut member = world.next_member(0);
    let mut ask = async |member: u64, action: DowngradeAction, version: String| {
        let action = action as i32;
        let request = pb::DowngradeRequest { action, version };
        let call = Call::Maintenance(MaintenanceRequest::Downgrade(request));
        client.call(member, call, limit).await
    };
    while world.now() < end {
        let own = world.version(member);
        let target = own.previous();
        for wrong in [target.and_then(Version::previous), Some(own.minor_only())] {
            let wrong = wrong.map_or("none".into(), Version::short);
            ask(member, DowngradeAction::Validate, wrong.clone()).await;
            ask(member, DowngradeAction::Enable, wrong).await;
        }
        let target = target.map_or("none".into(), Version::short);
        let outcome = ask(member, DowngradeAction::Enable, target).await;
        let under_way = |status: &Status| status.message.contains("downgrade job in progress");
        match outcome {
            Outcome::Ok(_) => return,
            Outcome::Refused(status) if under_way(&status) => return,
            _ => member = world.next_member(member),
        }
        world.sleep(SOON.1).await;
    }
}

/// A change of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Add { is_learner: bool },
    Promote(u64),
    Remove(u64),
    Update(u64),
}

impl Change {
    fn request(self, step: u64) -> ClusterRequest {
        let urls = || vec![format!("http://peer-{step}:2380")];
        match self {
            Change::Add { is_learner } => ClusterRequest::MemberAdd(pb::MemberAddRequest {
                peer_ur_ls: urls(),
                is_learner,
            }),
            Change::Promote(id) => ClusterRequest::MemberPromote(pb::MemberPromoteRequest { id }),
            Change::Remove(id) => ClusterRequest::MemberRemove(pb::MemberRemoveRequest { id }),
            Change::Update(id) => ClusterRequest::MemberUpdate(pb::MemberUpdateRequest {
                id,
                peer_ur_ls: urls(),
            }),
        }
    }
}

/// What to do to these `members`. `usual` voters are what the cluster began
/// with; `spare` says whether there is a node that was never a member.
fn choose(
    members: &[Member],
    leader: Option<u64>,
    usual: usize,
    spare: bool,
    draw: &mut Draw,
) -> Option<Change> {
    let ids = |learners: bool| -> Vec<u64> {
        let those = members.iter().filter(|m| m.is_learner == learners);
        those.map(|m| m.id).collect()
    };
    let (voters, learners) = (ids(false), ids(true));
    let one = |of: &[u64], draw: &mut Draw| of[draw.below(of.len() as u64) as usize];
    if !learners.is_empty() && !draw.one_in(3) {
        let learner = one(&learners, draw);
        return Some(match draw.one_in(4) {
            true => Change::Remove(learner),
            false => Change::Promote(learner),
        });
    }
    if draw.one_in(8) {
        return Some(Change::Update(one(&voters, draw)));
    }
    let may_add = spare && members.len() <= usual + 1;
    let may_remove = voters.len() > LEAST_VOTERS;
    if may_add && (!may_remove || voters.len() < usual || draw.one_in(2)) {
        let is_learner = !draw.one_in(3);
        return Some(Change::Add { is_learner });
    }
    // Without a spare, whoever goes is missed for good.
    if !may_remove || (!spare && voters.len() <= usual) {
        return None;
    }
    let goes = match leader {
        Some(leader) if voters.contains(&leader) && draw.one_in(3) => leader,
        _ => one(&voters, draw),
    };
    Some(Change::Remove(goes))
}

/// Changes the members.
struct Changer {
    world: World,
    client: SimClient,
    limit: Duration,
    seed: u64,
    number: u64,
    /// Who is asked.
    member: u64,
    /// The members, as it was told last.
    known: Vec<Member>,
    usual: usize,
    under_way: Arc<Mutex<UnderWay>>,
}

impl Changer {
    async fn run(mut self, pause: Between<Lasts>, end: u64) {
        let mut failed = false;
        for step in 0.. {
            let mut draw = Draw::keyed(self.seed, "operator.change", self.number, step);
            let wait = match failed {
                true => draw.between(SOON.0, SOON.1),
                false => draw.between(pause.min.ns(), pause.max.ns()),
            };
            self.world.sleep(wait).await;
            if self.world.now() >= end {
                return;
            }
            // Whoever is turned away is in a hurry, and looks only now and then
            // whether things are still as they were.
            let looks = self.known.is_empty() || !failed || draw.one_in(8);
            if looks {
                let list = pb::MemberListRequest { linearizable: true };
                failed = !self.ask(ClusterRequest::MemberList(list)).await;
                if failed {
                    continue;
                }
            }
            let leader = self.world.leader();
            let change = {
                let under_way = self.under_way();
                let highest = under_way.highest_member(self.world.highest_member());
                let spare = highest < self.world.nodes();
                let voters = self.world.configuration().voters.clone();
                choose(&self.known, leader, self.usual, spare, &mut draw).filter(|change| {
                    match change {
                        Change::Remove(id) => under_way.voters_left(&voters, *id) >= LEAST_VOTERS,
                        _ => true,
                    }
                })
            };
            failed = match change {
                Some(change) => !self.ask(change.request(step)).await,
                None => false,
            };
        }
    }

    /// Asks, and learns the members from the answer. Without one, or after a
    /// removal, another member is asked the next time.
    async fn ask(&mut self, request: ClusterRequest) -> bool {
        let removes = matches!(request, ClusterRequest::MemberRemove(_));
        self.under_way().begin(self.number, &request);
        let call = Call::Cluster(request);
        let outcome = self.client.call(self.member, call, self.limit).await;
        if let Outcome::Ok(Ret::Cluster(answer)) = &outcome {
            self.known = answer.members().to_vec();
            self.under_way().told(&self.known);
        }
        // What is unknown may come at any time.
        if !matches!(outcome, Outcome::Unknown(_)) {
            self.under_way().end(self.number);
        }
        let done = matches!(outcome, Outcome::Ok(_));
        if removes || !done {
            self.member = self.world.next_member(self.member);
        }
        done
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(voters: &[u64], learners: &[u64]) -> Vec<Member> {
        let member = |id: u64, is_learner| Member {
            id,
            is_learner,
            ..Member::default()
        };
        let voters = voters.iter().map(|id| member(*id, false));
        let learners = learners.iter().map(|id| member(*id, true));
        voters.chain(learners).collect()
    }

    fn drawn(voters: &[u64], learners: &[u64], spare: bool) -> Vec<Option<Change>> {
        let members = members(voters, learners);
        let choose = |step| {
            let mut draw = Draw::keyed(0, "test", 0, step);
            choose(&members, Some(1), 3, spare, &mut draw)
        };
        (0..200).map(choose).collect()
    }

    #[test]
    fn enough_voters_are_left() {
        let removes = |change: &Option<Change>| matches!(change, Some(Change::Remove(_)));
        assert!(!drawn(&[1, 2], &[], true).iter().any(removes));
        assert!(drawn(&[1, 2, 3], &[], true).iter().any(removes));
        assert!(!drawn(&[1, 2, 3], &[], false).iter().any(removes));
        assert!(drawn(&[1, 2, 3, 4], &[], false).iter().any(removes));
    }

    #[test]
    fn learners_are_promoted_and_the_leader_may_go() {
        let with_learner = drawn(&[1, 2, 3], &[4], true);
        assert!(with_learner.contains(&Some(Change::Promote(4))));
        assert!(with_learner.contains(&Some(Change::Remove(4))));
        assert!(with_learner.contains(&Some(Change::Remove(1))));
    }
}
