//! Reads out of answers what they prove.

use super::{Demand, Facts, Shown, WIDE};
use crate::store::by_key::ByKey;
use crate::store::keys::Keys;
use squall_api::pb::{self, KeyValue};
use squall_record::{Call, Ret};
use std::ops::Range;

use pb::request_op::Request as SubRequest;
use pb::response_op::Response as SubResponse;

/// A delete that says how many of several keys it found, but not which.
pub(super) struct Counted {
    pub(super) keys: Range<u32>,
    pub(super) at: i64,
    pub(super) deleted: i64,
}

pub(super) struct Collector<'k, 'a> {
    pub(super) facts: Facts<'a>,
    pub(super) keys: &'k Keys<'a>,
    pub(super) counted: Vec<Counted>,
    pub(super) shown: Vec<(u32, Shown)>,
    pub(super) puts: Vec<(u32, i64)>,
    pub(super) deletes: Vec<(u32, i64)>,
    pub(super) found: Vec<(u32, i64)>,
    /// By key: the last revision at which it is shown.
    pub(super) last_shown: Vec<i64>,
    /// By key: the last revision at which it was put.
    pub(super) last_put: Vec<i64>,
    /// The last revision.
    pub(super) last: i64,
    pub(super) op: u32,
    /// The only key that its call names.
    pub(super) asked: Option<&'a [u8]>,
    pub(super) position: u32,
    /// The revision of the state that the operation found ...
    pub(super) before: i64,
    /// ... and left.
    pub(super) main: i64,
    /// Whether the call is a transaction.
    pub(super) in_txn: bool,
    /// Whether it may have changed something already.
    pub(super) changed: bool,
}

