//! How processes end, return, and slow down.

use crate::tiny::*;
use squall_api::{
    Effect, Effects, Fatal, Input, LaneMsg, Machine, Now, Open, OpenError, Request, Response,
};
use squall_record::{Event, Kind, Outcome, Target, Why};
use squall_sim::PowerLoss;
use squall_sim::world::{Lanes, Observer, Violation, World, simulate};
use std::path::Path;
use std::sync::{Arc, Mutex};

fn crashes(events: &[Event], node: u64) -> usize {
    let crashed = |e: &&Event| e.node == Some(node) && matches!(e.kind, Kind::Crashed { .. });
    events.iter().filter(crashed).count()
}

#[test]
fn a_clean_stop_is_over_when_both_lanes_have_stopped() {
    let done = run(setup(1), |world| async move {
        world.stop(1);
        world.sleep(FSYNC / 2).await;
        assert!(world.is_up(1), "the apply lane still syncs its last byte");
        world.sleep(FSYNC / 2 + 1).await;
        let stopped = (world.is_up(1), world.ended(1));
        world.stop(1);
        world.start(1);
        world.sleep(50 * MS).await;
        (stopped, world.client(0).call(1, put(), second()).await)
    });
    let (stopped, next) = done.value.expect("the story ended");
    assert_eq!(stopped, (false, Some("stopped cleanly".to_owned())));
    assert_eq!(revision(&next), 2, "the last byte was kept");
    assert_eq!(crashes(&done.events, 1), 0);
    let legal = |e: &Event| matches!(e.kind, Kind::Ended { illegal: false, .. });
    assert!(done.events.iter().any(legal));
}

#[test]
fn a_crash_in_a_clean_stop_cuts_it() {
    let done = run(setup(1), |world| async move {
        world.stop(1);
        world.sleep(FSYNC / 2).await;
        world.crash(1, PowerLoss::Lost);
        world.sleep(MS).await;
        world.start(1);
        world.sleep(50 * MS).await;
        (
            world.is_up(1),
            world.client(0).call(1, put(), second()).await,
        )
    });
    let (up, next) = done.value.expect("the story ended");
    assert!(up, "the stop ended with the process that it was asked of");
    assert_eq!(revision(&next), 1, "the last byte was not synced");
}

#[test]
fn a_paused_process_stops_after_its_pause() {
    let done = run(setup(1), |world| async move {
        world.stop(1);
        world.sleep(FSYNC / 2).await;
        world.pause(7, 1);
        world.sleep(300 * MS).await;
        let during = world.is_up(1);
        world.resume(7, 1);
        world.sleep(FSYNC / 2 - 1).await;
        let after = world.is_up(1);
        world.sleep(2).await;
        (during, after, world.is_up(1))
    });
    assert_eq!(done.value, Some((true, true, false)));
}

/// Answers a put when it is durable, and finds then that it cannot go on.
struct LastWords(Arc<dyn squall_api::File>);

impl Machine for LastWords {
    fn step(&mut self, _: Now, input: Input, fx: &mut Effects) -> Result<(), Fatal> {
        let Input::Request { id, req, .. } = input else {
            return Ok(());
        };
        assert!(matches!(*req, Request::Put(_)), "{req:?}");
        self.0.sync()?;
        let result = Ok(Response::Put(answer(1)));
        fx.reply(id, result, true);
        Err(Fatal::Corrupt("record 7 is bad".into()))
    }

    fn deadline(&self) -> Option<u64> {
        None
    }
}

#[test]
fn a_process_that_ends_by_itself_has_done_what_it_did_before() {
    let mut setup = setup(1);
    setup.members[0].open = Arc::new(|env, now| {
        let file = env.disk.open(Path::new("words"), Open::New)?;
        let Lanes { raft, .. } = open(env, now)?;
        let apply = Box::new(LastWords(file));
        Ok(Lanes { raft, apply })
    });
    let done = run(setup, |world| async move {
        let outcome = world.client(0).call(1, put(), second()).await;
        (outcome, world.is_up(1), world.ended(1))
    });
    let (outcome, up, ended) = done.value.expect("the story ended");
    assert_eq!(revision(&outcome), 1);
    assert_eq!(took(&done.history[0]), LATENCY + FSYNC + LATENCY);
    assert!(!up && ended.expect("it says why").contains("record 7 is bad"));
}

/// Two lanes that answer each other at once, for ever.
struct Chatter;

