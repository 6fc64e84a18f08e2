//! What can be wrong with a disk, as plain data.

/// One way in which a disk misbehaves, for as long as a fault lasts.
///
/// Probabilities are per operation, in `[0, 1]`. Whether the n-th operation of
/// its kind on a file is hit depends on (seed, node, fault number, kind, file,
/// n) and on nothing else that happens.
#[derive(Debug, Clone, PartialEq)]
pub enum DiskFault {
    /// Every fsync that begins takes so much longer.
    Stall {
        /// In nanoseconds. Stalls of several faults add up.
        delay: u64,
    },
    /// Every operation that touches the disk takes `factor` times as long, and
    /// `delay` on top. What the page cache serves stays free.
    Slow {
        /// At least 1. Factors of several faults multiply.
        factor: f64,
        /// In nanoseconds. Delays of several faults add up.
        delay: u64,
    },
    /// Bytes are written no faster than this: the kernel holds back a writer
    /// that makes pages dirty faster than they can be written out.
    Throttle {
        /// Bytes per second, not 0. The slowest of several faults counts.
        bytes_per_second: u64,
    },
    /// A write, or a change of a file's length, fails with EIO and has changed
    /// nothing.
    WriteError {
        /// Which files.
        region: Region,
        /// Of each write.
        probability: f64,
    },
    /// An fsync fails with EIO, once its time is over. As on Linux, the file's
    /// dirty pages count as clean from then on: reads see them, and later
    /// fsyncs succeed, but nothing of a page reaches the disk unless the page
    /// is written again. Lengths of files are journaled, and reach the disk all
    /// the same; names stay pending until their directory is synced again.
    FsyncError {
        /// Which files, and the directory that holds them.
        region: Region,
        /// Of each fsync.
        probability: f64,
    },
    /// An fsync reports success and makes nothing durable. A later, honest one
    /// makes durable what this one did not.
    FsyncLie {
        /// Which files, and the directory that holds them.
        region: Region,
        /// Of each fsync.
        probability: f64,
    },
    /// The disk has no room beyond `capacity`. A write that needs more pages
    /// fails with `StorageFull`; as with a write loop on Linux, the pages that
    /// still fitted are written. Overwriting, and growing a file without
    /// writing, need no room.
    Full {
        /// In bytes, compared with
        /// [`NodeDisk::allocated`](super::NodeDisk::allocated).
        capacity: u64,
    },
    /// Bits of durable sectors flip, once, when the fault is injected.
    BitRot {
        /// Which files.
        region: Region,
        /// How many sectors lose a bit each.
        sectors: u32,
    },
    /// A read returns one wrong bit; the same read again need not.
    ReadFlip {
        /// Which files.
        region: Region,
        /// Of each read.
        probability: f64,
    },
    /// Sectors become unreadable, once, when the fault is injected. A read of
    /// one fails with EIO, and so does a write of a part of one, which has to
    /// read the rest; writing all of it heals it.
    LatentError {
        /// Which files.
        region: Region,
        /// How many sectors.
        sectors: u32,
    },
    /// A write lands whole sectors away in the same file, and what it should
    /// have replaced is still there. It shows once the write is durable.
    MisdirectedWrite {
        /// Which files.
        region: Region,
        /// Of each write.
        probability: f64,
    },
    /// Durable names vanish at the next power loss, and do not come back.
    LostName {
        /// Which directories.
        region: Region,
        /// How many names.
        names: u32,
    },
}

/// Which files a fault can hit, by the directory they were created in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Region {
    /// Every file.
    #[default]
    All,
    /// The write-ahead log: the directory `wal`.
    Wal,
    /// The database and snapshots: the directory `db`.
    Db,
}

/// What a [`DiskFault`] is, without its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum DiskFaultKind {
    /// [`DiskFault::Stall`].
    Stall,
    /// [`DiskFault::Slow`].
    Slow,
    /// [`DiskFault::Throttle`].
    Throttle,
    /// [`DiskFault::WriteError`].
    WriteError,
    /// [`DiskFault::FsyncError`].
    FsyncError,
    /// [`DiskFault::FsyncLie`].
    FsyncLie,
    /// [`DiskFault::Full`].
    Full,
    /// [`DiskFault::BitRot`].
    BitRot,
    /// [`DiskFault::ReadFlip`].
    ReadFlip,
    /// [`DiskFault::LatentError`].
    LatentError,
    /// [`DiskFault::MisdirectedWrite`].
    MisdirectedWrite,
    /// [`DiskFault::LostName`].
    LostName,
}

/// How often faults of each kind did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultCounts([u64; DiskFaultKind::ALL.len()]);

