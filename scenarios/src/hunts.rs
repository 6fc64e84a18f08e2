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
        Bug::HashCoversMember => &["healthy"],
        Bug::RemovedUnheard => &["membership-churn", "every-load-at-once"],
        Bug::HashSinceStart => &["leader-crash"],
        Bug::StatusOfLastCommit => &["space-runs-out"],
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
        | Bug::SwapFilters
        | Bug::UnboundedWatchWindow
        | Bug::WatchFromNowReplays => &["watches-under-faults"],
        Bug::BatchSkipsRevision
        | Bug::CreationOneEarly
        | Bug::FilterTakesNext
        | Bug::UpdateToldAsCreation => &["slow-watchers"],
        Bug::CompactedUnnamed | Bug::DropDeleteAtCompaction | Bug::SkipCompactedEvents => {
            &["watches-and-compaction"]
        }
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
        Bug::FullTtlAgain | Bug::UncountedLeases => &["leases-and-transfers"],
        Bug::UnconfirmedKeepAlive | Bug::UnconfirmedTimeToLive => &["leases-and-pauses"],
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
        Bug::DisarmEverybody
        | Bug::ForgetAlarms
        | Bug::ListOneAlarm
        | Bug::LocalAlarm
        | Bug::LocalQuota
        | Bug::RefuseDeletesWhenFull
        | Bug::TxnsPassAlarms => &["space-runs-out"],
        // What operators ask for: the store's own tests find them
        // (core/store/src/tests/planted.rs), and no load of a scenario asks.
        Bug::FuzzyBackup
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
        // A password in the log changes no answer: the store's own tests look for it
        // (core/store/src/tests/planted_auth.rs).
        Bug::PasswordInLog => &[],
        Bug::StaleAuthRevision => &["permissions-and-restarts"],
        Bug::DowngradeAnywhere => &["downgrade"],
        Bug::RaiseWithOldMembers | Bug::SkipUnknownEntries => &["rolling-upgrade"],
        Bug::RunAnyVersion => &["refused-upgrade"],
        Bug::ForgetVote | Bug::TakeAnyReadAnswer => &["election-storm"],
        Bug::LeaseOutlivesBound => &["read-leases"],
        Bug::SnapshotAheadOfIndex => &["lagging-follower-snapshot"],
        Bug::UnconfirmedRead => &["one-way-partition-leader"],
        Bug::VoteShorterLog => &["election-storm"],
        Bug::SnapshotPromotesLearners => &["membership-churn"],
        Bug::LockAsOfJoining => &["locks-and-pauses"],
        Bug::DeletionsLast => &["watches-under-faults"],
        Bug::NeverSendSnapshot => &["lagging-follower-snapshot"],
        Bug::VoteBeforeFsync => &["election-storm"],
        Bug::RestartAtCommit => &["stale-reads"],
        Bug::RestampEntries => &["short-appends"],
        Bug::GrantAgain => &["leases-and-crashes"],
        Bug::LeadWithoutWaiting | Bug::ProclaimNothing | Bug::ResignNothing => {
            &["elections-and-crashes"]
        }
        Bug::BatchSkipsOne | Bug::SyncForgets => &["watches-under-faults"],
        Bug::BatchByKey
        | Bug::BatchRepeatsLast
        | Bug::DeleteToldTwice
        | Bug::DeleteKeepsCreation
        | Bug::DeleteShowsValue
        | Bug::ForgetFilters
        | Bug::LoseWhenFull
        | Bug::PrevKvUnasked
        | Bug::ProgressAhead
        | Bug::StayFull => &["watches-under-faults"],
        Bug::CancelWhenFull | Bug::SplitBacklog | Bug::SplitRevisions => {
            &["watches-and-compaction"]
        }
        Bug::CommitGoesBack | Bug::ForgetTerm | Bug::VoteAgain => &["election-storm"],
        Bug::TermOfLastCommit => &["stale-reads"],
        Bug::EventsBeforeBacklog => &["flood-of-events"],
        Bug::KeepOldPassword
        | Bug::OnlyFirstRole
        | Bug::RangeEndExcluded
        | Bug::WatchEndsAtChange => &["permissions-in-flight"],
        Bug::NewestLeads | Bug::ObserveAgain | Bug::ProclaimOnce => &["elections-and-crashes"],
        Bug::AnnounceEveryAck
        | Bug::BeatWithNews
        | Bug::KeepAllEntries
        | Bug::RewriteBlock
        | Bug::SyncHardStateTwice
        | Bug::SyncWhenIdle => &["lagging-follower-snapshot"],
        Bug::DefragmentAfterCompaction | Bug::KeepEndedLives | Bug::NeverRemoveCompacted => {
            &["watches-and-compaction"]
        }
        Bug::ResendChunks => &["snapshot-in-parts"],
        Bug::NewNeedsNoRoom => &["watches-under-faults"],
        Bug::CountOwnVoteTwice | Bug::CountRefusals | Bug::LoserForgetsVote => &["election-storm"],
        Bug::KeepTail => &["short-appends"],
        Bug::DropTailOnLostQuorum => &["symmetric-partition"],
        Bug::CountSentAsHeld
        | Bug::DropTailOnRemoval
        | Bug::RemovedCannotStart
        | Bug::RemovedEndsInError => &["membership-churn"],
        Bug::LeaveBeforeJoined | Bug::ReleaseAtNewLeader => &["locks-and-pauses"],
        Bug::ProclaimUncommitted => &["elections-and-crashes"],
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
    "versions",
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

