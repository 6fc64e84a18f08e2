//! Standing in line: the calls of etcd's lock and election services that wait.
//!
//! Who wants a lock, or to lead, puts a key of its own under the lock's or the
//! election's name, attached to its lease. The key with the lowest create revision
//! is at the head of the line: its owner holds the lock, or leads. Everybody else
//! waits for the key just before its own to go, so that one release wakes one.

use crate::index::Span;
use crate::mvcc::{Change, Mvcc};
use bytes::Bytes;
use squall_api::pb::compare::{CompareResult, CompareTarget, TargetUnion};
use squall_api::pb::range_request::{SortOrder, SortTarget};
use squall_api::pb::request_op::Request as Op;
use squall_api::pb::{self, KeyValue, ResponseHeader};
use squall_api::{Bug, Fatal, Metadata, ReqId, SessionId};
use std::collections::{BTreeMap, BTreeSet};

/// A place in a line.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Of the lock, or of the election.
    pub(crate) name: Bytes,
    /// Its own key: the name, a slash, and the lease in hexadecimal digits.
    pub(crate) key: Bytes,
    pub(crate) lease: i64,
    /// Of the key's creation; 0 before it is known.
    pub(crate) revision: i64,
}

impl Place {
    /// Where the owner of `lease` stands for `name`.
    pub(crate) fn new(name: Bytes, lease: i64) -> Place {
        // As Go prints it: the sign, and then the digits of what is left.
        let sign = if lease < 0 { "-" } else { "" };
        let digits = format!("{sign}{:x}", lease.unsigned_abs());
        Place {
            key: [&name, &b"/"[..], digits.as_bytes()].concat().into(),
            name,
            lease,
            revision: 0,
        }
    }

    /// The place of which nothing but the key is known.
    pub(crate) fn of_key(key: Bytes) -> Place {
        Place {
            name: Bytes::new(),
            key,
            lease: 0,
            revision: 0,
        }
    }

    /// Takes the place with `value`, unless it is taken already; and says who is
    /// at the head.
    pub(crate) fn join(&self, value: Bytes) -> pb::TxnRequest {
        let head = Op::RequestRange(first_of(&prefix(&self.name)));
        pb::TxnRequest {
            failure: vec![op(Op::RequestRange(self.own())), op(head.clone())],
            success: vec![op(self.put(value)), op(head)],
            compare: vec![created_at(&self.key, 0)],
        }
    }

    /// Changes the value, if the place is still the same.
    pub(crate) fn proclaim(&self, value: Bytes) -> pb::TxnRequest {
        guarded(&self.key, self.revision, self.put(value))
    }

    /// Deletes the key.
    pub(crate) fn leave(&self) -> pb::DeleteRangeRequest {
        pb::DeleteRangeRequest {
            key: self.key.clone(),
            ..pb::DeleteRangeRequest::default()
        }
    }

    /// Reads the key.
    pub(crate) fn own(&self) -> pb::RangeRequest {
        pb::RangeRequest {
            key: self.key.clone(),
            ..pb::RangeRequest::default()
        }
    }

    fn put(&self, value: Bytes) -> Op {
        Op::RequestPut(pb::PutRequest {
            key: self.key.clone(),
            value,
            lease: self.lease,
            ..pb::PutRequest::default()
        })
    }

    /// The last key before this one, as this member knows it. Once there is none
    /// there never will be: whoever comes is behind.
    fn before(&self, store: &Mvcc) -> Option<Bytes> {
        let start = prefix(&self.name);
        let end = end_of(&start);
        let all = store.visible(Span::new(&start, &end), store.current_revision());
        if store.has(Bug::LineByKey) {
            let before = all.take_while(|(key, _)| **key < self.key).last();
            return before.map(|(key, _)| key.clone());
        }
        // A planted bug: a lease that has the lock already waits for itself.
        let upto = self.revision - i64::from(!store.has(Bug::RelockWaits));
        all.filter(|(_, visible)| visible.create_revision <= upto)
            .max_by_key(|(_, visible)| visible.create_revision)
            .map(|(key, _)| key.clone())
    }
}

/// What a waiting call is for.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    /// To hold a lock.
    Lock,
    /// To lead, with this value.
    Lead { value: Bytes },
    /// To change the value with which the owner of the place leads.
    Proclaim { value: Bytes },
    /// To give the place up.
    Resign,
    /// To delete a lock's key.
    Unlock,
    /// To know who leads.
    Leader,
}

