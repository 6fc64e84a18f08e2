//! Forwarded proposals: each is appended at most once.
//!
//! The network may deliver a forward twice, the second time much later. An
//! entry that is appended twice is applied twice, and a client that was told
//! "ok" once would see its write come back over later ones. So a forward is
//! good for one term only, and within its term the leader remembers what it
//! has appended.

use std::collections::{BTreeMap, BTreeSet};

/// How many of an incarnation's latest proposals are remembered one by one. A
/// forward that comes later than so many younger ones is refused.
const REMEMBERED: usize = 1024;

/// The proposals that were forwarded to a leader in its term.
///
/// Ids that a member gives in one incarnation count up, and differ from those
/// of other incarnations in their upper half.
#[derive(Debug, Default)]
pub(crate) struct Forwards(BTreeMap<(u64, u32), Incarnation>);

#[derive(Debug, Default)]
struct Incarnation {
    /// Everything up to here counts as seen.
    floor: u64,
    seen: BTreeSet<u64>,
}

impl Forwards {
    /// Whether member `from` forwards `id` for the first time.
    pub(crate) fn is_new(&mut self, from: u64, id: u64) -> bool {
        let incarnation = self.0.entry((from, (id >> 32) as u32)).or_default();
        if id <= incarnation.floor || !incarnation.seen.insert(id) {
            return false;
        }
        if incarnation.seen.len() > REMEMBERED
            && let Some(oldest) = incarnation.seen.pop_first()
        {
            incarnation.floor = oldest;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_forward_is_new_once_in_whatever_order() {
        let mut forwards = Forwards::default();
        let base = 7 << 32;
        for id in [3, 1, 2, 5, 4] {
            assert!(forwards.is_new(1, base + id));
        }
        for id in 1..=5 {
            assert!(!forwards.is_new(1, base + id));
            assert!(forwards.is_new(2, base + id), "another member's");
        }
    }

    #[test]
    fn memory_is_bounded_and_forgetting_never_lets_a_second_copy_in() {
        let mut forwards = Forwards::default();
        for id in 1..=10_000 {
            assert!(forwards.is_new(1, id));
        }
        assert!((1..=10_000).all(|id| !forwards.is_new(1, id)));
        assert_eq!(forwards.0[&(1, 0)].seen.len(), REMEMBERED);
    }
}
