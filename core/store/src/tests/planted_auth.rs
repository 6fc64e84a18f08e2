//! Planted bugs of auth: each changes what a short script is answered, or makes
//! two members come to different states.

use super::auth_bench::{
    ENABLE, STATUS, cheap, enable, grant, grant_role, revoke, role_add, user_add, user_delete,
};
use super::bench::{Bench, IntoOp as _, put, replies, txn};
use super::crash_disk::CrashDisk;
use squall_api::pb::authpb::UserAddOptions;
use squall_api::pb::authpb::permission::Type;
use squall_api::pb::watch_request::RequestUnion;
use squall_api::{
    AuthRequest, Bug, Bugs, Config, Effect, Input, LaneMsg, LeaseRequest, Request, pb,
};

fn open(id: u64, bugs: Bugs) -> Bench {
    let cfg = Config { id, ..cheap() };
    Bench::open_with(&CrashDisk::default().shared(), cfg, bugs).unwrap()
}

/// What a user may do that its roles do not say, and for how long.
fn rules(bugs: Bugs) -> Vec<String> {
    let mut said = Vec::new();
    said.push(open(1, bugs).auth(ENABLE));
    let mut bench = open(1, bugs);
    let nopass = AuthRequest::UserAdd(pb::AuthUserAddRequest {
        name: "nopass".into(),
        options: Some(UserAddOptions { no_password: true }),
        ..pb::AuthUserAddRequest::default()
    });
    said.push(bench.auth(nopass));
    enable(&mut bench);
    said.push(format!("{:?}", bench.log_in("nopass", "").is_ok()));
    let root = bench.meta.clone();
    bench.become_user("u");
    let mine = bench.meta.clone();
    said.push(bench.say_get("e", ""));
    let branches = txn(vec![], vec![put("b", "v").op()], vec![put("a", "v").op()]);
    said.push(bench.short(Request::Txn(branches)));
    said.push(bench.short(Request::HashKv(pb::HashKvRequest::default())));

    let granted = pb::LeaseGrantRequest { ttl: 60, id: 7 };
    said.push(bench.short(Request::Lease(LeaseRequest::Grant(granted))));
    bench.meta = root.clone();
    let leased = pb::PutRequest {
        lease: 7,
        ..put("x", "v")
    };
    said.push(bench.short(Request::Put(leased)));
    bench.meta = mine.clone();
    let revoked = pb::LeaseRevokeRequest { id: 7 };
    said.push(bench.short(Request::Lease(LeaseRequest::Revoke(revoked))));

    // A write in flight while a role is added.
    let (_, effects) = bench.request(Request::Put(put("b", "v")));
    let in_flight = proposed(&effects);
    bench.meta = root.clone();
    bench.done([role_add("another")]);
    let effects = bench.commit(in_flight).unwrap();
    said.push(format!(
        "{:?}",
        replies(&effects).pop().map(|(_, result)| result.is_ok())
    ));

    bench.meta = mine;
    let create = pb::WatchCreateRequest {
        key: b"b".as_slice().into(),
        ..pb::WatchCreateRequest::default()
    };
    bench.request(Request::Watch(pb::WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    }));
    let mine = std::mem::replace(&mut bench.meta, root.clone());
    let (_, effects) = bench.request(Request::Auth(revoke("r", "b", "d")));
    let effects = bench.commit(proposed(&effects)).unwrap();
    said.push(format!(
        "told {}",
        effects.iter().filter(|e| is_watch(e)).count()
    ));
    bench.meta = mine;
    said.push(bench.say_put("b"));
    bench.pass(cheap().auth_token_ttl);
    said.push(bench.say_get("x", ""));
    bench.become_user("u");
    let mine = bench.meta.clone();
    bench.become_user("root");
    bench.done([user_delete("u")]);
    bench.meta = mine;
    said.push(bench.say_get("x", ""));
    said
}

/// What a restart, a snapshot and a second member make of it.
fn copies(bugs: Bugs) -> Vec<String> {
    let disk = CrashDisk::default().shared();
    let mut bench = Bench::open_with(&disk, cheap(), bugs).unwrap();
    bench.done([user_add("early", "early")]);
    let mut late = open(3, bugs);
    late.commit(bench.log[0].clone()).unwrap();
    enable(&mut bench);
    bench.done([
        role_add("s"),
        grant("s", Type::Read, "s", ""),
        grant_role("u", "s"),
    ]);
    bench.become_user("u");

    let mut replica = open(2, bugs);
    for data in bench.log.clone() {
        replica.commit(data).unwrap();
    }
    let states = |bench: &Bench| bench.applied.iter().map(|a| a.state).collect::<Vec<_>>();
    let mut said = vec![format!(
        "same states: {}",
        states(&bench) == states(&replica)
    )];
    let secret = b"early";
    let shows = |data: &bytes::Bytes| data.windows(secret.len()).filter(|w| w == secret).count();
    // The name, and nothing else.
    said.push(format!(
        "shown {}",
        bench.log.iter().map(shows).sum::<usize>()
    ));
    replica.meta = bench.meta.clone();
    said.push(replica.say_get("s", ""));

    late.step(Input::Lane(LaneMsg::Install(bench.snapshot())))
        .unwrap();
    late.index = bench.index;
    late.become_nobody();
    said.push(late.say_get("s", ""));

    bench.stop();
    let mut again = Bench::open_with(&disk, cheap(), bugs).unwrap();
    said.push(again.say_get("s", ""));
    again.meta.token = again.log_in("root", "root").unwrap_or_default();
    said.push(again.auth(STATUS));
    said
}

fn proposed(effects: &[Effect]) -> bytes::Bytes {
    match effects.last() {
        Some(Effect::Lane(LaneMsg::Propose { data, .. })) => data.clone(),
        other => panic!("{other:?}"),
    }
}

fn is_watch(effect: &Effect) -> bool {
    matches!(effect, Effect::Reply { last: false, .. })
}

/// The bugs of auth, all found here.
const PLANTED: [Bug; 17] = [
    Bug::AcceptExpiredTokens,
    Bug::CheckOneBranch,
    Bug::EnableWithoutRoot,
    Bug::ForgetAuthEnabled,
    Bug::HashAtApply,
    Bug::IgnorePermissionGaps,
    Bug::InstallKeepsOldAuth,
    Bug::KeepTokensOfDeleted,
    Bug::LoginWithoutPassword,
    Bug::OpenMaintenance,
    Bug::PasswordInLog,
    Bug::StaleAuthRevision,
    Bug::StalePermissions,
    Bug::TokenBoundToMember,
    Bug::UncheckedLeaseKeys,
    Bug::UnsavedAuthRevision,
    Bug::WatchOutlivesPermission,
];

#[test]
fn each_planted_bug_of_auth_shows() {
    let run = |bugs| (rules(bugs), copies(bugs));
    let right = run(Bugs::NONE);
    assert_eq!(right, run(Bugs::NONE));
    for bug in PLANTED {
        let wrong = run(Bugs::NONE.with(bug));
        assert_ne!(wrong, right, "{} changes nothing", bug.name());
    }
}
