//! What a fault did, to which nodes: one line of a schedule.

use super::disk::DiskAction;
use super::link::{Delay, LinkAction};
use super::text::{About, Names, write_cut, write_links};
use crate::format::{CrashDisk, FaultKind};
use serde::{Deserialize, Serialize};
use squall_api::Version;
use std::fmt;

/// Directed links, sorted.
pub type Links = Vec<(u64, u64)>;

/// What a fault did, to which nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Messages from the first to the second of each pair were lost.
    Partition {
        /// As what it was drawn: `isolate`, `halves`.
        form: String,
        /// The links.
        cut: Links,
        /// If it came and went: how long it was there, and then not, each time.
        #[serde(default, rename = "flap_ns", skip_serializing_if = "Option::is_none")]
        flap: Option<u64>,
    },
    /// Messages were late, lost, repeated, damaged.
    Link {
        /// The links.
        links: Links,
        /// What became of messages.
        what: LinkAction,
    },
    /// Nothing moved.
    Clog {
        /// The links.
        links: Links,
    },
    /// What would have arrived was held.
    Hold {
        /// The links.
        links: Links,
    },
    /// Clients and members heard each other late.
    ClientLink {
        /// The members.
        nodes: Vec<u64>,
        /// `both`, `calls` or `answers`.
        way: String,
        /// By how much.
        delay: Delay,
    },
    /// Clients and members did not hear each other.
    ClientCut {
        /// The members.
        nodes: Vec<u64>,
        /// `both`, `calls` or `answers`.
        way: String,
    },
    /// Connections of clients broke.
    ClientReset {
        /// To these members.
        nodes: Vec<u64>,
    },
    /// Disks misbehaved.
    Disk {
        /// Of these nodes.
        nodes: Vec<u64>,
        /// How.
        what: DiskAction,
    },
    /// Processes stood still.
    Pause {
        /// On these nodes.
        nodes: Vec<u64>,
    },
    /// Processes ran slowly.
    SlowCpu {
        /// On these nodes.
        nodes: Vec<u64>,
        /// How many times as long a step took, of 20 µs.
        factor: u64,
    },
    /// Processes were asked to stop.
    Stop {
        /// On these nodes.
        nodes: Vec<u64>,
    },
    /// Processes were killed.
    Crash {
        /// On these nodes.
        nodes: Vec<u64>,
        /// What became of unsynced data.
        disk: CrashDisk,
        /// At which of their disk operations they were killed again after they
        /// had started.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again_at: Option<u64>,
    },
    /// Processes were killed, and lost their disks.
    Wipe {
        /// On these nodes.
        nodes: Vec<u64>,
    },
    /// Machines were gone for good, and spares joined in their place.
    Replace {
        /// These nodes.
        nodes: Vec<u64>,
    },
    /// Processes were stopped, to be started as a later release.
    Upgrade {
        /// On these nodes.
        nodes: Vec<u64>,
        /// Which.
        to: Version,
    },
    /// Processes were stopped, to be started as an earlier release.
    Downgrade {
        /// On these nodes.
        nodes: Vec<u64>,
        /// Which.
        to: Version,
    },
    /// Clocks went wrong.
    ClockSkew {
        /// On these nodes.
        nodes: Vec<u64>,
        /// By how many nanoseconds the wall clock was ahead.
        #[serde(rename = "wall_step_ns")]
        wall_step: i64,
        /// By how many millionths the clocks ran faster.
        drift_ppm: i64,
    },
    /// Clocks stood still.
    ClockFreeze {
        /// On these nodes.
        nodes: Vec<u64>,
    },
    /// Wall clocks jumped.
    ClockStep {
        /// On these nodes.
        nodes: Vec<u64>,
        /// By so many nanoseconds.
        #[serde(rename = "by_ns")]
        by: i64,
    },
}

