//! The store's state for replaying long histories: it compares answers where
//! they lie instead of building its own, and goes back to any earlier revision.
//!
//! Common calls are handled here; for the rest, and for saying what is wrong
//! with an answer, the specification is asked about the few keys in question.

use super::agree::{Difference, agree};
use super::keys::Keys;
use super::model::{self, FIRST_REVISION, Refusal, State, holds};
use super::versions::{Version, Versions};
use bytes::Bytes;
use squall_api::pb::{self, KeyValue};
use squall_record::{Call, Ret};
use std::ops::Range;

use pb::compare::CompareTarget;
use pb::range_request::{SortOrder, SortTarget};
use pb::request_op::Request as SubRequest;
use pb::response_op::Response as SubResponse;

/// Every version of every key that may be written.
#[derive(Debug)]
pub(crate) struct Mvcc<'k, 'a> {
    keys: &'k Keys<'a>,
    revision: i64,
    versions: Versions<'a>,
    /// The operation that is being answered.
    op: u32,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not what the specification says.
    Wrong(Box<Difference>),
    /// There should have been none.
    Refused(Refusal),
}

/// That the quick way cannot say yes: the specification must be asked.
struct Unsettled;

type Quick<T = ()> = Result<T, Unsettled>;

fn require(holds: bool) -> Quick {
    if holds { Ok(()) } else { Err(Unsettled) }
}

impl<'k, 'a> Mvcc<'k, 'a> {
    /// A store into which nothing was written.
    pub(crate) fn new(keys: &'k Keys<'a>) -> Mvcc<'k, 'a> {
        Mvcc {
            keys,
            revision: FIRST_REVISION,
            versions: Versions::new(keys.len()),
            op: 0,
        }
    }

    /// The current revision.
    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// A mark to go back to with [`Mvcc::rewind`].
    pub(crate) fn mark(&self) -> (i64, usize) {
        (self.revision, self.versions.len())
    }

    /// Goes back to a mark.
    pub(crate) fn rewind(&mut self, (revision, writes): (i64, usize)) {
        self.revision = revision;
        self.versions.truncate(writes);
    }

    /// Keys written since a mark, with their newest versions.
    pub(crate) fn since(
        &self,
        (_, writes): (i64, usize),
    ) -> impl Iterator<Item = (u32, Version<'a>)> {
        self.versions.since(writes)
    }

    /// Has the effect of an operation's call, whatever its answer; whether it has
    /// one.
    pub(crate) fn apply(&mut self, op: u32, call: &'a Call) -> Result<bool, Refusal> {
        self.op = op;
        let mark = self.mark();
        let quick = self.quick(call, None);
        self.finish(mark, call, quick)
    }

    /// Has the effect of an operation's call if its answer is the right one. Otherwise nothing
    /// happens.
    pub(crate) fn judge(&mut self, op: u32, call: &'a Call, got: &'a Ret) -> Result<(), Fault> {
        self.op = op;
        let mark = self.mark();
        if let Ok(wrote) = self.quick(call, Some(got)) {
            let revision = mark.0 + i64::from(wrote);
            if got.header().is_some_and(|h| h.revision == revision) {
                self.revision = revision;
                return Ok(());
            }
        }
        self.rewind(mark);
        let mut sample = self.sample(call);
        let expected = sample.answer(call).map_err(Fault::Refused)?;
        agree(call, &expected, got).map_err(|d| Fault::Wrong(Box::new(d)))?;
        self.adopt(&sample, call);
        Ok(())
    }

    fn finish(
        &mut self,
        mark: (i64, usize),
        call: &'a Call,
        quick: Quick<bool>,
    ) -> Result<bool, Refusal> {
        match quick {
            Ok(wrote) => self.revision = mark.0 + i64::from(wrote),
            Err(Unsettled) => {
                self.rewind(mark);
                let mut sample = self.sample(call);
                sample.answer(call)?;
                self.adopt(&sample, call);
            }
        }
        Ok(self.revision > mark.0)
    }

    /// Takes over what a call did to a sample of this state.
    fn adopt(&mut self, sample: &State, call: &'a Call) {
        for kv in sample.newest() {
            let key = self
                .keys
                .find(&kv.key)
                .expect("whoever writes a key was numbered");
            let value = match kv.value.is_empty() {
                true => &[][..],
                false => self
                    .value_of(call, kv)
                    .expect("a value comes from the call, or was there before"),
            };
            self.push(
                key,
                Version {
                    mod_revision: kv.mod_revision,
                    create_revision: kv.create_revision,
                    version: kv.version,
                    lease: kv.lease,
                    value,
                },
            );
        }
        self.revision = sample.revision();
    }

