//! What a power loss leaves of a file.

use super::change::ChangeKind;
use super::damage::overlap;
use super::inode::Inode;
use super::pages::PAGE;
use crate::rng::{Draw, Keyed};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes that the disk writes as one, if it is lucky.
pub(super) const SECTOR: u64 = 512;

type Sector = [u8; SECTOR as usize];

/// What pending writes made of a sector: each write's place among the pending
/// changes, and the sector as it left it.
type Writes = Vec<(usize, Box<Sector>)>;

/// A pending change that made the file shorter: its place, and the new length.
type Truncation = (usize, u64);

/// The sectors that pending writes touched.
pub(super) fn unsynced_sectors(inode: &Inode) -> u64 {
    let mut sectors = BTreeSet::new();
    for change in &inode.pending {
        if let ChangeKind::Write { offset, len, .. } = change.kind {
            sectors.extend(touched(offset, len));
        }
    }
    sectors.len() as u64
}

/// Nothing pending had reached the disk.
pub(super) fn lose(inode: &mut Inode) {
    while !inode.pending.is_empty() {
        inode.undo();
    }
    inode.settle_on(inode.len);
}

/// Decides what had reached the disk of a file's pending changes, known by
/// their places in the order in which they were made.
pub(super) trait Fate {
    /// How many of the changes of the file's length, which are at these places,
    /// had happened.
    fn lengths(&mut self, places: &[usize]) -> usize;
    /// What the next sector holds. Its pending writes are at these places; what
    /// it may hold whole is what it held before them, and what each left that
    /// could reach it. Returns the place in `candidates` of the version it
    /// begins with, and where the rest is another's, if it is torn.
    fn sector(&mut self, writes: &[usize], candidates: usize) -> Version;
}

/// What a sector holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    /// Which version it begins with.
    pub(super) head: usize,
    /// From which byte on it has which version.
    pub(super) torn: Option<(usize, usize)>,
}

/// A legal part of what is pending had reached the disk. Returns how many
/// unsynced sectors do not hold their last write.
///
/// The file's length is what it was after some prefix of its changes: file
/// systems journal it in order. Sectors go their own ways, each with
///
/// * what it held when it was last durable, or after any write since (cut short
///   by the truncations in the prefix), or
/// * the head of one of these and the tail of another.
///
/// A write that follows a truncation outside the prefix went to blocks that the
/// file does not have: it is lost.
pub(super) fn meet(inode: &mut Inode, fate: &mut impl Fate) -> u64 {
    let all = inode.pending.len();
    let last_len = inode.len;
    let repaired = inode.damage.repaired();
    let mut sectors: BTreeMap<u64, Writes> = BTreeMap::new();
    let mut truncations: Vec<Truncation> = Vec::new();
    // The changes of length: (place, length after it).
    let mut lengths: Vec<(usize, u64)> = Vec::new();
    while let Some(change) = inode.pending.back() {
        let place = inode.pending.len() - 1;
        match &change.kind {
            ChangeKind::Write { offset, len, .. } => {
                for sector in touched(*offset, *len) {
                    let mut bytes = Box::new([0; SECTOR as usize]);
                    inode.pages.read(sector * SECTOR, bytes.as_mut_slice());
                    sectors.entry(sector).or_default().push((place, bytes));
                }
            }
            ChangeKind::SetLen { len, pages } => {
                if *len < change.old_len {
                    truncations.push((place, *len));
                }
                for (page, _) in pages {
                    for sector in touched(*page as u64 * PAGE, PAGE) {
                        sectors.entry(sector).or_default();
                    }
                }
            }
        }
        let len = inode.len;
        inode.undo();
        if inode.len != len {
            lengths.push((place, len));
        }
    }
    lengths.reverse();
    truncations.reverse();

    let places: Vec<usize> = lengths.iter().map(|(place, _)| *place).collect();
    let kept_lengths = fate.lengths(&places);
    let len = match kept_lengths.checked_sub(1) {
        Some(last) => lengths[last].1,
        None => inode.len,
    };
    let prefix = lengths.get(kept_lengths).map_or(all, |(place, _)| *place);

    let mut lost = 0;
    for (sector, mut writes) in sectors {
        writes.reverse();
        let start = sector * SECTOR;
        let mut durable = [0; SECTOR as usize];
        inode.pages.read(start, &mut durable);
        let (legal, reachable) = candidates(start, durable, &writes, &truncations, prefix);
        let places: Vec<usize> = writes.iter().map(|(place, _)| *place).collect();
        let version = fate.sector(&places, legal.len());
        let mut bytes = legal[version.head];
        if let Some((split, tail)) = version.torn {
            bytes[split..].copy_from_slice(&legal[tail][split..]);
        }
        if bytes != durable {
            inode.pages.write(start, &bytes);
            for place in &repaired {
                inode
                    .damage
                    .forget(&overlap(place, &(start..start + SECTOR)));
            }
        }
        let newest = version.torn.is_none() && version.head + 1 == legal.len();
        let whole = len >= last_len.min(start + SECTOR);
        let held = newest && reachable && whole;
        if !writes.is_empty() && !held {
            lost += 1;
        }
    }
    inode.settle_on(len);
    lost
}

