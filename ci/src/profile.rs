//! Profiles and settings: which layer wins.

use crate::amount::{AmountError, Sample, parse_duration};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The embedded default: a commented configuration that is the manual.
pub const DEFAULT: &str = include_str!("default.toml");

/// Settings as far as one layer gives them: a file's top level, a profile, the
/// environment, or the command line.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Names, files or directories; `library` stands for all built-in ones.
    pub scenarios: Option<Vec<String>>,
    /// The first seed.
    pub seed: Option<FirstSeed>,
    /// Seeds for each scenario.
    pub seeds: Option<u64>,
    /// How long to go on, in wall time, as `10m`. Instead of `seeds`.
    #[serde(rename = "for")]
    pub run_for: Option<String>,
    /// Worker threads; 0 for one each core.
    pub jobs: Option<usize>,
    /// Failed runs after which to stop; 0 for never.
    pub max_fail: Option<u64>,
    /// Which runs are re-run to compare hashes.
    pub check_determinism: Option<Sample>,
    /// Which runs leave a directory.
    pub keep: Option<Keep>,
    /// Where directories go.
    pub out: Option<String>,
    /// How many directories stay.
    pub keep_runs: Option<usize>,
    /// Planted bugs that must be found.
    pub must_find: Option<MustFind>,
    /// Seeds a hunt may take.
    pub hunt_seeds: Option<u64>,
    /// Profiles, at the top level of a file only.
    #[serde(default)]
    pub profile: BTreeMap<String, Layer>,
}

impl Layer {
    /// What the environment says: `SQUALL_SEEDS=50` for `seeds = 50`, and so
    /// on for every setting. `get` looks a variable up.
    ///
    /// # Errors
    /// If a variable's value is none for its setting; names the variable.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Layer, ConfigError> {
        let mut file = String::new();
        for setting in Layer::SETTINGS {
            let name = format!("SQUALL_{}", setting.to_uppercase());
            let Some(value) = get(&name) else { continue };
            let line = format!("{setting} = {}\n", as_toml(setting, &value));
            if let Err(e) = toml::from_str::<Layer>(&line) {
                let message = e.message();
                return Err(ConfigError::Syntax(format!("{name}={value:?}: {message}")));
            }
            file.push_str(&line);
        }
        Ok(Config::parse(&file)?.top)
    }

    const SETTINGS: [&str; 12] = [
        "scenarios",
        "seed",
        "seeds",
        "for",
        "jobs",
        "max_fail",
        "check_determinism",
        "keep",
        "out",
        "keep_runs",
        "must_find",
        "hunt_seeds",
    ];
}

/// A variable's value as TOML: numbers stay numbers, lists are split at commas.
fn as_toml(setting: &str, value: &str) -> String {
    let text = |value: &str| toml::Value::from(value).to_string();
    let list = setting == "scenarios" || (setting == "must_find" && value != "all");
    if list {
        let items: Vec<String> = value.split(',').map(text).collect();
        format!("[{}]", items.join(", "))
    } else if setting != "check_determinism" && value.parse::<u64>().is_ok() {
        value.to_owned()
    } else {
        text(value)
    }
}

/// Where a sweep's seeds begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstSeed {
    /// At this number.
    Number(u64),
    /// At a number that the commit decides.
    Commit,
    /// At a number that the time decides.
    Clock,
}

/// Which runs leave a directory behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Those that failed.
    Failed,
    /// All of them.
    All,
}

/// The planted bugs that a gate must find.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a list of planted bugs, or \"all\"")]
pub enum MustFind {
    /// These, by name.
    Named(Vec<String>),
    /// All of them.
    All(AllBugs),
}

/// The word `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllBugs {
    /// Every planted bug.
    All,
}

/// Settings with every question answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Names, files or directories.
    pub scenarios: Vec<String>,
    /// The first seed.
    pub seed: FirstSeed,
    /// Seeds for each scenario, or how long to go on.
    pub extent: Extent,
    /// Worker threads; 0 for one each core.
    pub jobs: usize,
    /// Failed runs after which to stop; 0 for never.
    pub max_fail: u64,
    /// Which runs are re-run to compare hashes.
    pub check_determinism: Sample,
    /// Which runs leave a directory.
    pub keep: Keep,
    /// Where directories go.
    pub out: String,
    /// How many directories stay.
    pub keep_runs: usize,
    /// Planted bugs that must be found.
    pub must_find: MustFind,
    /// Seeds a hunt may take.
    pub hunt_seeds: u64,
}

