//! What a scenario says, once it has been read: plain values, every default
//! filled in.

use super::{Between, Duration, Fault, FaultAction, Latency, Ratio, SignedDuration, Size};
use squall_api::{Config, Version};
use squall_checkers::budget::Budget;

/// The format that this build reads: the key `schema` of a scenario file.
pub const SCHEMA: i64 = 1;

/// A scenario: a cluster, what its clients do, what breaks, and what must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name: lower-case words joined by `-`.
    pub name: String,
    /// What is broken, and what must hold, in plain words.
    pub about: String,
    /// By which it can be selected.
    pub tags: Vec<String>,
    /// The cluster.
    pub cluster: ClusterConfig,
    /// What its clients do.
    pub workload: Workload,
    /// What breaks, in the file's order.
    pub faults: Vec<Fault>,
    /// What is judged; everything, if the file names nothing.
    pub checks: Vec<CheckSpec>,
    /// What else must hold.
    pub expects: Vec<Expect>,
}

/// `[cluster]`: the members and the world that they live in.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterConfig {
    /// How many members; their ids are 1 to `nodes`.
    pub nodes: u64,
    /// How many more nodes there are, with ids from `nodes + 1` on, that are
    /// members when somebody adds them.
    pub spares: u64,
    /// The release that members run as until they are upgraded.
    pub version: Version,
    /// The shortest election timeout; each one is drawn from `[t, 2t)`.
    pub election_timeout: Duration,
    /// How often a leader sends heartbeats.
    pub heartbeat: Duration,
    /// For how long a leader reads without asking, after a heartbeat that a
    /// quorum answered; 0 for never.
    pub read_lease: Duration,
    /// How long a request may wait inside a member.
    pub request_timeout: Duration,
    /// How often the leader notes what is left of a lease.
    pub lease_checkpoint: Duration,
    /// How often the leader compares all members' hashes; 0 for never.
    pub corrupt_check: Duration,
    /// How long a simple token is good after its last use.
    pub auth_token_ttl: Duration,
    /// A Raft message carries entries up to this size, but always one.
    pub max_append: Size,
    /// The log is compacted each time this many more entries were applied.
    pub snapshot_entries: u64,
    /// Entries kept behind the compaction point for followers that lag.
    pub catch_up_entries: u64,
    /// A snapshot with more data than this travels in parts of this size.
    pub snapshot_chunk: Size,
    /// A WAL segment is closed when it has grown past this size.
    pub wal_segment: Size,
    /// The backend commits at the latest this long after the first change...
    pub backend_commit_interval: Duration,
    /// ... or when this many entries are waiting.
    pub backend_commit_entries: u64,
    /// Responses of one watch stream that may wait for its client.
    pub watch_window: u32,
    /// Of how many changes a watch that lags is told in one step.
    pub watch_batch: u32,
    /// How often a watch that asks for it is told how far it is.
    pub watch_progress: Duration,
    /// How much data a member may store before it raises an alarm.
    pub quota: Size,
    /// Whose disks may be damaged.
    pub damage: Damage,
    /// Links between members.
    pub link: LinkConfig,
    /// Every member's disk.
    pub disk: DiskConfig,
    /// Every node's clocks.
    pub clock: ClockConfig,
}

impl ClusterConfig {
    /// The settings of member `id` of a cluster known as `cluster`.
    pub fn member(&self, cluster: u64, id: u64) -> Config {
        Config {
            version: self.version,
            birth_version: self.version.minor_only(),
            election_timeout: self.election_timeout.ns(),
            heartbeat: self.heartbeat.ns(),
            read_lease: self.read_lease.ns(),
            request_timeout: self.request_timeout.ns(),
            lease_checkpoint_interval: self.lease_checkpoint.ns(),
            corrupt_check_interval: self.corrupt_check.ns(),
            auth_token_ttl: self.auth_token_ttl.ns(),
            wal_segment_bytes: self.wal_segment.bytes(),
            snapshot_chunk_bytes: self.snapshot_chunk.bytes(),
            max_append_bytes: self.max_append.bytes(),
            snapshot_entries: self.snapshot_entries,
            catch_up_entries: self.catch_up_entries,
            backend_commit_interval: self.backend_commit_interval.ns(),
            backend_commit_entries: self.backend_commit_entries,
            watch_window: self.watch_window,
            watch_batch: self.watch_batch,
            watch_progress_interval: self.watch_progress.ns(),
            quota_bytes: self.quota.bytes(),
            // The least: nobody attacks these passwords.
            bcrypt_cost: 4,
            ..Config::new(cluster, id, self.first_voters(id))
        }
    }

