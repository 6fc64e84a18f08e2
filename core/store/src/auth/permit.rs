//! Who may do what.

use super::{Auth, Caller, OF_MEMBER, is_root};
use crate::error::Refusal;
use bytes::Bytes;
use squall_api::Bug;
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::request_op::Request as Op;
use squall_api::pb::{PutRequest, RequestOp, TxnRequest};

/// What is done to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

impl Auth {
    /// Whether `caller` may do what `command` says. `keys_of` are the keys that
    /// are attached to a lease.
    pub(crate) fn permit(
        &self,
        caller: Option<&Caller>,
        command: &Command,
        keys_of: &dyn Fn(i64) -> Vec<Bytes>,
    ) -> Result<(), Refusal> {
        if !self.enabled || caller.is_some_and(|c| c.revision == OF_MEMBER) {
            return Ok(());
        }
        match command {
            Command::Put(put) => self.permit_put(caller, put, keys_of),
            Command::DeleteRange(delete) => {
                self.may(caller, Access::Write, &delete.key, &delete.range_end)?;
                if delete.prev_kv {
                    self.may_read(caller, &delete.key, &delete.range_end)?;
                }
                Ok(())
            }
            Command::Txn(txn) => self.permit_txn(caller, txn, keys_of),
            Command::LeaseRevoke(revoke) => self.may_write_all(caller, &keys_of(revoke.id)),
            Command::Compaction(_)
            | Command::MemberUpdate(_)
            | Command::DowngradeInfoSet(_)
            | Command::AuthEnable(_)
            | Command::AuthDisable(_)
            | Command::AuthUserAdd(_)
            | Command::AuthUserDelete(_)
            | Command::AuthUserChangePassword(_)
            | Command::AuthUserGrantRole(_)
            | Command::AuthUserRevokeRole(_)
            | Command::AuthRoleAdd(_)
            | Command::AuthRoleDelete(_)
            | Command::AuthRoleGrantPermission(_)
            | Command::AuthRoleRevokePermission(_) => self.may_manage(caller),
            // Alarms are raised by members, and who else may is asked before
            // they are proposed; whoever may ask at all may grant a lease; and
            // a login is judged by its password.
            _ => Ok(()),
        }
    }

    /// Whether `caller` may read all keys of a span.
    pub(crate) fn may_read(
        &self,
        caller: Option<&Caller>,
        key: &[u8],
        range_end: &[u8],
    ) -> Result<(), Refusal> {
        self.may(caller, Access::Read, key, range_end)
    }

    /// Whether `caller` may read each of these keys.
    pub(crate) fn may_read_all(
        &self,
        caller: Option<&Caller>,
        keys: &[Bytes],
    ) -> Result<(), Refusal> {
        keys.iter()
            .try_for_each(|key| self.may_read(caller, key, &[]))
    }

    /// Whether `caller` may run a transaction: all that it may do, whichever
    /// branch is taken.
    pub(crate) fn permit_txn(
        &self,
        caller: Option<&Caller>,
        txn: &TxnRequest,
        keys_of: &dyn Fn(i64) -> Vec<Bytes>,
    ) -> Result<(), Refusal> {
        if !self.enabled {
            return Ok(());
        }
        for compare in &txn.compare {
            self.may_read(caller, &compare.key, &compare.range_end)?;
        }
        self.permit_ops(caller, &txn.success, keys_of)?;
        if self.bugs.has(Bug::CheckOneBranch) {
            return Ok(());
        }
        self.permit_ops(caller, &txn.failure, keys_of)
    }

    /// Whether `caller` may do what is root's: nobody needs to be identified
    /// while auth is disabled.
    pub(crate) fn may_manage(&self, caller: Option<&Caller>) -> Result<(), Refusal> {
        if !self.enabled {
            return Ok(());
        }
        let caller = caller.ok_or(Refusal::UserEmpty)?;
        if caller.revision == OF_MEMBER {
            return Ok(());
        }
        match self.users.get(&caller.user) {
            Some(user) if is_root(user) => Ok(()),
            _ => Err(Refusal::PermissionDenied),
        }
    }