/// The check that alone shows a bug, in the first run that does: without it the bug
/// would go unnoticed there. Bugs that several checks show are not named.
pub const fn only(bug: Bug) -> Option<&'static str> {
    Some(match bug {
        Bug::DisarmEverybody | Bug::RefuseDeletesWhenFull | Bug::TxnsPassAlarms => "alarms",
        Bug::KeepOldPassword | Bug::LoginWithoutPassword => "auth.logins",
        Bug::CheckOneBranch | Bug::OpenMaintenance => "auth.permitted",
        Bug::OnlyFirstRole | Bug::RangeEndExcluded => "auth.refused",
        Bug::AcceptExpiredTokens | Bug::KeepTokensOfDeleted => "auth.tokens",
        Bug::WatchEndsAtChange | Bug::WatchOutlivesPermission => "auth.watches",
        Bug::KeepAllEntries | Bug::KeepOldSegments => "budget.log",
        Bug::AnnounceEveryAck | Bug::BeatWithNews => "budget.messages_per_commit",
        Bug::ResendChunks | Bug::ResendUnacknowledged => "budget.sent_per_commit",
        Bug::KeepEndedLives | Bug::NeverRemoveCompacted => "budget.snapshot",
        Bug::SyncHardStateTwice | Bug::SyncWhenIdle => "budget.syncs_per_commit",
        Bug::NewNeedsNoRoom | Bug::UnboundedWatchWindow => "budget.unread",
        Bug::DefragmentAfterCompaction | Bug::RewriteBlock => "budget.written_per_commit",
        Bug::CompactRevisionRefused | Bug::NewestIsFuture => "compaction",
        Bug::ProclaimOnce | Bug::UnguardedProclaim => "election.in_office",
        Bug::ObserveAgain | Bug::ObserveCandidates => "election.observed",
        Bug::LeadWithoutWaiting | Bug::NewestLeads => "election.one_leader",
        Bug::ProclaimUncommitted | Bug::ProclaimNothing => "election.proclaimed",
        Bug::AnswerUnknownLease | Bug::ShortLease | Bug::UnconfirmedTimeToLive => "lease.answers",
        Bug::GrantAgain | Bug::RegrantLease => "lease.exists",
        Bug::CountFromGrant | Bug::LeaseByWallClock | Bug::RevokeWhenDeposed => "lease.not_early",
        Bug::FullTtlAgain | Bug::UncountedLeases => "lease.not_late",
        Bug::PrevIsNew | Bug::TxnReadsBefore => "linearizable",
        Bug::NeverSendSnapshot | Bug::StuckProbe => "liveness",
        Bug::LeaderStaysDeaf | Bug::StayWithLeader => "liveness.progress",
        Bug::HoldAfterExpiry | Bug::LockAsOfJoining => "lock.in_line",
        Bug::LeaveBeforeJoined | Bug::ReleaseAtNewLeader => "lock.exclusive",
        Bug::RemovedCannotStart | Bug::RemovedEndsInError => "members",
        Bug::StatusOfLastCommit | Bug::TermOfLastCommit => "monotonic",
        Bug::CountSentAsHeld | Bug::PromoteUnready => "promotion",
        Bug::CutOneTooMany | Bug::RestartAtCommit => "raft.acks_kept",
        Bug::CountOwnBeforeFsync | Bug::LearnerCounts => "raft.commits_durable",
        Bug::CountOwnVoteTwice | Bug::RemovedLeaderStays => "raft.elected_by_quorum",
        Bug::DropTailOnLostQuorum | Bug::DropTailOnRemoval => "raft.leader_append_only",
        Bug::CommitOldTerm | Bug::VoteIgnoresTerm => "raft.leader_completeness",
        Bug::IgnorePrevTerm | Bug::KeepTail => "raft.log_matching",
        Bug::CommitGoesBack | Bug::ForgetTerm => "raft.monotonic_term",
        Bug::EarlyConfChange | Bug::TwoConfChanges => "raft.one_change",
        Bug::SnapshotForgetsLearners | Bug::SnapshotPromotesLearners => "raft.same_members",
        Bug::ApplyOnAppend | Bug::RestampEntries => "raft.state_machine_safety",
        Bug::ForgetVote | Bug::LoserForgetsVote => "raft.vote_once",
        Bug::UnsyncedHardState | Bug::VoteBeforeFsync => "raft.votes_durable",
        Bug::HashCoversMember | Bug::HashSinceStart => "replicas",
        Bug::ForgetTombstones | Bug::LoseAttachments => "replicas.chain",
        Bug::RaiseWithOldMembers | Bug::RunAnyVersion | Bug::SkipUnknownEntries => "versions",
        Bug::SplitBacklog | Bug::SplitRevisions => "watch.atomic",
        Bug::ProgressAhead | Bug::ProgressWhileBehind => "watch.bookmarkable",
        Bug::CancelWhenFull | Bug::CompactedUnnamed => "watch.compaction",
        Bug::ForgetFilters | Bug::KeyWatchedAsRange => "watch.filters",
        Bug::StayFull | Bug::SyncForgets => "watch.live",
        Bug::BatchByKey | Bug::DeletionsLast => "watch.ordered",
        Bug::PrevKvIsNew | Bug::PrevKvUnasked => "watch.prev_kv",
        Bug::CancelIgnoresZero | Bug::CancelKeepsWatcher => "watch.protocol",
        Bug::BatchSkipsRevision | Bug::FilterTakesNext => "watch.reliable",
        Bug::InstallResetsFuture | Bug::WatchFromNowReplays => "watch.resumable",
        Bug::DeleteKeepsCreation | Bug::DeleteShowsValue => "watch.true",
        Bug::BatchRepeatsLast | Bug::DeleteToldTwice => "watch.unique",
        _ => return None,
    })
}