    /// Whom node `id` takes for the voters when it is new: a spare one waits to
    /// be told.
    fn first_voters(&self, id: u64) -> Vec<u64> {
        match id <= self.nodes {
            true => (1..=self.nodes).collect(),
            false => Vec::new(),
        }
    }
}

/// `cluster.damage`: whose disks faults may destroy or falsify.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Damage {
    /// Those of a minority, which the seed draws for the whole run: what a
    /// majority holds survives.
    #[default]
    Minority,
    /// Anybody's: the invariants that rest on disks are suspended.
    Unrestricted,
}

impl Damage {
    pub(super) const ALL: [Damage; 2] = [Damage::Minority, Damage::Unrestricted];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Damage::Minority => "minority",
            Damage::Unrestricted => "unrestricted",
        }
    }
}

/// `cluster.link`: what a message between two members meets, per direction.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkConfig {
    /// One-way delay, drawn for each message.
    pub latency: Latency,
    /// The share of messages that never arrive.
    pub loss: Ratio,
    /// The share of messages that arrive twice.
    pub duplicate: Ratio,
    /// Whether a message may overtake an earlier one of the same link.
    pub reorder: bool,
}

/// `cluster.disk`: how long a healthy disk takes, drawn for each operation.
#[derive(Debug, Clone, PartialEq)]
pub struct DiskConfig {
    /// A write.
    pub write: Between<Duration>,
    /// A sync of a file or a directory.
    pub fsync: Between<Duration>,
}

/// `cluster.clock`: how wrong a node's clocks are, drawn once for each node.
#[derive(Debug, Clone, PartialEq)]
pub struct ClockConfig {
    /// Wall clock minus true time.
    pub offset: Between<SignedDuration>,
    /// By how many millionths its clocks run fast (or slow, if negative).
    pub drift_ppm: Between<i64>,
}

/// `[workload]`: what the clients do.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// How many clients; each has at most one operation open.
    pub clients: u32,
    /// Operations per simulated second, of all clients together.
    pub rate: f64,
    /// Which keys they use.
    pub keys: Keys,
    /// What they do, by weight.
    pub mix: Mix,
    /// Who else is there: clients that hold leases.
    pub sessions: Sessions,
    /// Clients that hold locks.
    pub locks: Locks,
    /// Clients that want to lead.
    pub elections: Elections,
    /// Who changes the members and moves leadership.
    pub operator: Operator,
    /// Users whose permissions change.
    pub auth: AuthLoad,
    /// The length of a value.
    pub value_size: Between<Size>,
    /// How long a client waits for an answer before it gives up.
    pub client_timeout: Duration,
    /// How long the load, and with it the faults, go on.
    pub run_for: Duration,
    /// Clients that watch, besides those.
    pub watch: WatchLoad,
    /// What is done to the store meanwhile.
    pub upkeep: Upkeep,
}

impl Workload {
    /// The number of the first client that watches.
    pub fn first_watcher(&self) -> u32 {
        self.clients + self.upkeep.clients()
    }

    /// The number of who compacts and defragments, if somebody does.
    pub fn upkeeper(&self) -> u32 {
        self.clients
    }

    /// How many clients own leases: sessions, and those that hold locks, stand for
    /// election, or observe.
    pub fn owners(&self) -> u32 {
        let Elections {
            candidates,
            observers,
            ..
        } = self.elections;
        self.sessions.count + self.locks.count + candidates + observers
    }