/// Any legal fate, drawn.
pub(super) struct Drawn<'a> {
    draws: &'a mut Keyed,
    /// How likely a sector is kept, or torn.
    keep: f64,
    tear: f64,
}

impl<'a> Drawn<'a> {
    pub(super) fn new(draws: &'a mut Keyed) -> Drawn<'a> {
        Drawn {
            draws,
            keep: 0.0,
            tear: 0.0,
        }
    }
}

impl Fate for Drawn<'_> {
    fn lengths(&mut self, places: &[usize]) -> usize {
        let mut draw = self.draws.next();
        let kept = biased_prefix(&mut draw, places.len());
        // A loss of one sector, and a disk that kept one: both find bugs.
        self.keep = [0.1, 0.5, 0.9][draw.below(3) as usize];
        self.tear = [0.0, 0.1, 0.3][draw.below(3) as usize];
        kept
    }

    fn sector(&mut self, _: &[usize], candidates: usize) -> Version {
        let mut draw = self.draws.next();
        let last = candidates - 1;
        let (torn, kept, newest) = (
            draw.chance(self.tear),
            draw.chance(self.keep),
            draw.chance(0.75),
        );
        if last == 0 {
            return Version::whole(0);
        }
        let newer = match newest {
            true => last,
            false => 1 + draw.below(last as u64) as usize,
        };
        if torn {
            let older = draw.below(newer as u64) as usize;
            let split = 1 + draw.below(SECTOR - 1) as usize;
            let (head, tail) = match draw.chance(0.5) {
                true => (newer, older),
                false => (older, newer),
            };
            return Version {
                head,
                torn: Some((split, tail)),
            };
        }
        Version::whole(if kept { newer } else { 0 })
    }
}

/// Everything pending had reached the disk, but perhaps for one change.
pub(super) struct AllBut(pub(super) Option<usize>);

impl Fate for AllBut {
    fn lengths(&mut self, places: &[usize]) -> usize {
        let lost = places.iter().position(|place| Some(*place) == self.0);
        lost.unwrap_or(places.len())
    }

    fn sector(&mut self, writes: &[usize], candidates: usize) -> Version {
        let last = candidates - 1;
        // Only what no later write went over can be missing.
        let missing = last > 0 && last == writes.len() && writes.last().copied() == self.0;
        Version::whole(last - usize::from(missing))
    }
}

/// Nothing pending had reached the disk but one change, and the lengths that
/// come with it.
pub(super) struct Only(pub(super) usize);

impl Fate for Only {
    fn lengths(&mut self, places: &[usize]) -> usize {
        places.partition_point(|place| *place <= self.0)
    }

    fn sector(&mut self, writes: &[usize], candidates: usize) -> Version {
        let its = writes.iter().position(|place| *place == self.0);
        let version = its.map_or(0, |write| write + 1);
        Version::whole(if version < candidates { version } else { 0 })
    }
}

impl Version {
    fn whole(head: usize) -> Version {
        Version { head, torn: None }
    }
}

/// How much of an ordered list of `n` changes had happened: nothing and
/// everything are as likely as all that is between.
pub(super) fn biased_prefix(draw: &mut Draw, n: usize) -> usize {
    let (bias, place) = (draw.below(4), draw.below(n as u64 + 1) as usize);
    match bias {
        0 => 0,
        1 => n,
        _ => place,
    }
}

/// What the sector at `start` may hold whole, oldest first, if changes of length
/// happened up to `prefix`; and whether its last write is among that.
fn candidates(
    start: u64,
    durable: Sector,
    writes: &Writes,
    truncations: &[Truncation],
    prefix: usize,
) -> (Vec<Sector>, bool) {
    let mut candidates = vec![durable];
    let mut writes = writes.iter().peekable();
    for (place, len) in truncations {
        let keep = len.saturating_sub(start);
        if keep >= SECTOR {
            continue;
        }
        while let Some((_, bytes)) = writes.next_if(|(write, _)| write < place) {
            candidates.push(**bytes);
        }
        if *place >= prefix {
            return (candidates, writes.peek().is_none());
        }
        for candidate in &mut candidates {
            candidate[keep as usize..].fill(0);
        }
    }
    candidates.extend(writes.map(|(_, bytes)| **bytes));
    (candidates, true)
}

fn touched(offset: u64, len: u64) -> std::ops::Range<u64> {
    offset / SECTOR..(offset + len).div_ceil(SECTOR)
}
