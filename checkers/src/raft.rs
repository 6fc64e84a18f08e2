//! Raft's safety properties (Figure 3 of the paper), judged online from what
//! the members show of themselves.
//!
//! Everything is judged against the cluster's past, never against a model of
//! what a member should do next: whatever a correct Raft may do in memory
//! before a crash (take a term, cast a vote, append) and forget by it, passes.
//! What a member must remember is what it told others, which is why votes and
//! terms are also followed through the messages that [left](Invariants::sent).

mod canonical;
mod entries;
mod found;
mod members;
pub(crate) mod shadow;

use canonical::{Canonical, Source};
use entries::Entries;
use found::Found;
use members::{Configurations, Grants, judge_changes};
use shadow::Shadow;
use squall_api::eraftpb::{Message, MessageType};
use squall_api::{ApplyView, EntryId, LogChange, MembersView, RaftView, Role, View};
use squall_record::{Check, Reason, Verdict, Witness};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is checked, one [`Check`] each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// At most one leader per term.
    ElectionSafety,
    /// A leader never rewrites or removes entries of its log while it leads.
    LeaderAppendOnly,
    /// Entries with the same index and term are the same, and so is all before them.
    LogMatching,
    /// A leader's log holds everything that was committed in earlier terms.
    LeaderCompleteness,
    /// Only one entry is ever committed or applied at an index.
    StateMachineSafety,
    /// Terms and commit indexes never go back.
    MonotonicTerm,
    /// One vote per member and term, also over restarts.
    VoteOnce,
    /// What a member acknowledged is in its log, also over restarts.
    AcksKept,
    /// Whoever leads is a voter, and was elected by a quorum of the voters.
    ElectedByQuorum,
    /// Members that have applied the same changes have the same configuration,
    /// also over restarts and snapshots.
    SameMembers,
    /// A change of members follows when the one before is committed, and so is
    /// an entry of the leader's own term.
    OneChange,
}

impl Invariant {
    /// Every invariant, in the order in which they are reported.
    pub const ALL: [Invariant; 11] = [
        Invariant::ElectionSafety,
        Invariant::LeaderAppendOnly,
        Invariant::LogMatching,
        Invariant::LeaderCompleteness,
        Invariant::StateMachineSafety,
        Invariant::MonotonicTerm,
        Invariant::VoteOnce,
        Invariant::AcksKept,
        Invariant::ElectedByQuorum,
        Invariant::SameMembers,
        Invariant::OneChange,
    ];

    /// The check's name.
    pub const fn check(self) -> &'static str {
        match self {
            Invariant::ElectionSafety => "raft.election_safety",
            Invariant::LeaderAppendOnly => "raft.leader_append_only",
            Invariant::LogMatching => "raft.log_matching",
            Invariant::LeaderCompleteness => "raft.leader_completeness",
            Invariant::StateMachineSafety => "raft.state_machine_safety",
            Invariant::MonotonicTerm => "raft.monotonic_term",
            Invariant::VoteOnce => "raft.vote_once",
            Invariant::AcksKept => "raft.acks_kept",
            Invariant::ElectedByQuorum => "raft.elected_by_quorum",
            Invariant::SameMembers => "raft.same_members",
            Invariant::OneChange => "raft.one_change",
        }
    }

    /// The property, in a sentence.
    pub const fn guarantee(self) -> &'static str {
        match self {
            Invariant::ElectionSafety => "at most one leader is elected in a term",
            Invariant::LeaderAppendOnly => "a leader only appends to its log",
            Invariant::LogMatching => {
                "logs that have an entry with the same index and term are the same up to it"
            }
            Invariant::LeaderCompleteness => {
                "a leader's log holds every entry that was committed in an earlier term"
            }
            Invariant::StateMachineSafety => {
                "all members commit and apply the same entry at an index"
            }
            Invariant::MonotonicTerm => {
                "a member's term never goes back, nor its commit index while it runs"
            }
            Invariant::VoteOnce => "a member votes at most once in a term, also over restarts",
            Invariant::AcksKept => {
                "a member that acknowledged an entry has it in its log, also over restarts"
            }
            Invariant::ElectedByQuorum => {
                "a leader is a voter, and was elected by a quorum of the voters"
            }
            Invariant::SameMembers => {
                "members that have applied the same changes of members have the same configuration"
            }
            Invariant::OneChange => {
                "a leader changes the members when the last change and an entry of its term are committed"
            }
        }
    }

    /// The invariant of a check's name.
    pub fn from_check(name: &str) -> Option<Invariant> {
        Invariant::ALL.into_iter().find(|i| i.check() == name)
    }

    /// The invariant that a witness of this module is about.
    pub fn of(witness: &Witness) -> Option<Invariant> {
        Invariant::ALL
            .into_iter()
            .find(|i| i.guarantee() == witness.guarantee)
    }

    const fn nothing(self) -> &'static str {
        match self {
            Invariant::ElectionSafety
            | Invariant::LeaderCompleteness
            | Invariant::ElectedByQuorum
            | Invariant::SameMembers => "no leader was elected",
            Invariant::LeaderAppendOnly | Invariant::OneChange => "no leader's log changed",
            Invariant::LogMatching => "no log had an entry",
            Invariant::StateMachineSafety => "nothing was committed",
            Invariant::MonotonicTerm => "no member showed its state",
            Invariant::VoteOnce => "nobody voted",
            Invariant::AcksKept => "nobody acknowledged an entry",
        }
    }
}

