//! When a fault sets in.

use crate::format::document::{Node, Problem, Value};
use crate::format::fields::{Read, unknown};
use crate::format::{Between, Duration};
use std::fmt;

/// When a fault sets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// So long after the start of the load.
    Time(Between<Duration>),
    /// When a named point of the code is passed: `mark:NAME#N`.
    Mark {
        /// Its name.
        name: String,
        /// The how many-th time since the start of the load, by whatever
        /// member, from 1.
        nth: u64,
    },
}

impl Moment {
    /// The latest time at which it may come; `None` if the code decides.
    pub const fn latest(&self) -> Option<Duration> {
        match self {
            Moment::Time(range) => Some(range.max),
            Moment::Mark { .. } => None,
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Time(range) => range.fmt(f),
            Moment::Mark { name, nth } => write!(f, "mark:{name}#{nth}"),
        }
    }
}

impl Read for Moment {
    fn read(node: &Node) -> Result<Moment, Problem> {
        let Value::Text(text) = &node.value else {
            return Between::read(node).map(Moment::Time);
        };
        let Some(mark) = text.strip_prefix("mark:") else {
            return Between::read(node).map(Moment::Time);
        };
        let name = mark.split('#').next().unwrap_or(mark);
        let start = text.len() - mark.len();
        if crate::marks::find(name).is_none() {
            let known: Vec<&str> = crate::marks::names().collect();
            let place = node.place.part(text, start..start + name.len());
            return Err(unknown("mark", name, "", &known, &place));
        }
        let nth = match mark.split_once('#') {
            None => Some(1),
            Some((_, nth)) => nth.parse().ok().filter(|nth| *nth > 0),
        };
        match nth {
            Some(nth) => Ok(Moment::Mark {
                name: name.to_owned(),
                nth,
            }),
            None => Err(Problem::new(
                &node.place.part(text, start + name.len()..text.len()),
                "this says not which time the mark is passed",
                "expected a number from 1, as in \"mark:raft.campaigned#2\"",
            )),
        }
    }
}
