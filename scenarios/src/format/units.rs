//! Values with a unit: durations, sizes, ratios, and ranges of them.

use std::fmt;

/// A span of time in nanoseconds: `800ms`, `2s`, `50us`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(u64);

impl Duration {
    /// So many nanoseconds.
    pub const fn from_ns(ns: u64) -> Duration {
        Duration(ns)
    }

    /// So many milliseconds.
    pub const fn from_ms(ms: u64) -> Duration {
        Duration(ms * 1_000_000)
    }

    /// In nanoseconds.
    pub const fn ns(self) -> u64 {
        self.0
    }
}

/// A difference between clocks in nanoseconds: `+1200ms`, `-50ms`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignedDuration(i64);

impl SignedDuration {
    /// So many nanoseconds.
    pub const fn from_ns(ns: i64) -> SignedDuration {
        SignedDuration(ns)
    }

    /// In nanoseconds.
    pub const fn ns(self) -> i64 {
        self.0
    }
}

/// A size in bytes: `64KiB`, `1MiB`, `100B`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    pub const fn from_bytes(bytes: u64) -> Size {
        Size(bytes)
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// A share of something: 0 is none, 1 is all.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    /// The ratio, if it is between 0 and 1.
    pub fn new(ratio: f64) -> Option<Ratio> {
        (0.0..=1.0).contains(&ratio).then_some(Ratio(ratio))
    }

    /// As a number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// From `min` to `max`, both included: `2ms..15ms`. A single value is a range
/// of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Between<T> {
    /// The smallest.
    pub min: T,
    /// The largest; never below `min`.
    pub max: T,
}

impl<T: Copy> Between<T> {
    /// The range of one value.
    pub const fn exactly(value: T) -> Between<T> {
        Between {
            min: value,
            max: value,
        }
    }
}

impl<T: fmt::Display + PartialEq> fmt::Display for Between<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            return self.min.fmt(f);
        }
        write!(f, "{}..{}", self.min, self.max)
    }
}
