//! One node twice: ours, and that of raft-rs.

use crate::cluster::role;
use crate::plain;
use bytes::Bytes;
use raft::storage::MemStorage;
use raft::{Progress, ProgressState};
use raft::{RawNode, StateRole, Storage as _};
use raft_proto::eraftpb::{Entry, Message, MessageType};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use slog::{Discard, Logger, o};
use squall_api::{Bugs, Role};
use squall_raft::{Raft, Restored, Settings};

/// In ticks, which are the nanoseconds of our nodes.
const ELECTION_TIMEOUT: u64 = 10;
const HEARTBEAT: u64 = 1;
/// raft-rs shall not time out by itself.
const NEVER: usize = 1 << 40;

/// Settings that vary, the same for all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) pre_vote: bool,
    pub(crate) check_quorum: bool,
    /// Otherwise without a limit: each counts the bytes of a message in its
    /// own way.
    pub(crate) one_entry_a_message: bool,
    pub(crate) max_inflight: usize,
}

/// Both persist everything at once: a sync is part of each event.
pub(crate) struct Pair {
    id: u64,
    nodes: u64,
    limits: Limits,
    now: u64,
    incarnation: u64,
    ours: Raft,
    durable: Restored,
    theirs: RawNode<MemStorage>,
    answers_old_leader: bool,
    sent_by_ours: Vec<Message>,
    sent_by_theirs: Vec<Message>,
}

/// What both must agree on.
#[derive(Debug, PartialEq)]
struct State {
    term: u64,
    vote: u64,
    role: Role,
    leader: u64,
    commit: u64,
    log: Vec<(u64, u64, Bytes)>,
}

impl Pair {
    pub(crate) fn new(id: u64, nodes: u64, limits: Limits) -> Pair {
        let durable = Restored::default();
        let voters: Vec<u64> = (1..=nodes).collect();
        let store = MemStorage::new_with_conf_state((voters, vec![]));
        Pair {
            id,
            nodes,
            limits,
            now: 0,
            incarnation: 0,
            ours: open_ours(id, nodes, limits, &durable, 0, 0),
            durable,
            theirs: open_theirs(id, limits, store),
            answers_old_leader: false,
            sent_by_ours: Vec::new(),
            sent_by_theirs: Vec::new(),
        }
    }

    pub(crate) fn ours(&self) -> &Raft {
        &self.ours
    }

    /// A probe at what is known to match is acknowledged. That tells nothing new
    /// of the follower's log, but that appends reach it: ours goes on at once,
    /// as etcd does, raft-rs with the next entry. So it is with the answer to a
    /// heartbeat of a follower that lacks nothing. Both are spared it.
    fn ends_probe_without_news(&self, msg: &Message) -> bool {
        let raft = &self.theirs.raft;
        let last_index = raft.raft_log.last_index();
        let matched = match msg.msg_type {
            MessageType::MsgAppendResponse if !msg.reject => msg.index,
            MessageType::MsgHeartbeatResponse => last_index,
            _ => return false,
        };
        let is_answer = msg.term == raft.term && raft.state == StateRole::Leader;
        let probes = |progress: &Progress| {
            progress.state == ProgressState::Probe && progress.matched == matched
        };
        is_answer && raft.prs().get(msg.from).is_some_and(probes)
    }

    /// A rejection comes late, when a probe has found the follower to match at
    /// or above its hint. raft-rs probes below what matches once more, which
    /// does no harm; ours and etcd never go back behind a match.
    fn is_outdated_rejection(&self, msg: &Message) -> bool {
        let raft = &self.theirs.raft;
        let is_rejection = msg.msg_type == MessageType::MsgAppendResponse
            && msg.reject
            && msg.term == raft.term
            && raft.state == StateRole::Leader;
        let next = msg.index.min(msg.reject_hint + 1);
        let is_behind = |progress: &Progress| {
            progress.state == ProgressState::Probe && next <= progress.matched
        };
        is_rejection && raft.prs().get(msg.from).is_some_and(is_behind)
    }

    /// A yes to a poll about a term that has begun since. raft-rs counts it in
    /// the poll about the next one, which costs at most an election; ours does
    /// not.
    fn is_outdated_pre_vote(&self, msg: &Message) -> bool {
        msg.msg_type == MessageType::MsgRequestPreVoteResponse
            && !msg.reject
            && msg.term <= self.ours.term()
    }

    /// A leader of an earlier term sends something. Ours always tells it the
    /// term; raft-rs only with pre-vote or check-quorum, without which the next
    /// election would.
    fn is_of_old_leader(&self, msg: &Message) -> bool {
        let from_leader = matches!(
            msg.msg_type,
            MessageType::MsgAppend | MessageType::MsgHeartbeat
        );
        from_leader && msg.term < self.ours.term()
    }

    // What happens to a node.

