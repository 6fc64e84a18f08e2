//! redb, kept from taking the process with it.
//!
//! On a file that lost what the disk had called durable redb may panic, opening
//! it or later. That is the disk's failure and no bug of ours, so it becomes an
//! error. The process's panic hook runs all the same, before anything can be
//! caught: hosts whose hook says something ask [`in_guarded_call`] first.

use super::file::PATH;
use squall_api::Fatal;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static GUARDED: Cell<u32> = const { Cell::new(0) };
}

/// Whether a panic of this thread, now, would be caught and become an error of
/// the store. For panic hooks: it is nothing to be shown.
pub fn in_guarded_call() -> bool {
    GUARDED.try_with(|depth| depth.get() > 0).unwrap_or(false)
}

/// Runs a part of redb's work.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Fatal>) -> Result<T, Fatal> {
    let _depth = Depth::enter();
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Fatal::Corrupt(format!(
            "{PATH}: redb gave up on it, as on a disk that lost synced writes; replace the disk, \
             remove the member's data and let it rejoin"
        )))
    })
}

/// Inside a guarded call while it lives.
struct Depth;

impl Depth {
    fn enter() -> Depth {
        GUARDED.with(|depth| depth.set(depth.get() + 1));
        Depth
    }
}

impl Drop for Depth {
    fn drop(&mut self) {
        GUARDED.with(|depth| depth.set(depth.get() - 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_becomes_an_error_and_hooks_can_tell() {
        assert!(!in_guarded_call());
        let nested = guarded(|| {
            let inner = guarded::<()>(|| panic!("page 7 is gone"));
            assert!(inner.is_err());
            assert!(in_guarded_call());
            Ok(1)
        });
        assert_eq!(nested.unwrap(), 1);
        assert!(!in_guarded_call());
    }
}
