//! The near-linear path: replay the history in the order that its revisions
//! force, and search only for who took the revisions that no answer claims.
//!
//! Why this is complete: in any linearization of the history the store's
//! revision rises by exactly one with each effective write, and every answer
//! carries the revision at its point. So known operations stand in the order of
//! their revisions; at one revision the write comes first, and the reads commute.
//! Every revision that no answer claims was taken by an operation of unknown
//! outcome that was sent before the first return of anything at or above that
//! revision. What remains open is which one, and nothing else. Operations of
//! unknown outcome beyond the last known revision, or without effect, prove and
//! refute nothing.
//!
//! Why jumping back is complete: when an answer is wrong, or a candidate does not
//! fit, the reason lies in the state of some keys since they were last pinned by
//! another answer. A choice that did not write these keys since, and for which no
//! other candidate could, has no part in it.

use super::facts::{Facts, Need, Unclaimed};
use super::keys::Keys;
use super::mvcc::{Fault, Mvcc, Seen, visit_puts};
use super::timeline::{Known, Timeline, Unsure};
use super::violation::Violation;
use squall_record::{Call, Op, Outcome};
use std::collections::BTreeMap;
use std::ops::Range;

/// What the path found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    /// This order explains the history: operations of unknown outcome that
    /// were applied, by revision.
    Legal(Vec<(i64, u32)>),
    /// No order does.
    Illegal(Violation),
    /// The budget was spent.
    Spent,
}

/// Decides a timeline whose order was checked, within `steps`, which is
/// reduced by what it took.
pub(crate) fn decide(timeline: &Timeline<'_>, keys: &Keys<'_>, steps: &mut u64) -> Decision {
    let gaps = match Gaps::new(timeline) {
        Ok(gaps) => gaps,
        Err(violation) => return Decision::Illegal(violation),
    };
    if gaps.list.is_empty() {
        return replay(timeline, keys);
    }
    let candidates = Candidates::new(timeline, keys);
    let unclaimed = Unclaimed {
        gaps: gaps.list.iter().map(|g| (g.revision, g.deadline)).collect(),
        deleters: candidates.deleters.clone(),
    };
    let facts = Facts::new(timeline, keys, unclaimed);
    if let Some((op, kv)) = facts.phantom {
        let kv = Box::new(kv.clone());
        return Decision::Illegal(Violation::Phantom { op, kv });
    }
    match Search::new(timeline, keys, &gaps, &facts, &candidates) {
        Ok(search) => search.run(steps),
        Err(violation) => Decision::Illegal(violation),
    }
}

/// Decides a timeline without unclaimed revisions.
fn replay(timeline: &Timeline<'_>, keys: &Keys<'_>) -> Decision {
    let mut state = Mvcc::new(keys);
    for k in &timeline.known {
        if let Err(fault) = judge(&mut state, timeline.ops, k) {
            return Decision::Illegal(violation(k.op, fault, 0));
        }
    }
    Decision::Legal(Vec::new())
}

/// Answers an operation in the state that its revision implies, and compares.
pub(crate) fn judge<'a>(state: &mut Mvcc<'_, 'a>, ops: &'a [Op], k: &Known) -> Result<(), Fault> {
    let op = &ops[k.op as usize];
    let Outcome::Ok(got) = &op.outcome else {
        unreachable!("only operations with an answer are judged");
    };
    state.judge(&op.call, got)
}

fn violation(op: u32, fault: Fault, tried: u64) -> Violation {
    match fault {
        Fault::Wrong(difference) => Violation::Wrong {
            op,
            difference,
            tried,
        },
        Fault::Refused(refusal) => Violation::NotRefused { op, refusal, tried },
    }
}

/// A revision that no answer claims.
#[derive(Debug, Clone, Copy)]
struct Gap {
    revision: i64,
    /// Whoever took it was sent no later.
    deadline: u64,
}

/// All of them, in order.
struct Gaps {
    list: Vec<Gap>,
}

