//! The conductor: takes the next due thing, moves the clock to its time, lets
//! exactly one task run, and waits until that task has come to rest.

use super::lives::Gone;
use super::process::Lane;
use super::queue::Due;
use super::shared::Shared;
use super::streams::{Item, number_of_stream};
use crate::PowerLoss;
use madsim::runtime::Handle;
use madsim::time::TimeHandle;
use squall_record::{Outcome, Why};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Conducts until the run stops.
pub(crate) async fn conduct(shared: &Arc<Shared>) {
    let executor = Handle::current();
    let clock = TimeHandle::current();
    loop {
        at_rest(shared).await;
        let due = {
            let mut inner = shared.lock();
            if inner.stopped {
                return;
            }
            let Some((at, due)) = inner.queue.pop() else {
                panic!(
                    "nothing is due at {} ns, and the run has not ended",
                    inner.now
                );
            };
            debug_assert!(
                at >= inner.now,
                "due in the past: {due:?} at {at} < {}",
                inner.now
            );
            inner.now = at;
            due
        };
        follow(&clock, shared.lock().now);
        match due {
            Due::Crash { node, how } => crash(shared, &executor, node, Gone::Killed(how)).await,
            Due::Wipe { node } => {
                crash(shared, &executor, node, Gone::Wiped).await;
                let mut inner = shared.lock();
                let (seed, params) = (inner.seed, inner.disk.clone());
                inner.replace_disk(node, seed, &params);
            }
            Due::Exit {
                node,
                incarnation,
                exit,
            } => {
                let exits = shared.lock().exits(node, incarnation, &exit);
                if exits {
                    // The page cache stays with the kernel.
                    let gone = match exit.asked {
                        true => Gone::Exited,
                        false => Gone::Killed(PowerLoss::Kept),
                    };
                    crash(shared, &executor, node, gone).await;
                }
            }
            Due::Start { node } => start(shared, &executor, node),
            due => handle(shared, due),
        }
    }
}

/// Waits until no task that was woken is still to be polled.
async fn at_rest(shared: &Shared) {
    poll_fn(|cx| {
        let mut inner = shared.lock();
        if inner.running == 0 {
            Poll::Ready(())
        } else {
            inner.conductor = Some(cx.waker().clone());
            Poll::Pending
        }
    })
    .await;
}

/// Lets madsim's clock follow ours, for whoever asks the system for the time.
fn follow(clock: &TimeHandle, now: u64) {
    let behind = Duration::from_nanos(now).saturating_sub(clock.elapsed());
    // Tens of microseconds do not matter to anybody who may ask.
    if behind > Duration::from_millis(1) {
        clock.advance(behind);
    }
}

fn handle(shared: &Shared, due: Due) {
    let mut inner = shared.lock();
    let Some(due) = inner.keep_from_client(due) else {
        return;
    };
    match due {
        Due::Wake { task, waker } => inner.wake(task, waker),
        Due::Begin { task } => {
            let begin = inner.tasks[task as usize].begin.take();
            inner.wake(task, begin.expect("a task is polled before it begins"));
        }
        Due::Lane {
            node,
            lane,
            incarnation,
        } => {
            let now = inner.now;
            let state = inner.node(node);
            if state.incarnation != incarnation {
                return;
            }
            if state.lane(lane).wake_at == Some(now) {
                state.lane(lane).wake_at = None;
            }
            if state.has_work(lane, now) {
                if let Some(waker) = state.lane(lane).waiting.take() {
                    inner.running += 1;
                    waker.wake();
                }
            } else {
                inner.arm(node, lane);
            }
        }
        Due::Release {
            node,
            lane,
            incarnation,
            effects,
        } => {
            if inner.node(node).incarnation == incarnation {
                inner.released(node, lane, effects);
            }
        }
        Due::AfterMark {
            node,
            lane,
            incarnation,
            effects,
        } => {
            let now = inner.now;
            let due = Due::Ungate {
                node,
                lane,
                incarnation,
                effects,
            };
            inner.queue.push(now, due);
        }
        Due::Ungate {
            node,
            lane,
            incarnation,
            effects,
        } => {
            if inner.node(node).incarnation == incarnation {
                inner.ungate(node, lane, effects);
            }
        }
        Due::Synced {
            node,
            incarnation,
            id,
            begun,
            cause,
        } => {
            if inner.node(node).incarnation == incarnation {
                inner.synced(node, id, begun, cause);
                inner.meet_doom(node);
            }
        }
        Due::Arrive { from, to } => inner.arrive(from, to),
        Due::Call { op, conn, req } => inner.call_arrives(op, conn, *req),
        Due::Answer { op, cause, result } => {
            let outcome = match *result {
                Ok(response) => Outcome::Ok(response),
                Err(status) => Outcome::from_status(status),
            };
            inner.settle(op, cause, outcome);
        }
        Due::Message { stream, req } => inner.message_arrives(stream, *req),
        Due::Taken { stream } => inner.taken_arrives(stream),
        Due::Cancel { stream } => inner.cancel_arrives(stream),
        Due::StreamAnswer {
            stream,
            cause,
            result,
        } => inner.stream_hears(stream, Item::Answer(result, cause)),
        Due::Broken { op, .. } if number_of_stream(op).is_some() => {
            inner.stream_hears(op, Item::Broken);
        }
        Due::Broken { op, refused } => {
            let outcome = if refused {
                Outcome::Refused(super::calls::connection_refused())
            } else {
                Outcome::Unknown(Why::Reset)
            };
            inner.settle(op, None, outcome);
        }
        Due::GiveUp { op, why } => inner.settle(op, None, Outcome::Unknown(why)),
        Due::Crash { .. } | Due::Exit { .. } | Due::Wipe { .. } | Due::Start { .. } => {
            unreachable!("handled by the conductor")
        }
    }
}

async fn crash(shared: &Shared, executor: &Handle, node: u64, gone: Gone) {
    let machine = {
        let mut inner = shared.lock();
        if !inner.node(node).up {
            return;
        }
        inner.process_gone(node, gone);
        // Whatever the doomed incarnation still has under way is void.
        inner.node(node).incarnation += 1;
        inner.node(node).machine
    };
    executor.kill(machine);
    // `kill` returns before the tasks are dropped; after a millisecond they are.
    madsim::time::sleep(Duration::from_millis(1)).await;
}

fn start(shared: &Shared, executor: &Handle, node: u64) {
    let machine = {
        let mut inner = shared.lock();
        if inner.node(node).up {
            return;
        }
        let state = inner.node(node);
        state.up = true;
        state.ended = None;
        for lane in Lane::BOTH {
            *state.lane(lane) = Default::default();
        }
        inner.running += 1;
        inner.node(node).machine
    };
    executor.restart(machine);
}
