//! Snapshots: what a follower gets when the log no longer has what it lacks
//! (section 7 of the paper).

use crate::confchange::Configuration;
use crate::message::message;
use crate::progress::{Progress, SentSnapshot, State};
use crate::{LogBase, Raft, marks};
use raft_proto::eraftpb::{Message, MessageType, Snapshot};
use squall_api::{Bug, Role};

/// A snapshot that is not acknowledged after so many election timeouts is
/// given up for lost.
const PATIENCE_ELECTION_TIMEOUTS: u64 = 5;

impl Raft {
    /// The snapshot that was [wanted](crate::Output::want_snapshot): it goes to
    /// every follower that waits for one. `snapshot` must be of a state that
    /// was committed here.
    pub fn snapshot_taken(&mut self, now: u64, mut snapshot: Snapshot) {
        if self.role != Role::Leader {
            return;
        }
        self.snapshot_asked = false;
        let index = snapshot.get_metadata().index;
        assert!(
            index <= self.commit,
            "snapshot at {index} of a log committed up to {}",
            self.commit
        );
        let waiting: Vec<u64> = self
            .tracker
            .iter()
            .filter(|(_, progress)| progress.state == State::Snapshot(None))
            .map(|(id, _)| *id)
            .collect();
        if waiting.is_empty() {
            return;
        }
        if index < self.log.base().index {
            self.mark(marks::SNAPSHOT_TOO_OLD);
            return self.ask_for_snapshot();
        }
        if snapshot.get_metadata().get_conf_state().voters.is_empty() {
            let state = self.configuration().to_state();
            snapshot.mut_metadata().set_conf_state(state);
        }
        if self.settings.bugs.has(Bug::NeverSendSnapshot) {
            return;
        }
        let patience = self.snapshot_patience();
        for to in waiting {
            self.mark(marks::SENT_SNAPSHOT);
            let sent = SentSnapshot {
                index,
                deadline: now.saturating_add(patience),
            };
            let progress = self.tracker.get_mut(&to).expect("it was just there");
            progress.state = State::Snapshot(Some(sent));
            let mut msg = message(MessageType::MsgSnapshot, to);
            msg.set_snapshot(snapshot.clone());
            self.send(msg);
        }
    }

    /// A further part of its snapshot has reached `peer`: it is not lost yet.
    pub fn snapshot_progressed(&mut self, now: u64, peer: u64) {
        let patience = self.snapshot_patience();
        if let Some(progress) = self.tracker.get_mut(&peer)
            && let State::Snapshot(Some(sent)) = &mut progress.state
        {
            sent.deadline = now.saturating_add(patience);
        }
    }

    /// The index of the snapshot that is under way to `peer`, if one is.
    pub fn snapshot_under_way(&self, peer: u64) -> Option<u64> {
        match self.tracker.get(&peer)?.state {
            State::Snapshot(sent) => sent.map(|sent| sent.index),
            State::Probe { .. } | State::Replicate => None,
        }
    }

    /// The state machine durably is the snapshot that was to be
    /// [installed](crate::Output::install); the log restarts after `base`.
    ///
    /// # Panics
    ///
    /// If another snapshot, or none, was to be installed.
    pub fn snapshot_installed(&mut self, now: u64, base: LogBase) {
        assert_eq!(
            self.installing,
            Some(base),
            "node {} installed another snapshot than it was given",
            self.settings.id
        );
        self.mark(marks::INSTALLED_SNAPSHOT);
        self.installing = None;
        self.log.reset(base);
        self.durability.reset(base.index);
        self.out.reset = Some(base);
        self.commit = base.index;
        self.delivered = base.index;
        if let Some(configuration) = self.installing_configuration.take() {
            self.switch_to(now, base.index, configuration);
        }
        if self.leader != 0 {
            self.ack_append(self.leader, base.index);
        }
    }

    /// The leader of the current term replaces what its log no longer has.
    pub(crate) fn handle_snapshot(&mut self, mut msg: Message) {
        let snapshot = msg.take_snapshot();
        let metadata = snapshot.get_metadata();
        let base = LogBase {
            index: metadata.index,
            term: metadata.term,
        };
        if self.installing.is_some() {
            return;
        }
        if base.index <= self.commit {
            self.mark(marks::IGNORED_OLD_SNAPSHOT);
            return self.ack_append(msg.from, self.commit);
        }
        if self.log.matches(base.index, base.term) {
            self.mark(marks::SNAPSHOT_IN_LOG);
            self.commit = base.index;
            return self.ack_append(msg.from, self.commit);
        }
        self.mark(marks::INSTALLING_SNAPSHOT);
        self.installing = Some(base);
        self.installing_configuration = self.told_configuration(&snapshot);
        self.out.install = Some(snapshot);
    }

    /// A follower that knows no configuration asks for its first snapshot.
    pub(crate) fn handle_snapshot_request(&mut self, from: u64) {
        let is_new = |progress: &Progress| {
            progress.match_index == 0 && !matches!(progress.state, State::Snapshot(_))
        };
        if self.tracker.get(&from).is_some_and(is_new) {
            self.need_snapshot(from);
        }
    }

    /// The configuration that a snapshot tells; `None` if it tells none.
    fn told_configuration(&self, snapshot: &Snapshot) -> Option<Configuration> {
        let state = snapshot.get_metadata().get_conf_state();
        let mut configuration = Configuration::from_state(state);
        if self.settings.bugs.has(Bug::SnapshotForgetsLearners) {
            configuration.learners.clear();
        }
        if self.settings.bugs.has(Bug::SnapshotPromotesLearners) {
            for learner in std::mem::take(&mut configuration.learners) {
                configuration.voters.incoming.insert(learner);
            }
        }
        (!state.voters.is_empty()).then_some(configuration)
    }

    /// `to` needs entries that were compacted away.
    pub(crate) fn need_snapshot(&mut self, to: u64) {
        self.mark(marks::NEEDS_SNAPSHOT);
        let progress = self.tracker.get_mut(&to).expect("a member's progress");
        progress.become_snapshot();
        self.ask_for_snapshot();
    }

    /// Goes back to probing where a snapshot was not acknowledged in time; the
    /// next answer to a heartbeat will show what the follower needs.
    pub(crate) fn give_up_lost_snapshots(&mut self, now: u64) {
        let mut lost = 0;
        for progress in self.tracker.values_mut() {
            if let State::Snapshot(Some(sent)) = progress.state
                && sent.deadline <= now
            {
                progress.become_probe(true);
                lost += 1;
            }
        }
        for _ in 0..lost {
            self.mark(marks::SNAPSHOT_TIMED_OUT);
        }
    }

    fn snapshot_patience(&self) -> u64 {
        let timeout = self.settings.election_timeout;
        timeout.saturating_mul(PATIENCE_ELECTION_TIMEOUTS)
    }

    fn ask_for_snapshot(&mut self) {
        if !self.snapshot_asked {
            self.snapshot_asked = true;
            self.out.want_snapshot = true;
        }
    }
}
