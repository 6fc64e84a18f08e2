//! A process's handle on its node's disk.

use squall_api::{Disk, File, Open, Stamp};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A process's handle on its node's disk. Once the process is dead, every
/// operation fails at once and changes nothing.
#[derive(Debug)]
pub struct Mount;

impl Stamp for Mount {
    fn spent(&self) -> u64 {
        unimplemented!()
    }
}

impl Disk for Mount {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        unimplemented!("{path:?} {how:?}")
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        unimplemented!("{from:?} {to:?}")
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        unimplemented!("{path:?}")
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        unimplemented!("{dir:?}")
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        unimplemented!("{dir:?}")
    }
}
