//! Splitting a history into parts that can be judged one by one.
//!
//! Linearizability is local: a history is linearizable if and only if what
//! happened on each object is (Herlihy and Wing). Keys are objects; keys that a
//! transaction touches together are one.

use super::lists::{self, Lists};
use super::names::Names;
use super::refute;
use super::register::{self, Register};
use super::text::{self, Text};
use super::{Action, Kind, Operation};
use crate::search::{Found, Model, Task};
use std::collections::BTreeMap;

/// A part of a history: all operations on some keys.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    /// The model.
    pub(crate) kind: Kind,
    /// Its keys, in order; the one of a history with a single object is empty.
    pub(crate) keys: Vec<&'a str>,
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
    /// Place it anywhere, or not at all; on a register, which has few states,
    /// even as often as you like.
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
    let mut numbers = Names::default();
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
        op.action.each_key(|key| {
            let n = numbers.number(key) as usize;
            if n == parent.len() {
                parent.push(n);
            }
            match first {
                None => first = Some(n),
                Some(first) => {
                    let (a, b) = (root(&mut parent, first), root(&mut parent, n));
                    parent[a.max(b)] = a.min(b);
                }
            }
        });
        at.push(first);
    }
    let roots: Vec<usize> = (0..parent.len()).map(|n| root(&mut parent, n)).collect();
    let mut keys: Vec<Vec<&str>> = vec![Vec::new(); roots.len()];
    for (name, root) in numbers.into_names().into_iter().zip(&roots) {
        keys[*root].push(name);
    }
    // A transaction that does nothing belongs nowhere, and is always right.
    let mut members: Vec<Vec<&Operation>> = vec![Vec::new(); roots.len()];
    for (op, key) in ops.iter().zip(at) {
        if let Some(key) = key {
            members[roots[key]].push(op);
        }
    }
    let parts = keys.into_iter().zip(members);
    let parts = parts.filter(|(keys, _)| !keys.is_empty());
    parts
        .map(|(mut keys, ops)| {
            keys.sort_unstable();
            Part { kind, keys, ops }
        })
        .collect()
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

    /// Whether operations that are free may even be repeated.
    pub(crate) fn repeats(&self) -> bool {
        matches!(self.kind, Kind::Register | Kind::CasRegister)
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
        if let (Look::Ahead, Some(stuck)) = (look, refute::phantom(self, roles)) {
            let order = Vec::new();
            return Found::Illegal { stuck, order };
        }
        let members: Vec<usize> = (0..roles.len())
            .filter(|i| roles[*i] != Role::Dropped)
            .collect();
        self.with_model(look, roles, &members, |model| {
            let task = self.task(roles, &members, model);
            crate::search::run(model, &task, steps, bytes)
        })
        .map(|i| members[i as usize])
    }

    fn task(&self, roles: &[Role], members: &[usize], model: &AnyModel<'_>) -> Task {
        let mut task = Task::default();
        let mut once: BTreeMap<Effect<'_>, u32> = BTreeMap::new();
        let mut again: BTreeMap<Effect<'_>, u32> = BTreeMap::new();
        for (number, i) in members.iter().enumerate() {
            let op = self.ops[*i];
            let effect = || model.effect(number as u32);
            let class = |classes: &mut BTreeMap<_, u32>| {
                let fresh = classes.len() as u32;
                *classes.entry(effect()).or_insert(fresh)
            };
            match roles[*i] {
                Role::Required => {
                    let ret = op.ret.unwrap_or(u64::MAX);
                    task.require(op.line, ret, op.action.is_pure());
                }
                Role::Optional => task.allow(op.line, class(&mut once)),
                Role::Free if self.repeats() => task.repeat(class(&mut again)),
                Role::Free => task.allow(0, class(&mut once)),
                Role::Dropped => unreachable!("members are not dropped"),
            }
        }
        task
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
    Register(Register<'a>),
    Text(Text<'a>),
    Lists(Lists<'a>),
}

/// What an operation does: equal for those that may stand for each other.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Effect<'m> {
    Register(register::Step),
    Text(text::Step<'m>),
    Lists(&'m [lists::Step]),
}

impl AnyModel<'_> {
    /// Why an operation cannot be next, if it cannot.
    pub(crate) fn refusal(&self, state: u32, op: u32) -> Option<String> {
        match self {
            AnyModel::Register(m) => m.refusal(state, op),
            AnyModel::Text(m) => m.refusal(state, op),
            AnyModel::Lists(m) => m.refusal(state, op),
        }
    }

    fn effect(&self, op: u32) -> Effect<'_> {
        match self {
            AnyModel::Register(m) => Effect::Register(m.effect(op)),
            AnyModel::Text(m) => Effect::Text(m.effect(op)),
            AnyModel::Lists(m) => Effect::Lists(m.effect(op)),
        }
    }
}

impl Model for AnyModel<'_> {
    fn step(&mut self, state: u32, op: u32) -> Option<u32> {
        match self {
            AnyModel::Register(m) => m.step(state, op),
            AnyModel::Text(m) => m.step(state, op),
            AnyModel::Lists(m) => m.step(state, op),
        }
    }

    fn is_blind(&self, op: u32) -> bool {
        match self {
            AnyModel::Register(m) => m.is_blind(op),
            AnyModel::Text(m) => m.is_blind(op),
            AnyModel::Lists(m) => m.is_blind(op),
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
