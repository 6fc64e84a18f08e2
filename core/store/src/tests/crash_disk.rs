//! A disk in memory whose power can fail before any of its operations.

use squall_api::{Disk, File, Open, Stamp, SyncId};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use xxhash_rust::xxh3::xxh3_64;

const SECTOR: usize = 512;

#[derive(Debug, Clone, Default)]
struct State {
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    files: Vec<Content>,
    operations: u64,
    fails_at: Option<u64>,
    started: Vec<(usize, SyncId)>,
}

#[derive(Debug, Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors written since the last sync.
    dirty: BTreeSet<usize>,
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

    /// Ends the syncs that were started.
    pub(super) fn finish_syncs(&self) -> Vec<(SyncId, io::Result<()>)> {
        let started = std::mem::take(&mut self.0.lock().unwrap().started);
        started
            .into_iter()
            .map(|(at, id)| (id, CrashFile(self.clone(), at).sync()))
            .collect()
    }

    /// What is there when the power is back: every unsynced sector, length and
    /// directory is kept or lost as `fate` has it.
    pub(super) fn after_power_loss(&self, fate: u64) -> CrashDisk {
        let old = self.0.lock().unwrap();
        let kept = |what: &str, n: usize| {
            let draw = xxh3_64(format!("{fate} {what} {n}").as_bytes());
            // Fates 0 and 1 are the extremes.
            fate == 1 || (fate > 1 && draw % 2 == 1)
        };
        let mut new = State::default();
        let names = if kept("names", 0) {
            &old.names
        } else {
            &old.durable_names
        };
        for (name, &at) in names {
            let content = &old.files[at];
            let len = if kept("len", at) {
                content.bytes.len()
            } else {
                content.durable.len()
            };
            let mut bytes = content.durable.clone();
            bytes.resize(len, 0);
            for &sector in &content.dirty {
                let start = sector * SECTOR;
                let end = (start + SECTOR).min(len).min(content.bytes.len());
                if start < end && kept("sector", at << 32 | sector) {
                    bytes[start..end].copy_from_slice(&content.bytes[start..end]);
                }
            }
            new.names.insert(name.clone(), new.files.len());
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
                state.names.insert(path.into(), state.files.len() - 1);
                Ok(state.files.len() - 1)
            }
            (None, Open::Existing) => Err(io::ErrorKind::NotFound.into()),
            (Some(_), Open::New) => Err(io::ErrorKind::AlreadyExists.into()),
        })?;
        Ok(Arc::new(CrashFile(self.clone(), at)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(|state| {
            let at = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            state.names.insert(to.into(), at);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operate(|state| {
            state.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
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
            state.durable_names.retain(|n, _| n.parent() != Some(dir));
            let here = state.names.iter().filter(|(n, _)| n.parent() == Some(dir));
            let here: Vec<_> = here.map(|(n, at)| (n.clone(), *at)).collect();
            state.durable_names.extend(here);
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
            state.files[self.1].bytes.resize(len as usize, 0);
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
            content.durable.resize(content.bytes.len(), 0);
            for sector in std::mem::take(&mut content.dirty) {
                let start = (sector * SECTOR).min(content.bytes.len());
                let end = (start + SECTOR).min(content.bytes.len());
                content.durable[start..end].copy_from_slice(&content.bytes[start..end]);
            }
            Ok(())
        })
    }

    fn start_sync(&self, id: SyncId) {
        self.0.0.lock().unwrap().started.push((self.1, id));
    }
}
