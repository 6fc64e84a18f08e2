//! Linearizability of the whole key-value store.

pub(crate) mod agree;
pub(crate) mod anchored;
pub(crate) mod applied;
pub(crate) mod complete;
pub(crate) mod explain;
pub(crate) mod facts;
pub(crate) mod keys;
pub(crate) mod model;
pub(crate) mod mvcc;
pub(crate) mod timeline;
pub(crate) mod violation;

#[cfg(test)]
mod tests;
