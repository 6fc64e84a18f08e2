//! Violations, told: who, where, when, and the two facts that contradict.

use super::canonical::{Mark, Source};
use super::entries::Mismatch;
use super::shadow::Shadow;
use super::{Acked, Invariant, Vote};
use squall_api::{EntryId, MembersView, RaftView};
use squall_record::{Fact, Witness, seconds};
use std::collections::BTreeSet;

/// What one view or message violates.
#[derive(Debug, Default)]
pub(super) struct Found(pub(super) Vec<(Invariant, Box<Witness>)>);

fn name(node: u64) -> String {
    format!("n{node}")
}

fn names(nodes: &BTreeSet<u64>) -> String {
    let names: Vec<String> = nodes.iter().map(|node| name(*node)).collect();
    names.join(" ")
}

fn configuration(members: &MembersView) -> String {
    let mut text = format!("voters {}", names(&members.voters));
    for (what, who) in [
        ("outgoing", &members.outgoing),
        ("learners", &members.learners),
    ] {
        if !who.is_empty() {
            text += &format!(", {what} {}", names(who));
        }
    }
    text
}

fn entry_text(entry: EntryId) -> String {
    format!(
        "an entry of term {} (digest {:016x})",
        entry.term, entry.digest
    )
}

impl Found {
    fn add(
        &mut self,
        invariant: Invariant,
        class: &str,
        source: Source,
        sentence: String,
        facts: [(String, String); 2],
    ) {
        let witness = Witness {
            guarantee: invariant.guarantee().into(),
            sentence,
            t: source.t,
            node: Some(source.node),
            ops: Vec::new(),
            facts: facts.map(|(subject, text)| Fact::new(subject, text)).into(),
            class: class.into(),
        };
        self.0.push((invariant, Box::new(witness)));
    }

    pub(super) fn two_leaders(&mut self, term: u64, first: Source, second: Source) {
        let since = |s: Source| {
            let text = format!("led term {term} from {}", seconds(s.t));
            (name(s.node), text)
        };
        self.add(
            Invariant::ElectionSafety,
            "two-leaders",
            second,
            format!(
                "n{} and n{} both led term {term}: n{} from {}, n{} from {}",
                first.node,
                second.node,
                first.node,
                seconds(first.t),
                second.node,
                seconds(second.t)
            ),
            [since(first), since(second)],
        );
    }

    pub(super) fn leads_without_a_vote(
        &mut self,
        source: Source,
        term: u64,
        members: &MembersView,
    ) {
        let Source { node, t } = source;
        let since = members.index;
        self.add(
            Invariant::ElectedByQuorum,
            "leads-without-a-vote",
            source,
            format!(
                "n{node} led term {term} at {}, and was no voter as of index {since}",
                seconds(t)
            ),
            [
                (name(node), format!("leads term {term}")),
                (
                    format!("members as of index {since}"),
                    format!("voters {}", names(&members.voters)),
                ),
            ],
        );
    }

    pub(super) fn elected_by_too_few(
        &mut self,
        source: Source,
        term: u64,
        voters: &BTreeSet<u64>,
        members: &MembersView,
    ) {
        let Source { node, t } = source;
        let by = match voters.is_empty() {
            true => "nobody else".to_owned(),
            false => names(voters),
        };
        let who = configuration(members);
        self.add(
            Invariant::ElectedByQuorum,
            "elected-by-too-few",
            source,
            format!(
                "n{node} led term {term} at {}, elected by itself and {by}: no quorum of {who}",
                seconds(t)
            ),
            [
                (name(node), format!("leads term {term}; voted for by {by}")),
                (format!("members as of index {}", members.index), who),
            ],
        );
    }

    pub(super) fn other_members(
        &mut self,
        source: Source,
        since: u64,
        members: &MembersView,
        first: Source,
        known: &MembersView,
    ) {
        let Source { node, t } = source;
        let (here, there) = (configuration(members), configuration(known));
        self.add(
            Invariant::SameMembers,
            "other-members",
            source,
            format!(
                "n{node} had {here} at {}, and n{} had {there} at {}, both as of the change at index {since}",
                seconds(t),
                first.node,
                seconds(first.t)
            ),
            [(name(node), here.clone()), (name(first.node), there.clone())],
        );
    }

