//! The world's state, and what each due thing does to it.

use super::conns::{Conn, Conns};
use super::marks::Marks;
use super::process::{Exit, Lane, Node, Standing};
use super::queue::{Due, Queue};
use super::recorder::Recorder;
use super::wire::{self, Flight, Wire};
use super::{Observer, Setup};
use crate::{DiskParams, Fate, Net, NodeDisk, PowerLoss, Streams};
use squall_api::{
    ApplyView, Effect, FRAME_HEADER_LEN, Fatal, Input, PeerFrame, ReqId, Request, Response, Role,
    SessionId, Status, View,
};
use squall_record::{DropReason, Kind, Outcome, Why, Witness};
use std::collections::BTreeMap;
use std::task::Waker;
use xxhash_rust::xxh3::xxh3_64;

/// One application of an entry, by whichever member applied its index first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppliedEntry {
    /// The entry's index.
    pub index: u64,
    /// The operation that proposed it; `None` for entries no client asked for.
    pub op: Option<u64>,
    /// The store's revision after it.
    pub revision: i64,
}

/// A broken invariant, seen online.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// The check that noticed.
    pub check: &'static str,
    /// What it saw.
    pub witness: Box<Witness>,
}

/// How a process came to be gone.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gone {
    /// It was killed, and power may have failed.
    Killed(PowerLoss),
    /// It stopped as it was asked to.
    Exited,
    /// It was killed, and its disk is replaced.
    Wiped,
}

/// An operation that a client waits for.
#[derive(Default)]
pub(crate) struct Waiting {
    /// The client's task, until the outcome is known.
    pub(crate) waker: Option<Waker>,
    pub(crate) task: u32,
    pub(crate) done: bool,
    /// The connection it was sent on.
    pub(crate) conn: u64,
}

pub(crate) struct Task {
    pub(crate) done: bool,
    /// Woken, and not yet polled: a second wake must not be counted.
    pub(crate) woken: bool,
    /// Wakes it for the first time; there from its first poll until it begins.
    pub(crate) begin: Option<Waker>,
    pub(crate) joiner: Option<(u32, Waker)>,
}

pub(crate) struct Inner {
    pub(crate) now: u64,
    pub(crate) seed: u64,
    /// What a new disk is like.
    pub(crate) disk: DiskParams,
    pub(crate) queue: Queue,
    /// Polls that were asked for and have not come back: the conductor goes on
    /// at 0, so that the executor never has a choice.
    pub(crate) running: u32,
    pub(crate) conductor: Option<Waker>,
    pub(crate) stopped: bool,
    pub(crate) tasks: Vec<Task>,
    pub(crate) current_task: u32,
    pub(crate) nodes: Vec<Node>,
    pub(crate) net: Net,
    /// One per ordered pair of members.
    wires: Vec<Wire>,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) conns: Conns,
    pub(crate) marks: Marks,
    pub(crate) recorder: Recorder,
    pub(crate) observer: Box<dyn Observer>,
    pub(crate) violation: Option<Violation>,
    /// Proposal id to operation, for writes on their way.
    proposals: BTreeMap<u64, u64>,
    pub(crate) applied: Vec<AppliedEntry>,
    applied_index: u64,
    scratch: Vec<u8>,
}

impl Inner {
    pub(crate) fn new(
        setup: &Setup,
        nodes: Vec<Node>,
        net: Net,
        recorder: Recorder,
        observer: Box<dyn Observer>,
    ) -> Inner {
        Inner {
            now: 0,
            seed: setup.seed,
            disk: setup.disk.clone(),
            queue: Queue::default(),
            running: 0,
            conductor: None,
            stopped: false,
            tasks: Vec::new(),
            current_task: 0,
            wires: (0..nodes.len() * nodes.len())
                .map(|_| Wire::default())
                .collect(),
            nodes,
            net,
            waiting: Vec::new(),
            conns: Conns::default(),
            marks: Marks::default(),
            recorder,
            observer,
            violation: None,
            proposals: BTreeMap::new(),
            applied: Vec::new(),
            applied_index: 0,
            scratch: Vec::new(),
        }
    }

