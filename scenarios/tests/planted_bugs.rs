//! The testbed finds bugs: each planted bug breaks a promise to clients or one
//! of Raft's properties within 200 seeds of the scenario that hunts it, and
//! without the bug the same seeds pass.

use squall::runner::{RunOptions, run};
use squall::{Scenario, hunts, library};
use squall_api::{Bug, Bugs};
use squall_record::{Run, Verdict};

/// Consequences: none of them names the line of code that is wrong. Votes are
/// judged by the messages that members sent each other; two leaders in a term,
/// what a second vote leads to, come in about one storm of a hundred.
const CONSEQUENCES: &[&str] = &[
    "auth.logins",
    "auth.permitted",
    "auth.refused",
    "auth.root",
    "auth.tokens",
    "auth.watches",
    "linearizable",
    "durability",
    "replicas",
    "replicas.chain",
    "raft.election_safety",
    "raft.leader_append_only",
    "raft.leader_completeness",
    "raft.state_machine_safety",
    "raft.vote_once",
    "raft.acks_kept",
    "raft.elected_by_quorum",
    "raft.one_change",
    "raft.same_members",
    "raft.commits_durable",
    "raft.votes_durable",
    "raft.log_matching",
    "raft.monotonic_term",
    "election.in_office",
    "election.observed",
    "election.one_leader",
    "election.proclaimed",
    "lock.exclusive",
    "lock.in_line",
    "lease.not_early",
    "lease.not_late",
    "lease.answers",
    "lease.exists",
    "lease.keys_end",
    "alarms",
    "compaction",
    "budget.log",
    "budget.messages_per_commit",
    "budget.sent_per_commit",
    "budget.snapshot",
    "budget.syncs_per_commit",
    "budget.unread",
    "budget.written_per_commit",
    "liveness",
    "liveness.progress",
    "monotonic",
    "promotion",
    "versions",
    "members",
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
    "watch.unique",
    "watch.true",
];

fn make(scenario: &Scenario, seed: u64, bugs: Bugs) -> Run {
    let options = RunOptions {
        bugs,
        ..RunOptions::default()
    };
    run(scenario, seed, &options)
        .unwrap_or_else(|e| panic!("{}@{seed}: {}", scenario.name, e.panic))
}

/// The first consequence that a run shows, and how it is told.
fn consequence(run: &Run) -> Option<(&str, &str)> {
    run.summary
        .checks
        .iter()
        .find_map(|check| match &check.verdict {
            Verdict::Fail(witness) if CONSEQUENCES.contains(&check.name.as_str()) => {
                Some((check.name.as_str(), witness.sentence.as_str()))
            }
            _ => None,
        })
}

fn hunt(bug: Bug) {
    let name = hunts::scenarios(bug)[0];
    let text = library::get(name).expect("the library has it");
    let scenario = Scenario::parse(name, text).unwrap_or_else(|e| panic!("{e}"));
    let planted = Bugs::NONE.with(bug);
    let (seed, found) = (1..=200)
        .map(|seed| (seed, make(&scenario, seed, planted)))
        .find(|(_, run)| consequence(run).is_some())
        .unwrap_or_else(|| panic!("{} was not found in 200 seeds of {name}", bug.name()));
    let (check, sentence) = consequence(&found).expect("it was just found");
    println!("{}: {check} in {name}@{seed}: {sentence}", bug.name());

    if let Some(only) = hunts::only(bug) {
        let failed = found.summary.checks.iter();
        let failed = failed.filter(|check| matches!(check.verdict, Verdict::Fail(_)));
        let failed: Vec<&str> = failed.map(|check| check.name.as_str()).collect();
        assert_eq!(failed, [only], "{} in {name}@{seed}", bug.name());
    }

    let again = make(&scenario, seed, planted);
    assert_eq!(
        again.summary.hash, found.summary.hash,
        "{name}@{seed} differs when run again"
    );

    // The seeds just before it, too: what is found must be the bug's doing.
    for seed in seed.saturating_sub(4).max(1)..=seed {
        let clean = make(&scenario, seed, Bugs::NONE);
        let failure = clean.summary.failure();
        assert_eq!(failure, None, "{name}@{seed} fails without {}", bug.name());
    }
}

macro_rules! hunts {
    ($($test:ident $bug:ident;)*) => {
        $(
            #[test]
            fn $test() {
                hunt(Bug::$bug);
            }
        )*
        const HUNTED: &[Bug] = &[$(Bug::$bug),*];
    };
}

