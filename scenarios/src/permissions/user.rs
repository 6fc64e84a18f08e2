//! Who tries.

use super::{Book, KEYS, MACHINE, key, span, user_name};
use crate::draw::Draw;
use bytes::Bytes;
use squall_api::pb::request_op::Request as OpRequest;
use squall_api::pb::{self, RequestOp};
use squall_api::{AuthRequest, LeaseRequest, MaintenanceRequest};
use squall_record::Call;

/// What a call comes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Showing {
    /// The user's token.
    Token,
    /// None.
    Nothing,
}

/// A call, how long to wait before it, and what to show.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// Nanoseconds since the last call was answered.
    pub(crate) wait: u64,
    pub(crate) call: Call,
    pub(crate) showing: Showing,
    /// Whether another member is asked than before.
    pub(crate) elsewhere: bool,
}

/// One user, who does not know what it may.
#[derive(Debug)]
pub(crate) struct User {
    seed: u64,
    number: u32,
    users: u32,
    book: Book,
    /// How long an unused token is good.
    token_ttl: u64,
    steps: u64,
}

impl User {
    pub(crate) fn new(seed: u64, number: u32, users: u32, book: Book, token_ttl: u64) -> User {
        User {
            seed,
            number,
            users,
            book,
            token_ttl,
            steps: 0,
        }
    }

    pub(crate) fn next_step(&mut self) -> Step {
        let mut draw = Draw::keyed(self.seed, "user", self.number.into(), self.steps);
        self.steps += 1;
        let mut showing = Showing::Token;
        let mut elsewhere = draw.one_in(4);
        let mut wait = draw.exponential(60e6) as u64;
        let call = match draw.below(32) {
            0..=9 => Call::Put(self.put(&mut draw)),
            10..=15 => Call::Range(range(&mut draw)),
            16..=17 => Call::DeleteRange(delete(&mut draw)),
            18..=22 => Call::Txn(self.txn(&mut draw)),
            23 => self.lease_grant(),
            24 => self.put_on_lease(&mut draw),
            25 => self.lease_revoke(&mut draw),
            26 => roots(&mut draw),
            27 => self.look(&mut draw),
            28 => {
                showing = Showing::Nothing;
                self.guess(&mut draw)
            }
            29 => {
                showing = Showing::Nothing;
                Call::Range(range(&mut draw))
            }
            30 => {
                // Longer than a token lives that is not used.
                wait = self.token_ttl + self.token_ttl / 4;
                elsewhere = false;
                Call::Range(range(&mut draw))
            }
            _ => Call::Put(self.put(&mut draw)),
        };
        Step {
            wait,
            call,
            showing,
            elsewhere,
        }
    }

    fn value(&self) -> Bytes {
        Bytes::from(format!("{}.{}", user_name(self.number), self.steps))
    }

    fn put(&self, draw: &mut Draw) -> pb::PutRequest {
        pb::PutRequest {
            key: key(draw.below(KEYS)),
            value: self.value(),
            prev_kv: draw.one_in(4),
            ..pb::PutRequest::default()
        }
    }

    /// Branches that ask for more than the one that is taken.
    fn txn(&self, draw: &mut Draw) -> pb::TxnRequest {
        let op = |request| RequestOp {
            request: Some(request),
        };
        let first = draw.below(KEYS);
        let mut other = draw.below(KEYS);
        if other == first {
            other = (other + 1) % KEYS;
        }
        let compare = pb::Compare {
            key: key(first),
            target: pb::compare::CompareTarget::Version.into(),
            result: pb::compare::CompareResult::Greater.into(),
            target_union: Some(pb::compare::TargetUnion::Version(0)),
            ..pb::Compare::default()
        };
        let put = pb::PutRequest {
            key: key(first),
            value: self.value(),
            ..pb::PutRequest::default()
        };
        let aside = match draw.below(3) {
            0 => OpRequest::RequestRange(range(draw)),
            1 => OpRequest::RequestPut(pb::PutRequest {
                key: key(other),
                value: Bytes::from(format!("{}.{}/1", user_name(self.number), self.steps)),
                ..pb::PutRequest::default()
            }),
            _ => OpRequest::RequestDeleteRange(pb::DeleteRangeRequest {
                key: key(other),
                ..pb::DeleteRangeRequest::default()
            }),
        };
        let aside = match draw.one_in(4) {
            true => OpRequest::RequestTxn(pb::TxnRequest {
                success: vec![op(aside)],
                ..pb::TxnRequest::default()
            }),
            false => aside,
        };
        let put = op(OpRequest::RequestPut(put));
        let (success, failure) = match draw.one_in(2) {
            true => (vec![put], vec![op(aside)]),
            false => (vec![op(aside)], vec![put]),
        };
        pb::TxnRequest {
            compare: match draw.one_in(3) {
                true => Vec::new(),
                false => vec![compare],
            },
            success,
            failure,
        }
    }