    pub(crate) fn node(&mut self, id: u64) -> &mut Node {
        &mut self.nodes[id as usize - 1]
    }

    pub(crate) fn has_node(&self, id: u64) -> bool {
        (1..=self.nodes.len() as u64).contains(&id)
    }

    /// One poll came back.
    pub(crate) fn park(&mut self) {
        self.running -= 1;
        if self.running == 0
            && let Some(conductor) = self.conductor.take()
        {
            conductor.wake();
        }
    }

    // --- lanes ---

    /// Makes sure that a lane is looked at when it next has something to do.
    pub(crate) fn arm(&mut self, node: u64, lane: Lane) {
        let now = self.now;
        let state = self.node(node);
        let Some(at) = state.next_wake(lane, now) else {
            return;
        };
        let incarnation = state.incarnation;
        let slot = state.lane(lane);
        if slot.wake_at.is_none_or(|armed| at < armed) {
            slot.wake_at = Some(at);
            self.queue.push(
                at,
                Due::Lane {
                    node,
                    lane,
                    incarnation,
                },
            );
        }
    }

    /// The next input for a lane that asks for one now, if there is one. Begins
    /// its step.
    pub(crate) fn take_input(&mut self, node: u64, lane: Lane) -> Option<Input> {
        let now = self.now;
        let state = self.node(node);
        if !state.has_work(lane, now) {
            return None;
        }
        let slot = state.lane(lane);
        slot.step_at = now;
        let input = slot.inbox.pop_front().unwrap_or(Input::Deadline);
        state.disk.begin_step(now);
        Some(input)
    }

    pub(crate) fn give(&mut self, node: u64, lane: Lane, input: Input) {
        self.node(node).lane(lane).inbox.push_back(input);
        self.arm(node, lane);
    }

    /// Takes over the effects of a step that just ran, and the time it took.
    pub(crate) fn release(
        &mut self,
        node: u64,
        lane: Lane,
        effects: impl Iterator<Item = (u64, Effect)>,
    ) {
        let now = self.now;
        let state = self.node(node);
        let (incarnation, cpu) = (state.incarnation, state.cpu());
        let mut effects = effects.peekable();
        while let Some((stamp, first)) = effects.next() {
            let mut batch = vec![first];
            while let Some((_, effect)) = effects.next_if(|(at, _)| *at == stamp) {
                batch.push(effect);
            }
            if stamp + cpu == 0 {
                self.perform_all(node, lane, batch);
                continue;
            }
            let due = Due::Release {
                node,
                lane,
                incarnation,
                effects: batch,
            };
            self.queue.push(now + stamp + cpu, due);
        }
        let state = self.node(node);
        let spent = state.disk.spent();
        state.lane(lane).busy_until = now + spent + cpu;
        for sync in state.disk.take_started() {
            let due = Due::Synced {
                node,
                incarnation,
                id: sync.id,
                begun: sync.begun,
            };
            self.queue.push(sync.due, due);
            self.recorder
                .detail(now, Some(node), None, || Kind::SyncStarted {
                    sync: sync.id.0,
                });
        }
    }

    /// Effects whose stamp has come; a paused process does not get to them.
    pub(crate) fn released(&mut self, node: u64, lane: Lane, effects: Vec<Effect>) {
        let now = self.now;
        let state = self.node(node);
        if !state.pauses.is_empty() {
            state.held.push((lane, effects));
            return;
        }
        if state.lane(lane).gated {
            let incarnation = state.incarnation;
            let due = Due::Release {
                node,
                lane,
                incarnation,
                effects,
            };
            // Behind what the gate lets through first.
            self.queue.push(now, due);
            return;
        }
        self.perform_all(node, lane, effects);
    }

