//! Permissions against the obvious: a table of who may do what with which key.
//!
//! The model knows nothing of intervals, revisions or caches. Keys are one
//! letter, so that a range is a list of them.

use super::auth_bench::{
    bench, grant, grant_role, revoke, revoke_role, role_add, role_delete, user_add, user_delete,
};
use super::bench::{Bench, IntoOp as _, bytes, del, get, put, txn};
use proptest::collection::vec;
use proptest::prelude::*;
use squall_api::pb::authpb::permission::Type;
use squall_api::{AuthRequest, Code, Metadata, Request, pb};
use std::collections::{BTreeMap, BTreeSet};

const USERS: [&str; 2] = ["ann", "bob"];
const ROLES: [&str; 3] = ["one", "two", "three"];
const LETTERS: std::ops::Range<u8> = b'a'..b'h';

/// A key (`to == from`), a range, or all from a key on (`to` past the letters).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    from: u8,
    to: u8,
}

impl Span {
    fn key(&self) -> String {
        char::from(self.from).into()
    }

    fn range_end(&self) -> String {
        match self.to {
            to if to == self.from => String::new(),
            to if to >= LETTERS.end => "\0".into(),
            to => char::from(to).into(),
        }
    }

    /// What it holds. A range holds more than its letters, so it is told apart
    /// from a list of them by what lies between two letters; so is what lies
    /// behind the last letter.
    fn keys(&self) -> BTreeSet<(u8, bool)> {
        match self.to {
            to if to == self.from => [(self.from, false)].into(),
            to => (self.from..to.min(LETTERS.end))
                .flat_map(|letter| [(letter, false), (letter, true)])
                .chain((to >= LETTERS.end).then_some((LETTERS.end, true)))
                .collect(),
        }
    }
}

fn span() -> impl Strategy<Value = Span> {
    (LETTERS, 0u8..5).prop_map(|(from, len)| Span {
        from,
        to: (from + len).min(LETTERS.end),
    })
}

#[derive(Debug, Clone)]
enum Step {
    AddUser(usize),
    DeleteUser(usize),
    AddRole(usize),
    DeleteRole(usize),
    GrantRole(usize, usize),
    RevokeRole(usize, usize),
    Grant(usize, bool, bool, Span),
    Revoke(usize, Span),
    Ask(usize, Vec<Access>),
}

/// Something that is done to a span, in one request or as part of one.
#[derive(Debug, Clone)]
enum Access {
    Get(Span),
    Put(Span, bool),
    Delete(Span, bool),
    Compare(Span),
}

impl Access {
    /// The spans that must be readable, and those that must be writable.
    fn needs(&self) -> (Option<Span>, Option<Span>) {
        let key = |span: Span| Span {
            to: span.from,
            ..span
        };
        match *self {
            Access::Get(span) | Access::Compare(span) => (Some(span), None),
            Access::Put(span, prev_kv) => (prev_kv.then_some(key(span)), Some(key(span))),
            Access::Delete(span, prev_kv) => (prev_kv.then_some(span), Some(span)),
        }
    }
}

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![
        span().prop_map(Access::Get),
        (span(), any::<bool>()).prop_map(|(span, prev_kv)| Access::Put(span, prev_kv)),
        (span(), any::<bool>()).prop_map(|(span, prev_kv)| Access::Delete(span, prev_kv)),
        span().prop_map(Access::Compare),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let (user, role) = (0..USERS.len(), 0..ROLES.len());
    prop_oneof![
        1 => user.clone().prop_map(Step::AddUser),
        1 => user.clone().prop_map(Step::DeleteUser),
        1 => role.clone().prop_map(Step::AddRole),
        1 => role.clone().prop_map(Step::DeleteRole),
        3 => (user.clone(), role.clone()).prop_map(|(u, r)| Step::GrantRole(u, r)),
        1 => (user.clone(), role.clone()).prop_map(|(u, r)| Step::RevokeRole(u, r)),
        5 => (role.clone(), any::<bool>(), any::<bool>(), span())
            .prop_map(|(r, read, write, span)| Step::Grant(r, read, write, span)),
        1 => (role, span()).prop_map(|(r, span)| Step::Revoke(r, span)),
        8 => (user, vec(access(), 1..4)).prop_map(|(u, all)| Step::Ask(u, all)),
    ]
}

#[derive(Debug, Default)]
struct Model {
    /// The roles of each user.
    users: BTreeMap<usize, BTreeSet<usize>>,
    /// What each role may read and write, by span.
    roles: BTreeMap<usize, BTreeMap<Span, (bool, bool)>>,
}

impl Model {
    /// Applies a change, and says whether it is one that can be made.
    fn change(&mut self, step: &Step) -> bool {
        match *step {
            Step::AddUser(user) => {
                let is_new = !self.users.contains_key(&user);
                self.users.entry(user).or_default();
                is_new
            }
            Step::DeleteUser(user) => self.users.remove(&user).is_some(),
            Step::AddRole(role) => {
                let is_new = !self.roles.contains_key(&role);
                self.roles.entry(role).or_default();
                is_new
            }
            Step::DeleteRole(role) => {
                self.users.values_mut().for_each(|roles| {
                    roles.remove(&role);
                });
                self.roles.remove(&role).is_some()
            }
            Step::GrantRole(user, role) => match self.users.get_mut(&user) {
                Some(roles) if self.roles.contains_key(&role) => {
                    roles.insert(role);
                    true
                }
                _ => false,
            },
            Step::RevokeRole(user, role) => self
                .users
                .get_mut(&user)
                .is_some_and(|roles| roles.remove(&role)),
            Step::Grant(role, read, write, span) => match self.roles.get_mut(&role) {
                Some(spans) => {
                    spans.insert(span, (read || !write, write));
                    true
                }
                None => false,
            },
            Step::Revoke(role, span) => {
                let spans = self.roles.get_mut(&role);
                spans.is_some_and(|spans| spans.remove(&span).is_some())
            }
            Step::Ask(..) => true,
        }
    }

