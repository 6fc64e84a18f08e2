//! The complete search over the store's specification, which takes nothing
//! about revisions for granted but what the specification says.

use super::agree::agree;
use super::model::State;
use super::timeline::{Timeline, may_write};
use super::violation::Violation;
use crate::search::{self, Event, Found, Model, Task};
use squall_record::{Op, Outcome};
use std::collections::BTreeMap;

/// Decides by search, within the given steps and bytes.
pub(crate) fn decide(timeline: &Timeline<'_>, steps: &mut u64, bytes: u64) -> Found {
    let mut task = Task::default();
    let mut ops = Vec::new();
    let mut latest = Vec::new();
    for k in &timeline.known {
        task.require(k.invoke, k.ret, !k.wrote);
        ops.push(k.op);
        latest.push(k.revision - i64::from(k.wrote));
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
        latest,
        due: Vec::new(),
        states: vec![State::default()],
        numbers: BTreeMap::from([(State::default().fingerprint(), vec![0])]),
        next: BTreeMap::new(),
        bytes: 0,
    };
    search::run(&mut model, &task, steps, bytes).map(|i| model.ops[i as usize])
}

struct Specification<'a> {
    history: &'a [Op],
    /// The task's operations as indices into the history.
    ops: Vec<u32>,
    /// By required operation: the last revision in which it can be called and be
    /// answered as it was.
    latest: Vec<i64>,
    /// By event: the least of these among operations that are sent from then on.
    due: Vec<i64>,
    /// Every state that was reached, each once.
    states: Vec<State>,
    /// Their numbers by fingerprint.
    numbers: BTreeMap<u64, Vec<u32>>,
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

    fn prepare(&mut self, events: &[Event]) {
        self.due = vec![i64::MAX; events.len() + 1];
        for (i, event) in events.iter().enumerate().rev() {
            self.due[i] = match event {
                Event::Invoke(op) => self.due[i + 1].min(self.latest[*op as usize]),
                Event::Return(_) => self.due[i + 1],
            };
        }
    }

    /// The specification's revision never falls, so an answer from below it can
    /// no longer be given.
    fn viable(&mut self, state: u32, event: u32, open: &mut dyn Iterator<Item = u32>) -> bool {
        let revision = self.states[state as usize].revision();
        let mut due = self.due[event as usize];
        for op in open {
            due = due.min(self.latest[op as usize]);
        }
        revision <= due
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
        let alike = self.numbers.entry(state.fingerprint()).or_default();
        let known = alike.iter().find(|i| self.states[**i as usize] == state);
        Some(known.copied().unwrap_or_else(|| {
            let fresh = self.states.len() as u32;
            alike.push(fresh);
            self.bytes += state.bytes() as u64;
            self.states.push(state);
            fresh
        }))
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
