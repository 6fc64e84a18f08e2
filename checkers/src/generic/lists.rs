//! Lists that transactions read and append to.

use super::names::Names;
use super::{Action, Micro, Operation};
use crate::search::Model;
use std::collections::BTreeMap;

/// Lists by key number; elements by number.
type State = Vec<Vec<u32>>;

/// A step of a transaction; keys and elements are numbered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Read { key: u32, list: Vec<u32> },
    Append { key: u32, element: u32 },
}

/// A set of lists under transactions.
#[derive(Debug)]
pub(crate) struct Lists<'a> {
    txns: Vec<Vec<Step>>,
    /// Whether a transaction's reads count: not if its outcome is unknown.
    told: Vec<bool>,
    keys: Vec<&'a str>,
    elements: Vec<&'a str>,
    /// The longest list that was read of each key. As lists only grow, every
    /// state begins with it or is a beginning of it.
    longest: State,
    states: Vec<State>,
    numbers: BTreeMap<State, u32>,
    bytes: u64,
}

impl<'a> Lists<'a> {
    /// Lists under these operations; each with whether its answer is known. With
    /// `looks_ahead`, an append that no later read can follow is refused.
    pub(crate) fn new(
        ops: impl Iterator<Item = (&'a Operation, bool)>,
        looks_ahead: bool,
    ) -> Lists<'a> {
        let mut keys = Names::default();
        let mut elements = Names::default();
        let mut told = Vec::new();
        let mut txns = Vec::new();
        for (op, known) in ops {
            let Action::Txn(steps) = &op.action else {
                unreachable!("no transaction: {:?}", op.action);
            };
            told.push(known);
            txns.push(
                steps
                    .iter()
                    .map(|step| match step {
                        Micro::Read { key, list } => Step::Read {
                            key: keys.number(key),
                            list: list.iter().map(|e| elements.number(e)).collect(),
                        },
                        Micro::Append { key, element } => Step::Append {
                            key: keys.number(key),
                            element: elements.number(element),
                        },
                    })
                    .collect::<Vec<Step>>(),
            );
        }
        let keys = keys.into_names();
        let empty: State = vec![Vec::new(); keys.len()];
        let mut longest = empty.clone();
        for (txn, _) in txns
            .iter()
            .zip(&told)
            .filter(|(_, told)| **told && looks_ahead)
        {
            for step in txn {
                if let Step::Read { key, list } = step
                    && list.len() > longest[*key as usize].len()
                {
                    longest[*key as usize].clone_from(list);
                }
            }
        }
        Lists {
            txns,
            told,
            keys,
            elements: elements.into_names(),
            longest,
            states: vec![empty.clone()],
            numbers: BTreeMap::from([(empty, 0)]),
            bytes: 0,
        }
    }

    /// Why a transaction cannot be next, if it cannot.
    pub(crate) fn refusal(&self, state: u32, op: u32) -> Option<String> {
        let mut lists = self.states[state as usize].clone();
        let text = |list: &[u32]| {
            let list: Vec<&str> = list.iter().map(|e| self.elements[*e as usize]).collect();
            format!("[{}]", list.join(" "))
        };
        for step in &self.txns[op as usize] {
            match step {
                Step::Append { key, element } => lists[*key as usize].push(*element),
                Step::Read { key, list } if lists[*key as usize] != *list => {
                    return Some(format!(
                        "list {} is {}, not {}",
                        self.keys[*key as usize],
                        text(&lists[*key as usize]),
                        text(list)
                    ));
                }
                Step::Read { .. } => {}
            }
        }
        None
    }

    /// What a transaction does.
    pub(crate) fn effect(&self, op: u32) -> &[Step] {
        &self.txns[op as usize]
    }

    fn compatible(&self, key: u32, list: &[u32]) -> bool {
        let longest = &self.longest[key as usize];
        let n = longest.len().min(list.len());
        longest[..n] == list[..n]
    }
}

impl Model for Lists<'_> {
    fn step(&mut self, state: u32, op: u32) -> Option<u32> {
        let mut lists: Option<State> = None;
        let before = &self.states[state as usize];
        for step in &self.txns[op as usize] {
            match step {
                Step::Read { key, list } => {
                    let now = &lists.as_ref().unwrap_or(before)[*key as usize];
                    if self.told[op as usize] && now != list {
                        return None;
                    }
                }
                Step::Append { key, element } => {
                    let list = &mut lists.get_or_insert_with(|| before.clone())[*key as usize];
                    list.push(*element);
                    if !self.compatible(*key, list) {
                        return None;
                    }
                }
            }
        }
        let Some(lists) = lists else {
            return Some(state);
        };
        if let Some(number) = self.numbers.get(&lists) {
            return Some(*number);
        }
        let number = self.states.len() as u32;
        self.bytes += 2 * lists.iter().map(|l| 24 + 4 * l.len() as u64).sum::<u64>() + 96;
        self.states.push(lists.clone());
        self.numbers.insert(lists, number);
        Some(number)
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn text(&self, state: u32) -> String {
        let lists: Vec<String> = self.states[state as usize]
            .iter()
            .zip(&self.keys)
            .filter(|(list, _)| !list.is_empty())
            .map(|(list, key)| {
                let list: Vec<&str> = list.iter().map(|e| self.elements[*e as usize]).collect();
                format!("{key}: [{}]", list.join(" "))
            })
            .collect();
        if lists.is_empty() {
            "all lists empty".into()
        } else {
            lists.join(", ")
        }
    }
}
