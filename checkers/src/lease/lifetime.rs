//! How long leases live.

use super::{Ended, Lease, Leases, SECOND, granted_ttl, kept_ttl, witness};
use crate::rules::{Found, Judged};
use squall_record::{Fact, Op, Outcome, seconds};

/// No lease expires before its TTL has passed since its last acknowledged
/// renewal was sent, by a clock that runs as fast as it may.
pub(super) fn not_early(leases: &Leases<'_>) -> Found {
    const GUARANTEE: &str = "a lease lives for its TTL after it was granted, and after each \
                             keep-alive that was acknowledged";
    let mut judged = Judged {
        unclear: leases.repeated(),
        ..Judged::default()
    };
    for (id, lease) in leases.once() {
        let Some(end) = lease.ended.filter(|end| end.expired) else {
            continue;
        };
        judged.sure += 1;
        for (op, ttl) in renewals(lease) {
            let nanos = nanos(ttl);
            let shortest = nanos - part(nanos, leases.terms.drift_ppm);
            if op.invoke < end.t && end.t < op.invoke.saturating_add(shortest) {
                let sentence = format!(
                    "lease {id} expired at {}, {} after op {} of client {} was sent, which gave it \
                     {ttl} s",
                    seconds(end.t),
                    seconds(end.t - op.invoke),
                    op.id,
                    op.client
                );
                let facts = vec![renewed(op, ttl), expired(&end)];
                let ops = vec![op];
                return Err(witness(GUARANTEE, "early", sentence, end.t, ops, facts));
            }
        }
    }
    Ok(judged)
}

/// No lease outlives its TTL by more than elections, checkpoints and faults
/// account for.
pub(super) fn not_late(leases: &Leases<'_>) -> Found {
    const GUARANTEE: &str = "a lease that is not renewed ends when its TTL has passed: each change \
                             of leader gives back what was not noted since the last checkpoint, \
                             faults may delay it by their length, and nothing else by more than \
                             5 s and two election timeouts";
    let mut judged = Judged {
        unclear: leases.repeated(),
        ..Judged::default()
    };
    for (id, lease) in leases.once() {
        let Some(ttl) = lease.ttl() else {
            judged.unclear += 1;
            continue;
        };
        let last = lease.ended.map_or(leases.until, |end| end.t);
        let deadline = deadline(leases, lease, ttl, last);
        judged.sure += 1;
        if last > deadline {
            let sentence = match &lease.ended {
                Some(end) => format!(
                    "lease {id}, of {ttl} s, ended at {}, and should have at {}",
                    seconds(end.t),
                    seconds(deadline)
                ),
                None => format!(
                    "lease {id}, of {ttl} s, was still there at {}, and should have ended at {}",
                    seconds(last),
                    seconds(deadline)
                ),
            };
            let mut facts: Vec<Fact> = renewals(lease).map(|(op, ttl)| renewed(op, ttl)).collect();
            facts.extend(lease.ended.as_ref().map(expired));
            let ops = lease.grants.clone();
            return Err(witness(GUARANTEE, "late", sentence, last, ops, facts));
        }
    }
    Ok(judged)
}

/// When a lease must be gone, as of true time `last`.
fn deadline(leases: &Leases<'_>, lease: &Lease<'_>, ttl: i64, last: u64) -> u64 {
    let terms = &leases.terms;
    let full = nanos(ttl);
    let slowest = |nanos: u64| nanos.saturating_add(part(nanos, terms.drift_ppm));
    // The last moment at which something may have renewed it.
    let mut from = 0;
    for op in lease.grants.iter().chain(&lease.keep_alives) {
        let at = match (&op.outcome, kept_ttl(op)) {
            (Outcome::Ok(_), Some(0)) | (Outcome::Refused(_), _) => continue,
            (Outcome::Ok(_), _) => op.ret.unwrap_or(op.invoke),
            (Outcome::Unknown(_), _) => {
                let at = op.invoke.saturating_add(2 * terms.request_timeout);
                at.saturating_add(leases.disturbed_within(op.invoke, at))
            }
        };
        from = from.max(at);
    }
    let slack = 5 * SECOND + 2 * terms.election_timeout;
    let due = |from: u64, left: u64, until: u64| {
        from.saturating_add(slowest(left))
            .saturating_add(slack)
            .saturating_add(leases.disturbed_within(from, until))
    };
    let mut left = full;
    let unnoted = terms.checkpoint_interval.saturating_add(2 * SECOND);
    let first = leases.elections.partition_point(|t| *t <= from);
    for election in leases.elections[first..].iter().filter(|t| **t <= last) {
        // Who leads after it should have ended gives nothing back.
        let due = due(from, left, *election);
        if due < *election {
            return due;
        }
        let calm = election - from - leases.disturbed_within(from, *election);
        let noted = calm.saturating_sub(unnoted);
        left = left
            .saturating_sub(noted - part(noted, terms.drift_ppm))
            .max(SECOND);
        from = *election;
    }
    due(from, left, last)
}

/// Acknowledged grants and keep-alives, and for how many seconds each is good.
fn renewals<'a>(lease: &Lease<'a>) -> impl Iterator<Item = (&'a Op, i64)> {
    let granted = lease
        .grants
        .iter()
        .filter_map(|op| Some((*op, granted_ttl(op)?)));
    let kept = lease
        .keep_alives
        .iter()
        .filter_map(|op| Some((*op, kept_ttl(op)?)));
    granted
        .chain(kept.filter(|(_, ttl)| *ttl > 0))
        .collect::<Vec<_>>()
        .into_iter()
}

fn nanos(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(SECOND)
}

/// Millionths of a duration.
fn part(nanos: u64, ppm: u64) -> u64 {
    (u128::from(nanos) * u128::from(ppm) / 1_000_000) as u64
}

fn renewed(op: &Op, ttl: i64) -> Fact {
    let text = format!("sent at {}, good for {ttl} s", seconds(op.invoke));
    Fact::new(format!("op {}", op.id), text)
}

fn expired(end: &Ended) -> Fact {
    let text = format!(
        "ended at {}, at revision {}{}",
        seconds(end.t),
        end.revision,
        if end.expired { ", by expiry" } else { "" }
    );
    Fact::new(format!("lease {}", end.lease), text)
}
