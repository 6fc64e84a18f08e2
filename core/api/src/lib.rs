//! What crosses between a member of the store and whoever hosts it.
//!
//! A leaf: everybody may depend on it, and it knows neither the store nor a
//! simulator. It holds
//!
//! * [`pb`]: etcd v3's own protobuf messages, and [`Request`] / [`Response`],
//!   the calls a member answers;
//! * [`PeerFrame`]: a message on its way between two members;
//! * the seams through which a member meets the world: [`Now`], [`Disk`] and
//!   [`File`], [`Input`] and [`Effect`], the random generator in [`Env`];
//! * [`Machine`], [`Host`] and [`drive`]: the one loop that runs a member in
//!   every world, simulated or real;
//! * [`Bugs`]: the planted bugs that prove a testbed finds bugs.

mod auth_token;
mod bugs;
mod config;
mod disk;
mod drive;
mod frame;
mod json;
mod machine;
mod request;
mod services;
mod status;
mod version;
mod view;
pub mod wire;

pub use auth_token::{AuthToken, AuthTokenError, Jwt, JwtMethod};
pub use bugs::{Bug, Bugs};
pub use config::{AutoCompaction, Config, ConfigError, Env};
pub use disk::{Disk, File, NoStamp, Open, Stamp, SyncId};
pub use drive::{Host, drive};
pub use frame::{FRAME_HEADER_LEN, FrameError, MAX_FRAME_LEN, PeerBody, PeerFrame, VERSION};
pub use machine::{
    Effect, Effects, Fatal, Input, LaneMsg, Machine, Metadata, Now, OpenError, ReqId, SessionId,
};
pub use raft_proto::eraftpb;
pub use request::{Request, Response};
pub use services::{
    AuthRequest, AuthResponse, ClusterRequest, ClusterResponse, ElectionRequest, ElectionResponse,
    LeaseRequest, LeaseResponse, LockRequest, LockResponse, MaintenanceRequest,
    MaintenanceResponse,
};
pub use status::{Code, Status};
pub use version::{Version, VersionError};
pub use view::{ApplyView, EntryId, LogChange, MembersView, RaftView, Role, VersionsView, View};

/// etcd's messages, generated from `proto/`.
#[expect(missing_docs, reason = "generated; etcd documents its messages")]
pub mod pb {
    /// Key-value pairs and events as etcd stores them.
    pub mod mvccpb {
        include!(concat!(env!("OUT_DIR"), "/mvccpb.rs"));
    }
    /// Requests and responses.
    pub mod etcdserverpb {
        include!(concat!(env!("OUT_DIR"), "/etcdserverpb.rs"));
    }
    /// Users, roles and permissions.
    pub mod authpb {
        include!(concat!(env!("OUT_DIR"), "/authpb.rs"));
    }
    /// The lock service.
    pub mod v3lockpb {
        include!(concat!(env!("OUT_DIR"), "/v3lockpb.rs"));
    }
    /// The election service.
    pub mod v3electionpb {
        include!(concat!(env!("OUT_DIR"), "/v3electionpb.rs"));
    }
    /// What members ask of each other beside Raft.
    pub mod peer {
        include!(concat!(env!("OUT_DIR"), "/squall.rs"));
    }
    pub use etcdserverpb::*;
    pub use mvccpb::{Event, KeyValue, event};
}
