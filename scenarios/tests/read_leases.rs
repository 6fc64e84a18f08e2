//! Reads by leases are right as long as clocks are what the lease takes them
//! for, and wrong where they are not.

use squall::Scenario;
use squall::runner::{RunOptions, run};
use squall_record::Verdict;

/// The leader is cut off from the others, but not from clients.
fn cut_off(lease: &str, clock: &str) -> Scenario {
    let text = format!(
        r#"
schema = 1
name = "cut-off-leader"
about = "A leader is cut off and goes on reading."

[cluster]
election_timeout = "500ms"
heartbeat = "50ms"
read_lease = "{lease}"
link = {{ latency = "500us..5ms" }}

[workload]
clients = 24
rate = 800
keys = {{ count = 2, skew = "uniform" }}
mix = {{ put = 40, get = 50, cas = 10 }}
client_timeout = "500ms"
run_for = "4s"

[[fault]]
at = "2s"
for = "2s"
label = "the leader's clock"
{clock}

[[fault]]
at = "2s..3s"
for = "2s"
label = "the leader is cut off"
partition = {{ isolate = "leader" }}
"#
    );
    Scenario::parse("cut-off-leader.toml", &text).unwrap_or_else(|e| panic!("{e}"))
}

/// In how many of sixteen seeds a read is stale. Nothing else may be wrong.
fn stale(scenario: &Scenario) -> usize {
    let is_stale = |seed: &u64| {
        let run = run(scenario, *seed, &RunOptions::default())
            .unwrap_or_else(|e| panic!("seed {seed}: {}", e.panic));
        let failed: Vec<_> = run
            .summary
            .checks
            .iter()
            .filter_map(|check| match &check.verdict {
                Verdict::Fail(witness) => Some((check.name.as_str(), witness.sentence.as_str())),
                _ => None,
            })
            .collect();
        for (check, sentence) in &failed {
            assert_eq!(*check, "linearizable", "seed {seed}: {sentence}");
            assert!(
                sentence.starts_with("stale read"),
                "seed {seed}: {sentence}"
            );
        }
        !failed.is_empty()
    };
    (1..=16).filter(is_stale).count()
}

const FROZEN: &str = r#"clock_freeze = { node = "leader" }"#;
/// A fifth slower than the others': beyond what 499 ms of 500 allow for.
const TOO_SLOW: &str = r#"clock_skew = { node = "leader", drift_ppm = -100000 }

[[fault]]
at = "2s"
for = "2s"
label = "the others' clocks"
clock_skew = { node = "followers", drift_ppm = 100000 }"#;
/// A tenth slower.
const WITHIN_THE_BOUND: &str = r#"clock_skew = { node = "leader", drift_ppm = -100000 }"#;

#[test]
fn a_leader_whose_clock_stands_still_reads_what_is_stale() {
    assert!(stale(&cut_off("400ms", FROZEN)) > 0);
    assert_eq!(stale(&cut_off("0s", FROZEN)), 0, "nothing else rests on it");
}

#[test]
fn a_leader_whose_clock_is_too_slow_reads_what_is_stale() {
    assert!(stale(&cut_off("499ms", TOO_SLOW)) > 0);
    assert_eq!(stale(&cut_off("0s", TOO_SLOW)), 0);
}

#[test]
fn a_leader_whose_clock_is_a_little_slow_reads_what_is_true() {
    assert_eq!(stale(&cut_off("400ms", WITHIN_THE_BOUND)), 0);
}
