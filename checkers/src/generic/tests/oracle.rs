//! A brute-force judge of tiny histories, which shares nothing with the others.

use crate::generic::{Action, History, Micro, Operation};
use std::collections::BTreeMap;

/// Everything there is, by key: registers hold one element, strings and lists
/// many.
pub(super) type World = BTreeMap<String, Vec<String>>;

/// Whether any order at all explains the history: every permutation, every
/// choice among the unknown, no partitions.
pub(super) fn brute_force(history: &History) -> bool {
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
pub(super) fn happens(world: &mut World, action: &Action) -> bool {
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
