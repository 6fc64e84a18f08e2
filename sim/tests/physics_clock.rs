//! Clocks: exact inverses of each other's questions, and never back.

use proptest::prelude::*;
use squall_sim::{ClockFault, ClockParams, NodeClock};

const SECOND: u64 = 1_000_000_000;

fn clock(drift_ppm: f64) -> NodeClock {
    NodeClock::new(ClockParams {
        wall_offset_ns: 0,
        drift_ppm,
    })
}

#[test]
fn an_exact_clock_runs_with_true_time_from_an_origin_that_is_not_0() {
    let clock = clock(0.0);
    let origin = clock.now(0).mono;
    assert!(origin > 3_600 * SECOND);
    assert_eq!(clock.now(12_345).mono, origin + 12_345);
    assert_eq!(clock.now(12_345).wall, 1_767_225_600 * SECOND + 12_345);
    assert_eq!(clock.clone().with_origin(5).now(12_345).mono, 12_350);
    assert_eq!(
        clock.clone().with_origin(5).now(12_345).wall,
        clock.now(12_345).wall
    );
}

#[test]
fn drift_is_exact_after_a_year() {
    let year = 365 * 86_400 * SECOND;
    let gained = |ppm| {
        let clock = clock(ppm);
        (clock.now(year).mono - clock.now(0).mono) as i64 - year as i64
    };
    assert_eq!(gained(200.0), (year / 5_000) as i64);
    assert_eq!(gained(-200.0), -((year / 5_000) as i64));
    assert_eq!(gained(0.001), (year / SECOND) as i64);
}

#[test]
fn a_change_of_drift_bends_the_clock_without_a_step() {
    let mut clock = clock(500.0);
    let before = clock.now(3 * SECOND);
    clock.set_drift(3 * SECOND, -500.0);
    assert_eq!(clock.now(3 * SECOND), before);
    assert_eq!(
        clock.now(5 * SECOND).mono,
        before.mono + 2 * SECOND - 1_000_000
    );
    assert_eq!(
        clock.now(5 * SECOND).wall,
        before.wall + 2 * SECOND - 1_000_000
    );
}

#[test]
fn changes_of_drift_lose_no_part_of_a_nanosecond() {
    let mut often = clock(300.0);
    (0..20_000).for_each(|t| often.set_drift(t, 300.0));
    assert_eq!(often.now(20_000), clock(300.0).now(20_000));
}

#[test]
fn a_frozen_clock_shows_what_it_showed_and_reaches_nothing_more() {
    let mut clock = clock(0.0);
    let reached = clock.now(SECOND);
    clock.freeze(SECOND);
    assert_eq!(clock.now(9 * SECOND), reached);
    assert_eq!(clock.true_at(reached.mono + 1), None);
    assert_eq!(
        clock.true_at(reached.mono),
        Some(SECOND),
        "what is due is due"
    );
    clock.set_drift(5 * SECOND, 1_000.0);
    assert_eq!(clock.now(9 * SECOND), reached);
    clock.thaw(10 * SECOND);
    assert_eq!(clock.now(10 * SECOND), reached);
    assert_eq!(
        clock.now(11 * SECOND).mono,
        reached.mono + SECOND + 1_000_000
    );
    assert_eq!(clock.true_at(reached.mono + 1), Some(10 * SECOND + 1));
}

#[test]
fn the_wall_clock_s_offset_and_steps_do_not_touch_mono() {
    let offset = -3_600 * SECOND as i64;
    let mut off = NodeClock::new(ClockParams {
        wall_offset_ns: offset,
        drift_ppm: 10.0,
    });
    let exact = clock(10.0);
    for t in [0, 1, SECOND, 77 * SECOND] {
        assert_eq!(off.now(t).mono, exact.now(t).mono);
        assert_eq!(off.now(t).wall, exact.now(t).wall - 3_600 * SECOND);
    }
    off.step_wall(-5);
    off.step_wall(3_600 * SECOND as i64);
    assert_eq!(off.now(SECOND).mono, exact.now(SECOND).mono);
    assert_eq!(off.now(SECOND).wall, exact.now(SECOND).wall - 5);
    off.step_wall(i64::MIN);
    off.step_wall(i64::MIN);
    assert_eq!(off.now(SECOND).wall, 0, "the wall clock stops at 1970");
}

