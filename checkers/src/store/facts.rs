//! What answers prove about keys, whoever took the unclaimed revisions.
//!
//! An answer that shows a key pins its whole state at that revision: who wrote
//! it last, when it was created, how often it was written since. An unclaimed
//! revision can only have been taken by an operation that fits between the pins.

mod collect;

use super::by_key::ByKey;
use super::keys::Keys;
use super::timeline::Timeline;
use collect::{Collector, Counted};
use squall_api::pb::{self, KeyValue};
use squall_record::{Call, Outcome};
use std::collections::BTreeMap;

/// Deletes of more keys than this are not listed by key.
const WIDE: usize = 64;

/// A key as an answer shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The revision of the state that is shown.
    pub(crate) at: i64,
    /// The key's `mod_revision`; 0 if it is absent.
    pub(crate) mod_revision: i64,
    /// Its `create_revision`; 0 if it is absent.
    pub(crate) create_revision: i64,
    /// Its version; 0 if it is absent.
    pub(crate) version: i64,
    /// Whether the value is shown, too.
    pub(crate) full: bool,
    /// The position of the answer in the timeline.
    pub(crate) position: u32,
}

/// An unclaimed revision of which it is known what it wrote.
#[derive(Debug, Clone)]
pub(crate) struct Demand<'a> {
    /// The key.
    pub(crate) key: u32,
    /// The value, if an answer shows it.
    pub(crate) value: Option<&'a [u8]>,
    /// Who was told.
    pub(crate) op: u32,
    /// The version that was shown.
    pub(crate) kv: &'a KeyValue,
}

/// A write to a key that only an unclaimed revision can account for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    /// Whether it is a put, or else a delete.
    pub(crate) put: bool,
    /// The key.
    pub(crate) key: u32,
    /// It was made after this revision ...
    pub(crate) after: i64,
    /// ... and not after this one.
    pub(crate) until: i64,
    /// How often.
    pub(crate) count: i64,
}

/// What is known about unclaimed revisions beforehand.
#[derive(Debug, Default)]
pub(crate) struct Unclaimed {
    /// The revisions in order, each with the time by which whoever took it was
    /// sent.
    pub(crate) gaps: Vec<(i64, u64)>,
    /// By key: when the first operation of unknown outcome was sent that may
    /// write it, or never.
    pub(crate) writers: Vec<u64>,
    /// By key: likewise for one that may delete it.
    pub(crate) deleters: Vec<u64>,
}

impl Unclaimed {
    fn is_claimed(&self, revision: i64, last: i64) -> bool {
        revision > super::model::FIRST_REVISION
            && revision <= last
            && self.gaps.binary_search_by_key(&revision, |g| g.0).is_err()
    }
}

/// Everything that answers prove.
#[derive(Debug, Default)]
pub(crate) struct Facts<'a> {
    /// By key, in order of revisions.
    shown: ByKey<Shown>,
    /// Acknowledged puts by key, in order of revisions.
    puts: ByKey<i64>,
    /// Unclaimed revisions by key that must have put it, likewise.
    demanded: ByKey<i64>,
    /// Acknowledged deletes by key that may have deleted it, likewise.
    deletes: ByKey<i64>,
    /// Those that span too many keys to list them there.
    wide_deletes: Vec<i64>,
    /// What unclaimed revisions may have deleted.
    unclaimed: Unclaimed,
    /// By unclaimed revision.
    pub(crate) demands: BTreeMap<i64, Vec<Demand<'a>>>,
    /// By the revision after which they begin.
    pub(crate) needs: Vec<Need>,
    /// By key: revisions at which it was found, without being shown.
    found: ByKey<i64>,
    /// Keys that are shown but that nobody may write, with who was told.
    pub(crate) phantom: Option<(u32, &'a KeyValue)>,
}

