//! What a run asks for although disks lied, and what its members may do about
//! disks that fail.

use super::watch::Suspension;
use crate::plan::{Action, Fired};
use squall_checkers::raft::Invariant;
use squall_record::{Check, Event, Kind, Stop, Suspended, Verdict};

/// Takes the checks out that rest on what members remember, and says so. A
/// violation from before the suspension stays what it is.
pub(super) fn suspend(checks: &mut Vec<Check>, suspension: &Suspension) -> Vec<Suspended> {
    let mut suspended = Vec::new();
    checks.retain(|check| {
        let early = match &check.verdict {
            Verdict::Fail(witness) => online(check) && witness.t < suspension.since,
            Verdict::Pass { .. } | Verdict::Unknown(_) => false,
        };
        if early || !rests_on_disks(&check.name) {
            return true;
        }
        suspended.push(Suspended {
            check: check.name.clone(),
            since: suspension.since,
            why: suspension.why.clone(),
            would_fail: match &check.verdict {
                Verdict::Fail(witness) => Some(witness.sentence.clone()),
                Verdict::Pass { .. } | Verdict::Unknown(_) => None,
            },
        });
        false
    });
    suspended
}

/// Whether a check is made while the run goes on, and not on what it left.
fn online(check: &Check) -> bool {
    check.name.starts_with("raft.")
        || ["replicas.chain", "versions", "promotion"].contains(&check.name.as_str())
}

/// A leader appends to its log in memory; that it stops for a reason, and does
/// not panic, it owes in any case. Everything else needs members that remember.
fn rests_on_disks(name: &str) -> bool {
    name != Invariant::LeaderAppendOnly.check() && name != "members"
}

/// Whether a member may have stopped by itself because of a fault of its disk,
/// or because another's disk lied.
pub(super) fn may_stop(
    event: &Event,
    fired: &[Fired],
    suspension: Option<&Suspension>,
) -> Option<Stop> {
    let (Kind::Ended { reason, .. }, Some(node)) = (&event.kind, event.node) else {
        return None;
    };
    let failed = reason.contains("disk failed");
    let corrupt = reason.contains("data is corrupt");
    let own = fired.iter().filter(|fault| fault.at <= event.t);
    let own = own.filter_map(|fault| match &fault.action {
        Action::Disk { nodes, what } if nodes.contains(&node) => Some(what.kind()),
        _ => None,
    });
    let mut excused = suspension.is_some_and(|s| s.since <= event.t) && (failed || corrupt);
    for kind in own {
        excused |= failed && (kind.fails() || kind.is_damage());
        excused |= corrupt && kind.is_damage();
    }
    let of_version = reason.contains("this member runs as");
    excused |= of_version
        && fired.iter().any(|fault| match &fault.action {
            Action::Upgrade { nodes, .. } | Action::Downgrade { nodes, .. } => {
                fault.at <= event.t && nodes.contains(&node)
            }
            _ => false,
        });
    excused.then(|| Stop {
        t: event.t,
        node,
        reason: reason.clone(),
    })
}
