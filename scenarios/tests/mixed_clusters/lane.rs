//! The Raft lane of a member that raft-rs drives.

use crate::log_file::{LogFile, Record};
use bytes::Bytes;
use raft::prelude::{ConfState, Entry, HardState, Message, MessageType};
use raft::storage::MemStorage;
use raft::{RawNode, StateRole};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng as _;
use slog::{Discard, Logger, o};
use squall_api::{
    Config, Effect, Effects, Env, Fatal, Input, LaneMsg, LogChange, Machine, Now, OpenError,
    PeerBody, PeerFrame, RaftView, Role, VERSION, View,
};
use squall_store::entry_id;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A heartbeat is so many ticks: elections are drawn finer than by heartbeats.
const TICKS_A_HEARTBEAT: u64 = 5;

/// raft-rs behind the same seams as our Raft lane: an honest log on the
/// simulated disk, and what is around Raft itself (forwards that are good for
/// one term and appended once, reads that are told apart between lives).
pub(crate) struct RaftRsLane {
    cfg: Config,
    node: RawNode<MemStorage>,
    log: LogFile,
    rng: ChaCha8Rng,
    tick_ns: u64,
    next_tick: u64,
    /// Term, role and leader for which the election time-out was drawn.
    drawn_for: Option<(u64, StateRole, u64)>,
    drawn: usize,
    election_ticks: usize,
    /// Tells the answers to this life's reads from those to an earlier one.
    nonce: u64,
    /// Reads that wait, and when they were last asked.
    reads: BTreeMap<u64, u64>,
    /// Forwards that were appended in the term, by sender.
    forwarded: (u64, BTreeSet<(u64, Bytes)>),
    follows: Option<(u64, u64)>,
    shown: Option<RaftView>,
    changed_from: Option<u64>,
    /// How often members that raft-rs drives came to lead, in the whole run.
    elected: Arc<AtomicU64>,
}

impl RaftRsLane {
    pub(crate) fn open(
        env: Env,
        now: Now,
        applied: u64,
        elected: Arc<AtomicU64>,
    ) -> Result<RaftRsLane, OpenError> {
        let Env {
            disk, mut rng, cfg, ..
        } = env;
        cfg.validate()?;
        let (log, records) = LogFile::open(disk)?;
        let store = MemStorage::new_with_conf_state(ConfState::from((cfg.voters.clone(), vec![])));
        for record in records {
            let mut store = store.wl();
            match record {
                Record::Entry(entry) => store.append(&[entry]).expect("the log has no gap"),
                Record::HardState(state) => store.set_hardstate(state),
            }
        }
        {
            // What the backend has was committed.
            let mut store = store.wl();
            let state = store.mut_hard_state();
            state.commit = state.commit.max(applied);
        }
        let tick_ns = cfg.heartbeat / TICKS_A_HEARTBEAT;
        let election_ticks = (cfg.election_timeout / tick_ns) as usize;
        let config = raft::Config {
            id: cfg.id,
            applied,
            election_tick: election_ticks,
            heartbeat_tick: TICKS_A_HEARTBEAT as usize,
            min_election_tick: election_ticks,
            max_election_tick: 2 * election_ticks,
            max_size_per_msg: cfg.max_append_bytes,
            max_inflight_msgs: 256,
            pre_vote: cfg.pre_vote,
            check_quorum: cfg.check_quorum,
            ..Default::default()
        };
        let node = RawNode::new(&config, store, &Logger::root(Discard, o!()))
            .map_err(|e| OpenError::Corrupt(format!("raft-rs refuses to start: {e}")))?;
        Ok(RaftRsLane {
            node,
            log,
            tick_ns,
            next_tick: now.mono + tick_ns,
            drawn_for: None,
            drawn: election_ticks,
            election_ticks,
            nonce: rng.next_u64(),
            rng,
            reads: BTreeMap::new(),
            forwarded: (0, BTreeSet::new()),
            follows: None,
            shown: None,
            changed_from: Some(1),
            elected,
            cfg,
        })
    }

