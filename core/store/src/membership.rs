//! Who the members are, as the replicated state knows it.
//!
//! etcd keeps the same three things: Raft's configuration, the members'
//! attributes, and the ids of those who were removed, which never return.

use crate::error::Refusal;
use bytes::Bytes;
use prost::Message as _;
use protobuf::Message as _;
use raft_proto::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState};
use squall_api::pb::{ConfChangeContext, Member, StoredMembership};
use squall_api::{Bug, Bugs, wire};
use squall_raft::confchange::Configuration;
use std::collections::{BTreeMap, BTreeSet};

/// The members as of one entry.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Membership {
    /// Raft's view of them.
    pub(crate) config: Configuration,
    members: BTreeMap<u64, Member>,
    removed: BTreeSet<u64>,
}

impl Membership {
    /// These voters, of whom nothing but their ids is known.
    pub(crate) fn of(voters: &[u64]) -> Membership {
        let member = |id: &u64| {
            let member = Member {
                id: *id,
                ..Member::default()
            };
            (*id, member)
        };
        Membership {
            config: Configuration::of(voters.iter().copied()),
            members: voters.iter().map(member).collect(),
            removed: BTreeSet::new(),
        }
    }

    /// Everybody's attributes, in ascending order of ids.
    pub(crate) fn list(&self) -> Vec<Member> {
        self.members.values().cloned().collect()
    }

    /// Whether `id` is a member now.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.members.contains_key(&id)
    }

    /// All members' ids, ascending.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> {
        self.members.keys().copied()
    }

    /// Whether `id` was a member once and is none any more.
    pub(crate) fn was_removed(&self, id: u64) -> bool {
        self.removed.contains(&id)
    }

    /// An id that nobody has or had. Ids count up, where etcd hashes addresses:
    /// two proposers may choose the same one, and the later is refused.
    pub(crate) fn free_id(&self) -> u64 {
        let last = |ids: Option<&u64>| ids.copied().unwrap_or(0);
        last(self.members.keys().next_back()).max(last(self.removed.last())) + 1
    }

    /// Makes a change as it stands in the log, or says why it is void. What is
    /// void is so at every member.
    pub(crate) fn change(
        &mut self,
        change: &ConfChangeV2,
        context: ConfChangeContext,
    ) -> Result<(), Refusal> {
        for single in &change.changes {
            self.check(single, context.is_promote)?;
        }
        let changed = self.config.changed(change);
        self.config = changed.map_err(|_| Refusal::BadMemberChange)?;
        for single in &change.changes {
            let id = single.node_id;
            if single.change_type == ConfChangeType::RemoveNode {
                self.members.remove(&id);
                self.removed.insert(id);
                continue;
            }
            let member = self.members.entry(id).or_default();
            match &context.member {
                Some(new) if new.id == id && !context.is_promote => *member = new.clone(),
                _ => member.id = id,
            }
            member.is_learner = single.change_type == ConfChangeType::AddLearnerNode;
        }
        Ok(())
    }

    /// Replaces the addresses at which others reach a member.
    pub(crate) fn update(&mut self, id: u64, peer_urls: Vec<String>) -> Result<(), Refusal> {
        let member = self.members.get_mut(&id).ok_or(Refusal::MemberNotFound)?;
        member.peer_ur_ls = peer_urls;
        Ok(())
    }

    fn check(&self, change: &ConfChangeSingle, is_promote: bool) -> Result<(), Refusal> {
        let id = change.node_id;
        let member = self.members.get(&id);
        if change.change_type == ConfChangeType::RemoveNode || is_promote {
            let member = member.ok_or(Refusal::MemberNotFound)?;
            return match is_promote && !member.is_learner {
                true => Err(Refusal::MemberNotLearner),
                false => Ok(()),
            };
        }
        match member.is_some() || self.removed.contains(&id) {
            true => Err(Refusal::MemberExists),
            false => Ok(()),
        }
    }

    /// A planted bug: the attributes go on saying that a promoted member learns.
    pub(crate) fn leave_promotion_unsaved(&mut self, change: &ConfChangeV2) {
        for single in &change.changes {
            if let Some(member) = self.members.get_mut(&single.node_id) {
                member.is_learner = true;
            }
        }
    }

    /// Planted bugs: what a restart or a snapshot makes of it.
    pub(crate) fn misread(&mut self, bugs: Bugs) {
        if bugs.has(Bug::ForgetPromotion) {
            let learners = self.members.values().filter(|m| m.is_learner);
            let learners: BTreeSet<u64> = learners.map(|m| m.id).collect();
            let mut state = self.config.to_state();
            state.voters.retain(|id| !learners.contains(id));
            state.set_learners(learners.into_iter().collect());
            self.config = Configuration::from_state(&state);
        }
        if bugs.has(Bug::RemovedReturns)
            && let Some(id) = self.removed.pop_last()
        {
            let member = Member {
                id,
                ..Member::default()
            };
            self.members.insert(id, member);
            let mut state = self.config.to_state();
            state.voters.push(id);
            self.config = Configuration::from_state(&state);
        }
    }

    /// As the backend and snapshots keep it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let conf_state = self.config.to_state().write_to_bytes();
        StoredMembership {
            members: self.list(),
            removed: self.removed.iter().copied().collect(),
            conf_state: conf_state.expect("a Vec grows as needed").into(),
        }
        .encode_to_vec()
    }

    /// What [`encode`](Membership::encode) wrote; `None` if it is nothing such.
    pub(crate) fn decode(bytes: Bytes) -> Option<Membership> {
        let stored = StoredMembership::decode(bytes).ok()?;
        let conf_state = wire::parse::<ConfState>(&stored.conf_state).ok()?;
        Some(Membership {
            config: Configuration::from_state(&conf_state),
            members: stored.members.into_iter().map(|m| (m.id, m)).collect(),
            removed: stored.removed.into_iter().collect(),
        })
    }
}

