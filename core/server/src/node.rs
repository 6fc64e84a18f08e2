//! One member, running.

use crate::client::{Client, Replies};
use crate::disk::FileDisk;
use crate::host::{Clocks, LaneHost, spawn_lane};
use crate::peer::{self, Identity, Inboxes, Links, Log};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use squall_api::{Bugs, Config, Effects, Env, Fatal, Input, OpenError};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;

/// What a member needs to run.
pub struct Settings {
    /// The member's own settings.
    pub config: Config,
    /// Where its files are.
    pub data_dir: PathBuf,
    /// Where it listens for its peers, bound already.
    pub listener: std::net::TcpListener,
    /// Where its peers listen, by member id.
    pub peers: BTreeMap<u64, SocketAddr>,
    /// Takes a line when a peer is lost, found again, or sends nonsense.
    pub log: Log,
}

/// Why a member did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its data could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The system refused something.
    #[error("cannot {what}: {error}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// Its answer.
        error: io::Error,
    },
}

/// How the lanes of a member ended.
#[derive(Debug)]
pub struct Ended {
    /// The Raft lane.
    pub raft: Fatal,
    /// The apply lane.
    pub apply: Fatal,
}

/// A running member. Dropping it kills it.
#[derive(Debug)]
pub struct Node {
    raft_inbox: UnboundedSender<Input>,
    apply_inbox: UnboundedSender<Input>,
    replies: Arc<Replies>,
    disk: Arc<FileDisk>,
    killed: watch::Sender<bool>,
    lanes: Option<[JoinHandle<Option<Fatal>>; 2]>,
    network: Option<JoinHandle<()>>,
}

impl Node {
    /// Opens the member's data and starts its threads: one for each lane, one
    /// for the network, one for syncs.
    pub fn start(settings: Settings) -> Result<Node, StartError> {
        let Settings {
            config,
            data_dir,
            listener,
            peers,
            log,
        } = settings;
        config.validate().map_err(OpenError::from)?;
        let name = format!("n{}", config.id);
        let identity = Identity {
            cluster: config.cluster,
            member: config.id,
        };
        let (raft_inbox, raft_inputs) = unbounded_channel();
        let (apply_inbox, apply_inputs) = unbounded_channel();

        let synced = raft_inbox.clone();
        let disk = FileDisk::open(&data_dir, move |id, result| {
            drop(synced.send(Input::Synced { id, result }));
        });
        let disk = Arc::new(disk.map_err(OpenError::Disk)?);
        let clocks = Clocks::new();
        let env = Env {
            disk: disk.clone(),
            rng: seeded()?,
            bugs: Bugs::NONE,
            cfg: config,
        };
        let (raft, apply) = squall_store::open(env, clocks.now())?;

        let links = Arc::new(Links::new(
            peers.keys().copied(),
            Inboxes {
                raft: raft_inbox.clone(),
                apply: apply_inbox.clone(),
            },
        ));
        let replies = Arc::new(Replies::default());
        let (killed, kill) = watch::channel(false);
        let network = spawn_network(
            &name,
            identity,
            listener,
            peers,
            links.clone(),
            log,
            kill.clone(),
        )?;
        let spawn = |what, error| StartError::System { what, error };

        let raft_host = LaneHost {
            clocks,
            inbox: raft_inputs,
            other: apply_inbox.clone(),
            links: links.clone(),
            replies: replies.clone(),
        };
        let apply_host = LaneHost {
            clocks,
            inbox: apply_inputs,
            other: raft_inbox.clone(),
            links,
            replies: replies.clone(),
        };
        // A member with one lane is no member: each takes the other with it.
        let (stop_apply, stop_raft) = (apply_inbox.clone(), raft_inbox.clone());
        let raft = spawn_lane(
            format!("{name}-raft"),
            raft,
            raft_host,
            Effects::new(disk.clone()),
            kill.clone(),
            move || drop(stop_apply.send(Input::Stop)),
        )
        .map_err(|e| spawn("start the Raft lane", e))?;
        let closing = replies.clone();
        let apply = spawn_lane(
            format!("{name}-apply"),
            apply,
            apply_host,
            Effects::new(disk.clone()),
            kill,
            move || {
                closing.close();
                drop(stop_raft.send(Input::Stop));
            },
        )
        .map_err(|e| spawn("start the apply lane", e))?;
        Ok(Node {
            raft_inbox,
            apply_inbox,
            replies,
            disk,
            killed,
            lanes: Some([raft, apply]),
            network: Some(network),
        })
    }

    /// A new connection to the member.
    pub fn client(&self) -> Client {
        Client::new(self.apply_inbox.clone(), self.replies.clone())
    }

    /// Whether both lanes run.
    pub fn is_running(&self) -> bool {
        let lanes = self.lanes.as_ref();
        lanes.is_some_and(|lanes| lanes.iter().all(|lane| !lane.is_finished()))
    }

    /// Stops the member cleanly and waits for its end. Also tells how a member
    /// ended that did so by itself.
    pub fn stop(mut self) -> Ended {
        for inbox in [&self.apply_inbox, &self.raft_inbox] {
            // A lane that has ended needs not be told.
            drop(inbox.send(Input::Stop));
        }
        let [raft, apply] = self
            .join_lanes()
            .map(|fatal| fatal.expect("only a killed lane ends without saying why"));
        self.end_network();
        Ended { raft, apply }
    }

    /// Ends the member as a crash of its process would: what was not written
    /// yet never will be. Waits until its threads are gone.
    pub fn kill(self) {
        drop(self);
    }

    /// Waits for the lanes that were not waited for yet.
    fn join_lanes(&mut self) -> [Option<Fatal>; 2] {
        let lanes = self.lanes.take().expect("lanes are waited for once");
        lanes.map(join)
    }

    fn end_network(&mut self) {
        self.killed.send_replace(true);
        if let Some(network) = self.network.take() {
            join(network);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.lanes.is_some() {
            // The disk first: not even a destructor may write after this.
            self.disk.kill();
            self.end_network();
            self.join_lanes();
        }
    }
}

/// A thread's panic goes on in whoever waits for it.
fn join<T>(thread: JoinHandle<T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn seeded() -> Result<ChaCha8Rng, StartError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| StartError::System {
        what: "get randomness",
        error: error.into(),
    })?;
    Ok(ChaCha8Rng::from_seed(seed))
}

fn spawn_network(
    name: &str,
    identity: Identity,
    listener: std::net::TcpListener,
    peers: BTreeMap<u64, SocketAddr>,
    links: Arc<Links>,
    log: Log,
    mut killed: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, StartError> {
    let start = || {
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        thread::Builder::new()
            .name(format!("{name}-net"))
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        biased;
                        _ = killed.wait_for(|killed| *killed) => {}
                        () = peer::run(identity, listener, peers, links, log) => {}
                    }
                });
            })
    };
    start().map_err(|error| StartError::System {
        what: "start the network",
        error,
    })
}
