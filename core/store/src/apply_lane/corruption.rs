//! Whether all members hold the same history.
//!
//! The leader asks everybody, every now and then, for the hash of history up to
//! a revision that was current a while before, so that members that are a little
//! behind can answer, too. Only hashes of the same revision over the same window
//! are compared: a member that has compacted further hashes less. Who differs
//! from a majority has other data than the cluster, and is named in an alarm,
//! which stops all writes; without a majority nobody can tell who is wrong, and
//! the alarm names member 0, as etcd's does.

use super::ApplyLane;
use crate::error::Failed;
use crate::hash::hash_kv;
use squall_api::pb::peer::forwarded::Body;
use squall_api::pb::{AlarmType, HashKvRequest, HashKvResponse};
use squall_api::{Bug, Effects, Fatal, Now};
use std::collections::BTreeMap;

/// When members are compared, and how far that is.
#[derive(Debug)]
pub(super) struct CorruptionCheck {
    every: u64,
    next: Option<u64>,
    /// The revision that was current when members were last compared.
    remembered: i64,
    round: Option<Round>,
}

/// Who said what when they were last asked.
#[derive(Debug)]
struct Round {
    id: u64,
    revision: i64,
    compact_revision: i64,
    hashes: BTreeMap<u64, u32>,
}

impl CorruptionCheck {
    /// Every so many nanoseconds from now on; never for 0.
    pub(super) fn new(every: u64, now: u64) -> CorruptionCheck {
        CorruptionCheck {
            every,
            next: (every > 0).then(|| now.saturating_add(every)),
            remembered: 0,
            round: None,
        }
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        self.next
    }
}

impl Round {
    /// Whose data is not the cluster's, in a cluster of `members`.
    fn corrupt(&self, members: usize) -> Vec<u64> {
        let mut having: BTreeMap<u32, usize> = BTreeMap::new();
        for hash in self.hashes.values() {
            *having.entry(*hash).or_default() += 1;
        }
        let majority = having.iter().find(|(_, count)| **count > members / 2);
        match majority {
            Some((right, _)) => {
                let differs = |(_, hash): &(&u64, &u32)| *hash != right;
                let differing = self.hashes.iter().filter(differs);
                differing.map(|(member, _)| *member).collect()
            }
            None if having.len() > 1 => vec![0],
            None => Vec::new(),
        }
    }
}

impl ApplyLane {
    /// Ends one comparison and begins the next, when it is time for that.
    pub(super) fn compare_members(&mut self, now: Now, fx: &mut Effects) -> Result<(), Fatal> {
        if self.corruption.next.is_none_or(|at| now.mono < at) {
            return Ok(());
        }
        self.corruption.next = Some(now.mono.saturating_add(self.corruption.every));
        self.judge_members(now, fx);
        let current = self.meta.revision;
        let asked = std::mem::replace(&mut self.corruption.remembered, current);
        if self.leader != self.cfg.id || asked == 0 {
            return Ok(());
        }
        let request = HashKvRequest { revision: asked };
        let Some(own) = self.hash_of_history(&request)? else {
            return Ok(());
        };
        let id = self.draw_id();
        let members = self.meta.membership.list();
        for member in members.iter().filter(|member| member.id != self.cfg.id) {
            self.send(member.id, id, Body::Hash(request), fx);
        }
        self.corruption.round = Some(Round {
            id,
            revision: asked,
            compact_revision: own.compact_revision,
            hashes: BTreeMap::from([(self.cfg.id, own.hash)]),
        });
        Ok(())
    }

    /// Tells a member that asks for it the hash of this one's history, if this
    /// one has come that far.
    pub(super) fn answer_hash(
        &mut self,
        to: u64,
        call: u64,
        mut request: HashKvRequest,
        fx: &mut Effects,
    ) -> Result<(), Fatal> {
        if self.bugs.has(Bug::CompareAnyRevisions) {
            request.revision = 0;
        }
        if let Some(answer) = self.hash_of_history(&request)? {
            self.send(to, call, Body::Hashed(answer), fx);
        }
        Ok(())
    }

    /// Another member's hash has come.
    pub(super) fn heard_hash(
        &mut self,
        now: Now,
        from: u64,
        call: u64,
        answer: &HashKvResponse,
        fx: &mut Effects,
    ) {
        let bugs = self.bugs;
        let members = self.meta.membership.list().len();
        let Some(round) = self.corruption.round.as_mut().filter(|r| r.id == call) else {
            return;
        };
        let same_revision =
            answer.hash_revision == round.revision || bugs.has(Bug::CompareAnyRevisions);
        let same_window =
            answer.compact_revision == round.compact_revision || bugs.has(Bug::CompareAnyWindows);
        if same_revision && same_window {
            round.hashes.insert(from, answer.hash);
        }
        if round.hashes.len() == members {
            self.judge_members(now, fx);
        }
    }

    fn judge_members(&mut self, now: Now, fx: &mut Effects) {
        let Some(round) = self.corruption.round.take() else {
            return;
        };
        let members = self.meta.membership.list().len();
        if round.hashes.len() == members {
            fx.mark("apply.compared_members");
        }
        for member in round.corrupt(members) {
            self.raise(now, AlarmType::Corrupt, member, fx);
        }
    }

    /// `None` if history at that revision is not here: not yet, or not any more.
    fn hash_of_history(&mut self, req: &HashKvRequest) -> Result<Option<HashKvResponse>, Fatal> {
        match hash_kv(&mut self.store, req) {
            Ok(answer) => Ok(Some(answer)),
            Err(Failed::Refused(_)) => Ok(None),
            Err(Failed::Fatal(fatal)) => Err(fatal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(hashes: &[(u64, u32)]) -> Round {
        Round {
            id: 1,
            revision: 5,
            compact_revision: 0,
            hashes: hashes.iter().copied().collect(),
        }
    }

    #[test]
    fn who_differs_from_a_majority_is_corrupt() {
        let corrupt = |hashes: &[(u64, u32)], members| round(hashes).corrupt(members);
        assert_eq!(corrupt(&[(1, 7), (2, 7), (3, 7)], 3), [0; 0]);
        assert_eq!(corrupt(&[(1, 7), (2, 7), (3, 8)], 3), [3]);
        // The leader itself.
        assert_eq!(corrupt(&[(1, 8), (2, 7), (3, 7)], 3), [1]);
        // Two of five have not answered.
        assert_eq!(corrupt(&[(1, 7), (2, 7), (3, 8)], 5), [0]);
        assert_eq!(corrupt(&[(1, 7), (2, 7), (3, 7), (4, 8)], 5), [4]);
        // One against one.
        assert_eq!(corrupt(&[(1, 7), (2, 8)], 3), [0]);
        assert_eq!(corrupt(&[(1, 7), (2, 8)], 2), [0]);
        // Nobody has answered.
        assert_eq!(corrupt(&[(1, 7)], 3), [0; 0]);
    }
}
