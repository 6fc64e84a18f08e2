//! What a process asks of its disk.

use super::StartedSync;
use super::faults::Work;
use super::inode::{Inode, Sync, SyncFate};
use super::names::{Ino, Names, Place, dir_of};
use super::operation::DiskOp;
use super::state::{Running, State, Tag};
use crate::rng::Keyed;
use squall_api::{Open, SyncId};
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The largest file: its table of pages alone takes 32 MiB.
const MAX_LEN: u64 = 16 << 30;

impl State {
    pub(super) fn open(&mut self, path: &Path, how: Open) -> io::Result<Ino> {
        let result = self.open_at(path, how);
        let outcome = result.as_ref().map_or(u64::MAX, |ino| *ino as u64);
        self.log(
            Tag::Open,
            [how as u64, outcome, self.now()],
            path.as_os_str().as_encoded_bytes(),
        );
        result
    }

    fn open_at(&mut self, path: &Path, how: Open) -> io::Result<Ino> {
        let place = Place::of(path)?;
        let ino = match self.names.open(&place, how)? {
            Some(ino) => ino,
            None => {
                let (ino, begun) = (self.files.len(), self.now());
                let key = self.names.new_key(self.node, &place);
                let file = Inode::new(key, place.home(), &self.streams);
                self.files.push(Some(Box::new(file)));
                self.spend_on_write(ino, 0);
                self.names.link(self.now(), &place, ino);
                self.did(DiskOp::Create, begun, ino);
                ino
            }
        };
        self.file(ino).handles += 1;
        Ok(ino)
    }

    pub(super) fn close(&mut self, ino: Ino) {
        let file = self.file(ino);
        file.handles -= 1;
        if file.handles == 0 && !self.names.referenced().contains(&ino) {
            self.files[ino] = None;
        }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let result = self.rename_at(from, to);
        self.log(
            Tag::Rename,
            [self.now(), result.is_ok() as u64],
            from.as_os_str().as_encoded_bytes(),
        );
        self.log(Tag::Rename, [], to.as_os_str().as_encoded_bytes());
        result
    }

    fn rename_at(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let begun = self.now();
        let (from, to) = (Place::of(from)?, Place::of(to)?);
        let ino = self.names.find(&from)?;
        if to.is_dir() {
            return Err(to.is_a_directory());
        }
        self.spend_on_write(ino, 0);
        if from != to {
            self.names.rename(self.now(), &from, &to, ino);
        }
        self.did(DiskOp::Rename, begun, ino);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let result = self.remove_at(path);
        self.log(
            Tag::Remove,
            [self.now(), result.is_ok() as u64],
            path.as_os_str().as_encoded_bytes(),
        );
        result
    }

    fn remove_at(&mut self, path: &Path) -> io::Result<()> {
        let place = Place::of(path)?;
        let (ino, begun) = (self.names.find(&place)?, self.now());
        self.spend_on_write(ino, 0);
        self.names.unlink(self.now(), &place);
        if self.operations.counted() {
            self.operations
                .tell(DiskOp::Remove, path.to_owned(), begun, self.now());
        }
        Ok(())
    }

    pub(super) fn list(&mut self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let result = dir_of(dir).map(|dir| self.names.list(dir));
        let found = result.as_ref().map_or(u64::MAX, |files| files.len() as u64);
        self.log(Tag::List, [found], dir.as_os_str().as_encoded_bytes());
        result
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        let result = dir_of(dir).and_then(|dir| self.sync_names(dir));
        self.log(
            Tag::SyncDir,
            [self.now(), result.is_ok() as u64],
            dir.as_os_str().as_encoded_bytes(),
        );
        result
    }

    fn sync_names(&mut self, dir: usize) -> io::Result<()> {
        let begun = self.now();
        let cost = cost(self.names.sync_draws(dir), &self.params.fsync);
        self.spent += self.faults.slowed(cost, Work::Fsync);
        self.stats.fsyncs += 1;
        let (key, n) = self.names.count_sync(dir, self.node);
        let fate = self.sync_fate(Names::home(dir), key, n);
        if fate == SyncFate::Honest {
            self.names.sync(dir, begun, self.now());
        }
        let path = Path::new(Names::home(dir));
        if self.operations.counted() {
            self.operations
                .tell(DiskOp::SyncDir, path.to_owned(), begun, self.now());
        }
        match fate {
            SyncFate::Honest | SyncFate::Lie => Ok(()),
            SyncFate::Fail => Err(io::Error::other(format!(
                "input/output error: fsync of the directory {}",
                path.display()
            ))),
        }
    }

    pub(super) fn len(&mut self, ino: Ino) -> u64 {
        let file = self.file(ino);
        let (key, len) = (file.key, file.len);
        self.log(Tag::Len, [key, len], &[]);
        len
    }

    pub(super) fn set_len(&mut self, ino: Ino, len: u64) -> io::Result<()> {
        let begun = self.now();
        let mut result = fits(0, len);
        if result.is_ok() {
            self.spend_on_write(ino, 0);
            if !self.faults.is_empty() {
                result = self.refuse_write(ino);
            }
            self.file(ino).calls.writes += 1;
        }
        if result.is_ok() {
            let (now, step) = (self.now(), self.step);
            let file = self.file(ino);
            file.settle(step);
            file.set_len(now, len);
        }
        self.did(DiskOp::SetLen, begun, ino);
        let key = self.file(ino).key;
        self.log(
            Tag::SetLen,
            [key, len, self.now(), result.is_ok() as u64],
            &[],
        );
        result
    }

