//! One node's disk.

use crate::rng::Streams;
use squall_api::SyncId;
use state::State;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

mod atlas;
mod calls;
mod change;
mod crash;
mod damage;
mod fault;
mod faults;
mod faulty;
mod inode;
mod loss;
mod mount;
mod names;
mod operation;
mod pages;
mod spoiled;
mod state;

pub use atlas::Atlas;
pub use fault::{DiskFault, DiskFaultKind, FaultCounts, Region};
pub use mount::Mount;
pub use operation::{DiskOp, Operation};

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
    /// Power failed, and left one of the images that a sweep counts through: 0
    /// lost all that was not synced, 1 kept it all, then each change is the only
    /// one lost, or the only one kept; the numbers after these draw what
    /// [`PowerLoss::Torn`] draws, each anew. [`NodeDisk::images`] says how many
    /// there are.
    Image(u32),
}

impl PowerLoss {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            PowerLoss::Kept => "kept",
            PowerLoss::Lost => "lost",
            PowerLoss::Torn => "torn_write",
            PowerLoss::Image(_) => "image",
        }
    }

    /// Its number in the hash.
    fn code(self) -> u64 {
        match self {
            PowerLoss::Kept => 0,
            PowerLoss::Lost => 1,
            PowerLoss::Torn => 2,
            PowerLoss::Image(number) => 3 + u64::from(number),
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

/// What there is to know of a step that has run.
#[derive(Default)]
pub(crate) struct EndOfStep {
    /// Disk time that it spent, in nanoseconds.
    pub(crate) spent: u64,
    /// Whether it waited for a sync.
    pub(crate) waited: bool,
    /// The asynchronous syncs that it started.
    pub(crate) started: Vec<StartedSync>,
    /// The rolling hash, if there was any operation since the last step.
    pub(crate) hash: Option<u64>,
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
    /// How often each kind of fault did something.
    pub fired: FaultCounts,
    /// How often an operation was slower, failed, or returned other bytes for
    /// it, or a crash took something for it. Damage that nobody reads fires,
    /// and is not met.
    pub met: FaultCounts,
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
    /// What the present step has spent, as of its last operation: every effect asks.
    spent: AtomicU64,
    /// When the present step began, if the state does not know of it yet: most
    /// steps do nothing here, and cost nothing.
    began: AtomicU64,
    /// Whether anybody had the state since the last step that did.
    used: AtomicBool,
}

/// The state knows of the present step.
const KNOWN: u64 = u64::MAX;

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
            spent: AtomicU64::new(0),
            began: AtomicU64::new(KNOWN),
            used: AtomicBool::new(false),
        })
    }

    /// A disk with the same content, caches, pending changes and future, but
    /// nothing mounted: what would come of a crash here, tried on a copy.
    /// Pages are shared until one of the two changes them.
    pub fn fork(&self) -> Arc<NodeDisk> {
        let mut state = self.state().clone();
        state.unmount();
        state.operations.arm(None);
        state.operations.record(false);
        Arc::new(NodeDisk {
            node: self.node,
            spent: AtomicU64::new(state.spent),
            state: Mutex::new(state),
            began: AtomicU64::new(KNOWN),
            used: AtomicBool::new(true),
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
        self.began.store(t, Ordering::Relaxed);
        self.spent.store(0, Ordering::Relaxed);
    }

    /// The node that it belongs to.
    pub fn node(&self) -> u64 {
        self.node
    }

    /// What there is to know of a step that has run.
    pub(crate) fn end_step(&self) -> EndOfStep {
        if !self.used.load(Ordering::Relaxed) {
            return EndOfStep::default();
        }
        let end = self.state().end_step();
        self.used.store(false, Ordering::Relaxed);
        end
    }

    /// Disk time spent since the step began, in nanoseconds.
    pub fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
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
        let report = self.state().crash(at, how);
        self.spent.store(0, Ordering::Relaxed);
        report
    }

    /// Sets a fault in. One fault number has at most one fault of each kind on
    /// a node: another replaces it. [`DiskFault::BitRot`] and
    /// [`DiskFault::LatentError`] strike now, and once; the others last.
    ///
    /// # Panics
    ///
    /// If a probability is not in `[0, 1]`, a factor below 1, or a bandwidth 0.
    pub fn inject(&self, fault: u32, what: DiskFault) {
        self.state().inject(fault, what);
    }

    /// Ends every fault of this number, and takes back the damage that it did
    /// to stored bytes: they are overlays. What was never written because of it
    /// stays unwritten, and lost names stay lost.
    pub fn clear(&self, fault: u32) {
        self.state().clear(fault);
    }

    /// The kinds of faults that are at work.
    pub fn troubles(&self) -> Vec<DiskFaultKind> {
        self.state().troubles()
    }

    /// Makes every fsync begun from now on take `delay` nanoseconds longer, for
    /// as long as the fault lasts: a [`DiskFault::Stall`].
    pub fn stall(&self, fault: u32, delay: u64) {
        self.inject(fault, DiskFault::Stall { delay });
    }

    /// Ends a stall; syncs that have begun are not helped.
    pub fn unstall(&self, fault: u32) {
        self.clear(fault);
    }

    /// Bytes that files take on the disk, in pages of 4 KiB: those that were
    /// written, also of removed files until their removal is durable.
    pub fn allocated(&self) -> u64 {
        self.state().allocated()
    }

    /// How long the files of a directory are together, as a process sees them.
    pub fn bytes_in(&self, dir: &str) -> u64 {
        self.state().bytes_in(dir)
    }

    /// How many operations there were: see [`DiskOp`]. A crash does not take
    /// back the count of what it took back.
    pub fn operations(&self) -> u64 {
        self.state().operations.count
    }

    /// Waits for an operation, by its number, which must be yet to come.
    /// [`NodeDisk::take_crash_point`] has it once it was done. `None` waits no
    /// longer.
    ///
    /// # Panics
    ///
    /// If that many operations have been done.
    pub fn crash_at_operation(&self, number: Option<u64>) {
        let mut state = self.state();
        let done = state.operations.count;
        assert!(
            number.is_none_or(|number| number > done),
            "a crash of n{} at operation {number:?}: {done} have been done",
            self.node
        );
        state.operations.arm(number);
    }

    /// The operation that was waited for, if it was done. To be asked after each
    /// step and each [`NodeDisk::finish_sync`]; a crash at its `begun` finds it
    /// not done, one at its `ended` finds it done, and both take back what came
    /// later in the step.
    pub fn take_crash_point(&self) -> Option<Operation> {
        self.state().operations.take_reached()
    }

    /// Whether operations are recorded, for [`NodeDisk::take_operations`].
    pub fn record_operations(&self, on: bool) {
        self.state().operations.record(on);
    }

    /// The operations that were recorded since this was last called.
    pub fn take_operations(&self) -> Vec<Operation> {
        self.state().operations.take_recorded()
    }

    /// Up to `limit` disks as a power loss at `at` may leave them, each with
    /// the [`PowerLoss::Image`] that it is: forks, already crashed. Of a disk
    /// with nothing pending there is one.
    pub fn images(&self, at: u64, limit: u32) -> impl Iterator<Item = (PowerLoss, Arc<NodeDisk>)> {
        let before = self.fork();
        let counted = self.counted_images(at);
        let count = if counted == 1 { 1 } else { limit };
        (0..count.min(limit)).map(move |number| {
            let (image, disk) = (PowerLoss::Image(number), before.fork());
            disk.crash(at, image);
            (image, disk)
        })
    }

    /// How many images of a power loss at `at` differ from all lost or all kept
    /// by one change at most; 1 if nothing is pending. [`PowerLoss::Image`]
    /// draws from this number on.
    pub fn counted_images(&self, at: u64) -> u32 {
        let mut state = self.state().clone();
        state.cut(at);
        state.images()
    }

    /// What [`PowerLoss::Image`] of this number would leave at `at`, in words.
    pub fn describe_image(&self, at: u64, number: u32) -> String {
        let mut state = self.state().clone();
        state.cut(at);
        state.describe_image(number)
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
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.used.store(true, Ordering::Relaxed);
        let began = self.began.load(Ordering::Relaxed);
        if began != KNOWN {
            self.began.store(KNOWN, Ordering::Relaxed);
            state.begin_step(began);
        }
        state
    }
}

impl fmt::Debug for NodeDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeDisk")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
