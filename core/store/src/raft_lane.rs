//! The Raft lane: Raft, the write-ahead log, and what may leave when.

mod assembly;
mod marks;
mod streams;

use self::assembly::{Assembly, Taken};
use self::streams::Streams;
use crate::digest::entry_id;
use crate::wal::Wal;
use raft_proto::eraftpb::Message;
use squall_api::OpenError;
use squall_api::pb::peer::SnapshotChunk;
use squall_api::{
    Bug, Bugs, Config, Effect, Effects, Env, Fatal, Input, LaneMsg, LogChange, Machine,
    MembersView, Now, PeerBody, PeerFrame, RaftView, VERSION, View,
};
use squall_raft::confchange::Configuration;
use squall_raft::{LogBase, Output, ProposeError, Raft, Restored, Settings, is_conf_change};
use std::collections::VecDeque;
use std::sync::Arc;

/// Appends that may be under way to one follower without an answer.
const MAX_INFLIGHT: usize = 256;
/// Nor more than this many bytes: a follower that answers slowly must not make
/// its leader's queues hold 256 appends of a megabyte.
const MAX_INFLIGHT_BYTES: u64 = 32 << 20;
/// A leader refuses proposals while this many bytes are not committed; etcd's.
const MAX_UNCOMMITTED_BYTES: u64 = 1 << 30;

/// One half of a member: see [`open`](crate::open).
#[derive(Debug)]
pub struct RaftLane {
    cfg: Config,
    bugs: Bugs,
    raft: Raft,
    wal: Wal,
    /// Leader: the snapshots that travel in parts.
    streams: Streams,
    /// Follower: the one that arrives in parts.
    assembly: Assembly,
    /// Outputs up to this one are durable.
    durable: u64,
    /// Messages that wait for the output of that number to be durable.
    held: VecDeque<(u64, Vec<Message>)>,
    shown: Option<Shown>,
    /// Bytes of a torn tail that opening cut off.
    torn: u64,
}

/// The part of a view that tells whether there is something new to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shown {
    term: u64,
    vote: u64,
    role: squall_api::Role,
    leader: u64,
    commit: u64,
    first_index: u64,
    last_index: u64,
    configuration_index: u64,
}

impl RaftLane {
    /// Opens the lane. `applied` is what the backend durably holds: if the log
    /// ends before it, the backend was replaced by a snapshot, and the log
    /// restarts there. `configuration` is the one in force there.
    pub fn open(
        env: Env,
        now: Now,
        applied: LogBase,
        configuration: Configuration,
    ) -> Result<RaftLane, OpenError> {
        let Env {
            disk,
            rng,
            bugs,
            cfg,
        } = env;
        cfg.validate()?;
        let (mut wal, recovered) = Wal::open(disk, &cfg, bugs, applied)?;
        let torn = recovered.torn;
        let mut restored = Restored {
            hard_state: recovered.hard_state,
            base: recovered.base,
            entries: recovered.entries,
            applied: 0,
            configuration: Some(configuration),
        };
        let reset = check_applied(&restored, applied)
            .map(|()| restored.reconcile(applied))
            .and_then(|reset| restored.validate().map(|()| reset))
            .map_err(|what| {
                OpenError::Corrupt(format!(
                    "the log and the backend do not fit together: {what}; restore the data \
                     directory from one copy, or replace the member"
                ))
            })?;
        if reset {
            wal.reset_at_open(restored.base, &restored.hard_state)?;
        }
        let settings = Settings {
            id: cfg.id,
            voters: cfg.voters.clone(),
            election_timeout: cfg.election_timeout,
            heartbeat: cfg.heartbeat,
            max_append_bytes: cfg.max_append_bytes,
            max_inflight: MAX_INFLIGHT,
            max_inflight_bytes: MAX_INFLIGHT_BYTES,
            max_uncommitted_bytes: MAX_UNCOMMITTED_BYTES,
            pre_vote: cfg.pre_vote,
            check_quorum: cfg.check_quorum,
            read_lease: cfg.read_lease,
            bugs,
        };
        let raft = Raft::new(settings, restored, rng, now.mono);
        let streams = Streams::new(cfg.snapshot_chunk_bytes, cfg.election_timeout / 2);
        Ok(RaftLane {
            streams,
            assembly: Assembly::default(),
            cfg,
            bugs,
            raft,
            wal,
            durable: 0,
            held: VecDeque::new(),
            shown: None,
            torn,
        })
    }