hunts! {
    accept_expired_tokens AcceptExpiredTokens;
    accept_old_term AcceptOldTerm;
    ack_before_fsync AckBeforeFsync;
    ack_on_append AckOnAppend;
    announce_every_ack AnnounceEveryAck;
    answer_compacted AnswerCompacted;
    answer_unknown_lease AnswerUnknownLease;
    apply_on_append ApplyOnAppend;
    batch_by_key BatchByKey;
    batch_repeats_last BatchRepeatsLast;
    batch_skips_one BatchSkipsOne;
    batch_skips_revision BatchSkipsRevision;
    beat_with_news BeatWithNews;
    cancel_ignores_zero CancelIgnoresZero;
    cancel_keeps_watcher CancelKeepsWatcher;
    cancel_when_full CancelWhenFull;
    check_one_branch CheckOneBranch;
    commit_goes_back CommitGoesBack;
    commit_old_term CommitOldTerm;
    compact_revision_refused CompactRevisionRefused;
    compacted_unnamed CompactedUnnamed;
    compare_any_revisions CompareAnyRevisions;
    compare_any_windows CompareAnyWindows;
    compare_at_propose CompareAtPropose;
    count_from_grant CountFromGrant;
    count_own_before_fsync CountOwnBeforeFsync;
    count_own_vote_twice CountOwnVoteTwice;
    count_refusals CountRefusals;
    count_sent_as_held CountSentAsHeld;
    count_within_limit CountWithinLimit;
    creation_one_early CreationOneEarly;
    cut_one_too_many CutOneTooMany;
    defragment_after_compaction DefragmentAfterCompaction;
    defragment_drops_batch DefragmentDropsBatch;
    delete_keeps_creation DeleteKeepsCreation;
    delete_shows_value DeleteShowsValue;
    delete_told_twice DeleteToldTwice;
    deletions_last DeletionsLast;
    disarm_everybody DisarmEverybody;
    downgrade_anywhere DowngradeAnywhere;
    drop_delete_at_compaction DropDeleteAtCompaction;
    drop_tail_on_lost_quorum DropTailOnLostQuorum;
    drop_tail_on_removal DropTailOnRemoval;
    early_conf_change EarlyConfChange;
    empty_delete_takes_revision EmptyDeleteTakesRevision;
    enable_without_root EnableWithoutRoot;
    events_before_backlog EventsBeforeBacklog;
    expire_locally ExpireLocally;
    failed_txn_keeps_puts FailedTxnKeepsPuts;
    filter_takes_next FilterTakesNext;
    forget_alarms ForgetAlarms;
    forget_auth_enabled ForgetAuthEnabled;
    forget_filters ForgetFilters;
    forget_promotion ForgetPromotion;
    forget_term ForgetTerm;
    forget_tombstones ForgetTombstones;
    forget_vote ForgetVote;
    full_ttl_again FullTtlAgain;
    grant_again GrantAgain;
    half_quorum HalfQuorum;
    hash_at_apply HashAtApply;
    hash_covers_member HashCoversMember;
    hash_ignores_tail HashIgnoresTail;
    hash_since_start HashSinceStart;
    hold_after_expiry HoldAfterExpiry;
    ignore_failed_fsync IgnoreFailedFsync;
    ignore_full_disk IgnoreFullDisk;
    ignore_permission_gaps IgnorePermissionGaps;
    ignore_prev_term IgnorePrevTerm;
    ignore_value_creates IgnoreValueCreates;
    install_forgets_watchers InstallForgetsWatchers;
    install_keeps_old_auth InstallKeepsOldAuth;
    install_replays_watches InstallReplaysWatches;
    install_resets_future InstallResetsFuture;
    keep_all_entries KeepAllEntries;
    keep_conflict KeepConflict;
    keep_ended_lives KeepEndedLives;
    keep_old_attachment KeepOldAttachment;
    keep_old_leases KeepOldLeases;
    keep_old_password KeepOldPassword;
    keep_old_segments KeepOldSegments;
    keep_tail KeepTail;
    keep_tokens_of_deleted KeepTokensOfDeleted;
    key_watched_as_range KeyWatchedAsRange;
    lead_without_waiting LeadWithoutWaiting;
    leader_stays_deaf LeaderStaysDeaf;
    learner_counts LearnerCounts;
    lease_by_wall_clock LeaseByWallClock;
    lease_outlives_bound LeaseOutlivesBound;
    leave_before_joined LeaveBeforeJoined;
    line_by_key LineByKey;
    list_one_alarm ListOneAlarm;
    local_alarm LocalAlarm;
    local_quota LocalQuota;
    lock_as_of_joining LockAsOfJoining;
    login_without_password LoginWithoutPassword;
    lose_attachments LoseAttachments;
    lose_negative_leases LoseNegativeLeases;
    lose_when_full LoseWhenFull;
    loser_forgets_vote LoserForgetsVote;
    missing_key_has_value MissingKeyHasValue;
    never_remove_compacted NeverRemoveCompacted;
    never_send_snapshot NeverSendSnapshot;
    new_needs_no_room NewNeedsNoRoom;
    newest_is_future NewestIsFuture;
    newest_leads NewestLeads;
    observe_again ObserveAgain;
    observe_candidates ObserveCandidates;
    only_first_role OnlyFirstRole;
    open_maintenance OpenMaintenance;
    prev_is_new PrevIsNew;
    prev_kv_is_new PrevKvIsNew;
    prev_kv_unasked PrevKvUnasked;
    proclaim_nothing ProclaimNothing;
    proclaim_once ProclaimOnce;
    proclaim_uncommitted ProclaimUncommitted;
    progress_ahead ProgressAhead;
    progress_while_behind ProgressWhileBehind;
    promote_unready PromoteUnready;
    put_on_unknown_lease PutOnUnknownLease;
    raise_with_old_members RaiseWithOldMembers;
    range_end_excluded RangeEndExcluded;
    read_before_applied ReadBeforeApplied;
    read_before_first_commit ReadBeforeFirstCommit;
    read_last_commit ReadLastCommit;
    refuse_deletes_when_full RefuseDeletesWhenFull;
    refuse_torn_tail RefuseTornTail;
    regrant_lease RegrantLease;
    release_at_new_leader ReleaseAtNewLeader;
    removed_cannot_start RemovedCannotStart;
    removed_ends_in_error RemovedEndsInError;
    removed_leader_stays RemovedLeaderStays;
    removed_returns RemovedReturns;
    removed_unheard RemovedUnheard;
    reopen_after_failed_fsync ReopenAfterFailedFsync;
    repeat_forward RepeatForward;
    repeat_when_full RepeatWhenFull;
    resend_chunks ResendChunks;
    resend_unacknowledged ResendUnacknowledged;
    resign_nothing ResignNothing;
    restamp_entries RestampEntries;
    restart_at_commit RestartAtCommit;
    revision_from_keys RevisionFromKeys;
    revoke_in_steps RevokeInSteps;
    revoke_when_deposed RevokeWhenDeposed;
    rewrite_block RewriteBlock;
    run_any_version RunAnyVersion;
    short_lease ShortLease;
    skip_compacted_events SkipCompactedEvents;
    skip_unknown_entries SkipUnknownEntries;
    snapshot_ahead_of_index SnapshotAheadOfIndex;
    snapshot_forgets_learners SnapshotForgetsLearners;
    snapshot_promotes_learners SnapshotPromotesLearners;
    sort_within_limit SortWithinLimit;
    split_backlog SplitBacklog;
    split_revisions SplitRevisions;
    stale_auth_revision StaleAuthRevision;
    stale_permissions StalePermissions;
    status_of_last_commit StatusOfLastCommit;
    stay_full StayFull;
    stay_with_leader StayWithLeader;
    stuck_probe StuckProbe;
    swap_filters SwapFilters;
    sync_forgets SyncForgets;
    sync_hard_state_twice SyncHardStateTwice;
    sync_when_idle SyncWhenIdle;
    take_any_read_answer TakeAnyReadAnswer;
    term_of_last_commit TermOfLastCommit;
    token_bound_to_member TokenBoundToMember;
    truncate_on_append TruncateOnAppend;
    two_conf_changes TwoConfChanges;
    txn_reads_before TxnReadsBefore;
    txn_splits_revisions TxnSplitsRevisions;
    txns_pass_alarms TxnsPassAlarms;
    unbounded_watch_window UnboundedWatchWindow;
    unchecked_lease_keys UncheckedLeaseKeys;
    unconfirmed_keep_alive UnconfirmedKeepAlive;
    unconfirmed_read UnconfirmedRead;
    unconfirmed_time_to_live UnconfirmedTimeToLive;
    uncounted_leases UncountedLeases;
    unguarded_proclaim UnguardedProclaim;
    unguarded_resign UnguardedResign;
    unsaved_auth_revision UnsavedAuthRevision;
    unsynced_hard_state UnsyncedHardState;
    update_told_as_creation UpdateToldAsCreation;
    version_outlives_key VersionOutlivesKey;
    vote_again VoteAgain;
    vote_before_fsync VoteBeforeFsync;
    vote_ignores_term VoteIgnoresTerm;
    vote_shorter_log VoteShorterLog;
    wake_without_looking WakeWithoutLooking;
    watch_ends_at_change WatchEndsAtChange;
    watch_from_now_replays WatchFromNowReplays;
    watch_outlives_permission WatchOutlivesPermission;
    zero_end_is_empty ZeroEndIsEmpty;
}

#[test]
fn every_bug_that_a_scenario_finds_is_hunted() {
    let by_seeds =
        |bug: &&Bug| !hunts::scenarios(**bug).is_empty() && !hunts::needs_crash_points(**bug);
    let expected: Vec<Bug> = Bug::ALL.iter().filter(by_seeds).copied().collect();
    assert_eq!(HUNTED, expected);
}
