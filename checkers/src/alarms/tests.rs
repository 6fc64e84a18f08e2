use super::*;
use squall_api::{MaintenanceRequest, MaintenanceResponse, pb};
use squall_record::{Code, Ret};

const QUOTA: u64 = 9_999;

/// An operation from `invoke` to `ret`.
fn op(invoke: u64, ret: u64, call: Call, outcome: Outcome) -> Op {
    Op {
        token: String::new(),
        id: 0,
        client: 1,
        process: 0,
        member: 1,
        invoke,
        ret: Some(ret),
        call,
        outcome,
    }
}

/// What is told of a success does not matter here.
fn done() -> Outcome {
    Outcome::Ok(Ret::Put(pb::PutResponse::default()))
}

fn lost() -> Outcome {
    Outcome::Unknown(Why::Timeout)
}

fn refused(message: &str) -> Outcome {
    Outcome::Refused(Status::new(Code::ResourceExhausted, message))
}

fn full() -> Outcome {
    refused("etcdserver: mvcc: database space exceeded")
}

fn put(bytes: usize) -> Call {
    Call::Put(PutRequest {
        value: vec![b'.'; bytes].into(),
        ..PutRequest::default()
    })
}

fn delete() -> Call {
    Call::DeleteRange(pb::DeleteRangeRequest::default())
}

/// A transaction that puts only if its compares fail.
fn put_or_else() -> Call {
    let put = SubRequest {
        request: Some(RequestOp::RequestPut(PutRequest::default())),
    };
    Call::Txn(TxnRequest {
        failure: vec![put],
        ..TxnRequest::default()
    })
}

fn lock() -> Call {
    Call::Lock(LockRequest::Lock(pb::v3lockpb::LockRequest::default()))
}

fn unlock() -> Call {
    Call::Lock(LockRequest::Unlock(pb::v3lockpb::UnlockRequest::default()))
}

/// More data than there is space for.
fn filled() -> Op {
    op(1, 2, put(QUOTA as usize), done())
}

fn alarm(action: AlarmAction, kind: AlarmType, member: u64) -> Call {
    Call::Maintenance(MaintenanceRequest::Alarm(pb::AlarmRequest {
        action: action as i32,
        member_id: member,
        alarm: kind as i32,
    }))
}

/// Who asks for alarms of a type, and is told `active`.
fn list(invoke: u64, ret: u64, kind: AlarmType, active: &[(AlarmType, u64)]) -> Op {
    let shown = |&(kind, member_id): &(AlarmType, u64)| pb::AlarmMember {
        member_id,
        alarm: kind as i32,
    };
    let response = pb::AlarmResponse {
        header: None,
        alarms: active.iter().map(shown).collect(),
    };
    let told = Ret::Maintenance(MaintenanceResponse::Alarm(response));
    let call = alarm(AlarmAction::Get, kind, 0);
    op(invoke, ret, call, Outcome::Ok(told))
}

/// n1 is told to be full, from 10 to 20.
fn told() -> Op {
    list(10, 20, AlarmType::None, &[(AlarmType::Nospace, 1)])
}

/// Somebody deactivates the alarm of `member`.
fn disarm(invoke: u64, ret: u64, member: u64, outcome: Outcome) -> Op {
    let call = alarm(AlarmAction::Deactivate, AlarmType::Nospace, member);
    op(invoke, ret, call, outcome)
}

