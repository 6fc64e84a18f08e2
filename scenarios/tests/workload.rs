//! The workload generator against a small store: clients take turns in order
//! of their arrival times, and every operation succeeds.

use bytes::Bytes;
use squall::Scenario;
use squall::library;
use squall::workload::{Generator, Observed};
use squall_api::pb::compare::{CompareResult, TargetUnion};
use squall_api::pb::request_op::Request as OpRequest;
use squall_api::pb::response_op::Response as OpResponse;
use squall_api::pb::{self, Compare, RequestOp, ResponseOp, TxnRequest};
use squall_record::{Call, Outcome, Ret};
use std::collections::{BTreeMap, BTreeSet};

/// As much of a store as the generator needs to learn from.
#[derive(Default)]
struct Store {
    keys: BTreeMap<Bytes, pb::KeyValue>,
    revision: i64,
}

impl Store {
    fn call(&mut self, call: &Call) -> Ret {
        let mut written = false;
        let mut ret = match call {
            Call::Range(r) => Ret::Range(self.range(r)),
            Call::Put(r) => Ret::Put(self.put(r, &mut written)),
            Call::DeleteRange(r) => Ret::DeleteRange(self.delete(r, &mut written)),
            Call::Txn(r) => Ret::Txn(self.txn(r, &mut written)),
            _ => {
                panic!("no client asks for {call:?}")
            }
        };
        self.revision += i64::from(written);
        let header = Some(pb::ResponseHeader {
            revision: self.revision,
            ..Default::default()
        });
        match &mut ret {
            Ret::Range(r) => r.header = header,
            Ret::Put(r) => r.header = header,
            Ret::DeleteRange(r) => r.header = header,
            Ret::Txn(r) => r.header = header,
            _ => {}
        }
        ret
    }

    fn within(&self, key: &Bytes, range_end: &Bytes) -> Vec<pb::KeyValue> {
        let inside = |k: &Bytes| match range_end.is_empty() {
            true => k == key,
            false => key <= k && k < range_end,
        };
        let kvs = self.keys.iter().filter(|(k, _)| inside(k));
        kvs.map(|(_, kv)| kv.clone()).collect()
    }

    fn range(&self, r: &pb::RangeRequest) -> pb::RangeResponse {
        let kvs = self.within(&r.key, &r.range_end);
        pb::RangeResponse {
            count: kvs.len() as i64,
            kvs,
            ..Default::default()
        }
    }

    fn put(&mut self, r: &pb::PutRequest, written: &mut bool) -> pb::PutResponse {
        *written = true;
        let old = self.keys.get(&r.key);
        let kv = pb::KeyValue {
            key: r.key.clone(),
            value: r.value.clone(),
            mod_revision: self.revision + 1,
            create_revision: old.map_or(self.revision + 1, |kv| kv.create_revision),
            version: old.map_or(1, |kv| kv.version + 1),
            ..Default::default()
        };
        self.keys.insert(r.key.clone(), kv);
        pb::PutResponse::default()
    }

    fn delete(
        &mut self,
        r: &pb::DeleteRangeRequest,
        written: &mut bool,
    ) -> pb::DeleteRangeResponse {
        let gone = self.within(&r.key, &r.range_end);
        *written |= !gone.is_empty();
        for kv in &gone {
            self.keys.remove(&kv.key);
        }
        pb::DeleteRangeResponse {
            deleted: gone.len() as i64,
            ..Default::default()
        }
    }

    fn txn(&mut self, r: &TxnRequest, written: &mut bool) -> pb::TxnResponse {
        let succeeded = r.compare.iter().all(|c| self.holds(c));
        let branch = if succeeded { &r.success } else { &r.failure };
        let mut responses = Vec::new();
        for op in branch {
            let response = match op.request.as_ref().unwrap() {
                OpRequest::RequestRange(r) => OpResponse::ResponseRange(self.range(r)),
                OpRequest::RequestPut(r) => OpResponse::ResponsePut(self.put(r, written)),
                OpRequest::RequestDeleteRange(r) => {
                    OpResponse::ResponseDeleteRange(self.delete(r, written))
                }
                OpRequest::RequestTxn(r) => OpResponse::ResponseTxn(self.txn(r, written)),
            };
            responses.push(ResponseOp {
                response: Some(response),
            });
        }
        pb::TxnResponse {
            succeeded,
            responses,
            ..Default::default()
        }
    }

