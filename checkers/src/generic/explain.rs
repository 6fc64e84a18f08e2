//! What people are told about a part of a history that cannot be.

use super::minimize::Core;
use super::partition::{Look, Part, Role};
use super::{Action, Operation};
use crate::search::Model;
use squall_record::{Fact, Witness};

/// The witness: who is who, what must come before what, and what then cannot
/// be.
pub(crate) fn explain(part: &Part<'_>, core: &Core) -> Witness {
    let stuck = part.ops[core.stuck];
    let on = match &part.keys[..] {
        [] | [""] => String::new(),
        keys => format!(" on {:?}", keys.join(" ")),
    };
    let end = end(part, core);
    let (class, why) = reason(part, core, &end);
    let sentence = format!(
        "{}{on}: process {} {} at line {}, but {why}",
        class.replace('-', " "),
        stuck.process,
        stuck.action.text(true),
        stuck.ret.unwrap_or(stuck.line),
    );
    let lets = core.ops.iter().map(|i| {
        let op = part.ops[*i];
        let known = core.roles[*i] == Role::Required;
        let lines = match op.ret.filter(|_| known) {
            Some(ret) => format!("lines {} to {ret}", op.line),
            None => format!("line {}, outcome unknown", op.line),
        };
        Fact::new(
            format!("let {}", name(core, *i)),
            format!(
                "process {}: {} ({lines})",
                op.process,
                op.action.text(known)
            ),
        )
    });
    let mut facts: Vec<Fact> = lets.collect();
    let free = core.roles.iter().filter(|r| **r == Role::Free).count();
    if free > 0 {
        let often = if part.repeats() {
            "and any number of times"
        } else {
            "each at most once"
        };
        facts.push(Fact::new(
            "other writes",
            format!("{free} more may have happened at any time, or never, {often}"),
        ));
    }
    let before = precedence(part, core);
    if !before.is_empty() {
        facts.push(Fact::new("then", before));
    }
    if !core.order.is_empty() {
        let order: Vec<String> = core
            .order
            .iter()
            .map(|i| match core.ops.contains(i) {
                true => name(core, *i),
                false => part.ops[*i].action.text(false),
            })
            .collect();
        facts.push(Fact::new("the order that comes furthest", order.join("; ")));
    }
    facts.push(Fact::new("the last good state", end.state));
    facts.push(Fact::new(
        "contradiction",
        format!(
            "{} is {}, but {why}",
            name(core, core.stuck),
            stuck.action.text(true)
        ),
    ));
    Witness {
        guarantee: crate::linearizable::GUARANTEE.into(),
        sentence,
        t: 0,
        node: None,
        ops: Vec::new(),
        facts,
        class: class.into(),
    }
}

/// A, B, C ..: the operations of the core, in order of invocation.
fn name(core: &Core, i: usize) -> String {
    let n = core.ops.iter().position(|op| *op == i);
    match n.map(|n| (u8::try_from(n), n)) {
        Some((Ok(n @ 0..26), _)) => char::from(b'A' + n).into(),
        Some((_, n)) => format!("#{}", n + 1),
        None => "the operation".into(),
    }
}

/// What real time says about the core: of everything that came before an
/// operation, those that nothing else comes between.
fn precedence(part: &Part<'_>, core: &Core) -> String {
    let known = |i: &usize| core.roles[*i] == Role::Required;
    let before = |a: usize, b: usize| part.ops[a].ret.is_some_and(|ret| ret < part.ops[b].line);
    let required: Vec<usize> = core.ops.iter().copied().filter(known).collect();
    let mut said = Vec::new();
    for b in core.ops.iter().copied() {
        for a in required.iter().copied().filter(|a| before(*a, b)) {
            if required.iter().any(|c| before(a, *c) && before(*c, b)) {
                continue;
            }
            said.push(format!(
                "{} before {}, because it had returned (line {}) when {} was sent (line {})",
                name(core, a),
                name(core, b),
                part.ops[a].ret.unwrap_or(0),
                name(core, b),
                part.ops[b].line
            ));
        }
    }
    said.join("; ")
}

/// Where the order that comes furthest ends.
struct End {
    state: String,
    /// Why the operation that is stuck cannot be next.
    refusal: Option<String>,
}

fn end(part: &Part<'_>, core: &Core) -> End {
    let mut members = core.order.clone();
    members.push(core.stuck);
    part.with_model(Look::AtState, &core.roles, &members, |model| {
        let last = core.order.len() as u32;
        let state = (0..last)
            .try_fold(0, |state, op| model.step(state, op))
            .expect("the search took these steps");
        End {
            state: model.text(state),
            refusal: model.refusal(state, last),
        }
    })
}

/// The kind of violation, and why the operation that is stuck cannot be.
fn reason(part: &Part<'_>, core: &Core, end: &End) -> (&'static str, String) {
    let stuck = part.ops[core.stuck];
    let ret = stuck.ret.unwrap_or(u64::MAX);
    let mut writers: Vec<&&Operation> = part
        .ops
        .iter()
        .filter(|op| !op.action.is_pure() && !std::ptr::eq(**op, stuck))
        .collect();
    if let Some(value) = shown(&stuck.action) {
        writers.retain(|op| writes(&op.action, value));
        let Some(first) = writers.iter().map(|op| op.line).min() else {
            return ("phantom-value", "nobody ever wrote that".into());
        };
        if first > ret {
            let why = format!("that was not written before line {first}");
            return ("phantom-value", why);
        }
    }
    let over = writers
        .iter()
        .all(|op| op.ret.is_some_and(|ret| ret < stuck.line));
    let class = match (stuck.action.is_pure(), over) {
        (true, true) => "stale-read",
        (true, false) => "wrong-read",
        (false, _) => "wrong-response",
    };
    let why = match &end.refusal {
        Some(refusal) => {
            format!(
                "no order of what came before it allows that: in the one that comes furthest, {refusal}"
            )
        }
        None => format!(
            "wherever it is placed, something after it cannot be; the order that comes furthest ends with {}",
            end.state
        ),
    };
    (class, why)
}

/// What an answer shows that somebody must have written.
fn shown(action: &Action) -> Option<&str> {
    match action {
        Action::Read { value, .. } => value.as_deref(),
        Action::Cas {
            from,
            swapped: true,
            ..
        } => from.as_deref(),
        Action::Get { value, .. } => Some(value.as_str()).filter(|v| !v.is_empty()),
        Action::Cas { .. }
        | Action::Write { .. }
        | Action::Put { .. }
        | Action::Append { .. }
        | Action::Txn(_) => None,
    }
}

/// Whether an operation may have left a value, or its end, behind.
fn writes(action: &Action, value: &str) -> bool {
    match action {
        Action::Write { value: v, .. }
        | Action::Cas {
            to: v,
            swapped: true,
            ..
        } => v.as_deref() == Some(value),
        Action::Put { value: v, .. } | Action::Append { value: v, .. } => {
            !v.is_empty() && value.ends_with(v.as_str())
        }
        Action::Cas { .. } | Action::Read { .. } | Action::Get { .. } | Action::Txn(_) => false,
    }
}
