//! What a member shows of itself to whoever checks its invariants from
//! outside. Views carry no obligation: a host may drop them all.

use crate::Version;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A Raft role, named as in the paper.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the paper's terms")]
pub enum Role {
    Follower,
    Candidate,
    Leader,
}

impl Role {
    /// The role as a word.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Follower => "follower",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
        }
    }
}

/// One log entry, as far as invariants care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryId {
    /// The term in which the entry was proposed.
    pub term: u64,
    /// A digest of index, term, type and data.
    pub digest: u64,
}

/// How the in-memory log changed: everything at and after `from` is now
/// exactly `entries`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChange {
    /// Index of the first entry that may differ from before.
    pub from: u64,
    /// The entries from there to the end of the log.
    pub entries: Vec<EntryId>,
    /// The indexes of those that change the members.
    pub conf_changes: Vec<u64>,
}

/// The configuration in force at a member: who decides, and who only listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MembersView {
    /// It is in force as of this entry.
    pub index: u64,
    /// Those who vote.
    pub voters: BTreeSet<u64>,
    /// While a joint change is under way, those who voted before: both sets
    /// decide, each by its own majority.
    pub outgoing: BTreeSet<u64>,
    /// Those who get the log, and do not count.
    pub learners: BTreeSet<u64>,
}

impl MembersView {
    /// The first members of a cluster.
    pub fn first(voters: impl IntoIterator<Item = u64>) -> MembersView {
        MembersView {
            voters: voters.into_iter().collect(),
            ..MembersView::default()
        }
    }

    /// Whether `id` has a vote.
    pub fn is_voter(&self, id: u64) -> bool {
        self.voters.contains(&id) || self.outgoing.contains(&id)
    }

    /// Everybody, in ascending order.
    pub fn all(&self) -> BTreeSet<u64> {
        let members = self.voters.iter().chain(&self.outgoing);
        members.chain(&self.learners).copied().collect()
    }

    /// Whether those who are `counted` decide.
    pub fn is_quorum(&self, counted: impl Fn(u64) -> bool) -> bool {
        let majority = |of: &BTreeSet<u64>| {
            let count = of.iter().filter(|id| counted(**id)).count();
            count > of.len() / 2
        };
        majority(&self.voters) && (self.outgoing.is_empty() || majority(&self.outgoing))
    }
}

/// The Raft lane's state after a step that changed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftView {
    /// Current term.
    pub term: u64,
    /// Whom it voted for in this term; 0 for nobody.
    pub vote: u64,
    /// Its role.
    pub role: Role,
    /// The leader it follows; 0 if it knows none.
    pub leader: u64,
    /// Highest index known to be committed.
    pub commit: u64,
    /// First index still in the log.
    pub first_index: u64,
    /// Last index of the log.
    pub last_index: u64,
    /// What changed in the log, if anything did. The first view after opening
    /// carries the whole log. Shared, as more than one checker keeps it.
    pub log: Option<Arc<LogChange>>,
    /// The configuration in force, if it is another one than in the last view,
    /// and in the first. Always `None` for members that do not tell.
    pub members: Option<Arc<MembersView>>,
}

/// One step of the state machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyView {
    /// Index of the entry that was applied, or of the snapshot installed.
    pub index: u64,
    /// What was applied there.
    pub entry: EntryId,
    /// The proposal's unique id; 0 for entries that carry none.
    pub proposal: u64,
    /// The store's revision after it.
    pub revision: i64,
    /// A digest chained over every change of the state so far. Replicas that
    /// applied the same entries to the same state have the same one.
    pub state: u64,
}

/// The versions that a member knows of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionsView {
    /// As of this entry.
    pub index: u64,
    /// The release that the member itself runs as.
    pub own: Version,
    /// The cluster's version; none if the member has not learned it.
    pub cluster: Option<Version>,
    /// To which version the cluster is being downgraded, if it is.
    pub downgrade: Option<Version>,
    /// What each member has announced. Who has announced nothing is left out.
    pub members: BTreeMap<u64, Version>,
}

/// Something a member shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// The Raft lane changed.
    Raft(RaftView),
    /// Request `req` was proposed to Raft under the unique id `proposal`.
    Proposed {
        /// The host's id of the request.
        req: crate::ReqId,
        /// The id under which it will be applied.
        proposal: u64,
    },
    /// An entry was applied.
    Applied(ApplyView),
    /// The entry just applied ended a lease, with its keys.
    LeaseEnded {
        /// Its index.
        index: u64,
        /// The lease.
        lease: i64,
        /// The store's revision after it.
        revision: i64,
    },
    /// The state machine was replaced by a leader's snapshot.
    Installed(ApplyView),
    /// The member opened with this much already applied and durable.
    Opened(ApplyView),
    /// What it knows of versions changed, or it has just opened.
    Versions(Arc<VersionsView>),
    /// It applied an entry that members before version `since` do not
    /// understand.
    Gated {
        /// The entry's index.
        index: u64,
        /// The first version whose members understand it.
        since: Version,
    },
}
