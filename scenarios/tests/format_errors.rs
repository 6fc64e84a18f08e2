//! Errors are part of the product: each prints the place, the line, what is
//! wrong and what would be right.

use squall::Scenario;

/// A sound scenario; tests break one thing in it.
const SOUND: &str = r#"schema = 1
name = "leader-gray-failure"
about = "The leader can hear but not speak."
tags = ["nightly"]

[cluster]
nodes = 5
election_timeout = "1s"
heartbeat = "100ms"
link = { latency = "2ms..15ms", loss = 0.001, duplicate = 0.001, reorder = true }
disk = { write = "50us..400us", fsync = "1ms..6ms" }
clock = { offset = "-50ms..50ms", drift_ppm = "-100..100" }

[workload]
clients = 8
rate = 200
keys = { count = 12, skew = "zipf(1.1)" }
mix = { put = 40, get = 30, cas = 15, txn = 10 }
client_timeout = "2s"
run_for = "40s"

[[fault]]
at = "5s"
for = "4s"
label = "mute the leader"
partition = { from = "leader", to = "others" }

[[fault]]
at = "26s..30s"
repeat = { every = "2s", times = 3 }
crash = { node = "random(follower)", disk = "torn_write", restart_after = "1500ms" }

[[check]]
linearizable = { budget = 5_000_000 }

[[expect]]
recovers = { after = "mute the leader", within = "5s" }
"#;

fn error(text: &str) -> String {
    let error = Scenario::parse("gray.toml", text).unwrap_err();
    assert!(!error.diagnostics().is_empty());
    error.to_string()
}

/// The error after `from` was replaced by `to`.
fn broken(from: &str, to: &str) -> String {
    assert_eq!(SOUND.matches(from).count(), 1, "{from:?} is not unique");
    error(&SOUND.replace(from, to))
}

fn all(errors: impl IntoIterator<Item = String>) -> String {
    errors.into_iter().collect::<Vec<_>>().join("\n\n")
}

#[test]
fn the_sound_scenario_is_sound() {
    let scenario = Scenario::parse("gray.toml", SOUND).unwrap();
    insta::assert_snapshot!(scenario.to_toml());
}

#[test]
fn unknown_keys() {
    insta::assert_snapshot!(all([
        broken("nodes = 5", "nodess = 5"),
        broken("heartbeat =", "heart_rate ="),
        broken("loss = 0.001", "jitter = 0.001"),
        broken("restart_after", "restart-after"),
        broken("for = \"4s\"", "duration = \"4s\""),
        broken("txn = 10", "watch = 10"),
    ]));
}

#[test]
fn wrong_values() {
    insta::assert_snapshot!(all([
        broken("heartbeat = \"100ms\"", "heartbeat = 100"),
        broken("\"2ms..15ms\"", "\"2ms..15sec\""),
        broken("\"2ms..15ms\"", "\"15ms..2ms\""),
        broken("client_timeout = \"2s\"", "client_timeout = \"2\""),
        broken("client_timeout = \"2s\"", "client_timeout = \"-2s\""),
        broken("client_timeout = \"2s\"", "client_timeout = \"soon\""),
        broken("loss = 0.001", "loss = 1.5"),
        broken("zipf(1.1)", "zipf"),
        broken("nodes = 5", "nodes = \"five\""),
        broken("torn_write", "torn"),
        broken("random(follower)", "slave"),
        broken("from = \"leader\"", "from = \"n7\""),
        broken("\"-100..100\"", "\"-100..lots\""),
        broken(
            "name = \"leader-gray-failure\"",
            "name = \"Leader Failure\""
        ),
    ]));
}

#[test]
fn values_that_do_not_fit_together() {
    insta::assert_snapshot!(all([
        broken("nodes = 5", "nodes = 0"),
        broken("nodes = 5", "nodes = 12"),
        broken("heartbeat = \"100ms\"", "heartbeat = \"400ms\""),
        error(
            &SOUND
                .replace("heartbeat = \"100ms\"\n", "")
                .replace("\"1s\"", "\"200ms\"")
        ),
        broken(
            "mix = { put = 40, get = 30, cas = 15, txn = 10 }",
            "mix = {}"
        ),
        broken("at = \"5s\"", "at = \"35s..50s\""),
        broken("times = 3", "times = 30"),
        broken("to = \"others\"", "to = \"leader\""),
        broken("node = \"random(follower)\"", "node = \"others\""),
        broken("after = \"mute the leader\"", "after = \"mute teh leader\""),
        broken("repeat = {", "label = \"mute the leader\"\nrepeat = {"),
        broken("drift_ppm = \"-100..100\"", "drift_ppm = 2_000_000"),
        broken("rate = 200", "rate = 0"),
        broken("[[expect]]", "[[check]]\nlinearizable = true\n[[expect]]"),
    ]));
}

