//! Raft without I/O, on raft-proto's message types.
//!
//! [`Raft`] is one node: messages, proposals and the time come in through its
//! verbs, and an [`Output`] says what is to be persisted, sent and applied. It
//! owns no clock, no disk and no socket; its only randomness is the generator
//! it was given, from which election timeouts are drawn.
//!
//! ```text
//! verb  ->  take()  ->  write reset, append, hard_state; start a sync
//!                       release send at once
//!                       apply committed, serve readable
//!           sync ends:  release send_after_sync, persisted(), take()
//! ```
//!
//! Terms are those of the Raft paper (Ongaro and Ousterhout, 2014), to whose
//! sections comments refer; message fields are used as etcd and raft-rs do.

mod check_quorum;
pub mod confchange;
mod durability;
mod election;
mod follower;
mod forwards;
mod inflights;
mod lease;
mod log;
pub mod marks;
mod membership;
mod message;
mod output;
mod prevote;
mod progress;
mod proposals;
pub mod quorum;
mod raft;
mod reads;
mod refusals;
mod replication;
mod settings;
mod snapshots;
mod transfer;

pub use message::{decode_conf_change, is_conf_change};
pub use output::Output;
pub use raft::Raft;
pub use refusals::{NoLeader, ProposeError, TransferError};
pub use settings::{LogBase, Restored, Settings};
