//! Check-quorum and leader stickiness (section 6.2 and 4.2.3 of Ongaro's
//! dissertation).
//!
//! A leader that has not heard a quorum for an election timeout steps down,
//! and those who hear their leader give nobody else a vote. Each needs the
//! other: without the first, a leader that reaches its followers and commits
//! nothing would be kept for ever.

use crate::{Raft, marks};
use raft_proto::eraftpb::MessageType;
use squall_api::{Bug, Role};

impl Raft {
    /// Whether this node has no reason to wish for another leader: it leads, or
    /// has heard its leader within the shortest election timeout.
    pub(crate) fn keeps_to_leader(&self, now: u64) -> bool {
        let heard_lately = || {
            let silent_from = self
                .leader_heard
                .saturating_add(self.settings.election_timeout);
            // Who serves reads by leases is promised more: see `lease`.
            let promised = self.leader != 0 || self.settings.read_lease > 0;
            promised && now < silent_from
        };
        let bugs = self.settings.bugs;
        let stays = || {
            let heard = self.leader_heard;
            let until = heard.saturating_add(self.settings.election_timeout.saturating_mul(15));
            self.term > 0 && now < until
        };
        if bugs.has(Bug::StayWithLeader) && stays() {
            return true;
        }
        self.settings.check_quorum && (self.role == Role::Leader || heard_lately())
    }

    /// `from` answered its leader.
    pub(crate) fn heard_follower(&mut self, from: u64, msg_type: MessageType) {
        let is_answer = matches!(
            msg_type,
            MessageType::MsgAppendResponse | MessageType::MsgHeartbeatResponse
        );
        if is_answer && let Some(progress) = self.tracker.get_mut(&from) {
            progress.is_active = true;
        }
    }

    /// Ends a window in which a quorum should have been heard, and begins the
    /// next. The leader steps down if it was not.
    ///
    /// Windows begin when the last one is judged, so that a leader which was
    /// paused hears what waited for it before it judges once more.
    pub(crate) fn end_quorum_window(&mut self, now: u64) {
        self.quorum_deadline = now.saturating_add(self.settings.election_timeout);
        let me = self.settings.id;
        let is_heard = |id| u64::from(id == me || self.tracker[&id].is_active);
        let quorum_heard = self.agreed(is_heard) > 0;
        for progress in self.tracker.values_mut() {
            progress.is_active = false;
        }
        let stays = self.settings.bugs.has(Bug::LeaderStaysDeaf);
        if self.settings.check_quorum && !quorum_heard && !stays {
            self.mark(marks::STEPPED_DOWN_ON_LOST_QUORUM);
            self.drop_tail(Bug::DropTailOnLostQuorum);
            self.set_leader(0);
            self.become_follower(now);
        }
    }
}
