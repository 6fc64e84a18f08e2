//! Named histories: one line a case.
