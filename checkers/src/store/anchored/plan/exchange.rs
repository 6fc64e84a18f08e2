//! Chains of exchanges: somebody gets a place, whoever had it gets another one,
//! and so on, until nobody is missed. It is how a matching is made larger.

use super::{NOBODY, Plan};

/// Chains of these lengths are tried in turn, the short ones first, for they
/// change what is near.
const LENGTHS: [u32; 3] = [1, 5, 40];
/// Places that are looked at for one exchange.
const MOST_PLACES: usize = 400;
/// Exchanges that are tried for one need or gap, at most.
const MOST_TRIED: u32 = 2_000;

/// What an exchange has tried.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// By gap: the last trial in which whoever takes it was to go elsewhere.
    seen: Vec<u32>,
    number: u32,
    tried: u32,
}

impl Plan<'_, '_> {
    /// Meets a need as often as it must be, if that is possible.
    pub(super) fn settle(&mut self, n: u32) {
        while self.is_open(n) {
            let met = self.met[n as usize];
            let found = self.in_turn(|plan, length| plan.meet(n, length));
            // One that gains nothing would be found for ever.
            debug_assert!(!found || self.met[n as usize] > met);
            if !found || self.met[n as usize] <= met {
                break;
            }
        }
    }

    /// Finds somebody for an empty gap, if there is anybody.
    pub(super) fn supply(&mut self, gap: usize) {
        if self.filler[gap] == NOBODY && self.may_change(gap) {
            self.in_turn(|plan, length| plan.feed(gap, length));
        }
    }

    fn in_turn(&mut self, attempt: impl Fn(&mut Self, u32) -> bool) -> bool {
        self.trial.seen.resize(self.gaps.len(), 0);
        LENGTHS.into_iter().any(|length| {
            self.trial.number += 1;
            self.trial.tried = 0;
            attempt(self, length)
        })
    }

    fn may_change(&self, gap: usize) -> bool {
        gap >= self.floor && self.demanded.get(&gap).is_none_or(|list| list.len() > 1)
    }

    fn was_seen(&self, gap: usize) -> bool {
        self.trial.seen[gap] == self.trial.number
    }

    /// Whether a gap is looked at for the first time in this trial.
    fn is_fresh(&mut self, gap: usize) -> bool {
        let number = self.trial.number;
        self.trial.tried += 1;
        self.trial.tried <= MOST_TRIED
            && std::mem::replace(&mut self.trial.seen[gap], number) != number
    }

    fn undo(&mut self, mark: usize) {
        while self.journal.len() > mark {
            if let Some((gap, before)) = self.journal.pop() {
                self.set(gap as usize, before);
            }
        }
    }

    /// Meets a need once more, by a chain of no more exchanges than `length`.
    fn meet(&mut self, n: u32, length: u32) -> bool {
        let window = self.window(&self.needs[n as usize]);
        let places: Vec<usize> = window.rev().take(MOST_PLACES).collect();
        let mut displacing = Vec::new();
        for at in places {
            if !self.may_change(at) {
                continue;
            }
            let mark = self.journal.len();
            let opened = self.release(at);
            if let Some(u) = self.supplier(at, n) {
                self.take(at, u);
                if opened.iter().all(|m| !self.is_open(*m)) {
                    return true;
                }
                displacing.push((at, opened));
            } else if length > 0 && !self.was_seen(at) && self.holder(at, n).is_some() {
                displacing.push((at, opened));
            }
            self.undo(mark);
        }
        if length == 0 {
            return false;
        }
        for (at, opened) in displacing {
            if !self.is_fresh(at) {
                continue;
            }
            let mark = self.journal.len();
            self.release(at);
            let mut emptied = None;
            let mut opened = opened;
            if let Some(u) = self.supplier(at, n) {
                self.take(at, u);
            } else if let Some(u) = self.holder(at, n) {
                let (other, also) = self.move_to(at, u);
                emptied = Some(other);
                opened.extend(also);
            }
            if self.filler[at] != NOBODY
                && self.meet_all(opened, length - 1)
                && emptied.is_none_or(|gap| self.is_fed(gap, length - 1))
            {
                return true;
            }
            self.undo(mark);
        }
        false
    }

    fn meet_all(&mut self, needs: Vec<u32>, length: u32) -> bool {
        for n in needs {
            if self.is_open(n) && !self.meet(n, length) {
                return false;
            }
        }
        true
    }

    fn is_fed(&mut self, gap: usize, length: u32) -> bool {
        self.filler[gap] != NOBODY || self.feed(gap, length)
    }

    /// Gives a gap to an operation that takes another one; gives that one, and
    /// the needs that are open without that.
    fn move_to(&mut self, gap: usize, u: u32) -> (usize, Vec<u32>) {
        let other = self.place[u as usize] as usize;
        let opened = self.release(other);
        self.take(gap, u);
        (other, opened)
    }

    /// Who could meet a need at a gap, but takes another one that may change.
    fn holder(&self, at: usize, n: u32) -> Option<u32> {
        let need = self.needs[n as usize];
        let list = self.candidates.who(need.key, need.put);
        let mut in_time = list.iter().take_while(|u| self.in_time(**u, at));
        in_time
            .find(|u| {
                let place = self.place[**u as usize];
                place != NOBODY
                    && self.may_change(place as usize)
                    && !self.was_seen(place as usize)
                    && self.suits(**u, at, Some(n))
            })
            .copied()
    }

    /// Finds somebody for an empty gap, by a chain of no more exchanges than
    /// `length`.
    fn feed(&mut self, at: usize, length: u32) -> bool {
        if let Some(u) = self.unnoticed(at) {
            self.take(at, u);
            return true;
        }
        if length == 0 || !self.is_fresh(at) {
            return false;
        }
        let active = self.active[at].clone();
        for n in active {
            // Somebody may meet it here instead of at another gap of its window.
            let window = self.window(&self.needs[n as usize]);
            for other in window.take(MOST_PLACES) {
                let u = self.filler[other];
                if u == NOBODY
                    || !self.may_change(other)
                    || self.was_seen(other)
                    || !self.met_by(other, u).contains(&n)
                {
                    continue;
                }
                let mark = self.journal.len();
                let opened = self.release(other);
                let here = match self.suits(u, at, Some(n)) {
                    true => Some(u),
                    false => self.supplier(at, n),
                };
                if let Some(u) = here {
                    self.take(at, u);
                    if self.meet_all(opened, length - 1) && self.is_fed(other, length - 1) {
                        return true;
                    }
                }
                self.undo(mark);
            }
        }
        false
    }
}
