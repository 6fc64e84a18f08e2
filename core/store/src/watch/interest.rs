//! Who watches which keys: an index from a key to its watchers, which visits
//! nobody else.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::WatcherId;
use std::collections::BTreeSet;

/// The keys that a watcher watches, by etcd's rules for `key` and `range_end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Watched {
    /// The key itself.
    One(Bytes),
    /// From the first on, up to the end, excluded, if there is one.
    Range(Bytes, Option<Bytes>),
}

/// Watchers by what they watch. Those of single keys are found by the key;
/// ranges stand in a treap by their starts, in which each node knows the last
/// end below it.
#[derive(Debug, Default)]
pub(super) struct Interest {
    keys: BTreeSet<(Bytes, WatcherId)>,
    ranges: Tree,
}

type Tree = Option<Box<Node>>;

#[derive(Debug)]
struct Node {
    start: Bytes,
    end: Option<Bytes>,
    id: WatcherId,
    /// Of this node and all below it; `None` is after every key.
    last_end: Option<Bytes>,
    /// Invariant: no child's is higher. Depends on the id alone, so that the
    /// tree is the same in every run.
    priority: u64,
    left: Tree,
    right: Tree,
}

impl Interest {
    pub(super) fn insert(&mut self, watched: &Watched, id: WatcherId) {
        match watched {
            Watched::One(key) => drop(self.keys.insert((key.clone(), id))),
            Watched::Range(start, end) => {
                let node = Node::new(start.clone(), end.clone(), id);
                let (before, after) = split(self.ranges.take(), &(start, id));
                self.ranges = merge(merge(before, Some(node)), after);
            }
        }
    }

    pub(super) fn remove(&mut self, watched: &Watched, id: WatcherId) {
        match watched {
            Watched::One(key) => drop(self.keys.remove(&(key.clone(), id))),
            Watched::Range(start, _) => self.ranges = remove(self.ranges.take(), &(start, id)),
        }
    }

    /// Shows each watcher of `key` once.
    pub(super) fn of(&self, key: &Bytes, mut show: impl FnMut(WatcherId)) {
        let ones = (key.clone(), WatcherId::MIN)..=(key.clone(), WatcherId::MAX);
        for (_, id) in self.keys.range(ones) {
            show(*id);
        }
        stab(&self.ranges, key, &mut show);
    }
}

impl Node {
    fn new(start: Bytes, end: Option<Bytes>, id: WatcherId) -> Box<Node> {
        let mut name = [0; 16];
        name[..8].copy_from_slice(&id.stream.0.to_le_bytes());
        name[8..].copy_from_slice(&id.id.to_le_bytes());
        Box::new(Node {
            start,
            last_end: end.clone(),
            end,
            id,
            priority: xxh3_64(&name),
            left: None,
            right: None,
        })
    }

    fn place(&self) -> (&Bytes, WatcherId) {
        (&self.start, self.id)
    }

    fn update(&mut self) {
        let mut last = self.end.clone();
        for child in [&self.left, &self.right].into_iter().flatten() {
            last = match (last, &child.last_end) {
                (Some(a), Some(b)) => Some(a.max(b.clone())),
                _ => None,
            };
        }
        self.last_end = last;
    }
}

fn ends_after(end: &Option<Bytes>, key: &[u8]) -> bool {
    end.as_ref().is_none_or(|end| key < end)
}

fn stab(tree: &Tree, key: &Bytes, show: &mut impl FnMut(WatcherId)) {
    let Some(node) = tree else { return };
    if !ends_after(&node.last_end, key) {
        return;
    }
    stab(&node.left, key, show);
    if node.start <= *key {
        if ends_after(&node.end, key) {
            show(node.id);
        }
        stab(&node.right, key, show);
    }
}

/// What stands before `place`, and the rest.
fn split(tree: Tree, place: &(&Bytes, WatcherId)) -> (Tree, Tree) {
    let Some(mut node) = tree else {
        return (None, None);
    };
    if node.place() < *place {
        let (before, after) = split(node.right.take(), place);
        node.right = before;
        node.update();
        (Some(node), after)
    } else {
        let (before, after) = split(node.left.take(), place);
        node.left = after;
        node.update();
        (before, Some(node))
    }
}

fn merge(before: Tree, after: Tree) -> Tree {
    let (mut left, mut right) = match (before, after) {
        (Some(left), Some(right)) => (left, right),
        (one, other) => return one.or(other),
    };
    if left.priority >= right.priority {
        left.right = merge(left.right.take(), Some(right));
        left.update();
        Some(left)
    } else {
        right.left = merge(Some(left), right.left.take());
        right.update();
        Some(right)
    }
}

fn remove(tree: Tree, place: &(&Bytes, WatcherId)) -> Tree {
    let mut node = tree?;
    match place.cmp(&node.place()) {
        std::cmp::Ordering::Equal => return merge(node.left.take(), node.right.take()),
        std::cmp::Ordering::Less => node.left = remove(node.left.take(), place),
        std::cmp::Ordering::Greater => node.right = remove(node.right.take(), place),
    }
    node.update();
    Some(node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use squall_api::ReqId;

    impl Watched {
        fn contains(&self, key: &[u8]) -> bool {
            match self {
                Watched::One(only) => key == only,
                Watched::Range(start, end) => key >= start && ends_after(end, key),
            }
        }
    }

    fn id(n: usize) -> WatcherId {
        WatcherId {
            stream: ReqId(n as u64 % 5),
            id: n as i64,
        }
    }

    fn watched() -> impl Strategy<Value = Watched> {
        let key = || proptest::collection::vec(0u8..4, 0..3).prop_map(Bytes::from);
        prop_oneof![
            key().prop_map(Watched::One),
            (key(), proptest::option::of(key()))
                .prop_map(|(start, end)| Watched::Range(start, end)),
        ]
    }

    proptest! {
        #[test]
        fn the_index_finds_exactly_those_who_watch_the_key(
            all in proptest::collection::vec((watched(), any::<bool>()), 0..40),
            key in proptest::collection::vec(0u8..4, 0..3).prop_map(Bytes::from),
        ) {
            let mut interest = Interest::default();
            for (n, (watched, _)) in all.iter().enumerate() {
                interest.insert(watched, id(n));
            }
            for (n, (watched, goes)) in all.iter().enumerate() {
                if *goes {
                    interest.remove(watched, id(n));
                }
            }
            let mut found = Vec::new();
            interest.of(&key, |id| found.push(id));
            found.sort();
            let mut expected: Vec<WatcherId> = all
                .iter()
                .enumerate()
                .filter(|(_, (watched, goes))| !goes && watched.contains(&key))
                .map(|(n, _)| id(n))
                .collect();
            expected.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
