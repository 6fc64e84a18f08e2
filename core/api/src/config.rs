//! What a member is told when it opens.

use crate::{AuthToken, Bugs, Disk, MAX_FRAME_LEN, Version};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// A member's settings. Durations are nanoseconds of its monotonic clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The cluster's id: frames of another cluster are refused.
    pub cluster: u64,
    /// This member's id; never 0.
    pub id: u64,
    /// The voters at the cluster's birth, this member among them; none if it
    /// joins the cluster later, and learns from its leader who they are.
    pub voters: Vec<u64>,
    /// The release that the member runs as: what it understands, does and says.
    pub version: Version,
    /// The cluster's version at its birth. As `voters`, it is the same at all
    /// members that the cluster begins with, and read at birth only.
    pub birth_version: Version,
    /// The shortest election timeout; each one is drawn from `[t, 2t)`.
    pub election_timeout: u64,
    /// How often a leader sends heartbeats.
    pub heartbeat: u64,
    /// Whether to ask the others before each election whether it can be won.
    pub pre_vote: bool,
    /// Whether a leader that hears no quorum for an election timeout steps
    /// down, and nobody votes who has heard a leader within one.
    pub check_quorum: bool,
    /// For how long after it sent a heartbeat that a quorum answered a leader
    /// serves linearizable reads without asking anybody; 0 for never. Rests on
    /// clocks: no member's monotonic clock may run an election timeout while
    /// the leader's runs less than this.
    pub read_lease: u64,
    /// How long a request may wait before the member answers that it timed out.
    pub request_timeout: u64,
    /// A Raft message carries entries up to this many bytes, but always one.
    pub max_append_bytes: u64,
    /// A snapshot with more data than this many bytes travels in parts of so many.
    pub snapshot_chunk_bytes: u64,
    /// A WAL segment is closed when it has grown past this many bytes.
    pub wal_segment_bytes: u64,
    /// The log is compacted each time this many more entries were applied.
    pub snapshot_entries: u64,
    /// Entries kept behind the compaction point for followers that lag a little.
    pub catch_up_entries: u64,
    /// The backend commits at the latest this long after the first change...
    pub backend_commit_interval: u64,
    /// ... or when this many entries are waiting.
    pub backend_commit_entries: u64,
    /// redb's page cache in bytes.
    pub backend_cache_bytes: usize,
    /// How often the leader has noted, by an entry, what is left of a lease that
    /// lives longer: a new leader gives a lease no more than that again.
    pub lease_checkpoint_interval: u64,
    /// What kind of token a login gives; the same at all members.
    pub auth_token: AuthToken,
    /// A simple token is good for this long after its last use at a member.
    pub auth_token_ttl: u64,
    /// The work of hashing a password doubles with each step of it, as etcd's
    /// `--bcrypt-cost`; 4 to 31. The lane does nothing else meanwhile.
    pub bcrypt_cost: u32,
    /// Operations allowed in a transaction, as etcd's `--max-txn-ops`.
    pub max_txn_ops: usize,
    /// Bytes allowed in a request, as etcd's `--max-request-bytes`. A watch that
    /// asks for fragments gets them no larger than that.
    pub max_request_bytes: usize,
    /// Responses of one watch stream that may wait for the client to take them.
    pub watch_window: u32,
    /// Of how many changes a watch that lags is told in one step, but always of whole
    /// revisions.
    pub watch_batch: u32,
    /// How often a watch that asks for it is told how far it is.
    pub watch_progress_interval: u64,
    /// Bytes of history above which nothing more is written, as etcd's
    /// `--quota-backend-bytes`.
    pub quota_bytes: u64,
    /// Whether and when history is compacted without anybody asking.
    pub auto_compaction: AutoCompaction,
    /// How often the leader compares all members' hashes of history; 0 for never.
    /// As etcd's `--corrupt-check-time`.
    pub corrupt_check_interval: u64,
}

/// Which history is kept when nobody asks for its compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoCompaction {
    /// All of it.
    #[default]
    Off,
    /// What was current within so many nanoseconds.
    Periodic(u64),
    /// So many revisions.
    Revisions(u64),
}

