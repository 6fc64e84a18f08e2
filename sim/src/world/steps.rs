//! Steps of lanes: what goes in, and what comes of the effects that come out.

use super::inner::Inner;
use super::process::Lane;
use super::queue::Due;
use super::streams::number_of_stream;
use squall_api::{Effect, Input, Now, SyncId, View};
use squall_record::{Kind, PartKind};

/// Effects of one step that are due at the same time.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) node: u64,
    pub(crate) lane: Lane,
    pub(crate) incarnation: u32,
    /// The event that the step comes from.
    pub(crate) cause: Option<u64>,
    pub(crate) effects: Vec<Effect>,
}

/// When a batch leaves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Release {
    /// At its stamp.
    Stamped,
    /// Once everybody who waited for the mark before it has been woken: it goes
    /// once more to the end of what is due now, behind what they did.
    AfterMark,
    /// Now, and the lane goes on after the mark.
    Ungated,
}

impl Inner {
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
    pub(crate) fn take_input(&mut self, node: u64, lane: Lane) -> Option<(Input, Now)> {
        let now = self.now;
        let state = self.node(node);
        if !state.has_work(lane, now) {
            return None;
        }
        self.happens_at_once();
        let state = self.node(node);
        let slot = state.lane(lane);
        let (input, cause) = slot.inbox.pop_front().unwrap_or((Input::Deadline, None));
        slot.cause = cause;
        state.disk.begin_step(now);
        Some((input, state.clock.now(now)))
    }

    pub(crate) fn give(&mut self, node: u64, lane: Lane, input: Input, cause: Option<u64>) {
        let slot = self.node(node).lane(lane);
        slot.inbox.push_back((input, cause));
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
        let cause = state.lane(lane).cause;
        // Which of a step's writes a sync reaches depends on their order. Who
        // waits for a sync and then starts one waited for earlier steps' writes.
        let step = state.disk.end_step();
        let (waited, started) = (step.waited, !step.started.is_empty());
        if lane == Lane::Raft && waited && started {
            self.observer.synced(node);
        }
        let mut effects = effects.peekable();
        while let Some((stamp, first)) = effects.next() {
            let mut batch = self.spare.pop().unwrap_or_default();
            batch.push(first);
            while let Some((_, effect)) = effects.next_if(|(at, _)| *at == stamp) {
                batch.push(effect);
            }
            for effect in &batch {
                if let Effect::View(View::Raft(view)) = effect {
                    self.observer.written(node, view);
                }
            }
            let batch = Batch {
                node,
                lane,
                incarnation,
                cause,
                effects: batch,
            };
            if stamp + cpu == 0 {
                self.perform_all(batch);
                continue;
            }
            self.leaves_at(now + stamp + cpu, batch, Release::Stamped);
        }
        if lane == Lane::Raft && waited && !started {
            self.observer.synced(node);
        }
        self.meet_doom(node);
        let state = self.node(node);
        state.lane(lane).busy_until = now + step.spent + cpu;
        if let Some(hash) = step.hash {
            self.recorder.mix(PartKind::Disk, node, &hash.to_le_bytes());
        }
        for sync in step.started {
            self.observer.sync_started(node, sync.id);
            let cause = self
                .recorder
                .detail(now, Some(node), cause, || Kind::SyncStarted {
                    sync: sync.id.0,
                });
            let due = Due::Synced {
                node,
                incarnation,
                id: sync.id,
                begun: sync.begun,
                cause,
            };
            self.queue.push(sync.due, due);
        }
    }

    /// Lets effects leave at a time. Until they have left, their lane takes no
    /// further input: what comes of that could leave in the same nanosecond, before
    /// them.
    fn leaves_at(&mut self, at: u64, batch: Batch, when: Release) {
        self.node(batch.node).lane(batch.lane).leaving += 1;
        self.queue.push(at, Due::Effects { batch, when });
    }

    /// Lets effects leave, if their process still lives.
    pub(crate) fn leave(&mut self, batch: Batch, when: Release) {
        let Batch {
            node,
            lane,
            incarnation,
            ..
        } = batch;
        let state = self.node(node);
        if state.incarnation != incarnation {
            return;
        }
        state.lane(lane).leaving -= 1;
        match when {
            Release::Stamped => self.released(batch),
            Release::AfterMark => {
                self.leaves_at(self.now, batch, Release::Ungated);
            }
            Release::Ungated => {
                self.node(node).lane(lane).gated = false;
                self.released(batch);
                self.arm(node, lane);
            }
        }
    }

    /// Effects whose stamp has come; a paused process does not get to them.
    pub(crate) fn released(&mut self, batch: Batch) {
        let state = self.node(batch.node);
        if !state.pauses.is_empty() {
            state.held.push(batch);
            return;
        }
        if state.lane(batch.lane).gated {
            // Behind what the gate lets through first.
            self.leaves_at(self.now, batch, Release::Stamped);
            return;
        }
        self.perform_all(batch);
    }

    /// Performs effects in order, up to a mark that somebody waited for: they
    /// act first, and whatever comes after the mark may then never happen.
    fn perform_all(&mut self, batch: Batch) {
        let Batch {
            node,
            lane,
            incarnation,
            cause,
            effects: mut list,
        } = batch;
        let now = self.now;
        let mut effects = list.drain(..);
        while let Some(effect) = effects.next() {
            let Effect::Mark(name) = effect else {
                self.perform(node, lane, cause, effect);
                continue;
            };
            self.recorder.mark(now, node, cause, name);
            self.observer.marked(now, node, name);
            let Some(tasks) = self.marks.pass(node, name) else {
                continue;
            };
            for task in tasks {
                self.queue.push(now, Due::Wake { task });
            }
            self.node(node).lane(lane).gated = true;
            let batch = Batch {
                node,
                lane,
                incarnation,
                cause,
                effects: effects.collect(),
            };
            self.leaves_at(now, batch, Release::AfterMark);
            return;
        }
        drop(effects);
        self.spare.push(list);
    }

    fn perform(&mut self, node: u64, lane: Lane, cause: Option<u64>, effect: Effect) {
        match effect {
            Effect::Send(frame) => self.send(node, frame, cause),
            Effect::Reply { id, result, last } => {
                self.reply(id, result, last, cause);
                if !last && number_of_stream(id.0).is_none() {
                    // A call that takes one answer of a stream, and closes it.
                    self.give(node, lane, Input::Cancel(id), cause);
                }
            }
            Effect::Lane(msg) => self.give(node, lane.other(), Input::Lane(msg), cause),
            Effect::Mark(name) => unreachable!("perform_all passes marks, also {name}"),
            Effect::View(view) => self.viewed(node, &view, cause),
        }
    }

    pub(crate) fn synced(&mut self, node: u64, id: SyncId, begun: u64, cause: u64) {
        let now = self.now;
        let result = self.node(node).disk.finish_sync(id);
        if result.is_ok() {
            self.observer.sync_ended(node, id);
        }
        self.recorder.stats.syncs += 1;
        let ended = self
            .recorder
            .detail(now, Some(node), Some(cause), || Kind::Synced {
                sync: id.0,
                took: now.saturating_sub(begun),
            });
        self.give(node, Lane::Raft, Input::Synced { id, result }, Some(ended));
    }
}
