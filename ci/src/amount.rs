//! Amounts as people write them: `10m`, `14.2s`, `1/50`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Why an amount cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a duration.
    #[error("{0:?} is not a duration: write a number and ms, s, m or h, as in 90s, 14.2s or 10m")]
    Duration(String),
    /// Not a sample.
    #[error("{0:?} is not a sample: write 1/N, as in 1/50 for every 50th run, or 0 for none")]
    Sample(String),
}

/// Reads `500ms`, `14.2s`, `10m`, `2h`. A number without a unit is refused:
/// nobody should have to guess.
pub fn parse_duration(text: &str) -> Result<Duration, AmountError> {
    let error = || AmountError::Duration(text.to_owned());
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(error)?;
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| error())?;
    let seconds = match unit {
        "ns" => number / 1e9,
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(error()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| error())
}

/// Every how manieth run is sampled: `1/50`; zero samples none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    every: u64,
}

impl Sample {
    /// Samples nothing.
    pub const NONE: Sample = Sample { every: 0 };

    /// Whether the `index`-th run (from 0) is in the sample. The first one is.
    pub const fn takes(self, index: u64) -> bool {
        self.every != 0 && index.is_multiple_of(self.every)
    }
}

impl FromStr for Sample {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Sample, AmountError> {
        if text == "0" {
            return Ok(Sample::NONE);
        }
        match text.strip_prefix("1/").map(str::parse) {
            Some(Ok(every)) if every > 0 => Ok(Sample { every }),
            _ => Err(AmountError::Sample(text.to_owned())),
        }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.every {
            0 => f.write_str("0"),
            every => write!(f, "1/{every}"),
        }
    }
}

impl Serialize for Sample {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sample {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_say_so() {
        for (text, millis) in [
            ("500ms", 500),
            ("14.2s", 14_200),
            ("10m", 600_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(
                parse_duration(text).unwrap(),
                Duration::from_millis(millis),
                "{text}"
            );
        }
        for text in [
            "",
            "10",
            "m",
            "-5s",
            "1.2.3s",
            "10 m",
            "10d",
            "99999999999999999999h",
        ] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(
                error.contains("is not a duration: write"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_sample_takes_every_nth_run() {
        let sample: Sample = "1/3".parse().unwrap();
        let taken: Vec<u64> = (0..8).filter(|&i| sample.takes(i)).collect();
        assert_eq!(taken, [0, 3, 6]);
        assert!(!"0".parse::<Sample>().unwrap().takes(0));
        assert_eq!(sample.to_string(), "1/3");
        for text in ["", "3", "1/0", "2/3", "1/x", "1/-1"] {
            assert!(text.parse::<Sample>().is_err(), "{text}");
        }
    }
}
