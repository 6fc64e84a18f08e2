//! A first guess at who took which unclaimed revision.
//!
//! It decides nothing: the search tries it first, judges every answer all the
//! same, and goes on to the other candidates where the guess was wrong. But
//! without it the search would learn of a write that it forgot only when the key
//! is shown again, perhaps long after.
//!
//! What keys need is handed out first, to the earliest gap whose other needs can
//! wait; a need that ends first is met first, which meets all of them if that is
//! possible. The gaps that are left get an operation that nobody would notice. If
//! there is none for one of them, it takes over the need of another gap that has
//! one: an augmenting path, as in bipartite matching.

use super::candidates::{Candidates, Effects};
use super::gaps::{Gap, Gaps};
use crate::store::facts::{Facts, Need};
use crate::store::keys::Keys;
use crate::store::timeline::Timeline;
use squall_api::pb::Compare;
use squall_record::Call;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Stands for no operation, and for no need.
pub(super) const NOBODY: u32 = u32::MAX;
/// A gap is offered to so many needs at most.
const MOST_NEEDS: usize = 64;
/// A need is scarce if no more operations than this can meet it.
const SCARCE: usize = 4;
/// So many operations are looked at for one gap, at most.
const MOST_LOOKS: u64 = 4_000;
/// And so many on average.
const LOOKS_EACH: u64 = 200;
/// Augmenting paths are no longer than this.
const LONGEST_PATH: usize = 6;

/// A plan of who takes which gap.
pub(super) struct Plan<'p, 'a> {
    timeline: &'p Timeline<'a>,
    keys: &'p Keys<'a>,
    gaps: &'p [Gap],
    facts: &'p Facts<'a>,
    candidates: &'p Candidates,
    demanded: BTreeMap<usize, Vec<u32>>,
    /// What answers ask for, and what the search found out later.
    needs: Vec<Need>,
    /// Their places by key.
    needs_by_key: BTreeMap<u32, Vec<u32>>,
    /// By gap: who takes it.
    filler: Vec<u32>,
    /// By gap: the need for which it does.
    meets: Vec<u32>,
    /// By candidate.
    taken: Vec<bool>,
    /// By need: how many of its writes are planned.
    met: Vec<i64>,
    /// By gap: needs that it might meet, those that end first first.
    active: Vec<Vec<u32>>,
    /// Who was tried where, and failed.
    banned: BTreeSet<(u32, u32)>,
    /// The first gap that was planned anew.
    changed: usize,
    /// Gaps before this one keep who takes them.
    floor: usize,
    /// How many operations may still be looked at for gaps that need nobody in
    /// particular. It keeps planning linear where few are left.
    looks: Cell<u64>,
}

impl<'p, 'a> Plan<'p, 'a> {
    pub(super) fn new(
        timeline: &'p Timeline<'a>,
        keys: &'p Keys<'a>,
        gaps: &'p Gaps,
        facts: &'p Facts<'a>,
        candidates: &'p Candidates,
        demanded: BTreeMap<usize, Vec<u32>>,
    ) -> Plan<'p, 'a> {
        let mut plan = Plan {
            timeline,
            keys,
            gaps: &gaps.list,
            facts,
            candidates,
            demanded,
            needs: facts.needs.clone(),
            needs_by_key: BTreeMap::new(),
            filler: vec![NOBODY; gaps.list.len()],
            meets: vec![NOBODY; gaps.list.len()],
            taken: vec![false; timeline.unsure.len()],
            met: vec![0; facts.needs.len()],
            active: Vec::new(),
            banned: BTreeSet::new(),
            changed: 0,
            floor: 0,
            looks: Cell::new(LOOKS_EACH * (gaps.list.len() + timeline.unsure.len()) as u64),
        };
        for (n, need) in plan.needs.iter().enumerate() {
            plan.needs_by_key
                .entry(need.key)
                .or_default()
                .push(n as u32);
        }
        plan.meet_certain_demands();
        plan.meet_scarce_needs();
        plan.meet_needs();
        for n in 0..plan.needs.len() as u32 {
            while plan.is_open(n) && plan.meet(n, &mut Vec::new()) {}
        }
        plan.fill_rest();
        plan
    }

