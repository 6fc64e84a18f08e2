//! Each rule's cases, one line a case: what happened, and what is to be said.

use super::{Place, both_believe, check};
use crate::lease::Ended;
use crate::linearizable::Applied;
use crate::rules::broken;
use bytes::Bytes;
use squall_api::pb::compare::{CompareResult, CompareTarget, TargetUnion};
use squall_api::pb::request_op::Request as Sub;
use squall_api::pb::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
    ProclaimResponse, ResignRequest, ResignResponse,
};
use squall_api::pb::v3lockpb::{LockRequest as Lock, LockResponse as Locked};
use squall_api::pb::v3lockpb::{UnlockRequest as Unlock, UnlockResponse as Unlocked};
use squall_api::pb::{self, KeyValue, ResponseHeader};
use squall_api::{
    Code, ElectionRequest, ElectionResponse, LeaseRequest, LeaseResponse, LockRequest,
    LockResponse, Status,
};
use squall_record::{Call, Heard, Op, Outcome, Ret, Said, Stream, Verdict, Why};

/// A history, what was applied in which order, and the ends of leases. Lease `n`
/// is client `n`'s.
#[derive(Default)]
struct Case {
    history: Vec<Op>,
    applied: Vec<Applied>,
    ended: Vec<Ended>,
    streams: Vec<Stream>,
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        revision,
        ..ResponseHeader::default()
    })
}

