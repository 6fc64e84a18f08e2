//! The one loop that runs a lane, in every world.

use crate::{Effects, Fatal, Input, Machine, Now};

/// What a lane lives on: madsim, turmoil, or tokio with a thread per lane.
#[expect(
    async_fn_in_trait,
    reason = "hosts run a lane on one thread: no future of theirs needs to be Send"
)]
pub trait Host {
    /// The next input, or [`Input::Deadline`] once the monotonic clock has
    /// reached `until`.
    async fn next(&mut self, until: Option<u64>) -> Input;
    /// The node's clocks.
    fn now(&self) -> Now;
    /// Releases the effects of one step: simulated, at the step's start plus
    /// their stamps; real, at once. Leaves `fx` empty.
    async fn release(&mut self, fx: &mut Effects);
}

/// Runs a lane until it ends, and says why it did.
pub async fn drive(machine: &mut impl Machine, host: &mut impl Host, fx: &mut Effects) -> Fatal {
    loop {
        let input = host.next(machine.deadline()).await;
        let outcome = machine.step(host.now(), input, fx);
        // What a lane said before it failed was said.
        host.release(fx).await;
        if let Err(fatal) = outcome {
            return fatal;
        }
    }
}
