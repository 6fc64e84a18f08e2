//! History in, verdict out: pass, fail with a witness, or unknown with a reason.

pub mod alarms;
pub mod auth;
pub mod budget;
pub mod compaction;
pub mod damage;
mod describe;
pub mod disks;
pub mod durability;
pub mod foreign;
mod formats;
pub mod generate;
mod generic;
pub mod lease;
pub mod line;
pub mod linearizable;
pub mod monotonic;
pub mod progress;
pub mod promotion;
pub mod raft;
pub mod recovery;
pub mod replicas;
mod rules;
mod search;
mod store;
pub mod versions;
pub mod watch;
