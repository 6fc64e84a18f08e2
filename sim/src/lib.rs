//! Simulated machines for the store: the physics, and the worlds they stand in.
//!
//! The *physics* is free of any executor and the same in every world:
//!
//! * [`NodeDisk`]: what is pending and what is durable, what an operation
//!   costs, what a crash leaves ([`PowerLoss`]);
//! * [`Net`]: latency, loss, duplication, reordering, damage, bandwidth, cuts,
//!   clogs and holds per direction;
//! * [`NodeClock`]: a monotonic clock that drifts and freezes, a wall clock
//!   that also steps, both functions of true time;
//! * [`Streams`]: randomness keyed by entity and event, so that a fault that is
//!   removed leaves the rest of a run as it was.
//!
//! A *world* schedules: it moves true time, runs a member's lanes one step at a
//! time, and releases what they do at the time that the physics says. Every run
//! is a pure function of its scenario, seed and build; [`RollingHash`] says
//! whether two runs were the same.

#[cfg(not(madsim))]
compile_error!(
    "squall-sim needs `--cfg madsim`, which stands in .cargo/config.toml; a RUSTFLAGS (or \
     CARGO_ENCODED_RUSTFLAGS) variable in the environment overrides that file: unset it, or add \
     `--cfg madsim --cfg tokio_unstable` to it"
);

mod clock;
mod disk;
mod hash;
mod net;
mod rng;
pub mod turmoil_world;
pub mod world;

pub use clock::{ClockFault, ClockParams, NodeClock};
pub use disk::{
    Atlas, CrashReport, DiskFault, DiskFaultKind, DiskOp, DiskParams, DiskStats, FaultCounts,
    Mount, NodeDisk, Operation, PowerLoss, Region, StartedSync,
};
pub use hash::RollingHash;
pub use net::{Bandwidth, ClientWay, Fate, LatencyModel, LinkFault, LinkHits, LinkParams, Net};
pub use rng::{Draw, Keyed, Streams};
pub use squall_store::in_guarded_call;
