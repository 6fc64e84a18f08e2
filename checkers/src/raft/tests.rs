//! Every invariant, by short stories. A story is a list of events, separated
//! by `;`, half a second apart:
//!
//! * `n1 L4 vote=1 commit=2 @1:1a 2b` - a Raft view: role (L, C or F) and term,
//!   and the log from index 1 on: an entry is its term and a letter for its
//!   content, a capital one for a change of members. `first=3` compacts; `last=9` lies about the end of the log;
//!   `members=1,2,3` tells the configuration in force.
//! * `n1 apply 3:2a`, `n1 install 3:2a`, `n1 open 3:2a` - index and entry;
//! * `n1 grants n2 T4`, `n1 campaigns T4`, `n1 acks T4`, `n1 acks T4 2`, `n1 rejects T4`,
//!   `n1 tells commit=4` - messages;
//! * `n1 crash`, `n1 start`.

use super::*;
use squall_api::EntryId;

fn entry(index: u64, text: &str) -> EntryId {
    let (term, letter) = text.split_at(text.len() - 1);
    let term = term.parse().expect("a term");
    EntryId {
        term,
        digest: index << 32 | term << 16 | u64::from(letter.as_bytes()[0]),
    }
}

fn number(word: &str, prefix: &str) -> Option<u64> {
    word.strip_prefix(prefix)?.parse().ok()
}

fn changes_members(entry: &str) -> bool {
    entry.ends_with(|c: char| c.is_ascii_uppercase())
}

struct Story {
    invariants: Invariants,
    first_index: BTreeMap<u64, u64>,
    last_index: BTreeMap<u64, u64>,
    broken: Vec<Witness>,
}

impl Story {
    fn tell(story: &str) -> Story {
        let mut told = Story {
            invariants: Invariants::new(),
            first_index: BTreeMap::new(),
            last_index: BTreeMap::new(),
            broken: Vec::new(),
        };
        for (i, event) in story.split(';').enumerate() {
            let t = (i as u64 + 1) * 500_000_000;
            let words: Vec<&str> = event.split_whitespace().collect();
            let node = number(words[0], "n").expect("a node");
            if let Err(witness) = told.event(t, node, &words[1..]) {
                told.broken.push(*witness);
            }
        }
        told
    }

    fn event(&mut self, t: u64, node: u64, words: &[&str]) -> Result<(), Box<Witness>> {
        let apply_view = |at: &str| {
            let (index, text) = at.split_once(':').expect("index:entry");
            let index = index.parse().expect("an index");
            ApplyView {
                index,
                entry: entry(index, text),
                proposal: 0,
                revision: 0,
                state: 0,
            }
        };
        let mut message = Message::default();
        let view = match *words {
            ["crash"] => {
                self.invariants.crashed(node);
                return Ok(());
            }
            ["start"] => {
                self.invariants.restarted(node);
                return Ok(());
            }
            ["apply", at] => View::Applied(apply_view(at)),
            ["install", at] => View::Installed(apply_view(at)),
            ["open", at] => View::Opened(apply_view(at)),
            ["grants", to, term] => {
                message.set_msg_type(MessageType::MsgRequestVoteResponse);
                message.to = number(to, "n").expect("a node");
                message.term = number(term, "T").expect("a term");
                return self.invariants.sent(t, node, &message);
            }
            ["rejects", term] => {
                message.set_msg_type(MessageType::MsgRequestVoteResponse);
                message.reject = true;
                message.term = number(term, "T").expect("a term");
                return self.invariants.sent(t, node, &message);
            }
            ["campaigns", term] => {
                message.set_msg_type(MessageType::MsgRequestVote);
                message.term = number(term, "T").expect("a term");
                return self.invariants.sent(t, node, &message);
            }
            ["acks", term, ref index @ ..] => {
                message.set_msg_type(MessageType::MsgAppendResponse);
                message.term = number(term, "T").expect("a term");
                let index = index.first().map(|index| index.parse());
                message.index = index.transpose().expect("an index").unwrap_or(0);
                return self.invariants.sent(t, node, &message);
            }
            ["tells", commit] => {
                message.set_msg_type(MessageType::MsgHeartbeat);
                message.commit = number(commit, "commit=").expect("an index");
                return self.invariants.sent(t, node, &message);
            }
            [role, ref rest @ ..] => View::Raft(self.raft_view(node, role, rest)),
            [] => panic!("an empty event"),
        };
        self.invariants.observe(t, node, &view)
    }

