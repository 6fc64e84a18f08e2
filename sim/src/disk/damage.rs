//! What the disk holds of a file other than it was written: an overlay.

use super::fault::DiskFaultKind;
use super::loss::SECTOR;
use super::pages::PAGE;
use std::ops::Range;

/// Everything that is wrong with a file's bytes.
///
/// The pages stay as they were written; reads go through here. Writing over a
/// damaged place repairs it, unless a crash takes the write back.
#[derive(Clone, Default)]
pub(super) struct Damage(Vec<Patch>);

/// A stretch of a file that is damaged.
#[derive(Clone)]
pub(super) struct Patch {
    /// Who did it.
    pub(super) fault: u32,
    pub(super) kind: DiskFaultKind,
    pub(super) at: Range<u64>,
    pub(super) what: What,
    pub(super) shows: Shows,
    /// The pending change that wrote over it: durable, it ends the damage;
    /// undone, it brings the damage back.
    pub(super) repaired_by: Option<u64>,
}

#[derive(Clone)]
pub(super) enum What {
    /// What the bytes are XORed with, one for each.
    Flipped(Vec<u8>),
    /// They cannot be read.
    Unreadable,
}

/// When damage can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    Now,
    /// Once this change is durable; never, if it is undone.
    OnceDurable(u64),
    /// Once the page cache is lost, which has the right bytes.
    AfterPowerLoss,
}

impl Damage {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, patch: Patch) {
        self.0.push(patch);
    }

    /// Takes all damage away that `fault` did. What a failed fsync dropped was
    /// never on the disk, and is not brought there.
    pub(super) fn heal(&mut self, fault: u32) {
        self.0
            .retain(|patch| patch.fault != fault || patch.kind == DiskFaultKind::FsyncError);
    }

    /// Does to `buf`, read at `offset`, what the damage does. Returns the kinds
    /// that were met, or the place that cannot be read.
    pub(super) fn read(
        &self,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<Vec<DiskFaultKind>, Range<u64>> {
        let read = offset..offset + buf.len() as u64;
        let mut met = Vec::new();
        for patch in &self.0 {
            let common = overlap(&patch.at, &read);
            if common.is_empty() || patch.shows != Shows::Now || patch.repaired_by.is_some() {
                continue;
            }
            match &patch.what {
                What::Unreadable => return Err(patch.at.clone()),
                What::Flipped(mask) => {
                    let bytes = &mut buf[within(&common, offset)];
                    let mask = &mask[within(&common, patch.at.start)];
                    bytes.iter_mut().zip(mask).for_each(|(byte, m)| *byte ^= m);
                    met.push(patch.kind);
                }
            }
        }
        Ok(met)
    }

    /// The unreadable sector of which a write would replace a part only.
    pub(super) fn unreadable_part(&self, write: &Range<u64>) -> Option<Range<u64>> {
        let hit = self.0.iter().find(|patch| {
            let common = overlap(&patch.at, write);
            matches!(patch.what, What::Unreadable)
                && patch.repaired_by.is_none()
                && !common.is_empty()
                && common != patch.at
        });
        hit.map(|patch| patch.at.clone())
    }

    /// A pending change replaced these bytes.
    pub(super) fn replaced(&mut self, change: u64, by: &Range<u64>) {
        let pages = by.start / PAGE * PAGE..by.end.div_ceil(PAGE).saturating_mul(PAGE);
        self.split(
            |patch| match (&patch.what, patch.shows) {
                _ if patch.repaired_by.is_some() => 0..0,
                (What::Unreadable, _) if overlap(&patch.at, by) != patch.at => 0..0,
                // The page is dirty again, and will be written out whole.
                (_, Shows::AfterPowerLoss) => pages.clone(),
                _ => by.clone(),
            },
            |patch| {
                patch.repaired_by = Some(change);
                true
            },
        );
    }

    /// A change never happened.
    pub(super) fn undone(&mut self, change: u64) {
        self.0
            .retain(|patch| patch.shows != Shows::OnceDurable(change));
        for patch in &mut self.0 {
            if patch.repaired_by == Some(change) {
                patch.repaired_by = None;
            }
        }
    }

    /// The first `upto` changes are durable.
    pub(super) fn durable(&mut self, upto: u64) {
        self.0
            .retain(|patch| patch.repaired_by.is_none_or(|change| change >= upto));
        for patch in &mut self.0 {
            if matches!(patch.shows, Shows::OnceDurable(change) if change < upto) {
                patch.shows = Shows::Now;
            }
        }
    }

    /// The page cache is gone.
    pub(super) fn power_lost(&mut self) {
        for patch in &mut self.0 {
            if patch.shows == Shows::AfterPowerLoss {
                patch.shows = Shows::Now;
            }
        }
    }

    /// The damaged places that pending changes wrote over.
    pub(super) fn repaired(&self) -> Vec<Range<u64>> {
        let repaired = self.0.iter().filter(|patch| patch.repaired_by.is_some());
        repaired.map(|patch| patch.at.clone()).collect()
    }

    /// These bytes are what they should be.
    pub(super) fn forget(&mut self, bytes: &Range<u64>) {
        self.split(|_| bytes.clone(), |_| false);
    }

    /// What was damaged up to a change, which cut the file off, is gone from
    /// there on.
    pub(super) fn cut_off(&mut self, change: u64, len: u64) {
        self.split(
            |patch| match patch.repaired_by {
                Some(repair) if repair <= change => len..u64::MAX,
                _ => 0..0,
            },
            |_| false,
        );
    }

    /// Takes out what the changes before `upto` repaired or would have damaged:
    /// they never reached the disk. Returns what they had repaired.
    pub(super) fn take_unrepaired(&mut self, upto: u64) -> Vec<Patch> {
        self.0
            .retain(|patch| !matches!(patch.shows, Shows::OnceDurable(change) if change < upto));
        let back = |patch: &mut Patch| patch.repaired_by.is_some_and(|change| change < upto);
        self.0.extract_if(.., back).collect()
    }

    /// Splits patches so that each lies within what `part` says of it or
    /// outside, and drops those within for which `keep` says no.
    fn split(
        &mut self,
        part: impl Fn(&Patch) -> Range<u64>,
        mut keep: impl FnMut(&mut Patch) -> bool,
    ) {
        let mut split = Vec::with_capacity(self.0.len());
        for patch in self.0.drain(..) {
            let inside = overlap(&patch.at, &part(&patch));
            if inside.is_empty() {
                split.push(patch);
                continue;
            }
            let outside = [patch.at.start..inside.start, inside.end..patch.at.end];
            for side in outside.iter().filter(|side| !side.is_empty()) {
                split.push(patch.part(side));
            }
            let mut inside = patch.part(&inside);
            if keep(&mut inside) {
                split.push(inside);
            }
        }
        self.0 = split;
    }
}

