//! `squall run`: exits, screens, and what stays on disk.

use crate::support::{
    fails, passes, run as made_up, squall, squall_on, squall_until, write_scenarios,
};
use squall::Scenario;
use squall::runner::RunOptions;
use squall::sweep::Stop;
use squall_api::{Bug, Bugs};
use squall_ci::Exit;
use squall_record::{Check, Reason, Verdict};
use std::fs;
use std::path::Path;

/// The wall time differs, and so do the paths of temporary directories.
fn steady(text: &str, dir: &Path) -> String {
    let text = text.replace(&dir.display().to_string(), "DIR");
    let mut out = String::new();
    for line in text.lines() {
        let line = match line.rsplit_once("; ") {
            Some((head, tail)) if tail.ends_with(" s") && head.contains(" passed") => {
                format!("{head}; WALL")
            }
            _ => line.to_owned(),
        };
        let stamped = line.split(' ').map(|word| match word.find("DIR/out/2") {
            Some(at) => {
                let stamp = at + "DIR/out/".len();
                format!(
                    "{}STAMP{}",
                    &word[..stamp],
                    &word[stamp + "20261121T101502Z".len()..]
                )
            }
            None => word.to_owned(),
        });
        out.push_str(&stamped.collect::<Vec<_>>().join(" "));
        out.push('\n');
    }
    out
}

#[test]
fn a_sweep_that_passes_is_one_screen() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out").display().to_string();
    let said = squall(
        &[
            "run",
            "healthy",
            "power-loss-majority",
            "--seeds",
            "4",
            "--jobs",
            "2",
            "--out",
            &out,
        ],
        &passes,
    );
    assert_eq!(said.exit, Exit::Pass);
    assert_eq!(said.err, "");
    insta::assert_snapshot!("run_passes", steady(&said.out, dir.path()));
    assert!(
        !Path::new(&out).exists(),
        "a sweep that keeps nothing writes nothing"
    );
}

#[test]
fn a_failure_is_explained_and_its_run_directory_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let out_arg = out.display().to_string();
    let said = squall(
        &[
            "run",
            "power-loss-majority",
            "--seed",
            "17",
            "--bug",
            "unconfirmed-read",
            "--out",
            &out_arg,
        ],
        &fails,
    );
    assert_eq!(said.exit, Exit::Violation);
    insta::assert_snapshot!("run_fails", steady(&said.out, dir.path()));
    assert!(
        said.err
            .starts_with("FAIL power-loss-majority@17  linearizable: stale read on k7"),
        "{}",
        said.err
    );

    let latest = out.join("latest");
    let run: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(latest.join("run.json")).unwrap()).unwrap();
    assert_eq!(run["format"], "squall-run");
    assert_eq!(run["version"]["major"], 1);
    assert_eq!(run["summary"]["seed"], 17);
    assert_eq!(run["summary"]["bugs"][0], "unconfirmed-read");
    assert_eq!(run["exit"], 1);
    for file in [
        "scenario.toml",
        "schedule.toml",
        "history.jsonl",
        "events.jsonl",
    ] {
        assert!(latest.join(file).is_file(), "{file}");
    }
    let finding = latest.join("findings/linearizable-stale-read");
    let explain = fs::read_to_string(finding.join("explain.txt")).unwrap();
    insta::assert_snapshot!("explain", steady(&explain, dir.path()));
    assert!(finding.join("witness.json").is_file());
    let history = latest.join("history.jsonl").display().to_string();
    let checked = squall(&["check", &history, "--format", "json"], &passes);
    assert_ne!(
        checked.exit,
        Exit::Usage,
        "its history reads back: {}",
        checked.err
    );
}

#[test]
fn a_failure_fits_eighty_columns() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out").display().to_string();
    let args = ["run", "power-loss-majority", "--seed", "17", "--out", &out];
    let said = squall_on(&args, &fails, &Stop::new(), 80);
    let text = steady(&said.out, dir.path());
    let copied = |line: &str| line.contains("squall replay") || line.contains("kept in");
    for line in text.lines().filter(|line| !copied(line)) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    insta::assert_snapshot!("run_fails_80", text);
}