    fn raft_view(&mut self, node: u64, role: &str, words: &[&str]) -> RaftView {
        let (role, term) = role.split_at(1);
        let mut view = RaftView {
            term: term.parse().expect("a term"),
            vote: 0,
            role: match role {
                "L" => Role::Leader,
                "C" => Role::Candidate,
                _ => Role::Follower,
            },
            leader: 0,
            commit: 0,
            first_index: *self.first_index.entry(node).or_insert(1),
            last_index: *self.last_index.entry(node).or_insert(0),
            log: None,
            members: None,
        };
        for word in words {
            if let Some(vote) = number(word, "vote=") {
                view.vote = vote;
            } else if let Some(commit) = number(word, "commit=") {
                view.commit = commit;
            } else if let Some(first) = number(word, "first=") {
                view.first_index = first;
            } else if let Some(last) = number(word, "last=") {
                view.last_index = last;
            } else if let Some(start) = word.strip_prefix('@') {
                let (from, rest) = start.split_once(':').expect("@index:");
                let from = from.parse().expect("an index");
                let entries = Vec::from_iter((!rest.is_empty()).then(|| entry(from, rest)));
                view.last_index = from + entries.len() as u64 - 1;
                view.log = Some(Arc::new(LogChange {
                    from,
                    entries,
                    conf_changes: Vec::from_iter(changes_members(rest).then_some(from)),
                }));
            } else if let Some(members) = word.strip_prefix("members=") {
                let ids = members.split(',').map(|id| id.parse().expect("an id"));
                view.members = Some(Arc::new(MembersView::first(ids)));
            } else {
                let change = view.log.as_mut().expect("entries follow an @index");
                let change = Arc::make_mut(change);
                view.last_index += 1;
                if changes_members(word) {
                    change.conf_changes.push(view.last_index);
                }
                change.entries.push(entry(view.last_index, word));
            }
        }
        self.first_index.insert(node, view.first_index);
        self.last_index.insert(node, view.last_index);
        view
    }

    /// What was violated first, as check/class.
    fn first(&self) -> Option<String> {
        let witness = self.broken.first()?;
        let check = Invariant::of(witness).expect("a known guarantee").check();
        Some(format!("{check}/{}", witness.class))
    }
}

