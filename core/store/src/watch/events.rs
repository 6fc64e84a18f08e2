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
