//! Roles become nodes: how a selector is resolved at the moment a fault fires.

use crate::draw::Draw;
use crate::format::{Cut, Selector, Way};

/// What the planner asks of a living cluster when a fault fires.
pub trait Cluster {
    /// The members, in ascending order; at least one.
    fn nodes(&self) -> Vec<u64>;
    /// Who leads, or, while nobody does, who led last. `None` if nobody ever
    /// has.
    fn leader(&self) -> Option<u64>;
    /// Whether the node's process runs. Picks prefer those that do.
    fn running(&self, node: u64) -> bool;
    /// Whether the node's disk may be destroyed or falsified.
    fn damageable(&self, node: u64) -> bool {
        let _ = node;
        true
    }
    /// The node that passed the mark at which the fault fires, if it fires at
    /// one.
    fn here(&self) -> Option<u64> {
        None
    }
}

/// Resolves the selectors of one fault.
pub(super) struct Picker {
    nodes: Vec<u64>,
    running: Vec<u64>,
    damageable: Vec<u64>,
    leader: u64,
    here: Option<u64>,
    draw: Draw,
}

impl Picker {
    pub(super) fn new(cluster: &impl Cluster, draw: Draw) -> Picker {
        let nodes = cluster.nodes();
        assert!(!nodes.is_empty(), "a cluster has nodes");
        let running = nodes.iter().copied().filter(|n| cluster.running(*n));
        Picker {
            running: running.collect(),
            damageable: nodes
                .iter()
                .copied()
                .filter(|n| cluster.damageable(*n))
                .collect(),
            here: cluster.here(),
            // Nobody has led yet: a fault on the leader still has to fire.
            leader: cluster.leader().unwrap_or(nodes[0]),
            nodes,
            draw,
        }
    }

    /// The nodes that `selector` means now: sorted, each once, at least one.
    pub(super) fn select(&mut self, selector: &Selector) -> Vec<u64> {
        let majority = self.nodes.len() / 2 + 1;
        match selector {
            Selector::Nodes(nodes) => nodes.clone(),
            Selector::Leader => vec![self.leader],
            Selector::Follower => vec![self.followers_running_first()[0]],
            Selector::Followers => without(&self.nodes, &[self.leader]),
            Selector::Random => self.pick(1),
            Selector::RandomOf(count) => self.pick(*count as usize),
            Selector::Here => vec![self.here.unwrap_or(self.leader)],
            Selector::RandomFollower => {
                let running = without(&self.running, &[self.leader]);
                let among = if running.is_empty() {
                    without(&self.nodes, &[self.leader])
                } else {
                    running
                };
                vec![among[self.draw.below(among.len() as u64) as usize]]
            }
            Selector::Minority => self.pick((self.nodes.len() - 1) / 2),
            Selector::Majority => self.pick(majority),
            // Alone, it is everyone but the leader, whom faults are mostly about.
            Selector::Others => without(&self.nodes, &[self.leader]),
            Selector::All => self.nodes.clone(),
        }
    }

    /// Those of `chosen` whose disks may be damaged; if none may, one that may,
    /// drawn with `draw`.
    pub(super) fn damageable(&self, mut chosen: Vec<u64>, draw: &mut Draw) -> Vec<u64> {
        chosen.retain(|node| self.damageable.contains(node));
        if chosen.is_empty() && !self.damageable.is_empty() {
            let at = draw.below(self.damageable.len() as u64) as usize;
            chosen.push(self.damageable[at]);
        }
        chosen
    }

    /// The directed links that a partition cuts now: sorted.
    pub(super) fn cut(&mut self, cut: &Cut) -> Vec<(u64, u64)> {
        let (one, other) = match cut {
            Cut::OneWay { from, to } => {
                let (from, to) = self.sides(from, to);
                return links(&from, &to, false);
            }
            Cut::Isolate(inside) => {
                let inside = self.select(inside);
                let outside = without(&self.nodes, &inside);
                (inside, outside)
            }
            Cut::Halves => {
                let half = self.pick(self.nodes.len() / 2);
                let rest = without(&self.nodes, &half);
                (half, rest)
            }
            Cut::Split(one, other) => self.sides(one, other),
            Cut::Bridge(bridge) => {
                let bridge = self.select(bridge);
                let mut rest = without(&self.nodes, &bridge);
                self.draw.shuffle_front(&mut rest, usize::MAX);
                let other = rest.split_off(rest.len() / 2);
                (rest, other)
            }
            Cut::Ring => return self.ring(),
            Cut::Partial(share) => return self.partial(share.get()),
        };
        links(&one, &other, true)
    }

