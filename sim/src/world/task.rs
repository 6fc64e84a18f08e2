//! Tasks of a scenario.

use super::shared::Shared;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// What the conductor polls. Whoever waits in it says for what to the world,
/// under the task's number: wakers wake nobody.
pub(crate) type Polled = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A task of the scenario.
#[derive(Debug)]
pub struct Running(pub(crate) u32);

pub(crate) struct Task {
    pub(crate) done: bool,
    /// Woken, and not yet polled.
    pub(crate) woken: bool,
    /// Away while it is polled, and once it has ended.
    pub(crate) future: Option<Polled>,
    /// The task that waits for its end.
    pub(crate) joiner: Option<u32>,
}

/// Polls a task that was woken.
pub(crate) fn poll_task(shared: &Shared, task: u32) {
    let future = {
        let mut inner = shared.lock();
        inner.current_task = task;
        let state = &mut inner.tasks[task as usize];
        state.woken = false;
        state.future.take()
    };
    let mut future = future.expect("a task that has not ended has its future");
    let poll = poll_once(&mut future);
    let mut inner = shared.lock();
    let state = &mut inner.tasks[task as usize];
    match poll {
        Poll::Pending => state.future = Some(future),
        Poll::Ready(()) => {
            state.done = true;
            if let Some(joiner) = state.joiner.take() {
                inner.wake(joiner);
            }
        }
    }
}

pub(crate) fn poll_once(future: &mut Polled) -> Poll<()> {
    future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}