    /// Performs effects in order, up to a mark that somebody waited for: they
    /// act first, and whatever comes after the mark may then never happen.
    fn perform_all(&mut self, node: u64, lane: Lane, effects: Vec<Effect>) {
        let now = self.now;
        let mut effects = effects.into_iter();
        while let Some(effect) = effects.next() {
            let Effect::Mark(name) = effect else {
                self.perform(node, lane, effect);
                continue;
            };
            self.recorder.mark(now, node, name);
            let Some(wakers) = self.marks.pass(node, name) else {
                continue;
            };
            for (task, waker) in wakers {
                self.queue.push(now, Due::Wake { task, waker });
            }
            let state = self.node(node);
            state.lane(lane).gated = true;
            let incarnation = state.incarnation;
            let due = Due::AfterMark {
                node,
                lane,
                incarnation,
                effects: effects.collect(),
            };
            self.queue.push(now, due);
            return;
        }
    }

    /// Lets a lane go on after a mark.
    pub(crate) fn ungate(&mut self, node: u64, lane: Lane, effects: Vec<Effect>) {
        self.node(node).lane(lane).gated = false;
        self.released(node, lane, effects);
        self.arm(node, lane);
    }

    fn perform(&mut self, node: u64, lane: Lane, effect: Effect) {
        match effect {
            Effect::Send(frame) => self.send(node, frame),
            Effect::Reply {
                id,
                result,
                last: _,
            } => self.reply(id, result),
            Effect::Lane(msg) => self.give(node, lane.other(), Input::Lane(msg)),
            Effect::Mark(name) => unreachable!("perform_all passes marks, also {name}"),
            Effect::View(view) => self.viewed(node, &view),
        }
    }

    // --- members to members ---

    fn send(&mut self, node: u64, frame: PeerFrame) {
        let now = self.now;
        let (to, msg_type) = (frame.to, frame.msg.get_msg_type());
        assert!(
            frame.from == node && self.has_node(to),
            "n{node} sent {frame:?}"
        );
        self.scratch.clear();
        frame.encode_message(&mut self.scratch);
        self.recorder.hash.mix_u64(now);
        self.recorder.hash.mix_u64(node << 32 | to);
        self.recorder.hash.mix(b's', &self.scratch);
        let bytes = self.scratch.len() + FRAME_HEADER_LEN;
        if self.violation.is_none()
            && let Err(violation) = self.observer.sent(now, node, &frame.msg)
        {
            self.violate(Some(node), violation);
        }
        let sent = self.recorder.detail(now, Some(node), None, || Kind::Sent {
            msg: 0,
            to,
            what: format!("{msg_type:?}").into(),
            term: frame.msg.term,
            index: frame.msg.index,
            entries: frame.msg.entries.len() as u32,
        });
        // A message is known by the number of the event that sent it.
        let msg = sent;
        if let Some(event) = self.recorder.events.last_mut()
            && event.seq == sent
            && let Kind::Sent { msg: slot, .. } = &mut event.kind
        {
            *slot = msg;
        }
        match self.net.send(now, node, to, bytes) {
            Fate::Drop(why) => {
                self.recorder
                    .detail(now, Some(node), Some(sent), || Kind::Dropped {
                        msg,
                        to,
                        why,
                    });
            }
            Fate::Deliver(at) => self.fly(at, msg, sent, frame, None),
            Fate::DeliverTwice(first, second) => {
                self.fly(first, msg, sent, frame.clone(), None);
                self.fly(second, msg, sent, frame, None);
            }
            Fate::Damaged { at, damage } => self.fly(at, msg, sent, frame, Some(damage)),
        }
    }

    /// Puts a frame on its way, to arrive at true time `at`.
    fn fly(&mut self, at: u64, msg: u64, sent: u64, frame: PeerFrame, damage: Option<u64>) {
        let (from, to) = (frame.from, frame.to);
        let arrives = self.net.link_time(self.now, from, to) + (at - self.now);
        let flight = Flight {
            msg,
            sent,
            frame,
            damage,
        };
        self.wire(from, to).push(arrives, flight);
        self.queue.push(at, Due::Arrive { from, to });
    }

