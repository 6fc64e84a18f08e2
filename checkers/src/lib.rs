//! History in, verdict out: pass, fail with a witness, or unknown with a reason.

pub mod durability;
pub mod raft;
pub mod recovery;
pub mod replicas;
