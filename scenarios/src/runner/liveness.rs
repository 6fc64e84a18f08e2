//! The liveness phase: everything is healed, and the cluster must converge, or
//! we say what it lacks.

use super::identity::Identity;
use bytes::Bytes;
use squall_api::{Role, pb};
use squall_record::{Call, Outcome, Target, seconds};
use squall_sim::world::World;
use std::time::Duration;

/// How often the cluster is looked at.
const LOOK_EVERY: u64 = 20_000_000;

/// Waits until somebody leads and everybody follows, at most until true time `until`.
pub(super) async fn leader(world: &World, until: u64) -> Result<(), String> {
    wait(world, until, || no_agreed_leader(world)).await
}

/// Waits until every member serves, and has applied everything that any has.
pub(super) async fn converged(
    world: &World,
    probe: &mut Identity,
    limit: Duration,
    until: u64,
) -> Result<(), String> {
    leader(world, until).await?;
    for member in world.configuration().voters.clone() {
        serves(world, probe, member, limit, until).await?;
    }
    wait(world, until, || {
        no_agreed_leader(world)
            .or_else(|| behind(world))
            .or_else(|| lingering(world))
    })
    .await
}

/// The store's revision, asked of a member that serves.
pub(super) async fn revision(world: &World, probe: &mut Identity, limit: Duration) -> i64 {
    let get = Call::Range(pb::RangeRequest {
        key: Bytes::from_static(b"k0"),
        ..Default::default()
    });
    let member = world.next_member(0);
    let outcome = probe.call(member, get, limit).await;
    let header = match &outcome {
        Outcome::Ok(ret) => ret.header(),
        Outcome::Refused(_) | Outcome::Unknown(_) => None,
    };
    header.map_or(0, |header| header.revision)
}

async fn wait(world: &World, until: u64, lacks: impl Fn() -> Option<String>) -> Result<(), String> {
    loop {
        match lacks() {
            None => return Ok(()),
            Some(reason) if world.now() >= until => return Err(reason),
            Some(_) => world.sleep(LOOK_EVERY).await,
        }
    }
}

/// A write and a read through `member`, until both succeed.
async fn serves(
    world: &World,
    probe: &mut Identity,
    member: u64,
    limit: Duration,
    until: u64,
) -> Result<(), String> {
    loop {
        // The key of the workload that is surely there; a probe is an operation
        // like any other, and judged like one.
        let put = Call::Put(pb::PutRequest {
            key: Bytes::from_static(b"k0"),
            value: format!("probe-{member}-{}", world.now()).into(),
            ..Default::default()
        });
        let get = Call::Range(pb::RangeRequest {
            key: Bytes::from_static(b"k0"),
            ..Default::default()
        });
        let mut failed = None;
        for call in [put, get] {
            let what = call.name();
            match probe.call(member, call, limit).await {
                Outcome::Ok(_) => {}
                Outcome::Refused(status) => failed = Some(format!("{what} was refused: {status}")),
                Outcome::Unknown(why) => failed = Some(format!("{what} had no outcome: {why:?}")),
            }
        }
        match failed {
            None => return Ok(()),
            Some(why) if world.now() >= until => {
                let stand = describe(world);
                return Err(format!("n{member} does not serve: {why}; {stand}"));
            }
            Some(_) => world.sleep(LOOK_EVERY).await,
        }
    }
}

/// Why there is no leader that all members follow, if there is none.
fn no_agreed_leader(world: &World) -> Option<String> {
    for node in world.members() {
        if !world.is_up(node) {
            let why = world
                .ended(node)
                .unwrap_or_else(|| "it was killed".to_owned());
            return Some(format!("n{node} is down: {why}"));
        }
    }
    let Some(leader) = world.leader() else {
        return Some(format!("nobody leads; {}", describe(world)));
    };
    let term = world.standing(leader).term;
    for node in world.members() {
        let standing = world.standing(node);
        if standing.term != term || standing.leader != leader {
            return Some(format!(
                "n{node} does not follow n{leader}, which leads term {term}; {}",
                describe(world)
            ));
        }
    }
    None
}

/// Who has not applied what another has.
fn behind(world: &World) -> Option<String> {
    let applied = |node: u64| world.standing(node).applied;
    let members = world.members();
    let most = members.iter().copied().max_by_key(|&node| applied(node))?;
    members
        .into_iter()
        .find(|&node| applied(node) < applied(most))
        .map(|node| {
            format!(
                "n{node} has applied up to {}, n{most} up to {}; {}",
                applied(node),
                applied(most),
                describe(world)
            )
        })
}

/// Who was removed and runs on. Whom it knows may all be gone: then nobody can
/// tell it.
fn lingering(world: &World) -> Option<String> {
    let members = world.members();
    let known = |node: u64| world.configuration_of(node).map(|known| known.all());
    (1..=world.nodes())
        .filter(|node| world.is_up(*node) && !members.contains(node))
        .find(|node| known(*node).is_some_and(|known| members.iter().any(|m| known.contains(m))))
        .map(|node| format!("n{node} was removed and runs on; {}", describe(world)))
}

/// Who is what, at this moment.
fn describe(world: &World) -> String {
    let mut text = format!("at {}:", seconds(world.now()));
    for node in world.members() {
        let standing = world.standing(node);
        let role = match (world.is_up(node), standing.role) {
            (false, _) => "down",
            (true, Role::Leader) => "leader",
            (true, Role::Candidate) => "candidate",
            (true, Role::Follower) => "follower",
        };
        text.push_str(&format!(
            " n{node} {role} in term {} (commit {}, applied {});",
            standing.term, standing.commit, standing.applied
        ));
    }
    text.pop();
    text
}
