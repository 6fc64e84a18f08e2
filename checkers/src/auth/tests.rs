//! Each rule's cases, one line a case: what happened, and what is to be said.

use super::{Terms, Took, check};
use squall_api::pb::authpb::permission::Type;
use squall_api::pb::authpb::{Permission, UserAddOptions};
use squall_api::pb::{self, KeyValue};
use squall_api::{AuthRequest, AuthResponse, Code, LeaseRequest, LeaseResponse, Status};
use squall_record::{
    Call, Event, Heard, Kind, Op, Outcome, Ret, Said, Stream, Verdict, Why, seconds,
};

const MS: u64 = 1_000_000;
const TERMS: Terms = Terms {
    token_ttl: 2_000 * MS,
    drift_ppm: 0,
};
const DENIED: (Code, &str) = (Code::PermissionDenied, "etcdserver: permission denied");
const NO_TOKEN: (Code, &str) = (Code::Unauthenticated, "etcdserver: invalid auth token");
const WRONG: (Code, &str) = (
    Code::InvalidArgument,
    "etcdserver: authentication failed, invalid user ID or password",
);

/// A history whose calls come every 100 ms and are answered after 10.
#[derive(Default, Clone)]
struct Story {
    now: u64,
    history: Vec<Op>,
    streams: Vec<Stream>,
    events: Vec<Event>,
    token: String,
    /// Whether the host of the store saw what was applied, and all that it saw.
    took: Option<Vec<Took>>,
}

fn refused((code, message): (Code, &str)) -> Outcome {
    Outcome::Refused(Status::new(code, message))
}

fn auth(call: AuthRequest) -> Call {
    Call::Auth(call)
}

fn put(key: &str) -> Call {
    Call::Put(pb::PutRequest {
        key: key.to_owned().into(),
        ..pb::PutRequest::default()
    })
}

fn get(key: &str, end: &str) -> Call {
    Call::Range(pb::RangeRequest {
        key: key.to_owned().into(),
        range_end: end.to_owned().into(),
        ..pb::RangeRequest::default()
    })
}

fn done(call: &Call) -> Outcome {
    Outcome::Ok(match call {
        Call::Range(_) => Ret::Range(pb::RangeResponse::default()),
        Call::Put(_) => Ret::Put(pb::PutResponse::default()),
        Call::DeleteRange(_) => Ret::DeleteRange(pb::DeleteRangeResponse::default()),
        Call::Txn(_) => Ret::Txn(pb::TxnResponse::default()),
        Call::HashKv(_) => Ret::HashKv(pb::HashKvResponse::default()),
        Call::Lease(LeaseRequest::Revoke(_)) => {
            Ret::Lease(LeaseResponse::Revoke(pb::LeaseRevokeResponse::default()))
        }
        // Which answer it is does not matter to who may ask.
        _ => Ret::Auth(AuthResponse::Enable(pb::AuthEnableResponse::default())),
    })
}

impl Story {
    /// The next call waits so long.
    fn wait(mut self, ms: u64) -> Story {
        self.now += ms * MS;
        self
    }

    fn op_at(mut self, member: u64, call: Call, outcome: Outcome) -> Story {
        self.now += 100 * MS;
        let ret = self.now + 10 * MS;
        if let Some(took) = &mut self.took
            && !matches!(outcome, Outcome::Unknown(_))
        {
            took.push(Took {
                op: Some(self.history.len() as u64),
                lease: None,
                t: self.now + 5 * MS,
                revision: self.history.len() as i64 + 2,
            });
        }
        self.history.push(Op {
            id: self.history.len() as u64,
            client: 1,
            process: 1,
            member,
            invoke: self.now,
            ret: Some(ret),
            token: self.token.clone(),
            call,
            outcome,
        });
        self.now = ret;
        self
    }

    fn op(self, call: Call, outcome: Outcome) -> Story {
        self.op_at(1, call, outcome)
    }

    fn ok(self, call: Call) -> Story {
        let outcome = done(&call);
        self.op(call, outcome)
    }

