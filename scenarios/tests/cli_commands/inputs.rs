//! Bad input: exit 2 and one clear line, before anything runs.

use crate::support::{Said, passes, squall, text, write_scenarios};
use squall::Scenario;
use squall::runner::{RunFailure, RunOptions};
use squall_ci::Exit;
use squall_record::Run;
use std::collections::BTreeMap;
use std::fs;

fn never(_: &Scenario, _: u64, _: &RunOptions) -> Result<Run, RunFailure> {
    panic!("nothing may run")
}

fn refused(args: &[&str]) -> String {
    let Said { exit, out, err } = squall(args, &never);
    assert_eq!(exit, Exit::Usage, "{args:?}: {out}{err}");
    assert_eq!(out, "", "{args:?}");
    assert!(err.starts_with("squall: "), "{args:?}: {err}");
    assert!(!err.contains("panicked"), "{args:?}: {err}");
    err
}

/// Refused in one line; what is wrong in a scenario is shown with its place.
fn refused_in_a_line(args: &[&str]) -> String {
    let err = refused(args);
    assert_eq!(err.lines().count(), 1, "{args:?}: {err}");
    err
}

#[test]
fn flags_that_make_no_sense_are_named() {
    for (args, expected) in [
        (
            &["run", "--seed", "x"][..],
            "\"x\" is not a seed: write a number from 0",
        ),
        (&["run", "--seed", "-1"], "\"-1\" is not a seed"),
        (
            &["run", "--seed", "18446744073709551616"],
            "is not a seed: write a number from 0 to 2^64-1",
        ),
        (
            &["run", "--seed", "18446744073709551615", "--seeds", "2"],
            "there are no 2 seeds from 18446744073709551615 on",
        ),
        (
            &["run", "--jobs", "-1"],
            "invalid value '-1' for '--jobs <N>'",
        ),
        (&["run", "--max-fail", "-1"], "invalid value '-1'"),
        (&["run", "--out", ""], "has an empty name"),
        (&["run", "--for", "99999h"], "longer than a year"),
        (&["run", "--seeds", "0"], "0 is not in 1.."),
        (
            &["run", "--seeds", "3", "--for", "1m"],
            "cannot be used with",
        ),
        (
            &["run", "--for", "10"],
            "\"10\" is not a duration: write a number and ms, s, m or h",
        ),
        (&["run", "--for", "0s"], "no time at all"),
        (
            &["run", "--check-determinism", "50"],
            "\"50\" is not a sample: write 1/N",
        ),
        (
            &["run", "--bug", "ack-befor-fsync"],
            "did you mean ack-before-fsync",
        ),
        (&["run", "--bug", "zzz"], "`squall bugs list` shows all"),
        (
            &["run", "--profile", "cii"],
            "there is no profile \"cii\"; there are ci, nightly, quick",
        ),
        (&["run", "--keep", "some"], "write failed or all"),
        (&["run", "--sed", "1"], "unexpected argument '--sed'"),
        (&["rnu"], "unrecognized subcommand 'rnu'"),
        (
            &["run", "--jos", "1"],
            "unexpected argument '--jos' found; tip: ",
        ),
        (&["check"], "not provided: <HISTORY>..."),
        (
            &["check", "x", "--from", "edn"],
            "no format \"edn\"; there are squall, jepsen-edn, jepsen-log, kv-log",
        ),
        (&["check", "x", "--budget", "-1"], "invalid value '-1'"),
        (
            &["replay", "healthy"],
            "\"healthy\" is a scenario, not a run: squall replay 'healthy@1'",
        ),
        (&["replay", "pause@x"], "\"x\" is not a seed"),
        (
            &["replay", "x@1", "--until", "soon"],
            "\"soon\" is not a duration",
        ),
    ] {
        let err = refused_in_a_line(args);
        assert!(err.contains(expected), "{args:?}: {err}");
        assert!(!err.contains("Usage:"), "{args:?}: {err}");
    }
}

#[test]
fn a_scenario_that_does_not_exist_is_said_with_what_was_meant() {
    assert!(refused(&["run", "no-such-thing-at-all"]).contains("squall list scenarios"));
    assert!(refused(&["run", "no/such.toml"]).contains("no such file or directory"));
}

#[test]
fn a_scenario_with_a_mistake_does_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let scenarios = write_scenarios(dir.path(), &["a", "b"]);
    let bad = dir.path().join("b.toml");
    let text = fs::read_to_string(&bad).unwrap();
    fs::write(&bad, text.replace("clients = 2", "clinets = 2")).unwrap();
    let err = refused(&["run", &scenarios]);
    assert!(err.contains("b.toml") && err.contains("clinets"), "{err}");

    let linted = squall(&["lint", &scenarios], &never);
    assert_eq!(linted.exit, Exit::Usage);
    assert!(
        linted.out.contains("ok  ") && linted.out.contains("clinets"),
        "{}",
        linted.out
    );
    let a = dir.path().join("a.toml").display().to_string();
    assert_eq!(squall(&["lint", &a], &never).exit, Exit::Pass);
    assert!(refused(&["run", &a, "--set", "cluster.nodez=3"]).contains("nodez"));
}

#[test]
fn two_scenarios_of_one_name_are_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let scenarios = write_scenarios(dir.path(), &["a"]);
    fs::copy(dir.path().join("a.toml"), dir.path().join("z.toml")).unwrap();
    assert!(refused(&["run", &scenarios]).contains("two scenarios are called \"a\""));
}

#[test]
fn an_empty_directory_selects_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let said = squall(&["run", &dir.path().display().to_string()], &never);
    assert_eq!(said.exit, Exit::NothingSelected);
}

