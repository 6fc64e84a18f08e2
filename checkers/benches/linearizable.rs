//! How long it takes to judge revision histories: 8 clients, 12 hot keys among
//! 10,000, transactions, 2% of unknown outcome of which half were applied.
//!
//! `cargo bench -p squall-checkers`; what was measured stands in
//! docs/BENCHMARKS.md.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use squall_checkers::damage::BENCHMARKED;
use squall_checkers::generate::{self, Generated, Shape};
use squall_checkers::linearizable::{Budget, check};
use squall_record::{Op, Verdict};
use std::time::Duration;

fn made(ops: usize) -> Generated {
    generate::history(&Shape {
        ops,
        ..Shape::default()
    })
}

fn passes(history: &[Op]) {
    let report = check(history, None, Budget::default());
    assert!(matches!(report.verdict, Verdict::Pass { .. }), "{report:?}");
}

fn fails(history: &[Op]) {
    let report = check(history, None, Budget::default());
    let Verdict::Fail(witness) = report.verdict else {
        panic!("{:?}", report.verdict);
    };
    assert!((1..=12).contains(&witness.ops.len()), "{witness:?}");
}

fn legal(c: &mut Criterion) {
    let mut group = c.benchmark_group("legal");
    group.sample_size(10).warm_up_time(Duration::from_secs(1));
    for ops in [1_000, 20_000, 200_000] {
        let made = made(ops);
        group.throughput(Throughput::Elements(ops as u64));
        group.bench_function(BenchmarkId::new("anchored", ops), |b| {
            b.iter(|| passes(&made.history));
        });
        group.bench_function(BenchmarkId::new("witness", ops), |b| {
            b.iter(|| {
                let report = check(&made.history, Some(&made.applied), Budget::default());
                assert!(matches!(report.verdict, Verdict::Pass { .. }));
            });
        });
    }
    group.finish();
}

fn illegal(c: &mut Criterion) {
    let mut group = c.benchmark_group("illegal");
    group.sample_size(10).warm_up_time(Duration::from_secs(1));
    for ops in [20_000, 200_000] {
        let made = made(ops);
        for damage in BENCHMARKED {
            let mut history = made.history.clone();
            assert!((damage.apply)(&mut history), "nothing to damage");
            group.bench_function(BenchmarkId::new(damage.name, ops), |b| {
                b.iter(|| fails(&history));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, legal, illegal);
criterion_main!(benches);
