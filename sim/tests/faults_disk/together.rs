//! All faults at once, and what none of them may do.

use crate::support::*;
use squall_api::Stamp;
use squall_sim::{DiskFault, DiskFaultKind, PowerLoss, Region};

/// Some of everything, under every fault.
fn under_all_faults(seed: u64) -> (u64, Vec<(DiskFaultKind, u64)>) {
    let disk = disk_of(seed);
    let mount = disk.mount();
    let file = durable(&mount, "db/a", &[1; 4 * PAGE]);
    let faults = [
        DiskFault::Stall { delay: 5 },
        DiskFault::Slow {
            factor: 1.5,
            delay: 1,
        },
        DiskFault::Throttle {
            bytes_per_second: 1 << 20,
        },
        write_errors(0.2),
        fsync_errors(0.2),
        DiskFault::FsyncLie {
            region: Region::All,
            probability: 0.2,
        },
        DiskFault::Full {
            capacity: 8 * PAGE as u64,
        },
        rot(2),
        DiskFault::ReadFlip {
            region: Region::All,
            probability: 0.2,
        },
        latent(1),
        misdirected(0.2),
        DiskFault::LostName {
            region: Region::All,
            names: 1,
        },
    ];
    for (number, fault) in (1..).zip(faults) {
        disk.inject(number, fault);
    }
    for i in 0..60u64 {
        let offset = i * 977 % (9 * PAGE as u64);
        drop(file.write_at(offset, &[i as u8; 900]));
        drop(file.sync());
        drop(file.read_at(offset / 2, &mut [0; 300]));
        let t = (i + 1) * 10_000_000;
        step(&disk, t);
    }
    disk.crash(1 << 40, PowerLoss::Torn);
    (disk.take_hash(), disk.stats().fired.iter().collect())
}

#[test]
fn every_fault_fires_and_the_same_run_has_the_same_hash() {
    let (hash, fired) = under_all_faults(1);
    let kinds: Vec<DiskFaultKind> = fired.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, DiskFaultKind::ALL, "{fired:?}");
    assert_eq!(under_all_faults(1), (hash, fired));
    assert_ne!(under_all_faults(2).0, hash);
}

#[test]
fn a_fault_that_never_hits_still_stands_in_the_hash() {
    let run = |fault: Option<DiskFault>| {
        let disk = disk();
        let mount = disk.mount();
        if let Some(fault) = fault {
            disk.inject(1, fault);
        }
        durable(&mount, "db/a", b"x");
        (disk.take_hash(), mount.spent())
    };
    let (none, never) = (run(None), run(Some(write_errors(0.0))));
    assert_ne!(none.0, never.0);
    assert_eq!(none.1, never.1);
}

#[test]
#[should_panic(expected = "fault 3 on n1: a probability of 1.5: 0 to 1 is possible")]
fn an_impossible_probability_is_refused() {
    disk().inject(3, write_errors(1.5));
}