fn found(history: &[Op], differ: bool) -> Option<String> {
    match check(history, QUOTA, differ).verdict {
        Verdict::Fail(witness) => Some(witness.class),
        Verdict::Pass { judged, .. } => {
            assert!(judged > 0, "nothing was judged");
            None
        }
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn named_cases_of_false_alarms() {
    let corrupt = || refused("etcdserver: corrupt cluster");
    let lists = |kind| list(10, 20, AlarmType::None, &[(kind, 1)]);
    let open = || Outcome::Unknown(Why::Status(Status::new(Code::DataLoss, CORRUPT)));
    let said = |invoke, outcome| {
        let call = alarm(AlarmAction::Activate, AlarmType::Nospace, 1);
        op(invoke, invoke + 1, call, outcome)
    };
    let no_leader = || refused("etcdserver: no leader");
    let one = |call, outcome| op(3, 4, call, outcome);
    // What, the history, whether members differ, what is wrong.
    let cases = [
        ("all is well", vec![one(put(1), done())], false, None),
        ("members differ", vec![one(put(1), corrupt())], true, None),
        (
            "they do not",
            vec![one(put(1), corrupt())],
            false,
            Some("false-corruption"),
        ),
        (
            "a code that leaves it open",
            vec![one(put(1), open())],
            false,
            Some("false-corruption"),
        ),
        (
            "corrupt, it is listed",
            vec![lists(AlarmType::Corrupt)],
            false,
            Some("false-corruption"),
        ),
        (
            "rightly listed",
            vec![lists(AlarmType::Corrupt)],
            true,
            None,
        ),
        (
            "it is full",
            vec![filled(), one(put(1), full())],
            false,
            None,
        ),
        (
            "it may be full",
            vec![op(1, 2, put(9_999), lost()), one(put(1), full())],
            false,
            None,
        ),
        (
            "it is not",
            vec![one(put(1), full())],
            false,
            Some("false-want-of-space"),
        ),
        (
            "full, it is listed",
            vec![lists(AlarmType::Nospace)],
            false,
            Some("false-want-of-space"),
        ),
        (
            "full, and listed",
            vec![filled(), lists(AlarmType::Nospace)],
            false,
            None,
        ),
        (
            "somebody said so",
            vec![said(3, done()), one(put(1), full())],
            false,
            None,
        ),
        (
            "said, and refused",
            vec![said(3, no_leader()), one(put(1), full())],
            false,
            Some("false-want-of-space"),
        ),
        (
            "said too late",
            vec![said(5, done()), one(put(1), full())],
            false,
            Some("false-want-of-space"),
        ),
        (
            "said, and listed",
            vec![said(3, done()), lists(AlarmType::Nospace)],
            false,
            None,
        ),
        (
            "no such alarm",
            vec![filled(), lists(AlarmType::None)],
            false,
            Some("no-such-alarm"),
        ),
        (
            "deleting makes space",
            vec![filled(), one(delete(), full())],
            false,
            Some("refused-what-takes-none"),
        ),
        (
            "who joins a line puts a key",
            vec![filled(), one(lock(), full())],
            false,
            None,
        ),
        (
            "and who leaves it does not",
            vec![filled(), one(unlock(), full())],
            false,
            Some("refused-what-takes-none"),
        ),
        (
            "either branch counts",
            vec![filled(), one(put_or_else(), full())],
            false,
            None,
        ),
        (
            "other refusals",
            vec![filled(), one(put(1), no_leader())],
            false,
            None,
        ),
    ];
    for (what, history, differ, class) in cases {
        assert_eq!(found(&history, differ).as_deref(), class, "{what}");
    }
}

#[test]
fn named_cases_of_alarms_that_are_passed_over() {
    let after = |call, outcome| op(30, 40, call, outcome);
    let grant = Call::Lease(LeaseRequest::Grant(pb::LeaseGrantRequest::default()));
    let both = || {
        list(
            10,
            20,
            AlarmType::None,
            &[(AlarmType::Nospace, 1), (AlarmType::Nospace, 2)],
        )
    };
    let corrupt = || list(10, 20, AlarmType::Corrupt, &[(AlarmType::Corrupt, 3)]);
    let others = || list(30, 40, AlarmType::Corrupt, &[]);
    let none = |invoke, ret| list(invoke, ret, AlarmType::None, &[]);
    let no_leader = refused("etcdserver: no leader");
    let over = Some("passed-over");
    // What, what follows that the store was filled, what is wrong.
    let cases = [
        ("refused", vec![told(), after(put(1), full())], None),
        ("done", vec![told(), after(put(1), done())], over),
        (
            "in either branch",
            vec![told(), after(put_or_else(), done())],
            over,
        ),
        ("a lease", vec![told(), after(grant, done())], over),
        ("deleted", vec![told(), after(delete(), done())], None),
        ("open", vec![told(), after(put(1), lost())], None),
        (
            "at the same time",
            vec![told(), op(19, 40, put(1), done())],
            None,
        ),
        (
            "disarmed",
            vec![told(), disarm(21, 22, 1, done()), after(put(1), done())],
            None,
        ),
        (
            "disarmed meanwhile",
            vec![told(), disarm(39, 50, 1, done()), after(put(1), done())],
            None,
        ),
        (
            "disarmed afterwards",
            vec![told(), disarm(41, 50, 1, done()), after(put(1), done())],
            over,
        ),
        (
            "disarmed before",
            vec![disarm(5, 9, 1, done()), told(), after(put(1), done())],
            over,
        ),
        (
            "who knows when",
            vec![disarm(5, 9, 1, lost()), told(), after(put(1), done())],
            None,
        ),
        (
            "not disarmed",
            vec![told(), disarm(21, 22, 1, no_leader), after(put(1), done())],
            over,
        ),
        (
            "another's",
            vec![both(), disarm(21, 22, 1, done()), after(put(1), done())],
            over,
        ),
        (
            "everybody's",
            vec![both(), disarm(21, 22, 0, done()), after(put(1), done())],
            None,
        ),
        (
            "told early",
            vec![
                told(),
                list(11, 18, AlarmType::None, &[]),
                after(put(1), done()),
            ],
            over,
        ),
        ("corrupt", vec![corrupt(), after(delete(), done())], over),
        (
            "gone from the list",
            vec![told(), none(21, 40)],
            Some("unlisted"),
        ),
        ("gone from another's list", vec![told(), none(19, 40)], None),
        ("not asked for", vec![told(), others()], None),
        (
            "disarmed and gone",
            vec![told(), disarm(21, 22, 1, done()), none(30, 40)],
            None,
        ),
    ];
    for (what, rest, class) in cases {
        let history: Vec<Op> = [vec![filled()], rest].concat();
        assert_eq!(found(&history, true).as_deref(), class, "{what}");
    }
}

#[test]
fn a_witness_shows_who_was_told_of_the_alarm_and_who_was_not_stopped() {
    let history = [filled(), told(), op(30, 40, put(1), done())];
    let Verdict::Fail(witness) = check(&history, QUOTA, false).verdict else {
        panic!("the alarm was passed over");
    };
    assert_eq!(witness.ops, history[1..]);
    let Witness { sentence, .. } = *witness;
    assert!(
        sentence.ends_with("it did it although n1's alarm NOSPACE is active"),
        "{sentence}"
    );
}
