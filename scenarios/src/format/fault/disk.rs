//! What a disk does wrong.

use crate::format::document::{Node, Problem};
use crate::format::fields::{Fields, Read, unknown};
use crate::format::{Between, Duration, Ratio, Size};
use serde::{Deserialize, Serialize};
use squall_sim::DiskFaultKind;
use std::fmt::Write;

/// One way in which a disk misbehaves, its amounts not yet drawn. What each
/// means says [`squall_sim::DiskFault`].
#[derive(Debug, Clone, PartialEq)]
pub enum DiskSpec {
    /// Syncs take longer.
    FsyncStall {
        /// By how much.
        delay: Between<Duration>,
    },
    /// Every operation takes longer.
    SlowDisk {
        /// How many times as long; at least 1.
        factor: f64,
        /// And so much on top.
        delay: Between<Duration>,
    },
    /// Bytes are written slowly.
    Throttle {
        /// Bytes per second.
        rate: Between<Size>,
    },
    /// Writes fail.
    WriteError {
        /// Of which files.
        region: Region,
        /// The share of them.
        probability: Ratio,
    },
    /// Syncs fail, and the pages count as clean.
    FsyncError {
        /// Of which files.
        region: Region,
        /// The share of them.
        probability: Ratio,
    },
    /// Syncs report success and do nothing.
    FsyncLie {
        /// Of which files.
        region: Region,
        /// The share of them.
        probability: Ratio,
    },
    /// There is no room left.
    DiskFull {
        /// But for so much, when the fault sets in.
        room: Between<Size>,
    },
    /// Bits of stored sectors flip.
    BitRot {
        /// Of which files.
        region: Region,
        /// How many sectors.
        sectors: Between<u64>,
    },
    /// Reads return a wrong bit.
    ReadFlip {
        /// Of which files.
        region: Region,
        /// The share of them.
        probability: Ratio,
    },
    /// Stored sectors cannot be read.
    LatentError {
        /// Of which files.
        region: Region,
        /// How many sectors.
        sectors: Between<u64>,
    },
    /// Writes land elsewhere in the file.
    MisdirectedWrite {
        /// Of which files.
        region: Region,
        /// The share of them.
        probability: Ratio,
    },
    /// Names of files vanish at the next power loss.
    LostName {
        /// From which directories.
        region: Region,
        /// How many.
        names: Between<u64>,
    },
}

/// Which files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    /// All of them.
    #[default]
    All,
    /// The write-ahead log.
    Wal,
    /// The database.
    Db,
}

impl Region {
    const ALL: [Region; 3] = [Region::All, Region::Wal, Region::Db];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Region::All => "all",
            Region::Wal => "wal",
            Region::Db => "db",
        }
    }
}

impl From<Region> for squall_sim::Region {
    fn from(region: Region) -> squall_sim::Region {
        match region {
            Region::All => squall_sim::Region::All,
            Region::Wal => squall_sim::Region::Wal,
            Region::Db => squall_sim::Region::Db,
        }
    }
}

impl Read for Region {
    fn read(node: &Node) -> Result<Region, Problem> {
        let text = String::read(node)?;
        let found = Region::ALL.into_iter().find(|region| region.name() == text);
        found.ok_or_else(|| {
            let place = node.place.part(&text, 0..text.len());
            unknown("region", &text, "", &Region::ALL.map(Region::name), &place)
        })
    }
}

