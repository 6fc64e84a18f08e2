//! The store's sequential specification: what etcd answers to one call after
//! another.
//!
//! Written for being read, not for speed: the fast paths are compared with it,
//! and whatever they decide is checked against it.

use bytes::Bytes;
use squall_api::pb::{self, KeyValue, ResponseHeader};
use squall_record::{Call, Ret};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::Xxh3;

use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::range_request::{SortOrder, SortTarget};
use pb::request_op::Request as SubRequest;
use pb::response_op::Response as SubResponse;

/// The revision of a store into which nothing was ever written.
pub(crate) const FIRST_REVISION: i64 = 1;

/// Every version of every key. A version of 0 is a tombstone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    revision: i64,
    versions: BTreeMap<Bytes, Vec<KeyValue>>,
    /// The keys that the current revision wrote.
    newest: BTreeSet<Bytes>,
}

/// Why the store would have refused a call; a refused call has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A read above the current revision.
    FutureRevision,
    /// A put that keeps the value or the lease of a key that is not there.
    KeyNotFound,
    /// An operation of a transaction that says nothing.
    Malformed,
    /// A call that is not judged: it does not belong to the key-value service.
    NotKv,
}

impl Refusal {
    /// The refusal as part of a sentence.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Refusal::FutureRevision => "it reads at a revision that did not exist yet",
            Refusal::KeyNotFound => "it keeps the value or lease of a key that did not exist",
            Refusal::Malformed => "its transaction holds an empty operation",
            Refusal::NotKv => "it is no key-value call",
        }
    }
}

impl Default for State {
    fn default() -> State {
        State::at_revision(FIRST_REVISION)
    }
}

impl State {
    /// The current revision.
    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// Answers a call, and has its effect. A refused call leaves no trace.
    pub(crate) fn answer(&mut self, call: &Call) -> Result<Ret, Refusal> {
        let mut txn = Running {
            main: self.revision + 1,
            written: BTreeSet::new(),
            state: self,
        };
        let answered = match call {
            Call::Range(r) => txn.range(r).map(Ret::Range),
            Call::Put(r) => txn.put(r).map(Ret::Put),
            Call::DeleteRange(r) => Ok(Ret::DeleteRange(txn.delete_range(r))),
            Call::Txn(r) => {
                let path = txn.state.path(r);
                txn.state
                    .check(r, &mut path.iter().copied())
                    .and_then(|()| txn.run(r, &mut path.iter().copied()))
                    .map(Ret::Txn)
            }
            _ => Err(Refusal::NotKv),
        };
        let Running { main, written, .. } = txn;
        let mut ret = match answered {
            Ok(ret) => ret,
            Err(refusal) => {
                self.take_back(&written);
                return Err(refusal);
            }
        };
        if !written.is_empty() {
            self.revision = main;
            self.newest = written;
        }
        let revision = self.revision;
        let header = match &mut ret {
            Ret::Range(r) => &mut r.header,
            Ret::Put(r) => &mut r.header,
            Ret::DeleteRange(r) => &mut r.header,
            Ret::Txn(r) => &mut r.header,
            _ => unreachable!("refused above"),
        };
        *header = Some(at(revision));
        Ok(ret)
    }

    /// A state of a later revision, for [`State::insert`] to fill.
    pub(crate) fn at_revision(revision: i64) -> State {
        State {
            revision,
            versions: BTreeMap::new(),
            newest: BTreeSet::new(),
        }
    }

    /// Adds a version; a key's versions are added in order.
    pub(crate) fn insert(&mut self, kv: KeyValue) {
        self.versions.entry(kv.key.clone()).or_default().push(kv);
    }

