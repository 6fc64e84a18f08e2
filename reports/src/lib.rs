//! Reports: folds over one stream of [`SweepEvent`]s.
//!
//! A sweep tells what it does as events, in an order that does not depend on
//! threads. Everything a person or a program reads of it is folded from them:
//! [`Totals`] counts, [`screen`] draws one terminal screen, [`Document`] is the
//! same as JSON. An [`Explanation`] is data first, and rendered from there.
//!
//! Text is drawn with ANSI styles as decoration only; whoever prints it strips
//! them where they are not wanted.

mod counts;
mod describe;
mod event;
mod explain;
mod explanation;
mod json;
mod screen;
mod service;
mod story;
mod style;
mod table;
mod timeline;
mod totals;

pub use describe::{call, event as describe_event, outcome, span};
pub use event::{
    ExitInfo, Finding, Finished, Hunted, Replayed, RunFinished, RunVerdict, Started, SweepEvent,
};
pub use explain::{Judgement, explain, judgement};
pub use explanation::{Beat, Commands, Explanation, OpRow, OtherFailure};
pub use json::{DOCUMENT, Document};
pub use screen::screen;
pub use service::{InRun, Service};
pub use table::{Column, table, table_with_notes};
pub use timeline::timeline;
pub use totals::{Counted, SuspendedBy, Tally, Totals, Unproved};