    fn no(self, call: Call, why: (Code, &str)) -> Story {
        self.op(call, refused(why))
    }

    fn lost(self, call: Call) -> Story {
        self.op(call, Outcome::Unknown(Why::Timeout))
    }

    fn shows(mut self, token: &str) -> Story {
        self.token = token.into();
        self
    }

    /// Logs in, and shows the token from then on.
    fn log_in(self, name: &str, password: &str, token: &str) -> Story {
        let story = self.shows("");
        let call = auth(AuthRequest::Authenticate(pb::AuthenticateRequest {
            name: name.into(),
            password: password.into(),
        }));
        let answer = pb::AuthenticateResponse {
            token: token.into(),
            ..pb::AuthenticateResponse::default()
        };
        let outcome = Outcome::Ok(Ret::Auth(AuthResponse::Authenticate(answer)));
        story.op(call, outcome).shows(token)
    }

    fn log_in_refused(self, name: &str, password: &str) -> Story {
        let call = auth(AuthRequest::Authenticate(pb::AuthenticateRequest {
            name: name.into(),
            password: password.into(),
        }));
        self.shows("").no(call, WRONG)
    }

    fn started(mut self, node: u64) -> Story {
        self.events.push(Event {
            seq: 1,
            t: self.now,
            node: Some(node),
            cause: None,
            kind: Kind::Started { incarnation: 1 },
        });
        self
    }

    /// A watch of a key with the token that is shown, and one event on it, of the
    /// last call's revision, or the news that it is over.
    fn watch(mut self, key: &str, told: bool) -> Story {
        let heard = |t, response| Heard {
            t,
            message: Ret::Watch(response),
        };
        let create = pb::WatchCreateRequest {
            key: key.to_owned().into(),
            ..pb::WatchCreateRequest::default()
        };
        let created = pb::WatchResponse {
            created: true,
            ..pb::WatchResponse::default()
        };
        let next = match told {
            true => pb::WatchResponse {
                events: vec![pb::Event {
                    kv: Some(KeyValue {
                        key: key.to_owned().into(),
                        mod_revision: self.history.len() as i64 + 1,
                        ..KeyValue::default()
                    }),
                    ..pb::Event::default()
                }],
                ..pb::WatchResponse::default()
            },
            false => pb::WatchResponse {
                canceled: true,
                cancel_reason: DENIED.1.into(),
                ..pb::WatchResponse::default()
            },
        };
        self.streams.push(Stream {
            id: 1,
            client: 2,
            member: 1,
            token: self.token.clone(),
            said: vec![Said {
                t: self.now,
                message: Call::Watch(pb::WatchRequest {
                    request_union: Some(pb::watch_request::RequestUnion::CreateRequest(create)),
                }),
            }],
            heard: vec![heard(self.now, created), heard(self.now + MS, next)],
            end: None,
        });
        self
    }

    /// What failed, as `check/class`, in order.
    fn failures(&self) -> Vec<String> {
        let Story {
            history,
            streams,
            events,
            took,
            ..
        } = self;
        let checks = check(history, streams, events, took.as_deref(), TERMS);
        let failed = checks.iter().filter_map(|check| match &check.verdict {
            Verdict::Fail(witness) => Some(format!("{}/{}", check.name, witness.class)),
            Verdict::Pass { .. } | Verdict::Unknown(_) => None,
        });
        failed.collect()
    }
}

fn user_add(name: &str, password: &str) -> Call {
    auth(AuthRequest::UserAdd(pb::AuthUserAddRequest {
        name: name.into(),
        password: password.into(),
        ..pb::AuthUserAddRequest::default()
    }))
}

fn user_delete(name: &str) -> Call {
    auth(AuthRequest::UserDelete(pb::AuthUserDeleteRequest {
        name: name.into(),
    }))
}

fn password(name: &str, password: &str) -> Call {
    auth(AuthRequest::UserChangePassword(
        pb::AuthUserChangePasswordRequest {
            name: name.into(),
            password: password.into(),
            ..pb::AuthUserChangePasswordRequest::default()
        },
    ))
}