impl Action {
    /// The nodes it is about: sorted, each once. For links, everyone at either
    /// end of one.
    pub fn nodes(&self) -> Vec<u64> {
        let mut nodes = match self {
            Action::Partition { cut: links, .. }
            | Action::Link { links, .. }
            | Action::Clog { links }
            | Action::Hold { links } => links.iter().flat_map(|(f, t)| [*f, *t]).collect(),
            Action::ClientLink { nodes, .. }
            | Action::ClientCut { nodes, .. }
            | Action::ClientReset { nodes }
            | Action::Disk { nodes, .. }
            | Action::Pause { nodes }
            | Action::SlowCpu { nodes, .. }
            | Action::Stop { nodes }
            | Action::Crash { nodes, .. }
            | Action::Wipe { nodes }
            | Action::Replace { nodes }
            | Action::Upgrade { nodes, .. }
            | Action::Downgrade { nodes, .. }
            | Action::ClockSkew { nodes, .. }
            | Action::ClockFreeze { nodes }
            | Action::ClockStep { nodes, .. } => nodes.clone(),
        };
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// The kinds of fault that it was.
    pub fn kinds(&self) -> Vec<FaultKind> {
        let mut names: Vec<String> = Vec::new();
        match self {
            Action::Partition { form, flap, .. } => {
                names.push(format!("partition {form}"));
                names.extend(flap.map(|_| "partition flapping".into()));
            }
            Action::Link { what, .. } => {
                names.extend(what.parts().map(|part| format!("link {part}")));
            }
            Action::Clog { .. } => names.push("clog".into()),
            Action::Hold { .. } => names.push("hold".into()),
            Action::ClientLink { .. } => names.push("client_link".into()),
            Action::ClientCut { .. } => names.push("client_cut".into()),
            Action::ClientReset { .. } => names.push("client_reset".into()),
            Action::Disk { what, .. } => names.push(what.name().into()),
            Action::Pause { .. } => names.push("pause".into()),
            Action::SlowCpu { .. } => names.push("slow_cpu".into()),
            Action::Stop { .. } => names.push("stop".into()),
            Action::Crash { disk, again_at, .. } => {
                names.push(format!("crash {}", disk.name()));
                names.extend(again_at.map(|_| "crash again_at".into()));
            }
            Action::Wipe { .. } => names.push("wipe".into()),
            Action::Replace { .. } => names.push("replace".into()),
            Action::Upgrade { .. } => names.push("upgrade".into()),
            Action::Downgrade { .. } => names.push("downgrade".into()),
            Action::ClockSkew { .. } => names.push("clock_skew".into()),
            Action::ClockFreeze { .. } => names.push("clock_freeze".into()),
            Action::ClockStep { .. } => names.push("clock_step".into()),
        }
        // Who edits a schedule may name a form that is none.
        let known = names.iter().filter_map(|name| FaultKind::named(name));
        known.collect()
    }
}

/// What a fault did, in a line: `partition n1 | n2 n3`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Partition { cut, flap, .. } => {
                write_cut(f, cut)?;
                match flap {
                    Some(flap) => write!(f, ", on and off every {}", About(*flap)),
                    None => Ok(()),
                }
            }
            Action::Link { links, what } => {
                f.write_str("degrade ")?;
                write_links(f, links)?;
                write!(f, ": {what}")
            }
            Action::Clog { links } => {
                f.write_str("clog ")?;
                write_links(f, links)
            }
            Action::Hold { links } => {
                f.write_str("hold ")?;
                write_links(f, links)
            }
            Action::ClientLink { nodes, way, delay } => write!(
                f,
                "delay {} of clients of {} by {delay}",
                calls(way),
                Names(nodes)
            ),
            Action::ClientCut { nodes, way } => {
                write!(f, "cut {} of clients of {}", calls(way), Names(nodes))
            }
            Action::ClientReset { nodes } => {
                write!(f, "reset connections of clients to {}", Names(nodes))
            }
            Action::Disk { nodes, what } => what.describe(f, &Names(nodes)),
            Action::Pause { nodes } => write!(f, "pause {}", Names(nodes)),
            Action::SlowCpu { nodes, factor } => {
                write!(f, "slow CPU of {}: {factor} times", Names(nodes))
            }
            Action::Stop { nodes } => write!(f, "stop {}", Names(nodes)),
            Action::Crash {
                nodes,
                disk,
                again_at,
            } => {
                let fate = match disk {
                    CrashDisk::Kept => "kept",
                    CrashDisk::Lost => "lost",
                    CrashDisk::TornWrite => "torn",
                };
                write!(f, "crash {}, unsynced data {fate}", Names(nodes))?;
                match again_at {
                    Some(at) => write!(f, ", again at disk operation {at} of the recovery"),
                    None => Ok(()),
                }
            }
            Action::Wipe { nodes } => write!(f, "wipe {}", Names(nodes)),
            Action::Replace { nodes } => write!(f, "replace {}", Names(nodes)),
            Action::Upgrade { nodes, to } => {
                write!(f, "upgrade {} to {}", Names(nodes), to.short())
            }
            Action::Downgrade { nodes, to } => {
                write!(f, "downgrade {} to {}", Names(nodes), to.short())
            }
            Action::ClockSkew {
                nodes,
                wall_step,
                drift_ppm,
            } => write!(
                f,
                "clock skew {}: wall {}, drift {drift_ppm:+} ppm",
                Names(nodes),
                signed(*wall_step)
            ),
            Action::ClockFreeze { nodes } => write!(f, "freeze clocks of {}", Names(nodes)),
            Action::ClockStep { nodes, by } => {
                write!(f, "step wall clock of {} by {}", Names(nodes), signed(*by))
            }
        }
    }
}

fn calls(way: &str) -> &str {
    match way {
        "both" => "calls and answers",
        way => way,
    }
}

fn signed(ns: i64) -> String {
    let sign = if ns < 0 { '-' } else { '+' };
    format!("{sign}{}", About(ns.unsigned_abs()))
}
