//! Everything a disk knows, and what each operation does to it.

use super::inode::Inode;
use super::names::{Ino, Names, Place, dir_of};
use super::{CrashReport, DiskParams, DiskStats, PowerLoss, StartedSync, loss};
use crate::hash::RollingHash;
use crate::rng::{Keyed, Streams};
use squall_api::{Open, SyncId};
use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// The largest file: its table of pages alone takes 32 MiB.
const MAX_LEN: u64 = 16 << 30;

#[derive(Clone)]
pub(super) struct State {
    node: u64,
    params: DiskParams,
    streams: Streams,
    names: Names,
    /// By number; `None` once nothing refers to the file any more.
    files: Vec<Option<Box<Inode>>>,
    /// The living process's mount, 0 if there is none.
    mounted: u64,
    mounts: u64,
    crashes: u64,
    /// When the present step began. No crash will come before it: whatever
    /// ended by then is certain.
    step: u64,
    spent: u64,
    /// Asynchronous syncs that have not ended: (file, changes covered).
    running: BTreeMap<SyncId, (Ino, u64)>,
    started: Vec<StartedSync>,
    /// What each fault adds to an fsync, in nanoseconds.
    stalls: BTreeMap<u32, u64>,
    hashing: bool,
    hash: RollingHash,
    stats: DiskStats,
}

/// What an operation is called in the hash.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Tag {
    Open = 1,
    Rename,
    Remove,
    List,
    SyncDir,
    Len,
    SetLen,
    Read,
    Write,
    Sync,
    StartSync,
    FinishSync,
    Crash,
}

// --- the world's side ---

impl State {
    pub(super) fn new(node: u64, params: DiskParams, streams: Streams) -> State {
        State {
            node,
            params,
            streams,
            names: Names::new(node, &streams),
            files: Vec::new(),
            mounted: 0,
            mounts: 0,
            crashes: 0,
            step: 0,
            spent: 0,
            running: BTreeMap::new(),
            started: Vec::new(),
            stalls: BTreeMap::new(),
            hashing: true,
            hash: RollingHash::new(node),
            stats: DiskStats::default(),
        }
    }

    pub(super) fn mount(&mut self) -> u64 {
        self.unmount();
        self.mounts += 1;
        self.mounted = self.mounts;
        self.mounted
    }

    /// The process is gone, with its open files and the syncs it waits for.
    pub(super) fn unmount(&mut self) {
        self.mounted = 0;
        self.running.clear();
        self.started.clear();
        for file in self.files.iter_mut().flatten() {
            file.handles = 0;
        }
        self.collect();
    }

    pub(super) fn is_mounted(&self, mount: u64) -> bool {
        self.mounted == mount
    }

    pub(super) fn begin_step(&mut self, t: u64) {
        assert!(
            t >= self.step,
            "a step of n{} began at {t}, after one at {}",
            self.node,
            self.step
        );
        self.step = t;
        self.spent = 0;
        if self.names.settle(t) {
            self.collect();
        }
    }

    pub(super) fn spent(&self) -> u64 {
        self.spent
    }

    pub(super) fn take_started(&mut self) -> Vec<StartedSync> {
        std::mem::take(&mut self.started)
    }