    fn handle(&mut self, now: Now, input: Input, fx: &mut Effects) -> Result<(), Fatal> {
        match input {
            Input::Deadline => {
                self.raft.on_deadline(now.mono);
                for _ in 0..self.streams.on_deadline(now.mono) {
                    fx.mark(marks::REPEATED_SNAPSHOT_CHUNKS);
                }
            }
            Input::Stop => {
                self.wal.sync_now()?;
                return Err(Fatal::Stopped);
            }
            Input::Peer(frame) => self.peer(now, frame, fx),
            // A snapshot that travels in parts goes on where it stood.
            Input::Unreachable(peer) if self.streams.has(peer) => {}
            Input::Unreachable(peer) => self.raft.unreachable(peer),
            Input::Synced { id, result } => {
                let Some(done) = self.wal.synced(id, result)? else {
                    return Ok(());
                };
                if done.rolled {
                    fx.mark("wal.segment_rolled");
                }
                if done.purged > 0 {
                    fx.mark("wal.segment_purged");
                }
                self.durable = done.seq;
                self.raft.persisted(now.mono, done.seq);
            }
            Input::Lane(msg) => self.lane(now, msg, fx)?,
            Input::Request { .. }
            | Input::Message { .. }
            | Input::Taken { .. }
            | Input::Cancel(_)
            | Input::Closed(_) => {
                unreachable!("an input of the apply lane was given to the Raft lane: {input:?}")
            }
        }
        Ok(())
    }

    fn peer(&mut self, now: Now, frame: PeerFrame, fx: &mut Effects) {
        let PeerFrame {
            cluster,
            from,
            to,
            version,
            body,
        } = frame;
        if cluster != self.cfg.cluster {
            fx.mark("raft_lane.refused_other_cluster");
        } else if version > VERSION {
            fx.mark("raft_lane.refused_newer_version");
        } else if to != self.cfg.id {
            fx.mark("raft_lane.refused_misaddressed");
        } else {
            match body {
                PeerBody::Raft(msg) if msg.to != to || msg.from != from => {
                    fx.mark("raft_lane.refused_misaddressed");
                }
                PeerBody::Raft(msg) => self.raft.step(now.mono, *msg),
                PeerBody::Chunk(chunk) => self.snapshot_chunk(now, from, *chunk, fx),
                PeerBody::Received(received) => {
                    if self.streams.received(now.mono, from, &received) {
                        self.raft.snapshot_progressed(now.mono, from);
                        if self.bugs.has(Bug::ResendChunks) {
                            self.streams.go_back(from);
                        }
                    }
                }
                PeerBody::Forwarded(_) => {
                    unreachable!("a frame for the apply lane was given to the Raft lane")
                }
            }
        }
    }

    /// Takes a part of a snapshot; the last one goes to Raft with all the others.
    fn snapshot_chunk(&mut self, now: Now, from: u64, chunk: SnapshotChunk, fx: &mut Effects) {
        let (commit, term) = (self.raft.commit(), self.raft.term());
        let received = match self.assembly.take(from, self.cfg.id, chunk, commit, term) {
            Taken::Refused(mark) => return fx.mark(mark),
            Taken::Part { received, mark } => {
                fx.mark(mark);
                received
            }
            Taken::Whole { received, snapshot } => {
                fx.mark(marks::ASSEMBLED_SNAPSHOT);
                self.raft.step(now.mono, *snapshot);
                received
            }
            Taken::Known(snapshot) => return self.raft.step(now.mono, *snapshot),
        };
        self.push_frame(from, PeerBody::Received(received), fx);
    }