impl Machine for Chatter {
    fn step(&mut self, _: Now, _: Input, fx: &mut Effects) -> Result<(), Fatal> {
        let (term, leader) = (1, 1);
        fx.push(Effect::Lane(LaneMsg::Leader { term, leader }));
        Ok(())
    }

    fn deadline(&self) -> Option<u64> {
        Some(0)
    }
}

#[test]
fn a_run_in_which_time_does_not_pass_is_a_finding_and_does_not_hang() {
    let mut setup = setup(1);
    setup.members[0].open = Arc::new(|_, _| {
        let (raft, apply) = (Box::new(Chatter), Box::new(Chatter));
        Ok(Lanes { raft, apply })
    });
    let story = |world: World| async move {
        world.start(1);
        world.sleep(1_000 * MS).await;
    };
    let end = simulate(setup, Box::new(()), story);
    let message = end.err().expect("it has no end").message;
    assert!(message.contains("time does not pass"), "{message}");
}

#[test]
fn steps_cost_what_the_setup_says_and_more_on_a_slow_cpu() {
    let mut setup = setup(1);
    setup.step_cost = 3 * MS;
    let done = run(setup, |world| async move {
        let mut client = world.client(0);
        client.call(1, put(), second()).await;
        world.slow(7, 1, 4);
        client.call(1, put(), second()).await;
        client.call(2, put(), second()).await;
        world.slow(8, 1, 2);
        client.call(1, put(), second()).await;
        world.unslow(7, 1);
        world.unslow(8, 1);
        client.call(1, put(), second()).await;
    });
    let cpu = done
        .history
        .iter()
        .map(|op| (took(op) - 2 * LATENCY - FSYNC) / MS);
    assert_eq!(cpu.collect::<Vec<u64>>(), [3, 12, 3, 24, 3]);
}

#[test]
fn a_slow_cpu_is_slow_also_where_steps_cost_nothing() {
    let done = run(setup(1), |world| async move {
        let mut client = world.client(0);
        world.slow(7, 1, 500);
        client.call(1, put(), second()).await;
        world.unslow(7, 1);
        client.call(1, put(), second()).await;
    });
    let cpu = done
        .history
        .iter()
        .map(|op| (took(op) - 2 * LATENCY - FSYNC) / MS);
    assert_eq!(cpu.collect::<Vec<u64>>(), [10, 0]);
}

#[test]
fn a_wiped_member_begins_from_nothing() {
    struct Wiped(Arc<Mutex<Vec<u64>>>);
    impl Observer for Wiped {
        fn view(&mut self, _: u64, _: u64, _: &squall_api::View) -> Result<(), Violation> {
            Ok(())
        }
        fn sent(
            &mut self,
            _: u64,
            _: u64,
            _: &squall_api::eraftpb::Message,
        ) -> Result<(), Violation> {
            Ok(())
        }
        fn started(&mut self, _: u64) {}
        fn crashed(&mut self, _: u64) {}
        fn wiped(&mut self, node: u64) {
            self.0.lock().unwrap().push(node);
        }
    }
    let wiped = Arc::new(Mutex::new(Vec::new()));
    let done = simulate(
        setup(1),
        Box::new(Wiped(wiped.clone())),
        |world| async move {
            let mut client = world.client(0);
            let mut revisions = Vec::new();
            for how in 0..3 {
                world.start(1);
                world.sleep(50 * MS).await;
                client.call(1, put(), second()).await;
                revisions.push(revision(&client.call(1, put(), second()).await));
                match how {
                    0 => world.crash(1, PowerLoss::Lost),
                    _ => world.wipe(1),
                }
                world.sleep(50 * MS).await;
            }
            // Also one that is down.
            world.wipe(1);
            world.start(1);
            world.sleep(50 * MS).await;
            revisions.push(revision(&client.call(1, put(), second()).await));
            revisions
        },
    )
    .expect("nothing panics");
    assert_eq!(done.value, Some(vec![2, 4, 2, 1]));
    assert_eq!(*wiped.lock().unwrap(), [1, 1, 1]);
    let emptied = |e: &&Event| matches!(&e.kind, Kind::Crashed { disk, .. } if disk == "wiped");
    assert_eq!(done.events.iter().filter(emptied).count(), 2);
}

