//! raft-rs's node.

use crate::cluster::{
    ELECTION_TIMEOUT, HEARTBEAT, Node, Settings, State, members, plain_entry, role,
};
use crate::plain;
use protobuf::Message as _;
use raft::storage::MemStorage;
use raft::{Config, GetEntriesContext, RawNode, SnapshotStatus, StateRole, Storage as _};
use raft_proto::eraftpb::{ConfChangeV2, Entry, EntryType, Message};
use slog::{Discard, Logger, o};

/// raft-rs shall not time out by itself.
const NEVER: usize = 1 << 40;

/// A node of raft-rs.
pub(crate) struct Theirs {
    id: u64,
    settings: Settings,
    node: RawNode<MemStorage>,
    applied: u64,
    read: Vec<(u64, u64)>,
}

impl Theirs {
    /// Ends a transfer of leadership where ours has ended it.
    ///
    /// raft-rs counts the time of a transfer in the same window in which it
    /// counts who was heard, and begins that window anew with the transfer; ours
    /// has a time for each.
    pub(crate) fn transfers(&mut self, to: u64) {
        self.node.raft.lead_transferee = (to != 0).then_some(to);
    }

    /// Somebody tells it how far the log is committed.
    pub(crate) fn hears_commit(&mut self, commit: u64) {
        let log = &mut self.node.raft.raft_log;
        if log.committed < commit && commit <= log.last_index() {
            log.commit_to(commit);
        }
    }

    fn apply(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.applied = entry.index;
            if entry.entry_type != EntryType::EntryConfChangeV2 {
                continue;
            }
            let change = ConfChangeV2::parse_from_bytes(&entry.data).expect("a change");
            let state = self.node.apply_conf_change(&change);
            let state = state.expect("a change that was found to be possible");
            self.node.mut_store().wl().set_conf_state(state);
            // raft-rs leaves a leader that is no voter any more in office, and
            // notes that it should not.
            let raft = &mut self.node.raft;
            let is_voter = raft.prs().conf().voters().contains(self.id);
            if raft.state == StateRole::Leader && !is_voter {
                raft.become_follower(raft.term, 0);
            }
        }
    }

    fn rest(&mut self) {
        self.node.raft.set_randomized_election_timeout(NEVER - 1);
    }
}

impl Node for Theirs {
    fn open(id: u64, settings: &Settings) -> Theirs {
        let store = MemStorage::new_with_conf_state((settings.voters.clone(), vec![]));
        Theirs {
            id,
            settings: settings.clone(),
            node: open(id, settings, store, 0),
            applied: 0,
            read: Vec::new(),
        }
    }

    fn step(&mut self, msg: Message) {
        let _ = self.node.step(msg);
    }

    fn tick(&mut self, times_out: bool) {
        self.node.tick();
        // Its own clock asks the same before it lets it stand for election.
        if times_out && self.node.raft.promotable() {
            self.node.raft.election_elapsed = 0;
            let _ = self.node.campaign();
        }
    }

    fn propose(&mut self, id: u64) {
        let id = id.to_be_bytes().to_vec();
        let _ = self.node.propose(id.clone(), id);
    }

    fn read(&mut self, ctx: u64) {
        self.node.read_index(ctx.to_be_bytes().to_vec());
    }

    fn change(&mut self, id: u64, change: &ConfChangeV2) {
        let id = id.to_be_bytes().to_vec();
        let proposed = self.node.propose_conf_change(id, change.clone());
        proposed.expect("a change that may be made");
    }

    fn transfer(&mut self, to: u64) {
        let elapsed = self.node.raft.election_elapsed;
        self.node.transfer_leader(to);
        self.node.raft.election_elapsed = elapsed;
    }

    fn lost_snapshot(&mut self, peer: u64) {
        self.node.report_snapshot(peer, SnapshotStatus::Failure);
    }

    fn compact(&mut self, keep: u64) {
        // This storage forgets the term of the last entry that it drops, and ours
        // does not: it keeps that one.
        let index = self.applied.saturating_sub(keep);
        let compacted = self.node.mut_store().wl().compact(index);
        compacted.expect("entries that are applied");
    }

    fn crash(&mut self) {
        let store = self.node.store().clone();
        store.wl().mut_hard_state().commit = self.applied;
        self.node = open(self.id, &self.settings, store, self.applied);
    }

    fn settle(&mut self) -> Vec<Message> {
        let mut sent = Vec::new();
        loop {
            self.rest();
            if !self.node.has_ready() {
                // A candidate of raft-rs learns commit indexes with the votes.
                return sent.iter().map(plain::plain).collect();
            }
            let mut ready = self.node.ready();
            sent.extend(ready.take_messages());
            for state in ready.take_read_states() {
                let ctx = state.request_ctx.try_into().expect("eight bytes");
                self.read.push((u64::from_be_bytes(ctx), state.index));
            }
            if ready.snapshot().get_metadata().index > 0 {
                self.applied = ready.snapshot().get_metadata().index;
                let mut store = self.node.mut_store().wl();
                let installed = store.apply_snapshot(ready.snapshot().clone());
                installed.expect("a later snapshot");
            }
            self.apply(ready.take_committed_entries());
            let mut store = self.node.mut_store().wl();
            let appended = store.append(ready.entries());
            appended.expect("entries without a gap");
            if let Some(hard_state) = ready.hs() {
                store.set_hardstate(hard_state.clone());
            }
            drop(store);
            sent.extend(ready.take_persisted_messages());
            let last_index = self.node.raft.raft_log.last_index();
            let mut light = self.node.advance(ready);
            if let Some(commit) = light.commit_index() {
                self.node.mut_store().wl().mut_hard_state().commit = commit;
            }
            sent.extend(light.take_messages());
            self.apply(light.take_committed_entries());
            self.node.advance_apply();
            // The entry with which it leaves a joint configuration by itself, raft-rs
            // sends with the next heartbeat, and ours at once.
            if self.node.raft.raft_log.last_index() > last_index {
                self.node.raft.bcast_append();
            }
        }
    }

    fn state(&self) -> State {
        let raft = &self.node.raft;
        let log = &raft.raft_log;
        let (first, last) = (log.first_index(), log.last_index());
        let context = GetEntriesContext::empty(false);
        let entries = match first <= last {
            true => log.store.entries(first, last + 1, None, context),
            false => Ok(Vec::new()),
        };
        State {
            term: raft.term,
            vote: raft.vote,
            role: role(raft.state),
            leader: raft.leader_id,
            commit: log.committed,
            members: members(raft.prs().conf().to_conf_state()),
            log: entries
                .expect("the log is in memory")
                .iter()
                .map(plain_entry)
                .collect(),
            last_index: last,
        }
    }

    fn take_read(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.read)
    }
}

fn open(id: u64, settings: &Settings, store: MemStorage, applied: u64) -> RawNode<MemStorage> {
    let config = Config {
        id,
        applied,
        election_tick: ELECTION_TIMEOUT as usize,
        min_election_tick: ELECTION_TIMEOUT as usize,
        max_election_tick: NEVER,
        heartbeat_tick: HEARTBEAT as usize,
        max_size_per_msg: u64::MAX,
        max_inflight_msgs: 256,
        pre_vote: settings.pre_vote,
        check_quorum: settings.check_quorum,
        ..Config::default()
    };
    let logger = Logger::root(Discard, o!());
    let mut node = RawNode::new(&config, store, &logger).expect("a valid configuration");
    node.raft.set_randomized_election_timeout(NEVER - 1);
    node
}
