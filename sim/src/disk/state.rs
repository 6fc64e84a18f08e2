//! Everything a disk knows, and what the world does with it.

use super::fault::DiskFaultKind;
use super::faults::Faults;
use super::inode::{Inode, Sync, SyncFate};
use super::names::{Ino, Names};
use super::operation::{DiskOp, Operations};
use super::{DiskParams, DiskStats, EndOfStep, StartedSync};
use crate::hash::RollingHash;
use crate::rng::Streams;
use squall_api::SyncId;
use std::collections::BTreeMap;
use std::io;

#[derive(Clone)]
pub(super) struct State {
    pub(super) node: u64,
    pub(super) params: DiskParams,
    pub(super) streams: Streams,
    pub(super) names: Names,
    /// By number; `None` once nothing refers to the file any more.
    pub(super) files: Vec<Option<Box<Inode>>>,
    /// The living process's mount, 0 if there is none.
    mounted: u64,
    mounts: u64,
    pub(super) crashes: u64,
    /// When the present step began. No crash will come before it: whatever
    /// ended by then is certain.
    pub(super) step: u64,
    pub(super) spent: u64,
    /// Asynchronous syncs that have not ended.
    pub(super) running: Vec<Running>,
    pub(super) started: Vec<StartedSync>,
    /// Whether a blocking sync of the present step has done its work.
    pub(super) waited: bool,
    pub(super) faults: Faults,
    /// How often each one-time fault was injected: numbers its draws.
    pub(super) injected: BTreeMap<u32, u64>,
    pub(super) operations: Operations,
    hashing: bool,
    hash: RollingHash,
    /// The hash at the end of the last step.
    told: u64,
    pub(super) stats: DiskStats,
}

/// An asynchronous sync that has not ended.
#[derive(Clone, Copy)]
pub(super) struct Running {
    pub(super) id: SyncId,
    pub(super) ino: Ino,
    pub(super) begun: u64,
    pub(super) sync: Sync,
}

/// What an operation is called in the hash.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Tag {
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
    Inject,
    Clear,
    Fault,
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
            running: Vec::new(),
            started: Vec::new(),
            waited: false,
            faults: Faults::new(node, streams),
            injected: BTreeMap::new(),
            operations: Operations::default(),
            hashing: true,
            hash: RollingHash::new(node),
            told: RollingHash::new(node).value(),
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
        self.waited = false;
        if self.names.settle(t) {
            self.collect();
        }
    }

    pub(super) fn take_started(&mut self) -> Vec<StartedSync> {
        std::mem::take(&mut self.started)
    }

    pub(super) fn finish_sync(&mut self, id: SyncId) -> io::Result<()> {
        let at = self.running.iter().position(|running| running.id == id);
        let Some(Running {
            ino, begun, sync, ..
        }) = at.map(|at| self.running.remove(at))
        else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("sync {} is not running: its process is gone", id.0),
            ));
        };
        // A file that was removed meanwhile has nothing to lose.
        if let Some(file) = &mut self.files[ino] {
            // A blocking sync that ended before has made its part durable.
            file.settle(sync.end);
            file.ended(sync);
        }
        self.log(Tag::FinishSync, [id.0, sync.upto], &[]);
        if self.operations.counted() {
            let path = self.names.path_of(ino);
            self.operations
                .tell(DiskOp::FinishSync, path, begun, sync.end);
        }
        match sync.fate {
            SyncFate::Honest | SyncFate::Lie => Ok(()),
            SyncFate::Fail => Err(self.failed("fsync", ino)),
        }
    }

    pub(super) fn set_hash(&mut self, on: bool) {
        self.hashing = on;
    }

    pub(super) fn end_step(&mut self) -> EndOfStep {
        let hash = self.hash.value();
        let before = std::mem::replace(&mut self.told, hash);
        EndOfStep {
            spent: self.spent,
            waited: self.waited,
            started: self.take_started(),
            hash: (hash != before).then_some(hash),
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash.value()
    }

    pub(super) fn stats(&self) -> DiskStats {
        DiskStats {
            fired: self.faults.fired,
            met: self.faults.met,
            ..self.stats
        }
    }

    pub(super) fn troubles(&self) -> Vec<DiskFaultKind> {
        self.faults.kinds()
    }

    pub(super) fn bytes_in(&self, dir: &str) -> u64 {
        let files = self.names.files_in(dir);
        let files = files.filter_map(|ino| self.files[ino].as_ref());
        files.map(|file| file.len).sum()
    }

    pub(super) fn allocated(&self) -> u64 {
        let files = self.files.iter().flatten();
        files.map(|file| file.pages.allocated()).sum()
    }
}

// --- both sides ---

impl State {
    /// True time, as far as the present step has come.
    pub(super) fn now(&self) -> u64 {
        self.step + self.spent
    }

    pub(super) fn file(&mut self, ino: Ino) -> &mut Inode {
        self.files[ino]
            .as_mut()
            .expect("a file that is open or has a name is kept")
    }

    /// Forgets the files that nothing refers to, now or after a crash.
    pub(super) fn collect(&mut self) {
        let referenced = self.names.referenced();
        for (ino, slot) in self.files.iter_mut().enumerate() {
            if slot.as_ref().is_some_and(|file| file.handles == 0) && !referenced.contains(&ino) {
                *slot = None;
            }
        }
    }

    pub(super) fn log<const N: usize>(&mut self, tag: Tag, numbers: [u64; N], bytes: &[u8]) {
        if self.hashing {
            let numbers = numbers.map(u64::to_le_bytes);
            self.hash.mix(tag as u8, numbers.as_flattened());
            if !bytes.is_empty() {
                self.hash.mix(tag as u8, bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_api::Open;
    use std::path::Path;

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
