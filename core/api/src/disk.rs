//! The disk seam: what a member asks of a file system, and no more.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Names one asynchronous sync; echoed in [`Input::Synced`](crate::Input::Synced).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyncId(pub u64);

/// How far into the current step its owner has come, in nanoseconds.
///
/// A step is a timeline: every disk operation of a simulated disk costs time,
/// and an effect that is pushed after it must not leave before that time has
/// passed. A real disk has spent the time already, and says 0.
pub trait Stamp: Send + Sync {
    /// Nanoseconds of disk time spent since the step began.
    fn spent(&self) -> u64;
}

/// A stamp for where time passes by itself: always 0.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoStamp;

impl Stamp for NoStamp {
    fn spent(&self) -> u64 {
        0
    }
}

/// How [`Disk::open`] treats a file that is there, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// The file must exist; else `NotFound`.
    Existing,
    /// The file must not exist; else `AlreadyExists`.
    New,
}

/// A directory tree. Paths are relative to the member's data directory, their
/// parents exist from the start (`wal`, `db` and the root itself).
///
/// After a power loss only this is certain: a file's content as of its last
/// [`File::sync`], under the names that its directory had at the last
/// [`Disk::sync_dir`].
pub trait Disk: Stamp + Debug {
    /// Opens or creates a file for reading and writing.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>>;
    /// Renames atomically, replacing `to` where it exists. Open files follow.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name; `NotFound` if there is none.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The files of a directory, sorted by name, as paths `open` accepts.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file. redb's storage backend is a thin adapter over it.
pub trait File: Debug + Send + Sync {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Truncates, or extends with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Fills `buf` from `offset`; `UnexpectedEof` when the file ends before.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
    /// Writes all of `buf`, extending the file where needed. Not durable.
    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()>;
    /// Makes everything written so far durable, blocking the lane meanwhile.
    fn sync(&self) -> io::Result<()>;
    /// Starts a sync of everything written so far and returns at once; the
    /// outcome reaches the *Raft lane* as [`Input::Synced`](crate::Input::Synced).
    fn start_sync(&self, id: SyncId);
}
