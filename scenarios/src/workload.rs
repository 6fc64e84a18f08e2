//! The workload generator: what each client asks for, and when.
//!
//! Operation `n` of a client is a function of the seed, the client, `n`, and
//! of what the client has seen so far. Values are never written twice, so that
//! a value that is read names the operation that wrote it.

use crate::draw::Draw;
use crate::format::{Between, Mix, Size, Skew, Workload};
use bytes::Bytes;
use squall_api::pb::compare::{CompareResult, CompareTarget, TargetUnion};
use squall_api::pb::range_request::{SortOrder, SortTarget};
use squall_api::pb::request_op::Request as OpRequest;
use squall_api::pb::response_op::Response as OpResponse;
use squall_api::pb::{self, Compare, RequestOp, TxnRequest};
use squall_record::{Call, Outcome, Ret};
use std::collections::BTreeMap;

/// What one client last learned about each key: the ground for its compares.
///
/// Answers that say nothing new about a key, and serializable ones, which may
/// be old, teach nothing.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    keys: BTreeMap<Bytes, Seen>,
    lessons: u64,
    /// The highest revision that any answer named.
    newest: i64,
}

/// A key as one client last saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// The revision of its last change; 0 if the key was not there.
    mod_revision: i64,
    /// Its value, if it was there.
    value: Option<Bytes>,
    /// Orders what was learned: the larger, the later.
    lesson: u64,
}

impl Observed {
    /// Learns from the outcome of one of the client's operations.
    pub fn learn(&mut self, call: &Call, outcome: &Outcome) {
        let Outcome::Ok(ret) = outcome else { return };
        let revision = ret.header().map_or(0, |header| header.revision);
        self.newest = self.newest.max(revision);
        match (call, ret) {
            (Call::Range(request), Ret::Range(answer)) => self.learn_range(request, answer),
            (Call::Put(request), Ret::Put(_)) => self.learn_put(request, revision),
            (Call::DeleteRange(request), Ret::DeleteRange(_)) => self.learn_delete(request),
            (Call::Txn(request), Ret::Txn(answer)) => self.learn_txn(request, answer, revision),
            _ => {}
        }
    }

    fn learn_range(&mut self, request: &pb::RangeRequest, answer: &pb::RangeResponse) {
        if request.serializable || request.revision > 0 || request.keys_only {
            return;
        }
        self.forget(&request.key, &request.range_end);
        for kv in &answer.kvs {
            self.see(&kv.key, kv.mod_revision, Some(kv.value.clone()));
        }
        if request.range_end.is_empty() && answer.kvs.is_empty() {
            self.see(&request.key, 0, None);
        }
    }

    fn learn_put(&mut self, request: &pb::PutRequest, revision: i64) {
        self.see(&request.key, revision, Some(request.value.clone()));
    }

    fn learn_delete(&mut self, request: &pb::DeleteRangeRequest) {
        self.forget(&request.key, &request.range_end);
        if request.range_end.is_empty() {
            self.see(&request.key, 0, None);
        }
    }

    fn learn_txn(&mut self, request: &TxnRequest, answer: &pb::TxnResponse, revision: i64) {
        let branch = if answer.succeeded {
            &request.success
        } else {
            &request.failure
        };
        for (op, answer) in branch.iter().zip(&answer.responses) {
            match (&op.request, &answer.response) {
                (Some(OpRequest::RequestRange(r)), Some(OpResponse::ResponseRange(a))) => {
                    self.learn_range(r, a);
                }
                (Some(OpRequest::RequestPut(r)), Some(OpResponse::ResponsePut(_))) => {
                    self.learn_put(r, revision);
                }
                (
                    Some(OpRequest::RequestDeleteRange(r)),
                    Some(OpResponse::ResponseDeleteRange(_)),
                ) => self.learn_delete(r),
                (Some(OpRequest::RequestTxn(r)), Some(OpResponse::ResponseTxn(a))) => {
                    self.learn_txn(r, a, revision);
                }
                _ => {}
            }
        }
    }

