//! The search over who took the unclaimed revisions.

use super::blame::{Blame, Guilty, Lacks, Reasons};
use super::candidates::Candidates;
use super::demands::meet_demands;
use super::gaps::{Gap, Gaps};
use super::plan::Plan;
use super::{Decision, judge, violation};
use crate::store::facts::{Facts, Need};
use crate::store::keys::Keys;
use crate::store::mvcc::Mvcc;
use crate::store::timeline::Timeline;
use crate::store::violation::Violation;
use squall_record::Call;

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
    /// Any one that was sent in time: the planned one first, then all, the latest
    /// first.
    Any { preferred: Option<u32>, below: u32 },
}

/// The plan is mended so often at most, and once more for each gap; then every
/// choice is tried.
const MOST_MENDS: u32 = 2_000;

/// The plan is mended so often without coming further; then every choice is
/// tried, until that leads further: needs that displace each other in turn would
/// otherwise take all mends.
const MOST_IDLE: u32 = 24;

pub(super) struct Search<'t, 'a> {
    timeline: &'t Timeline<'a>,
    reasons: Reasons<'t, 'a>,
    gaps: &'t Gaps,
    facts: &'t Facts<'a>,
    candidates: &'t Candidates,
    state: Mvcc<'t, 'a>,
    /// Who holds a candidate: the position of the choice.
    used: Vec<Option<u32>>,
    /// The only gap that a candidate can fill, if an answer leaves no other.
    reserved: Vec<Option<u32>>,
    /// Whom to try first.
    plan: Plan<'t, 'a>,
    /// How often the plan may still be mended.
    mends: u32,
    /// How often it was since the search last came further than before.
    idle: u32,
    /// The first gap that was filled otherwise since the plan was last told.
    parted: usize,
    choices: Vec<Choice>,
    /// The first violation at the operation that the search came furthest to.
    deepest: Option<(usize, Violation)>,
    /// The violation of the moment.
    latest: Option<Violation>,
}

impl<'t, 'a> Search<'t, 'a> {
    pub(super) fn new(
        timeline: &'t Timeline<'a>,
        keys: &'t Keys<'a>,
        gaps: &'t Gaps,
        facts: &'t Facts<'a>,
        candidates: &'t Candidates,
    ) -> Result<Search<'t, 'a>, Violation> {
        let n = timeline.unsure.len();
        let mut reserved = vec![None; n];
        let demanded = meet_demands(timeline, keys, gaps, facts, candidates, &mut reserved)?;
        Ok(Search {
            timeline,
            reasons: Reasons {
                timeline,
                keys,
                facts,
            },
            gaps,
            facts,
            candidates,
            state: Mvcc::new(keys),
            used: vec![None; n],
            reserved,
            plan: Plan::new(timeline, keys, gaps, facts, candidates, demanded),
            mends: MOST_MENDS + gaps.list.len() as u32,
            idle: 0,
            parted: usize::MAX,
            choices: Vec::new(),
            deepest: None,
            latest: None,
        })
    }

