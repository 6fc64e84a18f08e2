//! A data directory as a [`Disk`].

use squall_api::{Disk, File, Open, Stamp, SyncId};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The directories that a member expects to be there, besides the root.
const DIRECTORIES: [&str; 2] = ["wal", "db"];

/// Files in a data directory, which is locked for as long as this lives.
#[derive(Debug)]
pub struct FileDisk {
    root: PathBuf,
    dead: Arc<AtomicBool>,
    /// Behind a lock only because a `Sender` per file is cloned from it.
    syncs: Mutex<Sender<Sync>>,
    /// Holds the lock on the directory.
    _lock: fs::File,
}

/// A sync on its way to the thread that does them.
#[derive(Debug)]
struct Sync {
    id: SyncId,
    file: Arc<fs::File>,
    path: Arc<Path>,
}

impl FileDisk {
    /// Opens the data directory `root`, creating it (for its owner only) where
    /// it is missing. `synced` hears of every end of a [`File::start_sync`], on
    /// another thread.
    ///
    /// Fails with `ResourceBusy` if another process, or another `FileDisk` of
    /// this one, has the directory open.
    pub fn open(
        root: &Path,
        synced: impl Fn(SyncId, io::Result<()>) + Send + 'static,
    ) -> io::Result<FileDisk> {
        for dir in [root.to_owned()]
            .into_iter()
            .chain(DIRECTORIES.map(|d| root.join(d)))
        {
            fs::DirBuilder::new()
                .mode(0o700)
                .recursive(true)
                .create(&dir)
                .map_err(|e| explain("create data directory", &dir, e))?;
        }
        sync_directory(root)?;
        if let Some(parent) = root.parent().filter(|p| !p.as_os_str().is_empty()) {
            sync_directory(parent)?;
        }
        let lock = fs::File::open(root).map_err(|e| explain("open data directory", root, e))?;
        lock.try_lock().map_err(|e| match e {
            fs::TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!(
                    "data directory {} is in use by another process",
                    root.display()
                ),
            ),
            fs::TryLockError::Error(e) => explain("lock data directory", root, e),
        })?;
        let dead = Arc::new(AtomicBool::new(false));
        let (syncs, queue) = channel();
        let dead_too = dead.clone();
        thread::Builder::new()
            .name("sync".into())
            .spawn(move || sync_files(&queue, &dead_too, synced))?;
        Ok(FileDisk {
            root: root.to_owned(),
            dead,
            syncs: Mutex::new(syncs),
            _lock: lock,
        })
    }

    /// From now on every operation fails and changes nothing: what a killed
    /// process would not have written, its destructors do not write either.
    pub fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    fn alive(&self) -> io::Result<()> {
        alive(&self.dead)
    }
}

/// Runs on its own thread, so that a slow fsync stalls neither lane.
fn sync_files(queue: &Receiver<Sync>, dead: &AtomicBool, synced: impl Fn(SyncId, io::Result<()>)) {
    while let Ok(sync) = queue.recv() {
        let result = alive(dead).and_then(|()| {
            let result = sync.file.sync_data();
            result.map_err(|e| explain("sync", &sync.path, e))
        });
        synced(sync.id, result);
    }
}

fn alive(dead: &AtomicBool) -> io::Result<()> {
    if dead.load(Ordering::SeqCst) {
        Err(io::Error::other("the process was killed"))
    } else {
        Ok(())
    }
}

/// Keeps the kind, which callers match on, and adds what was tried on which file.
fn explain(what: &str, path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| explain("sync directory", dir, e))
}

impl Stamp for FileDisk {
    /// Time on a real disk has passed by itself.
    fn spent(&self) -> u64 {
        0
    }
}