/// Why a check has fewer than two planted bugs that it alone finds, where there is
/// a reason in what it judges.
pub fn few(check: &str) -> Option<&'static str> {
    Some(match check {
        "auth.root" => {
            "whom auth locks out without root it locks out to the end (liveness); and where it \
             is only said to be enabled others are served (auth.permitted)"
        }
        "durability" => {
            "it judges by what is read at the end, and those reads are judged as all reads are: it is for when \
             linearizability is undecided"
        }
        "lease.keys_end" => {
            "a key that outlives its lease is one that a revocation did not delete: reads of it are not linearizable"
        }
        "lock.fenced" => {
            "a key that is there and not first was given the lock too early (lock.in_line), or was \
             created anew while its client held the lock (lock.exclusive); and a write that passes a key \
             that is gone is not linearizable"
        }
        "raft.election_safety" => {
            "of two leaders of a term either one was elected by no quorum (raft.elected_by_quorum), or a member \
             of both quorums voted twice (raft.vote_once)"
        }
        "watch.agree" => "of two watches that disagree one was told what was not written",
        "watch.create" => {
            "an event that wrongly says that its key was created is no event of what was written (watch.true)"
        }
        "watch.cache" => "a cache is wrong only if its list or one of the events that followed was",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_two_bugs_that_it_alone_finds_or_a_reason() {
        let alone = |check: &str| {
            Bug::ALL
                .iter()
                .filter(|bug| only(**bug) == Some(check))
                .count()
        };
        for check in CHECKS {
            match few(check) {
                None => assert!(alone(check) >= 2, "{check} alone finds {}", alone(check)),
                Some(why) => assert!(alone(check) < 2, "{check} needs no reason: {why}"),
            }
        }
    }

    #[test]
    fn what_one_check_finds_is_hunted_and_the_check_is_known() {
        for bug in Bug::ALL {
            let Some(check) = only(*bug) else { continue };
            assert!(CHECKS.contains(&check), "{}: {check}", bug.name());
            assert!(!scenarios(*bug).is_empty(), "{} is not hunted", bug.name());
        }
    }
}
