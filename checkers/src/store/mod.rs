//! Linearizability of the whole key-value store.

pub(crate) mod agree;
pub(crate) mod anchored;
pub(crate) mod applied;
mod by_key;
pub(crate) mod complete;
pub(crate) mod core;
pub(crate) mod explain;
pub(crate) mod facts;
pub(crate) mod kernel;
pub(crate) mod keys;
pub(crate) mod leases;
pub(crate) mod lines;
pub(crate) mod model;
pub(crate) mod mvcc;
pub(crate) mod refute;
pub(crate) mod timeline;
mod versions;
pub(crate) mod violation;

#[cfg(test)]
pub(crate) mod tests;
