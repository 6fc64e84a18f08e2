//! Versions: what this member announces, what it decides as the leader, and what
//! it refuses to take part in.

use super::ApplyLane;
use super::lease::propose_in;
use crate::error::{Failed, Refusal};
use crate::reads::Query;
use crate::versions::Feature;
use squall_api::pb::downgrade_request::DowngradeAction;
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::{
    ClusterMemberAttrSetRequest, ClusterVersionSetRequest, DowngradeInfo, DowngradeInfoSetRequest,
    DowngradeRequest, DowngradeResponse, MemberAttributes,
};
use squall_api::{
    Bug, Effect, Effects, Fatal, MaintenanceResponse, Now, ReqId, Response, SessionId, Version,
    VersionError, View,
};
use std::sync::Arc;

/// What this member should propose about versions.
enum Wanted {
    /// That it runs as what it does.
    Announce,
    /// The cluster's next version, as its leader.
    Cluster(Version),
    /// That the downgrade is done, as its leader.
    Downgraded,
}

impl ApplyLane {
    /// A call of `Maintenance.Downgrade`. Its version was checked to be one.
    pub(super) fn downgrade(
        &mut self,
        now: Now,
        id: ReqId,
        session: SessionId,
        req: DowngradeRequest,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        let enabled = match req.action() {
            DowngradeAction::Validate => {
                return self.read(now, id, session, Query::Downgrade(req.version), false, fx);
            }
            DowngradeAction::Enable => true,
            DowngradeAction::Cancel => false,
        };
        let command = Command::DowngradeInfoSet(DowngradeInfoSetRequest {
            enabled,
            ver: req.version,
        });
        self.propose(now, id, session, command, fx);
        Ok(())
    }

    /// Whether the cluster may be downgraded.
    pub(super) fn validate_downgrade(&self, target: &str) -> Result<Response, Failed> {
        self.versions.check_downgrade(parse(target)?, self.bugs)?;
        Ok(self.downgrade_answer())
    }

    /// Applies that a downgrade begins or ends.
    pub(super) fn set_downgrade(
        &mut self,
        req: &DowngradeInfoSetRequest,
    ) -> Result<Response, Failed> {
        let (versions, rows) = (&mut self.versions, &mut self.rows);
        match req.enabled {
            true => versions.enable_downgrade(rows, parse(&req.ver)?, self.bugs)?,
            false => versions.cancel_downgrade(rows)?,
        }
        self.versions_changed();
        Ok(self.downgrade_answer())
    }

    /// Applies what a member says that it runs as.
    pub(super) fn set_member_version(
        &mut self,
        req: ClusterMemberAttrSetRequest,
    ) -> Result<(), Fatal> {
        let attributes = req.member_attributes.unwrap_or_default();
        let version = attributes.version.parse().map_err(corrupt)?;
        // It may have been removed since.
        if self.meta.membership.has(req.member_id) {
            let (versions, rows) = (&mut self.versions, &mut self.rows);
            versions.announce(rows, req.member_id, version);
            self.versions_changed();
        }
        Ok(())
    }

    /// Applies the cluster's new version.
    pub(super) fn set_cluster_version(
        &mut self,
        req: &ClusterVersionSetRequest,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        let version = req.ver.parse().map_err(corrupt)?;
        let (versions, rows) = (&mut self.versions, &mut self.rows);
        let members = self.meta.membership.ids();
        if !versions.change(rows, version, members, self.bugs) {
            return Ok(());
        }
        fx.mark("apply.changed_cluster_version");
        self.versions_changed();
        self.check_version()
    }

    /// Whether this member knows what `command` is about, and the cluster does
    /// it: else it has no effect. `index` is its entry's.
    pub(super) fn understands(
        &self,
        index: u64,
        command: &Command,
        fx: &mut Effects,
    ) -> Result<bool, Fatal> {
        let Some(feature) = Feature::of(command) else {
            return Ok(true);
        };
        let since = feature.since();
        if self.cfg.version < since {
            // To skip it would be to have another state than those who
            // understand it.
            return match self.bugs.has(Bug::SkipUnknownEntries) {
                true => Ok(false),
                false => Err(Fatal::Corrupt(format!(
                    "entry {index} holds a request that members before {} do not understand, and \
                     this one runs as {}",
                    since.short(),
                    self.cfg.version
                ))),
            };
        }
        if !self.allows(feature) {
            fx.mark("apply.void_for_version");
            return Ok(false);
        }
        fx.push(Effect::View(View::Gated { index, since }));
        Ok(true)
    }