    fn wire(&mut self, from: u64, to: u64) -> &mut Wire {
        let nodes = self.nodes.len() as u64;
        &mut self.wires[((from - 1) * nodes + (to - 1)) as usize]
    }

    /// Ends what a fault did to the network, and lets go what it kept there.
    pub(crate) fn heal(&mut self, fault: u32) {
        let now = self.now;
        self.net.heal(fault);
        for (from, to) in self.net.relieve(now, fault) {
            let reached = self.net.link_time(now, from, to);
            let waits: Vec<u64> = self
                .wire(from, to)
                .arrivals()
                .map(|at| at.saturating_sub(reached))
                .collect();
            for wait in waits {
                self.queue.push(now + wait, Due::Arrive { from, to });
            }
        }
    }

    /// Looks at a direction on which a frame should arrive now. A clog may have
    /// moved that, and a hold may have brought it forward: then nothing does.
    pub(crate) fn arrive(&mut self, from: u64, to: u64) {
        let now = self.now;
        if !self.net.moves(from, to) {
            return;
        }
        let reached = self.net.link_time(now, from, to);
        let Some(flight) = self.wire(from, to).pop(reached) else {
            return;
        };
        let Flight { msg, sent, .. } = flight;
        let arrived = if !self.net.connected(from, to) {
            Err(DropReason::Partition)
        } else if !self.node(to).up {
            Err(DropReason::Down)
        } else {
            match flight.damage {
                None => Ok(flight.frame),
                Some(damage) => {
                    wire::damaged(&flight.frame, damage).map_err(|_| DropReason::Corrupt)
                }
            }
        };
        self.recorder.hash.mix(b'a', &[arrived.is_err() as u8]);
        self.recorder.hash.mix_u64(msg);
        let frame = match arrived {
            Ok(frame) => frame,
            Err(why) => {
                self.recorder
                    .detail(now, Some(to), Some(sent), || Kind::Dropped { msg, to, why });
                return;
            }
        };
        if flight.damage.is_some() {
            // The checksum let it pass, and so does the world: what the member
            // makes of it is the finding.
            let name = "net.damage_unnoticed";
            self.recorder.mark(now, to, name);
            self.marks.pass(to, name);
        }
        self.recorder.stats.messages += 1;
        self.recorder
            .detail(now, Some(to), Some(sent), || Kind::Delivered { msg, from });
        self.give(to, Lane::Raft, Input::Peer(frame));
    }

    pub(crate) fn synced(&mut self, node: u64, id: squall_api::SyncId, begun: u64) {
        let now = self.now;
        let result = self.node(node).disk.finish_sync(id);
        self.recorder.stats.syncs += 1;
        self.recorder
            .detail(now, Some(node), None, || Kind::Synced {
                sync: id.0,
                took: now.saturating_sub(begun),
            });
        self.give(node, Lane::Raft, Input::Synced { id, result });
    }

    // --- clients ---

    /// When something that leaves now on a connection reaches the client.
    fn reaches_client(&mut self, conn: u64) -> u64 {
        let (client, number, node) = self.conn(conn);
        self.net.to_client(self.now, client, number, node)
    }

    /// When something that leaves now on a connection reaches the member.
    pub(crate) fn reaches_member(&mut self, conn: u64) -> u64 {
        let (client, number, node) = self.conn(conn);
        self.net.to_member(self.now, client, number, node)
    }

    fn conn(&self, conn: u64) -> (u32, u64, u64) {
        let conn = self.conns.get(conn).expect("a connection in use is kept");
        (conn.client, conn.number, conn.node)
    }

