//! Panics of runs: kept with their place in the code, and off the terminal.
//!
//! A panic in a simulated run is a finding, reported as one; of a sweep's many
//! runs several may panic, and the default hook would write each of them over
//! the terminal while losing its place for the report. So threads that make
//! runs are watched. All others keep the hook that was there before.

use std::cell::RefCell;
use std::panic::{Location, PanicHookInfo, set_hook, take_hook};
use std::sync::{Arc, Mutex, Once, PoisonError};

thread_local! {
    /// Who watches this thread.
    static WATCHED_BY: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// Keeps the last panic of the threads that it watches. A panic that is caught
/// and survived (the store guards what it opens) is overwritten by the one that
/// is not, or never asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<Option<String>>>);

/// Ends a thread's watch when it is dropped, and goes back to the one before.
#[derive(Debug)]
#[must_use]
pub(crate) struct Guard(Option<Watch>);

impl Watch {
    /// A watch over no thread yet. The first one installs the hook.
    pub(crate) fn new() -> Watch {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let others = take_hook();
            set_hook(Box::new(move |info| {
                if !keep(info) {
                    others(info);
                }
            }));
        });
        Watch::default()
    }

    /// Watches the current thread until the guard is dropped.
    pub(crate) fn this_thread(&self) -> Guard {
        WATCHED_BY.with(|by| Guard(by.replace(Some(self.clone()))))
    }

    /// Watches the current thread until it ends, whatever is dropped on the way.
    pub(crate) fn this_thread_for_good(&self) {
        WATCHED_BY.with(|by| by.replace(Some(self.clone())));
    }

    /// The last panic: its message, with its place at the end of the first line.
    pub(crate) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The thread may be ending, and its watch gone with it.
        let _ = WATCHED_BY.try_with(|by| by.replace(self.0.take()));
    }
}

/// Keeps a panic for whoever watches this thread, if anybody does. One that the
/// store will catch is nobody's.
fn keep(info: &PanicHookInfo<'_>) -> bool {
    if squall_sim::in_guarded_call() {
        return true;
    }
    let watch = WATCHED_BY.try_with(|by| by.borrow().clone());
    let Some(watch) = watch.ok().flatten() else {
        return false;
    };
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    let text = match info.location() {
        Some(location) => with_place(message, location),
        None => message.to_owned(),
    };
    *watch.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    true
}

fn with_place(message: &str, location: &Location<'_>) -> String {
    let place = format!("{}:{}", place(location.file()), location.line());
    match message.split_once('\n') {
        Some((first, rest)) => format!("{first} ({place})\n{rest}"),
        None => format!("{message} ({place})"),
    }
}

/// The path of a source file without what differs between machines.
fn place(file: &str) -> &str {
    // .../registry/src/<index>/redb-4.4.0/src/..., /rustc/<hash>/library/...
    for (marker, skip) in [("/registry/src/", 1), ("/rustc/", 1)] {
        if let Some((_, rest)) = file.split_once(marker) {
            return rest.splitn(skip + 1, '/').last().unwrap_or(rest);
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn a_watched_panic_is_kept_with_its_place() {
        let watch = Watch::new();
        let line = line!() + 3;
        let caught = catch_unwind(|| {
            let _guard = watch.this_thread();
            panic!("index 3 is gone\nof 2");
        });
        assert!(caught.is_err());
        let here = format!("index 3 is gone ({}:{line})\nof 2", file!());
        assert_eq!(watch.take(), Some(here));
        assert_eq!(watch.take(), None);
    }

    #[test]
    fn the_last_of_several_panics_counts_and_nested_watches_end_in_order() {
        let outer = Watch::new();
        let _outer = outer.this_thread();
        let inner = Watch::new();
        let guard = inner.this_thread();
        let _ = catch_unwind(|| panic!("first"));
        let _ = catch_unwind(|| panic!("second"));
        drop(guard);
        assert!(
            inner
                .take()
                .is_some_and(|text| text.starts_with("second ("))
        );
        assert_eq!(outer.take(), None);
        let _ = catch_unwind(|| panic!("third"));
        assert!(outer.take().is_some_and(|text| text.starts_with("third (")));
    }

    #[test]
    fn places_do_not_depend_on_the_machine() {
        let registry = "/home/x/.cargo/registry/src/index.crates.io-1949/redb-4.4.0/src/db.rs";
        assert_eq!(place(registry), "redb-4.4.0/src/db.rs");
        let library = "/rustc/4d8c/library/core/src/option.rs";
        assert_eq!(place(library), "library/core/src/option.rs");
        assert_eq!(place("core/raft/src/raft.rs"), "core/raft/src/raft.rs");
    }
}
