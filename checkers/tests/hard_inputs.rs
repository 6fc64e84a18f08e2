//! Inputs on which checkers go wrong, or take for ever.

mod histories;
mod log;

use histories::{Store, get, put};
use log::Log;
use squall_api::pb;
use squall_checkers::damage;
use squall_checkers::foreign::{self, Format};
use squall_checkers::generate::{self, Shape};
use squall_checkers::linearizable::{Budget, Path, check};
use squall_record::{Call, Fact, Op, Outcome, Ret, Verdict, Why, Witness};

fn passes(history: &[Op]) {
    let report = check(history, None, Budget::default());
    assert!(
        matches!(report.verdict, Verdict::Pass { .. }),
        "{report:#?}"
    );
}

fn fails(history: &[Op]) -> Witness {
    let report = check(history, None, Budget::default());
    match report.verdict {
        Verdict::Fail(witness) => *witness,
        other => panic!("{other:#?}"),
    }
}

#[test]
fn pending_calls_only() {
    let mut log = Log::default();
    for process in 0..40 {
        log.unknown(process, ":write", &(process % 5).to_string());
    }
    assert!(log.passes());
    let mut store = Store::default();
    for i in 0..40 {
        store.unknown(i, put("k", &format!("v{i}")));
    }
    passes(&store.ops);
}

#[test]
fn equal_timestamps_are_concurrent() {
    // The read returns in the very instant in which the write is sent.
    let mut store = Store::default();
    store.ok(10, 20, get("k"), 2, &[("k", "a", 2, 2, 1)]);
    store.put(20, 30, "k", "a", 2);
    passes(&store.ops);
    store.ops[1].invoke = 20_000_001;
    assert_eq!(fails(&store.ops).class, "phantom-value");
}

#[test]
fn a_phantom_read() {
    let mut log = Log::default();
    log.ok(0, ":write", "1");
    log.ok(1, ":read", "9");
    assert!(log.fails().sentence.starts_with("phantom value"));
    let mut store = Store::default();
    store.put(10, 20, "k", "a", 2);
    store.ok(30, 40, get("k"), 2, &[("k", "b", 2, 2, 1)]);
    assert_eq!(fails(&store.ops).class, "phantom-value");
}

#[test]
fn a_rewrite_of_the_same_value() {
    let mut log = Log::default();
    log.ok(0, ":write", "1");
    log.ok(0, ":write", "2");
    log.ok(0, ":write", "1");
    log.ok(1, ":read", "1");
    assert!(log.passes());
    let mut store = Store::default();
    store.put(10, 20, "k", "a", 2);
    store.put(30, 40, "k", "a", 3);
    store.ok(50, 60, get("k"), 3, &[("k", "a", 2, 3, 2)]);
    passes(&store.ops);
    store.ok(70, 80, get("k"), 3, &[("k", "a", 2, 2, 1)]);
    assert_eq!(fails(&store.ops).class, "lost-write");
}

#[test]
fn a_value_read_twice_but_written_once() {
    let mut log = Log::default();
    log.ok(0, ":write", "1");
    log.ok(0, ":write", "2");
    log.ok(1, ":read", "2");
    log.ok(1, ":read", "1");
    log.fails();
    // Unless the first write may have come late.
    let mut log = Log::default();
    log.unknown(5, ":write", "1");
    log.ok(0, ":write", "2");
    log.ok(1, ":read", "2");
    log.ok(1, ":read", "1");
    assert!(log.passes());
    log.ok(1, ":read", "2");
    log.fails();
}

#[test]
fn repeated_tokens() {
    let line = |kind: &str, f: &str, value: &str| {
        format!("{{:process 0, :type :{kind}, :f :{f}, :key \"k\", :value {value}}}\n")
    };
    let both = |f: &str, arg: &str, answer: &str| line("invoke", f, arg) + &line("ok", f, answer);
    let twice = both("append", "\"x\"", "\"x\"").repeat(2);
    let verdict = |text: &str| {
        foreign::check(text.as_bytes(), Some(Format::KvLog), Budget::default())
            .expect("it is a kv log")
            .verdict
    };
    let right = twice.clone() + &both("get", "nil", "\"xx\"");
    assert!(matches!(verdict(&right), Verdict::Pass { .. }));
    let wrong = twice + &both("get", "nil", "\"x\"");
    assert!(matches!(verdict(&wrong), Verdict::Fail(_)));
}

