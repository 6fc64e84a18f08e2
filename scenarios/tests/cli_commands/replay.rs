//! `squall replay`: the same again, or exit 5.

use crate::support::{fails, passes, squall, write_scenarios};
use squall::Scenario;
use squall::runner::RunOptions;
use squall_ci::Exit;
use std::fs;
use std::path::PathBuf;

/// A failed run in a directory of its own.
fn recorded(dir: &tempfile::TempDir) -> (String, PathBuf) {
    let scenarios = write_scenarios(dir.path(), &["pause"]);
    let out = dir.path().join("out");
    let out_arg = out.display().to_string();
    let args = [
        "run", &scenarios, "--seed", "17", "--bug", "R16", "--out", &out_arg,
    ];
    assert_eq!(squall(&args, &fails).exit, Exit::Violation);
    (out_arg, out.join("latest"))
}

#[test]
fn a_run_directory_is_run_again_with_its_seed_its_bugs_and_its_schedule() {
    let dir = tempfile::tempdir().unwrap();
    let (out, _) = recorded(&dir);
    let runner = |s: &Scenario, seed: u64, o: &RunOptions| {
        assert_eq!(seed, 17);
        assert_eq!(squall::sweep::bug_names(o.bugs), ["unconfirmed-read"]);
        assert_eq!(o.follow.as_ref().unwrap().seed, 17);
        assert!(o.record);
        fails(s, seed, o)
    };
    let said = squall(&["replay", "latest", "--out", &out], &runner);
    assert_eq!(said.exit, Exit::Violation, "{}{}", said.out, said.err);
    assert!(
        said.out.contains("REPRODUCED  the same run came out"),
        "{}",
        said.out
    );
    assert!(said.out.contains("stale read on k7"), "{}", said.out);
}

#[test]
fn another_hash_is_nondeterminism_and_says_which_is_which() {
    let dir = tempfile::tempdir().unwrap();
    let (out, _) = recorded(&dir);
    let runner = |s: &Scenario, seed: u64, o: &RunOptions| {
        let mut run = passes(s, seed, o)?;
        run.summary.hash = "0badf00d0badf00d".into();
        Ok(run)
    };
    let said = squall(&["replay", "latest", "--out", &out], &runner);
    assert_eq!(said.exit, Exit::Nondeterminism);
    assert!(
        said.out.contains("NOT REPRODUCED  another run came out"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("now it is 0badf00d0badf00d"),
        "{}",
        said.out
    );
}

#[test]
fn a_scenario_and_a_seed_are_enough() {
    let dir = tempfile::tempdir().unwrap();
    write_scenarios(dir.path(), &["pause"]);
    let run = format!("{}@17", dir.path().join("pause.toml").display());
    let said = squall(&["replay", &run], &passes);
    assert_eq!(said.exit, Exit::Pass, "{}", said.err);
    assert!(said.out.contains("pause, seed 17"), "{}", said.out);
}

#[test]
fn until_shows_every_event_up_to_a_moment() {
    let dir = tempfile::tempdir().unwrap();
    write_scenarios(dir.path(), &["pause"]);
    let run = format!("{}@17", dir.path().join("pause.toml").display());
    let said = squall(&["replay", &run, "--until", "13.5s"], &passes);
    assert!(
        said.out
            .contains("    5420   13.460s  n2 becomes leader of term 3\n"),
        "{}",
        said.out
    );
    assert!(!said.out.contains("applies index 60"), "{}", said.out);
    let said = squall(
        &["replay", &run, "--until", "13.5s", "--format", "json"],
        &passes,
    );
    let document: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let events = document["timeline"].as_array().unwrap();
    assert_eq!(events[0]["kind"], "phase");
    assert_eq!(events.last().unwrap()["seq"], 5420);
}

#[test]
fn a_newer_or_damaged_run_directory_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let (out, latest) = recorded(&dir);
    let run_json = latest.join("run.json");
    let text = fs::read_to_string(&run_json).unwrap();
    let replay = |text: &str| {
        fs::write(&run_json, text).unwrap();
        let said = squall(&["replay", "latest", "--out", &out], &passes);
        assert_eq!(said.exit, Exit::Usage, "{}", said.out);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
        said.err
    };
    let newer = replay(&text.replacen("\"major\": 1", "\"major\": 2", 1));
    assert!(
        newer.contains("run format 2.0 is newer than this build reads (1.0)"),
        "{newer}"
    );
    let cut = replay(&text[..text.len() / 2]);
    assert!(cut.contains("not a run: EOF while parsing"), "{cut}");
    let other = replay("{\"format\": \"other\", \"version\": {\"major\": 1, \"minor\": 0}}");
    assert!(other.contains("its format is \"other\""), "{other}");
    let file = squall(&["replay", &run_json.display().to_string()], &passes);
    assert_eq!(file.exit, Exit::Usage);
    assert!(
        file.err.contains("this is a file; a run is"),
        "{}",
        file.err
    );
    let missing = squall(&["replay", "nothing", "--out", &out], &passes);
    assert_eq!(missing.exit, Exit::Usage);
    assert!(
        missing.err.contains("there is no run \"nothing\""),
        "{}",
        missing.err
    );
}
