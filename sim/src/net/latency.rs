//! How long a message is under way.

use crate::rng::Draw;
use std::ops::RangeInclusive;

/// A distribution of latencies, in nanoseconds.
#[derive(Debug, Clone, PartialEq)]
pub enum LatencyModel {
    /// Anything in the range, equally likely.
    Uniform(RangeInclusive<u64>),
    /// `min`, and on top of it a wait that is exponentially distributed.
    Exponential {
        /// What every message takes.
        min: u64,
        /// The mean of what comes on top; at most 44 times as much does.
        mean: u64,
    },
    /// Usually the one range, now and then the other: a path with a detour, or
    /// a switch that sometimes queues.
    Bimodal {
        /// What most messages take.
        body: RangeInclusive<u64>,
        /// What the others take.
        tail: RangeInclusive<u64>,
        /// How likely a message is one of the others.
        tail_probability: f64,
    },
}

impl LatencyModel {
    /// No time at all.
    pub const ZERO: LatencyModel = LatencyModel::Uniform(0..=0);

    /// One latency. Takes at most two words.
    pub(super) fn draw(&self, draw: &mut Draw) -> u64 {
        match self {
            LatencyModel::Uniform(range) => draw.range(range.clone()),
            LatencyModel::Exponential { min, mean } => {
                let wait = *mean as f64 * exponential(draw.range(0..=u64::MAX));
                min.saturating_add(wait as u64)
            }
            LatencyModel::Bimodal {
                body,
                tail,
                tail_probability,
            } => {
                let slow = draw.chance(*tail_probability);
                draw.range(if slow { tail.clone() } else { body.clone() })
            }
        }
    }
}

impl From<RangeInclusive<u64>> for LatencyModel {
    fn from(range: RangeInclusive<u64>) -> LatencyModel {
        LatencyModel::Uniform(range)
    }
}

/// -ln((word + 1) / 2^64), in operations that IEEE 754 defines to the last bit:
/// the system's `ln` may differ from one machine to the next, and with it a run.
fn exponential(word: u64) -> f64 {
    let Some(n) = word.checked_add(1) else {
        return 0.0;
    };
    // n = m * 2^e with m in [1, 2).
    let e = n.ilog2();
    let m = n as f64 / (1u128 << e) as f64;
    // ln m = 2 artanh((m - 1) / (m + 1)); its argument is at most 1/3, so that
    // the sixteenth term is below 1e-16.
    let x = (m - 1.0) / (m + 1.0);
    let (mut power, mut sum) = (x, 0.0);
    for odd in (1..33).step_by(2) {
        sum += power / f64::from(odd);
        power *= x * x;
    }
    f64::from(64 - e) * std::f64::consts::LN_2 - 2.0 * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_exact_enough() {
        for word in [
            0,
            1,
            2,
            77,
            1 << 40,
            u64::MAX / 3,
            u64::MAX / 2,
            u64::MAX - 1,
        ] {
            let exact = -(((word as f64) + 1.0) / 2f64.powi(64)).ln();
            let found = exponential(word);
            assert!(
                (found - exact).abs() < 1e-12,
                "{word}: {found}, not {exact}"
            );
        }
        assert_eq!(exponential(u64::MAX), 0.0);
    }
}