impl Gaps {
    /// Fails if fewer operations of unknown outcome were sent in time than
    /// there are revisions to account for.
    fn new(timeline: &Timeline<'_>) -> Result<Gaps, Violation> {
        let known = &timeline.known;
        let mut deadlines = vec![u64::MAX; known.len() + 1];
        for (i, k) in known.iter().enumerate().rev() {
            deadlines[i] = deadlines[i + 1].min(k.ret);
        }
        let mut list: Vec<Gap> = Vec::new();
        let mut taken = super::model::FIRST_REVISION;
        for (i, k) in known.iter().enumerate() {
            let below = k.revision - i64::from(k.wrote);
            let free = (below - taken).max(0) as u64;
            let in_time = |u: &Unsure| u.invoke <= deadlines[i];
            if free > 0 {
                let candidates = timeline.unsure.partition_point(in_time) as u64;
                let needed = list.len() as u64 + free;
                if candidates < needed {
                    return Err(Violation::Skipped {
                        revision: taken + 1 + (candidates.saturating_sub(list.len() as u64)) as i64,
                        shown_by: k.op,
                        candidates,
                        needed,
                    });
                }
                list.extend((taken + 1..=below).map(|revision| Gap {
                    revision,
                    deadline: deadlines[i],
                }));
            }
            taken = taken.max(k.revision);
        }
        Ok(Gaps { list })
    }
}

/// Operations of unknown outcome, and the keys that they may write.
struct Candidates {
    /// By operation: the keys that it may write.
    writes: Vec<Vec<Range<u32>>>,
    /// By operation: the keys that it may put.
    puts: Vec<Vec<u32>>,
    /// By operation: the keys that it may delete.
    deletes: Vec<Vec<Range<u32>>>,
    /// By operation: its class, if there are more of it. Operations of one class
    /// have the same effect.
    class: Vec<Option<u32>>,
    /// By key: operations that may put it, by invocation.
    putters: BTreeMap<u32, Vec<u32>>,
    /// By key: operations that may delete it alone or with few others, likewise.
    removers: BTreeMap<u32, Vec<u32>>,
    /// By key: the first invocation of an operation that may write it.
    first: Vec<u64>,
    /// By key: the first invocation of an operation that may delete it.
    deleters: Vec<u64>,
}

/// A gap is offered to so many needs at most.
const MOST_NEEDS: usize = 64;
/// Intervals of more keys are treated as touching all of them.
const WIDE: usize = 64;

impl Candidates {
    fn new(timeline: &Timeline<'_>, keys: &Keys<'_>) -> Candidates {
        let mut all = Candidates {
            writes: Vec::with_capacity(timeline.unsure.len()),
            puts: Vec::with_capacity(timeline.unsure.len()),
            deletes: Vec::with_capacity(timeline.unsure.len()),
            class: Vec::new(),
            putters: BTreeMap::new(),
            removers: BTreeMap::new(),
            first: vec![u64::MAX; keys.len()],
            deleters: vec![u64::MAX; keys.len()],
        };
        let mut everywhere = u64::MAX;
        for (i, u) in timeline.unsure.iter().enumerate() {
            let call = &timeline.ops[u.op as usize].call;
            let mut writes = Vec::new();
            let mut puts = Vec::new();
            let mut deletes = Vec::new();
            visit_puts(call, &mut |put| {
                let key = keys.find(&put.key).expect("every put's key is numbered");
                writes.push(key..key + 1);
                puts.push(key);
                let putters = all.putters.entry(key).or_default();
                if putters.last() != Some(&(i as u32)) {
                    putters.push(i as u32);
                }
            });
            visit_deletes(call, &mut |start, end| {
                deletes.push(keys.interval(start, end));
            });
            for range in &deletes {
                if range.len() <= WIDE {
                    for key in range.clone() {
                        let first = &mut all.deleters[key as usize];
                        *first = (*first).min(u.invoke);
                        let removers = all.removers.entry(key).or_default();
                        if removers.last() != Some(&(i as u32)) {
                            removers.push(i as u32);
                        }
                    }
                }
                writes.push(range.clone());
            }
            for range in &writes {
                if range.len() > WIDE {
                    everywhere = everywhere.min(u.invoke);
                } else {
                    for key in range.clone() {
                        let first = &mut all.first[key as usize];
                        *first = (*first).min(u.invoke);
                    }
                }
            }
            all.writes.push(writes);
            all.puts.push(puts);
            all.deletes.push(deletes);
        }
        for first in all.first.iter_mut().chain(&mut all.deleters) {
            *first = (*first).min(everywhere);
        }
        all.find_classes(timeline);
        all
    }

