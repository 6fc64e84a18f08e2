//! One member's state machine: puts and ranges applied per second, on the real
//! file system and in memory, and how long a million keys take to open.
//!
//! `cargo bench -p squall-server`; `APPLY_KEYS` says how many keys the restart
//! has, a million if nobody says.

mod memory;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use memory::MemoryDisk;
use prost::Message as _;
use raft_proto::eraftpb::Entry;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::{InternalRaftRequest, PutRequest, RangeRequest, RequestHeader};
use squall_api::{
    Bugs, Config, Disk, Effects, Env, Input, LaneMsg, Machine as _, Metadata, NoStamp, Now, ReqId,
    Request, SessionId,
};
use squall_server::FileDisk;
use squall_store::ApplyLane;
use std::sync::Arc;
use std::time::Instant;

const BATCH: u64 = 1_000;
const KEYS: u64 = 10_000;

/// A lane that is fed by hand; a commit of its backend every 10,000 entries.
struct Fed {
    lane: ApplyLane,
    fx: Effects,
    index: u64,
    asked: u64,
}

impl Fed {
    fn open(disk: &Arc<dyn Disk>) -> Fed {
        let env = Env {
            disk: Arc::clone(disk),
            rng: ChaCha8Rng::seed_from_u64(1),
            bugs: Bugs::NONE,
            cfg: Config::new(1, 1, vec![1]),
        };
        let (lane, base) = ApplyLane::open(&env, Now::default()).expect("opens");
        Fed {
            lane,
            fx: Effects::new(Arc::new(NoStamp)),
            index: base.index,
            asked: 0,
        }
    }

    fn puts(&mut self, count: u64, keys: u64) -> Vec<Entry> {
        (0..count)
            .map(|_| {
                self.index += 1;
                let put = PutRequest {
                    key: format!("key/{:08}", self.index % keys).into(),
                    value: vec![b'v'; 100].into(),
                    ..PutRequest::default()
                };
                let req = InternalRaftRequest {
                    header: Some(RequestHeader {
                        id: self.index,
                        ..RequestHeader::default()
                    }),
                    command: Some(Command::Put(put)),
                };
                Entry {
                    index: self.index,
                    term: 1,
                    data: req.encode_to_vec().into(),
                    ..Entry::default()
                }
            })
            .collect()
    }

    fn apply(&mut self, entries: Vec<Entry>) {
        self.step(Input::Lane(LaneMsg::Committed(entries)));
    }

    fn range(&mut self) {
        self.asked += 1;
        let req = RangeRequest {
            key: format!("key/{:08}", self.asked % KEYS).into(),
            serializable: true,
            ..RangeRequest::default()
        };
        self.step(Input::Request {
            id: ReqId(self.asked),
            session: SessionId(1),
            meta: Metadata::default(),
            req: Box::new(Request::Range(req)),
        });
    }

    fn step(&mut self, input: Input) {
        let now = Now::default();
        self.lane.step(now, input, &mut self.fx).expect("goes on");
        self.fx.drain().for_each(drop);
    }
}

fn applied(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let disks: [(&str, Arc<dyn Disk>); 2] = [
        (
            "files",
            Arc::new(FileDisk::open(dir.path(), |_, _| ()).expect("a data directory")),
        ),
        ("memory", Arc::new(MemoryDisk::default())),
    ];
    let mut group = c.benchmark_group("apply");
    group.sample_size(20);
    group.throughput(Throughput::Elements(BATCH));
    for (name, disk) in &disks {
        let mut fed = Fed::open(disk);
        let first = fed.puts(KEYS, KEYS);
        fed.apply(first);
        group.bench_function(format!("put/{name}"), |b| {
            b.iter_batched(
                || (),
                |()| {
                    let entries = fed.puts(BATCH, KEYS);
                    fed.apply(entries);
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function(format!("range/{name}"), |b| {
            b.iter(|| (0..BATCH).for_each(|_| fed.range()));
        });
    }
    group.finish();
}

/// Not by Criterion: it takes seconds, and what matters is the worst.
fn restart(_: &mut Criterion) {
    let keys: u64 = std::env::var("APPLY_KEYS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000_000);
    let dir = tempfile::tempdir().expect("a directory");
    let open = || -> Arc<dyn Disk> {
        Arc::new(FileDisk::open(dir.path(), |_, _| ()).expect("a data directory"))
    };
    {
        let mut fed = Fed::open(&open());
        for _ in 0..keys / BATCH {
            let entries = fed.puts(BATCH, keys);
            fed.apply(entries);
        }
        // Dropped, not stopped: as after a kill, the next start finds no word
        // that the database was closed.
    }
    for _ in 0..3 {
        let disk = open();
        let began = Instant::now();
        let fed = Fed::open(&disk);
        println!(
            "restart/{keys} keys after a kill: {:.2} s, index {}",
            began.elapsed().as_secs_f64(),
            fed.index
        );
    }
}

criterion_group!(benches, applied, restart);
criterion_main!(benches);
