//! A leader's snapshot in place of the state.

use super::ApplyLane;
use crate::alarms::Alarms;
use crate::lease::Lessor;
use crate::meta::Meta;
use crate::rows::Rows;
use crate::snapshot;
use crate::versions::Versions;
use raft_proto::eraftpb::Snapshot;
use squall_api::{Bug, Effect, Effects, Fatal, LaneMsg, Now, View};

impl ApplyLane {
    /// Replaces the state by a leader's. Proposals that wait go on waiting:
    /// whether they were applied can no longer be seen, so they time out.
    pub(super) fn install(
        &mut self,
        now: Now,
        snapshot: &Snapshot,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        let contents = snapshot::read(snapshot)
            .map_err(|why| Fatal::Corrupt(format!("the leader's snapshot: {why}")))?;
        if contents.meta.cluster != self.cfg.cluster {
            return Err(Fatal::Corrupt(format!(
                "the leader's snapshot is of cluster {:x}, and this is cluster {:x}",
                contents.meta.cluster, self.cfg.cluster
            )));
        }
        assert!(
            contents.meta.index > self.meta.index,
            "a snapshot never goes back: {:?} after {:?}",
            contents.meta,
            self.meta
        );
        let mut meta = Meta {
            member: self.cfg.id,
            ..contents.meta
        };
        meta.membership.misread(self.bugs);
        let mut installed = Snapshot::default();
        installed.set_metadata(snapshot.get_metadata().clone());
        let mut tell = Some(Effect::Lane(LaneMsg::Installed(Box::new(installed))));
        if self.bugs.has(Bug::RestartLogBeforeInstall) {
            fx.push(tell.take().expect("nobody was told yet"));
        }
        self.store
            .replace(&contents.changes, &contents.rows, &meta)?;
        self.rows = Rows::of(contents.rows);
        self.hub.installed(self.meta.revision, &self.store);
        self.alarms = Alarms::load(&self.rows)?;
        self.auth.installed(&self.rows)?;
        if !self.bugs.has(Bug::KeepOldLeases) {
            let interval = self.cfg.lease_checkpoint_interval;
            self.leasing.lessor = Lessor::of(&self.rows, interval, self.bugs)?;
        }
        self.versions = Versions::load(&self.rows)?;
        self.check_version()?;
        self.versions_changed();
        self.meta = meta;
        self.committed_revision = self.meta.revision;
        self.claimed = None;
        self.known_commit = self.known_commit.max(self.meta.index);
        self.uncommitted = 0;
        self.commit_deadline = None;
        fx.mark("apply.installed_snapshot");
        fx.push(Effect::View(View::Installed(self.meta.view(0))));
        self.show_versions(fx);
        if let Some(tell) = tell {
            fx.push(tell);
        }
        self.note_removal(now, fx);
        self.note_standing(now);
        self.recheck_watches(fx);
        self.line_installed(now, fx)?;
        self.serve_reads(now, fx)?;
        self.serve_early(now, fx)
    }
}