    /// Learns what a key of the clients' own is; those of locks, elections and
    /// sessions are not theirs to change.
    fn see(&mut self, key: &Bytes, mod_revision: i64, value: Option<Bytes>) {
        if !key.starts_with(b"k") {
            return;
        }
        self.lessons += 1;
        let seen = Seen {
            mod_revision,
            value,
            lesson: self.lessons,
        };
        self.keys.insert(key.clone(), seen);
    }

    /// Forgets what an operation over `[key, range_end)` made uncertain.
    fn forget(&mut self, key: &Bytes, range_end: &Bytes) {
        if range_end.is_empty() {
            self.keys.remove(key);
        } else {
            self.keys.retain(|k, _| k < key || k >= range_end);
        }
    }

    /// The key that was learned about last: the one that has probably not
    /// changed since.
    fn freshest(&self) -> Option<&Bytes> {
        let freshest = self.keys.iter().max_by_key(|(_, seen)| seen.lesson)?;
        Some(freshest.0)
    }
}

/// The operations of one client, one after the other.
#[derive(Debug, Clone)]
pub struct Generator {
    seed: u64,
    client: u32,
    mix: Mix,
    value_size: Between<Size>,
    /// Mean nanoseconds between two operations of this client.
    gap_mean: f64,
    keys: KeySpace,
    operations: u64,
    gaps: u64,
}

impl Generator {
    /// The operations that `seed` draws for client number `client`.
    pub fn new(workload: &Workload, seed: u64, client: u32) -> Generator {
        Generator {
            seed,
            client,
            mix: workload.mix,
            value_size: workload.value_size,
            gap_mean: f64::from(workload.clients) / workload.rate * 1e9,
            keys: KeySpace::new(workload.keys.count, workload.keys.skew),
            operations: 0,
            gaps: 0,
        }
    }

    /// Nanoseconds from the client's previous operation to its next one, from
    /// invocation to invocation, with exponential spread: all clients together
    /// make `rate` operations per second.
    pub fn gap(&mut self) -> u64 {
        let mut draw = Draw::keyed(self.seed, "gap", self.client.into(), self.gaps);
        self.gaps += 1;
        draw.exponential(self.gap_mean) as u64
    }

    /// The client's next operation.
    pub fn next(&mut self, observed: &Observed) -> Call {
        let operation = self.operations;
        self.operations += 1;
        let mut op = Operation {
            draw: Draw::keyed(self.seed, "workload", self.client.into(), operation),
            keys: &self.keys,
            observed,
            value_size: self.value_size,
            name: format!("c{}.{operation}", self.client),
            values: 0,
        };
        op.call(&self.mix)
    }
}

/// One operation while it is being drawn.
struct Operation<'a> {
    draw: Draw,
    keys: &'a KeySpace,
    observed: &'a Observed,
    value_size: Between<Size>,
    /// Unique in the run: the stem of the values that this operation writes.
    name: String,
    values: u32,
}

