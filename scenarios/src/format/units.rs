//! Values with a unit: durations, sizes, ratios, and ranges of them.

use super::document::{Node, Problem, Value};
use super::fields::{Read, wrong_kind};
use std::fmt;
use std::ops::Range;

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

const TIME_UNITS: &[Unit] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
const SIZE_UNITS: &[Unit] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// A unit's name, and how many of the smallest unit it is.
type Unit = (&'static str, u64);

/// In the largest unit that leaves no fraction.
fn write_amount(f: &mut fmt::Formatter<'_>, amount: u64, units: &[Unit]) -> fmt::Result {
    let whole = units
        .iter()
        .rfind(|(_, scale)| amount.is_multiple_of(*scale));
    let (unit, scale) = match (whole, amount) {
        (Some(whole), 1..) => whole,
        _ => &units[0],
    };
    write!(f, "{}{unit}", amount / scale)
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Up to seconds: "2m" is too easily read as milliseconds.
        write_amount(f, self.0, &TIME_UNITS[..4])
    }
}

impl fmt::Display for SignedDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 < 0 { "-" } else { "+" })?;
        write_amount(f, self.0.unsigned_abs(), &TIME_UNITS[..4])
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_amount(f, self.0, SIZE_UNITS)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is wrong with a part of a string value.
pub(super) struct Misread {
    /// Bytes of the string.
    within: Range<usize>,
    message: String,
    expected: String,
}

impl Misread {
    fn new(within: Range<usize>, message: String, expected: String) -> Misread {
        Misread {
            within,
            message,
            expected,
        }
    }
}

/// A value that is written as text, and may be an end of a range.
pub(super) trait Written: Copy + PartialOrd + fmt::Display {
    /// For errors: `a duration such as "800ms"`.
    const EXPECTED: &'static str;

    /// Reads it.
    fn from_text(text: &str) -> Result<Self, Misread>;

    /// Reads a value that is no string, if there is such a form.
    fn from_other(node: &Node) -> Result<Self, Problem> {
        Err(wrong_kind(node, Self::EXPECTED))
    }
}

impl Written for Duration {
    const EXPECTED: &'static str = "a duration such as \"800ms\"";

    fn from_text(text: &str) -> Result<Duration, Misread> {
        if text.starts_with('-') {
            return Err(Misread::new(
                0..1,
                "a duration cannot be negative here".into(),
                format!("expected {}", Duration::EXPECTED),
            ));
        }
        parse_amount(text, TIME_UNITS, Duration::EXPECTED).map(Duration)
    }
}

impl Written for SignedDuration {
    const EXPECTED: &'static str = "a signed duration such as \"-50ms\" or \"+1200ms\"";

    fn from_text(text: &str) -> Result<SignedDuration, Misread> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let sign = text.len() - digits.len();
        let ns = parse_amount(digits, TIME_UNITS, SignedDuration::EXPECTED)
            .map_err(|misread| misread.after(sign))?;
        let too_large = || {
            let expected = format!("expected {}", SignedDuration::EXPECTED);
            Misread::new(0..text.len(), "this duration is too large".into(), expected)
        };
        let ns = i64::try_from(ns).map_err(|_| too_large())?;
        Ok(SignedDuration(if text.starts_with('-') { -ns } else { ns }))
    }
}

impl Written for Size {
    const EXPECTED: &'static str = "a size such as \"64KiB\"";

    fn from_text(text: &str) -> Result<Size, Misread> {
        parse_amount(text, SIZE_UNITS, Size::EXPECTED).map(Size)
    }
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        Size::from_text(text).map_err(|_| format!("{text:?} is not {}", Size::EXPECTED))
    }
}

impl Written for u64 {
    const EXPECTED: &'static str = "a number, or a range such as \"1..40\"";

    fn from_text(text: &str) -> Result<u64, Misread> {
        text.parse().map_err(|_| {
            Misread::new(
                0..text.len(),
                format!("`{text}` is no number"),
                format!("expected {}", u64::EXPECTED),
            )
        })
    }

    fn from_other(node: &Node) -> Result<u64, Problem> {
        match node.value {
            Value::Integer(_) => u64::read(node),
            _ => Err(wrong_kind(node, u64::EXPECTED)),
        }
    }
}

impl Written for i64 {
    const EXPECTED: &'static str = "an integer, or a range such as \"-100..100\"";

    fn from_text(text: &str) -> Result<i64, Misread> {
        text.parse().map_err(|_| {
            Misread::new(
                0..text.len(),
                format!("`{text}` is no integer"),
                format!("expected {}", i64::EXPECTED),
            )
        })
    }

    fn from_other(node: &Node) -> Result<i64, Problem> {
        match node.value {
            Value::Integer(_) => i64::read(node),
            _ => Err(wrong_kind(node, i64::EXPECTED)),
        }
    }
}

impl Misread {
    /// The same, `offset` bytes further on.
    fn after(mut self, offset: usize) -> Misread {
        self.within.start += offset;
        self.within.end += offset;
        self
    }

    fn at(self, node: &Node, text: &str) -> Problem {
        let place = node.place.part(text, self.within);
        Problem::new(&place, self.message, self.expected)
    }
}

