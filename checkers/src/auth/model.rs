//! Who may do what, from the history of grants and revocations.

mod history;

use super::AppliedAt;
use super::access::{Access, Need, Touch};
use super::register::{At, Register, Window};
use super::span::{Span, covers};
use history::changes;
use squall_api::pb::authpb::permission::Type;
use squall_record::{Call, Op, Outcome};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ROOT: &str = "root";

/// How a user shows who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secret<'a> {
    Password(&'a str),
    /// Not by a password.
    Nothing,
}

/// A token, as `Authenticate` answered it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Issued<'a> {
    pub(super) user: &'a str,
    pub(super) window: Window,
}

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub(super) enum Caller<'a> {
    Nobody,
    Known(Issued<'a>),
    /// Somebody with a token that nobody was given.
    Stranger,
}

/// Whether something is permitted, as far as the history tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    Unclear,
}

/// Users, roles, permissions and leases, at any time.
#[derive(Default)]
pub(super) struct Model<'a> {
    pub(super) enabled: Register<bool>,
    /// `None` in it for a user that is gone.
    pub(super) users: BTreeMap<&'a str, Register<Option<Secret<'a>>>>,
    /// Of a user: what makes its tokens void.
    pub(super) voids: BTreeMap<&'a str, Register<()>>,
    belongs: BTreeMap<&'a str, BTreeMap<&'a str, Register<bool>>>,
    granted: BTreeMap<&'a str, BTreeMap<Span<'a>, Register<Option<Type>>>>,
    /// The lease of each key that ever had one.
    attached: BTreeMap<&'a [u8], Register<i64>>,
    keys_of: BTreeMap<i64, BTreeSet<&'a [u8]>>,
    tokens: BTreeMap<&'a str, Issued<'a>>,
    /// Every change of users and roles that was answered, by when.
    pub(super) changes: Vec<(At, &'a Op)>,
}

/// What is known of one change.
#[derive(Clone, Copy)]
struct Effect {
    window: Window,
    sure: bool,
}

impl<'a> Model<'a> {
    pub(super) fn of(history: &'a [Op], applied: &AppliedAt) -> Model<'a> {
        let mut model = Model::default();
        for op in history {
            model.name(op);
        }
        for op in history {
            let exact = applied.of_op(op.id).map(Window::after);
            let window = exact.unwrap_or(Window::between(op.invoke, op.ret.unwrap_or(u64::MAX)));
            match &op.outcome {
                Outcome::Ok(ret) => {
                    let effect = Effect { window, sure: true };
                    model.change(&op.call, Some(ret), effect);
                    if matches!(&op.call, Call::Auth(call) if changes(call)) {
                        model.changes.push((window.to, op));
                    }
                    model.issue(op, ret, window);
                }
                Outcome::Unknown(_) if exact.is_some() || !applied.is_known() => {
                    let window = exact.unwrap_or(Window {
                        to: (u64::MAX, u64::MAX),
                        ..window
                    });
                    model.change(
                        &op.call,
                        None,
                        Effect {
                            window,
                            sure: false,
                        },
                    );
                }
                Outcome::Unknown(_) => {}
                Outcome::Refused(status) => model.observe(&op.call, &status.message, window),
            }
        }
        for (window, lease) in applied.expiries() {
            let window = window.after();
            model.detach(lease, Effect { window, sure: true });
        }
        model.seal();
        model
    }

    /// Who made this call.
    pub(super) fn caller(&self, token: &str) -> Caller<'a> {
        match self.tokens.get(token) {
            _ if token.is_empty() => Caller::Nobody,
            Some(issued) => Caller::Known(*issued),
            None => Caller::Stranger,
        }
    }

    /// Whether `caller` may do what needs this, at any time of the window.
    pub(super) fn may(&self, caller: Caller<'_>, need: &Need<'_>, window: Window) -> Answer {
        let holds = |sure| match (caller, need) {
            (_, Need::Nothing) => true,
            (Caller::Known(issued), need) => self.holds(Some(issued.user), need, window, sure),
            (Caller::Nobody | Caller::Stranger, need) => self.holds(None, need, window, sure),
        };
        let is_on = |value: Option<&bool>| value == Some(&true);
        if holds(true) || !self.enabled.possibly(window, is_on) {
            return Answer::Yes;
        }
        match self.enabled.surely(window, is_on) && !holds(false) {
            true => Answer::No,
            false => Answer::Unclear,
        }
    }

