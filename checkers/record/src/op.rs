//! Operations: what clients did, and what they know about it.

use serde::{Deserialize, Serialize};
use squall_api::{Request as Call, Response as Ret, Status};
use std::time::Duration;

/// One attempt of one client to do one thing. A retry is a new operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Op {
    /// Unique in its history.
    pub id: u64,
    /// The client (a connection-holding entity, stable over the run).
    pub client: u32,
    /// The sequential process, in Jepsen's sense: it has at most one operation
    /// open, and after an unknown outcome the client goes on as a new one.
    pub process: u32,
    /// The member that was asked.
    pub member: u64,
    /// When the call was sent: stamped before the first byte left.
    pub invoke: u64,
    /// When the client knew the outcome, or gave up; `None` if the run ended first.
    pub ret: Option<u64>,
    /// The token that it came with, as `Authenticate` gave it; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub token: String,
    /// What was asked.
    pub call: Call,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a client knows about its operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It happened, with this answer.
    Ok(Ret),
    /// It certainly had no effect.
    Refused(Status),
    /// It may have happened, may happen yet, or may never.
    Unknown(Why),
}

impl Outcome {
    /// The outcome of a call that was answered with an error: definite only if
    /// the code proves that nothing happened.
    pub fn from_status(status: Status) -> Outcome {
        if status.code.is_definite() {
            Outcome::Refused(status)
        } else {
            Outcome::Unknown(Why::Status(status))
        }
    }
}

/// Why an outcome is unknown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The client waited as long as it wanted to.
    Timeout,
    /// The connection broke after the call was sent.
    Reset,
    /// The answer was an error that proves nothing.
    Status(Status),
    /// The run ended first.
    RunEnded,
}

/// Whatever can be called: a simulated store, a live process, real etcd.
#[expect(
    async_fn_in_trait,
    reason = "workloads run on one thread: no future of theirs needs to be Send"
)]
pub trait Target {
    /// Calls `member`, and waits at most `limit` for the outcome.
    async fn call(&mut self, member: u64, call: Call, limit: Duration) -> Outcome;
}