    pub(crate) fn call_arrives(&mut self, op: u64, conn: u64, req: Request) {
        let state = self.conns.get(conn).expect("a call is under way on it");
        let (node, open) = (state.node, state.open);
        self.hash_call(op, &req);
        self.conns.arrived(conn, op);
        if !open || !self.node(node).up {
            // Nobody listens, or not who did when the call was sent. Refused is
            // certain: no process ever saw the call.
            let at = self.reaches_client(conn);
            let refused = open;
            self.close(conn);
            self.queue.push(at, Due::Broken { op, refused });
            return;
        }
        self.conns.taken_in(conn, op);
        let session = SessionId(conn);
        self.give(
            node,
            Lane::Apply,
            Input::Request {
                id: ReqId(op),
                session,
                req,
            },
        );
    }

    fn reply(&mut self, id: ReqId, result: Result<Response, Status>) {
        let op = id.0;
        self.hash_answer(op, &result);
        let conn = self.waiting[op as usize].conn;
        if !self.conns.answered(conn, op) {
            return;
        }
        let at = self.reaches_client(conn);
        self.queue.push(
            at,
            Due::Answer {
                op,
                result: Box::new(result),
            },
        );
    }

    fn close(&mut self, conn: u64) {
        self.conns.close(conn);
        if let Some(gone) = self.conns.forget(conn) {
            self.net.forget(gone.client, gone.number, gone.node);
        }
    }

    /// The member's machine resets a connection. Answers that left before still
    /// arrive; whatever was not answered breaks when the reset arrives.
    fn reset(&mut self, conn: u64, also_under_way: bool) {
        for op in self.conns.unanswered(conn, also_under_way) {
            let at = self.reaches_client(conn);
            self.queue.push(at, Due::Broken { op, refused: false });
        }
        self.close(conn);
    }

    /// Resets open connections, of one client or to one member. Returns how
    /// many.
    pub(crate) fn reset_connections(&mut self, of: impl Fn(&Conn) -> bool) -> u64 {
        let open = self.conns.open(of);
        for &conn in &open {
            let (_, _, node) = self.conn(conn);
            self.reset(conn, true);
            if self.node(node).up {
                self.give(node, Lane::Apply, Input::Closed(SessionId(conn)));
            }
        }
        open.len() as u64
    }

    /// The client learns an outcome, unless it knows one already.
    pub(crate) fn settle(&mut self, op: u64, outcome: Outcome) {
        let waiting = &mut self.waiting[op as usize];
        if waiting.done {
            return;
        }
        waiting.done = true;
        let (task, waker) = (waiting.task, waiting.waker.take());
        self.recorder.returned(self.now, op, outcome);
        if let Some(waker) = waker {
            self.wake(task, waker);
        }
    }

    /// Lets a task run, unless it is gone.
    pub(crate) fn wake(&mut self, task: u32, waker: Waker) {
        let state = &mut self.tasks[task as usize];
        if !state.done && !state.woken {
            state.woken = true;
            self.running += 1;
            waker.wake();
        }
    }

    // --- views ---

    fn viewed(&mut self, node: u64, view: &View) {
        let now = self.now;
        match view {
            View::Raft(raft) => {
                let standing = &mut self.node(node).standing;
                let before = (standing.role, standing.term, standing.leader);
                standing.commit = raft.commit;
                (standing.role, standing.term, standing.leader) =
                    (raft.role, raft.term, raft.leader);
                if before != (raft.role, raft.term, raft.leader) {
                    if raft.role == Role::Leader && before.0 != Role::Leader {
                        self.recorder.stats.elections += 1;
                    }
                    let (role, term, leader) = (raft.role, raft.term, raft.leader);
                    self.recorder
                        .notable(now, Some(node), Kind::Role { role, term, leader });
                }
                let index = raft.commit;
                self.recorder
                    .detail(now, Some(node), None, || Kind::Commit { index });
            }
            View::Proposed { req, proposal } => {
                self.proposals.insert(*proposal, req.0);
            }
            View::Applied(applied) => self.applied(node, applied),
            View::Installed(applied) => {
                self.node(node).standing.applied = applied.index;
                self.recorder.stats.snapshots_installed += 1;
                let (index, revision) = (applied.index, applied.revision);
                self.recorder
                    .notable(now, Some(node), Kind::SnapshotInstalled { index, revision });
            }
            View::Opened(applied) => self.node(node).standing.applied = applied.index,
        }
        if self.violation.is_none()
            && let Err(violation) = self.observer.view(now, node, view)
        {
            self.violate(Some(node), violation);
        }
    }

