//! Pre-vote: a node asks whether it could win before it stands for election
//! (section 9.6 of Ongaro's dissertation).
//!
//! A poll raises no term and binds nobody, so that a node which comes back
//! from a partition deposes no leader that the others are content with.

use crate::message::message;
use crate::quorum::Election;
use crate::{Raft, marks};
use raft_proto::eraftpb::{Message, MessageType};
use std::collections::BTreeMap;

impl Raft {
    /// Asks everybody whether they would vote for it in the next term.
    pub(crate) fn poll(&mut self, now: u64) {
        let Some(next_term) = self.term.checked_add(1) else {
            return self.mark(marks::TERM_EXHAUSTED);
        };
        self.mark(marks::POLLED);
        self.set_leader(0);
        self.become_follower(now);
        self.poll = Some(BTreeMap::from([(self.settings.id, true)]));
        for peer in self.electors() {
            let mut question = message(MessageType::MsgRequestPreVote, peer);
            question.index = self.log.last_index();
            question.log_term = self.log.last_term();
            self.send_in_term(question, next_term);
        }
        self.count_poll(now);
    }

    /// Somebody asks whether it could win in `msg.term`.
    pub(crate) fn handle_poll(&mut self, msg: &Message) {
        let is_free =
            msg.term > self.term || self.vote == msg.from || (self.vote == 0 && self.leader == 0);
        let mut answer = message(MessageType::MsgRequestPreVoteResponse, msg.from);
        if is_free && self.would_elect(msg) {
            // Promises nothing, so that nothing needs to be durable.
            self.send_in_term(answer, msg.term);
        } else {
            self.refuse_poll(&mut answer);
        }
    }

    /// The poll is about a term that this node has left behind. It must learn
    /// so: without an answer, a node with the better log but the lower term
    /// would ask for ever, and could not be led by the other one either.
    pub(crate) fn handle_old_poll(&mut self, msg: &Message) {
        self.mark(marks::REFUSED_OLD_POLL);
        let mut answer = message(MessageType::MsgRequestPreVoteResponse, msg.from);
        self.refuse_poll(&mut answer);
    }

    /// Somebody answered. A yes carries the term that was asked about, a no the
    /// term of whoever says it.
    pub(crate) fn handle_poll_answer(&mut self, now: u64, msg: &Message) {
        let asked_about = self.term.checked_add(1);
        let is_current = msg.reject || Some(msg.term) == asked_about;
        let Some(poll) = self.poll.as_mut().filter(|_| is_current) else {
            return;
        };
        poll.entry(msg.from).or_insert(!msg.reject);
        self.count_poll(now);
    }

    fn count_poll(&mut self, now: u64) {
        let Some(poll) = &self.poll else { return };
        match self.election(poll) {
            Election::Won => self.campaign(now, b""),
            Election::Lost => {
                self.mark(marks::LOST_POLL);
                self.poll = None;
            }
            Election::Open => {}
        }
    }

    fn refuse_poll(&mut self, answer: &mut Message) {
        answer.reject = true;
        self.send(std::mem::take(answer));
    }
}
