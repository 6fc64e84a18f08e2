//! What a power loss leaves of a file.

use super::inode::{ChangeKind, Inode};
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
pub(super) fn tear(inode: &mut Inode, draws: &mut Keyed) -> u64 {
    let all = inode.pending.len();
    let last_len = inode.len;
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

    let mut draw = draws.next();
    let kept_lengths = biased_prefix(&mut draw, lengths.len());
    // A loss of one sector, and a disk that kept one: both find bugs.
    let keep = [0.1, 0.5, 0.9][draw.below(3) as usize];
    let tear = [0.0, 0.1, 0.3][draw.below(3) as usize];
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
        let (bytes, newest) = pick(&mut draws.next(), &legal, keep, tear);
        if bytes != durable {
            inode.pages.write(start, &bytes);
        }
        let whole = len >= last_len.min(start + SECTOR);
        let held = newest && reachable && whole;
        if !writes.is_empty() && !held {
            lost += 1;
        }
    }
    inode.settle_on(len);
    lost
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

/// What a sector holds, given what it may hold, oldest first; and whether that
/// is the newest.
fn pick(draw: &mut Draw, candidates: &[Sector], keep: f64, tear: f64) -> (Sector, bool) {
    let last = candidates.len() - 1;
    let (torn, kept, newest) = (draw.chance(tear), draw.chance(keep), draw.chance(0.75));
    if last == 0 {
        return (candidates[0], true);
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
        let mut bytes = candidates[head];
        bytes[split..].copy_from_slice(&candidates[tail][split..]);
        return (bytes, false);
    }
    if kept {
        return (candidates[newer], newer == last);
    }
    (candidates[0], false)
}

fn touched(offset: u64, len: u64) -> std::ops::Range<u64> {
    offset / SECTOR..(offset + len).div_ceil(SECTOR)
}
