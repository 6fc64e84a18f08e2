//! One member of the store, in two lanes.
//!
//! * The *Raft lane* ([`RaftLane`]) owns the log: Raft and the write-ahead log.
//! * The *apply lane* ([`ApplyLane`]) owns the state: etcd v3's key-value
//!   semantics on redb, and the clients' requests.
//!
//! Both are [`squall_api::Machine`]s: they do nothing but answer inputs with
//! effects, and meet the world only through [`squall_api::Env`].

mod alarms;
mod apply_lane;
mod attached;
mod auth;
mod auto_compaction;
mod backend;
mod backup;
mod check;
mod compaction;
mod digest;
mod error;
mod hash;
mod index;
mod leader_calls;
mod lease;
mod line;
mod membership;
mod meta;
mod mvcc;
mod raft_lane;
mod range;
mod reads;
mod revision;
mod rows;
mod snapshot;
mod txn;
mod versions;
mod waiting;
mod wal;
mod watch;

pub use apply_lane::ApplyLane;
pub use backend::guard::in_guarded_call;
pub use backup::{BackupStatus, RestoreError, RestoreOptions, backup_status, restore};
pub use digest::entry_id;
pub use raft_lane::RaftLane;
pub use wal::{check_log, dump_log};

use squall_api::{Env, Now, OpenError};

/// Opens a member, or creates it where there is no data yet.
///
/// The apply lane opens first: what its backend holds decides where the log
/// goes on after a snapshot was installed and the log not yet restarted.
pub fn open(env: Env, now: Now) -> Result<(RaftLane, ApplyLane), OpenError> {
    let (apply, applied) = ApplyLane::open(&env, now)?;
    let raft = RaftLane::open(env, now, applied, apply.configuration())?;
    Ok((raft, apply))
}

#[cfg(test)]
mod tests;
