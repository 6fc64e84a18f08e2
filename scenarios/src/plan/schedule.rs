//! Schedules: the faults of a run as they fired, written down so that they can
//! be followed again without the RNG.

use super::action::Action;
use super::{CrashPoint, NodeClock};
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
    /// The crashes of a crash-point sweep.
    pub crash_points: Vec<CrashPoint>,
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    crash_point: Vec<CrashPoint>,
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
            crash_point: self.crash_points.clone(),
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
            crash_points: file.crash_point,
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
    use crate::format::{CrashDisk, FaultKind, Region};
    use crate::plan::{Delay, DiskAction, LinkAction};

    fn fired(number: u32, lasts: Option<u64>, action: Action) -> Fired {
        Fired {
            number,
            label: format!("fault {number}"),
            repetition: u64::from(number % 2),
            mark: (number == 2).then(|| "raft.campaigned#4".into()),
            at: 1_000_000_001 * u64::from(number),
            lasts,
            action,
        }
    }

    fn schedule() -> Schedule {
        let disk = |what| Action::Disk {
            nodes: vec![2],
            what,
        };
        let (region, probability, links) = (Region::Wal, 0.25, vec![(1, 2)]);
        let actions = [
            Action::Partition {
                form: "isolate".into(),
                cut: vec![(1, 2), (1, 3), (2, 1), (3, 1)],
                flap: None,
            },
            Action::Partition {
                form: "one_way".into(),
                cut: links.clone(),
                flap: Some(250_000_000),
            },
            Action::Pause { nodes: vec![1] },
            Action::Crash {
                nodes: vec![1, 2],
                disk: CrashDisk::TornWrite,
                again_at: None,
            },
            Action::ClockSkew {
                nodes: vec![3],
                wall_step: -1_200_000_000,
                drift_ppm: 200,
            },
            Action::Link {
                links: links.clone(),
                what: LinkAction {
                    delay: Some(Delay::Bimodal {
                        body_ns: (0, 1_000_000),
                        tail_ns: (5_000_000, 90_000_000),
                        share: 0.05,
                    }),
                    loss: 0.1,
                    duplicate: 0.2,
                    reorder: 0.3,
                    reorder_by_ns: Some((1, 2)),
                    corrupt: 0.4,
                    bytes_per_second: Some(1_000),
                    queue_bytes: Some(2_000),
                },
            },
            Action::Link {
                links: links.clone(),
                what: LinkAction {
                    delay: Some(Delay::Exponential {
                        min_ns: 1_000,
                        mean_ns: 2_000_000,
                    }),
                    ..LinkAction::default()
                },
            },
            Action::Clog {
                links: links.clone(),
            },
            Action::Hold { links },
            Action::ClientLink {
                nodes: vec![1],
                way: "answers".into(),
                delay: Delay::Uniform(5, 2_000_000),
            },
            Action::ClientCut {
                nodes: vec![1],
                way: "both".into(),
            },
            Action::ClientReset { nodes: vec![1] },
            disk(DiskAction::FsyncStall {
                delay_ns: 800_000_000,
            }),
            disk(DiskAction::SlowDisk {
                factor: 2.5,
                delay_ns: 1_000_000,
            }),
            disk(DiskAction::Throttle {
                bytes_per_second: 65_536,
            }),
            disk(DiskAction::WriteError {
                region,
                probability,
            }),
            disk(DiskAction::FsyncError {
                region,
                probability,
            }),
            disk(DiskAction::FsyncLie {
                region,
                probability,
            }),
            disk(DiskAction::DiskFull { room_bytes: 4_096 }),
            disk(DiskAction::BitRot { region, sectors: 3 }),
            disk(DiskAction::ReadFlip {
                region: Region::Db,
                probability,
            }),
            disk(DiskAction::LatentError {
                region: Region::All,
                sectors: 3,
            }),
            disk(DiskAction::MisdirectedWrite {
                region,
                probability,
            }),
            disk(DiskAction::LostName { region, names: 1 }),
            Action::SlowCpu {
                nodes: vec![1],
                factor: 50,
            },
            Action::Stop { nodes: vec![1] },
            Action::Crash {
                nodes: vec![1],
                disk: CrashDisk::Lost,
                again_at: Some(7),
            },
            Action::Wipe { nodes: vec![1] },
            Action::Replace { nodes: vec![1] },
            Action::Upgrade {
                nodes: vec![1],
                to: squall_api::Version::NEWEST,
            },
            Action::Downgrade {
                nodes: vec![1],
                to: squall_api::Version::OLDEST,
            },
            Action::ClockFreeze { nodes: vec![1] },
            Action::ClockStep {
                nodes: vec![1],
                by: 3_000_000_000,
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
            crash_points: vec![CrashPoint {
                node: 2,
                at: 1_234_567,
                image: 3,
            }],
        }
    }

    #[test]
    fn every_kind_of_fault_has_an_action_that_is_it() {
        let mut kinds: Vec<_> = (schedule().faults.iter())
            .flat_map(|fault| fault.action.kinds())
            .map(FaultKind::name)
            .collect();
        // Those that differ from one above by a word only.
        kinds.extend(["crash kept", "partition halves", "partition split"]);
        kinds.extend(["partition bridge", "partition ring", "partition partial"]);
        kinds.push("link delay uniform");
        for kind in FaultKind::ALL {
            assert!(kinds.contains(&kind.name()), "{}", kind.name());
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
            lines.push({
                let action = Action::Partition {
                    form: "split".into(),
                    cut,
                    flap: None,
                };
                action.to_string()
            });
        }
        insta::assert_snapshot!(lines.join("\n"));
    }
}