impl Wish {
    /// Whether it puts a key, which is to go with a lease.
    pub(crate) fn needs_lease(&self) -> bool {
        matches!(self, Wish::Lock | Wish::Lead { .. } | Wish::Proclaim { .. })
    }
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It was given no lease, and asks for one.
    Granting,
    /// It asks for what it is all about.
    Asking,
    /// It was in line already, with another value.
    Renaming { is_first: bool },
    /// It stands in line.
    Waiting,
    /// Nobody is before it any more: is it still there itself?
    Confirming,
}

/// A call of a client, which takes more than one request to answer.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) session: SessionId,
    pub(crate) meta: Metadata,
    pub(crate) wish: Wish,
    pub(crate) place: Place,
    pub(crate) stage: Stage,
    /// Of the answer to the transaction by which it joined.
    pub(crate) joined: Option<ResponseHeader>,
}

impl Call {
    pub(crate) fn new(session: SessionId, meta: Metadata, wish: Wish, place: Place) -> Call {
        Call {
            session,
            meta,
            wish,
            place,
            stage: Stage::Asking,
            joined: None,
        }
    }

    /// With what the member's requests to itself come.
    pub(crate) fn own_meta(&self) -> Metadata {
        Metadata {
            require_leader: false,
            ..self.meta.clone()
        }
    }
}

/// A stream of leaders and their values.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) session: SessionId,
    pub(crate) meta: Metadata,
    pub(crate) prefix: Bytes,
    /// Whether it was found that its caller may look.
    pub(crate) is_admitted: bool,
    /// The key and the revision that it was told of last.
    pub(crate) told: Option<(Bytes, i64)>,
    /// Answers that the client's connection has not taken yet.
    pub(crate) untaken: u32,
}

impl Observer {
    pub(crate) fn new(session: SessionId, meta: Metadata, prefix: Bytes) -> Observer {
        Observer {
            session,
            meta,
            prefix,
            is_admitted: false,
            told: None,
            untaken: 0,
        }
    }
}

/// All open calls of these services, and what the member asks of itself for them.
#[derive(Debug, Default)]
pub(crate) struct Line {
    calls: BTreeMap<ReqId, Call>,
    observers: BTreeMap<ReqId, Observer>,
    /// The member's own requests: for which call.
    own: BTreeMap<ReqId, ReqId>,
    next_own: u64,
    /// Who waits for a key to go.
    behind: BTreeMap<Bytes, BTreeSet<ReqId>>,
}

impl Line {
    pub(crate) fn add(&mut self, id: ReqId, call: Call) {
        self.calls.insert(id, call);
    }

    pub(crate) fn call(&mut self, id: ReqId) -> Option<&mut Call> {
        self.calls.get_mut(&id)
    }

    /// A call is over. What it asked of the member is answered to nobody.
    pub(crate) fn take(&mut self, id: ReqId) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        self.behind.retain(|_, waiters| {
            waiters.remove(&id);
            !waiters.is_empty()
        });
        Some(call)
    }

    /// An id for what the member asks of itself on behalf of `call`.
    pub(crate) fn own(&mut self, call: ReqId) -> ReqId {
        let id = ReqId(ReqId::OWN + self.next_own);
        self.next_own += 1;
        self.own.insert(id, call);
        id
    }

    /// For whom the member asks this of itself.
    pub(crate) fn asker(&self, own: ReqId) -> ReqId {
        self.own.get(&own).copied().unwrap_or(own)
    }

    /// The member has answered itself.
    pub(crate) fn answered(&mut self, own: ReqId) -> Option<ReqId> {
        self.own.remove(&own)
    }

    /// Lets a call wait for whoever is before it; false if nobody is.
    pub(crate) fn wait(&mut self, store: &Mvcc, id: ReqId) -> bool {
        let Some(call) = self.calls.get_mut(&id) else {
            return true;
        };
        match call.place.before(store) {
            Some(key) => {
                call.stage = Stage::Waiting;
                self.behind.entry(key).or_default().insert(id);
                true
            }
            None => false,
        }
    }

    /// Those who waited for one of these keys to go.
    pub(crate) fn woken(&mut self, deleted: &[Bytes]) -> Vec<ReqId> {
        let woken = deleted.iter().filter_map(|key| self.behind.remove(key));
        woken.flatten().collect()
    }

    /// Everybody who waits: there is no telling what has changed.
    pub(crate) fn wake_all(&mut self) -> Vec<ReqId> {
        std::mem::take(&mut self.behind)
            .into_values()
            .flatten()
            .collect()
    }

    /// Whether anybody cares what changes.
    pub(crate) fn is_idle(&self) -> bool {
        self.behind.is_empty() && self.observers.is_empty()
    }

    /// The calls whose id is such.
    pub(crate) fn calls_where(&self, is: impl Fn(ReqId) -> bool) -> Vec<ReqId> {
        self.calls.keys().copied().filter(|id| is(*id)).collect()
    }

    /// The calls of a session.
    pub(crate) fn of_session(&self, session: SessionId) -> Vec<ReqId> {
        let calls = self
            .calls
            .iter()
            .filter(|(_, call)| call.session == session);
        let observers = self.observers.iter().filter(|(_, o)| o.session == session);
        let calls = calls.map(|(id, _)| *id);
        calls.chain(observers.map(|(id, _)| *id)).collect()
    }

    // --- observers ---

    pub(crate) fn observe(&mut self, id: ReqId, observer: Observer) {
        self.observers.insert(id, observer);
    }

    pub(crate) fn observer(&mut self, id: ReqId) -> Option<&mut Observer> {
        self.observers.get_mut(&id)
    }

    pub(crate) fn end_observer(&mut self, id: ReqId) -> bool {
        self.observers.remove(&id).is_some()
    }

    /// The observers of every line that `key` may be in.
    pub(crate) fn observers_of(&self, key: &[u8]) -> Vec<ReqId> {
        let concerned = self
            .observers
            .iter()
            .filter(|(_, o)| key.starts_with(&o.prefix));
        concerned.map(|(id, _)| *id).collect()
    }

    /// Whether any stream has to end while there is no leader.
    pub(crate) fn needs_leader(&self) -> bool {
        self.observers
            .values()
            .any(|observer| observer.meta.require_leader)
    }

    /// All observers that `which` holds for.
    pub(crate) fn observers(&self, which: impl Fn(&Observer) -> bool) -> Vec<ReqId> {
        let found = self.observers.iter().filter(|(_, o)| which(o));
        found.map(|(id, _)| *id).collect()
    }
}

