//! Quorums: what a set of voters agrees on. Pure functions of who said what.

use std::collections::{BTreeMap, BTreeSet};

/// The members whose votes and acknowledgements count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Voters(BTreeSet<u64>);

/// Where an election stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Election {
    /// A quorum granted its vote.
    Won,
    /// So many refused that no quorum is left.
    Lost,
    /// Neither, yet.
    Open,
}

impl Voters {
    /// The given members; duplicates count once.
    pub(crate) fn new(ids: impl IntoIterator<Item = u64>) -> Voters {
        Voters(ids.into_iter().collect())
    }

    /// Whether `id` is a voter.
    pub(crate) fn contains(&self, id: u64) -> bool {
        self.0.contains(&id)
    }

    /// The voters, in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().copied()
    }

    /// How many voters make a quorum: any two quorums share a member.
    pub(crate) fn quorum(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// The highest number that a quorum has reached, where each voter has
    /// reached `reached(id)` and everything below. Indexes of logs as well as
    /// rounds of heartbeats are such numbers.
    pub(crate) fn agreed(&self, reached: impl Fn(u64) -> u64) -> u64 {
        let mut all: Vec<u64> = self.iter().map(reached).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        // No voters agree on everything, as in etcd: the empty half of a joint
        // configuration must not hold the other one back.
        all.get(self.quorum() - 1).copied().unwrap_or(u64::MAX)
    }

    /// Where an election with these answers stands.
    pub(crate) fn election(&self, votes: &BTreeMap<u64, bool>) -> Election {
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

    proptest! {
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
