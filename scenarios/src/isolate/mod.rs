//! Runs in processes of their own.
//!
//! A panic is caught where it happens. An abort, an overflowing stack or a heap
//! without an end takes the whole process, and with it every other run of a
//! sweep. So the runs of a command line are made by worker processes of the same
//! program, one per thread of the sweep, which live as long as all goes well:
//! a run costs two lines on a pipe. When one dies, the run that it was making is
//! known, is a finding, and the next run gets a new worker.

mod pool;
mod protocol;
mod worker;

pub use pool::{Pool, Worker};
pub use worker::{WORKER, serve};