    fn lane(&mut self, now: Now, msg: LaneMsg, fx: &mut Effects) -> Result<(), Fatal> {
        match msg {
            LaneMsg::Propose { id, data } => {
                if self.raft.propose(now.mono, id, data).is_err() {
                    fx.push(Effect::Lane(LaneMsg::Refused { id }));
                }
            }
            LaneMsg::ProposeConfChange { id, change } => {
                if let Err(why) = self.raft.propose_conf_change(now.mono, id, &change) {
                    if why != ProposeError::NoLeader {
                        fx.mark("raft_lane.refused_conf_change");
                    }
                    fx.push(Effect::Lane(LaneMsg::Refused { id }));
                }
            }
            LaneMsg::ConfChangeApplied { index, state } => {
                let configuration = Configuration::from_state(&state);
                self.raft
                    .configuration_applied(now.mono, index, configuration);
            }
            LaneMsg::ReadIndex { ctx } => {
                if self.raft.read_index(now.mono, ctx).is_err() {
                    fx.push(Effect::Lane(LaneMsg::Refused { id: ctx }));
                }
            }
            LaneMsg::MoveLeader { id, to } => {
                if self.raft.transfer_leader(now.mono, to).is_err() {
                    fx.push(Effect::Lane(LaneMsg::Refused { id }));
                }
            }
            LaneMsg::IsInSync { id, member } => {
                fx.push(Effect::Lane(match self.raft.is_in_sync(member) {
                    Some(is_in_sync) => LaneMsg::InSync { id, is_in_sync },
                    None => LaneMsg::Refused { id },
                }));
            }
            LaneMsg::Applied { durable, .. } => self.compact(durable)?,
            LaneMsg::Snapshot(snapshot) => self.raft.snapshot_taken(now.mono, *snapshot),
            LaneMsg::Installed(snapshot) => {
                let metadata = snapshot.get_metadata();
                let base = LogBase {
                    index: metadata.index,
                    term: metadata.term,
                };
                self.raft.snapshot_installed(now.mono, base);
            }
            LaneMsg::Committed(_)
            | LaneMsg::Readable { .. }
            | LaneMsg::InSync { .. }
            | LaneMsg::Refused { .. }
            | LaneMsg::WantSnapshot
            | LaneMsg::Install(_)
            | LaneMsg::Leader { .. } => {
                unreachable!("the Raft lane was told what it tells the apply lane: {msg:?}")
            }
        }
        Ok(())
    }

    /// Drops entries that the backend durably has, but for a tail that spares
    /// followers who lag a little a snapshot.
    fn compact(&mut self, durable: u64) -> Result<(), Fatal> {
        let Config {
            snapshot_entries,
            catch_up_entries,
            ..
        } = self.cfg;
        let base = self.raft.base();
        let kept = snapshot_entries.saturating_add(catch_up_entries);
        if durable < base.index.saturating_add(kept) || self.bugs.has(Bug::KeepAllEntries) {
            return Ok(());
        }
        self.raft.compact(durable - catch_up_entries);
        if self.raft.base() != base {
            self.wal.compact(self.raft.base())?;
        }
        Ok(())
    }

    /// Releases what came up, as far as it may leave.
    fn flush(&mut self, now: Now, fx: &mut Effects) -> Result<(), Fatal> {
        let mut output = self.raft.take();
        if output.must_persist() {
            self.wal.write(&output)?;
        }
        self.wal.start_sync();
        self.send(now, std::mem::take(&mut output.send), fx);
        let after_sync = std::mem::take(&mut output.send_after_sync);
        let lies = self.bugs.has(Bug::UnsyncedHardState)
            && output.append.is_empty()
            && output.reset.is_none();
        if output.seq <= self.durable || lies {
            self.send(now, after_sync, fx);
        } else if !after_sync.is_empty() {
            self.held.push_back((output.seq, after_sync));
        }
        self.send_chunks(fx);
        // A crash at a mark finds done what the mark says.
        for &mark in &output.marks {
            fx.mark(mark);
        }
        self.show(output.log_changed_from, fx);
        tell(output, fx);
        Ok(())
    }

    /// Sends what waited for what is durable now.
    fn send_held(&mut self, now: Now, fx: &mut Effects) {
        let durable = self.durable;
        let is_durable = |(seq, _): &mut (u64, _)| *seq <= durable;
        while let Some((_, messages)) = self.held.pop_front_if(is_durable) {
            self.send(now, messages, fx);
        }
    }

    fn send(&mut self, now: Now, messages: Vec<Message>, fx: &mut Effects) {
        for msg in messages {
            if let Some(msg) = self.streams.begin(now.mono, msg) {
                self.push_frame(msg.to, PeerBody::Raft(Box::new(msg)), fx);
            } else {
                fx.mark(marks::STREAMED_SNAPSHOT);
            }
        }
    }

    /// Sends the parts of snapshots whose turn it is. What Raft has given up, or
    /// has no more reason to send, is dropped.
    fn send_chunks(&mut self, fx: &mut Effects) {
        let raft = &self.raft;
        self.streams
            .retain(|peer, index| raft.snapshot_under_way(peer) == Some(index));
        for (peer, chunk) in self.streams.take_due() {
            self.push_frame(peer, PeerBody::Chunk(Box::new(chunk)), fx);
        }
    }

    fn push_frame(&self, to: u64, body: PeerBody, fx: &mut Effects) {
        fx.push(Effect::Send(PeerFrame {
            cluster: self.cfg.cluster,
            from: self.cfg.id,
            to,
            version: VERSION,
            body,
        }));
    }

