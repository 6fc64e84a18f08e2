//! The store against a naive model: one whole map for every revision there
//! ever was.

use super::bench::{Bench, IntoOp as _, bytes, config, show, txn, when};
use super::crash_disk::CrashDisk;
use proptest::collection::vec;
use proptest::prelude::*;
use squall_api::pb::compare::{CompareResult, CompareTarget, TargetUnion};
use squall_api::pb::{self, KeyValue, request_op, response_op};
use squall_api::{Disk, Request, Response};
use std::collections::BTreeMap;
use std::sync::Arc;

type State = BTreeMap<Vec<u8>, KeyValue>;

/// `history[r]` is the store at revision r.
struct Model {
    history: Vec<State>,
}

impl Model {
    fn new() -> Model {
        Model {
            history: vec![State::new(); 2],
        }
    }

    fn revision(&self) -> i64 {
        self.history.len() as i64 - 1
    }

    fn say(&mut self, req: &Request) -> String {
        let before = self.history.last().unwrap().clone();
        let (mut after, mut changed) = (before.clone(), false);
        let outcome = match req {
            Request::Range(req) => self
                .range(&before, self.revision(), req)
                .map(Response::Range),
            Request::Put(req) => Ok(Response::Put(self.put(&mut after, &mut changed, req))),
            Request::DeleteRange(req) => Ok(Response::DeleteRange(self.delete(
                &mut after,
                &mut changed,
                req,
            ))),
            Request::Txn(req) => self.txn(&before, &mut after, &mut changed, req),
            other => panic!("{other:?} is not modelled"),
        };
        match outcome {
            Ok(response) => {
                if changed {
                    self.history.push(after);
                }
                show(&response)
            }
            Err(refusal) => refusal.into(),
        }
    }

    fn put(&self, state: &mut State, changed: &mut bool, req: &pb::PutRequest) -> pb::PutResponse {
        let revision = self.revision() + 1;
        let old = state.get(&req.key[..]).cloned();
        let new = KeyValue {
            key: req.key.clone(),
            value: req.value.clone(),
            create_revision: old.as_ref().map_or(revision, |kv| kv.create_revision),
            mod_revision: revision,
            version: old.as_ref().map_or(1, |kv| kv.version + 1),
            lease: 0,
        };
        state.insert(req.key.to_vec(), new);
        *changed = true;
        pb::PutResponse {
            header: header(revision),
            prev_kv: old.filter(|_| req.prev_kv),
        }
    }

    fn delete(
        &self,
        state: &mut State,
        changed: &mut bool,
        req: &pb::DeleteRangeRequest,
    ) -> pb::DeleteRangeResponse {
        let gone: Vec<KeyValue> = state
            .values()
            .filter(|kv| within(&kv.key, &req.key, &req.range_end))
            .cloned()
            .collect();
        for kv in &gone {
            state.remove(&kv.key[..]);
        }
        *changed |= !gone.is_empty();
        pb::DeleteRangeResponse {
            header: header(self.revision() + i64::from(*changed)),
            deleted: gone.len() as i64,
            prev_kvs: if req.prev_kv { gone } else { vec![] },
        }
    }

