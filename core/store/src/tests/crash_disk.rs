//! A disk in memory whose power can fail before any of its operations.
//!
//! It promises what [`Disk`] promises, and no more: after a power failure each
//! unsynced sector is kept, lost or torn, each unsynced change of a name is
//! kept or lost, and a file may have grown by a part of what was added. A sync
//! covers what was written before it was started.

use squall_api::{Disk, File, Open, Stamp, SyncId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use xxhash_rust::xxh3::xxh3_64;

const SECTOR: usize = 512;

#[derive(Debug, Clone, Default)]
struct State {
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since their directory's last sync, in order.
    renames: Vec<NameChange>,
    files: Vec<Content>,
    operations: u64,
    fails_at: Option<u64>,
    started: VecDeque<StartedSync>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Created(PathBuf, usize),
    Renamed(PathBuf, PathBuf),
    Removed(PathBuf),
}

impl NameChange {
    fn path(&self) -> &Path {
        match self {
            NameChange::Created(path, _)
            | NameChange::Renamed(path, _)
            | NameChange::Removed(path) => path,
        }
    }

    /// Does nothing where a change that it builds on was lost.
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            NameChange::Created(path, at) => {
                names.insert(path.clone(), *at);
            }
            NameChange::Renamed(from, to) => {
                if let Some(at) = names.remove(from) {
                    names.insert(to.clone(), at);
                }
            }
            NameChange::Removed(path) => {
                names.remove(path);
            }
        }
    }
}

/// What a sync found when it was started.
#[derive(Debug, Clone)]
struct StartedSync {
    id: SyncId,
    file: usize,
    bytes: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Debug, Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors written since the last sync.
    dirty: BTreeSet<usize>,
}

impl Content {
    /// The sectors `dirty` of `bytes` are durable, and the file as long.
    fn synced(&mut self, bytes: &[u8], dirty: &BTreeSet<usize>) {
        self.durable.resize(bytes.len(), 0);
        for &sector in dirty {
            let range = sector_of(sector, bytes.len());
            self.durable[range.clone()].copy_from_slice(&bytes[range.clone()]);
            // What was written meanwhile waits for the next sync.
            if self.bytes[sector_of(sector, self.bytes.len())] == bytes[range] {
                self.dirty.remove(&sector);
            }
        }
    }
}

/// The bytes of a sector, as far as a file of `len` bytes has them.
fn sector_of(sector: usize, len: usize) -> Range<usize> {
    (sector * SECTOR).min(len)..((sector + 1) * SECTOR).min(len)
}

impl State {
    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.renames.push(change);
    }
}

/// The disk; clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct CrashDisk(Arc<Mutex<State>>);

impl CrashDisk {
    pub(super) fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Lets the power fail instead of the `n`-th operation from now, counted
    /// from 1.
    pub(super) fn fail_at(&self, n: u64) {
        let mut state = self.0.lock().unwrap();
        state.fails_at = Some(state.operations + n);
    }

    pub(super) fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    pub(super) fn names(&self) -> Vec<PathBuf> {
        self.0.lock().unwrap().names.keys().cloned().collect()
    }

    /// Ends the syncs that were started, in order.
    pub(super) fn finish_syncs(&self) -> Vec<(SyncId, io::Result<()>)> {
        std::iter::from_fn(|| self.finish_sync()).collect()
    }

    fn finish_sync(&self) -> Option<(SyncId, io::Result<()>)> {
        let sync = self.0.lock().unwrap().started.pop_front()?;
        let result = self.operate(|state| {
            state.files[sync.file].synced(&sync.bytes, &sync.dirty);
            Ok(())
        });
        Some((sync.id, result))
    }

    /// What the next process sees when only the last one was killed: all that
    /// was written, though none of it became durable by that.
    pub(super) fn after_kill(&self) -> CrashDisk {
        let mut new = self.0.lock().unwrap().clone();
        new.fails_at = None;
        new.operations = 0;
        new.started.clear();
        CrashDisk(Arc::new(Mutex::new(new)))
    }

