//! Histories that other people's tests write.

mod edn;
mod jepsen_edn;
mod jepsen_log;
mod kv_log;
mod pairing;

use crate::generic::History;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A format of histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// squall's own: JSON lines, a header and then one operation a line.
    Squall,
    /// Jepsen's `history.edn`: register, cas-register or list-append, with
    /// independent keys or without.
    JepsenEdn,
    /// Jepsen's log of operations on one cas-register:
    /// `INFO  jepsen.util - 0 :invoke :write 4`.
    JepsenLog,
    /// Strings with append: `{:process 0, :type :invoke, :f :append, :key "4",
    /// :value "x"}`, one operation a line.
    KvLog,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 4] = [
        Format::Squall,
        Format::JepsenEdn,
        Format::JepsenLog,
        Format::KvLog,
    ];

    /// The name by which `--from` knows it.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Squall => "squall",
            Format::JepsenEdn => "jepsen-edn",
            Format::JepsenLog => "jepsen-log",
            Format::KvLog => "kv-log",
        }
    }

    /// The format that a text looks like, judged by its first telling line.
    pub fn guess(text: &str) -> Option<Format> {
        let first = text
            .lines()
            .map(str::trim)
            .find(|l| !l.is_empty() && !l.starts_with(';'))?;
        if first.starts_with("{\"") {
            return Some(Format::Squall);
        }
        if first.starts_with(['{', '[', '#']) || first.starts_with('(') {
            let is_kv = first.contains(":key ") && !first.starts_with('[');
            return Some(if is_kv {
                Format::KvLog
            } else {
                Format::JepsenEdn
            });
        }
        text.lines()
            .any(|l| l.contains("jepsen.util"))
            .then_some(Format::JepsenLog)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Format, String> {
        Format::ALL
            .into_iter()
            .find(|f| f.name() == name)
            .ok_or_else(|| {
                let all: Vec<&str> = Format::ALL.iter().map(|f| f.name()).collect();
                format!("no format {name:?}; there are {}", all.join(", "))
            })
    }
}

/// Why a text is not a history.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// It is no text.
    #[error("not text: the byte at offset {at} is not UTF-8")]
    NotText {
        /// Where.
        at: usize,
    },
    /// No format fits.
    #[error(
        "no known format: expected a squall history, Jepsen EDN, a Jepsen log or a kv log; name one with --from if it is one of these"
    )]
    Unrecognized,
    /// A line is wrong.
    #[error("line {line}: {message}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// squall's own format, damaged.
    #[error(transparent)]
    Squall(#[from] squall_record::HistoryError),
}

impl FormatError {
    fn line(line: u64, message: impl Into<String>) -> FormatError {
        let message = shortened(message.into());
        FormatError::Line { line, message }
    }
}

/// Messages quote what is wrong, which may be a whole file on one line.
fn shortened(message: String) -> String {
    const KEPT: usize = 120;
    let chars = message.chars().count();
    if chars <= 2 * KEPT {
        return message;
    }
    let head: String = message.chars().take(KEPT).collect();
    let tail: String = message.chars().skip(chars - KEPT).collect();
    format!("{head} .. {tail}")
}

/// Reads a history of a foreign format.
pub(crate) fn parse(text: &str, format: Format) -> Result<History, FormatError> {
    match format {
        Format::JepsenEdn => jepsen_edn::parse(text),
        Format::JepsenLog => jepsen_log::parse(text),
        Format::KvLog => kv_log::parse(text),
        Format::Squall => unreachable!("squall's own histories are read by squall-record"),
    }
}
