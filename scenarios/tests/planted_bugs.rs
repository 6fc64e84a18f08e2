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
const CONSEQUENCES: [&str; 10] = [
    "linearizable",
    "durability",
    "replicas",
    "replicas.chain",
    "raft.election_safety",
    "raft.leader_completeness",
    "raft.state_machine_safety",
    "raft.vote_once",
    "raft.acks_kept",
    "members",
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

#[test]
fn ack_before_fsync_is_found() {
    hunt(Bug::AckBeforeFsync);
}

#[test]
fn ack_on_append_is_found() {
    hunt(Bug::AckOnAppend);
}

#[test]
fn forget_vote_is_found() {
    hunt(Bug::ForgetVote);
}

#[test]
fn unconfirmed_read_is_found() {
    hunt(Bug::UnconfirmedRead);
}

#[test]
fn vote_shorter_log_is_found() {
    hunt(Bug::VoteShorterLog);
}

#[test]
fn cut_one_too_many_is_found() {
    hunt(Bug::CutOneTooMany);
}

#[test]
fn refuse_torn_tail_is_found() {
    hunt(Bug::RefuseTornTail);
}

#[test]
fn snapshot_ahead_of_index_is_found() {
    hunt(Bug::SnapshotAheadOfIndex);
}

#[test]
fn unsynced_hard_state_is_found() {
    hunt(Bug::UnsyncedHardState);
}

#[test]
fn ignore_failed_fsync_is_found() {
    hunt(Bug::IgnoreFailedFsync);
}

#[test]
fn ignore_full_disk_is_found() {
    hunt(Bug::IgnoreFullDisk);
}

#[test]
fn reopen_after_failed_fsync_is_found() {
    hunt(Bug::ReopenAfterFailedFsync);
}