    pub(super) fn finish_sync(&mut self, id: SyncId) -> io::Result<()> {
        let Some((ino, upto)) = self.running.remove(&id) else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("sync {} is not running: its process is gone", id.0),
            ));
        };
        // A file that was removed meanwhile has nothing to lose.
        if let Some(file) = &mut self.files[ino] {
            file.make_durable(upto);
        }
        self.log(Tag::FinishSync, [id.0, upto], &[]);
        Ok(())
    }

    pub(super) fn crash(&mut self, at: u64, how: PowerLoss) -> CrashReport {
        assert!(
            at >= self.step,
            "n{} crashed at {at}, before its last step began at {}",
            self.node,
            self.step
        );
        self.step = at;
        self.spent = 0;
        self.crashes += 1;
        self.names.cut(at);
        for file in self.files.iter_mut().flatten() {
            file.cut(at);
        }
        self.unmount();

        // A file without a name has nothing to lose.
        let named = self.names.named();
        let unsynced = named
            .iter()
            .map(|ino| (*ino, loss::unsynced_sectors(self.file(*ino))));
        let unsynced: BTreeMap<Ino, u64> = unsynced.collect();
        let unsynced_sectors = unsynced.values().sum();
        let lost_sectors = match how {
            PowerLoss::Kept => 0,
            PowerLoss::Lost => {
                self.names.lose();
                self.files
                    .iter_mut()
                    .flatten()
                    .for_each(|file| loss::lose(file));
                unsynced_sectors
            }
            PowerLoss::Torn => self.tear(&unsynced),
        };
        self.collect();
        let how = how as u64;
        self.log(Tag::Crash, [at, how, unsynced_sectors, lost_sectors], &[]);
        CrashReport {
            unsynced_sectors,
            lost_sectors,
        }
    }

    /// Any legal part of what is pending had reached the disk. Returns how many
    /// of the unsynced sectors, given by file, were lost.
    fn tear(&mut self, unsynced: &BTreeMap<Ino, u64>) -> u64 {
        let mut draws = self
            .streams
            .keyed("disk/crash_names", self.node << 32 | self.crashes);
        self.names.tear(&mut draws);
        let named = self.names.named();
        let mut lost_sectors = 0;
        for (ino, file) in self.files.iter_mut().enumerate() {
            let Some(file) = file else { continue };
            // By file: what is pending in one does not decide another's fate.
            let parts = [file.key, self.crashes].map(u64::to_le_bytes);
            let entity = xxh3_64(parts.as_flattened());
            let lost = loss::tear(file, &mut self.streams.keyed("disk/crash_file", entity));
            let unsynced = unsynced.get(&ino).copied().unwrap_or(0);
            lost_sectors += if named.contains(&ino) {
                lost.min(unsynced)
            } else {
                unsynced
            };
        }
        lost_sectors
    }

    pub(super) fn stall(&mut self, fault: u32, delay: u64) {
        self.stalls.insert(fault, delay);
    }

    pub(super) fn unstall(&mut self, fault: u32) {
        self.stalls.remove(&fault);
    }

    pub(super) fn set_hash(&mut self, on: bool) {
        self.hashing = on;
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash.value()
    }

    pub(super) fn stats(&self) -> DiskStats {
        self.stats
    }
}

