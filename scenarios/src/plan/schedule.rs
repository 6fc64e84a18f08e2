//! Schedules: the faults of a run as they fired, written down so that they can
//! be followed again without the RNG.

use super::NodeClock;
use super::action::Action;
use crate::draw::hash;
use crate::format::Diagnostic;
use serde::{Deserialize, Serialize};
use squall_record::FormatVersion;

/// The version of the schedule format that this build writes. Anything newer
/// is refused: a field that a reader ignores would make another replay.
const VERSION: FormatVersion = FormatVersion { major: 1, minor: 0 };
const FORMAT: &str = "squall-schedule";

/// The faults of one run as they fired: what `schedule.toml` holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schedule {
    /// The scenario's name.
    pub scenario: String,
    /// The seed. Workload, links and disks still draw from it.
    pub seed: u64,
    /// The clocks of nodes 1, 2, ...
    pub clocks: Vec<NodeClock>,
    /// The faults, in the order in which they fired.
    pub faults: Vec<Fired>,
}

/// One fault as it fired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fired {
    /// Its number in the plan that it came from.
    pub number: u32,
    /// Its label.
    pub label: String,
    /// How often a fault of this label had come before. Label and repetition
    /// are what the draws of links and disks under this fault are keyed by.
    #[serde(default, skip_serializing_if = "is_first")]
    pub repetition: u64,
    /// The mark at which it set in, as `NAME#N`. Who follows the schedule waits
    /// for the mark again: a time would not tell before or after which effect
    /// of the same moment it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// When it set in: true nanoseconds since the start of the run.
    #[serde(rename = "at_ns")]
    pub at: u64,
    /// After how many nanoseconds it ends (a crash: the process starts again);
    /// `None` if only the healing at the end undoes it.
    #[serde(default, rename = "for_ns", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<u64>,
    /// What it did.
    pub action: Action,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_first(repetition: &u64) -> bool {
    *repetition == 0
}

impl Fired {
    /// What the simulated world knows it by. It does not depend on what other
    /// faults there are: to remove one leaves the draws of the others in place.
    pub fn world_number(&self) -> u32 {
        let mixed = hash(&self.label)
            .wrapping_add(self.repetition)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as u32
    }

    /// The mark at which it set in, and the how many-th time.
    pub fn mark(&self) -> Option<(&str, u64)> {
        let (name, nth) = self.mark.as_deref()?.rsplit_once('#')?;
        Some((name, nth.parse().ok()?))
    }
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScheduleError(Box<Diagnostic>);

/// What tells a schedule from other files, before the rest is read.
#[derive(Deserialize)]
struct Header {
    format: Option<toml::Spanned<String>>,
    version: Option<toml::Spanned<String>>,
}

/// The file, in its order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    version: String,
    scenario: String,
    /// A string: TOML's integers end at 2^63.
    seed: String,
    #[serde(default)]
    clock: Vec<NodeClock>,
    #[serde(default)]
    fault: Vec<Fired>,
}

impl Schedule {
    /// The schedule as `schedule.toml`.
    pub fn to_toml(&self) -> String {
        let file = File {
            format: FORMAT.into(),
            version: VERSION.to_string(),
            scenario: self.scenario.clone(),
            seed: self.seed.to_string(),
            clock: self.clocks.clone(),
            fault: self.faults.clone(),
        };
        let text = toml::to_string(&file).expect("a schedule is tables, strings and integers");
        format!("# Every fault of one run, made concrete: replays without the RNG.\n{text}")
    }

