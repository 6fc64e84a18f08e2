//! Fsyncs that fail, after which pages count as clean, and fsyncs that lie.

use crate::support::*;
use squall_api::{Disk, Open, SyncId};
use squall_sim::{DiskFaultKind, NodeDisk, PowerLoss, Region};
use std::path::Path;

#[test]
fn after_a_failed_fsync_the_dirty_pages_count_as_clean_and_are_not_on_the_disk() {
    let disk = disk();
    let mount = disk.mount();
    let old = vec![b'0'; 3 * PAGE];
    let file = durable(&mount, "db/a", &old);
    step(&disk, 10_000);
    file.write_at(0, b"1").unwrap();
    file.write_at(PAGE as u64, b"1").unwrap();
    file.write_at(3 * PAGE as u64, b"1").unwrap();
    disk.inject(1, fsync_errors(1.0));
    let error = file.sync().unwrap_err();
    assert_eq!(error.to_string(), "input/output error: fsync of db/a");
    disk.clear(1);
    step(&disk, 1_000_000);
    let mut seen = old.clone();
    (seen[0], seen[PAGE]) = (b'1', b'1');
    seen.push(b'1');
    assert_eq!(read(&file).unwrap(), seen, "the page cache has them");

    // The second page is written again, elsewhere in it: all of it is written
    // out. The first and the last are not.
    file.write_at(PAGE as u64 + 100, b"2").unwrap();
    file.sync().unwrap();
    step(&disk, 2_000_000);
    (seen[PAGE + 100], seen[3 * PAGE]) = (b'2', b'1');
    assert_eq!(read(&file).unwrap(), seen);
    let mut left = seen.clone();
    (left[0], left[3 * PAGE]) = (b'0', 0);
    assert_eq!(after_power_loss(&disk, "db/a"), left);

    // A killed process leaves the cache; power loss takes it.
    disk.crash(2_000_000, PowerLoss::Kept);
    let mount = disk.mount();
    assert_eq!(content(&mount, "db/a"), seen);
    disk.crash(2_000_000, PowerLoss::Torn);
    let mount = disk.mount();
    assert_eq!(content(&mount, "db/a"), left);
    let file = mount.open(Path::new("db/a"), Open::Existing).unwrap();
    file.write_at(0, b"3").unwrap();
    file.sync().unwrap();
    left[0] = b'3';
    assert_eq!(after_power_loss(&disk, "db/a"), left);
    assert_eq!(fired(&disk, DiskFaultKind::FsyncError), 1);
}

#[test]
fn a_page_that_failed_twice_is_as_it_was_before_the_first_time() {
    let disk = disk();
    let mount = disk.mount();
    let file = durable(&mount, "db/a", b"000");
    disk.inject(1, fsync_errors(1.0));
    file.write_at(0, b"1").unwrap();
    assert!(file.sync().is_err());
    step(&disk, 1_000_000);
    file.write_at(1, b"2").unwrap();
    assert!(file.sync().is_err());
    disk.clear(1);
    step(&disk, 2_000_000);
    file.sync().unwrap();
    step(&disk, 3_000_000);
    assert_eq!(read(&file).unwrap(), b"120");
    assert_eq!(after_power_loss(&disk, "db/a"), b"000");
    // A write that a crash takes back does not bring the page to the disk.
    file.write_at(2, b"3").unwrap();
    assert_eq!(after_power_loss(&disk, "db/a"), b"000");
    file.sync().unwrap();
    assert_eq!(after_power_loss(&disk, "db/a"), b"123");
}