    /// The bytes of a value that a call wrote: they live as long as the history.
    fn value_of(&self, call: &'a Call, kv: &KeyValue) -> Option<&'a [u8]> {
        let mut found = None;
        visit_puts(call, &mut |put| {
            if put.key == kv.key && put.value == kv.value {
                found = Some(&put.value[..]);
            }
        });
        let key = self.keys.find(&kv.key)?;
        found.or_else(|| self.versions.last(key).map(|v| v.value))
    }

    /// The part of this state that a call can see, as the specification has it.
    fn sample(&self, call: &Call) -> State {
        let mut seen = Seen::default();
        seen.call(call);
        seen.revisions.push(self.revision);
        seen.revisions.sort_unstable();
        seen.revisions.dedup();
        let mut numbers: Vec<u32> = seen
            .intervals
            .iter()
            .flat_map(|(start, end)| self.keys.interval(start, end))
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut state = State::at_revision(self.revision);
        for key in numbers {
            let mut last = 0;
            for revision in &seen.revisions {
                if let Some(v) = self.versions.at(key, *revision)
                    && v.mod_revision > last
                {
                    last = v.mod_revision;
                    state.insert(KeyValue {
                        key: Bytes::copy_from_slice(self.keys.name(key)),
                        create_revision: v.create_revision,
                        mod_revision: v.mod_revision,
                        version: v.version,
                        value: Bytes::copy_from_slice(v.value),
                        lease: v.lease,
                    });
                }
            }
        }
        state
    }

    fn push(&mut self, key: u32, version: Version<'a>) {
        self.versions.push(key, version);
    }

    /// Whether a key is there now.
    pub(crate) fn is_there(&self, key: u32) -> bool {
        self.alive(key).is_some()
    }

    /// A key that is there now.
    fn alive(&self, key: u32) -> Option<&Version<'a>> {
        self.versions.last(key).filter(|v| v.version > 0)
    }

