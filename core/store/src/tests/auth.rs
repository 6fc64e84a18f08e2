//! The service `Auth`, and what its rules refuse: each as etcd words it.

use super::bench::{Bench, IntoOp as _, SECOND, bytes, config, del, get, put, replies, show, txn};
use super::crash_disk::CrashDisk;
use bytes::Bytes;
use prost::Message as _;
use squall_api::pb::authpb::{Permission, UserAddOptions, permission::Type};
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::watch_request::RequestUnion;
use squall_api::pb::{self, InternalRaftRequest};
use squall_api::{
    AuthRequest, AuthResponse, ClusterRequest, Config, Disk, Effect, Input, LaneMsg, LeaseRequest,
    MaintenanceRequest, Open, Request, Response, Status,
};
use std::sync::Arc;

const OLD: &str = "InvalidArgument: etcdserver: revision of auth store is old";
const DENIED: &str = "PermissionDenied: etcdserver: permission denied";
const NOBODY: &str = "InvalidArgument: etcdserver: user name is empty";
const BAD_TOKEN: &str = "Unauthenticated: etcdserver: invalid auth token";
const BAD_LOGIN: &str =
    "InvalidArgument: etcdserver: authentication failed, invalid user ID or password";
const BAD_MGMT: &str = "InvalidArgument: etcdserver: invalid auth management";
const NO_USER: &str = "FailedPrecondition: etcdserver: user name not found";
const NO_ROLE: &str = "FailedPrecondition: etcdserver: role name not found";

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

fn user_get(name: &str) -> AuthRequest {
    AuthRequest::UserGet(pb::AuthUserGetRequest { name: name.into() })
}

