//! How long it takes to judge histories of simple objects, parsing aside, on one
//! thread: logs in the shape of Jepsen's for etcd (5 clients, one cas-register,
//! about 85 operations), and strings with append (10 keys, 10 or 50 clients).
//!
//! `cargo bench -p squall-checkers --bench generic`; what was measured stands in
//! docs/BENCHMARKS.md. `SQUALL_HISTORIES` may name a directory with histories of
//! your own, which are then judged, too: all of it in one measurement.

use criterion::{Criterion, criterion_group, criterion_main};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use squall_checkers::foreign::{Parsed, parse};
use squall_checkers::linearizable::Budget;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::num::NonZero;

const ONE: NonZero<usize> = NonZero::<usize>::MIN;

/// What stands in a log about an operation: when it was sent, took effect and
/// returned, and by whom it was sent.
struct Timed {
    client: u64,
    times: [u64; 3],
}

/// Clients that send one operation after another, in order of effect.
fn timed(rng: &mut ChaCha8Rng, clients: u64, each: u64) -> Vec<Timed> {
    let mut all = Vec::new();
    for client in 0..clients {
        let mut now = 0;
        for _ in 0..each {
            let mut step = || {
                now += 1 + u64::from(rng.next_u32() % 1_000);
                // No two events fall on one instant.
                now * clients + client
            };
            all.push(Timed {
                client,
                times: [step(), step(), step()],
            });
        }
    }
    all.sort_by_key(|op| op.times[1]);
    all
}

fn in_order(mut lines: Vec<(u64, String)>) -> String {
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

/// A correct log of one cas-register; one write in twenty is never answered.
fn register(seed: u64) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut register: Option<u32> = None;
    let mut lines = Vec::new();
    let mut lost = BTreeMap::new();
    for (i, Timed { client, times }) in timed(&mut rng, 5, 17).into_iter().enumerate() {
        let shown = register.map_or("nil".to_owned(), |v| v.to_string());
        let (a, b) = (rng.next_u32() % 5, rng.next_u32() % 5);
        let (f, sent, mut kind, told) = match rng.next_u32() % 3 {
            0 => (":read", "nil".to_owned(), ":ok", shown),
            1 => {
                register = Some(a);
                (":write", a.to_string(), ":ok", a.to_string())
            }
            _ => {
                let pair = format!("[{a} {b}]");
                let fits = register == Some(a);
                if fits {
                    register = Some(b);
                }
                (
                    ":cas",
                    pair.clone(),
                    if fits { ":ok" } else { ":fail" },
                    pair,
                )
            }
        };
        // Whoever does not learn an outcome goes on as a new process.
        let process = client + 5 * lost.get(&client).copied().unwrap_or(0);
        let mut told = told;
        if i % 20 == 19 && f == ":write" {
            (kind, told) = (":info", ":timed-out".into());
            *lost.entry(client).or_insert(0) += 1;
        }
        let mut line = |t, kind: &str, value: &str| {
            lines.push((
                t,
                format!("INFO  jepsen.util - {process} {kind} {f} {value}\n"),
            ));
        };
        line(times[0], ":invoke", &sent);
        line(times[2], kind, &told);
    }
    in_order(lines)
}

/// A correct log of ten strings with append.
fn strings(seed: u64, clients: u64, each: u64) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut world = vec![String::new(); 10];
    let mut lines = Vec::new();
    for (i, Timed { client, times }) in timed(&mut rng, clients, each).into_iter().enumerate() {
        let key = (rng.next_u32() % 10) as usize;
        let (f, sent, told) = if rng.next_u32().is_multiple_of(2) {
            ("get", "nil".to_owned(), format!("{:?}", world[key]))
        } else {
            let token = format!("x {client} {i} y");
            let _ = write!(world[key], "{token}");
            ("append", format!("{token:?}"), format!("{token:?}"))
        };
        for (t, kind, value) in [(times[0], "invoke", sent), (times[2], "ok", told)] {
            let line = format!(
                "{{:process {client}, :type :{kind}, :f :{f}, :key \"{key}\", :value {value}}}\n"
            );
            lines.push((t, line));
        }
    }
    in_order(lines)
}

fn read(text: &str) -> Parsed {
    parse(text.as_bytes(), None).expect("a history that was just written")
}

fn judge(histories: &[Parsed], right: Option<bool>) {
    for history in histories {
        let verdict = history.decide(Budget::default(), ONE);
        assert!(verdict.is_some(), "the budget was spent");
        assert!(right.is_none() || verdict == right, "{verdict:?}");
    }
}

fn generic(c: &mut Criterion) {
    let mut group = c.benchmark_group("generic");
    let logs: Vec<Parsed> = (0..102).map(|seed| read(&register(seed))).collect();
    group.bench_function("102 logs of a cas-register", |b| {
        b.iter(|| judge(&logs, Some(true)));
    });
    for (clients, each) in [(10, 34), (50, 34)] {
        let history = [read(&strings(7, clients, each))];
        let name = format!("strings, {clients} clients, {} operations", clients * each);
        group.bench_function(name, |b| b.iter(|| judge(&history, Some(true))));
    }
    if let Some(dir) = std::env::var_os("SQUALL_HISTORIES") {
        let files = std::fs::read_dir(dir).expect("SQUALL_HISTORIES names a directory");
        let mut histories = Vec::new();
        for file in files {
            let bytes = std::fs::read(file.expect("an entry").path()).expect("a file");
            histories.push(parse(&bytes, None).expect("a history"));
        }
        let name = format!("{} of your own", histories.len());
        group.bench_function(name, |b| b.iter(|| judge(&histories, None)));
    }
    group.finish();
}

criterion_group!(benches, generic);
criterion_main!(benches);
