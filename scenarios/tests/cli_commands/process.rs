//! The binary itself: streams and exit codes as a shell sees them.

use std::io::Read;
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
