//! What a run leaves behind, and what is said about it.
//!
//! Simulator, checkers and reports share these types and nothing else: an
//! [`Event`] stream, a history of [`Op`]s, and a [`Verdict`] for each check.
//! All times are true nanoseconds since the start of the run, which no node's
//! clock shows.

mod availability;
mod chain;
mod condition;
mod event;
mod history;
mod op;
mod resources;
mod run;
mod stream;
mod verdict;

pub use availability::{Availability, Outage, Recovery};
pub use chain::{Checkpoint, Part, PartKind, Traced, Window};
pub use condition::{Condition, LinkTrouble, Trouble};
pub use event::{DropReason, Event, FaultPhase, Kind, RunPhase};
pub use history::{
    FORMAT, FormatVersion, HistoryError, read_history, read_streams, write_history, write_streams,
};
pub use op::{Op, Outcome, Target, Why};
pub use resources::Resources;
pub use run::{FaultCount, Run, Stats, Stop, Summary, Suspended};
pub use squall_api::{Code, Request as Call, Response as Ret, Status};
pub use stream::{Ended, Heard, Said, Stream, WhyEnded};
pub use verdict::{Check, Fact, Fingerprint, Reason, Verdict, Witness, seconds};
