//! Who comes into question for a gap.

use super::Plan;
use crate::store::anchored::candidates::Effects;
use crate::store::anchored::gaps::Gap;
use crate::store::facts::Need;
use squall_api::pb::Compare;
use squall_record::Call;

/// So many operations are looked at for one gap, at most.
const MOST_LOOKS: u64 = 4_000;

impl<'p> Plan<'p, '_> {
    /// Who may meet a need at a gap: one that meets as many others as possible, of
    /// these one whose effect is certain, of these the one that was sent first.
    pub(super) fn supplier(&self, at: usize, n: u32) -> Option<u32> {
        let Need { put, key, .. } = self.needs[n as usize];
        if !self.facts.fits(key, self.gaps[at].revision, put) {
            return None;
        }
        let list = self.candidates.who(key, put);
        let in_time = list.iter().take_while(|u| self.in_time(**u, at));
        let mut best: Option<((usize, bool), u32)> = None;
        for u in in_time.filter(|u| self.is_free(**u)) {
            let single = self.candidates.effects[*u as usize].is_single();
            if single && best.is_some_and(|(rank, _)| rank >= (1, true)) {
                continue;
            }
            if self.suits(*u, at, Some(n)) {
                let open = self.met_by(at, *u).into_iter();
                let rank = (open.filter(|n| self.is_open(*n)).count(), single);
                if best.is_none_or(|(least, _)| least < rank) {
                    best = Some((rank, *u));
                }
            }
        }
        best.map(|(_, u)| u)
    }

    pub(super) fn in_time(&self, u: u32, gap: usize) -> bool {
        self.timeline.unsure[u as usize].invoke <= self.gaps[gap].deadline
    }

    /// Somebody whom nobody would notice at a gap, sent as late as possible; among
    /// those that an answer leaves, the one that meets most needs.
    pub(super) fn unnoticed(&self, at: usize) -> Option<u32> {
        if let Some(list) = self.demanded.get(&at) {
            let suits = |u: &&u32| self.is_free(**u) && self.suits(**u, at, None);
            let open = |u: &&u32| {
                let met = self.met_by(at, **u).into_iter();
                met.filter(|n| self.is_open(*n)).count()
            };
            return list.iter().filter(suits).max_by_key(open).copied();
        }
        let Gap { deadline, .. } = self.gaps[at];
        let in_time = self
            .timeline
            .unsure
            .partition_point(|u| u.invoke <= deadline) as u32;
        let suits = |u: &u32| self.is_free(*u) && self.suits(*u, at, None);
        let most = self.looks.get().min(MOST_LOOKS);
        let mut looked = 0;
        let found = (0..in_time).rev().take(most as usize).find(|u| {
            looked += 1;
            suits(u)
        });
        self.looks.set(self.looks.get() - looked);
        found
    }

    /// What a candidate would do at a revision, as far as acknowledged
    /// operations tell.
    pub(super) fn effects(&self, u: u32, revision: i64) -> &'p Effects {
        let [success, failure] = &self.candidates.effects[u as usize].branches;
        let op = self.timeline.unsure[u as usize].op;
        match &self.timeline.ops[op as usize].call {
            Call::Txn(txn) => {
                let holds = |c: &Compare| self.facts.likely_holds(self.keys, c, revision - 1);
                if txn.compare.iter().all(holds) {
                    success
                } else {
                    failure
                }
            }
            _ => success,
        }
    }

    /// Whether a candidate has an effect at a gap that nobody would notice, but
    /// for the needs that it meets.
    pub(super) fn suits(&self, u: u32, at: usize, need: Option<u32>) -> bool {
        if !self.in_time(u, at) || self.banned.contains(&(at as u32, u)) {
            return false;
        }
        let demanded = self.demanded.get(&at);
        if demanded.is_some_and(|list| list.binary_search(&u).is_err()) {
            return false;
        }
        let revision = self.gaps[at].revision;
        let need = need.map(|n| self.needs[n as usize]);
        let mut meets = need.is_none();
        let mut effective = false;
        for (key, put) in self.effects(u, revision).all() {
            let there = put || self.facts.is_likely_there(key, revision - 1);
            if need.is_some_and(|n| n.key == key && n.put == put) {
                // Whoever takes a gap at which the put is shown puts the key, so
                // that one was counted before there was a need.
                let counted = put && self.facts.is_demanded(key, revision);
                if counted || !self.facts.fits(key, revision, put) {
                    return false;
                }
                meets = true;
                effective = true;
            } else if put && self.facts.is_demanded(key, revision) {
                effective = true;
            } else if there {
                let open = |n: u32| self.is_open(n);
                let meets = self.need_of(key, put, revision).is_some_and(open);
                if !meets && !self.facts.is_harmless(key, revision, put) {
                    return false;
                }
                effective = true;
            }
        }
        meets && effective
    }
}
