//! redb on the simulated disk: whatever a crash leaves, what was committed is
//! there and the file opens.
//!
//! One program runs within a single step, so that the whole of it lies on one
//! timeline; forks of the disk are then crashed at the end of every operation.
//! The database is created under a temporary name: a crash in the first five
//! operations of redb's own creation leaves a file that does not open.

use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use squall_api::{Disk, File, Open, Stamp};
use squall_sim::{DiskFault, DiskParams, Mount, NodeDisk, PowerLoss, Region, Streams};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("kv");
const COMMITS: u64 = 12;

type Content = BTreeMap<u64, Vec<u8>>;

#[derive(Debug)]
struct Backend {
    file: Arc<dyn File>,
    mount: Arc<Mount>,
    /// When each operation ended.
    ends: Arc<Mutex<Vec<u64>>>,
}

impl Backend {
    fn ended<T>(&self, result: io::Result<T>) -> io::Result<T> {
        self.ends.lock().unwrap().push(self.mount.spent());
        result
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.ended(self.file.set_len(len))
    }
    fn sync_data(&self) -> io::Result<()> {
        self.ended(self.file.sync())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.ended(self.file.write_at(offset, data))
    }
}

/// What the program did, and when. Times are within its one step.
struct Program {
    disk: Arc<NodeDisk>,
    ends: Vec<u64>,
    /// When the database had its name for certain.
    named: u64,
    /// What each commit made of the table, and when it was acknowledged.
    commits: Vec<(u64, Content)>,
}

fn new_disk(seed: u64) -> Arc<NodeDisk> {
    let params = DiskParams {
        read: 1..=10,
        write: 1..=10,
        fsync: 100..=1_000,
    };
    NodeDisk::new(1, params, &Streams::new(seed))
}

fn open(mount: &Arc<Mount>, path: &str, how: Open) -> io::Result<(Database, Arc<Mutex<Vec<u64>>>)> {
    let file = mount.open(Path::new(path), how)?;
    let ends = Arc::new(Mutex::new(Vec::new()));
    let backend = Backend {
        file,
        mount: mount.clone(),
        ends: ends.clone(),
    };
    let db = Database::builder()
        .set_cache_size(1 << 20)
        .create_with_backend(backend);
    Ok((db.map_err(io::Error::other)?, ends))
}

fn run_program(seed: u64) -> Program {
    let disk = new_disk(seed);
    let mount = disk.mount();
    let (db, ends) = open(&mount, "db/new", Open::New).unwrap();
    mount
        .rename(Path::new("db/new"), Path::new("db/db"))
        .unwrap();
    mount.sync_dir(Path::new("db")).unwrap();
    let named = mount.spent();
    let mut content = Content::new();
    let mut commits = vec![(0, content.clone())];
    for i in 0..COMMITS {
        let txn = db.begin_write().unwrap();
        {
            let mut table = txn.open_table(TABLE).unwrap();
            for key in (0..i).step_by(3) {
                table.remove(key * 7 % 23).unwrap();
                content.remove(&(key * 7 % 23));
            }
            for key in i..i + 6 {
                let value = vec![i as u8; 700 * (key % 3) as usize + 5];
                table.insert(key * 7 % 23, value.as_slice()).unwrap();
                content.insert(key * 7 % 23, value);
            }
        }
        txn.commit().unwrap();
        commits.push((mount.spent(), content.clone()));
    }
    let ends = ends.lock().unwrap().clone();
    // The destructor's writes are part of the disk's future, beyond any crash.
    drop(db);
    Program {
        disk,
        ends,
        named,
        commits,
    }
}

/// What the database holds after a crash; `None` if it never got its name.
fn recover(mount: &Arc<Mount>) -> Option<Content> {
    let (db, _) = match open(mount, "db/db", Open::Existing) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
        opened => opened.expect("the database opens after any crash"),
    };
    let txn = db.begin_read().unwrap();
    let content = match txn.open_table(TABLE) {
        Ok(table) => {
            let rows = table.iter().unwrap().map(|row| {
                let (key, value) = row.unwrap();
                (key.value(), value.value().to_vec())
            });
            rows.collect()
        }
        Err(redb::TableError::TableDoesNotExist(_)) => Content::new(),
        Err(e) => panic!("{e}"),
    };
    Some(content)
}

