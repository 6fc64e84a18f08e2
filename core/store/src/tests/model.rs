//! The store against a naive model: one whole map for every revision there
//! ever was.

use super::bench::{Bench, IntoOp as _, bytes, config, show, txn, when};
use super::crash_disk::CrashDisk;
use proptest::collection::vec;
use proptest::prelude::*;
use squall_api::pb::compare::{CompareResult, CompareTarget, TargetUnion};
use squall_api::pb::{self, KeyValue, request_op, response_op};
use squall_api::{Disk, LeaseRequest, LeaseResponse, MaintenanceRequest, Request, Response};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type State = BTreeMap<Vec<u8>, KeyValue>;

/// `history[r]` is the store at revision r.
struct Model {
    history: Vec<State>,
    compacted: i64,
    leases: BTreeSet<i64>,
}

const COMPACTED: &str = "OutOfRange: etcdserver: mvcc: required revision has been compacted";
const FUTURE: &str = "OutOfRange: etcdserver: mvcc: required revision is a future revision";
const KEY_NOT_FOUND: &str = "InvalidArgument: etcdserver: key not found";
const LEASE_EXISTS: &str = "FailedPrecondition: etcdserver: lease already exists";
const LEASE_NOT_FOUND: &str = "NotFound: etcdserver: requested lease not found";

impl Model {
    fn new() -> Model {
        Model {
            history: vec![State::new(); 2],
            compacted: -1,
            leases: BTreeSet::new(),
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
            Request::Put(req) => self
                .check_lease(req)
                .and_then(|()| self.check_key(&before, req))
                .map(|()| Response::Put(self.put(&mut after, &mut changed, req))),
            Request::Compact(req) if req.revision <= self.compacted => Err(COMPACTED),
            Request::Compact(req) if req.revision > self.revision() => Err(FUTURE),
            Request::Compact(req) => {
                self.compacted = req.revision;
                Ok(Response::Compact(pb::CompactionResponse {
                    header: header(self.revision()),
                }))
            }
            Request::Lease(LeaseRequest::Grant(req)) => match self.leases.insert(req.id) {
                true => Ok(Response::Lease(LeaseResponse::Grant(
                    pb::LeaseGrantResponse {
                        header: header(self.revision()),
                        id: req.id,
                        ttl: req.ttl,
                        error: String::new(),
                    },
                ))),
                false => Err(LEASE_EXISTS),
            },
            Request::Lease(LeaseRequest::Revoke(req)) => match self.leases.remove(&req.id) {
                true => {
                    after.retain(|_, kv| kv.lease != req.id);
                    changed = after.len() < before.len();
                    Ok(Response::Lease(LeaseResponse::Revoke(
                        pb::LeaseRevokeResponse {
                            header: header(self.revision() + i64::from(changed)),
                        },
                    )))
                }
                false => Err(LEASE_NOT_FOUND),
            },
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

    fn check_lease(&self, req: &pb::PutRequest) -> Result<(), &'static str> {
        match req.lease == 0 || self.leases.contains(&req.lease) {
            true => Ok(()),
            false => Err(LEASE_NOT_FOUND),
        }
    }

    fn check_key(&self, state: &State, req: &pb::PutRequest) -> Result<(), &'static str> {
        let needs_key = req.ignore_value || req.ignore_lease;
        match !needs_key || state.contains_key(&req.key[..]) {
            true => Ok(()),
            false => Err(KEY_NOT_FOUND),
        }
    }

    fn put(&self, state: &mut State, changed: &mut bool, req: &pb::PutRequest) -> pb::PutResponse {
        let revision = self.revision() + 1;
        let old = state.get(&req.key[..]).cloned();
        let new = KeyValue {
            key: req.key.clone(),
            value: match (&old, req.ignore_value) {
                (Some(old), true) => old.value.clone(),
                _ => req.value.clone(),
            },
            create_revision: old.as_ref().map_or(revision, |kv| kv.create_revision),
            mod_revision: revision,
            version: old.as_ref().map_or(1, |kv| kv.version + 1),
            lease: match (&old, req.ignore_lease) {
                (Some(old), true) => old.lease,
                _ => req.lease,
            },
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
                return Err(FUTURE);
            }
            past if past < self.compacted => return Err(COMPACTED),
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
        let filtered = req.min_mod_revision != 0
            || req.max_mod_revision != 0
            || req.min_create_revision != 0
            || req.max_create_revision != 0;
        if req.sort_order == 0 && !filtered {
            kvs.truncate(limit.saturating_add(1));
        }
        kvs.retain(|kv| kv.mod_revision >= req.min_mod_revision);
        kvs.retain(|kv| kv.create_revision >= req.min_create_revision);
        if req.max_mod_revision != 0 {
            kvs.retain(|kv| kv.mod_revision <= req.max_mod_revision);
        }
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
        self.feasible(before, &mut before.clone(), req)?;
        let mut response = self.run(before, after, changed, req)?;
        response.header = header(self.revision() + i64::from(*changed));
        Ok(Response::Txn(response))
    }

