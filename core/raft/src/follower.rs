//! Replication, the follower's side (section 5.3 of the paper).

use crate::message::message;
use crate::{Raft, marks};
use raft_proto::eraftpb::{Message, MessageType};
use squall_api::Bug;

impl Raft {
    /// Takes over the entries of the leader of the current term.
    pub(crate) fn handle_append(&mut self, msg: Message) {
        if self.installing.is_some() {
            return;
        }
        if msg.index < self.commit {
            // An old append: all that it could say about committed entries is
            // known. The leader goes on from there.
            return self.ack_append(msg.from, self.commit);
        }
        if !self.log.matches(msg.index, msg.log_term) {
            return self.reject_append(&msg);
        }
        let last_new = msg.index + msg.entries.len() as u64;
        let known = |entry: &&_| -> bool {
            let entry: &raft_proto::eraftpb::Entry = entry;
            self.log.matches(entry.index, entry.term)
        };
        let new = msg.entries.iter().take_while(known).count();
        if let Some(first) = msg.entries.get(new) {
            if first.index <= self.commit {
                return self.mark(marks::IGNORED_CONFLICT_BELOW_COMMIT);
            }
            if first.index <= self.log.last_index() {
                self.mark(marks::TRUNCATED_CONFLICT);
                self.durability.overwritten_from(first.index);
            }
            self.log.overwrite(msg.entries.into_iter().skip(new));
        }
        self.learn_commit(msg.commit.min(last_new));
        self.ack_append(msg.from, last_new);
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
        if index > self.commit && self.installing.is_none() {
            self.commit = index;
        }
    }
}