/// Judges Raft's safety properties while a run goes on.
///
/// Feed it every view and every peer message of every node at the true time at
/// which it is released, and every start and end of a process. The first
/// violation of each invariant is returned where it happens and again by
/// [`finish`](Invariants::finish); later ones of the same invariant are mostly
/// its consequences and are not told.
///
/// Costs O(changes) a view, and O(log) an election and a restart.
#[derive(Debug, Default)]
pub struct Invariants {
    nodes: BTreeMap<u64, Node>,
    leaders: BTreeMap<u64, Source>,
    entries: Entries,
    canonical: Canonical,
    grants: Grants,
    configurations: Configurations,
    /// The configuration of members that do not tell theirs.
    first: Option<Arc<MembersView>>,
    /// The highest commit index that any message carried; `None` as long as
    /// messages are not fed.
    announced: Option<u64>,
    judged: [u64; Invariant::ALL.len()],
    broken: [Option<Box<Witness>>; Invariant::ALL.len()],
}

#[derive(Debug, Default)]
struct Node {
    /// The last view of this incarnation.
    seen: Option<Seen>,
    log: Option<Shadow>,
    /// The last index applied in this incarnation.
    applied: Option<(u64, u64)>,
    /// The vote of this incarnation, in memory only until it is a promise.
    vote: Option<Vote>,
    /// What the member told others, and so must remember for ever.
    promised_vote: Option<Vote>,
    promised_term: Option<(u64, u64)>,
    acked: Option<Acked>,
    /// The first index of the log as it was last seen, in any incarnation.
    first_index: u64,
    /// The configuration of this incarnation, if it told.
    members: Option<Arc<MembersView>>,
    /// Where in the log it is changed.
    conf_changes: BTreeSet<u64>,
}

/// The last entry that a member acknowledged and has not replaced since.
#[derive(Debug, Clone, Copy)]
struct Acked {
    index: u64,
    /// Unknown if it came in a snapshot.
    entry: Option<EntryId>,
    t: u64,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    t: u64,
    term: u64,
    role: Role,
    commit: u64,
}

#[derive(Debug, Clone, Copy)]
struct Vote {
    term: u64,
    to: u64,
    t: u64,
}

impl Node {
    fn new_incarnation(&mut self) {
        self.seen = None;
        self.log = None;
        self.applied = None;
        self.members = None;
        self.conf_changes.clear();
        self.vote = self.promised_vote;
    }

    /// Others count on the log up to `index` from now on. An answer to a leader
    /// of the past promises nothing: the log may be another's by now.
    fn promise_log(&mut self, t: u64, term: u64, index: u64) {
        let current = self.seen.is_some_and(|seen| seen.term == term);
        if current && index > 0 && self.acked.is_none_or(|known| known.index < index) {
            let entry = self.log.as_ref().and_then(|log| log.get(index));
            self.acked = Some(Acked { index, entry, t });
        }
    }

    /// The log is another one from `from` on: who acknowledged entries there
    /// was told to replace them.
    fn replaced(&mut self, from: u64) {
        if let Some(acked) = &mut self.acked
            && from <= acked.index
        {
            acked.index = from - 1;
            acked.entry = self.log.as_ref().and_then(|log| log.get(from - 1));
        }
    }