    pub(super) fn second_change(&mut self, source: Source, term: u64, index: u64, last: u64) {
        let Source { node, t } = source;
        self.add(
            Invariant::OneChange,
            "second-change",
            source,
            format!(
                "n{node}, leader of term {term}, changed the members at index {index} at {}, when the change at index {last} was not committed",
                seconds(t)
            ),
            [
                (name(node), format!("leads term {term}, appended a change at index {index}")),
                (format!("log index {last}"), "an earlier change, committed nowhere".into()),
            ],
        );
    }

    pub(super) fn early_change(&mut self, source: Source, term: u64, index: u64, committed: u64) {
        let Source { node, t } = source;
        self.add(
            Invariant::OneChange,
            "early-change",
            source,
            format!(
                "n{node}, leader of term {term}, changed the members at index {index} at {}, when nothing of its term was committed",
                seconds(t)
            ),
            [
                (name(node), format!("leads term {term}, appended a change at index {index}")),
                (format!("log index {committed}"), "the last one committed, of an earlier term".into()),
            ],
        );
    }

    pub(super) fn leader_rewrote(&mut self, source: Source, term: u64, log: &Shadow, from: u64) {
        let Source { node, t } = source;
        self.add(
            Invariant::LeaderAppendOnly,
            "leader-rewrote-log",
            source,
            format!(
                "n{node}, leader of term {term}, rewrote its own log from index {from} on at {}, when it went to index {}",
                seconds(t),
                log.last()
            ),
            [
                (name(node), format!("led term {term}, its log went to index {}", log.last())),
                (name(node), format!("still led term {term}, its log was another from index {from} on")),
            ],
        );
    }

    pub(super) fn log_mismatch(
        &mut self,
        source: Source,
        index: u64,
        entry: EntryId,
        previous: Option<u64>,
        mismatch: Mismatch,
    ) {
        let Source { node, t } = source;
        let after = |term: Option<u64>| match term {
            Some(term) => format!("an entry of term {term}"),
            None => "an unknown entry".into(),
        };
        let (class, other, contradiction, there, here) = match mismatch {
            Mismatch::Content(other) => (
                "entry-differs",
                other,
                "have different contents".to_owned(),
                format!("has digest {:016x}", other.digest),
                format!("has digest {:016x}", entry.digest),
            ),
            Mismatch::Predecessor(other) => (
                "predecessor-differs",
                other,
                format!(
                    "follow {} on the first and {} on the second",
                    after(other.previous_term),
                    after(previous)
                ),
                format!("follows {}", after(other.previous_term)),
                format!("follows {}", after(previous)),
            ),
        };
        let term = entry.term;
        let subject = format!("log index {index}, term {term}");
        self.add(
            Invariant::LogMatching,
            class,
            source,
            format!(
                "the entries of term {term} at log index {index} on n{} ({}) and on n{node} ({}) {contradiction}",
                other.node,
                seconds(other.t),
                seconds(t)
            ),
            [
                (
                    subject.clone(),
                    format!("{there} on n{} at {}", other.node, seconds(other.t)),
                ),
                (subject, format!("{here} on n{node} at {}", seconds(t))),
            ],
        );
    }

    pub(super) fn term_out_of_order(
        &mut self,
        source: Source,
        current: u64,
        index: u64,
        term: u64,
        previous: Option<u64>,
    ) {
        let node = source.node;
        let (than, fact) = match previous {
            Some(previous) if previous > term => (
                format!("after one of term {previous}"),
                (
                    format!("log index {}", index - 1),
                    format!("an entry of term {previous} on n{node}"),
                ),
            ),
            _ => (
                format!("while it is only in term {current}"),
                (name(node), format!("in term {current}")),
            ),
        };
        self.add(
            Invariant::LogMatching,
            "terms-out-of-order",
            source,
            format!("n{node} has an entry of term {term} at log index {index}, {than}"),
            [
                fact,
                (
                    format!("log index {index}"),
                    format!("an entry of term {term} on n{node}"),
                ),
            ],
        );
    }

    pub(super) fn log_not_whole(&mut self, source: Source) {
        let node = source.node;
        self.not_as_told(
            source,
            format!("n{node} came up without showing its whole log"),
            "no log since it came up".into(),
            "a first view without the whole log".into(),
        );
    }

