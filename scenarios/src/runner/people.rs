//! Who everybody is in a run that has users, and what the users do.

use super::caller::{Caller, clients};
use super::identity::Identity;
use super::setup::first_user;
use crate::draw::Draw;
use crate::format::Scenario;
use crate::permissions::{Administrator, Book, ROOT, Showing, User, span, user_name};
use squall_api::pb;
use squall_record::{Call, Outcome, Ret};
use squall_sim::world::{Running, World};

/// How long whoever was refused waits before it asks elsewhere, in nanoseconds.
const PAUSE: u64 = 20_000_000;

pub(super) struct People {
    world: World,
    scenario: Scenario,
    book: Book,
}

impl People {
    pub(super) fn of(world: &World, scenario: &Scenario) -> People {
        People {
            world: world.clone(),
            scenario: scenario.clone(),
            book: Book::default(),
        }
    }

    /// A client that may do everything.
    pub(super) fn root(&self, client: u32) -> Identity {
        let target = self.world.client(client);
        match self.scenario.workload.auth.users {
            0 => Identity::nobody(target),
            _ => Identity::of(target, ROOT, &self.book),
        }
    }

    /// Somebody who may do everything, and calls until true time `end`.
    pub(super) fn caller(&self, client: u32, end: u64) -> Caller<Identity> {
        let target = self.root(client);
        Caller::new(&self.world, &self.scenario.workload, target, end)
    }

    /// Sets out the administrator and the users, until true time `end`.
    pub(super) fn set_out(&self, seed: u64, end: u64) -> Vec<Running> {
        let workload = &self.scenario.workload;
        let (world, load) = (&self.world, workload.auth);
        if load.users == 0 {
            return Vec::new();
        }
        let first = first_user(workload);
        let admin = Administrator::new(seed, load.users, self.book.clone());
        let every = load.change_every.ns();
        let mut tasks = vec![world.spawn(administrator(self.caller(first, end), admin, every))];
        let mut next = clients(world, first + 1);
        let token_ttl = self.scenario.cluster.auth_token_ttl.ns();
        for number in 0..load.users {
            let mut caller = || {
                let identity = Identity::of(next().1, &user_name(number), &self.book);
                Caller::new(world, workload, identity, end)
            };
            let of = User::new(seed, number, load.users, self.book.clone(), token_ttl);
            tasks.push(world.spawn(user(caller(), of)));
            tasks.push(world.spawn(user_watch(caller(), (seed, number))));
        }
        tasks
    }
}

/// Changes users, roles and permissions, one about `every` so many nanoseconds.
async fn administrator(mut caller: Caller<Identity>, mut admin: Administrator, every: u64) {
    loop {
        let (wait, call) = admin.next_step(every);
        if caller.wait(wait).await.is_err() {
            return;
        }
        let outcome = caller.ask(Call::Auth(call)).await;
        admin.learn(&outcome);
        if matches!(outcome, Outcome::Refused(_)) {
            caller.move_on();
        }
        if !matches!(outcome, Outcome::Ok(_)) {
            caller.world.sleep(PAUSE).await;
        }
    }
}

/// Runs one user.
async fn user(mut caller: Caller<Identity>, mut user: User) {
    loop {
        let step = user.next_step();
        if caller.wait(step.wait).await.is_err() {
            return;
        }
        if step.elsewhere {
            caller.move_on();
        }
        let (member, limit) = (caller.member, caller.limit);
        let target = &mut caller.target;
        let outcome = match step.showing {
            Showing::Nothing => target.call_as_nobody(member, step.call, limit).await,
            Showing::Token => {
                let outcome = target.call_once(member, step.call, limit).await;
                target.log_in(member, limit).await;
                outcome
            }
        };
        caller.heard(&outcome);
    }
}

/// Watches as one user, this and that.
async fn user_watch(mut caller: Caller<Identity>, (seed, number): (u64, u32)) {
    for n in 0.. {
        if caller.world.now() >= caller.end {
            return;
        }
        let mut draw = Draw::keyed(seed, "user watches", number.into(), n);
        let target = &mut caller.target;
        target.log_out();
        target.log_in(caller.member, caller.limit).await;
        let (key, range_end) = span(&mut draw);
        let create = pb::WatchCreateRequest {
            key,
            range_end,
            ..pb::WatchCreateRequest::default()
        };
        let mut stream = target.stream(caller.member, watch(create));
        let lasts = draw.between(1_000_000_000, 5_000_000_000);
        let until = (caller.world.now() + lasts).min(caller.end);
        while let Some(Ok(message)) = stream.next(until).await {
            if matches!(&message, Ret::Watch(response) if response.canceled) {
                break;
            }
        }
        stream.close();
        caller.move_on();
        caller.world.sleep(PAUSE).await;
    }
}

fn watch(create: pb::WatchCreateRequest) -> Call {
    Call::Watch(pb::WatchRequest {
        request_union: Some(pb::watch_request::RequestUnion::CreateRequest(create)),
    })
}