/// The change that makes one member what `change_type` says.
pub(crate) fn single(
    change_type: ConfChangeType,
    id: u64,
    context: &ConfChangeContext,
) -> ConfChangeV2 {
    let mut change = ConfChangeV2::default();
    change.changes.push(ConfChangeSingle {
        change_type,
        node_id: id,
        ..Default::default()
    });
    change.context = context.encode_to_vec().into();
    change
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learner(id: u64) -> ConfChangeContext {
        ConfChangeContext {
            member: Some(Member {
                id,
                is_learner: true,
                ..Member::default()
            }),
            ..ConfChangeContext::default()
        }
    }

    #[test]
    fn a_member_is_added_promoted_and_removed_once() {
        let mut now = Membership::of(&[1, 2, 3]);
        let id = now.free_id();
        assert_eq!(id, 4);
        let add = single(ConfChangeType::AddLearnerNode, id, &learner(id));
        assert_eq!(now.change(&add, learner(id)), Ok(()));
        assert_eq!(now.change(&add, learner(id)), Err(Refusal::MemberExists));
        let promotion = ConfChangeContext {
            is_promote: true,
            ..ConfChangeContext::default()
        };
        let promote = single(ConfChangeType::AddNode, id, &promotion);
        assert_eq!(now.change(&promote, promotion.clone()), Ok(()));
        assert_eq!(
            now.change(&promote, promotion),
            Err(Refusal::MemberNotLearner)
        );
        assert_eq!(now.config.to_string(), "voters=(1 2 3 4)");
        let none = ConfChangeContext::default();
        let remove = single(ConfChangeType::RemoveNode, id, &none);
        assert_eq!(now.change(&remove, none.clone()), Ok(()));
        assert_eq!(now.change(&remove, none), Err(Refusal::MemberNotFound));
        assert_eq!((now.free_id(), now.was_removed(4)), (5, true));
        assert_eq!(now.change(&add, learner(id)), Err(Refusal::MemberExists));
        assert_eq!(Membership::decode(now.encode().into()), Some(now));
    }

    #[test]
    fn the_last_voter_stays() {
        let mut now = Membership::of(&[1]);
        let none = ConfChangeContext::default();
        let remove = single(ConfChangeType::RemoveNode, 1, &none);
        assert_eq!(now.change(&remove, none), Err(Refusal::BadMemberChange));
        assert_eq!(now, Membership::of(&[1]));
    }
}
