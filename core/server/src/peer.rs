//! Frames between members over TCP.
//!
//! Each member dials every other one and only sends on that connection; it only
//! receives on those that it accepted. Delivery is best effort: Raft sends
//! again what matters, so a queue that is full drops its oldest frame, and what
//! waited for a connection that failed is dropped with it.

use bytes::BytesMut;
use squall_api::{FrameError, Input, PeerFrame};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

/// Takes one line for whoever operates the member.
pub type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// Frames that wait for one peer: some rounds of full flow-control windows.
const QUEUE_FRAMES: usize = 1_024;
/// Between two attempts to connect: a heartbeat of the default settings.
const RECONNECT_AFTER: Duration = Duration::from_millis(100);
/// How long connecting may take before it counts as failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Who this member is to its peers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) cluster: u64,
    pub(crate) member: u64,
}

/// The queues to all peers.
#[derive(Debug)]
pub(crate) struct Links {
    queues: BTreeMap<u64, Arc<Queue>>,
    inboxes: Inboxes,
}

/// Where frames from peers go.
#[derive(Debug, Clone)]
pub(crate) struct Inboxes {
    /// Is told of what could not be delivered, too.
    pub(crate) raft: UnboundedSender<Input>,
    pub(crate) apply: UnboundedSender<Input>,
}

impl Inboxes {
    /// Whether the lane that the frame goes to is still there.
    fn give(&self, frame: PeerFrame) -> bool {
        let inbox = match frame.is_for_raft() {
            true => &self.raft,
            false => &self.apply,
        };
        inbox.send(Input::Peer(frame)).is_ok()
    }
}

impl Links {
    pub(crate) fn new(peers: impl Iterator<Item = u64>, inboxes: Inboxes) -> Links {
        Links {
            queues: peers.map(|peer| (peer, Arc::default())).collect(),
            inboxes,
        }
    }

    /// Queues a frame for its addressee. Never blocks.
    pub(crate) fn send(&self, frame: PeerFrame) {
        let to = frame.to;
        let delivered = self.queues.get(&to).is_some_and(|queue| queue.push(frame));
        if !delivered {
            self.unreachable(to);
        }
    }

    fn unreachable(&self, peer: u64) {
        // A Raft lane that has ended does not care.
        drop(self.inboxes.raft.send(Input::Unreachable(peer)));
    }
}

#[derive(Debug, Default)]
struct Queue {
    frames: Mutex<VecDeque<PeerFrame>>,
    filled: Notify,
}

impl Queue {
    /// False if an older frame had to go.
    fn push(&self, frame: PeerFrame) -> bool {
        let mut frames = self.lock();
        let full = frames.len() == QUEUE_FRAMES;
        if full {
            frames.pop_front();
        }
        frames.push_back(frame);
        drop(frames);
        self.filled.notify_one();
        !full
    }

    async fn wait(&self) {
        while self.lock().is_empty() {
            self.filled.notified().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<PeerFrame>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs all peer connections of a member, until it is dropped.
pub(crate) async fn run(
    identity: Identity,
    listener: TcpListener,
    peers: BTreeMap<u64, SocketAddr>,
    links: Arc<Links>,
    log: Log,
) {
    let known: Arc<[u64]> = peers.keys().copied().collect();
    for (peer, address) in peers {
        tokio::spawn(dial(peer, address, links.clone(), log.clone()));
    }
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let (known, inboxes, log) = (known.clone(), links.inboxes.clone(), log.clone());
                tokio::spawn(async move {
                    if let Err(reason) = receive(identity, stream, &known, &inboxes).await {
                        log(&format!(
                            "closed the peer connection from {address}: {reason}"
                        ));
                    }
                });
            }
            // Out of descriptors, or the dialer was gone already: both pass.
            Err(error) => {
                log(&format!("cannot accept a peer connection: {error}"));
                tokio::time::sleep(RECONNECT_AFTER).await;
            }
        }
    }
}

