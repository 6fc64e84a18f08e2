//! Each rule's cases, one line a case: what happened, and what is to be said.

use super::{Ended, SECOND, Terms, check};
use crate::rules::broken;
use squall_api::pb::{self, KeyValue};
use squall_api::{Code, LeaseRequest, LeaseResponse, Role, Status};
use squall_record::{Call, Event, FaultPhase, Kind, Op, Outcome, Ret, Verdict, Why};

const TERMS: Terms = Terms {
    min_ttl: 2,
    drift_ppm: 10_000,
    checkpoint_interval: SECOND,
    election_timeout: SECOND,
    request_timeout: 5 * SECOND,
};

/// A history in tenths of seconds, and the ends of leases.
#[derive(Default)]
struct Case {
    history: Vec<Op>,
    events: Vec<Event>,
    ended: Vec<Ended>,
}

fn tenths(t: u64) -> u64 {
    t * SECOND / 10
}

fn header(revision: i64) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader {
        revision,
        ..pb::ResponseHeader::default()
    })
}

impl Case {
    fn op(mut self, at: (u64, u64), call: Call, outcome: Outcome) -> Case {
        let id = self.history.len() as u64;
        self.history.push(Op {
            token: String::new(),
            id,
            client: 1,
            process: 1,
            member: 1,
            invoke: tenths(at.0),
            ret: Some(tenths(at.1)),
            call,
            outcome,
        });
        self
    }

    /// Lease 7 is asked for with `ttl`, and answered with it.
    fn grant(self, at: (u64, u64), ttl: i64) -> Case {
        self.granted(at, ttl, ttl)
    }

    fn granted(self, at: (u64, u64), ttl: i64, answer: i64) -> Case {
        let answer = pb::LeaseGrantResponse {
            header: header(1),
            id: 7,
            ttl: answer,
            ..pb::LeaseGrantResponse::default()
        };
        let outcome = Outcome::Ok(Ret::Lease(LeaseResponse::Grant(answer)));
        let call = LeaseRequest::Grant(pb::LeaseGrantRequest { id: 7, ttl });
        self.op(at, Call::Lease(call), outcome)
    }

    fn keep(self, at: (u64, u64), ttl: i64) -> Case {
        let answer = pb::LeaseKeepAliveResponse {
            header: header(1),
            id: 7,
            ttl,
        };
        self.keep_said(
            at,
            Outcome::Ok(Ret::Lease(LeaseResponse::KeepAlive(answer))),
        )
    }

    fn keep_said(self, at: (u64, u64), outcome: Outcome) -> Case {
        let call = LeaseRequest::KeepAlive(pb::LeaseKeepAliveRequest { id: 7 });
        self.op(at, Call::Lease(call), outcome)
    }

    fn left(self, at: (u64, u64), ttl: i64) -> Case {
        let call = LeaseRequest::TimeToLive(pb::LeaseTimeToLiveRequest { id: 7, keys: false });
        let answer = pb::LeaseTimeToLiveResponse {
            header: header(1),
            id: 7,
            ttl,
            ..pb::LeaseTimeToLiveResponse::default()
        };
        let outcome = Outcome::Ok(Ret::Lease(LeaseResponse::TimeToLive(answer)));
        self.op(at, Call::Lease(call), outcome)
    }

    /// Key k is put with lease 7, at revision 2.
    fn put(self, at: (u64, u64)) -> Case {
        let put = pb::PutRequest {
            key: "k".into(),
            lease: 7,
            ..pb::PutRequest::default()
        };
        let answer = pb::PutResponse {
            header: header(2),
            prev_kv: None,
        };
        self.op(at, Call::Put(put), Outcome::Ok(Ret::Put(answer)))
    }

    /// Key k is read with lease 7, at a revision.
    fn read(self, at: (u64, u64), revision: i64) -> Case {
        let get = pb::RangeRequest {
            key: "k".into(),
            ..pb::RangeRequest::default()
        };
        let answer = pb::RangeResponse {
            header: header(revision),
            kvs: vec![KeyValue {
                key: "k".into(),
                create_revision: 2,
                mod_revision: 2,
                version: 1,
                lease: 7,
                ..KeyValue::default()
            }],
            count: 1,
            more: false,
        };
        self.op(at, Call::Range(get), Outcome::Ok(Ret::Range(answer)))
    }

    fn event(mut self, at: u64, kind: Kind) -> Case {
        self.events.push(Event {
            seq: self.events.len() as u64,
            t: tenths(at),
            node: Some(1),
            cause: None,
            kind,
        });
        self
    }

    fn elected(self, at: u64) -> Case {
        self.event(
            at,
            Kind::Role {
                role: Role::Leader,
                term: at,
                leader: 1,
            },
        )
    }

    fn fault(self, from: u64, to: u64) -> Case {
        let kind = |phase| Kind::Fault {
            fault: 0,
            phase,
            label: "cut".into(),
            what: "cut".into(),
        };
        self.event(from, kind(FaultPhase::Start))
            .event(to, kind(FaultPhase::End))
    }

    /// Lease 7 ends, at revision 3.
    fn end(mut self, at: u64, expired: bool) -> Case {
        self.ended.push(Ended {
            lease: 7,
            t: tenths(at),
            revision: 3,
            expired,
        });
        self
    }

    /// The rules that are broken, as `rule/class`, looking until a time.
    fn said(&self, until: u64) -> String {
        let checks = check(
            &self.history,
            &self.events,
            &self.ended,
            TERMS,
            tenths(until),
        );
        broken(&checks).join(" ")
    }
}

