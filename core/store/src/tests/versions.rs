//! Versions: announced, agreed on, downgraded, and refused.

use super::bench::{Bench, SECOND, config};
use super::crash_disk::CrashDisk;
use prost::Message as _;
use squall_api::pb::downgrade_request::DowngradeAction;
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::{self, InternalRaftRequest, RequestHeader};
use squall_api::{
    Config, Disk, Effect, Fatal, Input, LaneMsg, LeaseRequest, LeaseResponse, MaintenanceRequest,
    MaintenanceResponse, OpenError, Request, Response, Version,
};
use std::sync::Arc;

const V3_5: Version = Version::new(3, 5, 0);
const V3_6: Version = Version::new(3, 6, 0);
const V3_7: Version = Version::new(3, 7, 0);

/// The only member of a cluster that began at `birth`, running as `version`.
fn alone(birth: Version, version: Version) -> Config {
    Config {
        version,
        birth_version: birth,
        voters: vec![1],
        lease_checkpoint_interval: SECOND,
        ..config()
    }
}

fn disk() -> Arc<dyn Disk> {
    CrashDisk::default().shared()
}

impl Bench {
    /// The member leads, and everything that it proposes of itself is committed.
    fn lead(&mut self) {
        let leader = LaneMsg::Leader { term: 1, leader: 1 };
        let effects = self.step(Input::Lane(leader)).unwrap();
        self.settle(effects).unwrap();
        // A leader's first entry.
        let effects = self.commit(Vec::new().into()).unwrap();
        self.settle(effects).unwrap();
    }

    /// Commits what is proposed, and what follows.
    fn settle(&mut self, effects: Vec<Effect>) -> Result<(), Fatal> {
        let mut proposed: Vec<_> = effects.into_iter().filter_map(proposal).collect();
        while let Some(data) = proposed.pop() {
            let effects = self.commit(data)?;
            proposed.extend(effects.into_iter().filter_map(proposal));
        }
        Ok(())
    }

    fn downgrade(&mut self, action: DowngradeAction, version: &str) -> String {
        let request = pb::DowngradeRequest {
            action: action as i32,
            version: version.into(),
        };
        let request = Request::Maintenance(MaintenanceRequest::Downgrade(request));
        match self.call(request) {
            Ok(Response::Maintenance(MaintenanceResponse::Downgrade(answer))) => answer.version,
            Ok(other) => panic!("{other:?}"),
            Err(status) => status.to_string(),
        }
    }

    /// `3.6.5 in 3.6.0, to 3.5.0`.
    fn versions(&mut self) -> String {
        let status = match self.call(Request::Status(pb::StatusRequest {})) {
            Ok(Response::Status(status)) => status,
            other => panic!("{other:?}"),
        };
        let downgrade = status.downgrade_info.unwrap();
        let to = match downgrade.enabled {
            true => format!(", to {}", downgrade.target_version),
            false => String::new(),
        };
        format!("{} in {}{to}", status.version, status.storage_version)
    }

    /// Time passes, and what the member proposes is committed.
    fn tick(&mut self) {
        self.now.mono += SECOND;
        let effects = self.step(Input::Deadline).unwrap();
        self.settle(effects).unwrap();
    }
}

fn proposal(effect: Effect) -> Option<bytes::Bytes> {
    match effect {
        Effect::Lane(LaneMsg::Propose { data, .. }) => Some(data),
        _ => None,
    }
}

#[test]
fn a_member_announces_what_it_runs_and_the_leader_raises_the_version() {
    let disk = disk();
    let mut bench = Bench::open(&disk, alone(V3_5, Version::new(3, 6, 4))).unwrap();
    assert_eq!(bench.versions(), "3.6.4 in 3.5.0");
    bench.lead();
    assert_eq!(bench.versions(), "3.6.4 in 3.6.0");
    let (index, snapshot) = (bench.index, bench.snapshot());
    bench.stop();
    let mut again = Bench::open(&disk, alone(V3_5, V3_7)).unwrap();
    assert_eq!(again.versions(), "3.7.0 in 3.6.0");
    // A member that joins learns it with its snapshot.
    let joins = Config {
        id: 2,
        voters: Vec::new(),
        ..alone(V3_5, V3_6)
    };
    let mut other = Bench::open(&self::disk(), joins).unwrap();
    assert_eq!(other.versions(), "3.6.0 in ");
    other.step(Input::Lane(LaneMsg::Install(snapshot))).unwrap();
    other.index = index;
    assert_eq!(other.versions(), "3.6.0 in 3.6.0");
}

