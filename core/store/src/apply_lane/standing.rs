//! Whether this member still is one.
//!
//! Who is removed while it is down or cut off never hears of it: nobody sends it
//! entries any more, and nobody counts its votes. It would serve old data for ever
//! to those who ask it for no more. So a member that has had no leader for long
//! asks the members that it knows, and ends if one says that it was removed, which
//! is for good. In etcd the same comes of connecting: who was removed is refused.

use super::ApplyLane;
use squall_api::pb::peer::{Removed, WasRemovedRequest, forwarded::Body};
use squall_api::{Bug, Effects, Now};

/// For how many election timeouts a member has no leader before it asks, and
/// before it asks again. Most elections take less. A learner, which times out for
/// nobody, cannot tell that its leader is silent, and asks always.
const PATIENCE: u64 = 3;

/// When a member asks whether it was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// `None` while a voter has a leader, and until the Raft lane has said anything.
    ask_at: Option<u64>,
}

impl Standing {
    pub(super) fn deadline(&self) -> Option<u64> {
        self.ask_at
    }
}

fn later(now: Now, election_timeout: u64) -> u64 {
    now.mono
        .saturating_add(election_timeout.saturating_mul(PATIENCE))
}

impl ApplyLane {
    /// There is another leader, or none, or other members.
    pub(super) fn note_standing(&mut self, now: Now) {
        let ask_at = later(now, self.cfg.election_timeout);
        let has_leader = self.leader != 0 && !self.is_learner();
        self.standing.ask_at = match has_leader {
            true => None,
            false => self.standing.ask_at.or(Some(ask_at)),
        };
    }

    /// Asks whether it was removed, if it has had no leader for long.
    pub(super) fn ask_for_standing(&mut self, now: Now, fx: &mut Effects) {
        if self.standing.ask_at.is_none_or(|at| at > now.mono) {
            return;
        }
        self.standing.ask_at = Some(later(now, self.cfg.election_timeout));
        if self.bugs.has(Bug::RemovedUnheard) {
            return;
        }
        fx.mark("apply.asked_for_standing");
        let mut others: Vec<u64> = self.meta.membership.ids().collect();
        others.retain(|id| *id != self.cfg.id);
        for member in others {
            let id = self.draw_id();
            self.send(member, id, Body::WasRemoved(WasRemovedRequest {}), fx);
        }
    }

    /// Answers who was removed. A new member may have asked before this one has
    /// heard of it: only what is certain is said.
    pub(super) fn tell_who_was_removed(&mut self, member: u64, ask: u64, fx: &mut Effects) {
        if self.meta.membership.was_removed(member) {
            fx.mark("apply.told_of_removal");
            self.send(member, ask, Body::Removed(Removed {}), fx);
        }
    }

    /// `from` has applied this member's removal. Only those were asked who are
    /// members as far as this one knows, and nobody else is believed.
    pub(super) fn was_told_of_removal(&mut self, now: Now, from: u64, fx: &mut Effects) {
        if self.removed.is_none() && self.meta.membership.has(from) {
            fx.mark("apply.heard_of_removal");
            self.removed = Some(now.mono);
        }
    }
}