    /// How many clients there are, those that watch and whoever sees to upkeep included.
    pub fn all_clients(&self) -> u32 {
        let WatchLoad {
            watchers,
            controllers,
            ..
        } = self.watch;
        self.clients + watchers + controllers + self.upkeep.clients()
    }
}

/// `workload.watch`: clients that watch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WatchLoad {
    /// How many watch this and that, change their minds, and go on elsewhere.
    pub watchers: u32,
    /// How many list, and then follow: their caches are to equal the store.
    pub controllers: u32,
    /// The share of the moments at which a watcher may do something in which it
    /// takes nothing from its connection for a while.
    pub slow: Ratio,
}

/// `workload.upkeep`: what an operator does to the store while clients use it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// How often history is compacted up to just behind its end, if at all.
    pub compact_every: Option<Duration>,
    /// How often the next member rewrites its database, if at all.
    pub defragment_every: Option<Duration>,
    /// How often it is asked whether space is used up, if at all: then all history is
    /// compacted, every database rewritten, and the alarm deactivated.
    pub make_room_every: Option<Duration>,
}

impl Upkeep {
    /// How many clients this takes: none or one.
    pub fn clients(&self) -> u32 {
        u32::from(*self != Upkeep::default())
    }
}

/// `workload.sessions`: clients that hold leases, besides the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sessions {
    /// How many.
    pub count: u32,
    /// The TTLs that they ask for, rounded up to seconds.
    pub ttl: Between<Duration>,
}

/// `workload.locks`: clients that hold locks, besides the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Locks {
    /// How many.
    pub count: u32,
    /// How many locks they share.
    pub names: u32,
    /// The share of leases whose owner writes what a lock protects only in the
    /// lock's name.
    pub fenced: Ratio,
    /// The TTLs of their leases, rounded up to seconds.
    pub ttl: Between<Duration>,
}

/// `workload.elections`: clients that want to lead, besides the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Elections {
    /// How many.
    pub candidates: u32,
    /// How many want to know who does.
    pub observers: u32,
    /// The TTLs of the candidates' leases, rounded up to seconds.
    pub ttl: Between<Duration>,
}

/// `workload.operator`: who changes the members and moves leadership, through
/// the API that clients have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Operator {
    /// The pause before each change of the members; none are made without it. Two
    /// clients make them, and do not wait for each other.
    pub changes: Option<Between<Duration>>,
    /// The pause before each transfer of leadership.
    pub transfers: Option<Between<Duration>>,
    /// When to begin to ask for a downgrade by one minor version.
    pub downgrade_at: Option<Duration>,
}

impl Operator {
    /// How many clients it has.
    pub fn clients(&self) -> u32 {
        2 * u32::from(self.changes.is_some())
            + u32::from(self.transfers.is_some())
            + u32::from(self.downgrade_at.is_some())
    }
}

/// `workload.auth`: users besides the others, and who manages them. If there are
/// any, auth is enabled, and the other clients are root.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AuthLoad {
    /// How many users, each with a client that calls and one that watches.
    pub users: u32,
    /// The mean time between two changes of users, roles and permissions.
    pub change_every: Duration,
}

impl AuthLoad {
    /// How many clients they have: one that manages, and two each.
    pub fn clients(&self) -> u32 {
        match self.users {
            0 => 0,
            users => 1 + 2 * users,
        }
    }
}

/// `workload.keys`: `k0` to `k<count - 1>`.
#[derive(Debug, Clone, PartialEq)]
pub struct Keys {
    /// How many.
    pub count: u32,
    /// How unequally they are used.
    pub skew: Skew,
}

/// How unequally keys are used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Skew {
    /// All alike.
    Uniform,
    /// Key `i` (from 0) in proportion to `1 / (i + 1)^s`.
    Zipf(f64),
}

