//! A crash at one exact moment, into one exact image of the disk.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A power loss of one node at a moment between two of its disk operations, and
/// which of the legal images it leaves.
///
/// Written as its address, `n2:1234567:3`: node, true nanoseconds since the start
/// of the run, number of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrashPoint {
    /// The node.
    pub node: u64,
    /// When: true nanoseconds since the start of the run. What ends in this very
    /// nanosecond was done.
    #[serde(rename = "at_ns")]
    pub at: u64,
    /// Which image the disk is left with: see
    /// [`PowerLoss::Image`](squall_sim::PowerLoss::Image).
    pub image: u32,
}

impl CrashPoint {
    /// For how long the node is down, in nanoseconds.
    pub const DOWN: u64 = 20_000_000;
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}:{}:{}", self.node, self.at, self.image)
    }
}

impl FromStr for CrashPoint {
    type Err = String;

    fn from_str(text: &str) -> Result<CrashPoint, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let read = || {
            let [node, at, image] = parts.as_slice() else {
                return None;
            };
            Some(CrashPoint {
                node: node.strip_prefix('n')?.parse().ok().filter(|n| *n > 0)?,
                at: at.parse().ok()?,
                image: image.parse().ok()?,
            })
        };
        read().ok_or_else(|| "write node, nanoseconds and image, as in n2:1234567:3".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_as_the_point_and_nothing_else_is_one() {
        let point = CrashPoint {
            node: 2,
            at: 1_234_567,
            image: 3,
        };
        assert_eq!(point.to_string(), "n2:1234567:3");
        assert_eq!("n2:1234567:3".parse(), Ok(point));
        for text in ["", "2:1:3", "n0:1:3", "n2:1", "n2:1:3:4", "n2:x:3"] {
            assert!(text.parse::<CrashPoint>().is_err(), "{text}");
        }
    }
}