impl DiskSpec {
    /// The key that a scenario file names it by.
    pub const fn key(&self) -> &'static str {
        match self {
            DiskSpec::FsyncStall { .. } => "fsync_stall",
            DiskSpec::SlowDisk { .. } => "slow_disk",
            DiskSpec::Throttle { .. } => "throttle",
            DiskSpec::WriteError { .. } => "write_error",
            DiskSpec::FsyncError { .. } => "fsync_error",
            DiskSpec::FsyncLie { .. } => "fsync_lie",
            DiskSpec::DiskFull { .. } => "disk_full",
            DiskSpec::BitRot { .. } => "bit_rot",
            DiskSpec::ReadFlip { .. } => "read_flip",
            DiskSpec::LatentError { .. } => "latent_error",
            DiskSpec::MisdirectedWrite { .. } => "misdirected_write",
            DiskSpec::LostName { .. } => "lost_name",
        }
    }

    /// What the simulated disk calls it.
    pub const fn sim_kind(&self) -> DiskFaultKind {
        match self {
            DiskSpec::FsyncStall { .. } => DiskFaultKind::Stall,
            DiskSpec::SlowDisk { .. } => DiskFaultKind::Slow,
            DiskSpec::Throttle { .. } => DiskFaultKind::Throttle,
            DiskSpec::WriteError { .. } => DiskFaultKind::WriteError,
            DiskSpec::FsyncError { .. } => DiskFaultKind::FsyncError,
            DiskSpec::FsyncLie { .. } => DiskFaultKind::FsyncLie,
            DiskSpec::DiskFull { .. } => DiskFaultKind::Full,
            DiskSpec::BitRot { .. } => DiskFaultKind::BitRot,
            DiskSpec::ReadFlip { .. } => DiskFaultKind::ReadFlip,
            DiskSpec::LatentError { .. } => DiskFaultKind::LatentError,
            DiskSpec::MisdirectedWrite { .. } => DiskFaultKind::MisdirectedWrite,
            DiskSpec::LostName { .. } => DiskFaultKind::LostName,
        }
    }

    /// Reads the table of the action `key`; `None` if that is no disk fault.
    pub(super) fn read(key: &str, fields: &Fields<'_>) -> Result<Option<DiskSpec>, Problem> {
        let region = || fields.or("region", Region::All);
        let probability = || fields.required::<Ratio>("probability");
        let one = Between::exactly(1);
        Ok(Some(match key {
            "fsync_stall" => DiskSpec::FsyncStall {
                delay: fields.required("delay")?,
            },
            "slow_disk" => DiskSpec::SlowDisk {
                factor: fields.or("factor", 1.0)?,
                delay: fields.or("delay", Between::exactly(Duration::default()))?,
            },
            "throttle" => DiskSpec::Throttle {
                rate: fields.required("rate")?,
            },
            "write_error" => DiskSpec::WriteError {
                region: region()?,
                probability: probability()?,
            },
            "fsync_error" => DiskSpec::FsyncError {
                region: region()?,
                probability: probability()?,
            },
            "fsync_lie" => DiskSpec::FsyncLie {
                region: region()?,
                probability: probability()?,
            },
            "disk_full" => DiskSpec::DiskFull {
                room: fields.required("room")?,
            },
            "bit_rot" => DiskSpec::BitRot {
                region: region()?,
                sectors: fields.or("sectors", one)?,
            },
            "read_flip" => DiskSpec::ReadFlip {
                region: region()?,
                probability: probability()?,
            },
            "latent_error" => DiskSpec::LatentError {
                region: region()?,
                sectors: fields.or("sectors", one)?,
            },
            "misdirected_write" => DiskSpec::MisdirectedWrite {
                region: region()?,
                probability: probability()?,
            },
            "lost_name" => DiskSpec::LostName {
                region: region()?,
                names: fields.or("names", one)?,
            },
            _ => return Ok(None),
        }))
    }

    /// Its fields as they are written, each preceded by a comma.
    pub(super) fn write(&self) -> String {
        let mut out = String::new();
        let result = match self {
            DiskSpec::FsyncStall { delay } => write!(out, ", delay = \"{delay}\""),
            DiskSpec::SlowDisk { factor, delay } => {
                write!(out, ", factor = {factor:?}, delay = \"{delay}\"")
            }
            DiskSpec::Throttle { rate } => write!(out, ", rate = \"{rate}\""),
            DiskSpec::WriteError {
                region,
                probability,
            }
            | DiskSpec::FsyncError {
                region,
                probability,
            }
            | DiskSpec::FsyncLie {
                region,
                probability,
            }
            | DiskSpec::ReadFlip {
                region,
                probability,
            }
            | DiskSpec::MisdirectedWrite {
                region,
                probability,
            } => write!(
                out,
                ", region = \"{}\", probability = {:?}",
                region.name(),
                probability.get()
            ),
            DiskSpec::DiskFull { room } => write!(out, ", room = \"{room}\""),
            DiskSpec::BitRot { region, sectors } | DiskSpec::LatentError { region, sectors } => {
                write!(
                    out,
                    ", region = \"{}\", sectors = \"{sectors}\"",
                    region.name()
                )
            }
            DiskSpec::LostName { region, names } => {
                write!(out, ", region = \"{}\", names = \"{names}\"", region.name())
            }
        };
        result.expect("writing to a string does not fail");
        out
    }

    /// Why its amounts do nothing, and of which field, if they do not.
    pub(super) fn does_nothing(&self) -> Option<(&'static str, &'static str)> {
        match self {
            DiskSpec::FsyncStall { delay } if delay.max.ns() == 0 => {
                Some(("delay", "a stall of 0 is no stall"))
            }
            DiskSpec::SlowDisk { factor, .. } if !(1.0..=1e6).contains(factor) => {
                Some(("factor", "a slow disk takes 1 to 1000000 times as long"))
            }
            DiskSpec::SlowDisk { factor, delay } if *factor <= 1.0 && delay.max.ns() == 0 => {
                Some(("factor", "this slows nothing"))
            }
            DiskSpec::Throttle { rate } if rate.min.bytes() == 0 => {
                Some(("rate", "a disk that writes nothing is stuck, not throttled"))
            }
            DiskSpec::WriteError { probability, .. }
            | DiskSpec::FsyncError { probability, .. }
            | DiskSpec::FsyncLie { probability, .. }
            | DiskSpec::ReadFlip { probability, .. }
            | DiskSpec::MisdirectedWrite { probability, .. }
                if probability.get() == 0.0 =>
            {
                Some(("probability", "what never happens is no fault"))
            }
            DiskSpec::BitRot { sectors, .. } | DiskSpec::LatentError { sectors, .. }
                if !(1..=100_000).contains(&sectors.max) =>
            {
                Some(("sectors", "this damages 1 to 100000 sectors"))
            }
            DiskSpec::LostName { names, .. } if !(1..=1_000).contains(&names.max) => {
                Some(("names", "this loses 1 to 1000 names"))
            }
            _ => None,
        }
    }
}