/// `workload.mix`: weights, in proportion to which operations are drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mix {
    /// A put of a value that was never written before.
    pub put: u32,
    /// A linearizable range over one key.
    pub get: u32,
    /// A transaction that puts if a key is as last seen, and reads it if not.
    pub cas: u32,
    /// A transaction of several operations over two or three keys.
    pub txn: u32,
    /// A delete of one key.
    pub delete: u32,
    /// A delete of a few neighbouring keys.
    pub delete_range: u32,
    /// A linearizable range over several keys.
    pub range: u32,
    /// A get that the asked member answers from what it has.
    pub serializable_get: u32,
    /// A read at a revision close to the newest that the client knows of, by
    /// itself or behind a put in a transaction.
    pub past_get: u32,
    /// A range, a put or a transaction with options drawn from all that the API
    /// has.
    pub varied: u32,
}

impl Mix {
    /// Each operation's key and weight.
    pub fn weights(&self) -> [(&'static str, u32); 10] {
        [
            ("put", self.put),
            ("get", self.get),
            ("cas", self.cas),
            ("txn", self.txn),
            ("delete", self.delete),
            ("delete_range", self.delete_range),
            ("range", self.range),
            ("serializable_get", self.serializable_get),
            ("past_get", self.past_get),
            ("varied", self.varied),
        ]
    }

    /// The sum of all weights.
    pub fn total(&self) -> u64 {
        self.weights()
            .iter()
            .map(|(_, weight)| u64::from(*weight))
            .sum()
    }
}

/// `[[check]]`: what is judged when the run is over.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckSpec {
    /// The history is linearizable.
    Linearizable {
        /// Search steps, not seconds: a verdict must not depend on the machine.
        budget: u64,
    },
    /// Raft's invariants hold at every step.
    Raft,
    /// No acknowledged write is lost.
    Durable,
    /// Replicas that have applied the same log have the same state.
    ReplicasAgree,
    /// Watches are told everything, once, in order, and nothing else; judged
    /// where somebody watches.
    Watch,
}

impl CheckSpec {
    /// The budget of a linearizability check that names none.
    pub const BUDGET: u64 = 5_000_000;

    /// Every check: what a scenario without any `[[check]]` asks for.
    pub fn all() -> Vec<CheckSpec> {
        vec![
            CheckSpec::Linearizable {
                budget: CheckSpec::BUDGET,
            },
            CheckSpec::Raft,
            CheckSpec::Durable,
            CheckSpec::ReplicasAgree,
            CheckSpec::Watch,
        ]
    }
}

impl Scenario {
    /// Whether its members run as different releases at times, or might.
    pub fn is_about_versions(&self) -> bool {
        let changes = |fault: &Fault| {
            matches!(
                fault.action,
                FaultAction::Upgrade { .. } | FaultAction::Downgrade { .. }
            )
        };
        self.workload.operator.downgrade_at.is_some() || self.faults.iter().any(changes)
    }

    /// How many nodes there are: those of members, spares, and one for each machine
    /// that is replaced.
    pub fn all_nodes(&self) -> u64 {
        self.cluster.nodes + self.cluster.spares + u64::from(self.replacements())
    }

    /// How many machines are replaced at most.
    pub fn replacements(&self) -> u32 {
        let replaces = |fault: &&Fault| matches!(fault.action, FaultAction::Replace { .. });
        let times = |fault: &Fault| fault.repeat.as_ref().map_or(1, |repeat| repeat.times);
        self.faults.iter().filter(replaces).map(times).sum()
    }
}

/// `[[expect]]`: what must hold besides safety.
#[derive(Debug, Clone, PartialEq)]
pub enum Expect {
    /// The cluster serves again, at the latest `within` after a fault ended.
    Recovers {
        /// After which faults.
        after: After,
        /// The bound, from the end of the fault.
        within: Duration,
    },
    /// There was enough load to prove something; a run with less is
    /// inconclusive.
    Load {
        /// Operations that must have returned ok, at least.
        ok: u64,
        /// Keys that they may be spread over, at most.
        keys: u64,
        /// The share of them that must be transactions, at least.
        transactions: Ratio,
    },
    /// The run costs no more than this.
    Budget(Budget),
}

/// Which faults an expectation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// Each of them.
    EveryFault,
    /// The one with this label, each time if it repeats.
    Label(String),
}
