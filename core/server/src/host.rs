//! A lane's host: a thread, an inbox, and the system's clocks.

use crate::client::Replies;
use crate::peer::Links;
use squall_api::{Effect, Effects, Fatal, Host, Input, Machine, Now, drive};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;

/// The clocks of this process: `mono` counts from its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    start: Instant,
}

impl Clocks {
    pub(crate) fn new() -> Clocks {
        Clocks {
            start: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            mono: self.start.elapsed().as_nanos() as u64,
            wall: wall.as_nanos() as u64,
        }
    }

    fn instant(&self, mono: u64) -> tokio::time::Instant {
        (self.start + Duration::from_nanos(mono)).into()
    }
}

/// What one lane hears, and whom it reaches.
///
/// Inboxes are not bounded: the other lane's messages may not be lost, peers
/// are bounded by Raft's own flow control, and clients by their open calls.
#[derive(Debug)]
pub(crate) struct LaneHost {
    pub(crate) clocks: Clocks,
    pub(crate) inbox: UnboundedReceiver<Input>,
    pub(crate) other: UnboundedSender<Input>,
    pub(crate) links: Arc<Links>,
    pub(crate) replies: Arc<Replies>,
}

impl Host for LaneHost {
    async fn next(&mut self, until: Option<u64>) -> Input {
        let input = match until {
            None => self.inbox.recv().await,
            // A timer that is due goes first: a full inbox may not starve it.
            Some(until) if self.clocks.now().mono >= until => return Input::Deadline,
            Some(until) => {
                match tokio::time::timeout_at(self.clocks.instant(until), self.inbox.recv()).await {
                    Ok(input) => input,
                    Err(_) => return Input::Deadline,
                }
            }
        };
        // Nobody can tell the lane anything any more.
        input.unwrap_or(Input::Stop)
    }

    fn now(&self) -> Now {
        self.clocks.now()
    }

    async fn release(&mut self, fx: &mut Effects) {
        for (_, effect) in fx.drain() {
            match effect {
                Effect::Send(frame) => self.links.send(frame),
                Effect::Reply { id, result, last } => self.replies.reply(id, *result, last),
                // The other lane may have ended; then this one is told to stop.
                Effect::Lane(message) => drop(self.other.send(Input::Lane(message))),
                Effect::Mark(_) | Effect::View(_) => {}
            }
        }
    }
}

/// Runs a lane on a thread of its own, until it ends or `killed` turns true;
/// `None` in the latter case.
pub(crate) fn spawn_lane(
    name: String,
    mut machine: impl Machine + 'static,
    mut host: LaneHost,
    mut fx: Effects,
    mut killed: watch::Receiver<bool>,
    ended: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<Option<Fatal>>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    thread::Builder::new().name(name).spawn(move || {
        let fatal = runtime.block_on(async {
            tokio::select! {
                biased;
                _ = killed.wait_for(|killed| *killed) => None,
                fatal = drive(&mut machine, &mut host, &mut fx) => Some(fatal),
            }
        });
        // The inbox goes first: nobody may wait for a lane that is gone.
        drop(host);
        ended();
        fatal
    })
}
