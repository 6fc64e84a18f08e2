//! The search against a brute-force oracle, on random tiny histories of every
//! kind.

use super::decide::{decide, only};
use super::{Action, History, Kind, Micro, Operation};
use crate::linearizable::Budget;
use proptest::prelude::*;
use squall_record::Verdict;
use std::collections::BTreeMap;
use std::num::NonZero;

/// Everything there is, by key: registers hold one element, strings and lists
/// many.
type World = BTreeMap<String, Vec<String>>;

/// Whether any order at all explains the history: every permutation, every
/// choice among the unknown, no partitions.
fn brute_force(history: &History) -> bool {
    let left: Vec<&Operation> = history.ops.iter().collect();
    place(&World::new(), &left)
}

fn place(world: &World, left: &[&Operation]) -> bool {
    if left.iter().all(|op| op.ret.is_none()) {
        return true;
    }
    (0..left.len()).any(|i| {
        let op = left[i];
        let late = |other: &&Operation| other.ret.is_some_and(|ret| ret < op.line);
        if left.iter().any(late) {
            return false;
        }
        let mut world = world.clone();
        if !happens(&mut world, &op.action) && op.ret.is_some() {
            return false;
        }
        let mut rest = left.to_vec();
        rest.remove(i);
        place(&world, &rest)
    })
}

/// Has an action's effect; whether its answer is right.
fn happens(world: &mut World, action: &Action) -> bool {
    let register = |world: &World, key: &str| world.get(key).and_then(|v| v.first().cloned());
    let set = |world: &mut World, key: &str, value: &Option<String>| {
        world.insert(key.to_owned(), value.iter().cloned().collect());
    };
    let string = |world: &World, key: &str| world.get(key).map(|v| v.concat()).unwrap_or_default();
    match action {
        Action::Read { key, value } => register(world, key) == *value,
        Action::Write { key, value } => {
            set(world, key, value);
            true
        }
        Action::Cas {
            key,
            from,
            to,
            swapped,
        } => {
            let fits = register(world, key) == *from;
            if fits && *swapped {
                set(world, key, to);
            }
            fits == *swapped
        }
        Action::Get { key, value } => string(world, key) == *value,
        Action::Put { key, value } => {
            world.insert(key.clone(), vec![value.clone()]);
            true
        }
        Action::Append { key, value } => {
            world.entry(key.clone()).or_default().push(value.clone());
            true
        }
        Action::Txn(steps) => steps.iter().fold(true, |right, step| match step {
            Micro::Read { key, list } => right & (world.get(key).map_or(&[][..], |l| l) == list),
            Micro::Append { key, element } => {
                world.entry(key.clone()).or_default().push(element.clone());
                right
            }
        }),
    }
}

/// A history of operations with random answers, so that about half are legal.
fn histories(kind: Kind) -> impl Strategy<Value = History> {
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

fn action(kind: Kind, what: u64, known: bool) -> Action {
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

fn agrees(history: &History) {
    let threads = NonZero::new(2).expect("two threads");
    let judgement = decide(history, Budget::default(), threads);
    let legal = match judgement.verdict {
        Verdict::Pass { .. } => true,
        Verdict::Fail(_) => false,
        Verdict::Unknown(why) => panic!("a tiny history was not decided: {why}"),
    };
    assert_eq!(legal, brute_force(history), "{history:#?}");
    assert_eq!(
        only(history, Budget::default(), NonZero::<usize>::MIN),
        Some(legal)
    );
    assert_eq!(judgement.core.is_empty(), legal, "a witness has operations");
}

/// How many cases to try. The documented longer run sets `SQUALL_CASES` when it
/// builds.
fn config() -> ProptestConfig {
    let cases = option_env!("SQUALL_CASES").and_then(|n| n.parse().ok());
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases.unwrap_or(3_000))
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn registers_are_judged_as_by_brute_force(history in histories(Kind::Register)) {
        agrees(&history);
    }

    #[test]
    fn cas_registers_are_judged_as_by_brute_force(history in histories(Kind::CasRegister)) {
        agrees(&history);
    }

    #[test]
    fn strings_are_judged_as_by_brute_force(history in histories(Kind::Text)) {
        agrees(&history);
    }

    #[test]
    fn lists_are_judged_as_by_brute_force(history in histories(Kind::Lists)) {
        agrees(&history);
    }
}
