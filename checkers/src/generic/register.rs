//! A register with compare-and-set.

use super::{Action, Operation};
use crate::search::Model;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy)]
enum Step {
    Read(u32),
    Write(u32),
    Swap { from: u32, to: u32 },
    NoSwap { from: u32 },
}

/// A register; its states are the values that occur, 0 being nil.
#[derive(Debug)]
pub(crate) struct Register {
    steps: Vec<Step>,
    values: Vec<String>,
}

impl Register {
    /// A register under these operations, all on one key.
    pub(crate) fn new<'a>(ops: impl Iterator<Item = &'a Operation>) -> Register {
        let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
        let mut values = vec!["nil".to_owned()];
        let mut number = |value: &'a Option<String>| match value {
            None => 0,
            Some(text) => *numbers.entry(text).or_insert_with(|| {
                values.push(text.clone());
                values.len() as u32 - 1
            }),
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
        Register { steps, values }
    }
}

impl Model for Register {
    fn step(&mut self, state: u32, op: u32) -> Option<u32> {
        match self.steps[op as usize] {
            Step::Read(value) => (state == value).then_some(state),
            Step::Write(value) => Some(value),
            Step::Swap { from, to } => (state == from).then_some(to),
            Step::NoSwap { from } => (state != from).then_some(state),
        }
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn text(&self, state: u32) -> String {
        self.values[state as usize].clone()
    }
}