    /// Notes a broken invariant; the first one ends the run.
    pub(crate) fn violate(&mut self, node: Option<u64>, violation: Violation) {
        let check = violation.check.to_owned();
        let sentence = violation.witness.sentence.clone();
        self.recorder
            .notable(self.now, node, Kind::Violated { check, sentence });
        self.violation.get_or_insert(violation);
        self.stopped = true;
    }

    fn applied(&mut self, node: u64, view: &ApplyView) {
        self.node(node).standing.applied = view.index;
        let op = self.proposals.get(&view.proposal).copied();
        let ApplyView {
            index, revision, ..
        } = *view;
        let term = view.entry.term;
        self.recorder.hash.mix_u64(view.state);
        self.recorder
            .detail(self.now, Some(node), None, || Kind::Applied {
                index,
                term,
                op,
                revision,
            });
        if index > self.applied_index {
            self.applied_index = index;
            self.applied.push(AppliedEntry {
                index,
                op,
                revision,
            });
        }
    }

    // --- processes ---

    /// The process is gone: everything that was only in its memory is lost.
    pub(crate) fn process_gone(&mut self, node: u64, gone: Gone) {
        let now = self.now;
        let state = self.node(node);
        state.up = false;
        state.pauses.clear();
        state.held.clear();
        state.held_exit = None;
        for lane in &mut state.lanes {
            *lane = super::process::LaneState::default();
        }
        let applied = state.standing.applied;
        state.standing = Standing::of_nobody();
        state.standing.applied = applied;
        let (how, disk) = match gone {
            Gone::Killed(how) => (how, Some(how.name())),
            Gone::Exited => (PowerLoss::Kept, None),
            Gone::Wiped => (PowerLoss::Kept, Some("wiped")),
        };
        let report = state.disk.crash(now, how);
        if let Some(disk) = disk {
            self.recorder.notable(
                now,
                Some(node),
                Kind::Crashed {
                    disk: disk.into(),
                    unsynced_sectors: report.unsynced_sectors,
                    lost_sectors: report.lost_sectors,
                },
            );
        }
        self.observer.crashed(node);
        // The kernel resets the process's connections; each client learns it
        // when the reset arrives.
        for conn in self.conns.open(|conn| conn.node == node) {
            self.reset(conn, false);
        }
    }

    /// A lane has come to its end. Its process ends with it, when the lane's
    /// last step is over; after a clean stop it waits for the other lane's.
    pub(crate) fn lane_ended(&mut self, node: u64, lane: Lane, fatal: &Fatal) {
        let now = self.now;
        let state = self.node(node);
        if !state.up {
            return;
        }
        state.lane(lane).ended = true;
        let asked = matches!(fatal, Fatal::Stopped);
        if asked && !state.lane(lane.other()).ended {
            return;
        }
        let exit = Exit {
            reason: fatal.to_string(),
            illegal: !matches!(fatal, Fatal::Stopped | Fatal::Removed),
            asked,
        };
        let ended = state.lanes.iter().filter(|lane| lane.ended);
        let at = ended.map(|lane| lane.busy_until).fold(now, u64::max);
        let incarnation = state.incarnation;
        let due = Due::Exit {
            node,
            incarnation,
            exit,
        };
        self.queue.push(at, due);
    }

