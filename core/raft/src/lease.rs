//! Lease-based reads (section 6.4.1 of Ongaro's dissertation).
//!
//! A follower that answered a heartbeat votes for nobody else within the
//! shortest election timeout from when it heard it, and that was not before the
//! heartbeat was sent. So for as long after it *sent* a heartbeat that a quorum
//! answered, a leader knows that nobody else leads, if clocks can be trusted: a
//! [`read_lease`](crate::Settings::read_lease) shorter than the election
//! timeout says how far. A leader whose clock stands still, or runs slower than
//! that, serves stale reads; those who cannot bound their clocks leave it off.
//!
//! With leases, followers keep to a leader in two more cases: when they have
//! just started, for they may have promised before; and when a message took
//! them to a later term, for their old leader may not know. A leader that has
//! offered its place to another has no lease for the rest of its term: the
//! offer may arrive at any time, and overrules patience.

use crate::Raft;
use squall_api::Bug;
use std::collections::VecDeque;

/// What a leader knows about the patience of its followers.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// The rounds of heartbeats whose answers may still matter, and when each
    /// was sent.
    sent: VecDeque<(u64, u64)>,
    /// Somebody was told to stand for election.
    offered: bool,
}

impl Lease {
    /// The heartbeats of `round` are sent at `now`; none that is older than
    /// `lease` is of use any more.
    pub(crate) fn sent(&mut self, round: u64, now: u64, lease: u64) {
        let is_over = |(_, at): &mut (u64, u64)| at.saturating_add(lease) <= now;
        while self.sent.pop_front_if(is_over).is_some() {}
        self.sent.push_back((round, now));
    }

    /// Somebody was told to stand for election.
    pub(crate) fn offer(&mut self) {
        self.offered = true;
    }

    fn sent_at(&self, round: u64) -> Option<u64> {
        let position = self.sent.binary_search_by_key(&round, |(round, _)| *round);
        position.ok().map(|position| self.sent[position].1)
    }
}

impl Raft {
    /// Whether this leader knows by its clock alone that nobody else leads, and
    /// what was committed before it came.
    pub(crate) fn holds_lease(&self, now: u64) -> bool {
        let lease = self.settings.read_lease;
        let may_lease = lease > 0 && self.settings.check_quorum && !self.lease.offered;
        if !may_lease || self.commit < self.term_start {
            return false;
        }
        if self.settings.bugs.has(Bug::LeaseOutlivesBound) {
            return true;
        }
        let sent_at = self.lease.sent_at(self.confirmed_round());
        sent_at.is_some_and(|at| now < at.saturating_add(lease))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_that_are_over_are_forgotten() {
        let mut lease = Lease::default();
        lease.sent(1, 100, 50);
        lease.sent(2, 120, 50);
        assert_eq!((lease.sent_at(1), lease.sent_at(2)), (Some(100), Some(120)));
        lease.sent(5, 150, 50);
        assert_eq!((lease.sent_at(1), lease.sent_at(2)), (None, Some(120)));
        assert_eq!((lease.sent_at(5), lease.sent_at(6)), (Some(150), None));
    }
}