    /// A key that was there at a revision.
    fn alive_at(&self, key: u32, revision: i64) -> Option<&Version<'a>> {
        self.versions.at(key, revision).filter(|v| v.version > 0)
    }

    /// Answers a call, comparing with `got` if there is one; whether it wrote.
    fn quick(&mut self, call: &'a Call, got: Option<&'a Ret>) -> Quick<bool> {
        let writes = self.versions.len();
        match (call, got) {
            (Call::Range(r), None) => {
                require(r.revision <= self.revision)?;
            }
            (Call::Range(r), Some(Ret::Range(got))) => {
                require(r.revision <= self.revision)?;
                self.range(r, got)?;
            }
            (Call::Put(r), None) => self.put(r, None)?,
            (Call::Put(r), Some(Ret::Put(got))) => self.put(r, Some(got))?,
            (Call::DeleteRange(r), None) => self.delete_range(r, None)?,
            (Call::DeleteRange(r), Some(Ret::DeleteRange(got))) => {
                self.delete_range(r, Some(got))?;
            }
            (Call::Txn(r), None) => self.txn(r, None)?,
            (Call::Txn(r), Some(Ret::Txn(got))) => self.txn(r, Some(got))?,
            _ => return Err(Unsettled),
        }
        Ok(self.versions.len() > writes)
    }

    fn range(&self, r: &pb::RangeRequest, got: &pb::RangeResponse) -> Quick {
        let plain = r.sort_order() == SortOrder::None
            && r.sort_target() == SortTarget::Key
            && !model::has_filters(r);
        require(plain)?;
        let now = r.revision <= 0;
        let mut count = 0;
        let mut shown = got.kvs.iter();
        for key in self.keys.interval_of(self.op, &r.key, &r.range_end) {
            let version = if now {
                self.alive(key)
            } else {
                self.alive_at(key, r.revision)
            };
            let Some(version) = version else {
                continue;
            };
            count += 1;
            if !r.count_only && (r.limit <= 0 || count <= r.limit) {
                let kv = shown.next().ok_or(Unsettled)?;
                require(kv.key == self.keys.name(key))?;
                let value = if r.keys_only { &[] } else { version.value };
                require(is(version, value, kv))?;
            }
        }
        require(shown.next().is_none())?;
        require(got.count == count)?;
        require(got.more == (!r.count_only && r.limit > 0 && count > r.limit))
    }

    fn put(&mut self, r: &'a pb::PutRequest, got: Option<&pb::PutResponse>) -> Quick {
        let main = self.revision + 1;
        let mut key = self.keys.interval_of(self.op, &r.key, &[]);
        let key = key.next().ok_or(Unsettled)?;
        let before = self.alive(key).copied();
        require(before.is_some() || !(r.ignore_value || r.ignore_lease))?;
        if let Some(got) = got {
            match (&got.prev_kv, &before) {
                (None, _) if !r.prev_kv => {}
                (None, None) => {}
                (Some(kv), Some(before)) if r.prev_kv => {
                    require(kv.key == r.key && is(before, before.value, kv))?;
                }
                _ => return Err(Unsettled),
            }
        }
        let version = match before {
            None => Version {
                mod_revision: main,
                create_revision: main,
                version: 1,
                lease: r.lease,
                value: &r.value,
            },
            Some(before) => Version {
                mod_revision: main,
                create_revision: before.create_revision,
                version: before.version + 1,
                lease: if r.ignore_lease {
                    before.lease
                } else {
                    r.lease
                },
                value: if r.ignore_value {
                    before.value
                } else {
                    &r.value
                },
            },
        };
        self.push(key, version);
        Ok(())
    }

    fn delete_range(
        &mut self,
        r: &'a pb::DeleteRangeRequest,
        got: Option<&pb::DeleteRangeResponse>,
    ) -> Quick {
        let main = self.revision + 1;
        let mut deleted = 0;
        let mut shown = got.map(|got| got.prev_kvs.iter());
        for key in self.keys.interval_of(self.op, &r.key, &r.range_end) {
            let Some(before) = self.alive(key).copied() else {
                continue;
            };
            deleted += 1;
            if let (Some(shown), true) = (&mut shown, r.prev_kv) {
                let kv = shown.next().ok_or(Unsettled)?;
                require(kv.key == self.keys.name(key) && is(&before, before.value, kv))?;
            }
            self.push(
                key,
                Version {
                    mod_revision: main,
                    create_revision: 0,
                    version: 0,
                    lease: 0,
                    value: &[],
                },
            );
        }
        if let (Some(got), Some(mut shown)) = (got, shown) {
            require(got.deleted == deleted && shown.next().is_none())?;
        }
        Ok(())
    }

    fn txn(&mut self, r: &'a pb::TxnRequest, got: Option<&pb::TxnResponse>) -> Quick {
        let succeeded = r
            .compare
            .iter()
            .try_fold(true, |all, c| Ok(all && self.compare(c)?))?;
        let branch = if succeeded { &r.success } else { &r.failure };
        if let Some(got) = got {
            require(got.succeeded == succeeded && got.responses.len() == branch.len())?;
        }
        // Refusals come before effects; the specification knows their order.
        for op in branch {
            match &op.request {
                Some(SubRequest::RequestRange(r)) => require(r.revision <= self.revision)?,
                Some(SubRequest::RequestPut(r)) => require(!r.ignore_value && !r.ignore_lease)?,
                Some(SubRequest::RequestDeleteRange(_)) => {}
                Some(SubRequest::RequestTxn(_)) | None => return Err(Unsettled),
            }
        }
        let writes = self.versions.len();
        for (i, op) in branch.iter().enumerate() {
            let got = match got {
                None => None,
                Some(got) => Some(got.responses[i].response.as_ref().ok_or(Unsettled)?),
            };
            match (op.request.as_ref(), got) {
                (Some(SubRequest::RequestRange(_)), None) => {}
                (Some(SubRequest::RequestRange(r)), Some(SubResponse::ResponseRange(got))) => {
                    self.range(r, got)?;
                }
                (Some(SubRequest::RequestPut(r)), None) => self.put(r, None)?,
                (Some(SubRequest::RequestPut(r)), Some(SubResponse::ResponsePut(got))) => {
                    self.put(r, Some(got))?;
                }
                (Some(SubRequest::RequestDeleteRange(r)), None) => self.delete_range(r, None)?,
                (
                    Some(SubRequest::RequestDeleteRange(r)),
                    Some(SubResponse::ResponseDeleteRange(got)),
                ) => self.delete_range(r, Some(got))?,
                _ => return Err(Unsettled),
            }
            let now = self.revision + i64::from(self.versions.len() > writes);
            if let Some(header) = got.and_then(inner_header) {
                require(header.revision == 0 || header.revision == now)?;
            }
        }
        Ok(())
    }

    fn compare(&self, c: &pb::Compare) -> Quick<bool> {
        let mut any = false;
        for key in self.keys.interval_of(self.op, &c.key, &c.range_end) {
            let Some(v) = self.alive(key) else {
                continue;
            };
            any = true;
            // Only values need the bytes.
            let kv = KeyValue {
                create_revision: v.create_revision,
                mod_revision: v.mod_revision,
                version: v.version,
                lease: v.lease,
                value: match c.target() {
                    CompareTarget::Value => Bytes::copy_from_slice(v.value),
                    _ => Bytes::new(),
                },
                ..KeyValue::default()
            };
            if !holds(c, &kv) {
                return Ok(false);
            }
        }
        Ok(any || c.target() != CompareTarget::Value && holds(c, &KeyValue::default()))
    }
}