    pub(super) fn log_not_continued(&mut self, source: Source, log: &Shadow, from: u64) {
        let (node, last) = (source.node, log.last());
        self.not_as_told(
            source,
            format!("n{node} showed a log change from index {from} on, but its log went from index {} to {last} before", log.first()),
            format!("log index {} to {last}", log.first()),
            format!("a change from index {from} on"),
        );
    }

    pub(super) fn log_not_as_told(&mut self, source: Source, view: &RaftView, log: &Shadow) {
        let node = source.node;
        let (first, last) = (view.first_index, view.last_index);
        self.not_as_told(
            source,
            format!(
                "n{node} says that its log goes from index {first} to {last}, but its changes add up to {} to {}",
                log.first(),
                log.last()
            ),
            format!("log index {} to {} by its changes", log.first(), log.last()),
            format!("log index {first} to {last} by its own word"),
        );
    }

    fn not_as_told(&mut self, source: Source, sentence: String, before: String, now: String) {
        let subject = name(source.node);
        let facts = [(subject.clone(), before), (subject, now)];
        self.add(
            Invariant::LogMatching,
            "log-not-as-told",
            source,
            sentence,
            facts,
        );
    }

    #[expect(clippy::too_many_arguments, reason = "both sides of one contradiction")]
    pub(super) fn incomplete_leader(
        &mut self,
        source: Source,
        term: u64,
        has: Option<EntryId>,
        index: u64,
        committed: Option<(EntryId, Source)>,
        earlier: u64,
        mark: Mark,
    ) {
        let Source { node, t } = source;
        let holds = has.map_or("nothing".into(), |e| format!("an entry of term {}", e.term));
        let (by, what) = match committed {
            Some((entry, by)) if has.is_some_and(|h| h.term == entry.term) => {
                (by, format!("a different entry of term {}", entry.term))
            }
            Some((entry, by)) => (by, format!("an entry of term {}", entry.term)),
            None => (mark.source, "an entry".into()),
        };
        self.add(
            Invariant::LeaderCompleteness,
            "leader-lacks-committed-entry",
            source,
            format!(
                "n{node} became leader of term {term} at {} with {holds} at log index {index}, where n{} had committed {what} by {}",
                seconds(t), by.node, seconds(by.t)
            ),
            [
                (name(mark.source.node), format!("held everything up to log index {} committed, in term {earlier} at {}", mark.index, seconds(mark.source.t))),
                (name(node), format!("became leader of term {term} with {holds} at log index {index}")),
            ],
        );
    }

    pub(super) fn two_entries(
        &mut self,
        source: Source,
        verb: &str,
        index: u64,
        entry: EntryId,
        (known, by): (EntryId, Source),
    ) {
        let Source { node, t } = source;
        let other = if known.term == entry.term {
            format!("a different entry of term {}", known.term)
        } else {
            format!("an entry of term {}", known.term)
        };
        self.add(
            Invariant::StateMachineSafety,
            "two-entries-committed",
            source,
            format!(
                "n{node} {verb} an entry of term {} at log index {index} at {}, where n{} had committed {other} by {}",
                entry.term, seconds(t), by.node, seconds(by.t)
            ),
            [
                (name(by.node), format!("had {} committed at log index {index} by {}", entry_text(known), seconds(by.t))),
                (name(node), format!("{verb} {} at log index {index} at {}", entry_text(entry), seconds(t))),
            ],
        );
    }

    pub(super) fn applied_out_of_order(
        &mut self,
        source: Source,
        verb: &str,
        index: u64,
        before: u64,
        at: u64,
    ) {
        let Source { node, t } = source;
        self.add(
            Invariant::StateMachineSafety,
            "applied-out-of-order",
            source,
            format!(
                "n{node} {verb} log index {index} at {}, after it had come to index {before} at {}",
                seconds(t),
                seconds(at)
            ),
            [
                (
                    name(node),
                    format!("had applied up to log index {before} at {}", seconds(at)),
                ),
                (
                    name(node),
                    format!("{verb} log index {index} at {}", seconds(t)),
                ),
            ],
        );
    }