/// How far a sweep goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// That many seeds for each scenario.
    Seeds(u64),
    /// Seed after seed until so much wall time has passed.
    For(Duration),
}

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// A file is not a configuration.
    #[error("{0}")]
    Syntax(String),
    /// No such profile.
    #[error("there is no profile {name:?}; there are {}", known.join(", "))]
    Profile {
        /// The one asked for.
        name: String,
        /// Those that exist.
        known: Vec<String>,
    },
    /// A value makes no sense.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// Not a first seed.
    #[error("{0:?} is not a seed: write a number from 0 to 2^64-1, \"commit\" or \"clock\"")]
    Seed(String),
    /// No layer gives a value; the embedded default should.
    #[error("no value for {0:?}")]
    Missing(&'static str),
}

/// A configuration file: settings, and profiles that override them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    top: Layer,
}

impl Config {
    /// The embedded default.
    ///
    /// # Panics
    /// Never in a build whose tests passed.
    pub fn embedded() -> Config {
        Config::parse(DEFAULT).expect("the embedded default parses: a test checks it")
    }

    /// Reads a configuration file's text.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`] with line, column and what was expected.
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        let top: Layer = toml::from_str(text)
            .map_err(|e| ConfigError::Syntax(e.to_string().trim_end().to_owned()))?;
        for (name, profile) in &top.profile {
            if !profile.profile.is_empty() {
                let message =
                    format!("profile {name:?} holds profiles; they stand at the top level");
                return Err(ConfigError::Syntax(message));
            }
        }
        Ok(Config { top })
    }

    /// The profiles' names, of this configuration and of `other`.
    fn known(&self, other: &Config) -> Vec<String> {
        let both = self.top.profile.keys().chain(other.top.profile.keys());
        let mut names: Vec<String> = both.cloned().collect();
        names.sort();
        names.dedup();
        names
    }

    /// Settings under `profile`: `overrides` (strongest first: flags, then the
    /// environment) over the profile over `file`'s top level over this
    /// configuration's, which is the embedded one.
    ///
    /// # Errors
    /// If nobody knows the profile, or a value makes no sense.
    pub fn resolve(
        &self,
        file: &Config,
        profile: &str,
        overrides: &[Layer],
    ) -> Result<Settings, ConfigError> {
        let chosen = [&file.top, &self.top].map(|top| top.profile.get(profile));
        if chosen == [None, None] {
            return Err(ConfigError::Profile {
                name: profile.to_owned(),
                known: self.known(file),
            });
        }
        let layers: Vec<&Layer> = overrides
            .iter()
            .chain(chosen.into_iter().flatten())
            .chain([&file.top, &self.top])
            .collect();
        Settings::from_layers(&layers)
    }
}

impl Settings {
    fn from_layers(layers: &[&Layer]) -> Result<Settings, ConfigError> {
        fn first<T: Clone>(
            layers: &[&Layer],
            name: &'static str,
            get: impl Fn(&Layer) -> Option<&T>,
        ) -> Result<T, ConfigError> {
            layers
                .iter()
                .find_map(|layer| get(layer).cloned())
                .ok_or(ConfigError::Missing(name))
        }
        // Seeds and time exclude each other: the stronger layer decides.
        let extent = layers
            .iter()
            .find_map(|layer| match (&layer.run_for, layer.seeds) {
                (Some(text), _) => Some(parse_duration(text).map(Extent::For)),
                (None, Some(seeds)) => Some(Ok(Extent::Seeds(seeds))),
                (None, None) => None,
            })
            .ok_or(ConfigError::Missing("seeds"))??;
        Ok(Settings {
            scenarios: first(layers, "scenarios", |l| l.scenarios.as_ref())?,
            seed: first(layers, "seed", |l| l.seed.as_ref())?,
            extent,
            jobs: first(layers, "jobs", |l| l.jobs.as_ref())?,
            max_fail: first(layers, "max_fail", |l| l.max_fail.as_ref())?,
            check_determinism: first(layers, "check_determinism", |l| {
                l.check_determinism.as_ref()
            })?,
            keep: first(layers, "keep", |l| l.keep.as_ref())?,
            out: first(layers, "out", |l| l.out.as_ref())?,
            keep_runs: first(layers, "keep_runs", |l| l.keep_runs.as_ref())?,
            must_find: first(layers, "must_find", |l| l.must_find.as_ref())?,
            hunt_seeds: first(layers, "hunt_seeds", |l| l.hunt_seeds.as_ref())?,
        })
    }
}

impl FromStr for FirstSeed {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<FirstSeed, ConfigError> {
        match text {
            "commit" => Ok(FirstSeed::Commit),
            "clock" => Ok(FirstSeed::Clock),
            number => number
                .parse()
                .map(FirstSeed::Number)
                .map_err(|_| ConfigError::Seed(text.to_owned())),
        }
    }
}

impl fmt::Display for FirstSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FirstSeed::Number(n) => write!(f, "{n}"),
            FirstSeed::Commit => f.write_str("commit"),
            FirstSeed::Clock => f.write_str("clock"),
        }
    }
}

