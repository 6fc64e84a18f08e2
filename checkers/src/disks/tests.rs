use super::*;
use squall_api::LogChange;
use std::sync::Arc;

const SYNC: SyncId = SyncId(1);

fn entry(term: u64, index: u64) -> EntryId {
    EntryId {
        term,
        digest: index << 8 | term,
    }
}

/// A view of `node` in `term` that appends the entries `from..=to` of its term.
fn view(role: Role, term: u64, vote: u64, commit: u64, log: Option<(u64, u64)>) -> RaftView {
    let log = log.map(|(from, to)| {
        Arc::new(LogChange {
            from,
            entries: (from..=to).map(|index| entry(term, index)).collect(),
            conf_changes: Vec::new(),
        })
    });
    RaftView {
        term,
        vote,
        role,
        leader: 0,
        commit,
        first_index: 1,
        last_index: 0,
        log,
        members: None,
    }
}

fn born() -> Disks {
    let mut disks = Disks::new(MembersView::first(1..=3));
    for node in 1..=3 {
        disks.written(node, &view(Role::Follower, 0, 0, 0, None));
    }
    disks
}

fn grant(to: u64, term: u64) -> Message {
    let mut msg = Message::default();
    msg.set_msg_type(MessageType::MsgRequestVoteResponse);
    (msg.to, msg.term) = (to, term);
    msg
}

fn request(term: u64) -> Message {
    let mut msg = Message::default();
    msg.set_msg_type(MessageType::MsgRequestVote);
    msg.term = term;
    msg
}

fn class(result: Result<(), Box<Witness>>) -> String {
    result.expect_err("a violation").class
}

/// Node 1 leads term 1 with entries 1 and 2 in its memory.
fn led() -> Disks {
    let mut disks = born();
    let leads = view(Role::Leader, 1, 1, 0, Some((1, 2)));
    disks.written(1, &leads);
    disks.shown(1, 1, &leads).unwrap();
    disks
}

fn appends(disks: &mut Disks, node: u64) {
    disks.written(node, &view(Role::Follower, 1, 1, 0, Some((1, 2))));
    disks.sync_started(node, SYNC);
}

#[test]
fn a_vote_may_leave_once_its_sync_has_ended() {
    let mut disks = born();
    disks.written(2, &view(Role::Follower, 1, 3, 0, None));
    disks.sync_started(2, SYNC);
    disks.sync_ended(2, SYNC);
    disks.sent(5, 2, &grant(3, 1)).unwrap();
    // It comes late, when the member is in another term.
    disks.written(2, &view(Role::Follower, 2, 0, 0, None));
    disks.synced(2);
    disks.sent(6, 2, &grant(3, 1)).unwrap();
    let mut refused = grant(1, 9);
    refused.reject = true;
    disks.sent(7, 2, &refused).unwrap();
}

#[test]
fn a_vote_that_leaves_before_its_sync_has_ended_is_found() {
    let mut disks = born();
    disks.written(2, &view(Role::Follower, 1, 3, 0, None));
    disks.sync_started(2, SYNC);
    assert_eq!(class(disks.sent(5, 2, &grant(3, 1))), "vote-not-durable");
}

#[test]
fn a_sync_proves_nothing_about_what_was_written_after_it_began() {
    let mut disks = born();
    disks.sync_started(2, SYNC);
    disks.written(2, &view(Role::Candidate, 1, 2, 0, None));
    disks.sync_ended(2, SYNC);
    assert_eq!(class(disks.sent(5, 2, &request(1))), "vote-not-durable");
    disks.synced(2);
    disks.sent(6, 2, &request(1)).unwrap();
}

#[test]
fn a_vote_for_somebody_else_is_not_this_vote() {
    let mut disks = born();
    disks.written(2, &view(Role::Follower, 1, 3, 0, None));
    disks.synced(2);
    assert_eq!(class(disks.sent(5, 2, &grant(1, 1))), "vote-not-durable");
}

