//! Frames between members over turmoil's TCP, with the same rules as over the
//! real one: best effort, bounded, and nothing but frames of one's own cluster.

use super::host::{Inboxes, host_name};
use bytes::BytesMut;
use squall_api::{FrameError, Input, PeerFrame};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use turmoil::net::{TcpListener, TcpStream};

const PORT: u16 = 2380;
const QUEUE_FRAMES: usize = 1_024;
const RECONNECT_AFTER: Duration = Duration::from_millis(100);

/// The queues to all peers, in bytes ready for the wire.
pub(super) struct Links {
    queues: BTreeMap<u64, Queue>,
    inboxes: Inboxes,
}

#[derive(Default)]
struct Queue {
    frames: RefCell<VecDeque<BytesMut>>,
    filled: Notify,
}

impl Links {
    pub(super) fn new(peers: impl Iterator<Item = u64>, inboxes: Inboxes) -> Links {
        Links {
            queues: peers.map(|peer| (peer, Queue::default())).collect(),
            inboxes,
        }
    }

    pub(super) fn send(&self, to: u64, frame: BytesMut) {
        let Some(queue) = self.queues.get(&to) else {
            return self.unreachable(to);
        };
        let mut frames = queue.frames.borrow_mut();
        if frames.len() == QUEUE_FRAMES {
            frames.pop_front();
            self.unreachable(to);
        }
        frames.push_back(frame);
        queue.filled.notify_one();
    }

    fn unreachable(&self, peer: u64) {
        // A lane that has ended does not care.
        drop(self.inboxes.raft.send(Input::Unreachable(peer)));
    }
}

impl Queue {
    async fn wait(&self) {
        while self.frames.borrow().is_empty() {
            self.filled.notified().await;
        }
    }
}

/// Runs all peer connections of a member; returns only if it cannot listen.
pub(super) async fn run(cluster: u64, member: u64, links: &Rc<Links>) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    for &peer in links.queues.keys() {
        tokio::task::spawn_local(dial(peer, links.clone()));
    }
    loop {
        let (stream, _) = listener.accept().await?;
        let links = links.clone();
        tokio::task::spawn_local(async move {
            receive(cluster, member, stream, &links).await;
        });
    }
}

async fn dial(peer: u64, links: Rc<Links>) {
    let queue = &links.queues[&peer];
    loop {
        queue.wait().await;
        if let Ok(stream) = TcpStream::connect((host_name(peer), PORT)).await {
            transmit(stream, queue).await;
        }
        queue.frames.borrow_mut().clear();
        links.unreachable(peer);
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

/// Sends what comes into the queue, until the connection fails.
async fn transmit(mut stream: TcpStream, queue: &Queue) {
    loop {
        let next = queue.frames.borrow_mut().pop_front();
        match next {
            None => queue.wait().await,
            Some(mut frame) => {
                if stream.write_all_buf(&mut frame).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Takes frames in until the connection ends, or something comes that no peer
/// sends: then there is no telling what the rest of it means.
async fn receive(cluster: u64, member: u64, mut stream: TcpStream, links: &Links) {
    let mut wire = BytesMut::new();
    loop {
        match PeerFrame::decode(&mut wire) {
            Ok(frame) => {
                let known = links.queues.contains_key(&frame.from);
                if frame.cluster != cluster || frame.to != member || !known {
                    return;
                }
                // A lane that has ended receives nothing.
                let inbox = match frame.is_for_raft() {
                    true => &links.inboxes.raft,
                    false => &links.inboxes.apply,
                };
                drop(inbox.send(Input::Peer(frame)));
            }
            Err(FrameError::Incomplete { .. }) => {
                if !matches!(stream.read_buf(&mut wire).await, Ok(1..)) {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
