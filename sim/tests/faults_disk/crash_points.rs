//! Crashes at each operation, and the images that a power loss may leave.

use crate::support::*;
use squall_api::{Disk, SyncId};
use squall_sim::{DiskOp, NodeDisk, PowerLoss};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

#[test]
fn a_crash_at_any_operation_finds_those_before_it_and_no_others() {
    let program = |disk: &Arc<NodeDisk>| {
        let mount = disk.mount();
        let file = create(&mount, "wal/a");
        file.write_at(0, b"1").unwrap();
        file.sync().unwrap();
        mount.sync_dir(Path::new("wal")).unwrap();
        file.write_at(1, b"2").unwrap();
        file.start_sync(SyncId(1));
        file.set_len(5).unwrap();
        mount
            .rename(Path::new("wal/a"), Path::new("wal/b"))
            .unwrap();
        let due = disk.take_started()[0].due;
        disk.begin_step(due);
        disk.finish_sync(SyncId(1)).unwrap();
        mount.remove(Path::new("wal/b")).unwrap();
    };
    let recon = disk();
    recon.record_operations(true);
    program(&recon);
    let operations = recon.take_operations();
    let names: Vec<&str> = operations.iter().map(|op| op.what.name()).collect();
    assert_eq!(
        names,
        [
            "create",
            "write",
            "sync",
            "sync_dir",
            "write",
            "start_sync",
            "set_len",
            "rename",
            "finish_sync",
            "remove"
        ]
    );
    assert_eq!(recon.operations(), 10);
    assert_eq!(operations[2].what, DiskOp::Sync);
    assert_eq!(operations[2].path, Path::new("wal/a"));
    assert_eq!(operations[2].ended - operations[2].begun, FSYNC);
    assert_eq!(operations[3].path, Path::new("wal"));
    assert_eq!(operations[8].path, Path::new("wal/b"));

    for operation in &operations {
        let disk = disk();
        disk.crash_at_operation(Some(operation.number));
        program(&disk);
        assert_eq!(disk.take_crash_point().as_ref(), Some(operation));
        assert_eq!(disk.take_crash_point(), None, "it is told once");
    }

    // The end of the first write and the beginning of the first sync are one
    // point; the sync's end is another.
    let disk = disk();
    let mount = disk.mount();
    disk.crash_at_operation(Some(3));
    let file = create(&mount, "wal/a");
    file.write_at(0, b"1").unwrap();
    file.sync().unwrap();
    file.write_at(0, b"2").unwrap();
    mount.sync_dir(Path::new("wal")).unwrap();
    let point = disk.take_crash_point().unwrap();
    let (before, after) = (disk.fork(), disk.fork());
    assert_eq!(
        before.crash(point.begun, PowerLoss::Kept).unsynced_sectors,
        1
    );
    assert_eq!(
        after.crash(point.ended, PowerLoss::Kept).unsynced_sectors,
        0
    );
    assert_eq!(content(&before.mount(), "wal/a"), b"1");
    assert_eq!(content(&after.mount(), "wal/a"), b"1");
}

#[test]
#[should_panic(expected = "a crash of n1 at operation Some(1): 1 have been done")]
fn an_operation_that_was_done_is_waited_for_in_vain() {
    let disk = disk();
    create(&disk.mount(), "wal/a");
    disk.crash_at_operation(Some(1));
}

#[test]
fn images_lose_and_keep_each_unsynced_change_by_itself() {
    let disk = disk();
    let mount = disk.mount();
    let file = durable(&mount, "db/a", &[b'0'; 3 * SECTOR]);
    step(&disk, 10_000);
    for sector in 0..3 {
        file.write_at(sector * SECTOR as u64, &[b'1'; SECTOR])
            .unwrap();
    }
    create(&mount, "db/b");
    let at = 20_000;
    let found: Vec<(String, usize)> = disk
        .images(at, 10)
        .map(|(_, image)| {
            let mount = image.mount();
            let bytes = content(&mount, "db/a");
            let firsts = bytes.chunks(SECTOR).map(|sector| sector[0] as char);
            (firsts.collect(), mount.list(Path::new("db")).unwrap().len())
        })
        .collect();
    let found: Vec<(&str, usize)> = found.iter().map(|(a, n)| (a.as_str(), *n)).collect();
    assert_eq!(
        found,
        [
            ("000", 1),
            ("111", 2),
            ("111", 1),
            ("000", 2),
            ("011", 2),
            ("100", 2),
            ("101", 2),
            ("010", 2),
            ("110", 2),
            ("001", 2),
        ]
    );
    assert_eq!(disk.counted_images(at), 10);
    assert_eq!(disk.images(at, 4).count(), 4);
    assert_eq!(disk.images(at, 64).count(), 64);
    let words = |number| disk.describe_image(at, number);
    assert_eq!(words(1), "everything unsynced kept");
    assert_eq!(
        words(2),
        "all kept but the changes of the directory db from unsynced change 1 on"
    );
    assert_eq!(words(4), "all kept but unsynced change 1 of db/a");
    assert_eq!(words(12), "drawn sector by sector, draw 2");

    // Drawn images differ from each other, and are the same each time.
    let drawn = |disk: &NodeDisk| -> Vec<Vec<u8>> {
        let images = disk.images(at, 64).skip(10);
        images
            .map(|(_, image)| content(&image.mount(), "db/a"))
            .collect()
    };
    assert_eq!(drawn(&disk), drawn(&disk));
    assert!(drawn(&disk).into_iter().collect::<BTreeSet<_>>().len() > 10);

    disk.crash(at, PowerLoss::Image(5));
    assert_eq!(content(&disk.mount(), "db/a")[SECTOR], b'0');
    assert_eq!(disk.counted_images(at), 1);
    assert_eq!(disk.images(at, 64).count(), 1, "nothing is pending");
}

#[test]
fn a_change_that_needs_another_is_kept_with_its_length() {
    let disk = disk();
    let mount = disk.mount();
    let file = durable(&mount, "db/a", b"00");
    step(&disk, 10_000);
    file.set_len(2_000).unwrap();
    file.write_at(1_024, &[b'1'; SECTOR]).unwrap();
    file.set_len(1_000).unwrap();
    let lengths: Vec<usize> = disk
        .images(20_000, 8)
        .map(|(_, image)| content(&image.mount(), "db/a").len())
        .collect();
    // Lost, kept, then: but the first, only it, but the second, only it ...
    assert_eq!(lengths, [2, 1_000, 2, 2_000, 1_000, 2_000, 2_000, 1_000]);
}
