//! The multi-version store: every change of every key, by revision.
//!
//! Changes are applied to memory and committed to the backend in batches: what
//! is applied but not committed is `pending`, and reads see both. Revisions only
//! rise, so all that is pending is newer than all that is committed.

use crate::attached::Attached;
use crate::backend::{Backend, Write};
use crate::compaction::Compaction;
use crate::error::Refusal;
use crate::index::{Index, Span, Visible};
use crate::meta::Meta;
use crate::revision::{Revision, RevisionKey};
use crate::rows::Rows;
use bytes::Bytes;
use prost::Message as _;
use squall_api::pb::KeyValue;
use squall_api::{Bug, Bugs, Fatal};
use std::collections::BTreeMap;

/// A change: its key in the backend, and the encoded [`KeyValue`] it wrote (for
/// a deletion, with nothing but the key).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) revision: RevisionKey,
    pub(crate) value: Bytes,
}

impl Change {
    /// What it wrote.
    pub(crate) fn decode(&self) -> Result<KeyValue, Fatal> {
        decode(&self.revision, self.value.clone())
    }
}

/// The store.
#[derive(Debug)]
pub(crate) struct Mvcc {
    backend: Backend,
    index: Index,
    attached: Attached,
    bugs: Bugs,
    /// Invariant: ascending, and newer than everything in the backend.
    pending: Vec<Change>,
    /// The last finished transaction.
    revision: i64,
    /// Changes of the transaction that is being applied.
    changes: i64,
    compact_revision: i64,
    compaction: Compaction,
    /// Bytes of all changes, with their keys.
    stored_bytes: u64,
    /// The revision that it was opened with.
    opened_at: i64,
}

impl Mvcc {
    /// Rebuilds the index from what the backend holds.
    pub(crate) fn open(backend: Backend, meta: &Meta, bugs: Bugs) -> Result<Mvcc, Fatal> {
        let mut index = Index::new(bugs);
        let mut attached = Attached::new(bugs);
        let mut stored_bytes = 0;
        backend.for_each(|key, value| {
            stored_bytes += (key.len() + value.len()) as u64;
            let is_gone = key.len() > RevisionKey::PUT_LEN;
            if is_gone && backend.has(Bug::ForgetTombstones) {
                return Ok(());
            }
            restore(&mut index, &mut attached, key, value, meta.revision)
        })?;
        // A crash may have left what compaction had not come to.
        let mut compaction = Compaction::default();
        if meta.compact_revision > 0 && !bugs.has(Bug::NeverRemoveCompacted) {
            compaction.start();
        }
        Ok(Mvcc {
            backend,
            index,
            attached: match bugs.has(Bug::LoseAttachments) {
                true => Attached::new(bugs),
                false => attached,
            },
            bugs,
            pending: Vec::new(),
            revision: meta.revision,
            changes: 0,
            compact_revision: meta.compact_revision,
            compaction,
            stored_bytes,
            opened_at: meta.revision,
        })
    }

    /// The revision behind which changes count in a hash: all do.
    pub(crate) fn hashed_behind(&self) -> i64 {
        match self.bugs.has(Bug::HashSinceStart) {
            true => self.opened_at,
            false => 0,
        }
    }

    /// The revision that a read sees: the transaction's own once it has
    /// changed something.
    pub(crate) fn current_revision(&self) -> i64 {
        self.revision + i64::from(self.changes > 0)
    }

    /// The revision up to which history is compacted; -1 if it never was.
    pub(crate) fn compact_revision(&self) -> i64 {
        self.compact_revision
    }

