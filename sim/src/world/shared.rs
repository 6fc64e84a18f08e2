//! The world's state behind its lock.

use super::inner::Inner;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The world's state, shared by the conductor and all tasks of one thread.
pub(crate) struct Shared {
    pub(crate) inner: Mutex<Option<Inner>>,
}

/// The lock, as if the world were always there: it is, while tasks run.
pub(crate) struct InnerGuard<'a>(MutexGuard<'a, Option<Inner>>);

impl std::ops::Deref for InnerGuard<'_> {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        self.0.as_ref().expect("the world outlives its tasks")
    }
}

impl std::ops::DerefMut for InnerGuard<'_> {
    fn deref_mut(&mut self) -> &mut Inner {
        self.0.as_mut().expect("the world outlives its tasks")
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> InnerGuard<'_> {
        InnerGuard(self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