#[test]
fn histories_that_cannot_be_read_are_said_before_any_is_judged() {
    let dir = tempfile::tempdir().unwrap();
    let refused = refused_in_a_line;
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let binary = file("binary", b"\xff\xfe\x00");
    assert!(refused(&["check", &binary]).contains("not a history: byte 0 is not text"));
    let empty = file("empty", b"");
    assert!(refused(&["check", &empty]).contains("the file is empty"));
    let header = |major: u32, ops: u32| {
        format!(
            "{{\"format\":\"squall-history\",\"version\":{{\"major\":{major},\"minor\":0}},\"ops\":{ops}}}\n"
        )
    };
    let newer = file("newer", header(9, 0).as_bytes());
    assert!(refused(&["check", &newer]).contains("9.0 is newer than this build reads"));
    let cut = file("cut", header(1, 3).as_bytes());
    assert!(refused(&["check", &cut]).contains("announces 3 operations, 0 are there"));
    assert!(refused(&["check", "no-such-file"]).contains("no-such-file: no such file"));
    let bare = dir.path().display().to_string();
    assert!(refused(&["check", &bare]).contains("a directory without a history.jsonl"));
    let newer_run = dir.path().join("run");
    fs::create_dir(&newer_run).unwrap();
    let head = r#"{"format": "squall-run", "version": {"major": 2, "minor": 0}}"#;
    fs::write(newer_run.join("run.json"), head).unwrap();
    let newer_run = newer_run.display().to_string();
    assert!(refused(&["check", &newer_run]).contains("run format 2.0 is newer"));
    let prose = file("prose", b"hello\n");
    assert!(refused(&["check", &prose]).contains("no known format"));

    let nothing = file("nothing", header(1, 0).as_bytes());
    let said = squall(&["check", &nothing], &never);
    assert_eq!(said.exit, Exit::Inconclusive, "nothing to judge is no pass");
    assert!(
        said.out.starts_with("UNKNOWN  linearizable in "),
        "{}",
        said.out
    );
}

#[test]
fn histories_of_others_are_judged_too() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, lines: &[&str]| {
        let path = dir.path().join(name);
        fs::write(&path, lines.join("\n")).unwrap();
        path.display().to_string()
    };
    let log = [
        "INFO  jepsen.util - 0\t:invoke\t:write\t1",
        "INFO  jepsen.util - 0\t:ok\t:write\t1",
        "INFO  jepsen.util - 1\t:invoke\t:read\tnil",
        "INFO  jepsen.util - 1\t:ok\t:read\t1",
    ];
    let good = file("good.log", &log);
    let said = squall(&["check", &good], &never);
    assert_eq!(said.exit, Exit::Pass, "{}", said.err);
    assert!(
        said.out.ends_with(
            "2 operations, 0 of unknown outcome, decided by searching all orders; \
             read as jepsen-log, cas-register\n"
        ),
        "{}",
        said.out
    );

    let bad = file(
        "bad.log",
        &[&log[..3], &["INFO  jepsen.util - 1\t:ok\t:read\t2"]].concat(),
    );
    let said = squall(&["check", &good, &bad], &never);
    assert_eq!(said.exit, Exit::Violation, "{}", said.err);
    insta::assert_snapshot!(said.out.replace(&dir.path().display().to_string(), "DIR"));
    let json = squall(&["check", &bad, "--format", "json"], &never).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["histories"][0]["format"], "jepsen-log");
    assert_eq!(json["exit"], 1);

    let said = squall(&["check", &good, "--from", "kv-log"], &never);
    assert_eq!(said.exit, Exit::Usage, "{}", said.out);
}

#[test]
fn help_is_no_error_and_names_every_exit_code() {
    let said = squall(&["--help"], &never);
    assert_eq!(said.exit, Exit::Pass);
    for exit in Exit::ALL {
        if exit != Exit::StaleRegression {
            let code = format!("\n  {}", exit.code());
            assert!(
                said.out.contains(&code),
                "{exit} is missing in: {}",
                said.out
            );
        }
    }
    for command in ["run", "replay", "check", "list", "lint", "bugs"] {
        assert_eq!(
            squall(&[command, "--help"], &never).exit,
            Exit::Pass,
            "{command}"
        );
    }
}

#[test]
fn every_list_has_something_and_is_json_on_request() {
    for what in ["scenarios", "checks", "faults", "settings", "marks", "runs"] {
        let said = squall(&["list", what], &passes);
        assert_eq!(said.exit, Exit::Pass, "{what}: {}", said.err);
        assert!(!said.out.is_empty(), "{what}");
        let said = squall(&["list", what, "--format", "json"], &passes);
        serde_json::from_str::<serde_json::Value>(&said.out).unwrap();
    }
    assert!(
        squall(&["bugs", "list"], &passes)
            .out
            .contains("ack-before-fsync")
    );
}

#[test]
fn every_listed_fault_can_be_written_in_a_scenario() {
    let said = squall(&["list", "faults", "--format", "json"], &passes);
    let faults: BTreeMap<String, String> = serde_json::from_str(&said.out).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.toml");
    for fault in faults.keys() {
        let mut text = text("a").replace("pause = { node = \"leader\" }", fault);
        let momentary = [
            "crash",
            "stop",
            "wipe",
            "replace",
            "upgrade",
            "downgrade",
            "client_reset",
            "clock_step",
        ];
        if momentary.iter().any(|action| fault.starts_with(action)) {
            text = text.replace("for = \"1s\"\n", "");
        }
        fs::write(&file, text).unwrap();
        let said = squall(&["lint", &file.display().to_string()], &passes);
        assert_eq!(said.exit, Exit::Pass, "{fault}: {}", said.out);
    }
}
