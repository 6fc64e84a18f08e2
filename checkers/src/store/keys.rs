//! The keys that a history may write, numbered in their own order.
//!
//! A key that nobody may write is absent in every state, so it needs no number.

use super::model::within;
use squall_api::pb;
use squall_record::{Call, Op, Outcome};
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64;

use pb::request_op::Request as SubRequest;

/// Numbers for keys, such that a smaller key has a smaller number.
#[derive(Debug)]
pub(crate) struct Keys<'a> {
    sorted: Vec<&'a [u8]>,
    /// Open addressing: number + 1, or 0 for an empty slot.
    table: Vec<u32>,
    mask: usize,
}

impl<'a> Keys<'a> {
    /// The keys of all puts that may have happened.
    pub(crate) fn new(history: &'a [Op]) -> Keys<'a> {
        let mut set = Set::default();
        for op in history {
            if matches!(op.outcome, Outcome::Refused(_)) {
                continue;
            }
            match &op.call {
                Call::Put(put) => set.insert(&put.key),
                Call::Txn(txn) => collect(txn, &mut set),
                Call::Range(_) | Call::DeleteRange(_) | Call::HashKv(_) | Call::Status(_) => {}
            }
        }
        let mut sorted = set.keys;
        sorted.sort_unstable();
        let mut keys = Keys {
            table: vec![0; (sorted.len() * 2).next_power_of_two().max(2)],
            mask: 0,
            sorted,
        };
        keys.mask = keys.table.len() - 1;
        for (i, key) in keys.sorted.iter().enumerate() {
            let mut at = xxh3_64(key) as usize & keys.mask;
            while keys.table[at] != 0 {
                at = (at + 1) & keys.mask;
            }
            keys.table[at] = i as u32 + 1;
        }
        keys
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The key of a number.
    pub(crate) fn name(&self, number: u32) -> &'a [u8] {
        self.sorted[number as usize]
    }

    /// The number of a key, if anybody may write it.
    pub(crate) fn find(&self, key: &[u8]) -> Option<u32> {
        let mut at = xxh3_64(key) as usize & self.mask;
        loop {
            let found = self.table[at].checked_sub(1)?;
            if self.sorted[found as usize] == key {
                return Some(found);
            }
            at = (at + 1) & self.mask;
        }
    }

    /// The numbers of an interval's keys.
    pub(crate) fn interval(&self, start: &[u8], range_end: &[u8]) -> Range<u32> {
        if range_end.is_empty() {
            return self.find(start).map_or(0..0, |k| k..k + 1);
        }
        let from = self.sorted.partition_point(|k| *k < start);
        let inside = |k: &&[u8]| within(start, range_end, k);
        let to = from + self.sorted[from..].partition_point(inside);
        from as u32..to as u32
    }
}

fn collect<'a>(txn: &'a pb::TxnRequest, set: &mut Set<'a>) {
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(SubRequest::RequestPut(put)) => set.insert(&put.key),
            Some(SubRequest::RequestTxn(nested)) => collect(nested, set),
            Some(SubRequest::RequestRange(_) | SubRequest::RequestDeleteRange(_)) | None => {}
        }
    }
}

/// Distinct keys, as they come.
#[derive(Default)]
struct Set<'a> {
    keys: Vec<&'a [u8]>,
    table: Vec<u32>,
}

impl<'a> Set<'a> {
    fn insert(&mut self, key: &'a [u8]) {
        if self.keys.len() * 2 >= self.table.len() {
            self.grow();
        }
        let at = self.slot(key);
        if self.table[at] == 0 {
            self.keys.push(key);
            self.table[at] = self.keys.len() as u32;
        }
    }

    fn slot(&self, key: &[u8]) -> usize {
        let mask = self.table.len() - 1;
        let mut at = xxh3_64(key) as usize & mask;
        while self.table[at] != 0 && self.keys[self.table[at] as usize - 1] != key {
            at = (at + 1) & mask;
        }
        at
    }

    fn grow(&mut self) {
        self.table = vec![0; (self.table.len() * 2).max(64)];
        for i in 0..self.keys.len() {
            let at = self.slot(self.keys[i]);
            self.table[at] = i as u32 + 1;
        }
    }
}
