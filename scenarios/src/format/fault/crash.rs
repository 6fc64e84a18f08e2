//! What a crash leaves of a disk.

use serde::{Deserialize, Serialize};

/// What becomes of data that was written but not synced when a process is
/// killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrashDisk {
    /// All of it stays: only the process died.
    Kept,
    /// All of it is gone: the power failed.
    Lost,
    /// Any sector of it may stay, go, or hold part of both: the power failed
    /// in mid-write.
    TornWrite,
}

impl CrashDisk {
    /// Every fate.
    pub const ALL: [CrashDisk; 3] = [CrashDisk::Kept, CrashDisk::Lost, CrashDisk::TornWrite];

    /// As it is written in files and events.
    pub const fn name(self) -> &'static str {
        match self {
            CrashDisk::Kept => "kept",
            CrashDisk::Lost => "lost",
            CrashDisk::TornWrite => "torn_write",
        }
    }
}
