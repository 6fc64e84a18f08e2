//! The files of a log, to be looked at where they lie: nothing is created,
//! locked or changed.

use squall_api::{Disk, File, Open, Stamp, SyncId};
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A log, read-only: as [`Disk`] the directory `wal` of a member.
#[derive(Debug)]
pub struct LogFiles {
    dir: PathBuf,
    /// The only file that is looked at, if one was named.
    only: Option<PathBuf>,
}

impl LogFiles {
    /// The log at `path`: a data directory, the directory of a log, or one of
    /// its files.
    ///
    /// # Errors
    /// If there is nothing, or nothing that could be a log.
    pub fn at(path: &Path) -> io::Result<LogFiles> {
        let meta = fs::metadata(path)?;
        if !meta.is_dir() {
            let name = path.file_name().map(PathBuf::from);
            let dir = path.parent().unwrap_or(Path::new(""));
            return Ok(LogFiles {
                dir: dir.to_owned(),
                only: name,
            });
        }
        let inside = path.join("wal");
        let dir = match inside.is_dir() {
            true => inside,
            false => path.to_owned(),
        };
        let log = LogFiles { dir, only: None };
        let is_log = |name: &PathBuf| name.extension().is_some_and(|e| e == "wal");
        if !log.list(Path::new(""))?.iter().any(is_log) {
            let why = "there is no log: expected files named *.wal, or a directory wal with some";
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        Ok(log)
    }

    /// Whether it is one file, and not the whole log.
    pub fn is_part(&self) -> bool {
        self.only.is_some()
    }
}

fn read_only<T>() -> io::Result<T> {
    let why = "the log is looked at, and not to be changed";
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, why))
}

impl Stamp for LogFiles {
    fn spent(&self) -> u64 {
        0
    }
}

impl Disk for LogFiles {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        match (how, path.file_name()) {
            (Open::Existing, Some(name)) => {
                let file = fs::File::open(self.dir.join(name))?;
                Ok(Arc::new(LogFile(file)))
            }
            _ => read_only(),
        }
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        read_only()
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        read_only()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        if let Some(only) = &self.only {
            return Ok(vec![dir.join(only)]);
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(dir.join(entry.file_name()));
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        read_only()
    }
}

#[derive(Debug)]
struct LogFile(fs::File);

impl File for LogFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        read_only()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_at(&self, _offset: u64, _buf: &[u8]) -> io::Result<()> {
        read_only()
    }

    fn sync(&self) -> io::Result<()> {
        read_only()
    }

    fn start_sync(&self, _id: SyncId) {
        unreachable!("nothing was written that could be synced")
    }
}