#[test]
fn faults_that_are_not_one_fault() {
    insta::assert_snapshot!(all([
        broken("partition = { from = \"leader\", to = \"others\" }", ""),
        broken(
            "label = \"mute the leader\"",
            "pause = { node = \"leader\" }"
        ),
        broken("for = \"4s\"\n", ""),
        broken("at = \"5s\"\n", ""),
        broken("repeat = {", "for = \"4s\"\nrepeat = {"),
        broken("from = \"leader\", to", "isolate = \"leader\", to"),
        broken(
            "{ from = \"leader\", to = \"others\" }",
            "{ isolate = \"all\" }"
        ),
        broken(
            "{ from = \"leader\", to = \"others\" }",
            "{ split = [\"leader\"] }"
        ),
        broken(
            "{ from = \"leader\", to = \"others\" }",
            "{ halves = false }"
        ),
        broken(
            "partition = { from = \"leader\", to = \"others\" }",
            "pause = \"leader\""
        ),
    ]));
}

#[test]
fn texts_that_are_no_scenario() {
    insta::assert_snapshot!(all([
        error(""),
        error("hello\n"),
        broken("schema = 1", "schema = 2"),
        broken("schema = 1\n", ""),
        broken("nodes = 5", "nodes = 5\nnodes = 3"),
        broken("nodes = 5", "nodes = 5 # \u{7}"),
        broken("[[fault]]\nat = \"5s\"", "[fault]\nat = \"5s\""),
        broken("tags = [\"nightly\"]", "tags = [\"nightly\""),
        broken("about = \"The leader", "about = \"\tä The \\q leader"),
    ]));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let text = SOUND
        .replace("nodes = 5", "nodess = 5")
        .replace("rate = 200", "rate = \"fast\"")
        .replace("at = \"5s\"", "at = \"5\"")
        .replace("within = \"5s\"", "within = 5");
    insta::assert_snapshot!(error(&text));
}

#[test]
fn overrides_fail_like_the_file_and_at_their_own_place() {
    let set = |assignment: &str| {
        let overrides = [assignment.to_string()];
        Scenario::parse_with("gray.toml", SOUND, &overrides)
            .unwrap_err()
            .to_string()
    };
    insta::assert_snapshot!(all([
        set("cluster.nodes"),
        set("cluster.nodes=0"),
        set("cluster.nodes=many"),
        set("cluster.nodess=3"),
        set("cluster.nodes.max=3"),
        set("cluster.link.latency=2ms..15sec"),
        set("cluster.link={ latency = }"),
        set("fault.7.at=3s"),
        set("fault.0.partition.from=lead"),
        set("=3"),
    ]));
}

#[test]
fn overrides_are_typed_as_the_file_is() {
    let overrides = [
        "cluster.nodes=3",
        "cluster.heartbeat=50ms",
        "cluster.link.loss = 0.5",
        "workload.mix={ put = 1 }",
        "fault.1.crash.node = leader",
        "fault.0.for=\"1s..2s\"",
        "about=a = b",
    ];
    let scenario = Scenario::parse_with("gray.toml", SOUND, &overrides.map(String::from)).unwrap();
    assert_eq!(scenario.cluster.nodes, 3);
    assert_eq!(scenario.cluster.heartbeat.ns(), 50_000_000);
    assert_eq!(scenario.cluster.link.loss.get(), 0.5);
    assert_eq!(
        (scenario.workload.mix.put, scenario.workload.mix.total()),
        (1, 1)
    );
    assert_eq!(scenario.faults[1].action.to_string(), "crash leader");
    assert_eq!(scenario.faults[0].lasts.unwrap().to_string(), "1s..2s");
    assert_eq!(scenario.about, "a = b");
}

#[test]
fn files_that_cannot_be_read_are_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe, 0x00]).unwrap();
    let error = |path: &std::path::Path| {
        let error = Scenario::load(path).unwrap_err().to_string();
        error.replace(dir.path().to_str().unwrap(), "dir")
    };
    insta::assert_snapshot!(all([
        error(&dir.path().join("missing.toml")),
        error(dir.path()),
        error(&binary),
    ]));
}

#[test]
fn budgets_that_are_none() {
    let budget = |line: &str| {
        let recovers = "recovers = { after = \"mute the leader\", within = \"5s\" }";
        broken(recovers, &format!("budget = {line}"))
    };
    insta::assert_snapshot!(all([
        budget("{ fsyncs = 3 }"),
        budget("{ log = 3 }"),
        budget("{ syncs_per_commit = \"many\" }"),
        budget("{ syncs_per_commit = -1 }"),
        budget("{ }"),
        budget("4"),
    ]));
}
