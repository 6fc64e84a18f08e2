//! Connections that are reset.

use crate::tiny::*;
use squall_record::{Outcome, Target, Why};
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
