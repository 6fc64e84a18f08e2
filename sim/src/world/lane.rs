//! A lane's host in this world: the task side of the conductor's baton.

use super::process::Lane;
use super::shared::Shared;
use squall_api::{Effects, Host, Input, Machine, Now, drive};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

pub(crate) struct LaneHost {
    pub(crate) shared: Arc<Shared>,
    pub(crate) node: u64,
    pub(crate) lane: Lane,
    /// Both lanes of a process are spawned together, and madsim draws which it
    /// polls first: their first steps wait for the conductor.
    pub(crate) begun: bool,
}

impl Host for LaneHost {
    async fn next(&mut self, until: Option<u64>) -> Input {
        poll_fn(|cx| {
            let mut inner = self.shared.lock();
            inner.node(self.node).lane(self.lane).deadline = until;
            let input = match std::mem::replace(&mut self.begun, true) {
                true => inner.take_input(self.node, self.lane),
                false => None,
            };
            match input {
                Some(input) => Poll::Ready(input),
                None => {
                    let waker = cx.waker().clone();
                    inner.node(self.node).lane(self.lane).waiting = Some(waker);
                    inner.arm(self.node, self.lane);
                    inner.park();
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn now(&self) -> Now {
        let mut inner = self.shared.lock();
        let now = inner.now;
        inner.node(self.node).clock.now(now)
    }

    async fn release(&mut self, fx: &mut Effects) {
        self.shared.lock().release(self.node, self.lane, fx.drain());
    }
}

/// Runs one lane to its end. A lane that ends takes its process with it.
pub(crate) async fn run_lane(mut host: LaneHost, mut machine: impl Machine, mut fx: Effects) {
    let fatal = drive(&mut machine, &mut host, &mut fx).await;
    let mut inner = host.shared.lock();
    inner.lane_ended(host.node, host.lane, &fatal);
    inner.park();
}