    /// Every version that was written at the current revision, in order of keys.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &KeyValue> {
        self.newest.iter().flat_map(|key| {
            let versions = &self.versions[key];
            &versions[versions.partition_point(|kv| kv.mod_revision < self.revision)..]
        })
    }

    /// Equal for equal states, and rarely for others.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(&self.revision.to_le_bytes());
        for kv in self.versions.values().flatten() {
            for number in [kv.mod_revision, kv.version, kv.lease] {
                hash.update(&number.to_le_bytes());
            }
            for bytes in [&kv.key, &kv.value] {
                hash.update(&(bytes.len() as u64).to_le_bytes());
                hash.update(bytes);
            }
        }
        hash.digest()
    }

    /// `key` as it was at a revision, if it was there.
    pub(crate) fn key_at(&self, key: &[u8], revision: i64) -> Option<&KeyValue> {
        self.get(key, revision)
    }

    /// Roughly how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let versions: usize = self.versions.values().map(Vec::len).sum();
        64 + 64 * self.versions.len() + size_of::<KeyValue>() * versions
    }

    /// Takes back what was written after the current revision.
    fn take_back(&mut self, written: &BTreeSet<Bytes>) {
        for key in written {
            if let Entry::Occupied(mut versions) = self.versions.entry(key.clone()) {
                let is_after = |kv: &KeyValue| kv.mod_revision > self.revision;
                while versions.get().last().is_some_and(is_after) {
                    versions.get_mut().pop();
                }
                if versions.get().is_empty() {
                    versions.remove();
                }
            }
        }
    }

    /// `key`'s newest version at `revision`, if it is there.
    fn get(&self, key: &[u8], revision: i64) -> Option<&KeyValue> {
        alive_at(self.versions.get(key)?, revision)
    }

    /// The keys of an interval that are there at `revision`, in key order.
    fn scan<'a>(
        &'a self,
        key: &'a Bytes,
        range_end: &'a Bytes,
        revision: i64,
    ) -> impl Iterator<Item = &'a KeyValue> {
        self.versions
            .range::<[u8], _>((
                std::ops::Bound::Included(&key[..]),
                std::ops::Bound::Unbounded,
            ))
            .take_while(move |(k, _)| within(key, range_end, k))
            .filter_map(move |(_, versions)| alive_at(versions, revision))
    }

    /// Which branch each transaction takes, in the order in which they run. As
    /// in etcd, the compares of nested transactions, too, look at the state
    /// before the outermost one began.
    fn path(&self, txn: &pb::TxnRequest) -> Vec<bool> {
        let mut path = vec![txn.compare.iter().all(|c| self.compare(c))];
        for op in if path[0] { &txn.success } else { &txn.failure } {
            if let Some(SubRequest::RequestTxn(nested)) = &op.request {
                path.extend(self.path(nested));
            }
        }
        path
    }

    fn compare(&self, compare: &pb::Compare) -> bool {
        let mut found = self
            .scan(&compare.key, &compare.range_end, self.revision)
            .peekable();
        if found.peek().is_none() {
            // A missing key has revisions, version and lease 0, but no value.
            return compare.target() != CompareTarget::Value
                && holds(compare, &KeyValue::default());
        }
        found.all(|kv| holds(compare, kv))
    }

    /// Refuses a transaction as a whole before it has any effect.
    fn check(
        &self,
        txn: &pb::TxnRequest,
        path: &mut impl Iterator<Item = bool>,
    ) -> Result<(), Refusal> {
        for op in branch(txn, path) {
            match &op.request {
                Some(SubRequest::RequestRange(r)) if r.revision > self.revision => {
                    return Err(Refusal::FutureRevision);
                }
                Some(SubRequest::RequestPut(r))
                    if (r.ignore_value || r.ignore_lease)
                        && self.get(&r.key, self.revision).is_none() =>
                {
                    return Err(Refusal::KeyNotFound);
                }
                Some(SubRequest::RequestTxn(nested)) => self.check(nested, path)?,
                Some(_) => {}
                None => return Err(Refusal::Malformed),
            }
        }
        Ok(())
    }
}

/// A call on its way through the state.
struct Running<'a> {
    state: &'a mut State,
    /// The revision at which its writes are made.
    main: i64,
    /// The keys that it has written so far.
    written: BTreeSet<Bytes>,
}

