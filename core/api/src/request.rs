//! The calls that a member answers.

use crate::cluster::{ClusterRequest, ClusterResponse};
use crate::pb;
use serde::{Deserialize, Serialize};

/// A client's call, as etcd's message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// `KV.Range`; linearizable unless it says `serializable`.
    Range(pb::RangeRequest),
    /// `KV.Put`.
    Put(pb::PutRequest),
    /// `KV.DeleteRange`.
    DeleteRange(pb::DeleteRangeRequest),
    /// `KV.Txn`.
    Txn(pb::TxnRequest),
    /// `Maintenance.HashKV`: answered by the member alone.
    HashKv(pb::HashKvRequest),
    /// `Maintenance.Status`: answered by the member alone.
    Status(pb::StatusRequest),
    /// A call of the service `Cluster`: who the members are.
    Cluster(ClusterRequest),
}

impl Request {
    /// The RPC's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Request::Range(_) => "range",
            Request::Put(_) => "put",
            Request::DeleteRange(_) => "delete_range",
            Request::Txn(_) => "txn",
            Request::HashKv(_) => "hash_kv",
            Request::Status(_) => "status",
            Request::Cluster(m) => m.name(),
        }
    }

    /// Appends the message's bytes, without which RPC it is.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Request::Range(m) => append(m, out),
            Request::Put(m) => append(m, out),
            Request::DeleteRange(m) => append(m, out),
            Request::Txn(m) => append(m, out),
            Request::HashKv(m) => append(m, out),
            Request::Status(m) => append(m, out),
            Request::Cluster(m) => m.encode(out),
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
    Put(pb::PutResponse),
    DeleteRange(pb::DeleteRangeResponse),
    Txn(pb::TxnResponse),
    HashKv(pb::HashKvResponse),
    Status(pb::StatusResponse),
    Cluster(ClusterResponse),
}

impl Response {
    /// The header, which every answer of the store carries.
    pub const fn header(&self) -> Option<&pb::ResponseHeader> {
        match self {
            Response::Range(r) => r.header.as_ref(),
            Response::Put(r) => r.header.as_ref(),
            Response::DeleteRange(r) => r.header.as_ref(),
            Response::Txn(r) => r.header.as_ref(),
            Response::HashKv(r) => r.header.as_ref(),
            Response::Status(r) => r.header.as_ref(),
            Response::Cluster(r) => r.header(),
        }
    }

    /// Appends the message's bytes, without which RPC it answers.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Response::Range(m) => append(m, out),
            Response::Put(m) => append(m, out),
            Response::DeleteRange(m) => append(m, out),
            Response::Txn(m) => append(m, out),
            Response::HashKv(m) => append(m, out),
            Response::Status(m) => append(m, out),
            Response::Cluster(m) => m.encode(out),
        }
    }
}
