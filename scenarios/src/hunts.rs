//! Which scenarios are known to find which planted bug.

use squall_api::Bug;

/// Names of the library scenarios that find `bug`, the quickest first. None if
/// no run has shown its harm: Raft's own tests find most of those bugs.
pub const fn scenarios(bug: Bug) -> &'static [&'static str] {
    match bug {
        Bug::AcceptOldTerm | Bug::ApplyOnAppend | Bug::RepeatForward => &["everything-at-once"],
        Bug::CommitOldTerm => &["figure-eight"],
        Bug::IgnorePrevTerm | Bug::KeepConflict | Bug::TruncateOnAppend | Bug::VoteIgnoresTerm => {
            &["short-appends"]
        }
        Bug::CountOwnBeforeFsync | Bug::ReadBeforeApplied => &["fsync-stall-leader"],
        Bug::LeaderStaysDeaf | Bug::StayWithLeader => &["leader-gone-for-long"],
        Bug::KeepOldSegments => &["lagging-follower-snapshot"],
        Bug::ResendUnacknowledged => &["wide-area"],
        Bug::ReadLastCommit => &["stale-reads"],
        Bug::ReadBeforeFirstCommit => &["election-storm"],
        Bug::StuckProbe => &["leader-crash"],
        Bug::AckBeforeFsync => &["power-loss-majority"],
        Bug::AckOnAppend => &["symmetric-partition"],
        Bug::CreateBackendInPlace
        | Bug::RestartLogBeforeInstall
        | Bug::UncheckedRecords
        | Bug::UnsyncedSegmentName
        | Bug::UnsyncedSnapshot
        | Bug::UseLeftoverTemporary => &["crash-points"],
        Bug::UnsyncedHardState => &["election-storm"],
        Bug::CutOneTooMany | Bug::RefuseTornTail => &["rolling-crashes-torn-writes"],
        // Rot in the log of one member is covered by its database or by the others.
        // A member that panics because its disk lied is found by
        // tests/disk_faults.rs, on a member alone.
        Bug::CutRotAsTornTail | Bug::OpenUnguarded => &[],
        Bug::IgnoreFailedFsync | Bug::IgnoreFullDisk | Bug::ReopenAfterFailedFsync => {
            &["failed-syncs-then-power-loss"]
        }
        Bug::CountOldVotes => &[],
        Bug::EarlyConfChange
        | Bug::ForgetPromotion
        | Bug::HalfQuorum
        | Bug::LearnerCounts
        | Bug::PromoteUnready
        | Bug::RemovedLeaderStays
        | Bug::RemovedReturns
        | Bug::SnapshotForgetsLearners
        | Bug::TwoConfChanges => &["membership-churn"],
        // Nothing that a learner answers is wrong, only that it does: the store's
        // own tests ask it.
        Bug::LearnerServes => &[],
        Bug::CancelIgnoresZero
        | Bug::CancelKeepsWatcher
        | Bug::InstallForgetsWatchers
        | Bug::InstallReplaysWatches
        | Bug::InstallResetsFuture
        | Bug::KeyWatchedAsRange
        | Bug::PrevKvIsNew
        | Bug::ProgressWhileBehind
        | Bug::RepeatWhenFull
        | Bug::SplitRevisions
        | Bug::SwapFilters
        | Bug::UnboundedWatchWindow
        | Bug::WatchFromNowReplays => &["watches-under-faults"],
        Bug::CompactedUnnamed | Bug::DropDeleteAtCompaction | Bug::SkipCompactedEvents => {
            &["watches-and-compaction"]
        }
        // Not found in 200 seeds of `watches-under-faults`, nor in 40 of
        // `watches-and-compaction`.
        Bug::EventsBeforeBacklog => &[],
        // No check asks yet for the end of a stream that requires a leader: the
        // store's own tests do.
        Bug::WatchSurvivesMinority => &[],
        Bug::CountFromGrant
        | Bug::KeepOldAttachment
        | Bug::KeepOldLeases
        | Bug::LoseAttachments
        | Bug::LoseNegativeLeases
        | Bug::PutOnUnknownLease
        | Bug::RegrantLease
        | Bug::RevokeInSteps => &["leases-and-crashes"],
        Bug::AnswerUnknownLease
        | Bug::LeaseByWallClock
        | Bug::RevokeWhenDeposed
        | Bug::ShortLease => &["leases-and-clocks"],
        Bug::HoldAfterExpiry | Bug::LineByKey | Bug::WakeWithoutLooking => {
            &["locks-and-pauses", "elections-and-crashes"]
        }
        Bug::ObserveCandidates | Bug::UnguardedProclaim | Bug::UnguardedResign => {
            &["elections-and-crashes"]
        }
        // Who waits for itself gives up after a while, as anybody may: the store's
        // own tests find it.
        Bug::RelockWaits => &[],
        // No run has shown their harm yet; the store's own tests hold the rules that
        // they break.
        Bug::FullTtlAgain | Bug::UnconfirmedKeepAlive | Bug::UnconfirmedTimeToLive => &[],
        Bug::ExpireLocally => &["locks-and-pauses"],
        Bug::AnswerCompacted
        | Bug::CompactRevisionRefused
        | Bug::CompareAnyRevisions
        | Bug::CompareAnyWindows
        | Bug::CompareAtPropose
        | Bug::CountWithinLimit
        | Bug::DefragmentDropsBatch
        | Bug::EmptyDeleteTakesRevision
        | Bug::FailedTxnKeepsPuts
        | Bug::ForgetTombstones
        | Bug::HashIgnoresTail
        | Bug::IgnoreValueCreates
        | Bug::MissingKeyHasValue
        | Bug::NewestIsFuture
        | Bug::PrevIsNew
        | Bug::RevisionFromKeys
        | Bug::SortWithinLimit
        | Bug::TxnReadsBefore
        | Bug::TxnSplitsRevisions
        | Bug::VersionOutlivesKey
        | Bug::ZeroEndIsEmpty => &["compaction-under-load"],
        // What operators ask for, and what fills a disk: the store's own tests find
        // them (core/store/src/tests/planted.rs), and no load of a scenario asks.
        Bug::ForgetAlarms
        | Bug::FuzzyBackup
        | Bug::LocalAlarm
        | Bug::LocalQuota
        | Bug::MoveLeaderToAnyone
        | Bug::NoApplyGapLimit
        | Bug::RestoreKeepsIds
        | Bug::RestoreUnverified
        | Bug::UnboundedTxn => &[],
        Bug::AcceptExpiredTokens
        | Bug::CheckOneBranch
        | Bug::EnableWithoutRoot
        | Bug::ForgetAuthEnabled
        | Bug::HashAtApply
        | Bug::IgnorePermissionGaps
        | Bug::InstallKeepsOldAuth
        | Bug::KeepTokensOfDeleted
        | Bug::LoginWithoutPassword
        | Bug::OpenMaintenance
        | Bug::StalePermissions
        | Bug::TokenBoundToMember
        | Bug::UncheckedLeaseKeys
        | Bug::UnsavedAuthRevision
        | Bug::WatchOutlivesPermission => &["permissions-in-flight"],
        // No scenario has shown their harm; the store's own tests do
        // (core/store/src/tests/planted_auth.rs). A password in the log changes no answer.
        Bug::PasswordInLog | Bug::StaleAuthRevision => &[],
        Bug::DowngradeAnywhere => &["downgrade"],
        Bug::RaiseWithOldMembers | Bug::SkipUnknownEntries => &["rolling-upgrade"],
        Bug::RunAnyVersion => &["refused-upgrade"],
        Bug::ForgetVote | Bug::TakeAnyReadAnswer => &["election-storm"],
        Bug::LeaseOutlivesBound => &["read-leases"],
        Bug::SnapshotAheadOfIndex => &["lagging-follower-snapshot"],
        Bug::UnconfirmedRead => &["one-way-partition-leader"],
        Bug::VoteShorterLog => &["election-storm"],
    }
}