// --- the process's side ---

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
                let ino = self.files.len();
                let key = self.names.new_key(self.node, &place);
                let mut file = Box::new(Inode::new(key, &self.streams));
                self.spent += cost(&mut file.write_draws, &self.params.write);
                self.files.push(Some(file));
                self.names.link(self.now(), &place, ino);
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
        let (from, to) = (Place::of(from)?, Place::of(to)?);
        let ino = self.names.find(&from)?;
        if to.is_dir() {
            return Err(to.is_a_directory());
        }
        self.spend_on_write(ino);
        if from != to {
            self.names.rename(self.now(), &from, &to, ino);
        }
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
        let ino = self.names.find(&place)?;
        self.spend_on_write(ino);
        self.names.unlink(self.now(), &place);
        Ok(())
    }

    pub(super) fn list(&mut self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let result = dir_of(dir).map(|dir| self.names.list(dir));
        let found = result.as_ref().map_or(u64::MAX, |files| files.len() as u64);
        self.log(Tag::List, [found], dir.as_os_str().as_encoded_bytes());
        result
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        let result = dir_of(dir).map(|dir| {
            let begin = self.now();
            let draws = self.names.sync_draws(dir);
            self.spent += cost(draws, &self.params.fsync) + self.stalls.values().sum::<u64>();
            self.stats.fsyncs += 1;
            self.names.sync(dir, begin, self.now());
        });
        self.log(
            Tag::SyncDir,
            [self.now(), result.is_ok() as u64],
            dir.as_os_str().as_encoded_bytes(),
        );
        result
    }

    pub(super) fn len(&mut self, ino: Ino) -> u64 {
        let file = self.file(ino);
        let (key, len) = (file.key, file.len);
        self.log(Tag::Len, [key, len], &[]);
        len
    }

    pub(super) fn set_len(&mut self, ino: Ino, len: u64) -> io::Result<()> {
        let result = fits(0, len);
        if result.is_ok() {
            self.spend_on_write(ino);
            let (now, step) = (self.now(), self.step);
            let file = self.file(ino);
            file.settle(step);
            file.set_len(now, len);
        }
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
        let result = match end {
            Some(_) => {
                if file.warm_up(offset, len) {
                    self.spent += cost(&mut file.read_draws, &self.params.read);
                }
                file.pages.read(offset, buf);
                Ok(())
            }
            None => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{len} bytes at {offset} of a file that has {}", file.len),
            )),
        };
        let key = file.key;
        let data: &[u8] = if result.is_ok() { buf } else { &[] };
        self.log(Tag::Read, [key, offset, len, self.now()], data);
        result
    }

    pub(super) fn write_at(&mut self, ino: Ino, offset: u64, buf: &[u8]) -> io::Result<()> {
        let result = fits(offset, buf.len() as u64);
        let file = self.files[ino].as_mut().expect("an open file is kept");
        if result.is_ok() && !buf.is_empty() {
            self.stats.writes += 1;
            self.stats.bytes += buf.len() as u64;
            self.spent += cost(&mut file.write_draws, &self.params.write);
            file.settle(self.step);
            // The page cache has the pages now, wherever the rest of them is.
            file.warm_up(offset, buf.len() as u64);
            file.write(self.step + self.spent, offset, buf);
        }
        let key = file.key;
        self.log(
            Tag::Write,
            [key, offset, self.now(), result.is_ok() as u64],
            buf,
        );
        result
    }

    pub(super) fn sync(&mut self, ino: Ino) {
        let cost = self.sync_cost(ino);
        self.spent += cost;
        let end = self.now();
        let file = self.file(ino);
        file.sync_ending(end);
        let key = file.key;
        self.log(Tag::Sync, [key, end], &[]);
    }

    pub(super) fn start_sync(&mut self, ino: Ino, id: SyncId) {
        let begun = self.now();
        let cost = self.sync_cost(ino);
        let file = self.file(ino);
        // Flushes of one file queue up: they end in the order of their begins.
        file.last_due = file.last_due.max(begun + cost);
        let (due, upto, key) = (file.last_due, file.changes(), file.key);
        let replaced = self.running.insert(id, (ino, upto));
        assert!(
            replaced.is_none(),
            "n{} started sync {} while a sync of that id was running",
            self.node,
            id.0
        );
        self.started.push(StartedSync { id, begun, due });
        self.log(Tag::StartSync, [key, id.0, begun, due], &[]);
    }

    fn sync_cost(&mut self, ino: Ino) -> u64 {
        self.stats.fsyncs += 1;
        let file = self.files[ino].as_mut().expect("an open file is kept");
        cost(&mut file.sync_draws, &self.params.fsync) + self.stalls.values().sum::<u64>()
    }

    fn spend_on_write(&mut self, ino: Ino) {
        let file = self.files[ino]
            .as_mut()
            .expect("a file with a name is kept");
        self.spent += cost(&mut file.write_draws, &self.params.write);
    }

    /// True time, as far as the present step has come.
    fn now(&self) -> u64 {
        self.step + self.spent
    }

    fn file(&mut self, ino: Ino) -> &mut Inode {
        self.files[ino]
            .as_mut()
            .expect("a file that is open or has a name is kept")
    }

    /// Forgets the files that nothing refers to, now or after a crash.
    fn collect(&mut self) {
        let referenced = self.names.referenced();
        for (ino, slot) in self.files.iter_mut().enumerate() {
            if slot.as_ref().is_some_and(|file| file.handles == 0) && !referenced.contains(&ino) {
                *slot = None;
            }
        }
    }

    fn log<const N: usize>(&mut self, tag: Tag, numbers: [u64; N], bytes: &[u8]) {
        if self.hashing {
            let numbers = numbers.map(u64::to_le_bytes);
            self.hash.mix(tag as u8, numbers.as_flattened());
            if !bytes.is_empty() {
                self.hash.mix(tag as u8, bytes);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_file_is_forgotten_once_no_crash_can_bring_it_back() {
        let params = DiskParams {
            read: 1..=1,
            write: 1..=1,
            fsync: 1..=1,
        };
        let mut state = State::new(1, params, Streams::new(1));
        state.mount();
        let path = Path::new("wal/a");
        let kept = |state: &State| state.files.iter().flatten().count();
        let ino = state.open(path, Open::New).unwrap();
        state.close(ino);
        state.sync_dir(Path::new("wal")).unwrap();
        state.remove(path).unwrap();
        state.begin_step(10);
        assert_eq!(kept(&state), 1, "its name is still durable");
        state.sync_dir(Path::new("wal")).unwrap();
        assert_eq!(
            kept(&state),
            1,
            "a crash may come before the sync has ended"
        );
        state.begin_step(20);
        assert_eq!(kept(&state), 0);
    }
}
