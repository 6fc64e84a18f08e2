//! The smallest part of a history that still cannot be.
//!
//! Linearizability is closed under prefixes, so everything after the first
//! return that nothing places may go; what is open there may or may not have
//! happened. The rest is made weaker, one operation at a time, as long as it
//! still fails: reads are dropped, writes may happen anywhere or never. To
//! delete a write would be wrong: its effect may be what made a read right.

use super::Operation;
use super::partition::{Look, Part, Role};
use crate::linearizable::Budget;
use crate::search::Found;

/// The operations that fail together, and how they do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Core {
    /// What the search may do with each operation of the part.
    pub(crate) roles: Vec<Role>,
    /// The operations whose place in time matters, by invocation.
    pub(crate) ops: Vec<usize>,
    /// The one that no order places.
    pub(crate) stuck: usize,
    /// An order of the others that comes as far as any.
    pub(crate) order: Vec<usize>,
}

/// Steps that one attempt to leave something out may take, besides a few for
/// each operation.
const STEPS: u64 = 20_000;
/// Steps that all attempts together may take; then what is left is shown.
const ALL_STEPS: u64 = 4_000_000;
const BYTES: u64 = 64 << 20;

/// Makes a failing part small. `stuck` and `order` are what the search over all
/// of it found.
pub(crate) fn minimize(part: &Part<'_>, stuck: usize, order: &[usize], budget: Budget) -> Core {
    let (roles, stuck, order) = shortest_prefix(part, stuck, order, budget);
    let mut core = Core {
        ops: Vec::new(),
        stuck,
        order,
        roles,
    };
    let mut kept: Vec<usize> = (0..part.ops.len())
        .filter(|i| core.roles[*i] != Role::Dropped)
        .collect();
    // ddmin: leave out ever smaller runs.
    let mut size = kept.len().div_ceil(2).max(1);
    let mut left = ALL_STEPS;
    'smaller: loop {
        let mut at = 0;
        let before = kept.len();
        while at < kept.len() {
            let run = at..(at + size).min(kept.len());
            let mut roles = core.roles.clone();
            for i in &kept[run.clone()] {
                roles[*i] = weaker(part, *i, roles[*i]);
            }
            // To set a search up costs as much as a few steps, too.
            let share = STEPS + 4 * part.ops.len() as u64;
            let mut steps = share;
            let found = part.search(&roles, &mut steps, BYTES);
            let spent = share - steps + part.ops.len() as u64;
            let Some(rest) = left.checked_sub(spent) else {
                break 'smaller;
            };
            left = rest;
            match found {
                Found::Illegal { stuck, order } => {
                    kept.drain(run);
                    core = Core {
                        roles,
                        stuck,
                        order,
                        ops: Vec::new(),
                    };
                }
                Found::Legal(_) | Found::Spent => at = run.end,
            }
        }
        if size > 1 {
            size = size.div_ceil(2);
        } else if kept.len() == before {
            break;
        }
    }
    core.ops = kept;
    // Told without looking ahead, the story ends where it goes wrong.
    let told = part.search_with(Look::AtState, &core.roles, &mut STEPS.clone(), BYTES);
    if let Found::Illegal { stuck, order } = told {
        core.stuck = stuck;
        core.order = order;
    }
    core
}

/// The shortest prefix that fails, by binary search over returns: a longer one
/// fails, too.
fn shortest_prefix(
    part: &Part<'_>,
    stuck: usize,
    order: &[usize],
    budget: Budget,
) -> (Vec<Role>, usize, Vec<usize>) {
    let mut cuts: Vec<u64> = part.ops.iter().filter_map(|op| op.ret).collect();
    cuts.sort_unstable();
    let mut best = (part.roles(), stuck, order.to_vec());
    // No prefix fails that ends before what the search could not pass.
    let mut low = cuts.partition_point(|cut| Some(*cut) < part.ops[stuck].ret);
    let mut high = cuts.len();
    let mut next = low;
    while low < high {
        let roles = cut_at(part, cuts[next]);
        match part.search(&roles, &mut budget.steps.clone(), budget.bytes) {
            Found::Illegal { stuck, order } => {
                best = (roles, stuck, order);
                high = next;
            }
            Found::Legal(_) | Found::Spent => low = next + 1,
        }
        next = low + (high - low) / 2;
    }
    best
}

/// The roles in the prefix that ends with a return: what is open there may or
/// may not have happened.
fn cut_at(part: &Part<'_>, cut: u64) -> Vec<Role> {
    let role = |(op, role): (&&Operation, Role)| match role {
        _ if op.line > cut => Role::Dropped,
        Role::Required if op.ret > Some(cut) && op.action.is_pure() => Role::Dropped,
        Role::Required if op.ret > Some(cut) => Role::Optional,
        role => role,
    };
    part.ops.iter().zip(part.roles()).map(role).collect()
}

fn weaker(part: &Part<'_>, i: usize, role: Role) -> Role {
    match role {
        Role::Required if part.ops[i].action.is_pure() => Role::Dropped,
        Role::Required | Role::Optional | Role::Free => Role::Free,
        Role::Dropped => Role::Dropped,
    }
}
