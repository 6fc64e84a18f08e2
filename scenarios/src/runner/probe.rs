//! What a run did to its disks, for whoever looks for moments to crash at.

use squall_sim::Operation;
use squall_sim::world::World;
use std::sync::{Arc, Mutex, PoisonError};

/// Takes what a run did to its disks out of it; its clones share it.
#[derive(Debug, Clone, Default)]
pub struct Probe(Arc<Mutex<Option<Probed>>>);

/// What a run did to its disks.
#[derive(Debug, Clone, Default)]
pub struct Probed {
    /// When the load ended, in true nanoseconds.
    pub load_end: u64,
    /// Of nodes 1, 2, ...
    pub nodes: Vec<NodeProbe>,
}

/// What happened to one node's disk.
#[derive(Debug, Clone, Default)]
pub struct NodeProbe {
    /// Every operation, in order of its call.
    pub operations: Vec<Operation>,
    /// When each of its processes opened its member: from, and to.
    pub openings: Vec<(u64, u64)>,
    /// How many images its last crash point could have left.
    pub images: Option<u32>,
}

impl Probe {
    /// What was found; `None` if the run has not ended, or ended early.
    pub fn take(&self) -> Option<Probed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn fill(&self, world: &World, load_end: u64) {
        let nodes = (1..=world.members()).map(|node| NodeProbe {
            operations: world.take_operations(node),
            openings: world.openings(node),
            images: world.images(node),
        });
        let probed = Probed {
            load_end,
            nodes: nodes.collect(),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(probed);
    }
}