    pub(super) fn read_at(&mut self, ino: Ino, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.stats.reads += 1;
        let len = buf.len() as u64;
        let file = self.files[ino].as_mut().expect("an open file is kept");
        let end = offset.checked_add(len).filter(|end| *end <= file.len);
        let mut result = match end {
            Some(_) => {
                file.calls.reads += 1;
                if file.warm_up(offset, len) {
                    let cost = cost(&mut file.read_draws, &self.params.read);
                    self.spent += self.faults.slowed(cost, Work::Read);
                }
                file.pages.read(offset, buf);
                Ok(())
            }
            None => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{len} bytes at {offset} of a file that has {}", file.len),
            )),
        };
        let (key, damaged) = (file.key, !file.damage.is_empty());
        if result.is_ok() && (damaged || !self.faults.is_empty()) {
            result = self.spoil_read(ino, offset, buf);
        }
        let data: &[u8] = if result.is_ok() { buf } else { &[] };
        self.log(Tag::Read, [key, offset, len, self.now()], data);
        result
    }

    pub(super) fn write_at(&mut self, ino: Ino, offset: u64, buf: &[u8]) -> io::Result<()> {
        let begun = self.now();
        let mut result = fits(offset, buf.len() as u64);
        if result.is_ok() && !buf.is_empty() {
            self.stats.writes += 1;
            self.stats.bytes += buf.len() as u64;
            self.spend_on_write(ino, buf.len() as u64);
            let (now, step) = (self.now(), self.step);
            let healthy = self.faults.is_empty();
            let file = self.file(ino);
            file.settle(step);
            if healthy && file.damage.is_empty() {
                file.write(now, offset, buf);
            } else {
                result = self.write_through_faults(ino, offset, buf);
            }
            let file = self.file(ino);
            file.calls.writes += 1;
            // The page cache has the pages now, wherever the rest of them is.
            file.warm_up(offset, buf.len() as u64);
            self.did(DiskOp::Write, begun, ino);
        }
        let key = self.file(ino).key;
        self.log(
            Tag::Write,
            [key, offset, self.now(), result.is_ok() as u64],
            buf,
        );
        result
    }

    pub(super) fn sync(&mut self, ino: Ino) -> io::Result<()> {
        let begun = self.now();
        let (cost, fate) = self.begin_sync(ino);
        self.spent += cost;
        let end = self.now();
        let file = self.file(ino);
        file.sync_ending(end, fate);
        let key = file.key;
        self.log(Tag::Sync, [key, end], &[]);
        self.did(DiskOp::Sync, begun, ino);
        match fate {
            SyncFate::Honest | SyncFate::Lie => {
                self.waited = true;
                Ok(())
            }
            SyncFate::Fail => Err(self.failed("fsync", ino)),
        }
    }

    pub(super) fn start_sync(&mut self, ino: Ino, id: SyncId) {
        let begun = self.now();
        let (cost, fate) = self.begin_sync(ino);
        let file = self.file(ino);
        // Flushes of one file queue up: they end in the order of their begins.
        file.last_due = file.last_due.max(begun + cost);
        let (due, upto, key) = (file.last_due, file.changes(), file.key);
        let sync = Sync {
            end: due,
            upto,
            fate,
        };
        assert!(
            self.running.iter().all(|running| running.id != id),
            "n{} started sync {} while a sync of that id was running",
            self.node,
            id.0
        );
        self.running.push(Running {
            id,
            ino,
            begun,
            sync,
        });
        self.started.push(StartedSync { id, begun, due });
        self.log(Tag::StartSync, [key, id.0, begun, due], &[]);
        self.did(DiskOp::StartSync, begun, ino);
    }

    /// What a sync of a file costs, and what it will do.
    fn begin_sync(&mut self, ino: Ino) -> (u64, SyncFate) {
        self.stats.fsyncs += 1;
        let file = self.files[ino].as_mut().expect("an open file is kept");
        let cost = cost(&mut file.sync_draws, &self.params.fsync);
        file.calls.syncs += 1;
        let (home, key, n) = (file.home, file.key, file.calls.syncs);
        (
            self.faults.slowed(cost, Work::Fsync),
            self.sync_fate(home, key, n),
        )
    }

    fn spend_on_write(&mut self, ino: Ino, bytes: u64) {
        let file = self.files[ino]
            .as_mut()
            .expect("a file that is open or has a name is kept");
        let cost = cost(&mut file.write_draws, &self.params.write);
        self.spent += self.faults.slowed(cost, Work::Write(bytes));
    }

    /// An operation on a file that began at `begun` has been done.
    fn did(&mut self, what: DiskOp, begun: u64, ino: Ino) {
        if self.operations.counted() {
            let path = self.names.path_of(ino);
            self.operations.tell(what, path, begun, self.now());
        }
    }
}

fn cost(draws: &mut Keyed, range: &RangeInclusive<u64>) -> u64 {
    if range.start() == range.end() {
        return *range.start();
    }
    draws.next().range(range.clone())
}

fn fits(offset: u64, len: u64) -> io::Result<()> {
    match offset.checked_add(len) {
        Some(end) if end <= MAX_LEN => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("{len} bytes at {offset}: a file has at most {MAX_LEN}"),
        )),
    }
}
