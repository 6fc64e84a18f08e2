//! Who may do what, from the history of grants and revocations.

use super::access::{Access, Need, Touch};
use super::register::{At, Register, Window};
use super::{AppliedAt, refusals};
use squall_api::pb::authpb::permission::Type;
use squall_api::pb::request_op::Request as OpRequest;
use squall_api::pb::{self, response_op};
use squall_api::{AuthRequest, AuthResponse, LeaseRequest};
use squall_record::{Call, Op, Outcome, Ret};
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

type Span<'a> = (&'a [u8], &'a [u8]);

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

    // --- what the history says ---

    /// Makes a register for whatever the call may write, so that later calls
    /// about several of them find all.
    fn name(&mut self, op: &'a Op) {
        match &op.call {
            Call::Auth(AuthRequest::UserGrantRole(r)) => {
                let roles = self.belongs.entry(&r.user).or_default();
                roles.entry(&r.role).or_default();
            }
            Call::Auth(AuthRequest::RoleGrantPermission(r)) => {
                if let Some(perm) = &r.perm {
                    let spans = self.granted.entry(&r.name).or_default();
                    spans.entry((&perm.key, &perm.range_end)).or_default();
                }
            }
            Call::Put(put) => self.name_put(put),
            Call::Txn(txn) => self.name_txn(txn),
            _ => {}
        }
    }

    fn name_put(&mut self, put: &'a pb::PutRequest) {
        if put.lease != 0 {
            self.attached.entry(&put.key).or_default();
            self.keys_of.entry(put.lease).or_default().insert(&put.key);
        }
    }

    fn name_txn(&mut self, txn: &'a pb::TxnRequest) {
        for op in txn.success.iter().chain(&txn.failure) {
            match &op.request {
                Some(OpRequest::RequestPut(put)) => self.name_put(put),
                Some(OpRequest::RequestTxn(txn)) => self.name_txn(txn),
                _ => {}
            }
        }
    }

    fn change(&mut self, call: &'a Call, ret: Option<&'a Ret>, effect: Effect) {
        let Effect { window, sure } = effect;
        match call {
            Call::Put(put) => self.put(put, effect),
            Call::DeleteRange(delete) => self.delete(delete, effect),
            Call::Txn(txn) => self.txn(txn, ret, effect),
            Call::Lease(LeaseRequest::Revoke(r)) => self.detach(r.id, effect),
            Call::Auth(AuthRequest::Enable(_)) => self.enabled.write(window, true, sure),
            Call::Auth(AuthRequest::Disable(_)) => {
                self.enabled.write(window, false, sure);
                for name in self.users.keys() {
                    let voids = self.voids.entry(name).or_default();
                    voids.write(window, (), sure);
                }
            }
            Call::Auth(AuthRequest::UserAdd(r)) => {
                let secret = match r.options.is_some_and(|o| o.no_password) {
                    true => Secret::Nothing,
                    false => Secret::Password(&r.password),
                };
                let users = self.users.entry(&r.name).or_default();
                users.write(window, Some(secret), sure);
            }
            Call::Auth(AuthRequest::UserDelete(r)) => self.forget_user(&r.name, effect),
            Call::Auth(AuthRequest::UserChangePassword(r)) => {
                // A user without a password stays without one.
                let users = self.users.entry(&r.name).or_default();
                let was_open = users.was_written(|v| *v == Some(Secret::Nothing));
                if !was_open {
                    users.write(window, Some(Secret::Password(&r.password)), sure);
                }
                let voids = self.voids.entry(&r.name).or_default();
                voids.write(window, (), sure);
            }
            Call::Auth(AuthRequest::UserGrantRole(r)) => {
                self.belonging(&r.user, &r.role).write(window, true, sure);
            }
            Call::Auth(AuthRequest::UserRevokeRole(r)) => {
                self.belonging(&r.name, &r.role).write(window, false, sure);
            }
            Call::Auth(AuthRequest::RoleDelete(r)) => {
                for register in self.granted.entry(&r.role).or_default().values_mut() {
                    register.write(window, None, sure);
                }
                for roles in self.belongs.values_mut() {
                    if let Some(register) = roles.get_mut(r.role.as_str()) {
                        register.write(window, false, sure);
                    }
                }
            }
            Call::Auth(AuthRequest::RoleGrantPermission(r)) => {
                if let Some(perm) = &r.perm {
                    let spans = self.granted.entry(&r.name).or_default();
                    let register = spans.entry((&perm.key, &perm.range_end)).or_default();
                    register.write(window, Some(perm.perm_type()), sure);
                }
            }
            Call::Auth(AuthRequest::RoleRevokePermission(r)) => {
                let spans = self.granted.entry(&r.role).or_default();
                let register = spans.entry((&r.key, &r.range_end)).or_default();
                register.write(window, None, sure);
            }
            _ => {}
        }
    }

    /// A refusal may say what is.
    fn observe(&mut self, call: &'a Call, message: &str, window: Window) {
        let effect = Effect { window, sure: true };
        match call {
            Call::Auth(AuthRequest::UserRevokeRole(r)) if message == refusals::ROLE_NOT_GRANTED => {
                self.belonging(&r.name, &r.role).write(window, false, true);
            }
            Call::Auth(AuthRequest::RoleRevokePermission(_))
                if message == refusals::PERMISSION_NOT_GRANTED =>
            {
                self.change(call, None, effect);
            }
            Call::Auth(AuthRequest::UserDelete(r)) if message == refusals::USER_NOT_FOUND => {
                self.forget_user(&r.name, effect);
            }
            _ => {}
        }
    }

    fn forget_user(&mut self, name: &'a str, Effect { window, sure }: Effect) {
        self.users
            .entry(name)
            .or_default()
            .write(window, None, sure);
        self.voids.entry(name).or_default().write(window, (), sure);
        for register in self.belongs.entry(name).or_default().values_mut() {
            register.write(window, false, sure);
        }
    }

    fn issue(&mut self, op: &'a Op, ret: &'a Ret, window: Window) {
        if let (
            Call::Auth(AuthRequest::Authenticate(asked)),
            Ret::Auth(AuthResponse::Authenticate(answer)),
        ) = (&op.call, ret)
        {
            let user = asked.name.as_str();
            self.tokens.insert(&answer.token, Issued { user, window });
        }
    }

    fn belonging(&mut self, user: &'a str, role: &'a str) -> &mut Register<bool> {
        let roles = self.belongs.entry(user).or_default();
        roles.entry(role).or_default()
    }

    fn put(&mut self, put: &'a pb::PutRequest, Effect { window, sure }: Effect) {
        if let Some(register) = self.attached.get_mut(&put.key[..])
            && !put.ignore_lease
        {
            register.write(window, put.lease, sure);
        }
    }

    fn delete(&mut self, delete: &'a pb::DeleteRangeRequest, Effect { window, sure }: Effect) {
        let hit = |key: &[u8]| crate::store::model::within(&delete.key, &delete.range_end, key);
        for (key, register) in self.attached.range_mut(&delete.key[..]..) {
            match hit(key) {
                true => register.write(window, 0, sure),
                false => break,
            }
        }
    }

    /// What was answered tells the branch; without it, either may have been.
    fn txn(&mut self, txn: &'a pb::TxnRequest, ret: Option<&'a Ret>, effect: Effect) {
        match ret {
            Some(Ret::Txn(answer)) => self.branch(txn, answer, effect),
            _ => self.branches(txn, effect),
        }
    }

    fn branch(&mut self, txn: &'a pb::TxnRequest, answer: &'a pb::TxnResponse, effect: Effect) {
        let ops = match answer.succeeded {
            true => &txn.success,
            false => &txn.failure,
        };
        for (op, answer) in ops.iter().zip(&answer.responses) {
            match (&op.request, &answer.response) {
                (Some(OpRequest::RequestPut(put)), _) => self.put(put, effect),
                (Some(OpRequest::RequestDeleteRange(delete)), _) => self.delete(delete, effect),
                (
                    Some(OpRequest::RequestTxn(txn)),
                    Some(response_op::Response::ResponseTxn(answer)),
                ) => self.branch(txn, answer, effect),
                _ => {}
            }
        }
    }

    fn branches(&mut self, txn: &'a pb::TxnRequest, effect: Effect) {
        let effect = Effect {
            sure: false,
            ..effect
        };
        for op in txn.success.iter().chain(&txn.failure) {
            match &op.request {
                Some(OpRequest::RequestPut(put)) => self.put(put, effect),
                Some(OpRequest::RequestDeleteRange(delete)) => self.delete(delete, effect),
                Some(OpRequest::RequestTxn(txn)) => self.branches(txn, effect),
                _ => {}
            }
        }
    }

    /// The lease ends, and with it its keys; keys that are another's stay.
    fn detach(&mut self, lease: i64, Effect { window, .. }: Effect) {
        for key in self.keys_of.get(&lease).into_iter().flatten() {
            // Whether the key was this lease's then is not asked: it may have
            // been, and that nothing is sure any more is enough.
            let register = self.attached.entry(key).or_default();
            register.write(window, 0, false);
        }
    }

    fn seal(&mut self) {
        self.enabled.seal();
        self.users.values_mut().for_each(Register::seal);
        self.voids.values_mut().for_each(Register::seal);
        let belongs = self.belongs.values_mut().flat_map(BTreeMap::values_mut);
        belongs.for_each(Register::seal);
        let granted = self.granted.values_mut().flat_map(BTreeMap::values_mut);
        granted.for_each(Register::seal);
        self.attached.values_mut().for_each(Register::seal);
        self.changes.sort_by_key(|(at, op)| (*at, op.id));
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

/// Whether the call changes users, roles, or whether they matter.
fn changes(call: &AuthRequest) -> bool {
    !matches!(
        call,
        AuthRequest::Authenticate(_)
            | AuthRequest::Status(_)
            | AuthRequest::UserGet(_)
            | AuthRequest::UserList(_)
            | AuthRequest::RoleGet(_)
            | AuthRequest::RoleList(_)
    )
}

/// Whether the union of spans has every key that is touched.
fn covers(mut spans: Vec<Span<'_>>, touch: &Touch<'_>) -> bool {
    spans.sort_unstable();
    let after = |key: &[u8]| [key, &[0]].concat();
    let (mut reached, end) = (
        touch.key.to_vec(),
        match touch.range_end {
            [] => Some(after(touch.key)),
            [0] => None,
            end if end <= touch.key => Some(after(touch.key)),
            end => Some(end.to_vec()),
        },
    );
    for (key, range_end) in spans {
        if key > &reached[..] {
            break;
        }
        let to = match range_end {
            [] => after(key),
            [0] => return true,
            end => end.to_vec(),
        };
        reached = reached.max(to);
    }
    end.is_some_and(|end| reached >= end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_what_they_cover_together() {
        let touch = |key: &'static str, end: &'static str| Touch {
            access: Access::Read,
            key: key.as_bytes(),
            range_end: end.as_bytes(),
        };
        type Case = (
            &'static [(&'static str, &'static str)],
            &'static str,
            &'static str,
            bool,
        );
        let cases: [Case; 11] = [
            (&[], "a", "", false),
            (&[("a", "")], "a", "", true),
            (&[("a", "")], "a", "b", false),
            (&[("a", ""), ("c", "")], "b", "", false),
            (&[("a", "c"), ("c", "e")], "a", "e", true),
            (&[("c", "e"), ("a", "c")], "b", "d", true),
            (&[("a", "b"), ("c", "e")], "a", "e", false),
            (&[("a", "z"), ("b", "c")], "a", "z", true),
            (&[("b", "\0")], "b", "\0", true),
            (&[("b", "\0")], "a", "\0", false),
            (&[("a", "z")], "a", "\0", false),
        ];
        for (spans, key, end, expected) in cases {
            let of = spans.iter().map(|(k, e)| (k.as_bytes(), e.as_bytes()));
            assert_eq!(
                covers(of.collect(), &touch(key, end)),
                expected,
                "{spans:?}"
            );
        }
    }
}
