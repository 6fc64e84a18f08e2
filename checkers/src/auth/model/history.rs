//! What the history says of users, roles, permissions and leases, written into the
//! model.

use super::super::refusals;
use super::super::register::{Register, Window};
use super::{Effect, Issued, Model, Secret};
use squall_api::pb::request_op::Request as OpRequest;
use squall_api::pb::{self, response_op};
use squall_api::{AuthRequest, AuthResponse, LeaseRequest};
use squall_record::{Call, Op, Ret};
use std::collections::BTreeMap;

impl<'a> Model<'a> {
    /// Makes a register for whatever the call may write, so that later calls
    /// about several of them find all.
    pub(super) fn name(&mut self, op: &'a Op) {
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

    pub(super) fn change(&mut self, call: &'a Call, ret: Option<&'a Ret>, effect: Effect) {
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
    pub(super) fn observe(&mut self, call: &'a Call, message: &str, window: Window) {
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

    pub(super) fn issue(&mut self, op: &'a Op, ret: &'a Ret, window: Window) {
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
    pub(super) fn detach(&mut self, lease: i64, Effect { window, .. }: Effect) {
        for key in self.keys_of.get(&lease).into_iter().flatten() {
            // Whether the key was this lease's then is not asked: it may have
            // been, and that nothing is sure any more is enough.
            let register = self.attached.entry(key).or_default();
            register.write(window, 0, false);
        }
    }

    pub(super) fn seal(&mut self) {
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

/// Whether the call changes users, roles, or whether they matter.
pub(super) fn changes(call: &AuthRequest) -> bool {
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
