//! The near-linear path: replay the history in the order that its revisions
//! force, and search only for who took the revisions that no answer claims.

use super::agree::agree;
use super::model::{FIRST_REVISION, State};
use super::timeline::{Known, Timeline};
use super::violation::Violation;
use squall_record::{Op, Outcome};

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
pub(crate) fn decide(timeline: &Timeline<'_>, steps: &mut u64) -> Decision {
    if let Err(violation) = count(timeline) {
        return Decision::Illegal(violation);
    }
    Search::new(timeline).run(steps)
}

/// Whether there are enough operations of unknown outcome for the revisions
/// that nobody claims.
fn count(timeline: &Timeline<'_>) -> Result<(), Violation> {
    let known = &timeline.known;
    let mut deadlines = vec![u64::MAX; known.len() + 1];
    for (i, k) in known.iter().enumerate().rev() {
        deadlines[i] = deadlines[i + 1].min(k.ret);
    }
    let mut taken = FIRST_REVISION;
    let mut gaps = 0u64;
    for (i, k) in known.iter().enumerate() {
        let free = (k.revision - i64::from(k.wrote) - taken).max(0) as u64;
        taken = taken.max(k.revision);
        if free == 0 {
            continue;
        }
        gaps += free;
        let in_time = |u: &super::timeline::Unsure| u.invoke <= deadlines[i];
        let candidates = timeline.unsure.partition_point(in_time) as u64;
        if candidates < gaps {
            return Err(Violation::Skipped {
                revision: taken - i64::from(k.wrote) - (gaps - candidates) as i64 + 1,
                shown_by: k.op,
                candidates,
                needed: gaps,
            });
        }
    }
    Ok(())
}

struct Search<'t, 'a> {
    timeline: &'t Timeline<'a>,
    state: State,
    /// Whether an operation of unknown outcome was chosen, by its place in
    /// `timeline.unsure`.
    used: Vec<bool>,
    /// The choices so far.
    chosen: Vec<Choice>,
    deepest: Option<(usize, Violation)>,
}

#[derive(Debug, Clone, Copy)]
struct Choice {
    revision: i64,
    /// Place in `timeline.unsure`.
    unsure: usize,
    /// The next operation to judge after this revision.
    next: usize,
}

impl<'t, 'a> Search<'t, 'a> {
    fn new(timeline: &'t Timeline<'a>) -> Search<'t, 'a> {
        Search {
            timeline,
            state: State::default(),
            used: vec![false; timeline.unsure.len()],
            chosen: Vec::new(),
            deepest: None,
        }
    }

    fn run(mut self, steps: &mut u64) -> Decision {
        let known = &self.timeline.known;
        let mut deadlines = vec![u64::MAX; known.len() + 1];
        for (i, k) in known.iter().enumerate().rev() {
            deadlines[i] = deadlines[i + 1].min(k.ret);
        }
        let mut next = 0;
        // The first candidate to try at the coming gap.
        let mut from = 0;
        loop {
            let stuck = loop {
                let Some(k) = known.get(next) else {
                    let filled = self.chosen.iter();
                    let ops = &self.timeline.unsure;
                    return Decision::Legal(
                        filled.map(|c| (c.revision, ops[c.unsure].op)).collect(),
                    );
                };
                if *steps == 0 {
                    return Decision::Spent;
                }
                *steps -= 1;
                if self.state.revision() < k.revision - i64::from(k.wrote) {
                    match self.fill(from, next, deadlines[next]) {
                        true => from = 0,
                        false => break self.nobody(k, from),
                    }
                } else {
                    match self.judge(k) {
                        Ok(()) => next += 1,
                        Err(violation) => break Some(violation),
                    }
                }
            };
            if let Some(violation) = stuck
                && self.deepest.as_ref().is_none_or(|(at, _)| *at < next)
            {
                self.deepest = Some((next, violation));
            }
            let Some(last) = self.chosen.pop() else {
                let (_, violation) = self
                    .deepest
                    .expect("a search that is stuck was stuck somewhere first");
                return Decision::Illegal(violation);
            };
            self.used[last.unsure] = false;
            self.state.rewind(last.revision - 1);
            next = last.next;
            from = last.unsure + 1;
        }
    }

    /// Fills the next revision with the first candidate from `from` on.
    fn fill(&mut self, from: usize, next: usize, deadline: u64) -> bool {
        for unsure in from..self.timeline.unsure.len() {
            let candidate = self.timeline.unsure[unsure];
            if candidate.invoke > deadline {
                return false;
            }
            if self.used[unsure] {
                continue;
            }
            let before = self.state.revision();
            let call = &self.timeline.ops[candidate.op as usize].call;
            if self.state.answer(call).is_err() || self.state.revision() == before {
                continue;
            }
            self.used[unsure] = true;
            self.chosen.push(Choice {
                revision: before + 1,
                unsure,
                next,
            });
            return true;
        }
        false
    }

    /// That nothing fills the next revision; `None` if something did before.
    fn nobody(&self, shown_by: &Known, from: usize) -> Option<Violation> {
        let fits = |u: &&super::timeline::Unsure| u.invoke <= shown_by.ret;
        (from == 0).then(|| Violation::Skipped {
            revision: self.state.revision() + 1,
            shown_by: shown_by.op,
            candidates: self.timeline.unsure.iter().filter(fits).count() as u64,
            needed: self.chosen.len() as u64 + 1,
        })
    }

    fn judge(&mut self, k: &Known) -> Result<(), Violation> {
        let tried = self.chosen.len() as u64;
        judge(
            &mut self.state,
            &self.timeline.ops[k.op as usize],
            k.op,
            tried,
        )
    }
}

/// Answers `op` and compares. On failure the state may have changed.
pub(crate) fn judge(state: &mut State, op: &Op, index: u32, tried: u64) -> Result<(), Violation> {
    let Outcome::Ok(got) = &op.outcome else {
        unreachable!("only operations with an answer are judged");
    };
    match state.answer(&op.call) {
        Ok(expected) => agree(&op.call, &expected, got).map_err(|difference| Violation::Wrong {
            op: index,
            difference: Box::new(difference),
            tried,
        }),
        Err(refusal) => Err(Violation::NotRefused {
            op: index,
            refusal,
            tried,
        }),
    }
}
