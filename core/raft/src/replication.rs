//! Replication, the leader's side (section 5.3 and 5.4.2 of the paper).

use crate::message::{encode_id, message};
use crate::progress::State;
use crate::{Raft, marks};
use raft_proto::eraftpb::{Message, MessageType};
use squall_api::{Bug, Role};

impl Raft {
    /// A frame to `peer` could not be delivered.
    pub fn unreachable(&mut self, peer: u64) {
        let Some(progress) = self.tracker.get_mut(&peer) else {
            return;
        };
        match progress.state {
            // Appends under way are probably lost, and so is a snapshot. The
            // answer to a heartbeat will tell that it is back.
            State::Replicate | State::Snapshot(Some(_)) => {
                progress.become_probe(true);
                self.mark(marks::UNREACHABLE);
            }
            State::Probe { .. } | State::Snapshot(None) => {}
        }
    }

    /// What the leader tells itself once its log is durable.
    pub(crate) fn own_ack(&self) -> Message {
        let mut ack = message(MessageType::MsgAppendResponse, self.settings.id);
        ack.from = self.settings.id;
        ack.term = self.term;
        ack.index = self.log.last_index();
        ack
    }

    /// A follower, or the leader's own disk, answers in the current term.
    pub(crate) fn handle_append_response(&mut self, msg: &Message) {
        if self.role != Role::Leader {
            return;
        }
        if msg.reject {
            return self.handle_rejection(msg);
        }
        if msg.index > self.log.last_index() {
            return self.mark(marks::IGNORED_ACK_BEYOND_LOG);
        }
        let base = self.log.base().index;
        let Some(progress) = self.tracker.get_mut(&msg.from) else {
            return;
        };
        let was_paused = progress.is_paused();
        let news = progress.acked(msg.index);
        match progress.state {
            State::Probe { .. } if news || progress.match_index == msg.index => {
                progress.become_replicate();
            }
            State::Snapshot(_) if news && progress.match_index >= base => {
                progress.become_replicate();
            }
            State::Snapshot(Some(sent)) if progress.match_index >= sent.index => {
                // Installed, but meanwhile the log moved on: it needs another.
                progress.become_probe(false);
            }
            State::Probe { .. } | State::Replicate | State::Snapshot(_) => {}
        }
        if msg.from == self.settings.id {
            self.advance_commit();
            return;
        }
        self.hand_over_if_caught_up(msg.from);
        // A follower that was held up may lack the commit index as well.
        if !(news && self.advance_commit()) && was_paused {
            self.send_append(msg.from, true);
        }
        if news && self.settings.bugs.has(Bug::AnnounceEveryAck) {
            self.broadcast_append();
        }
        while self.send_append(msg.from, false) {}
    }

    /// Commits what a quorum has, if the last of it is of the current term, and
    /// tells everybody.
    pub(crate) fn advance_commit(&mut self) -> bool {
        let quorum_has = if self.settings.bugs.has(Bug::AckOnAppend) {
            self.tracker
                .get(&self.settings.id)
                .map_or(0, |own| own.match_index)
        } else {
            self.agreed(|id| self.tracker[&id].match_index)
        };
        if quorum_has <= self.commit {
            return false;
        }
        if self.log.term_at(quorum_has) != Some(self.term) {
            self.mark(marks::OLD_TERM_NOT_COUNTED);
            if !self.settings.bugs.has(Bug::CommitOldTerm) {
                return false;
            }
        }
        if quorum_has > self.durability.stable() {
            self.mark(marks::COMMITTED_BEFORE_OWN_FSYNC);
        }
        self.uncommitted_bytes -= self.log.bytes(self.commit + 1, quorum_has);
        self.commit = quorum_has;
        self.advance_reads();
        self.broadcast_append();
        self.leave_joint_if_due();
        true
    }

    /// Sends everybody what is new to them, were it only the commit index.
    pub(crate) fn broadcast_append(&mut self) {
        for peer in self.peers() {
            self.send_append(peer, true);
        }
    }

    /// Sends everybody the proposals that were appended since the last output.
    pub(crate) fn send_news(&mut self) {
        if self.settings.bugs.has(Bug::BeatWithNews) {
            self.beat();
        }
        for peer in self.peers() {
            while self.send_append(peer, false) {}
        }
    }

    /// Sends `to` the next append, unless it has to wait; one without entries
    /// only if `may_be_empty`. True if something was sent.
    pub(crate) fn send_append(&mut self, to: u64, may_be_empty: bool) -> bool {
        let progress = &self.tracker[&to];
        if progress.is_paused() {
            return false;
        }
        let mut next_index = progress.next_index;
        let resends = self.settings.bugs.has(Bug::ResendUnacknowledged);
        if resends && progress.state == State::Replicate && next_index <= self.log.last_index() {
            next_index = progress.match_index + 1;
        }
        let Some(log_term) = self.log.term_at(next_index - 1) else {
            self.need_snapshot(to);
            return false;
        };
        let entries = self
            .log
            .up_to_bytes(next_index, self.settings.max_append_bytes);
        if entries.is_empty() && !may_be_empty {
            return false;
        }
        let bytes = entries.iter().map(crate::log::bytes).sum();
        let mut append = message(MessageType::MsgAppend, to);
        append.index = next_index - 1;
        append.log_term = log_term;
        append.commit = self.commit;
        let progress = self.tracker.get_mut(&to).expect("it was just there");
        progress.sent(entries.last().map(|e| e.index), bytes);
        append.entries = entries.into();
        self.send(append);
        true
    }

    /// Sends everybody a heartbeat, with the last round of reads that waits.
    pub(crate) fn beat(&mut self) {
        let context = self.start_round();
        for peer in self.peers() {
            let mut heartbeat = message(MessageType::MsgHeartbeat, peer);
            // A follower must not commit what it may not have.
            heartbeat.commit = self.tracker[&peer].match_index.min(self.commit);
            if let Some(round) = context {
                heartbeat.context = encode_id(round);
            }
            self.send(heartbeat);
        }
    }

    /// A follower is alive: whatever was lost on the way to it is sent again.
    pub(crate) fn handle_heartbeat_response(&mut self, msg: &Message) {
        let Some(progress) = self.tracker.get_mut(&msg.from) else {
            return;
        };
        match &mut progress.state {
            State::Probe { .. } if self.settings.bugs.has(Bug::StuckProbe) => {}
            State::Probe { paused } => *paused = false,
            State::Replicate if progress.inflights.is_full() => progress.inflights.free_first(),
            State::Replicate | State::Snapshot(_) => {}
        }
        let is_behind = progress.match_index < self.log.last_index();
        if is_behind || matches!(progress.state, State::Probe { .. }) {
            self.send_append(msg.from, true);
        }
        self.handle_round(msg);
    }

    fn handle_rejection(&mut self, msg: &Message) {
        if msg.request_snapshot > 0 {
            return self.handle_snapshot_request(msg.from);
        }
        // Terms above the hint's cannot match there either: one round trip for
        // a term, not for an entry.
        let hint = if msg.log_term > 0 {
            self.log.last_not_above(msg.reject_hint, msg.log_term).index
        } else {
            msg.reject_hint
        };
        let Some(progress) = self.tracker.get_mut(&msg.from) else {
            return;
        };
        if progress.rejected(msg.index, hint) {
            self.send_append(msg.from, true);
        }
    }
}
