//! How users and roles change: each call as etcd answers it.

use super::{Auth, ROLES, ROOT, USERS, has_no_password, is_root, row};
use crate::error::Refusal;
use crate::rows::Rows;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use squall_api::Bug;
use squall_api::pb::authpb::{Permission, Role, User};
use squall_api::pb::{
    AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest, AuthUserAddRequest,
    AuthUserChangePasswordRequest, AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest,
};

impl Auth {
    pub(crate) fn enable(&mut self, rows: &mut Rows) -> Result<(), Refusal> {
        if self.enabled {
            return Ok(());
        }
        if !self.bugs.has(Bug::EnableWithoutRoot) {
            let root = self.users.get(ROOT).ok_or(Refusal::RootUserNotExist)?;
            if !is_root(root) {
                return Err(Refusal::RootRoleNotExist);
            }
        }
        self.enabled = true;
        self.save_state(rows);
        Ok(())
    }

    pub(crate) fn disable(&mut self, rows: &mut Rows) {
        if self.enabled {
            self.enabled = false;
            self.tokens.clear();
            self.bump(rows);
        }
    }

    pub(crate) fn add_user(
        &mut self,
        rows: &mut Rows,
        req: AuthUserAddRequest,
    ) -> Result<(), Refusal> {
        if req.name.is_empty() {
            return Err(Refusal::UserEmpty);
        }
        if self.users.contains_key(&req.name) {
            return Err(Refusal::UserAlreadyExist);
        }
        let mut user = User {
            name: req.name.clone().into(),
            options: Some(req.options.unwrap_or_default()),
            ..User::default()
        };
        if !has_no_password(&user) {
            user.password = stored(&req.hashed_password)?;
        }
        self.save_user(rows, &req.name, user);
        self.changed(rows);
        Ok(())
    }

    pub(crate) fn delete_user(&mut self, rows: &mut Rows, name: &str) -> Result<(), Refusal> {
        if self.enabled && name == ROOT {
            return Err(Refusal::InvalidAuthMgmt);
        }
        self.users.remove(name).ok_or(Refusal::UserNotFound)?;
        rows.remove(&row(USERS, name));
        self.changed(rows);
        if !self.bugs.has(Bug::KeepTokensOfDeleted) {
            self.tokens.revoke(name);
        }
        Ok(())
    }

    pub(crate) fn change_password(
        &mut self,
        rows: &mut Rows,
        req: &AuthUserChangePasswordRequest,
    ) -> Result<(), Refusal> {
        let mut user = self.user(&req.name)?.clone();
        if !has_no_password(&user) && !self.bugs.has(Bug::KeepOldPassword) {
            user.password = stored(&req.hashed_password)?;
        }
        self.save_user(rows, &req.name, user);
        self.changed(rows);
        self.tokens.revoke(&req.name);
        Ok(())
    }

    pub(crate) fn grant_role(
        &mut self,
        rows: &mut Rows,
        req: &AuthUserGrantRoleRequest,
    ) -> Result<(), Refusal> {
        let mut user = self.user(&req.user)?.clone();
        if req.role != ROOT {
            self.role(&req.role)?;
        }
        let Err(at) = user.roles.binary_search(&req.role) else {
            return Ok(());
        };
        user.roles.insert(at, req.role.clone());
        self.save_user(rows, &req.user, user);
        self.changed(rows);
        Ok(())
    }

    pub(crate) fn revoke_role(
        &mut self,
        rows: &mut Rows,
        req: &AuthUserRevokeRoleRequest,
    ) -> Result<(), Refusal> {
        if self.enabled && req.name == ROOT && req.role == ROOT {
            return Err(Refusal::InvalidAuthMgmt);
        }
        let mut user = self.user(&req.name)?.clone();
        let at = user.roles.iter().position(|role| *role == req.role);
        user.roles.remove(at.ok_or(Refusal::RoleNotGranted)?);
        self.save_user(rows, &req.name, user);
        match self.bugs.has(Bug::StalePermissions) {
            true => self.bump(rows),
            false => self.changed(rows),
        }
        Ok(())
    }

    pub(crate) fn add_role(&mut self, rows: &mut Rows, name: &str) -> Result<(), Refusal> {
        if name.is_empty() {
            return Err(Refusal::RoleEmpty);
        }
        if self.roles.contains_key(name) {
            return Err(Refusal::RoleAlreadyExist);
        }
        let role = Role {
            name: Bytes::copy_from_slice(name.as_bytes()),
            ..Role::default()
        };
        self.save_role(rows, name, role);
        self.changed(rows);
        Ok(())
    }

