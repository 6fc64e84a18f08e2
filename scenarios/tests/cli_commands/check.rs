//! `squall check`: what other people's histories come to, and what is none.

use crate::support::{Said, squall};
use squall::Scenario;
use squall::runner::{RunFailure, RunOptions};
use squall_ci::Exit;
use squall_record::Run;
use std::fs;
use std::path::Path;

fn never(_: &Scenario, _: u64, _: &RunOptions) -> Result<Run, RunFailure> {
    panic!("nothing may run")
}

fn check(args: &[&str]) -> Said {
    let args: Vec<&str> = ["check"].iter().chain(args).copied().collect();
    squall(&args, &never)
}

fn file(dir: &Path, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

const GOOD: &str = "\
INFO  jepsen.util - 0\t:invoke\t:write\t1
INFO  jepsen.util - 0\t:ok\t:write\t1
INFO  jepsen.util - 1\t:invoke\t:read\tnil
INFO  jepsen.util - 1\t:ok\t:read\t1
";

const STALE: &str = "\
INFO  jepsen.util - 0 :invoke :write 1
INFO  jepsen.util - 0 :ok     :write 1
INFO  jepsen.util - 0 :invoke :write 2
INFO  jepsen.util - 0 :ok     :write 2
INFO  jepsen.util - 1 :invoke :read  nil
INFO  jepsen.util - 1 :ok     :read  1
";

const NOBODY: &str = "INFO  jepsen.util - nemesis :info :start nil\n";

const KV: &str = "\
{:process 0, :type :invoke, :f :append, :key \"a\", :value \"x\"}
{:process 0, :type :ok, :f :append, :key \"a\", :value \"x\"}
";

const LISTS: &str = "\
{:index 0, :type :invoke, :process 0, :f :txn, :value [[:append 1 1] [:r 2 nil]]}
{:index 1, :type :ok, :process 0, :f :txn, :value [[:append 1 1] [:r 2 []]]}
";

#[test]
fn the_worst_outcome_of_many_files_is_the_exit() {
    let dir = tempfile::tempdir().unwrap();
    let good = &*file(dir.path(), "good", GOOD);
    let kv = &*file(dir.path(), "kv", KV);
    let lists = &*file(dir.path(), "lists", LISTS);
    let stale = &*file(dir.path(), "stale", STALE);
    let nobody = &*file(dir.path(), "nobody", NOBODY);
    let prose = &*file(dir.path(), "prose", "hello\n");
    for (files, exit) in [
        (&[good, kv, lists][..], Exit::Pass),
        (&[good, nobody], Exit::Inconclusive),
        (&[nobody, stale, good], Exit::Violation),
        (&[stale, nobody], Exit::Violation),
        // What cannot be read is said before anything is judged.
        (&[stale, prose], Exit::Usage),
    ] {
        let said = check(files);
        assert_eq!(said.exit, exit, "{files:?}: {}{}", said.out, said.err);
        let verdicts = ["PASS  ", "FAIL  ", "UNKNOWN  "];
        let told = said.out.lines();
        let told = told.filter(|line| verdicts.iter().any(|v| line.starts_with(v)));
        let expected = if exit == Exit::Usage { 0 } else { files.len() };
        assert_eq!(told.count(), expected, "{}", said.out);
    }
}

#[test]
fn a_spent_budget_is_inconclusive() {
    let dir = tempfile::tempdir().unwrap();
    let stale = file(dir.path(), "stale", STALE);
    let said = check(&[&stale, "--budget", "0"]);
    assert_eq!(said.exit, Exit::Inconclusive, "{}", said.out);
    assert!(said.out.contains("the budget was spent"), "{}", said.out);
}

#[test]
fn machines_are_told_in_json() {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        file(dir.path(), "lists", LISTS),
        file(dir.path(), "stale", STALE),
        file(dir.path(), "nobody", NOBODY),
    ];
    let said = check(&[&files[0], &files[1], &files[2], "--format", "json"]);
    assert_eq!(said.exit, Exit::Violation);
    insta::assert_snapshot!(said.out.replace(&dir.path().display().to_string(), "DIR"));
}

#[test]
fn a_text_of_another_format_is_unreadable_whatever_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let texts = [
        ("jepsen-log", GOOD),
        ("kv-log", KV),
        ("jepsen-edn", LISTS),
        ("no format", "hello\nworld\n"),
    ];
    let mut all = String::new();
    for from in ["jepsen-log", "kv-log", "jepsen-edn", "squall"] {
        for (format, text) in texts {
            let path = file(dir.path(), "text", text);
            let said = check(&["--from", from, &path]);
            if from == format {
                assert_eq!(said.exit, Exit::Pass, "{}", said.err);
                continue;
            }
            assert_eq!(said.exit, Exit::Usage, "{from} of {format}: {}", said.out);
            assert_eq!(said.err.lines().count(), 1, "{}", said.err);
            let err = said.err.replace(&path, "FILE");
            all += &format!("{format} as {from}\n  {err}");
        }
    }
    insta::assert_snapshot!(all);
}

#[test]
fn damaged_files_are_unreadable_in_one_short_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = |text: &[u8]| file(dir.path(), "damaged", text);
    let long = format!("{{:process {} :f :txn}}", "9".repeat(5_000_000));
    let deep = "[".repeat(1_000_000);
    for (text, from, expected) in [
        (&b""[..], None, "the file is empty"),
        (b" \n\t\n", None, "the file is empty"),
        (b"\x00\x01\xfe\xff", None, "byte 2 is not text"),
        (b"\x7fELF\x02\x01\x01\x00\x00\x00", None, "no known format"),
        (
            &LISTS.as_bytes()[..100],
            None,
            "line 2: opened here, but the text ends",
        ),
        (
            &KV.as_bytes()[..KV.len() - 4],
            None,
            "line 2: a string is not closed",
        ),
        (long.as_bytes(), None, "line 1: :process is 99"),
        (long.as_bytes(), Some("jepsen-log"), "expected INFO"),
        (
            deep.as_bytes(),
            None,
            "line 1: nested deeper than 64 levels",
        ),
    ] {
        let path = file(text);
        let said = match from {
            Some(from) => check(&[&path, "--from", from]),
            None => check(&[&path]),
        };
        assert_eq!(said.exit, Exit::Usage, "{expected}: {}", said.out);
        assert_eq!(said.out, "", "{expected}");
        assert!(said.err.contains(expected), "{expected}: {:.500}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{expected}");
        assert!(said.err.len() < 600, "{expected}: {} bytes", said.err.len());
    }
}
