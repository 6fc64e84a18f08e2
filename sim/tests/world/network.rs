//! Faults of the network, each shown by what it does to heartbeats: member 1
//! sends one to member 2 at 0, 100, 200 ... ms after it has opened, which takes
//! 2 ms.

use crate::tiny::*;
use squall_record::{DropReason, Event, Kind};
use squall_sim::world::{Setup, World};
use squall_sim::{Bandwidth, LatencyModel, LinkFault, LinkParams};

/// True time `ms` milliseconds after the members have opened: that takes one
/// sync of a directory.
pub(crate) fn at(ms: u64) -> u64 {
    FSYNC + ms * MS
}

/// When frames of member 1 arrived at member 2, in milliseconds.
pub(crate) fn arrivals(events: &[Event]) -> Vec<u64> {
    let arrived = |e: &&Event| {
        e.node == Some(2) && matches!(e.kind, Kind::Delivered { from, .. } if from == 1)
    };
    events
        .iter()
        .filter(arrived)
        .map(|e| (e.t - at(0)) / MS)
        .collect()
}

fn dropped(events: &[Event], reason: DropReason) -> usize {
    let lost = |e: &&Event| matches!(e.kind, Kind::Dropped { why, .. } if why == reason);
    events.iter().filter(lost).count()
}

/// A run to 750 ms, in which `fault` is called at 150 ms and healed at 450 ms.
fn degraded(setup: Setup, fault: impl FnOnce(&World) + Send + 'static) -> Vec<Event> {
    let done = run(setup, |world| async move {
        world.sleep_until(at(150)).await;
        fault(&world);
        world.sleep_until(at(450)).await;
        world.heal(7);
        world.sleep_until(at(750)).await;
    });
    assert_eq!(done.stats.marks.get("net.damage_unnoticed"), None);
    done.events
}

const SOUND: [u64; 8] = [2, 102, 202, 302, 402, 502, 602, 702];

#[test]
fn added_latency_is_added_in_one_direction_while_it_lasts() {
    let events = degraded(setup(1), |world| {
        let delay = (30 * MS..=30 * MS).into();
        world.degrade(
            7,
            1,
            2,
            LinkFault {
                delay,
                ..LinkFault::NONE
            },
        );
        world.degrade(
            7,
            2,
            3,
            LinkFault {
                loss: 1.0,
                ..LinkFault::NONE
            },
        );
    });
    assert_eq!(arrivals(&events), [2, 102, 232, 332, 432, 502, 602, 702]);
    assert_eq!(dropped(&events, DropReason::Loss), 3, "from 2 to 3");
}

#[test]
fn duplicates_arrive_twice() {
    let events = degraded(setup(1), |world| {
        world.degrade(
            7,
            1,
            2,
            LinkFault {
                duplicate: 1.0,
                ..LinkFault::NONE
            },
        );
    });
    let twice = [2, 102, 202, 202, 302, 302, 402, 402, 502, 602, 702];
    assert_eq!(arrivals(&events), twice);
}

#[test]
fn what_falls_behind_is_overtaken() {
    let events = degraded(setup(1), |world| {
        let behind = LinkFault {
            reorder: 1.0,
            reorder_by: 250 * MS..=250 * MS,
            ..LinkFault::NONE
        };
        world.degrade(7, 1, 2, behind);
    });
    // Sent at 200, 300 and 400 ms; those of 500 and 600 ms did not wait.
    assert_eq!(arrivals(&events), [2, 102, 452, 502, 552, 602, 652, 702]);
}

#[test]
fn damage_is_noticed_by_the_checksum() {
    let events = degraded(setup(1), |world| {
        world.degrade(
            7,
            1,
            2,
            LinkFault {
                corrupt: 1.0,
                ..LinkFault::NONE
            },
        );
    });
    assert_eq!(arrivals(&events), [2, 102, 502, 602, 702]);
    assert_eq!(dropped(&events, DropReason::Corrupt), 3);
}

#[test]
fn a_narrow_link_queues_and_a_full_queue_drops() {
    let narrow = |queue_bytes| {
        degraded(setup(1), move |world| {
            // A heartbeat's frame has less than 60 bytes: 250 to 300 ms each.
            let bandwidth = Bandwidth {
                bytes_per_second: 200,
                queue_bytes,
            };
            let bandwidth = Some(bandwidth);
            world.degrade(
                7,
                1,
                2,
                LinkFault {
                    bandwidth,
                    ..LinkFault::NONE
                },
            );
        })
    };
    let patient = narrow(1_000);
    let sent_at_200 = arrivals(&patient)[2];
    let takes = sent_at_200 - 202;
    assert!(takes > 100, "{takes}");
    // One behind the other; and who comes after the fault does not overtake.
    let third = 202 + 3 * takes;
    assert_eq!(arrivals(&patient)[2..4], [202 + takes, 202 + 2 * takes]);
    assert!(
        arrivals(&patient)[4..]
            .iter()
            .all(|at| at.abs_diff(third) <= 3)
    );
    assert_eq!(dropped(&patient, DropReason::Queue), 0);
    let hasty = narrow(0);
    assert_eq!(dropped(&hasty, DropReason::Queue), 2);
}