fn change_password(name: &str, password: &str) -> AuthRequest {
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

fn role_get(role: &str) -> AuthRequest {
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
const DISABLE: AuthRequest = AuthRequest::Disable(pb::AuthDisableRequest {});
pub(super) const STATUS: AuthRequest = AuthRequest::Status(pb::AuthStatusRequest {});
const USERS: AuthRequest = AuthRequest::UserList(pb::AuthUserListRequest {});
const ROLES: AuthRequest = AuthRequest::RoleList(pb::AuthRoleListRequest {});

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
fn enabled() -> Bench {
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

#[test]
fn users_and_roles_are_managed_as_in_etcd() {
    let mut bench = bench();
    let exists = "FailedPrecondition: etcdserver: user name already exists";
    let role_exists = "FailedPrecondition: etcdserver: role name already exists";
    let not_granted = "FailedPrecondition: etcdserver: role is not granted to the user";
    let no_permission = "FailedPrecondition: etcdserver: permission is not granted to the role";
    let no_role_name = "InvalidArgument: etcdserver: role name is empty";
    let ungiven = AuthRequest::RoleGrantPermission(pb::AuthRoleGrantPermissionRequest {
        name: "r".into(),
        perm: None,
    });
    for (req, expected) in [
        (STATUS, "false at 1"),
        (user_add("", "p"), NOBODY),
        (user_add("u", "p"), "done"),
        (user_add("u", "p"), exists),
        (STATUS, "false at 2"),
        (user_get("u"), "roles "),
        (user_get("v"), NO_USER),
        (grant_role("v", "r"), NO_USER),
        (grant_role("u", "r"), NO_ROLE),
        (role_add(""), no_role_name),
        (role_add("r"), "done"),
        (role_add("r"), role_exists),
        (grant_role("u", "r"), "done"),
        (STATUS, "false at 4"),
        // Granted already: nothing changes.
        (grant_role("u", "r"), "done"),
        (STATUS, "false at 4"),
        // The role root need not be there.
        (grant_role("u", "root"), "done"),
        (user_get("u"), "roles r root"),
        (role_get("root"), NO_ROLE),
        (ROLES, "r"),
        (revoke_role("u", "other"), not_granted),
        (revoke_role("v", "r"), NO_USER),
        (ungiven, "InvalidArgument: etcdserver: permission not given"),
        (grant("none", Type::Read, "a", ""), NO_ROLE),
        (grant("r", Type::Read, "", ""), BAD_MGMT),
        (grant("r", Type::Read, "b", "a"), BAD_MGMT),
        (grant("r", Type::Read, "b", "b"), BAD_MGMT),
        (grant("r", Type::Read, "b", "\0"), "done"),
        (grant("r", Type::Write, "a", ""), "done"),
        (grant("r", Type::Read, "a", "b"), "done"),
        (role_get("r"), "WRITE [a,) READ [a,b) READ [b,\\0)"),
        // The same keys again: another type, and then the same.
        (grant("r", Type::Readwrite, "a", ""), "done"),
        (STATUS, "false at 9"),
        (grant("r", Type::Readwrite, "a", ""), "done"),
        (STATUS, "false at 9"),
        (revoke("r", "a", "c"), no_permission),
        (revoke("none", "a", "c"), NO_ROLE),
        (revoke("r", "a", "b"), "done"),
        (role_get("r"), "READWRITE [a,) READ [b,\\0)"),
        (role_delete("none"), NO_ROLE),
        (role_delete("r"), "done"),
        (user_get("u"), "roles root"),
        (role_add("root"), "done"),
        (role_get("root"), "READWRITE [,\\0)"),
        (change_password("v", "p"), NO_USER),
        (change_password("u", "q"), "done"),
        (user_delete("v"), NO_USER),
        (user_add("t", "p"), "done"),
        (USERS, "t u"),
        (user_delete("u"), "done"),
        (USERS, "t"),
        (STATUS, "false at 15"),
    ] {
        let asked = format!("{req:?}");
        assert_eq!(bench.auth(req), expected, "{asked}");
    }
}

#[test]
fn auth_is_enabled_with_root_only_and_root_stays() {
    let mut bench = bench();
    let no_root = "FailedPrecondition: etcdserver: root user does not exist";
    let no_root_role = "FailedPrecondition: etcdserver: root user does not have root role";
    assert_eq!(bench.auth(ENABLE), no_root);
    assert_eq!(bench.auth(user_add("root", "root")), "done");
    assert_eq!(bench.auth(ENABLE), no_root_role);
    assert_eq!(bench.auth(grant_role("root", "root")), "done");
    assert_eq!(bench.auth(DISABLE), "done", "disabled already");
    assert_eq!(bench.auth(STATUS), "false at 3");
    assert_eq!(bench.auth(ENABLE), "done");
    assert_eq!(bench.auth(ENABLE), NOBODY);
    bench.become_user("root");
    assert_eq!(bench.auth(ENABLE), "done", "enabled already");
    assert_eq!(bench.auth(STATUS), "true at 3");
    for req in [
        user_delete("root"),
        role_delete("root"),
        revoke_role("root", "root"),
    ] {
        assert_eq!(bench.auth(req), BAD_MGMT);
    }
    assert_eq!(bench.auth(DISABLE), "done");
    bench.become_nobody();
    assert_eq!(bench.auth(STATUS), "false at 4");
    assert_eq!(bench.auth(user_delete("root")), "done");
}

#[test]
fn logins_need_the_password_of_a_user_that_has_one() {
    let mut bench = bench();
    let refused = |bench: &mut Bench, name: &str, password: &str| {
        bench.log_in(name, password).unwrap_err().to_string()
    };
    let disabled = "FailedPrecondition: etcdserver: authentication is not enabled";
    assert_eq!(refused(&mut bench, "root", "root"), disabled);
    bench.done([user_add("root", "root"), grant_role("root", "root")]);
    let nopass = AuthRequest::UserAdd(pb::AuthUserAddRequest {
        name: "nopass".into(),
        options: Some(UserAddOptions { no_password: true }),
        ..pb::AuthUserAddRequest::default()
    });
    bench.done([nopass, ENABLE]);
    assert_eq!(refused(&mut bench, "root", "Root"), BAD_LOGIN);
    assert_eq!(refused(&mut bench, "root", ""), BAD_LOGIN);
    assert_eq!(refused(&mut bench, "nobody", ""), BAD_LOGIN);
    for password in ["", "nopass"] {
        assert_eq!(
            refused(&mut bench, "nopass", password),
            "Unknown: auth: authentication failed, password was given for no password user"
        );
    }
    let token = bench.log_in("root", "root").unwrap();
    let (letters, index) = token.split_once('.').unwrap();
    assert_eq!(letters.len(), 16);
    assert_eq!(index, bench.index.to_string());
    assert_ne!(token, bench.log_in("root", "root").unwrap());
    bench.become_user("root");
    let long = "x".repeat(73);
    assert_eq!(
        bench.auth(user_add("long", &long)),
        "Unknown: bcrypt: password length exceeds 72 bytes"
    );
}

#[test]
fn without_a_token_nothing_is_done_and_a_wrong_one_is_refused() {
    let mut bench = enabled();
    bench.become_nobody();
    for req in [
        Request::Put(put("b", "v")),
        Request::Range(get("b", "")),
        Request::DeleteRange(del("b", "")),
        Request::Txn(txn(vec![], vec![put("b", "v").op()], vec![])),
        Request::Txn(txn(vec![], vec![get("b", "").op()], vec![])),
        Request::Auth(USERS),
        Request::HashKv(pb::HashKvRequest::default()),
    ] {
        assert_eq!(bench.short(req), NOBODY);
    }
    // As in etcd, whoever comes may look at members and status.
    let status = Request::Status(pb::StatusRequest {});
    assert_eq!(bench.short(status), "done");
    let list = Request::Cluster(ClusterRequest::MemberList(pb::MemberListRequest::default()));
    assert_eq!(bench.short(list), "done");
    bench.meta.token = "unknown.1".into();
    assert_eq!(bench.say_put("b"), BAD_TOKEN);
    assert_eq!(bench.say_get("b", ""), BAD_TOKEN);
    bench.meta.token = "unknown".into();
    assert_eq!(bench.say_get("b", ""), BAD_TOKEN);
    assert!(bench.log_in("u", "u").is_ok());
}

#[test]
fn a_user_reads_and_writes_what_its_roles_may() {
    let mut bench = enabled();
    bench.become_user("u");
    let done = "done";
    for (key, expected) in [
        ("a", DENIED),
        ("b", done),
        ("cz", done),
        ("d", DENIED),
        ("x", DENIED),
    ] {
        assert_eq!(bench.say_put(key), expected, "{key}");
    }
    for (key, range_end, expected) in [
        ("b", "d", done),
        ("b", "d\0", DENIED),
        ("a", "c", DENIED),
        ("x", "", done),
        ("x", "x\0", done),
        ("x", "y", DENIED),
        ("b", "\0", DENIED),
        ("b", "x", DENIED),
    ] {
        assert_eq!(
            bench.say_get(key, range_end),
            expected,
            "[{key}, {range_end})"
        );
        let serializable = pb::RangeRequest {
            serializable: true,
            ..get(key, range_end)
        };
        assert_eq!(bench.short(Request::Range(serializable)), expected);
    }
    let delete = |key: &str, range_end: &str, prev_kv| {
        Request::DeleteRange(pb::DeleteRangeRequest {
            prev_kv,
            ..del(key, range_end)
        })
    };
    assert_eq!(bench.short(delete("b", "d", true)), done);
    assert_eq!(bench.short(delete("x", "", false)), DENIED);
}

#[test]
fn what_shows_the_old_value_needs_permission_to_read() {
    let mut bench = enabled();
    bench.done([grant("r", Type::Write, "w", "")]);
    bench.become_user("u");
    let prev_kv = pb::PutRequest {
        prev_kv: true,
        ..put("w", "v")
    };
    let delete = pb::DeleteRangeRequest {
        prev_kv: true,
        ..del("w", "")
    };
    assert_eq!(bench.say_put("w"), "done");
    assert_eq!(bench.short(Request::Put(prev_kv.clone())), DENIED);
    assert_eq!(bench.short(Request::DeleteRange(delete.clone())), DENIED);
    for op in [prev_kv.op(), delete.op()] {
        assert_eq!(
            bench.short(Request::Txn(txn(vec![], vec![op], vec![]))),
            DENIED
        );
    }
    assert_eq!(bench.short(Request::DeleteRange(del("w", ""))), "done");
}

#[test]
fn a_transaction_needs_permission_for_both_branches_and_all_below() {
    let mut bench = enabled();
    bench.become_user("u");
    let compare = |key: &str| pb::Compare {
        key: bytes(key),
        ..pb::Compare::default()
    };
    let (mine, others) = (|| put("b", "v").op(), || put("a", "v").op());
    let nested = |success, failure| txn(vec![], vec![], vec![txn(vec![], success, failure).op()]);
    for (request, expected) in [
        (txn(vec![compare("x")], vec![mine()], vec![]), "done"),
        (txn(vec![compare("a")], vec![mine()], vec![]), DENIED),
        (txn(vec![], vec![mine()], vec![others()]), DENIED),
        (txn(vec![], vec![others()], vec![mine()]), DENIED),
        (txn(vec![], vec![mine(), get("a", "").op()], vec![]), DENIED),
        (
            txn(vec![], vec![get("b", "").op()], vec![get("a", "").op()]),
            DENIED,
        ),
        (
            txn(vec![], vec![get("b", "").op()], vec![get("c", "").op()]),
            "done",
        ),
        (nested(vec![mine()], vec![]), "done"),
        (nested(vec![mine()], vec![others()]), DENIED),
        (txn(vec![], vec![], vec![]), "done"),
    ] {
        let asked = format!("{request:?}");
        assert_eq!(bench.short(Request::Txn(request)), expected, "{asked}");
    }
}

#[test]
fn what_manages_the_cluster_is_roots() {
    let roots = || {
        let target_id = 7;
        [
            Request::Auth(STATUS),
            Request::Auth(USERS),
            Request::Auth(ROLES),
            Request::Auth(user_add("v", "v")),
            Request::Auth(role_add("s")),
            Request::Auth(user_get("v")),
            Request::Auth(role_get("s")),
            Request::Auth(grant_role("v", "s")),
            Request::Auth(grant("s", Type::Read, "k", "")),
            Request::Auth(revoke("s", "k", "")),
            Request::Auth(revoke_role("v", "s")),
            Request::Auth(change_password("v", "w")),
            Request::Auth(role_delete("s")),
            Request::Auth(user_delete("v")),
            Request::Auth(ENABLE),
            Request::HashKv(pb::HashKvRequest::default()),
            Request::Compact(pb::CompactionRequest {
                revision: 2,
                physical: false,
            }),
            Request::Maintenance(MaintenanceRequest::MoveLeader(pb::MoveLeaderRequest {
                target_id,
            })),
            Request::Maintenance(MaintenanceRequest::Alarm(pb::AlarmRequest {
                action: pb::alarm_request::AlarmAction::Deactivate as i32,
                ..pb::AlarmRequest::default()
            })),
            Request::Maintenance(MaintenanceRequest::Defragment(pb::DefragmentRequest {})),
            Request::Maintenance(MaintenanceRequest::Snapshot(pb::SnapshotRequest {})),
            Request::Cluster(ClusterRequest::MemberAdd(pb::MemberAddRequest::default())),
            Request::Cluster(ClusterRequest::MemberRemove(pb::MemberRemoveRequest {
                id: 9,
            })),
            Request::Cluster(ClusterRequest::MemberPromote(pb::MemberPromoteRequest {
                id: 9,
            })),
            Request::Cluster(ClusterRequest::MemberUpdate(pb::MemberUpdateRequest {
                id: 9,
                ..pb::MemberUpdateRequest::default()
            })),
        ]
    };
    let mut bench = enabled();
    bench.say_put("k");
    bench.become_user("u");
    for req in roots() {
        let asked = format!("{req:?}");
        assert_eq!(bench.short(req), DENIED, "{asked}");
    }
    let alarms = Request::Maintenance(MaintenanceRequest::Alarm(pb::AlarmRequest::default()));
    assert_eq!(bench.short(alarms.clone()), "done");
    assert_eq!(bench.auth(user_get("u")), "roles r");
    assert_eq!(bench.auth(role_get("r")), "READWRITE [b,d) READ [x,)");
    assert_eq!(bench.auth(user_get("root")), DENIED);
    assert_eq!(bench.auth(role_get("root")), DENIED);
    bench.become_nobody();
    assert_eq!(bench.short(alarms), NOBODY);
    bench.become_user("root");
    let conf_changes = roots().len() - 4;
    for req in roots().into_iter().take(conf_changes) {
        let asked = format!("{req:?}");
        let said = bench.short(req);
        assert!(said != DENIED && said != NOBODY, "{asked}: {said}");
    }
}

#[test]
fn tokens_end_with_time_password_user_and_auth() {
    let mut bench = enabled();
    let root = bench.meta.clone();
    let ttl = cheap().auth_token_ttl;
    bench.become_user("u");
    bench.pass(ttl - SECOND);
    assert_eq!(bench.say_get("b", ""), "done");
    bench.pass(ttl - SECOND);
    assert_eq!(bench.say_get("b", ""), "done", "use keeps it alive");
    bench.pass(ttl);
    assert_eq!(bench.say_get("b", ""), BAD_TOKEN);
    assert_eq!(bench.say_put("b"), BAD_TOKEN);

    bench.become_user("u");
    let mine = bench.meta.clone();
    bench.become_user("root");
    bench.done([change_password("u", "new")]);
    let mut roots = std::mem::replace(&mut bench.meta, mine);
    assert_eq!(bench.say_get("b", ""), BAD_TOKEN);
    assert_eq!(bench.log_in("u", "u").unwrap_err().to_string(), BAD_LOGIN);
    bench.meta.token = bench.log_in("u", "new").unwrap();
    assert_eq!(bench.say_get("b", ""), "done");
    std::mem::swap(&mut roots, &mut bench.meta);
    bench.done([user_delete("u"), user_add("u", "new")]);
    std::mem::swap(&mut roots, &mut bench.meta);
    assert_eq!(
        bench.say_get("b", ""),
        BAD_TOKEN,
        "another user of that name"
    );
    std::mem::swap(&mut roots, &mut bench.meta);
    bench.done([DISABLE, ENABLE]);
    assert_eq!(bench.auth(USERS), BAD_TOKEN);
    assert_ne!(root.token, bench.meta.token);
}

#[test]
fn a_revocation_that_comes_first_is_honoured_and_the_same_write_is_refused_everywhere() {
    let disk = CrashDisk::default().shared();
    let other: Arc<dyn Disk> = CrashDisk::default().shared();
    let mut bench = Bench::open(&disk, cheap()).unwrap();
    let mut replica = Bench::open(&other, Config { id: 2, ..cheap() }).unwrap();
    bench.done([
        user_add("root", "root"),
        grant_role("root", "root"),
        user_add("u", "u"),
        role_add("r"),
        grant("r", Type::Write, "k", ""),
        grant_role("u", "r"),
        ENABLE,
    ]);
    bench.become_user("u");
    let (id, effects) = bench.request(Request::Put(put("k", "v")));
    let Some(Effect::Lane(LaneMsg::Propose {
        data: in_flight, ..
    })) = effects.last()
    else {
        panic!("{effects:?}");
    };
    bench.become_user("root");
    bench.done([revoke("r", "k", "")]);
    let effects = bench.commit(in_flight.clone()).unwrap();
    let (answered, result) = replies(&effects).pop().unwrap();
    assert_eq!(answered, id);
    assert_eq!(result.unwrap_err().to_string(), OLD);
    bench.become_user("u");
    assert_eq!(bench.say_put("k"), DENIED);
    for data in bench.log.clone() {
        replica.commit(data).unwrap();
    }
    let states = |bench: &Bench| bench.applied.iter().map(|a| a.state).collect::<Vec<_>>();
    assert_eq!(states(&bench), states(&replica));
    // The token came with the log: it is good at the other member, too.
    replica.meta = bench.meta.clone();
    assert_eq!(replica.say_put("k"), DENIED);
    assert_eq!(replica.auth(user_get("u")), "roles r");
}

#[test]
fn a_login_whose_user_changed_meanwhile_is_checked_again() {
    let mut bench = enabled();
    let roots = bench.meta.clone();
    bench.become_nobody();
    let login = Request::Auth(AuthRequest::Authenticate(pb::AuthenticateRequest {
        name: "u".into(),
        password: "u".into(),
    }));
    let proposed = |effects: &[Effect]| match effects.last() {
        Some(Effect::Lane(LaneMsg::Propose { data, .. })) => data.clone(),
        other => panic!("{other:?}"),
    };
    let confirm = |bench: &mut Bench, effects: &[Effect]| match effects.last() {
        Some(&Effect::Lane(LaneMsg::ReadIndex { ctx })) => {
            let index = bench.index;
            bench
                .step(Input::Lane(LaneMsg::Readable { ctx, index }))
                .unwrap()
        }
        other => panic!("{other:?}"),
    };
    let (id, effects) = bench.request(login);
    let effects = confirm(&mut bench, &effects);
    let first = proposed(&effects);
    bench.meta = roots;
    bench.done([role_add("another")]);
    let effects = bench.commit(first).unwrap();
    assert!(replies(&effects).is_empty(), "{effects:?}");
    let effects = confirm(&mut bench, &effects);
    let second = proposed(&effects);
    let effects = bench.commit(second).unwrap();
    let (answered, result) = replies(&effects).pop().unwrap();
    assert_eq!(answered, id);
    assert!(matches!(
        result.unwrap(),
        Response::Auth(AuthResponse::Authenticate(_))
    ));
}

#[test]
fn a_member_that_lags_waits_for_the_entry_that_brought_the_token() {
    let mut bench = enabled();
    bench.become_user("u");
    let (before, login) = bench.log.split_at(bench.log.len() - 1);
    let mut behind = Bench::open(&CrashDisk::default().shared(), cheap()).unwrap();
    for data in before {
        behind.commit(data.clone()).unwrap();
    }
    behind.meta = bench.meta.clone();
    let serializable = pb::RangeRequest {
        serializable: true,
        ..get("b", "")
    };
    let (id, effects) = behind.request(Request::Range(serializable.clone()));
    assert!(replies(&effects).is_empty(), "{effects:?}");
    let effects = behind.commit(login[0].clone()).unwrap();
    let (answered, result) = replies(&effects).pop().unwrap();
    assert_eq!((answered, result.is_ok()), (id, true));
    behind.meta.token = "later.1000".into();
    let (id, effects) = behind.request(Request::Range(serializable));
    assert!(replies(&effects).is_empty());
    behind.now.mono += cheap().request_timeout;
    let (answered, result) = replies(&behind.step(Input::Deadline).unwrap())
        .pop()
        .unwrap();
    assert_eq!(answered, id);
    assert_eq!(
        result.unwrap_err().to_string(),
        "Unavailable: etcdserver: request timed out"
    );
}

#[test]
fn auth_survives_restarts_and_comes_with_snapshots() {
    let disk = CrashDisk::default().shared();
    let mut bench = Bench::open(&disk, cheap()).unwrap();
    bench.done([
        user_add("root", "root"),
        grant_role("root", "root"),
        user_add("u", "u"),
        role_add("r"),
        grant("r", Type::Write, "k", ""),
        grant_role("u", "r"),
        ENABLE,
    ]);
    let snapshot = bench.snapshot();
    bench.become_user("u");
    let token = bench.meta.token.clone();
    let index = bench.index;
    bench.stop();
    let mut again = Bench::open(&disk, cheap()).unwrap();
    assert_eq!(again.say_put("k"), NOBODY);
    again.meta.token = token;
    assert_eq!(again.say_put("k"), BAD_TOKEN, "tokens are in memory only");
    again.become_user("u");
    assert_eq!(again.say_put("k"), "done");
    assert_eq!(again.say_put("l"), DENIED);
    again.become_user("root");
    assert_eq!(again.auth(STATUS), "true at 7");

    let mut other = self::bench();
    other.done([user_add("v", "v")]);
    other.step(Input::Lane(LaneMsg::Install(snapshot))).unwrap();
    other.index = index - 1;
    assert_eq!(other.say_put("k"), NOBODY);
    other.become_user("u");
    assert_eq!(other.say_put("k"), "done");
    assert_eq!(other.say_put("l"), DENIED);
    assert_eq!(other.log_in("v", "v").unwrap_err().to_string(), BAD_LOGIN);
}

#[test]
fn a_snapshot_takes_the_tokens_of_those_it_takes_away() {
    let mut bench = enabled();
    let mut behind = Bench::open(&CrashDisk::default().shared(), cheap()).unwrap();
    bench.become_user("u");
    let mine = bench.meta.clone();
    for data in bench.log.clone() {
        behind.commit(data).unwrap();
    }
    bench.become_user("root");
    let roots = bench.meta.clone();
    behind.commit(bench.log.last().unwrap().clone()).unwrap();
    bench.done([user_delete("u"), user_add("u", "u"), grant_role("u", "r")]);
    let snapshot = bench.snapshot();
    behind
        .step(Input::Lane(LaneMsg::Install(snapshot)))
        .unwrap();
    behind.index = bench.index;
    behind.meta = mine;
    assert_eq!(behind.say_get("b", ""), BAD_TOKEN);
    behind.meta = roots;
    assert_eq!(behind.say_get("b", ""), "done");
}

#[test]
fn no_password_reaches_log_or_disk() {
    let disk = CrashDisk::default();
    let mut bench = Bench::open(&disk.shared(), cheap()).unwrap();
    let secret = "correct horse battery staple";
    bench.done([
        user_add("root", secret),
        grant_role("root", "root"),
        change_password("root", secret),
        ENABLE,
    ]);
    bench.log_in("root", secret).unwrap();
    let holds = |data: &[u8]| data.windows(secret.len()).any(|w| w == secret.as_bytes());
    assert!(!bench.log.is_empty());
    for data in &bench.log {
        assert!(!holds(data), "{data:?}");
    }
    let snapshot = bench.snapshot();
    assert!(!holds(snapshot.get_data()));
    bench.stop();
    let files = disk.names();
    assert!(!files.is_empty(), "there is a database");
    for path in files {
        let file = disk.shared().open(&path, Open::Existing).unwrap();
        let mut data = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut data).unwrap();
        assert!(!holds(&data), "{} holds the password", path.display());
    }
}

#[test]
fn leases_are_attached_and_revoked_by_those_who_may_write_all_their_keys() {
    let mut bench = enabled();
    let granted = Request::Lease(LeaseRequest::Grant(pb::LeaseGrantRequest {
        ttl: 60,
        id: 7,
    }));
    let with_lease = |key: &str| {
        Request::Put(pb::PutRequest {
            lease: 7,
            ..put(key, "v")
        })
    };
    let revoked = || Request::Lease(LeaseRequest::Revoke(pb::LeaseRevokeRequest { id: 7 }));
    bench.become_user("u");
    assert_eq!(bench.short(granted), "done");
    assert_eq!(bench.short(with_lease("b")), "done");
    bench.become_user("root");
    assert_eq!(bench.short(with_lease("x")), "done");
    bench.become_user("u");
    assert_eq!(bench.short(with_lease("c")), DENIED);
    let in_txn = pb::PutRequest {
        lease: 7,
        ..put("c", "v")
    };
    assert_eq!(
        bench.short(Request::Txn(txn(vec![], vec![in_txn.op()], vec![]))),
        DENIED
    );
    assert_eq!(bench.short(revoked()), DENIED);
    bench.become_nobody();
    assert_eq!(bench.short(revoked()), NOBODY);
    // What the leader itself proposes, because the time is up, is permitted.
    let expiry = InternalRaftRequest {
        header: Some(pb::RequestHeader {
            id: 99,
            term: 1,
            ..pb::RequestHeader::default()
        }),
        command: Some(Command::LeaseRevoke(pb::LeaseRevokeRequest { id: 7 })),
    };
    bench.commit(expiry.encode_to_vec().into()).unwrap();
    bench.become_user("root");
    let left = bench.call(Request::Range(get("b", "y"))).unwrap();
    assert!(show(&left).ends_with("[] of 0"), "{}", show(&left));
}

#[test]
fn watches_need_permission_and_lose_it() {
    let mut bench = enabled();
    let watch = |key: &str, range_end: &str| {
        Request::Watch(pb::WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(pb::WatchCreateRequest {
                key: bytes(key),
                range_end: bytes(range_end),
                ..pb::WatchCreateRequest::default()
            })),
        })
    };
    let told = |effects: &[Effect]| -> Vec<String> {
        let watches = effects.iter().filter_map(|effect| match effect {
            Effect::Reply {
                result: Ok(Response::Watch(response)),
                ..
            } => Some(response),
            _ => None,
        });
        let shown = |r: &pb::WatchResponse| match (r.created, r.canceled) {
            (true, false) => format!("{} created", r.watch_id),
            (_, true) => format!("{} canceled: {}", r.watch_id, r.cancel_reason),
            _ => format!("{} events for {}", r.events.len(), r.watch_id),
        };
        watches.map(shown).collect()
    };
    let denied = "canceled: etcdserver: permission denied";
    let roots = bench.meta.clone();
    bench.become_nobody();
    let (_, effects) = bench.request(watch("b", ""));
    assert_eq!(
        told(&effects),
        ["-1 canceled: etcdserver: user name is empty"]
    );
    bench.become_user("u");
    let (_, effects) = bench.request(watch("a", ""));
    assert_eq!(told(&effects), [format!("-1 {denied}")]);
    let (stream, effects) = bench.request(watch("b", "d"));
    assert_eq!(told(&effects), ["0 created"]);
    let more =
        |bench: &mut Bench, req| told(&bench.step(Input::Message { id: stream, req }).unwrap());
    assert_eq!(more(&mut bench, watch("x", "")), ["1 created"]);
    assert_eq!(more(&mut bench, watch("", "\0")), [format!("-1 {denied}")]);
    bench.meta = roots;

    let commit = |bench: &mut Bench, req: Request| {
        let (_, effects) = bench.request(req);
        match effects.last() {
            Some(Effect::Lane(LaneMsg::Propose { data, .. })) => {
                told(&bench.commit(data.clone()).unwrap())
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        commit(&mut bench, Request::Put(put("x", "v"))),
        ["1 events for 1"]
    );
    assert_eq!(commit(&mut bench, Request::Auth(role_add("s"))), [""; 0]);
    let narrowed = commit(&mut bench, Request::Auth(revoke("r", "b", "d")));
    assert_eq!(narrowed, [format!("0 {denied}")]);
    assert_eq!(commit(&mut bench, Request::Put(put("b", "v"))), [""; 0]);
    assert_eq!(
        commit(&mut bench, Request::Put(put("x", "w"))),
        ["1 events for 1"]
    );
    let gone = commit(&mut bench, Request::Auth(user_delete("u")));
    assert_eq!(gone, [format!("1 {denied}")]);
}
