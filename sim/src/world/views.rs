//! What members show of themselves, and what it means for the run.

use super::inner::{AppliedEntry, Inner, Violation};
use squall_api::{ApplyView, Role, View};
use squall_record::{Kind, PartKind};

impl Inner {
    pub(crate) fn viewed(&mut self, node: u64, view: &View, cause: Option<u64>) {
        let now = self.now;
        match view {
            View::Raft(raft) => {
                let standing = &mut self.node(node).standing;
                let before = (standing.role, standing.term, standing.leader);
                standing.commit = raft.commit;
                (standing.role, standing.term, standing.leader) =
                    (raft.role, raft.term, raft.leader);
                if before != (raft.role, raft.term, raft.leader) {
                    if raft.role == Role::Leader && before.0 != Role::Leader {
                        self.recorder.stats.elections += 1;
                    }
                    let (role, term, leader) = (raft.role, raft.term, raft.leader);
                    self.recorder.notable(
                        now,
                        Some(node),
                        cause,
                        Kind::Role { role, term, leader },
                    );
                }
                if let Some(members) = &raft.members {
                    self.node(node).configuration = Some(members.clone());
                    if members.index > self.configuration.index {
                        self.configuration = members.clone();
                        let highest = members.all().last().copied().unwrap_or(0);
                        self.highest_member = self.highest_member.max(highest);
                    }
                }
                let index = raft.commit;
                self.recorder
                    .detail(now, Some(node), cause, || Kind::Commit { index });
            }
            View::Proposed { req, proposal } => {
                self.proposals.insert(*proposal, req.0);
            }
            View::Applied(applied) => self.applied(node, applied, cause),
            View::LeaseEnded { index, lease, .. } => {
                if let Some(last) = self.applied.last_mut()
                    && last.index == *index
                {
                    last.lease = Some(*lease);
                }
            }
            View::Installed(applied) => {
                self.node(node).standing.applied = applied.index;
                self.recorder.stats.snapshots_installed += 1;
                let (index, revision) = (applied.index, applied.revision);
                self.recorder.notable(
                    now,
                    Some(node),
                    cause,
                    Kind::SnapshotInstalled { index, revision },
                );
            }
            View::Opened(applied) => self.node(node).standing.applied = applied.index,
            View::Versions(_) | View::Gated { .. } => {}
        }
        if self.violation.is_none()
            && let Err(violation) = self.observer.view(now, node, view)
        {
            self.violate(Some(node), cause, violation);
        }
    }

    /// Notes a broken invariant; the first one ends the run.
    pub(crate) fn violate(&mut self, node: Option<u64>, cause: Option<u64>, violation: Violation) {
        let check = violation.check.to_owned();
        let sentence = violation.witness.sentence.clone();
        self.recorder
            .notable(self.now, node, cause, Kind::Violated { check, sentence });
        self.violation.get_or_insert(violation);
        self.stopped = true;
    }

    pub(crate) fn applied(&mut self, node: u64, view: &ApplyView, cause: Option<u64>) {
        self.node(node).standing.applied = view.index;
        let op = self.proposals.get(&view.proposal).copied();
        let ApplyView {
            index, revision, ..
        } = *view;
        let term = view.entry.term;
        let digest = view.state.to_le_bytes();
        self.recorder.mix(PartKind::State, node, &digest);
        self.recorder
            .detail(self.now, Some(node), cause, || Kind::Applied {
                index,
                term,
                op,
                revision,
            });
        if index > self.applied_index {
            self.applied_index = index;
            self.applied.push(AppliedEntry {
                index,
                op,
                revision,
                t: self.now,
                lease: None,
            });
        }
    }
}