impl<'a> Collector<'_, 'a> {
    pub(super) fn finish(self) -> Facts<'a> {
        let keys = self.keys.len();
        let mut facts = self.facts;
        let demanded: Vec<(u32, i64)> = facts
            .demands
            .iter()
            .flat_map(|(revision, list)| list.iter().map(|d| (d.key, *revision)))
            .collect();
        facts.shown = ByKey::new(keys, &self.shown);
        facts.puts = ByKey::new(keys, &self.puts);
        facts.deletes = ByKey::new(keys, &self.deletes);
        facts.found = ByKey::new(keys, &self.found);
        facts.demanded = ByKey::new(keys, &demanded);
        facts.find_needs(keys as u32, &self.counted);
        facts
    }

    pub(super) fn answer(&mut self, call: &'a Call, ret: &'a Ret) {
        match (call, ret) {
            (Call::Range(r), Ret::Range(got)) => self.range(r, got),
            (Call::Put(r), Ret::Put(got)) => self.put(r, got),
            (Call::DeleteRange(r), Ret::DeleteRange(got)) => self.delete_range(r, got),
            (Call::Txn(r), Ret::Txn(got)) => self.txn(r, got),
            _ => {}
        }
    }

    fn range(&mut self, r: &'a pb::RangeRequest, got: &'a pb::RangeResponse) {
        for kv in &got.kvs {
            // A transaction sees its own writes, too; they prove nothing new.
            if kv.mod_revision <= self.before {
                let at = if r.revision > 0 {
                    kv.mod_revision
                } else {
                    self.before
                };
                self.kv(kv, at, !r.keys_only);
            }
        }
        // A whole answer shows, too, which keys are not there.
        let whole = got.kvs.len() as i64 == got.count && r.sort_target == 0 && r.sort_order == 0;
        if whole && r.revision <= 0 && !self.changed {
            self.others_absent(&r.key, &r.range_end, &got.kvs);
        }
    }

    fn put(&mut self, r: &'a pb::PutRequest, got: &'a pb::PutResponse) {
        if let Some(key) = self.keys.interval_of(self.op, &r.key, &[]).next() {
            match &got.prev_kv {
                Some(kv) if kv.mod_revision <= self.before => self.kv(kv, self.before, true),
                None if r.prev_kv && !self.changed => self.absent(key, self.before),
                Some(_) | None => {}
            }
            // Twice in one transaction counts once, for a delete may lie between.
            let last = &mut self.last_put[key as usize];
            if std::mem::replace(last, self.main) != self.main {
                self.puts.push((key, self.main));
            }
        }
    }

    fn delete_range(&mut self, r: &'a pb::DeleteRangeRequest, got: &'a pb::DeleteRangeResponse) {
        for kv in &got.prev_kvs {
            if kv.mod_revision <= self.before {
                self.kv(kv, self.before, true);
            }
        }
        let whole = got.prev_kvs.len() as i64 == got.deleted;
        if whole && !self.changed {
            self.others_absent(&r.key, &r.range_end, &got.prev_kvs);
        }
        if got.deleted == 1 && got.prev_kvs.is_empty() && r.range_end.is_empty() && !self.changed {
            self.found(&r.key);
        }
        let several = !r.range_end.is_empty() && got.prev_kvs.is_empty() && !self.changed;
        if several && got.deleted > 0 {
            let keys = self.keys.interval(&r.key, &r.range_end);
            if keys.len() <= WIDE {
                self.counted.push(Counted {
                    keys,
                    at: self.before,
                    deleted: got.deleted,
                });
            }
        }
        if got.deleted > 0 {
            let keys = self.keys.interval_of(self.op, &r.key, &r.range_end);
            if keys.len() > WIDE {
                self.facts.wide_deletes.push(self.main);
            } else {
                for key in keys {
                    self.deletes.push((key, self.main));
                    // Whatever was there, it is gone now.
                    if !self.in_txn {
                        self.absent(key, self.main);
                    }
                }
            }
        }
    }

    fn txn(&mut self, r: &'a pb::TxnRequest, got: &'a pb::TxnResponse) {
        for compare in &r.compare {
            // If the transaction failed, only a single compare can be the reason.
            if got.succeeded || r.compare.len() == 1 {
                self.compare(compare, got.succeeded);
            }
        }
        let branch = if got.succeeded {
            &r.success
        } else {
            &r.failure
        };
        for (op, got) in branch.iter().zip(&got.responses) {
            self.changed |= matches!(&op.request, Some(SubRequest::RequestTxn(_)));
            match (&op.request, &got.response) {
                (Some(SubRequest::RequestRange(r)), Some(SubResponse::ResponseRange(got))) => {
                    self.range(r, got);
                }
                (Some(SubRequest::RequestPut(r)), Some(SubResponse::ResponsePut(got))) => {
                    self.put(r, got);
                }
                (
                    Some(SubRequest::RequestDeleteRange(r)),
                    Some(SubResponse::ResponseDeleteRange(got)),
                ) => self.delete_range(r, got),
                (Some(SubRequest::RequestTxn(r)), Some(SubResponse::ResponseTxn(got))) => {
                    self.txn(r, got);
                }
                _ => {}
            }
            // What comes after a write may be its own doing.
            self.changed |= !matches!(&op.request, Some(SubRequest::RequestRange(_)));
        }
    }

    /// What the outcome of a compare says about whether its key was there.
    fn compare(&mut self, c: &pb::Compare, held: bool) {
        use pb::compare::{CompareResult, CompareTarget, TargetUnion};
        if !c.range_end.is_empty() {
            return;
        }
        let number = match (&c.target_union, c.target()) {
            (Some(TargetUnion::Version(n)), CompareTarget::Version)
            | (Some(TargetUnion::CreateRevision(n)), CompareTarget::Create)
            | (Some(TargetUnion::ModRevision(n)), CompareTarget::Mod) => *n,
            (_, CompareTarget::Value) if held => return self.found(&c.key),
            _ => return,
        };
        // All three are 0 for a key that is not there, and only then.
        match (c.result(), number, held) {
            (CompareResult::Equal, 0, true)
            | (CompareResult::NotEqual | CompareResult::Greater, 0, false) => {
                if let Some(key) = self.keys.find(&c.key) {
                    self.absent(key, self.before);
                }
            }
            (CompareResult::Equal, 0, false)
            | (CompareResult::NotEqual | CompareResult::Greater, 0, true) => self.found(&c.key),
            (CompareResult::Equal | CompareResult::Greater, 1.., true) => self.found(&c.key),
            _ => {}
        }
    }

    fn found(&mut self, key: &[u8]) {
        if let Some(key) = self.keys.find(key) {
            self.found.push((key, self.before));
        }
    }

    fn kv(&mut self, kv: &'a KeyValue, at: i64, full: bool) {
        let Some(key) = self.number(&kv.key) else {
            self.facts.phantom.get_or_insert((self.op, kv));
            return;
        };
        self.show(
            key,
            Shown {
                at,
                mod_revision: kv.mod_revision,
                create_revision: kv.create_revision,
                version: kv.version,
                full,
                position: self.position,
            },
        );
        let value = full.then_some(&kv.value[..]);
        if !self.facts.unclaimed.is_claimed(kv.mod_revision, self.last) {
            self.demand(kv.mod_revision, key, value, kv);
        }
        if kv.create_revision != kv.mod_revision
            && !self
                .facts
                .unclaimed
                .is_claimed(kv.create_revision, self.last)
        {
            self.demand(kv.create_revision, key, None, kv);
        }
    }

    /// The number of a key that an answer shows, which may not be the one that was
    /// asked for.
    fn number(&self, key: &[u8]) -> Option<u32> {
        if self.asked == Some(key) {
            self.keys.interval_of(self.op, key, &[]).next()
        } else {
            self.keys.find(key)
        }
    }

    fn demand(&mut self, revision: i64, key: u32, value: Option<&'a [u8]>, kv: &'a KeyValue) {
        let op = self.op;
        let demands = self.facts.demands.entry(revision).or_default();
        match demands.iter_mut().find(|d| d.key == key) {
            None => demands.push(Demand { key, value, op, kv }),
            Some(known) if known.value.is_none() && value.is_some() => {
                *known = Demand { key, value, op, kv };
            }
            Some(_) => {}
        }
    }

    /// Every key of an interval that is not shown is absent.
    fn others_absent(&mut self, start: &[u8], range_end: &[u8], shown: &[KeyValue]) {
        let keys = self.keys.interval_of(self.op, start, range_end);
        if keys.len() > WIDE {
            return;
        }
        let mut shown = shown.iter().peekable();
        for key in keys {
            let name = self.keys.name(key);
            while shown.next_if(|kv| kv.key < name).is_some() {}
            if shown.next_if(|kv| kv.key == name).is_none() {
                self.absent(key, self.before);
            }
        }
    }

    fn absent(&mut self, key: u32, at: i64) {
        let shown = Shown {
            at,
            mod_revision: 0,
            create_revision: 0,
            version: 0,
            full: true,
            position: self.position,
        };
        self.show(key, shown);
    }

    /// Reads of the past come out of order, and are left to the replay.
    fn show(&mut self, key: u32, shown: Shown) {
        let last = &mut self.last_shown[key as usize];
        if *last <= shown.at {
            *last = shown.at;
            self.shown.push((key, shown));
        }
    }
}
