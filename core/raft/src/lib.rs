//! Raft without I/O, on raft-proto's message types.

pub mod marks;
mod output;
mod raft;
mod settings;

pub use output::Output;
pub use raft::Raft;
pub use settings::{LogBase, NoLeader, Restored, Settings};