#[derive(Debug, Clone)]
enum Change {
    Freeze,
    Thaw,
    Drift(f64),
}

fn change() -> impl Strategy<Value = (u64, Change)> {
    let kind = prop_oneof![
        Just(Change::Freeze),
        Just(Change::Thaw),
        (-900_000.0..2_000_000.0).prop_map(Change::Drift),
        (-500.0..500.0).prop_map(Change::Drift),
    ];
    (0..3 * SECOND, kind)
}

proptest! {
    #[test]
    fn true_at_and_now_are_exact_inverses(
        drift in -500.0..500.0,
        changes in prop::collection::vec(change(), 0..12),
        waits in prop::collection::vec(0..10 * SECOND, 8),
    ) {
        let mut clock = clock(drift);
        let (mut t, mut last) = (0, 0);
        let mut frozen = false;
        for (wait, change) in changes {
            t += wait;
            prop_assert!(clock.now(t).mono >= last, "mono went back");
            last = clock.now(t).mono;
            match change {
                Change::Freeze => { clock.freeze(t); frozen = true }
                Change::Thaw => { clock.thaw(t); frozen = false }
                Change::Drift(ppm) => clock.set_drift(t, ppm),
            }
            prop_assert_eq!(clock.now(t).mono, last, "a change made mono jump");
        }
        for wait in waits {
            let mono = last + wait;
            match clock.true_at(mono) {
                Some(at) => {
                    prop_assert!(clock.now(at).mono >= mono, "not reached at {}", at);
                    prop_assert!(at == t || clock.now(at - 1).mono < mono, "reached before {}", at);
                }
                None => prop_assert!(frozen && mono > last),
            }
        }
    }
}

#[test]
fn faults_on_a_clock_add_up_and_each_ends_alone() {
    let freeze = ClockFault {
        freeze: true,
        ..ClockFault::default()
    };
    let fast = ClockFault {
        drift_ppm: 500_000.0,
        wall_offset_ns: 7 * SECOND as i64,
        ..ClockFault::default()
    };
    let mut clock = clock(0.0);
    let start = clock.now(0);
    let passed = |clock: &NodeClock, t: u64| {
        let now = clock.now(t * SECOND);
        let mono = now.mono - start.mono;
        (mono, (now.wall - start.wall) as i64 - mono as i64)
    };
    clock.disturb(0, 1, fast);
    clock.disturb(0, 2, fast);
    assert_eq!(passed(&clock, 1), (2 * SECOND, 14 * SECOND as i64));
    clock.disturb(SECOND, 3, freeze);
    assert_eq!(passed(&clock, 2).0, 2 * SECOND);
    clock.relieve(2 * SECOND, 2);
    clock.relieve(2 * SECOND, 3);
    clock.relieve(2 * SECOND, 9);
    assert_eq!(passed(&clock, 4), (5 * SECOND, 7 * SECOND as i64));
    // A fault that sets in again replaces itself.
    clock.disturb(4 * SECOND, 1, ClockFault::default());
    assert_eq!(passed(&clock, 5), (6 * SECOND, 0));
    let slow = ClockFault {
        drift_ppm: -900_000.0,
        ..ClockFault::default()
    };
    clock.disturb(5 * SECOND, 1, slow);
    clock.disturb(5 * SECOND, 2, slow);
    let (mono, _) = passed(&clock, 1_005);
    assert_eq!(mono, 7 * SECOND, "never back, and never quite still");
}
