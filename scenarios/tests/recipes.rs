//! Recipes that clients build of transactions and watches, while leaders crash:
//! a queue from which each item is taken once and in order, and a barrier that
//! nobody passes before it falls. Locks, elections, counters and registries are
//! workloads of the library.

use bytes::Bytes;
use squall_api::pb::compare::{CompareResult, CompareTarget, TargetUnion};
use squall_api::pb::range_request::{SortOrder, SortTarget};
use squall_api::pb::watch_request::RequestUnion;
use squall_api::pb::{self, KeyValue, request_op::Request};
use squall_api::{Bugs, Config, Metadata};
use squall_record::{Call, Outcome, Ret, Target};
use squall_sim::world::{Keep, MemberSetup, Setup, SimClient, World, simulate, store};
use squall_sim::{ClockParams, DiskParams, LinkParams, PowerLoss};
use std::collections::BTreeSet;
use std::time::Duration;

const MS: u64 = 1_000_000;
const MEMBERS: u64 = 3;
const ITEMS: u64 = 40;

fn setup(seed: u64, clients: u32) -> Setup {
    let member = |id| MemberSetup {
        config: Config {
            election_timeout: 200 * MS,
            heartbeat: 40 * MS,
            ..Config::new(7, id, (1..=MEMBERS).collect())
        },
        clock: ClockParams {
            wall_offset_ns: 0,
            drift_ppm: 0.0,
        },
        open: store(),
    };
    let link = LinkParams {
        latency: (MS..=5 * MS).into(),
        loss: 0.0,
        duplicate: 0.0,
        reorder: false,
    };
    Setup {
        seed,
        members: (1..=MEMBERS).map(member).collect(),
        disk: DiskParams {
            read: 0..=1_000,
            write: 10_000..=50_000,
            fsync: 500_000..=2_000_000,
        },
        link: link.clone(),
        client_link: link,
        step_cost: 0,
        clients,
        bugs: Bugs::NONE,
        keep: Keep::Notable,
        trace: None,
    }
}

/// A client that asks one member after the other.
struct Caller {
    world: World,
    client: SimClient,
    member: u64,
}

impl Caller {
    fn new(world: &World, number: u32) -> Caller {
        Caller {
            world: world.clone(),
            client: world.client(number),
            member: u64::from(number) % MEMBERS + 1,
        }
    }

    /// One attempt; whoever does not answer is not asked next.
    async fn try_once(&mut self, call: Call) -> Option<Ret> {
        let limit = Duration::from_millis(400);
        match self.client.call(self.member, call, limit).await {
            Outcome::Ok(ret) => Some(ret),
            Outcome::Refused(_) | Outcome::Unknown(_) => {
                self.member = self.member % MEMBERS + 1;
                self.world.sleep(20 * MS).await;
                None
            }
        }
    }

    /// As often as it takes: for calls that may be made twice.
    async fn ask(&mut self, call: Call) -> Ret {
        loop {
            if let Some(ret) = self.try_once(call.clone()).await {
                return ret;
            }
        }
    }

    async fn range(&mut self, range: pb::RangeRequest) -> (Vec<KeyValue>, i64) {
        match self.ask(Call::Range(range)).await {
            Ret::Range(found) => (found.kvs, found.header.unwrap().revision),
            other => panic!("{other:?}"),
        }
    }
}

/// Crashes whoever leads, again and again.
async fn crash_leaders(world: World) {
    for _ in 0..4 {
        world.sleep(700 * MS).await;
        if let Some(leader) = world.leader() {
            world.crash(leader, PowerLoss::Lost);
            world.sleep(300 * MS).await;
            world.start(leader);
        }
    }
}

fn start(world: &World) {
    (1..=MEMBERS).for_each(|id| world.start(id));
}

fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> pb::PutRequest {
    pb::PutRequest {
        key: key.into(),
        value: value.into(),
        ..Default::default()
    }
}

/// All keys with a prefix that ends in `/`, in the order of their last writes.
fn in_order(prefix: &str) -> pb::RangeRequest {
    pb::RangeRequest {
        key: prefix.to_owned().into(),
        range_end: prefix.replace('/', "0").into(),
        sort_order: SortOrder::Ascend as i32,
        sort_target: SortTarget::Mod as i32,
        ..Default::default()
    }
}

/// Writes `ops` if `key` was last written at `revision`; 0: if it is not there.
fn if_unchanged(key: &Bytes, revision: i64, ops: Vec<Request>) -> Call {
    Call::Txn(pb::TxnRequest {
        compare: vec![pb::Compare {
            key: key.clone(),
            result: CompareResult::Equal as i32,
            target: CompareTarget::Mod as i32,
            target_union: Some(TargetUnion::ModRevision(revision)),
            ..Default::default()
        }],
        success: ops
            .into_iter()
            .map(|op| pb::RequestOp { request: Some(op) })
            .collect(),
        failure: Vec::new(),
    })
}

/// Appends items: to do it again where the outcome is not known changes nothing.
async fn produce(mut caller: Caller, items: std::ops::Range<u64>) {
    for item in items {
        let name = format!("{item:04}");
        let (key, mark) = (
            format!("queue/{name}").into(),
            format!("made/{name}").into(),
        );
        // The mark stays when the item is taken.
        let ops = vec![
            Request::RequestPut(put(Bytes::clone(&key), name.clone())),
            Request::RequestPut(put(Bytes::clone(&mark), "")),
        ];
        caller.ask(if_unchanged(&mark, 0, ops)).await;
        caller.world.sleep(15 * MS).await;
    }
}

