//! Which keys are attached to which lease.
//!
//! Derived from the keys alone: each says in its `lease` field to which it
//! belongs. Whoever changes a key tells this index, and a restart or a snapshot
//! rebuilds it, so that it cannot say anything else than the keys.

use bytes::Bytes;
use squall_api::{Bug, Bugs};
use std::collections::{BTreeMap, BTreeSet};

/// The keys that have a lease, both ways.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    /// Invariant: no set is empty, and a key is in the set of `lease_of[key]`
    /// and in no other.
    keys_of: BTreeMap<i64, BTreeSet<Bytes>>,
    lease_of: BTreeMap<Bytes, i64>,
    /// A planted bug: a key stays attached to the lease that it had, too.
    keeps_old: bool,
}

impl Attached {
    /// No key yet, in a member with these bugs.
    pub(crate) fn new(bugs: Bugs) -> Attached {
        Attached {
            keeps_old: bugs.has(Bug::KeepOldAttachment),
            ..Attached::default()
        }
    }

    /// The key was put with this lease, 0 for none: it leaves the one it had.
    pub(crate) fn put(&mut self, key: &Bytes, lease: i64) {
        if self.lease_of.get(key).is_some_and(|old| *old == lease) {
            return;
        }
        if !self.keeps_old {
            self.remove(key);
        }
        self.insert(key, lease);
    }

    /// The key was deleted.
    pub(crate) fn remove(&mut self, key: &Bytes) {
        let Some(lease) = self.lease_of.remove(key) else {
            return;
        };
        let Some(keys) = self.keys_of.get_mut(&lease) else {
            assert!(self.keeps_old, "a key is in the set of its lease");
            return;
        };
        keys.remove(key);
        if keys.is_empty() {
            self.keys_of.remove(&lease);
        }
    }

    /// The keys of a lease, in order.
    pub(crate) fn keys(&self, lease: i64) -> impl Iterator<Item = &Bytes> {
        self.keys_of.get(&lease).into_iter().flatten()
    }

    fn insert(&mut self, key: &Bytes, lease: i64) {
        if lease != 0 {
            self.lease_of.insert(key.clone(), lease);
            self.keys_of.entry(lease).or_default().insert(key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_on_one_lease_at_most() {
        let key = |name: &'static str| Bytes::from_static(name.as_bytes());
        let keys =
            |attached: &Attached, lease| -> Vec<Bytes> { attached.keys(lease).cloned().collect() };
        let mut attached = Attached::default();
        attached.put(&key("b"), 1);
        attached.put(&key("a"), 1);
        attached.put(&key("c"), -2);
        assert_eq!(keys(&attached, 1), ["a", "b"]);
        attached.put(&key("a"), -2);
        attached.put(&key("b"), 0);
        assert_eq!(keys(&attached, 1), [""; 0]);
        assert_eq!(keys(&attached, -2), ["a", "c"]);
        attached.remove(&key("a"));
        attached.remove(&key("a"));
        attached.remove(&key("c"));
        assert!(attached.keys_of.is_empty() && attached.lease_of.is_empty());
    }
}
