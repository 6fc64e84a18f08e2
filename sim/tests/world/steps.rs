//! Steps, crashes and connections: when things leave, and what is lost.

use crate::tiny::*;
use squall_api::{Effects, Fatal, File, Input, Machine, Now, Response};
use squall_record::{Event, Kind, Outcome, Target, Why};
use squall_sim::world::{Keep, Lanes, simulate};
use squall_sim::{LinkParams, PowerLoss};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_reply_leaves_when_the_disk_time_before_it_has_passed() {
    let done = run(setup(1), |world| async move {
        world.client(0).call(1, put(), second()).await;
    });
    assert_eq!(took(&done.history[0]), LATENCY + FSYNC + LATENCY);
}

#[test]
fn a_crash_inside_a_step_cuts_its_timeline() {
    let done = run(setup(1), |world| async move {
        let other = world.clone();
        world.spawn(async move {
            // The put is written at once and durable 10 ms later.
            other.sleep(LATENCY + FSYNC / 2).await;
            other.crash(1, PowerLoss::Lost);
            other.sleep(50 * MS).await;
            other.start(1);
        });
        let mut client = world.client(0);
        let first = client.call(1, put(), second()).await;
        world.sleep(200 * MS).await;
        (first, client.call(1, put(), second()).await)
    });
    let (first, second) = done.value.expect("the story ended");
    assert_eq!(first, Outcome::Unknown(Why::Reset));
    assert_eq!(took(&done.history[0]), LATENCY + FSYNC / 2 + LATENCY);
    assert_eq!(
        revision(&second),
        1,
        "what was written but not synced is lost"
    );
    assert_eq!(
        done.history[1].process,
        done.history[0].process + 4,
        "a new process"
    );
}

#[test]
fn what_was_synced_survives_power_loss() {
    let done = run(setup(1), |world| async move {
        let mut client = world.client(0);
        client.call(1, put(), second()).await;
        world.crash(1, PowerLoss::Torn);
        world.sleep(MS).await;
        world.start(1);
        world.sleep(50 * MS).await;
        client.call(1, put(), second()).await
    });
    assert_eq!(revision(&done.value.expect("the story ended")), 2);
}

#[test]
fn nobody_listens_on_a_node_that_is_down() {
    let done = run(setup(1), |world| async move {
        world.crash(2, PowerLoss::Kept);
        world.sleep(MS).await;
        world.client(0).call(2, put(), second()).await
    });
    assert!(
        matches!(done.value, Some(Outcome::Refused(_))),
        "{:?}",
        done.value
    );
    assert_eq!(took(&done.history[0]), 2 * LATENCY);
}

#[test]
fn a_paused_process_answers_after_its_pause() {
    let done = run(setup(1), |world| async move {
        world.pause(0, 1);
        let other = world.clone();
        world.spawn(async move {
            other.sleep(300 * MS).await;
            other.resume(0, 1);
        });
        let mut client = world.client(0);
        let hasty = client.call(1, put(), Duration::from_millis(100)).await;
        (hasty, client.call(1, put(), second()).await)
    });
    let (hasty, patient) = done.value.expect("the story ended");
    assert_eq!(hasty, Outcome::Unknown(Why::Timeout));
    assert_eq!(
        revision(&patient),
        2,
        "the first put was done after the pause all the same"
    );
    // Both waited for the pause's end and then took their turns.
    assert_eq!(took(&done.history[1]), 200 * MS + 2 * FSYNC + LATENCY);
}

#[test]
fn a_pause_inside_a_step_holds_its_effects_back() {
    let done = run(setup(1), |world| async move {
        let other = world.clone();
        world.spawn(async move {
            other.sleep(LATENCY + FSYNC / 2).await;
            other.pause(7, 1);
            other.sleep(300 * MS).await;
            other.resume(7, 1);
        });
        world.client(0).call(1, put(), second()).await
    });
    assert_eq!(
        took(&done.history[0]),
        LATENCY + FSYNC / 2 + 300 * MS + LATENCY
    );
}

#[test]
fn a_stalled_fsync_takes_longer_and_only_while_it_lasts() {
    let done = run(setup(1), |world| async move {
        let mut client = world.client(0);
        world.stall(3, 1, 500 * MS);
        client.call(1, put(), second()).await;
        world.unstall(3, 1);
        client.call(1, put(), second()).await;
    });
    assert_eq!(took(&done.history[0]), LATENCY + FSYNC + 500 * MS + LATENCY);
    assert_eq!(took(&done.history[1]), LATENCY + FSYNC + LATENCY);
}

#[test]
fn timers_follow_the_nodes_own_clock() {
    let beats = |drift_ppm: f64, wall_step: i64| {
        let mut setup = setup(1);
        setup.members[0].clock.drift_ppm = drift_ppm;
        let done = run(setup, move |world| async move {
            world.step_wall(1, wall_step);
            world.sleep(10_000 * MS).await;
        });
        let sent = |e: &&Event| e.node == Some(1) && matches!(e.kind, Kind::Sent { .. });
        (done.events.iter().filter(sent).count() / 2) as i64
    };
    assert_eq!(beats(0.0, 0), 101);
    assert_eq!(
        beats(0.0, -3_600_000_000_000),
        101,
        "the wall clock moves no timer"
    );
    assert!(
        (beats(500_000.0, 0) - 151).abs() <= 1,
        "a clock half as fast again"
    );
}