#[test]
fn the_version_waits_for_the_last_member() {
    let cfg = Config {
        voters: vec![1, 2],
        ..alone(V3_5, V3_6)
    };
    let mut bench = Bench::open(&disk(), cfg).unwrap();
    bench.lead();
    assert_eq!(bench.versions(), "3.6.0 in 3.5.0");
    let announcement = |version: &str| InternalRaftRequest {
        header: Some(RequestHeader {
            id: 77,
            ..RequestHeader::default()
        }),
        command: Some(Command::ClusterMemberAttrSet(
            pb::ClusterMemberAttrSetRequest {
                member_id: 2,
                member_attributes: Some(pb::MemberAttributes {
                    version: version.into(),
                    ..pb::MemberAttributes::default()
                }),
            },
        )),
    };
    let data = announcement("3.7.1").encode_to_vec();
    let effects = bench.commit(data.into()).unwrap();
    bench.settle(effects).unwrap();
    assert_eq!(bench.versions(), "3.6.0 in 3.6.0");
    let nonsense = announcement("new").encode_to_vec();
    let end = bench.commit(nonsense.into()).unwrap_err();
    assert!(end.to_string().contains("is no version"), "{end}");
}

#[test]
fn downgrades_are_validated_enabled_and_canceled_as_in_etcd() {
    use DowngradeAction::{Cancel, Enable, Validate};
    let disk = disk();
    let mut bench = Bench::open(&disk, alone(V3_6, V3_6)).unwrap();
    let no_version = "InvalidArgument: etcdserver: wrong downgrade target version format";
    let bad_target = "InvalidArgument: etcdserver: invalid downgrade target version";
    let under_way = "FailedPrecondition: etcdserver: cluster has a downgrade job in progress";
    let none = "FailedPrecondition: etcdserver: no inflight downgrade job";
    for action in [Validate, Enable] {
        assert_eq!(bench.downgrade(action, "three"), no_version);
        for target in ["3.4", "3.6.0", "3.7.0", "2.5.0"] {
            assert_eq!(bench.downgrade(action, target), bad_target, "{target}");
        }
    }
    assert_eq!(bench.downgrade(Cancel, ""), none);
    assert_eq!(bench.downgrade(Validate, "3.5.9"), "3.6");
    assert_eq!(bench.downgrade(Enable, "3.5"), "3.6");
    assert_eq!(bench.versions(), "3.6.0 in 3.6.0, to 3.5.0");
    assert_eq!(bench.downgrade(Enable, "3.5"), under_way);
    assert_eq!(bench.downgrade(Validate, "3.5"), under_way);
    assert_eq!(bench.downgrade(Cancel, ""), "3.6");
    assert_eq!(bench.versions(), "3.6.0 in 3.6.0");
    let unknown = Request::Maintenance(MaintenanceRequest::Downgrade(pb::DowngradeRequest {
        action: 9,
        version: "3.5".into(),
    }));
    let refused = bench.call(unknown).unwrap_err().to_string();
    assert_eq!(refused, "Unknown: etcdserver: unknown method");

    // The leader lowers the version, members are started as the release before,
    // and the leader ends what is done.
    assert_eq!(bench.downgrade(Enable, "3.5"), "3.6");
    bench.lead();
    assert_eq!(bench.versions(), "3.6.0 in 3.5.0, to 3.5.0");
    bench.stop();
    let mut older = Bench::open(&disk, alone(V3_6, V3_5)).unwrap();
    assert_eq!(older.versions(), "3.5.0 in 3.5.0, to 3.5.0");
    older.lead();
    assert_eq!(older.versions(), "3.5.0 in 3.5.0");
}

#[test]
fn a_canceled_downgrade_is_taken_back() {
    use DowngradeAction::{Cancel, Enable};
    let mut bench = Bench::open(&disk(), alone(V3_6, V3_6)).unwrap();
    bench.lead();
    assert_eq!(bench.downgrade(Enable, "3.5"), "3.6");
    bench.tick();
    assert_eq!(bench.versions(), "3.6.0 in 3.5.0, to 3.5.0");
    assert_eq!(bench.downgrade(Cancel, ""), "3.5");
    bench.tick();
    assert_eq!(bench.versions(), "3.6.0 in 3.6.0");
}

