//! What a disk no longer holds as it was written, where it was written, or under its name.

use crate::support::*;
use squall_api::{Disk, Open};
use squall_sim::{DiskFault, DiskFaultKind, NodeDisk, PowerLoss, Region};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

#[test]
fn rot_flips_one_bit_in_each_sector_until_that_is_overwritten_or_healed() {
    let disk = disk();
    let mount = disk.mount();
    let data: Vec<u8> = (0..20 * SECTOR).map(|i| i as u8).collect();
    let file = durable(&mount, "db/a", &data);
    step(&disk, 10_000);
    disk.inject(1, rot(3));
    let rotten = read(&file).unwrap();
    assert_eq!(flipped(&rotten, &data), 3);
    assert_eq!(read(&file).unwrap(), rotten, "it stays");
    assert_eq!(after_power_loss(&disk, "db/a"), rotten);
    let sectors: Vec<usize> = (0..20)
        .filter(|i| rotten[i * SECTOR..][..SECTOR] != data[i * SECTOR..][..SECTOR])
        .collect();
    assert_eq!(sectors.len(), 3);
    assert_eq!(fired(&disk, DiskFaultKind::BitRot), 3);
    assert!(met(&disk, DiskFaultKind::BitRot) >= 6);

    // Overwriting repairs it once that is durable, and not if it is lost.
    let at = sectors[0] * SECTOR;
    file.write_at(at as u64, &data[at..at + SECTOR]).unwrap();
    assert_eq!(flipped(&read(&file).unwrap(), &data), 2);
    assert_eq!(flipped(&after_power_loss(&disk, "db/a"), &data), 3);
    file.sync().unwrap();
    assert_eq!(flipped(&after_power_loss(&disk, "db/a"), &data), 2);
    step(&disk, 1_000_000);
    disk.inject(2, rot(1));
    assert_eq!(flipped(&read(&file).unwrap(), &data), 3);
    disk.clear(1);
    assert_eq!(flipped(&read(&file).unwrap(), &data), 1);
    disk.clear(2);
    assert_eq!(read(&file).unwrap(), data);
}

#[test]
fn rot_under_a_dirty_page_shows_only_if_the_page_is_lost() {
    let disk = disk();
    let mount = disk.mount();
    let file = durable(&mount, "db/a", &[b'0'; SECTOR]);
    step(&disk, 10_000);
    file.write_at(0, &[b'1'; SECTOR]).unwrap();
    disk.inject(1, rot(1));
    assert_eq!(read(&file).unwrap(), [b'1'; SECTOR]);
    let mut seen = BTreeSet::new();
    for (_, image) in disk.images(20_000, 2) {
        let found = content(&image.mount(), "db/a");
        let which = if found[1] & 1 == 1 { b'1' } else { b'0' };
        seen.insert((which, flipped(&found, &[which; SECTOR])));
    }
    assert_eq!(seen, BTreeSet::from([(b'0', 1), (b'1', 0)]));
}

#[test]
fn rot_hits_only_its_region_and_what_has_bytes() {
    let disk = disk();
    let mount = disk.mount();
    disk.inject(1, rot(1));
    assert_eq!(fired(&disk, DiskFaultKind::BitRot), 0, "nothing to rot");
    let data = [7; 4 * SECTOR];
    let (wal, db) = (
        durable(&mount, "wal/a", &data),
        durable(&mount, "db/a", &data),
    );
    step(&disk, 10_000);
    disk.inject(
        2,
        DiskFault::BitRot {
            region: Region::Wal,
            sectors: 100,
        },
    );
    assert_eq!(flipped(&read(&wal).unwrap(), &data), 4);
    assert_eq!(read(&db).unwrap(), data);
}

#[test]
fn a_read_that_flips_a_bit_need_not_do_it_again() {
    let disk = disk();
    let mount = disk.mount();
    let data = [5; 1_000];
    let file = durable(&mount, "db/a", &data);
    disk.inject(
        1,
        DiskFault::ReadFlip {
            region: Region::Db,
            probability: 0.5,
        },
    );
    let flips: Vec<u32> = (0..40)
        .map(|_| flipped(&read(&file).unwrap(), &data))
        .collect();
    assert!(flips.iter().all(|flips| *flips <= 1));
    let hit = flips.iter().sum::<u32>();
    assert!((10..30).contains(&hit), "{hit} of 40 at 0.5");
    assert_eq!(met(&disk, DiskFaultKind::ReadFlip), u64::from(hit));
    assert_eq!(after_power_loss(&disk.fork(), "db/a").len(), 1_000);
    disk.clear(1);
    assert_eq!(read(&file).unwrap(), data);
}

