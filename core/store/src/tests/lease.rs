//! Golden cases of leases: what etcd answers (measured on 3.4.23), and who lets
//! them expire when.

use super::bench::{Bench, IntoOp as _, config, del, get, put, txn, when};
use super::crash_disk::CrashDisk;
use squall_api::pb;
use squall_api::pb::compare::{CompareResult as Is, CompareTarget as Of, TargetUnion as Operand};
use squall_api::{Disk, Input, LaneMsg, LeaseRequest, Request};
use std::sync::Arc;

const NOT_FOUND: &str = "NotFound: etcdserver: requested lease not found";
const EXISTS: &str = "FailedPrecondition: etcdserver: lease already exists";
const TOO_LARGE: &str = "OutOfRange: etcdserver: too large lease TTL";

fn grant(id: i64, ttl: i64) -> Request {
    Request::Lease(LeaseRequest::Grant(pb::LeaseGrantRequest { id, ttl }))
}

fn revoke(id: i64) -> Request {
    Request::Lease(LeaseRequest::Revoke(pb::LeaseRevokeRequest { id }))
}

fn leases() -> Request {
    Request::Lease(LeaseRequest::Leases(pb::LeaseLeasesRequest {}))
}

fn put_on(key: &str, lease: i64) -> pb::PutRequest {
    pb::PutRequest {
        lease,
        ..put(key, "v")
    }
}

/// Says each, and compares.
fn transcript(bench: &mut Bench, steps: Vec<(Request, &str)>) {
    for (i, (step, expected)) in steps.into_iter().enumerate() {
        let asked = format!("{step:?}");
        assert_eq!(bench.say(step), expected, "step {i}: {asked}");
    }
}

#[test]
fn grants_and_revocations_are_answered_as_etcd_does() {
    let mut bench = Bench::new();
    transcript(
        &mut bench,
        vec![
            (grant(7, 100), "1: granted 7 for 100 s"),
            (grant(7, 5), EXISTS),
            (grant(8, 0), "1: granted 8 for 2 s"),
            (grant(9, -1), "1: granted 9 for 2 s"),
            (grant(10, 1), "1: granted 10 for 2 s"),
            (grant(-5, 9_000_000_000), "1: granted -5 for 9000000000 s"),
            (grant(11, 9_000_000_001), TOO_LARGE),
            (leases(), "1: leases [-5 7 8 9 10]"),
            (revoke(8), "1: revoked"),
            (revoke(8), NOT_FOUND),
            (revoke(0), NOT_FOUND),
            (leases(), "1: leases [-5 7 9 10]"),
        ],
    );
}