    pub(crate) fn step(&mut self, msg: &Message) {
        if self.ends_probe_without_news(msg)
            || self.is_outdated_rejection(msg)
            || self.is_outdated_pre_vote(msg)
        {
            return;
        }
        self.answers_old_leader = self.is_of_old_leader(msg);
        self.ours.step(self.now, msg.clone());
        // A candidate that became leader may be voted for once more, by a
        // message that came twice. raft-rs takes that for a sign of life from
        // the leader, which prolongs its lease; it is none.
        let raft = &mut self.theirs.raft;
        let votes_again = msg.msg_type == MessageType::MsgRequestVote && raft.leader_id != 0;
        let elapsed = raft.election_elapsed;
        let _ = self.theirs.step(msg.clone());
        let raft = &mut self.theirs.raft;
        if votes_again && raft.leader_id != 0 {
            raft.election_elapsed = elapsed;
        }
    }

    /// Whether something happens at the next tick.
    pub(crate) fn is_due_next(&self) -> bool {
        self.now + 1 >= self.ours.deadline()
    }

    pub(crate) fn tick(&mut self) {
        let is_due = self.is_due_next();
        let led = self.ours.role() == Role::Leader;
        self.now += 1;
        self.ours.on_deadline(self.now);
        self.theirs.tick();
        // Each draws its election timeouts from its own generator, and raft-rs
        // starts them anew whenever the term changes, ours only for a leader
        // or a candidate worth a vote. Ours decides.
        if is_due && !led {
            self.theirs.raft.election_elapsed = 0;
            let _ = self.theirs.campaign();
        }
    }

    /// Only at a leader: a follower's forwards carry what is only ours.
    pub(crate) fn propose(&mut self, proposal: u64, bytes: usize) {
        if self.ours.role() != Role::Leader {
            return;
        }
        let data = Bytes::from(vec![b'x'; bytes + 1]);
        let context = proposal.to_be_bytes().to_vec();
        self.ours.propose(self.now, proposal, data.clone()).unwrap();
        self.theirs.propose(context, data.to_vec()).unwrap();
    }

    pub(crate) fn unreachable(&mut self, peer: u64) {
        self.ours.unreachable(peer);
        let replicated = self.is_replicating_to(peer);
        self.theirs.report_unreachable(peer);
        // Ours then waits for a sign of life before it probes, raft-rs probes
        // with the next proposal.
        if replicated {
            self.pause_probe_of(peer);
        }
    }

    /// Loses its memory, but nothing that is durable.
    pub(crate) fn crash(&mut self) {
        self.incarnation += 1;
        let (durable, incarnation) = (&self.durable, self.incarnation);
        self.ours = open_ours(
            self.id,
            self.nodes,
            self.limits,
            durable,
            self.now,
            incarnation,
        );
        // raft-rs persists each new commit index, ours only along with
        // something else: both come back with the lower one.
        let store = self.theirs.store().clone();
        store.wl().mut_hard_state().commit = durable.hard_state.commit;
        self.theirs = open_theirs(self.id, self.limits, store);
    }

    /// Persists and collects what came of it; says what differs, or which
    /// messages ours and theirs sent.
    pub(crate) fn compare(&mut self) -> Result<(Vec<Message>, Vec<Message>), String> {
        self.settle_ours();
        self.settle_theirs();
        self.pause_after_empty_probes();
        let (ours, theirs) = (self.state_of_ours(), self.state_of_theirs());
        let mut sent_by_ours = std::mem::take(&mut self.sent_by_ours);
        let answers = std::mem::take(&mut self.answers_old_leader);
        if answers && !self.limits.pre_vote && !self.limits.check_quorum {
            sent_by_ours.clear();
        }
        let sent_by_theirs = std::mem::take(&mut self.sent_by_theirs);
        if ours != theirs {
            return Err(format!("n{}: ours {ours:#?}, theirs {theirs:#?}", self.id));
        }
        let plain = (
            plain::by_peer(&sent_by_ours),
            plain::by_peer(&sent_by_theirs),
        );
        if plain.0 != plain.1 {
            return Err(format!(
                "n{} in {ours:?}: followers as theirs sees them {:?}: ours sent {:#?}, theirs {:#?}",
                self.id,
                self.theirs.raft.prs().iter().collect::<Vec<_>>(),
                plain.0,
                plain.1
            ));
        }
        // What raft-rs would make of its additions, such as a commit index that
        // a voter tells a candidate, is not ours to compare.
        let sent_by_theirs = sent_by_theirs.iter().map(plain::plain).collect();
        Ok((sent_by_ours, sent_by_theirs))
    }

