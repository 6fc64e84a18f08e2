//! The keys that a history may write, numbered in their own order.
//!
//! A key that nobody may write is absent in every state, so it needs no number.

use squall_api::pb;
use squall_record::{Call, Op, Outcome};
use std::cmp::Ordering;
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64;

use pb::request_op::Request as SubRequest;

/// Numbers for keys, such that a smaller key has a smaller number.
#[derive(Debug)]
pub(crate) struct Keys<'a> {
    sorted: Vec<&'a [u8]>,
    /// How each of them begins.
    prefixes: Vec<u128>,
    table: Table,
    /// By operation: the number of the key that it names, if it names only one;
    /// else [`SEVERAL`], or [`UNWRITTEN`].
    single: Vec<u32>,
}

/// A call that names more than one key, or that is not judged.
const SEVERAL: u32 = u32::MAX;
/// A call that names one key, which nobody may write.
const UNWRITTEN: u32 = u32::MAX - 1;

impl<'a> Keys<'a> {
    /// The keys of all puts that may have happened.
    pub(crate) fn new(history: &'a [Op]) -> Keys<'a> {
        let mut set = Set::default();
        let mut single = vec![SEVERAL; history.len()];
        for (op, single) in history.iter().zip(&mut single) {
            if matches!(op.outcome, Outcome::Refused(_)) {
                continue;
            }
            match &op.call {
                Call::Put(put) => *single = set.insert(&put.key),
                Call::Txn(txn) => collect(txn, &mut set),
                _ => {}
            }
        }
        let Set { keys, mut table } = set;
        let mut order: Vec<(u128, u32)> = (0..).zip(&keys).map(|(i, k)| (prefix(k), i)).collect();
        order.sort_unstable_by(|(a, i), (b, j)| {
            a.cmp(b)
                .then_with(|| keys[*i as usize].cmp(keys[*j as usize]))
        });
        let mut numbers = vec![0; keys.len()];
        for (number, (_, i)) in order.iter().enumerate() {
            numbers[*i as usize] = number as u32;
        }
        for slot in table.slots.iter_mut().filter(|slot| slot.number != 0) {
            slot.number = numbers[slot.number as usize - 1] + 1;
        }
        let mut numbered = Keys {
            sorted: order.iter().map(|(_, i)| keys[*i as usize]).collect(),
            prefixes: order.iter().map(|(prefix, _)| *prefix).collect(),
            table,
            single: Vec::new(),
        };
        for (op, single) in history.iter().zip(&mut single) {
            let key = match &op.call {
                Call::Put(_) if *single != SEVERAL => {
                    *single = numbers[*single as usize];
                    continue;
                }
                Call::Range(r) if r.range_end.is_empty() => &r.key,
                Call::DeleteRange(r) if r.range_end.is_empty() => &r.key,
                _ => continue,
            };
            *single = numbered.find(key).unwrap_or(UNWRITTEN);
        }
        numbered.single = single;
        numbered
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
        let at = self.table.slot(key, xxh3_64(key) as u32, &self.sorted);
        self.table.slots[at].number.checked_sub(1)
    }

    /// The numbers of an interval's keys that an operation's call names.
    pub(crate) fn interval_of(&self, op: u32, start: &[u8], range_end: &[u8]) -> Range<u32> {
        match self.single[op as usize] {
            SEVERAL => self.interval(start, range_end),
            UNWRITTEN => 0..0,
            key => key..key + 1,
        }
    }

    /// The numbers of an interval's keys.
    pub(crate) fn interval(&self, start: &[u8], range_end: &[u8]) -> Range<u32> {
        if range_end.is_empty() {
            return self.find(start).map_or(0..0, |k| k..k + 1);
        }
        let from = self.first_from(0, start);
        let to = match range_end {
            [0] => self.sorted.len(),
            end => self.first_from(from, end).max(from),
        };
        from as u32..to as u32
    }

    /// The first key at or after `key`, not before place `from`: most intervals
    /// are short, so the search begins there.
    fn first_from(&self, from: usize, key: &[u8]) -> usize {
        let prefix = prefix(key);
        let less = |i: usize| match self.prefixes[i].cmp(&prefix) {
            Ordering::Equal => self.sorted[i] < key,
            order => order.is_lt(),
        };
        let (mut low, mut high, mut step) = (from, self.sorted.len(), 1);
        while from > 0 && low + step < high {
            if less(low + step) {
                low += step;
                step *= 2;
            } else {
                high = low + step;
            }
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if less(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

fn collect<'a>(txn: &'a pb::TxnRequest, set: &mut Set<'a>) {
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(SubRequest::RequestPut(put)) => {
                set.insert(&put.key);
            }
            Some(SubRequest::RequestTxn(nested)) => collect(nested, set),
            Some(SubRequest::RequestRange(_) | SubRequest::RequestDeleteRange(_)) | None => {}
        }
    }
}

/// The beginning of a key as a number that compares as the key does.
fn prefix(key: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    let n = key.len().min(16);
    bytes[..n].copy_from_slice(&key[..n]);
    u128::from_be_bytes(bytes)
}

/// Distinct keys, as they come.
struct Set<'a> {
    keys: Vec<&'a [u8]>,
    table: Table,
}

impl Default for Set<'_> {
    fn default() -> Self {
        let slots = vec![Slot::default(); 64];
        Set {
            keys: Vec::new(),
            table: Table { slots },
        }
    }
}

