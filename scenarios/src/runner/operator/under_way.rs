//! What the operator's clients have asked for, and may come yet.

use squall_api::ClusterRequest;
use squall_api::pb::Member;
use std::collections::BTreeSet;

/// What each changer has asked for since it was last answered for certain.
///
/// Changers decide by what they were told last, which may be old: two that remove
/// somebody at once must not leave one voter alone, nor two that add somebody a
/// member without a node.
///
/// Of two voters none can be removed safely: if the one that goes leads, and the
/// other does not hear that its removal is committed, that one asks for its vote
/// for ever. etcd has the same limit, and says so.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    /// By changer, as often as it has asked.
    adding: Vec<u64>,
    /// By changer and member.
    leaving: BTreeSet<(u64, u64)>,
    /// The highest id that anybody was told of.
    highest: u64,
}

impl UnderWay {
    /// A changer asks.
    pub(super) fn begin(&mut self, changer: u64, request: &ClusterRequest) {
        match request {
            ClusterRequest::MemberAdd(_) => self.adding.push(changer),
            ClusterRequest::MemberRemove(remove) => {
                self.leaving.insert((changer, remove.id));
            }
            _ => {}
        }
    }

    /// A changer was told who the members are.
    pub(super) fn told(&mut self, members: &[Member]) {
        let ids = members.iter().map(|member| member.id);
        self.highest = ids.max().unwrap_or(0).max(self.highest);
    }

    /// A changer was answered for certain: nothing that it asked for before is
    /// to come.
    pub(super) fn end(&mut self, changer: u64) {
        self.adding.retain(|of| *of != changer);
        self.leaving.retain(|(of, _)| *of != changer);
    }

    /// The highest id that a member may have when everything has come; `known` is
    /// the highest that a configuration had. Ids count up.
    pub(super) fn highest_member(&self, known: u64) -> u64 {
        self.highest.max(known) + self.adding.len() as u64
    }

    /// How many of the `voters` stay without `id` and all who may be leaving.
    pub(super) fn voters_left(&self, voters: &BTreeSet<u64>, id: u64) -> usize {
        let leaves = |voter: u64| self.leaving.iter().any(|(_, leaves)| *leaves == voter);
        let stays = |voter: &&u64| **voter != id && !leaves(**voter);
        voters.iter().filter(stays).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_api::pb;

    #[test]
    fn changers_that_race_leave_two_voters_and_add_no_more_than_there_are_nodes() {
        let mut under_way = UnderWay::default();
        let remove = |id| ClusterRequest::MemberRemove(pb::MemberRemoveRequest { id });
        let voters = BTreeSet::from([1, 2, 3]);
        assert_eq!(under_way.voters_left(&voters, 3), 2);
        under_way.begin(0, &remove(2));
        assert_eq!(under_way.voters_left(&voters, 3), 1);
        assert_eq!(under_way.voters_left(&voters, 2), 2, "the same one again");
        under_way.end(1);
        assert_eq!(under_way.voters_left(&voters, 3), 1);
        under_way.end(0);
        assert_eq!(under_way.voters_left(&voters, 3), 2);
        let add = ClusterRequest::MemberAdd(pb::MemberAddRequest::default());
        under_way.begin(0, &add);
        under_way.begin(0, &add);
        under_way.begin(1, &add);
        assert_eq!(under_way.highest_member(3), 6);
        under_way.end(0);
        assert_eq!(under_way.highest_member(3), 4);
        under_way.told(&[Member {
            id: 5,
            ..Member::default()
        }]);
        assert_eq!(under_way.highest_member(3), 6);
    }
}
