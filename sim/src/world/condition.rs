//! What a world knows of who is well and who hears whom.

use super::handle::World;
use squall_record::{Condition, Trouble};
use std::collections::{BTreeMap, BTreeSet};

impl World {
    /// In what condition the members are now, and the links between them.
    pub fn condition(&self) -> Condition {
        let inner = self.shared.lock();
        let all = inner.configuration.all();
        let mut nodes: BTreeMap<u64, BTreeSet<Trouble>> = BTreeMap::new();
        let mut links = BTreeMap::new();
        for id in &all {
            let node = &inner.nodes[*id as usize - 1];
            let states = [
                (!node.up, Trouble::Down),
                (!node.pauses.is_empty(), Trouble::Paused),
                (!node.slow.is_empty(), Trouble::SlowCpu),
                (node.clock.is_off(), Trouble::Clock),
                (inner.net.troubles_clients(*id), Trouble::Clients),
            ];
            let of_disk = node.disk.troubles().into_iter();
            let troubles: BTreeSet<Trouble> = (states.into_iter())
                .filter_map(|(is_so, trouble)| is_so.then_some(trouble))
                .chain(of_disk.map(|kind| Trouble::Disk(kind.name())))
                .collect();
            if !troubles.is_empty() {
                nodes.insert(*id, troubles);
            }
            let others = all.iter().filter(|other| *other != id);
            links.extend(others.filter_map(|to| {
                let trouble = inner.net.trouble(*id, *to)?;
                Some(((*id, *to), trouble))
            }));
        }
        Condition {
            since: inner.now,
            members: inner.configuration.clone(),
            nodes,
            links,
        }
    }

    /// How many bytes the largest log of a member takes on its disk now.
    pub fn log_bytes(&self) -> u64 {
        let inner = self.shared.lock();
        let logs = inner.nodes.iter().map(|node| node.disk.bytes_in("wal"));
        logs.max().unwrap_or(0)
    }
}