    fn holds(&self, compare: &Compare) -> bool {
        let nothing = pb::KeyValue::default();
        let kv = self.keys.get(&compare.key);
        let order = match compare.target_union.as_ref().unwrap() {
            TargetUnion::ModRevision(r) => kv.unwrap_or(&nothing).mod_revision.cmp(r),
            TargetUnion::CreateRevision(r) => kv.unwrap_or(&nothing).create_revision.cmp(r),
            TargetUnion::Version(v) => kv.unwrap_or(&nothing).version.cmp(v),
            TargetUnion::Lease(l) => kv.unwrap_or(&nothing).lease.cmp(l),
            TargetUnion::Value(value) => match kv {
                Some(kv) => kv.value.cmp(value),
                None => return false,
            },
        };
        match compare.result() {
            CompareResult::Equal => order.is_eq(),
            CompareResult::NotEqual => order.is_ne(),
            CompareResult::Greater => order.is_gt(),
            CompareResult::Less => order.is_lt(),
        }
    }
}

/// Every operation of one run, in order, with its answer.
fn run(scenario: &Scenario, seed: u64) -> Vec<(u32, Call, Ret)> {
    let workload = &scenario.workload;
    let mut clients: Vec<_> = (0..workload.clients)
        .map(|client| {
            let mut generator = Generator::new(workload, seed, client);
            (generator.gap(), client, generator, Observed::default())
        })
        .collect();
    let mut store = Store::default();
    let mut history = Vec::new();
    loop {
        let next = clients
            .iter_mut()
            .min_by_key(|(at, client, ..)| (*at, *client));
        let (at, client, generator, observed) = next.unwrap();
        if *at >= workload.run_for.ns() {
            return history;
        }
        *at += generator.gap();
        let call = generator.next(observed);
        let ret = store.call(&call);
        observed.learn(&call, &Outcome::Ok(ret.clone()));
        history.push((*client, call, ret));
    }
}

fn healthy() -> Scenario {
    Scenario::parse("healthy", library::get("healthy").unwrap()).unwrap()
}

/// Every request of a transaction, nested ones included.
fn requests(ops: &[RequestOp]) -> Vec<&OpRequest> {
    let requests = ops.iter().flat_map(|op| {
        let request = op.request.as_ref().unwrap();
        let inner = match request {
            OpRequest::RequestTxn(txn) => [requests(&txn.success), requests(&txn.failure)].concat(),
            _ => vec![],
        };
        [vec![request], inner].concat()
    });
    requests.collect()
}

fn puts(call: &Call) -> Vec<&pb::PutRequest> {
    let in_txn = |ops| {
        let requests = requests(ops).into_iter();
        requests.filter_map(|r| match r {
            OpRequest::RequestPut(put) => Some(put),
            _ => None,
        })
    };
    match call {
        Call::Put(put) => vec![put],
        Call::Txn(txn) => in_txn(&txn.success).chain(in_txn(&txn.failure)).collect(),
        _ => vec![],
    }
}

#[test]
fn a_seed_always_asks_the_same() {
    let scenario = healthy();
    assert_eq!(run(&scenario, 7), run(&scenario, 7));
    assert_ne!(run(&scenario, 7), run(&scenario, 8));
}

#[test]
fn clients_together_make_the_rate() {
    let mut scenario = healthy();
    for (clients, rate) in [(8, 200.0), (1, 50.0), (20, 150.0)] {
        scenario.workload.clients = clients;
        scenario.workload.rate = rate;
        let made: usize = (0..10).map(|seed| run(&scenario, seed).len()).sum();
        let wanted = 10.0 * rate * scenario.workload.run_for.ns() as f64 / 1e9;
        let off = (made as f64 / wanted - 1.0).abs();
        assert!(
            off < 0.05,
            "{clients} clients made {made} operations of {wanted}"
        );
    }
}

#[test]
fn no_value_is_ever_written_twice() {
    for seed in 0..5 {
        let history = run(&healthy(), seed);
        let mut seen = BTreeSet::new();
        for put in history.iter().flat_map(|(_, call, _)| puts(call)) {
            assert!((4..=32).contains(&put.value.len()), "{:?}", put.value);
            assert!(seen.insert(&put.value), "{:?} is written twice", put.value);
        }
        assert!(seen.len() > 1_000);
    }
}

#[test]
fn a_useful_share_of_transactions_succeeds_and_a_useful_share_fails() {
    for (name, text) in library::all() {
        let scenario = Scenario::parse(name, text).unwrap();
        let history = run(&scenario, 1);
        let txns = history.iter().filter_map(|(_, _, ret)| match ret {
            Ret::Txn(txn) => Some(txn.succeeded),
            _ => None,
        });
        let (succeeded, failed): (Vec<_>, Vec<_>) = txns.partition(|succeeded| *succeeded);
        let txns = succeeded.len() + failed.len();
        let share = succeeded.len() as f64 / txns as f64;
        assert!(
            (0.3..0.8).contains(&share),
            "{name}: {share} of {txns} succeed"
        );
        assert!(
            // That one is about reads.
            txns * 10 >= history.len() || *name == "read-leases",
            "{name}: {txns} of {}",
            history.len()
        );
    }
}