#[test]
fn json_is_one_document() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out").display().to_string();
    let args = [
        "run",
        "power-loss-majority",
        "--seed",
        "17",
        "--out",
        &out,
        "--format",
        "json",
    ];
    let said = squall(&args, &fails);
    let mut document: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    document["finished"]["wall_ms"] = 0.into();
    document["findings"][0]["run_dir"] = "DIR".into();
    document["findings"][0]["explanation"]["commands"] = "COMMANDS".into();
    insta::assert_json_snapshot!("run_fails_json", document);
}

#[test]
fn unknown_is_shown_and_counted_and_is_no_pass() {
    let dir = tempfile::tempdir().unwrap();
    let scenarios = write_scenarios(dir.path(), &["pause"]);
    let runner = |s: &Scenario, seed: u64, o: &RunOptions| {
        let mut run = passes(s, seed, o)?;
        if seed == 2 {
            run.summary.checks[0].verdict = Verdict::Unknown(Reason::Budget {
                steps: 5_000_000,
                left: "12 operations on k3".into(),
            });
        }
        Ok(run)
    };
    let out = dir.path().join("out").display().to_string();
    let said = squall(&["run", &scenarios, "--seeds", "3", "--out", &out], &runner);
    assert_eq!(said.exit, Exit::Inconclusive);
    insta::assert_snapshot!("run_unknown", steady(&said.out, dir.path()));
}

#[test]
fn liveness_missed_is_seven_and_a_violation_beside_it_one() {
    let dir = tempfile::tempdir().unwrap();
    let scenarios = write_scenarios(dir.path(), &["pause"]);
    let out = dir.path().join("out").display().to_string();
    let failing = |names: &'static [&'static str]| {
        move |s: &Scenario, seed: u64, o: &RunOptions| {
            let run = fails(s, seed, o)?;
            let checks = names.iter().map(|name| Check {
                name: (*name).into(),
                ..run.summary.checks[0].clone()
            });
            Ok(made_up(s, seed, o, checks.collect()))
        }
    };
    let args = ["run", &scenarios, "--seed", "1", "--out", &out];
    let said = squall(&args, &failing(&["recovers.every_fault"]));
    assert_eq!(said.exit, Exit::Liveness);
    let said = squall(&args, &failing(&["recovers.every_fault", "durable"]));
    assert_eq!(said.exit, Exit::Violation);
    assert!(
        said.out.contains("FAIL  durable in pause@1"),
        "{}",
        said.out
    );
    assert!(said.out.contains("recovers.every_fault: "), "{}", said.out);
}

#[test]
fn a_planted_bug_that_is_not_found_is_eight() {
    let dir = tempfile::tempdir().unwrap();
    let scenarios = write_scenarios(dir.path(), &["pause"]);
    let out = dir.path().join("out").display().to_string();
    let args = [
        "run", &scenarios, "--bug", "R06", "--seeds", "2", "--out", &out,
    ];
    let said = squall(&args, &passes);
    assert_eq!(said.exit, Exit::NotHit);
}

#[test]
fn the_first_failures_end_a_sweep_and_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let scenarios = write_scenarios(dir.path(), &["pause"]);
    let out = dir.path().join("out").display().to_string();
    let args = [
        "run",
        &scenarios,
        "--seeds",
        "50",
        "--max-fail",
        "2",
        "--out",
        &out,
    ];
    let said = squall(&args, &fails);
    assert!(
        said.out.contains("2 runs: 0 passed, 2 failed"),
        "{}",
        said.out
    );
    assert!(
        said.out
            .contains("stopped early: 2 failed, and --max-fail is 2"),
        "{}",
        said.out
    );
}

#[test]
fn an_interrupt_hides_no_violation() {
    let dir = tempfile::tempdir().unwrap();
    let scenarios = write_scenarios(dir.path(), &["pause"]);
    let out = dir.path().join("out").display().to_string();
    let args = [
        "run", &scenarios, "--seeds", "500", "--jobs", "1", "--out", &out,
    ];
    for (failing, exit) in [(0, Exit::Interrupted), (2, Exit::Violation)] {
        let stop = Stop::new();
        let runner = |s: &Scenario, seed: u64, o: &RunOptions| {
            if seed == 3 {
                stop.raise();
            }
            if seed == failing {
                fails(s, seed, o)
            } else {
                passes(s, seed, o)
            }
        };
        let said = squall_until(&args, &runner, &stop);
        assert_eq!(said.exit, exit);
        assert!(
            said.out.contains("stopped early: interrupted"),
            "{}",
            said.out
        );
        assert!(said.out.contains("3 runs: "), "{}", said.out);
    }
}

