//! Marks are moments: whoever waits for one acts before what comes after it.

use crate::tiny::*;
use squall_record::{Outcome, Target, Why};
use squall_sim::PowerLoss;
use squall_sim::world::Keep;

/// A put at member 1, which is crashed at `mark` and started again; then
/// another put.
fn crashed_at(mark: &'static str) -> (Outcome, u64, Outcome) {
    let done = run(setup(1), move |world| async move {
        let other = world.clone();
        world.spawn(async move {
            let node = other.at_mark(mark, 1).await;
            other.crash(node, PowerLoss::Lost);
            other.sleep(50 * MS).await;
            other.start(node);
        });
        let mut client = world.client(0);
        let first = client.call(1, put(), second()).await;
        world.sleep(200 * MS).await;
        (first, client.call(1, put(), second()).await)
    });
    let (first, second) = done.value.expect("the story ended");
    (first, took(&done.history[0]), second)
}

#[test]
fn a_crash_at_a_mark_takes_the_rest_of_the_step() {
    let (first, took, second) = crashed_at("count.written");
    assert_eq!(first, Outcome::Unknown(Why::Reset));
    assert_eq!(took, 2 * LATENCY, "it crashed when the put arrived");
    assert_eq!(revision(&second), 1, "the sync was after the mark");
}

#[test]
fn a_crash_at_a_later_mark_leaves_what_came_before_it() {
    let (first, took, second) = crashed_at("count.synced");
    assert_eq!(
        first,
        Outcome::Unknown(Why::Reset),
        "the reply came after it"
    );
    assert_eq!(took, LATENCY + FSYNC + LATENCY);
    assert_eq!(revision(&second), 2, "the sync was before the mark");
}

#[test]
fn marks_are_counted_from_the_call_and_by_node() {
    let done = run(setup(1), |world| async move {
        let mut client = world.client(0);
        client.call(1, put(), second()).await;
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        for (of, nth) in [
            (None, 1),
            (None, 3),
            (Some(1), 2),
            (Some(2), 1),
            (Some(3), 1),
        ] {
            let (other, seen) = (world.clone(), seen.clone());
            world.spawn(async move {
                let node = match of {
                    Some(node) => other.at_mark_of(node, "count.written", nth).await,
                    None => other.at_mark("count.written", nth).await,
                };
                seen.lock().unwrap().push((of, nth, node, other.now()));
            });
        }
        world.sleep(MS).await;
        let start = world.now();
        for member in [2, 1, 1] {
            client.call(member, put(), second()).await;
        }
        let each = 2 * LATENCY + FSYNC;
        let at = |n: u64| start + LATENCY + n * each;
        let seen = seen.lock().unwrap().clone();
        assert_eq!(
            seen,
            [
                (None, 1, 2, at(0)),
                (Some(2), 1, 2, at(0)),
                (None, 3, 1, at(2)),
                (Some(1), 2, 1, at(2)),
            ]
        );
        [1, 2, 3].map(|node| world.marks(node, "count.written"))
    });
    assert_eq!(done.value, Some([3, 1, 0]));
    assert_eq!(done.stats.marks["count.written"], 4);
}

#[test]
fn a_pause_at_a_mark_holds_what_comes_after_it() {
    let done = run(setup(1), |world| async move {
        let other = world.clone();
        world.spawn(async move {
            let node = other.at_mark("count.synced", 1).await;
            other.pause(7, node);
            other.sleep(300 * MS).await;
            other.resume(7, node);
        });
        world.client(0).call(1, put(), second()).await
    });
    assert_eq!(took(&done.history[0]), LATENCY + FSYNC + 300 * MS + LATENCY);
}

#[test]
fn all_who_wait_for_a_mark_act_before_what_comes_after_it() {
    let done = run(setup(1), |world| async move {
        for id in 1..=3 {
            let other = world.clone();
            world.spawn(async move {
                let node = other.at_mark("count.synced", 1).await;
                if id == 2 {
                    other.reset_client(0);
                }
                other.step_wall(node, 1);
            });
        }
        world.client(0).call(1, put(), second()).await
    });
    assert_eq!(done.value, Some(Outcome::Unknown(Why::Reset)));
}

#[test]
fn waiting_for_a_mark_changes_nothing() {
    let waited = |wait: bool| {
        let mut setup = setup(3);
        setup.keep = Keep::Notable;
        setup.disk.fsync = 0..=3 * MS;
        let done = run(setup, move |world| async move {
            let other = world.clone();
            world.spawn(async move {
                if !wait {
                    return;
                }
                loop {
                    other.at_mark("count.written", 2).await;
                    other.at_mark("count.synced", 1).await;
                }
            });
            let mut client = world.client(0);
            for n in 0..60 {
                client.call(n % 3 + 1, put(), second()).await;
            }
        });
        (done.hash, done.history)
    };
    assert!(waited(true) == waited(false));
}

#[test]
#[should_panic(expected = "marks are counted from 1")]
fn the_zeroth_passing_never_comes() {
    let result = squall_sim::world::simulate(setup(1), Box::new(()), |world| async move {
        world.at_mark("count.written", 0).await;
    });
    panic!("{}", result.err().expect("it panicked").message);
}
