//! What is wrong with a history, before it is put into words.

use super::agree::Difference;
use super::model::Refusal;

/// Why no order of the operations explains a history. Operations are indices
/// into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Violation {
    /// An answer carries no revision.
    NoRevision {
        /// The operation.
        op: u32,
    },
    /// An answer belongs to another kind of call.
    WrongKind {
        /// The operation.
        op: u32,
    },
    /// Two acknowledged writes share one revision.
    Reused {
        /// One of them.
        first: u32,
        /// The other.
        second: u32,
        /// What they share.
        revision: i64,
    },
    /// `early` was answered before `late` was sent, but its revision puts it
    /// after.
    Backwards {
        /// Answered first, with the higher revision.
        early: u32,
        /// Sent later, with the lower revision.
        late: u32,
    },
    /// Nobody can have taken a revision.
    Skipped {
        /// The revision.
        revision: i64,
        /// An operation whose answer shows that it was taken.
        shown_by: u32,
        /// How many operations of unknown outcome could have been applied by
        /// then.
        candidates: u64,
        /// How many revisions up to this one they would have to account for.
        needed: u64,
    },
    /// An answer fits by itself, but whatever order gives it leaves something
    /// else without a place.
    Unplaced {
        /// The operation.
        op: u32,
    },
    /// An answer shows what nobody can have written.
    Phantom {
        /// The operation.
        op: u32,
        /// What it was shown.
        kv: Box<squall_api::pb::KeyValue>,
    },
    /// An answer differs from the only one that its place allows.
    Wrong {
        /// The operation.
        op: u32,
        /// In what.
        difference: Box<Difference>,
        /// Revisions before it that operations of unknown outcome took, if
        /// every way of choosing them was tried.
        tried: u64,
    },
    /// A call was answered that should have been refused at its place.
    NotRefused {
        /// The operation.
        op: u32,
        /// Why.
        refusal: Refusal,
        /// As in `Wrong`.
        tried: u64,
    },
}
