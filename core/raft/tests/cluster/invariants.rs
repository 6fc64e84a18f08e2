//! Raft's promises, judged from outside (Figure 3 of the paper).

use bytes::Bytes;
use raft_proto::eraftpb::{Message, MessageType};
use squall_api::Role;
use squall_raft::Raft;
use std::collections::BTreeMap;

/// Entries by index, as (term, data).
pub(crate) type Entries = BTreeMap<u64, (u64, Bytes)>;

/// What is known, and which promises were broken.
#[derive(Default)]
pub(crate) struct Invariants {
    pub(crate) broken: Vec<String>,
    leaders: BTreeMap<u64, u64>,
    votes: BTreeMap<(u64, u64), u64>,
    /// (index, term) -> (the term before, data): by induction, an entry decides
    /// all entries before it.
    entries: BTreeMap<(u64, u64), (Option<u64>, Bytes)>,
    /// What was committed, and in which term that was first seen.
    committed: BTreeMap<u64, (u64, u64)>,
    applied: Entries,
    seen: BTreeMap<u64, Seen>,
    /// (node, ctx) -> the highest index known to be committed when it was asked.
    reads: BTreeMap<(u64, u64), u64>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    term: u64,
    commit: u64,
}

impl Invariants {
    /// Panics with what was broken, if anything was.
    pub(crate) fn assert_kept(&self) {
        assert!(self.broken.is_empty(), "broken: {:#?}", self.broken);
    }

    /// Whether a promise of that name was broken.
    pub(crate) fn has_broken(&self, promise: &str) -> bool {
        self.broken.iter().any(|b| b.starts_with(promise))
    }

    /// A message left.
    pub(crate) fn sent(&mut self, msg: &Message) {
        if msg.msg_type != MessageType::MsgRequestVoteResponse || msg.reject {
            return;
        }
        let first = *self.votes.entry((msg.term, msg.from)).or_insert(msg.to);
        if first != msg.to {
            self.broken.push(format!(
                "one vote a term: n{} voted for n{first} and n{} in term {}",
                msg.from, msg.to, msg.term
            ));
        }
    }

    /// A node restarts: what it had seen may be gone, what it did not.
    pub(crate) fn crashed(&mut self, id: u64) {
        self.seen.remove(&id);
        self.reads.retain(|(node, _), _| *node != id);
    }

    /// A node did something.
    pub(crate) fn observe(&mut self, raft: &Raft, state: &Entries, changed_from: Option<u64>) {
        self.monotone(raft);
        if let Some(from) = changed_from {
            self.log_matching(raft, from);
        }
        self.state_machine_safety(raft, state);
        self.election(raft);
    }

    /// A read was asked.
    pub(crate) fn read_asked(&mut self, id: u64, ctx: u64) {
        let committed = self.committed.keys().next_back().copied().unwrap_or(0);
        self.reads.insert((id, ctx), committed);
    }

    /// A read may be served at `index`.
    pub(crate) fn read_confirmed(&mut self, id: u64, ctx: u64, index: u64) {
        match self.reads.remove(&(id, ctx)) {
            Some(committed) if committed > index => self.broken.push(format!(
                "fresh reads: r{ctx} at n{id} is served at {index}, but {committed} was \
                 committed before it was asked"
            )),
            Some(_) => {}
            None => self
                .broken
                .push(format!("fresh reads: r{ctx} at n{id} was not waiting")),
        }
    }

    /// A read was refused: nothing may come of it any more.
    pub(crate) fn read_refused(&mut self, id: u64, ctx: u64) {
        if self.reads.remove(&(id, ctx)).is_none() {
            self.broken.push(format!(
                "fresh reads: r{ctx} at n{id} is refused, but was not waiting"
            ));
        }
    }

    fn monotone(&mut self, raft: &Raft) {
        let seen = self.seen.entry(raft.id()).or_default();
        if raft.term() < seen.term || raft.commit() < seen.commit {
            self.broken.push(format!(
                "monotone: n{} went from term {} and commit {} to {} and {}",
                raft.id(),
                seen.term,
                seen.commit,
                raft.term(),
                raft.commit()
            ));
        }
        *seen = Seen {
            term: raft.term(),
            commit: raft.commit(),
        };
        if raft.commit() > raft.last_index() {
            self.broken.push(format!(
                "monotone: n{} commits {} of a log that ends at {}",
                raft.id(),
                raft.commit(),
                raft.last_index()
            ));
        }
    }

    fn log_matching(&mut self, raft: &Raft, from: u64) {
        for entry in raft.entries_from(from) {
            let before = raft.term_at(entry.index - 1);
            let this = (before, entry.data.clone());
            let key = (entry.index, entry.term);
            let known = self.entries.entry(key).or_insert_with(|| this.clone());
            if *known != this {
                self.broken.push(format!(
                    "log matching: n{} has entry {} of term {} as {this:?}, others as {known:?}",
                    raft.id(),
                    entry.index,
                    entry.term
                ));
            }
        }
    }

    fn state_machine_safety(&mut self, raft: &Raft, state: &Entries) {
        let first = raft.first_index();
        let known = self.seen_committed(raft);
        for index in first.max(known)..=raft.commit() {
            let Some(term) = raft.term_at(index) else {
                continue;
            };
            let entry = (term, raft.term());
            let known = *self.committed.entry(index).or_insert(entry);
            if known.0 != term {
                self.broken.push(format!(
                    "state machine safety: n{} commits {index} of term {term}, but that of term \
                     {} was committed there",
                    raft.id(),
                    known.0
                ));
            }
        }
        let compare_from = state.keys().next_back().map_or(0, |l| l.saturating_sub(20));
        for (index, entry) in state.range(compare_from..) {
            let known = self.applied.entry(*index).or_insert_with(|| entry.clone());
            if known != entry {
                self.broken.push(format!(
                    "state machine safety: n{} applied {entry:?} at {index}, another node {known:?}",
                    raft.id()
                ));
            }
        }
    }

    /// Committed entries are compared again from a little below the newest on:
    /// the older ones were, and do not change (log matching).
    fn seen_committed(&self, raft: &Raft) -> u64 {
        raft.commit().saturating_sub(20)
    }

    fn election(&mut self, raft: &Raft) {
        if raft.role() != Role::Leader {
            return;
        }
        let is_news = !self.leaders.contains_key(&raft.term());
        let first = *self.leaders.entry(raft.term()).or_insert(raft.id());
        if first != raft.id() {
            self.broken.push(format!(
                "election safety: n{first} and n{} lead in term {}",
                raft.id(),
                raft.term()
            ));
        }
        if !is_news {
            return;
        }
        for (index, (term, committed_in)) in &self.committed {
            let has = *index < raft.base().index || raft.term_at(*index) == Some(*term);
            if *committed_in < raft.term() && !has {
                self.broken.push(format!(
                    "leader completeness: n{} leads in term {} without entry {index} of term \
                     {term}, committed in term {committed_in}",
                    raft.id(),
                    raft.term()
                ));
            }
        }
    }
}