#[test]
fn a_cut_loses_what_is_under_way_and_only_in_its_direction() {
    let done = run(setup(1), |world| async move {
        // Beats leave at 0, 100, 200 ... ms and arrive 2 ms later.
        world.sleep_until(201 * MS).await;
        world.cut(0, 1, 2);
        world.sleep_until(450 * MS).await;
        world.heal(0);
        world.sleep_until(550 * MS).await;
    });
    let arrived = |from: u64, to: u64| {
        let from_to = |e: &&Event| {
            e.node == Some(to) && matches!(e.kind, Kind::Delivered { from: f, .. } if f == from)
        };
        done.events.iter().filter(from_to).count()
    };
    // Six beats each, at 0 to 500 ms; the cut took those of 200, 300 and 400.
    assert_eq!((arrived(1, 2), arrived(2, 1), arrived(1, 3)), (3, 6, 6));
}

#[test]
fn a_member_that_ends_is_gone_and_says_why() {
    let mut setup = setup(1);
    setup.members[2].open = Arc::new(|_, _| {
        Err(squall_api::OpenError::Corrupt(
            "record 7 is bad: restore from a snapshot".into(),
        ))
    });
    let done = run(
        setup,
        |world| async move { (world.is_up(3), world.ended(3)) },
    );
    let (up, why) = done.value.expect("the story ended");
    assert!(!up);
    assert!(why.expect("it says why").contains("record 7 is bad"));
}

#[test]
fn a_panic_is_a_finding_and_not_the_end_of_the_process() {
    let mut setup = setup(1);
    setup.members[0].open = Arc::new(|_, _| panic!("log index 7 < commit 9"));
    let result = simulate(setup, Box::new(()), |world| async move {
        world.start(1);
        world.sleep(MS).await;
    });
    assert_eq!(
        result.err().expect("it panicked").message,
        "log index 7 < commit 9"
    );
}

#[test]
fn the_same_seed_is_the_same_run_whatever_is_kept() {
    let busy = |seed: u64, keep: Keep| {
        let mut setup = setup(seed);
        setup.keep = keep;
        setup.link = LinkParams {
            latency: (MS..=9 * MS).into(),
            loss: 0.1,
            duplicate: 0.1,
            reorder: true,
        };
        setup.client_link.latency = (MS..=9 * MS).into();
        setup.disk.fsync = MS..=9 * MS;
        let done = run(setup, |world| async move {
            let clients: Vec<_> = (0..4)
                .map(|id| {
                    let other = world.clone();
                    world.spawn(async move {
                        let mut client = other.client(id);
                        for n in 0..40 {
                            client
                                .call(u64::from(id + n) % 3 + 1, put(), second() / 20)
                                .await;
                        }
                    })
                })
                .collect();
            for round in 0..10 {
                world.sleep(40 * MS).await;
                let node = round % 3 + 1;
                world.crash(node, PowerLoss::Torn);
                world.sleep(5 * MS).await;
                world.start(node);
            }
            for client in clients {
                world.join(client).await;
            }
        });
        (done.hash, done.history, done.stats.events)
    };
    let first = busy(5, Keep::Everything);
    assert_eq!(first.1.len(), 160);
    let outcomes = |word: fn(&Outcome) -> bool| first.1.iter().any(|op| word(&op.outcome));
    assert!(outcomes(|o| matches!(o, Outcome::Ok(_))));
    assert!(outcomes(|o| matches!(o, Outcome::Refused(_))));
    assert!(outcomes(|o| matches!(o, Outcome::Unknown(_))));
    for keep in [Keep::Everything, Keep::Notable] {
        assert!(first == busy(5, keep), "another run of seed 5 differs");
    }
    assert_ne!(first.0, busy(6, Keep::Notable).0);
}

/// The first put sets a timer, which is due when the step of the second one ends:
/// that takes as long as a sync.
struct Timed {
    file: Arc<dyn File>,
    timer: Option<u64>,
    puts: u32,
}

impl Machine for Timed {
    fn step(&mut self, now: Now, input: Input, fx: &mut Effects) -> Result<(), Fatal> {
        match input {
            Input::Request { id, .. } if self.puts == 0 => {
                self.puts = 1;
                self.timer = Some(now.mono + 50 * MS);
                fx.reply(id, Ok(Response::Put(answer(1))), true);
            }
            Input::Request { .. } => {
                self.file.sync()?;
                fx.mark("timed.end_of_a_step");
            }
            _ => {
                self.timer = None;
                fx.mark("timed.begin_of_the_next");
            }
        }
        Ok(())
    }

    fn deadline(&self) -> Option<u64> {
        self.timer
    }
}

#[test]
fn a_timer_that_is_due_when_a_step_ends_comes_after_all_that_the_step_did() {
    let mut setup = setup(1);
    setup.members[0].open = Arc::new(|env, now| {
        let file = env.disk.open(Path::new("timed"), squall_api::Open::New)?;
        let raft = open(env, now)?.raft;
        let (timer, puts) = (None, 0);
        let apply = Box::new(Timed { file, timer, puts });
        Ok(Lanes { raft, apply })
    });
    let done = run(setup, |world| async move {
        let mut client = world.client(0);
        let begun = world.now();
        client.call(1, put(), second()).await;
        world.sleep_until(begun + 50 * MS - FSYNC).await;
        client.call(1, put(), Duration::from_millis(100)).await;
    });
    let marks = done.events.iter().filter_map(|event| match &event.kind {
        Kind::Mark { name } if name.starts_with("timed.") => Some((event.t, name.to_string())),
        _ => None,
    });
    let marks: Vec<(u64, String)> = marks.collect();
    let [(ended, first), (began, second)] = &marks[..] else {
        panic!("{marks:?}")
    };
    assert_eq!(ended, began, "the same nanosecond");
    assert_eq!(
        (&first[..], &second[..]),
        ("timed.end_of_a_step", "timed.begin_of_the_next")
    );
}
