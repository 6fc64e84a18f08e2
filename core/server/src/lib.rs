//! The real edges of a member: files, threads, clocks and TCP.
//!
//! A [`Node`] opens one member in a data directory and runs its two lanes with
//! [`squall_api::drive`], the loop that also runs them in simulation, each on a
//! thread of its own. What stands around the loop is kept small, because it is
//! the part that simulation does not see:
//!
//! * [`FileDisk`]: [`squall_api::Disk`] on a data directory;
//! * peer connections: frames over TCP, lossy by design, never blocking;
//! * [`Client`]: calls from within the process;
//! * [`LogFiles`]: a log to be looked at, and not touched.

mod client;
mod disk;
mod host;
mod log_files;
mod node;
mod peer;

pub use client::Client;
pub use disk::FileDisk;
pub use log_files::LogFiles;
pub use node::{Ended, Node, Settings, StartError};
pub use peer::Log;