    pub(super) fn commit_beyond_log(&mut self, source: Source, commit: u64, last: u64) {
        let node = source.node;
        self.add(
            Invariant::StateMachineSafety,
            "commit-beyond-log",
            source,
            format!("n{node} holds log index {commit} committed, but its log ends at {last}"),
            [
                (name(node), format!("commit index {commit}")),
                (name(node), format!("last log index {last}")),
            ],
        );
    }

    pub(super) fn commit_beyond_leader(&mut self, source: Source, view: &RaftView, known: u64) {
        let node = source.node;
        self.add(
            Invariant::StateMachineSafety,
            "commit-beyond-leader",
            source,
            format!(
                "n{node}, a {} of term {}, holds log index {} committed, but no leader has told of a commit index above {known}",
                view.role.name(), view.term, view.commit
            ),
            [
                ("all members".into(), format!("highest commit index told: {known}")),
                (name(node), format!("commit index {} as a {}", view.commit, view.role.name())),
            ],
        );
    }

    pub(super) fn term_went_back(&mut self, source: Source, term: u64, before: u64, at: u64) {
        let Source { node, t } = source;
        self.add(
            Invariant::MonotonicTerm,
            "term-went-back",
            source,
            format!(
                "n{node} went back from term {before} ({}) to term {term} ({})",
                seconds(at),
                seconds(t)
            ),
            [
                (name(node), format!("in term {before} at {}", seconds(at))),
                (name(node), format!("in term {term} at {}", seconds(t))),
            ],
        );
    }

    pub(super) fn term_forgotten(&mut self, source: Source, term: u64, promised: u64, at: u64) {
        let Source { node, t } = source;
        self.add(
            Invariant::MonotonicTerm,
            "term-forgotten",
            source,
            format!(
                "n{node} acted in term {promised} by {}, but came back in term {term} at {}",
                seconds(at),
                seconds(t)
            ),
            [
                (
                    name(node),
                    format!(
                        "voted, led or acknowledged entries in term {promised} by {}",
                        seconds(at)
                    ),
                ),
                (
                    name(node),
                    format!("came back in term {term} at {}", seconds(t)),
                ),
            ],
        );
    }

    pub(super) fn commit_went_back(&mut self, source: Source, commit: u64, before: u64, at: u64) {
        let Source { node, t } = source;
        self.add(
            Invariant::MonotonicTerm,
            "commit-went-back",
            source,
            format!(
                "n{node}'s commit index went back from {before} ({}) to {commit} ({}) without a restart",
                seconds(at), seconds(t)
            ),
            [
                (name(node), format!("commit index {before} at {}", seconds(at))),
                (name(node), format!("commit index {commit} at {}", seconds(t))),
            ],
        );
    }

    pub(super) fn ack_forgotten(&mut self, source: Source, log: &Shadow, acked: Acked) {
        let Source { node, t } = source;
        let has = match log.get(acked.index) {
            Some(entry) => format!("has {} there", entry_text(entry)),
            None => format!("has a log from index {} to {}", log.first(), log.last()),
        };
        let what = acked.entry.map_or("a snapshot".to_owned(), entry_text);
        self.add(
            Invariant::AcksKept,
            "ack-forgotten",
            source,
            format!(
                "n{node} acknowledged index {} by {}, and came back without it at {}: it {has}",
                acked.index,
                seconds(acked.t),
                seconds(t)
            ),
            [
                (
                    name(node),
                    format!(
                        "acknowledged {what} at index {} by {}",
                        acked.index,
                        seconds(acked.t)
                    ),
                ),
                (
                    name(node),
                    format!("came back at {}, and {has}", seconds(t)),
                ),
            ],
        );
    }

    pub(super) fn two_votes(&mut self, node: u64, first: Vote, second: Vote) {
        let fact = |v: Vote| {
            let text = format!("voted for n{} in term {} by {}", v.to, v.term, seconds(v.t));
            (name(node), text)
        };
        self.add(
            Invariant::VoteOnce,
            "two-votes",
            Source { node, t: second.t },
            format!(
                "n{node} voted twice in term {}: for n{} by {} and for n{} at {}",
                first.term,
                first.to,
                seconds(first.t),
                second.to,
                seconds(second.t)
            ),
            [fact(first), fact(second)],
        );
    }
}
