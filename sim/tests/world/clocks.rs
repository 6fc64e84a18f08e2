//! Faults of clocks, shown by when heartbeats leave: at 0, 100, 200 ... ms after
//! opening, on the node's own clock.

use crate::network::{arrivals, at};
use crate::tiny::*;
use squall_sim::ClockFault;
use squall_sim::world::World;

const FREEZE: ClockFault = ClockFault {
    freeze: true,
    drift_ppm: 0.0,
    wall_offset_ns: 0,
};

/// When beats of member 1 arrive at member 2 in 800 ms, in milliseconds.
fn beats<F: Future<Output = ()> + Send + 'static>(
    faults: impl FnOnce(World) -> F + Send + 'static,
) -> Vec<u64> {
    let done = run(setup(1), |world| async move {
        faults(world.clone()).await;
        world.sleep_until(at(750)).await;
    });
    arrivals(&done.events)
}

#[test]
fn a_frozen_clock_moves_no_timer_until_every_fault_has_let_it_go() {
    let late = beats(|world| async move {
        world.sleep_until(at(150)).await;
        world.disturb_clock(1, 1, FREEZE);
        world.sleep_until(at(250)).await;
        world.disturb_clock(2, 1, FREEZE);
        world.relieve_clock(1, 1);
        world.sleep_until(at(450)).await;
        world.relieve_clock(2, 1);
    });
    // Frozen for 300 ms.
    assert_eq!(late, [2, 102, 502, 602, 702]);
}

#[test]
fn a_fault_bends_a_clock_only_while_it_lasts() {
    let bent = beats(|world| async move {
        world.sleep_until(at(150)).await;
        let drift_ppm = 1_000_000.0;
        let what = ClockFault {
            drift_ppm,
            ..ClockFault::default()
        };
        world.disturb_clock(1, 1, what);
        world.sleep_until(at(350)).await;
        world.relieve_clock(1, 1);
    });
    // Twice as fast for 200 ms: 550 ms have passed at 350.
    assert_eq!(bent, [2, 102, 177, 227, 277, 327, 402, 502, 602, 702]);
}

#[test]
fn an_offset_of_the_wall_clock_moves_no_timer() {
    let offset = beats(|world| async move {
        world.sleep_until(at(150)).await;
        let wall_offset_ns = -3_600_000_000_000;
        let what = ClockFault {
            wall_offset_ns,
            ..ClockFault::default()
        };
        world.disturb_clock(1, 1, what);
        world.sleep_until(at(350)).await;
        world.relieve_clock(1, 1);
    });
    assert_eq!(offset, [2, 102, 202, 302, 402, 502, 602, 702]);
}
