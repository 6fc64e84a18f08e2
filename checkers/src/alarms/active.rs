//! Alarms that are known to be active: somebody was told so, and nobody has
//! deactivated them since.

use squall_api::pb::AlarmType;
use squall_api::pb::alarm_request::AlarmAction;
use squall_api::{MaintenanceRequest, MaintenanceResponse, pb};
use squall_record::{Call, Op, Outcome, Ret};
use std::collections::BTreeMap;

/// An alarm: its type, and the member that has it.
pub(super) type Alarm = (i32, u64);

/// What is known of each alarm, from the answers to who asked and the calls of who
/// deactivated.
pub(super) struct Known<'a> {
    alarms: BTreeMap<Alarm, Times<'a>>,
}

/// When an alarm was listed, and when it may have been deactivated.
#[derive(Default)]
struct Times<'a> {
    /// By return: who listed it, and of those up to here the one who asked last.
    listed: Vec<(u64, &'a Op)>,
    /// By call: when it may have been deactivated, and until when at the latest
    /// that of those up to here may have taken effect.
    cleared: Vec<(u64, u64)>,
}

/// An alarm that is active all through an operation, and the answer that says so.
pub(super) struct Active<'a> {
    pub(super) alarm: Alarm,
    pub(super) listed: &'a Op,
}

impl<'a> Known<'a> {
    pub(super) fn new(history: &'a [Op]) -> Known<'a> {
        let mut alarms: BTreeMap<Alarm, Times<'a>> = BTreeMap::new();
        for op in history {
            let (Some((_, listed)), Some(ret)) = (listed(op), op.ret) else {
                continue;
            };
            for alarm in listed {
                alarms.entry(alarm).or_default().listed.push((ret, op));
            }
        }
        for op in history {
            let Some(cleared) = request(op).filter(|r| r.action() == AlarmAction::Deactivate)
            else {
                continue;
            };
            // Of which nothing is known, it may take effect at any time.
            let until = match &op.outcome {
                Outcome::Refused(_) => continue,
                Outcome::Ok(_) => op.ret.unwrap_or(u64::MAX),
                Outcome::Unknown(_) => u64::MAX,
            };
            for ((kind, member), times) in &mut alarms {
                let is_meant = (cleared.alarm == *kind || cleared.alarm() == AlarmType::None)
                    && (cleared.member_id == *member || cleared.member_id == 0);
                if is_meant {
                    times.cleared.push((op.invoke, until));
                }
            }
        }
        for times in alarms.values_mut() {
            times.listed.sort_by_key(|(ret, op)| (*ret, op.invoke));
            let mut last: Option<&Op> = None;
            for (_, op) in &mut times.listed {
                *op = last.filter(|last| last.invoke > op.invoke).unwrap_or(op);
                last = Some(op);
            }
            times.cleared.sort_unstable();
            let mut latest = 0;
            for (_, until) in &mut times.cleared {
                latest = latest.max(*until);
                *until = latest;
            }
        }
        Known { alarms }
    }

    /// The alarms of type `kind` (of all types for `NONE`) that are surely active
    /// from before `op` was called until it was answered at `ret`.
    pub(super) fn during(
        &self,
        op: &Op,
        ret: u64,
        kind: AlarmType,
    ) -> impl Iterator<Item = Active<'a>> {
        let invoke = op.invoke;
        self.alarms.iter().filter_map(move |(alarm, times)| {
            let is_asked = kind == AlarmType::None || alarm.0 == kind as i32;
            let before = times.listed.partition_point(|(ret, _)| *ret < invoke);
            let (_, listed) = times.listed[..before].last().filter(|_| is_asked)?;
            let begun = times.cleared.partition_point(|(called, _)| *called < ret);
            let cleared = times.cleared[..begun].last();
            let is_cleared = cleared.is_some_and(|(_, until)| *until > listed.invoke);
            (!is_cleared).then_some(Active {
                alarm: *alarm,
                listed,
            })
        })
    }
}

/// The alarm request of `op`, if it is one.
pub(super) fn request(op: &Op) -> Option<&pb::AlarmRequest> {
    match &op.call {
        Call::Maintenance(MaintenanceRequest::Alarm(request)) => Some(request),
        _ => None,
    }
}

/// What type of alarms `op` asked for, and those that it was told are active.
pub(super) fn listed(op: &Op) -> Option<(AlarmType, impl Iterator<Item = Alarm> + '_)> {
    let request = request(op).filter(|request| request.action() == AlarmAction::Get)?;
    let Outcome::Ok(Ret::Maintenance(MaintenanceResponse::Alarm(response))) = &op.outcome else {
        return None;
    };
    let alarms = response.alarms.iter().map(|a| (a.alarm, a.member_id));
    Some((request.alarm(), alarms))
}
