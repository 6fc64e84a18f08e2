//! Which scenarios are known to find which planted bug.

use squall_api::Bug;

/// Names of the library scenarios that find `bug`, the quickest first. None if
/// it takes changes of membership: Raft's own tests find those bugs.
pub const fn scenarios(bug: Bug) -> &'static [&'static str] {
    match bug {
        Bug::AckBeforeFsync => &["power-loss-majority"],
        Bug::AckOnAppend => &["symmetric-partition"],
        Bug::CreateBackendInPlace
        | Bug::RestartLogBeforeInstall
        | Bug::UnsyncedHardState
        | Bug::UnsyncedSegmentName
        | Bug::UnsyncedSnapshot
        | Bug::UseLeftoverTemporary => &["lagging-follower-snapshot"],
        Bug::CutOneTooMany | Bug::RefuseTornTail | Bug::UncheckedRecords => {
            &["rolling-crashes-torn-writes"]
        }
        Bug::CutRotAsTornTail
        | Bug::IgnoreFailedFsync
        | Bug::IgnoreFullDisk
        | Bug::OpenUnguarded
        | Bug::ReopenAfterFailedFsync => &["power-loss-majority"],
        Bug::EarlyConfChange
        | Bug::HalfQuorum
        | Bug::LearnerCounts
        | Bug::RemovedLeaderStays
        | Bug::SnapshotForgetsLearners
        | Bug::TwoConfChanges => &[],
        Bug::ForgetVote => &["election-storm"],
        Bug::SnapshotAheadOfIndex => &["lagging-follower-snapshot"],
        Bug::UnconfirmedRead => &["one-way-partition-leader"],
        Bug::VoteShorterLog => &["election-storm"],
    }
}
