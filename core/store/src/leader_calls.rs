//! Calls that only the leader can answer, at the member that a client asked.
//!
//! If the member leads, it answers them itself, once it is confirmed. Else it
//! forwards them, again and again until an answer comes: frames get lost, and
//! leaders change. What is asked in these calls may be done twice.

use squall_api::pb::{LeaseKeepAliveResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse};
use squall_api::{ReqId, SessionId};
use std::collections::{BTreeMap, VecDeque};

/// What is asked of the leader.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ask {
    /// Renew the lease of this id.
    KeepAlive(i64),
    /// How long a lease lives.
    TimeToLive(LeaseTimeToLiveRequest),
    /// Whether this learner has caught up.
    IsInSync(u64),
    /// Propose the expiry of the leases that are due.
    Expire,
}

/// What the leader says to who asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    KeptAlive(LeaseKeepAliveResponse),
    TimeLeft(LeaseTimeToLiveResponse),
    IsInSync(bool),
}

impl Answer {
    /// Whether it answers this question.
    pub(crate) fn is_for(&self, ask: &Ask) -> bool {
        matches!(
            (self, ask),
            (Answer::KeptAlive(_), Ask::KeepAlive(_))
                | (Answer::TimeLeft(_), Ask::TimeToLive(_))
                | (Answer::IsInSync(_), Ask::IsInSync(_))
        )
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A client of this member, by the id of its call.
    Call(u64),
    /// Another member, for a call of its own, which it gives up at `until`.
    Peer { member: u64, call: u64, until: u64 },
    /// The leader itself.
    Lessor,
}

/// A client's call that waits for the leader.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) req: ReqId,
    pub(crate) ask: Ask,
    /// This member's revision when it was asked.
    pub(crate) revision: i64,
}

/// All calls of this member's clients that wait for the leader.
#[derive(Debug, Default)]
pub(crate) struct LeaderCalls {
    calls: BTreeMap<u64, Call>,
    /// When forwarded calls are sent again; none if none is forwarded.
    retry_at: Option<u64>,
}

impl LeaderCalls {
    pub(crate) fn add(&mut self, id: u64, call: Call) {
        self.calls.insert(id, call);
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Call> {
        self.calls.get(&id)
    }

    /// Takes out the call of this id, if it asks what is expected.
    pub(crate) fn take_if(&mut self, id: u64, asks: impl Fn(&Ask) -> bool) -> Option<Call> {
        match asks(&self.calls.get(&id)?.ask) {
            true => self.calls.remove(&id),
            false => None,
        }
    }

    /// Drops the calls that nobody `wants` any more, and lists the others.
    pub(crate) fn wanted(&mut self, wants: impl Fn(ReqId) -> bool) -> Vec<u64> {
        self.calls.retain(|_, call| wants(call.req));
        self.calls.keys().copied().collect()
    }

    /// Something was forwarded: see to it again at `at`, if not before.
    pub(crate) fn retry_at(&mut self, at: u64) {
        self.retry_at.get_or_insert(at);
    }

    /// Whether it is time to send again; says so once.
    pub(crate) fn is_retry_due(&mut self, now: u64) -> bool {
        self.retry_at.take_if(|at| *at <= now).is_some()
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        self.retry_at
    }
}

/// Streams of keep-alives, whose messages are answered one after the other.
#[derive(Debug, Default)]
pub(crate) struct KeepAliveStreams(BTreeMap<ReqId, Stream>);

#[derive(Debug)]
struct Stream {
    session: SessionId,
    /// Leases; the first is being renewed.
    queue: VecDeque<i64>,
}

impl KeepAliveStreams {
    /// Begins a stream.
    pub(crate) fn open(&mut self, id: ReqId, session: SessionId) {
        let queue = VecDeque::new();
        self.0.insert(id, Stream { session, queue });
    }

    /// A message has come. Returns the session if it is the next to be seen to;
    /// else it waits, or its stream is gone.
    pub(crate) fn message(&mut self, id: ReqId, lease: i64) -> Option<SessionId> {
        let stream = self.0.get_mut(&id)?;
        stream.queue.push_back(lease);
        (stream.queue.len() == 1).then_some(stream.session)
    }

    /// The message that was seen to is answered: the next one.
    pub(crate) fn answered(&mut self, id: ReqId) -> Option<(SessionId, i64)> {
        let stream = self.0.get_mut(&id)?;
        stream.queue.pop_front();
        let next = stream.queue.front()?;
        Some((stream.session, *next))
    }

    /// Ends a stream; false if there is none.
    pub(crate) fn end(&mut self, id: ReqId) -> bool {
        self.0.remove(&id).is_some()
    }

    /// Ends a session's streams.
    pub(crate) fn close(&mut self, session: SessionId) {
        self.0.retain(|_, stream| stream.session != session);
    }

    /// Ends any stream; for the end.
    pub(crate) fn end_any(&mut self) -> Option<ReqId> {
        self.0.pop_first().map(|(id, _)| id)
    }
}
