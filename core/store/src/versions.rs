//! Versions: what each member runs as, what the cluster understands as a whole,
//! and whether it is on its way back to an earlier version.
//!
//! Members announce what they run through the log. The cluster's version is the
//! lowest of those, and what needs a later one is not done. It rises when the
//! last member has been upgraded, and falls only while a downgrade is enabled,
//! by one minor version; then members of that version may be started. Whether a
//! change is good is decided where it is applied: what the leader knew when it
//! proposed it may have changed.

use crate::error::Refusal;
use crate::rows::Rows;
use bytes::{BufMut as _, Bytes, BytesMut};
use squall_api::pb::internal_raft_request::Command;
use squall_api::{Bug, Bugs, Config, Fatal, Version, VersionsView};
use std::collections::BTreeMap;

pub(crate) const PREFIX: &[u8] = b"version/";
const CLUSTER: &[u8] = b"version/cluster";
const DOWNGRADE: &[u8] = b"version/downgrade";
const MEMBER: &[u8] = b"version/member/";

/// What needs a cluster whose members all understand it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feature {
    /// What is left of a lease is noted in the log. Before 3.6 etcd, too, kept
    /// no such notes.
    LeaseCheckpoints,
}

impl Feature {
    /// What a member has to know to apply `command`; none if all do.
    pub(crate) fn of(command: &Command) -> Option<Feature> {
        match command {
            Command::LeaseCheckpoint(_) => Some(Feature::LeaseCheckpoints),
            _ => None,
        }
    }

    /// The first version that has it.
    pub(crate) const fn since(self) -> Version {
        match self {
            Feature::LeaseCheckpoints => Version::new(3, 6, 0),
        }
    }
}

/// The versions of a cluster as of one entry.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Versions {
    /// None before a member that joins has its first snapshot.
    cluster: Option<Version>,
    downgrade: Option<Version>,
    members: BTreeMap<u64, Version>,
}

impl Versions {
    /// The rows of a cluster that begins: its members need not announce what
    /// all of them know.
    pub(crate) fn birth(cfg: &Config) -> BTreeMap<Bytes, Bytes> {
        let mut rows = BTreeMap::new();
        if !cfg.voters.is_empty() {
            rows.insert(Bytes::from_static(CLUSTER), text(cfg.birth_version));
        }
        for voter in &cfg.voters {
            rows.insert(member_row(*voter), text(cfg.birth_version));
        }
        rows
    }

    /// The versions in `rows`.
    pub(crate) fn load(rows: &Rows) -> Result<Versions, Fatal> {
        let mut versions = Versions::default();
        for (key, value) in rows.under(PREFIX) {
            let bad = || Fatal::Corrupt(format!("row {key:?} holds no version: {value:?}"));
            let version = parse(value).ok_or_else(bad)?;
            match &key[..] {
                b"cluster" => versions.cluster = Some(version),
                b"downgrade" => versions.downgrade = Some(version),
                key => {
                    let id = key.strip_prefix(b"member/").ok_or_else(bad)?;
                    let id = id.try_into().map_err(|_| bad())?;
                    versions.members.insert(u64::from_be_bytes(id), version);
                }
            }
        }
        Ok(versions)
    }

    /// The cluster's version.
    pub(crate) fn cluster(&self) -> Option<Version> {
        self.cluster
    }

    /// Where a downgrade leads to, if one is enabled.
    pub(crate) fn downgrade(&self) -> Option<Version> {
        self.downgrade
    }

    /// What a member has announced.
    pub(crate) fn of(&self, member: u64) -> Option<Version> {
        self.members.get(&member).copied()
    }

    /// Whether the cluster does what `feature` is. From the moment on at which a
    /// downgrade is enabled it does not, if its members will not understand it.
    pub(crate) fn allow(&self, feature: Feature) -> bool {
        let effective = self.downgrade.or(self.cluster);
        effective.is_some_and(|version| feature.since() <= version)
    }

    /// Applies what a member says that it runs; the patch does not matter.
    pub(crate) fn announce(&mut self, rows: &mut Rows, member: u64, version: Version) {
        let version = version.minor_only();
        rows.set(member_row(member), text(version));
        self.members.insert(member, version);
    }