    fn promise_term(&mut self, t: u64, term: u64) {
        if self.promised_term.is_none_or(|(known, _)| known < term) {
            self.promised_term = Some((term, t));
        }
    }
}

impl Invariants {
    /// Nothing seen yet.
    pub fn new() -> Invariants {
        Invariants::default()
    }

    /// A cluster of these `first` members, all of whose messages are fed.
    pub fn of(first: MembersView) -> Invariants {
        Invariants {
            first: Some(Arc::new(first)),
            ..Invariants::default()
        }
    }

    /// `node` shows `view` at true time `t`.
    pub fn observe(&mut self, t: u64, node: u64, view: &View) -> Result<(), Box<Witness>> {
        let mut found = Found::default();
        match view {
            View::Raft(view) => self.raft(t, node, view, &mut found),
            View::Applied(view) => self.applied(t, node, view, "applied", &mut found),
            View::Installed(view) => self.applied(t, node, view, "installed", &mut found),
            View::Opened(view) => self.applied(t, node, view, "opened with", &mut found),
            View::Proposed { .. }
            | View::LeaseEnded { .. }
            | View::Versions(_)
            | View::Gated { .. } => {}
        }
        self.keep(found)
    }

    /// `node` sends `message` at true time `t`: from now on it must remember
    /// the vote and the term that the message promises.
    pub fn sent(&mut self, t: u64, node: u64, message: &Message) -> Result<(), Box<Witness>> {
        let mut found = Found::default();
        let announced = message
            .commit
            .max(message.get_snapshot().get_metadata().index);
        self.announced = Some(self.announced.unwrap_or(0).max(announced));
        let vote = match message.get_msg_type() {
            MessageType::MsgRequestVote => Some(node),
            MessageType::MsgRequestVoteResponse if !message.reject => Some(message.to),
            MessageType::MsgAppendResponse if !message.reject => None,
            _ => return Ok(()),
        };
        let member = self.nodes.entry(node).or_default();
        member.promise_term(t, message.term);
        if vote.is_none() {
            self.judged[Invariant::AcksKept as usize] += 1;
            member.promise_log(t, message.term, message.index);
        }
        if let Some(to) = vote {
            self.judged[Invariant::VoteOnce as usize] += 1;
            let term = message.term;
            self.grants.add(term, to, node);
            cast(member, node, Vote { term, to, t }, true, &mut found);
        }
        self.keep(found)
    }

    /// `node`'s process was killed: what it had in memory is gone, and its log
    /// is unknown until it shows the whole of it again.
    pub fn crashed(&mut self, node: u64) {
        self.nodes.entry(node).or_default().new_incarnation();
    }

    /// `node`'s process starts, after a crash or a clean stop.
    pub fn restarted(&mut self, node: u64) {
        self.nodes.entry(node).or_default().new_incarnation();
    }

    /// One check per invariant, with how many views it judged.
    pub fn finish(self) -> Vec<Check> {
        let verdicts = self.judged.into_iter().zip(self.broken);
        Invariant::ALL
            .into_iter()
            .zip(verdicts)
            .map(|(invariant, (judged, broken))| Check {
                name: invariant.check().into(),
                verdict: match broken {
                    Some(witness) => Verdict::Fail(witness),
                    None if judged == 0 => {
                        Verdict::Unknown(Reason::TooLittle(invariant.nothing().into()))
                    }
                    None => Verdict::Pass { judged, unknown: 0 },
                },
            })
            .collect()
    }

    fn keep(&mut self, found: Found) -> Result<(), Box<Witness>> {
        let mut first = None;
        for (invariant, witness) in found.0 {
            let slot = &mut self.broken[invariant as usize];
            if slot.is_none() {
                *slot = Some(witness.clone());
                first.get_or_insert(witness);
            }
        }
        first.map_or(Ok(()), Err)
    }