    fn range(
        &self,
        now: &State,
        revision: i64,
        req: &pb::RangeRequest,
    ) -> Result<pb::RangeResponse, &'static str> {
        let state = match req.revision {
            ..=0 => now,
            future if future > self.revision() => {
                return Err("OutOfRange: etcdserver: mvcc: required revision is a future revision");
            }
            past if past == revision => now,
            past => &self.history[past as usize],
        };
        let mut kvs: Vec<KeyValue> = state
            .values()
            .filter(|kv| within(&kv.key, &req.key, &req.range_end))
            .cloned()
            .collect();
        let count = kvs.len() as i64;
        let limit = if req.limit > 0 {
            req.limit as usize
        } else {
            usize::MAX
        };
        let filtered = req.min_mod_revision != 0 || req.max_create_revision != 0;
        if req.sort_order == 0 && !filtered {
            kvs.truncate(limit.saturating_add(1));
        }
        kvs.retain(|kv| kv.mod_revision >= req.min_mod_revision);
        if req.max_create_revision != 0 {
            kvs.retain(|kv| kv.create_revision <= req.max_create_revision);
        }
        match req.sort_target {
            1 => kvs.sort_by_key(|kv| kv.version),
            2 => kvs.sort_by_key(|kv| kv.create_revision),
            3 => kvs.sort_by_key(|kv| kv.mod_revision),
            4 => kvs.sort_by_key(|kv| kv.value.clone()),
            _ => {}
        }
        if req.sort_order == 2 {
            // Reversed, but equals stay in order of their keys.
            kvs.sort_by(|a, b| match req.sort_target {
                1 => b.version.cmp(&a.version).then(a.key.cmp(&b.key)),
                2 => b
                    .create_revision
                    .cmp(&a.create_revision)
                    .then(a.key.cmp(&b.key)),
                3 => b.mod_revision.cmp(&a.mod_revision).then(a.key.cmp(&b.key)),
                4 => b.value.cmp(&a.value).then(a.key.cmp(&b.key)),
                _ => b.key.cmp(&a.key),
            });
        }
        let more = !req.count_only && kvs.len() > limit;
        kvs.truncate(limit);
        if req.count_only {
            kvs.clear();
        }
        if req.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value.clear());
        }
        Ok(pb::RangeResponse {
            header: header(revision),
            kvs,
            more,
            count,
        })
    }

    fn txn(
        &self,
        before: &State,
        after: &mut State,
        changed: &mut bool,
        req: &pb::TxnRequest,
    ) -> Result<Response, &'static str> {
        for branch in [&req.success, &req.failure] {
            if has_conflict(branch) {
                return Err("InvalidArgument: etcdserver: duplicate key given in txn request");
            }
        }
        let succeeded = req.compare.iter().all(|compare| {
            let kv = before.get(&compare.key[..]).cloned().unwrap_or_default();
            let ordering = match compare.target_union.as_ref().unwrap() {
                TargetUnion::Version(v) => kv.version.cmp(v),
                TargetUnion::CreateRevision(v) => kv.create_revision.cmp(v),
                TargetUnion::ModRevision(v) => kv.mod_revision.cmp(v),
                TargetUnion::Value(v) if kv.version > 0 => kv.value.cmp(v),
                _ => return false,
            };
            match compare.result {
                0 => ordering.is_eq(),
                1 => ordering.is_gt(),
                2 => ordering.is_lt(),
                _ => ordering.is_ne(),
            }
        });
        let mut responses = Vec::new();
        for op in if succeeded {
            &req.success
        } else {
            &req.failure
        } {
            let response = match op.request.as_ref().unwrap() {
                request_op::Request::RequestPut(req) => {
                    response_op::Response::ResponsePut(self.put(after, changed, req))
                }
                request_op::Request::RequestDeleteRange(req) => {
                    response_op::Response::ResponseDeleteRange(self.delete(after, changed, req))
                }
                request_op::Request::RequestRange(req) => {
                    let revision = self.revision() + i64::from(*changed);
                    response_op::Response::ResponseRange(self.range(after, revision, req)?)
                }
                request_op::Request::RequestTxn(_) => unreachable!("not generated"),
            };
            responses.push(pb::ResponseOp {
                response: Some(response),
            });
        }
        Ok(Response::Txn(pb::TxnResponse {
            header: header(self.revision() + i64::from(*changed)),
            succeeded,
            responses,
        }))
    }
}

fn header(revision: i64) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader {
        revision,
        ..pb::ResponseHeader::default()
    })
}

fn within(key: &[u8], first: &[u8], end: &[u8]) -> bool {
    if end.is_empty() {
        key == first
    } else if end == [0] {
        key >= first
    } else {
        first <= key && key < end
    }
}

fn has_conflict(ops: &[pb::RequestOp]) -> bool {
    let puts: Vec<&[u8]> = ops
        .iter()
        .filter_map(|op| match op.request.as_ref().unwrap() {
            request_op::Request::RequestPut(put) => Some(&put.key[..]),
            _ => None,
        })
        .collect();
    let twice = (1..puts.len()).any(|i| puts[..i].contains(&puts[i]));
    twice
        || ops.iter().any(|op| match op.request.as_ref().unwrap() {
            request_op::Request::RequestDeleteRange(d) if d.range_end[..] != [0] => {
                puts.iter().any(|key| within(key, &d.key, &d.range_end))
            }
            _ => false,
        })
}

#[derive(Debug, Clone)]
enum Step {
    Call(Request),
    CommitBackend,
    Reopen,
    MoveBySnapshot,
}

const KEYS: [&str; 6] = ["a", "ab", "b", "ba", "c", "d"];

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&KEYS[..])
}

fn range_end() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["", "", "", "\0", "b", "c", "z"][..])
}

fn put() -> impl Strategy<Value = pb::PutRequest> {
    (key(), "[a-c]{0,2}", any::<bool>()).prop_map(|(key, value, prev_kv)| pb::PutRequest {
        prev_kv,
        ..super::bench::put(key, &value)
    })
}

fn delete() -> impl Strategy<Value = pb::DeleteRangeRequest> {
    (key(), range_end(), any::<bool>()).prop_map(|(key, end, prev_kv)| pb::DeleteRangeRequest {
        prev_kv,
        ..super::bench::del(key, end)
    })
}