    /// Applies that a member is none any more.
    pub(crate) fn forget(&mut self, rows: &mut Rows, member: u64) {
        rows.remove(&member_row(member));
        self.members.remove(&member);
    }

    /// What the cluster's version should become with these `members`, if not
    /// what it is.
    pub(crate) fn next(&self, members: impl Iterator<Item = u64>, bugs: Bugs) -> Option<Version> {
        let cluster = self.cluster?;
        if let Some(target) = self.downgrade {
            return (target < cluster).then_some(target);
        }
        // Of whom there is no announcement, nobody knows what it understands.
        let announced: Option<Vec<Version>> = members.map(|member| self.of(member)).collect();
        let announced = announced?.into_iter();
        let reached = match bugs.has(Bug::RaiseWithOldMembers) {
            true => announced.max(),
            false => announced.min(),
        };
        reached.filter(|version| *version > cluster)
    }

    /// Applies a new version of the cluster, unless it is not, or no longer, what
    /// the version should become. Says whether it was.
    pub(crate) fn change(
        &mut self,
        rows: &mut Rows,
        version: Version,
        members: impl Iterator<Item = u64>,
        bugs: Bugs,
    ) -> bool {
        if self.next(members, bugs) != Some(version) {
            return false;
        }
        rows.set(Bytes::from_static(CLUSTER), text(version));
        self.cluster = Some(version);
        true
    }

    /// Whether the cluster may be downgraded to `target`, or why not.
    pub(crate) fn check_downgrade(&self, target: Version, bugs: Bugs) -> Result<(), Refusal> {
        let cluster = self.cluster.ok_or(Refusal::NoClusterVersion)?;
        let skips = bugs.has(Bug::DowngradeAnywhere) && target < cluster;
        if cluster.previous() != Some(target.minor_only()) && !skips {
            return Err(Refusal::BadDowngradeTarget);
        }
        match self.downgrade {
            Some(_) => Err(Refusal::DowngradeInProcess),
            None => Ok(()),
        }
    }

    /// Applies that the cluster is to be downgraded to `target`.
    pub(crate) fn enable_downgrade(
        &mut self,
        rows: &mut Rows,
        target: Version,
        bugs: Bugs,
    ) -> Result<(), Refusal> {
        self.check_downgrade(target, bugs)?;
        let target = target.minor_only();
        rows.set(Bytes::from_static(DOWNGRADE), text(target));
        self.downgrade = Some(target);
        Ok(())
    }

    /// Applies that it is not, after all, or no more.
    pub(crate) fn cancel_downgrade(&mut self, rows: &mut Rows) -> Result<(), Refusal> {
        if self.downgrade.take().is_none() {
            return Err(Refusal::NoDowngrade);
        }
        rows.remove(DOWNGRADE);
        Ok(())
    }

    /// Whether all of these `members` run what a downgrade leads to.
    pub(crate) fn is_downgraded(&self, mut members: impl Iterator<Item = u64>) -> bool {
        let Some(target) = self.downgrade else {
            return false;
        };
        let runs = |member| self.of(member) == Some(target);
        self.cluster == Some(target) && members.all(runs)
    }

    /// As shown to whoever checks invariants.
    pub(crate) fn view(&self, index: u64, own: Version) -> VersionsView {
        VersionsView {
            index,
            own,
            cluster: self.cluster,
            downgrade: self.downgrade,
            members: self.members.clone(),
        }
    }

    /// Whether a member that runs as `own` can be in this cluster; else what to
    /// do.
    pub(crate) fn check_own(&self, own: Version) -> Result<(), String> {
        let Some(cluster) = self.cluster else {
            return Ok(());
        };
        if own.fits(cluster) {
            return Ok(());
        }
        let (own, at) = (own.short(), cluster.short());
        Err(if own < at {
            format!(
                "this member runs as {own}, and its cluster is at version {at}: start it as {at}, \
                 or enable a downgrade to {own} first and wait until the cluster is there"
            )
        } else {
            format!(
                "this member runs as {own}, and its cluster is at version {at}: no minor version \
                 can be skipped, start all members as the one after {at} first"
            )
        })
    }
}