    pub(crate) fn delete_role(&mut self, rows: &mut Rows, name: &str) -> Result<(), Refusal> {
        if self.enabled && name == ROOT {
            return Err(Refusal::InvalidAuthMgmt);
        }
        self.roles.remove(name).ok_or(Refusal::RoleNotFound)?;
        rows.remove(&row(ROLES, name));
        let has_it = |user: &User| user.roles.iter().any(|role| role == name);
        let users = self.users.iter().filter(|(_, user)| has_it(user));
        let users: Vec<_> = users
            .map(|(name, user)| (name.clone(), user.clone()))
            .collect();
        for (user_name, mut user) in users {
            user.roles.retain(|role| role != name);
            self.save_user(rows, &user_name, user);
        }
        self.changed(rows);
        Ok(())
    }

    pub(crate) fn grant_permission(
        &mut self,
        rows: &mut Rows,
        req: AuthRoleGrantPermissionRequest,
    ) -> Result<(), Refusal> {
        let granted = req.perm.ok_or(Refusal::PermissionNotGiven)?;
        if !is_span(&granted.key, &granted.range_end) {
            return Err(Refusal::InvalidAuthMgmt);
        }
        let mut role = self.role(&req.name)?.clone();
        let of = |p: &Permission| (p.key.clone(), p.range_end.clone());
        let found = role.key_permission.binary_search_by_key(&of(&granted), of);
        match found {
            Ok(at) if role.key_permission[at] == granted => return Ok(()),
            Ok(at) => role.key_permission[at] = granted,
            Err(at) => role.key_permission.insert(at, granted),
        }
        self.save_role(rows, &req.name, role);
        self.changed(rows);
        Ok(())
    }

    pub(crate) fn revoke_permission(
        &mut self,
        rows: &mut Rows,
        req: &AuthRoleRevokePermissionRequest,
    ) -> Result<(), Refusal> {
        let mut role = self.role(&req.role)?.clone();
        let is_it = |p: &Permission| p.key == req.key && p.range_end == req.range_end;
        let at = role.key_permission.iter().position(is_it);
        role.key_permission
            .remove(at.ok_or(Refusal::PermissionNotGranted)?);
        self.save_role(rows, &req.role, role);
        match self.bugs.has(Bug::StalePermissions) {
            true => self.bump(rows),
            false => self.changed(rows),
        }
        Ok(())
    }

    // --- what is there ---

    pub(crate) fn user(&self, name: &str) -> Result<&User, Refusal> {
        self.users.get(name).ok_or(Refusal::UserNotFound)
    }

    pub(crate) fn user_names(&self) -> Vec<String> {
        self.users.keys().cloned().collect()
    }

    fn role(&self, name: &str) -> Result<&Role, Refusal> {
        self.roles.get(name).ok_or(Refusal::RoleNotFound)
    }

    /// What a role may do: root everything, whatever was granted to it.
    pub(crate) fn permissions(&self, role: &str) -> Result<Vec<Permission>, Refusal> {
        let found = self.role(role)?;
        if role != ROOT {
            return Ok(found.key_permission.clone());
        }
        let mut everything = Permission {
            range_end: Bytes::from_static(&[0]),
            ..Permission::default()
        };
        everything.set_perm_type(squall_api::pb::authpb::permission::Type::Readwrite);
        Ok(vec![everything])
    }

    pub(crate) fn role_names(&self) -> Vec<String> {
        self.roles.keys().cloned().collect()
    }

    /// Somebody's permissions may have changed.
    fn changed(&mut self, rows: &mut Rows) {
        self.bump(rows);
        self.refresh();
    }
}

/// What is kept of a hash that came with an entry. A build that did not hash
/// a password is not believed.
fn stored(hashed_password: &str) -> Result<Bytes, Refusal> {
    match STANDARD.decode(hashed_password) {
        Ok(hash) if !hash.is_empty() => Ok(hash.into()),
        _ => Err(Refusal::NoPasswordUser),
    }
}

/// Whether a permission may be about this: a key, or a range that is not empty.
fn is_span(key: &[u8], range_end: &[u8]) -> bool {
    !key.is_empty() && (matches!(range_end, [] | [0]) || key < range_end)
}
