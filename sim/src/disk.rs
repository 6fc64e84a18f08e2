//! One node's disk.

use crate::rng::Streams;
use squall_api::SyncId;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

mod mount;

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
    /// Those of them that do not hold what was last written.
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
#[derive(Debug)]
pub struct NodeDisk;

impl NodeDisk {
    /// An empty disk with the directories `wal`, `db` and the root.
    pub fn new(node: u64, p: DiskParams, s: &Streams) -> Arc<NodeDisk> {
        unimplemented!("{node} {p:?} {s:?}")
    }

    /// A new process's handle. The old one is dead from then on.
    pub fn mount(self: &Arc<Self>) -> Arc<Mount> {
        unimplemented!()
    }

    /// A lane begins a step at true time `t`.
    pub fn begin_step(&self, t: u64) {
        unimplemented!("{t}")
    }

    /// Disk time spent since the step began, in nanoseconds.
    pub fn spent(&self) -> u64 {
        unimplemented!()
    }

    /// The asynchronous syncs that this step started.
    pub fn take_started(&self) -> Vec<StartedSync> {
        unimplemented!()
    }

    /// Ends an asynchronous sync.
    pub fn finish_sync(&self, id: SyncId) -> io::Result<()> {
        unimplemented!("{id:?}")
    }

    /// Ends the process at true time `at`.
    pub fn crash(&self, at: u64, how: PowerLoss) -> CrashReport {
        unimplemented!("{at} {how:?}")
    }

    /// Makes every fsync begun from now on take `delay` nanoseconds longer.
    pub fn stall(&self, fault: u32, delay: u64) {
        unimplemented!("{fault} {delay}")
    }

    /// Ends a stall.
    pub fn unstall(&self, fault: u32) {
        unimplemented!("{fault}")
    }

    /// Whether operations are hashed.
    pub fn set_hash(&self, on: bool) {
        unimplemented!("{on}")
    }

    /// The rolling hash over every operation.
    pub fn take_hash(&self) -> u64 {
        unimplemented!()
    }

    /// What was counted.
    pub fn stats(&self) -> DiskStats {
        unimplemented!()
    }
}
