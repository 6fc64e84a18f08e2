//! Histories of calls, told one after the other.

use super::super::{Terms, Took, check};
use crate::rules::broken;
use squall_api::pb::authpb::Permission;
use squall_api::pb::authpb::permission::Type;
use squall_api::pb::{self, KeyValue};
use squall_api::{AuthRequest, AuthResponse, Code, LeaseRequest, LeaseResponse, Status};
use squall_record::{Call, Event, Heard, Kind, Op, Outcome, Ret, Said, Stream, Why};

pub(super) const MS: u64 = 1_000_000;
pub(super) const TERMS: Terms = Terms {
    token_ttl: 2_000 * MS,
    drift_ppm: 0,
};
pub(super) const DENIED: (Code, &str) = (Code::PermissionDenied, "etcdserver: permission denied");
pub(super) const NO_TOKEN: (Code, &str) = (Code::Unauthenticated, "etcdserver: invalid auth token");
pub(super) const WRONG: (Code, &str) = (
    Code::InvalidArgument,
    "etcdserver: authentication failed, invalid user ID or password",
);

/// A history whose calls come every 100 ms and are answered after 10.
#[derive(Default, Clone)]
pub(super) struct Story {
    pub(super) now: u64,
    pub(super) history: Vec<Op>,
    pub(super) streams: Vec<Stream>,
    pub(super) events: Vec<Event>,
    pub(super) token: String,
    /// Whether the host of the store saw what was applied, and all that it saw.
    pub(super) took: Option<Vec<Took>>,
}

pub(super) fn refused((code, message): (Code, &str)) -> Outcome {
    Outcome::Refused(Status::new(code, message))
}

pub(super) fn auth(call: AuthRequest) -> Call {
    Call::Auth(call)
}

pub(super) fn put(key: &str) -> Call {
    Call::Put(pb::PutRequest {
        key: key.to_owned().into(),
        ..pb::PutRequest::default()
    })
}

pub(super) fn get(key: &str, end: &str) -> Call {
    Call::Range(pb::RangeRequest {
        key: key.to_owned().into(),
        range_end: end.to_owned().into(),
        ..pb::RangeRequest::default()
    })
}

pub(super) fn done(call: &Call) -> Outcome {
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
    pub(super) fn wait(mut self, ms: u64) -> Story {
        self.now += ms * MS;
        self
    }

    pub(super) fn op_at(mut self, member: u64, call: Call, outcome: Outcome) -> Story {
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

    pub(super) fn op(self, call: Call, outcome: Outcome) -> Story {
        self.op_at(1, call, outcome)
    }

    pub(super) fn ok(self, call: Call) -> Story {
        let outcome = done(&call);
        self.op(call, outcome)
    }

    pub(super) fn no(self, call: Call, why: (Code, &str)) -> Story {
        self.op(call, refused(why))
    }

    pub(super) fn lost(self, call: Call) -> Story {
        self.op(call, Outcome::Unknown(Why::Timeout))
    }

    pub(super) fn shows(mut self, token: &str) -> Story {
        self.token = token.into();
        self
    }

    /// Logs in, and shows the token from then on.
    pub(super) fn log_in(self, name: &str, password: &str, token: &str) -> Story {
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

    pub(super) fn log_in_refused(self, name: &str, password: &str) -> Story {
        let call = auth(AuthRequest::Authenticate(pb::AuthenticateRequest {
            name: name.into(),
            password: password.into(),
        }));
        self.shows("").no(call, WRONG)
    }

    pub(super) fn started(mut self, node: u64) -> Story {
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
    pub(super) fn watch(mut self, key: &str, told: bool) -> Story {
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
    pub(super) fn failures(&self) -> Vec<String> {
        let Story {
            history,
            streams,
            events,
            took,
            ..
        } = self;
        let checks = check(history, streams, events, took.as_deref(), TERMS);
        broken(&checks)
    }
}

pub(super) fn user_add(name: &str, password: &str) -> Call {
    auth(AuthRequest::UserAdd(pb::AuthUserAddRequest {
        name: name.into(),
        password: password.into(),
        ..pb::AuthUserAddRequest::default()
    }))
}

pub(super) fn user_delete(name: &str) -> Call {
    auth(AuthRequest::UserDelete(pb::AuthUserDeleteRequest {
        name: name.into(),
    }))
}

pub(super) fn password(name: &str, password: &str) -> Call {
    auth(AuthRequest::UserChangePassword(
        pb::AuthUserChangePasswordRequest {
            name: name.into(),
            password: password.into(),
            ..pb::AuthUserChangePasswordRequest::default()
        },
    ))
}

pub(super) fn give(user: &str, role: &str) -> Call {
    auth(AuthRequest::UserGrantRole(pb::AuthUserGrantRoleRequest {
        user: user.into(),
        role: role.into(),
    }))
}

pub(super) fn take(user: &str, role: &str) -> Call {
    auth(AuthRequest::UserRevokeRole(pb::AuthUserRevokeRoleRequest {
        name: user.into(),
        role: role.into(),
    }))
}

pub(super) fn grant(role: &str, kind: Type, key: &str, end: &str) -> Call {
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

pub(super) fn revoke(role: &str, key: &str, end: &str) -> Call {
    auth(AuthRequest::RoleRevokePermission(
        pb::AuthRoleRevokePermissionRequest {
            role: role.into(),
            key: key.to_owned().into(),
            range_end: end.to_owned().into(),
        },
    ))
}

pub(super) fn enable() -> Call {
    auth(AuthRequest::Enable(pb::AuthEnableRequest {}))
}

pub(super) fn disable() -> Call {
    auth(AuthRequest::Disable(pb::AuthDisableRequest {}))
}

pub(super) fn serializable(key: &str) -> Call {
    Call::Range(pb::RangeRequest {
        key: key.to_owned().into(),
        serializable: true,
        ..pb::RangeRequest::default()
    })
}

/// A transaction that takes the empty branch, and has a put of `key` in the other.
pub(super) fn branches(key: &str) -> Call {
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

pub(super) fn leased(key: &str) -> Call {
    Call::Put(pb::PutRequest {
        key: key.to_owned().into(),
        lease: 7,
        ..pb::PutRequest::default()
    })
}

pub(super) fn lease_revoke() -> Call {
    Call::Lease(LeaseRequest::Revoke(pb::LeaseRevokeRequest { id: 7 }))
}

/// Root, and `u` with password `pw`, who may read and write `["a", "c")` and
/// `"x"`; root shows its token.
pub(super) fn ready() -> Story {
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
pub(super) fn watched() -> Story {
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
pub(super) fn as_user() -> Story {
    ready().log_in("u", "pw", "u.2")
}