#[test]
fn stories_that_a_correct_raft_may_tell() {
    let stories = [
        ("one leader a term", "n1 L1 @1:1a; n2 L2 @1:2a"),
        (
            "changes of members, one after the other",
            "n1 L1 @1:1a; n1 L1 commit=1 @2:1B; n1 L1 commit=2; n1 L1 commit=2 @3:1C",
        ),
        (
            "a change that waits in a new leader's log, and one behind it",
            "n1 L1 @1:1a; n1 L1 commit=1 @2:1B; n1 L1 commit=2; n1 L1 commit=2 @3:1C; \
             n2 F1 commit=1 @1:1a 1B 1C; n2 L2 commit=1 @4:2d; n2 L2 commit=4; n2 L2 commit=4 @5:2E",
        ),
        ("a leader shows itself twice", "n1 L1 @1:1a; n1 L1 @2:1b"),
        (
            "a follower's tail is rewritten",
            "n1 F1 @1:1a 1b 1c; n1 F2 @2:2b",
        ),
        (
            "a leader that stepped down is rewritten",
            "n1 L1 @1:1a 1b; n1 F2; n1 F2 @2:2x",
        ),
        (
            "same logs",
            "n1 L2 @1:1a 1b 2c; n2 F2 @1:1a 1b; n2 F2 @3:2c",
        ),
        (
            "a conservative change repeats what is there",
            "n1 L1 @1:1a 1b; n1 L1 @1:1a 1b 1c",
        ),
        (
            "a compacted log continues",
            "n1 L1 @1:1a 1b 1c commit=2; n1 L1 commit=2 first=3; n1 L1 commit=3 @4:1d",
        ),
        (
            "a log restarts after a snapshot",
            "n1 L1 @1:1a; n2 F1 @1:1a; n2 F1 @9: first=9 commit=8; n2 F1 commit=9 @9:1i",
        ),
        (
            "a leader has all that was committed before",
            "n1 L1 @1:1a 1b commit=2; n2 F1 @1:1a 1b; n2 L2 vote=2 @3:2c",
        ),
        (
            "a leader without what was never committed",
            "n1 L1 @1:1a 1b commit=1; n2 F1 @1:1a; n2 L2 @2:2x",
        ),
        (
            "a leader elected late in an old term",
            "n1 F1 @1:1a commit=1; n2 F1 @1:1a; n2 L3 @2:3b; n2 L3 commit=2; n1 L2 commit=1",
        ),
        (
            "a compacted leader",
            "n1 L1 @1:1a 1b commit=2; n2 F1 @1:1a 1b commit=2; n2 F1 first=2 commit=2; n2 L2 commit=2 @3:2c",
        ),
        (
            "applied as committed",
            "n1 L1 @1:1a 1b commit=2; n1 open 0:0a; n1 apply 1:1a; n1 apply 2:1b; n2 open 1:1a; n2 install 2:1b",
        ),
        (
            "applied before the commit is shown",
            "n1 L1 @1:1a; n1 apply 1:1a; n1 L1 commit=1",
        ),
        (
            "applied again after a crash",
            "n1 L1 @1:1a commit=1; n1 apply 1:1a; n1 crash; n1 start; n1 open 0:0a; n1 apply 1:1a",
        ),
        (
            "a commit index forgotten in a crash",
            "n1 F2 @1:1a commit=1; n1 crash; n1 start; n1 F2 @1:1a commit=0",
        ),
        (
            "an unsynced tail lost in a crash",
            "n1 F1 @1:1a 1b; n1 crash; n1 start; n1 F1 @1:1a; n1 F2 @2:2b",
        ),
        (
            "a term forgotten before anybody knew",
            "n1 F1 @1:; n1 F5; n1 crash; n1 start; n1 F1 @1:",
        ),
        (
            "a term only rejected in is forgotten",
            "n1 F5 @1:; n1 rejects T5; n1 crash; n1 start; n1 F4 @1:",
        ),
        (
            "a vote forgotten before it was sent",
            "n1 F5 vote=2 @1:; n1 crash; n1 start; n1 F5 @1:; n1 F5 vote=3",
        ),
        (
            "a vote that was sent and kept",
            "n1 F5 vote=2 @1:; n1 grants n2 T5; n1 crash; n1 start; n1 F5 vote=2 @1:",
        ),
        (
            "a vote in the next term",
            "n1 F5 vote=2 @1:; n1 grants n2 T5; n1 F6 vote=3; n1 grants n3 T6",
        ),
        (
            "a vote granted twice to the same",
            "n1 F5 vote=2 @1:; n1 grants n2 T5; n1 grants n2 T5",
        ),
        (
            "a follower commits what the leader told",
            "n1 L1 @1:1a 1b; n1 tells commit=2; n2 F1 @1:1a 1b; n2 F1 commit=2",
        ),
        (
            "a leader commits before it tells",
            "n1 L1 @1:1a; n1 tells commit=0; n1 L1 commit=1",
        ),
    ];
    for (name, story) in stories {
        assert_eq!(Story::tell(story).first(), None, "{name}");
    }
}