impl Running<'_> {
    fn revision(&self) -> i64 {
        match self.written.is_empty() {
            true => self.state.revision,
            false => self.main,
        }
    }

    fn range(&self, r: &pb::RangeRequest) -> Result<pb::RangeResponse, Refusal> {
        if r.revision > self.state.revision {
            return Err(Refusal::FutureRevision);
        }
        let revision = if r.revision > 0 {
            r.revision
        } else {
            self.revision()
        };
        let all = || self.state.scan(&r.key, &r.range_end, revision);
        let count = all().count() as i64;
        let mut kvs = Vec::new();
        if !r.count_only {
            kvs.extend(all().filter(|kv| passes(r, kv)).cloned());
        }
        let pushed_down = limit_is_pushed_down(r);
        if pushed_down {
            kvs.truncate(r.limit as usize + 1);
        }
        sort(r, &mut kvs);
        let more = r.limit > 0 && kvs.len() > r.limit as usize;
        if more {
            kvs.truncate(r.limit as usize);
        }
        if r.keys_only {
            for kv in &mut kvs {
                kv.value.clear();
            }
        }
        Ok(pb::RangeResponse {
            header: Some(at(self.revision())),
            kvs,
            more,
            count,
        })
    }

    fn put(&mut self, r: &pb::PutRequest) -> Result<pb::PutResponse, Refusal> {
        let previous = self.state.get(&r.key, self.main).cloned();
        if (r.ignore_value || r.ignore_lease) && previous.is_none() {
            return Err(Refusal::KeyNotFound);
        }
        let before = previous.clone().unwrap_or_default();
        let exists = previous.is_some();
        self.write(KeyValue {
            key: r.key.clone(),
            create_revision: if exists {
                before.create_revision
            } else {
                self.main
            },
            mod_revision: self.main,
            version: before.version + 1,
            value: if r.ignore_value {
                before.value
            } else {
                r.value.clone()
            },
            lease: if r.ignore_lease {
                before.lease
            } else {
                r.lease
            },
        });
        Ok(pb::PutResponse {
            header: Some(at(self.main)),
            prev_kv: if r.prev_kv { previous } else { None },
        })
    }

    fn delete_range(&mut self, r: &pb::DeleteRangeRequest) -> pb::DeleteRangeResponse {
        let gone: Vec<KeyValue> = self
            .state
            .scan(&r.key, &r.range_end, self.main)
            .cloned()
            .collect();
        for kv in &gone {
            self.write(KeyValue {
                key: kv.key.clone(),
                mod_revision: self.main,
                ..KeyValue::default()
            });
        }
        pb::DeleteRangeResponse {
            header: Some(at(self.revision())),
            deleted: gone.len() as i64,
            prev_kvs: if r.prev_kv { gone } else { Vec::new() },
        }
    }

    fn run(
        &mut self,
        txn: &pb::TxnRequest,
        path: &mut dyn Iterator<Item = bool>,
    ) -> Result<pb::TxnResponse, Refusal> {
        let succeeded = path.next().expect("one branch a transaction");
        let mut responses = Vec::new();
        for op in if succeeded {
            &txn.success
        } else {
            &txn.failure
        } {
            let response = match op.request.as_ref().ok_or(Refusal::Malformed)? {
                SubRequest::RequestRange(r) => SubResponse::ResponseRange(self.range(r)?),
                SubRequest::RequestPut(r) => SubResponse::ResponsePut(self.put(r)?),
                SubRequest::RequestDeleteRange(r) => {
                    SubResponse::ResponseDeleteRange(self.delete_range(r))
                }
                SubRequest::RequestTxn(r) => SubResponse::ResponseTxn(self.run(r, path)?),
            };
            responses.push(pb::ResponseOp {
                response: Some(response),
            });
        }
        Ok(pb::TxnResponse {
            header: None,
            succeeded,
            responses,
        })
    }

    fn write(&mut self, kv: KeyValue) {
        self.written.insert(kv.key.clone());
        self.state
            .versions
            .entry(kv.key.clone())
            .or_default()
            .push(kv);
    }
}