fn give(user: &str, role: &str) -> Call {
    auth(AuthRequest::UserGrantRole(pb::AuthUserGrantRoleRequest {
        user: user.into(),
        role: role.into(),
    }))
}

fn take(user: &str, role: &str) -> Call {
    auth(AuthRequest::UserRevokeRole(pb::AuthUserRevokeRoleRequest {
        name: user.into(),
        role: role.into(),
    }))
}

fn grant(role: &str, kind: Type, key: &str, end: &str) -> Call {
    let mut perm = Permission {
        key: key.to_owned().into(),
        range_end: end.to_owned().into(),
        ..Permission::default()
    };
    perm.set_perm_type(kind);
    auth(AuthRequest::RoleGrantPermission(
        pb::AuthRoleGrantPermissionRequest {
            name: role.into(),
            perm: Some(perm),
        },
    ))
}

fn revoke(role: &str, key: &str, end: &str) -> Call {
    auth(AuthRequest::RoleRevokePermission(
        pb::AuthRoleRevokePermissionRequest {
            role: role.into(),
            key: key.to_owned().into(),
            range_end: end.to_owned().into(),
        },
    ))
}

fn enable() -> Call {
    auth(AuthRequest::Enable(pb::AuthEnableRequest {}))
}

fn disable() -> Call {
    auth(AuthRequest::Disable(pb::AuthDisableRequest {}))
}

fn serializable(key: &str) -> Call {
    Call::Range(pb::RangeRequest {
        key: key.to_owned().into(),
        serializable: true,
        ..pb::RangeRequest::default()
    })
}

/// A transaction that takes the empty branch, and has a put of `key` in the other.
fn branches(key: &str) -> Call {
    Call::Txn(pb::TxnRequest {
        failure: vec![pb::RequestOp {
            request: Some(pb::request_op::Request::RequestPut(pb::PutRequest {
                key: key.to_owned().into(),
                ..pb::PutRequest::default()
            })),
        }],
        ..pb::TxnRequest::default()
    })
}

fn leased(key: &str) -> Call {
    Call::Put(pb::PutRequest {
        key: key.to_owned().into(),
        lease: 7,
        ..pb::PutRequest::default()
    })
}

fn lease_revoke() -> Call {
    Call::Lease(LeaseRequest::Revoke(pb::LeaseRevokeRequest { id: 7 }))
}

/// Root, and `u` with password `pw`, who may read and write `["a", "c")` and
/// `"x"`; root shows its token.
fn ready() -> Story {
    Story::default()
        .ok(user_add("root", "r"))
        .ok(give("root", "root"))
        .ok(user_add("u", "pw"))
        .ok(give("u", "role"))
        .ok(grant("role", Type::Readwrite, "a", "c"))
        .ok(grant("role", Type::Readwrite, "x", ""))
        .ok(enable())
        .log_in("root", "r", "root.1")
}

/// As [`ready`], with the host of the store looking on.
fn watched() -> Story {
    let mut story = ready();
    let place = |op: &Op| Took {
        op: Some(op.id),
        lease: None,
        t: op.invoke + 5 * MS,
        revision: op.id as i64 + 2,
    };
    story.took = Some(story.history.iter().map(place).collect());
    story
}

/// As [`ready`], and `u` shows its token.
fn as_user() -> Story {
    ready().log_in("u", "pw", "u.2")
}

