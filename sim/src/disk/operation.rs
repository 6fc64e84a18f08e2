//! The operations of a disk, counted: where a crash can come.

use std::path::PathBuf;

/// An operation that changes something, or makes it durable. What only reads is
/// none: a crash there is the same as one at the operation before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskOp {
    /// A file was created.
    Create,
    /// A file was renamed.
    Rename,
    /// A name was removed.
    Remove,
    /// A directory was synced.
    SyncDir,
    /// A file's length was set.
    SetLen,
    /// A file was written.
    Write,
    /// A file was synced, and the lane waited for it.
    Sync,
    /// A sync of a file was started.
    StartSync,
    /// A sync that had been started ended.
    FinishSync,
}

/// One operation of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its number, from 1 on, in the order in which operations were called;
    /// lanes' timelines may overlap.
    pub number: u64,
    /// What was done.
    pub what: DiskOp,
    /// The file or directory; empty for a file that has no name any more.
    pub path: PathBuf,
    /// When it began: a crash then finds everything before it, and nothing of
    /// it. True nanoseconds.
    pub begun: u64,
    /// When it ended: a crash then finds it done, and nothing after it.
    pub ended: u64,
}

/// How far a disk has come, and what is to be told of it.
#[derive(Clone, Default)]
pub(super) struct Operations {
    pub(super) count: u64,
    /// The operation to wait for.
    armed: Option<u64>,
    reached: Option<Operation>,
    recording: bool,
    recorded: Vec<Operation>,
}

impl DiskOp {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            DiskOp::Create => "create",
            DiskOp::Rename => "rename",
            DiskOp::Remove => "remove",
            DiskOp::SyncDir => "sync_dir",
            DiskOp::SetLen => "set_len",
            DiskOp::Write => "write",
            DiskOp::Sync => "sync",
            DiskOp::StartSync => "start_sync",
            DiskOp::FinishSync => "finish_sync",
        }
    }
}

impl Operations {
    /// One more was done. Returns whether anybody wants to know which.
    pub(super) fn counted(&mut self) -> bool {
        self.count += 1;
        self.recording || self.armed == Some(self.count)
    }

    /// Tells what the last one was.
    pub(super) fn tell(&mut self, what: DiskOp, path: PathBuf, begun: u64, ended: u64) {
        let operation = Operation {
            number: self.count,
            what,
            path,
            begun,
            ended,
        };
        if self.armed == Some(self.count) {
            self.armed = None;
            self.reached = Some(operation.clone());
        }
        if self.recording {
            self.recorded.push(operation);
        }
    }

    pub(super) fn arm(&mut self, number: Option<u64>) {
        self.armed = number;
        self.reached = None;
    }

    pub(super) fn take_reached(&mut self) -> Option<Operation> {
        self.reached.take()
    }

    pub(super) fn record(&mut self, on: bool) {
        self.recording = on;
    }

    pub(super) fn take_recorded(&mut self) -> Vec<Operation> {
        std::mem::take(&mut self.recorded)
    }
}
