//! What becomes of messages, short of a partition.

use crate::format::document::{Node, Problem, Value};
use crate::format::fields::{Fields, Read, unknown};
use crate::format::{Between, Duration, Ratio, Selector, Size};
use std::fmt;

/// From whom to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The senders.
    pub from: Selector,
    /// The addressees.
    pub to: Selector,
    /// Also the other way round.
    pub both_ways: bool,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = if self.both_ways { "<->" } else { "->" };
        write!(f, "{} {arrow} {}", self.from, self.to)
    }
}

/// `link`: what becomes of each message, on top of how the link is anyway.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LinkSpec {
    /// What it takes longer.
    pub delay: Option<Latency>,
    /// The share that never arrives.
    pub loss: Ratio,
    /// The share that arrives twice.
    pub duplicate: Ratio,
    /// The share that falls behind.
    pub reorder: Ratio,
    /// By how much, drawn for each.
    pub reorder_by: Option<Between<Duration>>,
    /// The share that is damaged under way.
    pub corrupt: Ratio,
    /// Bytes that leave each second.
    pub bandwidth: Option<Size>,
    /// Bytes that may wait to leave; more are dropped.
    pub queue: Option<Size>,
}

impl LinkSpec {
    /// How far a message falls behind that is reordered, if nothing is said.
    pub const REORDER_BY: Between<Duration> = Between {
        min: Duration::from_ms(1),
        max: Duration::from_ms(50),
    };
    /// How much may wait before a narrow link, if nothing is said.
    pub const QUEUE: Size = Size::from_bytes(64 << 10);
}

/// A distribution of latencies: `"2ms..15ms"` is uniform.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Latency {
    /// Anything in the range, equally likely.
    Uniform(Between<Duration>),
    /// `{ min = "1ms", mean = "5ms" }`: the least, and on top of it a wait that
    /// is exponentially distributed.
    Exponential {
        /// What every message takes.
        min: Duration,
        /// The mean of what comes on top.
        mean: Duration,
    },
    /// `{ body = "1ms..3ms", tail = "50ms..200ms", share = 0.05 }`: mostly the
    /// one, sometimes the other.
    Bimodal {
        /// What most messages take.
        body: Between<Duration>,
        /// What the others take.
        tail: Between<Duration>,
        /// The share of the others.
        share: Ratio,
    },
}

impl Latency {
    /// Whether it is no time at all, always.
    pub fn is_zero(&self) -> bool {
        match self {
            Latency::Uniform(range) => range.max.ns() == 0,
            Latency::Exponential { min, mean } => min.ns() + mean.ns() == 0,
            Latency::Bimodal { body, tail, .. } => body.max.ns() + tail.max.ns() == 0,
        }
    }
}

impl From<Latency> for squall_sim::LatencyModel {
    fn from(latency: Latency) -> squall_sim::LatencyModel {
        let range = |range: Between<Duration>| range.min.ns()..=range.max.ns();
        match latency {
            Latency::Uniform(uniform) => range(uniform).into(),
            Latency::Exponential { min, mean } => squall_sim::LatencyModel::Exponential {
                min: min.ns(),
                mean: mean.ns(),
            },
            Latency::Bimodal { body, tail, share } => squall_sim::LatencyModel::Bimodal {
                body: range(body),
                tail: range(tail),
                tail_probability: share.get(),
            },
        }
    }
}

/// As it is written in a file.
impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Latency::Uniform(range) => write!(f, "\"{range}\""),
            Latency::Exponential { min, mean } => {
                write!(f, "{{ min = \"{min}\", mean = \"{mean}\" }}")
            }
            Latency::Bimodal { body, tail, share } => write!(
                f,
                "{{ body = \"{body}\", tail = \"{tail}\", share = {:?} }}",
                share.get()
            ),
        }
    }
}

impl Read for Latency {
    fn read(node: &Node) -> Result<Latency, Problem> {
        let Value::Table(entries) = &node.value else {
            return Between::read(node).map(Latency::Uniform);
        };
        const KEYS: &[&str] = &["min", "mean", "body", "tail", "share"];
        let fields = Fields::open(node, "this latency", KEYS)?;
        if entries.iter().any(|entry| entry.key == "mean") {
            if let Some(other) = ["body", "tail", "share"]
                .into_iter()
                .find_map(|key| fields.entry(key))
            {
                return Err(Problem::new(
                    &other.place,
                    "this latency is two distributions",
                    "expected { min, mean } or { body, tail, share }",
                ));
            }
            return Ok(Latency::Exponential {
                min: fields.or("min", Duration::default())?,
                mean: fields.required("mean")?,
            });
        }
        Ok(Latency::Bimodal {
            body: fields.required("body")?,
            tail: fields.required("tail")?,
            share: fields.required("share")?,
        })
    }
}

/// Which way of clients' connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientWay {
    /// Both ways.
    #[default]
    Both,
    /// Calls only.
    Calls,
    /// Answers only.
    Answers,
}

impl ClientWay {
    const ALL: [ClientWay; 3] = [ClientWay::Both, ClientWay::Calls, ClientWay::Answers];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            ClientWay::Both => "both",
            ClientWay::Calls => "calls",
            ClientWay::Answers => "answers",
        }
    }

    /// The way of that name.
    pub(crate) fn named(name: &str) -> Option<ClientWay> {
        ClientWay::ALL.into_iter().find(|way| way.name() == name)
    }
}

impl Read for ClientWay {
    fn read(node: &Node) -> Result<ClientWay, Problem> {
        let text = String::read(node)?;
        ClientWay::named(&text).ok_or_else(|| {
            let place = node.place.part(&text, 0..text.len());
            let names = ClientWay::ALL.map(ClientWay::name);
            unknown("way", &text, "", &names, &place)
        })
    }
}