#[test]
fn two_disks_of_three_commit_without_the_leaders_own() {
    let mut disks = led();
    for node in [2, 3] {
        appends(&mut disks, node);
        disks.sync_ended(node, SYNC);
    }
    let commits = view(Role::Leader, 1, 1, 2, None);
    disks.written(1, &commits);
    disks.shown(5, 1, &commits).unwrap();
    let judged = |check: Check| matches!(check.verdict, Verdict::Pass { judged: 1, .. });
    assert!(judged(disks.finish().pop().unwrap()));
}

#[test]
fn a_commit_on_one_disk_of_three_is_found() {
    let mut disks = led();
    for node in [2, 3] {
        appends(&mut disks, node);
    }
    disks.sync_ended(3, SYNC);
    let result = disks.shown(5, 1, &view(Role::Leader, 1, 1, 2, None));
    let sentence = result.expect_err("a violation").sentence;
    assert!(sentence.contains("only on the disk of n3"), "{sentence}");
}

#[test]
fn what_power_took_is_not_on_a_disk() {
    let mut disks = led();
    disks.synced(1);
    appends(&mut disks, 2);
    disks.crashed(2);
    disks.sync_ended(2, SYNC);
    disks.written(2, &view(Role::Follower, 1, 1, 0, None));
    let result = disks.shown(5, 1, &view(Role::Leader, 1, 1, 2, None));
    assert_eq!(class(result), "commit-not-on-a-quorum");
}

#[test]
fn an_entry_of_another_term_at_that_index_does_not_count() {
    let mut disks = led();
    disks.synced(1);
    disks.written(2, &view(Role::Follower, 2, 0, 0, Some((1, 2))));
    disks.synced(2);
    let result = disks.shown(5, 1, &view(Role::Leader, 1, 1, 2, None));
    assert_eq!(class(result), "commit-not-on-a-quorum");
}

#[test]
fn what_went_into_a_snapshot_counts() {
    let mut disks = led();
    disks.synced(1);
    let restarted = RaftView {
        first_index: 3,
        ..view(Role::Follower, 1, 1, 2, Some((3, 2)))
    };
    disks.written(2, &restarted);
    disks.synced(2);
    disks
        .shown(5, 1, &view(Role::Leader, 1, 1, 2, None))
        .unwrap();
}

#[test]
fn a_wiped_disk_has_nothing() {
    let mut disks = led();
    disks.synced(1);
    appends(&mut disks, 2);
    disks.sync_ended(2, SYNC);
    disks.wiped(2);
    let result = disks.shown(5, 1, &view(Role::Leader, 1, 1, 2, None));
    assert_eq!(class(result), "commit-not-on-a-quorum");
}

#[test]
fn a_run_without_votes_and_commits_is_undecided() {
    let undecided = |check: Check| matches!(check.verdict, Verdict::Unknown(_));
    assert!(born().finish().into_iter().all(undecided));
}

#[test]
fn a_leader_counts_by_the_configuration_that_it_has() {
    let with = |members: MembersView| {
        let mut disks = led();
        disks.synced(1);
        appends(&mut disks, 2);
        disks.sync_ended(2, SYNC);
        let told = RaftView {
            members: Some(Arc::new(members)),
            ..view(Role::Leader, 1, 1, 2, None)
        };
        disks.shown(5, 1, &told).map_err(|witness| witness.class)
    };
    let outgoing = |ids: [u64; 3]| MembersView {
        outgoing: ids.into(),
        ..MembersView::first([1, 2, 3])
    };
    let few = Err("commit-not-on-a-quorum".to_owned());
    assert_eq!(with(MembersView::first([1, 2, 3])), Ok(()));
    assert_eq!(with(MembersView::first([1, 2, 3, 4])), few.clone());
    assert_eq!(with(outgoing([1, 2, 4])), Ok(()));
    assert_eq!(with(outgoing([1, 4, 5])), few);
}
