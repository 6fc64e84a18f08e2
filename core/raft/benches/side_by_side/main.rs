//! Commits per second, ours and raft-rs's, in one run.
//!
//! Three members in one process, entries of 128 bytes, and batches of proposals
//! at the leader: the clock stops when all three members have handed out the
//! whole batch as committed. Both sides write to the same kind of storage
//! (`raft::storage::MemStorage`), have the same windows and size caps, batch
//! what one output has for a follower into one append, and pass messages by
//! value: nothing is serialized. Nothing is ever lost, and every write is
//! durable at once.

mod ours;
mod theirs;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ours::Ours;
use std::hint::black_box;
use theirs::Theirs;

const MEMBERS: u64 = 3;
const ENTRY_BYTES: usize = 128;
const MAX_INFLIGHT: usize = 256;
const MAX_APPEND_BYTES: u64 = 1 << 20;
/// Logs are compacted each time so many entries were committed.
const COMPACT_EVERY: u64 = 4_096;

fn commits(c: &mut Criterion) {
    for batch in [1, 64] {
        let mut group = c.benchmark_group(format!("commits, batches of {batch}"));
        group.throughput(Throughput::Elements(batch));
        let mut ours = Ours::elected();
        group.bench_function("squall-raft", |b| b.iter(|| black_box(ours.commit(batch))));
        let mut theirs = Theirs::elected();
        group.bench_function("raft-rs", |b| b.iter(|| black_box(theirs.commit(batch))));
        group.finish();
    }
}

criterion_group!(benches, commits);
criterion_main!(benches);
