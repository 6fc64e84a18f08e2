//! Failed fsyncs against a model of a page cache.

use crate::support::*;
use proptest::prelude::*;
use squall_api::{Disk, Open};
use squall_sim::PowerLoss;
use std::collections::BTreeSet;
use std::path::Path;

/// A file as the kernel sees it: what reads see, what the disk has, which
/// pages are to be written out, and the lengths that are to be journaled.
#[derive(Default)]
struct Cached {
    cache: Vec<u8>,
    disk: Vec<u8>,
    dirty: BTreeSet<usize>,
    lengths: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Act {
    Write { offset: usize, len: usize },
    SetLen(usize),
    Sync { fails: bool },
    PowerLoss,
    Kill,
}

fn act() -> impl Strategy<Value = Act> {
    let size = 4 * PAGE;
    prop_oneof![
        6 => (0..size, 1..3_000usize).prop_map(|(offset, len)| Act::Write { offset, len }),
        2 => (0..size).prop_map(Act::SetLen),
        4 => any::<bool>().prop_map(|fails| Act::Sync { fails }),
        1 => Just(Act::PowerLoss),
        1 => Just(Act::Kill),
    ]
}

impl Cached {
    fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if end > self.cache.len() {
            self.set_len(end);
        }
        self.cache[offset..end].copy_from_slice(data);
        self.dirty.extend(offset / PAGE..end.div_ceil(PAGE));
    }

    fn set_len(&mut self, len: usize) {
        if len < self.cache.len() {
            self.dirty.retain(|page| page * PAGE < len);
            self.dirty
                .extend((!len.is_multiple_of(PAGE)).then_some(len / PAGE));
        }
        self.cache.resize(len, 0);
        self.lengths.push(len);
    }

    fn sync(&mut self, fails: bool) {
        for len in self.lengths.drain(..) {
            self.disk.resize(len, 0);
        }
        for page in std::mem::take(&mut self.dirty) {
            let at = page * PAGE..((page + 1) * PAGE).min(self.cache.len());
            if !fails {
                self.disk[at.clone()].copy_from_slice(&self.cache[at]);
            }
        }
    }

    fn power_loss(&mut self) {
        self.cache = self.disk.clone();
        self.dirty.clear();
        self.lengths.clear();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn failed_fsyncs_leave_what_a_page_cache_leaves(acts in prop::collection::vec(act(), 1..40)) {
        let disk = disk();
        let mut model = Cached::default();
        let mut mount = disk.mount();
        let mut file = durable(&mount, "db/a", &[]);
        for (i, act) in (1u64..).zip(&acts) {
            let t = i * 1_000_000;
            step(&disk, t);
            match *act {
                Act::Write { offset, len } => {
                    let data = vec![i as u8; len];
                    file.write_at(offset as u64, &data).unwrap();
                    model.write(offset, &data);
                }
                Act::SetLen(len) => {
                    file.set_len(len as u64).unwrap();
                    model.set_len(len);
                }
                Act::Sync { fails } => {
                    disk.inject(1, fsync_errors(if fails { 1.0 } else { 0.0 }));
                    prop_assert_eq!(file.sync().is_err(), fails);
                    model.sync(fails);
                }
                Act::PowerLoss | Act::Kill => {
                    let lost = matches!(act, Act::PowerLoss);
                    disk.crash(t, if lost { PowerLoss::Lost } else { PowerLoss::Kept });
                    if lost {
                        model.power_loss();
                    }
                    mount = disk.mount();
                    file = mount.open(Path::new("db/a"), Open::Existing).unwrap();
                }
            }
            prop_assert_eq!(&read(&file).unwrap(), &model.cache);
            prop_assert_eq!(&after_power_loss(&disk, "db/a"), &model.disk);
        }
    }
}