fn inner_header(response: &SubResponse) -> Option<&pb::ResponseHeader> {
    match response {
        SubResponse::ResponseRange(r) => r.header.as_ref(),
        SubResponse::ResponsePut(r) => r.header.as_ref(),
        SubResponse::ResponseDeleteRange(r) => r.header.as_ref(),
        SubResponse::ResponseTxn(_) => None,
    }
}

fn is(version: &Version<'_>, value: &[u8], kv: &KeyValue) -> bool {
    kv.mod_revision == version.mod_revision
        && kv.version == version.version
        && kv.create_revision == version.create_revision
        && kv.lease == version.lease
        && kv.value == value
}

/// Calls `f` for every put that a call may make.
pub(crate) fn visit_puts<'a>(call: &'a Call, f: &mut impl FnMut(&'a pb::PutRequest)) {
    fn txn<'a>(r: &'a pb::TxnRequest, f: &mut impl FnMut(&'a pb::PutRequest)) {
        for op in r.success.iter().chain(&r.failure) {
            match &op.request {
                Some(SubRequest::RequestPut(put)) => f(put),
                Some(SubRequest::RequestTxn(nested)) => txn(nested, f),
                Some(SubRequest::RequestRange(_) | SubRequest::RequestDeleteRange(_)) | None => {}
            }
        }
    }
    match call {
        Call::Put(put) => f(put),
        Call::Txn(r) => txn(r, f),
        _ => {}
    }
}

/// What of a state a call can see.
#[derive(Default)]
pub(crate) struct Seen<'c> {
    pub(crate) intervals: Vec<(&'c [u8], &'c [u8])>,
    revisions: Vec<i64>,
}

impl<'c> Seen<'c> {
    /// Adds what a call reads or writes.
    pub(crate) fn call(&mut self, call: &'c Call) {
        match call {
            Call::Range(r) => self.range(r),
            Call::Put(r) => self.intervals.push((&r.key, &[])),
            Call::DeleteRange(r) => self.intervals.push((&r.key, &r.range_end)),
            Call::Txn(r) => self.txn(r),
            _ => {}
        }
    }

    fn range(&mut self, r: &'c pb::RangeRequest) {
        self.intervals.push((&r.key, &r.range_end));
        if r.revision > 0 {
            self.revisions.push(r.revision);
        }
    }

    fn txn(&mut self, txn: &'c pb::TxnRequest) {
        for c in &txn.compare {
            self.intervals.push((&c.key, &c.range_end));
        }
        for op in txn.success.iter().chain(&txn.failure) {
            match &op.request {
                Some(SubRequest::RequestRange(r)) => self.range(r),
                Some(SubRequest::RequestPut(r)) => self.intervals.push((&r.key, &[])),
                Some(SubRequest::RequestDeleteRange(r)) => {
                    self.intervals.push((&r.key, &r.range_end));
                }
                Some(SubRequest::RequestTxn(nested)) => self.txn(nested),
                None => {}
            }
        }
    }

    /// Whether it reads at a given revision.
    pub(crate) fn reads_the_past(&self) -> bool {
        !self.revisions.is_empty()
    }

    /// The numbers of the keys in it.
    pub(crate) fn keys(&self, keys: &Keys<'_>) -> Vec<u32> {
        let mut numbers: Vec<u32> = self
            .intervals
            .iter()
            .flat_map(|(start, end)| -> Range<u32> { keys.interval(start, end) })
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}
