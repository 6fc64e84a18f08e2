//! A string that is put and appended to.

use super::{Action, Operation};
use crate::search::{Event, Model};
use std::collections::BTreeMap;

/// A string under operations on one key.
#[derive(Debug)]
pub(crate) struct Text<'a> {
    steps: Vec<Step<'a>>,
    /// Every string that was reached; the first is empty.
    states: Vec<String>,
    numbers: BTreeMap<String, u32>,
    bytes: u64,
    /// Whether dead ends are looked for.
    looks_ahead: bool,
    horizon: Horizon,
}

/// What an operation on a string does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step<'a> {
    Get(&'a str),
    Put(&'a str),
    Append(&'a str),
}

/// What is still to come, by events passed.
#[derive(Debug, Default)]
struct Horizon {
    /// Of the gets not yet sent, the one that is answered first, and when.
    get: Vec<Option<(u32, u32)>>,
    /// When the next put is sent.
    put: Vec<u32>,
    /// When each operation is answered.
    ret: Vec<u32>,
}

impl<'a> Text<'a> {
    /// A string under these operations, all on one key. To look ahead is right
    /// only if no put is optional.
    pub(crate) fn new(ops: impl Iterator<Item = &'a Operation>, looks_ahead: bool) -> Text<'a> {
        let steps = ops
            .map(|op| match &op.action {
                Action::Get { value, .. } => Step::Get(value),
                Action::Put { value, .. } => Step::Put(value),
                Action::Append { value, .. } => Step::Append(value),
                other => unreachable!("no string operation: {other:?}"),
            })
            .collect();
        Text {
            steps,
            states: vec![String::new()],
            numbers: BTreeMap::from([(String::new(), 0)]),
            bytes: 0,
            looks_ahead,
            horizon: Horizon::default(),
        }
    }

    /// Why an operation cannot be next, if it cannot.
    pub(crate) fn refusal(&self, state: u32, op: u32) -> Option<String> {
        let now = &self.states[state as usize];
        match self.steps[op as usize] {
            Step::Get(value) if value != now => {
                Some(format!("the string is {now:?}, not {value:?}"))
            }
            _ => None,
        }
    }

    /// What an operation does.
    pub(crate) fn effect(&self, op: u32) -> Step<'a> {
        self.steps[op as usize]
    }

    fn intern(&mut self, text: String) -> u32 {
        if let Some(number) = self.numbers.get(&text) {
            return *number;
        }
        let number = self.states.len() as u32;
        self.bytes += 2 * text.len() as u64 + 96;
        self.states.push(text.clone());
        self.numbers.insert(text, number);
        number
    }
}

impl Model for Text<'_> {
    fn step(&mut self, state: u32, op: u32) -> Option<u32> {
        match self.steps[op as usize] {
            Step::Get(value) => (self.states[state as usize] == value).then_some(state),
            Step::Put(value) => Some(self.intern(value.to_owned())),
            Step::Append("") => Some(state),
            Step::Append(value) => {
                let text = self.states[state as usize].clone() + value;
                Some(self.intern(text))
            }
        }
    }

    fn is_blind(&self, op: u32) -> bool {
        matches!(self.steps[op as usize], Step::Put(_))
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn text(&self, state: u32) -> String {
        format!("{:?}", self.states[state as usize])
    }

    fn prepare(&mut self, events: &[Event]) {
        let n = events.len();
        let mut ret = vec![u32::MAX; self.steps.len()];
        for (i, event) in events.iter().enumerate() {
            if let Event::Return(op) = event {
                ret[*op as usize] = i as u32;
            }
        }
        let mut get = vec![None; n + 1];
        let mut put = vec![u32::MAX; n + 1];
        for (i, event) in events.iter().enumerate().rev() {
            get[i] = get[i + 1];
            put[i] = put[i + 1];
            if let Event::Invoke(op) = event {
                match self.steps[*op as usize] {
                    Step::Get(_) => {
                        let answered = ret[*op as usize];
                        if get[i].is_none_or(|(_, first)| answered < first) {
                            get[i] = Some((*op, answered));
                        }
                    }
                    Step::Put(_) => put[i] = i as u32,
                    Step::Append(_) => {}
                }
            }
        }
        self.horizon = Horizon { get, put, ret };
    }

    /// Until the next put the string only grows: what is read before then must
    /// begin with what is there.
    fn viable(&mut self, state: u32, event: u32, open: &mut dyn Iterator<Item = u32>) -> bool {
        if !self.looks_ahead {
            return true;
        }
        let now = self.states[state as usize].as_str();
        let put = self.horizon.put[event as usize];
        let mut fits = true;
        if let Some((get, answered)) = self.horizon.get[event as usize]
            && answered < put
            && let Step::Get(value) = self.steps[get as usize]
        {
            fits = value.starts_with(now);
        }
        for op in open {
            match self.steps[op as usize] {
                Step::Put(_) => return true,
                Step::Get(value) if self.horizon.ret[op as usize] < put => {
                    fits &= value.starts_with(now);
                }
                Step::Get(_) | Step::Append(_) => {}
            }
        }
        fits
    }
}
