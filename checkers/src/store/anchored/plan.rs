//! A first guess at who took which unclaimed revision.
//!
//! It decides nothing: the search tries it first, judges every answer all the
//! same, and goes on to the other candidates where the guess was wrong. But
//! without it the search would learn of a write that it forgot only when the key
//! is shown again, perhaps long after.
//!
//! What keys need is handed out first, to the earliest gap whose other needs can
//! wait; a need that ends first is met first, which meets all of them if that is
//! possible. The gaps that are left get an operation that nobody would notice.
//! Where that leaves a need open or a gap empty, whoever is in the way gets another
//! place, and whoever is in the way there, too ([`exchange`]).
//!
//! Needs and bans are only ever added, and a need that was met stays met: so
//! mending the plan never leads in a circle.

mod exchange;
mod offers;

use super::candidates::Candidates;
use super::gaps::{Gap, Gaps};
use crate::store::facts::{Facts, Need};
use crate::store::keys::Keys;
use crate::store::timeline::Timeline;
use exchange::Trial;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Stands for no operation, and for no need.
pub(super) const NOBODY: u32 = u32::MAX;
/// A gap is offered to so many needs at most.
const MOST_NEEDS: usize = 64;
/// A need is scarce if no more operations than this can meet it.
const SCARCE: usize = 4;
/// So many operations are looked at for each gap, on average.
const LOOKS_EACH: u64 = 200;
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
    /// By candidate: the gap that it takes.
    place: Vec<u32>,
    /// By need: how many of its writes are planned.
    met: Vec<i64>,
    /// By gap: needs that it might meet, those that end first first.
    active: Vec<Vec<u32>>,
    /// Who was tried where, and failed.
    banned: BTreeSet<(u32, u32)>,
    /// Gaps that were planned anew, each with who took it before.
    journal: Vec<(u32, u32)>,
    /// Gaps before this one keep who takes them.
    floor: usize,
    /// How many operations may still be looked at for gaps that need nobody in
    /// particular. It keeps planning linear where few are left.
    looks: Cell<u64>,
    /// The exchange that is being tried.
    trial: Trial,
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
            place: vec![NOBODY; timeline.unsure.len()],
            met: vec![0; facts.needs.len()],
            active: Vec::new(),
            banned: BTreeSet::new(),
            journal: Vec::new(),
            floor: 0,
            looks: Cell::new(LOOKS_EACH * (gaps.list.len() + timeline.unsure.len()) as u64),
            trial: Trial::default(),
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
        plan.fill_rest();
        for n in 0..plan.needs.len() as u32 {
            plan.settle(n);
        }
        plan.fill_rest();
        plan.journal.clear();
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
        self.journal.clear();
        if self.banned.insert((gap as u32, u)) && self.filler[gap] == u {
            let opened = self.release(gap);
            for n in opened {
                self.settle(n);
            }
            self.supply(gap);
        }
        self.first_changed().unwrap_or(gap).min(gap)
    }

    /// Takes over what the search decided otherwise. The gaps up to this one stay
    /// as they are, for the search has filled them.
    pub(super) fn adopt(&mut self, gap: usize, u: u32) {
        if self.filler[gap] == u {
            return;
        }
        let mut opened = self.release(gap);
        let other = self.place[u as usize];
        if other != NOBODY {
            opened.extend(self.release(other as usize));
        }
        self.take(gap, u);
        self.floor = gap + 1;
        for n in opened {
            self.settle(n);
        }
        if other != NOBODY {
            self.supply(other as usize);
        }
        self.floor = 0;
        self.journal.clear();
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
        self.journal.clear();
        if self.candidates.who(need.key, need.put).is_empty() {
            return None;
        }
        let n = match self.needs.iter().position(|n| *n == need) {
            Some(known) => known as u32,
            None => self.add(need),
        };
        if !self.is_open(n) {
            return None;
        }
        self.settle(n);
        self.first_changed()
    }

    fn add(&mut self, need: Need) -> u32 {
        let n = self.needs.len() as u32;
        let mut met = 0;
        for at in self.window(&need) {
            if self.active[at].len() < MOST_NEEDS {
                self.active[at].push(n);
            }
            let u = self.filler[at];
            if u != NOBODY {
                let revision = self.gaps[at].revision;
                let mut effects = self.effects(u, revision).all();
                let does = effects.any(|e| e == (need.key, need.put));
                let shown = need.put && self.facts.is_demanded(need.key, revision);
                met += i64::from(does && !shown);
            }
        }
        self.needs_by_key.entry(need.key).or_default().push(n);
        self.needs.push(need);
        self.met.push(met);
        n
    }

    /// The first gap that is taken by somebody else than before.
    fn first_changed(&self) -> Option<usize> {
        let mut before = BTreeMap::new();
        for (gap, filler) in &self.journal {
            before.entry(*gap).or_insert(*filler);
        }
        let changed = |(gap, filler): (&u32, &u32)| self.filler[*gap as usize] != *filler;
        before
            .iter()
            .find(|(gap, filler)| changed((gap, filler)))
            .map(|(gap, _)| *gap as usize)
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
            self.take(gap, only);
        }
    }

    /// Needs that few can meet, all of them with effects on other keys, choose
    /// before those that many can meet.
    fn meet_scarce_needs(&mut self) {
        for n in 0..self.needs.len() as u32 {
            let need = self.needs[n as usize];
            let list = self.candidates.who(need.key, need.put);
            let single = |u: &u32| self.candidates.effects[*u as usize].is_single();
            let left = list.iter().filter(|u| self.is_free(**u));
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
                        self.take(at, u);
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
                        let free = |u: &u32| self.is_free(*u);
                        self.unnoticed(at).or(choice.iter().copied().find(free))
                    }
                    None => {
                        let mut open = list.iter().filter(|n| self.is_open(**n));
                        open.find_map(|n| self.supplier(at, *n))
                    }
                };
                if let Some(u) = found {
                    self.take(at, u);
                }
            }
            self.active.push(list);
        }
    }

    fn fill_rest(&mut self) {
        for at in 0..self.gaps.len() {
            self.supply(at);
        }
    }

    fn is_free(&self, u: u32) -> bool {
        self.place[u as usize] == NOBODY
    }

    /// Gives a gap to an operation, which meets every need that it can.
    fn take(&mut self, gap: usize, u: u32) {
        self.journal.push((gap as u32, self.filler[gap]));
        self.set(gap, u);
    }

    /// Takes a gap away from whoever has it; gives the needs that are open
    /// without that.
    fn release(&mut self, gap: usize) -> Vec<u32> {
        let u = self.filler[gap];
        if u == NOBODY {
            return Vec::new();
        }
        let met = self.met_by(gap, u);
        self.take(gap, NOBODY);
        met.into_iter().filter(|n| self.is_open(*n)).collect()
    }

    fn set(&mut self, gap: usize, u: u32) {
        let before = std::mem::replace(&mut self.filler[gap], u);
        if before != NOBODY {
            self.place[before as usize] = NOBODY;
            self.count(gap, before, -1);
        }
        if u != NOBODY {
            self.place[u as usize] = gap as u32;
            self.count(gap, u, 1);
        }
    }

    /// The needs that an operation meets at a gap.
    fn met_by(&self, gap: usize, u: u32) -> Vec<u32> {
        let revision = self.gaps[gap].revision;
        let mut met = Vec::new();
        for (key, put) in self.effects(u, revision).all() {
            // A put that an answer shows was counted before there was a need.
            if put && self.facts.is_demanded(key, revision) {
                continue;
            }
            for n in self.needs_by_key.get(&key).into_iter().flatten() {
                let need = &self.needs[*n as usize];
                if need.put == put && need.after < revision && revision <= need.until {
                    met.push(*n);
                }
            }
        }
        met
    }

    fn count(&mut self, gap: usize, u: u32, by: i64) {
        for n in self.met_by(gap, u) {
            self.met[n as usize] += by;
        }
    }
}