#[test]
fn run_directories_are_bounded_and_the_newest_stay() {
    let dir = tempfile::tempdir().unwrap();
    let scenarios = write_scenarios(dir.path(), &["pause"]);
    let out = dir.path().join("out");
    fs::create_dir_all(out.join("mine")).unwrap();
    let out_arg = out.display().to_string();
    let args = [
        "run", &scenarios, "--seeds", "60", "--keep", "all", "--out", &out_arg,
    ];
    let said = squall(&args, &passes);
    assert_eq!(said.exit, Exit::Pass, "{}", said.err);
    let names = fs::read_dir(&out).unwrap().count();
    assert_eq!(names, 50 + 2, "50 runs, `latest`, and what is not ours");
    let listed = squall(&["list", "runs", "--out", &out_arg], &passes);
    assert!(listed.out.contains("pause@60"), "{}", listed.out);
    let marks = squall(&["list", "marks", "--out", &out_arg], &passes);
    let passed = |mark: &str| {
        let line = marks.out.lines().find(|line| line.contains(mark));
        let line = line.unwrap_or_else(|| panic!("no {mark} in {}", marks.out));
        line.split_whitespace().nth(1).map(str::to_owned)
    };
    assert_eq!(passed("raft.became_leader ").as_deref(), Some("100"));
    assert_eq!(passed("wal.tail_truncated ").as_deref(), Some("never"));
    assert!(marks.out.contains("core/raft/src/election.rs:"));
}

#[test]
fn what_cannot_be_kept_is_a_warning_and_changes_no_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let scenarios = write_scenarios(dir.path(), &["pause"]);
    let file = dir.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let out = file.join("out").display().to_string();
    let said = squall(&["run", &scenarios, "--seed", "1", "--out", &out], &fails);
    assert_eq!(said.exit, Exit::Violation);
    assert!(
        said.out.contains("warning: a run could not be kept in "),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("no run directory was written"),
        "{}",
        said.out
    );
}

#[test]
fn a_gate_must_find_what_is_planted() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out").display().to_string();
    let args = [
        "run",
        "healthy",
        "--profile",
        "ci",
        "--seed",
        "1",
        "--seeds",
        "2",
        "--out",
        &out,
    ];
    let finds = |s: &Scenario, seed: u64, o: &RunOptions| {
        if o.bugs != Bugs::NONE && seed == 3 {
            fails(s, seed, o)
        } else {
            passes(s, seed, o)
        }
    };
    let said = squall(&args, &finds);
    assert_eq!(said.exit, Exit::Pass, "{}{}", said.out, said.err);
    insta::assert_snapshot!("run_gate", steady(&said.out, dir.path()));
    assert!(
        !Path::new(&out).exists(),
        "a bug that was planted leaves nothing"
    );

    let one_escapes = |s: &Scenario, seed: u64, o: &RunOptions| {
        if o.bugs.has(Bug::ForgetVote) {
            passes(s, seed, o)
        } else {
            finds(s, seed, o)
        }
    };
    let said = squall(&args, &one_escapes);
    assert_eq!(said.exit, Exit::NotHit);
    assert!(said.out.contains("NOT FOUND"), "{}", said.out);
}

#[test]
fn a_hunt_stops_at_the_first_finding() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out").display().to_string();
    let runner = |s: &Scenario, seed: u64, o: &RunOptions| {
        assert_eq!(s.name, "power-loss-majority");
        if seed >= 7 {
            fails(s, seed, o)
        } else {
            passes(s, seed, o)
        }
    };
    let said = squall(
        &["run", "--bug", "ack-before-fsync", "--out", &out],
        &runner,
    );
    assert_eq!(said.exit, Exit::Violation);
    assert!(
        said.out.contains("7 runs: 6 passed, 1 failed"),
        "{}",
        said.out
    );
    assert!(!said.out.contains("stopped early"), "{}", said.out);
}
