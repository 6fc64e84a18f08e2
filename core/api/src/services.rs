//! etcd's services: for each, its calls and their answers.

use crate::pb;
use crate::request::append;
use serde::{Deserialize, Serialize};

/// A service: one line a call, with the name of the RPC, its request and its
/// response.
macro_rules! service {
    (
        $(#[$about:meta])*
        $request:ident => $response:ident {
            $($(#[$doc:meta])* $call:ident $name:literal ($req:ty => $resp:ty);)*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $request {
            $($(#[$doc])* $call($req),)*
        }

        impl $request {
            /// The RPC's name.
            pub const fn name(&self) -> &'static str {
                match self { $($request::$call(_) => $name,)* }
            }

            /// Appends the message's bytes, without which RPC it is.
            pub fn encode(&self, out: &mut Vec<u8>) {
                match self { $($request::$call(m) => append(m, out),)* }
            }
        }

        #[doc = concat!("The answer to a [`", stringify!($request), "`] of the same name.")]
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[expect(missing_docs, reason = "one answer a request, named alike")]
        pub enum $response {
            $($call($resp),)*
        }

        impl $response {
            /// The header, which every answer but few carries.
            pub const fn header(&self) -> Option<&pb::ResponseHeader> {
                match self { $($response::$call(m) => m.header.as_ref(),)* }
            }

            /// The header, to be completed.
            pub const fn header_mut(&mut self) -> &mut Option<pb::ResponseHeader> {
                match self { $($response::$call(m) => &mut m.header,)* }
            }

            /// Appends the message's bytes, without which RPC it answers.
            pub fn encode(&self, out: &mut Vec<u8>) {
                match self { $($response::$call(m) => append(m, out),)* }
            }
        }
    };
}

service! {
    /// A call about who the members are, as etcd's message.
    ClusterRequest => ClusterResponse {
        /// `MemberAdd`: the answer says the new member's id. It may start with an
        /// empty disk and no voters in its settings.
        MemberAdd "member_add" (pb::MemberAddRequest => pb::MemberAddResponse);
        /// `MemberRemove`.
        MemberRemove "member_remove" (pb::MemberRemoveRequest => pb::MemberRemoveResponse);
        /// `MemberUpdate`.
        MemberUpdate "member_update" (pb::MemberUpdateRequest => pb::MemberUpdateResponse);
        /// `MemberPromote`: makes a learner a voter.
        MemberPromote "member_promote" (pb::MemberPromoteRequest => pb::MemberPromoteResponse);
        /// `MemberList`.
        MemberList "member_list" (pb::MemberListRequest => pb::MemberListResponse);
    }
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
}

service! {
    /// A call of the service `Lease`.
    LeaseRequest => LeaseResponse {
        /// `LeaseGrant`; id 0 lets the member choose.
        Grant "lease_grant" (pb::LeaseGrantRequest => pb::LeaseGrantResponse);
        /// `LeaseRevoke`: deletes the attached keys, too.
        Revoke "lease_revoke" (pb::LeaseRevokeRequest => pb::LeaseRevokeResponse);
        /// `LeaseKeepAlive`: a stream; each further message is answered, too.
        KeepAlive "lease_keep_alive" (pb::LeaseKeepAliveRequest => pb::LeaseKeepAliveResponse);
        /// `LeaseTimeToLive`.
        TimeToLive "lease_time_to_live" (pb::LeaseTimeToLiveRequest => pb::LeaseTimeToLiveResponse);
        /// `LeaseLeases`: those that the answering member knows.
        Leases "lease_leases" (pb::LeaseLeasesRequest => pb::LeaseLeasesResponse);
    }
}

service! {
    /// A call of the service `Auth`.
    AuthRequest => AuthResponse {
        /// `AuthEnable`.
        Enable "auth_enable" (pb::AuthEnableRequest => pb::AuthEnableResponse);
        /// `AuthDisable`.
        Disable "auth_disable" (pb::AuthDisableRequest => pb::AuthDisableResponse);
        /// `AuthStatus`.
        Status "auth_status" (pb::AuthStatusRequest => pb::AuthStatusResponse);
        /// `Authenticate`: the answer holds the token.
        Authenticate "authenticate" (pb::AuthenticateRequest => pb::AuthenticateResponse);
        /// `UserAdd`.
        UserAdd "user_add" (pb::AuthUserAddRequest => pb::AuthUserAddResponse);
        /// `UserGet`.
        UserGet "user_get" (pb::AuthUserGetRequest => pb::AuthUserGetResponse);
        /// `UserList`.
        UserList "user_list" (pb::AuthUserListRequest => pb::AuthUserListResponse);
        /// `UserDelete`.
        UserDelete "user_delete" (pb::AuthUserDeleteRequest => pb::AuthUserDeleteResponse);
        /// `UserChangePassword`.
        UserChangePassword "user_change_password" (pb::AuthUserChangePasswordRequest => pb::AuthUserChangePasswordResponse);
        /// `UserGrantRole`.
        UserGrantRole "user_grant_role" (pb::AuthUserGrantRoleRequest => pb::AuthUserGrantRoleResponse);
        /// `UserRevokeRole`.
        UserRevokeRole "user_revoke_role" (pb::AuthUserRevokeRoleRequest => pb::AuthUserRevokeRoleResponse);
        /// `RoleAdd`.
        RoleAdd "role_add" (pb::AuthRoleAddRequest => pb::AuthRoleAddResponse);
        /// `RoleGet`.
        RoleGet "role_get" (pb::AuthRoleGetRequest => pb::AuthRoleGetResponse);
        /// `RoleList`.
        RoleList "role_list" (pb::AuthRoleListRequest => pb::AuthRoleListResponse);
        /// `RoleDelete`.
        RoleDelete "role_delete" (pb::AuthRoleDeleteRequest => pb::AuthRoleDeleteResponse);
        /// `RoleGrantPermission`.
        RoleGrantPermission "role_grant_permission" (pb::AuthRoleGrantPermissionRequest => pb::AuthRoleGrantPermissionResponse);
        /// `RoleRevokePermission`.
        RoleRevokePermission "role_revoke_permission" (pb::AuthRoleRevokePermissionRequest => pb::AuthRoleRevokePermissionResponse);
    }
}

service! {
    /// A call of the service `Maintenance`, but for `Status` and `HashKV`.
    MaintenanceRequest => MaintenanceResponse {
        /// `Alarm`: get, activate or deactivate.
        Alarm "alarm" (pb::AlarmRequest => pb::AlarmResponse);
        /// `Defragment`: of the answering member's backend.
        Defragment "defragment" (pb::DefragmentRequest => pb::DefragmentResponse);
        /// `Hash`: of the answering member's whole backend.
        Hash "hash" (pb::HashRequest => pb::HashResponse);
        /// `Snapshot`: a stream of blobs, the last of which is a checksum.
        Snapshot "snapshot" (pb::SnapshotRequest => pb::SnapshotResponse);
        /// `MoveLeader`: asked of the leader.
        MoveLeader "move_leader" (pb::MoveLeaderRequest => pb::MoveLeaderResponse);
        /// `Downgrade`: validate, enable or cancel.
        Downgrade "downgrade" (pb::DowngradeRequest => pb::DowngradeResponse);
    }
}

service! {
    /// A call of etcd's service `v3lock.Lock`.
    LockRequest => LockResponse {
        /// `Lock`: answered when the lock is held.
        Lock "lock" (pb::v3lockpb::LockRequest => pb::v3lockpb::LockResponse);
        /// `Unlock`.
        Unlock "unlock" (pb::v3lockpb::UnlockRequest => pb::v3lockpb::UnlockResponse);
    }
}

service! {
    /// A call of etcd's service `v3election.Election`.
    ElectionRequest => ElectionResponse {
        /// `Campaign`: answered when the election is won.
        Campaign "campaign" (pb::v3electionpb::CampaignRequest => pb::v3electionpb::CampaignResponse);
        /// `Proclaim`: a leader's new value.
        Proclaim "proclaim" (pb::v3electionpb::ProclaimRequest => pb::v3electionpb::ProclaimResponse);
        /// `Leader`: who leads now.
        Leader "leader" (pb::v3electionpb::LeaderRequest => pb::v3electionpb::LeaderResponse);
        /// `Observe`: a stream of leaders and their values.
        Observe "observe" (pb::v3electionpb::LeaderRequest => pb::v3electionpb::LeaderResponse);
        /// `Resign`.
        Resign "resign" (pb::v3electionpb::ResignRequest => pb::v3electionpb::ResignResponse);
    }
}