    fn is_leader(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    fn handle(&mut self, now: Now, input: Input, fx: &mut Effects) -> Result<(), Fatal> {
        match input {
            Input::Deadline if now.mono >= self.next_tick => {
                self.next_tick = now.mono + self.tick_ns;
                self.node.tick();
                self.repeat_lost_reads(now.mono);
            }
            Input::Deadline => {}
            Input::Stop => return Err(Fatal::Stopped),
            Input::Peer(frame) => self.peer(frame),
            Input::Unreachable(peer) => self.node.report_unreachable(peer),
            Input::Lane(LaneMsg::Propose { id, data }) => {
                let context = id.to_be_bytes().to_vec();
                if self.node.propose(context, data.to_vec()).is_err() {
                    fx.push(Effect::Lane(LaneMsg::Refused { id }));
                }
            }
            Input::Lane(LaneMsg::ReadIndex { ctx }) => {
                if self.node.raft.leader_id == 0 {
                    fx.push(Effect::Lane(LaneMsg::Refused { id: ctx }));
                } else {
                    self.reads.insert(ctx, now.mono);
                    self.node.read_index(self.context(ctx));
                }
            }
            // The log is never compacted: raft-rs's store has no snapshots of
            // the state machine to give.
            Input::Lane(LaneMsg::Applied { .. }) => {}
            other => unreachable!("nothing brings the raft-rs lane {other:?}"),
        }
        Ok(())
    }

    fn peer(&mut self, frame: PeerFrame) {
        let ours = frame.cluster == self.cfg.cluster && frame.to == self.cfg.id;
        let (from, to) = (frame.from, frame.to);
        let PeerBody::Raft(msg) = frame.body else {
            return;
        };
        if !ours || (msg.from, msg.to) != (from, to) {
            return;
        }
        let msg = *msg;
        match msg.msg_type {
            MessageType::MsgPropose if !self.accepts_forward(&msg) => {}
            // A follower would pass it on, for ever if two point at each other.
            MessageType::MsgReadIndex if !self.is_leader() => {}
            MessageType::MsgSnapshot => {
                panic!("a snapshot came, but no member of these clusters compacts its log")
            }
            // What raft-rs has no use for, it says so; a network brings anything.
            _ => drop(self.node.step(msg)),
        }
    }

    /// A forward is good for the term that its sender means, and once.
    fn accepts_forward(&mut self, msg: &Message) -> bool {
        let term = self.node.raft.term;
        if !self.is_leader() || msg.log_term != term {
            return false;
        }
        if self.forwarded.0 != term {
            self.forwarded = (term, BTreeSet::new());
        }
        let seen = &mut self.forwarded.1;
        msg.entries
            .iter()
            .all(|entry| seen.insert((msg.from, entry.context.clone())))
    }

    fn context(&self, ctx: u64) -> Vec<u8> {
        [self.nonce.to_be_bytes(), ctx.to_be_bytes()].concat()
    }

    /// raft-rs drops reads silently before the first commit of a term, and
    /// messages get lost.
    fn repeat_lost_reads(&mut self, now: u64) {
        let patience = self.cfg.election_timeout;
        let lost: Vec<u64> = self
            .reads
            .iter()
            .filter(|(_, asked)| now >= **asked + patience)
            .map(|(ctx, _)| *ctx)
            .collect();
        for ctx in lost {
            self.reads.insert(ctx, now);
            self.node.read_index(self.context(ctx));
        }
    }

    /// raft-rs draws election time-outs from a generator that no seed decides.
    fn draw_election_timeout(&mut self) {
        let raft = &mut self.node.raft;
        let state = (raft.term, raft.state, raft.leader_id);
        if self.drawn_for != Some(state) {
            self.drawn_for = Some(state);
            let jitter = self.rng.next_u64() as usize % self.election_ticks;
            self.drawn = self.election_ticks + jitter;
        }
        raft.set_randomized_election_timeout(self.drawn);
    }

    /// Refuses the reads whose leader is gone, and tells whom it follows now.
    fn tell_leader(&mut self, fx: &mut Effects) {
        let raft = &self.node.raft;
        let now = (raft.term, raft.leader_id);
        if self.follows == Some(now) {
            return;
        }
        if self.follows.replace(now).is_some() {
            for (ctx, _) in std::mem::take(&mut self.reads) {
                fx.push(Effect::Lane(LaneMsg::Refused { id: ctx }));
            }
        }
        let (term, leader) = now;
        fx.push(Effect::Lane(LaneMsg::Leader { term, leader }));
    }

    fn settle(&mut self, fx: &mut Effects) -> Result<(), Fatal> {
        self.draw_election_timeout();
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            self.send(ready.take_messages(), fx);
            for read in ready.take_read_states() {
                self.readable(read.index, &read.request_ctx, fx);
            }
            self.persist(ready.entries(), ready.hs())?;
            self.send(ready.take_persisted_messages(), fx);
            self.show(fx);
            commit(ready.take_committed_entries(), fx);
            let mut light = self.node.advance(ready);
            self.send(light.take_messages(), fx);
            self.show(fx);
            commit(light.take_committed_entries(), fx);
            self.node.advance_apply();
            self.draw_election_timeout();
        }
        self.tell_leader(fx);
        self.show(fx);
        Ok(())
    }

