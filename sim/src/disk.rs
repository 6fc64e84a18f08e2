//! One node's disk.

use crate::rng::Streams;
use squall_api::SyncId;
use state::State;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

mod inode;
mod loss;
mod mount;
mod names;
mod pages;
mod state;

pub use mount::Mount;

/// What operations cost, in nanoseconds; uniform.
#[derive(Debug, Clone, PartialEq)]
pub struct DiskParams {
    /// A read that the page cache cannot serve.
    pub read: RangeInclusive<u64>,
    /// A write into the page cache, or a change of a directory.
    pub write: RangeInclusive<u64>,
    /// A sync of a file or a directory.
    pub fsync: RangeInclusive<u64>,
}

/// What a crash takes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerLoss {
    /// The process was killed: the page cache survives, and with it everything
    /// that was written.
    Kept,
    /// Power failed, and nothing that was not synced had reached the disk.
    Lost,
    /// Power failed, and of what was not synced any legal part had reached the
    /// disk: each sector lost, kept or torn inside, lengths and names as they
    /// were after any of their changes.
    Torn,
}

impl PowerLoss {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            PowerLoss::Kept => "kept",
            PowerLoss::Lost => "lost",
            PowerLoss::Torn => "torn_write",
        }
    }
}

/// What a crash found, and took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CrashReport {
    /// Sectors of 512 bytes that were written but not synced.
    pub unsynced_sectors: u64,
    /// Those of them whose last write did not reach the disk whole, or whose
    /// file lost its name.
    pub lost_sectors: u64,
}

/// A [`File::start_sync`](squall_api::File::start_sync) of the present step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartedSync {
    /// Which.
    pub id: SyncId,
    /// When it began: what was written before is what it makes durable. True
    /// nanoseconds.
    pub begun: u64,
    /// When it ends, and [`NodeDisk::finish_sync`] must be called.
    pub due: u64,
}

/// What was counted since the disk was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskStats {
    /// Calls that wrote into a file.
    pub writes: u64,
    /// Bytes that they wrote.
    pub bytes: u64,
    /// Syncs of files and directories, begun.
    pub fsyncs: u64,
    /// Calls that read from a file.
    pub reads: u64,
}

/// One node's disk, which survives the processes that use it.
///
/// A step is a timeline: [`NodeDisk::begin_step`] says when it began, every
/// operation costs time, and is stamped with the true time at which it ended.
/// Stamps decide what a crash takes: at time `at`, whatever is stamped later
/// never happened, even if the step that did it has run to its end.
///
/// What a process reads is the page cache; what is durable lies a number of
/// changes behind it. File contents and lengths become durable when a sync of
/// the file that began after them has ended; names when one of their directory
/// has. Neither brings the other.
///
/// Faults are overlays: they change what operations say and cost, or which
/// syncs cover anything, never the stored bytes, so that healing is a flag.
pub struct NodeDisk {
    node: u64,
    state: Mutex<State>,
}

impl NodeDisk {
    /// An empty disk with the directories `wal`, `db` and the root.
    pub fn new(node: u64, p: DiskParams, s: &Streams) -> Arc<NodeDisk> {
        for (what, range) in [("read", &p.read), ("write", &p.write), ("fsync", &p.fsync)] {
            assert!(
                !range.is_empty(),
                "a {what} that costs {range:?} ns is impossible"
            );
        }
        Arc::new(NodeDisk {
            node,
            state: Mutex::new(State::new(node, p, *s)),
        })
    }

    /// A disk with the same content, caches, pending changes and future, but
    /// nothing mounted: what would come of a crash here, tried on a copy.
    /// Pages are shared until one of the two changes them.
    pub fn fork(&self) -> Arc<NodeDisk> {
        let mut state = self.state().clone();
        state.unmount();
        Arc::new(NodeDisk {
            node: self.node,
            state: Mutex::new(state),
        })
    }

    /// A new process's handle. The old one is dead from then on.
    pub fn mount(self: &Arc<Self>) -> Arc<Mount> {
        Arc::new(Mount::new(self.clone(), self.state().mount()))
    }

    /// A lane begins a step at true time `t`, never before the last one's: its
    /// operations are stamped `t` plus what the step has spent. Lanes' steps run
    /// one by one, but their timelines may overlap.
    pub fn begin_step(&self, t: u64) {
        self.state().begin_step(t);
    }

    /// Disk time spent since the step began, in nanoseconds.
    pub fn spent(&self) -> u64 {
        self.state().spent()
    }

    /// The asynchronous syncs that were started since this was last called.
    pub fn take_started(&self) -> Vec<StartedSync> {
        self.state().take_started()
    }

    /// Ends an asynchronous sync at its due time: what was written before it
    /// began is durable now. Fails if its process is gone.
    pub fn finish_sync(&self, id: SyncId) -> io::Result<()> {
        self.state().finish_sync(id)
    }

    /// Ends the process at true time `at`, which is not before the last step
    /// began. Its mount is dead; operations stamped after `at` never happened;
    /// syncs that had not ended made nothing certain.
    pub fn crash(&self, at: u64, how: PowerLoss) -> CrashReport {
        self.state().crash(at, how)
    }

    /// Makes every fsync begun from now on take `delay` nanoseconds longer, for
    /// as long as the fault lasts. Delays of several faults add up.
    pub fn stall(&self, fault: u32, delay: u64) {
        self.state().stall(fault, delay);
    }

    /// Ends a stall; syncs that have begun are not helped.
    pub fn unstall(&self, fault: u32) {
        self.state().unstall(fault);
    }

    /// Whether operations are hashed from now on. They are unless this says no.
    pub fn set_hash(&self, on: bool) {
        self.state().set_hash(on);
    }

    /// The rolling hash over every operation since the disk was made: what it
    /// did, where, with which bytes, when, and with what result.
    pub fn take_hash(&self) -> u64 {
        self.state().hash()
    }

    /// What was counted.
    pub fn stats(&self) -> DiskStats {
        self.state().stats()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A broken assertion elsewhere must not hide behind a second panic here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for NodeDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeDisk")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