impl<'a> Set<'a> {
    /// The place of a key, in the order in which they came.
    fn insert(&mut self, key: &'a [u8]) -> u32 {
        if self.keys.len() * 2 >= self.table.slots.len() {
            self.table.grow();
        }
        let hash = xxh3_64(key) as u32;
        let at = self.table.slot(key, hash, &self.keys);
        if self.table.slots[at].number == 0 {
            self.keys.push(key);
            let mut start = [0; INLINE];
            let n = key.len().min(INLINE);
            start[..n].copy_from_slice(&key[..n]);
            self.table.slots[at] = Slot {
                number: self.keys.len() as u32,
                len: key.len() as u32,
                hash,
                start,
            };
        }
        self.table.slots[at].number - 1
    }
}

/// So much of a key is kept in the table, where comparing it costs least.
const INLINE: usize = 20;

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// The key's number + 1, or 0 for an empty slot.
    number: u32,
    len: u32,
    hash: u32,
    start: [u8; INLINE],
}

/// Open addressing over a power of two.
#[derive(Debug)]
struct Table {
    slots: Vec<Slot>,
}

impl Table {
    /// Where a key is, or would be.
    fn slot(&self, key: &[u8], hash: u32, keys: &[&[u8]]) -> usize {
        let mask = self.slots.len() - 1;
        let n = key.len().min(INLINE);
        let mut at = hash as usize & mask;
        loop {
            let slot = &self.slots[at];
            let same = slot.hash == hash
                && slot.len as usize == key.len()
                && slot.start[..n] == key[..n]
                && (n == key.len() || slot.number != 0 && keys[slot.number as usize - 1] == key);
            if slot.number == 0 || same {
                return at;
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let larger = vec![Slot::default(); self.slots.len() * 2];
        let mask = larger.len() - 1;
        for slot in std::mem::replace(&mut self.slots, larger) {
            if slot.number != 0 {
                let mut at = slot.hash as usize & mask;
                while self.slots[at].number != 0 {
                    at = (at + 1) & mask;
                }
                self.slots[at] = slot;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::model::within;
    use squall_record::Why;

    #[test]
    fn an_interval_holds_the_keys_that_lie_in_it() {
        let names: [&[u8]; 9] = [
            b"",
            b"a",
            b"a\0",
            b"aa",
            b"b",
            b"b\xff",
            b"a key of more than sixteen bytes",
            b"a key of more than sixteen bytes, too",
            b"\xff",
        ];
        let put = |key: &&[u8]| Op {
            token: String::new(),
            id: 0,
            client: 0,
            process: 0,
            member: 0,
            invoke: 0,
            ret: None,
            call: Call::Put(pb::PutRequest {
                key: key.to_vec().into(),
                ..pb::PutRequest::default()
            }),
            outcome: Outcome::Unknown(Why::Timeout),
        };
        let history: Vec<Op> = names.iter().map(put).collect();
        let keys = Keys::new(&history);
        let others: [&[u8]; 5] = [b"\0", b"ab", b"a key of more than", b"c", b"\xff\xff"];
        for start in names.iter().chain(&others) {
            assert_eq!(keys.find(start).is_some(), names.contains(start));
            for end in names.iter().chain(&others) {
                let inside = keys.interval(start, end);
                for key in 0..keys.len() as u32 {
                    let name = keys.name(key);
                    assert_eq!(
                        inside.contains(&key),
                        within(start, end, name),
                        "{start:?} {end:?}"
                    );
                }
            }
        }
    }
}
