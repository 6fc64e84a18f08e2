//! Operations of unknown outcome: who may have written what.

use super::blame::{Guilty, Lacks};
use crate::store::keys::Keys;
use crate::store::mvcc::visit_puts;
use crate::store::timeline::Timeline;
use squall_api::pb::{RequestOp, TxnRequest, request_op::Request};
use squall_record::Call;
use std::collections::BTreeMap;
use std::ops::Range;

/// Operations of unknown outcome, and the keys that they may write.
pub(super) struct Candidates {
    /// By operation: the keys that it may write.
    pub(super) writes: Vec<Vec<Range<u32>>>,
    /// By operation: the keys that it may delete.
    pub(super) deletes: Vec<Vec<Range<u32>>>,
    /// By operation: what it does, with each outcome of its compares.
    pub(super) effects: Vec<Branches>,
    /// By operation: its class, if there are more of it. Operations of one class
    /// have the same effect.
    pub(super) class: Vec<Option<u32>>,
    /// By key: operations that may put it, by invocation.
    pub(super) putters: BTreeMap<u32, Vec<u32>>,
    /// By key: operations that may delete it alone or with few others, likewise.
    pub(super) removers: BTreeMap<u32, Vec<u32>>,
    /// By key: the first invocation of an operation that may write it.
    pub(super) first: Vec<u64>,
    /// By key: the first invocation of an operation that may delete it.
    pub(super) deleters: Vec<u64>,
}

/// Intervals of more keys are treated as touching all of them.
pub(super) const WIDE: usize = 64;

impl Candidates {
    pub(super) fn new(timeline: &Timeline<'_>, keys: &Keys<'_>) -> Candidates {
        let mut all = Candidates {
            writes: Vec::with_capacity(timeline.unsure.len()),
            deletes: Vec::with_capacity(timeline.unsure.len()),
            effects: Vec::with_capacity(timeline.unsure.len()),
            class: Vec::new(),
            putters: BTreeMap::new(),
            removers: BTreeMap::new(),
            first: vec![u64::MAX; keys.len()],
            deleters: vec![u64::MAX; keys.len()],
        };
        let mut everywhere = u64::MAX;
        for (i, u) in timeline.unsure.iter().enumerate() {
            let call = &timeline.ops[u.op as usize].call;
            let mut writes = Vec::new();
            let mut deletes = Vec::new();
            visit_puts(call, &mut |put| {
                let key = keys.find(&put.key).expect("every put's key is numbered");
                writes.push(key..key + 1);
                let putters = all.putters.entry(key).or_default();
                if putters.last() != Some(&(i as u32)) {
                    putters.push(i as u32);
                }
            });
            visit_deletes(call, &mut |start, end| {
                deletes.push(keys.interval(start, end));
            });
            for range in &deletes {
                if range.len() <= WIDE {
                    for key in range.clone() {
                        let first = &mut all.deleters[key as usize];
                        *first = (*first).min(u.invoke);
                        let removers = all.removers.entry(key).or_default();
                        if removers.last() != Some(&(i as u32)) {
                            removers.push(i as u32);
                        }
                    }
                }
                writes.push(range.clone());
            }
            for range in &writes {
                if range.len() > WIDE {
                    everywhere = everywhere.min(u.invoke);
                } else {
                    for key in range.clone() {
                        let first = &mut all.first[key as usize];
                        *first = (*first).min(u.invoke);
                    }
                }
            }
            all.writes.push(writes);
            all.effects.push(Branches::new(call, keys));
            all.deletes.push(deletes);
        }
        for first in all.first.iter_mut().chain(&mut all.deleters) {
            *first = (*first).min(everywhere);
        }
        all.find_classes(timeline);
        all
    }

