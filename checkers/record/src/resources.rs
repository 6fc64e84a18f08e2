//! What a run cost the cluster: messages, syncs, bytes, and how large things grew.

use serde::{Deserialize, Serialize};

/// What a run cost, in all members together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Entries that were committed.
    pub commits: u64,
    /// Messages that members sent each other.
    pub messages: u64,
    /// Bytes of those.
    pub sent_bytes: u64,
    /// Syncs of files and directories.
    pub syncs: u64,
    /// Bytes that were written into files.
    pub written_bytes: u64,
    /// The largest that a member's log was on its disk, in bytes.
    pub log_bytes: u64,
    /// The largest snapshot that a leader sent, in bytes.
    pub snapshot_bytes: u64,
    /// The most messages that members had said on one stream and its client had not
    /// taken.
    pub unread: u64,
}

impl Resources {
    /// So much for each commit.
    pub fn per_commit(&self, total: u64) -> f64 {
        total as f64 / self.commits.max(1) as f64
    }

    /// Takes another run's costs: sums are added, and of sizes the larger stays.
    pub fn add(&mut self, other: &Resources) {
        let Resources {
            commits,
            messages,
            sent_bytes,
            syncs,
            written_bytes,
            log_bytes,
            snapshot_bytes,
            unread,
        } = *other;
        self.commits += commits;
        self.messages += messages;
        self.sent_bytes += sent_bytes;
        self.syncs += syncs;
        self.written_bytes += written_bytes;
        self.log_bytes = self.log_bytes.max(log_bytes);
        self.snapshot_bytes = self.snapshot_bytes.max(snapshot_bytes);
        self.unread = self.unread.max(unread);
    }
}
