//! The faults that are at work on a disk.

use super::fault::{DiskFault, DiskFaultKind, FaultCounts, Region};
use crate::rng::{Draw, Streams};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// What is wrong with one node's disk at the moment.
#[derive(Clone)]
pub(super) struct Faults {
    node: u64,
    streams: Streams,
    /// By kind and fault number.
    active: BTreeMap<(DiskFaultKind, u32), DiskFault>,
    pub(super) fired: FaultCounts,
    pub(super) met: FaultCounts,
}

/// A fault that hits an operation, and the rest of its draw.
pub(super) struct Hit {
    pub(super) fault: u32,
    pub(super) draw: Draw,
}

/// What an operation is, for those that slow it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Read,
    /// So many bytes; a directory's change has none.
    Write(u64),
    Fsync,
}

impl Faults {
    pub(super) fn new(node: u64, streams: Streams) -> Faults {
        Faults {
            node,
            streams,
            active: BTreeMap::new(),
            fired: FaultCounts::default(),
            met: FaultCounts::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    pub(super) fn set(&mut self, fault: u32, what: DiskFault) {
        self.active.insert((what.kind(), fault), what);
    }

    pub(super) fn clear(&mut self, fault: u32) {
        self.active.retain(|(_, number), _| *number != fault);
    }

    pub(super) fn clear_kind(&mut self, fault: u32, kind: DiskFaultKind) -> Option<DiskFault> {
        self.active.remove(&(kind, fault))
    }

    /// The kinds that are at work.
    pub(super) fn kinds(&self) -> Vec<DiskFaultKind> {
        let mut kinds: Vec<_> = self.active.keys().map(|(kind, _)| *kind).collect();
        kinds.dedup();
        kinds
    }

    /// The faults of a kind.
    pub(super) fn of(&self, kind: DiskFaultKind) -> impl Iterator<Item = (u32, &DiskFault)> {
        let all = self.active.range((kind, 0)..=(kind, u32::MAX));
        all.map(|((_, fault), what)| (*fault, what))
    }

    /// How long an operation takes that costs `cost` on a healthy disk.
    pub(super) fn slowed(&mut self, cost: u64, work: Work) -> u64 {
        if self.active.is_empty() {
            return cost;
        }
        let (mut factors, mut delays, mut rate) = (1.0, 0, None::<u64>);
        for what in self.active.values() {
            let applies = match *what {
                DiskFault::Stall { delay } if work == Work::Fsync => {
                    delays += delay;
                    true
                }
                DiskFault::Slow { factor, delay } => {
                    factors *= factor;
                    delays += delay;
                    true
                }
                DiskFault::Throttle { bytes_per_second } if work.bytes() > 0 => {
                    rate = Some(rate.unwrap_or(u64::MAX).min(bytes_per_second));
                    true
                }
                _ => false,
            };
            if applies {
                self.fired.count(what.kind(), 1);
                self.met.count(what.kind(), 1);
            }
        }
        let transfer = rate.map_or(0, |rate| work.bytes() * 1_000_000_000 / rate);
        (cost as f64 * factors) as u64 + delays + transfer
    }

    /// The first fault of a kind that hits the n-th operation of its kind on a
    /// file or directory, which is known to draws as `entity` and lies in `dir`.
    pub(super) fn hits(&self, kind: DiskFaultKind, dir: &str, entity: u64, n: u64) -> Option<Hit> {
        self.of(kind).find_map(|(fault, what)| {
            let (region, probability) = chance_of(what)?;
            if !region.has(dir) {
                return None;
            }
            let mut draw = self.draw(fault, kind, entity, n);
            draw.chance(probability).then_some(Hit { fault, draw })
        })
    }

    /// The draw of a fault for the n-th event of an entity.
    pub(super) fn draw(&self, fault: u32, kind: DiskFaultKind, entity: u64, n: u64) -> Draw {
        let parts = [self.node, u64::from(fault), entity, n].map(u64::to_le_bytes);
        let entity = xxh3_64(parts.as_flattened());
        self.streams.keyed(stream(kind), entity).next()
    }

    /// How many bytes the disk has room for, and who says so.
    pub(super) fn capacity(&self) -> Option<(u32, u64)> {
        let all = self.of(DiskFaultKind::Full);
        all.filter_map(|(fault, what)| match what {
            DiskFault::Full { capacity } => Some((fault, *capacity)),
            _ => None,
        })
        .min_by_key(|(_, capacity)| *capacity)
    }
}

impl Work {
    fn bytes(self) -> u64 {
        match self {
            Work::Write(bytes) => bytes,
            Work::Read | Work::Fsync => 0,
        }
    }
}

fn chance_of(what: &DiskFault) -> Option<(Region, f64)> {
    match *what {
        DiskFault::WriteError {
            region,
            probability,
        }
        | DiskFault::FsyncError {
            region,
            probability,
        }
        | DiskFault::FsyncLie {
            region,
            probability,
        }
        | DiskFault::ReadFlip {
            region,
            probability,
        }
        | DiskFault::MisdirectedWrite {
            region,
            probability,
        } => Some((region, probability)),
        _ => None,
    }
}

fn stream(kind: DiskFaultKind) -> &'static str {
    match kind {
        DiskFaultKind::Stall => "disk/fault/fsync_stall",
        DiskFaultKind::Slow => "disk/fault/slow_disk",
        DiskFaultKind::Throttle => "disk/fault/throttle",
        DiskFaultKind::WriteError => "disk/fault/write_error",
        DiskFaultKind::FsyncError => "disk/fault/fsync_error",
        DiskFaultKind::FsyncLie => "disk/fault/fsync_lie",
        DiskFaultKind::Full => "disk/fault/disk_full",
        DiskFaultKind::BitRot => "disk/fault/bit_rot",
        DiskFaultKind::ReadFlip => "disk/fault/read_flip",
        DiskFaultKind::LatentError => "disk/fault/latent_error",
        DiskFaultKind::MisdirectedWrite => "disk/fault/misdirected_write",
        DiskFaultKind::LostName => "disk/fault/lost_name",
    }
}
