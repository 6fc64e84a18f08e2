//! What the configuration demands: leaders are elected by a quorum of the
//! voters, and change the members one change at a time.

use super::canonical::Source;
use super::found::Found;
use super::shadow::Shadow;
use squall_api::{MembersView, RaftView};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Terms that are remembered: a vote for an older one wins nothing any more.
const TERMS: usize = 256;

/// Who was granted votes by whom.
#[derive(Debug, Default)]
pub(super) struct Grants(BTreeMap<u64, BTreeMap<u64, BTreeSet<u64>>>);

impl Grants {
    /// `voter` told that it votes for `candidate`.
    pub(super) fn add(&mut self, term: u64, candidate: u64, voter: u64) {
        let candidates = self.0.entry(term).or_default();
        candidates.entry(candidate).or_default().insert(voter);
        if self.0.len() > TERMS {
            self.0.pop_first();
        }
    }

    /// `source` has taken office in `term`.
    pub(super) fn judge(
        &self,
        source: Source,
        term: u64,
        members: &MembersView,
        found: &mut Found,
    ) {
        let node = source.node;
        let none = BTreeSet::new();
        let candidates = self.0.get(&term);
        let voters = candidates.and_then(|c| c.get(&node)).unwrap_or(&none);
        if !members.is_quorum(|id| id == node || voters.contains(&id)) {
            let mut others = voters.clone();
            others.remove(&node);
            found.elected_by_too_few(source, term, &others, members);
        }
    }
}

/// The configurations that followed each other.
#[derive(Debug, Default)]
pub(super) struct Configurations {
    /// The committed entries that change the members.
    changes: BTreeSet<u64>,
    /// What was in force from such an entry on, and who showed it first.
    known: BTreeMap<u64, (Arc<MembersView>, Source)>,
}

impl Configurations {
    /// The entries at these indexes are committed, and change the members.
    pub(super) fn changed_at(&mut self, indexes: impl Iterator<Item = u64>) {
        self.changes.extend(indexes);
    }

    /// `source` shows its configuration.
    pub(super) fn judge(&mut self, source: Source, members: &Arc<MembersView>, found: &mut Found) {
        if members.voters.is_empty() {
            return; // It waits to be told.
        }
        let since = self.changes.range(..=members.index).next_back();
        let since = since.copied().unwrap_or(0);
        let (known, first) = self
            .known
            .entry(since)
            .or_insert_with(|| (members.clone(), source));
        let who = |m: &MembersView| (m.voters.clone(), m.outgoing.clone(), m.learners.clone());
        if who(known) != who(members) {
            found.other_members(source, since, members, *first, known);
        }
    }
}

/// Judges the changes of members that a leader has just appended to its `log`.
/// `before` are the changes that its log had, `committed` is how far anybody
/// knows the log to be committed.
pub(super) fn judge_changes(
    source: Source,
    view: &RaftView,
    log: &Shadow,
    changes: &BTreeSet<u64>,
    committed: u64,
    found: &mut Found,
) {
    let Some(change) = &view.log else { return };
    for &index in &change.conf_changes {
        let own = |entry: squall_api::EntryId| entry.term == view.term;
        if index <= committed || !log.get(index).is_some_and(own) {
            continue;
        }
        if let Some(&last) = changes.range(..index).next_back()
            && last > committed
        {
            found.second_change(source, view.term, index, last);
        } else if log.get(committed).is_some_and(|entry| !own(entry)) {
            found.early_change(source, view.term, index, committed);
        }
    }
}