#[test]
fn each_rule_says_what_it_should() {
    let machine = auth(AuthRequest::UserAdd(pb::AuthUserAddRequest {
        name: "m".into(),
        options: Some(UserAddOptions { no_password: true }),
        ..pb::AuthUserAddRequest::default()
    }));
    let later = |story: Story, call: Call| {
        // While u's token stays what it is, root does something.
        story.shows("root.1").ok(call).shows("u.2")
    };
    let table: Vec<(&str, Story, &[&str])> = vec![
        (
            "what may be done is done",
            as_user().ok(put("b")).ok(get("a", "c")),
            &[],
        ),
        (
            "what may not is not",
            as_user().no(put("d"), DENIED).no(get("a", "d"), DENIED),
            &[],
        ),
        (
            "a put without permission",
            as_user().ok(put("d")),
            &["auth.permitted/served"],
        ),
        (
            "a read across a gap",
            as_user().ok(get("a", "y")),
            &["auth.permitted/served"],
        ),
        (
            "a needless refusal",
            as_user().no(put("b"), DENIED),
            &["auth.refused/needless"],
        ),
        (
            "a needless refusal of a read",
            as_user().no(get("x", ""), DENIED),
            &["auth.refused/needless"],
        ),
        (
            "root may everything",
            ready()
                .ok(put("q"))
                .ok(Call::HashKv(pb::HashKvRequest::default())),
            &[],
        ),
        (
            "root is refused",
            ready().no(put("q"), DENIED),
            &["auth.refused/needless"],
        ),
        (
            "root's alone",
            as_user().ok(Call::HashKv(pb::HashKvRequest::default())),
            &["auth.permitted/served"],
        ),
        (
            "nobody is served",
            ready().shows("").ok(put("a")),
            &["auth.permitted/anonymous"],
        ),
        (
            "a token that nobody was given",
            ready().shows("?.9").ok(put("a")),
            &["auth.permitted/made-up-token"],
        ),
        ("before it is enabled", Story::default().ok(put("a")), &[]),
        (
            "a user manages",
            as_user().ok(grant("role", Type::Read, "d", "")),
            &["auth.permitted/served"],
        ),
        (
            "a user looks at itself",
            as_user().ok(auth(AuthRequest::UserGet(pb::AuthUserGetRequest {
                name: "u".into(),
            }))),
            &[],
        ),
        (
            "a user looks at another",
            as_user().ok(auth(AuthRequest::UserGet(pb::AuthUserGetRequest {
                name: "root".into(),
            }))),
            &["auth.permitted/served"],
        ),
        (
            "the branch that is not taken",
            as_user().ok(branches("d")),
            &["auth.permitted/served"],
        ),
        (
            "a branch that may be taken",
            as_user().ok(branches("b")),
            &[],
        ),
        (
            "a revocation is honoured",
            later(as_user(), revoke("role", "a", "c")).no(put("b"), DENIED),
            &[],
        ),
        (
            "a revocation is not",
            later(as_user(), revoke("role", "a", "c")).ok(put("b")),
            &["auth.permitted/served"],
        ),
        (
            "a role that was taken",
            later(as_user(), take("u", "role")).ok(put("b")),
            &["auth.permitted/served"],
        ),
        (
            "a lost revocation may be",
            later(as_user(), put("z"))
                .shows("root.1")
                .lost(revoke("role", "a", "c"))
                .shows("u.2")
                .ok(put("b"))
                .no(put("b"), DENIED),
            &[],
        ),
        (
            "a stale read may be local",
            later(as_user(), revoke("role", "a", "c")).ok(serializable("b")),
            &[],
        ),
        (
            "nobody ever granted it",
            as_user().ok(serializable("d")),
            &["auth.permitted/served"],
        ),
        (
            "a downgrade to reading",
            later(as_user(), grant("role", Type::Read, "x", ""))
                .ok(get("x", ""))
                .ok(put("x")),
            &["auth.permitted/served"],
        ),
        (
            "it is disabled",
            later(as_user(), disable()).ok(put("d")),
            &[],
        ),
        (
            "somebody else's lease",
            later(watched().log_in("u", "pw", "u.2"), leased("d")).ok(lease_revoke()),
            &["auth.permitted/served"],
        ),
        (
            "one's own lease",
            watched()
                .log_in("u", "pw", "u.2")
                .ok(leased("b"))
                .ok(lease_revoke()),
            &[],
        ),
        (
            "a lease whose key moved on",
            later(
                later(watched().log_in("u", "pw", "u.2"), leased("d")),
                put("d"),
            )
            .ok(lease_revoke()),
            &[],
        ),
        (
            "anybody ends a lease without keys",
            watched().shows("").ok(lease_revoke()),
            &[],
        ),
        (
            "nobody ends one with keys",
            watched().ok(leased("d")).shows("").ok(lease_revoke()),
            &["auth.permitted/anonymous"],
        ),
        (
            "a wrong password",
            ready().log_in("u", "pq", "u.2"),
            &["auth.logins/wrong-password"],
        ),
        (
            "no password at all",
            ready().ok(machine.clone()).log_in("m", "", "m.2"),
            &["auth.logins/wrong-password"],
        ),
        (
            "a right password",
            ready().log_in_refused("u", "pw"),
            &["auth.logins/right-password"],
        ),
        (
            "a wrong one is refused",
            ready().log_in_refused("u", "pq").log_in_refused("v", ""),
            &[],
        ),
        (
            "an old password",
            ready().ok(password("u", "new")).log_in("u", "pw", "u.2"),
            &["auth.logins/wrong-password"],
        ),
        (
            "enabled without root",
            Story::default().ok(enable()),
            &["auth.root/no-root"],
        ),
        (
            "not enabled without root",
            Story::default().no(
                enable(),
                (
                    Code::FailedPrecondition,
                    "etcdserver: root user does not exist",
                ),
            ),
            &[],
        ),
        (
            "a good token is refused",
            as_user().op_at(2, get("x", ""), refused(NO_TOKEN)),
            &["auth.tokens/good"],
        ),
        (
            "by a member that started since",
            as_user()
                .started(2)
                .op_at(2, get("x", ""), refused(NO_TOKEN)),
            &[],
        ),
        (
            "by another that did not",
            as_user()
                .started(1)
                .op_at(2, get("x", ""), refused(NO_TOKEN)),
            &["auth.tokens/good"],
        ),
        (
            "after its time",
            as_user().wait(2_000).no(get("x", ""), NO_TOKEN),
            &[],
        ),
        (
            "used in time",
            as_user()
                .wait(1_500)
                .ok(get("x", ""))
                .wait(1_500)
                .ok(get("x", "")),
            &[],
        ),
        (
            "taken after its time",
            as_user().ok(get("x", "")).wait(2_000).ok(get("x", "")),
            &["auth.tokens/expired"],
        ),
        (
            "perhaps used in between",
            as_user()
                .ok(get("x", ""))
                .wait(1_500)
                .lost(get("x", ""))
                .wait(1_500)
                .ok(get("x", "")),
            &[],
        ),
        (
            "of a deleted user",
            later(
                later(later(as_user(), user_delete("u")), user_add("u", "2")),
                give("u", "role"),
            )
            .ok(put("b")),
            &["auth.tokens/void"],
        ),
        (
            "of one with another password",
            later(as_user(), password("u", "2")).ok(put("b")),
            &["auth.tokens/void"],
        ),
        (
            "of a deleted user, refused",
            later(as_user(), user_delete("u")).no(put("b"), NO_TOKEN),
            &[],
        ),
        (
            "a watch is told",
            watched()
                .log_in("u", "pw", "u.2")
                .ok(put("b"))
                .watch("b", true),
            &[],
        ),
        (
            "a watch is told too much",
            {
                let story = watched().log_in("u", "pw", "u.2");
                later(story, put("d")).watch("d", true)
            },
            &["auth.watches/told"],
        ),
        (
            "a watch outlives",
            {
                let story = watched().log_in("u", "pw", "u.2");
                later(later(story, revoke("role", "a", "c")), put("b")).watch("b", true)
            },
            &["auth.watches/told"],
        ),
        (
            "a watch is ended",
            {
                let story = watched().log_in("u", "pw", "u.2");
                later(story, revoke("role", "a", "c")).watch("b", false)
            },
            &[],
        ),
        (
            "a watch is ended for nothing",
            watched()
                .log_in("u", "pw", "u.2")
                .ok(put("b"))
                .watch("b", false),
            &["auth.watches/ended"],
        ),
    ];
    for (name, story, expected) in table {
        assert_eq!(story.failures(), expected, "{name}");
    }
}

