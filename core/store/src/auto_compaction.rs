//! When history is compacted without anybody asking, as etcd's
//! `--auto-compaction-mode` and `--auto-compaction-retention` say.

use squall_api::AutoCompaction;
use std::collections::VecDeque;

const MINUTE: u64 = 60_000_000_000;
const HOUR: u64 = 60 * MINUTE;
/// How often a number of revisions is looked at; etcd's.
const REVISIONS_EVERY: u64 = 5 * MINUTE;

/// Decides it. Every member keeps count, so that a new leader need not begin
/// anew; only the leader proposes.
#[derive(Debug)]
pub(crate) struct AutoCompactor {
    mode: AutoCompaction,
    next: Option<u64>,
    /// Which revision was current when, oldest first.
    seen: VecDeque<(u64, i64)>,
    /// When it last came to a revision to compact.
    last: u64,
}

impl AutoCompactor {
    pub(crate) fn new(mode: AutoCompaction, now: u64) -> AutoCompactor {
        let mut compactor = AutoCompactor {
            mode,
            next: None,
            seen: VecDeque::new(),
            last: now,
        };
        compactor.next = compactor.interval().map(|every| now.saturating_add(every));
        compactor
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        self.next
    }

    /// The revision at which history should end now, if it is time for that.
    pub(crate) fn due(&mut self, now: u64, revision: i64) -> Option<i64> {
        let interval = self.interval()?;
        if self.next.is_none_or(|at| now < at) {
            return None;
        }
        self.next = Some(now.saturating_add(interval));
        match self.mode {
            AutoCompaction::Off => None,
            AutoCompaction::Revisions(kept) => i64::try_from(kept).ok().map(|kept| revision - kept),
            AutoCompaction::Periodic(retention) => {
                self.seen.push_back((now, revision));
                // The latest one that is old enough.
                let is_old = |(at, _): &(u64, i64)| now.saturating_sub(*at) >= retention;
                let old = self.seen.partition_point(is_old);
                self.seen.drain(..old.saturating_sub(1));
                let since = now.saturating_sub(self.last);
                if old == 0 || since < retention.min(HOUR) {
                    return None;
                }
                self.last = now;
                self.seen.front().map(|(_, revision)| *revision)
            }
        }
        .filter(|at| *at > 0)
    }

    fn interval(&self) -> Option<u64> {
        match self.mode {
            AutoCompaction::Off => None,
            AutoCompaction::Periodic(retention) => Some((retention.min(HOUR) / 10).max(1)),
            AutoCompaction::Revisions(_) => Some(REVISIONS_EVERY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_within_the_retention_are_kept() {
        let retention = 3 * HOUR;
        let mut compactor = AutoCompactor::new(AutoCompaction::Periodic(retention), 0);
        // One revision a minute.
        let mut compacted = Vec::new();
        for minute in 1..=10 * 60 {
            let now = minute * MINUTE;
            if let Some(at) = compactor.due(now, minute as i64) {
                let age = now - at as u64 * MINUTE;
                assert!(age >= retention, "compacts {at} at minute {minute}");
                assert!(age <= retention + HOUR, "keeps too much: {at} at {minute}");
                compacted.push(minute);
            }
        }
        assert!(compacted.len() >= 6, "{compacted:?}");
        let apart = compacted.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(apart.min() >= Some(60), "{compacted:?}");
    }

    #[test]
    fn a_number_of_revisions_is_kept_and_off_is_off() {
        let mut compactor = AutoCompactor::new(AutoCompaction::Revisions(1_000), 0);
        assert_eq!(compactor.due(REVISIONS_EVERY - 1, 5_000), None);
        assert_eq!(compactor.due(REVISIONS_EVERY, 900), None);
        assert_eq!(compactor.due(2 * REVISIONS_EVERY, 5_000), Some(4_000));
        let mut off = AutoCompactor::new(AutoCompaction::Off, 0);
        assert_eq!((off.deadline(), off.due(u64::MAX, 9)), (None, None));
    }
}