fn check(program: &Program, at: u64, found: &Option<Content>, story: &str) {
    let Some(found) = found else {
        assert!(at < program.named, "{story}: the database lost its name");
        return;
    };
    let acknowledged = program
        .commits
        .iter()
        .rposition(|(end, _)| *end <= at)
        .unwrap();
    // The one that was under way may be there as well.
    let legal = &program.commits[acknowledged..(acknowledged + 2).min(program.commits.len())];
    assert!(
        legal.iter().any(|(_, content)| content == found),
        "{story}: commit {acknowledged} was acknowledged, found {:?}",
        found.keys()
    );
}

#[test]
fn committed_data_survives_a_crash_at_every_operation() {
    let program = run_program(1);
    assert!(
        program.ends.len() > 80,
        "only {} operations",
        program.ends.len()
    );
    let mut before = vec![0];
    before.extend(&program.ends);
    before.push(program.named);
    for (i, at) in before.into_iter().enumerate() {
        for how in [PowerLoss::Kept, PowerLoss::Lost, PowerLoss::Torn] {
            let story = format!("crash after operation {i} at {at}, {how:?}");
            let disk = program.disk.fork();
            disk.crash(at, how);
            let rebooted = disk.fork();
            let mount = rebooted.mount();
            rebooted.begin_step(at);
            check(&program, at, &recover(&mount), &story);
            if how == PowerLoss::Torn {
                // Once more, in the middle of the recovery.
                let again = at + rebooted.spent() * (i as u64 % 5) / 5;
                rebooted.crash(again, how);
                let story = format!("{story}, and again at {again}");
                check(&program, at, &recover(&rebooted.mount()), &story);
            }
        }
    }
}

#[test]
fn committed_data_survives_with_each_unsynced_change_lost_or_kept_by_itself() {
    let program = run_program(1);
    let mut images = 0;
    for (i, at) in program.ends.iter().enumerate() {
        for (image, disk) in program.disk.images(*at, 40) {
            images += 1;
            let story = format!("crash after operation {i} at {at}, {image:?}");
            check(&program, *at, &recover(&disk.mount()), &story);
        }
    }
    assert!(images > 1_000, "only {images} images");
}

#[test]
fn a_commit_whose_fsync_failed_is_seen_until_power_is_lost_and_then_gone() {
    let disk = new_disk(1);
    let mount = disk.mount();
    let (db, _) = open(&mount, "db/db", Open::New).unwrap();
    mount.sync_dir(Path::new("db")).unwrap();
    let write = |db: &Database, key: u64| {
        let txn = db.begin_write().unwrap();
        txn.open_table(TABLE)
            .unwrap()
            .insert(key, vec![key as u8; 3_000].as_slice())
            .unwrap();
        txn.commit()
    };
    write(&db, 1).unwrap();
    disk.inject(
        1,
        DiskFault::FsyncError {
            region: Region::Db,
            probability: 1.0,
        },
    );
    assert!(write(&db, 2).is_err());
    disk.clear(1);
    disk.crash(disk.spent(), PowerLoss::Kept);
    drop(db);
    let keys = |disk: &NodeDisk| -> Vec<u64> {
        let fork = disk.fork();
        recover(&fork.mount()).unwrap().into_keys().collect()
    };
    assert_eq!(keys(&disk), [1, 2], "clean pages that no disk has");
    let t = disk.spent() + (1 << 40);
    disk.crash(t, PowerLoss::Lost);
    assert_eq!(keys(&disk), [1]);
}

#[test]
fn a_destructor_after_the_crash_harms_nobody() {
    let disk = new_disk(1);
    let mount = disk.mount();
    let (db, _) = open(&mount, "db/db", Open::New).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(TABLE)
        .unwrap()
        .insert(1, b"v".as_slice())
        .unwrap();
    txn.commit().unwrap();
    disk.crash(disk.spent(), PowerLoss::Kept);
    let (hash, stats) = (disk.take_hash(), disk.stats());
    drop(db);
    assert_eq!((disk.take_hash(), disk.stats()), (hash, stats));
    assert_eq!(recover(&disk.mount()).unwrap().len(), 1);
}

#[test]
fn the_operations_of_a_seed_hash_alike_in_every_run() {
    let hash = |seed| run_program(seed).disk.take_hash();
    let first = hash(1);
    assert_eq!(first, hash(1));
    #[expect(
        clippy::disallowed_methods,
        reason = "another thread must make no difference"
    )]
    let elsewhere = std::thread::spawn(move || hash(1)).join().unwrap();
    assert_eq!(first, elsewhere);
    assert_ne!(first, hash(2));
}