    /// What is there when the power is back, one of the many states that are
    /// possible. Fate 0 loses all that was not synced, fate 1 nothing.
    pub(super) fn after_power_loss(&self, fate: u64) -> CrashDisk {
        let old = self.0.lock().unwrap();
        let draw = |what: &str, n: usize| match fate {
            0 => 0,
            1 => u64::MAX,
            _ => xxh3_64(format!("{fate} {what} {n}").as_bytes()),
        };
        let kept = |what: &str, n: usize| draw(what, n) >> 63 == 1;
        let mut names = old.durable_names.clone();
        for (n, change) in old.renames.iter().enumerate() {
            if kept("name", n) {
                change.apply(&mut names);
            }
        }
        let mut new = State::default();
        for (name, at) in names {
            let Content {
                bytes: cached,
                durable,
                dirty,
            } = &old.files[at];
            let grown = cached.len().saturating_sub(durable.len()) as u128;
            let len = if grown > 0 {
                let part = (u128::from(draw("length", at)) * (grown + 1)) >> 64;
                durable.len() + part as usize
            } else if kept("length", at) {
                cached.len()
            } else {
                durable.len()
            };
            let mut bytes = durable.clone();
            bytes.resize(len, 0);
            for &sector in dirty {
                let mut range = sector_of(sector, len.min(cached.len()));
                match draw("sector", at << 32 | sector) >> 62 {
                    0 => range.end = range.start,
                    1 => range.end = (range.start + SECTOR / 3).min(range.end),
                    _ => {}
                }
                bytes[range.clone()].copy_from_slice(&cached[range]);
            }
            new.names.insert(name, new.files.len());
            new.files.push(Content {
                durable: bytes.clone(),
                bytes,
                dirty: BTreeSet::new(),
            });
        }
        new.durable_names = new.names.clone();
        CrashDisk(Arc::new(Mutex::new(new)))
    }

    fn operate<T>(&self, run: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        state.operations += 1;
        if state.fails_at.is_some_and(|at| state.operations >= at) {
            return Err(io::Error::other("the power has failed"));
        }
        run(&mut state)
    }
}

impl Stamp for CrashDisk {
    fn spent(&self) -> u64 {
        0
    }
}

impl Disk for CrashDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let at = self.operate(|state| match (state.names.get(path), how) {
            (Some(&at), Open::Existing) => Ok(at),
            (None, Open::New) => {
                state.files.push(Content::default());
                let at = state.files.len() - 1;
                state.rename(NameChange::Created(path.into(), at));
                Ok(at)
            }
            (None, Open::Existing) => Err(io::ErrorKind::NotFound.into()),
            (Some(_), Open::New) => Err(io::ErrorKind::AlreadyExists.into()),
        })?;
        Ok(Arc::new(CrashFile(self.clone(), at)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(|state| {
            state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            state.rename(NameChange::Renamed(from.into(), to.into()));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operate(|state| {
            state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
            state.rename(NameChange::Removed(path.into()));
            Ok(())
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut names = self.names();
        names.retain(|name| name.parent() == Some(dir));
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.operate(|state| {
            let State {
                renames,
                durable_names,
                ..
            } = state;
            renames.retain(|change| {
                let here = change.path().parent() == Some(dir);
                if here {
                    change.apply(durable_names);
                }
                !here
            });
            Ok(())
        })
    }
}

#[derive(Debug)]
struct CrashFile(CrashDisk, usize);

impl File for CrashFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.0.lock().unwrap().files[self.1].bytes.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.operate(|state| {
            let content = &mut state.files[self.1];
            let (old, new) = (content.bytes.len(), len as usize);
            content.bytes.resize(new, 0);
            // Old bytes must not come back where a file shrinks and grows.
            let stale = old..new.min(content.durable.len());
            if !stale.is_empty() {
                let sectors = stale.start / SECTOR..stale.end.div_ceil(SECTOR);
                content.dirty.extend(sectors);
            }
            Ok(())
        })
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let state = self.0.0.lock().unwrap();
        let start = offset as usize;
        let bytes = state.files[self.1].bytes.get(start..start + buf.len());
        buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.0.operate(|state| {
            let content = &mut state.files[self.1];
            let (start, end) = (offset as usize, offset as usize + buf.len());
            if content.bytes.len() < end {
                content.bytes.resize(end, 0);
            }
            content.bytes[start..end].copy_from_slice(buf);
            content.dirty.extend(start / SECTOR..end.div_ceil(SECTOR));
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.0.operate(|state| {
            let content = &mut state.files[self.1];
            let (bytes, dirty) = (content.bytes.clone(), content.dirty.clone());
            content.synced(&bytes, &dirty);
            content.dirty.clear();
            Ok(())
        })
    }

    fn start_sync(&self, id: SyncId) {
        let mut state = self.0.0.lock().unwrap();
        let Content { bytes, dirty, .. } = state.files[self.1].clone();
        state.started.push_back(StartedSync {
            id,
            file: self.1,
            bytes,
            dirty,
        });
    }
}
