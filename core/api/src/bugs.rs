//! Planted bugs: known ways in which consensus stores went wrong. Each is a
//! switch that a run turns on by name; they prove that the testbed finds bugs.

/// A known mistake, planted in the store behind [`Bugs::has`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Bug {
    /// A follower acknowledges entries before its fsync.
    AckBeforeFsync,
    /// The leader answers the client on its own append, without a quorum.
    AckOnAppend,
    /// The database is created under its own name, and a crash in the middle
    /// leaves half of one.
    CreateBackendInPlace,
    /// Repairing a torn log cuts off an intact record, too.
    CutOneTooMany,
    /// A damaged record in the middle of the log is cut off, as if it were a torn
    /// tail.
    CutRotAsTornTail,
    /// A new leader changes the membership while a change of an earlier term waits in its log.
    EarlyConfChange,
    /// A member forgets over a restart for whom it voted.
    ForgetVote,
    /// Half of an even number of voters is taken for a quorum.
    HalfQuorum,
    /// A failed fsync of the log is tried again, and its success believed.
    IgnoreFailedFsync,
    /// A write of the log that found the disk full is taken for done.
    IgnoreFullDisk,
    /// A learner's acknowledgement counts.
    LearnerCounts,
    /// A database that lost synced writes makes the member panic.
    OpenUnguarded,
    /// A member does not start from a log with a torn tail.
    RefuseTornTail,
    /// A leader that is no voter any more does not step down.
    RemovedLeaderStays,
    /// After a failed fsync the next process goes on with the same files.
    ReopenAfterFailedFsync,
    /// The log restarts behind a snapshot that is not installed yet.
    RestartLogBeforeInstall,
    /// A snapshot holds more than the index that it claims.
    SnapshotAheadOfIndex,
    /// A snapshot's learners are lost when it is installed.
    SnapshotForgetsLearners,
    /// A leader changes the membership while another change is under way.
    TwoConfChanges,
    /// Records of the log are read without looking at their checksums.
    UncheckedRecords,
    /// The leader serves linearizable reads without confirming that it still
    /// leads.
    UnconfirmedRead,
    /// Term and vote are told to others before they are durable.
    UnsyncedHardState,
    /// The directory is not synced when the log begins a segment.
    UnsyncedSegmentName,
    /// A snapshot counts as installed before it is durable.
    UnsyncedSnapshot,
    /// A database that was never finished is taken for the real one.
    UseLeftoverTemporary,
    /// A vote is granted to a candidate whose log is behind.
    VoteShorterLog,
}

impl Bug {
    /// Every planted bug, in the order in which they are listed.
    pub const ALL: [Bug; 26] = [
        Bug::AckBeforeFsync,
        Bug::AckOnAppend,
        Bug::CreateBackendInPlace,
        Bug::CutOneTooMany,
        Bug::CutRotAsTornTail,
        Bug::EarlyConfChange,
        Bug::ForgetVote,
        Bug::HalfQuorum,
        Bug::IgnoreFailedFsync,
        Bug::IgnoreFullDisk,
        Bug::LearnerCounts,
        Bug::OpenUnguarded,
        Bug::RefuseTornTail,
        Bug::RemovedLeaderStays,
        Bug::ReopenAfterFailedFsync,
        Bug::RestartLogBeforeInstall,
        Bug::SnapshotAheadOfIndex,
        Bug::SnapshotForgetsLearners,
        Bug::TwoConfChanges,
        Bug::UncheckedRecords,
        Bug::UnconfirmedRead,
        Bug::UnsyncedHardState,
        Bug::UnsyncedSegmentName,
        Bug::UnsyncedSnapshot,
        Bug::UseLeftoverTemporary,
        Bug::VoteShorterLog,
    ];

