//! What became of messages, amounts drawn.

use super::text::About;
use crate::format::{Latency, LinkSpec};
use serde::{Deserialize, Serialize};
use squall_sim::{Bandwidth, LatencyModel, LinkFault};
use std::fmt;

/// What became of messages of a link. Shares are from 0 to 1; what a file
/// leaves out is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkAction {
    /// What each took longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
    /// The share that was lost.
    #[serde(skip_serializing_if = "is_none")]
    pub loss: f64,
    /// The share that arrived twice.
    #[serde(skip_serializing_if = "is_none")]
    pub duplicate: f64,
    /// The share that fell behind.
    #[serde(skip_serializing_if = "is_none")]
    pub reorder: f64,
    /// By how much: the least and the most, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder_by_ns: Option<(u64, u64)>,
    /// The share that was damaged.
    #[serde(skip_serializing_if = "is_none")]
    pub corrupt: f64,
    /// Bytes that left each second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// Bytes that could wait to leave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_bytes: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_none(share: &f64) -> bool {
    *share == 0.0
}

/// A distribution of latencies, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Delay {
    /// From the first to the second, equally likely.
    Uniform(u64, u64),
    /// The least, and a wait on top of it.
    Exponential {
        /// What every message took.
        min_ns: u64,
        /// The mean of what came on top.
        mean_ns: u64,
    },
    /// Mostly the one, sometimes the other.
    Bimodal {
        /// What most took.
        body_ns: (u64, u64),
        /// What the others took.
        tail_ns: (u64, u64),
        /// The share of the others.
        share: f64,
    },
}

impl From<Latency> for Delay {
    fn from(latency: Latency) -> Delay {
        match latency {
            Latency::Uniform(range) => Delay::Uniform(range.min.ns(), range.max.ns()),
            Latency::Exponential { min, mean } => Delay::Exponential {
                min_ns: min.ns(),
                mean_ns: mean.ns(),
            },
            Latency::Bimodal { body, tail, share } => Delay::Bimodal {
                body_ns: (body.min.ns(), body.max.ns()),
                tail_ns: (tail.min.ns(), tail.max.ns()),
                share: share.get(),
            },
        }
    }
}

impl Delay {
    pub(crate) fn model(&self) -> LatencyModel {
        match *self {
            Delay::Uniform(min, max) => (min..=max).into(),
            Delay::Exponential { min_ns, mean_ns } => LatencyModel::Exponential {
                min: min_ns,
                mean: mean_ns,
            },
            Delay::Bimodal {
                body_ns,
                tail_ns,
                share,
            } => LatencyModel::Bimodal {
                body: body_ns.0..=body_ns.1,
                tail: tail_ns.0..=tail_ns.1,
                tail_probability: share,
            },
        }
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Delay::Uniform(min, max) if min == max => write!(f, "{}", About(*min)),
            Delay::Uniform(min, max) => write!(f, "{} to {}", About(*min), About(*max)),
            Delay::Exponential { min_ns, mean_ns } => {
                write!(f, "{} and {} in the mean", About(*min_ns), About(*mean_ns))
            }
            Delay::Bimodal { tail_ns, share, .. } => {
                write!(f, "up to {}, {share} of them", About(tail_ns.1))
            }
        }
    }
}

impl LinkAction {
    pub(super) fn of(spec: &LinkSpec) -> LinkAction {
        let by = spec.reorder_by.unwrap_or(LinkSpec::REORDER_BY);
        LinkAction {
            delay: spec.delay.map(Delay::from),
            loss: spec.loss.get(),
            duplicate: spec.duplicate.get(),
            reorder: spec.reorder.get(),
            reorder_by_ns: (spec.reorder.get() > 0.0).then(|| (by.min.ns(), by.max.ns())),
            corrupt: spec.corrupt.get(),
            bytes_per_second: spec.bandwidth.map(|rate| rate.bytes()),
            queue_bytes: spec
                .bandwidth
                .map(|_| spec.queue.unwrap_or(LinkSpec::QUEUE).bytes()),
        }
    }

    pub(crate) fn fault(&self) -> LinkFault {
        let (least, most) = self.reorder_by_ns.unwrap_or_default();
        LinkFault {
            delay: self.delay.as_ref().map_or(LatencyModel::ZERO, Delay::model),
            loss: self.loss,
            duplicate: self.duplicate,
            reorder: self.reorder,
            reorder_by: least..=most,
            corrupt: self.corrupt,
            bandwidth: self.bytes_per_second.map(|bytes_per_second| Bandwidth {
                bytes_per_second,
                queue_bytes: self.queue_bytes.unwrap_or(u64::MAX),
            }),
        }
    }

    /// What it did, in words that counts know.
    pub(super) fn parts(&self) -> impl Iterator<Item = &'static str> {
        let delay = self.delay.as_ref().map(|delay| match delay {
            Delay::Uniform(..) => "delay uniform",
            Delay::Exponential { .. } => "delay exponential",
            Delay::Bimodal { .. } => "delay bimodal",
        });
        let parts = [
            delay,
            (self.loss > 0.0).then_some("loss"),
            (self.duplicate > 0.0).then_some("duplicate"),
            (self.reorder > 0.0).then_some("reorder"),
            (self.corrupt > 0.0).then_some("corrupt"),
            self.bytes_per_second.map(|_| "bandwidth"),
        ];
        parts.into_iter().flatten()
    }
}

impl fmt::Display for LinkAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        parts.extend(self.delay.as_ref().map(|delay| format!("late by {delay}")));
        for (what, share) in [
            ("lost", self.loss),
            ("twice", self.duplicate),
            ("reordered", self.reorder),
            ("damaged", self.corrupt),
        ] {
            if share > 0.0 {
                parts.push(format!("{share} {what}"));
            }
        }
        parts.extend(self.bytes_per_second.map(|rate| format!("{rate} bytes/s")));
        f.write_str(&parts.join(", "))
    }
}