impl DiskFault {
    /// What it is.
    pub fn kind(&self) -> DiskFaultKind {
        match self {
            DiskFault::Stall { .. } => DiskFaultKind::Stall,
            DiskFault::Slow { .. } => DiskFaultKind::Slow,
            DiskFault::Throttle { .. } => DiskFaultKind::Throttle,
            DiskFault::WriteError { .. } => DiskFaultKind::WriteError,
            DiskFault::FsyncError { .. } => DiskFaultKind::FsyncError,
            DiskFault::FsyncLie { .. } => DiskFaultKind::FsyncLie,
            DiskFault::Full { .. } => DiskFaultKind::Full,
            DiskFault::BitRot { .. } => DiskFaultKind::BitRot,
            DiskFault::ReadFlip { .. } => DiskFaultKind::ReadFlip,
            DiskFault::LatentError { .. } => DiskFaultKind::LatentError,
            DiskFault::MisdirectedWrite { .. } => DiskFaultKind::MisdirectedWrite,
            DiskFault::LostName { .. } => DiskFaultKind::LostName,
        }
    }

    /// Why its numbers make no sense, if they do not.
    pub(super) fn refusal(&self) -> Option<String> {
        match *self {
            DiskFault::Slow { factor, .. } if !(factor >= 1.0 && factor.is_finite()) => Some(
                format!("a disk that takes {factor} times as long: at least 1 is possible"),
            ),
            DiskFault::Throttle {
                bytes_per_second: 0,
            } => Some("a throttle to 0 bytes per second: at least 1 is possible".to_owned()),
            DiskFault::WriteError { probability, .. }
            | DiskFault::FsyncError { probability, .. }
            | DiskFault::FsyncLie { probability, .. }
            | DiskFault::ReadFlip { probability, .. }
            | DiskFault::MisdirectedWrite { probability, .. }
                if !(0.0..=1.0).contains(&probability) =>
            {
                Some(format!(
                    "a probability of {probability}: 0 to 1 is possible"
                ))
            }
            _ => None,
        }
    }
}

impl DiskFaultKind {
    /// Every kind, in the order of [`DiskFault`].
    pub const ALL: [DiskFaultKind; 12] = [
        DiskFaultKind::Stall,
        DiskFaultKind::Slow,
        DiskFaultKind::Throttle,
        DiskFaultKind::WriteError,
        DiskFaultKind::FsyncError,
        DiskFaultKind::FsyncLie,
        DiskFaultKind::Full,
        DiskFaultKind::BitRot,
        DiskFaultKind::ReadFlip,
        DiskFaultKind::LatentError,
        DiskFaultKind::MisdirectedWrite,
        DiskFaultKind::LostName,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            DiskFaultKind::Stall => "fsync_stall",
            DiskFaultKind::Slow => "slow_disk",
            DiskFaultKind::Throttle => "throttle",
            DiskFaultKind::WriteError => "write_error",
            DiskFaultKind::FsyncError => "fsync_error",
            DiskFaultKind::FsyncLie => "fsync_lie",
            DiskFaultKind::Full => "disk_full",
            DiskFaultKind::BitRot => "bit_rot",
            DiskFaultKind::ReadFlip => "read_flip",
            DiskFaultKind::LatentError => "latent_error",
            DiskFaultKind::MisdirectedWrite => "misdirected_write",
            DiskFaultKind::LostName => "lost_name",
        }
    }

    /// Whether operations fail because of it, so that whoever asked for them
    /// hears of it.
    pub fn fails(self) -> bool {
        matches!(
            self,
            DiskFaultKind::WriteError
                | DiskFaultKind::FsyncError
                | DiskFaultKind::Full
                | DiskFaultKind::LatentError
        )
    }

    /// Whether it destroys or falsifies what the disk had called durable, so
    /// that the [`Atlas`](super::Atlas) has to keep it to a minority.
    pub fn is_damage(self) -> bool {
        self.is_lie()
            || matches!(
                self,
                DiskFaultKind::BitRot | DiskFaultKind::ReadFlip | DiskFaultKind::LatentError
            )
    }

    /// Whether it can take back an acknowledged write so that no checksum
    /// notices: what rests on a member's durable promises cannot be asked for
    /// while one of these is, or has been, at work.
    ///
    /// Damage that a checksum notices is none of these, with one exception that
    /// no log can tell apart: rot in its last record looks like a torn tail.
    pub fn is_lie(self) -> bool {
        matches!(
            self,
            DiskFaultKind::FsyncLie | DiskFaultKind::MisdirectedWrite | DiskFaultKind::LostName
        )
    }
}

impl FaultCounts {
    /// How often a fault of this kind did something.
    pub fn of(&self, kind: DiskFaultKind) -> u64 {
        self.0[kind as usize]
    }

    /// The kinds that did something, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (DiskFaultKind, u64)> + '_ {
        let all = DiskFaultKind::ALL.into_iter().zip(self.0);
        all.filter(|(_, n)| *n > 0)
    }

    /// Adds what another disk counted.
    pub fn add(&mut self, other: &FaultCounts) {
        for (sum, n) in self.0.iter_mut().zip(other.0) {
            *sum += n;
        }
    }

    pub(super) fn count(&mut self, kind: DiskFaultKind, n: u64) {
        self.0[kind as usize] += n;
    }
}

impl Region {
    /// Whether it has the directory of that path, which is "", "wal" or "db".
    pub(super) fn has(self, dir: &str) -> bool {
        match self {
            Region::All => true,
            Region::Wal => dir == "wal",
            Region::Db => dir == "db",
        }
    }
}