    pub(super) fn run(mut self, steps: &mut u64) -> Decision {
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
            if furthest < next + 1 {
                furthest = next + 1;
                self.idle = 0;
            }
            let stuck = if self.state.revision() < k.revision - i64::from(k.wrote) {
                if let Some(resumed) = self.follow(gap, next) {
                    (gap, next) = resumed;
                    continue;
                }
                self.choices.push(self.open(gap, next));
                if self.fill(steps) {
                    self.parted = self.parted.min(gap);
                    gap += 1;
                    continue;
                }
                let failed = self.choices.pop().expect("it was just opened");
                let skipped = Violation::Skipped {
                    revision: self.gaps.list[gap].revision,
                    shown_by: k.op,
                    candidates: self.in_time(gap) as u64,
                    needed: gap as u64 + 1,
                };
                self.remember(next, skipped);
                failed.all_blame()
            } else {
                match judge(&mut self.state, self.timeline.ops, k) {
                    Ok(()) => {
                        next += 1;
                        continue;
                    }
                    Err(fault) => {
                        let blame = self.reasons.of_answer(k, next, &fault);
                        let tried = self.choices.len() as u64;
                        self.remember(next, violation(k.op, fault, tried));
                        blame
                    }
                }
            };
            if let Some(resumed) = self.mend(&stuck, k.revision - i64::from(k.wrote)) {
                (gap, next) = resumed;
                continue;
            }
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

    /// Fills a gap as planned. Where that does not work, the plan is mended, as
    /// long as it may be. Gives the next gap and operation, or `None` if there is
    /// no plan for the gap.
    fn follow(&mut self, gap: usize, next: usize) -> Option<(usize, usize)> {
        while self.may_plan() {
            self.adopt();
            let u = self.plan.filler(gap)?;
            let mut choice = self.open(gap, next);
            let mark = choice.mark;
            let fits = self.try_one(u, &mut choice);
            let written: Vec<u32> = self.state.since(mark).map(|(key, _)| key).collect();
            if fits && self.plan.is_as_expected(gap, u, &written) {
                // Offered again later, it is only found to have been tried.
                self.choices.push(choice);
                return Some((gap + 1, next));
            }
            if fits {
                self.used[u as usize] = None;
                self.state.rewind(mark);
            }
            if self.plan.demanded(gap).is_some() {
                return None;
            }
            self.mends -= 1;
            let first = self.plan.ban(gap, u);
            if first < gap {
                return Some(self.rewind(first));
            }
        }
        None
    }

    /// Mends the plan after something got stuck at a revision: some key needs a
    /// write that nobody planned. Gives the next gap and operation.
    fn mend(&mut self, stuck: &Blame, until: i64) -> Option<(usize, usize)> {
        if stuck.all || !self.may_plan() {
            return None;
        }
        self.adopt();
        self.idle += 1;
        for guilty in &stuck.keys {
            let need = Need {
                put: match guilty.lacks {
                    Lacks::Put => true,
                    Lacks::Delete => false,
                    Lacks::Something => !self.state.is_there(guilty.key),
                },
                key: guilty.key,
                after: guilty.pin,
                until,
                count: 1,
            };
            self.mends = self.mends.saturating_sub(1);
            if let Some(first) = self.plan.require(need)
                && first < self.choices.len()
            {
                return Some(self.rewind(first));
            }
        }
        None
    }

    /// Lets the plan follow what the search chose otherwise: whoever was to take a
    /// gap, and to meet a need by that, is free for another one. It is done when the
    /// plan is asked again, not at every step of a search that tries everything.
    fn adopt(&mut self) {
        for gap in self.parted..self.choices.len() {
            self.plan.adopt(gap, self.choices[gap].chosen);
        }
        self.parted = usize::MAX;
    }

    fn may_plan(&self) -> bool {
        self.mends > 0 && self.idle < MOST_IDLE
    }

    /// Goes back to before a gap was filled.
    fn rewind(&mut self, gap: usize) -> (usize, usize) {
        let next = self.choices[gap].next;
        for choice in self.choices.drain(gap..).rev() {
            self.used[choice.chosen as usize] = None;
            self.state.rewind(choice.mark);
        }
        self.latest = None;
        (gap, next)
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
        let left = match self.plan.demanded(gap) {
            Some(list) => Left::Some {
                list: list.to_vec(),
                next: 0,
            },
            None => Left::Any {
                preferred: self.plan.filler(gap),
                below: self.in_time(gap) as u32,
            },
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
                    self.reasons.of_call(&mut stuck, call, before, choice.next);
                }
                let chosen = choice.chosen;
                choice.failed.push((chosen, std::mem::take(&mut stuck)));
            }
            self.choices.push(choice);
            // What is stuck may be so only because of this choice.
            self.latest = None;
            if self.fill(steps) {
                self.parted = self.parted.min(gap);
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
                std::iter::from_fn(|| next_of(&mut rest))
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
                    || match self.plan.demanded(choice.gap) {
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
            || guilty.lacks != Lacks::Delete
                && self.candidates.first[key] <= gap.deadline
                && self.facts.fits(guilty.key, gap.revision, true)
    }

    /// Fills the gap of the last choice with the next candidate that fits.
    fn fill(&mut self, steps: &mut u64) -> bool {
        let mut choice = self.choices.pop().expect("a choice is open");
        let filled = loop {
            let Some(u) = next_of(&mut choice.left) else {
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

    /// Whether a candidate can fill the gap; if so, it does.
    fn try_one(&mut self, u: u32, choice: &mut Choice) -> bool {
        if self.reserved[u as usize].is_some_and(|gap| gap as usize != choice.gap) {
            return false;
        }
        let revision = self.gaps.list[choice.gap].revision;
        let call: &'a Call = &self.timeline.ops[self.timeline.unsure[u as usize].op as usize].call;
        // What can be seen without looking at the state is nobody's fault.
        if let Call::Put(_) = call
            && let [written] = &self.candidates.writes[u as usize][..]
            && !self.facts.fits(written.start, revision, true)
        {
            return false;
        }
        // The planned one comes twice.
        if choice.failed.iter().any(|(failed, _)| *failed == u) {
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
        let applied = self.state.apply(self.timeline.unsure[u as usize].op, call);
        if applied != Ok(true) {
            self.state.rewind(choice.mark);
            let mut blame = Blame::default();
            self.reasons
                .of_call(&mut blame, call, revision - 1, choice.next);
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
            self.reasons
                .of_call(&mut blame, call, revision - 1, choice.next);
            choice.failed.push((u, blame));
            return false;
        }
        choice.chosen = u;
        self.used[u as usize] = Some(self.choices.len() as u32);
        true
    }
}

/// The next candidate for a gap, if there is one.
fn next_of(left: &mut Left) -> Option<u32> {
    match left {
        Left::Some { list, next } => {
            let u = *list.get(*next)?;
            *next += 1;
            Some(u)
        }
        Left::Any { preferred, below } => preferred.take().or_else(|| {
            *below = below.checked_sub(1)?;
            Some(*below)
        }),
    }
}
