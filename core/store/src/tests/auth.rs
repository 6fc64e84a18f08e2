//! The service `Auth`, and what its rules refuse: each as etcd words it.

use super::auth_bench::{
    BAD_MGMT, BAD_TOKEN, DENIED, DISABLE, ENABLE, NO_ROLE, NO_USER, NOBODY, ROLES, STATUS, USERS,
    bench, change_password, enabled, grant, grant_role, revoke, revoke_role, role_add, role_delete,
    role_get, user_add, user_delete, user_get,
};
use super::bench::{Bench, IntoOp as _, bytes, del, get, put, show, txn};
use prost::Message as _;
use squall_api::pb::authpb::permission::Type;
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::watch_request::RequestUnion;
use squall_api::pb::{self, InternalRaftRequest};
use squall_api::{
    AuthRequest, ClusterRequest, Effect, Input, LaneMsg, LeaseRequest, MaintenanceRequest, Request,
    Response,
};

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
            Effect::Reply { result, .. } => match &**result {
                Ok(Response::Watch(response)) => Some(response),
                _ => None,
            },
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
    let more = |bench: &mut Bench, req| {
        let req = Box::new(req);
        told(&bench.step(Input::Message { id: stream, req }).unwrap())
    };
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
