//! Three members over real files and TCP: puts, a crash, a restart, and
//! linearizable reads from everyone.

use squall_api::{Config, Fatal, Request, Response, Status, pb};
use squall_server::{Client, Ended, Node, Settings, StartError};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MEMBERS: [u64; 3] = [1, 2, 3];
/// What a new election, on a machine that does other things too, may take.
const PATIENCE: Duration = Duration::from_secs(20);

struct Cluster {
    dir: tempfile::TempDir,
    addresses: BTreeMap<u64, SocketAddr>,
    nodes: BTreeMap<u64, Node>,
}

impl Cluster {
    fn start() -> Cluster {
        let listeners: Vec<TcpListener> = MEMBERS
            .iter()
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let addresses = listeners.iter().map(|l| l.local_addr().unwrap());
        let mut cluster = Cluster {
            dir: tempfile::tempdir().unwrap(),
            addresses: MEMBERS.into_iter().zip(addresses).collect(),
            nodes: BTreeMap::new(),
        };
        for (id, listener) in MEMBERS.into_iter().zip(listeners) {
            cluster.start_member(id, listener).unwrap();
        }
        cluster
    }

    fn start_member(&mut self, id: u64, listener: TcpListener) -> Result<(), StartError> {
        let node = Node::start(self.settings(id, listener, self.dir.path()))?;
        self.nodes.insert(id, node);
        Ok(())
    }

    fn settings(&self, id: u64, listener: TcpListener, dir: &Path) -> Settings {
        let mut config = Config::new(0xc0ffee, id, MEMBERS.to_vec());
        config.heartbeat = 50_000_000;
        config.election_timeout = 500_000_000;
        config.request_timeout = 2_000_000_000;
        let mut peers = self.addresses.clone();
        peers.remove(&id);
        Settings {
            config,
            data_dir: dir.join(format!("n{id}")),
            listener,
            peers,
            log: Arc::new(move |line| eprintln!("n{id}: {line}")),
        }
    }

    fn restart(&mut self, id: u64) {
        let listener = TcpListener::bind(self.addresses[&id]).unwrap();
        self.start_member(id, listener).unwrap();
    }

    fn client(&self, id: u64) -> Client {
        self.nodes[&id].client()
    }
}

/// Repeats an idempotent call until it is answered: without a leader it is not.
async fn insist(client: &Client, request: Request) -> Response {
    let start = Instant::now();
    loop {
        match client.call(request.clone()).await {
            Ok(response) => return response,
            Err(status) if start.elapsed() > PATIENCE => panic!("{request:?}: {status}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn put(client: &Client, key: &str, value: &str) {
    let request = Request::Put(pb::PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..Default::default()
    });
    match insist(client, request).await {
        Response::Put(_) => {}
        other => panic!("{other:?}"),
    }
}

async fn get(client: &Client, key: &str) -> Option<String> {
    let request = Request::Range(pb::RangeRequest {
        key: key.to_owned().into(),
        ..Default::default()
    });
    match insist(client, request).await {
        Response::Range(range) => {
            let kv = range.kvs.into_iter().next()?;
            Some(String::from_utf8(kv.value.into()).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn three_members_keep_their_data_through_a_crash() {
    let mut cluster = Cluster::start();
    let [n1, n2, _] = MEMBERS.map(|id| cluster.client(id));
    for i in 0..20 {
        put(&n1, &format!("k{i}"), "before").await;
    }
    assert_eq!(get(&n2, "k7").await.as_deref(), Some("before"));
    assert_eq!(get(&n2, "none").await, None);

    // Step 1: member 3 crashes; the other two go on.
    let n3 = cluster.client(3);
    cluster.nodes.remove(&3).unwrap().kill();
    let request = Request::Range(pb::RangeRequest::default());
    assert_unavailable(&n3.call(request).await.unwrap_err());
    for i in 10..30 {
        put(&n2, &format!("k{i}"), "meanwhile").await;
    }

    // Step 2: it comes back, and catches up.
    cluster.restart(3);
    for id in MEMBERS {
        let client = cluster.client(id);
        for (key, value) in [("k9", "before"), ("k10", "meanwhile"), ("k29", "meanwhile")] {
            assert_eq!(
                get(&client, key).await.as_deref(),
                Some(value),
                "{key} on n{id}"
            );
        }
    }

    // Step 3: all crash at once; what was acknowledged is still there.
    for (_, node) in std::mem::take(&mut cluster.nodes) {
        node.kill();
    }
    for id in MEMBERS {
        cluster.restart(id);
    }
    for id in MEMBERS {
        let client = cluster.client(id);
        assert_eq!(
            get(&client, "k29").await.as_deref(),
            Some("meanwhile"),
            "n{id}"
        );
    }

    // Step 4: a clean stop, which says so.
    for (id, node) in std::mem::take(&mut cluster.nodes) {
        assert!(node.is_running());
        let Ended { raft, apply } = node.stop();
        assert!(matches!(raft, Fatal::Stopped), "n{id}: {raft}");
        assert!(matches!(apply, Fatal::Stopped), "n{id}: {apply}");
    }
}

fn assert_unavailable(status: &Status) {
    assert_eq!(status.code, squall_api::Code::Unavailable, "{status}");
}

#[tokio::test]
async fn a_member_does_not_start_where_it_may_not() {
    let mut cluster = Cluster::start();
    let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = cluster.dir.path().to_owned();
    let error = |settings| Node::start(settings).unwrap_err().to_string();

    let busy = error(cluster.settings(1, listener(), &dir));
    assert!(busy.contains("is in use by another process"), "{busy}");

    let mut settings = cluster.settings(1, listener(), &dir);
    settings.config.voters = vec![2, 3];
    assert!(error(settings).contains("is not among the voters"));

    // Member 2 with the files of member 1.
    put(&cluster.client(1), "k", "v").await;
    cluster.nodes.remove(&1).unwrap().kill();
    let mut settings = cluster.settings(2, listener(), &dir);
    settings.data_dir = dir.join("n1");
    let foreign = error(settings);
    assert!(foreign.contains("data belongs to member 1"), "{foreign}");
}
