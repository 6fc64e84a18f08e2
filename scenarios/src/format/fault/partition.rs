//! Partitions: which messages are lost.

use crate::format::{Between, Duration, Ratio, Selector};
use std::fmt;

/// Messages between some nodes are lost.
#[derive(Debug, Clone, PartialEq)]
pub struct Partition {
    /// Which.
    pub cut: Cut,
    /// If it comes and goes: how long it is there, and then not, each time.
    pub flap: Option<Between<Duration>>,
}

/// Which messages a partition loses.
#[derive(Debug, Clone, PartialEq)]
pub enum Cut {
    /// Those from the first to the second, and only those.
    OneWay {
        /// Senders that are not heard.
        from: Selector,
        /// Who does not hear them.
        to: Selector,
    },
    /// Those between the selected nodes and all others, both ways.
    Isolate(Selector),
    /// Those between two halves, as equal as can be, both ways; drawn at random.
    Halves,
    /// Those between two groups, both ways.
    Split(Selector, Selector),
    /// Those between two halves of all others: only one node still hears
    /// everyone, and everyone hears it.
    Bridge(Selector),
    /// Those between all who are not neighbours in a ring, drawn at random.
    Ring,
    /// Those on a share of the directed links, drawn at random, at least one.
    Partial(Ratio),
}

impl Cut {
    /// What it is called in schedules and counts.
    pub const fn name(&self) -> &'static str {
        match self {
            Cut::OneWay { .. } => "one_way",
            Cut::Isolate(_) => "isolate",
            Cut::Halves => "halves",
            Cut::Split(..) => "split",
            Cut::Bridge(_) => "bridge",
            Cut::Ring => "ring",
            Cut::Partial(_) => "partial",
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.flap.is_some() {
            f.write_str("flapping ")?;
        }
        match &self.cut {
            Cut::OneWay { from, to } => write!(f, "cut {from} -> {to}"),
            Cut::Isolate(selector) => write!(f, "isolate {selector}"),
            Cut::Halves => f.write_str("split in halves"),
            Cut::Split(one, other) => write!(f, "split {one} | {other}"),
            Cut::Bridge(selector) => write!(f, "bridge {selector}"),
            Cut::Ring => f.write_str("ring"),
            Cut::Partial(_) => f.write_str("cut some links"),
        }
    }
}
