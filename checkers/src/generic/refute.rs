//! Cheap proofs that a part of a history cannot be.

use super::partition::{Part, Role};
use super::{Action, Kind};
use std::collections::BTreeMap;

/// Small parts are searched faster than they are looked through.
const WORTH_IT: usize = 100;

/// The first answer, in the order of returns, that shows a register's value
/// which nobody could have written by then: a phantom. `None` proves nothing.
///
/// A value may have been written by many; the earliest invocation is all that
/// counts. So nothing is inferred from values that are not unique.
pub(crate) fn phantom(part: &Part<'_>, roles: &[Role]) -> Option<usize> {
    let register = matches!(part.kind, Kind::Register | Kind::CasRegister);
    if !register || part.ops.len() < WORTH_IT {
        return None;
    }
    let mut first: BTreeMap<&Option<String>, u64> = BTreeMap::from([(&None, 0)]);
    for (op, role) in part.ops.iter().zip(roles) {
        let from = match role {
            Role::Dropped => continue,
            Role::Free => 0,
            Role::Required | Role::Optional => op.line,
        };
        if let Some(value) = written(&op.action) {
            let earliest = first.entry(value).or_insert(from);
            *earliest = from.min(*earliest);
        }
    }
    (0..part.ops.len())
        .filter(|i| roles[*i] == Role::Required)
        .filter(|i| {
            let op = part.ops[*i];
            let seen = seen(&op.action).map(|value| first.get(value).copied());
            seen.is_some_and(|from| from.is_none_or(|from| Some(from) > op.ret))
        })
        .min_by_key(|i| part.ops[*i].ret)
}

fn written(action: &Action) -> Option<&Option<String>> {
    match action {
        Action::Write { value, .. } => Some(value),
        Action::Cas {
            to, swapped: true, ..
        } => Some(to),
        _ => None,
    }
}

fn seen(action: &Action) -> Option<&Option<String>> {
    match action {
        Action::Read { value, .. } => Some(value),
        Action::Cas {
            from,
            swapped: true,
            ..
        } => Some(from),
        _ => None,
    }
}