    fn persist(&mut self, entries: &[Entry], state: Option<&HardState>) -> Result<(), Fatal> {
        let mut store = self.node.mut_store().wl();
        if let Some(first) = entries.first() {
            store.append(entries).expect("entries without a gap");
            let from = self.changed_from.unwrap_or(u64::MAX);
            self.changed_from = Some(from.min(first.index));
        }
        if let Some(state) = state {
            store.set_hardstate(state.clone());
        }
        drop(store);
        for entry in entries {
            self.log.append(&Record::Entry(entry.clone()))?;
        }
        if let Some(state) = state {
            self.log.append(&Record::HardState(state.clone()))?;
        }
        self.log.sync()?;
        Ok(())
    }

    fn readable(&mut self, index: u64, context: &[u8], fx: &mut Effects) {
        let asked = context.split_first_chunk::<8>().and_then(|(nonce, ctx)| {
            let ctx = u64::from_be_bytes(ctx.try_into().ok()?);
            (u64::from_be_bytes(*nonce) == self.nonce).then_some(ctx)
        });
        if let Some(ctx) = asked
            && self.reads.remove(&ctx).is_some()
        {
            fx.push(Effect::Lane(LaneMsg::Readable { ctx, index }));
        }
    }

    fn send(&self, messages: Vec<Message>, fx: &mut Effects) {
        for mut msg in messages {
            if msg.msg_type == MessageType::MsgPropose {
                msg.log_term = self.node.raft.term;
            }
            fx.push(Effect::Send(PeerFrame {
                cluster: self.cfg.cluster,
                from: self.cfg.id,
                to: msg.to,
                version: VERSION,
                body: PeerBody::Raft(Box::new(msg)),
            }));
        }
    }

    fn show(&mut self, fx: &mut Effects) {
        use raft::Storage as _;
        let raft = &self.node.raft;
        let last_index = self.node.store().last_index().expect("it is in memory");
        let log = self.changed_from.take().map(|from| LogChange {
            from,
            entries: match from > last_index {
                true => Vec::new(),
                false => self
                    .node
                    .store()
                    .entries(
                        from,
                        last_index + 1,
                        None,
                        raft::GetEntriesContext::empty(false),
                    )
                    .expect("it is in memory")
                    .iter()
                    .map(entry_id)
                    .collect(),
            },
            // Nobody changes the members of a mixed cluster.
            conf_changes: Vec::new(),
        });
        let log = log.map(Arc::new);
        let view = RaftView {
            term: raft.term,
            vote: raft.vote,
            role: match raft.state {
                StateRole::Leader => Role::Leader,
                StateRole::Candidate => Role::Candidate,
                StateRole::Follower | StateRole::PreCandidate => Role::Follower,
            },
            leader: raft.leader_id,
            commit: raft.raft_log.committed.min(last_index),
            first_index: 1,
            last_index,
            log: None,
            members: None,
        };
        if log.is_none() && self.shown.as_ref() == Some(&view) {
            return;
        }
        let led = |view: &RaftView| view.role == Role::Leader;
        if led(&view) && !self.shown.as_ref().is_some_and(led) {
            self.elected.fetch_add(1, Ordering::Relaxed);
        }
        self.shown = Some(view.clone());
        fx.push(Effect::View(View::Raft(RaftView { log, ..view })));
    }
}

impl Machine for RaftRsLane {
    fn step(&mut self, now: Now, input: Input, fx: &mut Effects) -> Result<(), Fatal> {
        self.handle(now, input, fx)?;
        self.settle(fx)
    }

    fn deadline(&self) -> Option<u64> {
        match self.shown {
            None => Some(0),
            Some(_) => Some(self.next_tick),
        }
    }
}

fn commit(entries: Vec<Entry>, fx: &mut Effects) {
    if !entries.is_empty() {
        fx.push(Effect::Lane(LaneMsg::Committed(entries)));
    }
}
