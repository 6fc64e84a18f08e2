//! Histories in other people's formats: each is guessed, read and judged.

use squall_checkers::foreign::{Format, Report, check, check_on};
use squall_checkers::linearizable::Budget;
use squall_record::Verdict;
use std::num::NonZero;

fn judge(name: &str) -> Report {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let report = check(&bytes, None, Budget::default()).unwrap_or_else(|e| panic!("{path}: {e}"));
    for threads in 1..4 {
        let again = check_on(
            &bytes,
            Some(report.format),
            Budget::default(),
            NonZero::new(threads).expect("at least one"),
        );
        assert_eq!(
            again.expect("it was read before"),
            report,
            "{threads} threads"
        );
    }
    report
}

fn passes(name: &str, format: Format, model: &str) {
    let report = judge(name);
    assert_eq!((report.format, report.model.as_str()), (format, model));
    assert!(
        matches!(report.verdict, Verdict::Pass { .. }),
        "{name}: {report:#?}"
    );
}

/// The witness as people read it.
fn fails(name: &str, format: Format, model: &str) -> String {
    let report = judge(name);
    assert_eq!((report.format, report.model.as_str()), (format, model));
    let Verdict::Fail(witness) = &report.verdict else {
        panic!("{name}: {report:#?}");
    };
    assert!(!report.core.is_empty() && report.core.len() <= 12);
    let mut text = format!("{}\n", witness.sentence);
    for fact in &witness.facts {
        text += &format!("  {}: {}\n", fact.subject, fact.text);
    }
    text
}

fn error(text: &str, from: Option<Format>) -> String {
    check(text.as_bytes(), from, Budget::default())
        .expect_err("this is no history")
        .to_string()
}

#[test]
fn correct_histories_pass() {
    passes("cas-ok.log", Format::JepsenLog, "cas-register");
    passes("append-ok.txt", Format::KvLog, "kv with append");
    passes("register-ok.edn", Format::JepsenEdn, "register");
    passes("list-append-ok.edn", Format::JepsenEdn, "list-append");
}

#[test]
fn a_stale_read_of_a_cas_register() {
    insta::assert_snapshot!(fails(
        "cas-stale-read.log",
        Format::JepsenLog,
        "cas-register"
    ));
}

#[test]
fn a_lost_append() {
    insta::assert_snapshot!(fails("append-lost.txt", Format::KvLog, "kv with append"));
}

#[test]
fn a_stale_read_of_one_of_two_independent_registers() {
    insta::assert_snapshot!(fails(
        "independent-cas-bad.edn",
        Format::JepsenEdn,
        "cas-register"
    ));
}

#[test]
fn half_a_transaction() {
    insta::assert_snapshot!(fails(
        "list-append-torn.edn",
        Format::JepsenEdn,
        "list-append"
    ));
}

#[test]
fn what_is_no_history_is_named_with_its_line() {
    let log = |lines: &str| error(lines, Some(Format::JepsenLog));
    let invoke = "INFO  jepsen.util - 0 :invoke :write 1\n";
    assert_eq!(
        log(&invoke.repeat(2)),
        "line 2: process 0 invokes an operation, but the one of line 1 has not returned"
    );
    assert_eq!(
        log("INFO  jepsen.util - 0 :ok :write 1\n"),
        "line 1: process 0 returns, but has nothing open"
    );
    assert_eq!(
        log("\nINFO  jepsen.util - 0 :invoke :write x\n"),
        "line 2: \"x\" is no value; expected nil or a number"
    );
    assert_eq!(
        log("INFO  jepsen.util - 0 :invoke :swap 1\n"),
        "line 1: :swap is no operation; expected :read, :write or :cas"
    );
    assert_eq!(
        log(&format!("{invoke}INFO  jepsen.util - 0 :ok :write 2\n")),
        "line 2: the answer is to \"write 2\", but \"write 1\" was invoked"
    );
    let edn = |text: &str| error(text, Some(Format::JepsenEdn));
    assert_eq!(
        edn("{:process 0, :type :invoke, :f :read\n"),
        "line 1: opened here, but the text ends before '}'"
    );
    assert_eq!(
        edn("{:process 0, :type :invoke, :f :read}\n"),
        "line 1: an operation should be a map with :value"
    );
    assert_eq!(
        edn("{:process 0, :type :invoke, :f :txn, :value [[:append 1]]}"),
        "line 1: [:append 1] is no step; expected [:append k v] or [:r k list]"
    );
    assert_eq!(
        error("hello\n", None),
        "no known format: expected a squall history, Jepsen EDN, a Jepsen log or a kv log; \
         name one with --from if it is one of these"
    );
    let deep = "[".repeat(100_000);
    assert_eq!(edn(&deep), "line 1: nested deeper than 64 levels");
    let not_text = check(b"\xff\xfe", None, Budget::default()).expect_err("no text");
    assert_eq!(
        not_text.to_string(),
        "not text: the byte at offset 0 is not UTF-8"
    );
}

#[test]
fn an_empty_history_is_not_called_right() {
    let report = check(
        b"INFO  jepsen.util - nemesis :info :start nil\n",
        None,
        Budget::default(),
    );
    let verdict = report.expect("it is a log").verdict;
    assert!(matches!(verdict, Verdict::Unknown(_)), "{verdict:?}");
}
