//! Replication, the follower's side (section 5.3 of the paper).

use crate::message::message;
use crate::{Raft, marks};
use raft_proto::eraftpb::{Entry, Message, MessageType};
use squall_api::Bug;

impl Raft {
    /// Takes over the entries of the leader of the current term.
    pub(crate) fn handle_append(&mut self, mut msg: Message) {
        if self.installing.is_some() {
            return;
        }
        if self.configuration().voters.incoming.is_empty() {
            return self.ask_for_first_snapshot(msg.from, msg.commit);
        }
        if self.contradicts_committed(&msg) {
            return self.mark(marks::IGNORED_CONFLICT_BELOW_COMMIT);
        }
        if msg.index < self.commit {
            // An old append: all that it could say about committed entries is
            // known. The leader goes on from there.
            return self.ack_append(msg.from, self.commit);
        }
        let follows = self.log.matches(msg.index, msg.log_term)
            || (self.settings.bugs.has(Bug::IgnorePrevTerm) && msg.index <= self.log.last_index());
        if !follows {
            return self.reject_append(&msg);
        }
        if self.settings.bugs.has(Bug::RestampEntries) {
            msg.entries
                .iter_mut()
                .for_each(|entry| entry.term = msg.term);
        }
        let last_new = msg.index + msg.entries.len() as u64;
        let bugs = self.settings.bugs;
        let is_known = |entry: &&Entry| {
            let in_log = self.log.matches(entry.index, entry.term)
                || (bugs.has(Bug::KeepConflict) && entry.index <= self.log.last_index());
            in_log && !bugs.has(Bug::TruncateOnAppend)
        };
        let known = msg.entries.iter().take_while(is_known).count();
        if let Some(first_new) = msg.entries.get(known) {
            if first_new.index <= self.log.last_index() {
                self.mark(marks::TRUNCATED_CONFLICT);
                self.durability.overwritten_from(first_new.index);
            }
            let kept = match bugs.has(Bug::KeepTail) {
                true => self.tail_after(last_new, msg.term),
                false => Vec::new(),
            };
            let new = msg.entries.into_iter().skip(known);
            self.log.overwrite(new.chain(kept));
        }
        self.learn_commit(msg.commit.min(last_new));
        self.ack_append(msg.from, last_new);
    }

    /// A planted bug: what follows the entries that are replaced, as if it were the
    /// leader's.
    fn tail_after(&self, last_new: u64, term: u64) -> Vec<Entry> {
        let tail = self.log.entries_from(last_new + 1).cloned();
        tail.map(|entry| Entry { term, ..entry }).collect()
    }

    /// The leader is alive.
    pub(crate) fn handle_heartbeat(&mut self, now: u64, msg: Message) {
        let commit = msg.commit.min(self.log.last_index());
        if commit < msg.commit && self.installing.is_none() {
            self.mark(marks::CLAMPED_COMMIT);
        }
        self.learn_commit(commit);
        let mut answer = message(MessageType::MsgHeartbeatResponse, msg.from);
        answer.context = msg.context;
        self.send(answer);
        self.repeat_lost_reads(now);
    }

    /// Acknowledges everything up to `index`, once it is durable.
    pub(crate) fn ack_append(&mut self, to: u64, index: u64) {
        let mut ack = message(MessageType::MsgAppendResponse, to);
        ack.index = index;
        if self.settings.bugs.has(Bug::AckBeforeFsync) {
            self.send(ack);
        } else {
            self.send_after_sync(ack);
        }
    }

    /// Whether an append claims another entry where one is committed here. Only
    /// a leader that should not have been elected sends such; to acknowledge
    /// what is committed would let it count on entries that it does not have.
    fn contradicts_committed(&self, msg: &Message) -> bool {
        let differs = |index, term| {
            index <= self.commit && self.log.term_at(index).is_some_and(|own| own != term)
        };
        differs(msg.index, msg.log_term) || msg.entries.iter().any(|e| differs(e.index, e.term))
    }

    fn reject_append(&mut self, msg: &Message) {
        self.mark(marks::REJECTED_APPEND);
        let last_possible = msg.index.min(self.log.last_index());
        let hint = self.log.last_not_above(last_possible, msg.log_term);
        let mut rejection = message(MessageType::MsgAppendResponse, msg.from);
        rejection.index = msg.index;
        rejection.reject = true;
        rejection.reject_hint = hint.index;
        rejection.log_term = hint.term;
        self.send(rejection);
    }

    /// The leader says that everything up to `index` is committed. While a
    /// snapshot is being installed, that would be news about a log on its way out.
    fn learn_commit(&mut self, index: u64) {
        let is_news = index > self.commit || self.settings.bugs.has(Bug::CommitGoesBack);
        if is_news && self.installing.is_none() {
            self.commit = index;
        }
    }
}