    /// Equal puts and equal deletes are one class each; transactions differ in
    /// so many ways that each is its own.
    fn find_classes(&mut self, timeline: &Timeline<'_>) {
        let mut puts = BTreeMap::new();
        let mut deletes = BTreeMap::new();
        self.class = vec![None; timeline.unsure.len()];
        for (i, u) in timeline.unsure.iter().enumerate() {
            let first = match &timeline.ops[u.op as usize].call {
                Call::Put(p) => {
                    let flags = (p.ignore_value, p.ignore_lease);
                    *puts.entry((&p.key, &p.value, p.lease, flags)).or_insert(i)
                }
                Call::DeleteRange(d) => *deletes.entry((&d.key, &d.range_end)).or_insert(i),
                Call::Txn(_) | Call::Range(_) | Call::HashKv(_) | Call::Status(_) => i,
            };
            if first != i {
                self.class[first] = Some(first as u32);
                self.class[i] = Some(first as u32);
            }
        }
    }

    /// Whether an operation may change the state of a key for the better.
    fn may_help(&self, candidate: u32, guilty: &Guilty) -> bool {
        let writes = if guilty.excess {
            &self.deletes
        } else {
            &self.writes
        };
        writes[candidate as usize]
            .iter()
            .any(|r| r.contains(&guilty.key))
    }

    fn may_write(&self, candidate: u32, key: u32) -> bool {
        self.writes[candidate as usize]
            .iter()
            .any(|r| r.contains(&key))
    }
}

fn visit_deletes<'a>(call: &'a Call, f: &mut impl FnMut(&'a [u8], &'a [u8])) {
    use squall_api::pb::{TxnRequest, request_op::Request};
    fn txn<'a>(r: &'a TxnRequest, f: &mut impl FnMut(&'a [u8], &'a [u8])) {
        for op in r.success.iter().chain(&r.failure) {
            match &op.request {
                Some(Request::RequestDeleteRange(d)) => f(&d.key, &d.range_end),
                Some(Request::RequestTxn(nested)) => txn(nested, f),
                Some(Request::RequestRange(_) | Request::RequestPut(_)) | None => {}
            }
        }
    }
    match call {
        Call::DeleteRange(d) => f(&d.key, &d.range_end),
        Call::Txn(r) => txn(r, f),
        Call::Range(_) | Call::Put(_) | Call::HashKv(_) | Call::Status(_) => {}
    }
}

/// A key whose state is to blame.
#[derive(Debug, Clone, Copy)]
struct Guilty {
    key: u32,
    /// Up to here an answer pins its state; only what came later matters.
    pin: i64,
    /// Whether it is there and should not be: then another put does not help.
    excess: bool,
}

/// Why something does not work: the state of keys, and choices that hold what
/// would be needed.
#[derive(Debug, Clone, Default)]
struct Blame {
    keys: Vec<Guilty>,
    choices: Vec<usize>,
    /// Too much to tell: every choice may be to blame.
    all: bool,
}

impl Blame {
    fn key(&mut self, guilty: Guilty) {
        if let Some(known) = self.keys.iter_mut().find(|g| g.key == guilty.key) {
            known.pin = known.pin.min(guilty.pin);
            known.excess &= guilty.excess;
        } else if self.keys.len() < WIDE {
            self.keys.push(guilty);
        } else {
            self.all = true;
        }
    }

    fn choice(&mut self, choice: usize) {
        if !self.choices.contains(&choice) {
            if self.choices.len() < WIDE {
                self.choices.push(choice);
            } else {
                self.all = true;
            }
        }
    }

    fn add(&mut self, other: &Blame) {
        self.all |= other.all;
        for guilty in &other.keys {
            self.key(*guilty);
        }
        for choice in &other.choices {
            self.choice(*choice);
        }
    }
}

