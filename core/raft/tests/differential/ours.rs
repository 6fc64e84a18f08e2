//! This crate's node.

use crate::cluster::{ELECTION_TIMEOUT, HEARTBEAT, Node, Settings, State, members, plain_entry};
use bytes::Bytes;
use raft_proto::eraftpb::{ConfChangeTransition, ConfChangeV2, Message, Snapshot};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use squall_api::{Bugs, Role};
use squall_raft::confchange::Configuration;
use squall_raft::{LogBase, Output, Raft, Restored, decode_conf_change, is_conf_change};

/// A node of ours.
pub(crate) struct Ours {
    id: u64,
    settings: Settings,
    now: u64,
    incarnation: u64,
    raft: Raft,
    durable: Restored,
    read: Vec<(u64, u64)>,
    /// How many snapshots it has installed.
    pub(crate) installed: usize,
}

impl Ours {
    fn reopen(&mut self) {
        let Settings {
            voters,
            pre_vote,
            check_quorum,
        } = self.settings.clone();
        let settings = squall_raft::Settings {
            id: self.id,
            voters,
            election_timeout: ELECTION_TIMEOUT,
            heartbeat: HEARTBEAT,
            max_append_bytes: u64::MAX,
            max_inflight: 256,
            max_inflight_bytes: u64::MAX,
            max_uncommitted_bytes: u64::MAX,
            pre_vote,
            check_quorum,
            read_lease: 0,
            bugs: Bugs::NONE,
        };
        let rng = ChaCha8Rng::seed_from_u64(self.id * 1_000 + self.incarnation);
        self.raft = Raft::new(settings, self.durable.clone(), rng, self.now);
    }

    /// Whether its election timeout ends with the next tick.
    pub(crate) fn times_out_next(&self) -> bool {
        self.raft.role() != Role::Leader && self.now + 1 >= self.raft.deadline()
    }

    pub(crate) fn raft(&self) -> &Raft {
        &self.raft
    }

    /// Whether the leader may be asked for this change now. What may not be, raft-rs
    /// makes an entry without content of; ours refuses it.
    ///
    /// raft-rs takes each change without members for the wish to leave a joint
    /// configuration, and ours only if it asks for no kind of transition.
    pub(crate) fn may_change(&self, change: &ConfChangeV2) -> bool {
        let raft = &self.raft;
        let is_plain = change.transition == ConfChangeTransition::Auto;
        let waits = raft
            .entries_from(raft.configuration_index() + 1)
            .any(is_conf_change);
        let has_committed = raft.term_at(raft.commit()) == Some(raft.term());
        raft.role() == Role::Leader
            && has_committed
            && !waits
            && (is_plain || !change.changes.is_empty())
            && raft.transferring_to() == 0
            && raft.configuration().changed(change).is_ok()
    }

    fn persist(&mut self, out: &Output) {
        let durable = &mut self.durable;
        if let Some(base) = out.reset {
            durable.base = base;
            durable.entries.clear();
        }
        if let Some(first) = out.append.first() {
            let kept = first.index - durable.base.index - 1;
            durable.entries.truncate(kept as usize);
        }
        durable.entries.extend(out.append.iter().cloned());
        if let Some(hard_state) = &out.hard_state {
            durable.hard_state = hard_state.clone();
        }
    }

    fn snapshot(&self) -> Snapshot {
        let index = self.durable.applied;
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        metadata.index = index;
        metadata.term = self.raft.term_at(index).expect("it was just applied");
        metadata.set_conf_state(self.raft.configuration().to_state());
        snapshot
    }
}

