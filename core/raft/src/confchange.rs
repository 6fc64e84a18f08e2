//! Membership and its changes (section 6 of the paper; section 4 of Ongaro's
//! dissertation), as pure functions from one configuration to the next.
//!
//! A simple change alters at most one voter: any quorum before shares a member
//! with any quorum after. All other changes go through a joint configuration,
//! in which both the outgoing and the incoming voters decide.

use crate::quorum::{Joint, Voters};
use raft_proto::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState,
};
use std::collections::BTreeSet;
use std::fmt;

/// Who is a member, and with what say.
///
/// Invariants: learners are no voters; those in `learners_next` are outgoing
/// voters and neither incoming ones nor learners yet; a configuration that is
/// not joint has no `learners_next` and does not leave automatically.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Those who vote; two sets while a joint change is under way.
    pub voters: Joint,
    /// Those who get the log, and do not count.
    pub learners: BTreeSet<u64>,
    /// Outgoing voters that become learners when the joint configuration is left.
    pub learners_next: BTreeSet<u64>,
    /// Whether the leader leaves the joint configuration by itself.
    pub auto_leave: bool,
}

/// Why a configuration cannot be changed so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfChangeError {
    /// A joint change is under way and must be left first.
    AlreadyJoint,
    /// There is no joint change to leave.
    NotJoint,
    /// Nobody could decide on a joint change, as there are no voters.
    NoVoters,
    /// Nobody would be left to vote.
    RemovesAllVoters,
    /// More than one voter changes, which needs a joint change.
    NotSimple,
}

impl fmt::Display for ConfChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConfChangeError::AlreadyJoint => "a joint change is under way: leave it first",
            ConfChangeError::NotJoint => "no joint change is under way that could be left",
            ConfChangeError::NoVoters => "a configuration without voters cannot become joint",
            ConfChangeError::RemovesAllVoters => "the change would leave no voter",
            ConfChangeError::NotSimple => "more than one voter changes: make it a joint change",
        })
    }
}

impl std::error::Error for ConfChangeError {}

impl Configuration {
    /// These voters and nobody else.
    pub fn of(voters: impl IntoIterator<Item = u64>) -> Configuration {
        Configuration {
            voters: Joint::of(Voters::new(voters)),
            ..Default::default()
        }
    }

    /// As it was told in a snapshot.
    pub fn from_state(state: &ConfState) -> Configuration {
        Configuration {
            voters: Joint {
                incoming: Voters::new(state.voters.iter().copied()),
                outgoing: Voters::new(state.voters_outgoing.iter().copied()),
            },
            learners: state.learners.iter().copied().collect(),
            learners_next: state.learners_next.iter().copied().collect(),
            auto_leave: state.auto_leave,
        }
    }

    /// As a snapshot tells it.
    pub fn to_state(&self) -> ConfState {
        ConfState {
            voters: self.voters.incoming.iter().collect(),
            voters_outgoing: self.voters.outgoing.iter().collect(),
            learners: self.learners.iter().copied().collect(),
            learners_next: self.learners_next.iter().copied().collect(),
            auto_leave: self.auto_leave,
            ..Default::default()
        }
    }

    /// Whether a joint change is under way.
    pub fn is_joint(&self) -> bool {
        !self.voters.outgoing.is_empty()
    }

    /// Whether `id` is a member: a voter of either set, or a learner.
    pub fn contains(&self, id: u64) -> bool {
        self.voters.contains(id) || self.learners.contains(&id)
    }

    /// All members, in ascending order.
    pub fn members(&self) -> BTreeSet<u64> {
        let learners = self.learners.iter().copied();
        self.voters.iter().chain(learners).collect()
    }

    /// What comes of a change as it stands in the log: a simple one if it can
    /// be and nothing else is asked for, otherwise a joint one. A change of
    /// nothing leaves the joint configuration.
    pub fn changed(&self, change: &ConfChangeV2) -> Result<Configuration, ConfChangeError> {
        let is_auto = change.transition == ConfChangeTransition::Auto;
        match change.changes.len() {
            0 if is_auto => self.leave_joint(),
            0 | 1 if is_auto => self.simple(&change.changes),
            _ => {
                let auto_leave = change.transition != ConfChangeTransition::Explicit;
                self.enter_joint(auto_leave, &change.changes)
            }
        }
    }