/// A choice of who took an unclaimed revision.
#[derive(Debug)]
struct Choice {
    gap: usize,
    /// The next operation to judge after it.
    next: usize,
    mark: (i64, usize),
    /// Who was chosen: a place in `timeline.unsure`.
    chosen: u32,
    /// Who else comes into question, lazily.
    left: Left,
    /// Why it does not help to try any others than are left.
    blame: Blame,
    /// Why each candidate that was tried did not work.
    failed: Vec<(u32, Blame)>,
    tried: Vec<u32>,
}

impl Choice {
    /// Why nothing works here.
    fn all_blame(mut self) -> Blame {
        for (_, blame) in &self.failed {
            self.blame.add(blame);
        }
        self.blame
    }
}

/// The candidates of a choice that were not tried yet.
#[derive(Debug, Clone)]
enum Left {
    /// An answer shows what was written: only these can have.
    Some { list: Vec<u32>, next: usize },
    /// Any one that was sent in time: those that meet a need first, from the end
    /// of the list, then those that meet none anywhere and need nobody to clean up
    /// after them, then the rest, each time the latest first.
    Any {
        preferred: Vec<u32>,
        phase: u8,
        below: u32,
    },
}

struct Search<'t, 'a> {
    timeline: &'t Timeline<'a>,
    keys: &'t Keys<'a>,
    gaps: &'t Gaps,
    facts: &'t Facts<'a>,
    candidates: &'t Candidates,
    state: Mvcc<'t, 'a>,
    /// Who holds a candidate: the position of the choice.
    used: Vec<Option<u32>>,
    /// The only gap that a candidate can fill, if an answer leaves no other.
    reserved: Vec<Option<u32>>,
    /// Candidates by demanded gap.
    demanded: BTreeMap<usize, Vec<u32>>,
    /// By gap: which needs it may meet.
    needs: Vec<Vec<u32>>,
    /// By candidate: whether it may meet any.
    wanted: Vec<bool>,
    choices: Vec<Choice>,
    /// The first violation at the operation that the search came furthest to.
    deepest: Option<(usize, Violation)>,
    /// The violation of the moment.
    latest: Option<Violation>,
}

impl<'t, 'a> Search<'t, 'a> {
    fn new(
        timeline: &'t Timeline<'a>,
        keys: &'t Keys<'a>,
        gaps: &'t Gaps,
        facts: &'t Facts<'a>,
        candidates: &'t Candidates,
    ) -> Result<Search<'t, 'a>, Violation> {
        let n = timeline.unsure.len();
        let mut search = Search {
            timeline,
            keys,
            gaps,
            facts,
            candidates,
            state: Mvcc::new(keys),
            used: vec![None; n],
            reserved: vec![None; n],
            demanded: BTreeMap::new(),
            needs: vec![Vec::new(); gaps.list.len()],
            wanted: vec![false; n],
            choices: Vec::new(),
            deepest: None,
            latest: None,
        };
        search.meet_demands()?;
        search.list_needs();
        Ok(search)
    }

    /// Finds who can have written what answers show.
    fn meet_demands(&mut self) -> Result<(), Violation> {
        for (revision, demands) in &self.facts.demands {
            let gap = self
                .gaps
                .list
                .binary_search_by_key(revision, |g| g.revision);
            let mut list: Vec<u32> = Vec::new();
            if let Ok(gap) = gap {
                let none = Vec::new();
                let putters = self
                    .candidates
                    .putters
                    .get(&demands[0].key)
                    .unwrap_or(&none);
                let deadline = self.gaps.list[gap].deadline;
                list.extend(putters.iter().copied().filter(|u| {
                    let u = &self.timeline.unsure[*u as usize];
                    let call = &self.timeline.ops[u.op as usize].call;
                    u.invoke <= deadline && demands.iter().all(|d| self.may_meet(call, d))
                }));
            }
            // Better not spent elsewhere.
            for u in &list {
                self.wanted[*u as usize] = true;
            }
            match (&list[..], gap) {
                ([], _) | (_, Err(_)) => {
                    return Err(Violation::Phantom {
                        op: demands[0].op,
                        kv: Box::new(demands[0].kv.clone()),
                    });
                }
                ([only], Ok(gap)) => {
                    if self.reserved[*only as usize].replace(gap as u32).is_some() {
                        return Err(Violation::Phantom {
                            op: demands[0].op,
                            kv: Box::new(demands[0].kv.clone()),
                        });
                    }
                    self.demanded.insert(gap, list);
                }
                (_, Ok(gap)) => {
                    self.demanded.insert(gap, list);
                }
            }
        }
        Ok(())
    }