#[test]
fn the_order_of_the_log_decides_what_times_leave_open() {
    // Both calls are under way at once, and the put was applied second.
    let story = |took: Option<Vec<Took>>| {
        let mut story = as_user()
            .ok(put("b"))
            .shows("root.1")
            .ok(revoke("role", "a", "c"));
        let last = story.history.len() - 1;
        let ret = story.history[last].ret;
        story.history[last - 1].ret = ret;
        story.took = took.map(|mut took| {
            let place = |op: &Op| Took {
                op: Some(op.id),
                lease: None,
                t: op.invoke + 5 * MS,
                revision: 1,
            };
            took.extend(story.history[..last - 1].iter().map(place));
            let t = story.history[last].invoke + 5 * MS;
            for op in [last, last - 1] {
                took.push(Took {
                    op: Some(op as u64),
                    lease: None,
                    t,
                    revision: 1,
                });
            }
            took
        });
        story
    };
    assert_eq!(story(None).failures(), [""; 0]);
    assert_eq!(
        story(Some(Vec::new())).failures(),
        ["auth.permitted/served"]
    );
}

/// Right histories, and what is wrong once one answer in them is turned round.
#[test]
fn every_damage_to_a_right_history_is_seen() {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};
    type Damage = (&'static str, fn(&mut Op) -> bool);
    let damages: [Damage; 4] = [
        ("auth.permitted", |op| {
            let hit = matches!(&op.outcome, Outcome::Refused(s) if s.code == DENIED.0);
            if hit {
                op.outcome = done(&op.call);
            }
            hit
        }),
        ("auth.refused", |op| {
            let hit = op.token == "u.2" && matches!(op.outcome, Outcome::Ok(_));
            if hit {
                op.outcome = refused(DENIED);
            }
            hit
        }),
        ("auth.tokens", |op| {
            let hit = op.token == "u.2" && matches!(op.outcome, Outcome::Ok(_));
            if hit {
                op.outcome = refused(NO_TOKEN);
            }
            hit
        }),
        ("auth.logins", |op| match &mut op.call {
            Call::Auth(AuthRequest::Authenticate(asked)) => {
                asked.password.push('!');
                true
            }
            _ => false,
        }),
    ];
    for seed in 0..50 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut below = |n: u32| rng.next_u32() % n;
        let keys = ["a", "b", "c", "d", "e"];
        let mut may = [true, true, false, false, false];
        let mut story = as_user();
        for _ in 0..60 {
            let n = below(5) as usize;
            let key = keys[n];
            // The first two come with the span that the user has from the start.
            story = match below(4) {
                0 if n > 1 => {
                    may[n] = !may[n];
                    let call = match may[n] {
                        true => grant("role", Type::Readwrite, key, ""),
                        false => revoke("role", key, ""),
                    };
                    story.shows("root.1").ok(call)
                }
                1 => {
                    let call = get(key, "");
                    let story = story.shows("u.2");
                    match may[n] {
                        true => story.ok(call),
                        false => story.no(call, DENIED),
                    }
                }
                _ => {
                    let story = story.shows("u.2");
                    match may[n] {
                        true => story.ok(put(key)),
                        false => story.no(put(key), DENIED),
                    }
                }
            };
        }
        // Long pauses are no part of this.
        let story = Story {
            events: Vec::new(),
            ..story
        };
        let found = story.failures();
        let expired = |found: &[String]| found.iter().all(|f| f.starts_with("auth.tokens/expired"));
        assert!(expired(&found), "seed {seed}: {found:?}");
        for (check, damage) in damages {
            let mut broken = story.clone();
            let hit = broken
                .history
                .iter_mut()
                .rev()
                .find_map(|op| damage(op).then_some(op.id));
            let Some(id) = hit else { continue };
            let found = broken.failures();
            let t = seconds(broken.history[id as usize].invoke);
            assert!(
                found.iter().any(|f| f.starts_with(check)),
                "seed {seed}: op {id} at {t} was damaged, and {check} says nothing: {found:?}"
            );
        }
    }
}