    /// Whether a process that is due to end ends now; it may stand still, or
    /// have something to do at this very moment.
    pub(crate) fn exits(&mut self, node: u64, incarnation: u32, exit: &Exit) -> bool {
        let now = self.now;
        let state = self.node(node);
        if state.incarnation != incarnation || !state.up {
            return false;
        }
        if !state.pauses.is_empty() {
            state.held_exit.get_or_insert(exit.clone());
            return false;
        }
        if state.lanes.iter().any(|lane| lane.gated) {
            let due = Due::Exit {
                node,
                incarnation,
                exit: exit.clone(),
            };
            self.queue.push(now, due);
            return false;
        }
        let (reason, illegal) = (exit.reason.clone(), exit.illegal);
        state.ended = Some(reason.clone());
        self.recorder
            .notable(now, Some(node), Kind::Ended { reason, illegal });
        true
    }

    /// Replaces a node's disk by an empty one, with draws of its own.
    pub(crate) fn replace_disk(&mut self, node: u64, seed: u64, params: &DiskParams) {
        let state = self.node(node);
        state.wipes += 1;
        let name = [seed, node, state.wipes].map(u64::to_le_bytes);
        let streams = Streams::new(xxh3_64(name.as_flattened()));
        let new = NodeDisk::new(node, params.clone(), &streams);
        let old = std::mem::replace(&mut state.disk, new);
        // What the old one did is part of the run.
        self.recorder.hash.mix_u64(old.take_hash());
        self.observer.wiped(node);
    }

    pub(crate) fn pause(&mut self, fault: u32, node: u64) {
        let now = self.now;
        let state = self.node(node);
        if !state.up {
            return;
        }
        if state.pauses.is_empty() {
            state.paused_since = now;
            self.recorder.notable(now, Some(node), Kind::Paused);
        }
        self.node(node).pauses.insert(fault);
    }

    pub(crate) fn resume(&mut self, fault: u32, node: u64) {
        let now = self.now;
        let state = self.node(node);
        if !state.pauses.remove(&fault) || !state.pauses.is_empty() {
            return;
        }
        // What was left of a step when the process stopped is still to be done.
        let stood = now - state.paused_since;
        let since = state.paused_since;
        for lane in &mut state.lanes {
            if lane.busy_until > since {
                lane.busy_until += stood;
            }
        }
        let held = std::mem::take(&mut state.held);
        if let Some(exit) = state.held_exit.take() {
            let busy = state.lanes.iter().map(|lane| lane.busy_until);
            let at = busy.fold(now, u64::max);
            let incarnation = state.incarnation;
            let due = Due::Exit {
                node,
                incarnation,
                exit,
            };
            self.queue.push(at, due);
        }
        self.recorder.notable(now, Some(node), Kind::Resumed);
        for (lane, effects) in held {
            self.released(node, lane, effects);
        }
        for lane in Lane::BOTH {
            self.arm(node, lane);
        }
    }

    // --- the rolling hash over what clients say and hear ---

    fn hash_call(&mut self, op: u64, req: &Request) {
        self.scratch.clear();
        req.encode(&mut self.scratch);
        self.recorder.hash.mix_u64(self.now);
        self.recorder.hash.mix_u64(op);
        self.recorder.hash.mix(b'c', &self.scratch);
    }

    fn hash_answer(&mut self, op: u64, result: &Result<Response, Status>) {
        self.scratch.clear();
        match result {
            Ok(response) => response.encode(&mut self.scratch),
            Err(status) => self.scratch.extend_from_slice(status.message.as_bytes()),
        }
        self.recorder.hash.mix_u64(self.now);
        self.recorder.hash.mix_u64(op);
        self.recorder.hash.mix(b'y', &self.scratch);
    }

    /// Ends everything that still waits: the run is over.
    pub(crate) fn end_of_run(&mut self) {
        for op in self.recorder.history.iter_mut() {
            if op.ret.is_none() {
                op.outcome = Outcome::Unknown(Why::RunEnded);
            }
        }
    }
}

impl Standing {
    pub(crate) const fn of_nobody() -> Standing {
        Standing {
            role: Role::Follower,
            term: 0,
            leader: 0,
            commit: 0,
            applied: 0,
        }
    }
}
