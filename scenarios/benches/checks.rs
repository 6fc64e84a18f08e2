//! What judging a run costs beside making it: the world alone, and the same runs
//! with every check, online and afterwards. The checks together are to cost less
//! than the simulation of what they judge.

use criterion::{Criterion, criterion_group, criterion_main};
use squall::runner::{RunOptions, run, run_unchecked};
use squall::{Scenario, library};
use std::hint::black_box;

/// Scenarios whose checks are the most different.
const SCENARIOS: [&str; 7] = [
    "everything-at-once",
    "compaction-under-load",
    "elections-and-crashes",
    "leases-and-clocks",
    "membership-churn",
    "permissions-in-flight",
    "watches-under-faults",
];

fn checks(c: &mut Criterion) {
    let options = RunOptions::default();
    for name in SCENARIOS {
        let text = library::get(name).expect("the library has it");
        let scenario = Scenario::parse(name, text).expect("the library parses");
        let mut group = c.benchmark_group(name);
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
