//! Alarms: asked for by clients, or raised by a member whose space is used up.
//!
//! Whether there is space is a matter of each member, and decided before
//! anything is proposed. What an alarm then refuses is a matter of the log: no
//! entry is applied on one member and refused on another.

use super::{ApplyLane, reply};
use crate::alarms::cost;
use crate::error::{Failed, Refusal};
use squall_api::pb::alarm_request::AlarmAction;
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::{AlarmRequest, AlarmResponse, AlarmType};
use squall_api::{Bug, Effects, MaintenanceResponse, Now, ReqId, Response};

impl ApplyLane {
    /// Applies what was asked about alarms; looking at them, too, comes with
    /// the log, as in etcd.
    pub(super) fn alarm(&mut self, req: &AlarmRequest) -> Result<Response, Failed> {
        let (alarms, rows) = (&mut self.alarms, &mut self.rows);
        let listed = match AlarmAction::try_from(req.action) {
            Ok(AlarmAction::Get) => {
                let mut listed = alarms.list(req.alarm);
                if self.bugs.has(Bug::ListOneAlarm) {
                    listed.truncate(1);
                }
                listed
            }
            Ok(AlarmAction::Activate) => {
                let active = alarms.activate(rows, req.alarm, req.member_id);
                active.into_iter().collect()
            }
            Ok(AlarmAction::Deactivate) => {
                let gone = alarms.deactivate(rows, req.alarm, req.member_id);
                if self.bugs.has(Bug::DisarmEverybody) {
                    for other in alarms.list(req.alarm) {
                        alarms.deactivate(rows, req.alarm, other.member_id);
                    }
                }
                gone.into_iter().collect()
            }
            Err(_) => Vec::new(),
        };
        Ok(Response::Maintenance(MaintenanceResponse::Alarm(
            AlarmResponse {
                header: Some(self.header()),
                alarms: listed,
            },
        )))
    }

    /// Refuses `command` if an alarm forbids it: on every member, or on none.
    pub(super) fn heed_alarms(&self, command: &Command) -> Result<(), Refusal> {
        let bugs = self.bugs;
        if !(bugs.has(Bug::TxnsPassAlarms) && matches!(command, Command::Txn(_))) {
            self.alarms.check(command)?;
        }
        let is_full = |more| self.store.stored_bytes() + more > self.cfg.quota_bytes;
        if bugs.has(Bug::LocalQuota) && is_full(cost(command)) {
            return Err(Refusal::NoSpace);
        }
        let is_delete = matches!(command, Command::DeleteRange(_));
        if bugs.has(Bug::RefuseDeletesWhenFull) && is_delete && self.alarms.any(AlarmType::Nospace)
        {
            return Err(Refusal::NoSpace);
        }
        Ok(())
    }

    /// Whether there is space for `command`; if not, raises the alarm and
    /// answers.
    pub(super) fn refuse_without_space(
        &mut self,
        now: Now,
        req: ReqId,
        command: &Command,
        fx: &mut Effects,
    ) -> bool {
        let cost = cost(command);
        if cost == 0 || self.store.stored_bytes().saturating_add(cost) <= self.cfg.quota_bytes {
            return false;
        }
        self.raise(now, AlarmType::Nospace, self.cfg.id, fx);
        reply(req, Err(Refusal::NoSpace.status()), fx);
        true
    }

    /// Proposes that `member` has an alarm, unless it has it, or one was
    /// proposed a moment ago.
    pub(super) fn raise(&mut self, now: Now, kind: AlarmType, member: u64, fx: &mut Effects) {
        let is_soon = self
            .alarm_proposed
            .is_some_and(|at| now.mono < at.saturating_add(self.cfg.election_timeout));
        if is_soon || self.alarms.is_active(kind, member) {
            return;
        }
        if self.bugs.has(Bug::LocalAlarm) {
            return self.alarms.activate_here(kind, member);
        }
        self.alarm_proposed = Some(now.mono);
        fx.mark("apply.raised_alarm");
        self.propose_for_nobody(
            Command::Alarm(AlarmRequest {
                action: AlarmAction::Activate as i32,
                member_id: member,
                alarm: kind as i32,
            }),
            fx,
        );
    }
}