#[test]
fn a_latent_error_stays_until_the_whole_sector_is_rewritten() {
    let disk = disk();
    let mount = disk.mount();
    let file = durable(&mount, "db/a", &[1; 2 * SECTOR]);
    step(&disk, 10_000);
    disk.inject(1, latent(1));
    let mut buf = [0; SECTOR];
    let mut failing =
        [0, SECTOR as u64].map(|at| file.read_at(at, &mut buf).map_err(|e| e.to_string()));
    failing.sort();
    assert_eq!(failing[0], Ok(()));
    let error = failing[1].clone().unwrap_err();
    let at: u64 = if error.contains("bytes 0 to 512") {
        0
    } else {
        512
    };
    let expected = format!(
        "input/output error: read of bytes {at} to {} of db/a",
        at + 512
    );
    assert_eq!(error, expected);
    assert!(read(&file).is_err(), "it is sticky");
    disk.crash(1 << 40, PowerLoss::Lost);
    let mount = disk.mount();
    let file = mount.open(Path::new("db/a"), Open::Existing).unwrap();
    assert!(file.read_at(at, &mut buf).is_err(), "it outlives a crash");
    let partial = file.write_at(at + 1, b"x").unwrap_err();
    assert_eq!(
        partial.to_string(),
        format!(
            "input/output error: read of bytes {at} to {}, to write a part of db/a",
            at + 512
        )
    );
    file.write_at(at, &[2; SECTOR]).unwrap();
    file.read_at(at, &mut buf).unwrap();
    assert_eq!(buf, [2; SECTOR]);
    let lost = disk.fork();
    lost.crash(1 << 41, PowerLoss::Lost);
    let mount = lost.mount();
    let old = mount.open(Path::new("db/a"), Open::Existing).unwrap();
    assert!(
        old.read_at(at, &mut buf).is_err(),
        "the rewriting was not durable"
    );
    lost.clear(1);
    old.read_at(at, &mut buf).unwrap();
    assert_eq!(buf, [1; SECTOR]);
    file.sync().unwrap();
    assert_eq!(after_power_loss(&disk, "db/a").len(), 2 * SECTOR);
    assert_eq!(fired(&disk, DiskFaultKind::LatentError), 1);
    assert_eq!(met(&disk, DiskFaultKind::LatentError), 4);
}

#[test]
fn a_misdirected_write_lands_elsewhere_and_leaves_what_it_should_replace() {
    let disk = disk();
    let mount = disk.mount();
    let old: Vec<u8> = (0..8 * SECTOR).map(|i| (i / SECTOR) as u8).collect();
    let file = durable(&mount, "db/a", &old);
    step(&disk, 10_000);
    disk.inject(1, misdirected(1.0));
    let at = 2 * SECTOR + 100;
    file.write_at(at as u64, &[9; SECTOR]).unwrap();
    disk.inject(1, misdirected(0.0));
    let mut meant = old.clone();
    meant[at..at + SECTOR].fill(9);
    assert_eq!(read(&file).unwrap(), meant, "the page cache is right");
    assert_eq!(after_power_loss(&disk, "db/a"), old, "nothing was written");
    file.sync().unwrap();
    step(&disk, 1_000_000);
    let found = read(&file).unwrap();
    assert_eq!(found, after_power_loss(&disk, "db/a"));
    let hit: Vec<usize> = (0..found.len()).filter(|i| found[*i] == 9).collect();
    assert_eq!(hit.len(), SECTOR);
    assert_eq!(hit[0] % SECTOR, 100);
    assert_eq!(hit[SECTOR - 1], hit[0] + SECTOR - 1);
    assert_ne!(hit[0], at);
    let others = (0..found.len()).filter(|i| !hit.contains(i));
    assert!(others.into_iter().all(|i| found[i] == old[i]));
    assert_eq!(fired(&disk, DiskFaultKind::MisdirectedWrite), 1);

    // Writing there again, rightly, is all that it takes.
    file.write_at(0, &meant).unwrap();
    file.sync().unwrap();
    step(&disk, 2_000_000);
    assert_eq!(read(&file).unwrap(), meant);
    assert_eq!(after_power_loss(&disk, "db/a"), meant);
}

#[test]
fn a_misdirected_write_that_overlaps_its_own_place_moves_as_a_whole() {
    for seed in 0..40 {
        let disk = disk_of(seed);
        let mount = disk.mount();
        let file = durable(&mount, "db/a", &[0; 6 * SECTOR]);
        let data: Vec<u8> = (0..4 * SECTOR).map(|i| 1 + (i / SECTOR) as u8).collect();
        disk.inject(1, misdirected(1.0));
        file.write_at(SECTOR as u64, &data).unwrap();
        file.sync().unwrap();
        step(&disk, 1_000_000);
        let found = read(&file).unwrap();
        let at = found.iter().position(|byte| *byte == 1).unwrap();
        assert!(at == 0 || at == 2 * SECTOR, "seed {seed}: {at}");
        assert_eq!(found[at..at + data.len()], data);
        assert_eq!(found.iter().filter(|byte| **byte == 0).count(), 2 * SECTOR);
        disk.clear(1);
        assert_eq!(read(&file).unwrap()[SECTOR..5 * SECTOR], data);
    }
}

#[test]
fn a_lost_name_vanishes_at_the_next_power_loss() {
    let disk = disk();
    let mount = disk.mount();
    for path in ["wal/a", "wal/b", "db/c"] {
        durable(&mount, path, b"x");
    }
    let names = |disk: &Arc<NodeDisk>| {
        let mount = disk.mount();
        ["wal", "db"].map(|dir| mount.list(Path::new(dir)).unwrap().len())
    };
    let what = DiskFault::LostName {
        region: Region::Wal,
        names: 1,
    };
    disk.inject(1, what.clone());
    disk.clear(1);
    disk.crash(1 << 40, PowerLoss::Lost);
    assert_eq!(names(&disk), [2, 1], "cleared in time");
    disk.inject(1, what);
    disk.crash(1 << 40, PowerLoss::Kept);
    assert_eq!(
        names(&disk),
        [2, 1],
        "a killed process takes no names along"
    );
    disk.crash(1 << 40, PowerLoss::Lost);
    assert_eq!(names(&disk), [1, 1]);
    disk.crash(1 << 40, PowerLoss::Lost);
    assert_eq!(names(&disk), [1, 1], "once");
    assert_eq!(fired(&disk, DiskFaultKind::LostName), 1);
}