    fn settle_ours(&mut self) {
        loop {
            let out = self.ours.take();
            let must_persist = out.must_persist();
            if let Some(first) = out.append.first() {
                self.durable.entries.truncate(first.index as usize - 1);
            }
            self.durable.entries.extend(out.append);
            if let Some(hard_state) = out.hard_state {
                self.durable.hard_state = hard_state;
            }
            self.sent_by_ours.extend(out.send);
            self.sent_by_ours.extend(out.send_after_sync);
            if !must_persist {
                return;
            }
            self.ours.persisted(self.now, out.seq);
        }
    }

    fn settle_theirs(&mut self) {
        let node = &mut self.theirs;
        let sent = &mut self.sent_by_theirs;
        loop {
            node.raft.set_randomized_election_timeout(NEVER - 1);
            if !node.has_ready() {
                break;
            }
            let mut ready = node.ready();
            sent.extend(ready.take_messages());
            let mut store = node.mut_store().wl();
            store
                .append(ready.entries())
                .expect("entries without a gap");
            if let Some(hard_state) = ready.hs() {
                store.set_hardstate(hard_state.clone());
            }
            drop(store);
            sent.extend(ready.take_persisted_messages());
            let mut light = node.advance(ready);
            sent.extend(light.take_messages());
            node.advance_apply();
        }
    }

    /// An append without entries is a probe as well: ours sends no further one
    /// before it is answered, raft-rs does.
    fn pause_after_empty_probes(&mut self) {
        let is_probe = |m: &&Message| m.msg_type == MessageType::MsgAppend && m.entries.is_empty();
        let probed: Vec<u64> = self
            .sent_by_theirs
            .iter()
            .filter(is_probe)
            .map(|m| m.to)
            .collect();
        for peer in probed {
            self.pause_probe_of(peer);
        }
    }

    fn pause_probe_of(&mut self, peer: u64) {
        let progress = self.theirs.raft.mut_prs().get_mut(peer);
        if let Some(progress) = progress.filter(|p| p.state == ProgressState::Probe) {
            progress.paused = true;
        }
    }

    fn is_replicating_to(&self, peer: u64) -> bool {
        let progress = self.theirs.raft.prs().get(peer);
        progress.is_some_and(|p| p.state == ProgressState::Replicate)
    }

    fn state_of_ours(&self) -> State {
        let raft = &self.ours;
        State {
            term: raft.term(),
            vote: raft.vote(),
            role: raft.role(),
            leader: raft.leader(),
            commit: raft.commit(),
            log: raft.entries_from(0).map(plain_entry).collect(),
        }
    }

    fn state_of_theirs(&self) -> State {
        let raft = &self.theirs.raft;
        let last_index = raft.raft_log.last_index();
        let context = raft::GetEntriesContext::empty(false);
        let entries = match last_index {
            0 => Vec::new(),
            last => raft
                .raft_log
                .store
                .entries(1, last + 1, None, context)
                .expect("the log is in memory"),
        };
        State {
            term: raft.term,
            vote: raft.vote,
            role: role(raft.state),
            leader: raft.leader_id,
            commit: raft.raft_log.committed,
            log: entries.iter().map(plain_entry).collect(),
        }
    }
}

fn plain_entry(entry: &Entry) -> (u64, u64, Bytes) {
    (entry.index, entry.term, entry.data.clone())
}

fn open_ours(
    id: u64,
    nodes: u64,
    limits: Limits,
    durable: &Restored,
    now: u64,
    incarnation: u64,
) -> Raft {
    let settings = Settings {
        id,
        voters: (1..=nodes).collect(),
        election_timeout: ELECTION_TIMEOUT,
        heartbeat: HEARTBEAT,
        max_append_bytes: match limits.one_entry_a_message {
            true => 0,
            false => u64::MAX,
        },
        max_inflight: limits.max_inflight,
        max_inflight_bytes: u64::MAX,
        max_uncommitted_bytes: u64::MAX,
        pre_vote: limits.pre_vote,
        check_quorum: limits.check_quorum,
        read_lease: 0,
        bugs: Bugs::NONE,
    };
    let rng = ChaCha8Rng::seed_from_u64(id * 1_000 + incarnation);
    Raft::new(settings, durable.clone(), rng, now)
}

fn open_theirs(id: u64, limits: Limits, store: MemStorage) -> RawNode<MemStorage> {
    let config = raft::Config {
        id,
        election_tick: ELECTION_TIMEOUT as usize,
        min_election_tick: ELECTION_TIMEOUT as usize,
        max_election_tick: NEVER,
        heartbeat_tick: HEARTBEAT as usize,
        max_size_per_msg: match limits.one_entry_a_message {
            true => 0,
            false => u64::MAX,
        },
        max_inflight_msgs: limits.max_inflight,
        pre_vote: limits.pre_vote,
        check_quorum: limits.check_quorum,
        ..Default::default()
    };
    let logger = Logger::root(Discard, o!());
    let mut node = RawNode::new(&config, store, &logger).expect("a valid configuration");
    node.raft.set_randomized_election_timeout(NEVER - 1);
    node
}