    /// Which branch is taken: compares see the store as it was.
    fn succeeds(&self, before: &State, req: &pb::TxnRequest) -> bool {
        req.compare.iter().all(|compare| {
            let mut found: Vec<KeyValue> = before
                .values()
                .filter(|kv| within(&kv.key, &compare.key, &compare.range_end))
                .cloned()
                .collect();
            if found.is_empty() {
                found.push(KeyValue::default());
            }
            found.iter().all(|kv| {
                let ordering = match compare.target_union.as_ref().unwrap() {
                    TargetUnion::Version(v) => kv.version.cmp(v),
                    TargetUnion::CreateRevision(v) => kv.create_revision.cmp(v),
                    TargetUnion::ModRevision(v) => kv.mod_revision.cmp(v),
                    TargetUnion::Lease(v) => kv.lease.cmp(v),
                    TargetUnion::Value(v) if kv.version > 0 => kv.value.cmp(v),
                    TargetUnion::Value(_) => return false,
                };
                match compare.result {
                    0 => ordering.is_eq(),
                    1 => ordering.is_gt(),
                    2 => ordering.is_lt(),
                    _ => ordering.is_ne(),
                }
            })
        })
    }

    /// Whether nothing in what is taken must fail; `left` is what deletions of
    /// the transaction have left of the keys there were.
    fn feasible(
        &self,
        before: &State,
        left: &mut State,
        req: &pb::TxnRequest,
    ) -> Result<(), &'static str> {
        let branch = match self.succeeds(before, req) {
            true => &req.success,
            false => &req.failure,
        };
        for op in branch {
            match op.request.as_ref().unwrap() {
                request_op::Request::RequestPut(req) => {
                    self.check_key(left, req)?;
                    self.check_lease(req)?;
                }
                request_op::Request::RequestDeleteRange(req) => {
                    left.retain(|key, _| !within(key, &req.key, &req.range_end));
                }
                request_op::Request::RequestRange(req) => {
                    self.range(before, self.revision(), req)?;
                }
                request_op::Request::RequestTxn(req) => self.feasible(before, left, req)?,
            }
        }
        Ok(())
    }

    fn run(
        &self,
        before: &State,
        after: &mut State,
        changed: &mut bool,
        req: &pb::TxnRequest,
    ) -> Result<pb::TxnResponse, &'static str> {
        let succeeded = self.succeeds(before, req);
        let branch = match succeeded {
            true => &req.success,
            false => &req.failure,
        };
        let mut responses = Vec::new();
        for op in branch {
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
                request_op::Request::RequestTxn(req) => {
                    response_op::Response::ResponseTxn(self.run(before, after, changed, req)?)
                }
            };
            responses.push(pb::ResponseOp {
                response: Some(response),
            });
        }
        Ok(pb::TxnResponse {
            header: header(0),
            succeeded,
            responses,
        })
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

/// Every key that a branch puts, and what it deletes. A nested transaction, of
/// which there is one at most, puts keys that nothing else puts.
fn has_conflict(ops: &[pb::RequestOp]) -> bool {
    let mut puts: Vec<&[u8]> = Vec::new();
    for op in ops {
        match op.request.as_ref().unwrap() {
            request_op::Request::RequestPut(put) => puts.push(&put.key),
            request_op::Request::RequestTxn(txn) => {
                let mut nested: Vec<&[u8]> = Vec::new();
                for op in txn.success.iter().chain(&txn.failure) {
                    if let Some(request_op::Request::RequestPut(put)) = &op.request {
                        nested.push(&put.key);
                    }
                }
                nested.dedup();
                puts.extend(nested);
            }
            _ => {}
        }
    }
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
    Defragment,
}

const KEYS: [&str; 6] = ["a", "ab", "b", "ba", "c", "d"];

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&KEYS[..])
}

fn range_end() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["", "", "", "\0", "b", "c", "z"][..])
}