/// Whether `key` lies in etcd's interval: one key if the end is empty, all keys
/// from `start` on if it is a zero byte.
pub(crate) fn within(start: &[u8], range_end: &[u8], key: &[u8]) -> bool {
    match range_end {
        [] => key == start,
        [0] => key >= start,
        end => start <= key && key < end,
    }
}

/// Whether a range passes its limit down to the index, before it sorts.
pub(crate) fn limit_is_pushed_down(r: &pb::RangeRequest) -> bool {
    r.limit > 0 && r.sort_order() == SortOrder::None && !has_filters(r)
}

/// Whether a range filters by revision.
pub(crate) fn has_filters(r: &pb::RangeRequest) -> bool {
    r.min_mod_revision != 0
        || r.max_mod_revision != 0
        || r.min_create_revision != 0
        || r.max_create_revision != 0
}

/// Whether a key passes a range's filters.
fn passes(r: &pb::RangeRequest, kv: &KeyValue) -> bool {
    (r.max_mod_revision == 0 || kv.mod_revision <= r.max_mod_revision)
        && (r.min_mod_revision == 0 || kv.mod_revision >= r.min_mod_revision)
        && (r.max_create_revision == 0 || kv.create_revision <= r.max_create_revision)
        && (r.min_create_revision == 0 || kv.create_revision >= r.min_create_revision)
}

fn sort(r: &pb::RangeRequest, kvs: &mut [KeyValue]) {
    let by = r.sort_target();
    let order = match r.sort_order() {
        SortOrder::None if by == SortTarget::Key => return,
        SortOrder::None => SortOrder::Ascend,
        order => order,
    };
    kvs.sort_by(|a, b| {
        let ascending = in_order_of(by, a, b);
        match order {
            SortOrder::Descend => ascending.reverse(),
            SortOrder::None | SortOrder::Ascend => ascending,
        }
    });
}

/// How two keys compare by a sort target.
pub(crate) fn in_order_of(by: SortTarget, a: &KeyValue, b: &KeyValue) -> std::cmp::Ordering {
    match by {
        SortTarget::Key => a.key.cmp(&b.key),
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => a.value.cmp(&b.value),
    }
}

/// Whether a key satisfies a compare.
pub(crate) fn holds(compare: &pb::Compare, kv: &KeyValue) -> bool {
    let number = match &compare.target_union {
        Some(
            TargetUnion::Version(n)
            | TargetUnion::CreateRevision(n)
            | TargetUnion::ModRevision(n)
            | TargetUnion::Lease(n),
        ) => *n,
        Some(TargetUnion::Value(_)) | None => 0,
    };
    let order = match compare.target() {
        CompareTarget::Version => kv.version.cmp(&number),
        CompareTarget::Create => kv.create_revision.cmp(&number),
        CompareTarget::Mod => kv.mod_revision.cmp(&number),
        CompareTarget::Lease => kv.lease.cmp(&number),
        CompareTarget::Value => match &compare.target_union {
            Some(TargetUnion::Value(value)) => kv.value.cmp(value),
            _ => kv.value[..].cmp(&[]),
        },
    };
    match compare.result() {
        CompareResult::Equal => order.is_eq(),
        CompareResult::NotEqual => order.is_ne(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
    }
}

fn branch<'a>(
    txn: &'a pb::TxnRequest,
    path: &mut impl Iterator<Item = bool>,
) -> &'a [pb::RequestOp] {
    if path.next().expect("one branch a transaction") {
        &txn.success
    } else {
        &txn.failure
    }
}

fn alive_at(versions: &[KeyValue], revision: i64) -> Option<&KeyValue> {
    let newest = versions
        .iter()
        .rev()
        .find(|kv| kv.mod_revision <= revision)?;
    (newest.version > 0).then_some(newest)
}

fn at(revision: i64) -> ResponseHeader {
    ResponseHeader {
        revision,
        ..ResponseHeader::default()
    }
}
