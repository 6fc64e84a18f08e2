//! etcd's words for refusals that have to do with who calls.

use squall_api::{Code, Status};

pub(super) const AUTH_FAILED: &str =
    "etcdserver: authentication failed, invalid user ID or password";
pub(super) const PERMISSION_NOT_GRANTED: &str = "etcdserver: permission is not granted to the role";
pub(super) const ROLE_NOT_GRANTED: &str = "etcdserver: role is not granted to the user";
pub(super) const USER_EMPTY: &str = "etcdserver: user name is empty";
pub(super) const USER_NOT_FOUND: &str = "etcdserver: user name not found";
const PERMISSION_DENIED: &str = "etcdserver: permission denied";
const INVALID_TOKEN: &str = "etcdserver: invalid auth token";

/// The caller may not do this.
pub(super) fn is_denied(status: &Status) -> bool {
    status.code == Code::PermissionDenied && is_denial(&status.message)
}

/// As a watch is told.
pub(crate) fn is_denial(reason: &str) -> bool {
    reason == PERMISSION_DENIED
}

/// The caller's token is not known.
pub(super) fn is_unknown_token(status: &Status) -> bool {
    status.code == Code::Unauthenticated && status.message == INVALID_TOKEN
}