    fn may(&self, user: usize, span: Span, write: bool) -> bool {
        let roles = &self.users[&user];
        let spans = roles.iter().flat_map(|role| &self.roles[role]);
        let fits = spans.filter(|(_, (r, w))| if write { *w } else { *r });
        let held: BTreeSet<_> = fits.flat_map(|(span, _)| span.keys()).collect();
        span.keys().is_subset(&held)
    }

    fn permits(&self, user: usize, all: &[Access]) -> bool {
        all.iter().all(|access| {
            let (read, write) = access.needs();
            read.is_none_or(|span| self.may(user, span, false))
                && write.is_none_or(|span| self.may(user, span, true))
        })
    }
}

fn auth_request(step: &Step) -> AuthRequest {
    match *step {
        Step::AddUser(user) => user_add(USERS[user], USERS[user]),
        Step::DeleteUser(user) => user_delete(USERS[user]),
        Step::AddRole(role) => role_add(ROLES[role]),
        Step::DeleteRole(role) => role_delete(ROLES[role]),
        Step::GrantRole(user, role) => grant_role(USERS[user], ROLES[role]),
        Step::RevokeRole(user, role) => revoke_role(USERS[user], ROLES[role]),
        Step::Grant(role, read, write, span) => {
            let kind = match (read, write) {
                (true, true) => Type::Readwrite,
                (false, true) => Type::Write,
                (_, false) => Type::Read,
            };
            grant(ROLES[role], kind, &span.key(), &span.range_end())
        }
        Step::Revoke(role, span) => revoke(ROLES[role], &span.key(), &span.range_end()),
        Step::Ask(..) => unreachable!("changes nothing"),
    }
}

fn put_request(span: Span, prev_kv: bool) -> pb::PutRequest {
    pb::PutRequest {
        prev_kv,
        ..put(&span.key(), "v")
    }
}

fn delete_request(span: Span, prev_kv: bool) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest {
        prev_kv,
        ..del(&span.key(), &span.range_end())
    }
}

/// The requests that do all of this: one alone also as itself, and each also
/// in a transaction, in the branch that is not taken.
fn requests(all: &[Access]) -> Vec<Request> {
    let mut compare = Vec::new();
    let mut ops = Vec::new();
    for access in all {
        match *access {
            Access::Get(span) => ops.push(get(&span.key(), &span.range_end()).op()),
            Access::Put(span, prev_kv) => ops.push(put_request(span, prev_kv).op()),
            Access::Delete(span, prev_kv) => ops.push(delete_request(span, prev_kv).op()),
            Access::Compare(span) => compare.push(pb::Compare {
                key: bytes(&span.key()),
                range_end: bytes(&span.range_end()),
                ..pb::Compare::default()
            }),
        }
    }
    let nested = txn(vec![], vec![], ops.clone()).op();
    let mut requests = vec![
        Request::Txn(txn(compare.clone(), ops.clone(), vec![])),
        Request::Txn(txn(compare.clone(), vec![], ops)),
        Request::Txn(txn(compare, vec![nested], vec![])),
    ];
    if let [access] = all {
        requests.extend(match *access {
            Access::Get(span) => Some(Request::Range(get(&span.key(), &span.range_end()))),
            Access::Put(span, prev_kv) => Some(Request::Put(put_request(span, prev_kv))),
            Access::Delete(span, prev_kv) => {
                Some(Request::DeleteRange(delete_request(span, prev_kv)))
            }
            Access::Compare(_) => None,
        });
    }
    requests
}

fn is_denied(bench: &mut Bench, req: Request) -> Option<bool> {
    match bench.call(req) {
        Ok(_) => Some(false),
        Err(status) if status.code == Code::PermissionDenied => Some(true),
        // Refused before anybody asked who it is.
        Err(status) if status.message.contains("duplicate key") => None,
        Err(status) => panic!("{status}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nobody_may_more_or_less_than_its_roles_say(steps in vec(step(), 1..60)) {
        let mut bench = bench();
        let enable = AuthRequest::Enable(pb::AuthEnableRequest {});
        for req in [user_add("root", "root"), grant_role("root", "root"), enable] {
            prop_assert_eq!(bench.auth(req), "done");
        }
        bench.become_user("root");
        let root = bench.meta.clone();
        let mut tokens: BTreeMap<usize, Metadata> = BTreeMap::new();
        let mut model = Model::default();
        for step in &steps {
            let Step::Ask(user, all) = step else {
                let expected = model.change(step);
                let said = bench.auth(auth_request(step));
                prop_assert_eq!(said == "done", expected, "{:?}: {}", step, said);
                if let Step::DeleteUser(user) = step {
                    tokens.remove(user);
                }
                continue;
            };
            if !model.users.contains_key(user) {
                continue;
            }
            if !tokens.contains_key(user) {
                bench.become_user(USERS[*user]);
                tokens.insert(*user, bench.meta.clone());
            }
            bench.meta = tokens[user].clone();
            for req in requests(all) {
                let asked = format!("{req:?}");
                if let Some(denied) = is_denied(&mut bench, req) {
                    prop_assert_eq!(denied, !model.permits(*user, all), "{}", asked);
                }
            }
            bench.meta = root.clone();
        }
    }
}