#[test]
fn the_mix_is_as_asked_for() {
    let mut scenario = healthy();
    let text = "put = 10, get = 20, cas = 5, txn = 15, delete = 10, delete_range = 10, \
                range = 10, serializable_get = 20";
    let overrides = [
        format!("workload.mix={{ {text} }}"),
        "workload.rate=1000".into(),
    ];
    let base = library::get("healthy").unwrap();
    let mixed = Scenario::parse_with("mixed", base, &overrides).unwrap();
    let kind = |call: &Call| match call {
        Call::Range(r) if r.serializable => "serializable_get",
        Call::Range(r) if r.range_end.is_empty() => "get",
        Call::Txn(r) if requests(&r.success).len() == 1 => "cas",
        Call::DeleteRange(r) if r.range_end.is_empty() => "delete",
        call => call.name(),
    };
    let history = run(&mixed, 3);
    for (key, weight) in mixed.workload.mix.weights() {
        let made = history
            .iter()
            .filter(|(_, call, _)| kind(call) == key)
            .count();
        let share = 100.0 * made as f64 / history.len() as f64;
        assert!(
            (share - f64::from(weight)).abs() < 1.5,
            "{key}: {share} % of {weight} %"
        );
    }
    scenario.workload.mix = Default::default();
    scenario.workload.mix.get = 1;
    assert!(
        run(&scenario, 3)
            .iter()
            .all(|(_, call, _)| kind(call) == "get")
    );
}

#[test]
fn keys_are_few_and_as_skewed_as_asked_for() {
    let uses = |skew: &str| {
        let skew = [
            format!("workload.keys.skew={skew}"),
            "workload.mix={ put = 1 }".into(),
        ];
        let base = library::get("healthy").unwrap();
        let scenario = Scenario::parse_with("skewed", base, &skew).unwrap();
        let mut uses = BTreeMap::new();
        for (_, call, _) in (0..5).flat_map(|seed| run(&scenario, seed)) {
            let Call::Put(put) = call else {
                panic!("{call:?}")
            };
            *uses.entry(put.key).or_insert(0) += 1;
        }
        uses
    };
    let uniform = uses("uniform");
    assert_eq!(uniform.len(), 12);
    let (least, most) = (uniform.values().min(), uniform.values().max());
    assert!(most.unwrap() < &(least.unwrap() * 3 / 2), "{uniform:?}");
    let zipf = uses("zipf(1)");
    assert_eq!(zipf.len(), 12);
    let ratio = f64::from(zipf[b"k0".as_slice()]) / f64::from(zipf[b"k3".as_slice()]);
    assert!(
        (3.2..5.0).contains(&ratio),
        "k0 is used {ratio} times as often as k3"
    );
}

#[test]
fn transactions_are_such_as_etcd_accepts() {
    let mut nested = 0;
    for (_, call, _) in (0..5).flat_map(|seed| run(&healthy(), seed)) {
        let Call::Txn(txn) = &call else { continue };
        for branch in [&txn.success, &txn.failure] {
            assert!((1..=3).contains(&branch.len()));
            let keys: Vec<_> = branch.iter().map(written).collect();
            let distinct: BTreeSet<_> = keys.iter().collect();
            assert_eq!(
                distinct.len(),
                keys.len(),
                "a branch names a key twice: {txn:?}"
            );
        }
        nested += usize::from(
            requests(&txn.success)
                .iter()
                .any(|r| matches!(r, OpRequest::RequestTxn(_))),
        );
    }
    assert!(nested > 100, "only {nested} transactions are nested");
}

/// The one key that an operation of a transaction is about.
fn written(op: &RequestOp) -> &Bytes {
    match op.request.as_ref().unwrap() {
        OpRequest::RequestPut(r) => &r.key,
        OpRequest::RequestRange(r) => &r.key,
        OpRequest::RequestDeleteRange(r) => &r.key,
        OpRequest::RequestTxn(r) => {
            let key = written(&r.success[0]);
            assert_eq!(written(&r.failure[0]), key);
            key
        }
    }
}

#[test]
fn what_may_not_have_happened_teaches_nothing() {
    let mut generator = Generator::new(&healthy().workload, 1, 1);
    let mut observed = Observed::default();
    let before = format!("{observed:?}");
    for _ in 0..100 {
        let call = generator.next(&observed);
        observed.learn(&call, &Outcome::Unknown(squall_record::Why::Timeout));
        assert_eq!(format!("{observed:?}"), before);
    }
}
