//! What faults came to, by kind.

use crate::format::FaultKind;
use crate::plan::{Action, Fired};
use squall_record::FaultCount;
use squall_sim::{FaultCounts, LinkHits};
use std::collections::BTreeMap;

/// Counts the faults that set in, and what they did: to processes, clocks and
/// connections by number, to messages by the number that the world knows, and
/// to disks by kind.
pub(super) fn faults(
    fired: &[Fired],
    hits: &BTreeMap<u32, u64>,
    links: &BTreeMap<u32, LinkHits>,
    disks: &FaultCounts,
) -> BTreeMap<String, FaultCount> {
    let mut counts: BTreeMap<String, FaultCount> = BTreeMap::new();
    for fault in fired {
        let link = links.get(&fault.world_number()).copied();
        let link = link.unwrap_or_default();
        for kind in fault.action.kinds() {
            let count = counts.entry(kind.name().to_owned()).or_default();
            count.set_in += 1;
            count.hits += match &fault.action {
                Action::Disk { .. } => 0, // Known by kind only.
                _ => hits_of(kind, &link).unwrap_or_else(|| {
                    let found = hits.get(&fault.number);
                    found.copied().unwrap_or_default()
                }),
            };
        }
    }
    for (kind, n) in disks.iter() {
        if let Some(count) = counts.get_mut(kind.name()) {
            count.hits += n;
        }
    }
    counts
}

/// How many messages a fault of that kind did something to; `None` if it is not
/// about messages.
fn hits_of(kind: FaultKind, link: &LinkHits) -> Option<u64> {
    let name = kind.name();
    Some(match name {
        "link loss" => link.lost,
        "link duplicate" => link.duplicated,
        "link reorder" => link.reordered,
        "link corrupt" => link.damaged,
        "link bandwidth" => link.narrowed,
        "clog" | "hold" => link.kept,
        "client_link" | "client_cut" => link.client,
        _ if name.starts_with("link delay") => link.delayed,
        _ if name.starts_with("partition") => link.cut,
        _ => return None,
    })
}
