//! Backups: a snapshot of the state as a file, and a new cluster made from it.
//!
//! A backup is the dump that followers are sent ([`crate::snapshot`]) with its
//! SHA-256 behind it, as etcd's stream ends with one. It holds the state at one
//! revision and nothing of how redb stores it, so any build that knows the
//! dump's format can restore it.

use crate::backend::Backend;
use crate::meta::Meta;
use crate::revision::RevisionKey;
use crate::rows::Rows;
use crate::snapshot::{Contents, read_dump};
use crate::versions::{self, Versions};
use crate::wal::{DIR as LOG_DIR, Wal};
use crate::{alarms, membership::Membership};
use bytes::Bytes;
use raft_proto::eraftpb::HardState;
use sha2::{Digest as _, Sha256};
use squall_api::{Bug, Bugs, Config, ConfigError, Disk, EntryId, Fatal, OpenError, Version};
use squall_raft::LogBase;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Bytes of the checksum at a backup's end.
pub(crate) const CHECKSUM_LEN: usize = 32;

/// The entry that a restored log begins behind, so that a member of the new
/// cluster that was not restored is sent a snapshot, and not a log without what
/// was before it.
const RESTORED: LogBase = LogBase { index: 1, term: 1 };

/// What a backup holds, at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupStatus {
    /// The cluster that it was taken from.
    pub cluster: u64,
    /// That cluster's version, if it knew it.
    pub version: Option<Version>,
    /// The store's revision.
    pub revision: i64,
    /// The revision up to which history was compacted; -1 for never.
    pub compact_revision: i64,
    /// Changes of the key space that it holds.
    pub changes: u64,
    /// Rows of the state beside it: leases, users, alarms.
    pub rows: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// How a new cluster is made from a backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// By how much the store's revision is raised. Clients may have seen later
    /// revisions than the backup's, and must not meet them again with another
    /// meaning.
    pub bump_revision: u64,
    /// Whether all history is compacted, so that whoever watched the old
    /// cluster is told to begin anew instead of missing what is not there.
    pub mark_compacted: bool,
    /// The bugs planted in it.
    pub bugs: Bugs,
}

/// Why a backup was not read or restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup is not what was written.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// The settings of the new member cannot work.
    #[error("bad settings: {0}")]
    Config(#[from] ConfigError),
    /// There is data already, which is never overwritten.
    #[error("data directory holds {0} already: name one that is empty, or does not exist")]
    Exists(String),
    /// It is of a version that the new member cannot run with.
    #[error("the backup is of another version: {0}")]
    Version(String),
    /// The revision would not fit.
    #[error("revision {revision} raised by {by} is out of range")]
    Revision {
        /// The backup's revision.
        revision: i64,
        /// What was to be added.
        by: u64,
    },
    /// The disk failed; what is in the data directory is of no use.
    #[error("disk failed: {0}; remove the new data directory and restore again")]
    Disk(#[from] io::Error),
}

/// The SHA-256 with which a backup ends.
pub(crate) fn checksum(dump: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&Sha256::digest(dump))
}

/// Verifies a backup, and says what it holds.
pub fn backup_status(backup: &[u8]) -> Result<BackupStatus, RestoreError> {
    let contents = verified(backup, Bugs::NONE)?;
    Ok(BackupStatus {
        version: versions_of(&contents.rows)?.cluster(),
        cluster: contents.meta.cluster,
        revision: contents.meta.revision,
        compact_revision: contents.meta.compact_revision,
        changes: contents.changes.len() as u64,
        rows: contents.rows.len() as u64,
        bytes: backup.len() as u64,
    })
}

/// Makes the data directory of one member of a new cluster from a backup. Its
/// settings name the new cluster, the member, and the cluster's voters; every
/// voter is restored from the same backup with the same options.
pub fn restore(
    disk: &Arc<dyn Disk>,
    cfg: &Config,
    backup: &[u8],
    options: RestoreOptions,
) -> Result<(), RestoreError> {
    cfg.validate()?;
    if cfg.voters.is_empty() {
        let why = "a new cluster needs its voters' names".into();
        return Err(ConfigError(why).into());
    }
    for dir in ["db", LOG_DIR] {
        if let Some(found) = disk.list(Path::new(dir))?.first() {
            return Err(RestoreError::Exists(found.display().to_string()));
        }
    }
    let Contents {
        meta: old,
        mut rows,
        changes,
    } = verified(backup, options.bugs)?;
    let versions = versions_of(&rows)?;
    versions
        .check_own(cfg.version)
        .map_err(RestoreError::Version)?;
    // They name members of the old cluster.
    rows.retain(|key, _| !key.starts_with(alarms::PREFIX) && !key.starts_with(versions::PREFIX));
    rows.extend(Versions::birth(&Config {
        birth_version: versions.cluster().unwrap_or(cfg.birth_version),
        ..cfg.clone()
    }));
    let out_of_range = RestoreError::Revision {
        revision: old.revision,
        by: options.bump_revision,
    };
    let revision = i64::try_from(options.bump_revision)
        .ok()
        .and_then(|by| old.revision.checked_add(by))
        .ok_or(out_of_range)?;
    let keeps_ids = options.bugs.has(Bug::RestoreKeepsIds);
    let meta = Meta {
        cluster: if keeps_ids { old.cluster } else { cfg.cluster },
        member: cfg.id,
        index: RESTORED.index,
        entry: EntryId {
            term: RESTORED.term,
            digest: 0,
        },
        revision,
        compact_revision: match options.mark_compacted {
            true => revision,
            false => old.compact_revision,
        },
        state: old.state,
        membership: Membership::of(&cfg.voters),
    };

    let (mut log, _) =
        Wal::open(Arc::clone(disk), cfg, options.bugs, LogBase::default()).map_err(io_error)?;
    let state = HardState {
        term: RESTORED.term,
        commit: RESTORED.index,
        ..HardState::default()
    };
    log.reset_at_open(RESTORED, &state)?;
    Backend::create(disk, cfg, &changes, &rows, &meta).map_err(|fatal| match fatal {
        Fatal::Disk(e) => RestoreError::Disk(e),
        other => RestoreError::Disk(io::Error::other(other.to_string())),
    })
}

fn versions_of(rows: &BTreeMap<Bytes, Bytes>) -> Result<Versions, RestoreError> {
    let versions = Versions::load(&Rows::of(rows.clone()));
    versions.map_err(|e| RestoreError::Damaged(e.to_string()))
}

fn verified(backup: &[u8], bugs: Bugs) -> Result<Contents, RestoreError> {
    let Some((dump, found)) = backup.split_last_chunk::<CHECKSUM_LEN>() else {
        return Err(RestoreError::Damaged(format!(
            "it has {} bytes, fewer than a checksum",
            backup.len()
        )));
    };
    let expected = Sha256::digest(dump);
    if expected[..] != found[..] && !bugs.has(Bug::RestoreUnverified) {
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        return Err(RestoreError::Damaged(format!(
            "expected sha256 {}, got {}",
            hex(&expected),
            hex(found)
        )));
    }
    let verify = !bugs.has(Bug::RestoreUnverified);
    read_dump(Bytes::copy_from_slice(dump), verify).map_err(RestoreError::Damaged)
}

fn io_error(error: OpenError) -> RestoreError {
    match error {
        OpenError::Disk(e) => RestoreError::Disk(e),
        other => RestoreError::Disk(io::Error::other(other.to_string())),
    }
}

/// The changes of a backup, as the backend is given them.
pub(crate) type Changes = [(RevisionKey, Bytes)];
