//! A second, small judge of both verdicts, which shares nothing with the search
//! but the models' steps.

use super::partition::{Look, Part, Role};
use crate::search::Model;
use std::collections::BTreeSet;

/// Whether an order is a linearization: every required operation once, nothing
/// against real time, every answer right.
pub(crate) fn is_linearization(part: &Part<'_>, roles: &[Role], order: &[usize]) -> bool {
    let mut seen = BTreeSet::new();
    let once = order.iter().all(|i| seen.insert(*i));
    let complete = (0..roles.len()).all(|i| match roles[i] {
        Role::Required => seen.contains(&i),
        Role::Dropped => !seen.contains(&i),
        Role::Optional | Role::Free => true,
    });
    // Walking backwards: nothing may return before something earlier was sent.
    let mut earliest_return = u64::MAX;
    let in_time = order.iter().rev().all(|i| {
        let fits = starts(part, roles, *i) <= earliest_return;
        earliest_return = earliest_return.min(ends(part, roles, *i));
        fits
    });
    once && complete && in_time && {
        part.with_model(Look::AtState, roles, order, |model| {
            (0..order.len() as u32)
                .try_fold(0, |state, op| model.step(state, op))
                .is_some()
        })
    }
}

/// Whether no order exists at all, by trying every one; `None` if that takes
/// more than about `limit` steps.
pub(crate) fn has_no_linearization(part: &Part<'_>, roles: &[Role], limit: u64) -> Option<bool> {
    let repeats = |i: usize| part.repeats() && roles[i] == Role::Free;
    // Of what may be repeated, one of each kind will do.
    let mut kinds = BTreeSet::new();
    let members: Vec<usize> = (0..roles.len())
        .filter(|i| roles[*i] != Role::Dropped)
        .filter(|i| !repeats(*i) || kinds.insert(part.ops[*i].action.text(false)))
        .collect();
    let times: Vec<(u64, u64)> = members
        .iter()
        .map(|i| (starts(part, roles, *i), ends(part, roles, *i)))
        .collect();
    part.with_model(Look::AtState, roles, &members, |model| {
        let mut seen = BTreeSet::new();
        let mut stack = vec![(0, vec![false; members.len()])];
        let mut left = limit;
        while let Some((state, done)) = stack.pop() {
            let open = |i: &usize| !done[*i] && roles[members[*i]] == Role::Required;
            let open = (0..members.len()).filter(open);
            let Some(deadline) = open.map(|i| times[i].1).min() else {
                return Some(false);
            };
            for i in 0..members.len() {
                if done[i] || times[i].0 > deadline {
                    continue;
                }
                left = left.checked_sub(1)?;
                if let Some(next) = model.step(state, i as u32) {
                    let mut done = done.clone();
                    done[i] = !repeats(members[i]);
                    if seen.insert((next, done.clone())) {
                        stack.push((next, done));
                    }
                }
            }
        }
        Some(true)
    })
}

fn starts(part: &Part<'_>, roles: &[Role], i: usize) -> u64 {
    match roles[i] {
        Role::Free => 0,
        Role::Required | Role::Optional | Role::Dropped => part.ops[i].line,
    }
}

fn ends(part: &Part<'_>, roles: &[Role], i: usize) -> u64 {
    match roles[i] {
        Role::Required => part.ops[i].ret.unwrap_or(u64::MAX),
        Role::Free | Role::Optional | Role::Dropped => u64::MAX,
    }
}