    /// Whether the cluster does what `feature` is.
    fn allows(&self, feature: Feature) -> bool {
        self.versions.allow(feature) || self.bugs.has(Bug::SkipUnknownEntries)
    }

    /// What follows from new versions.
    pub(super) fn versions_changed(&mut self) {
        self.version_retry = None;
        self.show_versions = true;
        let allowed = self.allows(Feature::LeaseCheckpoints);
        let lessor = &mut self.leasing.lessor;
        lessor.allow_checkpoints(&mut self.rows, allowed);
    }

    /// Ends the member if it cannot be in its cluster any more.
    pub(super) fn check_version(&self) -> Result<(), Fatal> {
        if self.bugs.has(Bug::RunAnyVersion) || self.bugs.has(Bug::RaiseWithOldMembers) {
            return Ok(());
        }
        let fits = self.versions.check_own(self.cfg.version);
        fits.map_err(Fatal::Version)
    }

    /// Proposes what is wanted, again and again until it is applied; at the end
    /// of each step.
    pub(super) fn tend_versions(&mut self, now: Now, fx: &mut Effects) {
        let Some(wanted) = self.wanted() else {
            self.version_retry = None;
            return;
        };
        if self.version_retry.is_some_and(|at| now.mono < at) {
            return;
        }
        self.version_retry = Some(now.mono.saturating_add(self.cfg.election_timeout));
        let (term, id) = (self.term, self.draw_id());
        match wanted {
            Wanted::Announce => self.announce(fx),
            Wanted::Cluster(version) => {
                let ver = version.to_string();
                let command = Command::ClusterVersionSet(ClusterVersionSetRequest { ver });
                propose_in(term, id, command, fx);
            }
            Wanted::Downgraded => {
                let done = DowngradeInfoSetRequest::default();
                propose_in(term, id, Command::DowngradeInfoSet(done), fx);
            }
        }
    }

    /// Shows them, if they changed.
    pub(super) fn show_versions(&mut self, fx: &mut Effects) {
        if std::mem::take(&mut self.show_versions) {
            let view = self.versions.view(self.meta.index, self.cfg.version);
            fx.push(Effect::View(View::Versions(Arc::new(view))));
        }
    }

    fn announce(&mut self, fx: &mut Effects) {
        fx.mark("apply.announced_version");
        let announcement = ClusterMemberAttrSetRequest {
            member_id: self.cfg.id,
            member_attributes: Some(MemberAttributes {
                version: self.cfg.version.to_string(),
                ..MemberAttributes::default()
            }),
        };
        self.propose_for_nobody(Command::ClusterMemberAttrSet(announcement), fx);
    }

    fn wanted(&self) -> Option<Wanted> {
        if self.leader == 0 || !self.meta.membership.has(self.cfg.id) {
            return None;
        }
        if self.versions.of(self.cfg.id) != Some(self.cfg.version.minor_only()) {
            return Some(Wanted::Announce);
        }
        // Who leads knows the state as of its own term's first entry.
        if self.leader != self.cfg.id || self.meta.entry.term != self.term {
            return None;
        }
        let members = self.meta.membership.ids();
        if self.versions.is_downgraded(members) {
            return Some(Wanted::Downgraded);
        }
        let members = self.meta.membership.ids();
        let next = self.versions.next(members, self.bugs);
        next.map(Wanted::Cluster)
    }

    fn downgrade_answer(&self) -> Response {
        let cluster = self.versions.cluster();
        Response::Maintenance(MaintenanceResponse::Downgrade(DowngradeResponse {
            header: Some(self.header()),
            version: cluster.map(Version::short).unwrap_or_default(),
        }))
    }

    /// What `Status` says of a downgrade.
    pub(super) fn downgrade_info(&self) -> DowngradeInfo {
        let target = self.versions.downgrade();
        DowngradeInfo {
            enabled: target.is_some(),
            target_version: target.map(|v| v.to_string()).unwrap_or_default(),
        }
    }
}

fn parse(target: &str) -> Result<Version, Refusal> {
    target.parse().map_err(|_| Refusal::NoVersion)
}

fn corrupt(why: VersionError) -> Fatal {
    Fatal::Corrupt(format!("an entry sets a version: {why}"))
}
