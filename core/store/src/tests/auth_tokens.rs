//! Who a caller is: logins, tokens, and what becomes of both when users change,
//! members lag, restart or get a snapshot.

use super::auth_bench::{
    BAD_LOGIN, BAD_TOKEN, DENIED, DISABLE, ENABLE, NOBODY, OLD, STATUS, USERS, bench,
    change_password, cheap, enable, enable_with_writer, enabled, grant_role, revoke, role_add,
    user_add, user_delete, user_get,
};
use super::bench::{Bench, SECOND, get, put, replies};
use super::crash_disk::CrashDisk;
use squall_api::pb;
use squall_api::pb::authpb::UserAddOptions;
use squall_api::{
    AuthRequest, AuthResponse, AuthToken, Config, Disk, Effect, Input, Jwt, JwtMethod, LaneMsg,
    Open, Request, Response,
};
use std::sync::Arc;

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
    enable_with_writer(&mut bench);
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
    enable_with_writer(&mut bench);
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
fn signed_tokens_end_with_their_time_and_with_the_next_change_of_users() {
    let cfg = || Config {
        auth_token: AuthToken::Jwt(Jwt {
            method: JwtMethod::Hs256,
            key: b"secret".to_vec(),
            ttl: 300,
        }),
        ..cheap()
    };
    let disk = CrashDisk::default().shared();
    let mut bench = Bench::open(&disk, cfg()).unwrap();
    bench.now.wall = 1_700_000_000 * SECOND;
    enable(&mut bench);
    bench.become_user("u");
    let token = bench.meta.token.clone();
    assert_eq!(token.split('.').count(), 3, "{token}");
    assert_eq!(bench.say_put("b"), "done");
    assert_eq!(bench.say_put("a"), DENIED);
    assert_eq!(bench.auth(user_get("u")), "roles r");

    // The members keep nothing of it, so that a restart changes nothing.
    let wall = bench.now.wall;
    bench.stop();
    let mut bench = Bench::open(&disk, cfg()).unwrap();
    bench.now.wall = wall + 299 * SECOND;
    bench.meta.token = token.clone();
    assert_eq!(bench.say_get("b", ""), "done");
    // Use does not keep it alive, and only the wall clock counts.
    bench.now.mono += 1_000 * SECOND;
    assert_eq!(bench.say_get("b", ""), "done");
    bench.now.wall += SECOND;
    assert_eq!(bench.say_get("b", ""), BAD_TOKEN);
    assert_eq!(bench.say_put("b"), BAD_TOKEN);

    bench.become_user("u");
    let mine = bench.meta.clone();
    bench.become_user("root");
    bench.done([role_add("another")]);
    bench.meta = mine;
    assert_eq!(bench.say_get("b", ""), OLD);
    assert_eq!(bench.say_put("b"), OLD);
    bench.become_user("u");
    assert_eq!(bench.say_put("b"), "done");
    let mut forged = token;
    forged.replace_range(0..1, "f");
    bench.meta.token = forged;
    assert_eq!(bench.say_get("b", ""), BAD_TOKEN);
    bench.meta.token = "letters.7".into();
    assert_eq!(bench.say_get("b", ""), BAD_TOKEN);
}
