//! Quorums: what a set of voters agrees on. Pure functions of who said what.

use std::collections::{BTreeMap, BTreeSet};

/// The members whose votes and acknowledgements count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Voters(BTreeSet<u64>);

/// Where an election stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Election {
    /// A quorum granted its vote.
    Won,
    /// So many refused that no quorum is left.
    Lost,
    /// Neither, yet.
    Open,
}

impl Voters {
    /// The given members; duplicates count once.
    pub fn new(ids: impl IntoIterator<Item = u64>) -> Voters {
        Voters(ids.into_iter().collect())
    }

    /// Whether `id` is a voter.
    pub fn contains(&self, id: u64) -> bool {
        self.0.contains(&id)
    }

    /// The voters, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().copied()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of them are voters only here or only there.
    pub fn differences(&self, other: &Voters) -> usize {
        self.0.symmetric_difference(&other.0).count()
    }

    /// One more.
    pub(crate) fn insert(&mut self, id: u64) {
        self.0.insert(id);
    }

    /// One less.
    pub(crate) fn remove(&mut self, id: u64) {
        self.0.remove(&id);
    }

    /// How many voters make a quorum: any two quorums share a member.
    pub fn quorum(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// The highest number that a quorum has reached, where each voter has
    /// reached `reached(id)` and everything below. Indexes of logs as well as
    /// rounds of heartbeats are such numbers.
    pub fn agreed(&self, reached: impl Fn(u64) -> u64) -> u64 {
        self.reached_by(self.quorum(), reached)
    }

    /// The highest number that `count` voters have reached. No voters agree on
    /// everything, as in etcd: the empty half of a joint configuration must not
    /// hold the other one back.
    pub(crate) fn reached_by(&self, count: usize, reached: impl Fn(u64) -> u64) -> u64 {
        let mut all: Vec<u64> = self.iter().map(reached).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.get(count - 1).copied().unwrap_or(u64::MAX)
    }

    /// A planted bug's quorum: of an even number of voters, only half.
    pub(crate) fn quorum_of_half(&self) -> usize {
        self.0.len().div_ceil(2).max(1)
    }

    /// Where an election with these answers stands. Without voters it is won.
    pub fn election(&self, votes: &BTreeMap<u64, bool>) -> Election {
        if self.is_empty() {
            return Election::Won;
        }
        let count = |granted| {
            let says = |id: &u64| votes.get(id) == Some(&granted);
            self.0.iter().filter(|id| says(id)).count()
        };
        if count(true) >= self.quorum() {
            Election::Won
        } else if count(false) > self.0.len() - self.quorum() {
            Election::Lost
        } else {
            Election::Open
        }
    }
}

/// Two sets of voters while membership changes from one to the other: whatever
/// is decided needs a quorum of each (section 6 of the paper).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Joint {
    /// Those who stay or come.
    pub incoming: Voters,
    /// Those who were voters before; empty unless a change is under way.
    pub outgoing: Voters,
}

impl Joint {
    /// One set, no change under way.
    pub fn of(voters: Voters) -> Joint {
        Joint {
            incoming: voters,
            outgoing: Voters::default(),
        }
    }

    /// Whether `id` is a voter in either set.
    pub fn contains(&self, id: u64) -> bool {
        self.incoming.contains(id) || self.outgoing.contains(id)
    }