impl Disk for FileDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        self.alive()?;
        let path = self.root.join(path);
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(how == Open::New)
            .open(&path)
            .map_err(|e| explain("open", &path, e))?;
        let syncs = self.syncs.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::new(OpenFile {
            file: Arc::new(file),
            path: path.into(),
            dead: self.dead.clone(),
            syncs: syncs.clone(),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.alive()?;
        let (from, to) = (self.root.join(from), self.root.join(to));
        fs::rename(&from, &to)
            .map_err(|e| explain(&format!("rename {} to", from.display()), &to, e))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.alive()?;
        let path = self.root.join(path);
        fs::remove_file(&path).map_err(|e| explain("remove", &path, e))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.alive()?;
        let full = self.root.join(dir);
        let mut names = Vec::new();
        for entry in fs::read_dir(&full).map_err(|e| explain("list", &full, e))? {
            let entry = entry.map_err(|e| explain("list", &full, e))?;
            if entry.file_type()?.is_file() {
                names.push(dir.join(entry.file_name()));
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.alive()?;
        sync_directory(&self.root.join(dir))
    }
}

#[derive(Debug)]
struct OpenFile {
    file: Arc<fs::File>,
    path: Arc<Path>,
    dead: Arc<AtomicBool>,
    syncs: Sender<Sync>,
}

impl OpenFile {
    fn run<T>(&self, what: &str, op: impl FnOnce(&fs::File) -> io::Result<T>) -> io::Result<T> {
        alive(&self.dead)?;
        op(&self.file).map_err(|e| explain(what, &self.path, e))
    }
}

impl File for OpenFile {
    fn len(&self) -> io::Result<u64> {
        self.run("stat", |f| Ok(f.metadata()?.len()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.run("resize", |f| f.set_len(len))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.run("read", |f| f.read_exact_at(buf, offset))
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.run("write", |f| f.write_all_at(buf, offset))
    }

    fn sync(&self) -> io::Result<()> {
        // Lengths are data to a file system: fdatasync covers them.
        self.run("sync", fs::File::sync_data)
    }

    fn start_sync(&self, id: SyncId) {
        let sync = Sync {
            id,
            file: self.file.clone(),
            path: self.path.clone(),
        };
        self.syncs
            .send(sync)
            .expect("the sync thread lives as long as there are senders");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn disk(root: &Path) -> (FileDisk, Receiver<(SyncId, io::Result<()>)>) {
        let (send, synced) = channel();
        let disk = FileDisk::open(root, move |id, result| {
            send.send((id, result)).expect("the test listens");
        });
        (disk.unwrap(), synced)
    }

    #[test]
    fn a_data_directory_is_private_complete_and_locked() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("member");
        let (disk, _synced) = disk(&root);
        for path in [root.clone(), root.join("wal"), root.join("db")] {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", path.display());
        }
        let busy = FileDisk::open(&root, |_, _| ()).unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
        assert!(busy.to_string().contains("is in use"), "{busy}");
        drop(disk);
        FileDisk::open(&root, |_, _| ()).unwrap();
    }

    #[test]
    fn files_are_written_listed_renamed_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, _synced) = disk(dir.path());
        let wal = Path::new("wal");
        let (a, b) = (Path::new("wal/a"), Path::new("wal/b"));
        let file = disk.open(b, Open::New).unwrap();
        disk.open(a, Open::New).unwrap();
        assert_eq!(disk.list(wal).unwrap(), [a, b]);
        assert_eq!(disk.list(Path::new("")).unwrap(), Vec::<PathBuf>::new());
        file.write_at(3, b"abc").unwrap();
        file.sync().unwrap();
        disk.rename(b, a).unwrap();
        disk.sync_dir(wal).unwrap();
        assert_eq!(disk.list(wal).unwrap(), [a]);

        let file = disk.open(a, Open::Existing).unwrap();
        let mut buf = [9; 6];
        file.read_at(0, &mut buf).unwrap();
        assert_eq!(&buf, b"\0\0\0abc");
        file.set_len(4).unwrap();
        assert_eq!(file.len().unwrap(), 4);
        let short = file.read_at(2, &mut buf).unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
        disk.remove(a).unwrap();
        assert_eq!(disk.list(wal).unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn errors_keep_their_kind_and_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, _synced) = disk(dir.path());
        let path = Path::new("wal/x");
        let missing = disk.open(path, Open::Existing).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(missing.to_string().contains("wal/x"), "{missing}");
        assert_eq!(
            disk.remove(path).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        disk.open(path, Open::New).unwrap();
        let there = disk.open(path, Open::New).unwrap_err();
        assert_eq!(there.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_started_sync_ends_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, synced) = disk(dir.path());
        let file = disk.open(Path::new("wal/a"), Open::New).unwrap();
        for id in [SyncId(1), SyncId(2)] {
            file.start_sync(id);
        }
        for expected in [SyncId(1), SyncId(2)] {
            let (id, result) = synced.recv().unwrap();
            result.unwrap();
            assert_eq!(id, expected);
        }
    }

    #[test]
    fn a_killed_disk_takes_nothing_more() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, synced) = disk(dir.path());
        let path = Path::new("wal/a");
        let file = disk.open(path, Open::New).unwrap();
        file.write_at(0, b"before").unwrap();
        disk.kill();
        assert!(file.write_at(0, b"after!").is_err());
        assert!(file.sync().is_err());
        assert!(disk.open(path, Open::Existing).is_err());
        assert!(disk.remove(path).is_err());
        assert!(disk.rename(path, path).is_err());
        file.start_sync(SyncId(1));
        assert!(synced.recv().unwrap().1.is_err());
        assert_eq!(fs::read(dir.path().join(path)).unwrap(), b"before");
    }
}
