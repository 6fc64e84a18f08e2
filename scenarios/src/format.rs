//! The scenario file format: TOML in, a typed [`Scenario`] out, or an error
//! that points at the exact place.

mod fault;
mod scenario;
mod selector;
mod units;

pub use fault::{CrashDisk, Fault, FaultAction, Partition, Repeat};
pub use scenario::{
    After, CheckSpec, ClockConfig, ClusterConfig, DiskConfig, Expect, Keys, LinkConfig, Mix,
    SCHEMA, Scenario, Skew, Workload,
};
pub use selector::Selector;
pub use units::{Between, Duration, Ratio, SignedDuration, Size};

use std::path::Path;

/// Why a text is no scenario: one or more problems, printed as a compiler
/// prints them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScenarioError(String);

impl Scenario {
    /// Reads a scenario. `source_name` is what errors call the text.
    pub fn parse(source_name: &str, text: &str) -> Result<Scenario, ScenarioError> {
        Scenario::parse_with(source_name, text, &[])
    }

    /// Reads a scenario with overrides, each `path.to.key=value`, applied in
    /// order before anything is judged.
    pub fn parse_with(
        _source_name: &str,
        _text: &str,
        _overrides: &[String],
    ) -> Result<Scenario, ScenarioError> {
        todo!()
    }

    /// Reads a scenario file.
    pub fn load(path: &Path) -> Result<Scenario, ScenarioError> {
        Scenario::load_with(path, &[])
    }

    /// Reads a scenario file with overrides, as [`Scenario::parse_with`].
    pub fn load_with(_path: &Path, _overrides: &[String]) -> Result<Scenario, ScenarioError> {
        todo!()
    }

    /// The scenario as a file that reads back as itself, every default and
    /// label written out.
    pub fn to_toml(&self) -> String {
        todo!()
    }
}
