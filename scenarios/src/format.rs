//! The scenario file format: TOML in, a typed [`Scenario`] out, or an error
//! that points at the exact place.
//!
//! A file is read in three passes: TOML's grammar with `--set` overrides put
//! in, each table by itself, and then what the values must be to each other.
//! Each pass says everything that is wrong, not only the first thing. Tables
//! are read by hand and not by serde's derive, because its errors carry no
//! place inside a string, no list of near words, and end at the first one.

mod defaults;
mod diagnostic;
mod document;
mod fault;
mod fields;
mod read;
mod scenario;
mod selector;
mod units;
mod validate;
mod version;
mod write;

pub use diagnostic::Diagnostic;
pub use fault::{
    ACTIONS, ClientWay, CrashDisk, Cut, DiskSpec, FAULT_FIELDS, Fault, FaultAction, FaultKind,
    Latency, LinkSpec, Moment, Partition, Region, Repeat, Way,
};
pub use scenario::{
    After, AuthLoad, CheckSpec, ClockConfig, ClusterConfig, Damage, DiskConfig, Elections, Expect,
    Keys, LinkConfig, Locks, Mix, Operator, SCHEMA, Scenario, Sessions, Skew, Upkeep, WatchLoad,
    Workload,
};
pub use selector::Selector;
pub use units::{Between, Duration, Ratio, SignedDuration, Size};

use document::{Document, Problem};
use std::path::Path;
use std::{fmt, io};

/// Why a text is no scenario: one problem or more, in the order in which they
/// stand, printed as a compiler prints them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    diagnostics: Vec<Diagnostic>,
}

impl ScenarioError {
    /// Each problem; never none.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    fn of(mut diagnostics: Vec<Diagnostic>) -> ScenarioError {
        assert!(!diagnostics.is_empty(), "an error says what is wrong");
        diagnostics.sort_by_key(|d| (d.source == document::OVERRIDE, d.line, d.column));
        ScenarioError { diagnostics }
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.diagnostics.iter().enumerate() {
            write!(f, "{}{diagnostic}", if i == 0 { "" } else { "\n\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioError {}

impl Scenario {
    /// Reads a scenario. `source_name` is what errors call the text.
    pub fn parse(source_name: &str, text: &str) -> Result<Scenario, ScenarioError> {
        Scenario::parse_with(source_name, text, &[])
    }

    /// Reads a scenario with overrides, each `path.to.key=value`, applied in
    /// order before anything is judged. Elements of a list are numbered from 0:
    /// `fault.0.at=2s`.
    pub fn parse_with(
        source_name: &str,
        text: &str,
        overrides: &[String],
    ) -> Result<Scenario, ScenarioError> {
        let one = |diagnostic: Box<Diagnostic>| ScenarioError::of(vec![*diagnostic]);
        let mut doc = Document::parse(source_name, text).map_err(one)?;
        for assignment in overrides {
            doc.set(assignment).map_err(one)?;
        }
        let located = |problems: Vec<Problem>| {
            ScenarioError::of(problems.into_iter().map(|p| doc.locate(p)).collect())
        };
        let scenario = read::scenario(&doc).map_err(located)?;
        match validate::validate(&doc, &scenario) {
            problems if problems.is_empty() => Ok(scenario),
            problems => Err(located(problems)),
        }
    }

    /// Reads a scenario file.
    pub fn load(path: &Path) -> Result<Scenario, ScenarioError> {
        Scenario::load_with(path, &[])
    }

    /// Reads a scenario file with overrides, as [`Scenario::parse_with`].
    pub fn load_with(path: &Path, overrides: &[String]) -> Result<Scenario, ScenarioError> {
        let name = path.display().to_string();
        let unreadable = |why: String| ScenarioError::of(vec![Diagnostic::of_source(&name, why)]);
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(unreadable("there is no such file".into()));
            }
            Err(_) if path.is_dir() => {
                return Err(unreadable(
                    "this is a directory, not a scenario file".into(),
                ));
            }
            Err(e) => return Err(unreadable(format!("cannot be read: {e}"))),
        };
        let text = String::from_utf8(bytes)
            .map_err(|_| unreadable("this is no text (expected TOML in UTF-8)".into()))?;
        Scenario::parse_with(&name, &text, overrides)
    }

    /// The scenario as a file that reads back as itself, every default and
    /// label written out.
    pub fn to_toml(&self) -> String {
        write::scenario(self)
    }
}
