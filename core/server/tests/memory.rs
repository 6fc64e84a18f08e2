//! What a member keeps in memory for each key and for each watcher that is told
//! nothing, by an allocator that counts.

use bytes::Bytes;
use cap::Cap;
use prost::Message as _;
use raft_proto::eraftpb::Entry;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::watch_request::RequestUnion;
use squall_api::pb::{
    InternalRaftRequest, PutRequest, RequestHeader, WatchCreateRequest, WatchRequest,
};
use squall_api::{
    Bugs, Config, Disk, Effect, Effects, Env, Input, LaneMsg, Machine as _, Metadata, NoStamp, Now,
    ReqId, Request, SessionId,
};
use squall_server::FileDisk;
use squall_store::ApplyLane;
use std::alloc::System;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const COUNT: u64 = 20_000;

/// An apply lane, with the Raft lane played by hand.
struct Member {
    lane: ApplyLane,
    fx: Effects,
    now: Now,
    index: u64,
}

impl Member {
    fn open(disk: Arc<dyn Disk>) -> Member {
        let env = Env {
            disk,
            rng: ChaCha8Rng::seed_from_u64(1),
            bugs: Bugs::NONE,
            cfg: Config::new(1, 1, vec![1]),
        };
        let (lane, base) = ApplyLane::open(&env, Now::default()).unwrap();
        Member {
            lane,
            fx: Effects::new(Arc::new(NoStamp)),
            now: Now::default(),
            index: base.index,
        }
    }

    /// How many answers a step gave.
    fn step(&mut self, input: Input) -> usize {
        self.lane.step(self.now, input, &mut self.fx).unwrap();
        let effects = self.fx.drain();
        effects
            .filter(|(_, effect)| matches!(effect, Effect::Reply { .. }))
            .count()
    }

    fn put(&mut self, key: Bytes) -> usize {
        self.index += 1;
        let put = PutRequest {
            key,
            value: vec![b'v'; 100].into(),
            ..PutRequest::default()
        };
        let request = InternalRaftRequest {
            header: Some(RequestHeader {
                id: self.index,
                ..RequestHeader::default()
            }),
            command: Some(Command::Put(put)),
        };
        let entry = Entry {
            index: self.index,
            term: 1,
            data: request.encode_to_vec().into(),
            ..Entry::default()
        };
        self.step(Input::Lane(LaneMsg::Committed(vec![entry])))
    }

    /// Lets it commit what it applied, and write down what it keeps for that.
    fn settle(&mut self) {
        self.now.mono += 10_000_000_000;
        self.step(Input::Deadline);
    }
}

fn key(n: u64) -> Bytes {
    format!("registry/pods/{n:08}").into()
}

fn watch(n: u64) -> Request {
    Request::Watch(WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(WatchCreateRequest {
            key: key(n),
            ..WatchCreateRequest::default()
        })),
    })
}

/// One test, for there is one allocator: what others took would be counted, too.
#[test]
fn keys_and_idle_watchers_cost_less_than_a_kibibyte_each() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FileDisk::open(dir.path(), |_, _| {}).unwrap();
    let mut member = Member::open(Arc::new(disk));

    let before = ALLOCATOR.allocated();
    for n in 0..COUNT {
        member.put(key(n));
    }
    member.settle();
    let keys = (ALLOCATOR.allocated() - before) as u64 / COUNT;

    let before = ALLOCATOR.allocated();
    let id = ReqId(1);
    member.step(Input::Request {
        id,
        session: SessionId(1),
        meta: Metadata::default(),
        req: Box::new(watch(0)),
    });
    for n in 1..COUNT {
        let req = Box::new(watch(n));
        member.step(Input::Message { id, req });
        member.step(Input::Taken { id, answers: 1 });
    }
    let watchers = (ALLOCATOR.allocated() - before) as u64 / COUNT;

    // They are there: the one that is concerned is told, and nobody else.
    assert_eq!(member.put(key(COUNT / 2)), 1);
    println!("{keys} bytes a key, {watchers} bytes a watcher");
    assert!((1..1024).contains(&keys), "{keys} bytes a key");
    assert!((1..1024).contains(&watchers), "{watchers} bytes a watcher");
}
