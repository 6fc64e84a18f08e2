//! Sessions: what clients do that hold leases.
//!
//! A session grants a lease, attaches keys, keeps it alive, and ends: it revokes
//! the lease, or falls silent, as a client does that has died, and then does what
//! such a client must not be able to do. Step `n` of a session is a function of
//! the seed, the client and `n`.

use crate::draw::Draw;
use crate::format::Sessions;
use bytes::Bytes;
use squall_api::pb::{self, request_op::Request as OpRequest};
use squall_api::{LeaseRequest, LeaseResponse};
use squall_record::{Call, Outcome, Ret};

const SECOND: u64 = 1_000_000_000;

/// A call, and how long to wait before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Nanoseconds since the last call was answered.
    pub wait: u64,
    /// The call.
    pub call: Call,
    /// Whether another member is asked than before.
    pub elsewhere: bool,
}

/// What one client does, session after session.
#[derive(Debug, Clone)]
pub struct Session {
    seed: u64,
    client: u32,
    ttl: crate::format::Between<crate::format::Duration>,
    /// Steps drawn so far, and sessions begun.
    steps: u64,
    sessions: i64,
    writes: u64,
    phase: Phase,
    lease: i64,
    /// The granted TTL in nanoseconds.
    granted: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between two sessions.
    Idle,
    /// The lease is asked for.
    Granting,
    /// Keys are attached, so many are left.
    Attaching(u64),
    /// The lease is kept alive, so many times more.
    Keeping(u64),
    /// The client has died, and comes back to so many calls.
    Silent(u64),
}

impl Session {
    /// What `seed` draws for client number `client`.
    pub fn new(sessions: &Sessions, seed: u64, client: u32) -> Session {
        Session {
            seed,
            client,
            ttl: sessions.ttl,
            steps: 0,
            sessions: 0,
            writes: 0,
            phase: Phase::Idle,
            lease: 0,
            granted: 0,
        }
    }

    /// Learns from the outcome of the last step's call.
    pub fn learn(&mut self, call: &Call, outcome: &Outcome) {
        match (call, outcome) {
            (_, Outcome::Ok(Ret::Lease(LeaseResponse::Grant(r)))) => {
                self.granted = u64::try_from(r.ttl).unwrap_or(0) * SECOND;
                if self.phase == Phase::Granting {
                    self.phase = Phase::Attaching(3);
                }
            }
            (Call::Lease(LeaseRequest::Grant(_)), _) if self.phase == Phase::Granting => {
                self.phase = Phase::Idle;
            }
            (_, Outcome::Ok(Ret::Lease(LeaseResponse::KeepAlive(r)))) if r.ttl <= 0 => {
                self.phase = Phase::Silent(1);
            }
            _ => {}
        }
    }

    /// The client's next step.
    pub fn next_step(&mut self) -> Step {
        let mut draw = Draw::keyed(self.seed, "session", self.client.into(), self.steps);
        self.steps += 1;
        let mut elsewhere = draw.one_in(6);
        let soon = draw.below(SECOND / 10);
        let (wait, call) = match self.phase {
            Phase::Idle | Phase::Granting => {
                self.phase = Phase::Granting;
                (soon, self.grant(&mut draw))
            }
            Phase::Attaching(0) => {
                self.phase = Phase::Keeping(draw.below(6));
                elsewhere = true;
                (0, self.keep_alive())
            }
            Phase::Attaching(left) => {
                self.phase = Phase::Attaching(left - 1);
                if left == 3 && draw.one_in(6) {
                    // A grant that was sent twice: an id is free once.
                    (
                        soon / 8,
                        Call::Lease(LeaseRequest::Grant(pb::LeaseGrantRequest {
                            id: self.lease,
                            ttl: 60,
                        })),
                    )
                } else {
                    (soon / 8, self.put(&mut draw))
                }
            }
            Phase::Keeping(0) => {
                self.phase = match draw.one_in(3) {
                    true => Phase::Idle,
                    false => Phase::Silent(3),
                };
                match self.phase {
                    Phase::Idle => (
                        soon,
                        Call::Lease(LeaseRequest::Revoke(pb::LeaseRevokeRequest {
                            id: self.lease,
                        })),
                    ),
                    _ => (soon, self.time_to_live()),
                }
            }
            Phase::Keeping(left) => {
                let third = self.granted / 3;
                match draw.below(4) {
                    0 => (soon, self.put(&mut draw)),
                    1 => (soon, self.range()),
                    2 if draw.one_in(2) => (soon, self.time_to_live()),
                    _ => {
                        self.phase = Phase::Keeping(left - 1);
                        (third.saturating_sub(soon), self.keep_alive())
                    }
                }
            }
            Phase::Silent(left) => {
                self.phase = match left {
                    0 | 1 => Phase::Idle,
                    _ => Phase::Silent(left - 1),
                };
                elsewhere = true;
                let longest = self.granted + self.granted / 2 + SECOND;
                let wait = draw.between(self.granted / 4, longest.max(1)) / 2;
                let call = match draw.below(5) {
                    0 => self.put(&mut draw),
                    1 => self.keep_alive(),
                    2 => self.time_to_live(),
                    _ => self.range(),
                };
                (wait, call)
            }
        };
        Step {
            wait,
            call,
            elsewhere,
        }
    }

    /// Ids are the client's own, and every fourth is negative: they must not be
    /// told apart by luck.
    fn grant(&mut self, draw: &mut Draw) -> Call {
        self.sessions += 1;
        let id = i64::from(self.client + 1) * 1_000_000 + self.sessions;
        self.lease = if draw.one_in(4) { -id } else { id };
        let (min, max) = (self.ttl.min.ns(), self.ttl.max.ns());
        let ttl = match draw.one_in(8) {
            true => 1,
            false => draw.between(min, max).div_ceil(SECOND),
        };
        Call::Lease(LeaseRequest::Grant(pb::LeaseGrantRequest {
            id: self.lease,
            ttl: ttl as i64,
        }))
    }

    /// Of the client's few keys: they move from lease to lease.
    fn put(&mut self, draw: &mut Draw) -> Call {
        self.writes += 1;
        let key = format!("s{}.{}", self.client, draw.below(4));
        let put = pb::PutRequest {
            key: Bytes::from(key),
            value: Bytes::from(format!("c{}.{}", self.client, self.writes)),
            lease: self.lease,
            ..pb::PutRequest::default()
        };
        match draw.one_in(4) {
            false => Call::Put(put),
            true => {
                let op = |request| pb::RequestOp {
                    request: Some(request),
                };
                Call::Txn(pb::TxnRequest {
                    compare: Vec::new(),
                    success: vec![
                        op(OpRequest::RequestRange(self.all())),
                        op(OpRequest::RequestPut(put)),
                    ],
                    failure: Vec::new(),
                })
            }
        }
    }

    fn range(&self) -> Call {
        Call::Range(self.all())
    }

    fn all(&self) -> pb::RangeRequest {
        pb::RangeRequest {
            key: Bytes::from(format!("s{}.", self.client)),
            range_end: Bytes::from(format!("s{}/", self.client)),
            ..pb::RangeRequest::default()
        }
    }

    fn keep_alive(&self) -> Call {
        let id = self.lease;
        Call::Lease(LeaseRequest::KeepAlive(pb::LeaseKeepAliveRequest { id }))
    }

    fn time_to_live(&self) -> Call {
        Call::Lease(LeaseRequest::TimeToLive(pb::LeaseTimeToLiveRequest {
            id: self.lease,
            keys: true,
        }))
    }
}
