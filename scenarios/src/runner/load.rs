//! The load: concurrent clients, each with at most one operation open.

use super::identity::Identity;
use crate::draw::Draw;
use crate::format::Workload;
use crate::permissions::{Administrator, Book, Showing, User, span};
use crate::sessions::Session;
use crate::workload::{Generator, Observed};
use squall_api::pb;
use squall_record::{Call, Outcome, Ret, Target};
use squall_sim::world::World;
use std::time::Duration;

/// How long whoever was refused waits before it asks elsewhere, in nanoseconds.
const PAUSE: u64 = 20_000_000;

/// Runs one client until true time `end`.
pub(super) async fn client(
    world: World,
    workload: Workload,
    mut target: Identity,
    seed: u64,
    client: u32,
    end: u64,
) {
    let limit = Duration::from_nanos(workload.client_timeout.ns());
    let mut generator = Generator::new(&workload, seed, client);
    let mut observed = Observed::default();
    let mut member = first_member(&world, client);
    let mut due = world.now();
    loop {
        // A client that was kept waiting does not catch up: its next operation
        // comes one gap after the last one ended, at the earliest.
        due = (due + generator.gap()).max(world.now());
        if due >= end {
            return;
        }
        world.sleep_until(due).await;
        let call = generator.next(&observed);
        let outcome = target.call(member, call.clone(), limit).await;
        observed.learn(&call, &outcome);
        match outcome {
            Outcome::Ok(_) => {}
            // Whoever does not answer is left for the next member.
            Outcome::Refused(_) | Outcome::Unknown(_) => member = world.next_member(member),
        }
    }
}

/// Runs one client that holds leases, until true time `end`.
pub(super) async fn session(
    world: World,
    workload: Workload,
    mut target: Identity,
    seed: u64,
    client: u32,
    end: u64,
) {
    let limit = Duration::from_nanos(workload.client_timeout.ns());
    let mut session = Session::new(&workload.sessions, seed, client);
    let mut member = first_member(&world, client);
    loop {
        let step = session.next_step();
        let due = world.now().saturating_add(step.wait);
        if due >= end {
            return;
        }
        world.sleep_until(due).await;
        if step.elsewhere {
            member = world.next_member(member);
        }
        let outcome = target.call(member, step.call.clone(), limit).await;
        session.learn(&step.call, &outcome);
        if matches!(outcome, Outcome::Unknown(_)) {
            member = world.next_member(member);
        }
    }
}

/// The member that a client begins with.
pub(super) fn first_member(world: &World, client: u32) -> u64 {
    let members = world.members();
    members[client as usize % members.len()]
}

/// Changes users, roles and permissions until true time `end`.
pub(super) async fn administrator(
    world: World,
    workload: Workload,
    mut target: Identity,
    book: Book,
    seed: u64,
    end: u64,
) {
    let limit = Duration::from_nanos(workload.client_timeout.ns());
    let mut admin = Administrator::new(seed, workload.auth.users, book);
    let mut member = 1;
    loop {
        let (wait, call) = admin.next_step(workload.auth.change_every.ns());
        let due = world.now().saturating_add(wait);
        if due >= end {
            return;
        }
        world.sleep_until(due).await;
        let outcome = target.call(member, Call::Auth(call), limit).await;
        admin.learn(&outcome);
        if !matches!(outcome, Outcome::Ok(_)) {
            member = world.next_member(member);
            world.sleep(PAUSE).await;
        }
    }
}

/// Runs one user until true time `end`.
pub(super) async fn user(
    world: World,
    workload: Workload,
    mut user: User,
    mut target: Identity,
    end: u64,
) {
    let limit = Duration::from_nanos(workload.client_timeout.ns());
    let mut member = 1;
    loop {
        let step = user.next_step();
        let due = world.now().saturating_add(step.wait);
        if due >= end {
            return;
        }
        world.sleep_until(due).await;
        if step.elsewhere {
            member = world.next_member(member);
        }
        let outcome = match step.showing {
            Showing::Nothing => target.call_as_nobody(member, step.call, limit).await,
            Showing::Token => {
                let outcome = target.call_once(member, step.call, limit).await;
                target.log_in(member, limit).await;
                outcome
            }
        };
        if matches!(outcome, Outcome::Unknown(_)) {
            member = world.next_member(member);
        }
    }
}

/// Watches as one user, this and that, until true time `end`.
pub(super) async fn user_watch(
    world: World,
    workload: Workload,
    mut target: Identity,
    (seed, number): (u64, u32),
    end: u64,
) {
    let limit = Duration::from_nanos(workload.client_timeout.ns());
    let mut member = 1;
    for n in 0.. {
        if world.now() >= end {
            return;
        }
        let mut draw = Draw::keyed(seed, "user watches", number.into(), n);
        target.log_out();
        target.log_in(member, limit).await;
        let (key, range_end) = span(&mut draw);
        let create = pb::WatchCreateRequest {
            key,
            range_end,
            ..pb::WatchCreateRequest::default()
        };
        let mut stream = target.stream(member, watch(create));
        let until = (world.now() + draw.between(1_000_000_000, 5_000_000_000)).min(end);
        while let Some(Ok(message)) = stream.next(until).await {
            if matches!(&message, Ret::Watch(response) if response.canceled) {
                break;
            }
        }
        stream.close();
        member = world.next_member(member);
        world.sleep(PAUSE).await;
    }
}

fn watch(create: pb::WatchCreateRequest) -> Call {
    Call::Watch(pb::WatchRequest {
        request_union: Some(pb::watch_request::RequestUnion::CreateRequest(create)),
    })
}
