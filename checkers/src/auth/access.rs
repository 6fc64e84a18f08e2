//! What a call has to be permitted, and by which state that is decided.

use bytes::Bytes;
use squall_api::pb::request_op::Request as Op;
use squall_api::pb::{self, RequestOp, TxnRequest};
use squall_api::{AuthRequest, ClusterRequest, LeaseRequest, LeaseResponse, MaintenanceRequest};
use squall_record::{Call, Outcome, Ret};

/// What is done to keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// Keys, and what is done to them; an end as etcd's requests have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Touch<'a> {
    pub(super) access: Access,
    pub(super) key: &'a [u8],
    pub(super) range_end: &'a [u8],
}

/// What whoever calls must be, or may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Need<'a> {
    /// Anybody may.
    Nothing,
    /// Has the role root.
    Root,
    /// Has the role root, or is this user.
    User(&'a str),
    /// Has the role root, or this one.
    Role(&'a str),
    /// May touch all of these, and attach keys to, or revoke, these leases.
    Keys(Vec<Touch<'a>>, Vec<i64>),
}

/// The state that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decided {
    /// That at which its entry is applied.
    Applied,
    /// One between the call and its answer.
    Linear,
    /// Any that the asked member may have had.
    Local,
}

/// What a call needs, and who says.
pub(super) fn needs<'a>(call: &'a Call, outcome: &'a Outcome) -> (Need<'a>, Decided) {
    match call {
        Call::Range(r) => {
            let decided = match r.serializable {
                true => Decided::Local,
                false => Decided::Linear,
            };
            let touch = touch(Access::Read, &r.key, &r.range_end);
            (Need::Keys(vec![touch], Vec::new()), decided)
        }
        Call::Put(r) => {
            let (mut touched, mut leases) = (Vec::new(), Vec::new());
            put(r, &mut touched, &mut leases);
            (Need::Keys(touched, leases), Decided::Applied)
        }
        Call::DeleteRange(r) => {
            let mut touched = Vec::new();
            delete(r, &mut touched);
            (Need::Keys(touched, Vec::new()), Decided::Applied)
        }
        Call::Txn(r) => {
            let (mut touched, mut leases) = (Vec::new(), Vec::new());
            txn(r, &mut touched, &mut leases);
            (Need::Keys(touched, leases), decides_txn(r))
        }
        Call::Lease(LeaseRequest::Revoke(r)) => {
            (Need::Keys(Vec::new(), vec![r.id]), Decided::Applied)
        }
        Call::Lease(LeaseRequest::TimeToLive(_)) => match outcome {
            // Whoever is told keys may read them.
            Outcome::Ok(Ret::Lease(LeaseResponse::TimeToLive(answer)))
                if !answer.keys.is_empty() =>
            {
                let told = answer.keys.iter();
                let told = told.map(|key| Touch {
                    access: Access::Read,
                    key,
                    range_end: NO_END,
                });
                (Need::Keys(told.collect(), Vec::new()), Decided::Local)
            }
            _ => (Need::Nothing, Decided::Local),
        },
        Call::Compact(_) => (Need::Root, Decided::Applied),
        Call::HashKv(_) => (Need::Root, Decided::Local),
        Call::Maintenance(MaintenanceRequest::Alarm(r)) if r.action == 0 => {
            (Need::Nothing, Decided::Local)
        }
        Call::Maintenance(_) => (Need::Root, Decided::Local),
        Call::Cluster(ClusterRequest::MemberList(_)) => (Need::Nothing, Decided::Local),
        Call::Cluster(_) => (Need::Root, Decided::Local),
        Call::Auth(r) => auth(r),
        // Streams are judged by what is told on them.
        _ => (Need::Nothing, Decided::Local),
    }
}

fn auth(call: &AuthRequest) -> (Need<'_>, Decided) {
    match call {
        AuthRequest::Authenticate(_) => (Need::Nothing, Decided::Linear),
        AuthRequest::UserGet(r) => (Need::User(&r.name), Decided::Linear),
        AuthRequest::RoleGet(r) => (Need::Role(&r.role), Decided::Linear),
        AuthRequest::Status(_) | AuthRequest::UserList(_) | AuthRequest::RoleList(_) => {
            (Need::Root, Decided::Linear)
        }
        _ => (Need::Root, Decided::Applied),
    }
}

fn touch<'a>(access: Access, key: &'a Bytes, range_end: &'a Bytes) -> Touch<'a> {
    Touch {
        access,
        key,
        range_end,
    }
}

const NO_END: &[u8] = &[];

fn put<'a>(r: &'a pb::PutRequest, touched: &mut Vec<Touch<'a>>, leases: &mut Vec<i64>) {
    let key = |access| Touch {
        access,
        key: &r.key,
        range_end: NO_END,
    };
    touched.push(key(Access::Write));
    if r.prev_kv {
        touched.push(key(Access::Read));
    }
    if r.lease != 0 {
        leases.push(r.lease);
    }
}

fn delete<'a>(r: &'a pb::DeleteRangeRequest, touched: &mut Vec<Touch<'a>>) {
    touched.push(touch(Access::Write, &r.key, &r.range_end));
    if r.prev_kv {
        touched.push(touch(Access::Read, &r.key, &r.range_end));
    }
}

/// Both branches, whichever is taken.
fn txn<'a>(r: &'a TxnRequest, touched: &mut Vec<Touch<'a>>, leases: &mut Vec<i64>) {
    for compare in &r.compare {
        touched.push(touch(Access::Read, &compare.key, &compare.range_end));
    }
    for op in r.success.iter().chain(&r.failure) {
        match &op.request {
            Some(Op::RequestRange(r)) => touched.push(touch(Access::Read, &r.key, &r.range_end)),
            Some(Op::RequestPut(r)) => put(r, touched, leases),
            Some(Op::RequestDeleteRange(r)) => delete(r, touched),
            Some(Op::RequestTxn(r)) => txn(r, touched, leases),
            None => {}
        }
    }
}

fn decides_txn(r: &TxnRequest) -> Decided {
    let (mut reads, mut local, mut writes) = (0, true, false);
    look(r, &mut |op| match op {
        Op::RequestRange(r) => {
            reads += 1;
            local &= r.serializable;
        }
        Op::RequestPut(_) | Op::RequestDeleteRange(_) => writes = true,
        Op::RequestTxn(_) => {}
    });
    match () {
        () if writes => Decided::Applied,
        () if reads > 0 && local => Decided::Local,
        () => Decided::Linear,
    }
}

fn look(r: &TxnRequest, see: &mut impl FnMut(&Op)) {
    for op in r.success.iter().chain(&r.failure) {
        if let RequestOp {
            request: Some(request),
        } = op
        {
            see(request);
            if let Op::RequestTxn(nested) = request {
                look(nested, see);
            }
        }
    }
}
