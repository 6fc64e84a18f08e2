//! Calls of the service `Auth`, and a cluster with users to make them in.

use super::bench::{Bench, bytes, config, get, put};
use super::crash_disk::CrashDisk;
use bytes::Bytes;
use squall_api::pb;
use squall_api::pb::authpb::{Permission, permission::Type};
use squall_api::{AuthRequest, AuthResponse, Config, Input, Request, Response, Status};

pub(super) const OLD: &str = "InvalidArgument: etcdserver: revision of auth store is old";
pub(super) const DENIED: &str = "PermissionDenied: etcdserver: permission denied";
pub(super) const NOBODY: &str = "InvalidArgument: etcdserver: user name is empty";
pub(super) const BAD_TOKEN: &str = "Unauthenticated: etcdserver: invalid auth token";
pub(super) const BAD_LOGIN: &str =
    "InvalidArgument: etcdserver: authentication failed, invalid user ID or password";
pub(super) const BAD_MGMT: &str = "InvalidArgument: etcdserver: invalid auth management";
pub(super) const NO_USER: &str = "FailedPrecondition: etcdserver: user name not found";
pub(super) const NO_ROLE: &str = "FailedPrecondition: etcdserver: role name not found";

/// With passwords that are cheap to hash.
pub(super) fn cheap() -> Config {
    Config {
        bcrypt_cost: 4,
        ..config()
    }
}

pub(super) fn bench() -> Bench {
    Bench::open(&CrashDisk::default().shared(), cheap()).unwrap()
}

pub(super) fn user_add(name: &str, password: &str) -> AuthRequest {
    AuthRequest::UserAdd(pb::AuthUserAddRequest {
        name: name.into(),
        password: password.into(),
        ..pb::AuthUserAddRequest::default()
    })
}

pub(super) fn user_delete(name: &str) -> AuthRequest {
    AuthRequest::UserDelete(pb::AuthUserDeleteRequest { name: name.into() })
}

pub(super) fn user_get(name: &str) -> AuthRequest {
    AuthRequest::UserGet(pb::AuthUserGetRequest { name: name.into() })
}

pub(super) fn change_password(name: &str, password: &str) -> AuthRequest {
    AuthRequest::UserChangePassword(pb::AuthUserChangePasswordRequest {
        name: name.into(),
        password: password.into(),
        ..pb::AuthUserChangePasswordRequest::default()
    })
}

pub(super) fn grant_role(user: &str, role: &str) -> AuthRequest {
    AuthRequest::UserGrantRole(pb::AuthUserGrantRoleRequest {
        user: user.into(),
        role: role.into(),
    })
}

pub(super) fn revoke_role(name: &str, role: &str) -> AuthRequest {
    AuthRequest::UserRevokeRole(pb::AuthUserRevokeRoleRequest {
        name: name.into(),
        role: role.into(),
    })
}

pub(super) fn role_add(name: &str) -> AuthRequest {
    AuthRequest::RoleAdd(pb::AuthRoleAddRequest { name: name.into() })
}

pub(super) fn role_delete(role: &str) -> AuthRequest {
    AuthRequest::RoleDelete(pb::AuthRoleDeleteRequest { role: role.into() })
}

pub(super) fn role_get(role: &str) -> AuthRequest {
    AuthRequest::RoleGet(pb::AuthRoleGetRequest { role: role.into() })
}

pub(super) fn grant(role: &str, kind: Type, key: &str, range_end: &str) -> AuthRequest {
    let mut perm = Permission {
        key: bytes(key),
        range_end: bytes(range_end),
        ..Permission::default()
    };
    perm.set_perm_type(kind);
    AuthRequest::RoleGrantPermission(pb::AuthRoleGrantPermissionRequest {
        name: role.into(),
        perm: Some(perm),
    })
}

pub(super) fn revoke(role: &str, key: &str, range_end: &str) -> AuthRequest {
    AuthRequest::RoleRevokePermission(pb::AuthRoleRevokePermissionRequest {
        role: role.into(),
        key: bytes(key),
        range_end: bytes(range_end),
    })
}