impl Operation<'_> {
    fn call(&mut self, mix: &Mix) -> Call {
        let Mix {
            put,
            get,
            cas,
            txn,
            delete,
            delete_range,
            range,
            serializable_get,
            past_get,
            varied,
        } = *mix;
        type Make<'a> = fn(&mut Operation<'a>) -> Call;
        let choices: [(u32, Make<'_>); 10] = [
            (put, |op| {
                let key = op.any_key();
                Call::Put(op.put(key))
            }),
            (get, |op| Call::Range(get_request(op.any_key(), false))),
            (cas, |op| Call::Txn(op.cas())),
            (txn, |op| Call::Txn(op.txn())),
            (delete, |op| Call::DeleteRange(delete_request(op.any_key()))),
            (delete_range, |op| Call::DeleteRange(op.delete_range())),
            (range, |op| Call::Range(op.range())),
            (serializable_get, |op| {
                Call::Range(get_request(op.any_key(), true))
            }),
            (past_get, Operation::past),
            (varied, Operation::varied),
        ];
        let total: u64 = choices.iter().map(|(weight, _)| u64::from(*weight)).sum();
        let mut at = self.draw.below(total);
        for (weight, make) in choices {
            match at.checked_sub(weight.into()) {
                Some(rest) => at = rest,
                None => return make(self),
            }
        }
        unreachable!("a draw below {total} falls into one of {mix:?}")
    }

    fn any_key(&mut self) -> Bytes {
        self.keys.draw(&mut self.draw)
    }

    /// A key that this client has just seen, as often as not.
    fn known_key(&mut self) -> Bytes {
        match self.observed.freshest() {
            Some(key) if !self.draw.one_in(3) => key.clone(),
            _ => self.any_key(),
        }
    }

    fn put(&mut self, key: Bytes) -> pb::PutRequest {
        pb::PutRequest {
            key,
            value: self.value(),
            ..Default::default()
        }
    }

    /// A value that nobody else writes: `c3.17`, and `c3.17/1` for the second
    /// one of the same operation; filled with dots to the drawn size.
    fn value(&mut self) -> Bytes {
        let mut value = self.name.clone();
        if self.values > 0 {
            value.push_str(&format!("/{}", self.values));
        }
        self.values += 1;
        let Between { min, max } = self.value_size;
        let size = self.draw.between(min.bytes(), max.bytes()) as usize;
        while value.len() < size {
            value.push('.');
        }
        Bytes::from(value)
    }

    /// A read at a revision close to the newest one that this client knows of:
    /// mostly older, and now and then one that may not exist yet. Some come
    /// behind a put in one transaction, of which nothing may be left when the
    /// read is refused.
    fn past(&mut self) -> Call {
        let newest = self.observed.newest;
        let revision = match self.draw.below(8) {
            0 => newest + 1 + self.draw.below(3) as i64,
            _ => (newest - self.draw.below(40) as i64).max(1),
        };
        let read = pb::RangeRequest {
            revision,
            ..get_request(self.any_key(), false)
        };
        if !self.draw.one_in(4) {
            return Call::Range(read);
        }
        let key = self.any_key();
        Call::Txn(TxnRequest {
            success: vec![put_op(self.put(key)), op(OpRequest::RequestRange(read))],
            ..TxnRequest::default()
        })
    }

    /// What few clients ask for: options of ranges, puts and transactions, drawn
    /// from all that the API has.
    fn varied(&mut self) -> Call {
        match self.draw.below(4) {
            0 => Call::Put(self.put_with_options()),
            1 => {
                let (first, second) = (self.put_with_options(), self.range_with_options());
                let compare = self.compare_range();
                Call::Txn(TxnRequest {
                    compare: vec![compare],
                    success: vec![put_op(first), op(OpRequest::RequestRange(second))],
                    failure: vec![op(OpRequest::RequestDeleteRange(self.delete_range()))],
                })
            }
            _ => Call::Range(self.range_with_options()),
        }
    }

    fn put_with_options(&mut self) -> pb::PutRequest {
        let key = self.known_key();
        let ignore_value = self.draw.one_in(4);
        pb::PutRequest {
            // etcd refuses a value beside the wish to keep the old one.
            value: if ignore_value {
                Bytes::new()
            } else {
                self.value()
            },
            key,
            ignore_value,
            prev_kv: self.draw.one_in(2),
            ..pb::PutRequest::default()
        }
    }

    fn range_with_options(&mut self) -> pb::RangeRequest {
        const ORDERS: [SortOrder; 3] = [SortOrder::None, SortOrder::Ascend, SortOrder::Descend];
        const TARGETS: [SortTarget; 5] = [
            SortTarget::Key,
            SortTarget::Version,
            SortTarget::Create,
            SortTarget::Mod,
            SortTarget::Value,
        ];
        let newest = self.observed.newest;
        let mut request = self.range();
        if self.draw.one_in(3) {
            // All keys from this one on.
            request.range_end = Bytes::from_static(b"\0");
        }
        if self.draw.one_in(2) {
            request.limit = 1 + self.draw.below(4) as i64;
        }
        request.sort_order = ORDERS[self.draw.below(3) as usize].into();
        request.sort_target = TARGETS[self.draw.below(5) as usize].into();
        request.keys_only = self.draw.one_in(5);
        request.count_only = self.draw.one_in(8);
        let filter = |draw: &mut Draw| match draw.one_in(6) {
            true => (newest - draw.below(30) as i64).max(1),
            false => 0,
        };
        request.min_mod_revision = filter(&mut self.draw);
        request.max_mod_revision = filter(&mut self.draw);
        request.min_create_revision = filter(&mut self.draw);
        request.max_create_revision = filter(&mut self.draw);
        request
    }

    /// A compare over several keys at once: that they all are old enough.
    fn compare_range(&mut self) -> Compare {
        let (key, range_end) = self.sub_range();
        let (target, union) = match self.draw.below(3) {
            0 => (
                CompareTarget::Mod,
                TargetUnion::ModRevision(self.observed.newest),
            ),
            1 => (CompareTarget::Version, TargetUnion::Version(5)),
            // Keys that are not there have no value, not even an empty one.
            _ => (CompareTarget::Value, TargetUnion::Value(Bytes::from("d"))),
        };
        Compare {
            result: CompareResult::Less.into(),
            target: target.into(),
            key,
            range_end,
            target_union: Some(union),
        }
    }

    /// Puts if the key is as last seen, and reads it if not.
    fn cas(&mut self) -> TxnRequest {
        let key = self.known_key();
        TxnRequest {
            compare: vec![self.compare(&key)],
            success: vec![put_op(self.put(key.clone()))],
            failure: vec![get_op(key)],
        }
    }

    /// Several operations over two or three keys; no branch names a key twice,
    /// because etcd refuses two puts of one key.
    fn txn(&mut self) -> TxnRequest {
        let keys = self.distinct_keys();
        let mut compare = vec![self.compare(&keys[0])];
        if keys.len() > 1 && self.draw.one_in(4) {
            compare.push(self.compare(&keys[1]));
        }
        let nested = keys.len() > 1 && self.draw.one_in(5);
        let (last, plain) = keys.split_last().expect("a transaction has a key");
        let mut success = vec![];
        for (i, key) in plain.iter().enumerate() {
            success.push(if i == 0 {
                put_op(self.put(key.clone()))
            } else {
                self.any_op(key.clone())
            });
        }
        success.push(if nested {
            let inner = TxnRequest {
                compare: vec![self.compare(last)],
                success: vec![put_op(self.put(last.clone()))],
                failure: vec![self.any_op(last.clone())],
            };
            op(OpRequest::RequestTxn(inner))
        } else {
            self.any_op(last.clone())
        });
        let mut failure: Vec<_> = keys.iter().cloned().map(get_op).collect();
        if self.draw.one_in(4) {
            failure[0] = put_op(self.put(keys[0].clone()));
        }
        TxnRequest {
            compare,
            success,
            failure,
        }
    }

    fn any_op(&mut self, key: Bytes) -> RequestOp {
        match self.draw.below(4) {
            0 | 1 => put_op(self.put(key)),
            2 => get_op(key),
            _ => op(OpRequest::RequestDeleteRange(delete_request(key))),
        }
    }

    /// Two or three different keys (fewer, if there are no more), a known one
    /// first.
    fn distinct_keys(&mut self) -> Vec<Bytes> {
        let n = (2 + self.draw.below(2) as usize).min(self.keys.sorted.len());
        let mut keys = vec![self.known_key()];
        while keys.len() < n {
            let key = self.any_key();
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    /// A compare that holds if the key is as this client last saw it.
    fn compare(&mut self, key: &Bytes) -> Compare {
        let seen = self.observed.keys.get(key);
        let revision = seen.map_or(0, |seen| seen.mod_revision);
        let value = seen.and_then(|seen| seen.value.clone());
        let (result, target, union) = match (self.draw.below(8), value) {
            (0 | 1, Some(value)) => (
                CompareResult::Equal,
                CompareTarget::Value,
                TargetUnion::Value(value),
            ),
            (2, _) => (
                CompareResult::Less,
                CompareTarget::Mod,
                TargetUnion::ModRevision(revision + 1),
            ),
            // A create revision or a version of 0: the key is not there.
            (3, value) => (
                equal_if(value.is_none()),
                CompareTarget::Create,
                TargetUnion::CreateRevision(0),
            ),
            (4, value) => (
                equal_if(value.is_none()),
                CompareTarget::Version,
                TargetUnion::Version(0),
            ),
            _ => (
                CompareResult::Equal,
                CompareTarget::Mod,
                TargetUnion::ModRevision(revision),
            ),
        };
        Compare {
            result: result.into(),
            target: target.into(),
            key: key.clone(),
            range_end: Bytes::new(),
            target_union: Some(union),
        }
    }

    fn delete_range(&mut self) -> pb::DeleteRangeRequest {
        let (key, range_end) = self.sub_range();
        pb::DeleteRangeRequest {
            key,
            range_end,
            prev_kv: self.draw.one_in(2),
        }
    }

    /// All keys, or a few neighbours.
    fn range(&mut self) -> pb::RangeRequest {
        let (key, range_end) = if self.draw.one_in(2) {
            (Bytes::from_static(b"k"), Bytes::from_static(b"l"))
        } else {
            self.sub_range()
        };
        pb::RangeRequest {
            key,
            range_end,
            ..Default::default()
        }
    }

    /// Two or three keys that are neighbours in the store.
    fn sub_range(&mut self) -> (Bytes, Bytes) {
        let sorted = &self.keys.sorted;
        let first = self.draw.below(sorted.len() as u64) as usize;
        let end = first + 2 + self.draw.below(2) as usize;
        let end = sorted
            .get(end)
            .map_or_else(|| Bytes::from("l"), Bytes::clone);
        (sorted[first].clone(), end)
    }
}

fn equal_if(equal: bool) -> CompareResult {
    if equal {
        CompareResult::Equal
    } else {
        CompareResult::NotEqual
    }
}

fn get_request(key: Bytes, serializable: bool) -> pb::RangeRequest {
    pb::RangeRequest {
        key,
        serializable,
        ..Default::default()
    }
}

fn delete_request(key: Bytes) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest {
        key,
        ..Default::default()
    }
}

