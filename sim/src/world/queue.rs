//! What will happen, in order of (true time, order of scheduling).

use super::process::{Exit, Lane};
use super::steps::{Batch, Release};
use squall_api::{Request, Response, Status, SyncId};
use squall_record::Why;
use std::collections::VecDeque;

use crate::PowerLoss;

/// Something due at a time.
#[derive(Debug)]
pub(crate) enum Due {
    /// A task begins, slept long enough, or somebody waited for its mark.
    Wake { task: u32 },
    /// A lane may have something to do: its timeline has passed, its timer is
    /// due, or its inbox was filled.
    Lane {
        node: u64,
        lane: Lane,
        incarnation: u32,
    },
    /// Effects of a step may leave.
    Effects { batch: Batch, when: Release },
    /// An asynchronous sync ends.
    Synced {
        node: u64,
        incarnation: u32,
        id: SyncId,
        begun: u64,
        /// The event that started it.
        cause: u64,
    },
    /// A frame may reach its addressee.
    Arrive { from: u64, to: u64 },
    /// A client's call reaches the member.
    Call {
        op: u64,
        conn: u64,
        req: Box<Request>,
    },
    /// A member's answer reaches the client.
    Answer {
        op: u64,
        /// The event that the answer comes from.
        cause: Option<u64>,
        result: Box<Result<Response, Status>>,
    },
    /// A further message on a stream reaches the member.
    Message { stream: u64, req: Box<Request> },
    /// The member's machine learns that the client took an answer of a stream.
    Taken { stream: u64 },
    /// The member learns that the client wants no more of a stream.
    Cancel { call: u64 },
    /// An answer on a stream reaches the client's machine.
    StreamAnswer {
        stream: u64,
        cause: Option<u64>,
        result: Box<Result<Response, Status>>,
    },
    /// The client learns that its connection broke, or was refused.
    Broken { op: u64, refused: bool },
    /// The client will not wait any longer.
    GiveUp { op: u64, why: Why },
    /// A process ends by itself.
    Exit {
        node: u64,
        incarnation: u32,
        exit: Exit,
    },
    /// A process is killed and its disk replaced by an empty one.
    Wipe { node: u64 },
    /// A process is killed.
    Crash { node: u64, how: PowerLoss },
    /// A process starts.
    Start { node: u64 },
}

/// When something is due, and where it is kept: small, because a list moves its
/// items.
#[derive(Clone, Copy)]
struct Item {
    at: u64,
    slot: u32,
}

/// The queue of everything that is due.
///
/// About half of all that is scheduled is due at once, and never enters the list:
/// what the list has for the present was scheduled earlier, and comes first.
///
/// The list is a sorted deque and no heap: it has some ten items as long as what
/// will not be needed is taken out of it, and to take the first out moves none.
#[derive(Default)]
pub(crate) struct Queue {
    /// When the last thing was due.
    now: u64,
    present: VecDeque<Due>,
    /// In order of time, and of scheduling where that is equal.
    later: VecDeque<Item>,
    /// What the items stand for.
    slots: Vec<Option<Due>>,
    free: Vec<u32>,
}

impl Queue {
    /// Schedules `due` at true time `at`, after what is already due then.
    pub(crate) fn push(&mut self, at: u64, due: Due) {
        debug_assert!(at >= self.now, "due in the past: {due:?} at {at}");
        if at == self.now {
            self.present.push_back(due);
            return;
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(due);
                slot
            }
            None => {
                self.slots.push(Some(due));
                self.slots.len() as u32 - 1
            }
        };
        let before = self.later.partition_point(|item| item.at <= at);
        self.later.insert(before, Item { at, slot });
    }

    /// The next thing, and when it is due.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(u64, Due)> {
        let list_has_more = self.later.front().is_some_and(|item| item.at == self.now);
        if !list_has_more && let Some(due) = self.present.pop_front() {
            return Some((self.now, due));
        }
        let Item { at, slot } = self.later.pop_front()?;
        self.now = at;
        self.free.push(slot);
        let due = self.slots[slot as usize].take();
        Some((at, due.expect("an item of the list has its slot")))
    }

    /// Takes out something that was scheduled for `at`, if it is yet to come.
    pub(crate) fn cancel(&mut self, at: u64, which: impl Fn(&Due) -> bool) {
        let first = self.later.partition_point(|item| item.at < at);
        let items = self.later.range(first..).take_while(|item| item.at == at);
        let found = items.map(|item| item.slot).position(|slot| {
            let due = self.slots[slot as usize].as_ref();
            due.is_some_and(&which)
        });
        if let Some(item) = found.and_then(|after| self.later.remove(first + after)) {
            self.slots[item.slot as usize] = None;
            self.free.push(item.slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_times_keep_the_order_of_scheduling() {
        let mut queue = Queue::default();
        for (at, node) in [(5, 1), (3, 2), (0, 3), (5, 4), (3, 5), (5, 8)] {
            queue.push(at, Due::Start { node });
        }
        let mut order = Vec::new();
        while let Some((at, Due::Start { node })) = queue.pop() {
            order.push((at, node));
            if node == 2 {
                queue.push(5, Due::Start { node: 6 });
                queue.push(3, Due::Start { node: 7 });
                // The one at 5; there is none at 4, and the one at 3 has come.
                for at in [3, 4, 5] {
                    queue.cancel(at, |due| matches!(due, Due::Start { node: 2 | 4 }));
                }
            }
        }
        let expected = [(0, 3), (3, 2), (3, 5), (3, 7), (5, 1), (5, 8), (5, 6)];
        assert_eq!(order, expected);
        assert_eq!(queue.free.len(), queue.slots.len());
    }
}
