//! Fault scenarios for a consensus store: what breaks, what clients do
//! meanwhile, and what must hold.
//!
//! - [`format`]: the scenario file, typed, with errors that point at their place;
//! - [`plan`]: which faults a seed draws, and what came of them in a run;
//! - [`workload`]: what clients ask for;
//! - [`library`]: the scenarios that come with squall;
//! - [`runner`]: one run, a pure function of scenario, seed and build.

pub mod format;
pub mod library;
pub mod plan;
pub mod runner;
pub mod workload;

pub use format::{Scenario, ScenarioError};
pub use plan::{Plan, Schedule};
