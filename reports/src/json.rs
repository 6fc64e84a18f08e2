//! The machine's report: one JSON document for a whole sweep.

use crate::totals::{Tally, Totals};
use serde::Serialize;
use squall_record::{Event, FormatVersion};

/// The document's version. A newer minor adds fields; a newer major changes
/// the meaning of old ones.
pub const DOCUMENT: FormatVersion = FormatVersion { major: 1, minor: 1 };

/// A sweep as one JSON document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document<'a> {
    format: &'static str,
    version: FormatVersion,
    all: Tally,
    #[serde(flatten)]
    totals: &'a Totals,
    /// Every event of the run up to the moment that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<&'a [Event]>,
}

impl<'a> Document<'a> {
    /// The document of a finished sweep.
    pub fn of(totals: &'a Totals) -> Document<'a> {
        Document {
            format: "squall-report",
            version: DOCUMENT,
            all: Tally {
                scenario: "all".into(),
                ..totals.all()
            },
            totals,
            timeline: None,
        }
    }

    /// The same, with the events of a run.
    #[must_use]
    pub fn with_timeline(mut self, events: &'a [Event]) -> Document<'a> {
        self.timeline = Some(events);
        self
    }

    /// The document as text, with a line break at its end.
    pub fn render(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("no map here has keys that are not strings");
        text.push('\n');
        text
    }
}
