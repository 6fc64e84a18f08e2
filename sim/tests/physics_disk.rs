//! The disk on tiny programs: what a process sees, what a crash leaves, what
//! operations cost.

use squall_api::{Disk, File, Open, Stamp, SyncId};
use squall_sim::{CrashReport, DiskParams, Mount, NodeDisk, PowerLoss, Streams};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

const WRITE: u64 = 10;
const FSYNC: u64 = 1_000;
const READ: u64 = 100;

/// A disk whose operations cost exactly [`WRITE`], [`FSYNC`] and [`READ`].
fn disk() -> Arc<NodeDisk> {
    let params = DiskParams {
        read: READ..=READ,
        write: WRITE..=WRITE,
        fsync: FSYNC..=FSYNC,
    };
    NodeDisk::new(1, params, &Streams::new(7))
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

fn content(mount: &Mount, path: &str) -> Option<Vec<u8>> {
    let file = mount.open(Path::new(path), Open::Existing).ok()?;
    let mut buf = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut buf).unwrap();
    Some(buf)
}

/// Crashes when everything of the present step has happened.
fn crash_after(disk: &NodeDisk, step: u64, how: PowerLoss) -> CrashReport {
    disk.crash(step + disk.spent(), how)
}

fn list(mount: &Mount, dir: &str) -> Vec<String> {
    let files = mount.list(Path::new(dir)).unwrap();
    files
        .iter()
        .map(|path| path.to_str().unwrap().to_owned())
        .collect()
}

// --- files ---

