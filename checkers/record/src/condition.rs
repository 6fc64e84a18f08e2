//! In what condition a cluster was: who was not well, and who did not hear whom.

use squall_api::MembersView;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What stood in a cluster's way, from some moment on: the world's own knowledge,
/// which no member has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// From when on, in true nanoseconds.
    pub since: u64,
    /// Whose votes count: the latest configuration that any member has in force.
    pub members: Arc<MembersView>,
    /// What is wrong with members; whoever is not in it is well.
    pub nodes: BTreeMap<u64, BTreeSet<Trouble>>,
    /// What is wrong with links from the first to the second; what is not in it
    /// brings messages as links do in this cluster.
    pub links: BTreeMap<(u64, u64), LinkTrouble>,
}

/// Why a member cannot do its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Its process does not run.
    Down,
    /// Its process stands still.
    Paused,
    /// Its steps take many times as long.
    SlowCpu,
    /// A fault of this name is at work on its disk.
    Disk(&'static str),
    /// Its clock stands still, or is wrong by more than a tenth.
    Clock,
    /// Its clients do not reach it as they should.
    Clients,
}

/// Why messages do not arrive as they should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkTrouble {
    /// They are lost, all of them.
    Cut,
    /// None moves.
    Clogged,
    /// They are kept before the addressee.
    Held,
    /// They are late, lost, repeated or damaged.
    Degraded,
}

impl Condition {
    /// Whether nothing is wrong with a member.
    pub fn is_well(&self, node: u64) -> bool {
        !self.nodes.contains_key(&node)
    }

    /// Whether messages arrive as they should, both ways.
    pub fn is_linked(&self, one: u64, other: u64) -> bool {
        let broken = |from, to| self.links.contains_key(&(from, to));
        !broken(one, other) && !broken(other, one)
    }

    /// Whether it is the same but for its beginning.
    pub fn is_same(&self, other: &Condition) -> bool {
        let Condition {
            since: _,
            members,
            nodes,
            links,
        } = self;
        *members == other.members && *nodes == other.nodes && *links == other.links
    }
}
