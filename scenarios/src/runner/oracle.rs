//! The oracle: looks at the world while the run goes on, and knows what no member
//! does: who is well, and who hears whom.

use squall_record::Condition;
use squall_sim::world::World;
use std::sync::{Arc, Mutex, PoisonError};

/// How often it looks, in nanoseconds. What comes and goes in between is too short
/// to matter: progress is owed over election timeouts.
const LOOK_EVERY: u64 = 20_000_000;

/// What it has seen; its clones share it.
#[derive(Clone, Default)]
pub(super) struct Oracle(Arc<Mutex<Seen>>);

/// What there was to see of a cluster under load.
#[derive(Default)]
pub(super) struct Seen {
    /// Each condition from when it was first seen, in order.
    pub(super) conditions: Vec<Condition>,
    /// The largest that a member's log was, in bytes.
    pub(super) log_bytes: u64,
}

impl Oracle {
    /// Looks until true time `end`.
    pub(super) async fn look(self, world: World, end: u64) {
        while world.now() < end {
            self.see(world.condition(), world.log_bytes());
            world.sleep(LOOK_EVERY).await;
        }
    }

    fn see(&self, condition: Condition, log_bytes: u64) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.log_bytes = seen.log_bytes.max(log_bytes);
        let last = seen.conditions.last();
        if last.is_none_or(|last| !last.is_same(&condition)) {
            seen.conditions.push(condition);
        }
    }

    /// All that it saw.
    pub(super) fn take(&self) -> Seen {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
