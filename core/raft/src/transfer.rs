//! Leadership transfer (section 3.10 of Ongaro's dissertation).
//!
//! The leader takes no more proposals, brings its successor's log up to date,
//! and tells it to stand for election at once: without a poll, and with a
//! request that says why those who hear their leader should vote all the same.

use crate::message::message;
use crate::{Raft, TransferError, marks};
use raft_proto::eraftpb::{Message, MessageType};
use squall_api::Role;

/// The context of a request for votes that its leader wished for; etcd's.
const CAMPAIGN_TRANSFER: &[u8] = b"CampaignTransfer";

/// A transfer that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) to: u64,
    /// When it is given up: proposals must not wait for a successor for ever.
    pub(crate) deadline: u64,
}

impl Raft {
    /// Hands leadership over to `to`, or gives up if that takes longer than the
    /// shortest election timeout. A transfer to another one replaces one that is
    /// under way; a transfer to itself ends it.
    pub fn transfer_leader(&mut self, now: u64, to: u64) -> Result<(), TransferError> {
        if self.role != Role::Leader {
            return Err(TransferError::NotLeader);
        }
        if !self.configuration().voters.contains(to) {
            return Err(TransferError::NoVoter);
        }
        if to == self.settings.id {
            self.abort_transfer();
            return Ok(());
        }
        if self.transfer.is_some_and(|transfer| transfer.to == to) {
            return Ok(());
        }
        self.mark(marks::TRANSFERRING);
        let deadline = now.saturating_add(self.settings.election_timeout);
        self.transfer = Some(Transfer { to, deadline });
        if !self.hand_over_if_caught_up(to) {
            self.send_append(to, true);
        }
        Ok(())
    }

    /// Whom leadership is being handed over to; 0 if to nobody.
    pub fn transferring_to(&self) -> u64 {
        self.transfer.map_or(0, |transfer| transfer.to)
    }

    /// `from` may have all that its leader has: then it shall lead.
    pub(crate) fn hand_over_if_caught_up(&mut self, from: u64) -> bool {
        let is_next = self.transfer.is_some_and(|transfer| transfer.to == from);
        if !is_next || self.tracker[&from].match_index < self.log.last_index() {
            return false;
        }
        self.mark(marks::HANDED_OVER);
        self.lease.offer();
        self.send(message(MessageType::MsgTimeoutNow, from));
        true
    }

    /// The leader wishes this node to lead.
    pub(crate) fn handle_timeout_now(&mut self, now: u64, msg: &Message) {
        let may_lead = self.role == Role::Follower
            && self.leader == msg.from
            && self.installing.is_none()
            && self.may_campaign();
        if !may_lead {
            return self.mark(marks::IGNORED_TIMEOUT_NOW);
        }
        self.draw_election_timeout(now);
        self.campaign(now, CAMPAIGN_TRANSFER);
    }

    /// Takes proposals again if the successor took too long.
    pub(crate) fn give_up_late_transfer(&mut self, now: u64) {
        if self
            .transfer
            .is_some_and(|transfer| transfer.deadline <= now)
        {
            self.abort_transfer();
        }
    }

    /// The successor may have been removed, or be no voter any more.
    pub(crate) fn abort_transfer_to_nobody(&mut self) {
        let voters = &self.configuration().voters;
        if self.transfer.is_some_and(|t| !voters.contains(t.to)) {
            self.abort_transfer();
        }
    }

    fn abort_transfer(&mut self) {
        if self.transfer.take().is_some() {
            self.mark(marks::ABORTED_TRANSFER);
        }
    }
}

/// Whether a request for a vote was wished for by the leader.
pub(crate) fn is_transfer(msg: &Message) -> bool {
    msg.msg_type == MessageType::MsgRequestVote && msg.context == CAMPAIGN_TRANSFER
}
