//! What answers show of revisions that none of them claims.

use super::candidates::Candidates;
use super::gaps::Gaps;
use crate::store::facts::{Demand, Facts};
use crate::store::keys::Keys;
use crate::store::mvcc::visit_puts;
use crate::store::timeline::Timeline;
use crate::store::violation::Violation;
use squall_record::Call;
use std::collections::BTreeMap;

/// Finds who can have written what answers show, by gap, and notes who can have
/// filled one gap only.
pub(super) fn meet_demands(
    timeline: &Timeline<'_>,
    keys: &Keys<'_>,
    gaps: &Gaps,
    facts: &Facts<'_>,
    candidates: &Candidates,
    reserved: &mut [Option<u32>],
) -> Result<BTreeMap<usize, Vec<u32>>, Violation> {
    let mut demanded = BTreeMap::new();
    for (revision, demands) in &facts.demands {
        let phantom = || Violation::Phantom {
            op: demands[0].op,
            kv: Box::new(demands[0].kv.clone()),
        };
        let gap = gaps
            .list
            .binary_search_by_key(revision, |g| g.revision)
            .map_err(|_| phantom())?;
        let deadline = gaps.list[gap].deadline;
        let may = |u: &u32| {
            let u = &timeline.unsure[*u as usize];
            let call = &timeline.ops[u.op as usize].call;
            u.invoke <= deadline && demands.iter().all(|d| may_meet(keys, call, d))
        };
        let putters = candidates.who(demands[0].key, true);
        let list: Vec<u32> = putters.iter().copied().filter(may).collect();
        match list[..] {
            [] => return Err(phantom()),
            [only] if reserved[only as usize].replace(gap as u32).is_some() => {
                return Err(phantom());
            }
            _ => demanded.insert(gap, list),
        };
    }
    Ok(demanded)
}

fn may_meet(keys: &Keys<'_>, call: &Call, demand: &Demand<'_>) -> bool {
    let mut may = false;
    visit_puts(call, &mut |put| {
        may |= keys.find(&put.key) == Some(demand.key)
            && demand
                .value
                .is_none_or(|v| put.ignore_value || put.value == v);
    });
    may
}