#[test]
fn stories_that_no_correct_raft_tells() {
    let stories = [
        (
            "election_safety/two-leaders",
            "n1 L4 @1:4a; n3 F4 @1:; n3 L4",
        ),
        (
            "election_safety/two-leaders",
            "n1 L4 @1:4a; n1 crash; n1 start; n3 L4 @1:",
        ),
        (
            "elected_by_quorum/elected-by-too-few",
            "n1 C1 vote=1 @1: members=1,2,3,4; n1 campaigns T1; n2 grants n1 T1; n1 L1 @1:1a",
        ),
        (
            "elected_by_quorum/leads-without-a-vote",
            "n1 L1 @1:1a members=2,3",
        ),
        (
            "same_members/other-members",
            "n1 F1 @1:1a members=1,2,3; n2 F1 @1:1a members=1,2",
        ),
        (
            "one_change/second-change",
            "n1 L1 @1:1a; n1 L1 commit=1 @2:1B; n1 L1 commit=1 @3:1C",
        ),
        (
            "one_change/early-change",
            "n1 L1 @1:1a; n1 L1 commit=1; n2 F1 @1:1a commit=1; n2 L2 commit=1 @2:2b; \
             n2 L2 commit=1 @3:2C",
        ),
        (
            "leader_append_only/leader-rewrote-log",
            "n1 L4 @1:4a 4b; n1 L4 @2:4c",
        ),
        (
            "leader_append_only/leader-rewrote-log",
            "n1 L4 @1:4a 4b; n1 L4 @2:",
        ),
        (
            "leader_append_only/leader-rewrote-log",
            "n1 L4 @1:4a 4b; n1 L4 @7: first=7",
        ),
        (
            "log_matching/entry-differs",
            "n1 L1 @1:1a 1b; n2 F1 @1:1a 1x",
        ),
        (
            "log_matching/entry-differs",
            "n1 F1 @1:1a 1b; n1 F2 @2:2b; n1 F2 @2:1x",
        ),
        (
            "log_matching/predecessor-differs",
            "n1 F3 @1:1a 3b; n2 F3 @1:2a 3b",
        ),
        (
            "log_matching/predecessor-differs",
            "n1 F3 @2:2b 3c first=2; n2 F3 @1:1a 1b 3c",
        ),
        ("log_matching/terms-out-of-order", "n1 F3 @1:2a 1b"),
        ("log_matching/terms-out-of-order", "n1 F3 @1:4a"),
        ("log_matching/log-not-as-told", "n1 F1 @1:1a; n1 F1 last=3"),
        ("log_matching/log-not-as-told", "n1 F1 @1:1a; n1 F1 @4:1d"),
        (
            "log_matching/log-not-as-told",
            "n1 F1 @1:1a; n1 crash; n1 start; n1 F1",
        ),
        (
            "leader_completeness/leader-lacks-committed-entry",
            "n1 L1 @1:1a 1b commit=2; n2 F1 @1:1a; n2 L2",
        ),
        (
            "leader_completeness/leader-lacks-committed-entry",
            "n1 L1 @1:1a 1b commit=2; n2 F2 @1:1a 2x; n2 L3",
        ),
        (
            "leader_completeness/leader-lacks-committed-entry",
            "n1 F1 @9: first=9 commit=8; n2 F1 @1:1a; n2 L2",
        ),
        (
            "state_machine_safety/two-entries-committed",
            "n1 L1 @1:1a commit=1; n2 F2 @1:2x; n2 F2 commit=1",
        ),
        (
            "state_machine_safety/two-entries-committed",
            "n1 F1 @1:1a commit=1; n1 F2 @1:2x commit=1",
        ),
        (
            "state_machine_safety/two-entries-committed",
            "n1 L1 @1:1a commit=1; n1 crash; n1 start; n1 F2 @1:2x commit=1",
        ),
        (
            "state_machine_safety/two-entries-committed",
            "n1 L1 @1:1a commit=1; n2 apply 1:1x",
        ),
        (
            "state_machine_safety/two-entries-committed",
            "n1 L1 @1:1a commit=1; n2 install 1:2x",
        ),
        (
            "state_machine_safety/two-entries-committed",
            "n1 L1 @1:1a commit=1; n2 open 1:2x",
        ),
        (
            "state_machine_safety/two-entries-committed",
            "n2 apply 1:2x; n1 F2 @1:1a commit=1",
        ),
        (
            "state_machine_safety/applied-out-of-order",
            "n1 apply 1:1a; n1 apply 1:1a",
        ),
        (
            "state_machine_safety/applied-out-of-order",
            "n1 open 2:1b; n1 apply 1:1a",
        ),
        (
            "state_machine_safety/commit-beyond-log",
            "n1 F1 @1:1a commit=2",
        ),
        (
            "state_machine_safety/commit-beyond-leader",
            "n1 tells commit=1; n2 F1 @1:1a 1b; n2 F1 commit=2",
        ),
        ("monotonic_term/term-went-back", "n1 F5 @1:; n1 F4"),
        (
            "monotonic_term/term-forgotten",
            "n1 F5 @1:; n1 grants n2 T5; n1 crash; n1 start; n1 F4 @1:",
        ),
        (
            "monotonic_term/term-forgotten",
            "n1 F5 @1:; n1 acks T5; n1 crash; n1 start; n1 F4 @1:",
        ),
        (
            "monotonic_term/term-forgotten",
            "n1 L5 @1:; n1 start; n1 F4 @1:",
        ),
        (
            "monotonic_term/commit-went-back",
            "n1 F1 @1:1a commit=1; n1 F1 commit=0",
        ),
        ("vote_once/two-votes", "n1 F5 vote=2 @1:; n1 F5 vote=3"),
        ("vote_once/two-votes", "n1 F5 vote=2 @1:; n1 grants n3 T5"),
        (
            "vote_once/two-votes",
            "n1 F5 vote=2 @1:; n1 grants n2 T5; n1 crash; n1 start; n1 F5 @1:; n1 F5 vote=3",
        ),
        (
            "vote_once/two-votes",
            "n1 C5 vote=1 @1:; n1 campaigns T5; n1 start; n1 F5 @1:; n1 F5 vote=3",
        ),
        ("vote_once/two-votes", "n1 F5 vote=2 @1:; n1 L5 vote=2"),
        (
            "acks_kept/ack-forgotten",
            "n1 F1 @1:1a 1b; n1 acks T1 2; n1 crash; n1 start; n1 F1 @1:1a",
        ),
        (
            "acks_kept/ack-forgotten",
            "n1 F2 @1:1a 2b; n1 acks T2 2; n1 start; n1 F2 @1:1a 1x",
        ),
        (
            "acks_kept/ack-forgotten",
            "n1 F2 @1:1a 1b; n1 acks T2 2; n1 F2 @2:2x; n1 acks T2 2; n1 start; n1 F2 @1:1a",
        ),
    ];
    for (expected, story) in stories {
        let told = Story::tell(story);
        assert_eq!(
            told.first().as_deref(),
            Some(format!("raft.{expected}").as_str()),
            "{story}"
        );
        let witness = &told.broken[0];
        assert_eq!(witness.facts.len(), 2, "{story}");
        let failed = told.invariants.finish();
        let failed = failed.iter().filter_map(Check::fingerprint);
        assert!(
            failed
                .into_iter()
                .any(|f| f.0 == format!("raft.{expected}"))
        );
    }
}