#[test]
fn a_member_draws_a_positive_id_that_is_free() {
    let mut bench = Bench::new();
    let mut ids = Vec::new();
    for _ in 0..20 {
        match bench.call(grant(0, 10)) {
            Ok(squall_api::Response::Lease(squall_api::LeaseResponse::Grant(r))) => ids.push(r.id),
            other => panic!("{other:?}"),
        }
    }
    assert!(ids.iter().all(|id| *id > 0), "{ids:?}");
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

#[test]
fn revoking_deletes_the_attached_keys_at_one_revision() {
    let mut bench = Bench::new();
    transcript(
        &mut bench,
        vec![
            (grant(1, 100), "1: granted 1 for 100 s"),
            (grant(2, 100), "1: granted 2 for 100 s"),
            (Request::Put(put_on("c", 1)), "2: put"),
            (Request::Put(put_on("a", 1)), "3: put"),
            (Request::Put(put_on("b", 2)), "4: put"),
            (Request::Put(put_on("free", 0)), "5: put"),
            (revoke(1), "6: revoked"),
            (
                Request::Range(get("\0", "\0")),
                "6: [b=v(4,4,1) free=v(5,5,1)] of 2",
            ),
            (
                Request::Range(pb::RangeRequest {
                    revision: 5,
                    ..get("a", "d")
                }),
                "6: [a=v(3,3,1) b=v(4,4,1) c=v(2,2,1)] of 3",
            ),
            (leases(), "6: leases [2]"),
        ],
    );
}

#[test]
fn a_key_belongs_to_the_lease_of_its_last_put() {
    let again = |key: &str, lease: i64, ignore_lease: bool| {
        Request::Put(pb::PutRequest {
            lease,
            ignore_lease,
            ..put(key, "w")
        })
    };
    let mut bench = Bench::new();
    transcript(
        &mut bench,
        vec![
            (grant(1, 100), "1: granted 1 for 100 s"),
            (grant(2, 100), "1: granted 2 for 100 s"),
            (Request::Put(put_on("detached", 1)), "2: put"),
            (Request::Put(put_on("moved", 1)), "3: put"),
            (Request::Put(put_on("kept", 1)), "4: put"),
            (Request::Put(put_on("deleted", 1)), "5: put"),
            (again("detached", 0, false), "6: put"),
            (again("moved", 2, false), "7: put"),
            (again("kept", 0, true), "8: put"),
            (Request::DeleteRange(del("deleted", "")), "9: deleted 1"),
            (again("deleted", 0, false), "10: put"),
            (revoke(1), "11: revoked"),
            (
                Request::Range(get("\0", "\0")),
                "11: [deleted=w(10,10,1) detached=w(2,6,2) moved=w(3,7,2)] of 3",
            ),
            (revoke(2), "12: revoked"),
            (
                Request::Range(get("\0", "\0")),
                "12: [deleted=w(10,10,1) detached=w(2,6,2)] of 2",
            ),
        ],
    );
}

#[test]
fn a_put_with_an_unknown_lease_has_no_effect_also_in_a_transaction() {
    let mut bench = Bench::new();
    let on = |lease| when(Of::Lease, "k", Is::Equal, Operand::Lease(lease));
    let both = |lease| {
        let ops = vec![put("other", "v").op(), put_on("k", lease).op()];
        Request::Txn(txn(vec![], ops, vec![]))
    };
    let compare = |lease| Request::Txn(txn(vec![on(lease)], vec![get("k", "").op()], vec![]));
    transcript(
        &mut bench,
        vec![
            (Request::Put(put_on("k", 5)), NOT_FOUND),
            (both(5), NOT_FOUND),
            (grant(5, 100), "1: granted 5 for 100 s"),
            (compare(0), "1: then {1: [] of 0}"),
            (both(5), "2: then {2: put; 2: put}"),
            (compare(5), "2: then {2: [k=v(2,2,1)] of 1}"),
            (compare(0), "2: else {}"),
            (revoke(5), "3: revoked"),
            (Request::Put(put_on("k", 5)), NOT_FOUND),
        ],
    );
}

#[test]
fn a_restart_and_a_snapshot_keep_leases_and_what_is_attached() {
    let disk: Arc<dyn Disk> = CrashDisk::default().shared();
    let mut bench = Bench::open(&disk, config()).unwrap();
    for step in [
        grant(-3, 100),
        grant(4, 50),
        grant(6, 50),
        Request::Put(put_on("a", -3)),
        Request::Put(put_on("b", 4)),
        Request::Put(put_on("a", 4)),
        Request::Put(put_on("c", -3)),
        revoke(6),
    ] {
        bench.call(step).unwrap();
    }
    let snapshot = bench.snapshot();
    bench.stop();

    let after: Vec<(Request, &str)> = vec![
        (leases(), "5: leases [-3 4]"),
        (revoke(4), "6: revoked"),
        (Request::Range(get("\0", "\0")), "6: [c=v(5,5,1)] of 1"),
        (revoke(-3), "7: revoked"),
        (Request::Range(get("\0", "\0")), "7: [] of 0"),
    ];
    let mut restarted = Bench::open(&disk, config()).unwrap();
    transcript(&mut restarted, after.clone());

    // Onto a member with other leases, and the same key on another one.
    let mut other = Bench::new();
    for step in [grant(9, 10), Request::Put(put_on("c", 9))] {
        other.call(step).unwrap();
    }
    other.step(Input::Lane(LaneMsg::Install(snapshot))).unwrap();
    other.index = 8;
    transcript(&mut other, after);
}
