//! The machine's report: one JSON document for a whole sweep.

use crate::totals::{Tally, Totals};
use serde::Serialize;
use squall_record::FormatVersion;

/// The document's version. A newer minor adds fields; a newer major changes
/// the meaning of old ones.
pub const DOCUMENT: FormatVersion = FormatVersion { major: 1, minor: 0 };

/// A sweep as one JSON document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document<'a> {
    format: &'static str,
    version: FormatVersion,
    all: Tally,
    #[serde(flatten)]
    totals: &'a Totals,
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
        }
    }

    /// The document as text, with a line break at its end.
    pub fn render(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("no map here has keys that are not strings");
        text.push('\n');
        text
    }
}