#[test]
fn sentences() {
    let stories = [
        "n1 L4 @1:4a; n3 F4 @1:; n3 L4",
        "n1 L4 @1:4a 4b; n1 L4 @2:4c",
        "n1 L1 @1:1a 1b; n2 F1 @1:1a 1x",
        "n1 F3 @1:1a 3b; n2 F3 @1:2a 3b",
        "n1 F3 @1:2a 1b",
        "n1 F3 @1:4a",
        "n1 F1 @1:1a; n1 F1 last=3",
        "n1 F1 @1:1a; n1 F1 @4:1d",
        "n1 F1 @1:1a; n1 crash; n1 start; n1 F1",
        "n1 L1 @1:1a 1b commit=2; n2 F1 @1:1a; n2 L2",
        "n1 L1 @1:1a 1b commit=2; n2 F2 @1:1a 2x; n2 L3",
        "n1 L1 @1:1a commit=1; n2 F2 @1:2x; n2 F2 commit=1",
        "n1 L1 @1:1a commit=1; n2 apply 1:1x",
        "n1 L1 @1:1a commit=1; n2 open 1:2x",
        "n1 open 2:1b; n1 apply 1:1a",
        "n1 F1 @1:1a commit=2",
        "n1 tells commit=1; n2 F1 @1:1a 1b; n2 F1 commit=2",
        "n1 F5 @1:; n1 F4",
        "n1 F5 @1:; n1 grants n2 T5; n1 crash; n1 start; n1 F4 @1:",
        "n1 F1 @1:1a commit=1; n1 F1 commit=0",
        "n1 F5 vote=2 @1:; n1 grants n2 T5; n1 start; n1 F5 @1:; n1 F5 vote=3",
        "n1 F1 @1:1a 1b; n1 acks T1 2; n1 start; n1 F1 @1:1a",
        "n1 F2 @1:1a 2b; n1 acks T2 2; n1 start; n1 F2 @1:1a 1x",
    ];
    let told: Vec<String> = stories
        .iter()
        .map(|story| {
            let told = Story::tell(story);
            let witness = &told.broken[0];
            let facts = witness
                .facts
                .iter()
                .map(|f| format!("    {}: {}\n", f.subject, f.text));
            format!("{}\n{}", witness.sentence, facts.collect::<String>())
        })
        .collect();
    insta::assert_snapshot!(told.concat());
}

