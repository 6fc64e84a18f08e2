//! What the world on madsim promises, shown on members small enough to read:
//! an apply lane that writes, syncs and answers, and a Raft lane that sends a
//! heartbeat to everybody every 100 ms of its own clock.

mod clocks;
mod connections;
mod marks;
mod network;
mod processes;
mod steps;
mod tiny;
