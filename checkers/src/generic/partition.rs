//! Splitting a history into parts that can be judged one by one.
//!
//! Linearizability is local: a history is linearizable if and only if what
//! happened on each object is (Herlihy and Wing). Keys are objects; keys that a
//! transaction touches together are one.

use super::{Action, Kind, Operation};
use crate::generic::{lists::Lists, register::Register, text::Text};
use crate::search::{Found, Model, Task};
use std::collections::BTreeMap;

/// A part of a history: all operations on some keys.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    /// The model.
    pub(crate) kind: Kind,
    /// Its keys, for people; empty if the history has only one object.
    pub(crate) name: String,
    /// By invocation.
    pub(crate) ops: Vec<&'a Operation>,
}

/// What a search may do with an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Place it in its interval.
    Required,
    /// Place it after its invocation, or not at all.
    Optional,
    /// Place it anywhere, or not at all.
    Free,
    /// Ignore it.
    Dropped,
}

/// Whether a model may refuse a step because of what is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// It may: dead ends are seen early.
    Ahead,
    /// It may not: a step depends on the state alone.
    AtState,
}

/// The parts of a history, by their keys.
pub(crate) fn partition(kind: Kind, ops: &[Operation]) -> Vec<Part<'_>> {
    // Union-find over keys; transactions join theirs.
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut parent: Vec<usize> = Vec::new();
    fn root(parent: &mut [usize], mut i: usize) -> usize {
        while parent[i] != i {
            parent[i] = parent[parent[i]];
            i = parent[i];
        }
        i
    }
    let mut at = Vec::with_capacity(ops.len());
    for op in ops {
        let mut first = None;
        for key in op.action.keys() {
            let n = *numbers.entry(key).or_insert_with(|| {
                parent.push(parent.len());
                parent.len() - 1
            });
            match first {
                None => first = Some(n),
                Some(first) => {
                    let (a, b) = (root(&mut parent, first), root(&mut parent, n));
                    parent[a.max(b)] = a.min(b);
                }
            }
        }
        at.push(first);
    }
    let mut parts: BTreeMap<usize, Part<'_>> = BTreeMap::new();
    for (key, n) in &numbers {
        let part = parts.entry(root(&mut parent, *n)).or_insert_with(|| Part {
            kind,
            name: String::new(),
            ops: Vec::new(),
        });
        if !part.name.is_empty() {
            part.name.push(' ');
        }
        part.name.push_str(key);
    }
    // A transaction that does nothing belongs nowhere, and is always right.
    for (op, key) in ops.iter().zip(at) {
        if let Some(key) = key {
            let root = root(&mut parent, key);
            parts
                .get_mut(&root)
                .expect("every key has a part")
                .ops
                .push(op);
        }
    }
    parts.into_values().collect()
}

impl Part<'_> {
    /// What each operation's outcome lets a search do with it.
    pub(crate) fn roles(&self) -> Vec<Role> {
        self.ops
            .iter()
            .map(|op| match op.ret {
                Some(_) => Role::Required,
                None if op.action.is_pure() => Role::Dropped,
                None => Role::Optional,
            })
            .collect()
    }

    /// Searches for an order, with operations in these roles.
    pub(crate) fn search(&self, roles: &[Role], steps: &mut u64, bytes: u64) -> Found<usize> {
        self.search_with(Look::Ahead, roles, steps, bytes)
    }

    /// As [`Part::search`], choosing whether dead ends are seen early. Without
    /// looking ahead, what is stuck is the first operation, in the order of
    /// returns, that cannot be placed after everything before it.
    pub(crate) fn search_with(
        &self,
        look: Look,
        roles: &[Role],
        steps: &mut u64,
        bytes: u64,
    ) -> Found<usize> {
        let (task, members) = self.task(roles);
        self.with_model(look, roles, &members, |model| {
            crate::search::run(model, &task, steps, bytes)
        })
        .map(|i| members[i as usize])
    }

    fn task(&self, roles: &[Role]) -> (Task, Vec<usize>) {
        let mut task = Task::default();
        let mut members = Vec::with_capacity(self.ops.len());
        let mut classes: BTreeMap<String, u32> = BTreeMap::new();
        for (i, (op, role)) in self.ops.iter().zip(roles).enumerate() {
            let from = match role {
                Role::Dropped => continue,
                Role::Required => {
                    let ret = op.ret.unwrap_or(u64::MAX);
                    task.require(op.line, ret, op.action.is_pure());
                    members.push(i);
                    continue;
                }
                Role::Optional => op.line,
                Role::Free => 0,
            };
            let fresh = classes.len() as u32;
            let class = *classes.entry(op.action.text(false)).or_insert(fresh);
            task.allow(from, class);
            members.push(i);
        }
        (task, members)
    }

    /// Lends a fresh model of the given operations, numbered as in `members`.
    pub(crate) fn with_model<T>(
        &self,
        look: Look,
        roles: &[Role],
        members: &[usize],
        f: impl FnOnce(&mut AnyModel<'_>) -> T,
    ) -> T {
        let ops = || members.iter().map(|i| self.ops[*i]);
        let optional = |i: &usize| matches!(roles[*i], Role::Optional | Role::Free);
        let mut model = match self.kind {
            Kind::Register | Kind::CasRegister => AnyModel::Register(Register::new(ops())),
            Kind::Text => {
                let put = |i: &usize| matches!(self.ops[*i].action, Action::Put { .. });
                let free_puts = members.iter().any(|i| optional(i) && put(i));
                AnyModel::Text(Text::new(ops(), look == Look::Ahead && !free_puts))
            }
            Kind::Lists => {
                let told = members.iter().map(|i| !optional(i));
                AnyModel::Lists(Lists::new(ops().zip(told), look == Look::Ahead))
            }
        };
        f(&mut model)
    }
}

/// One of the models.
pub(crate) enum AnyModel<'a> {
    Register(Register),
    Text(Text<'a>),
    Lists(Lists),
}

impl Model for AnyModel<'_> {
    fn step(&mut self, state: u32, op: u32) -> Option<u32> {
        match self {
            AnyModel::Register(m) => m.step(state, op),
            AnyModel::Text(m) => m.step(state, op),
            AnyModel::Lists(m) => m.step(state, op),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            AnyModel::Register(m) => m.bytes(),
            AnyModel::Text(m) => m.bytes(),
            AnyModel::Lists(m) => m.bytes(),
        }
    }

    fn text(&self, state: u32) -> String {
        match self {
            AnyModel::Register(m) => m.text(state),
            AnyModel::Text(m) => m.text(state),
            AnyModel::Lists(m) => m.text(state),
        }
    }

    fn prepare(&mut self, events: &[crate::search::Event]) {
        match self {
            AnyModel::Register(m) => m.prepare(events),
            AnyModel::Text(m) => m.prepare(events),
            AnyModel::Lists(m) => m.prepare(events),
        }
    }

    fn viable(&mut self, state: u32, event: u32, open: &mut dyn Iterator<Item = u32>) -> bool {
        match self {
            AnyModel::Register(m) => m.viable(state, event, open),
            AnyModel::Text(m) => m.viable(state, event, open),
            AnyModel::Lists(m) => m.viable(state, event, open),
        }
    }
}
