//! A register with compare-and-set.

use super::names::Names;
use super::{Action, Operation};
use crate::search::Model;

/// What an operation on a register does; values are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Read(u32),
    Write(u32),
    Swap { from: u32, to: u32 },
    NoSwap { from: u32 },
}

/// A register; its states are the values that occur, 0 being nil.
#[derive(Debug)]
pub(crate) struct Register<'a> {
    steps: Vec<Step>,
    values: Vec<&'a str>,
}

impl<'a> Register<'a> {
    /// A register under these operations, all on one key.
    pub(crate) fn new(ops: impl Iterator<Item = &'a Operation>) -> Register<'a> {
        let mut names = Names::default();
        let mut number = |value: &'a Option<String>| match value {
            None => 0,
            Some(text) => 1 + names.number(text),
        };
        let steps = ops
            .map(|op| match &op.action {
                Action::Read { value, .. } => Step::Read(number(value)),
                Action::Write { value, .. } => Step::Write(number(value)),
                Action::Cas {
                    from,
                    to,
                    swapped: true,
                    ..
                } => Step::Swap {
                    from: number(from),
                    to: number(to),
                },
                Action::Cas {
                    from,
                    swapped: false,
                    ..
                } => Step::NoSwap { from: number(from) },
                other => unreachable!("no register operation: {other:?}"),
            })
            .collect();
        let values = names.into_names();
        Register { steps, values }
    }

    /// Why an operation cannot be next, if it cannot.
    pub(crate) fn refusal(&self, state: u32, op: u32) -> Option<String> {
        let now = self.text(state);
        match self.steps[op as usize] {
            Step::Read(value) | Step::Swap { from: value, .. } if value != state => Some(format!(
                "the register holds {now}, not {}",
                self.text(value)
            )),
            Step::NoSwap { from } if from == state => Some(format!(
                "the register holds {now}, so it should have swapped"
            )),
            _ => None,
        }
    }

    /// What an operation does.
    pub(crate) fn effect(&self, op: u32) -> Step {
        self.steps[op as usize]
    }
}

impl Model for Register<'_> {
    fn step(&mut self, state: u32, op: u32) -> Option<u32> {
        match self.steps[op as usize] {
            Step::Read(value) => (state == value).then_some(state),
            Step::Write(value) => Some(value),
            Step::Swap { from, to } => (state == from).then_some(to),
            Step::NoSwap { from } => (state != from).then_some(state),
        }
    }

    fn is_blind(&self, op: u32) -> bool {
        matches!(self.steps[op as usize], Step::Write(_))
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn text(&self, state: u32) -> String {
        match state.checked_sub(1) {
            None => "nil".into(),
            Some(value) => self.values[value as usize].to_owned(),
        }
    }
}