#[test]
fn crashed_writes_and_then_a_stale_read() {
    for crashed in [5, 50, 500] {
        let mut log = Log::default();
        log.ok(0, ":write", "100");
        for k in 0..crashed {
            log.unknown(1_000 + k, ":write", &(k % 7).to_string());
        }
        log.ok(0, ":write", "200");
        log.ok(0, ":read", "200");
        log.ok(0, ":read", "100");
        let witness = log.fails();
        assert!(witness.facts.len() <= 12, "{witness:#?}");
    }
    for crashed in [5, 50, 5_000] {
        let mut store = Store::default();
        store.put(10, 20, "k", "a", 2);
        for i in 0..crashed {
            store.unknown(30 + i, put("k", &format!("crashed{i}")));
        }
        store.put(10_000, 10_010, "k", "b", 3);
        store.ok(10_020, 10_030, get("k"), 2, &[("k", "a", 2, 2, 1)]);
        assert_eq!(fails(&store.ops).class, "stale-read");
    }
}

#[test]
fn sixty_thousand_trivial_operations() {
    let mut log = Log::default();
    for i in 0..30_000 {
        log.ok(i % 5, ":write", "1");
        log.ok(i % 7, ":read", "1");
    }
    assert!(log.passes());
    log.ok(0, ":read", "2");
    log.fails();
}

#[test]
fn a_violation_only_at_the_end() {
    let mut made = generate::history(&Shape {
        ops: 5_000,
        seed: 3,
        ..Shape::default()
    });
    passes(&made.history);
    let last = made
        .history
        .iter()
        .filter_map(|op| op.ret)
        .max()
        .expect("there are answers");
    let revision = made.applied.last().expect("something was applied").revision;
    let mut store = Store {
        ops: std::mem::take(&mut made.history),
    };
    store.put(last + 10, last + 20, "new", "a", revision + 1);
    store.ok(last + 30, last + 40, get("new"), revision + 1, &[]);
    assert_eq!(fails(&store.ops).class, "lost-write");
}

#[test]
fn what_breaks_a_long_history_is_confirmed() {
    let made = generate::history(&Shape {
        ops: 20_000,
        seed: 5,
        ..Shape::default()
    });
    passes(&made.history);
    for damage in damage::BENCHMARKED {
        let mut history = made.history.clone();
        assert!((damage.apply)(&mut history), "{}", damage.name);
        let witness = fails(&history);
        assert!(witness.ops.len() <= 12, "{}: {witness:#?}", damage.name);
        let unconfirmed = |fact: &Fact| fact.text.starts_with("not confirmed");
        assert!(!witness.facts.iter().any(unconfirmed), "{witness:#?}");
    }
}

#[test]
fn two_independent_bad_keys() {
    let line = |index: u64, kind: &str, f: &str, value: &str| {
        format!("{{:index {index}, :type :{kind}, :process 0, :f :{f}, :value {value}}}\n")
    };
    let mut text = String::new();
    for (key, at) in [("7", 0), ("3", 6)] {
        for (i, (f, arg, answer)) in [
            ("write", "1", "1"),
            ("write", "2", "2"),
            ("read", "nil", "1"),
        ]
        .into_iter()
        .enumerate()
        {
            let at = at + 2 * i as u64;
            text += &line(at, "invoke", f, &format!("[{key} {arg}]"));
            text += &line(at + 1, "ok", f, &format!("[{key} {answer}]"));
        }
    }
    let report = foreign::check(text.as_bytes(), None, Budget::default()).expect("it is EDN");
    let Verdict::Fail(witness) = report.verdict else {
        panic!("{report:#?}");
    };
    // The one that shows first is told, whatever its name.
    assert!(
        witness.sentence.contains("on \"7\""),
        "{}",
        witness.sentence
    );
    assert_eq!(report.parts, 2);
}

