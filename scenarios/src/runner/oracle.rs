//! The oracle: looks at the world while the run goes on, and knows what no member
//! does: who is well, and who hears whom.

use squall_record::Condition;
use squall_sim::world::World;
use std::sync::{Arc, Mutex, PoisonError};

/// How often it looks, in nanoseconds. What comes and goes in between is too short
/// to matter: progress is owed over election timeouts.
const LOOK_EVERY: u64 = 20_000_000;

/// What it has seen: each condition from when it was first seen.
#[derive(Clone, Default)]
pub(super) struct Oracle(Arc<Mutex<Vec<Condition>>>);

impl Oracle {
    /// Looks until true time `end`.
    pub(super) async fn look(self, world: World, end: u64) {
        while world.now() < end {
            self.see(world.condition());
            world.sleep(LOOK_EVERY).await;
        }
    }

    fn see(&self, condition: Condition) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.last().is_none_or(|last| !last.is_same(&condition)) {
            seen.push(condition);
        }
    }

    /// All that it saw.
    pub(super) fn take(&self) -> Vec<Condition> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
