//! Processes and clocks.

use crate::made::*;
use crate::member::{BEAT, RECORD, Saw};
use squall_api::{ClusterRequest, Now};
use squall_record::{Call, Op};

/// A crash of n1, perhaps in the midst of a sync.
fn crash(kind: &str, disk: &str, seed: u64) -> Made {
    let fault = format!(
        "[[fault]]\nat = \"500ms..510ms\"\ncrash = {{ node = \"n1\", disk = \"{disk}\", restart_after = \"50ms\" }}\n"
    );
    make_with(kind, &fault, seed)
}

/// Five runs in which the crash came while a record was not synced.
fn unsynced(kind: &str, disk: &str) -> Vec<Made> {
    let runs = (1..=40).map(|seed| crash(kind, disk, seed));
    let hit = runs.filter(|made| made.crashes()[0].0 > 0);
    let hit: Vec<Made> = hit.take(5).collect();
    assert_eq!(hit.len(), 5, "of 40");
    hit
}

/// When n1 sent its heartbeats, by its own clocks.
fn beats(made: &Made) -> Vec<Now> {
    let own = made.diary.of(1).into_iter();
    own.filter(|(_, saw)| *saw == Saw::Beat)
        .map(|(now, _)| now)
        .collect()
}

fn clock(kind: &str, what: &str) -> Made {
    make(
        kind,
        &format!("[[fault]]\nat = \"500ms\"\nfor = \"500ms\"\n{what}\n"),
    )
}

/// When what n1 sent arrived at n2, in steps.
fn steps(made: &Made) -> Vec<u64> {
    made.heard(1, 2)
        .windows(2)
        .map(|two| two[1] - two[0])
        .collect()
}