    /// Whom to try first at a gap, if anybody.
    pub(super) fn filler(&self, gap: usize) -> Option<u32> {
        Some(self.filler[gap]).filter(|u| *u != NOBODY)
    }

    /// The operations among which an answer leaves the choice for a gap, if it
    /// shows what was written there.
    pub(super) fn demanded(&self, gap: usize) -> Option<&[u32]> {
        self.demanded.get(&gap).map(|list| &list[..])
    }

    /// Plans anew after an operation turned out not to fit where it was planned.
    /// Gives the first gap that is affected.
    pub(super) fn ban(&mut self, gap: usize, u: u32) -> usize {
        self.changed = gap;
        if self.banned.insert((gap as u32, u)) && self.filler[gap] == u {
            self.release(gap);
            self.mend();
        }
        self.changed
    }

    /// Takes over what the search decided otherwise. The gaps up to this one stay
    /// as they are, for the search has filled them.
    pub(super) fn adopt(&mut self, gap: usize, u: u32) {
        if self.filler[gap] == u {
            return;
        }
        self.release(gap);
        if let Some(other) = self.filler.iter().position(|f| *f == u) {
            self.release(other);
        }
        self.take(gap, u, NOBODY);
        self.changed = gap + 1;
        self.floor = gap + 1;
        self.mend();
        self.floor = 0;
    }

    /// Whether an operation did what the plan counts on.
    pub(super) fn is_as_expected(&self, gap: usize, u: u32, written: &[u32]) -> bool {
        let revision = self.gaps[gap].revision;
        let mut puts = self.effects(u, revision).all().filter(|(_, put)| *put);
        puts.all(|(key, _)| written.contains(&key))
    }

    /// Plans anew after a need was found out that no answer shows by itself.
    /// Gives the first gap that is affected, if anything helped.
    pub(super) fn require(&mut self, need: Need) -> Option<usize> {
        self.changed = usize::MAX;
        if self.candidates.who(need.key, need.put).is_empty() {
            return None;
        }
        if let Some(known) = self.needs.iter().position(|n| *n == need) {
            let known = known as u32;
            if !self.is_open(known) || !self.meet(known, &mut Vec::new()) {
                return None;
            }
            self.mend();
            return Some(self.changed);
        }
        let n = self.needs.len() as u32;
        for at in self.window(&need) {
            if self.active[at].len() < MOST_NEEDS {
                self.active[at].push(n);
            }
        }
        self.needs_by_key.entry(need.key).or_default().push(n);
        self.needs.push(need);
        self.met.push(0);
        if !self.meet(n, &mut Vec::new()) {
            return None;
        }
        self.mend();
        Some(self.changed).filter(|gap| *gap != usize::MAX)
    }

    /// Gives what was displaced another place.
    fn mend(&mut self) {
        let window = self.changed.min(self.gaps.len());
        let to = (window + MOST_NEEDS).min(self.gaps.len());
        let mut open: Vec<u32> = self.active[window..to].iter().flatten().copied().collect();
        open.sort_unstable();
        open.dedup();
        for n in open {
            while self.is_open(n) && self.meet(n, &mut Vec::new()) {}
        }
        for at in window..to {
            if self.filler[at] == NOBODY && !self.demanded.contains_key(&at) {
                self.feed(at, &mut Vec::new());
            }
        }
    }

    fn is_open(&self, n: u32) -> bool {
        self.met[n as usize] < self.needs[n as usize].count
    }

    /// The first need for a put of a key (or for its deletion) in whose window a
    /// revision lies; an open one rather than one that is met.
    fn need_of(&self, key: u32, put: bool, revision: i64) -> Option<u32> {
        let needs = self.needs_by_key.get(&key)?;
        let fits = |n: &u32| {
            let need = &self.needs[*n as usize];
            need.put == put && need.after < revision && revision <= need.until
        };
        let mut fitting = needs.iter().copied().filter(|n| fits(n));
        let first = fitting.next()?;
        Some(if self.is_open(first) {
            first
        } else {
            fitting.find(|n| self.is_open(*n)).unwrap_or(first)
        })
    }