/// Takes the first item, and leaves a note of it in the same transaction.
async fn consume(mut caller: Caller, end: u64) {
    while caller.world.now() < end {
        let first = pb::RangeRequest {
            limit: 1,
            ..in_order("queue/")
        };
        let (found, _) = caller.range(first).await;
        let Some(item) = found.into_iter().next() else {
            caller.world.sleep(25 * MS).await;
            continue;
        };
        let note = Bytes::from([b"taken/", &item.value[..]].concat());
        let ops = vec![
            Request::RequestDeleteRange(pb::DeleteRangeRequest {
                key: item.key.clone(),
                ..Default::default()
            }),
            Request::RequestPut(put(note, item.create_revision.to_string())),
        ];
        // Whatever came of it: the next look shows.
        caller
            .try_once(if_unchanged(&item.key, item.mod_revision, ops))
            .await;
    }
}

#[test]
fn a_queue_gives_each_item_once_and_in_order_while_leaders_crash() {
    for seed in 1..=5 {
        let simulated = simulate(setup(seed, 6), Box::new(()), |world| async move {
            start(&world);
            world.sleep(500 * MS).await;
            let half = ITEMS / 2;
            let mut tasks = vec![
                world.spawn(produce(Caller::new(&world, 0), 0..half)),
                world.spawn(produce(Caller::new(&world, 1), half..ITEMS)),
                world.spawn(crash_leaders(world.clone())),
            ];
            for number in 2..5 {
                tasks.push(world.spawn(consume(Caller::new(&world, number), 6_000 * MS)));
            }
            for task in tasks {
                world.join(task).await;
            }
            let mut reader = Caller::new(&world, 5);
            let (left, _) = reader.range(in_order("queue/")).await;
            let (taken, _) = reader.range(in_order("taken/")).await;
            (left, taken)
        });
        let simulated = simulated.unwrap_or_else(|e| panic!("seed {seed}: {}", e.message));
        assert!(
            simulated.stats.elections > 2,
            "seed {seed}: leaders crashed"
        );
        let (left, taken) = simulated.value.expect("nobody ends it");
        assert!(left.is_empty(), "seed {seed}: {left:?}");
        let items: BTreeSet<&Bytes> = taken.iter().map(|kv| &kv.key).collect();
        assert_eq!(items.len() as u64, ITEMS, "seed {seed}");
        for kv in &taken {
            assert_eq!(kv.version, 1, "seed {seed}: {kv:?} was taken once");
        }
        // In the order of taking: when each was made.
        let text = |kv: &KeyValue| String::from_utf8_lossy(&kv.value).into_owned();
        let made: Vec<i64> = taken.iter().map(|kv| text(kv).parse().unwrap()).collect();
        assert!(made.is_sorted(), "seed {seed}: {made:?}");
    }
}

/// Waits at the barrier, and leaves a note on the other side.
async fn wait_at_barrier(mut caller: Caller, number: u32) {
    let barrier = pb::RangeRequest {
        key: "barrier".into(),
        ..Default::default()
    };
    loop {
        let (found, revision) = caller.range(barrier.clone()).await;
        if found.is_empty() {
            break;
        }
        let watch = Call::Watch(pb::WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(pb::WatchCreateRequest {
                key: "barrier".into(),
                start_revision: revision + 1,
                ..Default::default()
            })),
        });
        let (client, member) = (&caller.client, caller.member);
        let mut stream = client.stream(member, Metadata::default(), watch);
        let until = caller.world.now() + 1_000 * MS;
        // Until something happens to it; a stream that broke or is silent is
        // opened anew, at another member.
        let is_over = |heard: &Option<Result<Ret, _>>| match heard {
            Some(Ok(Ret::Watch(told))) => !told.events.is_empty(),
            _ => true,
        };
        while !is_over(&stream.next(until).await) {}
        stream.close();
        caller.member = caller.member % MEMBERS + 1;
    }
    let note = Call::Put(put(format!("passed/{number}"), ""));
    caller.ask(note).await;
}

#[test]
fn nobody_passes_a_barrier_before_it_falls_and_everybody_does_then() {
    const WAITERS: u32 = 4;
    for seed in 1..=5 {
        let simulated = simulate(setup(seed, WAITERS + 1), Box::new(()), |world| async move {
            start(&world);
            world.sleep(500 * MS).await;
            let mut guard = Caller::new(&world, 0);
            guard.ask(Call::Put(put("barrier", "up"))).await;
            let mut tasks = vec![world.spawn(crash_leaders(world.clone()))];
            for number in 1..=WAITERS {
                let waiter = wait_at_barrier(Caller::new(&world, number), number);
                tasks.push(world.spawn(waiter));
            }
            world.sleep(2_500 * MS).await;
            let fall = Call::DeleteRange(pb::DeleteRangeRequest {
                key: "barrier".into(),
                ..Default::default()
            });
            // The first may have been done unheard: the range says when.
            let (_, before) = guard.range(in_order("passed/")).await;
            guard.ask(fall).await;
            for task in tasks {
                world.join(task).await;
            }
            let (passed, _) = guard.range(in_order("passed/")).await;
            (before, passed)
        });
        let simulated = simulated.unwrap_or_else(|e| panic!("seed {seed}: {}", e.message));
        assert!(
            simulated.stats.elections > 2,
            "seed {seed}: leaders crashed"
        );
        let (before, passed) = simulated.value.expect("nobody ends it");
        assert_eq!(passed.len() as u32, WAITERS, "seed {seed}");
        let early = passed.iter().find(|kv| kv.create_revision <= before + 1);
        assert!(
            early.is_none(),
            "seed {seed}: {early:?}, and it fell after {before}"
        );
    }
}