#[test]
fn a_crash_before_a_sync_has_failed_finds_the_pages_dirty() {
    let disk = disk();
    let mount = disk.mount();
    let file = durable(&mount, "db/a", b"0");
    step(&disk, 10_000);
    disk.inject(1, fsync_errors(1.0));
    file.write_at(0, b"1").unwrap();
    assert!(file.sync().is_err());
    disk.clear(1);
    let early = disk.fork();
    early.crash(10_000 + WRITE + FSYNC - 1, PowerLoss::Kept);
    let mount = early.mount();
    let file = mount.open(Path::new("db/a"), Open::Existing).unwrap();
    file.sync().unwrap();
    assert_eq!(after_power_loss(&early, "db/a"), b"1");
    disk.crash(10_000 + WRITE + FSYNC, PowerLoss::Kept);
    let mount = disk.mount();
    let file = mount.open(Path::new("db/a"), Open::Existing).unwrap();
    file.sync().unwrap();
    assert_eq!(read(&file).unwrap(), b"1");
    assert_eq!(after_power_loss(&disk, "db/a"), b"0");
}

#[test]
fn an_asynchronous_fsync_fails_when_it_ends() {
    let disk = disk();
    let mount = disk.mount();
    let file = durable(&mount, "wal/a", b"00");
    let t = 10_000;
    step(&disk, t);
    disk.inject(1, fsync_errors(1.0));
    file.write_at(0, b"1").unwrap();
    file.start_sync(SyncId(1));
    disk.clear(1);
    file.write_at(1, b"2").unwrap();
    file.start_sync(SyncId(2));
    for sync in disk.take_started() {
        step(&disk, sync.due);
        let result = disk.finish_sync(sync.id);
        assert_eq!(result.is_err(), sync.id == SyncId(1));
    }
    assert_eq!(read(&file).unwrap(), b"12");
    // The second write made the page dirty again, so that both are durable.
    assert_eq!(after_power_loss(&disk, "wal/a"), b"12");
}

#[test]
fn a_failed_sync_of_a_directory_leaves_names_to_the_next_one() {
    let disk = disk();
    let mount = disk.mount();
    create(&mount, "wal/a").sync().unwrap();
    disk.inject(1, fsync_errors(1.0));
    let error = mount.sync_dir(Path::new("wal")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "input/output error: fsync of the directory wal"
    );
    disk.clear(1);
    let names = |disk: &NodeDisk| {
        let fork = disk.fork();
        fork.crash(1 << 40, PowerLoss::Lost);
        fork.mount().list(Path::new("wal")).unwrap().len()
    };
    assert_eq!(names(&disk), 0);
    mount.sync_dir(Path::new("wal")).unwrap();
    assert_eq!(names(&disk), 1);
}

#[test]
fn a_lying_fsync_makes_nothing_durable_until_an_honest_one_does() {
    let disk = disk();
    let mount = disk.mount();
    let file = durable(&mount, "wal/a", b"00");
    let db = durable(&mount, "db/b", b"00");
    disk.inject(1, lies(Region::Wal));
    file.write_at(0, b"1").unwrap();
    file.sync().unwrap();
    db.write_at(0, b"1").unwrap();
    db.sync().unwrap();
    create(&mount, "wal/c");
    mount.sync_dir(Path::new("wal")).unwrap();
    step(&disk, 1_000_000);
    assert_eq!(after_power_loss(&disk, "wal/a"), b"00");
    assert_eq!(
        after_power_loss(&disk, "db/b"),
        b"10",
        "of another directory"
    );
    let lost = disk.fork();
    lost.crash(1_000_000, PowerLoss::Lost);
    assert_eq!(met(&lost, DiskFaultKind::FsyncLie), 1);
    let mount_of_lost = lost.mount();
    assert!(
        mount_of_lost
            .open(Path::new("wal/c"), Open::Existing)
            .is_err()
    );

    file.start_sync(SyncId(1));
    let due = disk.take_started()[0].due;
    step(&disk, due);
    disk.finish_sync(SyncId(1)).unwrap();
    assert_eq!(after_power_loss(&disk, "wal/a"), b"00");
    assert_eq!(fired(&disk, DiskFaultKind::FsyncLie), 3);
    disk.clear(1);
    assert_eq!(after_power_loss(&disk, "wal/a"), b"00");
    file.sync().unwrap();
    assert_eq!(after_power_loss(&disk, "wal/a"), b"10");
    disk.crash(1 << 40, PowerLoss::Lost);
    assert_eq!(met(&disk, DiskFaultKind::FsyncLie), 0, "it did no harm");
}
