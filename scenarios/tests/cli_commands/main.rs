//! The command line, met as a person and as a CI job, over a runner that is
//! made up: what runs mean is tested elsewhere.

mod check;
mod inputs;
mod process;
mod replay;
mod run;
mod store;
mod support;
mod sweep;
