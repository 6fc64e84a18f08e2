//! Fault scenarios for a consensus store: what breaks, what clients do
//! meanwhile, and what must hold.
//!
//! - [`format`]: the scenario file, typed, with errors that point at their place;
//! - [`plan`]: which faults a seed draws, and what came of them in a run;
//! - [`workload`]: what clients ask for;
//! - [`library`]: the scenarios that come with squall;
//! - [`runner`]: one run, a pure function of scenario, seed and build;
//! - [`sweep`]: many runs on several threads, reported as if on one;
//! - [`differ`]: where two runs part;
//! - [`isolate`]: runs in processes of their own, which may die;
//! - [`effects`]: what faults are good for;
//! - [`rundir`]: what a run leaves behind;
//! - [`marks`]: the named points of the code, at which faults can set in;
//! - [`hunts`]: which scenario finds which planted bug;
//! - [`commit`]: what is checked out, from which seeds can be derived;
//! - [`cli`]: the command line over all of it.

pub mod cli;
pub mod commit;
pub mod crash_points;
pub mod differ;
mod draw;
pub mod effects;
pub mod format;
pub mod hunts;
pub mod isolate;
pub mod library;
pub mod marks;
mod panics;
mod permissions;
pub mod plan;
pub mod rundir;
pub mod runner;
pub mod sessions;
pub mod sweep;
pub mod workload;

pub use format::{Scenario, ScenarioError};
pub use plan::{Plan, Schedule};