fn text(version: Version) -> Bytes {
    version.to_string().into()
}

fn parse(value: &[u8]) -> Option<Version> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn member_row(member: u64) -> Bytes {
    let mut key = BytesMut::from(MEMBER);
    key.put_u64(member);
    key.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V3_5: Version = Version::new(3, 5, 0);
    const V3_6: Version = Version::new(3, 6, 0);

    fn born(version: Version) -> (Rows, Versions) {
        let cfg = Config {
            version,
            birth_version: version,
            ..Config::new(1, 1, vec![1, 2, 3])
        };
        let rows = Rows::of(Versions::birth(&cfg));
        let versions = Versions::load(&rows).unwrap();
        (rows, versions)
    }

    #[test]
    fn the_version_rises_with_the_last_member_and_not_before() {
        let (mut rows, mut versions) = born(V3_5);
        let members = || 1..=3;
        assert_eq!(versions.next(members(), Bugs::NONE), None);
        for member in [1, 2] {
            versions.announce(&mut rows, member, Version::new(3, 6, 4));
            assert!(!versions.change(&mut rows, V3_6, members(), Bugs::NONE));
        }
        assert!(!versions.allow(Feature::LeaseCheckpoints));
        assert_eq!(versions.next(1..=4, Bugs::NONE), None, "4 is unknown");
        versions.forget(&mut rows, 3);
        assert_eq!(versions.next(1..=2, Bugs::NONE), Some(V3_6), "3 is gone");
        versions.announce(&mut rows, 3, Version::new(3, 6, 5));
        assert!(versions.change(&mut rows, V3_6, members(), Bugs::NONE));
        assert!(versions.allow(Feature::LeaseCheckpoints));
        assert_eq!(Versions::load(&rows).unwrap(), versions);
    }

    #[test]
    fn it_falls_by_one_minor_version_while_a_downgrade_is_enabled() {
        let (mut rows, mut versions) = born(V3_6);
        let members = || 1..=3;
        let enable = |versions: &mut Versions, rows: &mut Rows, target| {
            versions.enable_downgrade(rows, target, Bugs::NONE)
        };
        for wrong in [V3_6, Version::new(3, 4, 0), Version::new(3, 7, 0)] {
            let refused = enable(&mut versions, &mut rows, wrong);
            assert_eq!(refused, Err(Refusal::BadDowngradeTarget));
        }
        assert_eq!(
            versions.cancel_downgrade(&mut rows),
            Err(Refusal::NoDowngrade)
        );
        assert!(!versions.change(&mut rows, V3_5, members(), Bugs::NONE));
        assert_eq!(enable(&mut versions, &mut rows, V3_5), Ok(()));
        assert!(!versions.allow(Feature::LeaseCheckpoints), "from now on");
        assert_eq!(
            enable(&mut versions, &mut rows, V3_5),
            Err(Refusal::DowngradeInProcess)
        );
        assert!(versions.change(&mut rows, V3_5, members(), Bugs::NONE));
        assert_eq!(versions.next(members(), Bugs::NONE), None);
        for member in members() {
            assert!(!versions.is_downgraded(members()));
            versions.announce(&mut rows, member, V3_5);
        }
        assert!(versions.is_downgraded(members()));
        assert_eq!(Versions::load(&rows).unwrap(), versions);
        assert_eq!(versions.cancel_downgrade(&mut rows), Ok(()));
        assert_eq!(versions.next(members(), Bugs::NONE), None);
        assert_eq!(Versions::load(&rows).unwrap(), versions);
    }

    #[test]
    fn a_member_that_does_not_fit_is_told_what_to_do() {
        let (_, versions) = born(V3_6);
        assert_eq!(versions.check_own(Version::new(3, 7, 1)), Ok(()));
        let older = versions.check_own(V3_5).unwrap_err();
        assert!(older.contains("enable a downgrade to 3.5"), "{older}");
        let (_, versions) = born(V3_5);
        let newer = versions.check_own(Version::new(3, 7, 0)).unwrap_err();
        assert!(newer.contains("no minor version can be skipped"), "{newer}");
        assert_eq!(Versions::default().check_own(V3_5), Ok(()));
    }
}
