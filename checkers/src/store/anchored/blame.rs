//! Why something does not work.

use super::candidates::WIDE;

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
