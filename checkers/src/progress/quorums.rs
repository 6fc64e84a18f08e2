//! Which quorums were healthy, and when.

use squall_record::Condition;
use std::collections::{BTreeMap, BTreeSet};

/// More voters than this are not looked through.
const VOTERS_MAX: usize = 12;

/// A quorum, and a time during which all its members were well and heard each
/// other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Healthy {
    pub(super) members: Vec<u64>,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// All of them, in order of their beginning.
pub(super) struct Quorums(Vec<Healthy>);

impl Quorums {
    /// `conditions` are in order of time.
    pub(super) fn of(conditions: &[Condition]) -> Quorums {
        let mut all = Vec::new();
        let mut since: BTreeMap<Vec<u64>, u64> = BTreeMap::new();
        let mut end = |since: &mut BTreeMap<Vec<u64>, u64>, left: &BTreeSet<Vec<u64>>, to: u64| {
            let over = since.extract_if(.., |members, _| !left.contains(members));
            all.extend(over.map(|(members, from)| Healthy { members, from, to }));
        };
        for condition in conditions {
            let healthy = healthy(condition);
            end(&mut since, &healthy, condition.since);
            for members in healthy {
                since.entry(members).or_insert(condition.since);
            }
        }
        end(&mut since, &BTreeSet::new(), u64::MAX);
        all.sort_by_key(|healthy| healthy.from);
        Quorums(all)
    }

    /// Those that were healthy at some moment in between.
    pub(super) fn during(&self, from: u64, to: u64) -> impl Iterator<Item = &Healthy> {
        let begun = self.0.partition_point(|healthy| healthy.from < to);
        self.0[..begun].iter().filter(move |h| h.to > from)
    }

    /// For how much of a time some quorum was healthy.
    pub(super) fn length(&self, from: u64, to: u64) -> u64 {
        let (mut reached, mut length) = (from, 0);
        for healthy in self.during(from, to) {
            let (begins, ends) = (healthy.from.max(reached), healthy.to.min(to));
            length += ends.saturating_sub(begins);
            reached = reached.max(ends);
        }
        length
    }
}

/// The smallest quorums of voters that are well and hear each other.
fn healthy(condition: &Condition) -> BTreeSet<Vec<u64>> {
    let members = &condition.members;
    let voters = members.voters.union(&members.outgoing).copied();
    let well: Vec<u64> = voters.filter(|id| condition.is_well(*id)).collect();
    let mut quorums = BTreeSet::new();
    if well.len() > VOTERS_MAX {
        return quorums;
    }
    let decide = |of: &[u64]| members.is_quorum(|id| of.contains(&id));
    for set in 0_u32..1 << well.len() {
        let is_in = |place: &(usize, &u64)| set >> place.0 & 1 == 1;
        let chosen: Vec<u64> = (well.iter().enumerate().filter(is_in))
            .map(|(_, id)| *id)
            .collect();
        let others = |left_out: u64| -> Vec<u64> {
            let others = chosen.iter().filter(|id| **id != left_out);
            others.copied().collect()
        };
        let is_smallest = || chosen.iter().all(|id| !decide(&others(*id)));
        let hear = |one: &u64| {
            let mut others = chosen.iter().filter(|other| *other > one);
            others.all(|other| condition.is_linked(*one, *other))
        };
        if decide(&chosen) && is_smallest() && chosen.iter().all(hear) {
            quorums.insert(chosen);
        }
    }
    quorums
}
