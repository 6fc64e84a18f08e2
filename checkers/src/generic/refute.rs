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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generic::Operation;

    /// Two lines an operation, one after another.
    fn writes(count: u64) -> Vec<Operation> {
        let write = |i| op(2 * i + 1, Some(2 * i + 2), put(&format!("v{i}")));
        (0..count).map(write).collect()
    }

    fn op(line: u64, ret: Option<u64>, action: Action) -> Operation {
        Operation {
            process: line,
            line,
            ret,
            action,
        }
    }

    fn put(value: &str) -> Action {
        Action::Write {
            key: String::new(),
            value: Some(value.into()),
        }
    }

    fn get(value: Option<&str>) -> Action {
        Action::Read {
            key: String::new(),
            value: value.map(Into::into),
        }
    }

    fn cas(from: &str, to: &str, swapped: bool) -> Action {
        Action::Cas {
            key: String::new(),
            from: Some(from.into()),
            to: Some(to.into()),
            swapped,
        }
    }

    /// Who is refuted after a hundred writes, counted from the first of `more`.
    fn refuted(more: Vec<Operation>) -> Option<usize> {
        let mut ops = writes(WORTH_IT as u64);
        ops.extend(more);
        let part = Part {
            kind: Kind::CasRegister,
            keys: vec![""],
            ops: ops.iter().collect(),
        };
        phantom(&part, &part.roles()).map(|i| i - WORTH_IT)
    }

    #[test]
    fn a_value_that_nobody_wrote_is_refuted_where_it_returns_first() {
        let nobody = |line, ret| op(line, Some(ret), get(Some("nobody")));
        assert_eq!(refuted(vec![nobody(900, 990), nobody(910, 920)]), Some(1));
        assert_eq!(
            refuted(vec![op(900, Some(901), cas("nobody", "x", true))]),
            Some(0)
        );
    }

    #[test]
    fn a_read_that_returned_before_its_write_began_is_refuted() {
        let late = |line| op(line, Some(990), put("late"));
        let read = || op(900, Some(950), get(Some("late")));
        assert_eq!(refuted(vec![read(), late(951)]), Some(0));
        assert_eq!(refuted(vec![read(), late(949)]), None);
        // Of several writes of one value, the first one counts.
        assert_eq!(refuted(vec![read(), late(960), late(940)]), None);
    }

    #[test]
    fn what_may_have_been_written_is_no_phantom() {
        let read = || op(900, Some(950), get(Some("x")));
        assert_eq!(refuted(vec![op(800, None, put("x")), read()]), None);
        assert_eq!(
            refuted(vec![op(800, None, cas("a", "x", true)), read()]),
            None
        );
        // A swap that was refused wrote nothing.
        let failed = op(800, Some(810), cas("a", "x", false));
        assert_eq!(refuted(vec![failed, read()]), Some(1));
    }

    #[test]
    fn nothing_is_inferred_from_what_was_there_at_first_or_is_stale() {
        assert_eq!(refuted(vec![op(900, Some(950), get(None))]), None);
        assert_eq!(refuted(vec![op(900, Some(950), get(Some("v3")))]), None);
    }

    #[test]
    fn small_parts_are_left_to_the_search() {
        let ops = [op(1, Some(2), get(Some("nobody")))];
        let part = Part {
            kind: Kind::Register,
            keys: vec![""],
            ops: ops.iter().collect(),
        };
        assert_eq!(phantom(&part, &part.roles()), None);
    }
}