    /// Where an answer leaves only one operation, that takes the gap.
    fn meet_certain_demands(&mut self) {
        let certain = self
            .demanded
            .iter()
            .filter_map(|(gap, list)| match list[..] {
                [only] => Some((*gap, only)),
                _ => None,
            });
        for (gap, only) in certain.collect::<Vec<_>>() {
            self.take(gap, only, NOBODY);
        }
    }

    /// Needs that few can meet, all of them with effects on other keys, choose
    /// before those that many can meet.
    fn meet_scarce_needs(&mut self) {
        for n in 0..self.needs.len() as u32 {
            let need = self.needs[n as usize];
            let list = self.candidates.who(need.key, need.put);
            let single = |u: &u32| self.candidates.effects[*u as usize].is_single();
            let left = list.iter().filter(|u| !self.taken[**u as usize]);
            if left.clone().count() > SCARCE || left.clone().any(single) {
                continue;
            }
            let window = self.window(&need);
            'list: for u in left.copied().collect::<Vec<_>>() {
                for at in window.clone() {
                    if !self.is_open(n) {
                        break 'list;
                    }
                    let free = self.filler[at] == NOBODY && !self.demanded.contains_key(&at);
                    if free && self.suits(u, at, Some(n)) {
                        self.take(at, u, n);
                        break;
                    }
                }
            }
        }
    }

    /// The gaps at which a need can be met.
    fn window(&self, need: &Need) -> Range<usize> {
        let from = self.gaps.partition_point(|g| g.revision <= need.after);
        from.max(self.floor)..self.gaps.partition_point(|g| g.revision <= need.until)
    }

    fn meet_needs(&mut self) {
        let mut waiting = (0..self.needs.len()).peekable();
        let mut active: BTreeSet<(i64, u32)> = BTreeSet::new();
        for at in 0..self.gaps.len() {
            let revision = self.gaps[at].revision;
            while let Some(n) = waiting.next_if(|n| self.needs[*n].after < revision) {
                active.insert((self.needs[n].until, n as u32));
            }
            active = active.split_off(&(revision, 0));
            let list: Vec<u32> = active.iter().map(|(_, n)| *n).take(MOST_NEEDS).collect();
            if self.filler[at] == NOBODY {
                let found = match self.demanded.get(&at) {
                    Some(choice) => {
                        let free = |u: &&u32| !self.taken[**u as usize];
                        let best = choice.iter().find(|u| free(u) && self.suits(**u, at, None));
                        best.or(choice.iter().find(free)).map(|u| (NOBODY, *u))
                    }
                    None => {
                        let mut open = list.iter().filter(|n| self.is_open(**n));
                        open.find_map(|n| Some((*n, self.supplier(at, *n)?)))
                    }
                };
                if let Some((n, u)) = found {
                    self.take(at, u, n);
                }
            }
            self.active.push(list);
        }
    }

    fn fill_rest(&mut self) {
        for at in 0..self.gaps.len() {
            if self.filler[at] == NOBODY && !self.demanded.contains_key(&at) {
                self.feed(at, &mut Vec::new());
            }
        }
    }

    /// Meets a need at some gap, if need be by meeting another need elsewhere.
    fn meet(&mut self, n: u32, path: &mut Vec<usize>) -> bool {
        let window = self.window(&self.needs[n as usize]);
        for at in window.clone().rev().take(MOST_NEEDS) {
            let free = self.meets[at] == NOBODY && !self.demanded.contains_key(&at);
            if free
                && !path.contains(&at)
                && let Some(u) = self.supplier(at, n)
            {
                self.release(at);
                self.take(at, u, n);
                return true;
            }
        }
        if path.len() >= LONGEST_PATH {
            return false;
        }
        for at in window.rev().take(MOST_NEEDS) {
            let other = self.meets[at];
            if other == NOBODY || other == n || path.contains(&at) {
                continue;
            }
            let before = self.filler[at];
            self.release(at);
            if let Some(u) = self.supplier(at, n) {
                self.take(at, u, n);
                path.push(at);
                if self.meet(other, path) {
                    return true;
                }
                self.release(at);
            }
            self.take(at, before, other);
        }
        false
    }

    /// Finds somebody for a gap, if need be by giving another gap somebody else.
    fn feed(&mut self, at: usize, path: &mut Vec<usize>) -> bool {
        if let Some(u) = self.unnoticed(at) {
            self.take(at, u, NOBODY);
            return true;
        }
        if path.len() >= LONGEST_PATH {
            return false;
        }
        path.push(at);
        for n in self.active[at].clone() {
            // Whoever meets it now, at another gap of its window, may do so here.
            for other in self.window(&self.needs[n as usize]).take(MOST_NEEDS) {
                let u = self.filler[other];
                if self.meets[other] != n || path.contains(&other) {
                    continue;
                }
                self.release(other);
                if self.suits(u, at, Some(n)) {
                    self.take(at, u, n);
                    if self.feed(other, path) {
                        return true;
                    }
                    self.release(at);
                }
                self.take(other, u, n);
            }
        }
        false
    }

    /// Gives a gap to an operation, which meets every need that it can.
    fn take(&mut self, gap: usize, u: u32, need: u32) {
        self.changed = self.changed.min(gap);
        self.filler[gap] = u;
        self.meets[gap] = need;
        self.taken[u as usize] = true;
        self.count(gap, u, 1);
    }

    /// Takes a gap away from whoever has it.
    fn release(&mut self, gap: usize) {
        let u = std::mem::replace(&mut self.filler[gap], NOBODY);
        self.meets[gap] = NOBODY;
        if u != NOBODY {
            self.changed = self.changed.min(gap);
            self.taken[u as usize] = false;
            self.count(gap, u, -1);
        }
    }

    fn count(&mut self, gap: usize, u: u32, by: i64) {
        let revision = self.gaps[gap].revision;
        for (key, put) in self.effects(u, revision).all() {
            if let Some(needs) = self.needs_by_key.get(&key) {
                for n in needs {
                    let need = &self.needs[*n as usize];
                    if need.put == put && need.after < revision && revision <= need.until {
                        self.met[*n as usize] += by;
                    }
                }
            }
        }
    }

    /// Who may meet a need at a gap: the one that was sent first, and one whose
    /// effect is certain if there is any.
    fn supplier(&self, at: usize, n: u32) -> Option<u32> {
        let Need { put, key, .. } = self.needs[n as usize];
        if !self.facts.fits(key, self.gaps[at].revision, put) {
            return None;
        }
        let list = self.candidates.who(key, put);
        let suits = |u: &u32, single: bool| {
            !self.taken[*u as usize]
                && self.candidates.effects[*u as usize].is_single() == single
                && self.suits(*u, at, Some(n))
        };
        [true, false].into_iter().find_map(|single| {
            let mut in_time = list.iter().take_while(|u| self.in_time(**u, at));
            in_time.find(|u| suits(u, single)).copied()
        })
    }

    fn in_time(&self, u: u32, gap: usize) -> bool {
        self.timeline.unsure[u as usize].invoke <= self.gaps[gap].deadline
    }

    /// Somebody whom nobody would notice at a gap, sent as late as possible.
    fn unnoticed(&self, at: usize) -> Option<u32> {
        let Gap { deadline, .. } = self.gaps[at];
        let in_time = self
            .timeline
            .unsure
            .partition_point(|u| u.invoke <= deadline) as u32;
        let suits = |u: &u32| !self.taken[*u as usize] && self.suits(*u, at, None);
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
    fn effects(&self, u: u32, revision: i64) -> &'p Effects {
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
    fn suits(&self, u: u32, at: usize, need: Option<u32>) -> bool {
        if !self.in_time(u, at) || self.banned.contains(&(at as u32, u)) {
            return false;
        }
        let revision = self.gaps[at].revision;
        let need = need.map(|n| self.needs[n as usize]);
        let mut meets = need.is_none();
        let mut effective = false;
        for (key, put) in self.effects(u, revision).all() {
            let there = put || self.facts.is_likely_there(key, revision - 1);
            if need.is_some_and(|n| n.key == key && n.put == put) {
                if !self.facts.fits(key, revision, put) {
                    return false;
                }
                meets = true;
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