/// What all keys of a line begin with.
pub(crate) fn prefix(name: &[u8]) -> Bytes {
    [name, b"/"].concat().into()
}

/// Reads who is at the head of a line.
pub(crate) fn first_of(prefix: &Bytes) -> pb::RangeRequest {
    pb::RangeRequest {
        key: prefix.clone(),
        range_end: end_of(prefix),
        limit: 1,
        sort_order: SortOrder::Ascend as i32,
        sort_target: SortTarget::Create as i32,
        ..pb::RangeRequest::default()
    }
}

/// The transaction that does `then` if the key was created at `revision`.
pub(crate) fn guarded(key: &Bytes, revision: i64, then: Op) -> pb::TxnRequest {
    pb::TxnRequest {
        compare: vec![created_at(key, revision)],
        success: vec![op(then)],
        failure: Vec::new(),
    }
}

/// What a transaction did to keys, in the order in which it did it.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    pub(crate) deleted: Vec<Bytes>,
    pub(crate) put: Vec<KeyValue>,
}

/// Reads changes.
pub(crate) fn moved(changes: &[Change]) -> Result<Moved, Fatal> {
    let mut moved = Moved::default();
    for change in changes {
        let kv = change.decode()?;
        match change.revision.is_tombstone() {
            true => moved.deleted.push(kv.key),
            false => moved.put.push(kv),
        }
    }
    Ok(moved)
}

fn created_at(key: &Bytes, revision: i64) -> pb::Compare {
    pb::Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Create as i32,
        key: key.clone(),
        range_end: Bytes::new(),
        target_union: Some(TargetUnion::CreateRevision(revision)),
    }
}

/// Whether a key was changed last at a revision: what a planted bug asks instead.
pub(crate) fn changed_at(key: &Bytes, revision: i64) -> pb::Compare {
    pb::Compare {
        target: CompareTarget::Mod as i32,
        target_union: Some(TargetUnion::ModRevision(revision)),
        ..created_at(key, revision)
    }
}

fn op(request: Op) -> pb::RequestOp {
    pb::RequestOp {
        request: Some(request),
    }
}

/// Behind all keys that begin with a prefix, which ends with a slash.
fn end_of(prefix: &Bytes) -> Bytes {
    let (slash, name) = prefix.split_last().expect("it ends with a slash");
    [name, &[slash + 1]].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_etcds() {
        let key = |name: &str, lease| Place::new(Bytes::from(name.to_owned()), lease).key;
        assert_eq!(key("jobs", 0x694d_7f61_1234), "jobs/694d7f611234");
        assert_eq!(key("a/b", -255), "a/b/-ff");
        assert_eq!(key("", i64::MIN), "/-8000000000000000");
        assert_eq!(end_of(&prefix(b"jobs")), "jobs0");
    }
}
