//! The binary itself: streams and exit codes as a shell sees them.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

fn squall() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    command.env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

#[test]
fn a_closed_pipe_is_no_error_and_no_panic() {
    let mut child = squall()
        .args(["list", "settings"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    let mut err = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert_eq!(err, "");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let listed = |args: &[&str]| {
        let output = squall().args(["bugs", "list"]).args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!listed(&[]).contains('\u{1b}'));
    assert!(listed(&["--color", "always"]).contains('\u{1b}'));
}

#[test]
fn a_usage_error_exits_two_and_says_nothing_on_stdout() {
    let output = squall().args(["run", "--seed", "x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_a_sweep_and_says_what_was_learned() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = squall()
        .args(["run", "healthy", "--for", "10m", "--jobs", "1", "--out"])
        .arg(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Early enough to meet the handler being installed would end it at once.
    std::thread::sleep(std::time::Duration::from_millis(700));
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let mut narration = BufReader::new(child.stderr.take().unwrap()).lines();
    let stopping = |line: &std::io::Result<String>| {
        let line = line.as_ref().unwrap();
        line == "stopping after the runs in flight; again to stop at once"
    };
    assert!(narration.any(|line| stopping(&line)));
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains("INTERRUPTED  "), "{out}");
    assert!(out.contains("stopped early: interrupted"), "{out}");
    assert_eq!(output.status.code(), Some(130));
}

#[test]
fn the_same_seed_comes_out_the_same_in_another_process() {
    let hash = |out: &Path| {
        let status = squall()
            .args([
                "run",
                "leader-crash",
                "--seed",
                "5",
                "--keep",
                "all",
                "--out",
            ])
            .arg(out)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.code().is_some_and(|code| code != 2 && code != 70));
        let text = fs::read_to_string(out.join("latest/run.json")).unwrap();
        let run: serde_json::Value = serde_json::from_str(&text).unwrap();
        run["summary"]["hash"].as_str().unwrap().to_owned()
    };
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = hash(a.path());
    assert!(!first.is_empty());
    assert_eq!(first, hash(b.path()));
    let status = squall()
        .args(["replay", "latest", "--out"])
        .arg(b.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_ne!(
        status.code(),
        Some(5),
        "following the schedule changed the run"
    );
}