/// Keeps one connection to a peer, as long as there is something to send.
async fn dial(peer: u64, address: SocketAddr, links: Arc<Links>, log: Log) {
    let queue = links.queues[&peer].clone();
    let mut reachable = true;
    loop {
        queue.wait().await;
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let error = match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                if !reachable {
                    log(&format!("connected to member {peer} at {address} again"));
                }
                reachable = true;
                transmit(stream, &queue).await
            }
            Err(error) => error,
        };
        if reachable {
            log(&format!("lost member {peer} at {address}: {error}"));
        }
        reachable = false;
        // Old frames would only tell of a past that Raft has left.
        queue.lock().clear();
        links.unreachable(peer);
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

/// Sends what comes into the queue, until the connection fails.
async fn transmit(mut stream: TcpStream, queue: &Queue) -> io::Error {
    let mut wire = BytesMut::new();
    if let Err(error) = stream.set_nodelay(true) {
        return error;
    }
    loop {
        let frames = std::mem::take(&mut *queue.lock());
        for frame in frames {
            frame.encode(&mut wire);
        }
        if let Err(error) = stream.write_all_buf(&mut wire).await {
            return error;
        }
        queue.wait().await;
    }
}

/// Why a connection from a peer was closed.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("it ended within a frame")]
    Truncated,
    #[error("a frame of cluster {found:x} came to cluster {expected:x}")]
    Cluster { found: u64, expected: u64 },
    #[error("a frame for member {found:x} came to member {expected:x}")]
    Addressee { found: u64, expected: u64 },
    #[error("a frame came from member {found:x}, which is none of the peers {known:x?}")]
    Sender { found: u64, known: Arc<[u64]> },
}