    fn raft(&mut self, t: u64, node: u64, view: &RaftView, found: &mut Found) {
        let source = Source { node, t };
        let member = self.nodes.entry(node).or_default();
        let before = member.seen.replace(Seen {
            t,
            term: view.term,
            role: view.role,
            commit: view.commit,
        });
        let leads = view.role == Role::Leader;
        let led = before.is_some_and(|b| b.role == Role::Leader && b.term == view.term);

        self.judged[Invariant::MonotonicTerm as usize] += 1;
        never_back(source, member, before, view, found);

        let mut vote = Vote {
            term: view.term,
            to: view.vote,
            t,
        };
        if view.vote != 0 {
            self.judged[Invariant::VoteOnce as usize] += 1;
            cast(member, node, vote, false, found);
        }
        if leads && !led {
            // It counted its own vote, which it may do only once that is durable.
            member.promise_term(t, view.term);
            vote.to = node;
            cast(member, node, vote, true, found);
        }

        if let Some(members) = &view.members {
            member.members = Some(members.clone());
            self.configurations.judge(source, members, found);
        }
        if leads && let Some(members) = member.members.as_ref().or(self.first.as_ref()) {
            self.judged[Invariant::ElectedByQuorum as usize] += 1;
            // A leader's has come to be known whoever shows one.
            self.judged[Invariant::SameMembers as usize] += 1;
            if !members.is_voter(node) {
                found.leads_without_a_vote(source, view.term, members);
            } else if !led {
                self.grants.judge(source, view.term, members, found);
            }
        }

        let changed_from = match &view.log {
            Some(change) => {
                self.judged[Invariant::LogMatching as usize] += 1;
                self.judged[Invariant::LeaderAppendOnly as usize] += u64::from(led);
                change_log(source, view, change, led, member, &mut self.entries, found)
            }
            None => {
                if before.is_none() && view.last_index + 1 == view.first_index {
                    member.log = Some(Shadow::new(view.first_index, &[]));
                }
                u64::MAX
            }
        };
        if before.is_none() && member.log.is_none() {
            found.log_not_whole(source);
        }
        let Some(log) = &mut member.log else {
            return;
        };
        log.compact(view.first_index);
        if (log.first(), log.last()) != (view.first_index, view.last_index) {
            found.log_not_as_told(source, view, log);
            member.log = None;
            return;
        }
        if before.is_some() {
            member.replaced(changed_from);
        } else if let Some(acked) = member.acked
            && !keeps(log, acked, member.first_index)
        {
            found.ack_forgotten(source, log, acked);
        }
        member.first_index = view.first_index;
        let Some(log) = &member.log else { return };
        if let Some(change) = &view.log {
            member.conf_changes.split_off(&change.from);
            member.conf_changes.extend(&change.conf_changes);
            if leads {
                self.judged[Invariant::OneChange as usize] += 1;
                let committed = view.commit.max(self.canonical.end());
                judge_changes(source, view, log, &member.conf_changes, committed, found);
            }
        }

        // What was committed before and has not changed since was compared before.
        let unjudged = changed_from.min(before.map_or(0, |b| b.commit) + 1);
        if view.commit > log.last() {
            found.commit_beyond_log(source, view.commit, log.last());
        }
        if unjudged <= view.commit {
            self.judged[Invariant::StateMachineSafety as usize] += 1;
            let known = self.announced.map(|a| a.max(self.canonical.end()));
            if let (Some(before), Some(known)) = (before, known)
                && !leads
                && !led
                && view.commit > before.commit.max(known)
            {
                found.commit_beyond_leader(source, view, known);
            }
            for (index, entry) in log.from(unjudged).take_while(|(i, _)| *i <= view.commit) {
                if let Err(known) = self.canonical.learn(source, index, entry) {
                    found.two_entries(source, "committed", index, entry, known);
                }
            }
            if unjudged <= view.commit {
                let committed = member.conf_changes.range(unjudged..=view.commit);
                self.configurations.changed_at(committed.copied());
            }
            self.canonical.reached(source, view.term, view.commit);
        }

        if leads && !led {
            self.judged[Invariant::ElectionSafety as usize] += 1;
            let first = *self.leaders.entry(view.term).or_insert(source);
            if first.node != node {
                found.two_leaders(view.term, first, source);
            }
            self.judged[Invariant::LeaderCompleteness as usize] += 1;
            complete(source, view.term, log, &self.canonical, found);
        }
    }

    fn applied(&mut self, t: u64, node: u64, view: &ApplyView, verb: &str, found: &mut Found) {
        let source = Source { node, t };
        let member = self.nodes.entry(node).or_default();
        if let Some((index, at)) = member.applied.replace((view.index, t))
            && view.index <= index
        {
            found.applied_out_of_order(source, verb, view.index, index, at);
        }
        // Index 0 is the empty state at birth: there is no entry behind it.
        if view.index == 0 {
            return;
        }
        self.judged[Invariant::StateMachineSafety as usize] += 1;
        if let Err(known) = self.canonical.learn(source, view.index, view.entry) {
            found.two_entries(source, verb, view.index, view.entry, known);
        }
    }
}

