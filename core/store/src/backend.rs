//! The backend: redb on the disk seam.
//!
//! A commit is all or nothing, and costs a sync. Creating the file is the one
//! thing that redb does not do atomically, so a backend is always built under
//! a temporary name and renamed once it is whole and durable.

use crate::meta::Meta;
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};
use squall_api::{Disk, Env, Fatal, File, Open, OpenError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const DIR: &str = "db";
const PATH: &str = "db/state.redb";
const TEMP_PATH: &str = "db/state.redb.tmp";
const TEMP_SUFFIX: &str = ".tmp";

/// Every change, keyed by its revision: see [`crate::revision::RevisionKey`].
const KEYS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("key");
/// See [`Meta`].
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Names the layout of the tables; a reader refuses what it does not know.
const FORMAT_ROW: &str = "format";
const FORMAT: u64 = 1;

/// Runs `open`, which recovers a backend and reads it. On a disk that lost what
/// it had acknowledged as synced, redb may panic there: that is no bug of ours,
/// and becomes an error.
pub(crate) fn guarded<T>(open: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| {
        Err(OpenError::Corrupt(format!(
            "{PATH}: redb gave up recovering it, as after a disk that lost synced writes; \
             remove the member's data and let it rejoin"
        )))
    })
}

/// A failure to read while opening, as the error of opening.
pub(crate) fn open_error(fatal: Fatal) -> OpenError {
    match fatal {
        Fatal::Disk(e) => OpenError::Disk(e),
        Fatal::Corrupt(why) => OpenError::Corrupt(why),
        Fatal::Stopped | Fatal::Removed => unreachable!("reading a backend says {fatal}"),
    }
}

/// An open backend.
#[derive(Debug)]
pub(crate) struct Backend {
    disk: Arc<dyn Disk>,
    cache_bytes: usize,
    file: Arc<dyn File>,
    /// Set once another file has taken this one's place: closing redb writes
    /// some thirty pages, which would be wasted on a file without a name.
    retired: Arc<AtomicBool>,
    db: Database,
    /// The last commit, open for reading.
    keys: Option<Keys>,
}

impl Backend {
    /// Opens the member's backend, or creates it; removes what a crash left
    /// half-built.
    pub(crate) fn open(env: &Env) -> Result<(Backend, Meta), OpenError> {
        let (disk, cfg) = (&env.disk, &env.cfg);
        for path in disk.list(Path::new(DIR))? {
            if path.to_string_lossy().ends_with(TEMP_SUFFIX) {
                disk.remove(&path)?;
            }
        }
        let file = match disk.open(Path::new(PATH), Open::Existing) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let meta = Meta::birth(cfg.cluster, cfg.id, cfg.voters.clone());
                let none = std::iter::empty::<(&[u8], &[u8])>();
                let backend = Backend::build(disk, cfg.backend_cache_bytes, none, &meta);
                return Ok((backend.map_err(open_error)?, meta));
            }
            Err(e) => return Err(e.into()),
        };
        let (backend, meta) = Backend::load(disk, cfg.backend_cache_bytes, file)?;
        if (meta.cluster, meta.member) != (cfg.cluster, cfg.id) {
            return Err(OpenError::Identity {
                found_cluster: meta.cluster,
                found_member: meta.member,
                expected: Box::new(cfg.clone()),
            });
        }
        Ok((backend, meta))
    }

    /// Commits `rows` and `meta` durably, in one transaction.
    pub(crate) fn commit<'a>(
        &mut self,
        rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        meta: &Meta,
    ) -> Result<(), Fatal> {
        // A reader would keep the pages that this commit frees.
        self.keys = None;
        write(&self.db, rows, meta).map_err(fatal)?;
        self.keys = Some(read(&self.db).map_err(fatal)?);
        Ok(())
    }

    /// Replaces everything by `rows` and `meta`, durably and at once.
    pub(crate) fn replace<'a>(
        &mut self,
        rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        meta: &Meta,
    ) -> Result<(), Fatal> {
        let next = Backend::build(&self.disk, self.cache_bytes, rows, meta)?;
        self.retired.store(true, Ordering::Relaxed);
        *self = next;
        Ok(())
    }

    /// The committed value of a row.
    pub(crate) fn get<T>(
        &self,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, Fatal> {
        let guard = self.keys().get(key).map_err(fatal)?;
        Ok(guard.map(|guard| read(guard.value())))
    }

    /// Shows every committed row, in order of its key.
    pub(crate) fn for_each<E: From<Fatal>>(
        &self,
        mut row: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for entry in self.keys().iter().map_err(fatal)? {
            let (key, value) = entry.map_err(fatal)?;
            row(key.value(), value.value())?;
        }
        Ok(())
    }

    /// The file's size in bytes.
    pub(crate) fn len(&self) -> Result<u64, Fatal> {
        Ok(self.file.len()?)
    }

    fn keys(&self) -> &Keys {
        self.keys
            .as_ref()
            .expect("only a failed commit leaves no reader, and it ends the lane")
    }

    fn load(
        disk: &Arc<dyn Disk>,
        cache_bytes: usize,
        file: Arc<dyn File>,
    ) -> Result<(Backend, Meta), OpenError> {
        let retired = Arc::new(AtomicBool::new(false));
        let storage = Storage::new(&file, &retired);
        let opened = || {
            let db = database(storage, cache_bytes)?;
            let meta = read_meta(&db)?;
            let keys = read(&db)?;
            Ok::<_, redb::Error>((db, meta, keys))
        };
        let (db, meta, keys) = opened().map_err(|e| open_error(fatal(e)))?;
        let meta = meta.map_err(|why| OpenError::Corrupt(format!("{PATH}: {why}")))?;
        let backend = Backend {
            disk: Arc::clone(disk),
            cache_bytes,
            file,
            retired,
            db,
            keys: Some(keys),
        };
        Ok((backend, meta))
    }

    fn build<'a>(
        disk: &Arc<dyn Disk>,
        cache_bytes: usize,
        rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        meta: &Meta,
    ) -> Result<Backend, Fatal> {
        let file = disk.open(Path::new(TEMP_PATH), Open::New)?;
        let retired = Arc::new(AtomicBool::new(false));
        let db = database(Storage::new(&file, &retired), cache_bytes).map_err(fatal)?;
        write(&db, rows, meta).map_err(fatal)?;
        disk.rename(Path::new(TEMP_PATH), Path::new(PATH))?;
        disk.sync_dir(Path::new(DIR))?;
        let keys = read(&db).map_err(fatal)?;
        Ok(Backend {
            disk: Arc::clone(disk),
            cache_bytes,
            file,
            retired,
            db,
            keys: Some(keys),
        })
    }
}