    /// Makes changes of which at most one is of a voter.
    pub fn simple(&self, changes: &[ConfChangeSingle]) -> Result<Configuration, ConfChangeError> {
        if self.is_joint() {
            return Err(ConfChangeError::AlreadyJoint);
        }
        let next = self.clone().with(changes)?;
        let before = &self.voters.incoming;
        if next.voters.incoming.differences(before) > 1 {
            return Err(ConfChangeError::NotSimple);
        }
        Ok(next)
    }

    /// Begins changes of which any number may be of voters.
    pub fn enter_joint(
        &self,
        auto_leave: bool,
        changes: &[ConfChangeSingle],
    ) -> Result<Configuration, ConfChangeError> {
        if self.is_joint() {
            return Err(ConfChangeError::AlreadyJoint);
        }
        if self.voters.incoming.is_empty() {
            return Err(ConfChangeError::NoVoters);
        }
        let mut next = self.clone();
        next.voters.outgoing = self.voters.incoming.clone();
        next.auto_leave = auto_leave;
        next.with(changes)
    }

    /// Ends a joint change: the incoming voters are on their own.
    pub fn leave_joint(&self) -> Result<Configuration, ConfChangeError> {
        if !self.is_joint() {
            return Err(ConfChangeError::NotJoint);
        }
        let mut next = self.clone();
        next.learners.append(&mut next.learners_next);
        next.voters.outgoing = Voters::default();
        next.auto_leave = false;
        Ok(next)
    }

    /// A planted bug's voters: learners count as well.
    pub(crate) fn with_learners_as_voters(&self) -> Joint {
        let mut voters = self.voters.clone();
        for id in &self.learners {
            voters.incoming.insert(*id);
        }
        voters
    }

    fn with(mut self, changes: &[ConfChangeSingle]) -> Result<Configuration, ConfChangeError> {
        // Node 0 is nobody: etcd voids a change by writing 0 into it.
        for change in changes.iter().filter(|change| change.node_id != 0) {
            match change.change_type {
                ConfChangeType::AddNode => self.make_voter(change.node_id),
                ConfChangeType::AddLearnerNode => self.make_learner(change.node_id),
                ConfChangeType::RemoveNode => self.remove(change.node_id),
            }
        }
        if self.voters.incoming.is_empty() {
            return Err(ConfChangeError::RemovesAllVoters);
        }
        self.assert_invariants();
        Ok(self)
    }

    fn make_voter(&mut self, id: u64) {
        self.remove(id);
        self.voters.incoming.insert(id);
    }

    fn make_learner(&mut self, id: u64) {
        self.remove(id);
        // An outgoing voter still counts: it cannot be a learner as well yet.
        if self.voters.outgoing.contains(id) {
            self.learners_next.insert(id);
        } else {
            self.learners.insert(id);
        }
    }

    fn remove(&mut self, id: u64) {
        self.voters.incoming.remove(id);
        self.learners.remove(&id);
        self.learners_next.remove(&id);
    }

    fn assert_invariants(&self) {
        for id in &self.learners {
            assert!(!self.voters.contains(*id), "voter and learner {id}: {self}");
        }
        for id in &self.learners_next {
            let is_leaving = self.voters.outgoing.contains(*id);
            assert!(is_leaving, "next learner {id} was no voter: {self}");
            let stays = self.voters.incoming.contains(*id);
            assert!(!stays, "next learner {id} remains a voter: {self}");
        }
        let is_simple = self.learners_next.is_empty() && !self.auto_leave;
        assert!(self.is_joint() || is_simple, "half joint: {self}");
    }
}

/// `voters=(2 3)&&(1) learners=(4) learners_next=(1) autoleave`
impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn set(ids: impl Iterator<Item = u64>) -> String {
            let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
            format!("({})", ids.join(" "))
        }
        write!(f, "voters={}", set(self.voters.incoming.iter()))?;
        if self.is_joint() {
            write!(f, "&&{}", set(self.voters.outgoing.iter()))?;
        }
        for (name, ids) in [
            ("learners", &self.learners),
            ("learners_next", &self.learners_next),
        ] {
            if !ids.is_empty() {
                write!(f, " {name}={}", set(ids.iter().copied()))?;
            }
        }
        if self.auto_leave {
            f.write_str(" autoleave")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
