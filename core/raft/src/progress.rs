//! How far each follower is, as its leader sees it.

use crate::inflights::{Inflights, Limits};
use std::collections::BTreeMap;

/// How a leader feeds a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Where its log agrees is not known: one append at a time. `paused` while
    /// one is under way; an answer to it, or to a heartbeat, ends the pause.
    Probe { paused: bool },
    /// It follows: appends are sent without waiting, within the window.
    Replicate,
    /// The log no longer has what it needs: no appends until it has a snapshot.
    Snapshot(Option<SentSnapshot>),
}

/// A snapshot that is under way; none while it is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SentSnapshot {
    pub(crate) index: u64,
    /// When it is given up for lost.
    pub(crate) deadline: u64,
}

/// One follower (or the leader itself).
///
/// Invariant: `match_index < next_index`. `match_index` never falls within a
/// leader's term, in whatever order acknowledgements arrive.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) match_index: u64,
    pub(crate) next_index: u64,
    pub(crate) state: State,
    pub(crate) inflights: Inflights,
    /// The last round of heartbeats that it answered.
    pub(crate) acked_round: u64,
    /// It answered in the current window of check-quorum.
    pub(crate) is_active: bool,
}

impl Progress {
    /// Nothing is known but a guess of what to send next.
    pub(crate) fn new(next_index: u64, window: Limits) -> Progress {
        Progress {
            match_index: 0,
            next_index,
            state: State::Probe { paused: false },
            inflights: Inflights::new(window),
            acked_round: 0,
            is_active: false,
        }
    }

    /// Whether no append may be sent now.
    pub(crate) fn is_paused(&self) -> bool {
        match self.state {
            State::Probe { paused } => paused,
            State::Replicate => self.inflights.is_full(),
            State::Snapshot(_) => true,
        }
    }

    /// Starts to probe after what is known to match; `paused` to wait for a
    /// sign of life first.
    pub(crate) fn become_probe(&mut self, paused: bool) {
        self.next_index = self.match_index + 1;
        self.state = State::Probe { paused };
        self.inflights.clear();
    }

    /// Starts to stream after what is known to match.
    pub(crate) fn become_replicate(&mut self) {
        self.next_index = self.match_index + 1;
        self.state = State::Replicate;
        self.inflights.clear();
    }

    /// Stops until a snapshot is made, sent and installed.
    pub(crate) fn become_snapshot(&mut self) {
        self.state = State::Snapshot(None);
        self.inflights.clear();
    }

    /// An append with `bytes` of entries was sent whose last one is `last`, if it
    /// had any.
    pub(crate) fn sent(&mut self, last: Option<u64>, bytes: u64) {
        match (&mut self.state, last) {
            (State::Probe { paused }, _) => *paused = true,
            (State::Replicate, Some(last)) => {
                self.next_index = last + 1;
                self.inflights.add(last, bytes);
            }
            (State::Replicate, None) => {}
            (State::Snapshot(_), _) => unreachable!("append sent into {self:?}"),
        }
    }

    /// The follower has everything up to `index`; says whether that is news.
    pub(crate) fn acked(&mut self, index: u64) -> bool {
        let news = index > self.match_index;
        self.match_index = self.match_index.max(index);
        self.next_index = self.next_index.max(index + 1);
        if self.state == State::Replicate {
            self.inflights.free_to(index);
        }
        news
    }

    /// The follower has no such entry at `rejected`, and none that could match
    /// above `hint`. False if the answer is an old one.
    pub(crate) fn rejected(&mut self, rejected: u64, hint: u64) -> bool {
        match self.state {
            State::Replicate if rejected > self.match_index => {
                self.become_probe(false);
                true
            }
            State::Probe { .. } if rejected == self.next_index - 1 => {
                let next = rejected.min(hint.saturating_add(1));
                self.next_index = next.max(self.match_index + 1);
                self.state = State::Probe { paused: false };
                true
            }
            _ => false,
        }
    }
}

/// Everybody's progress.
pub(crate) type Tracker = BTreeMap<u64, Progress>;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TWO: Limits = Limits {
        appends: 2,
        bytes: 1000,
    };

    #[test]
    fn a_probe_waits_for_its_answer() {
        let mut progress = Progress::new(5, TWO);
        assert!(!progress.is_paused());
        progress.sent(Some(5), 9);
        assert!(progress.is_paused());
        assert_eq!(progress.next_index, 5, "a probe assumes nothing");
        assert!(!progress.rejected(3, 3), "an answer to something else");
        assert!(progress.rejected(4, 1));
        assert_eq!(progress.next_index, 2);
        assert!(!progress.is_paused());
    }

    #[test]
    fn replication_runs_ahead_within_its_window() {
        let mut progress = Progress::new(1, TWO);
        progress.become_replicate();
        progress.sent(Some(3), 9);
        progress.sent(None, 0);
        progress.sent(Some(4), 9);
        assert!(progress.is_paused());
        assert_eq!(progress.next_index, 5);
        assert!(progress.acked(3));
        assert!(!progress.is_paused());
        assert!(
            !progress.acked(2),
            "acknowledgements may arrive in any order"
        );
        assert_eq!(progress.match_index, 3);
        assert!(!progress.rejected(3, 0), "it was acknowledged before");
        assert!(progress.rejected(4, 3));
        assert_eq!(progress.next_index, 4);
        assert_eq!(progress.state, State::Probe { paused: false });
    }

    proptest! {
        #[test]
        fn what_matches_never_falls_and_lies_before_what_is_next(
            steps in prop::collection::vec((0_u8..7, 0_u64..12, 0_u64..12), 0..80)
        ) {
            let mut last = 4;
            let mut progress = Progress::new(last + 1, TWO);
            for (step, a, b) in steps {
                let before = progress.clone();
                match step {
                    0 => last += a,
                    1 if !progress.is_paused() && progress.next_index <= last => {
                        progress.sent(Some((progress.next_index + a).min(last)), 100 * b);
                        let is_probe = before.state == State::Probe { paused: false };
                        prop_assert_eq!(progress.next_index == before.next_index, is_probe);
                    }
                    2 => {
                        let news = progress.acked(a.min(last));
                        prop_assert_eq!(news, progress.match_index > before.match_index);
                    }
                    3 => {
                        let is_news = progress.rejected(a, b);
                        prop_assert!(is_news || progress.next_index == before.next_index);
                        prop_assert!(progress.next_index <= before.next_index);
                    }
                    4 => progress.become_probe(true),
                    5 => progress.become_replicate(),
                    _ => progress.become_snapshot(),
                }
                prop_assert!(progress.match_index >= before.match_index);
                prop_assert!(progress.match_index < progress.next_index);
                prop_assert!(progress.next_index <= last + 1);
                if progress.state == State::Replicate {
                    prop_assert_eq!(progress.is_paused(), progress.inflights.is_full());
                }
            }
        }
    }

    #[test]
    fn many_bytes_fill_the_window_before_many_appends_do() {
        let mut progress = Progress::new(1, TWO);
        progress.become_replicate();
        progress.sent(Some(1), 1000);
        assert!(progress.is_paused());
        progress.acked(1);
        assert!(!progress.is_paused());
    }
}
