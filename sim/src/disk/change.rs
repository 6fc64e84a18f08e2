//! Changes of a file that are not durable, and how to undo them.

use super::pages::Page;
use std::sync::Arc;

/// A change that is not durable yet, and what it takes to undo it.
#[derive(Clone)]
pub(super) struct Change {
    /// True time at which it was done.
    pub(super) stamp: u64,
    /// The file's length before it.
    pub(super) old_len: u64,
    pub(super) kind: ChangeKind,
}

/// What was changed.
#[derive(Clone)]
pub(super) enum ChangeKind {
    Write {
        offset: u64,
        len: u64,
        /// Where [`Replaced`] has the bytes that it replaced...
        replaced: u64,
        /// ... and how many: those after them were zero.
        replaced_len: u64,
    },
    SetLen {
        len: u64,
        /// The pages that it changed, as they were.
        pages: Vec<(usize, Arc<Page>)>,
    },
}

/// A queue of bytes, addressed by how many were ever put in before.
#[derive(Clone, Default)]
pub(super) struct Replaced {
    pub(super) bytes: Vec<u8>,
    start: u64,
}

impl Replaced {
    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    pub(super) fn from(&self, at: u64) -> &[u8] {
        &self.bytes[(at - self.start) as usize..]
    }

    pub(super) fn cut(&mut self, at: u64) {
        self.bytes.truncate((at - self.start) as usize);
    }

    /// Drops what was put in before `at`, once that is worth moving the rest.
    pub(super) fn forget(&mut self, at: u64) {
        let dead = (at - self.start) as usize;
        if dead >= self.bytes.len() / 2 {
            self.bytes.drain(..dead);
            self.start = at;
        }
    }
}
