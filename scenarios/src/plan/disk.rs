//! What a disk did wrong, its amounts drawn.

use super::text::About;
use crate::format::{DiskSpec, Region};
use serde::{Deserialize, Serialize};
use squall_sim::{DiskFault, DiskFaultKind};
use std::fmt;

/// One way in which disks misbehaved. What each means says
/// [`squall_sim::DiskFault`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of DiskFault")]
pub enum DiskAction {
    FsyncStall { delay_ns: u64 },
    SlowDisk { factor: f64, delay_ns: u64 },
    Throttle { bytes_per_second: u64 },
    WriteError { region: Region, probability: f64 },
    FsyncError { region: Region, probability: f64 },
    FsyncLie { region: Region, probability: f64 },
    DiskFull { room_bytes: u64 },
    BitRot { region: Region, sectors: u32 },
    ReadFlip { region: Region, probability: f64 },
    LatentError { region: Region, sectors: u32 },
    MisdirectedWrite { region: Region, probability: f64 },
    LostName { region: Region, names: u32 },
}

impl DiskAction {
    /// What a specification says whose amounts are drawn.
    pub(super) fn of(spec: &DiskSpec) -> DiskAction {
        let count = |n: u64| u32::try_from(n).expect("a scenario's counts are small");
        match spec {
            DiskSpec::FsyncStall { delay } => DiskAction::FsyncStall {
                delay_ns: delay.min.ns(),
            },
            DiskSpec::SlowDisk { factor, delay } => DiskAction::SlowDisk {
                factor: *factor,
                delay_ns: delay.min.ns(),
            },
            DiskSpec::Throttle { rate } => DiskAction::Throttle {
                bytes_per_second: rate.min.bytes(),
            },
            DiskSpec::WriteError {
                region,
                probability,
            } => DiskAction::WriteError {
                region: *region,
                probability: probability.get(),
            },
            DiskSpec::FsyncError {
                region,
                probability,
            } => DiskAction::FsyncError {
                region: *region,
                probability: probability.get(),
            },
            DiskSpec::FsyncLie {
                region,
                probability,
            } => DiskAction::FsyncLie {
                region: *region,
                probability: probability.get(),
            },
            DiskSpec::DiskFull { room } => DiskAction::DiskFull {
                room_bytes: room.min.bytes(),
            },
            DiskSpec::BitRot { region, sectors } => DiskAction::BitRot {
                region: *region,
                sectors: count(sectors.min),
            },
            DiskSpec::ReadFlip {
                region,
                probability,
            } => DiskAction::ReadFlip {
                region: *region,
                probability: probability.get(),
            },
            DiskSpec::LatentError { region, sectors } => DiskAction::LatentError {
                region: *region,
                sectors: count(sectors.min),
            },
            DiskSpec::MisdirectedWrite {
                region,
                probability,
            } => DiskAction::MisdirectedWrite {
                region: *region,
                probability: probability.get(),
            },
            DiskSpec::LostName { region, names } => DiskAction::LostName {
                region: *region,
                names: count(names.min),
            },
        }
    }

    /// The fault as the simulated disk takes it, which has `allocated` bytes in
    /// use.
    pub(crate) fn fault(&self, allocated: u64) -> DiskFault {
        match *self {
            DiskAction::FsyncStall { delay_ns } => DiskFault::Stall { delay: delay_ns },
            DiskAction::SlowDisk { factor, delay_ns } => DiskFault::Slow {
                factor,
                delay: delay_ns,
            },
            DiskAction::Throttle { bytes_per_second } => DiskFault::Throttle { bytes_per_second },
            DiskAction::WriteError {
                region,
                probability,
            } => DiskFault::WriteError {
                region: region.into(),
                probability,
            },
            DiskAction::FsyncError {
                region,
                probability,
            } => DiskFault::FsyncError {
                region: region.into(),
                probability,
            },
            DiskAction::FsyncLie {
                region,
                probability,
            } => DiskFault::FsyncLie {
                region: region.into(),
                probability,
            },
            DiskAction::DiskFull { room_bytes } => DiskFault::Full {
                capacity: allocated.saturating_add(room_bytes),
            },
            DiskAction::BitRot { region, sectors } => DiskFault::BitRot {
                region: region.into(),
                sectors,
            },
            DiskAction::ReadFlip {
                region,
                probability,
            } => DiskFault::ReadFlip {
                region: region.into(),
                probability,
            },
            DiskAction::LatentError { region, sectors } => DiskFault::LatentError {
                region: region.into(),
                sectors,
            },
            DiskAction::MisdirectedWrite {
                region,
                probability,
            } => DiskFault::MisdirectedWrite {
                region: region.into(),
                probability,
            },
            DiskAction::LostName { region, names } => DiskFault::LostName {
                region: region.into(),
                names,
            },
        }
    }

    /// What the simulated disk calls it.
    pub fn kind(&self) -> DiskFaultKind {
        self.fault(0).kind()
    }

    /// What a scenario calls it.
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Which files it is about.
    pub fn region(&self) -> Region {
        match self {
            DiskAction::FsyncStall { .. }
            | DiskAction::SlowDisk { .. }
            | DiskAction::Throttle { .. }
            | DiskAction::DiskFull { .. } => Region::All,
            DiskAction::WriteError { region, .. }
            | DiskAction::FsyncError { region, .. }
            | DiskAction::FsyncLie { region, .. }
            | DiskAction::BitRot { region, .. }
            | DiskAction::ReadFlip { region, .. }
            | DiskAction::LatentError { region, .. }
            | DiskAction::MisdirectedWrite { region, .. }
            | DiskAction::LostName { region, .. } => *region,
        }
    }

    pub(super) fn describe(
        &self,
        f: &mut fmt::Formatter<'_>,
        who: &dyn fmt::Display,
    ) -> fmt::Result {
        let of = match self.region() {
            Region::All => "",
            Region::Wal => " of the log",
            Region::Db => " of the database",
        };
        match self {
            DiskAction::FsyncStall { delay_ns } => {
                write!(f, "fsync stall {who} by {}", About(*delay_ns))
            }
            DiskAction::SlowDisk { factor, delay_ns } => {
                write!(
                    f,
                    "slow disk {who}: {factor} times, and {}",
                    About(*delay_ns)
                )
            }
            DiskAction::Throttle { bytes_per_second } => {
                write!(f, "throttle disk {who} to {bytes_per_second} bytes/s")
            }
            DiskAction::DiskFull { room_bytes } => {
                write!(f, "full disk {who}: room for {room_bytes} bytes")
            }
            DiskAction::BitRot { sectors, .. } => {
                write!(f, "bit rot {who}: {sectors} sectors{of}")
            }
            DiskAction::LatentError { sectors, .. } => {
                write!(f, "unreadable {who}: {sectors} sectors{of}")
            }
            DiskAction::LostName { names, .. } => {
                write!(f, "lost names {who}: {names}{of} at a power loss")
            }
            DiskAction::WriteError { probability, .. } => {
                write!(f, "failing writes {who}: {probability}{of}")
            }
            DiskAction::FsyncError { probability, .. } => {
                write!(f, "failing fsyncs {who}: {probability}{of}")
            }
            DiskAction::FsyncLie { probability, .. } => {
                write!(f, "lying fsyncs {who}: {probability}{of}")
            }
            DiskAction::ReadFlip { probability, .. } => {
                write!(f, "flipped reads {who}: {probability}{of}")
            }
            DiskAction::MisdirectedWrite { probability, .. } => {
                write!(f, "misdirected writes {who}: {probability}{of}")
            }
        }
    }
}