#[test]
fn a_file_holds_what_was_written_and_zeros_elsewhere() {
    let disk = disk();
    let mount = disk.mount();
    let file = create(&mount, "db/a");
    file.write_at(5_000, b"hello").unwrap();
    assert_eq!(file.len().unwrap(), 5_005);
    let mut buf = [1; 7];
    file.read_at(4_998, &mut buf).unwrap();
    assert_eq!(&buf, b"\0\0hello");
    file.set_len(5_002).unwrap();
    file.set_len(5_005).unwrap();
    file.read_at(4_998, &mut buf).unwrap();
    assert_eq!(&buf, b"\0\0he\0\0\0", "what was cut off does not come back");
    let past = file.read_at(5_000, &mut buf).unwrap_err();
    assert_eq!(past.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(past.to_string(), "7 bytes at 5000 of a file that has 5005");
}

#[test]
fn names_behave_as_in_posix() {
    let disk = disk();
    let mount = disk.mount();
    let kind = |result: std::io::Result<Arc<dyn File>>| result.unwrap_err().kind();
    let open = |path: &str, how| mount.open(Path::new(path), how);
    assert_eq!(kind(open("db/a", Open::Existing)), ErrorKind::NotFound);
    let a = create(&mount, "db/a");
    a.write_at(0, b"a").unwrap();
    assert_eq!(kind(open("db/a", Open::New)), ErrorKind::AlreadyExists);
    assert_eq!(kind(open("db", Open::Existing)), ErrorKind::IsADirectory);
    assert_eq!(kind(open("no/a", Open::New)), ErrorKind::NotFound);
    assert_eq!(kind(open("../a", Open::New)), ErrorKind::NotFound);
    let b = create(&mount, "db/b");
    b.write_at(0, b"b").unwrap();
    create(&mount, "c");
    create(&mount, "wal/d");
    assert_eq!(list(&mount, "db"), ["db/a", "db/b"]);
    assert_eq!(list(&mount, ""), ["c"]);
    assert_eq!(list(&mount, "."), ["c"]);

    // Open files follow their renames and outlive their names.
    mount.rename(Path::new("db/a"), Path::new("db/b")).unwrap();
    assert_eq!(list(&mount, "db"), ["db/b"]);
    a.write_at(1, b"!").unwrap();
    assert_eq!(content(&mount, "db/b").unwrap(), b"a!");
    mount.remove(Path::new("db/b")).unwrap();
    assert_eq!(
        mount.remove(Path::new("db/b")).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let mut buf = [0; 1];
    b.read_at(0, &mut buf).unwrap();
    assert_eq!(&buf, b"b");
    assert_eq!(list(&mount, "db"), Vec::<String>::new());
}

// --- crashes ---

#[test]
fn without_a_sync_a_power_loss_takes_everything() {
    let disk = disk();
    let mount = disk.mount();
    durable(&mount, "db/a", &[1; 2_000]);
    let file = mount.open(Path::new("db/a"), Open::Existing).unwrap();
    file.write_at(500, &[2; 24]).unwrap();
    file.set_len(3_000).unwrap();
    let report = crash_after(&disk, 0, PowerLoss::Lost);
    assert_eq!(
        report,
        CrashReport {
            unsynced_sectors: 2,
            lost_sectors: 2
        }
    );
    assert_eq!(content(&disk.mount(), "db/a").unwrap(), [1; 2_000]);
}

#[test]
fn a_process_kill_takes_nothing_that_was_written_and_makes_nothing_durable() {
    let disk = disk();
    let mount = disk.mount();
    durable(&mount, "db/a", b"durable");
    mount
        .open(Path::new("db/a"), Open::Existing)
        .unwrap()
        .write_at(0, b"pending")
        .unwrap();
    create(&mount, "db/b");
    let report = crash_after(&disk, 0, PowerLoss::Kept);
    assert_eq!(
        report,
        CrashReport {
            unsynced_sectors: 1,
            lost_sectors: 0
        }
    );
    let mount = disk.mount();
    assert_eq!(content(&mount, "db/a").unwrap(), b"pending");
    assert_eq!(list(&mount, "db"), ["db/a", "db/b"]);
    disk.begin_step(1_000_000);
    assert_eq!(
        crash_after(&disk, 1_000_000, PowerLoss::Lost).lost_sectors,
        1
    );
    let mount = disk.mount();
    assert_eq!(content(&mount, "db/a").unwrap(), b"durable");
    assert_eq!(list(&mount, "db"), ["db/a"]);
}

#[test]
fn a_file_sync_does_not_make_the_name_durable_nor_the_other_way_round() {
    let disk = disk();
    let mount = disk.mount();
    let unnamed = create(&mount, "db/unnamed");
    unnamed.write_at(0, b"data").unwrap();
    unnamed.sync().unwrap();
    create(&mount, "wal/empty").write_at(0, b"data").unwrap();
    mount.sync_dir(Path::new("wal")).unwrap();
    crash_after(&disk, 0, PowerLoss::Lost);
    let mount = disk.mount();
    assert_eq!(content(&mount, "db/unnamed"), None);
    assert_eq!(content(&mount, "wal/empty").unwrap(), b"");
}

#[test]
fn renames_and_removals_wait_for_their_directory() {
    let program = |sync: bool| {
        let disk = disk();
        let mount = disk.mount();
        durable(&mount, "db/new", b"new");
        durable(&mount, "db/old", b"old");
        durable(&mount, "db/gone", b"gone");
        mount
            .rename(Path::new("db/new"), Path::new("db/old"))
            .unwrap();
        mount.remove(Path::new("db/gone")).unwrap();
        if sync {
            mount.sync_dir(Path::new("db")).unwrap();
        }
        crash_after(&disk, 0, PowerLoss::Lost);
        let mount = disk.mount();
        ["db/new", "db/old", "db/gone"].map(|path| content(&mount, path))
    };
    let bytes = |text: &str| Some(text.as_bytes().to_vec());
    assert_eq!(program(false), [bytes("new"), bytes("old"), bytes("gone")]);
    assert_eq!(program(true), [None, bytes("new"), None]);
}

#[test]
fn a_rename_between_directories_happens_in_both_or_in_neither() {
    for seed in 0..200 {
        let params = DiskParams {
            read: 0..=0,
            write: 1..=1,
            fsync: 1..=1,
        };
        let disk = NodeDisk::new(1, params, &Streams::new(seed));
        let mount = disk.mount();
        durable(&mount, "db/a", b"a");
        create(&mount, "db/before");
        mount.rename(Path::new("db/a"), Path::new("wal/b")).unwrap();
        crash_after(&disk, 0, PowerLoss::Torn);
        let mount = disk.mount();
        let there = ["db/a", "wal/b"].map(|path| content(&mount, path).is_some());
        assert!(there[0] != there[1], "seed {seed}: {there:?}");
    }
}

#[test]
fn a_durable_rename_takes_along_what_the_other_directory_did_before() {
    let disk = disk();
    let mount = disk.mount();
    durable(&mount, "a", b"a");
    durable(&mount, "db/b", b"b");
    mount.rename(Path::new("a"), Path::new("wal/a")).unwrap();
    mount.rename(Path::new("db/b"), Path::new("wal/b")).unwrap();
    mount.sync_dir(Path::new("db")).unwrap();
    crash_after(&disk, 0, PowerLoss::Lost);
    let mount = disk.mount();
    assert_eq!(list(&mount, "wal"), ["wal/a", "wal/b"]);
    assert_eq!(
        [list(&mount, ""), list(&mount, "db")],
        [Vec::<String>::new(), vec![]]
    );
}

#[test]
fn a_crash_cuts_the_timeline_inside_a_step() {
    let at = |at: u64, how| {
        let disk = disk();
        let mount = disk.mount();
        durable(&mount, "wal/a", b"000");
        let t = disk.spent();
        disk.begin_step(t);
        let file = mount.open(Path::new("wal/a"), Open::Existing).unwrap();
        file.write_at(0, b"1").unwrap(); // ends at 10
        file.sync().unwrap(); // 1,010
        file.write_at(1, b"2").unwrap(); // 1,020
        file.set_len(5).unwrap(); // 1,030
        create(&mount, "wal/b"); // 1,040
        disk.crash(t + at, how);
        let mount = disk.mount();
        let text = String::from_utf8(content(&mount, "wal/a").unwrap()).unwrap();
        (text, list(&mount, "wal").len())
    };
    let kept = |text: &str, files| (text.to_owned(), files);
    assert_eq!(at(9, PowerLoss::Kept), kept("000", 1));
    assert_eq!(at(10, PowerLoss::Kept), kept("100", 1));
    assert_eq!(at(1_019, PowerLoss::Kept), kept("100", 1));
    assert_eq!(at(1_020, PowerLoss::Kept), kept("120", 1));
    assert_eq!(at(1_030, PowerLoss::Kept), kept("120\0\0", 1));
    assert_eq!(at(1_040, PowerLoss::Kept), kept("120\0\0", 2));
    assert_eq!(
        at(1_009, PowerLoss::Lost),
        kept("000", 1),
        "the sync had not ended"
    );
    assert_eq!(at(1_010, PowerLoss::Lost), kept("100", 1));
    assert_eq!(at(5_000, PowerLoss::Lost), kept("100", 1));
}

#[test]
fn lanes_overlap_in_time_and_a_crash_cuts_each_of_them() {
    let disk = disk();
    let mount = disk.mount();
    // The apply lane's step at 0 reaches to 1,020, the Raft lane's at 100 to 120.
    let db = create(&mount, "db/a");
    db.sync().unwrap();
    db.write_at(0, b"late").unwrap();
    disk.begin_step(100);
    let wal = create(&mount, "wal/a");
    wal.write_at(0, b"early").unwrap();
    disk.crash(500, PowerLoss::Kept);
    let mount = disk.mount();
    assert_eq!(content(&mount, "db/a").unwrap(), b"");
    assert_eq!(content(&mount, "wal/a").unwrap(), b"early");
}

#[test]
fn an_asynchronous_sync_covers_what_was_written_before_it_began() {
    let disk = disk();
    let mount = disk.mount();
    let file = durable(&mount, "wal/a", b"000");
    let t = disk.spent();
    disk.begin_step(t);
    file.write_at(0, b"1").unwrap();
    file.start_sync(SyncId(4));
    file.write_at(1, b"2").unwrap();
    assert_eq!(disk.spent(), 2 * WRITE, "it does not block");
    let started = disk.take_started();
    assert_eq!(started.len(), 1);
    assert_eq!((started[0].id, started[0].begun), (SyncId(4), t + WRITE));
    assert_eq!(started[0].due, t + WRITE + FSYNC);
    assert_eq!(disk.take_started(), []);

    let unfinished = disk.fork();
    unfinished.crash(started[0].due, PowerLoss::Lost);
    assert_eq!(content(&unfinished.mount(), "wal/a").unwrap(), b"000");
    disk.begin_step(started[0].due);
    disk.finish_sync(SyncId(4)).unwrap();
    disk.crash(started[0].due, PowerLoss::Lost);
    assert_eq!(content(&disk.mount(), "wal/a").unwrap(), b"100");
    assert_eq!(
        disk.finish_sync(SyncId(4)).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn asynchronous_syncs_of_a_file_end_in_the_order_of_their_begins() {
    let params = DiskParams {
        read: 0..=0,
        write: 1..=1,
        fsync: 1..=1_000,
    };
    let disk = NodeDisk::new(1, params, &Streams::new(3));
    let mount = disk.mount();
    let file = create(&mount, "wal/a");
    for id in 0..100 {
        file.write_at(id, b"x").unwrap();
        file.start_sync(SyncId(id));
    }
    let started = disk.take_started();
    assert!(started.is_sorted_by_key(|sync| sync.due));
    assert!(started.iter().any(|sync| sync.due - sync.begun < 1_000));
}

#[test]
fn a_dead_mount_changes_nothing_and_costs_nothing() {
    let disk = disk();
    let mount = disk.mount();
    let file = durable(&mount, "db/a", b"a");
    crash_after(&disk, 0, PowerLoss::Kept);
    let try_everything = || {
        let (hash, stats, spent) = (disk.take_hash(), disk.stats(), disk.spent());
        assert!(file.write_at(0, b"b").is_err());
        assert!(file.read_at(0, &mut [0]).is_err());
        assert!(file.set_len(0).is_err() && file.len().is_err() && file.sync().is_err());
        file.start_sync(SyncId(1));
        assert!(mount.open(Path::new("db/a"), Open::Existing).is_err());
        assert!(mount.remove(Path::new("db/a")).is_err());
        assert!(mount.rename(Path::new("db/a"), Path::new("db/b")).is_err());
        assert!(mount.list(Path::new("db")).is_err());
        assert!(mount.sync_dir(Path::new("db")).is_err());
        assert_eq!(
            (disk.take_hash(), disk.stats(), disk.spent()),
            (hash, stats, spent)
        );
        assert_eq!(disk.take_started(), []);
    };
    try_everything();
    let living = disk.mount();
    try_everything();
    assert_eq!(content(&living, "db/a").unwrap(), b"a");
    // A handle that is dropped late does not close the living process's file.
    let removed = living.open(Path::new("db/a"), Open::Existing).unwrap();
    living.remove(Path::new("db/a")).unwrap();
    living.sync_dir(Path::new("db")).unwrap();
    drop(file);
    disk.begin_step(1_000_000);
    let mut buf = [0];
    removed.read_at(0, &mut buf).unwrap();
    assert_eq!(&buf, b"a");
}

#[test]
fn a_torn_power_loss_shows_every_legal_fate_and_no_other() {
    let mut sectors = BTreeSet::new();
    let mut ends = BTreeSet::new();
    for seed in 0..2_000 {
        let params = DiskParams {
            read: 0..=0,
            write: 1..=1,
            fsync: 1..=1,
        };
        let disk = NodeDisk::new(1, params, &Streams::new(seed));
        let mount = disk.mount();
        let file = durable(&mount, "db/a", &[b'0'; 1_024]);
        file.write_at(0, &[b'1'; 512]).unwrap();
        file.write_at(0, &[b'2'; 1_024]).unwrap();
        file.set_len(2_000).unwrap();
        file.set_len(700).unwrap();
        create(&mount, "db/b");
        create(&mount, "db/c");
        crash_after(&disk, 0, PowerLoss::Torn);
        let mount = disk.mount();
        let found = content(&mount, "db/a").unwrap();
        let mut runs = found[..512].to_vec();
        runs.dedup();
        sectors.insert(String::from_utf8(runs).unwrap());
        ends.insert((found.len(), list(&mount, "db").len()));
    }
    let seen: Vec<&str> = sectors.iter().map(String::as_str).collect();
    assert_eq!(seen, ["0", "01", "02", "1", "10", "12", "2", "20", "21"]);
    let lengths = [700, 1_024, 2_000];
    let all = lengths
        .iter()
        .flat_map(|len| (1..=3).map(|files| (*len, files)));
    assert_eq!(ends, all.collect());
}

#[test]
fn a_crash_of_one_file_s_writes_does_not_decide_another_file_s_fate() {
    let run = |others: u64| {
        let disk = disk();
        let mount = disk.mount();
        let file = durable(&mount, "wal/a", &[b'0'; 512 * 64]);
        file.write_at(0, &[b'1'; 512 * 64]).unwrap();
        let other = durable(&mount, "db/b", &[b'0'; 512]);
        for i in 0..others {
            other.write_at(512 * i, b"x").unwrap();
        }
        crash_after(&disk, 0, PowerLoss::Torn);
        content(&disk.mount(), "wal/a").unwrap()
    };
    assert_eq!(run(0), run(20));
}

#[test]
fn files_in_the_same_state_meet_different_fates() {
    let disk = disk();
    let mount = disk.mount();
    let contents = ["wal/a", "db/a"].map(|path| {
        let file = durable(&mount, path, &[b'0'; 512 * 64]);
        file.write_at(0, &[b'1'; 512 * 64]).unwrap();
        path
    });
    crash_after(&disk, 0, PowerLoss::Torn);
    let mount = disk.mount();
    let [wal, db] = contents.map(|path| content(&mount, path).unwrap());
    assert_ne!(wal, db);
}

#[test]
fn a_sector_beyond_the_length_that_survived_is_lost() {
    for seed in 0..200 {
        let params = DiskParams {
            read: 0..=0,
            write: 1..=1,
            fsync: 1..=1,
        };
        let disk = NodeDisk::new(1, params, &Streams::new(seed));
        let mount = disk.mount();
        let file = durable(&mount, "db/a", &[b'0'; 100]);
        file.write_at(2_048, &[b'1'; 512]).unwrap();
        let report = crash_after(&disk, 0, PowerLoss::Torn);
        assert_eq!(report.unsynced_sectors, 1);
        let found = content(&disk.mount(), "db/a").unwrap();
        let held = found.len() == 2_560 && found[2_048..] == [b'1'; 512];
        assert_eq!(report.lost_sectors, u64::from(!held), "seed {seed}");
    }
}

// --- costs ---

#[test]
fn every_operation_costs_what_it_should() {
    let disk = disk();
    let mount = disk.mount();
    let spent = |op: &mut dyn FnMut()| {
        let before = mount.spent();
        op();
        mount.spent() - before
    };
    let file = create(&mount, "db/a");
    let path = Path::new("db/a");
    assert_eq!(mount.spent(), WRITE);
    assert_eq!(spent(&mut || file.write_at(0, &[1; 9_000]).unwrap()), WRITE);
    assert_eq!(spent(&mut || file.set_len(8_500).unwrap()), WRITE);
    assert_eq!(spent(&mut || file.sync().unwrap()), FSYNC);
    assert_eq!(spent(&mut || file.start_sync(SyncId(1))), 0);
    assert_eq!(spent(&mut || file.read_at(0, &mut [0; 8_500]).unwrap()), 0);
    assert_eq!(
        spent(&mut || mount.sync_dir(Path::new("db")).unwrap()),
        FSYNC
    );
    assert_eq!(
        spent(&mut || drop(mount.open(path, Open::Existing).unwrap())),
        0
    );
    assert_eq!(spent(&mut || drop(mount.list(Path::new("db")).unwrap())), 0);
    assert_eq!(
        spent(&mut || mount.rename(path, Path::new("db/b")).unwrap()),
        WRITE
    );
    assert_eq!(spent(&mut || assert!(mount.remove(path).is_err())), 0);
    assert_eq!(
        spent(&mut || mount.remove(Path::new("db/b")).unwrap()),
        WRITE
    );
    disk.begin_step(1_000_000);
    assert_eq!(disk.spent(), 0);
}

#[test]
fn a_read_costs_time_until_the_page_cache_has_the_page() {
    let disk = disk();
    let mount = disk.mount();
    durable(&mount, "db/a", &[1; 9_000]);
    crash_after(&disk, 0, PowerLoss::Kept);
    let mount = disk.mount();
    let file = mount.open(Path::new("db/a"), Open::Existing).unwrap();
    file.read_at(0, &mut [0; 9_000]).unwrap();
    assert_eq!(mount.spent(), 0, "a killed process leaves the cache warm");
    disk.crash(1_000_000, PowerLoss::Lost);
    let mount = disk.mount();
    let file = mount.open(Path::new("db/a"), Open::Existing).unwrap();
    let mut costs = Vec::new();
    for offset in [4_096, 4_097, 4_095, 8_192, 0] {
        let before = mount.spent();
        file.read_at(offset, &mut [0; 2]).unwrap();
        costs.push(mount.spent() - before);
    }
    assert_eq!(costs, [READ, 0, READ, READ, 0]);
}

#[test]
fn a_stall_lengthens_syncs_while_it_lasts() {
    let disk = disk();
    let mount = disk.mount();
    let file = create(&mount, "wal/a");
    let sync = || {
        let before = mount.spent();
        file.sync().unwrap();
        mount.spent() - before
    };
    disk.stall(1, 50_000);
    assert_eq!(sync(), FSYNC + 50_000);
    disk.stall(2, 7);
    assert_eq!(sync(), FSYNC + 50_007);
    disk.unstall(1);
    assert_eq!(sync(), FSYNC + 7);
    let begun = mount.spent();
    file.start_sync(SyncId(1));
    mount.sync_dir(Path::new("wal")).unwrap();
    disk.unstall(2);
    assert_eq!(
        disk.take_started()[0].due,
        begun + FSYNC + 7,
        "begun in the stall"
    );
    assert_eq!(mount.spent(), begun + FSYNC + 7);
    assert_eq!(sync(), FSYNC);
}

// --- determinism ---

#[test]
fn files_have_costs_of_their_own() {
    let params = DiskParams {
        read: 0..=0,
        write: 1..=1_000_000,
        fsync: 1..=1,
    };
    let disk = NodeDisk::new(1, params, &Streams::new(1));
    let mount = disk.mount();
    let costs = ["db/a", "db/b", "wal/a"].map(|path| {
        let before = mount.spent();
        create(&mount, path);
        mount.spent() - before
    });
    assert_eq!(BTreeSet::from(costs).len(), costs.len(), "{costs:?}");
}

/// Some writes to two files; how many to the second is up to the caller.
fn two_files(seed: u64, other_writes: u64) -> (Vec<u64>, u64) {
    let params = DiskParams {
        read: 1..=50,
        write: 1..=100,
        fsync: 100..=10_000,
    };
    let disk = NodeDisk::new(1, params, &Streams::new(seed));
    let mount = disk.mount();
    let other = create(&mount, "db/b");
    let file = create(&mount, "wal/a");
    let mut costs = Vec::new();
    for i in 0..50 {
        for _ in 0..other_writes {
            other.write_at(0, b"x").unwrap();
            other.sync().unwrap();
        }
        let before = mount.spent();
        file.write_at(i, b"y").unwrap();
        file.sync().unwrap();
        costs.push(mount.spent() - before);
    }
    (costs, disk.take_hash())
}

#[test]
fn what_one_file_does_leaves_the_costs_of_another_as_they_were() {
    assert_eq!(two_files(1, 0).0, two_files(1, 3).0);
    assert_ne!(two_files(1, 0).0, two_files(2, 0).0);
}

#[test]
fn the_hash_is_the_same_for_the_same_operations_and_no_others() {
    assert_eq!(two_files(1, 2), two_files(1, 2));
    assert_ne!(two_files(1, 2).1, two_files(2, 2).1, "times count");
    let one_write = |offset: u64, data: &[u8], hashed: bool| {
        let disk = disk();
        let mount = disk.mount();
        let file = create(&mount, "db/a");
        disk.set_hash(hashed);
        file.write_at(offset, data).unwrap();
        disk.take_hash()
    };
    let hash = one_write(0, b"abc", true);
    assert_eq!(hash, one_write(0, b"abc", true));
    assert_ne!(hash, one_write(1, b"abc", true));
    assert_ne!(hash, one_write(0, b"abd", true));
    assert_eq!(one_write(0, b"abc", false), one_write(1, b"abd", false));
}

#[test]
fn a_fork_lives_on_by_itself() {
    let disk = disk();
    let mount = disk.mount();
    let file = durable(&mount, "db/a", &[1; 10_000]);
    let fork = disk.fork();
    file.write_at(0, &[2; 10]).unwrap();
    crash_after(&fork, 0, PowerLoss::Kept);
    assert_eq!(content(&fork.mount(), "db/a").unwrap(), [1; 10_000]);
    assert_eq!(content(&mount, "db/a").unwrap()[..10], [2; 10]);
}