    /// The directed links of a way: sorted.
    pub(super) fn way(&mut self, way: &Way) -> Vec<(u64, u64)> {
        let (from, to) = self.sides(&way.from, &way.to);
        links(&from, &to, way.both_ways)
    }

    /// Everybody hears two neighbours only.
    fn ring(&mut self) -> Vec<(u64, u64)> {
        let mut order = self.nodes.clone();
        self.draw.shuffle_front(&mut order, usize::MAX);
        let n = order.len();
        let neighbours = |(from, to): &(u64, u64)| {
            let at = |node| order.iter().position(|other| *other == node).unwrap_or(0);
            let apart = at(*from).abs_diff(at(*to));
            apart == 1 || apart + 1 == n
        };
        let mut cut = links(&self.nodes, &self.nodes, false);
        cut.retain(|link| !neighbours(link));
        cut
    }

    /// A share of all directed links, at least one.
    fn partial(&mut self, share: f64) -> Vec<(u64, u64)> {
        let mut all = links(&self.nodes, &self.nodes, false);
        let count = (share * all.len() as f64).round().max(1.0) as usize;
        self.draw.shuffle_front(&mut all, count);
        all.truncate(count);
        all.sort_unstable();
        all
    }

    /// Two sides, of which one may be the `others`.
    fn sides(&mut self, one: &Selector, other: &Selector) -> (Vec<u64>, Vec<u64>) {
        if *one == Selector::Others {
            let other = self.select(other);
            return (without(&self.nodes, &other), other);
        }
        let one = self.select(one);
        let other = match other {
            Selector::Others => without(&self.nodes, &one),
            selector => self.select(selector),
        };
        (one, other)
    }

    fn followers_running_first(&self) -> Vec<u64> {
        let mut followers = without(&self.running, &[self.leader]);
        followers.extend(without(
            &without(&self.nodes, &self.running),
            &[self.leader],
        ));
        followers
    }

    /// `n` nodes at random, running ones before others.
    fn pick(&mut self, n: usize) -> Vec<u64> {
        let mut running = self.running.clone();
        let mut down = without(&self.nodes, &running);
        self.draw.shuffle_front(&mut running, n);
        let missing = n.saturating_sub(running.len());
        self.draw.shuffle_front(&mut down, missing);
        running.truncate(n);
        running.extend(down.into_iter().take(missing));
        running.sort_unstable();
        running
    }
}

fn without(nodes: &[u64], taken: &[u64]) -> Vec<u64> {
    let mut left = nodes.to_vec();
    left.retain(|node| !taken.contains(node));
    left
}