#[test]
fn a_member_that_does_not_fit_its_cluster_refuses_to_run() {
    let disk = disk();
    Bench::open(&disk, alone(V3_5, V3_5)).unwrap().stop();
    let refused = |disk: &Arc<dyn Disk>, version| match Bench::open(disk, alone(V3_5, version)) {
        Err(OpenError::Version(why)) => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it runs as {version}"),
    };
    let skips = refused(&disk, V3_7);
    assert!(skips.contains("no minor version can be skipped"), "{skips}");
    let mut bench = Bench::open(&disk, alone(V3_5, V3_6)).unwrap();
    bench.lead();
    bench.stop();
    let old = refused(&disk, V3_5);
    assert!(old.contains("enable a downgrade to 3.5"), "{old}");
    Bench::open(&disk, alone(V3_5, V3_7)).unwrap().stop();

    // It is told the same by a snapshot, and by an entry.
    let mut newer = Bench::open(&disk, alone(V3_5, V3_6)).unwrap();
    let snapshot = newer.snapshot();
    let joins = Config {
        id: 2,
        voters: Vec::new(),
        ..alone(V3_5, V3_5)
    };
    let mut other = Bench::open(&self::disk(), joins).unwrap();
    let end = other.step(Input::Lane(LaneMsg::Install(snapshot)));
    assert!(matches!(end, Err(Fatal::Version(_))), "{end:?}");
    let unsupported = Bench::open(&self::disk(), alone(V3_5, Version::new(4, 0, 0)));
    let why = unsupported.err().expect("there is no such").to_string();
    assert!(why.contains("this build cannot run as 4.0.0"), "{why}");
}

#[test]
fn what_older_members_do_not_understand_is_not_done_and_forgotten_with_a_downgrade() {
    let checkpoint = |term: u64| InternalRaftRequest {
        header: Some(RequestHeader {
            id: 99,
            term,
            ..RequestHeader::default()
        }),
        command: Some(Command::LeaseCheckpoint(pb::LeaseCheckpointRequest {
            checkpoints: vec![pb::LeaseCheckpoint {
                id: 7,
                remaining_ttl: 30,
            }],
        })),
    };
    let grant = || {
        Request::Lease(LeaseRequest::Grant(pb::LeaseGrantRequest {
            ttl: 60,
            id: 7,
        }))
    };
    let checkpoints = |bench: &mut Bench| -> usize {
        bench.now.mono += 2 * SECOND;
        let effects = bench.step(Input::Deadline).unwrap();
        let is_one = |data: &bytes::Bytes| {
            let request = InternalRaftRequest::decode(data.clone()).unwrap();
            matches!(request.command, Some(Command::LeaseCheckpoint(_)))
        };
        effects
            .into_iter()
            .filter_map(proposal)
            .filter(is_one)
            .count()
    };
    let mut old = Bench::open(&disk(), alone(V3_5, V3_5)).unwrap();
    old.lead();
    old.call(grant()).unwrap();
    assert_eq!(checkpoints(&mut old), 0);
    // Of another term, an entry is void whatever it holds.
    old.commit(checkpoint(9).encode_to_vec().into()).unwrap();
    let end = old
        .commit(checkpoint(1).encode_to_vec().into())
        .unwrap_err();
    let why = end.to_string();
    assert!(
        why.contains("members before 3.6 do not understand"),
        "{why}"
    );

    let disk = disk();
    let mut new = Bench::open(&disk, alone(V3_6, V3_6)).unwrap();
    new.lead();
    new.call(grant()).unwrap();
    assert_eq!(checkpoints(&mut new), 1);
    let data: bytes::Bytes = checkpoint(1).encode_to_vec().into();
    new.commit(data.clone()).unwrap();
    assert_eq!(new.downgrade(DowngradeAction::Enable, "3.5"), "3.6");
    new.commit(data).unwrap();
    assert_eq!(checkpoints(&mut new), 0);
    new.stop();
    let mut next = Bench::open(&disk, alone(V3_6, V3_6)).unwrap();
    next.lead();
    let left = Request::Lease(LeaseRequest::TimeToLive(pb::LeaseTimeToLiveRequest {
        id: 7,
        keys: false,
    }));
    match next.call(left).unwrap() {
        Response::Lease(LeaseResponse::TimeToLive(answer)) => assert_eq!(answer.ttl, 60),
        other => panic!("{other:?}"),
    }
}
