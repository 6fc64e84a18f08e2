//! Events: what changes look like to those who watch.

use crate::index::Span;
use crate::mvcc::{Change, Mvcc};
use squall_api::Fatal;
use squall_api::pb::{Event, KeyValue, event};

/// A change, as an event; what was there before is looked up when somebody
/// wants it.
pub(super) struct Told {
    pub(super) main: i64,
    pub(super) event: Event,
    before: Option<Option<KeyValue>>,
}

impl Told {
    pub(super) fn new(change: &Change) -> Result<Told, Fatal> {
        let main = change.revision.revision().main;
        let mut kv = change.decode()?;
        let kind = match change.revision.is_tombstone() {
            true => {
                kv.mod_revision = main;
                event::EventType::Delete
            }
            false => event::EventType::Put,
        };
        let event = Event {
            r#type: kind as i32,
            kv: Some(kv),
            prev_kv: None,
        };
        Ok(Told {
            main,
            event,
            before: None,
        })
    }

    pub(super) fn key(&self) -> &bytes::Bytes {
        &self.event.kv.as_ref().expect("an event is of a key").key
    }

    /// A planted bug: a deletion shows something of what was deleted.
    pub(super) fn show_deleted(
        &mut self,
        store: &Mvcc,
        show: impl FnOnce(&mut KeyValue, KeyValue),
    ) -> Result<(), Fatal> {
        let is_delete = self.event.r#type == event::EventType::Delete as i32;
        if is_delete && let Some(before) = self.with_prev(store, false)?.prev_kv {
            show(
                self.event.kv.as_mut().expect("an event is of a key"),
                before,
            );
        }
        Ok(())
    }

    /// A planted bug: a put of a key that `is` so says that the key was created at its
    /// own revision, or `by` revisions from there.
    pub(super) fn move_creation(&mut self, is: impl FnOnce(&KeyValue) -> bool, by: i64) {
        let kv = self.event.kv.as_mut().expect("an event is of a key");
        if is(kv) {
            kv.create_revision = kv.mod_revision + by;
        }
    }

    /// The event with what was there before its revision; without, where that
    /// is compacted.
    pub(super) fn with_prev(&mut self, store: &Mvcc, bug: bool) -> Result<Event, Fatal> {
        if self.before.is_none() {
            let at = self.main - i64::from(!bug);
            let before = match at < store.compact_revision() {
                true => None,
                false => store.visible(Span::One(self.key()), at).next(),
            };
            self.before = Some(before.map(|(_, at)| store.read(at)).transpose()?);
        }
        Ok(Event {
            prev_kv: self.before.clone().flatten(),
            ..self.event.clone()
        })
    }
}

/// A planted bug: the changes of the first revision that `is` so are left out, if
/// others come before and after it.
pub(super) fn skip_revision(events: &mut Vec<Event>, is: impl Fn(i64) -> bool) {
    let revision = |event: &Event| event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
    let ends = events
        .first()
        .map(revision)
        .zip(events.last().map(revision));
    let between = |found: &i64| ends.is_some_and(|(first, last)| first < *found && *found < last);
    let mut revisions = events.iter().map(revision);
    if let Some(gone) = revisions.find(|found| between(found) && is(*found)) {
        events.retain(|event| revision(event) != gone);
    }
}