    /// The voters of both sets, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.incoming.0.union(&self.outgoing.0).copied()
    }

    /// The highest number that a quorum of each set has reached.
    pub fn agreed(&self, reached: impl Fn(u64) -> u64) -> u64 {
        let incoming = self.incoming.agreed(&reached);
        incoming.min(self.outgoing.agreed(&reached))
    }

    /// Where an election stands that must be won in both sets.
    pub fn election(&self, votes: &BTreeMap<u64, bool>) -> Election {
        match (self.incoming.election(votes), self.outgoing.election(votes)) {
            (Election::Won, Election::Won) => Election::Won,
            (Election::Lost, _) | (_, Election::Lost) => Election::Lost,
            _ => Election::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_quorum_is_more_than_half() {
        let quorums: Vec<usize> = (1..=7).map(|n| Voters::new(1..=n).quorum()).collect();
        assert_eq!(quorums, [1, 2, 2, 3, 3, 4, 4]);
    }

    #[test]
    fn an_election_of_four_is_lost_with_two_refusals() {
        let voters = Voters::new(1..=4);
        let stands = |votes: &[(u64, bool)]| voters.election(&votes.iter().copied().collect());
        assert_eq!(stands(&[(1, true), (2, true)]), Election::Open);
        assert_eq!(stands(&[(1, true), (2, true), (3, true)]), Election::Won);
        assert_eq!(stands(&[(1, true), (2, false)]), Election::Open);
        assert_eq!(stands(&[(2, false), (3, false)]), Election::Lost);
        assert_eq!(
            stands(&[(7, true), (8, true), (9, true)]),
            Election::Open,
            "strangers have no vote"
        );
    }

    #[test]
    fn a_joint_election_is_won_in_both_sets_and_lost_in_one() {
        let joint = Joint {
            incoming: Voters::new([1, 2, 3]),
            outgoing: Voters::new([3, 4, 5]),
        };
        let stands = |votes: &[(u64, bool)]| joint.election(&votes.iter().copied().collect());
        assert_eq!(stands(&[(1, true), (2, true)]), Election::Open);
        assert_eq!(stands(&[(1, true), (3, true), (4, true)]), Election::Won);
        assert_eq!(stands(&[(1, true), (2, true), (4, false)]), Election::Open);
        assert_eq!(stands(&[(4, false), (5, false)]), Election::Lost);
        assert_eq!(joint.iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn without_a_change_a_joint_quorum_is_the_simple_one() {
        let none = BTreeMap::new();
        assert_eq!(Voters::default().election(&none), Election::Won);
        assert_eq!(Voters::default().agreed(|_| 0), u64::MAX);
        let joint = Joint::of(Voters::new([1, 2, 3]));
        assert_eq!(joint.agreed(|id| id), 2);
        assert_eq!(joint.election(&none), Election::Open);
    }

    proptest! {
        #[test]
        fn a_joint_quorum_shares_a_member_with_each_simple_one(
            incoming in prop::collection::btree_set(1_u64..8, 1..6),
            outgoing in prop::collection::btree_set(1_u64..8, 1..6),
            yes in prop::collection::btree_set(1_u64..8, 0..8),
        ) {
            // While a change is under way, neither the old nor the new voters
            // can decide against what was decided jointly.
            let joint = Joint {
                incoming: Voters::new(incoming),
                outgoing: Voters::new(outgoing),
            };
            let votes = |says: bool| (1..8).map(|id| (id, yes.contains(&id) == says)).collect();
            let (ayes, noes) = (votes(true), votes(false));
            if joint.election(&ayes) == Election::Won {
                prop_assert_eq!(joint.incoming.election(&noes), Election::Lost);
                prop_assert_eq!(joint.outgoing.election(&noes), Election::Lost);
                prop_assert_eq!(joint.election(&noes), Election::Lost);
            }
        }

        #[test]
        fn a_quorum_has_reached_what_is_agreed_and_none_has_reached_more(
            reached in prop::collection::btree_map(1_u64..20, 0_u64..10, 1..8)
        ) {
            let voters = Voters::new(reached.keys().copied());
            let agreed = voters.agreed(|id| reached[&id]);
            let at_least = |bound| reached.values().filter(|r| **r >= bound).count();
            prop_assert!(at_least(agreed) >= voters.quorum());
            prop_assert!(at_least(agreed + 1) < voters.quorum());
        }

        #[test]
        fn an_election_cannot_be_won_by_two(
            ballots in prop::collection::vec((1_u64..8, 0_u8..3), 0..12), n in 1_u64..8
        ) {
            // Each voter has one vote: whatever it gives one, it denies the other.
            let one: BTreeMap<u64, bool> =
                ballots.iter().filter(|b| b.1 < 2).map(|b| (b.0, b.1 == 0)).collect();
            let other = one.iter().map(|(id, granted)| (*id, !granted)).collect();
            let voters = Voters::new(1..=n);
            let both = (voters.election(&one), voters.election(&other));
            prop_assert_ne!(both, (Election::Won, Election::Won));
            if both.0 == Election::Won {
                prop_assert_eq!(both.1, Election::Lost);
            }
        }
    }
}