    /// Equal puts and equal deletes are one class each; transactions differ in
    /// so many ways that each is its own.
    fn find_classes(&mut self, timeline: &Timeline<'_>) {
        let mut puts = BTreeMap::new();
        let mut deletes = BTreeMap::new();
        self.class = vec![None; timeline.unsure.len()];
        for (i, u) in timeline.unsure.iter().enumerate() {
            let first = match &timeline.ops[u.op as usize].call {
                Call::Put(p) => {
                    let flags = (p.ignore_value, p.ignore_lease);
                    *puts.entry((&p.key, &p.value, p.lease, flags)).or_insert(i)
                }
                Call::DeleteRange(d) => *deletes.entry((&d.key, &d.range_end)).or_insert(i),
                _ => i,
            };
            if first != i {
                self.class[first] = Some(first as u32);
                self.class[i] = Some(first as u32);
            }
        }
    }

    /// Who may put a key (or delete it), by invocation.
    pub(super) fn who(&self, key: u32, put: bool) -> &[u32] {
        let by_key = if put { &self.putters } else { &self.removers };
        by_key.get(&key).map_or(&[], |list| &list[..])
    }

    /// Whether an operation may change the state of a key for the better.
    pub(super) fn may_help(&self, candidate: u32, guilty: &Guilty) -> bool {
        let writes = if guilty.lacks == Lacks::Delete {
            &self.deletes
        } else {
            &self.writes
        };
        writes[candidate as usize]
            .iter()
            .any(|r| r.contains(&guilty.key))
    }

    pub(super) fn may_write(&self, candidate: u32, key: u32) -> bool {
        self.writes[candidate as usize]
            .iter()
            .any(|r| r.contains(&key))
    }
}

/// What an operation does if its compares hold, and if not.
pub(super) struct Branches {
    pub(super) branches: [Effects; 2],
}

impl Branches {
    fn new(call: &Call, keys: &Keys<'_>) -> Branches {
        let mut branches = [Effects::default(), Effects::default()];
        match call {
            Call::Txn(txn) => {
                branches[0].add(&txn.success, keys);
                branches[1].add(&txn.failure, keys);
            }
            Call::Put(put) => branches[0].puts.extend(keys.find(&put.key)),
            Call::DeleteRange(d) => branches[0]
                .deletes
                .push(keys.interval(&d.key, &d.range_end)),
            _ => {}
        }
        Branches { branches }
    }

    /// Whether it is a put or a delete of one key and nothing else.
    pub(super) fn is_single(&self) -> bool {
        let [success, failure] = &self.branches;
        failure.all().next().is_none() && success.all().nth(1).is_none()
    }
}

/// Puts and deletes.
#[derive(Default)]
pub(super) struct Effects {
    puts: Vec<u32>,
    deletes: Vec<Range<u32>>,
}

impl Effects {
    /// What nested transactions may do counts as done.
    fn add(&mut self, ops: &[RequestOp], keys: &Keys<'_>) {
        for op in ops {
            match &op.request {
                Some(Request::RequestPut(put)) => self.puts.extend(keys.find(&put.key)),
                Some(Request::RequestDeleteRange(d)) => {
                    self.deletes.push(keys.interval(&d.key, &d.range_end));
                }
                Some(Request::RequestTxn(nested)) => {
                    self.add(&nested.success, keys);
                    self.add(&nested.failure, keys);
                }
                Some(Request::RequestRange(_)) | None => {}
            }
        }
    }

    /// Keys, and whether each is put, or else deleted if it is there.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, bool)> {
        let deletes = self.deletes.iter().cloned().flatten();
        let puts = self.puts.iter().map(|key| (*key, true));
        puts.chain(deletes.map(|key| (key, false)))
    }
}

fn visit_deletes<'a>(call: &'a Call, f: &mut impl FnMut(&'a [u8], &'a [u8])) {
    fn txn<'a>(r: &'a TxnRequest, f: &mut impl FnMut(&'a [u8], &'a [u8])) {
        for op in r.success.iter().chain(&r.failure) {
            match &op.request {
                Some(Request::RequestDeleteRange(d)) => f(&d.key, &d.range_end),
                Some(Request::RequestTxn(nested)) => txn(nested, f),
                Some(Request::RequestRange(_) | Request::RequestPut(_)) | None => {}
            }
        }
    }
    match call {
        Call::DeleteRange(d) => f(&d.key, &d.range_end),
        Call::Txn(r) => txn(r, f),
        _ => {}
    }
}
