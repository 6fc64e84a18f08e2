//! What operations do while something is wrong with the disk.

use super::damage::{What, sector};
use super::fault::{DiskFault, DiskFaultKind, Region};
use super::faults::Hit;
use super::inode::SyncFate;
use super::loss::SECTOR;
use super::names::Ino;
use super::pages::PAGE;
use super::state::{State, Tag};
use std::io;

// --- the world's side ---

impl State {
    pub(super) fn inject(&mut self, fault: u32, what: DiskFault) {
        if let Some(refusal) = what.refusal() {
            panic!("fault {fault} on n{}: {refusal}", self.node);
        }
        let kind = what.kind();
        self.log(
            Tag::Inject,
            [u64::from(fault), kind as u64, self.step],
            format!("{what:?}").as_bytes(),
        );
        match what {
            DiskFault::BitRot { region, sectors } | DiskFault::LatentError { region, sectors } => {
                self.spoil_sectors(fault, kind, region, sectors);
            }
            what => self.faults.set(fault, what),
        }
    }

    pub(super) fn clear(&mut self, fault: u32) {
        self.faults.clear(fault);
        for file in self.files.iter_mut().flatten() {
            file.damage.heal(fault);
        }
        self.log(Tag::Clear, [u64::from(fault), self.step], &[]);
    }

    /// Damages sectors of the files that have names, each at most once.
    fn spoil_sectors(&mut self, fault: u32, kind: DiskFaultKind, region: Region, count: u32) {
        let times = self.injected.entry(fault).or_default();
        *times += 1;
        let times = *times;
        let mut sectors: Vec<(Ino, u64)> = Vec::new();
        for ino in self.names.named() {
            let step = self.step;
            let file = self.file(ino);
            file.settle(step);
            if region.has(file.home) {
                sectors.extend(file.sectors().map(|number| (ino, number)));
            }
        }
        for i in 0..u64::from(count) {
            if sectors.is_empty() {
                return;
            }
            let mut draw = self.faults.draw(fault, kind, times, i);
            let (ino, number) = sectors.swap_remove(draw.below(sectors.len() as u64) as usize);
            let file = self.file(ino);
            let all = sector(number);
            let (at, what) = if kind == DiskFaultKind::BitRot {
                let byte = all.start + draw.below(SECTOR.min(file.len - all.start));
                (
                    byte..byte + 1,
                    What::Flipped(vec![1 << draw.below(u64::from(u8::BITS))]),
                )
            } else {
                (all, What::Unreadable)
            };
            let (key, start) = (file.key, at.start);
            file.spoil(fault, kind, at, what);
            self.fired(fault, kind, key, start);
        }
    }

    /// Names that were durable vanish at a power loss.
    pub(super) fn lose_names(&mut self) {
        let kind = DiskFaultKind::LostName;
        let faults: Vec<u32> = self.faults.of(kind).map(|(fault, _)| fault).collect();
        for fault in faults {
            let Some(DiskFault::LostName { region, names }) = self.faults.clear_kind(fault, kind)
            else {
                continue;
            };
            for i in 0..u64::from(names) {
                let mut draw = self.faults.draw(fault, kind, self.crashes, i);
                if let Some(path) = self.names.drop_name(region, &mut draw) {
                    self.fired(fault, kind, i, 0);
                    self.faults.met.count(kind, 1);
                    self.log(Tag::Fault, [], path.as_os_str().as_encoded_bytes());
                }
            }
        }
    }

    fn fired(&mut self, fault: u32, kind: DiskFaultKind, key: u64, offset: u64) {
        self.faults.fired.count(kind, 1);
        self.log(
            Tag::Fault,
            [u64::from(fault), kind as u64, key, offset, self.now()],
            &[],
        );
    }
}

// --- the process's side ---

impl State {
    /// What a sync that begins now will do: the n-th of a file or directory.
    pub(super) fn sync_fate(&mut self, home: &str, key: u64, n: u64) -> SyncFate {
        if self.faults.is_empty() {
            return SyncFate::Honest;
        }
        let kinds = [
            (DiskFaultKind::FsyncError, SyncFate::Fail),
            (DiskFaultKind::FsyncLie, SyncFate::Lie),
        ];
        for (kind, fate) in kinds {
            if let Some(Hit { fault, .. }) = self.faults.hits(kind, home, key, n) {
                self.fired(fault, kind, key, n);
                if fate == SyncFate::Fail {
                    self.faults.met.count(kind, 1);
                }
                return fate;
            }
        }
        SyncFate::Honest
    }

