//! One member of the store, in two lanes.
//!
//! * The *Raft lane* owns the log: Raft and the write-ahead log.
//! * The *apply lane* ([`ApplyLane`]) owns the state: etcd v3's key-value
//!   semantics on redb, and the clients' requests.
//!
//! Both are [`squall_api::Machine`]s: they do nothing but answer inputs with
//! effects, and meet the world only through [`squall_api::Env`].

mod apply_lane;
mod backend;
mod check;
mod digest;
mod error;
mod hash;
mod index;
mod meta;
mod mvcc;
mod range;
mod reads;
mod revision;
mod snapshot;
mod txn;
mod waiting;

pub use apply_lane::{ApplyLane, ETCD_VERSION};

#[cfg(test)]
mod tests;
