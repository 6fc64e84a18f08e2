//! Proposals: how entries come into a leader's log.

use crate::message::{conf_change, decode_id, message, proposal};
use crate::{ProposeError, Raft, marks};
use bytes::Bytes;
use raft_proto::eraftpb::{ConfChangeV2, Entry, Message, MessageType};
use squall_api::{Bug, Role};

impl Raft {
    /// Proposes `data` under the unique `id`: a leader appends it, a follower
    /// forwards it to its leader. It may be lost on the way or with its leader;
    /// only its appearance among the committed entries says that it was not.
    pub fn propose(&mut self, _now: u64, id: u64, data: Bytes) -> Result<(), ProposeError> {
        let entry = proposal(id, data);
        if self.role == Role::Leader {
            self.admit(&entry)?;
            self.append_own(entry);
            self.has_news = true;
        } else if self.leader != 0 {
            let mut forward = message(MessageType::MsgPropose, self.leader);
            // A forward belongs to the term in which its leader leads. The
            // field is free: the message's own term stays 0, as etcd has it.
            forward.log_term = self.term;
            forward.entries.push(entry);
            self.send(forward);
        } else {
            return Err(ProposeError::NoLeader);
        }
        Ok(())
    }

    /// A follower forwards proposals. A leader that it does not know to be
    /// deposed does not pass them on: forwards could go round in circles.
    pub(crate) fn handle_propose(&mut self, msg: Message) {
        if self.role != Role::Leader || msg.log_term != self.term {
            return self.mark(marks::DROPPED_FORWARD);
        }
        for entry in msg.entries {
            let id = decode_id(&entry.context).expect("malformed proposals are not handled");
            if let Some(change) = Raft::forwarded_change(&entry) {
                self.take_forwarded_change(msg.from, id, &change);
                continue;
            }
            let entry = proposal(id, entry.data);
            if self.admit(&entry).is_err() {
                self.mark(marks::DROPPED_FORWARD);
            } else if self.forwards.is_new(msg.from, id)
                || self.settings.bugs.has(Bug::RepeatForward)
            {
                self.append_own(entry);
            } else {
                self.mark(marks::REPEATED_FORWARD);
            }
        }
        self.has_news = true;
    }

    /// A follower forwards a change of membership. It is remembered even if it
    /// cannot be made now: repeated by the network later, it would surprise.
    fn take_forwarded_change(&mut self, from: u64, id: u64, change: &ConfChangeV2) {
        if !self.forwards.is_new(from, id) {
            self.mark(marks::REPEATED_FORWARD);
        } else if self
            .append_conf_change(conf_change(id, change), change)
            .is_err()
        {
            self.mark(marks::DROPPED_FORWARD);
        }
    }

    /// Adds an entry to the leader's own log.
    pub(crate) fn append_own(&mut self, mut entry: Entry) {
        assert_eq!(self.role, Role::Leader, "only leaders append of their own");
        entry.term = self.term;
        entry.index = self.log.last_index() + 1;
        self.log.push(entry);
        let last = self.log.last_index();
        self.uncommitted_bytes += self.log.bytes(last, last);
        if self.settings.bugs.has(Bug::CountOwnBeforeFsync)
            && let Some(own) = self.tracker.get_mut(&self.settings.id)
        {
            own.acked(last);
        }
    }

    /// Planted bugs: a leader that steps down takes back what is not committed.
    pub(crate) fn drop_tail(&mut self, bug: Bug) {
        if self.settings.bugs.has(bug) {
            self.log.truncate(self.commit);
            self.durability.overwritten_from(self.commit + 1);
        }
    }

    /// Whether the leader takes a proposal. One that alone is larger than the
    /// cap is taken when nothing else waits, or it could never be.
    pub(crate) fn admit(&mut self, entry: &Entry) -> Result<(), ProposeError> {
        if self.transfer.is_some() {
            self.mark(marks::REFUSED_IN_TRANSFER);
            return Err(ProposeError::Transferring);
        }
        let bytes = crate::log::bytes(entry);
        let sum = self.uncommitted_bytes.saturating_add(bytes);
        if self.uncommitted_bytes > 0 && sum > self.settings.max_uncommitted_bytes {
            self.mark(marks::REFUSED_UNCOMMITTED_TAIL);
            return Err(ProposeError::TooMuchUncommitted);
        }
        Ok(())
    }
}
