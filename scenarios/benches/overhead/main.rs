//! What the simulated world costs beside the members that live in it.
//!
//! A run is made once with every input of every lane on tape. Then two things
//! are measured side by side, in processor time: the run itself, unchecked and
//! without the tape, and the same lanes fed the same inputs in the same order by
//! a bare loop, on a disk that is nothing but vectors.

mod cpu;
mod plain;
mod tape;

use cpu::{CpuTime, cpu_time};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use squall::runner::{RunOptions, run_unchecked};
use squall::{Scenario, library};
use squall_sim::world::store;
use std::hint::black_box;
use std::time::Duration;
use tape::Tape;

const SEED: u64 = 1;
/// How often the two are measured in turn.
const PAIRS: usize = 15;

/// Five nodes, a minute, eight clients with 200 operations a second together.
/// What happens to disks and processes is left out: a bare loop has neither
/// unsynced sectors nor crashes.
fn scenarios() -> [Scenario; 2] {
    ["healthy", "everything-at-once"].map(|name| {
        let (_, text) = (library::all().iter())
            .find(|(known, _)| *known == name)
            .expect("the library has it");
        let settings = ["cluster.nodes=5", "workload.run_for=60s"].map(str::to_owned);
        let mut scenario = Scenario::parse_with(name, text, &settings).expect("it parses");
        (scenario.faults).retain(|fault| !["crash", "fsync_stall"].contains(&fault.action.key()));
        scenario
    })
}

fn in_the_world(scenario: &Scenario) {
    let options = RunOptions::default();
    let _ = black_box(run_unchecked(scenario, SEED, &options, &|_| store()));
}

fn overhead(c: &mut Criterion<CpuTime>) {
    for scenario in scenarios() {
        let tape = Tape::record(&scenario, SEED);
        let inputs = tape.inputs();
        tape.clone().replay().expect_like(&tape);
        let (mut world, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            world.push(cpu_time(|| in_the_world(&scenario)));
            let copy = tape.clone();
            bare.push(cpu_time(|| drop(black_box(copy.replay()))));
        }
        let ratio = ratio(&world, &bare);
        let least = |times: &[Duration]| times.iter().min().copied().unwrap_or_default();
        println!(
            "{}: {inputs} inputs, run {:.3?}, bare loop {:.3?} (least of {PAIRS}), {ratio:.2} \
             times as much (median of pairs)",
            scenario.name,
            least(&world),
            least(&bare),
        );
        let mut group = c.benchmark_group(format!("{}, 5 nodes, 60 s", scenario.name));
        group.sample_size(10);
        group.bench_function("run", |b| b.iter(|| in_the_world(&scenario)));
        group.bench_function("bare loop", |b| {
            b.iter_batched(|| tape.clone(), Tape::replay, BatchSize::PerIteration);
        });
        group.finish();
    }
}

/// The median of the ratios of pairs.
fn ratio(one: &[Duration], other: &[Duration]) -> f64 {
    let ratio = |(a, b): (&Duration, &Duration)| a.as_secs_f64() / b.as_secs_f64();
    let mut ratios: Vec<f64> = one.iter().zip(other).map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = overhead
}
criterion_main!(benches);
