//! The window of appends that are under way to a follower.

use std::collections::VecDeque;

/// The last index of each append that was sent and not yet acknowledged.
///
/// Invariant: strictly ascending, never more than the capacity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inflights {
    capacity: usize,
    last_indexes: VecDeque<u64>,
}

impl Inflights {
    /// An empty window; `capacity` is at least 1.
    pub(crate) fn new(capacity: usize) -> Inflights {
        Inflights {
            capacity: capacity.max(1),
            last_indexes: VecDeque::new(),
        }
    }

    /// Whether no further append may be sent.
    pub(crate) fn is_full(&self) -> bool {
        self.last_indexes.len() == self.capacity
    }

    /// An append that ends at `last_index` was sent.
    pub(crate) fn add(&mut self, last_index: u64) {
        assert!(!self.is_full(), "append sent beyond the window: {self:?}");
        assert!(
            self.last_indexes.back().is_none_or(|l| *l < last_index),
            "append to {last_index} sent out of order: {self:?}"
        );
        self.last_indexes.push_back(last_index);
    }

    /// Everything up to `index` was acknowledged.
    pub(crate) fn free_to(&mut self, index: u64) {
        while self.last_indexes.front().is_some_and(|l| *l <= index) {
            self.last_indexes.pop_front();
        }
    }

    /// Gives up the oldest append for lost, so that a full window whose
    /// acknowledgements got lost does not stay full for ever.
    pub(crate) fn free_first(&mut self) {
        self.last_indexes.pop_front();
    }

    /// Nothing is under way any more.
    pub(crate) fn clear(&mut self) {
        self.last_indexes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_window_is_the_unacknowledged_appends(
            capacity in 1_usize..6,
            steps in prop::collection::vec((any::<bool>(), 1_u64..5), 0..60)
        ) {
            let mut window = Inflights::new(capacity);
            let mut model: Vec<u64> = Vec::new();
            let (mut sent, mut acked) = (0, 0);
            for (send, by) in steps {
                if send && !window.is_full() {
                    sent += by;
                    window.add(sent);
                    model.push(sent);
                } else {
                    acked = (acked + by).min(sent);
                    window.free_to(acked);
                    model.retain(|last| *last > acked);
                }
                prop_assert_eq!(&window.last_indexes, &model);
                prop_assert_eq!(window.is_full(), model.len() == capacity);
            }
        }
    }

    #[test]
    fn a_lost_append_makes_room_for_one() {
        let mut window = Inflights::new(2);
        window.add(3);
        window.add(5);
        assert!(window.is_full());
        window.free_first();
        assert!(!window.is_full());
        window.add(9);
        window.free_to(5);
        assert_eq!(window.last_indexes, [9]);
    }
}
