//! The window of appends that are under way to a follower.

use std::collections::VecDeque;

/// The appends that were sent and not yet acknowledged.
///
/// Invariant: strictly ascending, never more than the capacity, and `bytes` is
/// their sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inflights {
    limits: Limits,
    appends: VecDeque<Append>,
    bytes: u64,
}

/// How much may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Appends; at least 1.
    pub(crate) appends: usize,
    /// Bytes after which no further append is sent.
    pub(crate) bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Append {
    last_index: u64,
    bytes: u64,
}

impl Inflights {
    /// An empty window.
    pub(crate) fn new(limits: Limits) -> Inflights {
        Inflights {
            limits: Limits {
                appends: limits.appends.max(1),
                bytes: limits.bytes.max(1),
            },
            appends: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Whether no further append may be sent.
    pub(crate) fn is_full(&self) -> bool {
        self.appends.len() == self.limits.appends || self.bytes >= self.limits.bytes
    }

    /// An append of `bytes` that ends at `last_index` was sent.
    pub(crate) fn add(&mut self, last_index: u64, bytes: u64) {
        assert!(!self.is_full(), "append sent beyond the window: {self:?}");
        assert!(
            self.appends
                .back()
                .is_none_or(|a| a.last_index < last_index),
            "append to {last_index} sent out of order: {self:?}"
        );
        self.appends.push_back(Append { last_index, bytes });
        self.bytes += bytes;
    }

    /// Everything up to `index` was acknowledged.
    pub(crate) fn free_to(&mut self, index: u64) {
        while let Some(append) = self.appends.pop_front_if(|a| a.last_index <= index) {
            self.bytes -= append.bytes;
        }
    }

    /// Gives up the oldest append for lost, so that a full window whose
    /// acknowledgements got lost does not stay full for ever.
    pub(crate) fn free_first(&mut self) {
        if let Some(append) = self.appends.pop_front() {
            self.bytes -= append.bytes;
        }
    }

    /// Nothing is under way any more.
    pub(crate) fn clear(&mut self) {
        self.appends.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_window_is_the_unacknowledged_appends(
            appends in 1_usize..6,
            bytes in 1_u64..300,
            steps in prop::collection::vec((any::<bool>(), 1_u64..5, 0_u64..100), 0..60)
        ) {
            let mut window = Inflights::new(Limits { appends, bytes });
            let mut model: Vec<(u64, u64)> = Vec::new();
            let (mut sent, mut acked) = (0, 0);
            for (send, by, size) in steps {
                if send && !window.is_full() {
                    sent += by;
                    window.add(sent, size);
                    model.push((sent, size));
                } else {
                    acked = (acked + by).min(sent);
                    window.free_to(acked);
                    model.retain(|(last, _)| *last > acked);
                }
                let got: Vec<_> = window.appends.iter().map(|a| (a.last_index, a.bytes)).collect();
                prop_assert_eq!(&got, &model);
                let sum: u64 = model.iter().map(|(_, size)| size).sum();
                prop_assert_eq!(window.is_full(), model.len() == appends || sum >= bytes);
            }
        }
    }

    #[test]
    fn a_lost_append_makes_room_for_one() {
        let mut window = Inflights::new(Limits {
            appends: 2,
            bytes: u64::MAX,
        });
        window.add(3, 10);
        window.add(5, 20);
        assert!(window.is_full());
        window.free_first();
        assert!(!window.is_full());
        window.add(9, 30);
        window.free_to(5);
        assert_eq!((window.appends.len(), window.bytes), (1, 30));
    }
}