    /// The keys of `span` that are visible at main revision `at`, in order.
    pub(crate) fn visible<'a>(
        &'a self,
        span: Span<'a>,
        at: i64,
    ) -> impl Iterator<Item = (&'a Bytes, Visible)> {
        self.index.visible(span, at)
    }

    /// The key as it is now.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<KeyValue>, Fatal> {
        let found = self.visible(Span::One(key), self.current_revision()).next();
        found.map(|(_, visible)| self.read(visible)).transpose()
    }

    /// The keys of `span` as they are now.
    pub(crate) fn get_span(&self, span: Span<'_>) -> Result<Vec<KeyValue>, Fatal> {
        self.visible(span, self.current_revision())
            .map(|(_, visible)| self.read(visible))
            .collect()
    }

    /// What the index said is visible.
    pub(crate) fn read(&self, visible: Visible) -> Result<KeyValue, Fatal> {
        let key = RevisionKey::new(visible.modified, false);
        let committed = self
            .pending
            .first()
            .is_none_or(|first| visible.modified < first.revision.revision());
        let value = if committed {
            self.backend
                .get(key.as_bytes(), Bytes::copy_from_slice)?
                .ok_or_else(|| {
                    Fatal::Corrupt(format!("the backend lost revision {:?}", visible.modified))
                })?
        } else {
            let at = self
                .pending
                .binary_search_by_key(&visible.modified, |change| change.revision.revision())
                .unwrap_or_else(|_| panic!("{visible:?} is neither pending nor committed"));
            self.pending[at].value.clone()
        };
        decode(&key, value)
    }

    /// Puts a key, in the transaction that is being applied. Its revision is
    /// the transaction's.
    pub(crate) fn put(&mut self, key: &Bytes, value: Bytes, lease: i64) -> i64 {
        let revision = self.next_revision();
        let mut visible = self.index.put(key, revision);
        if self.has(Bug::VersionOutlivesKey) {
            visible.version = self.index.versions(key);
        }
        self.attached.put(key, lease);
        let kv = KeyValue {
            key: key.clone(),
            create_revision: visible.create_revision,
            mod_revision: revision.main,
            version: visible.version,
            value,
            lease,
        };
        self.push(RevisionKey::new(revision, false), &kv);
        revision.main
    }

    /// Deletes the keys of `span`, in the transaction that is being applied.
    /// Returns how many there were.
    pub(crate) fn delete(&mut self, span: Span<'_>) -> i64 {
        let keys: Vec<Bytes> = self
            .visible(span, self.current_revision())
            .map(|(key, _)| key.clone())
            .collect();
        for key in &keys {
            let revision = self.next_revision();
            self.index.delete(key, revision);
            self.attached.remove(key);
            let kv = KeyValue {
                key: key.clone(),
                ..KeyValue::default()
            };
            self.push(RevisionKey::new(revision, true), &kv);
        }
        keys.len() as i64
    }

    /// The keys that are attached to a lease, in order.
    pub(crate) fn attached(&self, lease: i64) -> impl Iterator<Item = &Bytes> {
        self.attached.keys(lease)
    }

    /// Ends the transaction; a transaction without changes has no revision.
    /// Returns the store's revision, and what has changed.
    pub(crate) fn end_txn(&mut self) -> (i64, &[Change]) {
        let from = self.pending.len() - self.changes as usize;
        self.revision = self.current_revision();
        self.changes = 0;
        (self.revision, &self.pending[from..])
    }

    /// Makes everything that is pending durable, with `rows` and `meta`.
    pub(crate) fn commit(&mut self, rows: &mut Rows, meta: &Meta) -> Result<(), Fatal> {
        self.assert_between_txns(meta);
        let changes = self
            .pending
            .iter()
            .map(|change| Write::Change(change.revision.as_bytes(), &change.value));
        // Behind the changes: some of them may be gone already.
        let removals = self.compaction.batch();
        let removals = removals.map(|key| Write::RemoveChange(key.as_bytes()));
        let writes = changes.chain(removals).chain(rows.writes());
        let removed_bytes = self.backend.commit(writes, meta)?;
        self.stored_bytes -= removed_bytes;
        self.pending.clear();
        self.compaction.removed();
        rows.committed();
        Ok(())
    }

    /// Rewrites the backend's file without holes. What is pending has to be
    /// committed before.
    pub(crate) fn defragment(&mut self) -> Result<(), Fatal> {
        assert!(self.pending.is_empty(), "a batch was not committed");
        self.backend.defragment()
    }

    /// A planted bug: what is pending counts as committed.
    pub(crate) fn drop_pending(&mut self, meta: &Meta, rows: &mut Rows) -> Result<(), Fatal> {
        self.pending.clear();
        self.commit(rows, meta)
    }

    /// Replaces the whole store by `changes`, which are in order, and what the
    /// backend keeps beside it by `rows`, durably.
    pub(crate) fn replace(
        &mut self,
        changes: &[(RevisionKey, Bytes)],
        rows: &BTreeMap<Bytes, Bytes>,
        meta: &Meta,
    ) -> Result<(), Fatal> {
        let mut index = Index::new(self.bugs);
        let mut attached = Attached::new(self.bugs);
        let mut stored_bytes = 0;
        for (key, value) in changes {
            stored_bytes += (key.as_bytes().len() + value.len()) as u64;
            restore(
                &mut index,
                &mut attached,
                key.as_bytes(),
                value,
                meta.revision,
            )?;
        }
        let changes = changes
            .iter()
            .map(|(key, value)| Write::Change(key.as_bytes(), value));
        let rows = rows.iter().map(|(key, value)| Write::Row(key, value));
        self.backend.replace(changes.chain(rows), meta)?;
        self.index = index;
        self.attached = attached;
        self.pending.clear();
        self.compaction = Compaction::default();
        self.revision = meta.revision;
        self.compact_revision = meta.compact_revision;
        self.stored_bytes = stored_bytes;
        Ok(())
    }

    /// Shows every change that was not compacted away, committed or not, in
    /// order.
    pub(crate) fn for_each_change(
        &mut self,
        mut change: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Fatal> {
        self.compaction
            .walk_to_end(&mut self.index, self.compact_revision);
        let compaction = &self.compaction;
        let is_gone =
            |key: &[u8]| RevisionKey::parse(key).is_some_and(|key| compaction.dooms(&key));
        self.backend.for_each(|key, value| {
            if !is_gone(key) {
                change(key, value);
            }
            Ok::<_, Fatal>(())
        })?;
        for pending in &self.pending {
            if !compaction.dooms(&pending.revision) {
                change(pending.revision.as_bytes(), &pending.value);
            }
        }
        Ok(())
    }

    /// The changes from main revision `from` on, in order: whole transactions, and
    /// no further one once there are `most` changes or `bytes` of them. At or above
    /// the compact revision nothing is missing. The second part is the main
    /// revision that was come to.
    pub(crate) fn history(
        &self,
        from: i64,
        most: usize,
        bytes: usize,
    ) -> Result<(Vec<Change>, i64), Fatal> {
        let first = RevisionKey::new(Revision { main: from, sub: 0 }, false);
        let mut changes: Vec<Change> = Vec::new();
        let mut found_bytes = 0;
        let mut through = self.revision;
        let mut add = |revision: RevisionKey, value: &dyn Fn() -> Bytes| {
            let is_full = changes.len() >= most || found_bytes >= bytes;
            if is_full
                && let Some(last) = changes.last()
                && last.revision.revision().main < revision.revision().main
            {
                through = last.revision.revision().main;
                return false;
            }
            if !self.compaction.dooms(&revision) {
                let value = value();
                found_bytes += value.len();
                changes.push(Change { revision, value });
            }
            true
        };
        let mut goes_on = true;
        self.backend.for_each_from(first.as_bytes(), |key, value| {
            goes_on = add(parse(key)?, &|| Bytes::copy_from_slice(value));
            Ok::<_, Fatal>(goes_on)
        })?;
        let pending = self.pending.partition_point(|c| c.revision < first);
        for change in &self.pending[pending..] {
            goes_on = goes_on && add(change.revision, &|| change.value.clone());
        }
        Ok((changes, through))
    }

    /// Ends history at main revision `at`: reads below it are refused from now
    /// on, and what they alone could see is removed bit by bit, by
    /// [`Mvcc::continue_compaction`] and [`Mvcc::commit`].
    pub(crate) fn compact(&mut self, at: i64) -> Result<(), Refusal> {
        if at <= self.compact_revision {
            return Err(Refusal::Compacted);
        }
        if at > self.revision {
            return Err(Refusal::FutureRevision);
        }
        self.compact_revision = at;
        if !self.has(Bug::NeverRemoveCompacted) {
            self.compaction.start();
        }
        Ok(())
    }

    /// Prepares the next batch of removals; the next commit takes it along.
    /// Returns whether there is one.
    pub(crate) fn continue_compaction(&mut self) -> bool {
        self.compaction.walk(&mut self.index, self.compact_revision);
        self.compaction.batch().next().is_some()
    }

    /// Whether compaction has something left to remove.
    pub(crate) fn is_compacting(&self) -> bool {
        !self.compaction.is_done()
    }

    /// The main revision that a call names, checked against history: 0 or less
    /// is the current one.
    pub(crate) fn resolve_revision(&self, named: i64) -> Result<i64, Refusal> {
        let current = self.current_revision();
        if named > current - i64::from(self.has(Bug::NewestIsFuture)) {
            return Err(Refusal::FutureRevision);
        }
        let at = if named <= 0 { current } else { named };
        let readable_from =
            self.compact_revision + i64::from(self.has(Bug::CompactRevisionRefused));
        if at < readable_from && !self.has(Bug::AnswerCompacted) {
            return Err(Refusal::Compacted);
        }
        Ok(at)
    }

    /// Whether `bug` is planted.
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.backend.has(bug)
    }

    /// The revision before the transaction that is being applied.
    pub(crate) fn revision_before(&self) -> i64 {
        self.revision
    }

    /// The first main revision that is not committed to the backend.
    pub(crate) fn first_pending(&self) -> Option<i64> {
        self.pending.first().map(|c| c.revision.revision().main)
    }

    /// A planted bug: the revision is that of the newest change among the keys
    /// that are there.
    pub(crate) fn take_revision_from_keys(&mut self) -> i64 {
        let all = self.visible(Span::From(b""), self.revision);
        let newest = all.map(|(_, visible)| visible.modified.main).max();
        self.revision = newest.unwrap_or(self.compact_revision);
        self.revision
    }

    /// A planted bug: takes a revision for nothing.
    pub(crate) fn skip_revision(&mut self) {
        self.revision += 1;
    }

    /// A planted bug: what is pending is out of sight for `look`.
    pub(crate) fn without_pending<T>(&mut self, look: impl FnOnce(&mut Mvcc) -> T) -> T {
        let pending = std::mem::take(&mut self.pending);
        let seen = look(self);
        self.pending = pending;
        seen
    }

    /// Closes the backend; nothing may be asked of it any more.
    pub(crate) fn close(&mut self) {
        self.backend.close();
    }

    /// The backend file's size in bytes.
    pub(crate) fn file_bytes(&self) -> Result<u64, Fatal> {
        self.backend.len()
    }

    /// The bytes of all changes, with their keys.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    fn next_revision(&mut self) -> Revision {
        self.changes += 1;
        Revision {
            main: self.revision + 1,
            sub: self.changes - 1,
        }
    }

    fn push(&mut self, revision: RevisionKey, kv: &KeyValue) {
        let value = Bytes::from(kv.encode_to_vec());
        self.stored_bytes += (revision.as_bytes().len() + value.len()) as u64;
        self.pending.push(Change { revision, value });
    }

    fn assert_between_txns(&self, meta: &Meta) {
        assert_eq!(self.changes, 0, "a transaction is open at {meta:?}");
        assert_eq!(
            (self.revision, self.compact_revision),
            (meta.revision, meta.compact_revision),
            "{meta:?} is of another state"
        );
    }
}

fn parse(key: &[u8]) -> Result<RevisionKey, Fatal> {
    RevisionKey::parse(key)
        .ok_or_else(|| Fatal::Corrupt(format!("{key:02x?} in the key table is no revision")))
}

fn restore(
    index: &mut Index,
    attached: &mut Attached,
    key: &[u8],
    value: &[u8],
    newest: i64,
) -> Result<(), Fatal> {
    let revision = parse(key)?;
    if revision.revision().main > newest {
        return Err(Fatal::Corrupt(format!(
            "revision {revision:?} is stored, but the store's revision is {newest}"
        )));
    }
    let kv = decode(&revision, Bytes::copy_from_slice(value))?;
    if revision.is_tombstone() {
        index.restore_delete(&kv.key, revision.revision());
        attached.remove(&kv.key);
    } else {
        index.restore_put(&kv.key, revision.revision(), kv.create_revision, kv.version);
        attached.put(&kv.key, kv.lease);
    }
    Ok(())
}

fn decode(revision: &RevisionKey, value: Bytes) -> Result<KeyValue, Fatal> {
    KeyValue::decode(value).map_err(|e| {
        Fatal::Corrupt(format!(
            "revision {revision:?} holds no key-value pair: {e}"
        ))
    })
}