/// A number and a unit, in the smallest of `units`.
fn parse_amount(text: &str, units: &[Unit], expected: &str) -> Result<u64, Misread> {
    let number_len = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(number_len);
    let names: Vec<_> = units.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    let no_number = || {
        let message = match text {
            "" => "there is nothing here".to_string(),
            _ => format!("`{text}` does not begin with a number"),
        };
        Misread::new(0..text.len(), message, format!("expected {expected}"))
    };
    if !number.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(no_number());
    }
    if unit.is_empty() {
        let message = format!("`{text}` has no unit");
        return Err(Misread::new(
            0..text.len(),
            message,
            format!("expected one of {names}"),
        ));
    }
    let Some((_, scale)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(Misread::new(
            number_len..text.len(),
            format!("unknown unit `{unit}`"),
            format!("expected one of {names}"),
        ));
    };
    let digits = number.replace('_', "");
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let amount = whole.parse::<u64>().ok().and_then(|whole| {
        let fraction = match fraction {
            "" => 0,
            _ => {
                let parts = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
                let scaled = fraction
                    .parse::<u128>()
                    .ok()?
                    .checked_mul((*scale).into())?;
                (scaled % parts == 0).then(|| (scaled / parts) as u64)?
            }
        };
        whole.checked_mul(*scale)?.checked_add(fraction)
    });
    amount.ok_or_else(|| {
        Misread::new(
            0..text.len(),
            format!("`{text}` is too large, or finer than a {}", units[0].0),
            format!("expected {expected}"),
        )
    })
}

fn read_text<T: Written>(node: &Node) -> Result<T, Problem> {
    match &node.value {
        Value::Text(text) => T::from_text(text).map_err(|misread| misread.at(node, text)),
        _ => T::from_other(node),
    }
}

impl Read for Duration {
    fn read(node: &Node) -> Result<Duration, Problem> {
        read_text(node)
    }
}

impl Read for SignedDuration {
    fn read(node: &Node) -> Result<SignedDuration, Problem> {
        read_text(node)
    }
}

impl Read for Size {
    fn read(node: &Node) -> Result<Size, Problem> {
        read_text(node)
    }
}

impl Read for Ratio {
    fn read(node: &Node) -> Result<Ratio, Problem> {
        let ratio = f64::read(node)?;
        Ratio::new(ratio).ok_or_else(|| {
            let message = format!("{ratio} is no ratio");
            Problem::new(&node.place, message, "expected a number from 0 to 1")
        })
    }
}

impl<T: Written> Read for Between<T> {
    fn read(node: &Node) -> Result<Between<T>, Problem> {
        let (text, dots) = match &node.value {
            Value::Text(text) => match text.find("..") {
                Some(dots) => (text, dots),
                None => return read_text(node).map(Between::exactly),
            },
            _ => return T::from_other(node).map(Between::exactly),
        };
        let end = |range: Range<usize>| {
            let part = &text[range.clone()];
            let indent = part.len() - part.trim_start().len();
            T::from_text(part.trim())
                .map_err(|misread| misread.after(range.start + indent).at(node, text))
        };
        let min = end(0..dots)?;
        let max = end(dots + 2..text.len())?;
        if min > max {
            return Err(Problem::new(
                &node.place,
                format!("this range is empty: {min} is more than {max}"),
                "expected the smaller end first",
            ));
        }
        Ok(Between { min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duration(text: &str) -> Option<u64> {
        Duration::from_text(text).ok().map(Duration::ns)
    }

    #[test]
    fn durations_are_exact() {
        assert_eq!(duration("50us"), Some(50_000));
        assert_eq!(duration("1.5s"), Some(1_500_000_000));
        assert_eq!(duration("0.000000001s"), Some(1));
        assert_eq!(duration("1_000ms"), Some(1_000_000_000));
        assert_eq!(duration("2m"), Some(120_000_000_000));
        for bad in [
            "", "s", "5", "5 s", "5sec", "-5s", "1.5ns", ".5s", "1.2.3s", "6000000h",
        ] {
            assert_eq!(duration(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for ns in [
            0,
            1,
            999,
            1_000,
            1_500_000,
            2_000_000_000,
            90_000_000_000,
            u64::MAX,
        ] {
            assert_eq!(duration(&Duration(ns).to_string()), Some(ns));
        }
        for ns in [0, -1, 1_200_000_000, -50_000_000] {
            let text = SignedDuration(ns).to_string();
            assert_eq!(
                SignedDuration::from_text(&text)
                    .ok()
                    .map(SignedDuration::ns),
                Some(ns)
            );
        }
        for bytes in [0, 1, 1 << 10, 1 << 16, 3 << 30, 1_000_000] {
            let text = Size(bytes).to_string();
            assert_eq!(Size::from_text(&text).ok().map(Size::bytes), Some(bytes));
        }
        assert_eq!(Duration(1_500_000_000).to_string(), "1500ms");
        assert_eq!(SignedDuration(1_200_000_000).to_string(), "+1200ms");
        assert_eq!(Size(65_536).to_string(), "64KiB");
    }

    #[test]
    fn ratios_are_between_0_and_1() {
        assert!(Ratio::new(0.0).is_some() && Ratio::new(1.0).is_some());
        for bad in [-0.001, 1.001, f64::NAN] {
            assert_eq!(Ratio::new(bad), None);
        }
    }
}