/// Term and commit index, against this incarnation and against promises.
fn never_back(
    source: Source,
    member: &Node,
    before: Option<Seen>,
    view: &RaftView,
    found: &mut Found,
) {
    match (before, member.promised_term) {
        (Some(before), _) if view.term < before.term => {
            found.term_went_back(source, view.term, before.term, before.t);
        }
        (_, Some((term, t))) if view.term < term => {
            found.term_forgotten(source, view.term, term, t);
        }
        _ => {}
    }
    if let Some(before) = before
        && view.commit < before.commit
    {
        found.commit_went_back(source, view.commit, before.commit, before.t);
    }
}

/// Counts a vote; with `promise`, the member may not forget it in a crash.
fn cast(member: &mut Node, node: u64, vote: Vote, promise: bool, found: &mut Found) {
    match member.vote {
        Some(known) if known.term == vote.term && known.to != vote.to => {
            found.two_votes(node, known, vote);
        }
        Some(known) if known.term >= vote.term => {}
        _ => member.vote = Some(vote),
    }
    if promise && member.promised_vote.is_none_or(|v| v.term < vote.term) {
        member.promised_vote = Some(vote);
    }
}

/// Takes a change into the member's log and judges what is new in it. Returns
/// the index of the first entry that is not as it was.
fn change_log(
    source: Source,
    view: &RaftView,
    change: &LogChange,
    led: bool,
    member: &mut Node,
    entries: &mut Entries,
    found: &mut Found,
) -> u64 {
    let changed_from = match &mut member.log {
        Some(log) if log.takes(change) => {
            let changed_from = log.first_difference(change);
            if led && changed_from <= log.last() {
                found.leader_rewrote(source, view.term, log, changed_from);
            }
            log.apply(change);
            changed_from
        }
        // A whole log: the first view after opening, or after a snapshot.
        log if change.from <= view.first_index => {
            if let Some(log) = log
                && led
            {
                found.leader_rewrote(source, view.term, log, log.first());
            }
            *log = Some(Shadow::new(change.from, &change.entries));
            change.from
        }
        // Before its whole log is known, a delta says nothing.
        None => return change.from,
        Some(log) => {
            found.log_not_continued(source, log, change.from);
            member.log = None;
            return change.from;
        }
    };
    let log = member.log.as_ref().expect("was just set");
    let mut previous = match changed_from {
        1 => Some(0),
        _ => log.get(changed_from - 1).map(|e| e.term),
    };
    for (index, entry) in log.from(changed_from) {
        if let Err(mismatch) = entries.see(source.t, source.node, index, entry, previous) {
            found.log_mismatch(source, index, entry, previous, mismatch);
        }
        if previous.is_some_and(|term| term > entry.term) || entry.term > view.term {
            found.term_out_of_order(source, view.term, index, entry.term, previous);
        }
        previous = Some(entry.term);
    }
    changed_from
}

/// Whether the log that a member came back with has what it acknowledged.
/// `first_index` is where its log began before.
fn keeps(log: &Shadow, acked: Acked, first_index: u64) -> bool {
    let compacted = log.first() > acked.index;
    // It died between installing a snapshot that another leader sent it, and
    // telling anybody: the log restarts there.
    let restarted = log.last() < log.first() && log.last() >= first_index;
    let there = match acked.entry {
        Some(entry) => log.get(acked.index) == Some(entry),
        None => log.last() >= acked.index,
    };
    compacted || restarted || there
}

/// Compares a new leader's log with all that earlier terms committed.
fn complete(source: Source, term: u64, log: &Shadow, canonical: &Canonical, found: &mut Found) {
    let Some((earlier, mark)) = canonical.owed_by_leader_of(term) else {
        return;
    };
    let missing = canonical
        .range(log.first(), mark.index)
        .find(|(index, entry)| log.get(*index) != Some(*entry))
        .map(|(index, entry)| (index, Some((entry, canonical.source(index)))))
        .or_else(|| (log.last() < mark.index).then(|| (log.last() + 1, None)));
    if let Some((index, committed)) = missing {
        found.incomplete_leader(
            source,
            term,
            log.get(index),
            index,
            committed,
            earlier,
            mark,
        );
    }
}

#[cfg(test)]
mod tests;