#[test]
fn every_rule_passes_and_fails_as_the_table_says() {
    let case = Case::default;
    let early = "lease.not_early/early";
    let late = "lease.not_late/late";
    let unknown = || Outcome::Unknown(Why::Timeout);
    let refused = || Outcome::Refused(Status::new(Code::NotFound, "gone"));
    #[rustfmt::skip]
    let table: Vec<(&str, Case, u64, &str)> = vec![
        ("ends when its time has passed", case().grant((0, 1), 5).end(51, true), 60, ""),
        ("ends by a clock as fast as allowed", case().grant((0, 1), 5).end(50, true), 60, ""),
        ("ends before", case().grant((0, 1), 5).end(48, true), 60, early),
        ("is revoked before", case().grant((0, 1), 5).end(20, false), 60, ""),
        ("ends before a renewal's time", case().grant((0, 1), 5).keep((20, 21), 5).end(60, true), 80, early),
        ("ends after a renewal's time", case().grant((0, 1), 5).keep((20, 21), 5).end(71, true), 80, ""),
        ("a renewal of unknown outcome gives nothing", case().grant((0, 1), 5).keep_said((20, 21), unknown()).end(51, true), 60, ""),
        ("ends a little late", case().grant((0, 1), 5).end(110, true), 200, ""),
        ("ends too late", case().grant((0, 1), 5).end(125, true), 200, late),
        ("never ends", case().grant((0, 1), 5), 200, late),
        ("never ends, but was renewed", case().grant((0, 1), 5).keep((150, 151), 5), 200, ""),
        ("may have been renewed", case().grant((0, 1), 5).keep_said((50, 60), unknown()).end(200, true), 300, ""),
        ("may be renewed yet when it has ended, in a fault", case().grant((0, 1), 5).fault(20, 400).keep_said((50, 60), unknown()).end(70, true), 500, ""),
        ("was not renewed", case().grant((0, 1), 5).keep_said((50, 60), refused()).end(200, true), 300, late),
        ("a new leader gives it its time again", case().grant((0, 1), 5).elected(40).end(150, true), 300, ""),
        ("but only what was left", case().grant((0, 1), 20).elected(190).end(315, true), 400, late),
        ("each fault delays it by its length", case().grant((0, 1), 5).fault(20, 120).end(220, true), 400, ""),
        ("whoever leads later", case().grant((0, 1), 5).elected(200).end(201, true), 400, late),
        ("and not by more", case().grant((0, 1), 5).fault(20, 120).end(280, true), 400, late),
        ("kept alive after its end", case().grant((0, 1), 5).end(51, true).keep((52, 53), 5), 60, "lease.answers/alive-after-end"),
        ("kept alive as it ends", case().grant((0, 1), 5).end(51, true).keep((1, 53), 5), 60, ""),
        ("known to be gone", case().grant((0, 1), 5).end(51, true).keep((52, 53), 0).left((54, 55), -1), 60, ""),
        ("said to live after its end", case().grant((0, 1), 5).end(51, true).left((52, 53), 0), 60, "lease.answers/alive-after-end"),
        ("said to be gone while it lives", case().grant((0, 1), 5).keep((2, 3), 0).end(51, true), 60, "lease.answers/gone-while-alive"),
        ("said to have no time while it lives", case().grant((0, 1), 5).left((2, 3), -1).end(51, true), 60, "lease.answers/gone-while-alive"),
        ("not yet granted when asked", case().grant((0, 3), 5).keep((2, 4), 0).end(51, true), 60, ""),
        ("granted for less than the least", case().granted((0, 1), 1, 1).end(21, true), 30, "lease.answers/ttl"),
        ("granted for the least", case().granted((0, 1), 1, 2).end(21, true), 30, ""),
        ("granted twice", case().grant((0, 1), 5).grant((2, 3), 5), 30, "lease.exists/granted-twice"),
        ("granted again after its end", case().grant((0, 1), 5).end(20, false).grant((30, 31), 5), 60, ""),
        ("a key is attached", case().grant((0, 1), 5).put((2, 3)).end(51, true), 60, ""),
        ("to a lease that is gone", case().grant((0, 1), 5).end(51, true).put((52, 53)), 60, "lease.exists/unknown-lease"),
        ("to a lease that never was", case().put((2, 3)), 60, "lease.exists/unknown-lease"),
        ("to one that may have been granted", case().op((0, 1), Call::Lease(LeaseRequest::Grant(pb::LeaseGrantRequest { id: 7, ttl: 5 })), unknown()).put((2, 3)), 60, ""),
        ("its key is read while it lives", case().grant((0, 1), 5).put((2, 3)).read((4, 5), 2).end(51, true), 60, ""),
        ("its key is read as of its life", case().grant((0, 1), 5).put((2, 3)).end(51, true).read((52, 53), 2), 60, ""),
        ("its key outlives it", case().grant((0, 1), 5).put((2, 3)).end(51, true).read((52, 53), 3), 60, "lease.keys_end/orphan"),
    ];
    for (name, case, until, expected) in table {
        assert_eq!(case.said(until), expected, "{name}");
    }
}

#[test]
fn what_was_not_seen_is_not_judged() {
    let checks = check(&[], &[], &[], TERMS, 0);
    assert_eq!(checks.len(), 5);
    for check in checks {
        assert!(matches!(check.verdict, Verdict::Unknown(_)), "{check:?}");
    }
}
