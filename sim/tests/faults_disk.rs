//! Every fault of the disk on tiny programs: what it does while it lasts, what
//! it leaves, that it heals, and that it is counted.

use proptest::prelude::*;
use squall_api::{Disk, File, Open, Stamp, SyncId};
use squall_sim::{
    DiskFault, DiskFaultKind, DiskOp, DiskParams, Mount, NodeDisk, PowerLoss, Region, Streams,
};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

const WRITE: u64 = 10;
const FSYNC: u64 = 1_000;
const READ: u64 = 100;
const SECTOR: usize = 512;
const PAGE: usize = 4_096;

/// A disk whose operations cost exactly [`WRITE`], [`FSYNC`] and [`READ`].
fn disk_of(seed: u64) -> Arc<NodeDisk> {
    let params = DiskParams {
        read: READ..=READ,
        write: WRITE..=WRITE,
        fsync: FSYNC..=FSYNC,
    };
    NodeDisk::new(1, params, &Streams::new(seed))
}

fn disk() -> Arc<NodeDisk> {
    disk_of(7)
}

fn create(mount: &Mount, path: &str) -> Arc<dyn File> {
    mount.open(Path::new(path), Open::New).unwrap()
}

/// A file with durable content under a durable name.
fn durable(mount: &Mount, path: &str, data: &[u8]) -> Arc<dyn File> {
    let file = create(mount, path);
    file.write_at(0, data).unwrap();
    file.sync().unwrap();
    mount.sync_dir(Path::new(path).parent().unwrap()).unwrap();
    file
}

fn read(file: &Arc<dyn File>) -> std::io::Result<Vec<u8>> {
    let mut buf = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut buf).map(|()| buf)
}

fn content(mount: &Mount, path: &str) -> Vec<u8> {
    read(&mount.open(Path::new(path), Open::Existing).unwrap()).unwrap()
}

/// Lets everything that was done end, and begins another step.
fn step(disk: &NodeDisk, t: u64) {
    disk.begin_step(t);
}

/// Crashes a copy when everything has ended. Returns what a new process reads.
fn after_power_loss(disk: &NodeDisk, path: &str) -> Vec<u8> {
    let fork = disk.fork();
    fork.crash(1 << 50, PowerLoss::Lost);
    content(&fork.mount(), path)
}

fn fired(disk: &NodeDisk, kind: DiskFaultKind) -> u64 {
    disk.stats().fired.of(kind)
}

fn met(disk: &NodeDisk, kind: DiskFaultKind) -> u64 {
    disk.stats().met.of(kind)
}

/// How many bits differ.
fn flipped(a: &[u8], b: &[u8]) -> u32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

fn write_errors(probability: f64) -> DiskFault {
    DiskFault::WriteError {
        region: Region::All,
        probability,
    }
}

fn fsync_errors(probability: f64) -> DiskFault {
    DiskFault::FsyncError {
        region: Region::All,
        probability,
    }
}

fn lies(region: Region) -> DiskFault {
    DiskFault::FsyncLie {
        region,
        probability: 1.0,
    }
}

fn rot(sectors: u32) -> DiskFault {
    DiskFault::BitRot {
        region: Region::All,
        sectors,
    }
}

fn latent(sectors: u32) -> DiskFault {
    DiskFault::LatentError {
        region: Region::All,
        sectors,
    }
}

fn misdirected(probability: f64) -> DiskFault {
    DiskFault::MisdirectedWrite {
        region: Region::All,
        probability,
    }
}

// --- slowness ---

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

// --- errors ---

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

/// A file as the kernel sees it: what reads see, what the disk has, which
/// pages are to be written out, and the lengths that are to be journaled.
#[derive(Default)]
struct Cached {
    cache: Vec<u8>,
    disk: Vec<u8>,
    dirty: BTreeSet<usize>,
    lengths: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Act {
    Write { offset: usize, len: usize },
    SetLen(usize),
    Sync { fails: bool },
    PowerLoss,
    Kill,
}

fn act() -> impl Strategy<Value = Act> {
    let size = 4 * PAGE;
    prop_oneof![
        6 => (0..size, 1..3_000usize).prop_map(|(offset, len)| Act::Write { offset, len }),
        2 => (0..size).prop_map(Act::SetLen),
        4 => any::<bool>().prop_map(|fails| Act::Sync { fails }),
        1 => Just(Act::PowerLoss),
        1 => Just(Act::Kill),
    ]
}

impl Cached {
    fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if end > self.cache.len() {
            self.set_len(end);
        }
        self.cache[offset..end].copy_from_slice(data);
        self.dirty.extend(offset / PAGE..end.div_ceil(PAGE));
    }

    fn set_len(&mut self, len: usize) {
        if len < self.cache.len() {
            self.dirty.retain(|page| page * PAGE < len);
            self.dirty
                .extend((!len.is_multiple_of(PAGE)).then_some(len / PAGE));
        }
        self.cache.resize(len, 0);
        self.lengths.push(len);
    }

    fn sync(&mut self, fails: bool) {
        for len in self.lengths.drain(..) {
            self.disk.resize(len, 0);
        }
        for page in std::mem::take(&mut self.dirty) {
            let at = page * PAGE..((page + 1) * PAGE).min(self.cache.len());
            if !fails {
                self.disk[at.clone()].copy_from_slice(&self.cache[at]);
            }
        }
    }

    fn power_loss(&mut self) {
        self.cache = self.disk.clone();
        self.dirty.clear();
        self.lengths.clear();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn failed_fsyncs_leave_what_a_page_cache_leaves(acts in prop::collection::vec(act(), 1..40)) {
        let disk = disk();
        let mut model = Cached::default();
        let mut mount = disk.mount();
        let mut file = durable(&mount, "db/a", &[]);
        for (i, act) in (1u64..).zip(&acts) {
            let t = i * 1_000_000;
            step(&disk, t);
            match *act {
                Act::Write { offset, len } => {
                    let data = vec![i as u8; len];
                    file.write_at(offset as u64, &data).unwrap();
                    model.write(offset, &data);
                }
                Act::SetLen(len) => {
                    file.set_len(len as u64).unwrap();
                    model.set_len(len);
                }
                Act::Sync { fails } => {
                    disk.inject(1, fsync_errors(if fails { 1.0 } else { 0.0 }));
                    prop_assert_eq!(file.sync().is_err(), fails);
                    model.sync(fails);
                }
                Act::PowerLoss | Act::Kill => {
                    let lost = matches!(act, Act::PowerLoss);
                    disk.crash(t, if lost { PowerLoss::Lost } else { PowerLoss::Kept });
                    if lost {
                        model.power_loss();
                    }
                    mount = disk.mount();
                    file = mount.open(Path::new("db/a"), Open::Existing).unwrap();
                }
            }
            prop_assert_eq!(&read(&file).unwrap(), &model.cache);
            prop_assert_eq!(&after_power_loss(&disk, "db/a"), &model.disk);
        }
    }
}

// --- lies ---

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

// --- a full disk ---

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

// --- damage ---

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

// --- all of them ---

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

// --- crash points ---

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