    /// Reads a schedule. `source_name` is what errors call the text.
    pub fn parse(source_name: &str, text: &str) -> Result<Schedule, ScheduleError> {
        let error = |span, message: String, expected: String| {
            let diagnostic = Diagnostic::new(source_name, text, span, message, expected);
            ScheduleError(Box::new(diagnostic))
        };
        let not_toml = |e: toml::de::Error| {
            let span = e.span().unwrap_or_default();
            error(span, e.message().into(), String::new())
        };
        let header: Header = toml::from_str(text).map_err(not_toml)?;
        match header.format {
            Some(format) if format.get_ref() == FORMAT => {}
            Some(format) => {
                return Err(error(
                    format.span(),
                    format!("this is a {:?}, not a schedule", format.get_ref()),
                    format!("expected {FORMAT:?}"),
                ));
            }
            None => {
                return Err(error(
                    0..0,
                    "this is not a schedule".into(),
                    format!("expected the line: format = {FORMAT:?}"),
                ));
            }
        }
        let Some(version) = header.version else {
            return Err(error(
                0..0,
                "the schedule does not say its version".into(),
                format!("expected the line: version = \"{VERSION}\""),
            ));
        };
        match parse_version(version.get_ref()) {
            Some(found) if found <= VERSION => {}
            Some(found) => {
                return Err(error(
                    version.span(),
                    format!("schedule format {found} is newer than this build reads"),
                    format!("this build reads {VERSION}; use a newer squall"),
                ));
            }
            None => {
                return Err(error(
                    version.span(),
                    format!("{:?} is no version", version.get_ref()),
                    format!("expected \"{VERSION}\""),
                ));
            }
        }
        let file: File = toml::from_str(text).map_err(not_toml)?;
        let seed = file.seed.parse().map_err(|_| {
            let span = text
                .find(&file.seed)
                .map_or(0..0, |at| at..at + file.seed.len());
            error(
                span,
                "the seed is no number".into(),
                "expected 0 to 2^64 - 1".into(),
            )
        })?;
        Ok(Schedule {
            scenario: file.scenario,
            seed,
            clocks: file.clock,
            faults: file.fault,
        })
    }
}

fn parse_version(text: &str) -> Option<FormatVersion> {
    let (major, minor) = text.split_once('.')?;
    Some(FormatVersion {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(number: u32, lasts: Option<u64>, action: Action) -> Fired {
        Fired {
            number,
            label: format!("fault {number}"),
            at: 1_000_000_001 * u64::from(number),
            lasts,
            action,
        }
    }

    fn schedule() -> Schedule {
        let disk = CrashDisk::TornWrite;
        let actions = [
            Action::Partition {
                cut: vec![(1, 2), (1, 3), (2, 1), (3, 1)],
            },
            Action::FsyncStall {
                nodes: vec![2, 3],
                delay: 800_000_000,
            },
            Action::Pause { nodes: vec![1] },
            Action::Crash {
                nodes: vec![1, 2],
                disk,
            },
            Action::ClockSkew {
                nodes: vec![3],
                wall_step: -1_200_000_000,
                drift_ppm: 200,
            },
        ];
        let number = |(i, action)| fired(i as u32, (i != 3).then_some(7), action);
        Schedule {
            scenario: "everything-at-once".into(),
            seed: u64::MAX,
            clocks: vec![NodeClock {
                node: 1,
                offset_ns: -50,
                drift_ppm: 3,
            }],
            faults: actions.into_iter().enumerate().map(number).collect(),
        }
    }

    #[test]
    fn a_schedule_survives_the_file() {
        let written = schedule().to_toml();
        insta::assert_snapshot!(written);
        assert_eq!(
            Schedule::parse("schedule.toml", &written).unwrap(),
            schedule()
        );
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_its_place() {
        let written = schedule().to_toml();
        let error = |text: &str| {
            Schedule::parse("schedule.toml", text)
                .unwrap_err()
                .to_string()
        };
        let errors = [
            error("schema = 1\n"),
            error(&written.replace("squall-schedule", "squall-history")),
            error(&written.replace("\"1.0\"", "\"2.3\"")),
            error(&written.replace("torn_write", "burnt")),
            error(&written.replace("for_ns = 7", "for = 7")),
            error(&written.replace(&u64::MAX.to_string(), "many")),
            error(written.split("drift_ppm = 200").next().unwrap()),
        ];
        insta::assert_snapshot!(errors.join("\n\n"));
    }

    #[test]
    fn actions_read_as_a_line() {
        let mut lines: Vec<_> = schedule()
            .faults
            .iter()
            .map(|f| f.action.to_string())
            .collect();
        for cut in [
            vec![(2, 1), (2, 3)],
            vec![(1, 2), (3, 2)],
            vec![(1, 2), (2, 3)],
            vec![(1, 2), (2, 1), (3, 2)],
            vec![],
        ] {
            lines.push(Action::Partition { cut }.to_string());
        }
        insta::assert_snapshot!(lines.join("\n"), @r"
        partition n1 | n2 n3
        fsync stall n2 n3 by 800ms
        pause n1
        crash n1 n2, unsynced data torn
        clock skew n3: wall -1.2s, drift +200 ppm
        partition n2 -> n1 n3
        partition n1 n3 -> n2
        partition n1->n2 n2->n3
        partition n1->n2 n2->n1 n3->n2
        partition nothing
        ");
    }
}
