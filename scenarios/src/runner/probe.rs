//! What a run did to its disks, for whoever looks for moments to crash at.

use serde::{Deserialize, Serialize};
use squall_sim::Operation;
use squall_sim::world::World;
use std::sync::{Arc, Mutex, PoisonError};

/// Takes what a run did to its disks out of it; its clones share it.
#[derive(Debug, Clone, Default)]
pub struct Probe(Arc<Mutex<Option<Probed>>>);

/// What a run did to its disks.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Probed {
    /// When the load ended, in true nanoseconds.
    pub load_end: u64,
    /// Of nodes 1, 2, ...
    pub nodes: Vec<NodeProbe>,
}

/// One operation that changed a disk, or made something durable.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Done {
    /// The name of its [`DiskOp`](squall_sim::DiskOp).
    pub what: String,
    /// The file or directory; empty for a file that has no name any more.
    pub path: String,
    /// When it began, in true nanoseconds.
    pub begun: u64,
    /// When it ended.
    pub ended: u64,
}

impl From<Operation> for Done {
    fn from(operation: Operation) -> Done {
        Done {
            what: operation.what.name().to_owned(),
            path: operation.path.to_string_lossy().into_owned(),
            begun: operation.begun,
            ended: operation.ended,
        }
    }
}

/// What happened to one node's disk.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct NodeProbe {
    /// Every operation, in order of its call.
    pub operations: Vec<Done>,
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
        let nodes = (1..=world.nodes()).map(|node| NodeProbe {
            operations: (world.take_operations(node).into_iter())
                .map(Done::from)
                .collect(),
            openings: world.openings(node),
            images: world.images(node),
        });
        let probed = Probed {
            load_end,
            nodes: nodes.collect(),
        };
        self.set(Some(probed));
    }

    /// What was found, wherever that was.
    pub(crate) fn set(&self, probed: Option<Probed>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = probed;
    }
}
