//! What a scenario means by what it leaves out.

use super::{
    AuthLoad, Between, ClockConfig, ClusterConfig, Damage, DiskConfig, Duration, Elections, Keys,
    Latency, LinkConfig, Locks, Mix, Operator, Ratio, Sessions, SignedDuration, Size, Skew, Upkeep,
    WatchLoad, Workload,
};
use squall_api::Version;

impl Default for ClusterConfig {
    /// Three members on a good local network, with etcd's timing.
    fn default() -> ClusterConfig {
        ClusterConfig {
            nodes: 3,
            spares: 0,
            version: Version::CURRENT,
            election_timeout: Duration::from_ms(1000),
            heartbeat: Duration::from_ms(100),
            read_lease: Duration::from_ms(0),
            request_timeout: Duration::from_ms(5000),
            lease_checkpoint: Duration::from_ms(300_000),
            corrupt_check: Duration::from_ms(0),
            auth_token_ttl: Duration::from_ms(300_000),
            max_append: Size::from_bytes(1 << 20),
            snapshot_entries: 10_000,
            snapshot_chunk: Size::from_bytes(1 << 20),
            catch_up_entries: 5_000,
            wal_segment: Size::from_bytes(64 << 20),
            backend_commit_interval: Duration::from_ms(100),
            backend_commit_entries: 10_000,
            watch_window: 128,
            watch_batch: 1_000,
            watch_progress: Duration::from_ms(600_000),
            quota: Size::from_bytes(2 << 30),
            damage: Damage::default(),
            link: LinkConfig::default(),
            disk: DiskConfig::default(),
            clock: ClockConfig::default(),
        }
    }
}

impl Default for LinkConfig {
    /// A good local network.
    fn default() -> LinkConfig {
        LinkConfig {
            latency: Latency::Uniform(Between {
                min: Duration::from_ns(200_000),
                max: Duration::from_ns(2_000_000),
            }),
            loss: Ratio::default(),
            duplicate: Ratio::default(),
            reorder: false,
        }
    }
}

impl Default for DiskConfig {
    /// A good solid-state disk.
    fn default() -> DiskConfig {
        DiskConfig {
            write: Between {
                min: Duration::from_ns(20_000),
                max: Duration::from_ns(100_000),
            },
            fsync: Between {
                min: Duration::from_ns(500_000),
                max: Duration::from_ns(3_000_000),
            },
        }
    }
}

impl Default for ClockConfig {
    /// Clocks that are right.
    fn default() -> ClockConfig {
        ClockConfig {
            offset: Between::exactly(SignedDuration::default()),
            drift_ppm: Between::exactly(0),
        }
    }
}

impl Default for Workload {
    /// A little of everything, on few keys, for ten seconds.
    fn default() -> Workload {
        Workload {
            clients: 8,
            rate: 150.0,
            keys: Keys::default(),
            mix: Mix {
                put: 35,
                get: 25,
                cas: 15,
                txn: 15,
                delete: 4,
                delete_range: 2,
                range: 4,
                serializable_get: 0,
                past_get: 0,
                varied: 0,
            },
            sessions: Sessions::default(),
            locks: Locks::default(),
            elections: Elections::default(),
            operator: Operator::default(),
            auth: AuthLoad::default(),
            value_size: Between {
                min: Size::from_bytes(8),
                max: Size::from_bytes(32),
            },
            client_timeout: Duration::from_ms(1000),
            run_for: Duration::from_ms(10_000),
            watch: WatchLoad::default(),
            upkeep: Upkeep::default(),
        }
    }
}

impl Default for AuthLoad {
    /// None; if there are any, somebody changes something about twice a second.
    fn default() -> AuthLoad {
        AuthLoad {
            users: 0,
            change_every: Duration::from_ms(500),
        }
    }
}

impl Default for Sessions {
    /// None; if there are any, their leases are short.
    fn default() -> Sessions {
        Sessions {
            count: 0,
            ttl: Between {
                min: Duration::from_ms(2_000),
                max: Duration::from_ms(4_000),
            },
        }
    }
}

impl Default for Locks {
    /// None; if there are any, they share two locks, and half of them are careful.
    fn default() -> Locks {
        Locks {
            count: 0,
            names: 2,
            fenced: Ratio::new(0.5).expect("a half is a share"),
            ttl: Sessions::default().ttl,
        }
    }
}

impl Default for Elections {
    /// None.
    fn default() -> Elections {
        Elections {
            candidates: 0,
            observers: 0,
            ttl: Sessions::default().ttl,
        }
    }
}

impl Default for Keys {
    /// Twelve keys, used alike.
    fn default() -> Keys {
        Keys {
            count: 12,
            skew: Skew::Uniform,
        }
    }
}
