//! A disk whose costs are round, and what a tiny program asks of it.

use squall_api::{Disk, File, Open};
use squall_sim::{
    DiskFault, DiskFaultKind, DiskParams, Mount, NodeDisk, PowerLoss, Region, Streams,
};
use std::path::Path;
use std::sync::Arc;

pub(crate) const WRITE: u64 = 10;
pub(crate) const FSYNC: u64 = 1_000;
pub(crate) const READ: u64 = 100;
pub(crate) const SECTOR: usize = 512;
pub(crate) const PAGE: usize = 4_096;

/// A disk whose operations cost exactly [`WRITE`], [`FSYNC`] and [`READ`].
pub(crate) fn disk_of(seed: u64) -> Arc<NodeDisk> {
    let params = DiskParams {
        read: READ..=READ,
        write: WRITE..=WRITE,
        fsync: FSYNC..=FSYNC,
    };
    NodeDisk::new(1, params, &Streams::new(seed))
}

pub(crate) fn disk() -> Arc<NodeDisk> {
    disk_of(7)
}

pub(crate) fn create(mount: &Mount, path: &str) -> Arc<dyn File> {
    mount.open(Path::new(path), Open::New).unwrap()
}

/// A file with durable content under a durable name.
pub(crate) fn durable(mount: &Mount, path: &str, data: &[u8]) -> Arc<dyn File> {
    let file = create(mount, path);
    file.write_at(0, data).unwrap();
    file.sync().unwrap();
    mount.sync_dir(Path::new(path).parent().unwrap()).unwrap();
    file
}

pub(crate) fn read(file: &Arc<dyn File>) -> std::io::Result<Vec<u8>> {
    let mut buf = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut buf).map(|()| buf)
}

pub(crate) fn content(mount: &Mount, path: &str) -> Vec<u8> {
    read(&mount.open(Path::new(path), Open::Existing).unwrap()).unwrap()
}

/// Lets everything that was done end, and begins another step.
pub(crate) fn step(disk: &NodeDisk, t: u64) {
    disk.begin_step(t);
}

/// Crashes a copy when everything has ended. Returns what a new process reads.
pub(crate) fn after_power_loss(disk: &NodeDisk, path: &str) -> Vec<u8> {
    let fork = disk.fork();
    fork.crash(1 << 50, PowerLoss::Lost);
    content(&fork.mount(), path)
}

pub(crate) fn fired(disk: &NodeDisk, kind: DiskFaultKind) -> u64 {
    disk.stats().fired.of(kind)
}

pub(crate) fn met(disk: &NodeDisk, kind: DiskFaultKind) -> u64 {
    disk.stats().met.of(kind)
}

/// How many bits differ.
pub(crate) fn flipped(a: &[u8], b: &[u8]) -> u32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

pub(crate) fn write_errors(probability: f64) -> DiskFault {
    DiskFault::WriteError {
        region: Region::All,
        probability,
    }
}

pub(crate) fn fsync_errors(probability: f64) -> DiskFault {
    DiskFault::FsyncError {
        region: Region::All,
        probability,
    }
}

pub(crate) fn lies(region: Region) -> DiskFault {
    DiskFault::FsyncLie {
        region,
        probability: 1.0,
    }
}

pub(crate) fn rot(sectors: u32) -> DiskFault {
    DiskFault::BitRot {
        region: Region::All,
        sectors,
    }
}

pub(crate) fn latent(sectors: u32) -> DiskFault {
    DiskFault::LatentError {
        region: Region::All,
        sectors,
    }
}

pub(crate) fn misdirected(probability: f64) -> DiskFault {
    DiskFault::MisdirectedWrite {
        region: Region::All,
        probability,
    }
}