/// Whether the scenario finds `bug` when it is crashed at each of its disk
/// operations, and hardly otherwise.
pub const fn needs_crash_points(bug: Bug) -> bool {
    matches!(
        bug,
        Bug::CreateBackendInPlace
            | Bug::RestartLogBeforeInstall
            | Bug::UncheckedRecords
            | Bug::UnsyncedSegmentName
            | Bug::UnsyncedSnapshot
            | Bug::UseLeftoverTemporary
    )
}

/// Every check of a run, and of crash points. Budgets and recoveries are named for
/// what a scenario asks for.
pub const CHECKS: &[&str] = &[
    "alarms",
    "auth.logins",
    "auth.permitted",
    "auth.refused",
    "auth.root",
    "auth.tokens",
    "auth.watches",
    "budget.log",
    "budget.messages_per_commit",
    "budget.sent_per_commit",
    "budget.snapshot",
    "budget.syncs_per_commit",
    "budget.unread",
    "budget.written_per_commit",
    "compaction",
    "durability",
    "election.in_office",
    "election.observed",
    "election.one_leader",
    "election.proclaimed",
    "lease.answers",
    "lease.exists",
    "lease.keys_end",
    "lease.not_early",
    "lease.not_late",
    "linearizable",
    "liveness",
    "liveness.progress",
    "lock.exclusive",
    "lock.fenced",
    "lock.in_line",
    "members",
    "monotonic",
    "promotion",
    "raft.acks_kept",
    "raft.commits_durable",
    "raft.elected_by_quorum",
    "raft.election_safety",
    "raft.leader_append_only",
    "raft.leader_completeness",
    "raft.log_matching",
    "raft.monotonic_term",
    "raft.one_change",
    "raft.same_members",
    "raft.state_machine_safety",
    "raft.vote_once",
    "raft.votes_durable",
    "replicas",
    "replicas.chain",
    "watch.agree",
    "watch.atomic",
    "watch.bookmarkable",
    "watch.cache",
    "watch.compaction",
    "watch.create",
    "watch.filters",
    "watch.live",
    "watch.ordered",
    "watch.prev_kv",
    "watch.protocol",
    "watch.reliable",
    "watch.resumable",
    "watch.true",
    "watch.unique",
];

/// Why a check has fewer than two planted bugs that it alone finds, where there is
/// a reason in what it judges.
pub fn few(check: &str) -> Option<&'static str> {
    Some(match check {
        "durability" | "replicas" => {
            "what is lost or differs at the end was mostly seen before, by a read or by the chain of digests"
        }
        "watch.agree" => "of two watches that disagree one was told what was not written",
        _ => return None,
    })
}
