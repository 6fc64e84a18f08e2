//! Who everybody is in a run that has users.

use super::identity::Identity;
use super::load;
use super::setup::first_user;
use crate::format::Scenario;
use crate::permissions::{Book, ROOT, User, user_name};
use squall_sim::world::{Running, World};

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

    /// Sets out the administrator and the users, until true time `end`.
    pub(super) fn set_out(&self, seed: u64, end: u64) -> Vec<Running> {
        let workload = &self.scenario.workload;
        let (world, users) = (&self.world, workload.auth.users);
        if users == 0 {
            return Vec::new();
        }
        let mut clients = first_user(workload)..;
        let mut next = || clients.next().expect("there is always a next number");
        let admin = load::administrator(
            world.clone(),
            workload.clone(),
            self.root(next()),
            self.book.clone(),
            seed,
            end,
        );
        let mut tasks = vec![world.spawn(admin)];
        let token_ttl = self.scenario.cluster.auth_token_ttl.ns();
        for number in 0..users {
            let mut identity =
                || Identity::of(world.client(next()), &user_name(number), &self.book);
            let user = User::new(seed, number, users, self.book.clone(), token_ttl);
            let (of, load) = (world.clone(), workload.clone());
            tasks.push(world.spawn(load::user(of, load, user, identity(), end)));
            let (of, load) = (world.clone(), workload.clone());
            let watch = load::user_watch(of, load, identity(), (seed, number), end);
            tasks.push(world.spawn(watch));
        }
        tasks
    }
}
