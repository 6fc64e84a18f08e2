//! The calls that a member answers.

use crate::pb;
use crate::services::{
    AuthRequest, AuthResponse, ClusterRequest, ClusterResponse, ElectionRequest, ElectionResponse,
    LeaseRequest, LeaseResponse, LockRequest, LockResponse, MaintenanceRequest,
    MaintenanceResponse,
};
use serde::{Deserialize, Serialize};

/// A client's call, as etcd's message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// `KV.Range`; linearizable unless it says `serializable`.
    Range(pb::RangeRequest),
    /// `KV.RangeStream`: the same, answered in parts.
    RangeStream(pb::RangeRequest),
    /// `KV.Put`.
    Put(pb::PutRequest),
    /// `KV.DeleteRange`.
    DeleteRange(pb::DeleteRangeRequest),
    /// `KV.Txn`.
    Txn(pb::TxnRequest),
    /// `KV.Compact`.
    Compact(pb::CompactionRequest),
    /// `Maintenance.HashKV`: answered by the member alone.
    HashKv(pb::HashKvRequest),
    /// `Maintenance.Status`: answered by the member alone.
    Status(pb::StatusRequest),
    /// `Watch.Watch`: a stream, on which further messages may follow.
    Watch(pb::WatchRequest),
    /// A call of the service `Cluster`: who the members are.
    Cluster(ClusterRequest),
    /// A call of the service `Lease`.
    Lease(LeaseRequest),
    /// A call of the service `Auth`.
    Auth(AuthRequest),
    /// A call of the service `Maintenance`.
    Maintenance(MaintenanceRequest),
    /// A call of the service `v3lock.Lock`.
    Lock(LockRequest),
    /// A call of the service `v3election.Election`.
    Election(ElectionRequest),
}

impl Request {
    /// The RPC's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Request::Range(_) => "range",
            Request::RangeStream(_) => "range_stream",
            Request::Put(_) => "put",
            Request::DeleteRange(_) => "delete_range",
            Request::Txn(_) => "txn",
            Request::Compact(_) => "compact",
            Request::HashKv(_) => "hash_kv",
            Request::Status(_) => "status",
            Request::Watch(_) => "watch",
            Request::Cluster(m) => m.name(),
            Request::Lease(m) => m.name(),
            Request::Auth(m) => m.name(),
            Request::Maintenance(m) => m.name(),
            Request::Lock(m) => m.name(),
            Request::Election(m) => m.name(),
        }
    }

    /// Appends the message's bytes, without which RPC it is.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Request::Range(m) | Request::RangeStream(m) => append(m, out),
            Request::Put(m) => append(m, out),
            Request::DeleteRange(m) => append(m, out),
            Request::Txn(m) => append(m, out),
            Request::Compact(m) => append(m, out),
            Request::HashKv(m) => append(m, out),
            Request::Status(m) => append(m, out),
            Request::Watch(m) => append(m, out),
            Request::Cluster(m) => m.encode(out),
            Request::Lease(m) => m.encode(out),
            Request::Auth(m) => m.encode(out),
            Request::Maintenance(m) => m.encode(out),
            Request::Lock(m) => m.encode(out),
            Request::Election(m) => m.encode(out),
        }
    }
}

pub(crate) fn append(message: &impl prost::Message, out: &mut Vec<u8>) {
    message.encode(out).expect("a Vec grows as needed");
}

/// The answer to a [`Request`] of the same name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "one answer a request, named alike")]
pub enum Response {
    Range(pb::RangeResponse),
    /// A part of the answer, as etcd's `RangeStreamResponse` wraps it. Merged, all
    /// parts are the answer of `Range`; header, `count` and `more` come in the last.
    RangeStream(pb::RangeResponse),
    Put(pb::PutResponse),
    DeleteRange(pb::DeleteRangeResponse),
    Txn(pb::TxnResponse),
    Compact(pb::CompactionResponse),
    HashKv(pb::HashKvResponse),
    Status(pb::StatusResponse),
    Watch(pb::WatchResponse),
    Cluster(ClusterResponse),
    Lease(LeaseResponse),
    Auth(AuthResponse),
    Maintenance(MaintenanceResponse),
    Lock(LockResponse),
    Election(ElectionResponse),
}

impl Response {
    /// The header, which every answer of the store carries.
    pub const fn header(&self) -> Option<&pb::ResponseHeader> {
        match self {
            Response::Range(r) | Response::RangeStream(r) => r.header.as_ref(),
            Response::Put(r) => r.header.as_ref(),
            Response::DeleteRange(r) => r.header.as_ref(),
            Response::Txn(r) => r.header.as_ref(),
            Response::Compact(r) => r.header.as_ref(),
            Response::HashKv(r) => r.header.as_ref(),
            Response::Status(r) => r.header.as_ref(),
            Response::Watch(r) => r.header.as_ref(),
            Response::Cluster(r) => r.header(),
            Response::Lease(r) => r.header(),
            Response::Auth(r) => r.header(),
            Response::Maintenance(r) => r.header(),
            Response::Lock(r) => r.header(),
            Response::Election(r) => r.header(),
        }
    }

    /// The header, to be completed.
    pub const fn header_mut(&mut self) -> &mut Option<pb::ResponseHeader> {
        match self {
            Response::Range(r) | Response::RangeStream(r) => &mut r.header,
            Response::Put(r) => &mut r.header,
            Response::DeleteRange(r) => &mut r.header,
            Response::Txn(r) => &mut r.header,
            Response::Compact(r) => &mut r.header,
            Response::HashKv(r) => &mut r.header,
            Response::Status(r) => &mut r.header,
            Response::Watch(r) => &mut r.header,
            Response::Cluster(r) => r.header_mut(),
            Response::Lease(r) => r.header_mut(),
            Response::Auth(r) => r.header_mut(),
            Response::Maintenance(r) => r.header_mut(),
            Response::Lock(r) => r.header_mut(),
            Response::Election(r) => r.header_mut(),
        }
    }

    /// Appends the message's bytes, without which RPC it answers.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Response::Range(m) | Response::RangeStream(m) => append(m, out),
            Response::Put(m) => append(m, out),
            Response::DeleteRange(m) => append(m, out),
            Response::Txn(m) => append(m, out),
            Response::Compact(m) => append(m, out),
            Response::HashKv(m) => append(m, out),
            Response::Status(m) => append(m, out),
            Response::Watch(m) => append(m, out),
            Response::Cluster(m) => m.encode(out),
            Response::Lease(m) => m.encode(out),
            Response::Auth(m) => m.encode(out),
            Response::Maintenance(m) => m.encode(out),
            Response::Lock(m) => m.encode(out),
            Response::Election(m) => m.encode(out),
        }
    }
}