    // --- leases: each user has one, and others know its id ---

    fn lease_of(number: u32) -> i64 {
        7_000 + i64::from(number)
    }

    fn lease_grant(&self) -> Call {
        Call::Lease(LeaseRequest::Grant(pb::LeaseGrantRequest {
            id: User::lease_of(self.number),
            ttl: 600,
        }))
    }

    fn any_lease(&self, draw: &mut Draw) -> i64 {
        User::lease_of(draw.below(self.users.into()) as u32)
    }

    fn put_on_lease(&self, draw: &mut Draw) -> Call {
        Call::Put(pb::PutRequest {
            lease: match draw.one_in(3) {
                true => self.any_lease(draw),
                false => User::lease_of(self.number),
            },
            ..self.put(draw)
        })
    }

    fn lease_revoke(&self, draw: &mut Draw) -> Call {
        let id = self.any_lease(draw);
        match draw.one_in(3) {
            true => Call::Lease(LeaseRequest::TimeToLive(pb::LeaseTimeToLiveRequest {
                id,
                keys: true,
            })),
            false => Call::Lease(LeaseRequest::Revoke(pb::LeaseRevokeRequest { id })),
        }
    }

    // --- users and roles ---

    fn look(&self, draw: &mut Draw) -> Call {
        Call::Auth(match draw.below(3) {
            0 => AuthRequest::UserGet(pb::AuthUserGetRequest {
                name: user_name(draw.below(self.users.into()) as u32),
            }),
            1 => AuthRequest::RoleGet(pb::AuthRoleGetRequest {
                role: format!("r{}", draw.below(3)),
            }),
            _ => AuthRequest::RoleList(pb::AuthRoleListRequest {}),
        })
    }

    /// Logs in as somebody, with something.
    fn guess(&self, draw: &mut Draw) -> Call {
        let name = match draw.one_in(2) {
            true => MACHINE.into(),
            false => user_name(draw.below(self.users.into()) as u32),
        };
        let password = match draw.below(3) {
            0 => self.book.password(&name),
            1 => String::new(),
            _ => "no password".into(),
        };
        Call::Auth(AuthRequest::Authenticate(pb::AuthenticateRequest {
            name,
            password,
        }))
    }
}

fn range(draw: &mut Draw) -> pb::RangeRequest {
    let (key, range_end) = span(draw);
    pb::RangeRequest {
        key,
        range_end,
        serializable: draw.one_in(5),
        ..pb::RangeRequest::default()
    }
}

fn delete(draw: &mut Draw) -> pb::DeleteRangeRequest {
    let first = draw.below(KEYS - 1);
    let range_end = match draw.one_in(3) {
        true => key(first + 1),
        false => Bytes::new(),
    };
    pb::DeleteRangeRequest {
        key: key(first),
        range_end,
        prev_kv: draw.one_in(3),
    }
}

/// What is root's.
fn roots(draw: &mut Draw) -> Call {
    match draw.below(3) {
        0 => Call::HashKv(pb::HashKvRequest::default()),
        1 => Call::Maintenance(MaintenanceRequest::Hash(pb::HashRequest {})),
        _ => Call::Auth(AuthRequest::UserList(pb::AuthUserListRequest {})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_user_is_a_function_of_its_seed() {
        let steps = |seed| {
            let mut user = User::new(seed, 1, 3, Book::default(), SECOND);
            (0..200).map(|_| user.next_step()).collect::<Vec<_>>()
        };
        assert_eq!(steps(1), steps(1));
        assert_ne!(steps(1), steps(2));
        let all = steps(3);
        assert!(all.iter().any(|step| step.showing == Showing::Nothing));
        assert!(all.iter().any(|step| step.wait > SECOND));
    }
}