impl<'a> Facts<'a> {
    /// Collects what the answers of a timeline prove.
    pub(crate) fn new(timeline: &Timeline<'a>, keys: &Keys<'a>, unclaimed: Unclaimed) -> Facts<'a> {
        let mut collector = Collector {
            facts: Facts {
                unclaimed,
                ..Facts::default()
            },
            keys,
            counted: Vec::new(),
            shown: Vec::new(),
            puts: Vec::new(),
            deletes: Vec::new(),
            found: Vec::new(),
            last_shown: vec![0; keys.len()],
            last_put: vec![0; keys.len()],
            last: timeline.known.last().map_or(0, |k| k.revision),
            op: 0,
            asked: None,
            position: 0,
            before: 0,
            main: 0,
            in_txn: false,
            changed: false,
        };
        for (position, k) in timeline.known.iter().enumerate() {
            let op = &timeline.ops[k.op as usize];
            if let Outcome::Ok(ret) = &op.outcome {
                collector.op = k.op;
                collector.position = position as u32;
                collector.before = k.revision - i64::from(k.wrote);
                collector.main = k.revision;
                collector.changed = false;
                collector.asked = match &op.call {
                    Call::Range(r) if r.range_end.is_empty() => Some(&r.key),
                    Call::Put(r) => Some(&r.key),
                    Call::DeleteRange(r) if r.range_end.is_empty() => Some(&r.key),
                    _ => None,
                };
                collector.in_txn = matches!(op.call, Call::Txn(_));
                collector.answer(&op.call, ret);
            }
        }
        collector.finish()
    }

    /// The next state of a key that is shown at or after a revision.
    pub(crate) fn next(&self, key: u32, revision: i64) -> Option<&Shown> {
        let shown = &self.shown[key];
        shown.get(shown.partition_point(|s| s.at < revision))
    }

    /// The last revision up to `at` at which an answer that was judged before
    /// `position` pins the whole state of a key.
    pub(crate) fn pin(&self, key: u32, at: i64, position: usize) -> i64 {
        let shown = &self.shown[key];
        let upto = shown.partition_point(|s| s.at <= at);
        shown[..upto]
            .iter()
            .rev()
            .find(|s| s.full && (s.position as usize) < position)
            .map_or(0, |s| s.at)
    }

    /// Acknowledged puts of a key at revisions in `after..=until`.
    pub(crate) fn puts_between(&self, key: u32, after: i64, until: i64) -> i64 {
        let puts = &self.puts[key];
        let upto = |r: i64| puts.partition_point(|p| *p <= r) as i64;
        (upto(until) - upto(after)).max(0)
    }

    /// Whether an answer shows that an unclaimed revision put a key.
    pub(crate) fn is_demanded(&self, key: u32, revision: i64) -> bool {
        self.demanded[key].binary_search(&revision).is_ok()
    }

    /// Whether an unclaimed revision can have put a key (or deleted it).
    pub(crate) fn fits(&self, key: u32, revision: i64, put: bool) -> bool {
        let Some(next) = self.next(key, revision) else {
            return true;
        };
        if next.mod_revision == 0 {
            return !put || self.may_vanish(key, revision, next.at);
        }
        if next.mod_revision < revision {
            return false;
        }
        if next.create_revision > revision {
            return !put || self.may_vanish(key, revision, next.create_revision - 1);
        }
        // Between creation and last write nothing is deleted, and every put
        // raises the version.
        let (first, last) = (next.create_revision, next.mod_revision);
        put && (self.is_demanded(key, revision)
            || self.certain_puts(key, first - 1, last) < next.version)
    }

    /// Whether nobody would notice a put of a key (or that it is deleted) at an
    /// unclaimed revision: somebody says that they deleted it (or put it) before
    /// it is found or shown next.
    pub(crate) fn is_harmless(&self, key: u32, revision: i64, put: bool) -> bool {
        if !put {
            let found = &self.found[key];
            let found = found.get(found.partition_point(|at| *at < revision));
            return self.fits(key, revision, false)
                && found.is_none_or(|at| self.certain_puts(key, revision, *at) > 0);
        }
        match self.next(key, revision) {
            Some(next) if next.mod_revision == 0 => self.is_deleted(key, revision, next.at),
            Some(next) => {
                next.create_revision > revision
                    && self.is_deleted(key, revision, next.create_revision - 1)
            }
            None => true,
        }
    }

    /// Whether a key is there at a revision, as far as acknowledged operations
    /// tell: those of unknown outcome may have changed it.
    pub(crate) fn is_likely_there(&self, key: u32, revision: i64) -> bool {
        self.likely_version(key, revision) > 0
    }

    /// Its version, likewise; 0 if it is absent.
    fn likely_version(&self, key: u32, revision: i64) -> i64 {
        let shown = &self.shown[key];
        let shown = shown[..shown.partition_point(|s| s.at <= revision)].last();
        let deletes = &self.deletes[key];
        let deletes = &deletes[..deletes.partition_point(|r| *r <= revision)];
        let deleted = deletes.last().copied().unwrap_or(0);
        match shown {
            Some(s) if s.at >= deleted => s.version + self.certain_puts(key, s.at, revision),
            _ => self.certain_puts(key, deleted, revision),
        }
    }

    /// Whether a compare holds at a revision, likewise.
    pub(crate) fn likely_holds(&self, keys: &Keys<'_>, c: &pb::Compare, revision: i64) -> bool {
        use pb::compare::{CompareResult, CompareTarget, TargetUnion};
        let key = keys.find(&c.key).filter(|_| c.range_end.is_empty());
        let version = key.map_or(0, |key| self.likely_version(key, revision));
        let (now, than) = match (&c.target_union, c.target()) {
            (Some(TargetUnion::Version(n)), CompareTarget::Version) => (version, *n),
            (
                Some(TargetUnion::CreateRevision(n) | TargetUnion::ModRevision(n)),
                CompareTarget::Create | CompareTarget::Mod,
            ) => (if version > 0 { revision } else { 0 }, *n),
            // Values are rarely equal, and those of absent keys satisfy nothing.
            (_, CompareTarget::Value) => (version.min(1), 0),
            _ => return true,
        };
        match c.result() {
            CompareResult::Equal => c.target() != CompareTarget::Value && now == than,
            CompareResult::NotEqual => now != than,
            CompareResult::Greater => now > than,
            CompareResult::Less => now < than,
        }
    }

    /// Whether an acknowledged delete may have deleted a key after one revision
    /// and not after another.
    fn is_deleted(&self, key: u32, after: i64, until: i64) -> bool {
        let within = |list: &[i64]| {
            let next = list.partition_point(|r| *r <= after);
            list.get(next).is_some_and(|r| *r <= until)
        };
        within(&self.deletes[key]) || within(&self.wide_deletes)
    }

    /// Whether anybody at all may have.
    fn may_vanish(&self, key: u32, after: i64, until: i64) -> bool {
        if self.is_deleted(key, after, until) {
            return true;
        }
        let gaps = &self.unclaimed.gaps;
        let upto = gaps.partition_point(|g| g.0 <= until);
        gaps[..upto].last().is_some_and(|(revision, deadline)| {
            *revision > after && self.unclaimed.deleters[key as usize] <= *deadline
        })
    }

    /// Puts of a key that are certain, in the same sense: acknowledged ones, and
    /// unclaimed ones that an answer shows.
    fn certain_puts(&self, key: u32, after: i64, until: i64) -> i64 {
        let demanded = &self.demanded[key];
        let upto = |r: i64| demanded.partition_point(|d| *d <= r) as i64;
        self.puts_between(key, after, until) + (upto(until) - upto(after)).max(0)
    }

    /// Whether a version that an unclaimed revision would give to a key can
    /// grow into the one that is shown next.
    pub(crate) fn grows(&self, key: u32, version: &super::versions::Version<'_>) -> bool {
        let at = version.mod_revision;
        let Some(next) = self.next(key, at) else {
            return true;
        };
        if next.mod_revision == 0 || next.create_revision > at {
            return true;
        }
        version.version > 0
            && next.mod_revision >= at
            && next.create_revision == version.create_revision
            && version.version + self.certain_puts(key, at, next.mod_revision) <= next.version
    }

    fn find_needs(&mut self, keys: u32, counted: &[Counted]) {
        let mut needs = Vec::new();
        for key in 0..keys {
            let mut before: Option<&Shown> = None;
            for s in &self.shown[key] {
                self.need_between(key, before, s, &mut needs);
                before = Some(s);
            }
            for at in &self.found[key] {
                self.need_found(key, *at, &mut needs);
            }
        }
        for c in counted {
            self.need_counted(c, &mut needs);
        }
        needs.sort_unstable_by_key(|n| (n.after, n.until, n.key));
        self.needs = needs;
    }

    /// Of several keys more (or fewer) were found than acknowledged operations
    /// tell: if there are just as many that somebody unknown may have put (or
    /// deleted), then they did.
    fn need_counted(&self, c: &Counted, out: &mut Vec<Need>) {
        let there = |key: &u32| self.is_likely_there(*key, c.at);
        let found = c.keys.clone().filter(there).count() as i64;
        let put = found < c.deleted;
        let by = if put {
            &self.unclaimed.writers
        } else {
            &self.unclaimed.deleters
        };
        let gaps = &self.unclaimed.gaps;
        let gaps = &gaps[..gaps.partition_point(|g| g.0 <= c.at)];
        let may =
            |key: &u32| there(key) != put && gaps.last().is_some_and(|g| by[*key as usize] <= g.1);
        let candidates: Vec<u32> = c.keys.clone().filter(may).collect();
        if found != c.deleted && candidates.len() as i64 == (found - c.deleted).abs() {
            out.extend(candidates.into_iter().map(|key| Need {
                put,
                key,
                after: self.last_told(key, c.at),
                until: c.at,
                count: 1,
            }));
        }
    }

    /// The last revision up to `at` at which a key was put, deleted or shown.
    fn last_told(&self, key: u32, at: i64) -> i64 {
        let last = |list: &[i64]| list[..list.partition_point(|r| *r <= at)].last().copied();
        let shown = &self.shown[key];
        let shown = shown[..shown.partition_point(|s| s.at <= at)].last();
        last(&self.puts[key])
            .max(last(&self.deletes[key]))
            .max(shown.map(|s| s.at))
            .unwrap_or(0)
    }

    /// A key that was found was there: if it was absent before, and nobody says
    /// who put it, somebody unknown did.
    fn need_found(&self, key: u32, at: i64, out: &mut Vec<Need>) {
        let shown = &self.shown[key];
        let last = shown[..shown.partition_point(|s| s.at <= at)].last();
        let after = last.map_or(0, |s| s.at);
        if last.is_none_or(|s| s.mod_revision == 0) && self.certain_puts(key, after, at) == 0 {
            out.push(Need {
                put: true,
                key,
                after,
                until: at,
                count: 1,
            });
        }
    }

    /// What must have happened to a key between two states that are shown.
    fn need_between(&self, key: u32, before: Option<&Shown>, now: &Shown, out: &mut Vec<Need>) {
        let was = before.filter(|s| s.mod_revision > 0);
        let same_life = was.filter(|s| s.create_revision == now.create_revision);
        if now.mod_revision > 0 {
            let (after, base) = match same_life {
                Some(s) if s.mod_revision == now.mod_revision => return,
                Some(s) => (s.mod_revision, s.version),
                None => (now.create_revision - 1, 0),
            };
            let until = now.mod_revision;
            let count = now.version - base - self.certain_puts(key, after, until);
            if count > 0 {
                out.push(Need {
                    put: true,
                    key,
                    after,
                    until,
                    count,
                });
            }
        }
        if same_life.is_some() {
            return;
        }
        // If it was there before, it was deleted meanwhile.
        let until = match now.mod_revision {
            0 => now.at,
            _ => now.create_revision - 1,
        };
        let since = before.map_or(0, |s| s.at);
        let put = self.last_put(key, until).filter(|put| *put > since);
        if let Some(after) = put.or(was.map(|s| s.at))
            && after < until
            && !self.is_deleted(key, after, until)
        {
            out.push(Need {
                put: false,
                key,
                after,
                until,
                count: 1,
            });
        }
    }

    /// The last acknowledged put of a key up to a revision.
    fn last_put(&self, key: u32, until: i64) -> Option<i64> {
        let puts = &self.puts[key];
        puts[..puts.partition_point(|p| *p <= until)]
            .last()
            .copied()
    }
}
