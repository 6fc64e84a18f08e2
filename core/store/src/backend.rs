//! The backend: redb on the disk seam.
//!
//! A commit is all or nothing, and costs a sync. Around redb stands what redb
//! cannot know, or does not promise:
//!
//! * Creating a file is the one thing that it does not do atomically: a backend
//!   is built under a temporary name, and renamed once it is whole and durable.
//! * After a failed sync its file must not be trusted to grow, nor must any
//!   later process of the same boot ([`file`]).
//! * On a file that lost what it had called durable it may panic ([`guard`]).
//! * It does not verify what it reads, but when it recovers: each row carries a
//!   checksum of its own ([`row`]).

mod file;
pub(crate) mod guard;
mod row;

use crate::backup::Changes;
use crate::meta::Meta;
use crate::versions::Versions;
use bytes::Bytes;
use file::{PATH, Storage};
use guard::guarded;
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};
use squall_api::{Bug, Bugs, Config, Disk, Env, Fatal, File, Open, OpenError};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Every change, keyed by its revision: see [`crate::revision::RevisionKey`].
const KEYS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("key");
/// See [`Meta`].
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// The state beside the key space: see [`crate::rows`].
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("row");
/// Names the layout of the tables; a reader refuses what it does not know.
const FORMAT_ROW: &str = "format";
const FORMAT: u64 = 3;