#[test]
fn a_stale_revision_off_by_one_and_by_sixty() {
    for by in [1, 60] {
        let mut store = Store::default();
        for i in 0..100 {
            let t = 100 * i as u64;
            store.put(t + 10, t + 20, "k", &format!("v{i}"), i + 2);
        }
        let seen = 101 - by;
        let shown = [("k", &*format!("v{}", seen - 2), 2, seen, seen - 1)];
        store.ok(20_000, 20_010, get("k"), seen, &shown);
        let witness = fails(&store.ops);
        assert_eq!(witness.class, "stale-read");
        assert!(witness.ops.len() <= 3, "{witness:#?}");
    }
}

#[test]
fn an_unknown_delete_that_fills_a_gap() {
    let delete = Call::DeleteRange(pb::DeleteRangeRequest {
        key: "k".into(),
        ..pb::DeleteRangeRequest::default()
    });
    let mut store = Store::default();
    store.put(10, 20, "k", "a", 2);
    store.unknown(30, delete.clone());
    store.ok(40, 50, get("k"), 2, &[("k", "a", 2, 2, 1)]);
    store.put(60, 70, "k", "b", 4);
    store.ok(80, 90, get("k"), 4, &[("k", "b", 4, 4, 1)]);
    let report = check(&store.ops, None, Budget::default());
    assert!(
        matches!(report.verdict, Verdict::Pass { .. }),
        "{report:#?}"
    );
    assert_eq!(report.path, Path::Anchored);
    // It cannot have taken effect before it was sent.
    store.ops[1].invoke = 75_000_000;
    assert_eq!(fails(&store.ops).class, "revision-skipped");
    // Nor can it have happened twice.
    store.ops[1].invoke = 30_000_000;
    store.put(100, 110, "k", "c", 6);
    assert_eq!(fails(&store.ops).class, "revision-skipped");
}

#[test]
fn a_lost_write_whose_revision_is_used_again() {
    let mut store = Store::default();
    store.put(10, 20, "a", "1", 2);
    store.put(30, 40, "b", "1", 2);
    let witness = fails(&store.ops);
    assert_eq!(witness.class, "revision-reused");
    assert_eq!(witness.ops.len(), 2);
}

#[test]
fn an_unknown_write_may_be_applied_long_after_its_client_gave_up() {
    let mut store = Store::default();
    store.unknown(10, put("k", "late"));
    store.ops[0].ret = Some(20);
    store.put(100, 110, "k", "b", 2);
    store.ok(120, 130, get("k"), 2, &[("k", "b", 2, 2, 1)]);
    store.ok(900, 910, get("k"), 3, &[("k", "late", 2, 3, 2)]);
    passes(&store.ops);
}

#[test]
fn a_spent_budget_is_said() {
    // Twelve transactions of unknown outcome, any of which may have taken any of
    // the unclaimed revisions, and a read that fits none.
    let mut log = Log::default();
    for i in 0..30 {
        log.unknown(100 + i, ":cas", &format!("[{i} {}]", i + 1));
        log.unknown(200 + i, ":write", &i.to_string());
    }
    for i in 0..8 {
        log.ok(i, ":read", &(29 - 3 * i).to_string());
    }
    let report = log.report(Budget {
        steps: 3,
        bytes: 1 << 20,
    });
    let Verdict::Unknown(why) = report.verdict else {
        panic!("{report:#?}");
    };
    assert!(
        why.to_string()
            .contains("the budget was spent after 3 steps"),
        "{why}"
    );
}

#[test]
fn calls_outside_the_key_value_service_are_ignored() {
    let mut store = Store::default();
    store.put(10, 20, "k", "a", 2);
    let mut op = store.ops[0].clone();
    op.call = Call::Status(pb::StatusRequest::default());
    op.outcome = Outcome::Ok(Ret::Status(pb::StatusResponse::default()));
    store.ops.push(op.clone());
    op.call = Call::HashKv(pb::HashKvRequest::default());
    op.outcome = Outcome::Unknown(Why::Timeout);
    store.ops.push(op);
    let report = check(&store.ops, None, Budget::default());
    assert_eq!(
        report.verdict,
        Verdict::Pass {
            judged: 1,
            unknown: 0
        }
    );
}
