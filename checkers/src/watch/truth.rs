//! What was changed at which revision, by replaying the order in which the host
//! of the store saw operations applied.

use super::told::kv_of;
use crate::linearizable::Applied;
use crate::store::model::{FIRST_REVISION, State};
use bytes::Bytes;
use squall_api::pb::{Event, KeyValue, event};
use squall_record::{Call, Op, Outcome};
use std::collections::BTreeMap;

/// The changes of every revision, up to the one that they are known to.
#[derive(Debug, Default)]
pub(crate) struct Truth<'a> {
    /// By revision: who made it, and its events in order of keys, each with what
    /// was there before.
    revisions: BTreeMap<i64, (&'a Op, Vec<Event>)>,
    /// The last revision that the replay explains.
    through: i64,
    /// The highest revision that anybody asked to compact.
    compacted: i64,
}

impl<'a> Truth<'a> {
    /// Replays `applied`. Where its revisions are not what the specification
    /// makes of its operations, or an entry that no client asked for has taken
    /// one, what is known ends.
    pub(crate) fn replay(history: &'a [Op], applied: &[Applied]) -> Truth<'a> {
        let mut truth = Truth {
            through: FIRST_REVISION,
            ..Truth::default()
        };
        for op in history {
            if let Call::Compact(compact) = &op.call {
                truth.compacted = truth.compacted.max(compact.revision);
            }
        }
        let mut state = State::default();
        let by_id: BTreeMap<u64, &Op> = history.iter().map(|op| (op.id, op)).collect();
        for entry in applied {
            let before = state.revision();
            // Refused, or of no effect: nothing was changed.
            if entry.revision == before {
                continue;
            }
            let Some(op) = entry.op.and_then(|op| by_id.get(&op)) else {
                break;
            };
            // Whoever was refused changed nothing.
            if !matches!(op.outcome, Outcome::Refused(_)) {
                let _ = state.answer(&op.call);
            }
            if state.revision() != entry.revision {
                break;
            }
            let event = |kv| event_of(kv, state.key_at(&kv.key, before));
            let events = state.newest().map(event).collect();
            truth.revisions.insert(entry.revision, (op, events));
            truth.through = entry.revision;
        }
        truth
    }

    /// The last revision that is known.
    pub(crate) fn through(&self) -> i64 {
        self.through
    }

    /// The highest revision that anybody asked to compact; 0 if nobody did.
    pub(crate) fn compacted(&self) -> i64 {
        self.compacted
    }

    /// The revisions from one to another, both included, as far as known.
    pub(crate) fn between(
        &self,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = (i64, &'a Op, &[Event])> {
        let range = (from <= to).then(|| self.revisions.range(from..=to));
        range
            .into_iter()
            .flatten()
            .map(|(revision, (op, events))| (*revision, *op, events.as_slice()))
    }

    /// The operation that took a revision.
    pub(crate) fn op_at(&self, revision: i64) -> Option<&'a Op> {
        Some(self.revisions.get(&revision)?.0)
    }

    /// What happened to a key at a revision, if that is known; the inner `None`
    /// says that nothing did.
    pub(crate) fn event(&self, revision: i64, key: &Bytes) -> Option<Option<&Event>> {
        if revision > self.through || revision <= FIRST_REVISION {
            return None;
        }
        let (_, events) = self.revisions.get(&revision)?;
        // A transaction may delete a key and put it again: the last one counts.
        let upto = events.partition_point(|event| kv_of(event).0 <= key);
        let last = upto.checked_sub(1).map(|last| &events[last]);
        Some(last.filter(|event| kv_of(event).0 == key))
    }

    /// The keys of a state that was changed up to a revision, if that is known.
    pub(crate) fn state_at(&self, revision: i64) -> Option<BTreeMap<Bytes, KeyValue>> {
        if revision > self.through {
            return None;
        }
        let mut keys = BTreeMap::new();
        for (_, _, events) in self.between(0, revision) {
            for event in events {
                let kv = event.kv.as_ref().expect("it was made with one");
                match event.r#type() {
                    event::EventType::Put => drop(keys.insert(kv.key.clone(), kv.clone())),
                    event::EventType::Delete => drop(keys.remove(&kv.key)),
                }
            }
        }
        Some(keys)
    }
}

/// The event that tells of a version, with what was there before it.
pub(crate) fn event_of(kv: &KeyValue, before: Option<&KeyValue>) -> Event {
    let kind = match kv.version {
        0 => event::EventType::Delete,
        _ => event::EventType::Put,
    };
    Event {
        r#type: kind as i32,
        kv: Some(kv.clone()),
        prev_kv: before.cloned(),
    }
}