#[test]
fn acknowledged_entries_may_go_where_a_leader_replaced_them_or_a_snapshot_did() {
    let stories = [
        // Never acknowledged, acknowledged to a leader of the past, compacted.
        "n1 F1 @1:1a 1b; n1 acks T1 1; n1 start; n1 F1 @1:1a",
        "n1 F2 @1:1a 1b; n1 acks T1 2; n1 start; n1 F2 @1:1a",
        "n1 F1 @1:1a 1b; n1 acks T1 2; n1 F1 first=3; n1 start; n1 F1 first=3 @3:",
        // Replaced by the next leader, durably or not.
        "n1 F1 @1:1a 1b; n1 acks T1 2; n1 F2 @2:2x; n1 start; n1 F2 @1:1a 2x",
        "n1 F1 @1:1a 1b; n1 acks T1 2; n1 F2 @2:2x; n1 start; n1 F2 @1:1a 1b",
        "n1 F1 @1:1a 1b; n1 acks T1 2; n1 F2 @2:; n1 start; n1 F2 @1:1a",
        // A snapshot was installed, and nobody was told before the crash.
        "n1 F1 @1:1a 1b 1c; n1 acks T1 3; n1 start; n1 F2 first=3 last=2 @3:",
    ];
    for story in stories {
        let told = Story::tell(story);
        assert_eq!(told.first(), None, "{story}");
    }
}

#[test]
fn nothing_seen_is_not_a_pass() {
    for check in Invariants::new().finish() {
        assert!(
            matches!(check.verdict, Verdict::Unknown(Reason::TooLittle(_))),
            "{}",
            check.name
        );
    }
}

#[test]
fn a_whole_story_passes_every_check() {
    let story = "n1 C1 vote=1 @1: members=1,2,3; n1 campaigns T1; n2 F1 vote=1 @1:; n2 grants n1 T1; \
                 n1 L1 vote=1 @1:1a; n2 F1 vote=1 @1:1a; n2 acks T1 1; n1 L1 vote=1 @2:1b commit=1; \
                 n2 start; n2 F1 vote=1 @1:1a";
    for check in Story::tell(story).invariants.finish() {
        assert!(
            matches!(
                check.verdict,
                Verdict::Pass {
                    judged: 1..,
                    unknown: 0
                }
            ),
            "{check:?}"
        );
    }
}

#[test]
fn the_first_violation_of_an_invariant_is_told_once() {
    let told = Story::tell("n1 L4 @1:; n2 L4 @1:; n3 L4 @1:; n1 F3; n1 F2");
    let classes: Vec<&str> = told.broken.iter().map(|w| w.class.as_str()).collect();
    assert_eq!(classes, ["two-leaders", "term-went-back"]);
}

#[test]
fn a_long_run_of_three_members_passes() {
    let mut invariants = Invariants::new();
    let views = 30_000_u64;
    let mut view = RaftView {
        term: 1,
        vote: 1,
        role: Role::Follower,
        leader: 1,
        commit: 0,
        first_index: 1,
        last_index: 0,
        log: None,
        members: None,
    };
    for index in 1..=views {
        view.last_index = index;
        view.commit = index - 1;
        view.log = Some(Arc::new(LogChange {
            from: index,
            entries: vec![entry(index, "1a")],
            conf_changes: Vec::new(),
        }));
        for node in 1..=3 {
            view.role = if node == 1 {
                Role::Leader
            } else {
                Role::Follower
            };
            invariants
                .observe(index, node, &View::Raft(view.clone()))
                .unwrap();
        }
    }
    for check in invariants.finish() {
        if let Verdict::Fail(witness) = check.verdict {
            panic!("{}", witness.sentence);
        }
    }
}
