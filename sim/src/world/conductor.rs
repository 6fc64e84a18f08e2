//! The conductor: takes the next due thing, moves the clock to its time, and
//! lets at most one lane or task run, which comes to rest before anything else
//! happens.

use super::boot::boot;
use super::inner::Inner;
use super::lives::Gone;
use super::process::Lane;
use super::queue::Due;
use super::shared::Shared;
use super::streams::{Item, number_of_stream};
use super::task::{Polled, poll_once, poll_task};
use crate::PowerLoss;
use madsim::time::TimeHandle;
use squall_record::{Outcome, Why};
use std::sync::Arc;
use std::time::Duration;

/// The lanes of all nodes, where they run.
pub(crate) type Lanes = Vec<[Option<Polled>; 2]>;

/// More than this never happens in one nanosecond but where lanes or tasks call each
/// other for ever.
const AT_ONCE_MAX: u32 = 1_000_000;

/// What cannot happen under the world's lock: it runs, starts or drops what
/// takes that lock itself.
enum Turn {
    /// The run is over.
    End,
    /// A task runs.
    Task(u32),
    /// A lane takes what there is for it.
    Lane(u64, Lane),
    /// A process is gone: what is left of it is dropped.
    Gone(u64),
    /// A process starts.
    Start(u64),
}

/// Conducts until the run stops. Returns what is left of the members.
pub(crate) fn conduct(shared: &Arc<Shared>) -> Lanes {
    let mut clock = SystemClock::new();
    let mut lanes = Lanes::new();
    lanes.resize_with(shared.lock().nodes.len(), Default::default);
    loop {
        let turn = shared.lock().turn(&mut clock);
        match turn {
            Turn::End => return lanes,
            Turn::Task(task) => poll_task(shared, task),
            Turn::Lane(node, lane) => {
                let slot = &mut lanes[node as usize - 1][lane as usize];
                if let Some(future) = slot
                    && poll_once(future).is_ready()
                {
                    *slot = None;
                }
            }
            // The disk is dead to it: destructors harm nobody.
            Turn::Gone(node) => lanes[node as usize - 1] = [None, None],
            Turn::Start(node) => {
                if let Some(begun) = boot(shared, node) {
                    lanes[node as usize - 1] = begun.map(Some);
                }
            }
        }
    }
}

/// madsim's clock, which follows ours for whoever asks the system for the time.
struct SystemClock {
    clock: TimeHandle,
    /// What it showed when it was last moved.
    shows: u64,
}

impl SystemClock {
    fn new() -> SystemClock {
        let clock = TimeHandle::current();
        let shows = clock.elapsed().as_nanos() as u64;
        SystemClock { clock, shows }
    }

    fn follow(&mut self, now: u64) {
        let behind = now.saturating_sub(self.shows);
        // Tens of microseconds do not matter to anybody who may ask.
        if behind > 1_000_000 {
            self.clock.advance(Duration::from_nanos(behind));
            self.shows = now;
        }
    }
}

impl Inner {
    /// Lets happen what is due, up to the next turn of somebody else.
    fn turn(&mut self, clock: &mut SystemClock) -> Turn {
        loop {
            if let Some(task) = self.ready.pop_front() {
                return Turn::Task(task);
            }
            if self.stopped {
                return Turn::End;
            }
            let Some((at, due)) = self.queue.pop() else {
                panic!(
                    "nothing is due at {} ns, and the run has not ended",
                    self.now
                );
            };
            if at > self.now {
                self.now = at;
                self.at_once = 0;
                clock.follow(at);
            }
            self.happens_at_once();
            if let Some(turn) = self.happens(due) {
                return turn;
            }
        }
    }

    /// One more thing happens at this time.
    pub(crate) fn happens_at_once(&mut self) {
        self.at_once += 1;
        assert!(
            self.at_once < AT_ONCE_MAX,
            "{AT_ONCE_MAX} things happened at {} ns, and time does not pass: lanes or tasks call \
             each other without an end",
            self.now
        );
    }

    fn happens(&mut self, due: Due) -> Option<Turn> {
        if self.is_kept_from_client(&due) {
            self.kept_from_clients.push(due);
            return None;
        }
        match due {
            Due::Wake { task } => self.wake(task),
            Due::Lane {
                node,
                lane,
                incarnation,
            } => {
                let now = self.now;
                let state = self.node(node);
                if state.incarnation != incarnation {
                    return None;
                }
                if state.lane(lane).wake_at == Some(now) {
                    state.lane(lane).wake_at = None;
                }
                if state.has_work(lane, now) {
                    return Some(Turn::Lane(node, lane));
                }
                self.arm(node, lane);
            }
            Due::Effects { batch, when } => self.leave(batch, when),
            Due::Synced {
                node,
                incarnation,
                id,
                begun,
                cause,
            } => {
                if self.node(node).incarnation == incarnation {
                    self.synced(node, id, begun, cause);
                    self.meet_doom(node);
                }
            }
            Due::Arrive { from, to } => self.arrive(from, to),
            Due::Call { op, conn, req } => self.call_arrives(op, conn, req),
            Due::Answer { op, cause, result } => {
                let outcome = match *result {
                    Ok(response) => Outcome::Ok(response),
                    Err(status) => Outcome::from_status(status),
                };
                self.settle(op, cause, outcome);
            }
            Due::Message { stream, req } => self.message_arrives(stream, req),
            Due::Taken { stream } => self.taken_arrives(stream),
            Due::Cancel { call } => self.cancel_arrives(call),
            Due::StreamAnswer {
                stream,
                cause,
                result,
            } => self.stream_hears(stream, Item::Answer(result, cause)),
            Due::Broken { op, .. } if number_of_stream(op).is_some() => {
                self.stream_hears(op, Item::Broken);
            }
            Due::Broken { op, refused } => {
                let outcome = if refused {
                    Outcome::Refused(super::calls::connection_refused())
                } else {
                    Outcome::Unknown(Why::Reset)
                };
                self.settle(op, None, outcome);
            }
            Due::GiveUp { op, why } => self.give_up(op, why),
            Due::Crash { node, how } => return self.goes(node, Gone::Killed(how)),
            Due::Wipe { node } => return self.goes(node, Gone::Wiped),
            Due::Exit {
                node,
                incarnation,
                exit,
            } => {
                if self.exits(node, incarnation, &exit) {
                    // The page cache stays with the kernel.
                    let gone = match exit.asked {
                        true => Gone::Exited,
                        false => Gone::Killed(PowerLoss::Kept),
                    };
                    return self.goes(node, gone);
                }
            }
            Due::Start { node } => return Some(Turn::Start(node)),
        }
        None
    }

    fn goes(&mut self, node: u64, gone: Gone) -> Option<Turn> {
        if self.node(node).up {
            self.process_gone(node, gone);
        }
        if let Gone::Wiped = gone {
            let (seed, params) = (self.seed, self.disk.clone());
            self.replace_disk(node, seed, &params);
        }
        Some(Turn::Gone(node))
    }
}
