//! The calls of etcd's service `Cluster`.

use crate::pb;
use crate::request::append;
use serde::{Deserialize, Serialize};

/// A call about who the members are, as etcd's message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterRequest {
    /// `MemberAdd`: the answer says the new member's id. It may start with an
    /// empty disk and no voters in its settings.
    MemberAdd(pb::MemberAddRequest),
    /// `MemberRemove`.
    MemberRemove(pb::MemberRemoveRequest),
    /// `MemberUpdate`.
    MemberUpdate(pb::MemberUpdateRequest),
    /// `MemberPromote`: makes a learner a voter.
    MemberPromote(pb::MemberPromoteRequest),
    /// `MemberList`.
    MemberList(pb::MemberListRequest),
}

impl ClusterRequest {
    /// The RPC's name.
    pub const fn name(&self) -> &'static str {
        match self {
            ClusterRequest::MemberAdd(_) => "member_add",
            ClusterRequest::MemberRemove(_) => "member_remove",
            ClusterRequest::MemberUpdate(_) => "member_update",
            ClusterRequest::MemberPromote(_) => "member_promote",
            ClusterRequest::MemberList(_) => "member_list",
        }
    }

    /// Appends the message's bytes, without which RPC it is.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            ClusterRequest::MemberAdd(m) => append(m, out),
            ClusterRequest::MemberRemove(m) => append(m, out),
            ClusterRequest::MemberUpdate(m) => append(m, out),
            ClusterRequest::MemberPromote(m) => append(m, out),
            ClusterRequest::MemberList(m) => append(m, out),
        }
    }
}

/// The answer to a [`ClusterRequest`] of the same name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "one answer a request, named alike")]
pub enum ClusterResponse {
    MemberAdd(pb::MemberAddResponse),
    MemberRemove(pb::MemberRemoveResponse),
    MemberUpdate(pb::MemberUpdateResponse),
    MemberPromote(pb::MemberPromoteResponse),
    MemberList(pb::MemberListResponse),
}

impl ClusterResponse {
    /// The members after the call, in ascending order of ids.
    pub fn members(&self) -> &[pb::Member] {
        match self {
            ClusterResponse::MemberAdd(m) => &m.members,
            ClusterResponse::MemberRemove(m) => &m.members,
            ClusterResponse::MemberUpdate(m) => &m.members,
            ClusterResponse::MemberPromote(m) => &m.members,
            ClusterResponse::MemberList(m) => &m.members,
        }
    }

    /// The header, which every answer carries.
    pub const fn header(&self) -> Option<&pb::ResponseHeader> {
        match self {
            ClusterResponse::MemberAdd(m) => m.header.as_ref(),
            ClusterResponse::MemberRemove(m) => m.header.as_ref(),
            ClusterResponse::MemberUpdate(m) => m.header.as_ref(),
            ClusterResponse::MemberPromote(m) => m.header.as_ref(),
            ClusterResponse::MemberList(m) => m.header.as_ref(),
        }
    }

    /// The header, to be completed.
    pub const fn header_mut(&mut self) -> &mut Option<pb::ResponseHeader> {
        match self {
            ClusterResponse::MemberAdd(m) => &mut m.header,
            ClusterResponse::MemberRemove(m) => &mut m.header,
            ClusterResponse::MemberUpdate(m) => &mut m.header,
            ClusterResponse::MemberPromote(m) => &mut m.header,
            ClusterResponse::MemberList(m) => &mut m.header,
        }
    }

    /// Appends the message's bytes, without which RPC it answers.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            ClusterResponse::MemberAdd(m) => append(m, out),
            ClusterResponse::MemberRemove(m) => append(m, out),
            ClusterResponse::MemberUpdate(m) => append(m, out),
            ClusterResponse::MemberPromote(m) => append(m, out),
            ClusterResponse::MemberList(m) => append(m, out),
        }
    }
}
