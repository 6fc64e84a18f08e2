//! Disks that take longer.

use crate::support::*;
use squall_api::{Disk, Open, Stamp};
use squall_sim::{DiskFault, DiskFaultKind, PowerLoss};
use std::path::Path;

#[test]
fn a_slow_disk_takes_a_factor_and_a_delay_longer_for_all_that_touches_it() {
    let disk = disk();
    let mount = disk.mount();
    durable(&mount, "db/a", &[1; 100]);
    disk.crash(1_000_000, PowerLoss::Lost);
    let mount = disk.mount();
    let file = mount.open(Path::new("db/a"), Open::Existing).unwrap();
    let spent = |op: &mut dyn FnMut()| {
        let before = mount.spent();
        op();
        mount.spent() - before
    };
    disk.inject(
        1,
        DiskFault::Slow {
            factor: 2.5,
            delay: 7,
        },
    );
    assert_eq!(spent(&mut || file.read_at(0, &mut [0]).unwrap()), 257);
    assert_eq!(spent(&mut || file.read_at(0, &mut [0]).unwrap()), 0);
    assert_eq!(spent(&mut || file.write_at(0, b"x").unwrap()), 32);
    assert_eq!(spent(&mut || file.set_len(9).unwrap()), 32);
    assert_eq!(spent(&mut || drop(create(&mount, "db/b"))), 32);
    assert_eq!(spent(&mut || file.sync().unwrap()), 2_507);
    assert_eq!(
        spent(&mut || mount.sync_dir(Path::new("db")).unwrap()),
        2_507
    );
    disk.inject(
        2,
        DiskFault::Slow {
            factor: 2.0,
            delay: 1,
        },
    );
    disk.inject(2, DiskFault::Stall { delay: 100 });
    assert_eq!(spent(&mut || file.sync().unwrap()), 5_108);
    assert_eq!(fired(&disk, DiskFaultKind::Slow), 6 + 2);
    assert_eq!(fired(&disk, DiskFaultKind::Stall), 1);
    disk.clear(1);
    disk.clear(2);
    assert_eq!(spent(&mut || file.sync().unwrap()), FSYNC);
}

#[test]
fn a_throttle_holds_writers_back_by_what_they_write() {
    let disk = disk();
    let mount = disk.mount();
    let file = create(&mount, "db/a");
    let throttle = |bytes_per_second| DiskFault::Throttle { bytes_per_second };
    disk.inject(1, throttle(1_000_000));
    disk.inject(2, throttle(500_000));
    let before = mount.spent();
    file.write_at(0, &[1; 1_000]).unwrap();
    assert_eq!(mount.spent() - before, WRITE + 2_000_000);
    file.sync().unwrap();
    assert_eq!(mount.spent() - before, WRITE + 2_000_000 + FSYNC);
    assert_eq!(fired(&disk, DiskFaultKind::Throttle), 2);
    disk.clear(2);
    let before = mount.spent();
    file.write_at(0, &[1; 1_000]).unwrap();
    assert_eq!(mount.spent() - before, WRITE + 1_000_000);
}