fn name(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn key(lease: i64) -> Bytes {
    Place::new(b"l", lease).key
}

fn leader_key(lease: i64, rev: i64) -> Option<LeaderKey> {
    Some(LeaderKey {
        name: name("l"),
        key: key(lease),
        rev,
        lease,
    })
}

fn not_leader() -> Outcome {
    let status = Status::new(Code::Unknown, "election: not leader");
    Outcome::Unknown(Why::Status(status))
}

impl Case {
    fn op(mut self, at: (u64, u64), client: u32, call: Call, outcome: Outcome) -> Case {
        self.history.push(Op {
            token: String::new(),
            id: self.history.len() as u64,
            client,
            process: client,
            member: 1,
            invoke: at.0,
            ret: Some(at.1),
            call,
            outcome,
        });
        self
    }

    /// The last operation was applied, and the store is at this revision.
    fn applied(self, revision: i64) -> Case {
        let last = self.history.len() as u64 - 1;
        self.applied_op(last, revision)
    }

    fn applied_op(mut self, op: u64, revision: i64) -> Case {
        self.applied.push(Applied {
            op: Some(op),
            lease: None,
            revision,
        });
        self
    }

    fn lock_said(self, at: (u64, u64), lease: i64, outcome: Outcome) -> Case {
        let name = name("l");
        let call = Call::Lock(LockRequest::Lock(Lock { name, lease }));
        self.op(at, lease as u32, call, outcome)
    }

    /// The lock is given, as of a revision.
    fn lock(self, at: (u64, u64), lease: i64, revision: i64) -> Case {
        let answer = LockResponse::Lock(Locked {
            header: header(revision),
            key: key(lease),
        });
        self.lock_said(at, lease, Outcome::Ok(Ret::Lock(answer)))
    }

    fn unlock(self, at: (u64, u64), lease: i64, revision: i64) -> Case {
        let call = Call::Lock(LockRequest::Unlock(Unlock { key: key(lease) }));
        let answer = LockResponse::Unlock(Unlocked {
            header: header(revision),
        });
        self.op(at, lease as u32, call, Outcome::Ok(Ret::Lock(answer)))
    }

    /// A lease is granted.
    fn begin(self, at: (u64, u64), id: i64) -> Case {
        let call = Call::Lease(LeaseRequest::Grant(pb::LeaseGrantRequest { id, ttl: 5 }));
        let answer = LeaseResponse::Grant(pb::LeaseGrantResponse {
            header: header(1),
            id,
            ttl: 5,
            ..pb::LeaseGrantResponse::default()
        });
        self.op(at, id as u32, call, Outcome::Ok(Ret::Lease(answer)))
    }

    /// A write in the name of a lease's lock.
    fn write(self, at: (u64, u64), lease: i64, revision: i64) -> Case {
        let call = Call::Txn(pb::TxnRequest {
            compare: vec![pb::Compare {
                result: CompareResult::NotEqual.into(),
                target: CompareTarget::Create.into(),
                key: key(lease),
                range_end: Bytes::new(),
                target_union: Some(TargetUnion::CreateRevision(0)),
            }],
            success: vec![pb::RequestOp {
                request: Some(Sub::RequestPut(pb::PutRequest {
                    key: name("resource"),
                    ..pb::PutRequest::default()
                })),
            }],
            failure: Vec::new(),
        });
        let answer = pb::TxnResponse {
            header: header(revision),
            succeeded: true,
            responses: Vec::new(),
        };
        let outcome = Outcome::Ok(Ret::Txn(answer));
        self.op(at, lease as u32, call, outcome)
    }

    /// An election is won, with a key of this revision.
    fn won(self, at: (u64, u64), lease: i64, rev: i64) -> Case {
        let call = Call::Election(ElectionRequest::Campaign(CampaignRequest {
            name: name("l"),
            lease,
            value: name("v"),
        }));
        let answer = ElectionResponse::Campaign(CampaignResponse {
            header: header(rev),
            leader: leader_key(lease, rev),
        });
        self.op(at, lease as u32, call, Outcome::Ok(Ret::Election(answer)))
    }

    fn proclaim_said(self, at: (u64, u64), of: (i64, i64), outcome: Outcome) -> Case {
        let call = Call::Election(ElectionRequest::Proclaim(ProclaimRequest {
            leader: leader_key(of.0, of.1),
            value: name("w"),
        }));
        self.op(at, of.0 as u32, call, outcome)
    }

    fn proclaim(self, at: (u64, u64), of: (i64, i64), revision: i64) -> Case {
        let answer = ElectionResponse::Proclaim(ProclaimResponse {
            header: header(revision),
        });
        self.proclaim_said(at, of, Outcome::Ok(Ret::Election(answer)))
    }

    fn resign(self, at: (u64, u64), of: (i64, i64), revision: i64) -> Case {
        let call = Call::Election(ElectionRequest::Resign(ResignRequest {
            leader: leader_key(of.0, of.1),
        }));
        let answer = ElectionResponse::Resign(ResignResponse {
            header: header(revision),
        });
        self.op(at, of.0 as u32, call, Outcome::Ok(Ret::Election(answer)))
    }

    fn response(lease: i64, created: i64, modified: i64, at: i64) -> LeaderResponse {
        LeaderResponse {
            header: header(at),
            kv: Some(KeyValue {
                key: key(lease),
                create_revision: created,
                mod_revision: modified,
                version: 1 + i64::from(modified != created),
                value: if modified == created {
                    name("v")
                } else {
                    name("w")
                },
                lease,
            }),
        }
    }

    fn leader(self, at: (u64, u64), lease: i64, created: i64, revision: i64) -> Case {
        let call = Call::Election(ElectionRequest::Leader(LeaderRequest { name: name("l") }));
        let answer = ElectionResponse::Leader(Case::response(lease, created, created, revision));
        self.op(at, 9, call, Outcome::Ok(Ret::Election(answer)))
    }

    /// An observer hears of (lease, created, modified, at).
    fn heard(mut self, told: &[(i64, i64, i64, i64)]) -> Case {
        let message = |t: &(i64, i64, i64, i64)| {
            let answer = ElectionResponse::Observe(Case::response(t.0, t.1, t.2, t.3));
            Heard {
                t: 50,
                message: Ret::Election(answer),
            }
        };
        let observe = ElectionRequest::Observe(LeaderRequest { name: name("l") });
        self.streams.push(Stream {
            token: String::new(),
            id: 0,
            client: 8,
            member: 2,
            said: vec![Said {
                t: 0,
                message: Call::Election(observe),
            }],
            heard: told.iter().map(message).collect(),
            end: None,
        });
        self
    }

    fn end(mut self, t: u64, lease: i64, revision: i64) -> Case {
        let ended = Ended {
            lease,
            t,
            revision,
            expired: true,
        };
        self.ended.push(ended);
        self.applied.push(Applied {
            op: None,
            lease: Some(lease),
            revision,
        });
        self
    }

    /// The rules that are broken, as `rule/class`.
    fn said(&self) -> String {
        let applied = Some(&self.applied[..]);
        let checks = check(&self.history, &self.streams, applied, &self.ended);
        broken(&checks).join(" ")
    }
}

#[test]
fn every_rule_passes_and_fails_as_the_table_says() {
    let case = || {
        Case::default()
            .begin((0, 1), 1)
            .applied(1)
            .begin((0, 1), 2)
            .applied(1)
    };
    let unknown = || Outcome::Unknown(Why::Timeout);
    // Lease 1 is first in line at revision 2, and lease 2 behind it at revision 3.
    let won = || case().won((2, 3), 1, 2).applied(2);
    #[rustfmt::skip]
    let table: Vec<(&str, Case, &str)> = vec![
        ("one after the other", case().lock((2, 3), 1, 2).applied(2).unlock((5, 6), 1, 3).applied(3).lock((4, 7), 2, 4).applied(4), ""),
        ("before the first has let go", case().lock((2, 3), 1, 2).applied(2).lock((4, 7), 2, 3).applied(3).unlock((8, 9), 1, 4).applied(4), "lock.exclusive/two-holders lock.in_line/not-first"),
        ("while the first asks to let go", case().lock((2, 3), 1, 2).applied(2).unlock((5, 9), 1, 3).applied(3).lock((4, 7), 2, 4).applied(4), ""),
        ("after the first one's lease ended", case().lock((2, 3), 1, 2).applied(2).end(5, 1, 3).lock((4, 7), 2, 4).applied(4), ""),
        ("before the first one's lease ended", case().lock((2, 3), 1, 2).applied(2).lock((4, 7), 2, 3).applied(3).end(8, 1, 4), "lock.exclusive/two-holders lock.in_line/not-first"),
        ("the same lease again", case().lock((2, 3), 1, 2).applied(2).lock((4, 5), 1, 2).applied(2), ""),
        ("with a lease that ended while it waited", case().lock((2, 3), 1, 2).applied(2).lock_said((3, 4), 2, unknown()).applied(3).end(5, 2, 4).lock((3, 9), 2, 4), "lock.in_line/not-first"),
        ("a write while it is held", case().lock((2, 3), 1, 2).applied(2).write((4, 5), 1, 3).applied(3), ""),
        ("a write behind another's back", case().lock((2, 3), 1, 2).applied(2).lock_said((3, 4), 2, unknown()).applied(3).write((4, 5), 2, 4).applied(4), "lock.fenced/fence-passed"),
        ("won, and proclaimed", won().proclaim((4, 5), (1, 2), 3).applied(3), ""),
        ("won in turn", won().resign((4, 5), (1, 2), 3).applied(3).won((6, 7), 2, 4).applied(4), ""),
        ("won with a lease that was gone", won().won((3, 9), 2, 3).applied(3).end(5, 2, 4), "election.one_leader/never-first"),
        ("told of the leader", won().leader((4, 5), 1, 2, 2), ""),
        ("told of the next one", won().lock_said((3, 4), 2, unknown()).applied(3).leader((4, 5), 2, 3, 3), "election.one_leader/wrong-leader"),
        ("proclaimed after it resigned", won().resign((4, 5), (1, 2), 3).applied(3).proclaim((6, 7), (1, 2), 4), "election.in_office/proclaimed-late"),
        ("proclaimed as it resigned", won().resign((4, 7), (1, 2), 4).proclaim((5, 6), (1, 2), 3).applied(3).applied_op(3, 4), ""),
        ("proclaimed after its lease ended", won().end(5, 1, 3).proclaim((6, 7), (1, 2), 4), "election.in_office/proclaimed-late"),
        ("refused after it resigned", won().resign((4, 5), (1, 2), 3).applied(3).proclaim_said((6, 7), (1, 2), not_leader()), ""),
        ("refused in office", won().proclaim_said((6, 7), (1, 2), not_leader()), "election.in_office/deposed"),
        ("refused as its lease ended", won().end(7, 1, 3).proclaim_said((6, 8), (1, 2), not_leader()), ""),
        ("proclaimed, and nothing changed", won().proclaim((4, 5), (1, 2), 2).applied(2), "election.proclaimed/other-candidacy"),
        ("resigned twice", won().resign((4, 5), (1, 2), 3).applied(3).resign((6, 7), (1, 2), 3).applied(3), ""),
        ("observed", won().proclaim((4, 5), (1, 2), 3).applied(3).heard(&[(1, 2, 2, 2), (1, 2, 3, 3)]), ""),
        ("observed the last value only", won().proclaim((4, 5), (1, 2), 3).applied(3).heard(&[(1, 2, 3, 3)]), ""),
        ("observed backwards", won().proclaim((4, 5), (1, 2), 3).applied(3).heard(&[(1, 2, 3, 3), (1, 2, 2, 3)]), "election.observed/out-of-order"),
        ("observed a candidate", won().lock_said((3, 4), 2, unknown()).applied(3).heard(&[(1, 2, 2, 2), (2, 3, 3, 3)]), "election.observed/no-leader"),
        ("observed what nobody wrote", won().heard(&[(1, 2, 3, 2)]), "election.observed/untrue"),
        ("observed what is not known", won().heard(&[(1, 2, 2, 2), (2, 9, 9, 9)]), ""),
    ];
    for (name, case, expected) in table {
        assert_eq!(case.said(), expected, "{name}");
    }
}

#[test]
fn who_believes_to_hold_a_lock_that_is_lost_is_counted_and_not_judged() {
    let case = Case::default()
        .begin((0, 1), 1)
        .applied(1)
        .begin((0, 1), 2)
        .applied(1)
        .lock((2, 3), 1, 2)
        .applied(2)
        .end(5, 1, 3)
        .lock((4, 7), 2, 4)
        .applied(4)
        .unlock((8, 9), 1, 4)
        .applied(4);
    assert_eq!(case.said(), "");
    assert_eq!(both_believe(&case.history, &case.ended), 1);
    let aware = Case::default()
        .lock((2, 3), 1, 2)
        .unlock((4, 5), 1, 3)
        .lock((3, 7), 2, 4);
    assert_eq!(both_believe(&aware.history, &[]), 0);
}

#[test]
fn what_was_not_seen_is_not_judged() {
    assert!(check(&[], &[], None, &[]).is_empty());
    let unseen = Case::default().lock_said((2, 3), 1, Outcome::Unknown(Why::Timeout));
    let checks = check(&unseen.history, &[], None, &[]);
    assert_eq!(checks.len(), 3);
    for check in checks {
        assert!(matches!(check.verdict, Verdict::Unknown(_)), "{check:?}");
    }
}
