//! The backend's file: how it comes to its name, and what may be believed of it.
//!
//! A failed fsync is final. What it failed to write may count as clean from
//! then on: reads show it, later fsyncs succeed, and the disk does not have it.
//! So a process ends when a sync has failed; and the next one cannot tell, for
//! a member with such a disk may not have been able to leave a note, or was
//! killed first. Therefore the burden of proof lies with the file: unless the
//! process before closed it, and testified that no operation on it ever failed,
//! its bytes are copied into a new file, which is synced before it takes the
//! old one's name. What is copied is some state between the last two commits,
//! as after a power loss, and redb recovers from it, checksums and all.
//!
//! The testimony is an empty file beside the backend's. It is taken away,
//! durably, before the backend is written to again.

use squall_api::{Bug, Bugs, Disk, File, Open};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) const PATH: &str = "db/state.redb";
const DIR: &str = "db";
const TEMP_PATH: &str = "db/state.redb.tmp";
const TEMP_SUFFIX: &str = ".tmp";
const TESTIMONY: &str = "db/state.closed";

/// Copies are read and written in pieces of so many bytes...
const PIECE: usize = 1 << 20;
/// ... of which pages that are all zero stay holes.
const PAGE: usize = 4 << 10;

/// Removes what a process that ended half-way has left.
pub(super) fn remove_temporaries(disk: &dyn Disk, bugs: Bugs) -> io::Result<()> {
    for path in disk.list(Path::new(DIR))? {
        if path.to_string_lossy().ends_with(TEMP_SUFFIX) {
            if bugs.has(Bug::UseLeftoverTemporary) {
                disk.rename(&path, Path::new(PATH))?;
                continue;
            }
            disk.remove(&path)?;
        }
    }
    Ok(())
}

/// A new file under a temporary name.
pub(super) fn create(disk: &dyn Disk) -> io::Result<Arc<dyn File>> {
    disk.open(Path::new(TEMP_PATH), Open::New)
}

/// Gives the file that [`create`] made its name, durably. Its content must be
/// durable already.
pub(super) fn name(disk: &dyn Disk) -> io::Result<()> {
    disk.rename(Path::new(TEMP_PATH), Path::new(PATH))?;
    disk.sync_dir(Path::new(DIR))
}

/// A durable copy under a temporary name.
pub(super) fn copy(disk: &dyn Disk, from: &dyn File) -> io::Result<Arc<dyn File>> {
    let to = create(disk)?;
    let len = from.len()?;
    to.set_len(len)?;
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < len {
        let piece = &mut piece[..(len - at).min(PIECE as u64) as usize];
        from.read_at(at, piece)?;
        write_pages(to.as_ref(), at, piece)?;
        at += piece.len() as u64;
    }
    to.sync()?;
    Ok(to)
}

/// Writes all but pages of zeros.
fn write_pages(to: &dyn File, mut at: u64, bytes: &[u8]) -> io::Result<()> {
    let is_hole = |page: &[u8]| page.iter().all(|byte| *byte == 0);
    let pages: Vec<&[u8]> = bytes.chunks(PAGE).collect();
    let mut rest = bytes;
    for run in pages.chunk_by(|a, b| is_hole(a) == is_hole(b)) {
        let (run_bytes, after) = rest.split_at(run.iter().map(|page| page.len()).sum());
        if !is_hole(run[0]) {
            to.write_at(at, run_bytes)?;
        }
        at += run_bytes.len() as u64;
        rest = after;
    }
    Ok(())
}

/// Takes away the testimony of the process before; returns whether there was
/// one.
pub(super) fn take_testimony(disk: &dyn Disk) -> io::Result<bool> {
    match disk.remove(Path::new(TESTIMONY)) {
        Ok(()) => disk.sync_dir(Path::new(DIR)).map(|()| true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Testifies that the file was closed and never failed.
pub(super) fn testify(disk: &dyn Disk) {
    if let Ok(_file) = disk.open(Path::new(TESTIMONY), Open::New) {
        // Lost, it is missed by nobody.
        let _ = disk.sync_dir(Path::new(DIR));
    }
}

/// redb's view of a file; its clones share it.
#[derive(Debug, Clone)]
pub(super) struct Storage(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: Arc<dyn File>,
    /// Set once another file has taken this one's place: closing redb writes
    /// some thirty pages, which would be wasted on a file without a name.
    retired: AtomicBool,
    /// Set by the first operation that fails.
    failed: AtomicBool,
    /// A planted bug: syncs are left out until this is reset.
    skips_syncs: AtomicBool,
}

impl Storage {
    pub(super) fn new(file: Arc<dyn File>) -> Storage {
        Storage(Arc::new(Shared {
            file,
            retired: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            skips_syncs: AtomicBool::new(false),
        }))
    }

    pub(super) fn retire(&self) {
        self.0.retired.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.0.failed.load(Ordering::Relaxed)
    }

    pub(super) fn skip_syncs(&self, skip: bool) {
        self.0.skips_syncs.store(skip, Ordering::Relaxed);
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        self.run(|file| file.len())
    }

    fn run<T>(&self, op: impl FnOnce(&dyn File) -> io::Result<T>) -> io::Result<T> {
        if self.0.retired.load(Ordering::Relaxed) {
            return Err(io::Error::other(format!("{PATH}: replaced by a snapshot")));
        }
        let result = op(self.0.file.as_ref());
        if result.is_err() {
            self.0.failed.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl redb::StorageBackend for Storage {
    fn len(&self) -> io::Result<u64> {
        Storage::len(self)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.run(|file| file.read_at(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.run(|file| file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.0.skips_syncs.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.run(|file| file.sync())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.run(|file| file.write_at(offset, data))
    }
}