    /// The name by which a run asks for the bug: it says what the bug does.
    pub const fn name(self) -> &'static str {
        match self {
            Bug::AckBeforeFsync => "ack-before-fsync",
            Bug::AckOnAppend => "ack-on-append",
            Bug::CreateBackendInPlace => "create-backend-in-place",
            Bug::CutOneTooMany => "cut-one-too-many",
            Bug::CutRotAsTornTail => "cut-rot-as-torn-tail",
            Bug::EarlyConfChange => "early-conf-change",
            Bug::ForgetVote => "forget-vote",
            Bug::HalfQuorum => "half-quorum",
            Bug::IgnoreFailedFsync => "ignore-failed-fsync",
            Bug::IgnoreFullDisk => "ignore-full-disk",
            Bug::LearnerCounts => "learner-counts",
            Bug::OpenUnguarded => "open-unguarded",
            Bug::RefuseTornTail => "refuse-torn-tail",
            Bug::RemovedLeaderStays => "removed-leader-stays",
            Bug::ReopenAfterFailedFsync => "reopen-after-failed-fsync",
            Bug::RestartLogBeforeInstall => "restart-log-before-install",
            Bug::SnapshotAheadOfIndex => "snapshot-ahead-of-index",
            Bug::SnapshotForgetsLearners => "snapshot-forgets-learners",
            Bug::TwoConfChanges => "two-conf-changes",
            Bug::UncheckedRecords => "unchecked-records",
            Bug::UnconfirmedRead => "unconfirmed-read",
            Bug::UnsyncedHardState => "unsynced-hard-state",
            Bug::UnsyncedSegmentName => "unsynced-segment-name",
            Bug::UnsyncedSnapshot => "unsynced-snapshot",
            Bug::UseLeftoverTemporary => "use-leftover-temporary",
            Bug::VoteShorterLog => "vote-shorter-log",
        }
    }

    /// The catalogue id, an alias of the name.
    pub const fn id(self) -> &'static str {
        match self {
            Bug::AckBeforeFsync => "R06",
            Bug::AckOnAppend => "R40",
            Bug::CreateBackendInPlace => "W21",
            Bug::CutOneTooMany => "W04",
            Bug::CutRotAsTornTail => "W17",
            Bug::EarlyConfChange => "M01",
            Bug::ForgetVote => "R02",
            Bug::HalfQuorum => "R14",
            Bug::IgnoreFailedFsync => "W13",
            Bug::IgnoreFullDisk => "W14",
            Bug::LearnerCounts => "R15",
            Bug::OpenUnguarded => "W23",
            Bug::RefuseTornTail => "W03",
            Bug::RemovedLeaderStays => "M04",
            Bug::ReopenAfterFailedFsync => "W22",
            Bug::RestartLogBeforeInstall => "W10",
            Bug::SnapshotAheadOfIndex => "S01",
            Bug::SnapshotForgetsLearners => "R25",
            Bug::TwoConfChanges => "M02",
            Bug::UncheckedRecords => "W05",
            Bug::UnconfirmedRead => "R16",
            Bug::UnsyncedHardState => "W11",
            Bug::UnsyncedSegmentName => "W07",
            Bug::UnsyncedSnapshot => "S03",
            Bug::UseLeftoverTemporary => "S14",
            Bug::VoteShorterLog => "R04",
        }
    }

    /// What the store does wrong, in one sentence.
    pub const fn about(self) -> &'static str {
        match self {
            Bug::AckBeforeFsync => "a follower acknowledges entries before its fsync",
            Bug::AckOnAppend => "the leader answers the client on its own append, without a quorum",
            Bug::CreateBackendInPlace => {
                "the database is created under its own name, and a crash in the middle leaves half of one"
            }
            Bug::CutOneTooMany => "repairing a torn log cuts off an intact record, too",
            Bug::CutRotAsTornTail => {
                "a damaged record in the middle of the log is cut off, as if it were a torn tail"
            }
            Bug::EarlyConfChange => {
                "a new leader changes the membership while a change of an earlier term waits in its log"
            }
            Bug::ForgetVote => "a member forgets over a restart for whom it voted",
            Bug::HalfQuorum => "half of an even number of voters is taken for a quorum",
            Bug::IgnoreFailedFsync => {
                "a failed fsync of the log is tried again, and its success believed"
            }
            Bug::IgnoreFullDisk => "a write of the log that found the disk full is taken for done",
            Bug::LearnerCounts => "a learner's acknowledgement counts",
            Bug::OpenUnguarded => "a database that lost synced writes makes the member panic",
            Bug::RefuseTornTail => "a member does not start from a log with a torn tail",
            Bug::RemovedLeaderStays => "a leader that is no voter any more does not step down",
            Bug::ReopenAfterFailedFsync => {
                "after a failed fsync the next process goes on with the same files"
            }
            Bug::RestartLogBeforeInstall => {
                "the log restarts behind a snapshot that is not installed yet"
            }
            Bug::SnapshotAheadOfIndex => "a snapshot holds more than the index that it claims",
            Bug::SnapshotForgetsLearners => "a snapshot's learners are lost when it is installed",
            Bug::TwoConfChanges => {
                "a leader changes the membership while another change is under way"
            }
            Bug::UncheckedRecords => {
                "records of the log are read without looking at their checksums"
            }
            Bug::UnconfirmedRead => {
                "the leader serves linearizable reads without confirming that it still leads"
            }
            Bug::UnsyncedHardState => "term and vote are told to others before they are durable",
            Bug::UnsyncedSegmentName => "the directory is not synced when the log begins a segment",
            Bug::UnsyncedSnapshot => "a snapshot counts as installed before it is durable",
            Bug::UseLeftoverTemporary => {
                "a database that was never finished is taken for the real one"
            }
            Bug::VoteShorterLog => "a vote is granted to a candidate whose log is behind",
        }
    }

    /// The bug of that name or catalogue id.
    pub fn from_name(name: &str) -> Option<Bug> {
        Bug::ALL
            .into_iter()
            .find(|bug| bug.name() == name || bug.id().eq_ignore_ascii_case(name))
    }
}

/// The set of planted bugs that one member carries. A value, never a global:
/// two members of one cluster may carry different bugs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bugs([u64; 4]);

impl Bugs {
    /// No bug planted: the only set that production ever sees.
    pub const NONE: Bugs = Bugs([0; 4]);

    /// This set, and `bug`.
    #[must_use]
    pub const fn with(mut self, bug: Bug) -> Bugs {
        self.0[bug as usize / 64] |= 1 << (bug as usize % 64);
        self
    }

    /// Whether `bug` is planted. Constant false without the feature
    /// `planted-bugs`, so that the compiler removes the wrong branch.
    #[inline]
    pub const fn has(self, bug: Bug) -> bool {
        cfg!(feature = "planted-bugs") && self.0[bug as usize / 64] >> (bug as usize % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_find_their_bug() {
        for bug in Bug::ALL {
            assert_eq!(Bug::from_name(bug.name()), Some(bug));
            assert_eq!(Bug::from_name(bug.id()), Some(bug));
        }
        assert_eq!(Bug::from_name("no-such-bug"), None);
    }

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_else() {
        let set = Bugs::NONE.with(Bug::ForgetVote);
        for bug in Bug::ALL {
            let planted = cfg!(feature = "planted-bugs") && bug == Bug::ForgetVote;
            assert_eq!(set.has(bug), planted, "{bug:?}");
        }
    }
}