    /// Whether the next write of a file fails.
    pub(super) fn refuse_write(&mut self, ino: Ino) -> io::Result<()> {
        let kind = DiskFaultKind::WriteError;
        let file = self.file(ino);
        let (home, key, n) = (file.home, file.key, file.calls.writes);
        let Some(Hit { fault, .. }) = self.faults.hits(kind, home, key, n) else {
            return Ok(());
        };
        self.fired(fault, kind, key, n);
        self.faults.met.count(kind, 1);
        Err(self.failed("write", ino))
    }

    /// Writes what can be written, where it goes.
    pub(super) fn write_through_faults(
        &mut self,
        ino: Ino,
        offset: u64,
        data: &[u8],
    ) -> io::Result<()> {
        self.refuse_write(ino)?;
        let write = offset..offset + data.len() as u64;
        if let Some(part) = self.file(ino).damage.unreadable_part(&write) {
            self.faults.met.count(DiskFaultKind::LatentError, 1);
            let what = format!(
                "read of bytes {} to {}, to write a part",
                part.start, part.end
            );
            return Err(self.failed(&what, ino));
        }
        let limit = self.faults.capacity();
        let room = limit.map_or(data.len(), |(_, capacity)| {
            self.room_for(ino, offset, data.len(), capacity)
        });
        self.place(ino, offset, &data[..room]);
        let fault = match limit {
            Some((fault, _)) if room < data.len() => fault,
            _ => return Ok(()),
        };
        let key = self.file(ino).key;
        self.fired(fault, DiskFaultKind::Full, key, offset);
        self.faults.met.count(DiskFaultKind::Full, 1);
        Err(io::Error::new(
            io::ErrorKind::StorageFull,
            format!(
                "no space left on device: write of {} bytes at {offset} of {}, of which {room} fitted",
                data.len(),
                self.names.path_of(ino).display()
            ),
        ))
    }

    /// How many of the bytes of a write fit on the disk.
    fn room_for(&mut self, ino: Ino, offset: u64, len: usize, capacity: u64) -> usize {
        let mut allocated = self.allocated();
        let end = offset + len as u64;
        let file = self.file(ino);
        for page in offset / PAGE..end.div_ceil(PAGE) {
            if !file.pages.has(page) {
                allocated += PAGE;
                if allocated > capacity {
                    return (page * PAGE).saturating_sub(offset) as usize;
                }
            }
        }
        len
    }

    fn place(&mut self, ino: Ino, offset: u64, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let (kind, now) = (DiskFaultKind::MisdirectedWrite, self.now());
        let file = self.file(ino);
        let (home, key, n) = (file.home, file.key, file.calls.writes);
        // The sectors that it could begin in, by number, but its own.
        let len = data.len() as u64;
        let (own, phase) = (offset / SECTOR, offset % SECTOR);
        let last = (file.len.max(offset + len) - len - phase) / SECTOR;
        let hit = self.faults.hits(kind, home, key, n);
        let file = self.file(ino);
        match hit {
            Some(Hit { fault, mut draw }) if last > 0 => {
                let other = draw.below(last);
                let to = (other + u64::from(other >= own)) * SECTOR + phase;
                file.write_misdirected(now, offset, data, to, fault);
                self.fired(fault, kind, key, to);
            }
            _ => file.write(now, offset, data),
        }
    }

    /// Does to a read what the disk does to it.
    pub(super) fn spoil_read(&mut self, ino: Ino, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let step = self.step;
        let file = self.file(ino);
        file.settle(step);
        match file.damage.read(offset, buf) {
            Ok(met) => met
                .into_iter()
                .for_each(|kind| self.faults.met.count(kind, 1)),
            Err(part) => {
                self.faults.met.count(DiskFaultKind::LatentError, 1);
                let what = format!("read of bytes {} to {}", part.start, part.end);
                return Err(self.failed(&what, ino));
            }
        }
        let kind = DiskFaultKind::ReadFlip;
        let file = self.file(ino);
        let (home, key, n) = (file.home, file.key, file.calls.reads);
        if !buf.is_empty()
            && let Some(Hit { fault, mut draw }) = self.faults.hits(kind, home, key, n)
        {
            let (byte, bit) = (draw.below(buf.len() as u64) as usize, draw.below(8));
            buf[byte] ^= 1 << bit;
            self.fired(fault, kind, key, offset + byte as u64);
            self.faults.met.count(kind, 1);
        }
        Ok(())
    }

    /// The error of an operation that the disk could not do.
    pub(super) fn failed(&self, what: &str, ino: Ino) -> io::Error {
        io::Error::other(format!(
            "input/output error: {what} of {}",
            self.names.path_of(ino).display()
        ))
    }
}
