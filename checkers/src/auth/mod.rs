//! Auth: nobody is served what it may not have, and nobody is refused what it
//! may.
//!
//! Who may do what, and when, is known from the history of grants and
//! revocations alone ([`model`]): a change took effect at some moment between
//! its call and its answer. Whoever ran the store may have seen in which order
//! entries were applied, and then the moment is exact. A call is judged by all
//! states that may have decided over it; where they disagree, it is not judged.
//! All rules are linear but for sorting and looking up, in the calls and in the
//! permissions that a user was ever granted.

mod access;
mod model;
mod refusals;
mod register;
mod served;
mod span;
#[cfg(test)]
mod tests;
mod tokens;
mod users;
mod watches;

pub(crate) use refusals::is_denial;

use crate::rules::{Found, judged};
use model::Model;
use register::Window;
use squall_record::{Check, Event, Fact, Op, Stream, Witness};
use std::collections::BTreeMap;

/// An entry, as the first member applied it. The order of a slice of these is the
/// order of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    /// The operation that asked for it, if a client's did.
    pub op: Option<u64>,
    /// The lease that it ended, if it ended one.
    pub lease: Option<i64>,
    /// When, in true nanoseconds.
    pub t: u64,
    /// The store's revision after it.
    pub revision: i64,
}

/// What the store was told about tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// For how long a token is good after its last use, in nanoseconds.
    pub token_ttl: u64,
    /// How wrong a clock may run, in millionths.
    pub drift_ppm: u64,
}

/// Judges a history, its streams and its events; `took` is what the host of the
/// store saw, if it looked.
pub fn check(
    history: &[Op],
    streams: &[Stream],
    events: &[Event],
    took: Option<&[Took]>,
    terms: Terms,
) -> Vec<Check> {
    let applied = AppliedAt::of(took);
    let mut by_invoke: Vec<&Op> = history.iter().collect();
    by_invoke.sort_by_key(|op| (op.invoke, op.id));
    let case = Case {
        model: Model::of(history, &applied),
        ops: by_invoke,
        streams,
        events,
        applied,
        terms,
    };
    type Rule = fn(&Case<'_>) -> Found;
    let rules: [(&str, Rule); 6] = [
        ("auth.permitted", served::permitted),
        ("auth.refused", served::refused),
        ("auth.tokens", tokens::good),
        ("auth.logins", users::logins),
        ("auth.root", users::root),
        ("auth.watches", watches::permitted),
    ];
    rules.map(|(name, rule)| judged(name, rule(&case))).into()
}

/// Everything that the rules look at.
struct Case<'a> {
    model: Model<'a>,
    /// In order of invocation.
    ops: Vec<&'a Op>,
    streams: &'a [Stream],
    events: &'a [Event],
    applied: AppliedAt,
    terms: Terms,
}

impl Case<'_> {
    /// When a call was decided, if by what was applied or asked of a quorum.
    fn window(&self, op: &Op) -> Window {
        let called = Window::between(op.invoke, op.ret.unwrap_or(u64::MAX));
        self.applied.of_op(op.id).unwrap_or(called)
    }

    /// What was changed last before a call, for who reads the witness.
    fn last_change(&self, window: Window) -> Option<Fact> {
        let changes = &self.model.changes;
        let before = changes.partition_point(|(at, _)| *at < window.from);
        let (_, op) = changes.get(before.checked_sub(1)?)?;
        let told = op.ret.map(squall_record::seconds);
        let told = told.map_or_else(String::new, |t| format!(", answered at {t}"));
        Some(Fact::new(
            "the last change before",
            format!("op {}, {}{told}", op.id, describe(&op.call)),
        ))
    }
}

/// A call in few words, with the names that matter here.
fn describe(call: &squall_record::Call) -> String {
    use squall_api::AuthRequest;
    use squall_record::Call;
    let span = |key: &[u8], end: &[u8]| {
        let (key, end) = (key.escape_ascii(), end.escape_ascii());
        format!("[\"{key}\", \"{end}\")")
    };
    match call {
        Call::Auth(AuthRequest::RoleGrantPermission(r)) => match &r.perm {
            Some(p) => format!("grants {} {}", r.name, span(&p.key, &p.range_end)),
            None => format!("grants {} nothing", r.name),
        },
        Call::Auth(AuthRequest::RoleRevokePermission(r)) => {
            format!("takes {} from {}", span(&r.key, &r.range_end), r.role)
        }
        Call::Auth(AuthRequest::UserGrantRole(r)) => format!("gives {} role {}", r.user, r.role),
        Call::Auth(AuthRequest::UserRevokeRole(r)) => {
            format!("takes role {} from {}", r.role, r.name)
        }
        Call::Auth(AuthRequest::UserDelete(r)) => format!("deletes user {}", r.name),
        other => crate::describe::call(other),
    }
}

/// When entries were applied first, by what asked for them.
#[derive(Debug, Default)]
struct AppliedAt {
    known: bool,
    ops: BTreeMap<u64, Window>,
    expiries: Vec<(Window, i64)>,
    /// By revision: the entry that made it.
    revisions: BTreeMap<i64, Window>,
}

impl AppliedAt {
    fn of(took: Option<&[Took]>) -> AppliedAt {
        let mut applied = AppliedAt {
            known: took.is_some(),
            ..AppliedAt::default()
        };
        for (place, entry) in (1..).zip(took.unwrap_or_default()) {
            // What an entry does comes after what is decided over it.
            let at = (entry.t, 2 * place);
            let window = Window { from: at, to: at };
            if let Some(op) = entry.op {
                applied.ops.insert(op, window);
            }
            if let (Some(lease), None) = (entry.lease, entry.op) {
                applied.expiries.push((window, lease));
            }
            applied.revisions.entry(entry.revision).or_insert(window);
        }
        applied
    }

    fn is_known(&self) -> bool {
        self.known
    }

    fn of_revision(&self, revision: i64) -> Option<Window> {
        self.revisions.get(&revision).copied()
    }

    fn expiries(&self) -> impl Iterator<Item = (Window, i64)> {
        self.expiries.iter().copied()
    }

    fn of_op(&self, op: u64) -> Option<Window> {
        self.ops.get(&op).copied()
    }
}

fn witness(
    guarantee: &str,
    class: &str,
    sentence: String,
    t: u64,
    ops: Vec<&Op>,
    facts: Vec<Fact>,
) -> Box<Witness> {
    Box::new(Witness {
        guarantee: guarantee.into(),
        sentence,
        t,
        node: None,
        ops: ops.into_iter().cloned().collect(),
        facts,
        class: class.into(),
    })
}
