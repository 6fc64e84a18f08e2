//! Random tiny histories.

use super::oracle::{World, happens};
use crate::generic::{Action, History, Kind, Micro, Operation};
use proptest::prelude::*;

/// A history of operations with random answers, so that about half are legal.
pub(super) fn histories(kind: Kind) -> impl Strategy<Value = History> {
    let op = (0..6u64, 0..6u64, any::<u64>(), 0..5u8);
    prop::collection::vec(op, 1..7).prop_map(move |drawn| {
        let mut ops: Vec<Operation> = drawn
            .into_iter()
            .enumerate()
            .map(|(i, (start, length, what, unknown))| Operation {
                process: i as u64,
                line: 1 + 2 * start,
                ret: (unknown > 0).then_some(1 + 2 * start + length),
                action: action(kind, what, unknown > 0),
            })
            .collect();
        ops.sort_by_key(|op| op.line);
        History { kind, ops }
    })
}

pub(super) fn action(kind: Kind, what: u64, known: bool) -> Action {
    let bit = |n: u32| what >> n & 1;
    let key = format!("k{}", bit(0) & bit(1));
    let value = |n: u32| match what >> n & 3 {
        0 => None,
        v => Some(v.to_string()),
    };
    match kind {
        Kind::Register | Kind::CasRegister => match what >> 2 & 3 {
            0 | 1 => Action::Read {
                key,
                value: value(4),
            },
            2 if kind == Kind::CasRegister => Action::Cas {
                key,
                from: value(4),
                to: value(6),
                swapped: bit(8) == 0 || !known,
            },
            _ => Action::Write {
                key,
                value: value(4),
            },
        },
        Kind::Text => {
            let tokens = ["", "a", "b", "ab", "aa", "ba", "aba", "bb"];
            let long = tokens[(what >> 4 & 7) as usize].to_owned();
            let short = tokens[1 + bit(7) as usize].to_owned();
            match what >> 2 & 3 {
                0 | 1 => Action::Get { key, value: long },
                2 => Action::Append { key, value: short },
                _ if bit(8) == 0 => Action::Put { key, value: short },
                _ => Action::Append { key, value: short },
            }
        }
        Kind::Lists => {
            let steps = 1 + (what >> 2 & 1);
            let step = |i: u64| {
                let at = 8 + 8 * i as u32;
                let key = format!("k{}", bit(at));
                if bit(at + 1) == 0 {
                    let element = (1 + (what >> (at + 2) & 1)).to_string();
                    return Micro::Append { key, element };
                }
                let list = match what >> (at + 2) & 7 {
                    0 | 1 => vec![],
                    2 | 3 => vec!["1"],
                    4 => vec!["2"],
                    5 => vec!["1", "2"],
                    6 => vec!["2", "1"],
                    _ => vec!["1", "1"],
                };
                Micro::Read {
                    key,
                    list: list.into_iter().map(str::to_owned).collect(),
                }
            };
            Action::Txn((0..steps).map(step).collect())
        }
    }
}

/// A history that is right: every operation takes effect at a point in its
/// interval, and is told what it finds there. What nobody learned may have
/// happened or not.
pub(super) fn correct(kind: Kind) -> impl Strategy<Value = History> {
    let op = (0..6u64, 0..6u64, 0..4u64, any::<u64>(), 0..6u8);
    prop::collection::vec(op, 2..7).prop_map(move |drawn| {
        let mut placed: Vec<(u64, bool, Operation)> = drawn
            .into_iter()
            .enumerate()
            .map(|(i, (start, before, after, what, unknown))| {
                let line = 1 + 2 * start;
                let op = Operation {
                    process: i as u64,
                    line,
                    ret: (unknown > 1).then_some(line + before + after),
                    action: action(kind, what, true),
                };
                (line + before, unknown == 0, op)
            })
            .collect();
        placed.sort_by_key(|(point, ..)| *point);
        let mut world = World::new();
        let mut ops: Vec<Operation> = placed
            .into_iter()
            .map(|(_, never, mut op)| {
                if !never {
                    op.action = answered(&world, op.action);
                    happens(&mut world, &op.action);
                }
                op
            })
            .collect();
        ops.sort_by_key(|op| op.line);
        History { kind, ops }
    })
}

/// The action with the answer that it gets.
fn answered(world: &World, action: Action) -> Action {
    let now = |key: &String| world.get(key).cloned().unwrap_or_default();
    match action {
        Action::Read { key, .. } => Action::Read {
            value: now(&key).first().cloned(),
            key,
        },
        Action::Cas { key, from, to, .. } => Action::Cas {
            swapped: now(&key).first() == from.as_ref(),
            key,
            from,
            to,
        },
        Action::Get { key, .. } => Action::Get {
            value: now(&key).concat(),
            key,
        },
        Action::Txn(steps) => {
            let mut world = world.clone();
            let step = |step| match step {
                Micro::Read { key, .. } => Micro::Read {
                    list: world.get(&key).cloned().unwrap_or_default(),
                    key,
                },
                Micro::Append { key, element } => {
                    world.entry(key.clone()).or_default().push(element.clone());
                    Micro::Append { key, element }
                }
            };
            Action::Txn(steps.into_iter().map(step).collect())
        }
        told @ (Action::Write { .. } | Action::Put { .. } | Action::Append { .. }) => told,
    }
}
