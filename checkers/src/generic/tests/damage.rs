//! Right histories, damaged: what that makes of them is for brute force to say.

use super::draw::correct;
use super::{agrees, config};
use crate::generic::{Action, History, Kind, Micro, Operation};
use proptest::prelude::*;

/// A way to damage a history: does it to the operation of this number, or to
/// the first one after it that can be damaged so. Whether one could.
type Damage = (&'static str, fn(&mut Vec<Operation>, usize) -> bool);

const DAMAGES: &[Damage] = &[
    ("two answers are swapped", |ops, i| {
        let (Some(a), Some(b)) = (ops.get(i), ops.get(i + 1)) else {
            return false;
        };
        let (a, b) = (a.action.clone(), b.action.clone());
        ops[i].action = b;
        ops[i + 1].action = a;
        true
    }),
    ("an answer comes before its cause", |ops, i| {
        earlier(ops, i, 4)
    }),
    ("an operation moves far back", |ops, i| earlier(ops, i, 20)),
    ("an operation moves on", |ops, i| {
        ops[i].line += 6;
        ops[i].ret = ops[i].ret.map(|ret| ret + 6);
        true
    }),
    ("an interval shrinks to its end", |ops, i| {
        let Some(ret) = ops[i].ret else { return false };
        ops[i].line = ret;
        true
    }),
    ("an interval shrinks to its beginning", |ops, i| {
        if ops[i].ret.is_none() {
            return false;
        }
        ops[i].ret = Some(ops[i].line);
        true
    }),
    ("an acknowledged operation is dropped", |ops, i| {
        if ops[i].ret.is_none() {
            return false;
        }
        ops.remove(i);
        true
    }),
    ("an operation happens twice", |ops, i| {
        let again = ops[i].clone();
        ops.insert(i, again);
        true
    }),
    ("an unknown outcome is acknowledged", |ops, i| {
        if ops[i].ret.is_some() {
            return false;
        }
        ops[i].ret = Some(ops[i].line + 3);
        true
    }),
    ("an acknowledged outcome is unknown", |ops, i| {
        ops[i].ret.take().is_some()
    }),
    ("a cas is told the opposite", |ops, i| {
        let Action::Cas { swapped, .. } = &mut ops[i].action else {
            return false;
        };
        *swapped = !*swapped;
        true
    }),
    ("a read shows nothing", |ops, i| match &mut ops[i].action {
        Action::Read { value, .. } => value.take().is_some(),
        Action::Get { value, .. } => !std::mem::take(value).is_empty(),
        Action::Txn(steps) => lists(steps).any(|list| !std::mem::take(list).is_empty()),
        _ => false,
    }),
    ("a read shows what nobody wrote", |ops, i| {
        match &mut ops[i].action {
            Action::Read { value, .. } => *value = Some("phantom".into()),
            Action::Get { value, .. } => value.push('?'),
            Action::Txn(steps) => match lists(steps).next() {
                Some(list) => list.push("9".into()),
                None => return false,
            },
            _ => return false,
        }
        true
    }),
    (
        "the end of what was read is lost",
        |ops, i| match &mut ops[i].action {
            Action::Get { value, .. } => value.pop().is_some(),
            Action::Txn(steps) => lists(steps).any(|list| list.pop().is_some()),
            _ => false,
        },
    ),
    (
        "what was read is in another order",
        |ops, i| match &mut ops[i].action {
            Action::Get { value, .. } => {
                let before = value.clone();
                *value = before.chars().rev().collect();
                *value != before
            }
            Action::Txn(steps) => lists(steps).any(|list| {
                list.reverse();
                list.len() > 1
            }),
            _ => false,
        },
    ),
    ("an append is written twice in what was read", |ops, i| {
        match &mut ops[i].action {
            Action::Get { value, .. } => match value.pop() {
                Some(last) => value.extend([last, last]),
                None => return false,
            },
            Action::Txn(steps) => match lists(steps).find(|list| !list.is_empty()) {
                Some(list) => list.push(list[list.len() - 1].clone()),
                None => return false,
            },
            _ => return false,
        }
        true
    }),
    ("a write writes something else", |ops, i| {
        match &mut ops[i].action {
            Action::Write { value, .. } => *value = Some("other".into()),
            Action::Put { value, .. } | Action::Append { value, .. } => value.push('?'),
            Action::Txn(steps) => {
                let append = steps.iter_mut().find_map(|step| match step {
                    Micro::Append { element, .. } => Some(element),
                    Micro::Read { .. } => None,
                });
                match append {
                    Some(element) => element.push('9'),
                    None => return false,
                }
            }
            _ => return false,
        }
        true
    }),
    ("half a transaction is lost", |ops, i| {
        match &mut ops[i].action {
            Action::Txn(steps) if steps.len() > 1 => steps.pop().is_some(),
            _ => false,
        }
    }),
    ("an operation goes to the other key", |ops, i| {
        let other = |key: &mut String| {
            *key = if key == "k0" { "k1" } else { "k0" }.into();
        };
        match &mut ops[i].action {
            Action::Read { key, .. }
            | Action::Write { key, .. }
            | Action::Cas { key, .. }
            | Action::Get { key, .. }
            | Action::Put { key, .. }
            | Action::Append { key, .. } => other(key),
            Action::Txn(steps) => steps.iter_mut().for_each(|step| match step {
                Micro::Read { key, .. } | Micro::Append { key, .. } => other(key),
            }),
        }
        true
    }),
    ("everybody waits for everybody", |ops, _| {
        // Each in its turn, in the order in which they were sent.
        for (i, op) in ops.iter_mut().enumerate() {
            op.line = 1 + 2 * i as u64;
            op.ret = op.ret.map(|_| 2 + 2 * i as u64);
        }
        true
    }),
];

fn earlier(ops: &mut [Operation], i: usize, by: u64) -> bool {
    let op = &mut ops[i];
    let by = by.min(op.line.saturating_sub(1));
    op.line -= by;
    op.ret = op.ret.map(|ret| ret - by);
    by > 0
}

fn lists(steps: &mut [Micro]) -> impl Iterator<Item = &mut Vec<String>> {
    steps.iter_mut().filter_map(|step| match step {
        Micro::Read { list, .. } => Some(list),
        Micro::Append { .. } => None,
    })
}

/// The history, damaged; `None` if nothing in it can be.
fn damaged(history: &History, damage: &Damage, at: usize) -> Option<History> {
    let n = history.ops.len();
    (0..n).find_map(|i| {
        let mut ops = history.ops.clone();
        let done = (damage.1)(&mut ops, (at + i) % n);
        // Nothing at all is not judged.
        (done && !ops.is_empty()).then(|| {
            ops.sort_by_key(|op| op.line);
            History {
                kind: history.kind,
                ops,
            }
        })
    })
}

/// That every damage breaks some histories and leaves others as good as before.
fn both_ways(kind: Kind) {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let histories: Vec<History> = (0..600)
        .map(|_| correct(kind).new_tree(&mut runner).expect("no filter"))
        .map(|tree| tree.current())
        .collect();
    assert!(histories.iter().all(agrees), "undamaged ones are right");
    let mut used = 0;
    for damage in DAMAGES {
        let mut broken = 0;
        let mut sound = 0;
        for (i, history) in histories.iter().enumerate() {
            if let Some(history) = damaged(history, damage, i) {
                if agrees(&history) {
                    sound += 1;
                } else {
                    broken += 1;
                }
            }
        }
        if broken + sound > 0 {
            used += 1;
            assert!(
                broken > 0 || harmless(kind, damage),
                "{kind:?}: {}",
                damage.0
            );
            assert!(sound > 0 || fatal(damage), "{kind:?}: {}", damage.0);
        }
    }
    assert!(used >= 12, "{kind:?}: {used} damages apply");
}

/// Damages that can never be seen: to read or write twice in one interval shows
/// the same as once.
fn harmless(kind: Kind, damage: &Damage) -> bool {
    let same_again = kind == Kind::Register && damage.0 == "an operation happens twice";
    same_again || damage.0 == "an acknowledged outcome is unknown"
}

/// Damages that nothing explains.
fn fatal(damage: &Damage) -> bool {
    damage.0 == "a read shows what nobody wrote"
}

#[test]
fn each_damage_to_a_register_is_judged_for_what_it_is() {
    both_ways(Kind::Register);
}

#[test]
fn each_damage_to_a_cas_register_is_judged_for_what_it_is() {
    both_ways(Kind::CasRegister);
}

#[test]
fn each_damage_to_a_string_is_judged_for_what_it_is() {
    both_ways(Kind::Text);
}

#[test]
fn each_damage_to_lists_is_judged_for_what_it_is() {
    both_ways(Kind::Lists);
}

fn kinds() -> impl Strategy<Value = History> {
    prop_oneof![
        correct(Kind::Register),
        correct(Kind::CasRegister),
        correct(Kind::Text),
        correct(Kind::Lists),
    ]
}

proptest! {
    #![proptest_config(config(10_000))]

    #[test]
    fn two_damages_are_judged_for_what_they_are(
        history in kinds(), first in 0..DAMAGES.len(), second in 0..DAMAGES.len(), at in 0..6usize,
    ) {
        let once = damaged(&history, &DAMAGES[first], at);
        if let Some(twice) = once.and_then(|h| damaged(&h, &DAMAGES[second], at + 1)) {
            agrees(&twice);
        }
    }
}