impl Node for Ours {
    fn open(id: u64, settings: &Settings) -> Ours {
        let durable = Restored::default();
        let placeholder = squall_raft::Settings {
            id,
            voters: settings.voters.clone(),
            election_timeout: ELECTION_TIMEOUT,
            heartbeat: HEARTBEAT,
            max_append_bytes: 1,
            max_inflight: 1,
            max_inflight_bytes: 1,
            max_uncommitted_bytes: 1,
            pre_vote: false,
            check_quorum: false,
            read_lease: 0,
            bugs: Bugs::NONE,
        };
        let rng = ChaCha8Rng::seed_from_u64(0);
        let mut ours = Ours {
            id,
            settings: settings.clone(),
            now: 0,
            incarnation: 0,
            raft: Raft::new(placeholder, durable.clone(), rng, 0),
            durable,
            read: Vec::new(),
            installed: 0,
        };
        ours.reopen();
        ours
    }

    fn step(&mut self, msg: Message) {
        self.raft.step(self.now, msg);
    }

    fn tick(&mut self, _: bool) {
        self.now += 1;
        self.raft.on_deadline(self.now);
    }

    fn propose(&mut self, id: u64) {
        let data = Bytes::copy_from_slice(&id.to_be_bytes());
        // Without a leader, or while leadership is handed over, it is refused.
        let _ = self.raft.propose(self.now, id, data);
    }

    fn read(&mut self, ctx: u64) {
        let _ = self.raft.read_index(self.now, ctx);
    }

    fn change(&mut self, id: u64, change: &ConfChangeV2) {
        self.raft
            .propose_conf_change(self.now, id, change)
            .expect("a change that may be made");
    }

    fn transfer(&mut self, to: u64) {
        let _ = self.raft.transfer_leader(self.now, to);
    }

    fn lost_snapshot(&mut self, peer: u64) {
        self.raft.unreachable(peer);
    }

    fn compact(&mut self, keep: u64) {
        let index = self.durable.applied.saturating_sub(keep);
        if index <= self.durable.base.index {
            return;
        }
        self.raft.compact(index);
        let base = self.raft.base();
        let gone = (base.index - self.durable.base.index) as usize;
        self.durable.entries.drain(..gone);
        self.durable.base = base;
    }

    fn crash(&mut self) {
        self.incarnation += 1;
        let commit = &mut self.durable.hard_state.commit;
        *commit = self.durable.applied.max(*commit);
        self.reopen();
    }

    fn settle(&mut self) -> Vec<Message> {
        let mut sent = Vec::new();
        loop {
            let out = self.raft.take();
            self.persist(&out);
            let (seq, must_persist) = (out.seq, out.must_persist());
            let is_idle = !must_persist
                && out.committed.is_empty()
                && out.install.is_none()
                && !out.want_snapshot;
            sent.extend(out.send);
            sent.extend(out.send_after_sync);
            self.read.extend(out.readable);
            for entry in out.committed {
                self.durable.applied = entry.index;
                if let Some(change) = is_conf_change(&entry).then(|| decode_conf_change(&entry)) {
                    let change = change.expect("a change that was proposed");
                    let config = self.raft.configuration().changed(&change);
                    let config = config.expect("a change that was found to be possible");
                    self.durable.configuration = Some(config.clone());
                    self.raft
                        .configuration_applied(self.now, entry.index, config);
                }
            }
            if let Some(snapshot) = out.install {
                let metadata = snapshot.get_metadata();
                let base = LogBase {
                    index: metadata.index,
                    term: metadata.term,
                };
                self.installed += 1;
                self.durable.applied = base.index;
                self.durable.configuration =
                    Some(Configuration::from_state(metadata.get_conf_state()));
                self.raft.snapshot_installed(self.now, base);
            }
            if out.want_snapshot {
                let snapshot = self.snapshot();
                self.raft.snapshot_taken(self.now, snapshot);
            }
            if must_persist {
                self.raft.persisted(self.now, seq);
            }
            if is_idle {
                return sent;
            }
        }
    }

    fn state(&self) -> State {
        let raft = &self.raft;
        State {
            term: raft.term(),
            vote: raft.vote(),
            role: raft.role(),
            leader: raft.leader(),
            commit: raft.commit(),
            members: members(raft.configuration().to_state()),
            log: raft
                .entries_from(raft.first_index())
                .map(plain_entry)
                .collect(),
            last_index: raft.last_index(),
        }
    }

    fn take_read(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.read)
    }
}
