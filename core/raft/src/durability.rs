//! What is durable here, and what waits for it.

use raft_proto::eraftpb::Message;
use std::collections::VecDeque;

/// The outputs that were handed out to be persisted and are not durable yet.
#[derive(Debug)]
pub(crate) struct Durability {
    seq: u64,
    pending: VecDeque<Pending>,
    stable: u64,
    term: u64,
}

#[derive(Debug)]
struct Pending {
    seq: u64,
    /// The log up to this index is durable once this output is.
    covers: u64,
    term: u64,
    to_self: Vec<Message>,
}

impl Durability {
    /// Everything up to `stable` and the hard state of `term` are durable.
    pub(crate) fn new(stable: u64, term: u64) -> Durability {
        Durability {
            seq: 0,
            pending: VecDeque::new(),
            stable,
            term,
        }
    }

    /// Number of the last output that had something to persist.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// The log up to this index is durable, as it stands in memory.
    pub(crate) fn stable(&self) -> u64 {
        self.stable
    }

    /// A crash would not take the node back behind this term.
    pub(crate) fn term(&self) -> u64 {
        self.term
    }

    /// An output leaves: once it is durable, so are the log up to `covers` and
    /// the hard state of `term`, and the node hears `to_self`.
    pub(crate) fn handed_out(&mut self, covers: u64, term: u64, to_self: Vec<Message>) {
        self.seq += 1;
        self.pending.push_back(Pending {
            seq: self.seq,
            covers,
            term,
            to_self,
        });
    }

    /// The entries from `index` on were replaced in memory.
    ///
    /// An older append that is still under way proves nothing about them, not
    /// even if a later one brings back the very same entry (the ABA case): on
    /// disk, what came in between may be the last to survive a crash.
    pub(crate) fn overwritten_from(&mut self, index: u64) {
        self.stable = self.stable.min(index - 1);
        for pending in &mut self.pending {
            pending.covers = pending.covers.min(index - 1);
        }
    }

    /// The log starts anew behind a snapshot that is durable elsewhere.
    pub(crate) fn reset(&mut self, base: u64) {
        self.stable = base;
        for pending in &mut self.pending {
            pending.covers = 0;
        }
    }

    /// The outputs up to `through` are durable: what the node now hears.
    pub(crate) fn persisted(&mut self, through: u64) -> Vec<Message> {
        assert!(
            through <= self.seq,
            "output {through} persisted, but the last one was {}",
            self.seq
        );
        let mut heard = Vec::new();
        while self.pending.front().is_some_and(|p| p.seq <= through) {
            let done = self.pending.pop_front().expect("it was just seen");
            self.stable = self.stable.max(done.covers);
            self.term = self.term.max(done.term);
            heard.extend(done.to_self);
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_that_was_overwritten_on_its_way_proves_nothing() {
        let mut durability = Durability::new(3, 1);
        durability.handed_out(5, 1, Vec::new());
        durability.overwritten_from(5);
        durability.handed_out(5, 2, Vec::new());
        durability.overwritten_from(5);
        durability.handed_out(6, 3, Vec::new());
        durability.persisted(1);
        assert_eq!(durability.stable(), 4);
        durability.persisted(2);
        assert_eq!(durability.stable(), 4, "5 came back only in the third");
        durability.persisted(3);
        assert_eq!((durability.stable(), durability.term()), (6, 3));
    }

    #[test]
    fn a_reset_log_is_stable_up_to_its_base() {
        let mut durability = Durability::new(3, 1);
        durability.handed_out(9, 1, Vec::new());
        durability.reset(7);
        durability.persisted(1);
        assert_eq!(durability.stable(), 7);
    }
}
