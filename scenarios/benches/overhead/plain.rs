//! A disk that is nothing but vectors: no time, no sectors, no faults.

use squall_api::{Disk, File, Open, Stamp, SyncId};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One member's files, by path.
#[derive(Debug, Default)]
pub(crate) struct PlainDisk {
    files: Mutex<BTreeMap<PathBuf, Arc<PlainFile>>>,
}

#[derive(Debug, Default)]
struct PlainFile(Mutex<Vec<u8>>);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stamp for PlainDisk {
    fn spent(&self) -> u64 {
        0
    }
}

impl Disk for PlainDisk {
    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn File>> {
        let mut files = locked(&self.files);
        match (files.get(path), how) {
            (Some(file), Open::Existing) => Ok(file.clone()),
            (None, Open::New) => {
                let file = Arc::<PlainFile>::default();
                files.insert(path.to_owned(), file.clone());
                Ok(file)
            }
            (Some(_), Open::New) => Err(ErrorKind::AlreadyExists.into()),
            (None, Open::Existing) => Err(ErrorKind::NotFound.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut files = locked(&self.files);
        let file = files.remove(from).ok_or(Error::from(ErrorKind::NotFound))?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let removed = locked(&self.files).remove(path);
        removed.map(drop).ok_or(ErrorKind::NotFound.into())
    }

    fn list(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        let files = locked(&self.files);
        let within = files.keys().filter(|path| path.parent() == Some(dir));
        Ok(within.cloned().collect())
    }

    fn sync_dir(&self, _: &Path) -> Result<()> {
        Ok(())
    }
}

impl File for PlainFile {
    fn len(&self) -> Result<u64> {
        Ok(locked(&self.0).len() as u64)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        locked(&self.0).resize(len as usize, 0);
        Ok(())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let bytes = locked(&self.0);
        let end = offset as usize + buf.len();
        let found = bytes.get(offset as usize..end);
        buf.copy_from_slice(found.ok_or(Error::from(ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<()> {
        let mut bytes = locked(&self.0);
        let end = offset as usize + buf.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset as usize..end].copy_from_slice(buf);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn start_sync(&self, _: SyncId) {}
}
