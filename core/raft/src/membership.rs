//! Changes of membership, as the log carries them (section 4 of Ongaro's
//! dissertation).
//!
//! A change is an entry like others, and takes effect at a node when the node
//! *applies* it, not, as in the dissertation, when it is appended. Two rules
//! keep any two quorums that could ever decide at the same time overlapping:
//!
//! * A leader proposes a change only when it has applied the one before, and
//!   has committed an entry of its own term: earlier, a rival's change may
//!   wait in somebody's log (the bug of 2015).
//! * A node that knows a change to be committed stands for election only when
//!   it has applied it: its configuration is at most one change behind.

use crate::confchange::Configuration;
use crate::message::{conf_change, decode_conf_change, is_conf_change, message};
use crate::progress::Progress;
use crate::quorum::Election;
use crate::{ProposeError, Raft, marks};
use raft_proto::eraftpb::{ConfChangeV2, Entry, MessageType};
use squall_api::{Bug, Role};
use std::collections::BTreeMap;

/// The configuration in force, and the changes on their way.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    pub(crate) config: Configuration,
    /// All changes in entries up to here are in force.
    applied: u64,
    /// Leader: the last change in its log.
    proposed: u64,
}

impl Membership {
    /// `config` is in force, as of entry `applied`.
    pub(crate) fn new(config: Configuration, applied: u64) -> Membership {
        Membership {
            config,
            applied,
            proposed: 0,
        }
    }

    fn is_changing(&self) -> bool {
        self.proposed > self.applied
    }
}

impl Raft {
    /// The configuration in force at this node.
    pub fn configuration(&self) -> &Configuration {
        &self.membership.config
    }

    /// The configuration in force at this node is the one as of this entry.
    pub fn configuration_index(&self) -> u64 {
        self.membership.applied
    }

    /// Whether nine tenths of this leader's log are known to be durable at
    /// `member`: etcd's measure of a learner that may be promoted. None if this
    /// node does not lead.
    pub fn is_in_sync(&self, member: u64) -> Option<bool> {
        if self.role != Role::Leader {
            return None;
        }
        let matches = self.tracker.get(&member).map_or(0, |p| {
            match self.settings.bugs.has(Bug::CountSentAsHeld) {
                true => p.next_index - 1,
                false => p.match_index,
            }
        });
        let last = self.log.last_index();
        Some(u128::from(matches) * 10 >= u128::from(last) * 9)
    }

    /// Proposes a change of membership under the unique `id`, as
    /// [`propose`](Raft::propose) does data. `change.context` is its owner's.
    pub fn propose_conf_change(
        &mut self,
        _now: u64,
        id: u64,
        change: &ConfChangeV2,
    ) -> Result<(), ProposeError> {
        let entry = conf_change(id, change);
        if self.role == Role::Leader {
            self.append_conf_change(entry, change)?;
        } else if self.leader != 0 {
            let mut forward = message(MessageType::MsgPropose, self.leader);
            forward.log_term = self.term;
            forward.entries.push(entry);
            self.send(forward);
        } else {
            return Err(ProposeError::NoLeader);
        }
        Ok(())
    }

    /// The owner applied the change in entry `index`; `config` is in force
    /// from now on. It may be the old one: a change that its owner refuses to
    /// make changes nothing, at every member alike.
    ///
    /// # Panics
    ///
    /// If that entry was not handed out as committed, or is not later than the
    /// last one that was applied.
    pub fn configuration_applied(&mut self, now: u64, index: u64, config: Configuration) {
        assert!(
            self.membership.applied < index && index <= self.delivered,
            "node {} applied a change of membership at {index}: the last was at {}, and entries \
             up to {} were handed out",
            self.settings.id,
            self.membership.applied,
            self.delivered
        );
        self.mark(marks::APPLIED_CONF_CHANGE);
        self.switch_to(now, index, config);
    }

    /// The configuration in force is `config` as of entry `index`.
    pub(crate) fn switch_to(&mut self, now: u64, index: u64, config: Configuration) {
        self.membership.applied = index;
        self.membership.config = config;
        if self.role != Role::Leader {
            return;
        }
        let config = &self.membership.config;
        let is_voter = config.voters.contains(self.settings.id);
        if !is_voter && !self.settings.bugs.has(Bug::RemovedLeaderStays) {
            self.mark(marks::STEPPED_DOWN_ON_REMOVAL);
            self.drop_tail(Bug::DropTailOnRemoval);
            self.set_leader(0);
            return self.become_follower(now);
        }
        self.tracker.retain(|id, _| config.contains(*id));
        let mut added = Vec::new();
        let next_index = self.log.last_index() + 1;
        for id in config.members() {
            self.tracker.entry(id).or_insert_with(|| {
                added.push(id);
                let mut fresh = Progress::new(next_index, self.settings.window());
                // It has a whole window to be heard in before it is missed.
                fresh.is_active = true;
                fresh
            });
        }
        self.abort_transfer_to_nobody();
        // Fewer may be a quorum now.
        self.advance_commit();
        self.advance_reads();
        for id in added {
            self.send_append(id, true);
        }
        self.leave_joint_if_due();
    }

