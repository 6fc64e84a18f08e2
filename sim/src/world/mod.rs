//! The world on madsim: members, clients and faults under one conductor.
//!
//! madsim brings deterministic tasks and their destruction; time, network,
//! disk and processes are our own physics. A single *conductor* owns a queue
//! of everything that is due, ordered by true time. It takes the next thing,
//! lets exactly one task run, and waits until that task has come to rest, so
//! that the executor never has a choice to make.
//!
//! [`simulate`] runs one async function, the scenario, against a [`World`]:
//!
//! 1. [`World::start`] the members;
//! 2. [`World::spawn`] clients (each with a [`World::client`]) and whoever
//!    injects faults;
//! 3. wait with [`World::sleep_until`] and [`World::join`], and return.
//!
//! Tasks may await nothing but what this module offers: anything else would
//! let the executor choose.

mod boot;
mod calls;
mod client;
mod conductor;
mod conns;
mod faults;
mod handle;
mod inner;
mod lane;
mod lives;
mod marks;
mod peers;
mod process;
mod queue;
mod recorder;
mod run;
mod setup;
mod shared;
mod steps;
mod streams;
mod task;
mod views;
mod wire;

pub use client::SimClient;
pub use handle::World;
pub use inner::{AppliedEntry, Violation};
pub use marks::AtMark;
pub use process::Standing;
pub use recorder::Keep;
pub use run::simulate;
pub use setup::{Lanes, MemberSetup, Observer, Open, Panicked, Setup, Simulated, store};
pub use streams::SimStream;
pub use task::Running;