/// Takes frames in until the connection ends, or something comes that no peer
/// sends: then there is no telling what the rest of it means.
async fn receive(
    identity: Identity,
    mut stream: TcpStream,
    known: &Arc<[u64]>,
    inboxes: &Inboxes,
) -> Result<(), Closed> {
    let mut wire = BytesMut::new();
    loop {
        match PeerFrame::decode(&mut wire) {
            Ok(frame) => {
                check(identity, &frame, known)?;
                if !inboxes.give(frame) {
                    return Ok(());
                }
            }
            Err(FrameError::Incomplete { .. }) => {
                if stream.read_buf(&mut wire).await? == 0 {
                    return if wire.is_empty() {
                        Ok(())
                    } else {
                        Err(Closed::Truncated)
                    };
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn check(identity: Identity, frame: &PeerFrame, known: &Arc<[u64]>) -> Result<(), Closed> {
    if frame.cluster != identity.cluster {
        return Err(Closed::Cluster {
            found: frame.cluster,
            expected: identity.cluster,
        });
    }
    if frame.to != identity.member {
        return Err(Closed::Addressee {
            found: frame.to,
            expected: identity.member,
        });
    }
    if !known.contains(&frame.from) {
        return Err(Closed::Sender {
            found: frame.from,
            known: known.clone(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_api::eraftpb::Message;
    use squall_api::{PeerBody, VERSION};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    const ME: Identity = Identity {
        cluster: 7,
        member: 1,
    };

    fn frame(cluster: u64, from: u64, to: u64) -> PeerFrame {
        PeerFrame {
            cluster,
            from,
            to,
            version: VERSION,
            body: PeerBody::Raft(Box::default()),
        }
    }

    fn wire(frames: &[PeerFrame]) -> BytesMut {
        let mut wire = BytesMut::new();
        for frame in frames {
            frame.encode(&mut wire);
        }
        wire
    }

    /// Runs member 1 of cluster 7 with member 2 at `peer`; gives its address,
    /// its inbox and its log.
    async fn member(
        peer: SocketAddr,
    ) -> (
        SocketAddr,
        Arc<Links>,
        UnboundedReceiver<Input>,
        UnboundedReceiver<String>,
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (raft, inputs) = unbounded_channel();
        let (apply, _) = unbounded_channel();
        let (lines, logged) = unbounded_channel();
        let links = Arc::new(Links::new([2].into_iter(), Inboxes { raft, apply }));
        let log: Log = Arc::new(move |line| drop(lines.send(line.to_owned())));
        tokio::spawn(run(
            ME,
            listener,
            BTreeMap::from([(2, peer)]),
            links.clone(),
            log,
        ));
        (address, links, inputs, logged)
    }

    fn nowhere() -> SocketAddr {
        // Bound and closed at once: nobody listens there.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    }

    #[tokio::test]
    async fn frames_arrive_also_in_pieces() {
        let (address, _links, mut inputs, _) = member(nowhere()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        for byte in wire(&[frame(7, 2, 1), frame(7, 2, 1)]) {
            stream.write_u8(byte).await.unwrap();
        }
        for _ in 0..2 {
            match inputs.recv().await.unwrap() {
                Input::Peer(got) => assert_eq!(got, frame(7, 2, 1)),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn what_no_peer_sends_closes_the_connection_with_a_reason() {
        let (address, _links, mut inputs, mut logged) = member(nowhere()).await;
        let damaged = {
            let mut wire = wire(&[frame(7, 2, 1)]);
            wire[12] ^= 1;
            wire
        };
        let truncated = BytesMut::from(&wire(&[frame(7, 2, 1)])[..20]);
        let cases = [
            (BytesMut::from(&[b'x'; 64][..]), "not a peer frame"),
            (damaged, "frame checksum is"),
            (truncated, "it ended within a frame"),
            (
                wire(&[frame(8, 2, 1)]),
                "a frame of cluster 8 came to cluster 7",
            ),
            (
                wire(&[frame(7, 2, 3)]),
                "a frame for member 3 came to member 1",
            ),
            (
                wire(&[frame(7, 9, 1)]),
                "from member 9, which is none of the peers [2]",
            ),
        ];
        for (bytes, reason) in cases {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            stream.shutdown().await.unwrap();
            let line = logged.recv().await.unwrap();
            assert!(line.contains(reason), "{line} should say: {reason}");
            // Closed, one way or the other.
            let rest = stream.read_u8().await;
            assert!(rest.is_err(), "{rest:?}");
        }
        assert!(inputs.try_recv().is_err(), "none of it reached the lane");
    }

    #[tokio::test]
    async fn a_peer_that_is_away_is_reported_and_dialled_again() {
        let address = nowhere();
        let (_, links, mut inputs, mut logged) = member(address).await;
        links.send(frame(7, 1, 2));
        assert!(matches!(inputs.recv().await, Some(Input::Unreachable(2))));
        assert!(logged.recv().await.unwrap().starts_with("lost member 2"));

        let listener = TcpListener::bind(address).await.unwrap();
        tokio::spawn(async move {
            // What is sent while the peer is away may be lost.
            loop {
                links.send(frame(7, 1, 2));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut wire = BytesMut::new();
        let got = loop {
            match PeerFrame::decode(&mut wire) {
                Ok(frame) => break frame,
                Err(_) => assert_ne!(stream.read_buf(&mut wire).await.unwrap(), 0),
            }
        };
        assert_eq!(got, frame(7, 1, 2));
        assert!(logged.recv().await.unwrap().contains("again"));
    }

    #[test]
    fn a_full_queue_drops_its_oldest_and_says_so() {
        let (raft, mut inputs) = unbounded_channel();
        let (apply, _) = unbounded_channel();
        let links = Links::new([2].into_iter(), Inboxes { raft, apply });
        let mut numbered = frame(7, 1, 2);
        for index in 0..=QUEUE_FRAMES as u64 {
            assert!(inputs.try_recv().is_err(), "frame {index} still had room");
            let msg = Message {
                index,
                ..Message::default()
            };
            numbered.body = PeerBody::Raft(Box::new(msg));
            links.send(numbered.clone());
        }
        assert!(matches!(inputs.try_recv(), Ok(Input::Unreachable(2))));
        let queue = links.queues[&2].lock();
        assert_eq!(queue.len(), QUEUE_FRAMES);
        assert_eq!(queue[0].raft().unwrap().index, 1);
        drop(queue);
        links.send(frame(7, 1, 9));
        assert!(matches!(inputs.try_recv(), Ok(Input::Unreachable(9))));
    }
}