    /// The leader leaves a joint configuration by itself, if it was so asked.
    pub(crate) fn leave_joint_if_due(&mut self) {
        let config = &self.membership.config;
        let is_wished = config.is_joint() && config.auto_leave;
        let may_change = !self.membership.is_changing() && self.commit >= self.term_start;
        if self.role == Role::Leader && is_wished && may_change {
            self.mark(marks::LEFT_JOINT);
            self.append_own(conf_change(0, &ConfChangeV2::default()));
            self.membership.proposed = self.log.last_index();
            self.has_news = true;
        }
    }

    /// Appends a change to the leader's log, if it may be made now.
    pub(crate) fn append_conf_change(
        &mut self,
        entry: Entry,
        change: &ConfChangeV2,
    ) -> Result<(), ProposeError> {
        let bugs = self.settings.bugs;
        if self.commit < self.term_start && !bugs.has(Bug::EarlyConfChange) {
            self.mark(marks::REFUSED_EARLY_CONF_CHANGE);
            return Err(ProposeError::NothingCommitted);
        }
        if self.membership.is_changing() && !bugs.has(Bug::TwoConfChanges) {
            self.mark(marks::REFUSED_SECOND_CONF_CHANGE);
            return Err(ProposeError::Changing);
        }
        self.membership
            .config
            .changed(change)
            .map_err(ProposeError::Impossible)?;
        self.admit(&entry)?;
        self.append_own(entry);
        self.membership.proposed = self.log.last_index();
        self.has_news = true;
        Ok(())
    }

    /// A new leader finds the last change in its log: another one may only
    /// follow when it is applied.
    pub(crate) fn find_proposed_conf_change(&mut self) {
        if self.settings.bugs.has(Bug::EarlyConfChange) {
            self.membership.proposed = 0;
            return;
        }
        self.membership.proposed = self
            .log
            .entries_from(self.membership.applied + 1)
            .filter(|entry| is_conf_change(entry))
            .last()
            .map_or(0, |entry| entry.index);
    }

    /// Whether the node may stand for election now.
    pub(crate) fn may_campaign(&mut self) -> bool {
        if !self.configuration().voters.contains(self.settings.id) {
            return false;
        }
        let committed = |entry: &&Entry| entry.index <= self.commit;
        let waits = self
            .log
            .entries_from(self.membership.applied + 1)
            .take_while(committed)
            .any(is_conf_change);
        if waits {
            self.mark(marks::WAITED_FOR_CONF_CHANGE);
        }
        !waits
    }

    /// A follower without a configuration has nothing that an append could
    /// build on: the first members stand in no log. It asks for a snapshot.
    pub(crate) fn ask_for_first_snapshot(&mut self, leader: u64, commit: u64) {
        self.mark(marks::ASKED_FOR_SNAPSHOT);
        let mut question = message(MessageType::MsgAppendResponse, leader);
        question.reject = true;
        question.request_snapshot = commit.max(1);
        self.send(question);
    }

    /// The highest number that a quorum has reached; see
    /// [`Joint::agreed`](crate::quorum::Joint::agreed).
    pub(crate) fn agreed(&self, reached: impl Fn(u64) -> u64) -> u64 {
        let config = self.configuration();
        if self.settings.bugs.has(Bug::HalfQuorum) {
            return config
                .voters
                .incoming
                .reached_by(config.voters.incoming.quorum_of_half(), reached);
        }
        if self.settings.bugs.has(Bug::LearnerCounts) {
            return config.with_learners_as_voters().agreed(reached);
        }
        config.voters.agreed(reached)
    }

    /// Where an election with these answers stands.
    pub(crate) fn election(&self, votes: &BTreeMap<u64, bool>) -> Election {
        let config = self.configuration();
        let bugs = self.settings.bugs;
        let twice = bugs.has(Bug::CountOwnVoteTwice);
        if bugs.has(Bug::HalfQuorum) || twice {
            let voters = &config.voters.incoming;
            let granted = voters.iter().filter(|id| votes.get(id) == Some(&true));
            let needed = match twice {
                true => voters.quorum() - 1,
                false => voters.quorum_of_half(),
            };
            if granted.count() >= needed {
                return Election::Won;
            }
        }
        config.voters.election(votes)
    }

    /// Everybody but itself who is sent the log, in ascending order.
    pub(crate) fn peers(&self) -> Vec<u64> {
        let me = self.settings.id;
        let members = self.configuration().members();
        members.into_iter().filter(|id| *id != me).collect()
    }

    /// Everybody but itself whose vote counts, in ascending order.
    pub(crate) fn electors(&self) -> Vec<u64> {
        let me = self.settings.id;
        let voters = self.configuration().voters.iter();
        voters.filter(|id| *id != me).collect()
    }

    /// The change that a forwarded entry proposes; `None` if it is data.
    pub(crate) fn forwarded_change(entry: &Entry) -> Option<ConfChangeV2> {
        is_conf_change(entry)
            .then(|| decode_conf_change(entry).expect("malformed proposals are not handled"))
    }
}