/// Attached to a lease that may or may not be there, or keeping what is there.
fn put() -> impl Strategy<Value = pb::PutRequest> {
    let lease = prop_oneof![6 => Just(0), 1 => 1..4i64];
    (key(), "[a-c]{0,2}", any::<bool>(), lease, 0..10u8).prop_map(
        |(key, value, prev_kv, lease, keep)| {
            let (ignore_value, ignore_lease) = (keep == 0 || keep == 2, keep == 1 || keep == 2);
            pb::PutRequest {
                prev_kv,
                ignore_value,
                ignore_lease,
                lease: if ignore_lease { 0 } else { lease },
                ..super::bench::put(key, if ignore_value { "" } else { &value })
            }
        },
    )
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
    let bound = || prop_oneof![4 => Just(0), 1 => 0..20i64];
    let filters = (bound(), bound(), bound(), bound());
    let revision = prop_oneof![1 => Just(0), 1 => 0..30i64];
    (span, order, filters, revision, 0..4i64, 0..8u8).prop_map(
        |((key, end), (order, target), filters, revision, limit, flags)| {
            let (min_mod, max_mod, min_create, max_create) = filters;
            pb::RangeRequest {
                max_mod_revision: max_mod,
                min_create_revision: min_create,
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
        (0..4i64).prop_map(|v| (CompareTarget::Lease, TargetUnion::Lease(v))),
    ];
    let spans = (key(), range_end());
    (spans, operand, 0..4i32).prop_map(|((key, end), (target, operand), result)| {
        let result = CompareResult::try_from(result).unwrap();
        pb::Compare {
            range_end: bytes(end),
            ..when(target, key, result, operand)
        }
    })
}

fn ops() -> impl Strategy<Value = Vec<pb::RequestOp>> {
    let op = prop_oneof![
        put().prop_map(|req| req.op()),
        delete().prop_map(|req| req.op()),
        range().prop_map(|req| req.op()),
    ];
    (vec(op, 0..5), prop::option::weighted(0.2, nested())).prop_map(|(mut ops, nested)| {
        ops.extend(nested.map(|txn| txn.op()));
        ops
    })
}

/// A transaction within one: it reads anything, and puts a key of its own.
fn nested() -> impl Strategy<Value = pb::TxnRequest> {
    let branch = || {
        (vec(range(), 0..2), any::<bool>()).prop_map(|(ranges, puts)| {
            let mut ops: Vec<pb::RequestOp> = ranges.into_iter().map(|req| req.op()).collect();
            ops.extend(puts.then(|| super::bench::put("bb", "nested").op()));
            ops
        })
    };
    (vec(compare(), 0..2), branch(), branch())
        .prop_map(|(compares, success, failure)| txn(compares, success, failure))
}

fn call() -> impl Strategy<Value = Request> {
    prop_oneof![
        4 => put().prop_map(Request::Put),
        2 => delete().prop_map(Request::DeleteRange),
        4 => range().prop_map(Request::Range),
        1 => (0..30i64, any::<bool>()).prop_map(|(revision, physical)| {
            Request::Compact(pb::CompactionRequest { revision, physical })
        }),
        1 => (1..4i64).prop_map(|id| {
            Request::Lease(LeaseRequest::Grant(pb::LeaseGrantRequest { id, ttl: 1_000 }))
        }),
        1 => (1..4i64).prop_map(|id| {
            Request::Lease(LeaseRequest::Revoke(pb::LeaseRevokeRequest { id }))
        }),
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
        1 => Just(Step::Defragment),
    ]
}

/// Whether the store answers as the model does, whatever is done in between, and
/// a replica comes to the same state.
fn follows_the_model(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut disk: Arc<dyn Disk> = CrashDisk::default().shared();
    let mut bench = Bench::open(&disk, config()).unwrap();
    let mut model = Model::new();
    let mut log = Vec::new();
    for step in steps {
        match step {
            Step::Call(req) => {
                let short = |text: String| match &req {
                    // The rest of the header is no matter of the model.
                    Request::Compact(_) | Request::Lease(_) => {
                        text.split('(').next().unwrap_or_default().to_owned()
                    }
                    _ => text,
                };
                let said = short(bench.say(req.clone()));
                prop_assert_eq!(said, short(model.say(&req)), "{:?}", req);
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
                bench
                    .step(squall_api::Input::Lane(squall_api::LaneMsg::Install(
                        snapshot,
                    )))
                    .unwrap();
                bench.index = index;
                prop_assert_eq!(bench.hash(0).unwrap().hash, hash);
            }
            Step::MoveBySnapshot => {}
            Step::Defragment => {
                let hash = bench.hash(0).unwrap();
                let request = MaintenanceRequest::Defragment(pb::DefragmentRequest {});
                bench.call(Request::Maintenance(request)).unwrap();
                prop_assert_eq!(bench.hash(0).unwrap(), hash);
            }
        }
    }
    // A replica, where nobody waits for the answers, comes to the same state.
    let mut replica = Bench::new();
    for data in log.into_iter().chain(std::mem::take(&mut bench.log)) {
        replica.commit(data).unwrap();
    }
    prop_assert_eq!(replica.hash(0).unwrap().hash, bench.hash(0).unwrap().hash);
    prop_assert_eq!(replica.revision(), model.revision());

    let everything = pb::RangeRequest {
        range_end: bytes("\0"),
        ..super::bench::get("\0", "")
    };
    for revision in 1..=model.revision() {
        let req = Request::Range(pb::RangeRequest {
            revision,
            ..everything.clone()
        });
        prop_assert_eq!(bench.say(req.clone()), model.say(&req));
    }
    Ok(())
}

fn config_of(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: prop::test_runner::RngSeed::Fixed(1),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config_of(128))]

    #[test]
    fn every_answer_is_the_models(steps in vec(step(), 1..50)) {
        follows_the_model(steps)?;
    }
}

proptest! {
    #![proptest_config(config_of(100_000))]

    /// The longer run: see CONTRIBUTING.md.
    #[test]
    #[ignore = "takes minutes"]
    fn every_answer_is_the_models_in_100_000_sequences(steps in vec(step(), 1..50)) {
        follows_the_model(steps)?;
    }
}
