//! How calls are refused: etcd's errors, with the codes and messages that its
//! clients match on.

use squall_api::{Code, Fatal, Status};

/// An expected refusal, as etcd words it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    AuthFailed,
    AuthNotEnabled,
    AuthOldRevision,
    InvalidAuthMgmt,
    InvalidAuthToken,
    NoPasswordUser,
    PasswordTooLong,
    PermissionDenied,
    PermissionNotGiven,
    PermissionNotGranted,
    RoleAlreadyExist,
    RoleEmpty,
    RoleNotFound,
    RoleNotGranted,
    RootRoleNotExist,
    RootUserNotExist,
    UserAlreadyExist,
    UserEmpty,
    UserNotFound,
    BadLeaderTransferee,
    Compacted,
    Corrupt,
    DuplicateKey,
    ElectionNoLeader,
    ElectionNotLeader,
    EmptyKey,
    FutureRevision,
    InvalidSortOption,
    SortedStream,
    FilteredStream,
    KeyNotFound,
    BadDowngradeTarget,
    BadMemberChange,
    DowngradeInProcess,
    NoClusterVersion,
    NoDowngrade,
    NoVersion,
    UnknownMethod,
    MemberExists,
    MemberNotFound,
    MemberNotLearner,
    MemberNotInSync,
    LeaseExists,
    LeaseNotFound,
    LeaseProvided,
    LeaseTtlTooLarge,
    NoLeader,
    NoLeaderKey,
    NoSpace,
    NotLeader,
    RequestTooLarge,
    SessionExpired,
    Stopped,
    TimedOut,
    TooManyOps,
    TooManyRequests,
    NotForLearner,
    ValueProvided,
}