    /// Whether the user `root` with its role is surely not there.
    pub(super) fn lacks_root(&self, window: Window) -> bool {
        !self.has_role(ROOT, ROOT, window, false) || !self.exists(ROOT, window, false)
    }

    /// Whether the user `root` with its role is surely there.
    pub(super) fn has_root(&self, window: Window) -> bool {
        self.has_role(ROOT, ROOT, window, true) && self.exists(ROOT, window, true)
    }

    /// What a user may surely touch, in words.
    pub(super) fn describe(&self, user: &str, window: Window) -> String {
        let mut said = Vec::new();
        if self.has_role(user, ROOT, window, true) {
            said.push("everything".to_owned());
        }
        for (what, access) in [("read", Access::Read), ("write", Access::Write)] {
            for (key, end) in self.spans(user, access, window, true) {
                let (key, end) = (key.escape_ascii(), end.escape_ascii());
                said.push(format!("{what} [\"{key}\", \"{end}\")"));
            }
        }
        match said.is_empty() {
            true => "may surely do nothing".into(),
            false => format!("may {}", said.join(", ")),
        }
    }

    // --- one state, or all that are possible ---

    fn holds(&self, user: Option<&str>, need: &Need<'_>, window: Window, sure: bool) -> bool {
        let user = user.filter(|user| self.exists(user, window, sure));
        if user.is_some_and(|user| self.has_role(user, ROOT, window, sure)) {
            return true;
        }
        match need {
            Need::Nothing => true,
            Need::Root => false,
            Need::User(name) => user == Some(*name),
            Need::Role(role) => user.is_some_and(|user| self.has_role(user, role, window, sure)),
            Need::Keys(touched, leases) => {
                touched.iter().all(|t| self.covers(user, t, window, sure))
                    && leases
                        .iter()
                        .all(|lease| self.may_decide_over(user, *lease, window, sure))
            }
        }
    }

    /// A lease without keys is anybody's.
    fn may_decide_over(&self, user: Option<&str>, lease: i64, window: Window, sure: bool) -> bool {
        let keys = self.keys_of.get(&lease).into_iter().flatten();
        let mut attached = keys.filter(|key| {
            let register = &self.attached[**key];
            let is_it = |value: Option<&i64>| value == Some(&lease);
            match sure {
                true => register.possibly(window, is_it),
                false => register.surely(window, is_it),
            }
        });
        attached.all(|key| {
            let touch = Touch {
                access: Access::Write,
                key,
                range_end: &[],
            };
            self.covers(user, &touch, window, sure)
        })
    }

    fn exists(&self, user: &str, window: Window, sure: bool) -> bool {
        holds(self.users.get(user), window, sure, |v| {
            v.is_some_and(Option::is_some)
        })
    }

    fn has_role(&self, user: &str, role: &str, window: Window, sure: bool) -> bool {
        let register = self.belongs.get(user).and_then(|roles| roles.get(role));
        holds(register, window, sure, |v| v == Some(&true))
    }

    fn spans(&self, user: &str, access: Access, window: Window, sure: bool) -> Vec<Span<'a>> {
        let mut spans = Vec::new();
        for role in self.belongs.get(user).into_iter().flat_map(BTreeMap::keys) {
            let Some(granted) = self.granted.get(role) else {
                continue;
            };
            if !self.has_role(user, role, window, sure) {
                continue;
            }
            let fits = granted.iter().filter(|(_, register)| {
                holds(Some(register), window, sure, |v| {
                    v.copied().flatten().is_some_and(|kind| {
                        kind == Type::Readwrite || (kind == Type::Read) == (access == Access::Read)
                    })
                })
            });
            spans.extend(fits.map(|(span, _)| *span));
        }
        spans
    }

    fn covers(&self, user: Option<&str>, touch: &Touch<'_>, window: Window, sure: bool) -> bool {
        user.is_some_and(|user| covers(self.spans(user, touch.access, window, sure), touch))
    }
}

fn holds<V>(
    register: Option<&Register<V>>,
    window: Window,
    sure: bool,
    such: impl Fn(Option<&V>) -> bool,
) -> bool {
    match (register, sure) {
        (None, _) => such(None),
        (Some(register), true) => register.surely(window, such),
        (Some(register), false) => register.possibly(window, such),
    }
}