/// One of the writes of a commit.
#[derive(Debug)]
pub(crate) enum Write<'a> {
    /// A change of the key space, under its revision.
    Change(&'a [u8], &'a [u8]),
    /// Compaction took a change away.
    RemoveChange(&'a [u8]),
    /// A row of the state beside it.
    Row(&'a [u8], &'a [u8]),
    /// That row is no more.
    RemoveRow(&'a [u8]),
}

/// A failure to read while opening, as the error of opening.
pub(crate) fn open_error(fatal: Fatal) -> OpenError {
    match fatal {
        Fatal::Disk(e) => OpenError::Disk(e),
        Fatal::Corrupt(why) => OpenError::Corrupt(why),
        Fatal::Version(why) => OpenError::Version(why),
        Fatal::Stopped | Fatal::Removed => unreachable!("reading a backend says {fatal}"),
    }
}

/// An open backend.
#[derive(Debug)]
pub(crate) struct Backend {
    disk: Arc<dyn Disk>,
    bugs: Bugs,
    cache_bytes: usize,
    storage: Storage,
    /// There until it is closed.
    db: Option<Database>,
    /// The last commit, open for reading.
    keys: Option<Keys>,
}

impl Backend {
    /// Opens the member's backend, or creates it; removes what a crash left
    /// half-built.
    pub(crate) fn open(env: &Env) -> Result<(Backend, Meta), OpenError> {
        let (disk, cfg) = (&env.disk, &env.cfg);
        let opening = Opening {
            disk,
            bugs: env.bugs,
            cache_bytes: cfg.backend_cache_bytes,
        };
        file::remove_temporaries(disk.as_ref(), env.bugs)?;
        let is_clean = file::take_testimony(disk.as_ref())?;
        let file = match disk.open(Path::new(PATH), Open::Existing) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let meta = Meta::birth(cfg.cluster, cfg.id, &cfg.voters);
                let rows = Versions::birth(cfg);
                let rows = rows.iter().map(|(key, value)| Write::Row(key, value));
                let backend = match env.bugs.has(Bug::CreateBackendInPlace) {
                    true => opening.build_in_place(rows, &meta),
                    false => opening.build(rows, &meta),
                };
                return Ok((backend.map_err(open_error)?, meta));
            }
            Err(e) => return Err(e.into()),
        };
        let (backend, meta) = if is_clean || env.bugs.has(Bug::ReopenAfterFailedFsync) {
            opening.load(file, is_clean)?
        } else {
            let copy = file::copy(disk.as_ref(), file.as_ref())?;
            let loaded = opening.load(copy, false)?;
            file::name(disk.as_ref())?;
            loaded
        };
        if (meta.cluster, meta.member) != (cfg.cluster, cfg.id) {
            return Err(OpenError::Identity {
                found_cluster: meta.cluster,
                found_member: meta.member,
                expected: Box::new(cfg.clone()),
            });
        }
        Ok((backend, meta))
    }

    /// Creates the backend of a member that does not begin with nothing, and
    /// closes it.
    pub(crate) fn create(
        disk: &Arc<dyn Disk>,
        cfg: &Config,
        changes: &Changes,
        rows: &BTreeMap<Bytes, Bytes>,
        meta: &Meta,
    ) -> Result<(), Fatal> {
        let opening = Opening {
            disk,
            bugs: Bugs::NONE,
            cache_bytes: cfg.backend_cache_bytes,
        };
        let changes = changes.iter();
        let changes = changes.map(|(key, value)| Write::Change(key.as_bytes(), value));
        let rows = rows.iter().map(|(key, value)| Write::Row(key, value));
        opening.build(changes.chain(rows), meta)?.close();
        Ok(())
    }

    /// Writes everything that is committed into a new file without the holes
    /// that removals left, and puts it in the old one's place, durably and at
    /// once.
    pub(crate) fn defragment(&mut self) -> Result<(), Fatal> {
        let opening = Opening {
            disk: &self.disk,
            bugs: self.bugs,
            cache_bytes: self.cache_bytes,
        };
        let next = opening.copy_of(self.db())?;
        self.storage.retire();
        *self = next;
        Ok(())
    }

    /// Commits `writes` and `meta` durably, in one transaction. Returns how many
    /// bytes of changes, with their keys, were removed.
    pub(crate) fn commit<'a>(
        &mut self,
        writes: impl Iterator<Item = Write<'a>>,
        meta: &Meta,
    ) -> Result<u64, Fatal> {
        // A reader would keep the pages that this commit frees.
        self.keys = None;
        let db = self.db();
        let (removed_bytes, keys) = guarded(|| {
            let removed_bytes = write(db, self.bugs, writes, meta).map_err(fatal)?;
            Ok((removed_bytes, read(db).map_err(fatal)?))
        })?;
        self.keys = Some(keys);
        Ok(removed_bytes)
    }

    /// Replaces everything by `writes` and `meta`, durably and at once.
    pub(crate) fn replace<'a>(
        &mut self,
        writes: impl Iterator<Item = Write<'a>>,
        meta: &Meta,
    ) -> Result<(), Fatal> {
        let opening = Opening {
            disk: &self.disk,
            bugs: self.bugs,
            cache_bytes: self.cache_bytes,
        };
        let next = opening.build(writes, meta)?;
        self.storage.retire();
        *self = next;
        Ok(())
    }

    /// Closes it. If the disk never failed, says so to whoever opens it next;
    /// if it cannot be said, that one takes more care than needed.
    pub(crate) fn close(&mut self) {
        self.keys = None;
        let db = self.db.take();
        // redb writes when it is dropped; what fails then, only storage sees.
        let closed = guarded(|| {
            drop(db);
            Ok(())
        });
        if closed.is_ok() && !self.storage.has_failed() {
            file::testify(self.disk.as_ref());
        }
    }

    /// The committed value of a row.
    pub(crate) fn get<T>(
        &self,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, Fatal> {
        let keys = self.keys();
        let Some(guard) = guarded(|| keys.get(key).map_err(fatal))? else {
            return Ok(None);
        };
        row::open(key, guard.value()).map(|value| Some(read(value)))
    }

    /// Shows every committed row, in order of its key.
    pub(crate) fn for_each<E: From<Fatal>>(
        &self,
        mut row: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let keys = self.keys();
        let mut rows = guarded(|| keys.iter().map_err(fatal))?;
        while let Some(entry) = guarded(|| rows.next().transpose().map_err(fatal))? {
            let (key, value) = (entry.0.value(), entry.1.value());
            row(key, row::open(key, value)?)?;
        }
        Ok(())
    }

    /// Shows the committed rows from `first` on, in order of their keys, while
    /// `row` says that it wants more.
    pub(crate) fn for_each_from<E: From<Fatal>>(
        &self,
        first: &[u8],
        mut row: impl FnMut(&[u8], &[u8]) -> Result<bool, E>,
    ) -> Result<(), E> {
        let keys = self.keys();
        let mut rows = guarded(|| keys.range(first..).map_err(fatal))?;
        while let Some(entry) = guarded(|| rows.next().transpose().map_err(fatal))? {
            let (key, value) = (entry.0.value(), entry.1.value());
            if !row(key, row::open(key, value)?)? {
                break;
            }
        }
        Ok(())
    }

    /// Reads all committed rows of the state beside the key space.
    pub(crate) fn rows(&self) -> Result<BTreeMap<Bytes, Bytes>, Fatal> {
        let db = self.db();
        let read = || {
            let mut all = BTreeMap::new();
            for entry in db.begin_read()?.open_table(ROWS)?.iter()? {
                let (key, value) = entry?;
                let opened = row::open(key.value(), value.value()).map(Bytes::copy_from_slice);
                all.insert(Bytes::copy_from_slice(key.value()), opened);
            }
            Ok::<_, redb::Error>(all)
        };
        let rows = guarded(|| read().map_err(fatal))?;
        rows.into_iter()
            .map(|(key, value)| Ok((key, value?)))
            .collect()
    }

    /// Whether `bug` is planted.
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bugs.has(bug)
    }

    /// The file's size in bytes.
    pub(crate) fn len(&self) -> Result<u64, Fatal> {
        Ok(self.storage.len()?)
    }

    fn keys(&self) -> &Keys {
        self.keys
            .as_ref()
            .expect("only a failed commit leaves no reader, and it ends the lane")
    }

    fn db(&self) -> &Database {
        self.db.as_ref().expect("nothing uses a closed backend")
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.keys = None;
        let db = self.db.take();
        // Whoever drops it without closing it has no use for its end.
        let _ = guarded(|| {
            drop(db);
            Ok(())
        });
    }
}

