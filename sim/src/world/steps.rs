//! Steps of lanes: what goes in, and what comes of the effects that come out.

use super::inner::Inner;
use super::process::Lane;
use super::queue::Due;
use squall_api::{Effect, Input, SyncId};
use squall_record::Kind;

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
        self.meet_doom(node);
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
    pub(crate) fn perform_all(&mut self, node: u64, lane: Lane, effects: Vec<Effect>) {
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

    pub(crate) fn perform(&mut self, node: u64, lane: Lane, effect: Effect) {
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

    pub(crate) fn synced(&mut self, node: u64, id: SyncId, begun: u64) {
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
}
