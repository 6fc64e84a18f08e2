//! What a whole run costs: boot, load, faults, healing, audit, and every check.
//!
//! The unit is a seed. Reported twice, because two questions are asked of it:
//! checked client operations per second of CPU time, and simulated time per
//! second of CPU time (one element is one simulated millisecond).

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use squall::runner::{RunOptions, run};
use squall::{Scenario, library};
use std::hint::black_box;

fn scenario(name: &str, nodes: u64) -> Scenario {
    let (_, text) = library::all()
        .iter()
        .find(|(known, _)| *known == name)
        .expect("the library has it");
    Scenario::parse_with(name, text, &[format!("cluster.nodes={nodes}")])
        .expect("the library parses")
}

fn whole_run(c: &mut Criterion) {
    let options = RunOptions::default();
    for nodes in [3, 5] {
        let scenario = scenario("everything-at-once", nodes);
        let stats = run(&scenario, 1, &options)
            .expect("seed 1 runs")
            .summary
            .stats;
        let ops = stats.ops_ok + stats.ops_refused + stats.ops_unknown;
        let mut group = c.benchmark_group(format!("everything-at-once, {nodes} nodes, 8 clients"));
        group.sample_size(20);
        group.throughput(Throughput::Elements(ops));
        group.bench_function("checked operations", |b| {
            b.iter(|| black_box(run(&scenario, 1, &options)));
        });
        group.throughput(Throughput::Elements(stats.simulated_ns / 1_000_000));
        group.bench_function("simulated milliseconds", |b| {
            b.iter(|| black_box(run(&scenario, 1, &options)));
        });
        group.finish();
    }
}

criterion_group!(benches, whole_run);
criterion_main!(benches);
