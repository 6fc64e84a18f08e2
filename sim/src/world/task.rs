//! Tasks of a scenario.

use super::shared::Shared;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A task of the scenario.
#[derive(Debug)]
pub struct Running(pub(crate) u32);

pub(crate) struct Task {
    pub(crate) done: bool,
    /// Woken, and not yet polled: a second wake must not be counted.
    pub(crate) woken: bool,
    /// Wakes it for the first time; there from its first poll until it begins.
    pub(crate) begin: Option<Waker>,
    pub(crate) joiner: Option<(u32, Waker)>,
}

/// A task of the scenario, which hands the baton back after each poll.
pub(crate) struct Baton {
    pub(crate) shared: Arc<Shared>,
    pub(crate) task: u32,
    /// madsim polls what was spawned together in an order that it draws, and
    /// how often it drew before depends on every other task. So the first poll
    /// only leaves a waker, and the task begins when its turn in the queue
    /// comes.
    pub(crate) begun: bool,
    pub(crate) future: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Future for Baton {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut inner = self.shared.lock();
            if !self.begun {
                inner.tasks[self.task as usize].begin = Some(cx.waker().clone());
                inner.park();
                drop(inner);
                self.begun = true;
                return Poll::Pending;
            }
            inner.current_task = self.task;
            inner.tasks[self.task as usize].woken = false;
        }
        let poll = pin!(&mut self.future).poll(cx);
        let mut inner = self.shared.lock();
        if poll.is_ready() {
            let state = &mut inner.tasks[self.task as usize];
            state.done = true;
            if let Some((task, waker)) = state.joiner.take() {
                inner.wake(task, waker);
            }
        }
        inner.park();
        poll
    }
}