/// Recovery that writes: it adds a byte, to be counted like a put.
fn recovering(env: squall_api::Env, now: Now) -> Result<Lanes, OpenError> {
    if let Ok(file) = env.disk.open(Path::new("count"), Open::Existing) {
        file.write_at(file.len()?, b"r")?;
        file.sync()?;
    }
    open(env, now)
}

#[test]
fn a_crash_during_recovery_cuts_it() {
    let mut setup = setup(1);
    setup.members[0].open = Arc::new(recovering);
    let done = run(setup, |world| async move {
        let mut client = world.client(0);
        client.call(1, put(), second()).await;
        world.crash(1, PowerLoss::Lost);
        for _ in 0..5 {
            world.sleep(MS).await;
            world.start(1);
            world.sleep(FSYNC / 2).await;
            world.crash(1, PowerLoss::Lost);
        }
        world.sleep(MS).await;
        world.start(1);
        world.sleep(50 * MS).await;
        client.call(1, put(), second()).await
    });
    let last = done.value.expect("the story ended");
    assert_eq!(revision(&last), 3, "one recovery of six came to its end");
    assert_eq!(crashes(&done.events, 1), 6);
}

#[test]
fn a_crash_of_all_takes_all_and_all_return() {
    let done = run(setup(1), |world| async move {
        let mut client = world.client(0);
        for member in 1..=3 {
            client.call(member, put(), second()).await;
        }
        for member in 1..=3 {
            world.crash(member, PowerLoss::Lost);
        }
        world.sleep(MS).await;
        assert!((1..=3).all(|member| !world.is_up(member)));
        for member in 1..=3 {
            world.start(member);
        }
        world.sleep(50 * MS).await;
        let mut outcomes = Vec::new();
        for member in 1..=3 {
            outcomes.push(client.call(member, put(), second()).await);
        }
        outcomes
    });
    let outcomes = done.value.expect("the story ended");
    assert!(outcomes.iter().all(|outcome| revision(outcome) == 2));
}

#[test]
fn a_failed_open_does_not_end_the_process_that_is_started_after_a_crash() {
    // The first process fails after a sync; it is crashed before that, and the
    // next one is sound.
    let mut setup = setup(1);
    let opens = Arc::new(Mutex::new(0));
    setup.members[0].open = Arc::new(move |env, now| {
        let mut opens = opens.lock().unwrap();
        *opens += 1;
        if *opens == 1 {
            env.disk.sync_dir(Path::new(""))?;
            return Err(OpenError::Corrupt("not this time".into()));
        }
        open(env, now)
    });
    let result = simulate(setup, Box::new(()), |world| async move {
        world.start(1);
        world.sleep(FSYNC / 2).await;
        world.crash(1, PowerLoss::Lost);
        world.sleep(MS).await;
        world.start(1);
        world.sleep(50 * MS).await;
        let outcome = world.client(0).call(1, put(), second()).await;
        (outcome, world.ended(1))
    });
    let (outcome, ended) = result.expect("nothing panics").value.expect("it ended");
    assert!(!matches!(outcome, Outcome::Unknown(Why::Reset)));
    assert_eq!((revision(&outcome), ended), (1, None));
}

#[test]
fn a_doomed_start_dies_at_its_disk_operation_and_starts_again() {
    let done = run(setup(1), |world| async move {
        world.crash(1, PowerLoss::Kept);
        world.sleep(10 * MS).await;
        // The first operation after a restart is the write of the first put.
        world.start_doomed(1, 2, PowerLoss::Lost, 100 * MS);
        world.sleep(10 * MS).await;
        let first = world.client(0).call(1, put(), second()).await;
        assert!(!world.is_up(1));
        world.sleep(100 * MS).await;
        assert!(world.is_up(1), "it is down for 100 ms");
        let second = world.client(1).call(1, put(), second()).await;
        // What is taken back does not come.
        world.crash(1, PowerLoss::Kept);
        world.sleep(10 * MS).await;
        world.start_doomed(1, 1, PowerLoss::Lost, 100 * MS);
        world.sleep(10 * MS).await;
        world.spare(1);
        let third = world.client(2).call(1, put(), crate::tiny::second()).await;
        (first, second, third)
    });
    let (first, second, third) = done.value.expect("the story ended");
    assert_eq!(first, Outcome::Unknown(Why::Reset), "it died in its sync");
    assert_eq!(revision(&second), 1, "the first put is lost");
    assert_eq!(revision(&third), 2);
    assert_eq!(done.stats.restarts, 3);
}
