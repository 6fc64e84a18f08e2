//! Planted bugs: known ways in which consensus stores went wrong. Each is a
//! switch that a run turns on by name; they prove that the testbed finds bugs.

/// One line a bug: variant, catalogue id, name, and what the store does wrong.
macro_rules! bugs {
    ($($variant:ident $id:ident $name:literal $about:literal;)*) => {
        /// A known mistake, planted in the store behind [`Bugs::has`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Bug {
            $(#[doc = $about] $variant,)*
        }

        impl Bug {
            /// Every planted bug, in the order in which they are listed.
            pub const ALL: &[Bug] = &[$(Bug::$variant,)*];

            /// The name by which a run asks for the bug: it says what the bug does.
            pub const fn name(self) -> &'static str {
                match self { $(Bug::$variant => $name,)* }
            }

            /// The catalogue id, an alias of the name.
            pub const fn id(self) -> &'static str {
                match self { $(Bug::$variant => stringify!($id),)* }
            }

            /// What the store does wrong, in one sentence.
            pub const fn about(self) -> &'static str {
                match self { $(Bug::$variant => $about,)* }
            }
        }
    };
}

bugs! {
    AcceptExpiredTokens A09 "accept-expired-tokens"
        "a token is good after its time, until another login sweeps it away";
    AcceptOldTerm R12 "accept-old-term"
        "a follower takes over entries from the leader of an earlier term";
    AckBeforeFsync R06 "ack-before-fsync"
        "a follower acknowledges entries before its fsync";
    AckOnAppend R40 "ack-on-append"
        "the leader answers the client on its own append, without a quorum";
    AnnounceEveryAck R67 "announce-every-ack"
        "with every acknowledgement a leader tells everybody its commit index, news or not";
    AnswerCompacted N02 "answer-compacted"
        "a read below the compact revision is answered from what happens to be left";
    AnswerUnknownLease L07 "answer-unknown-lease"
        "a member says of a lease that it does not know yet that it is gone";
    ApplyOnAppend R39 "apply-on-append"
        "entries are applied once they are in the log, committed or not";
    BatchByKey V31 "batch-by-key"
        "who catches up is told the changes of a batch in order of their keys";
    BatchRepeatsLast V35 "batch-repeats-last"
        "a batch of history has its last change twice";
    BatchSkipsOne V40 "batch-skips-one"
        "the second change of a batch of history is told to nobody";
    BatchSkipsRevision V51 "batch-skips-revision"
        "who catches up on three revisions at once is not told of the second one";
    BeatWithNews R68 "beat-with-news"
        "a leader sends a heartbeat along with every append";
    CancelIgnoresZero V12 "cancel-ignores-zero"
        "watch 0 cannot be canceled, as if its id were not set";
    CancelKeepsWatcher V10 "cancel-keeps-watcher"
        "a canceled watch goes on";
    CancelWhenFull V30 "cancel-when-full"
        "a watch is canceled when its client is slow";
    CheckOneBranch A06 "check-one-branch"
        "of a transaction only the operations of the success branch need permission";
    CommitGoesBack R46 "commit-goes-back"
        "a follower takes over the leader's commit index, also where it is lower than its own";
    CommitOldTerm R01 "commit-old-term"
        "a leader commits entries of earlier terms by counting who has them";
    CompactRevisionRefused K07 "compact-revision-refused"
        "a read at the compact revision itself is refused";
    CompactedUnnamed V17 "compacted-unnamed"
        "a watch that is canceled because of compaction is not told up to where";
    CompareAnyRevisions K28 "compare-any-revisions"
        "the search for corrupt members compares hashes of different revisions";
    CompareAnyWindows C13 "compare-any-windows"
        "the search for corrupt members compares members that compacted to different revisions";
    CompareAtPropose K34 "compare-at-propose"
        "a transaction's compares are evaluated when it is proposed, and not when it is applied";
    CountFromGrant L03 "count-from-grant"
        "a new leader does not extend leases: what it has not renewed itself expires";
    CountOldVotes R38 "count-old-votes"
        "a candidate counts votes that were given to it in an earlier term";
    CountOwnBeforeFsync R07 "count-own-before-fsync"
        "the leader counts itself among those who have an entry before its own fsync";
    CountOwnVoteTwice R62 "count-own-vote-twice"
        "a candidate's own vote counts twice";
    CountRefusals R63 "count-refusals"
        "a candidate counts every answer for a vote, a refusal, too";
    CountSentAsHeld M60 "count-sent-as-held"
        "a learner is taken to have what was sent to it";
    CountWithinLimit K14 "count-within-limit"
        "a range counts no more keys than its limit lets through";
    CreateBackendInPlace W21 "create-backend-in-place"
        "the database is created under its own name, and a crash in the middle leaves half of one";
    CreationOneEarly V53 "creation-one-early"
        "an event of a new key says that the key was created one revision before";
    CutOneTooMany W04 "cut-one-too-many"
        "repairing a torn log cuts off an intact record, too";
    CutRotAsTornTail W17 "cut-rot-as-torn-tail"
        "a damaged record in the middle of the log is cut off, as if it were a torn tail";
    DefragmentAfterCompaction K60 "defragment-after-compaction"
        "every compaction ends with a rewriting of the database";
    DefragmentDropsBatch C10 "defragment-drops-batch"
        "defragmenting drops what was applied and not committed to the database yet";
    DeleteKeepsCreation V33 "delete-keeps-creation"
        "a deletion's event says when the key was created";
    DeleteShowsValue V32 "delete-shows-value"
        "a deletion's event has the value that was deleted";
    DeleteToldTwice V38 "delete-told-twice"
        "a deletion is told as two events";
    DeletionsLast V41 "deletions-last"
        "who catches up is told of the deletions of a batch after all else";
    DisarmEverybody K51 "disarm-everybody"
        "to deactivate one member's alarm deactivates every member's";
    DowngradeAnywhere N05 "downgrade-anywhere"
        "the cluster can be downgraded by any number of minor versions";
    DropDeleteAtCompaction V04 "drop-delete-at-compaction"
        "a watch from the compacted revision on is not told of what was deleted at it";
    DropTailOnLostQuorum R61 "drop-tail-on-lost-quorum"
        "a leader that lost its quorum takes back what it has not committed";
    DropTailOnRemoval R60 "drop-tail-on-removal"
        "a leader that is removed takes back what it has not committed";
    EarlyConfChange M01 "early-conf-change"
        "a new leader changes the membership while a change of an earlier term waits in its log";
    EmptyDeleteTakesRevision K11 "empty-delete-takes-revision"
        "deleting nothing takes a revision";
    EnableWithoutRoot A10 "enable-without-root"
        "auth can be enabled without a root user";
    EventsBeforeBacklog V15 "events-before-backlog"
        "a watcher that lags is told of new changes before the older ones";
    ExpireLocally L01 "expire-locally"
        "each member lets leases expire by its own clock, not through the log";
    FailedTxnKeepsPuts K08 "failed-txn-keeps-puts"
        "a transaction whose range fails leaves what it put before";
    FilterTakesNext V50 "filter-takes-next"
        "who catches up is not told of the revision behind one that its filters take away";
    ForgetAlarms K27 "forget-alarms"
        "alarms are gone after a restart";
    ForgetAuthEnabled A14 "forget-auth-enabled"
        "a restarted member takes auth for disabled";
    ForgetFilters V27 "forget-filters"
        "who catches up is told what its filters take away";
    ForgetPromotion M07 "forget-promotion"
        "after a restart or a snapshot a promoted learner is a learner again";
    ForgetTerm R03 "forget-term"
        "a member forgets over a restart which terms it has seen without entries";
    ForgetTombstones K23 "forget-tombstones"
        "the index that a restart rebuilds knows no deletions";
    ForgetVote R02 "forget-vote"
        "a member forgets over a restart for whom it voted";
    FullTtlAgain L04 "full-ttl-again"
        "a new leader gives a lease its full TTL again, whatever a checkpoint says";
    FuzzyBackup S16 "fuzzy-backup"
        "a backup holds what the database had committed, and claims the revision of what was applied";
    GrantAgain L24 "grant-again"
        "a grant of a lease that exists is acknowledged, and changes nothing";
    HalfQuorum R14 "half-quorum"
        "half of an even number of voters is taken for a quorum";
    HashAtApply A12 "hash-at-apply"
        "each member salts and hashes a new password by itself";
    HashCoversMember K55 "hash-covers-member"
        "a member's hash covers the member's own id";
    HashIgnoresTail K22 "hash-ignores-tail"
        "the hash of history leaves out what is not committed to the database yet";
    HashSinceStart K54 "hash-since-start"
        "a member's hash covers only what was changed since it started";
    HoldAfterExpiry C02 "hold-after-expiry"
        "whose lease expired while it waited is told that it holds the lock, or leads";
    IgnoreFailedFsync W13 "ignore-failed-fsync"
        "a failed fsync of the log is tried again, and its success believed";
    IgnoreFullDisk W14 "ignore-full-disk"
        "a write of the log that found the disk full is taken for done";
    IgnorePermissionGaps A03 "ignore-permission-gaps"
        "a user may touch everything between the first and the last key that it was granted";
    IgnorePrevTerm R10 "ignore-prev-term"
        "a follower appends after an entry of another term than the leader's";
    IgnoreValueCreates K32 "ignore-value-creates"
        "a put that keeps the value creates a key that is not there";
    InstallForgetsWatchers S07 "install-forgets-watchers"
        "watchers are not told of what a snapshot brought";
    InstallKeepsOldAuth S05 "install-keeps-old-auth"
        "a snapshot's users, roles and permissions count only after a restart";
    InstallReplaysWatches V02 "install-replays-watches"
        "a snapshot makes every watcher begin again where it once began";
    InstallResetsFuture V05 "install-resets-future"
        "a snapshot makes a watch of the future begin now";
    KeepAllEntries W63 "keep-all-entries"
        "the log is never compacted, whatever the database has";
    KeepConflict R09 "keep-conflict"
        "a follower keeps its own entries where the leader's differ";
    KeepEndedLives K62 "keep-ended-lives"
        "compaction leaves what happened to a key before it was deleted";
    KeepOldAttachment L10 "keep-old-attachment"
        "a key that is put with another lease stays attached to the first one, too";
    KeepOldLeases S06 "keep-old-leases"
        "a member that installs a snapshot keeps the leases that it had";
    KeepOldPassword A21 "keep-old-password"
        "a changed password is acknowledged, and the old one stays";
    KeepOldSegments W25 "keep-old-segments"
        "segments of the log are kept for ever, whatever was compacted";
    KeepTail R66 "keep-tail"
        "a follower that replaces an entry keeps what followed it, as if it were its leader's";
    KeepTokensOfDeleted A08 "keep-tokens-of-deleted"
        "the tokens of a deleted user stay valid";
    KeyWatchedAsRange V13 "key-watched-as-range"
        "who watches one key is told of all keys behind it, too";
    LeadWithoutWaiting C30 "lead-without-waiting"
        "who stands for election is told at once that it won";
    LeaderStaysDeaf R28 "leader-stays-deaf"
        "a leader that hears nobody any more goes on leading those who hear it";
    LearnerCounts R15 "learner-counts"
        "a learner's acknowledgement counts";
    LearnerServes M16 "learner-serves"
        "a learner answers like a voter";
    LeaseByWallClock L13 "lease-by-wall-clock"
        "leases expire by the wall clock";
    LeaseOutlivesBound R19 "lease-outlives-bound"
        "a leader reads under its lease for as long as it believes to lead, whatever its clock says";
    LeaveBeforeJoined C61 "leave-before-joined"
        "a call for a lock that is given up before it has a place leaves the one that its lease had";
    LineByKey C23 "line-by-key"
        "who waits for a lock stands in line by its lease's id, and not by when it came";
    ListOneAlarm K53 "list-one-alarm"
        "who asks for alarms is told of one member's at most";
    LocalAlarm K26 "local-alarm"
        "a member without space raises the alarm for itself alone";
    LocalQuota K20 "local-quota"
        "whether an entry is applied depends on the space of the member that applies it";
    LockAsOfJoining C33 "lock-as-of-joining"
        "who is given a lock is told the revision at which it began to wait";
    LoginWithoutPassword A15 "login-without-password"
        "a user who has no password logs in with an empty one";
    LoseAttachments K29 "lose-attachments"
        "a restart forgets which keys are attached to which lease";
    LoseNegativeLeases L12 "lose-negative-leases"
        "a restart forgets leases with negative ids";
    LoseWhenFull V36 "lose-when-full"
        "what a watcher has no room for is never told";
    LoserForgetsVote R64 "loser-forgets-vote"
        "who loses an election forgets that it voted for itself";
    MissingKeyHasValue K17 "missing-key-has-value"
        "a key that is not there compares as one with an empty value";
    MoveLeaderToAnyone C11 "move-leader-to-anyone"
        "leadership is said to be handed over to whoever is named";
    NeverRemoveCompacted K61 "never-remove-compacted"
        "what is compacted is refused, and never removed";
    NeverSendSnapshot S10 "never-send-snapshot"
        "a follower that needs a snapshot is never sent one";
    NewNeedsNoRoom V60 "new-needs-no-room"
        "a watch that keeps up is told of what is new whether or not its client takes it";
    NewestIsFuture N03 "newest-is-future"
        "a read that names the newest revision is refused, as if there were none yet";
    NewestLeads C29 "newest-leads"
        "who asks for the leader is told of the candidate that came last";
    NoApplyGapLimit C18 "no-apply-gap-limit"
        "writes are accepted however much waits to be applied";
    ObserveAgain C27 "observe-again"
        "an observer is told of the leader again whenever a candidate comes or goes";
    ObserveCandidates C26 "observe-candidates"
        "an observer is told of every candidate, as if it led";
    OnlyFirstRole A22 "only-first-role"
        "of a user's roles only the first one counts";
    OpenMaintenance A13 "open-maintenance"
        "calls of maintenance and membership need no root";
    OpenUnguarded W23 "open-unguarded"
        "the database is repaired in a hurry, and one that lost synced writes makes the member panic";
    PasswordInLog A16 "password-in-log"
        "a password goes into the log beside its hash";
    PrevIsNew K13 "prev-is-new"
        "a put answers its new value as the previous one";
    PrevKvIsNew V08 "prev-kv-is-new"
        "the previous value in an event is the new one";
    PrevKvUnasked V28 "prev-kv-unasked"
        "what was there before is told to watchers that did not ask for it";
    ProclaimNothing C31 "proclaim-nothing"
        "a proclamation is acknowledged, and nobody is told";
    ProclaimOnce C28 "proclaim-once"
        "a leader that has proclaimed is taken for another one when it does again";
    ProclaimUncommitted C62 "proclaim-uncommitted"
        "who proclaims is answered when that is proposed, and not when it is committed";
    ProgressAhead V29 "progress-ahead"
        "a watch is told that it has come to a revision that does not exist yet";
    ProgressWhileBehind V01 "progress-while-behind"
        "progress is confirmed while a watcher of the stream lags";
    PromoteUnready M06 "promote-unready"
        "a learner is promoted however far it is behind";
    PutOnUnknownLease L16 "put-on-unknown-lease"
        "a put with a lease that does not exist succeeds";
    RaiseWithOldMembers C12 "raise-with-old-members"
        "the cluster's version rises with its first member";
    RangeEndExcluded A04 "range-end-excluded"
        "a permission for a range does not cover a request for the whole of it";
    ReadBeforeApplied R20 "read-before-applied"
        "a read is served before the state machine has come to its index";
    ReadBeforeFirstCommit R17 "read-before-first-commit"
        "a new leader serves reads before it has committed an entry of its term";
    ReadLastCommit N01 "read-last-commit"
        "a serializable read is served from the backend's last commit, behind what was answered before";
    RefuseDeletesWhenFull K52 "refuse-deletes-when-full"
        "when a member has no space left, deletes are refused as well";
    RefuseTornTail W03 "refuse-torn-tail"
        "a member does not start from a log with a torn tail";
    RegrantLease L21 "regrant-lease"
        "a grant of a lease that exists resets it";
    ReleaseAtNewLeader C60 "release-at-new-leader"
        "a change of leader releases the locks that were given through a member";
    RelockWaits C03 "relock-waits"
        "a lease that holds a lock and asks for it again waits for itself";
    RemovedCannotStart M62 "removed-cannot-start"
        "a member that finds itself removed when it restarts calls its data corrupt";
    RemovedEndsInError M61 "removed-ends-in-error"
        "a member that is removed calls its data corrupt, and does not end cleanly";
    RemovedLeaderStays M04 "removed-leader-stays"
        "a leader that is no voter any more does not step down";
    RemovedReturns M09 "removed-returns"
        "after a restart or a snapshot a removed member is one again";
    RemovedUnheard M50 "removed-unheard"
        "a member that was removed while it could not hear of it goes on for ever";
    ReopenAfterFailedFsync W22 "reopen-after-failed-fsync"
        "after a failed fsync the next process goes on with the same files";
    RepeatForward R34 "repeat-forward"
        "a forwarded proposal that the network repeats is appended twice";
    RepeatWhenFull V06 "repeat-when-full"
        "a watcher whose client is slow is told the last events twice";
    ResendChunks S60 "resend-chunks"
        "with every part of a snapshot that arrives the following ones are sent again";
    ResendUnacknowledged R44 "resend-unacknowledged"
        "every append carries all that the follower has not acknowledged yet";
    ResignNothing C32 "resign-nothing"
        "who resigns is told so, and stays";
    RestampEntries R49 "restamp-entries"
        "a follower keeps entries under the term of the leader that sends them";
    RestartAtCommit R48 "restart-at-commit"
        "a restart cuts off what the member did not know to be committed";
    RestartLogBeforeInstall W10 "restart-log-before-install"
        "the log restarts behind a snapshot that is not installed yet";
    RestoreKeepsIds S12 "restore-keeps-ids"
        "a cluster that was restored from a backup has the old cluster's id";
    RestoreUnverified W24 "restore-unverified"
        "a damaged backup is restored";
    RevisionFromKeys K04 "revision-from-keys"
        "after a compaction a restart takes the revision from the keys that are left";
    RevokeInSteps L08 "revoke-in-steps"
        "the keys of a lease are deleted one revision after the other";
    RevokeWhenDeposed L02 "revoke-when-deposed"
        "a leader that was deposed goes on letting leases expire";
    RewriteBlock W62 "rewrite-block"
        "each append to the log writes the whole block again in which the log ends";
    RunAnyVersion N04 "run-any-version"
        "a member starts whatever the version of its data is";
    ShortLease L15 "short-lease"
        "leases are granted for less than the shortest TTL";
    SkipCompactedEvents V03 "skip-compacted-events"
        "a watcher that compaction overtook goes on behind the gap";
    SkipUnknownEntries K35 "skip-unknown-entries"
        "the leader does what older members do not understand, and these skip it in silence";
    SnapshotAheadOfIndex S01 "snapshot-ahead-of-index"
        "a snapshot holds more than the index that it claims";
    SnapshotForgetsLearners R25 "snapshot-forgets-learners"
        "a snapshot's learners are lost when it is installed";
    SnapshotPromotesLearners R50 "snapshot-promotes-learners"
        "a snapshot's learners are voters where it is installed";
    SortWithinLimit K15 "sort-within-limit"
        "a range is cut off at its limit before it is sorted";
    SplitBacklog V34 "split-backlog"
        "who catches up is told each change by itself, also those of one revision";
    SplitRevisions V07 "split-revisions"
        "the events of one revision come in several responses";
    StaleAuthRevision K21 "stale-auth-revision"
        "a write is judged by the auth revision that its member read when it opened";
    StalePermissions A02 "stale-permissions"
        "a revoked role or permission still counts";
    StatusOfLastCommit N50 "status-of-last-commit"
        "a member's status has the revision of its last commit, and not the newest one";
    StayFull V37 "stay-full"
        "a watcher whose client was slow once is told nothing more";
    StayWithLeader R29 "stay-with-leader"
        "a follower keeps to its leader for fifteen election timeouts after it last heard it";
    StuckProbe R32 "stuck-probe"
        "a follower whose probe was lost is never sent anything again";
    SwapFilters V09 "swap-filters"
        "who wants no puts is told of no deletes, and the other way round";
    SyncForgets V39 "sync-forgets"
        "a watcher that has caught up is told nothing more";
    SyncHardStateTwice W61 "sync-hard-state-twice"
        "a changed hard state is synced by itself, and again with the rest";
    SyncWhenIdle W60 "sync-when-idle"
        "the log is synced again and again, whether or not anything was written";
    TakeAnyReadAnswer R18 "take-any-read-answer"
        "a follower takes any answer of its leader for that to the read that waits";
    TermOfLastCommit N06 "term-of-last-commit"
        "a serializable read names the term of the backend's last commit";
    TokenBoundToMember A17 "token-bound-to-member"
        "a token is good only at the member that gave it";
    TruncateOnAppend R08 "truncate-on-append"
        "a follower cuts its log off after each append, also where the entries match";
    TwoConfChanges M02 "two-conf-changes"
        "a leader changes the membership while another change is under way";
    TxnReadsBefore K10 "txn-reads-before"
        "a range in a transaction does not see what the transaction put";
    TxnSplitsRevisions K09 "txn-splits-revisions"
        "each operation of a transaction takes a revision of its own";
    TxnsPassAlarms K50 "txns-pass-alarms"
        "a transaction is applied whatever alarm is active";
    UnboundedTxn K25 "unbounded-txn"
        "a transaction may have any number of operations";
    UnboundedWatchWindow V26 "unbounded-watch-window"
        "responses pile up without bound for a client that does not take them";
    UncheckedLeaseKeys A07 "unchecked-lease-keys"
        "a lease can be revoked, or given keys, without permission for the keys that it has";
    UncheckedRecords W05 "unchecked-records"
        "records of the log are read without looking at their checksums";
    UnconfirmedKeepAlive L06 "unconfirmed-keep-alive"
        "a keep-alive is acknowledged by a member that has not confirmed that it leads";
    UnconfirmedRead R16 "unconfirmed-read"
        "the leader serves linearizable reads without confirming that it still leads";
    UnconfirmedTimeToLive L18 "unconfirmed-time-to-live"
        "what is left of a lease is told by a member that has not confirmed that it leads";
    UncountedLeases L23 "uncounted-leases"
        "what a new leader has not renewed itself never expires";
    UnguardedProclaim C05 "unguarded-proclaim"
        "who no longer leads may proclaim";
    UnguardedResign C25 "unguarded-resign"
        "to resign from an old term of office ends a new one, too";
    UnsavedAuthRevision A01 "unsaved-auth-revision"
        "a restarted member counts auth revisions from the first one again";
    UnsyncedHardState W11 "unsynced-hard-state"
        "term and vote are told to others before they are durable";
    UnsyncedSegmentName W07 "unsynced-segment-name"
        "the directory is not synced when the log begins a segment";
    UnsyncedSnapshot S03 "unsynced-snapshot"
        "a snapshot counts as installed before it is durable";
    UpdateToldAsCreation V52 "update-told-as-creation"
        "every event of a put says that the key was created by it";
    UseLeftoverTemporary S14 "use-leftover-temporary"
        "a database that was never finished is taken for the real one";
    VersionOutlivesKey K12 "version-outlives-key"
        "a key that was deleted goes on counting its versions when it is put again";
    VoteAgain R45 "vote-again"
        "a follower votes for every candidate that asks, whoever asked first";
    VoteBeforeFsync R47 "vote-before-fsync"
        "a vote is answered before it is durable";
    VoteIgnoresTerm R05 "vote-ignores-term"
        "logs are compared by their length alone when a vote is asked for";
    VoteShorterLog R04 "vote-shorter-log"
        "a vote is granted to a candidate whose log is behind";
    WakeWithoutLooking C01 "wake-without-looking"
        "who waits for a lock takes it when the one before is gone, whoever else is before that";
    WatchEndsAtChange A24 "watch-ends-at-change"
        "every change of users ends every watch for want of permission";
    WatchFromNowReplays V18 "watch-from-now-replays"
        "a watch without a revision is told all history";
    WatchOutlivesPermission A19 "watch-outlives-permission"
        "a watch goes on after its user lost the permission";
    WatchSurvivesMinority V19 "watch-survives-minority"
        "a watch that requires a leader goes on without one";
    ZeroEndIsEmpty K16 "zero-end-is-empty"
        "a range to the end of the key space is taken for one key";
}

impl Bug {
    /// The bug of that name or catalogue id.
    pub fn from_name(name: &str) -> Option<Bug> {
        Bug::ALL
            .iter()
            .copied()
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
        for &bug in Bug::ALL {
            assert_eq!(Bug::from_name(bug.name()), Some(bug));
            assert_eq!(Bug::from_name(bug.id()), Some(bug));
        }
        assert_eq!(Bug::from_name("no-such-bug"), None);
    }

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_else() {
        let set = Bugs::NONE.with(Bug::ForgetVote);
        for &bug in Bug::ALL {
            let planted = cfg!(feature = "planted-bugs") && bug == Bug::ForgetVote;
            assert_eq!(set.has(bug), planted, "{bug:?}");
        }
    }
}