/// What every way to an open backend needs.
struct Opening<'a> {
    disk: &'a Arc<dyn Disk>,
    bugs: Bugs,
    cache_bytes: usize,
}

impl Opening<'_> {
    /// Opens a file that is there. Recovery verifies every checksum in it; where
    /// there is nothing to recover, because it `was_closed`, that is left to us.
    fn load(&self, file: Arc<dyn File>, was_closed: bool) -> Result<(Backend, Meta), OpenError> {
        let storage = Storage::new(file);
        let opened = || {
            let mut db = self.database(&storage)?;
            if was_closed {
                db.check_integrity()?;
            }
            let meta = read_meta(&db)?;
            let keys = read(&db)?;
            Ok::<_, redb::Error>((db, meta, keys))
        };
        let (db, meta, keys) = opened().map_err(|e| open_error(fatal(e)))?;
        let meta = meta.map_err(|why| OpenError::Corrupt(format!("{PATH}: {why}")))?;
        Ok((self.opened(storage, db, keys), meta))
    }

    fn build<'r>(
        &self,
        writes: impl Iterator<Item = Write<'r>>,
        meta: &Meta,
    ) -> Result<Backend, Fatal> {
        let storage = Storage::new(file::create(self.disk.as_ref())?);
        storage.skip_syncs(self.bugs.has(Bug::UnsyncedSnapshot));
        let (db, keys) = guarded(|| {
            let db = self.database(&storage).map_err(fatal)?;
            write(&db, self.bugs, writes, meta).map_err(fatal)?;
            let keys = read(&db).map_err(fatal)?;
            Ok((db, keys))
        })?;
        file::name(self.disk.as_ref())?;
        storage.skip_syncs(false);
        Ok(self.opened(storage, db, keys))
    }

    /// A new file with what is committed in `from`, row by row as it is stored,
    /// checksums and all.
    fn copy_of(&self, from: &Database) -> Result<Backend, Fatal> {
        let storage = Storage::new(file::create(self.disk.as_ref())?);
        let (db, keys) = guarded(|| {
            let mut db = self.database(&storage).map_err(fatal)?;
            copy_tables(from, &db)?;
            // Gives back what the file grew by ahead of need.
            db.compact().map_err(|e| fatal(compaction_error(e)))?;
            let keys = read(&db).map_err(fatal)?;
            Ok((db, keys))
        })?;
        file::name(self.disk.as_ref())?;
        Ok(self.opened(storage, db, keys))
    }

    /// A planted bug: the file has its name from the start.
    fn build_in_place<'r>(
        &self,
        writes: impl Iterator<Item = Write<'r>>,
        meta: &Meta,
    ) -> Result<Backend, Fatal> {
        let storage = Storage::new(self.disk.open(Path::new(PATH), Open::New)?);
        let db = self.database(&storage).map_err(fatal)?;
        write(&db, self.bugs, writes, meta).map_err(fatal)?;
        let keys = read(&db).map_err(fatal)?;
        self.disk.sync_dir(Path::new("db"))?;
        Ok(self.opened(storage, db, keys))
    }

    fn opened(&self, storage: Storage, db: Database, keys: Keys) -> Backend {
        Backend {
            disk: Arc::clone(self.disk),
            bugs: self.bugs,
            cache_bytes: self.cache_bytes,
            storage,
            db: Some(db),
            keys: Some(keys),
        }
    }

    fn database(&self, storage: &Storage) -> Result<Database, redb::Error> {
        let db = redb::Builder::new()
            .set_cache_size(self.cache_bytes)
            .create_with_backend(storage.clone())?;
        Ok(db)
    }
}