shown! {
    a_kill_keeps_what_was_written = "crash kept", |kind| {
        for made in unsynced(kind, "kept") {
            let before = made.acknowledged(made.during.start + LATENCY);
            assert_eq!(made.crashes()[0].1, 0);
            assert_eq!(made.diary.opened(1)[1].len(), (before + 1) * RECORD);
            assert!(made.diary.opened(1)[1].bytes().all(|sector| sector == b'x'));
        }
    }

    a_power_loss_takes_what_was_not_synced = "crash lost", |kind| {
        for made in unsynced(kind, "lost") {
            let before = made.acknowledged(made.during.start + LATENCY);
            assert_eq!(made.crashes()[0], (4, 4));
            assert_eq!(made.diary.opened(1)[1], "x".repeat(before * RECORD));
        }
    }

    a_torn_write_leaves_some_of_its_sectors = "crash torn_write", |kind| {
        let mut parts = 0;
        for made in unsynced(kind, "torn_write") {
            let before = made.acknowledged(made.during.start + LATENCY);
            let found = made.diary.opened(1)[1].clone();
            let rest = found.strip_prefix(&"x".repeat(before * RECORD)).expect("it was synced");
            let kept = rest.bytes().filter(|sector| *sector == b'x').count();
            assert!(kept <= RECORD);
            parts += usize::from(0 < kept && kept < RECORD);
        }
        assert!(parts > 0, "no record was torn");
    }

    it_dies_again_as_it_recovers = "crash again_at", |kind| {
        let made = make(kind, "[[fault]]\nat = \"500ms\"\ncrash = { node = \"n1\", disk = \"kept\", restart_after = \"50ms\", again_at = 1 }\n");
        assert_eq!(made.crashes().len(), 2);
        // Its first operation is the sync of a directory, before it reads.
        assert_eq!(made.diary.opened(1).len(), 3);
        assert_eq!(made.diary.opened(1)[1], made.diary.opened(1)[2]);
    }

    a_stop_is_asked_for = "stop", |kind| {
        let made = make(kind, "[[fault]]\nat = \"500ms\"\nstop = { node = \"n1\", restart_after = \"200ms\" }\n");
        assert_eq!(made.ended(), ["stopped cleanly"]);
        assert!(made.diary.of(1).iter().any(|(_, saw)| *saw == Saw::Stop));
        assert!(made.crashes().is_empty());
        assert_eq!(made.diary.opened(1).len(), 2, "it started again");
    }

    clocks_run_on_in_a_pause = "pause", |kind| {
        let made = clock(kind, r#"pause = { node = "n1" }"#);
        assert_eq!(steps(&made).into_iter().filter(|step| *step > BEAT).count(), 1);
        let beats = beats(&made);
        let stood = beats.windows(2).map(|two| two[1].mono - two[0].mono).max().unwrap();
        assert!(stood >= 500 * MS, "{stood}");
        // What came meanwhile was heard all at once.
        let mut at: Vec<u64> = (made.diary.of(1).into_iter())
            .filter(|(_, saw)| *saw == Saw::Heard(2))
            .map(|(now, _)| now.mono)
            .collect();
        let all = at.len();
        at.dedup();
        assert!(all - at.len() >= 48, "{} of {all}", all - at.len());
    }

    each_step_takes_longer = "slow_cpu", |kind| {
        let puts = clock(kind, r#"slow_cpu = { node = "n1", factor = 100 }"#).puts();
        // 100 times 20 us.
        assert!(puts.len() > 5 && puts.iter().all(|took| *took == PUT + 2 * MS), "{puts:?}");
    }

    a_wiped_disk_is_empty = "wipe", |kind| {
        let made = make(kind, "[[fault]]\nat = \"500ms\"\nwipe = { node = \"n1\", restart_after = \"50ms\" }\n");
        assert!(made.acknowledged(made.during.start) > 10);
        assert_eq!(made.diary.opened(1), ["", ""]);
    }

    a_machine_that_is_gone_stays_away_and_somebody_looks_after_it = "replace", |kind| {
        let made = make(kind, "[[fault]]\nat = \"500ms\"\nreplace = { node = \"n1\" }\n");
        assert_eq!(made.crashes().len(), 1);
        // Nobody here can remove a member, so that it is found again in the end.
        let begun = made.during.start;
        let away = begun + 2 * LATENCY..begun + 900 * MS;
        assert!(!made.heard(1, 2).iter().any(|t| away.contains(t)));
        let is_list = |op: &&Op| matches!(op.call, Call::Cluster(ClusterRequest::MemberList(_)));
        assert!(made.history.iter().filter(is_list).count() > 1, "others are asked, too");
        assert!(made.diary.opened(6).is_empty(), "and nobody has joined");
    }

    it_goes_on_as_a_later_release = "upgrade", |kind| {
        let made = make(kind, "[[fault]]\nat = \"500ms\"\nupgrade = { node = \"n1\", to = \"3.7\", restart_after = \"50ms\" }\n");
        assert_eq!(made.ended(), ["stopped cleanly"]);
        assert_eq!(made.diary.versions(1), ["3.6", "3.7"]);
        assert_eq!(made.diary.versions(2), ["3.6"]);
        assert!(!made.diary.opened(1)[1].is_empty(), "with its disk");
    }

    it_goes_on_as_an_earlier_release = "downgrade", |kind| {
        let made = make(kind, "[[fault]]\nat = \"500ms\"\ndowngrade = { node = \"n1\", to = \"3.5\", restart_after = \"50ms\" }\n");
        assert_eq!(made.ended(), ["stopped cleanly"]);
        assert_eq!(made.diary.versions(1), ["3.6", "3.5"]);
        assert!(!made.diary.opened(1)[1].is_empty(), "with its disk");
    }

    a_skewed_clock_is_ahead_and_runs_fast = "clock_skew", |kind| {
        let made = clock(kind, r#"clock_skew = { node = "n1", wall_step = "+3s", drift_ppm = 100000 }"#);
        // A tenth faster.
        let fast = steps(&made).into_iter().filter(|step| step.abs_diff(BEAT * 10 / 11) < 3).count();
        assert!(fast >= 50, "{fast}");
        let beats = beats(&made);
        let ahead = |now: &&Now| now.wall - beats[0].wall > 2_999 * MS + (now.mono - beats[0].mono);
        assert!((50..60).contains(&beats.iter().filter(ahead).count()));
    }

    a_frozen_clock_stands_still = "clock_freeze", |kind| {
        let made = clock(kind, r#"clock_freeze = { node = "n1" }"#);
        let stood = steps(&made).into_iter().max().unwrap();
        assert!(stood >= 500 * MS, "{stood}");
        let beats = beats(&made);
        assert!(beats.windows(2).all(|two| two[1].mono - two[0].mono == BEAT), "and does not know");
    }

    a_wall_clock_jumps_and_timers_do_not_care = "clock_step", |kind| {
        let made = make(kind, "[[fault]]\nat = \"500ms\"\nclock_step = { node = \"n1\", by = \"-3600s\" }\n");
        assert!(steps(&made).iter().all(|step| *step == BEAT));
        let beats = beats(&made);
        let back = beats.windows(2).filter(|two| two[1].wall < two[0].wall);
        assert_eq!(back.count(), 1);
    }
}
