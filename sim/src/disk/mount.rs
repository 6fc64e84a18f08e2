//! A process's handle on its node's disk.

use super::NodeDisk;
use super::names::Ino;
use super::state::State;
use squall_api::{Disk, File, Open, Stamp, SyncId};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::{fmt, io};

/// A process's handle on its node's disk.
///
/// Once the process is dead every operation on the handle, or on a file that
/// was opened with it, fails at once and changes nothing: destructors may run
/// late, and redb's write some thirty pages.
pub struct Mount {
    disk: Arc<NodeDisk>,
    number: u64,
}

/// An open file of one process.
struct Handle {
    disk: Arc<NodeDisk>,
    mount: u64,
    ino: Ino,
}

impl Mount {
    pub(super) fn new(disk: Arc<NodeDisk>, number: u64) -> Mount {
        Mount { disk, number }
    }

    fn run<T>(&self, op: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.disk.run(self.number, op)
    }
}

impl Stamp for Mount {
    fn spent(&self) -> u64 {
        self.disk.spent()
    }
}

impl Disk for Mount {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let ino = self.run(|state| state.open(path, how))?;
        Ok(Arc::new(Handle {
            disk: self.disk.clone(),
            mount: self.number,
            ino,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(|state| state.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.run(|state| state.remove(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.run(|state| state.list(dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.run(|state| state.sync_dir(dir))
    }
}

impl Handle {
    fn run<T>(&self, op: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.disk.run(self.mount, op)
    }
}

impl File for Handle {
    fn len(&self) -> io::Result<u64> {
        self.run(|state| Ok(state.len(self.ino)))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.run(|state| state.set_len(self.ino, len))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.run(|state| state.read_at(self.ino, offset, buf))
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.run(|state| state.write_at(self.ino, offset, buf))
    }

    fn sync(&self) -> io::Result<()> {
        self.run(|state| state.sync(self.ino))
    }

    fn start_sync(&self, id: SyncId) {
        let started = self.run(|state| {
            state.start_sync(self.ino, id);
            Ok(())
        });
        // Nobody is left who could wait for a dead process's sync.
        drop(started);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let closed = self.run(|state| {
            state.close(self.ino);
            Ok(())
        });
        // A dead process has no open files.
        drop(closed);
    }
}

impl NodeDisk {
    /// Runs an operation of the process that has this mount, if it lives.
    fn run<T>(&self, mount: u64, op: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state();
        if state.is_mounted(mount) {
            let result = op(&mut state);
            self.spent.store(state.spent, Ordering::Relaxed);
            result
        } else {
            Err(io::Error::other(
                "the process that mounted this disk is dead",
            ))
        }
    }
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Mount");
        out.field("node", &self.disk.node)
            .field("number", &self.number)
            .finish()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Handle");
        out.field("node", &self.disk.node)
            .field("mount", &self.mount)
            .field("ino", &self.ino)
            .finish()
    }
}