#[test]
fn nothing_moves_on_a_clogged_link_and_everything_goes_on_afterwards() {
    let done = run(setup(1), |world| async move {
        // The beat of 100 ms is half-way.
        world.sleep_until(at(101)).await;
        world.clog(7, 1, 2);
        world.clog(8, 1, 2);
        world.sleep_until(at(350)).await;
        world.heal(7);
        world.sleep_until(at(450)).await;
        world.heal(8);
        // A message that was under way when one clog set in and is when the
        // next one does.
        world.sleep_until(at(501)).await;
        world.clog(9, 1, 2);
        world.sleep_until(at(510)).await;
        world.heal(9);
        world.sleep_until(at(750)).await;
    });
    // 1 ms was left to the first, 2 ms to those that had not begun.
    assert_eq!(
        arrivals(&done.events),
        [2, 451, 452, 452, 452, 511, 602, 702]
    );
}

#[test]
fn a_clogged_link_stays_fifo() {
    let mut setup = setup(1);
    // The beat of 100 ms may take longer than the clog and a later beat.
    setup.link.latency = (MS..=400 * MS).into();
    let done = run(setup, |world| async move {
        for n in 0..10 {
            world.sleep_until(at(101 + 90 * n)).await;
            world.clog(7, 1, 2);
            world.sleep(40 * MS).await;
            world.heal(7);
        }
        world.sleep_until(at(3_000)).await;
    });
    let order = done.events.iter().filter_map(|e| match e.kind {
        Kind::Delivered { msg, from: 1 } if e.node == Some(2) => Some(msg),
        _ => None,
    });
    let order: Vec<u64> = order.collect();
    assert!(order.len() > 20 && order.is_sorted(), "{order:?}");
}

#[test]
fn what_is_held_arrives_at_once_when_it_is_released() {
    let events = degraded(setup(1), |world| {
        world.hold(7, 1, 2);
        world.hold(7, 1, 3);
    });
    assert_eq!(arrivals(&events), [2, 102, 450, 450, 450, 502, 602, 702]);
}

#[test]
fn what_is_held_is_lost_if_it_is_released_into_a_cut() {
    let events = degraded(setup(1), |world| {
        world.hold(7, 1, 2);
        world.cut(8, 1, 2);
    });
    assert_eq!(arrivals(&events), [2, 102]);
}

#[test]
fn one_fault_s_end_leaves_the_others() {
    let done = run(setup(1), |world| async move {
        world.sleep_until(at(150)).await;
        let delay = |ms: u64| LinkFault {
            delay: (ms * MS..=ms * MS).into(),
            ..LinkFault::NONE
        };
        world.degrade(1, 1, 2, delay(10));
        world.degrade(2, 1, 2, delay(20));
        world.sleep_until(at(250)).await;
        world.heal(1);
        world.sleep_until(at(350)).await;
        world.heal(2);
        world.heal(3);
        world.sleep_until(at(450)).await;
    });
    assert_eq!(arrivals(&done.events), [2, 102, 232, 322, 402]);
}

#[test]
fn a_fault_that_is_removed_leaves_the_others_draws_in_place() {
    // A hundred schedules of two faults on links with loss, and each with
    // either fault left out: what the other fault does, it does again.
    for seed in 0..100 {
        let lossy = move |first: bool, second: bool| {
            let mut setup = setup(seed);
            setup.link = LinkParams {
                latency: LatencyModel::Exponential { min: MS, mean: MS },
                loss: 0.1,
                duplicate: 0.1,
                reorder: true,
            };
            let done = run(setup, move |world| async move {
                let worse = LinkFault {
                    loss: 0.5,
                    delay: LatencyModel::Bimodal {
                        body: 0..=MS,
                        tail: 10 * MS..=20 * MS,
                        tail_probability: 0.2,
                    },
                    ..LinkFault::NONE
                };
                world.sleep_until(at(250)).await;
                if first {
                    world.degrade(1, 1, 3, worse.clone());
                    world.cut(1, 3, 2);
                }
                world.sleep_until(at(450)).await;
                if second {
                    world.degrade(2, 1, 2, worse);
                }
                world.sleep_until(at(1_250)).await;
                world.heal(1);
                world.heal(2);
                world.sleep_until(at(2_000)).await;
            });
            let to = |node: u64| {
                let seen = done.events.iter().filter_map(move |e| match e.kind {
                    Kind::Delivered { from: 1, .. } if e.node == Some(node) => Some(e.t),
                    _ => None,
                });
                seen.collect::<Vec<u64>>()
            };
            (to(2), to(3))
        };
        let both = lossy(true, true);
        assert_eq!(lossy(false, true).0, both.0, "seed {seed}");
        assert_eq!(lossy(true, false).1, both.1, "seed {seed}");
    }
}

#[test]
fn sound_links_deliver_every_beat() {
    assert_eq!(arrivals(&degraded(setup(1), |_| {})), SOUND);
}