type Keys = ReadOnlyTable<&'static [u8], &'static [u8]>;

fn database(storage: Storage, cache_bytes: usize) -> Result<Database, redb::Error> {
    let db = redb::Builder::new()
        .set_cache_size(cache_bytes)
        .create_with_backend(storage)?;
    Ok(db)
}

fn read(db: &Database) -> Result<Keys, redb::Error> {
    Ok(db.begin_read()?.open_table(KEYS)?)
}

fn write<'a>(
    db: &Database,
    rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    meta: &Meta,
) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    {
        let mut keys = txn.open_table(KEYS)?;
        for (key, value) in rows {
            keys.insert(key, value)?;
        }
        let mut table = txn.open_table(META)?;
        table.insert(FORMAT_ROW, FORMAT.to_le_bytes().as_slice())?;
        for (name, value) in meta.rows() {
            table.insert(name, value.as_slice())?;
        }
    }
    txn.commit()?;
    Ok(())
}

fn read_meta(db: &Database) -> Result<Result<Meta, String>, redb::Error> {
    let table = match db.begin_read()?.open_table(META) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => {
            return Ok(Err("it has no meta table, as if never finished".into()));
        }
        Err(e) => return Err(e.into()),
    };
    let get = |name: &str| Ok::<_, redb::Error>(table.get(name)?.map(|v| v.value().to_vec()));
    match get(FORMAT_ROW)? {
        Some(format) if format == FORMAT.to_le_bytes() => Meta::from_rows(get),
        other => Ok(Err(format!(
            "its format is {other:?}, and this build reads version {FORMAT}"
        ))),
    }
}

/// redb's errors are the disk's, or say that the file contradicts itself.
fn fatal(error: impl Into<redb::Error>) -> Fatal {
    match error.into() {
        // Where redb does not recognise its own file.
        redb::Error::Io(e) if e.kind() == io::ErrorKind::InvalidData => {
            Fatal::Corrupt(format!("{PATH}: {e}"))
        }
        redb::Error::Io(e) => Fatal::Disk(e),
        redb::Error::PreviousIo => {
            Fatal::Disk(io::Error::other(format!("{PATH}: an earlier I/O failed")))
        }
        other => Fatal::Corrupt(format!("{PATH}: {other}")),
    }
}

/// redb's view of a file.
#[derive(Debug)]
struct Storage {
    file: Arc<dyn File>,
    retired: Arc<AtomicBool>,
}

impl Storage {
    fn new(file: &Arc<dyn File>, retired: &Arc<AtomicBool>) -> Storage {
        Storage {
            file: Arc::clone(file),
            retired: Arc::clone(retired),
        }
    }

    fn file(&self) -> io::Result<&dyn File> {
        if self.retired.load(Ordering::Relaxed) {
            return Err(io::Error::other(format!("{PATH}: replaced by a snapshot")));
        }
        Ok(&*self.file)
    }
}

impl redb::StorageBackend for Storage {
    fn len(&self) -> io::Result<u64> {
        self.file()?.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file()?.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file()?.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file()?.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file()?.write_at(offset, data)
    }
}
