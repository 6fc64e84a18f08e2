//! Connections that are reset.

use crate::tiny::*;
use squall_record::{Outcome, Target, Why};
use squall_sim::ClientWay;
use squall_sim::world::World;

/// A put of client 0 at member 1, with `fault` called so long after it; then
/// another put, which tells whether the first was done.
fn put_and(after: u64, fault: impl FnOnce(&World) + Send + 'static) -> (Outcome, u64, Outcome) {
    let done = run(setup(1), move |world| async move {
        let other = world.clone();
        world.spawn(async move {
            other.sleep(after).await;
            fault(&other);
        });
        let mut client = world.client(0);
        let first = client.call(1, put(), second()).await;
        world.sleep(100 * MS).await;
        (first, client.call(1, put(), second()).await, world)
    });
    let took = took(&done.history[0]);
    let (first, second, world) = done.value.expect("the story ended");
    drop(world);
    assert_eq!(done.stats.marks.get("count.closed"), Some(&1));
    (first, took, second)
}

#[test]
fn a_reset_makes_the_outcome_unknown_though_the_put_is_done() {
    let (first, took, second) = put_and(LATENCY + FSYNC / 2, |world| {
        assert_eq!(world.reset_client(1), 0, "another client's connections");
        assert_eq!(world.reset_client(0), 1);
        assert_eq!(world.reset_client(0), 0, "it is reset");
    });
    assert_eq!(first, Outcome::Unknown(Why::Reset));
    assert_eq!(took, LATENCY + FSYNC / 2 + LATENCY);
    assert_eq!(revision(&second), 2);
}

#[test]
fn a_call_under_way_is_lost_with_its_connection() {
    let (first, took, second) = put_and(LATENCY / 2, |world| {
        assert_eq!(world.reset_member(2), 0, "another member's connections");
        assert_eq!(world.reset_member(1), 1);
    });
    assert_eq!(first, Outcome::Unknown(Why::Reset));
    assert_eq!(took, LATENCY / 2 + LATENCY);
    assert_eq!(revision(&second), 1, "the first put never arrived");
}

#[test]
fn an_answer_that_has_left_arrives_before_the_reset() {
    let (first, took, second) = put_and(LATENCY + FSYNC + LATENCY / 2, |world| {
        assert_eq!(world.reset_client(0), 1);
    });
    assert_eq!((revision(&first), revision(&second)), (1, 2));
    assert_eq!(took, LATENCY + FSYNC + LATENCY);
}

/// Runs one put of client 0 at member 1, whose connections `fault` troubles for
/// 300 ms from the start; returns when the put reached the member's disk, after
/// which time its client knew, and the outcome.
fn put_under(fault: impl FnOnce(&World) + Send + 'static) -> (u64, Outcome) {
    let done = run(setup(1), move |world| async move {
        fault(&world);
        let healer = world.clone();
        world.spawn(async move {
            healer.sleep(300 * MS).await;
            healer.heal(7);
        });
        let outcome = world.client(0).call(1, put(), second()).await;
        let other = world.client(1).call(2, put(), second()).await;
        assert_eq!(revision(&other), 1, "another member's connections are fine");
        outcome
    });
    assert_eq!(took(&done.history[1]), LATENCY + FSYNC + LATENCY);
    assert!(done.link_hits[&7].client > 0);
    let outcome = done.value.expect("the story ended");
    (took(&done.history[0]), outcome)
}

#[test]
fn calls_and_answers_are_delayed_each_by_itself() {
    let sound = LATENCY + FSYNC + LATENCY;
    for (way, later) in [
        (ClientWay::Calls, 20 * MS),
        (ClientWay::Answers, 20 * MS),
        (ClientWay::Both, 40 * MS),
    ] {
        let (took, outcome) = put_under(move |world| {
            world.delay_clients(7, 1, way, (20 * MS..=20 * MS).into());
        });
        assert_eq!((took, revision(&outcome)), (sound + later, 1), "{way:?}");
    }
}

#[test]
fn what_a_cut_keeps_arrives_when_it_ends() {
    let (took, outcome) = put_under(|world| world.cut_clients(7, 1, ClientWay::Calls));
    assert_eq!(
        (took, revision(&outcome)),
        (300 * MS + FSYNC + LATENCY, 1),
        "the call arrived late"
    );
    let (took, outcome) = put_under(|world| world.cut_clients(7, 1, ClientWay::Answers));
    assert_eq!((took, revision(&outcome)), (300 * MS, 1), "the answer did");
}

#[test]
fn a_call_that_nobody_waits_for_any_more_still_arrives() {
    let done = run(setup(1), |world| async move {
        world.cut_clients(7, 1, ClientWay::Both);
        let first = world.client(0).call(1, put(), second()).await;
        world.heal(7);
        world.sleep(100 * MS).await;
        (first, world.client(1).call(1, put(), second()).await)
    });
    let (first, second) = done.value.expect("the story ended");
    assert_eq!(first, Outcome::Unknown(Why::Timeout));
    assert_eq!(revision(&second), 2, "the first put took effect");
}

#[test]
fn what_is_open_when_the_run_ends_is_unknown_and_counted() {
    let done = run(setup(1), |world| async move {
        let other = world.clone();
        world.spawn(async move {
            other.client(0).call(1, put(), second()).await;
        });
        world.sleep(FSYNC / 2).await;
    });
    assert_eq!(done.history[0].outcome, Outcome::Unknown(Why::RunEnded));
    assert_eq!((done.stats.ops_ok, done.stats.ops_unknown), (0, 1));
}