    fn may_meet(&self, call: &Call, demand: &super::facts::Demand<'_>) -> bool {
        let mut may = false;
        visit_puts(call, &mut |put| {
            may |= self.keys.find(&put.key) == Some(demand.key)
                && demand
                    .value
                    .is_none_or(|v| put.ignore_value || put.value == v);
        });
        may
    }

    /// Lists which needs each gap may meet, those that end first first, and
    /// which candidates may meet any.
    fn list_needs(&mut self) {
        let mut waiting = (0..self.facts.needs.len()).peekable();
        let mut active: BTreeMap<(i64, u32), ()> = BTreeMap::new();
        for (i, gap) in self.gaps.list.iter().enumerate() {
            while let Some(n) = waiting.next_if(|n| self.facts.needs[*n].after < gap.revision) {
                let need = &self.facts.needs[n];
                active.insert((need.until, n as u32), ());
                for u in self.who_meets(need) {
                    self.wanted[*u as usize] = true;
                }
            }
            active = active.split_off(&(gap.revision, 0));
            if !self.demanded.contains_key(&i) {
                let first = active.keys().map(|(_, n)| *n).take(MOST_NEEDS);
                self.needs[i] = first.collect();
            }
        }
    }

    fn who_meets(&self, need: &Need) -> &'t [u32] {
        let by_key = if need.put {
            &self.candidates.putters
        } else {
            &self.candidates.removers
        };
        by_key.get(&need.key).map_or(&[], |list| &list[..])
    }

    /// Who should rather fill a gap, because a key needs a write. Only a
    /// preference: it decides nothing.
    fn preferred(&self, gap: usize) -> Vec<u32> {
        let Gap { revision, deadline } = self.gaps.list[gap];
        let mut list = Vec::new();
        for n in &self.needs[gap] {
            let need = &self.facts.needs[*n as usize];
            let (version, created) = self.state.life(need.key);
            if !self.facts.is_open(need, revision, version, created)
                || !self.facts.fits(need.key, revision, need.put)
            {
                continue;
            }
            for u in self.who_meets(need) {
                let in_time = self.timeline.unsure[*u as usize].invoke <= deadline;
                let free = self.used[*u as usize].is_none() && self.reserved[*u as usize].is_none();
                if in_time && free && !list.contains(u) {
                    list.push(*u);
                }
            }
        }
        list
    }

    fn run(mut self, steps: &mut u64) -> Decision {
        let mut next = 0;
        let mut gap = 0;
        // Judging an operation for the first time is no search.
        let mut furthest = 0;
        loop {
            let Some(k) = self.timeline.known.get(next) else {
                return Decision::Legal(self.filled());
            };
            if next < furthest {
                if *steps == 0 {
                    return Decision::Spent;
                }
                *steps -= 1;
            }
            furthest = furthest.max(next + 1);
            let stuck = if self.state.revision() < k.revision - i64::from(k.wrote) {
                self.choices.push(self.open(gap, next));
                match self.fill(steps) {
                    true => {
                        gap += 1;
                        continue;
                    }
                    false => {
                        let failed = self.choices.pop().expect("it was just opened");
                        let skipped = Violation::Skipped {
                            revision: self.gaps.list[gap].revision,
                            shown_by: k.op,
                            candidates: self.in_time(gap) as u64,
                            needed: gap as u64 + 1,
                        };
                        self.remember(next, skipped);
                        failed.all_blame()
                    }
                }
            } else {
                match judge(&mut self.state, self.timeline.ops, k) {
                    Ok(()) => {
                        next += 1;
                        continue;
                    }
                    Err(fault) => {
                        let blame = self.blame(k, next, &fault);
                        let tried = self.choices.len() as u64;
                        self.remember(next, violation(k.op, fault, tried));
                        blame
                    }
                }
            };
            match self.jump_back(stuck, steps) {
                Some(resumed) => (gap, next) = resumed,
                None if *steps == 0 => return Decision::Spent,
                None => {
                    let (_, violation) = self.deepest.expect("what is stuck was remembered");
                    return Decision::Illegal(self.latest.unwrap_or(violation));
                }
            }
        }
    }

    fn filled(&self) -> Vec<(i64, u32)> {
        let op = |c: &Choice| self.timeline.unsure[c.chosen as usize].op;
        self.choices
            .iter()
            .map(|c| (self.gaps.list[c.gap].revision, op(c)))
            .collect()
    }

    fn remember(&mut self, next: usize, violation: Violation) {
        if self.deepest.as_ref().is_none_or(|(at, _)| *at < next) {
            self.deepest = Some((next, violation.clone()));
        }
        self.latest = Some(violation);
    }

    fn in_time(&self, gap: usize) -> usize {
        let deadline = self.gaps.list[gap].deadline;
        self.timeline
            .unsure
            .partition_point(|u| u.invoke <= deadline)
    }

    fn open(&self, gap: usize, next: usize) -> Choice {
        let left = match self.demanded.get(&gap) {
            Some(list) => Left::Some {
                list: list.clone(),
                next: 0,
            },
            None => {
                let mut preferred = self.preferred(gap);
                preferred.reverse();
                Left::Any {
                    preferred,
                    phase: 0,
                    below: 0,
                }
            }
        };
        Choice {
            gap,
            next,
            mark: self.state.mark(),
            chosen: u32::MAX,
            left,
            blame: Blame::default(),
            failed: Vec::new(),
            tried: Vec::new(),
        }
    }

    /// Goes back to the latest choice that has a part in what is stuck and can
    /// be made differently. Gives the next gap and operation, or `None` if there
    /// is no such choice, or the budget is spent.
    fn jump_back(&mut self, mut stuck: Blame, steps: &mut u64) -> Option<(usize, usize)> {
        while let Some(mut choice) = self.choices.pop() {
            let concerned = self.concerns(&choice, &stuck);
            self.used[choice.chosen as usize] = None;
            self.state.rewind(choice.mark);
            if !concerned {
                continue;
            }
            let (gap, next) = (choice.gap, choice.next);
            let here = self.choices.len();
            let by_choice = stuck.all || stuck.choices.contains(&here);
            stuck.choices.retain(|c| *c < here);
            if !by_choice && !self.writes_any(choice.chosen, &stuck) {
                self.narrow(&mut choice, &stuck);
                choice.blame.add(&stuck);
            } else {
                // What it did to these keys may depend on others.
                let op = self.timeline.unsure[choice.chosen as usize].op;
                let call = &self.timeline.ops[op as usize].call;
                if !matches!(call, Call::Put(_)) {
                    let before = self.gaps.list[choice.gap].revision - 1;
                    self.blame_call(&mut stuck, call, before, choice.next);
                }
                let chosen = choice.chosen;
                choice.failed.push((chosen, std::mem::take(&mut stuck)));
            }
            self.choices.push(choice);
            // What is stuck may be so only because of this choice.
            self.latest = None;
            if self.fill(steps) {
                return Some((gap + 1, next));
            }
            if *steps == 0 {
                return None;
            }
            stuck = self.choices.pop().expect("it was just pushed").all_blame();
        }
        None
    }

    fn writes_any(&self, candidate: u32, stuck: &Blame) -> bool {
        let keys = &mut stuck.keys.iter();
        keys.any(|g| self.candidates.may_write(candidate, g.key))
    }

    /// What is stuck was not written by this choice: it would be stuck with any
    /// other one that does not write it either. Leaves only those that may.
    fn narrow(&self, choice: &mut Choice, stuck: &Blame) {
        let writes = |u: &u32| stuck.keys.iter().any(|g| self.candidates.may_help(*u, g));
        let list: Vec<u32> = match &choice.left {
            Left::Some { list, next } => list[*next..].iter().copied().filter(writes).collect(),
            Left::Any { .. } => {
                let mut rest = choice.left.clone();
                std::iter::from_fn(|| self.next_of(&mut rest, choice.gap))
                    .filter(writes)
                    .collect()
            }
        };
        choice.left = Left::Some { list, next: 0 };
        // Nor does it matter why those did not work that do not write it.
        choice.failed.retain(|(u, _)| writes(u));
    }

    /// Whether another choice here might help. The choice was just popped, and
    /// its effect is still in the state.
    fn concerns(&self, choice: &Choice, stuck: &Blame) -> bool {
        if stuck.all || stuck.choices.contains(&self.choices.len()) {
            return true;
        }
        let gap = self.gaps.list[choice.gap];
        stuck.keys.iter().any(|guilty| {
            gap.revision > guilty.pin
                && (self.candidates.may_write(choice.chosen, guilty.key)
                    || match self.demanded.get(&choice.gap) {
                        // Also those that were tried and found not to fit: it may
                        // be an earlier choice's fault that they did not.
                        Some(list) => list.iter().any(|u| self.candidates.may_help(*u, guilty)),
                        None => self.may_help(gap, guilty),
                    })
        })
    }

    /// Whether anybody may help a key at a gap.
    fn may_help(&self, gap: Gap, guilty: &Guilty) -> bool {
        let key = guilty.key as usize;
        let deletes = self.candidates.deleters[key] <= gap.deadline
            && self.facts.fits(guilty.key, gap.revision, false);
        deletes
            || !guilty.excess
                && self.candidates.first[key] <= gap.deadline
                && self.facts.fits(guilty.key, gap.revision, true)
    }

    /// Why an answer is wrong.
    fn blame(&self, k: &Known, position: usize, fault: &Fault) -> Blame {
        let call = &self.timeline.ops[k.op as usize].call;
        let before = k.revision - i64::from(k.wrote);
        let mut blame = Blame::default();
        if let Fault::Wrong(difference) = fault {
            // It is there and should not be, or should not have been when it was
            // created anew.
            let absent = match (&difference.expected_kv, &difference.got_kv) {
                (Some(_), None) => true,
                (Some(e), Some(g)) => e.create_revision < g.create_revision,
                (None, _) => false,
            };
            let key = difference.key.as_ref().and_then(|key| self.keys.find(key));
            match (call, key) {
                // In a plain range, and in what a write says of the past, each key
                // stands for itself.
                (Call::Range(r), Some(key))
                    if r.limit == 0
                        && r.sort_order == 0
                        && r.sort_target == 0
                        && r.revision == 0 =>
                {
                    blame.key(self.guilty(key, before, position, absent));
                    return blame;
                }
                (Call::Put(_), Some(key)) => {
                    blame.key(self.guilty(key, before, position, absent));
                    return blame;
                }
                (Call::DeleteRange(d), _) if difference.field == "deleted" => {
                    let number = |text: &str| text.parse::<i64>().unwrap_or_default();
                    let excess = number(&difference.expected) > number(&difference.got);
                    let keys = self.keys.interval(&d.key, &d.range_end);
                    if keys.len() <= WIDE {
                        for key in keys {
                            blame.key(self.guilty(key, before, position, excess));
                        }
                        return blame;
                    }
                }
                _ => {}
            }
        }
        self.blame_call(&mut blame, call, before, position);
        blame
    }

    fn guilty(&self, key: u32, before: i64, position: usize, excess: bool) -> Guilty {
        Guilty {
            key,
            pin: self.facts.pin(key, before, position),
            excess,
        }
    }

    fn blame_call(&self, blame: &mut Blame, call: &Call, before: i64, position: usize) {
        let mut seen = Seen::default();
        seen.call(call);
        let reads_the_past = seen.reads_the_past();
        let keys = seen.keys(self.keys);
        if keys.len() > WIDE || reads_the_past {
            blame.all = true;
            return;
        }
        for key in keys {
            blame.key(self.guilty(key, before, position, false));
        }
    }

    /// Fills the gap of the last choice with the next candidate that fits.
    fn fill(&mut self, steps: &mut u64) -> bool {
        let mut choice = self.choices.pop().expect("a choice is open");
        let filled = loop {
            let Some(u) = self.next_of(&mut choice.left, choice.gap) else {
                break false;
            };
            if *steps == 0 {
                break false;
            }
            *steps -= 1;
            if self.try_one(u, &mut choice) {
                break true;
            }
        };
        self.choices.push(choice);
        filled
    }

    /// The next candidate for a gap, if there is one.
    fn next_of(&self, left: &mut Left, gap: usize) -> Option<u32> {
        match left {
            Left::Some { list, next } => {
                let u = *list.get(*next)?;
                *next += 1;
                Some(u)
            }
            Left::Any {
                preferred,
                phase,
                below,
            } => loop {
                if *phase == 0 {
                    if let Some(u) = preferred.pop() {
                        return Some(u);
                    }
                    *phase = 1;
                    *below = self.in_time(gap) as u32;
                }
                if *below == 0 {
                    if *phase == 2 {
                        return None;
                    }
                    *phase = 2;
                    *below = self.in_time(gap) as u32;
                    continue;
                }
                *below -= 1;
                let u = *below;
                let last = self.wanted[u as usize] || self.is_risky(u, gap);
                if last == (*phase == 2) {
                    return Some(u);
                }
            },
        }
    }

    /// Whether a candidate would need another one to undo what it does.
    fn is_risky(&self, u: u32, gap: usize) -> bool {
        let revision = self.gaps.list[gap].revision;
        let put = |key: &u32| self.facts.is_risky_to_put(*key, revision);
        let delete = |key: u32| self.facts.is_risky_to_delete(key, revision);
        let u = u as usize;
        self.candidates.puts[u].iter().any(put)
            || self.candidates.deletes[u]
                .iter()
                .any(|r| r.clone().take(WIDE).any(delete))
    }

    /// Whether a candidate can fill the gap; if so, it does.
    fn try_one(&mut self, u: u32, choice: &mut Choice) -> bool {
        if self.reserved[u as usize].is_some_and(|gap| gap as usize != choice.gap) {
            return false;
        }
        let revision = self.gaps.list[choice.gap].revision;
        let call: &'a Call = &self.timeline.ops[self.timeline.unsure[u as usize].op as usize].call;
        // What can be seen without looking at the state is nobody's fault.
        if let (Call::Put(_), [key]) = (call, &self.candidates.puts[u as usize][..])
            && !self.facts.fits(*key, revision, true)
        {
            return false;
        }
        if let Some(holder) = self.used[u as usize] {
            let mut blame = Blame::default();
            blame.choice(holder as usize);
            choice.failed.push((u, blame));
            return false;
        }
        let class = self.candidates.class[u as usize];
        if class.is_some_and(|class| choice.tried.contains(&class)) {
            return false;
        }
        choice.tried.extend(class);
        let applied = self.state.apply(call);
        if applied != Ok(true) {
            self.state.rewind(choice.mark);
            let mut blame = Blame::default();
            self.blame_call(&mut blame, call, revision - 1, choice.next);
            choice.failed.push((u, blame));
            return false;
        }
        let wrong = self.state.since(choice.mark).find_map(|(key, version)| {
            let put = version.version > 0;
            if !self.facts.fits(key, revision, put) {
                // Not because of the state, but it may be why the key is written.
                return Some(key);
            }
            (!self.facts.grows(key, &version)).then_some(key)
        });
        let unmet = self.facts.demands.get(&revision).is_some_and(|demands| {
            demands.iter().any(|d| {
                !self.state.since(choice.mark).any(|(key, v)| {
                    key == d.key && v.version > 0 && d.value.is_none_or(|value| value == v.value)
                })
            })
        });
        if wrong.is_some() || unmet {
            self.state.rewind(choice.mark);
            let mut blame = Blame::default();
            self.blame_call(&mut blame, call, revision - 1, choice.next);
            choice.failed.push((u, blame));
            return false;
        }
        choice.chosen = u;
        self.used[u as usize] = Some(self.choices.len() as u32);
        true
    }
}
