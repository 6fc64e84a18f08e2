//! Tests of the lanes and the log as a whole, through what goes in and comes out.

mod auth;
mod auth_bench;
mod auth_model;
mod auth_tokens;
mod backup;
mod bench;
mod compaction;
mod crash;
mod crash_disk;
mod dump;
mod golden;
mod lane;
mod lease;
mod line;
mod maintenance;
mod members;
mod model;
mod planted;
mod planted_auth;
mod raft_lane;
mod range_stream;
mod versions;
mod wal;
mod watch;
mod watch_model;
