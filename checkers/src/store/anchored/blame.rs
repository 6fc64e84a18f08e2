//! Why something does not work.

use super::candidates::WIDE;
use crate::store::facts::Facts;
use crate::store::keys::Keys;
use crate::store::mvcc::{Fault, Seen};
use crate::store::timeline::{Known, Timeline};
use squall_record::Call;

/// A key whose state is to blame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guilty {
    pub(super) key: u32,
    /// Up to here an answer pins its state; only what came later matters.
    pub(super) pin: i64,
    pub(super) lacks: Lacks,
}

/// What a key lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lacks {
    /// It is there and should not be: another put does not help.
    Delete,
    /// It is not there, or was put too seldom.
    Put,
    /// Its state is the reason, but which other state would be right is open.
    Something,
}

/// Why something does not work: the state of keys, and choices that hold what
/// would be needed.
#[derive(Debug, Clone, Default)]
pub(super) struct Blame {
    pub(super) keys: Vec<Guilty>,
    pub(super) choices: Vec<usize>,
    /// Too much to tell: every choice may be to blame.
    pub(super) all: bool,
}

impl Blame {
    pub(super) fn key(&mut self, guilty: Guilty) {
        if let Some(known) = self.keys.iter_mut().find(|g| g.key == guilty.key) {
            known.pin = known.pin.min(guilty.pin);
            if known.lacks != guilty.lacks {
                known.lacks = Lacks::Something;
            }
        } else if self.keys.len() < WIDE {
            self.keys.push(guilty);
        } else {
            self.all = true;
        }
    }

    pub(super) fn choice(&mut self, choice: usize) {
        if !self.choices.contains(&choice) {
            if self.choices.len() < WIDE {
                self.choices.push(choice);
            } else {
                self.all = true;
            }
        }
    }

    pub(super) fn add(&mut self, other: &Blame) {
        self.all |= other.all;
        for guilty in &other.keys {
            self.key(*guilty);
        }
        for choice in &other.choices {
            self.choice(*choice);
        }
    }
}

/// Tells what is to blame.
pub(super) struct Reasons<'t, 'a> {
    pub(super) timeline: &'t Timeline<'a>,
    pub(super) keys: &'t Keys<'a>,
    pub(super) facts: &'t Facts<'a>,
}

impl Reasons<'_, '_> {
    /// Why an answer is wrong.
    pub(super) fn of_answer(&self, k: &Known, position: usize, fault: &Fault) -> Blame {
        let call = &self.timeline.ops[k.op as usize].call;
        let before = k.revision - i64::from(k.wrote);
        let mut blame = Blame::default();
        if let Fault::Wrong(difference) = fault {
            let lacks = match (&difference.expected_kv, &difference.got_kv) {
                (Some(_), None) => Lacks::Delete,
                // It should not have been there when it was created anew.
                (Some(e), Some(g)) if e.create_revision < g.create_revision => Lacks::Delete,
                (Some(e), Some(g))
                    if e.create_revision > g.create_revision || e.version >= g.version =>
                {
                    Lacks::Something
                }
                (_, Some(_)) => Lacks::Put,
                (None, None) => Lacks::Something,
            };
            let key = difference.key.as_ref().and_then(|key| self.keys.find(key));
            match (call, key) {
                // In a plain range, and in what a write says of the past, each key
                // stands for itself.
                (Call::Range(r), Some(key))
                    if r.limit == 0
                        && r.sort_order == 0
                        && r.sort_target == 0
                        && r.revision == 0 =>
                {
                    blame.key(self.guilty(key, before, position, lacks));
                    return blame;
                }
                (Call::Put(_), Some(key)) => {
                    blame.key(self.guilty(key, before, position, lacks));
                    return blame;
                }
                (Call::DeleteRange(d), _) if difference.field == "deleted" => {
                    let number = |text: &str| text.parse::<i64>().unwrap_or_default();
                    let lacks = match number(&difference.expected) > number(&difference.got) {
                        true => Lacks::Delete,
                        false => Lacks::Put,
                    };
                    let keys = self.keys.interval(&d.key, &d.range_end);
                    if keys.len() <= WIDE {
                        for key in keys {
                            blame.key(self.guilty(key, before, position, lacks));
                        }
                        return blame;
                    }
                }
                _ => {}
            }
        }
        self.of_call(&mut blame, call, before, position);
        blame
    }

    fn guilty(&self, key: u32, before: i64, position: usize, lacks: Lacks) -> Guilty {
        Guilty {
            key,
            pin: self.facts.pin(key, before, position),
            lacks,
        }
    }

    /// Why a call does not have the effect that it should have: the state of any
    /// key that it names.
    pub(super) fn of_call(&self, blame: &mut Blame, call: &Call, before: i64, position: usize) {
        let mut seen = Seen::default();
        seen.call(call);
        let reads_the_past = seen.reads_the_past();
        let keys = seen.keys(self.keys);
        if keys.len() > WIDE || reads_the_past {
            blame.all = true;
            return;
        }
        for key in keys {
            blame.key(self.guilty(key, before, position, Lacks::Something));
        }
    }
}
