//! Elections: who leads in which term (section 5.2 and 5.4.1 of the paper).

use crate::forwards::Forwards;
use crate::lease::Lease;
use crate::message::message;
use crate::progress::Progress;
use crate::quorum::Election;
use crate::reads::ReadRounds;
use crate::{Raft, marks};
use bytes::Bytes;
use raft_proto::eraftpb::{Entry, Message, MessageType};
use squall_api::{Bug, Role};

impl Raft {
    /// No leader was heard for long enough.
    pub(crate) fn on_election_timeout(&mut self, now: u64) {
        self.draw_election_timeout(now);
        if self.installing.is_some() {
            // Its log is about to be replaced; others have what it lacks.
            return;
        }
        if !self.may_campaign() {
            return;
        }
        if self.settings.pre_vote {
            self.poll(now);
        } else {
            self.campaign(now, b"");
        }
    }

    /// Stands for election in the next term; `context` goes with the requests.
    pub(crate) fn campaign(&mut self, now: u64, context: &'static [u8]) {
        let Some(term) = self.term.checked_add(1) else {
            return self.mark(marks::TERM_EXHAUSTED);
        };
        self.mark(marks::CAMPAIGNED);
        self.set_leader(0);
        self.become_follower(now);
        self.term = term;
        self.vote = self.settings.id;
        self.role = Role::Candidate;
        // Its own vote counts, like everybody's, once it is durable.
        self.send_after_sync(message(
            MessageType::MsgRequestVoteResponse,
            self.settings.id,
        ));
        for peer in self.electors() {
            let mut request = message(MessageType::MsgRequestVote, peer);
            request.index = self.log.last_index();
            request.log_term = self.log.last_term();
            request.context = Bytes::from_static(context);
            self.send_after_sync(request);
        }
    }

    /// A candidate asks for this node's vote in the current term.
    pub(crate) fn handle_request_vote(&mut self, now: u64, msg: &Message) {
        let votes_again = self.settings.bugs.has(Bug::VoteAgain) && self.role == Role::Follower;
        let is_free = self.vote == msg.from || (self.vote == 0 && self.leader == 0) || votes_again;
        let mut answer = message(MessageType::MsgRequestVoteResponse, msg.from);
        if is_free && self.would_elect(msg) {
            self.mark(marks::GRANTED_VOTE);
            self.vote = msg.from;
            self.restart_election_timeout(now);
            match self.settings.bugs.has(Bug::VoteBeforeFsync) {
                true => self.send(answer),
                false => self.send_after_sync(answer),
            }
        } else {
            if is_free {
                self.mark(marks::REFUSED_SHORTER_LOG);
            }
            answer.reject = true;
            self.send(answer);
        }
    }

    /// Whether a candidate's log is at least as up to date as this node's own.
    pub(crate) fn would_elect(&self, candidate: &Message) -> bool {
        let Message {
            index, log_term, ..
        } = *candidate;
        let bugs = self.settings.bugs;
        self.log.is_up_to_date(index, log_term)
            || bugs.has(Bug::VoteShorterLog)
            || (bugs.has(Bug::VoteIgnoresTerm) && index >= self.log.last_index())
    }

    /// A voter, perhaps itself, answered in the current term.
    pub(crate) fn handle_vote(&mut self, now: u64, msg: &Message) {
        if self.role != Role::Candidate {
            return;
        }
        // The first answer counts: a voter does not change its mind in a term.
        let granted = !msg.reject || self.settings.bugs.has(Bug::CountRefusals);
        self.votes.entry(msg.from).or_insert(granted);
        match self.election(&self.votes) {
            Election::Won => self.become_leader(now),
            Election::Lost => {
                self.mark(marks::LOST_ELECTION);
                if self.settings.bugs.has(Bug::LoserForgetsVote) {
                    self.vote = 0;
                }
                self.become_follower(now);
            }
            Election::Open => {}
        }
    }

    /// Somebody is in a later term. The election timeout runs on: only a
    /// leader, or a candidate worth a vote, is a reason to wait.
    pub(crate) fn enter_term(&mut self, now: u64, term: u64) {
        assert!(term > self.term, "term {} to {term}", self.term);
        self.term = term;
        self.vote = 0;
        self.set_leader(0);
        if self.role == Role::Leader {
            self.mark(marks::STEPPED_DOWN);
        }
        self.become_follower(now);
    }

    /// `from` leads in the current term. False if this node knows better: it
    /// leads itself.
    pub(crate) fn follow(&mut self, now: u64, from: u64) -> bool {
        if self.role == Role::Leader {
            return false;
        }
        self.become_follower(now);
        self.set_leader(from);
        self.leader_heard = now;
        self.restart_election_timeout(now);
        true
    }

    pub(crate) fn become_follower(&mut self, now: u64) {
        if self.role == Role::Leader {
            self.tracker.clear();
            self.has_news = false;
            self.snapshot_asked = false;
            self.transfer = None;
            let lost = std::mem::take(&mut self.rounds).into_local();
            self.out.refused.extend(lost);
            self.draw_election_timeout(now);
        }
        self.role = Role::Follower;
        self.votes.clear();
        self.poll = None;
    }

    fn become_leader(&mut self, now: u64) {
        self.mark(marks::BECAME_LEADER);
        self.role = Role::Leader;
        self.votes.clear();
        self.set_leader(self.settings.id);
        self.rounds = ReadRounds::default();
        self.lease = Lease::default();
        self.clock = now;
        self.forwards = Forwards::default();
        self.snapshot_asked = false;
        self.heartbeat_deadline = now.saturating_add(self.settings.heartbeat);
        self.quorum_deadline = now.saturating_add(self.settings.election_timeout);
        let next_index = self.log.last_index() + 1;
        let fresh = Progress::new(next_index, self.settings.window());
        let members = self.configuration().members();
        self.tracker = members.into_iter().map(|id| (id, fresh.clone())).collect();
        self.find_proposed_conf_change();
        // Entries of earlier terms commit with this one (section 5.4.2).
        self.term_start = next_index;
        self.uncommitted_bytes = self.log.bytes(self.commit + 1, next_index);
        self.append_own(Entry::default());
        self.broadcast_append();
    }

    pub(crate) fn set_leader(&mut self, leader: u64) {
        if self.leader != leader {
            self.out.refused.extend(self.forwarded.drain());
            self.leader = leader;
        }
    }
}