/// The links from each to each, sorted.
fn links(from: &[u64], to: &[u64], both_ways: bool) -> Vec<(u64, u64)> {
    let pairs = from.iter().flat_map(|f| to.iter().map(|t| (*f, *t)));
    let mut links: Vec<_> = pairs.filter(|(f, t)| f != t).collect();
    if both_ways {
        links.extend(links.clone().into_iter().map(|(f, t)| (t, f)));
    }
    links.sort_unstable();
    links.dedup();
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Five {
        leader: Option<u64>,
        down: Vec<u64>,
    }

    impl Cluster for Five {
        fn nodes(&self) -> Vec<u64> {
            vec![1, 2, 3, 4, 5]
        }
        fn leader(&self) -> Option<u64> {
            self.leader
        }
        fn running(&self, node: u64) -> bool {
            !self.down.contains(&node)
        }
    }

    fn picker(leader: Option<u64>, down: &[u64], seed: u64) -> Picker {
        let down = down.to_vec();
        Picker::new(&Five { leader, down }, Draw::keyed(seed, "test", 0, 0))
    }

    #[test]
    fn roles_name_who_plays_them_now() {
        let select = |selector| picker(Some(2), &[1], 0).select(&selector);
        assert_eq!(select(Selector::Leader), [2]);
        assert_eq!(select(Selector::Follower), [3]);
        assert_eq!(select(Selector::Followers), [1, 3, 4, 5]);
        assert_eq!(select(Selector::All), [1, 2, 3, 4, 5]);
        assert_eq!(select(Selector::Nodes(vec![4])), [4]);
    }

    #[test]
    fn the_lowest_id_stands_in_for_a_leader_that_never_was() {
        assert_eq!(picker(None, &[], 0).select(&Selector::Leader), [1]);
        assert_eq!(picker(None, &[], 0).select(&Selector::Follower), [2]);
    }

    #[test]
    fn random_picks_are_running_followers_as_long_as_there_are_any() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..100 {
            seen.extend(picker(Some(2), &[1], seed).select(&Selector::RandomFollower));
            assert_ne!(picker(Some(2), &[1], seed).select(&Selector::Random), [1]);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [3, 4, 5]);
        let nobody_runs = picker(Some(2), &[1, 2, 3, 4, 5], 0).select(&Selector::Random);
        assert_eq!(nobody_runs.len(), 1);
        let only_the_leader = picker(Some(2), &[1, 3, 4, 5], 0).select(&Selector::RandomFollower);
        assert_ne!(only_the_leader, [2]);
    }

    #[test]
    fn shapes_cut_what_their_names_say() {
        for seed in 0..50 {
            let cut = |cut| picker(Some(2), &[], seed).cut(&cut);
            let bridge = cut(Cut::Bridge(Selector::Nodes(vec![3])));
            assert!(bridge.iter().all(|(from, to)| *from != 3 && *to != 3));
            assert_eq!(bridge.len(), 2 * 2 * 2, "two halves of two");
            let ring = cut(Cut::Ring);
            for node in 1..=5 {
                let deaf_to = ring.iter().filter(|(_, to)| *to == node).count();
                assert_eq!(deaf_to, 2, "it hears two of four");
            }
            assert!(ring.iter().all(|(f, t)| ring.contains(&(*t, *f))));
            let share = crate::format::Ratio::new(0.25).unwrap();
            let partial = cut(Cut::Partial(share));
            assert!(partial.len() == 5 && partial.is_sorted());
        }
    }

    #[test]
    fn damage_goes_to_those_whom_the_cluster_can_spare() {
        let mut picker = picker(Some(2), &[], 0);
        picker.damageable = vec![4, 5];
        let mut draw = Draw::keyed(0, "test", 0, 0);
        assert_eq!(picker.damageable(vec![1, 4], &mut draw), [4]);
        let other = picker.damageable(vec![1, 2], &mut draw);
        assert!(other == [4] || other == [5]);
    }

    #[test]
    fn here_is_who_passed_the_mark() {
        let mut picker = picker(Some(2), &[], 0);
        picker.here = Some(5);
        assert_eq!(picker.select(&Selector::Here), [5]);
        assert_eq!(picker.select(&Selector::RandomOf(3)).len(), 3);
    }

    #[test]
    fn groups_have_their_size_and_take_running_nodes_first() {
        for seed in 0..100 {
            let mut picker = picker(Some(1), &[4], seed);
            assert_eq!(picker.select(&Selector::Minority).len(), 2);
            let majority = picker.select(&Selector::Majority);
            assert_eq!(majority.len(), 3);
            assert!(majority.is_sorted() && !majority.contains(&4));
        }
        let mut mostly_down = picker(Some(1), &[3, 4, 5], 0);
        let majority = mostly_down.select(&Selector::Majority);
        assert!(majority.len() == 3 && majority.starts_with(&[1, 2]));
    }

    #[test]
    fn partitions_become_directed_links() {
        let cut = |partition| picker(Some(2), &[], 0).cut(&partition);
        assert_eq!(
            cut(Cut::OneWay {
                from: Selector::Leader,
                to: Selector::Others
            }),
            [(2, 1), (2, 3), (2, 4), (2, 5)]
        );
        assert_eq!(
            cut(Cut::OneWay {
                from: Selector::Others,
                to: Selector::Leader
            }),
            [(1, 2), (3, 2), (4, 2), (5, 2)]
        );
        assert_eq!(cut(Cut::Isolate(Selector::Leader)).len(), 8);
        assert_eq!(cut(Cut::Halves).len(), 12);
        assert_eq!(
            cut(Cut::Split(
                Selector::Nodes(vec![1]),
                Selector::Nodes(vec![4, 5])
            )),
            [(1, 4), (1, 5), (4, 1), (5, 1)]
        );
    }
}