type Keys = ReadOnlyTable<&'static [u8], &'static [u8]>;

fn read(db: &Database) -> Result<Keys, redb::Error> {
    Ok(db.begin_read()?.open_table(KEYS)?)
}

fn write<'a>(
    db: &Database,
    bugs: Bugs,
    writes: impl Iterator<Item = Write<'a>>,
    meta: &Meta,
) -> Result<u64, redb::Error> {
    let mut txn = db.begin_write()?;
    // Repairing quickly is what makes redb believe a disk that lied.
    txn.set_quick_repair(bugs.has(Bug::OpenUnguarded));
    let mut sealed = Vec::new();
    let mut removed_bytes = 0;
    {
        let mut keys = txn.open_table(KEYS)?;
        let mut rows = txn.open_table(ROWS)?;
        for write in writes {
            match write {
                Write::Change(key, value) => {
                    row::seal(key, value, &mut sealed);
                    keys.insert(key, sealed.as_slice())?;
                }
                Write::RemoveChange(key) => {
                    if let Some(stored) = keys.remove(key)? {
                        removed_bytes += (key.len() + row::value_len(stored.value())) as u64;
                    }
                }
                Write::Row(key, value) => {
                    row::seal(key, value, &mut sealed);
                    rows.insert(key, sealed.as_slice())?;
                }
                Write::RemoveRow(key) => drop(rows.remove(key)?),
            }
        }
        let mut table = txn.open_table(META)?;
        let format = (FORMAT_ROW, FORMAT.to_le_bytes().to_vec());
        for (name, value) in [format].into_iter().chain(meta.rows()) {
            row::seal(name.as_bytes(), &value, &mut sealed);
            table.insert(name, sealed.as_slice())?;
        }
    }
    txn.commit()?;
    Ok(removed_bytes)
}

fn copy_tables(from: &Database, to: &Database) -> Result<(), Fatal> {
    let read = from.begin_read().map_err(fatal)?;
    let txn = to.begin_write().map_err(fatal)?;
    for table in [KEYS, ROWS] {
        let source = read.open_table(table).map_err(fatal)?;
        let mut target = txn.open_table(table).map_err(fatal)?;
        for entry in source.iter().map_err(fatal)? {
            let (key, stored) = entry.map_err(fatal)?;
            row::open(key.value(), stored.value())?;
            target.insert(key.value(), stored.value()).map_err(fatal)?;
        }
    }
    {
        let source = read.open_table(META).map_err(fatal)?;
        let mut target = txn.open_table(META).map_err(fatal)?;
        for entry in source.iter().map_err(fatal)? {
            let (name, stored) = entry.map_err(fatal)?;
            row::open(name.value().as_bytes(), stored.value())?;
            target.insert(name.value(), stored.value()).map_err(fatal)?;
        }
    }
    txn.commit().map_err(fatal)
}

/// Nothing else uses a database that was just made.
fn compaction_error(error: redb::CompactionError) -> redb::Error {
    match error {
        redb::CompactionError::Storage(e) => e.into(),
        other => unreachable!("a new database has no transactions: {other}"),
    }
}

fn read_meta(db: &Database) -> Result<Result<Meta, String>, redb::Error> {
    let table = match db.begin_read()?.open_table(META) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => {
            return Ok(Err("it has no meta table, as if never finished".into()));
        }
        Err(e) => return Err(e.into()),
    };
    // A row that is not what was written reads as one that is not there.
    let get = |name: &str| {
        let found = table.get(name)?;
        let value = found.and_then(|v| row::open(name.as_bytes(), v.value()).map(Vec::from).ok());
        Ok::<_, redb::Error>(value)
    };
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
