//! The waiting room: every request that has not been answered yet.

use squall_api::{ReqId, SessionId};
use std::collections::{BTreeMap, VecDeque};

/// Requests without an answer, and when each of them times out.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    requests: BTreeMap<ReqId, Request>,
    /// Proposal ids of the requests that wait for their entry.
    proposals: BTreeMap<u64, ReqId>,
    /// Deadlines in order of arrival, which is their own order. Requests that
    /// were answered stay in it until they reach the front.
    deadlines: VecDeque<(u64, ReqId)>,
}

#[derive(Debug)]
struct Request {
    session: SessionId,
    proposal: Option<u64>,
    /// None for a call that waits for as long as its caller wants to.
    deadline: Option<u64>,
}

impl Waiting {
    /// Lets a request wait until `deadline`, for the entry of `proposal` if it
    /// is a write. Deadlines never go back.
    pub(crate) fn add(
        &mut self,
        id: ReqId,
        session: SessionId,
        deadline: u64,
        proposal: Option<u64>,
    ) {
        let request = Request {
            session,
            proposal,
            deadline: Some(deadline),
        };
        let before = self.requests.insert(id, request);
        assert!(before.is_none(), "{id:?} was given twice: {before:?}");
        debug_assert!(self.deadlines.back().is_none_or(|(d, _)| *d <= deadline));
        self.deadlines.push_back((deadline, id));
        if let Some(proposal) = proposal {
            self.proposals.insert(proposal, id);
        }
    }

    /// Lets a request wait for as long as its caller wants to.
    pub(crate) fn hold(&mut self, id: ReqId, session: SessionId) {
        let request = Request {
            session,
            proposal: None,
            deadline: None,
        };
        let before = self.requests.insert(id, request);
        assert!(before.is_none(), "{id:?} was given twice: {before:?}");
    }

    /// Whether anybody waits for an answer to this request.
    pub(crate) fn has(&self, id: ReqId) -> bool {
        self.requests.contains_key(&id)
    }

    /// Whether anybody waits for the entry of `proposal`.
    pub(crate) fn has_proposal(&self, proposal: u64) -> bool {
        self.proposals.contains_key(&proposal)
    }

    /// A request that waits already is to wait for the entry of `proposal`.
    pub(crate) fn await_proposal(&mut self, id: ReqId, proposal: u64) {
        if let Some(request) = self.requests.get_mut(&id) {
            if let Some(before) = request.proposal.replace(proposal) {
                self.proposals.remove(&before);
            }
            self.proposals.insert(proposal, id);
        }
    }

    /// Whoever waits for the entry of `proposal` goes on waiting, not for it.
    pub(crate) fn release_proposal(&mut self, proposal: u64) -> Option<ReqId> {
        let id = self.proposals.remove(&proposal)?;
        self.requests.get_mut(&id)?.proposal = None;
        Some(id)
    }

    /// The request that waits for the entry of `proposal`, and goes on waiting.
    pub(crate) fn proposer(&self, proposal: u64) -> Option<ReqId> {
        self.proposals.get(&proposal).copied()
    }

    /// Takes a request out, to be answered; false if nobody waits any more.
    pub(crate) fn take(&mut self, id: ReqId) -> bool {
        let Some(request) = self.requests.remove(&id) else {
            return false;
        };
        if let Some(proposal) = request.proposal {
            self.proposals.remove(&proposal);
        }
        // A stream waits under the same id for each of its messages in turn.
        while let Some((deadline, front)) = self.deadlines.front()
            && self
                .requests
                .get(front)
                .is_none_or(|r| r.deadline != Some(*deadline))
        {
            self.deadlines.pop_front();
        }
        true
    }

    /// Takes out the request that waits for `proposal`.
    pub(crate) fn take_proposal(&mut self, proposal: u64) -> Option<ReqId> {
        let id = *self.proposals.get(&proposal)?;
        self.take(id).then_some(id)
    }

    /// Takes out a request whose time is up.
    pub(crate) fn take_expired(&mut self, now: u64) -> Option<ReqId> {
        let (deadline, id) = *self.deadlines.front()?;
        (deadline <= now && self.take(id)).then_some(id)
    }

    /// Takes out any request; for the end.
    pub(crate) fn take_any(&mut self) -> Option<ReqId> {
        let id = *self.requests.keys().next()?;
        self.take(id).then_some(id)
    }

    /// Forgets a session's requests: nobody waits for them any more.
    pub(crate) fn close(&mut self, session: SessionId) {
        let gone: Vec<ReqId> = self
            .requests
            .iter()
            .filter(|(_, request)| request.session == session)
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.take(id);
        }
    }

    /// When the next request times out.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_leaves_once_whichever_way_comes_first() {
        let mut waiting = Waiting::default();
        let session = SessionId(1);
        waiting.add(ReqId(1), session, 10, Some(77));
        waiting.add(ReqId(2), session, 20, None);
        waiting.add(ReqId(3), SessionId(2), 30, Some(78));
        assert_eq!(waiting.take_expired(9), None);
        assert_eq!(waiting.take_proposal(77), Some(ReqId(1)));
        assert_eq!(waiting.take_proposal(77), None);
        assert_eq!(waiting.deadline(), Some(20));
        waiting.close(session);
        assert!(!waiting.has(ReqId(2)));
        assert_eq!(waiting.deadline(), Some(30));
        assert_eq!(waiting.take_expired(30), Some(ReqId(3)));
        assert_eq!(waiting.take_proposal(78), None);
        waiting.hold(ReqId(4), session);
        assert_eq!((waiting.deadline(), waiting.has(ReqId(4))), (None, true));
        assert_eq!(waiting.take_any(), Some(ReqId(4)));
        assert_eq!((waiting.deadline(), waiting.take_any()), (None, None));
    }
}