impl Config {
    /// etcd's defaults for member `id` of a cluster of `voters`.
    pub fn new(cluster: u64, id: u64, voters: Vec<u64>) -> Config {
        Config {
            cluster,
            id,
            voters,
            version: Version::CURRENT,
            birth_version: Version::CURRENT.minor_only(),
            election_timeout: 1_000_000_000,
            heartbeat: 100_000_000,
            pre_vote: true,
            check_quorum: true,
            read_lease: 0,
            request_timeout: 7_000_000_000,
            max_append_bytes: 1 << 20,
            snapshot_chunk_bytes: 1 << 20,
            wal_segment_bytes: 64 << 20,
            snapshot_entries: 10_000,
            catch_up_entries: 5_000,
            backend_commit_interval: 100_000_000,
            backend_commit_entries: 10_000,
            backend_cache_bytes: 1 << 20,
            lease_checkpoint_interval: 300_000_000_000,
            auth_token: AuthToken::Simple,
            auth_token_ttl: 300_000_000_000,
            bcrypt_cost: 10,
            max_txn_ops: 128,
            max_request_bytes: 3 << 19,
            watch_window: 128,
            watch_batch: 1_000,
            watch_progress_interval: 600_000_000_000,
            quota_bytes: 2 << 30,
            auto_compaction: AutoCompaction::Off,
            corrupt_check_interval: 0,
        }
    }

    /// The shortest TTL of a lease, in seconds: one and a half election timeouts,
    /// rounded up, as in etcd. Shorter ones would not outlive a change of leader.
    pub const fn min_lease_ttl(&self) -> i64 {
        let nanos = self
            .election_timeout
            .saturating_add(self.election_timeout / 2);
        nanos.div_ceil(1_000_000_000) as i64
    }

    /// Whether a member can run with these settings.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.id == 0 || self.voters.contains(&0) {
            return Err(ConfigError("member id 0 is reserved for \"nobody\"".into()));
        }
        if !self.voters.is_empty() && !self.voters.contains(&self.id) {
            return Err(ConfigError(format!(
                "member {} is not among the voters {:?}",
                self.id, self.voters
            )));
        }
        for version in [self.version, self.birth_version] {
            if !version.is_supported() {
                return Err(ConfigError(format!(
                    "this build cannot run as {version}: it can as {} to {}",
                    Version::OLDEST.short(),
                    Version::NEWEST.short()
                )));
            }
        }
        if self.heartbeat == 0 || self.election_timeout < 5 * self.heartbeat {
            return Err(ConfigError(format!(
                "election timeout {} ms should be at least 5 times the heartbeat interval {} ms",
                self.election_timeout / 1_000_000,
                self.heartbeat / 1_000_000
            )));
        }
        if self.read_lease > 0 && (!self.check_quorum || self.read_lease >= self.election_timeout) {
            return Err(ConfigError(format!(
                "a read lease of {} ms needs check-quorum and a longer election timeout than {} ms",
                self.read_lease / 1_000_000,
                self.election_timeout / 1_000_000
            )));
        }
        let longest = (MAX_FRAME_LEN / 2) as u64;
        if !(1..=longest).contains(&self.snapshot_chunk_bytes)
            || self.max_append_bytes > longest
            || self.max_request_bytes as u64 > longest
        {
            return Err(ConfigError(format!(
                "appends of {} bytes, requests of {} or parts of snapshots of {} do not fit into \
                 messages between members: at most {longest} do",
                self.max_append_bytes, self.max_request_bytes, self.snapshot_chunk_bytes
            )));
        }
        if self.snapshot_entries == 0 || self.backend_commit_entries == 0 {
            return Err(ConfigError("batch sizes must not be 0".into()));
        }
        if self.watch_window == 0 || self.watch_batch == 0 || self.watch_progress_interval == 0 {
            return Err(ConfigError(
                "a watch needs a window, a batch and an interval above 0".into(),
            ));
        }
        if !(4..=31).contains(&self.bcrypt_cost) {
            return Err(ConfigError(format!(
                "a bcrypt cost of {} is outside of 4 to 31",
                self.bcrypt_cost
            )));
        }
        if self.lease_checkpoint_interval == 0 {
            return Err(ConfigError(
                "the lease checkpoint interval must not be 0".into(),
            ));
        }
        Ok(())
    }
}

/// Why settings cannot work, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Everything that a member gets from outside, besides its inputs.
#[derive(Debug)]
pub struct Env {
    /// Where it keeps its files.
    pub disk: Arc<dyn Disk>,
    /// Its only source of randomness.
    pub rng: ChaCha8Rng,
    /// The bugs planted in it.
    pub bugs: Bugs,
    /// Its settings.
    pub cfg: Config,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timing_that_cannot_work_is_refused() {
        let good = Config::new(1, 1, vec![1, 2, 3]);
        assert_eq!(good.validate(), Ok(()));
        let close = Config {
            election_timeout: 499_000_000,
            ..good.clone()
        };
        let why = close.validate().unwrap_err().to_string();
        assert!(why.contains("at least 5 times"), "{why}");
        let never = Config {
            heartbeat: 0,
            ..good
        };
        assert!(never.validate().is_err());
    }
}