fn op(request: OpRequest) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

fn get_op(key: Bytes) -> RequestOp {
    op(OpRequest::RequestRange(get_request(key, false)))
}

fn put_op(request: pb::PutRequest) -> RequestOp {
    op(OpRequest::RequestPut(request))
}

/// The keys `k0`, `k1`, ... and how often each is drawn.
#[derive(Debug, Clone)]
struct KeySpace {
    /// By number.
    keys: Vec<Bytes>,
    /// As the store sorts them.
    sorted: Vec<Bytes>,
    /// The weight of each key and of all before it.
    cumulative: Vec<f64>,
}

impl KeySpace {
    fn new(count: u32, skew: Skew) -> KeySpace {
        let keys: Vec<Bytes> = (0..count).map(|i| Bytes::from(format!("k{i}"))).collect();
        let mut sorted = keys.clone();
        sorted.sort();
        let mut total = 0.0;
        let weight = |i: u32| match skew {
            Skew::Uniform => 1.0,
            // libm, not std: std's power differs between platforms.
            Skew::Zipf(s) => libm::pow(f64::from(i + 1), -s),
        };
        let cumulative = (0..count)
            .map(|i| {
                total += weight(i);
                total
            })
            .collect();
        KeySpace {
            keys,
            sorted,
            cumulative,
        }
    }

    fn draw(&self, draw: &mut Draw) -> Bytes {
        let total = self.cumulative.last().expect("a workload has a key");
        let at = draw.unit() * total;
        let i = self.cumulative.partition_point(|upto| *upto <= at);
        self.keys[i.min(self.keys.len() - 1)].clone()
    }
}
