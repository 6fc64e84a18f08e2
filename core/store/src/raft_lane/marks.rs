//! The named points that snapshots in parts pass.

/// A snapshot is too large for one frame, and is sent in parts.
pub(super) const STREAMED_SNAPSHOT: &str = "leader.streamed_snapshot";
/// Nothing of a snapshot arrived for too long: parts of it are sent again.
pub(super) const REPEATED_SNAPSHOT_CHUNKS: &str = "leader.repeated_snapshot_chunks";
/// A further part of a snapshot has arrived.
pub(super) const RECEIVED_SNAPSHOT_CHUNK: &str = "follower.received_snapshot_chunk";
/// A part of a snapshot has arrived that was there already.
pub(super) const KNOWN_SNAPSHOT_CHUNK: &str = "follower.known_snapshot_chunk";
/// A part of a snapshot has arrived, and one before it has not.
pub(super) const MISSED_SNAPSHOT_CHUNK: &str = "follower.missed_snapshot_chunk";
/// A newer snapshot began to arrive before an older one was complete.
pub(super) const SUPERSEDED_SNAPSHOT: &str = "follower.superseded_snapshot";
/// All parts of a snapshot have arrived, and fit together.
pub(super) const ASSEMBLED_SNAPSHOT: &str = "follower.assembled_snapshot";
/// All parts of a snapshot have arrived, and are not what was sent.
pub(super) const REFUSED_SNAPSHOT_CHECKSUM: &str = "follower.refused_snapshot_checksum";
/// A part of a snapshot contradicts itself.
pub(super) const REFUSED_MALFORMED_CHUNK: &str = "follower.refused_malformed_chunk";
/// A part of an older snapshot, or from an earlier term, arrived.
pub(super) const REFUSED_OLD_CHUNK: &str = "follower.refused_old_chunk";