pub(super) const ENABLE: AuthRequest = AuthRequest::Enable(pb::AuthEnableRequest {});
pub(super) const DISABLE: AuthRequest = AuthRequest::Disable(pb::AuthDisableRequest {});
pub(super) const STATUS: AuthRequest = AuthRequest::Status(pb::AuthStatusRequest {});
pub(super) const USERS: AuthRequest = AuthRequest::UserList(pb::AuthUserListRequest {});
pub(super) const ROLES: AuthRequest = AuthRequest::RoleList(pb::AuthRoleListRequest {});

impl Bench {
    /// What an auth call comes to, in a word.
    pub(super) fn auth(&mut self, req: AuthRequest) -> String {
        let shown = |perm: &Permission| {
            let text = |b: &Bytes| String::from_utf8_lossy(b).escape_debug().to_string();
            let kind = perm.perm_type().as_str_name();
            format!("{kind} [{},{})", text(&perm.key), text(&perm.range_end))
        };
        match self.call(Request::Auth(req)) {
            Ok(Response::Auth(response)) => match response {
                AuthResponse::Status(r) => format!("{} at {}", r.enabled, r.auth_revision),
                AuthResponse::UserGet(r) => format!("roles {}", r.roles.join(" ")),
                AuthResponse::UserList(r) => r.users.join(" "),
                AuthResponse::RoleList(r) => r.roles.join(" "),
                AuthResponse::RoleGet(r) => r.perm.iter().map(shown).collect::<Vec<_>>().join(" "),
                _ => "done".into(),
            },
            Ok(other) => panic!("{other:?}"),
            Err(status) => status.to_string(),
        }
    }

    pub(super) fn done(&mut self, reqs: impl IntoIterator<Item = AuthRequest>) {
        for req in reqs {
            let name = req.name();
            assert_eq!(self.auth(req), "done", "{name}");
        }
    }

    pub(super) fn log_in(&mut self, name: &str, password: &str) -> Result<String, Status> {
        let before = std::mem::take(&mut self.meta);
        let login = AuthRequest::Authenticate(pb::AuthenticateRequest {
            name: name.into(),
            password: password.into(),
        });
        let result = self.call(Request::Auth(login));
        self.meta = before;
        match result? {
            Response::Auth(AuthResponse::Authenticate(response)) => Ok(response.token),
            other => panic!("{other:?}"),
        }
    }

    /// From now on all calls are this user's, whose password is its name.
    pub(super) fn become_user(&mut self, name: &str) {
        self.meta.token = self.log_in(name, name).unwrap();
    }

    pub(super) fn pass(&mut self, nanos: u64) {
        self.now.mono += nanos;
        self.step(Input::Deadline).unwrap();
    }

    pub(super) fn become_nobody(&mut self) {
        self.meta.token.clear();
    }

    pub(super) fn say_put(&mut self, key: &str) -> String {
        self.short(Request::Put(put(key, "v")))
    }

    pub(super) fn say_get(&mut self, key: &str, range_end: &str) -> String {
        self.short(Request::Range(get(key, range_end)))
    }

    /// Only whether it was done.
    pub(super) fn short(&mut self, req: Request) -> String {
        match self.call(req) {
            Ok(_) => "done".into(),
            Err(status) => status.to_string(),
        }
    }
}

/// Root, and a user `u` of role `r`, which may read and write `[b, d)` and
/// read `x`. The bench is root.
pub(super) fn enabled() -> Bench {
    let mut bench = bench();
    enable(&mut bench);
    bench
}

pub(super) fn enable(bench: &mut Bench) {
    bench.done([
        user_add("root", "root"),
        grant_role("root", "root"),
        user_add("u", "u"),
        role_add("r"),
        grant("r", Type::Readwrite, "b", "d"),
        grant("r", Type::Read, "x", ""),
        grant_role("u", "r"),
        ENABLE,
    ]);
    bench.become_user("root");
}

/// Root, and a user `u` who may write `k` and nothing else. The bench is nobody.
pub(super) fn enable_with_writer(bench: &mut Bench) {
    bench.done([
        user_add("root", "root"),
        grant_role("root", "root"),
        user_add("u", "u"),
        role_add("r"),
        grant("r", Type::Write, "k", ""),
        grant_role("u", "r"),
        ENABLE,
    ]);
}
