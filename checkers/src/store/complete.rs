//! The complete search over the store's specification, which takes nothing
//! about revisions for granted but what the specification says.

use super::agree::agree;
use super::model::State;
use super::timeline::{Timeline, may_write};
use super::violation::Violation;
use crate::search::{self, Found, Model, Task};
use squall_record::{Op, Outcome};
use std::collections::BTreeMap;

/// Decides by search, within the given steps and bytes.
pub(crate) fn decide(timeline: &Timeline<'_>, steps: &mut u64, bytes: u64) -> Found {
    let mut task = Task::default();
    let mut ops = Vec::new();
    for k in &timeline.known {
        task.require(k.invoke, k.ret, !k.wrote);
        ops.push(k.op);
    }
    let mut classes: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for u in &timeline.unsure {
        // Equal calls of unknown outcome are one class.
        let call = &timeline.ops[u.op as usize].call;
        debug_assert!(may_write(call), "only writes are worth trying");
        let fresh = classes.len() as u32;
        let class = *classes
            .entry(format!("{call:?}").into_bytes())
            .or_insert(fresh);
        task.allow(u.invoke, class);
        ops.push(u.op);
    }
    let mut model = Specification {
        history: timeline.ops,
        ops,
        states: vec![State::default()],
        next: BTreeMap::new(),
        bytes: 0,
    };
    search::run(&mut model, &task, steps, bytes).map(|i| model.ops[i as usize])
}

struct Specification<'a> {
    history: &'a [Op],
    /// The task's operations as indices into the history.
    ops: Vec<u32>,
    /// Every state that was reached, each once.
    states: Vec<State>,
    /// What an operation makes of a state.
    next: BTreeMap<(u32, u32), Option<u32>>,
    /// What the states take.
    bytes: u64,
}

impl Model for Specification<'_> {
    fn step(&mut self, from: u32, op: u32) -> Option<u32> {
        if let Some(known) = self.next.get(&(from, op)) {
            return *known;
        }
        let to = self.compute(from, op);
        self.next.insert((from, op), to);
        to
    }

    fn bytes(&self) -> u64 {
        self.bytes + self.next.len() as u64 * 48
    }

    fn text(&self, state: u32) -> String {
        format!("revision {}", self.states[state as usize].revision())
    }
}

impl Specification<'_> {
    fn compute(&mut self, from: u32, op: u32) -> Option<u32> {
        let op = &self.history[self.ops[op as usize] as usize];
        let mut state = self.states[from as usize].clone();
        let before = state.revision();
        let expected = state.answer(&op.call).ok()?;
        match &op.outcome {
            Outcome::Ok(got) => agree(&op.call, &expected, got).ok()?,
            // Without an effect it may as well not have been applied.
            Outcome::Unknown(_) if state.revision() == before => return None,
            Outcome::Unknown(_) => {}
            Outcome::Refused(_) => unreachable!("refused operations are not searched"),
        }
        if state.revision() == before {
            return Some(from);
        }
        let known = self.states.iter().rposition(|s| *s == state);
        let to = known.unwrap_or_else(|| {
            self.bytes += state.bytes() as u64;
            self.states.push(state);
            self.states.len() - 1
        });
        Some(to as u32)
    }
}

/// The violation behind a search that found nothing: the operation that no
/// order could place, and why the order that came furthest refuses it.
pub(crate) fn violation(timeline: &Timeline<'_>, stuck: u32, order: &[u32]) -> Violation {
    let mut state = State::default();
    for op in order {
        // Every one of them was answered without complaint on the way.
        let _ = state.answer(&timeline.ops[*op as usize].call);
    }
    let op = &timeline.ops[stuck as usize];
    let tried = order.len() as u64;
    let refused = |refusal| Violation::NotRefused {
        op: stuck,
        refusal,
        tried,
    };
    match (state.answer(&op.call), &op.outcome) {
        (Ok(expected), Outcome::Ok(got)) => match agree(&op.call, &expected, got) {
            Err(difference) => Violation::Wrong {
                op: stuck,
                difference: Box::new(difference),
                tried,
            },
            Ok(()) => Violation::Unplaced { op: stuck },
        },
        (Err(refusal), _) => refused(refusal),
        (Ok(_), Outcome::Unknown(_) | Outcome::Refused(_)) => Violation::Unplaced { op: stuck },
    }
}
