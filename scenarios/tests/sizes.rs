//! How many failures a cluster of each size survives, and what a write costs.

use squall::Scenario;
use squall::runner::{RunOptions, run};
use squall_record::{Call, Op, Outcome};

const MS: u64 = 1_000_000;

fn history(text: &str) -> Vec<Op> {
    let scenario = Scenario::parse("sizes.toml", text).unwrap_or_else(|e| panic!("{e}"));
    let options = RunOptions {
        record: true,
        ..RunOptions::default()
    };
    let run = run(&scenario, 1, &options).unwrap_or_else(|e| panic!("{}", e.panic));
    run.history
}

/// A cluster some of whose members are away from 2 s to 8 s.
fn crashed(nodes: u64, dead: u64) -> String {
    let mut text = format!(
        r#"
schema = 1
name = "sizes"
about = "Some members are away."

[cluster]
nodes = {nodes}
election_timeout = "500ms"
heartbeat = "50ms"

[workload]
clients = 12
rate = 100
keys = {{ count = 8, skew = "uniform" }}
mix = {{ put = 50, get = 50 }}
client_timeout = "500ms"
run_for = "8s"
"#
    );
    for node in 1..=dead {
        text += &format!(
            r#"
[[fault]]
at = "2s"
label = "n{node} is away"
crash = {{ node = "n{node}", disk = "lost", restart_after = "6s" }}
"#
        );
    }
    text
}

#[test]
fn a_cluster_survives_the_loss_of_any_minority_and_of_no_more() {
    for (nodes, failures) in [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2), (7, 3)] {
        // From when the others have elected a leader until they are back.
        let served = |dead| {
            let ops = history(&crashed(nodes, dead)).into_iter();
            let later = ops.filter(|op| 4_000 * MS < op.invoke && op.invoke < 7_900 * MS);
            let ok = |op: &Op| {
                let in_time = op.ret.is_some_and(|ret| ret < 8_000 * MS);
                in_time && matches!(op.outcome, Outcome::Ok(_))
            };
            later.filter(ok).count()
        };
        let (most, more) = (served(failures), served(failures + 1));
        assert!(most > 100, "{failures} of {nodes} are away: {most} served");
        assert_eq!(more, 0, "{} of {nodes} are away", failures + 1);
    }
}

#[test]
fn a_write_takes_one_sync_and_two_messages() {
    let ops = history(
        r#"
schema = 1
name = "latency"
about = "Everything takes the same time, every time."

[cluster]
election_timeout = "1s"
heartbeat = "100ms"
link = { latency = "10ms..10ms" }
disk = { write = "1ns..1ns", fsync = "5ms..5ms" }

[workload]
clients = 4
rate = 40
keys = { count = 8, skew = "uniform" }
mix = { put = 100 }
client_timeout = "1s"
run_for = "5s"
"#,
    );
    let mut took: Vec<u64> = ops
        .iter()
        .filter(|op| matches!((&op.call, &op.outcome), (Call::Put(_), Outcome::Ok(_))))
        // In microseconds: what a write takes before its sync is not counted.
        .filter_map(|op| Some((op.ret? - op.invoke) / 1_000))
        .collect();
    took.sort_unstable();
    let (message, sync) = (10_000, 5_000);
    let by_leader = 2 * message + sync + 2 * message;
    // A member that does not lead passes it on, and learns of it one message later.
    let by_another = by_leader + 2 * message;
    let shares = |time: u64| took.iter().filter(|t| **t == time).count() * 10 / took.len();
    assert_eq!(took.first(), Some(&by_leader));
    let most = shares(by_leader) + shares(by_another);
    assert!(shares(by_leader) >= 1 && most >= 7, "{took:?}");
    // Whoever comes while a sync is under way waits for it, and for the next one.
    let slowest = by_another + 2 * sync;
    assert!(took.last().is_some_and(|t| *t <= slowest), "{took:?}");
}
