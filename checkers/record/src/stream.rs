//! Streams: calls with many answers, and what their clients were told.

use serde::{Deserialize, Serialize};
use squall_api::{Request as Call, Response as Ret, Status};

/// One call that is a stream: a watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// Unique among the history's streams.
    pub id: u64,
    /// The client.
    pub client: u32,
    /// The member that was asked.
    pub member: u64,
    /// The token that it came with; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub token: String,
    /// What the client said, the message that opened the stream first.
    pub said: Vec<Said>,
    /// What the client took from its connection, in order.
    pub heard: Vec<Heard>,
    /// How it ended; `None` if it was open when the run ended.
    pub end: Option<Ended>,
}

/// A message of the client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// When it left.
    pub t: u64,
    /// The message.
    pub message: Call,
}

/// A message of the member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heard {
    /// When the client took it.
    pub t: u64,
    /// The message.
    pub message: Ret,
}

/// The end of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// When the client knew.
    pub t: u64,
    /// Why.
    pub why: WhyEnded,
}

/// Why a stream ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyEnded {
    /// The client wanted no more.
    Closed,
    /// Its connection broke, or never was.
    Reset,
    /// The member said so.
    Status(Status),
}