    /// Shows what changed, and tells the apply lane whom it follows.
    fn show(&mut self, log_changed_from: Option<u64>, fx: &mut Effects) {
        let raft = &self.raft;
        let now = Shown {
            term: raft.term(),
            vote: raft.vote(),
            role: raft.role(),
            leader: raft.leader(),
            commit: raft.commit(),
            first_index: raft.first_index(),
            last_index: raft.last_index(),
            configuration_index: raft.configuration_index(),
        };
        let from = match self.shown {
            // The first view shows the whole log.
            None => Some(raft.first_index()),
            Some(_) => log_changed_from,
        };
        if self.shown == Some(now) && from.is_none() {
            return;
        }
        let follows = |shown: Shown| (shown.term, shown.leader);
        if self.shown.map(follows) != Some(follows(now)) {
            let (term, leader) = follows(now);
            fx.push(Effect::Lane(LaneMsg::Leader { term, leader }));
        }
        let log = from.map(|from| {
            let from = from.max(raft.first_index());
            Arc::new(LogChange {
                from,
                entries: raft.entries_from(from).map(entry_id).collect(),
                conf_changes: raft
                    .entries_from(from)
                    .filter(|entry| is_conf_change(entry))
                    .map(|entry| entry.index)
                    .collect(),
            })
        });
        let before = self.shown.map(|shown| shown.configuration_index);
        let members = (before != Some(now.configuration_index)).then(|| {
            let Configuration {
                voters, learners, ..
            } = raft.configuration();
            Arc::new(MembersView {
                index: now.configuration_index,
                voters: voters.incoming.iter().collect(),
                outgoing: voters.outgoing.iter().collect(),
                learners: learners.clone(),
            })
        });
        let Shown {
            term,
            vote,
            role,
            leader,
            commit,
            first_index,
            last_index,
            configuration_index: _,
        } = now;
        fx.push(Effect::View(View::Raft(RaftView {
            term,
            vote,
            role,
            leader,
            commit,
            first_index,
            last_index,
            log,
            members,
        })));
        self.shown = Some(now);
    }
}

impl Machine for RaftLane {
    fn step(&mut self, now: Now, input: Input, fx: &mut Effects) -> Result<(), Fatal> {
        if std::mem::take(&mut self.torn) > 0 {
            fx.mark("wal.tail_truncated");
        }
        if self.shown.is_none() {
            // As it was opened, before anybody tells it anything.
            self.show(None, fx);
        }
        self.handle(now, input, fx)?;
        self.send_held(now, fx);
        self.flush(now, fx)
    }

    fn deadline(&self) -> Option<u64> {
        match self.shown {
            None => Some(0),
            Some(_) => Some(self.raft.deadline().min(self.streams.deadline())),
        }
    }
}

/// Tells the apply lane what concerns it.
fn tell(output: Output, fx: &mut Effects) {
    let mut tell = |msg| fx.push(Effect::Lane(msg));
    if !output.committed.is_empty() {
        tell(LaneMsg::Committed(output.committed));
    }
    for (ctx, index) in output.readable {
        tell(LaneMsg::Readable { ctx, index });
    }
    for id in output.refused {
        tell(LaneMsg::Refused { id });
    }
    if let Some(snapshot) = output.install {
        tell(LaneMsg::Install(Box::new(snapshot)));
    }
    if output.want_snapshot {
        tell(LaneMsg::WantSnapshot);
    }
}

/// Whether the backend may hold `applied` beside this log. A log may have
/// another entry there, or end before it, if the backend became a snapshot; not
/// so if the log knows its own entry to be committed.
fn check_applied(log: &Restored, applied: LogBase) -> Result<(), String> {
    let position = applied.index.checked_sub(log.base.index + 1);
    let term = match position {
        Some(position) => log.entries.get(position as usize).map(|e| e.term),
        None => (applied.index == log.base.index).then_some(log.base.term),
    };
    let is_committed = applied.index <= log.hard_state.commit.max(log.base.index);
    match term {
        Some(term) if term != applied.term && is_committed => Err(format!(
            "entry {} was applied in term {}, but committed in term {term}",
            applied.index, applied.term
        )),
        _ => Ok(()),
    }
}

// Last, for marks are looked for up to where a file's tests begin.
#[cfg(test)]
mod tests;

#[cfg(test)]
impl RaftLane {
    /// Whether this member leads, as far as it knows.
    pub(crate) fn is_leader(&self) -> bool {
        self.raft.role() == squall_api::Role::Leader
    }
}
