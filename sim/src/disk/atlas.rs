//! Which nodes' disks may be damaged.

use super::fault::{DiskFault, DiskFaultKind};
use crate::rng::Streams;
use std::collections::BTreeSet;

/// Keeps damage within what the cluster must survive.
///
/// The rule is coarse and sound: for the whole of a run, damage is confined to
/// a minority of the members, which is drawn from the seed before it begins. So
/// whatever a majority holds is undamaged on at least one member of every
/// majority, wherever in a file the same entry lies on each of them, whenever
/// it got there, and whether or not the damage was noticed. Rules that compare
/// regions allow more damage, but must know which bytes of which disk hold the
/// same data, and that moves with every compaction.
///
/// What counts as damage says [`DiskFaultKind::is_damage`]; a wiped disk is
/// damage as well, and the same question, [`Atlas::may_damage`], is to be asked.
/// Faults that say that they failed (EIO on write or fsync, a full disk, stalls)
/// are not damage: whoever hears of them can stop in time.
///
/// A minority whose disks *lie* ([`DiskFaultKind::is_lie`]) is more than Raft
/// promises to survive: a member that forgets what it acknowledged can vote, or
/// help to commit, twice. A run with such a fault suspends the invariants that
/// rest on durable promises, whatever the atlas says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Atlas {
    members: u64,
    /// Who may be damaged.
    damageable: BTreeSet<u64>,
}

impl Atlas {
    /// Draws the minority of a cluster with the members 1 to `members`: the
    /// largest number that leaves a majority.
    pub fn new(members: u64, streams: &Streams) -> Atlas {
        let mut draws = streams.keyed("disk/atlas", 0);
        let mut left: Vec<u64> = (1..=members).collect();
        let mut damageable = BTreeSet::new();
        for _ in 0..members.saturating_sub(1) / 2 {
            let at = draws.next().below(left.len() as u64) as usize;
            damageable.insert(left.remove(at));
        }
        Atlas {
            members,
            damageable,
        }
    }

    /// An atlas that lets every disk be damaged.
    pub fn unrestricted(members: u64) -> Atlas {
        Atlas {
            members,
            damageable: (1..=members).collect(),
        }
    }

    /// Whether what is durable on this node may be destroyed.
    pub fn may_damage(&self, node: u64) -> bool {
        self.damageable.contains(&node)
    }

    /// Whether this fault may be injected on this node.
    pub fn admits(&self, node: u64, what: &DiskFault) -> bool {
        self.admits_kind(node, what.kind())
    }

    /// As [`Atlas::admits`], for whoever plans without numbers.
    pub fn admits_kind(&self, node: u64, kind: DiskFaultKind) -> bool {
        !kind.is_damage() || self.may_damage(node)
    }

    /// The nodes that may be damaged, in order; none in a cluster of two or
    /// less. A fault that was aimed at another node goes to one of them, or is
    /// not injected.
    pub fn damageable(&self) -> impl Iterator<Item = u64> + '_ {
        self.damageable.iter().copied()
    }

    /// Whether a majority is beyond damage.
    pub fn is_restricted(&self) -> bool {
        (self.damageable.len() as u64) * 2 < self.members
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Region;

    const ROT: DiskFault = DiskFault::BitRot {
        region: Region::All,
        sectors: 1,
    };

    #[test]
    fn damage_stays_within_a_minority_that_the_seed_draws() {
        for members in 0..8 {
            let mut ever = BTreeSet::new();
            for seed in 0..200 {
                let atlas = Atlas::new(members, &Streams::new(seed));
                assert_eq!(atlas, Atlas::new(members, &Streams::new(seed)));
                let hit: Vec<u64> = (1..=members).filter(|n| atlas.admits(*n, &ROT)).collect();
                assert_eq!(hit, atlas.damageable().collect::<Vec<_>>());
                assert_eq!(hit.len() as u64, members.saturating_sub(1) / 2);
                assert_eq!(atlas.is_restricted(), members > 0);
                ever.extend(hit);
            }
            assert_eq!(ever.len() as u64, if members < 3 { 0 } else { members });
        }
    }

    #[test]
    fn what_fails_aloud_is_no_damage_and_a_scenario_may_ask_for_more() {
        let atlas = Atlas::new(3, &Streams::new(1));
        assert!((1..=3).all(|node| atlas.admits(node, &DiskFault::Stall { delay: 1 })));
        let all = Atlas::unrestricted(3);
        assert!((1..=3).all(|node| all.admits(node, &ROT)));
        assert!(!all.is_restricted());
    }
}
