//! The world on madsim: members, clients and faults under one conductor.
//!
//! madsim closes what a program could ask the system for: the time, random
//! numbers, threads. Time, network, disk and processes are our own physics, and
//! so are tasks. A single *conductor* owns a queue of everything that is due,
//! ordered by true time. It takes the next thing and polls at most one future
//! for it, a member's lane or a task of the scenario, which comes to rest before
//! anything else happens: there is no executor that could choose.
//!
//! [`simulate`] runs one async function, the scenario, against a [`World`]:
//!
//! 1. [`World::start`] the members;
//! 2. [`World::spawn`] clients (each with a [`World::client`]) and whoever
//!    injects faults;
//! 3. wait with [`World::sleep_until`] and [`World::join`], and return.
//!
//! Tasks may await nothing but what this module offers: nobody would wake them
//! from anything else.

mod boot;
mod calls;
mod client;
mod condition;
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
