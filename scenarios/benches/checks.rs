//! What judging a run costs beside making it: the world alone, and the same runs
//! with every check, online and afterwards. The checks together are to cost less
//! than the simulation of what they judge, however long the run is.

use criterion::{Criterion, criterion_group, criterion_main};
use squall::runner::{RunOptions, run, run_unchecked};
use squall::{Scenario, library};
use std::hint::black_box;

/// Scenarios whose checks are the most different, as long as they are in the
/// library and, some of them, ten times as long.
const SCENARIOS: [(&str, Option<&str>); 11] = [
    ("everything-at-once", None),
    ("every-load-at-once", None),
    ("every-load-at-once", Some("250s")),
    ("compaction-under-load", None),
    ("elections-and-crashes", None),
    ("leases-and-clocks", None),
    ("membership-churn", None),
    ("permissions-in-flight", None),
    ("space-runs-out", None),
    ("watches-under-faults", None),
    ("watches-under-faults", Some("100s")),
];

fn checks(c: &mut Criterion) {
    let options = RunOptions::default();
    for (name, run_for) in SCENARIOS {
        let text = library::get(name).expect("the library has it");
        let longer = run_for.map(|time| format!("workload.run_for={time}"));
        let scenario = Scenario::parse_with(name, text, longer.as_slice());
        let scenario = scenario.expect("the library parses");
        let mut group = c.benchmark_group(match run_for {
            Some(time) => format!("{name} for {time}"),
            None => name.to_owned(),
        });
        group.sample_size(10);
        group.bench_function("the world alone", |b| {
            let open = |_| squall_sim::world::store();
            b.iter(|| black_box(run_unchecked(&scenario, 1, &options, &open)));
        });
        group.bench_function("with every check", |b| {
            b.iter(|| black_box(run(&scenario, 1, &options)));
        });
        group.finish();
    }
}

criterion_group!(benches, checks);
criterion_main!(benches);
