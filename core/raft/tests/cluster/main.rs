//! Raft nodes in a cluster without a world: every message, sync and timeout is
//! a line in a test.

mod cluster;
mod flow;
mod hostile;
mod invariants;
mod leadership;
mod leases;
mod membership;
mod planted;
mod planted_membership;
mod random;
mod stories;
mod tell;
