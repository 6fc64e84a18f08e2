//! How a disk comes to hold something else than a file was given.

use super::change::ChangeKind;
use super::damage::{Patch, Shows, What, overlap};
use super::fault::DiskFaultKind;
use super::inode::Inode;
use super::pages::PAGE;
use std::collections::BTreeSet;
use std::ops::Range;

impl Inode {
    /// Writes, done at `stamp`, while the disk will put the data at `to`.
    pub(super) fn write_misdirected(
        &mut self,
        stamp: u64,
        offset: u64,
        data: &[u8],
        to: u64,
        fault: u32,
    ) {
        let len = data.len() as u64;
        let (meant, hit) = (offset..offset + len, to..to + len);
        let rest = match to < offset {
            true => to..hit.end.min(offset),
            false => to.max(meant.end)..hit.end,
        };
        let on_disk = [meant, rest].map(|at| {
            let mut bytes = self.bytes(&at);
            let common = overlap(&hit, &at);
            if common.is_empty() {
                return (at, bytes);
            }
            let from = (common.start - to) as usize..(common.end - to) as usize;
            let into = (common.start - at.start) as usize..(common.end - at.start) as usize;
            bytes[into].copy_from_slice(&data[from]);
            (at, bytes)
        });
        let change = self.changes();
        self.write(stamp, offset, data);
        for (at, bytes) in on_disk {
            self.hold(Patch {
                fault,
                kind: DiskFaultKind::MisdirectedWrite,
                what: What::Flipped(bytes),
                at,
                shows: Shows::OnceDurable(change),
                repaired_by: None,
            });
        }
    }

    /// A sync of the first `upto` changes failed. Their pages count as clean:
    /// whoever reads them sees them, and what the disk holds instead shows when
    /// the page cache is lost. Lengths are journaled, and durable.
    pub(super) fn drop_dirty(&mut self, upto: u64) {
        let dropped = upto.saturating_sub(self.durable) as usize;
        if dropped == 0 {
            return;
        }
        let (mut cache, mut disk) = (self.clone(), self.clone());
        while cache.pending.len() > dropped {
            cache.undo();
        }
        while !disk.pending.is_empty() {
            disk.undo();
        }
        let mut dirty = BTreeSet::new();
        for (number, change) in (self.durable..).zip(self.pending.iter().take(dropped)) {
            match change.kind {
                ChangeKind::Write { offset, len, .. } => {
                    dirty.extend(offset / PAGE..(offset + len).div_ceil(PAGE));
                }
                ChangeKind::SetLen { len, .. } if len < change.old_len => {
                    // The rest of the page that the cut goes through is dirty.
                    dirty.extend((!len.is_multiple_of(PAGE)).then_some(len / PAGE));
                    disk.pages.truncate(len);
                    self.damage.cut_off(number, len);
                }
                ChangeKind::SetLen { .. } => {}
            }
        }
        let unrepaired = self.damage.take_unrepaired(upto);
        for page in dirty {
            let at = page * PAGE..((page + 1) * PAGE).min(cache.len);
            if at.is_empty() {
                continue;
            }
            let mut mask = disk.bytes(&at);
            for patch in &unrepaired {
                patch.flip(at.start, &mut mask);
            }
            flip(&mut mask, &cache.bytes(&at));
            let repaired_by = self.first_change_of(&at, upto);
            self.add_damage(Patch {
                fault: 0,
                kind: DiskFaultKind::FsyncError,
                at,
                what: What::Flipped(mask),
                shows: Shows::AfterPowerLoss,
                repaired_by,
            });
        }
        for patch in unrepaired {
            if let What::Unreadable = patch.what {
                let repaired_by = self.first_change_of(&patch.at, upto);
                self.add_damage(Patch {
                    repaired_by,
                    ..patch
                });
            }
        }
        self.make_durable(upto);
    }

    /// Damages bytes on the disk. Where their page is dirty, it repairs them
    /// when it is written out.
    pub(super) fn spoil(&mut self, fault: u32, kind: DiskFaultKind, at: Range<u64>, what: What) {
        let repaired_by = self.first_change_of(&at, self.durable);
        self.add_damage(Patch {
            fault,
            kind,
            at,
            what,
            shows: Shows::Now,
            repaired_by,
        });
    }

    /// Notes that the disk holds these bytes (`what` flips none yet, it has
    /// them), whatever the pages say.
    fn hold(&mut self, patch: Patch) {
        let What::Flipped(mut mask) = patch.what else {
            return self.add_damage(patch);
        };
        flip(&mut mask, &self.bytes(&patch.at));
        self.add_damage(Patch {
            what: What::Flipped(mask),
            ..patch
        });
    }

    fn add_damage(&mut self, patch: Patch) {
        let changes_nothing =
            matches!(&patch.what, What::Flipped(mask) if mask.iter().all(|m| *m == 0));
        if !changes_nothing {
            self.damage.add(patch);
        }
    }

    fn bytes(&self, at: &Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; (at.end - at.start) as usize];
        self.pages.read(at.start, &mut bytes);
        bytes
    }

    /// The first pending change from number `from` on that makes pages of a
    /// stretch dirty.
    fn first_change_of(&self, at: &Range<u64>, from: u64) -> Option<u64> {
        let pages = at.start / PAGE * PAGE..at.end.div_ceil(PAGE) * PAGE;
        let mut changes = (self.durable..).zip(&self.pending);
        let found = changes.find(|(number, change)| {
            let changed = match change.kind {
                ChangeKind::Write { offset, len, .. } => offset..offset + len,
                ChangeKind::SetLen { len, .. } => len..change.old_len.max(len),
            };
            *number >= from && !overlap(&changed, &pages).is_empty()
        });
        found.map(|(number, _)| number)
    }
}

fn flip(bytes: &mut [u8], mask: &[u8]) {
    bytes.iter_mut().zip(mask).for_each(|(byte, m)| *byte ^= m);
}