    /// Whether `caller` is anybody at all.
    pub(crate) fn must_be_known(&self, caller: Option<&Caller>) -> Result<(), Refusal> {
        match self.enabled && caller.is_none() {
            true => Err(Refusal::UserEmpty),
            false => Ok(()),
        }
    }

    /// Whether `caller` may look at this user: root, and everybody at itself.
    pub(crate) fn may_see_user(&self, caller: Option<&Caller>, name: &str) -> Result<(), Refusal> {
        match caller {
            Some(caller) if caller.user == name => Ok(()),
            _ => self.may_manage(caller),
        }
    }

    /// Whether `caller` may look at this role: root, and whoever has it.
    pub(crate) fn may_see_role(&self, caller: Option<&Caller>, role: &str) -> Result<(), Refusal> {
        let user = caller.and_then(|caller| self.users.get(&caller.user));
        match user {
            Some(user) if user.roles.iter().any(|r| r == role) => Ok(()),
            _ => self.may_manage(caller),
        }
    }

    fn permit_put(
        &self,
        caller: Option<&Caller>,
        put: &PutRequest,
        keys_of: &dyn Fn(i64) -> Vec<Bytes>,
    ) -> Result<(), Refusal> {
        self.may(caller, Access::Write, &put.key, &[])?;
        if put.lease != 0 {
            // Who attaches a key decides with the lease over its other keys.
            self.may_write_all(caller, &keys_of(put.lease))?;
        }
        if put.prev_kv {
            self.may_read(caller, &put.key, &[])?;
        }
        Ok(())
    }

    fn permit_ops(
        &self,
        caller: Option<&Caller>,
        ops: &[RequestOp],
        keys_of: &dyn Fn(i64) -> Vec<Bytes>,
    ) -> Result<(), Refusal> {
        for op in ops {
            match &op.request {
                Some(Op::RequestRange(range)) => {
                    self.may_read(caller, &range.key, &range.range_end)?;
                }
                Some(Op::RequestPut(put)) => self.permit_put(caller, put, keys_of)?,
                Some(Op::RequestDeleteRange(delete)) => {
                    if delete.prev_kv {
                        self.may_read(caller, &delete.key, &delete.range_end)?;
                    }
                    self.may(caller, Access::Write, &delete.key, &delete.range_end)?;
                }
                Some(Op::RequestTxn(txn)) => self.permit_txn(caller, txn, keys_of)?,
                None => {}
            }
        }
        Ok(())
    }

    fn may_write_all(&self, caller: Option<&Caller>, keys: &[Bytes]) -> Result<(), Refusal> {
        if self.bugs.has(Bug::UncheckedLeaseKeys) {
            return Ok(());
        }
        let mut keys = keys.iter();
        keys.try_for_each(|key| self.may(caller, Access::Write, key, &[]))
    }

    fn may(
        &self,
        caller: Option<&Caller>,
        access: Access,
        key: &[u8],
        range_end: &[u8],
    ) -> Result<(), Refusal> {
        if !self.enabled {
            return Ok(());
        }
        let caller = caller.ok_or(Refusal::UserEmpty)?;
        let current = match self.bugs.has(Bug::StaleAuthRevision) {
            true => self.opened_at,
            false => self.revision,
        };
        if caller.revision < current {
            return Err(Refusal::AuthOldRevision);
        }
        let user = self.users.get(&caller.user);
        let user = user.ok_or(Refusal::PermissionDenied)?;
        if is_root(user) {
            return Ok(());
        }
        let Some(granted) = self.granted.get(&caller.user) else {
            return Err(Refusal::PermissionDenied);
        };
        let keys = match access {
            Access::Read => &granted.read,
            Access::Write => &granted.write,
        };
        let covered = match self.bugs.has(Bug::RangeEndExcluded) && range_end > key {
            true => keys.cover(key, &[range_end, &[0]].concat()),
            false => keys.cover(key, range_end),
        };
        match covered {
            true => Ok(()),
            false => Err(Refusal::PermissionDenied),
        }
    }
}