impl Patch {
    fn part(&self, at: &Range<u64>) -> Patch {
        let what = match &self.what {
            What::Flipped(mask) => What::Flipped(mask[within(at, self.at.start)].to_vec()),
            What::Unreadable => What::Unreadable,
        };
        Patch {
            at: at.clone(),
            what,
            ..*self
        }
    }

    /// Does what it does to bytes that lie at `offset`, if it flips any.
    pub(super) fn flip(&self, offset: u64, bytes: &mut [u8]) {
        let common = overlap(&self.at, &(offset..offset + bytes.len() as u64));
        if let What::Flipped(mask) = &self.what
            && !common.is_empty()
        {
            let mask = &mask[within(&common, self.at.start)];
            let bytes = &mut bytes[within(&common, offset)];
            bytes.iter_mut().zip(mask).for_each(|(byte, m)| *byte ^= m);
        }
    }
}

/// The bytes of a sector.
pub(super) fn sector(number: u64) -> Range<u64> {
    number * SECTOR..(number + 1) * SECTOR
}

/// What two stretches have in common; empty if nothing.
pub(super) fn overlap(a: &Range<u64>, b: &Range<u64>) -> Range<u64> {
    let start = a.start.max(b.start);
    start..a.end.min(b.end).max(start)
}

/// Where bytes lie in a buffer that begins at `start`.
fn within(bytes: &Range<u64>, start: u64) -> Range<usize> {
    (bytes.start - start) as usize..(bytes.end - start) as usize
}
