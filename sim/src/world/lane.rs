//! A lane's host in this world.

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
    /// The node's clocks when the present step began.
    pub(crate) now: Now,
}

impl Host for LaneHost {
    async fn next(&mut self, until: Option<u64>) -> Input {
        poll_fn(|_| {
            let mut inner = self.shared.lock();
            inner.node(self.node).lane(self.lane).deadline = until;
            match inner.take_input(self.node, self.lane) {
                Some((input, now)) => {
                    self.now = now;
                    Poll::Ready(input)
                }
                None => {
                    inner.arm(self.node, self.lane);
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn now(&self) -> Now {
        self.now
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
}