impl<'de> Deserialize<'de> for FirstSeed {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = FirstSeed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a seed (a number of at least 0), \"commit\" or \"clock\"")
            }

            fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<FirstSeed, E> {
                Ok(FirstSeed::Number(n))
            }

            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<FirstSeed, E> {
                let unexpected = serde::de::Unexpected::Signed(n);
                u64::try_from(n)
                    .map(FirstSeed::Number)
                    .map_err(|_| E::invalid_value(unexpected, &self))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<FirstSeed, E> {
                text.parse().map_err(E::custom)
            }
        }
        input.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(file: &str, profile: &str, overrides: &[Layer]) -> Result<Settings, ConfigError> {
        Config::embedded().resolve(&Config::parse(file)?, profile, overrides)
    }

    #[test]
    fn the_embedded_default_answers_everything_in_every_profile() {
        let embedded = Config::embedded();
        assert_eq!(
            embedded.known(&Config::default()),
            ["ci", "nightly", "quick"]
        );
        for profile in ["quick", "ci", "nightly"] {
            resolve("", profile, &[]).unwrap();
        }
        let nightly = resolve("", "nightly", &[]).unwrap();
        assert_eq!(nightly.extent, Extent::For(Duration::from_secs(1800)));
        assert_eq!(nightly.must_find, MustFind::All(AllBugs::All));
    }

    #[test]
    fn flag_over_environment_over_profile_over_file_over_default() {
        let file =
            "max_fail = 2\njobs = 2\nkeep_runs = 2\n[profile.mine]\nmax_fail = 3\njobs = 3\n";
        let flag = Layer {
            max_fail: Some(5),
            ..Layer::default()
        };
        let env = Layer {
            max_fail: Some(4),
            jobs: Some(4),
            ..Layer::default()
        };
        let s = resolve(file, "mine", &[flag, env]).unwrap();
        assert_eq!((s.max_fail, s.jobs, s.keep_runs), (5, 4, 2));
        let s = resolve(file, "mine", &[]).unwrap();
        assert_eq!((s.max_fail, s.jobs, s.keep_runs), (3, 3, 2));
        let s = resolve("", "quick", &[]).unwrap();
        assert_eq!((s.max_fail, s.jobs, s.keep_runs), (10, 0, 50));
    }

    #[test]
    fn the_environment_gives_every_setting() {
        let env = |vars: &'static [(&str, &str)]| {
            Layer::from_env(|name| {
                let found = vars.iter().find(|(n, _)| *n == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let layer = env(&[
            ("SQUALL_SEEDS", "50"),
            ("SQUALL_SEED", "commit"),
            ("SQUALL_CHECK_DETERMINISM", "1/5"),
            ("SQUALL_SCENARIOS", "a,b"),
            ("SQUALL_MUST_FIND", "all"),
            ("SQUALL_OUT", "x \"y\""),
        ])
        .unwrap();
        assert_eq!(layer.seeds, Some(50));
        assert_eq!(layer.seed, Some(FirstSeed::Commit));
        assert_eq!(layer.scenarios, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(layer.must_find, Some(MustFind::All(AllBugs::All)));
        assert_eq!(layer.out.as_deref(), Some("x \"y\""));
        let error = env(&[("SQUALL_SEEDS", "many")]).unwrap_err().to_string();
        assert!(error.starts_with("SQUALL_SEEDS=\"many\": "), "{error}");
    }

    #[test]
    fn a_file_may_change_an_embedded_profile() {
        let s = resolve("[profile.ci]\nseeds = 7\n", "ci", &[]).unwrap();
        assert_eq!(s.extent, Extent::Seeds(7));
        assert_eq!(s.seed, FirstSeed::Commit);
    }

    #[test]
    fn seeds_on_the_command_line_replace_a_profiles_time() {
        let flag = Layer {
            seeds: Some(4),
            ..Layer::default()
        };
        let s = resolve("", "nightly", &[flag]).unwrap();
        assert_eq!(s.extent, Extent::Seeds(4));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let error = |file: &str| Config::parse(file).unwrap_err().to_string();
        let typo = error("seeds = 3\nsedes = 4\n");
        assert!(typo.contains("line 2"), "{typo}");
        assert!(typo.contains("unknown field `sedes`"), "{typo}");
        let wrong = error("[profile.ci]\nkeep = \"some\"\n");
        assert!(
            wrong.contains("line 2") && wrong.contains("`failed`"),
            "{wrong}"
        );
        let seed = error("seed = \"now\"\n");
        assert!(
            seed.contains("write a number from 0 to 2^64-1, \"commit\" or \"clock\""),
            "{seed}"
        );
        let unknown = resolve("", "nigthly", &[]).unwrap_err().to_string();
        assert_eq!(
            unknown,
            "there is no profile \"nigthly\"; there are ci, nightly, quick"
        );
    }
}