fn range() -> impl Strategy<Value = pb::RangeRequest> {
    let span = (key(), range_end());
    let order = (0..3i32, 0..5i32);
    let filters = (
        prop_oneof![2 => Just(0), 1 => 0..20i64],
        prop_oneof![2 => Just(0), 1 => 0..20i64],
    );
    let revision = prop_oneof![1 => Just(0), 1 => 0..30i64];
    (span, order, filters, revision, 0..4i64, 0..8u8).prop_map(
        |((key, end), (order, target), (min_mod, max_create), revision, limit, flags)| {
            pb::RangeRequest {
                sort_order: order,
                sort_target: target,
                min_mod_revision: min_mod,
                max_create_revision: max_create,
                revision,
                limit,
                serializable: flags & 1 != 0,
                keys_only: flags & 6 == 2,
                count_only: flags & 6 == 6,
                ..super::bench::get(key, end)
            }
        },
    )
}

fn compare() -> impl Strategy<Value = pb::Compare> {
    let operand = prop_oneof![
        (0..4i64).prop_map(|v| (CompareTarget::Version, TargetUnion::Version(v))),
        (0..20i64).prop_map(|v| (CompareTarget::Create, TargetUnion::CreateRevision(v))),
        (0..20i64).prop_map(|v| (CompareTarget::Mod, TargetUnion::ModRevision(v))),
        "[a-c]{0,2}".prop_map(|v| (CompareTarget::Value, TargetUnion::Value(bytes(&v)))),
    ];
    (key(), operand, 0..4i32).prop_map(|(key, (target, operand), result)| {
        let result = CompareResult::try_from(result).unwrap();
        when(target, key, result, operand)
    })
}

fn ops() -> impl Strategy<Value = Vec<pb::RequestOp>> {
    let op = prop_oneof![
        put().prop_map(|req| req.op()),
        delete().prop_map(|req| req.op()),
        range().prop_map(|req| req.op()),
    ];
    vec(op, 0..5)
}

fn call() -> impl Strategy<Value = Request> {
    prop_oneof![
        4 => put().prop_map(Request::Put),
        2 => delete().prop_map(Request::DeleteRange),
        4 => range().prop_map(Request::Range),
        4 => (vec(compare(), 0..3), ops(), ops())
            .prop_map(|(compares, success, failure)| Request::Txn(txn(compares, success, failure))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => call().prop_map(Step::Call),
        2 => Just(Step::CommitBackend),
        1 => Just(Step::Reopen),
        1 => Just(Step::MoveBySnapshot),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        rng_seed: prop::test_runner::RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_answer_is_the_models(steps in vec(step(), 1..50)) {
        let mut disk: Arc<dyn Disk> = CrashDisk::default().shared();
        let mut bench = Bench::open(&disk, config()).unwrap();
        let mut model = Model::new();
        let mut log = Vec::new();
        for step in steps {
            match step {
                Step::Call(req) => {
                    prop_assert_eq!(bench.say(req.clone()), model.say(&req), "{:?}", req);
                }
                Step::CommitBackend => {
                    bench.now.mono += config().backend_commit_interval;
                    bench.step(squall_api::Input::Deadline).unwrap();
                }
                Step::Reopen => {
                    let before = (bench.revision(), bench.hash(0).unwrap());
                    let index = bench.index;
                    log.append(&mut bench.log);
                    bench.stop();
                    bench = Bench::open(&disk, config()).unwrap();
                    prop_assert_eq!(bench.index, index, "a clean stop commits everything");
                    let mut hash = bench.hash(0).unwrap();
                    hash.header = before.1.header;
                    prop_assert_eq!((bench.revision(), hash), before);
                }
                Step::MoveBySnapshot if bench.index > 0 => {
                    let snapshot = bench.snapshot();
                    let hash = bench.hash(0).unwrap().hash;
                    let index = bench.index;
                    log.append(&mut bench.log);
                    disk = CrashDisk::default().shared();
                    bench = Bench::open(&disk, config()).unwrap();
                    bench.step(squall_api::Input::Lane(squall_api::LaneMsg::Install(snapshot))).unwrap();
                    bench.index = index;
                    prop_assert_eq!(bench.hash(0).unwrap().hash, hash);
                }
                Step::MoveBySnapshot => {}
            }
        }
        // A replica, where nobody waits for the answers, comes to the same state.
        let mut replica = Bench::new();
        for data in log.into_iter().chain(std::mem::take(&mut bench.log)) {
            replica.commit(data).unwrap();
        }
        prop_assert_eq!(replica.hash(0).unwrap().hash, bench.hash(0).unwrap().hash);
        prop_assert_eq!(replica.revision(), model.revision());

        let everything = pb::RangeRequest { range_end: bytes("\0"), ..super::bench::get("\0", "") };
        for revision in 1..=model.revision() {
            let req = Request::Range(pb::RangeRequest { revision, ..everything.clone() });
            prop_assert_eq!(bench.say(req.clone()), model.say(&req));
        }
    }
}
