//! The scenarios that come with squall, embedded: the binary needs no files.

/// Every built-in scenario as (name, text), the simplest first.
pub const fn all() -> &'static [(&'static str, &'static str)] {
    LIBRARY
}

/// The text of the built-in scenario called `name`.
pub fn get(name: &str) -> Option<&'static str> {
    let found = LIBRARY.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}

macro_rules! library {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../library/", $name, ".toml")))),*]
    };
}

/// By hand, in the order in which they are listed; a test holds it against the
/// folder.
const LIBRARY: &[(&str, &str)] = library![
    "healthy",
    "leader-crash",
    "leader-gone-for-long",
    "symmetric-partition",
    "one-way-partition-leader",
    "fsync-stall-leader",
    "gc-pause-leader",
    "lagging-follower-snapshot",
    "snapshot-in-parts",
    "crash-points",
    "crash-points-of-changes",
    "rolling-crashes-torn-writes",
    "power-loss-majority",
    "election-storm",
    "membership-churn",
    "leader-transfer-under-load",
    "stale-reads",
    "compaction-under-load",
    "space-runs-out",
    "partitions-of-every-shape",
    "partial-partition",
    "wide-area",
    "nine-members",
    "bad-links",
    "bad-client-links",
    "slow-disks",
    "failing-disks",
    "failed-syncs-then-power-loss",
    "rotten-disks",
    "restarts-of-every-kind",
    "crashes-at-marks",
    "wrong-clocks",
    "read-leases",
    "leases-and-crashes",
    "leases-and-clocks",
    "leases-and-pauses",
    "leases-and-transfers",
    "locks-and-pauses",
    "elections-and-crashes",
    "permissions-in-flight",
    "permissions-and-restarts",
    "replaced-member",
    "rolling-upgrade",
    "refused-upgrade",
    "downgrade",
    "lying-disks",
    "wiped-member",
    "figure-eight",
    "short-appends",
    "watches-under-faults",
    "watches-and-compaction",
    "flood-of-events",
    "slow-watchers",
    "everything-at-once",
    "every-load-at-once",
];