impl Refusal {
    /// The status on the wire.
    pub(crate) fn status(self) -> Status {
        let (code, message) = match self {
            Refusal::AuthFailed => (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
            ),
            Refusal::AuthNotEnabled => (
                Code::FailedPrecondition,
                "etcdserver: authentication is not enabled",
            ),
            Refusal::AuthOldRevision => (
                Code::InvalidArgument,
                "etcdserver: revision of auth store is old",
            ),
            Refusal::InvalidAuthMgmt => {
                (Code::InvalidArgument, "etcdserver: invalid auth management")
            }
            Refusal::InvalidAuthToken => (Code::Unauthenticated, "etcdserver: invalid auth token"),
            Refusal::NoPasswordUser => (
                Code::Unknown,
                "auth: authentication failed, password was given for no password user",
            ),
            Refusal::PasswordTooLong => (Code::Unknown, "bcrypt: password length exceeds 72 bytes"),
            Refusal::PermissionDenied => (Code::PermissionDenied, "etcdserver: permission denied"),
            Refusal::PermissionNotGiven => {
                (Code::InvalidArgument, "etcdserver: permission not given")
            }
            Refusal::PermissionNotGranted => (
                Code::FailedPrecondition,
                "etcdserver: permission is not granted to the role",
            ),
            Refusal::RoleAlreadyExist => (
                Code::FailedPrecondition,
                "etcdserver: role name already exists",
            ),
            Refusal::RoleEmpty => (Code::InvalidArgument, "etcdserver: role name is empty"),
            Refusal::RoleNotFound => (Code::FailedPrecondition, "etcdserver: role name not found"),
            Refusal::RoleNotGranted => (
                Code::FailedPrecondition,
                "etcdserver: role is not granted to the user",
            ),
            Refusal::RootRoleNotExist => (
                Code::FailedPrecondition,
                "etcdserver: root user does not have root role",
            ),
            Refusal::RootUserNotExist => (
                Code::FailedPrecondition,
                "etcdserver: root user does not exist",
            ),
            Refusal::UserAlreadyExist => (
                Code::FailedPrecondition,
                "etcdserver: user name already exists",
            ),
            Refusal::UserEmpty => (Code::InvalidArgument, "etcdserver: user name is empty"),
            Refusal::UserNotFound => (Code::FailedPrecondition, "etcdserver: user name not found"),
            Refusal::BadLeaderTransferee => (
                Code::FailedPrecondition,
                "etcdserver: bad leader transferee",
            ),
            Refusal::Compacted => (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
            ),
            Refusal::Corrupt => (Code::DataLoss, "etcdserver: corrupt cluster"),
            Refusal::DuplicateKey => (
                Code::InvalidArgument,
                "etcdserver: duplicate key given in txn request",
            ),
            Refusal::ElectionNoLeader => (Code::Unknown, "election: no leader"),
            Refusal::ElectionNotLeader => (Code::Unknown, "election: not leader"),
            Refusal::EmptyKey => (Code::InvalidArgument, "etcdserver: key is not provided"),
            Refusal::FutureRevision => (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision is a future revision",
            ),
            Refusal::SortedStream => (
                Code::Unimplemented,
                "RangeStream does not support custom sort orders",
            ),
            Refusal::FilteredStream => (
                Code::Unimplemented,
                "RangeStream does not support revision filters",
            ),
            Refusal::InvalidSortOption => {
                (Code::InvalidArgument, "etcdserver: invalid sort option")
            }
            Refusal::KeyNotFound => (Code::InvalidArgument, "etcdserver: key not found"),
            Refusal::BadDowngradeTarget => (
                Code::InvalidArgument,
                "etcdserver: invalid downgrade target version",
            ),
            Refusal::DowngradeInProcess => (
                Code::FailedPrecondition,
                "etcdserver: cluster has a downgrade job in progress",
            ),
            Refusal::NoClusterVersion => (
                Code::FailedPrecondition,
                "etcdserver: cluster version not found during downgrade",
            ),
            Refusal::NoDowngrade => (
                Code::FailedPrecondition,
                "etcdserver: no inflight downgrade job",
            ),
            Refusal::NoVersion => (
                Code::InvalidArgument,
                "etcdserver: wrong downgrade target version format",
            ),
            Refusal::UnknownMethod => (Code::Unknown, "etcdserver: unknown method"),
            Refusal::BadMemberChange => (
                Code::FailedPrecondition,
                "etcdserver: re-configuration failed due to not enough started members",
            ),
            Refusal::MemberExists => (
                Code::FailedPrecondition,
                "etcdserver: member ID already exist",
            ),
            Refusal::MemberNotFound => (Code::NotFound, "etcdserver: member not found"),
            Refusal::MemberNotLearner => (
                Code::FailedPrecondition,
                "etcdserver: can only promote a learner member",
            ),
            Refusal::MemberNotInSync => (
                Code::FailedPrecondition,
                "etcdserver: can only promote a learner member which is in sync with leader",
            ),
            Refusal::LeaseExists => (Code::FailedPrecondition, "etcdserver: lease already exists"),
            Refusal::LeaseNotFound => (Code::NotFound, "etcdserver: requested lease not found"),
            Refusal::LeaseProvided => (Code::InvalidArgument, "etcdserver: lease is provided"),
            Refusal::LeaseTtlTooLarge => (Code::OutOfRange, "etcdserver: too large lease TTL"),
            Refusal::NoLeader => (Code::Unavailable, "etcdserver: no leader"),
            Refusal::NoLeaderKey => (Code::Unknown, "\"leader\" field must be provided"),
            Refusal::NoSpace => (
                Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
            ),
            Refusal::NotLeader => (Code::FailedPrecondition, "etcdserver: not leader"),
            Refusal::RequestTooLarge => (Code::InvalidArgument, "etcdserver: request is too large"),
            Refusal::SessionExpired => (Code::Unknown, "mutex: session is expired"),
            Refusal::Stopped => (Code::Unavailable, "etcdserver: server stopped"),
            Refusal::TimedOut => (Code::Unavailable, "etcdserver: request timed out"),
            Refusal::TooManyOps => (
                Code::InvalidArgument,
                "etcdserver: too many operations in txn request",
            ),
            // On etcd's wire: what it declares as ResourceExhausted leaves it so.
            Refusal::TooManyRequests => (Code::Unknown, "etcdserver: too many requests"),
            Refusal::NotForLearner => (
                Code::FailedPrecondition,
                "etcdserver: rpc not supported for learner",
            ),
            Refusal::ValueProvided => (Code::InvalidArgument, "etcdserver: value is provided"),
        };
        Status::new(code, message)
    }
}

/// Why a call has no answer: it was refused, or the member cannot go on.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The caller is told.
    Refused(Refusal),
    /// The lane ends.
    Fatal(Fatal),
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Failed {
        Failed::Refused(refusal)
    }
}

impl From<Fatal> for Failed {
    fn from(fatal: Fatal) -> Failed {
        Failed::Fatal(fatal)
    }
}
