//! Disks: what a put takes, and what a member finds when it opens.

use crate::made::*;
use crate::member::RECORD;

/// What happens to the disk of n1 for half a second, and then, perhaps, a power
/// loss.
fn disk(kind: &str, what: &str) -> Made {
    make(
        kind,
        &format!("[[fault]]\nat = \"500ms\"\nfor = \"500ms\"\n{what}\n"),
    )
}

const POWER_LOSS: &str = "
[[fault]]
at = \"1200ms\"
crash = { node = \"n1\", disk = \"lost\", restart_after = \"50ms\" }";

/// So many whole records.
fn records(n: usize) -> String {
    "x".repeat(n * RECORD)
}

/// It ended once, for this reason, and went on where it was when the fault ended.
fn ended_and_went_on(made: &Made, reason: &str) {
    assert!(
        matches!(made.ended()[..], [why] if why.contains(reason)),
        "{:?}",
        made.ended()
    );
    let before = made.acknowledged(made.during.end);
    assert!(before > 10);
    assert_eq!(made.diary.opened(1), ["".to_owned(), records(before)]);
}

shown! {
    syncs_are_stalled = "fsync_stall", |kind| {
        let puts = disk(kind, r#"fsync_stall = { node = "n1", delay = "20ms" }"#).puts();
        assert!(puts.len() > 5 && puts.iter().all(|took| *took == PUT + 20 * MS), "{puts:?}");
    }

    everything_is_slow = "slow_disk", |kind| {
        let puts = disk(kind, r#"slow_disk = { node = "n1", factor = 4, delay = "5ms" }"#).puts();
        let took = 2 * LATENCY + (4 * WRITE + 5 * MS) + (4 * FSYNC + 5 * MS);
        assert!(puts.len() > 5 && puts.iter().all(|put| *put == took), "{puts:?}");
    }

    bytes_wait_for_their_turn = "throttle", |kind| {
        // A record has 2 KiB.
        let puts = disk(kind, r#"throttle = { node = "n1", rate = "100KiB" }"#).puts();
        assert!(puts.len() > 5 && puts.iter().all(|took| *took == PUT + 20 * MS), "{puts:?}");
    }

    writes_fail_and_change_nothing = "write_error", |kind| {
        let made = disk(kind, r#"write_error = { node = "n1", region = "wal", probability = 1 }"#);
        ended_and_went_on(&made, "input/output error: write of wal/count");
    }

    a_failed_sync_leaves_what_a_power_loss_takes = "fsync_error", |kind| {
        let fault = r#"fsync_error = { node = "n1", region = "wal", probability = 1 }"#;
        let made = disk(kind, &format!("{fault}{POWER_LOSS}"));
        assert!(made.ended()[0].contains("input/output error: fsync of wal/count"));
        let acknowledged = made.acknowledged(made.during.end);
        let [_, seen, left] = &made.diary.opened(1)[..] else {
            panic!("{:?}", made.diary.opened(1))
        };
        assert_eq!(*seen, records(acknowledged + 1), "the page cache has it");
        let lost = left.strip_prefix(&records(acknowledged)).expect("what was synced is there");
        assert!(lost.contains('?'), "and the disk does not: {lost}");
    }

    a_lie_is_found_out_by_a_power_loss = "fsync_lie", |kind| {
        let fault = r#"fsync_lie = { node = "n1", region = "wal", probability = 1 }"#;
        let crash = "
[[fault]]
at = \"900ms\"
crash = { node = \"n1\", disk = \"lost\", restart_after = \"200ms\" }";
        let made = disk(kind, &format!("{fault}{crash}"));
        let (honest, all) = (made.acknowledged(made.during.start), made.acknowledged(u64::MAX));
        assert!(honest > 10 && all > honest + 5, "{honest} {all}");
        let found = &made.diary.opened(1)[1];
        assert!(found.len() <= (honest + 1) * RECORD, "{found}");
    }

    a_full_disk_takes_no_more = "disk_full", |kind| {
        let made = disk(kind, r#"disk_full = { node = "n1", room = "4KiB" }"#);
        assert!(matches!(made.ended()[..], [why] if why.contains("no space left on device")));
        assert!((1..=3).contains(&made.puts().len()), "two records have room, and a page is half full");
        assert!(made.diary.opened(1)[1].starts_with(&records(made.acknowledged(made.during.end))));
    }

    stored_bits_flip_and_flip_back = "bit_rot", |kind| {
        let made = disk(kind, r#"bit_rot = { node = "n1", region = "wal", sectors = 3 }"#);
        assert!(made.ended()[0].contains("is ?"));
        assert!(made.diary.opened(1)[1].bytes().all(|sector| sector == b'x'), "it heals");
    }

    what_was_read_wrongly_is_right_the_next_time = "read_flip", |kind| {
        let made = disk(kind, r#"read_flip = { node = "n1", region = "wal", probability = 0.5 }"#);
        assert!(made.ended()[0].contains("is ?"));
        assert!(made.diary.opened(1)[1].bytes().all(|sector| sector == b'x'));
    }

    sectors_cannot_be_read = "latent_error", |kind| {
        let made = disk(kind, r#"latent_error = { node = "n1", sectors = 3 }"#);
        assert!(made.ended()[0].contains("is !"));
        assert!(made.diary.opened(1)[1].bytes().all(|sector| sector == b'x'), "it heals");
    }

    a_write_goes_elsewhere = "misdirected_write", |kind| {
        let fault = r#"misdirected_write = { node = "n1", region = "wal", probability = 1 }"#;
        let made = disk(kind, fault);
        assert!(made.ended()[0].contains("is ?"));
        assert_eq!(made.puts().len(), 1, "what was written first was acknowledged");
    }

    a_name_is_gone_after_a_power_loss = "lost_name", |kind| {
        let fault = r#"lost_name = { node = "n1", region = "wal", names = 1 }"#;
        let crash = "
[[fault]]
at = \"900ms\"
crash = { node = \"n1\", disk = \"lost\", restart_after = \"50ms\" }";
        let made = disk(kind, &format!("{fault}{crash}"));
        assert!(made.acknowledged(made.during.end) > 10);
        assert_eq!(made.diary.opened(1)[..2], ["", ""]);
    }
}
