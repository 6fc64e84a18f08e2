//! Writes that fail, and disks that are full.

use crate::support::*;
use squall_sim::{DiskFault, DiskFaultKind};
use std::io::ErrorKind;

#[test]
fn a_write_that_fails_has_changed_nothing() {
    let disk = disk();
    let mount = disk.mount();
    let file = durable(&mount, "wal/a", b"old");
    disk.inject(1, write_errors(1.0));
    let error = file.write_at(0, b"new!").unwrap_err();
    assert_eq!(
        error.to_string(),
        "input/output error: write of wal/a",
        "{error}"
    );
    assert!(file.set_len(1).is_err());
    assert_eq!(read(&file).unwrap(), b"old");
    disk.clear(1);
    file.write_at(0, b"new!").unwrap();
    assert_eq!(read(&file).unwrap(), b"new!");
    assert_eq!(met(&disk, DiskFaultKind::WriteError), 2);
}

#[test]
fn the_nth_write_is_hit_or_not_whatever_happens_elsewhere() {
    let run = |others: u64, probability: f64, more: &[DiskFault]| -> Vec<bool> {
        let disk = disk();
        let mount = disk.mount();
        for (number, fault) in (2..).zip(more) {
            disk.inject(number, fault.clone());
        }
        disk.inject(1, write_errors(probability));
        let (other, file) = (create(&mount, "db/b"), create(&mount, "wal/a"));
        (0..200)
            .map(|i| {
                for _ in 0..others {
                    drop(other.write_at(0, b"x"));
                }
                file.write_at(i, b"y").is_err()
            })
            .collect()
    };
    let alone = run(0, 0.2, &[]);
    let hits = alone.iter().filter(|hit| **hit).count();
    assert!((20..60).contains(&hits), "{hits} of 200 at 0.2");
    assert_eq!(alone, run(3, 0.2, &[]));
    let slow = DiskFault::Slow {
        factor: 3.0,
        delay: 0,
    };
    assert_eq!(alone, run(0, 0.2, &[slow, misdirected(0.3), rot(1)]));
    let more = run(0, 0.4, &[]);
    assert!(alone.iter().zip(&more).all(|(low, high)| *high || !*low));
}

#[test]
fn a_full_disk_takes_the_pages_that_fit_and_can_be_overwritten() {
    let disk = disk();
    let mount = disk.mount();
    let file = durable(&mount, "db/a", &[1; PAGE]);
    assert_eq!(disk.allocated(), PAGE as u64);
    disk.inject(
        1,
        DiskFault::Full {
            capacity: 3 * PAGE as u64,
        },
    );
    file.write_at(PAGE as u64, &[2; PAGE]).unwrap();
    let error = file.write_at(100, &[3; 3 * PAGE]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(
        error.to_string(),
        "no space left on device: write of 12288 bytes at 100 of db/a, of which 12188 fitted"
    );
    let mut seen = vec![3; 3 * PAGE];
    seen[..100].fill(1);
    assert_eq!(read(&file).unwrap(), seen);
    file.write_at(PAGE as u64, &[4; PAGE]).unwrap();
    file.set_len(100 * PAGE as u64).unwrap();
    let other = create(&mount, "db/b");
    assert!(other.write_at(0, b"x").is_err());
    assert_eq!(other.len().unwrap(), 0);
    assert_eq!(met(&disk, DiskFaultKind::Full), 2);

    // Room comes back with a shorter file, or when the fault ends.
    file.set_len(PAGE as u64).unwrap();
    other.write_at(0, b"x").unwrap();
    other.write_at(PAGE as u64, b"x").unwrap();
    assert!(other.write_at(2 * PAGE as u64, b"x").is_err());
    disk.clear(1);
    other.write_at(2 * PAGE as u64, b"x").unwrap();
}
