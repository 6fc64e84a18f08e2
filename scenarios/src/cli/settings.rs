//! Settings: flags over environment over profile over file over default.

use super::Complaint;
use crate::rundir::said;
use squall_ci::{Config, ConfigError, Layer, Settings};
use std::fs;
use std::path::{Path, PathBuf};

const FILE: &str = "squall.toml";

/// Settles every setting for a command with these flags.
pub(super) fn settle(flags: Layer, profile: Option<&str>) -> Result<(Settings, String), Complaint> {
    let file = match found() {
        Some(path) => read(&path)?,
        None => Config::default(),
    };
    let environment = Layer::from_env(|name| std::env::var(name).ok()).map_err(Complaint::usage)?;
    let named = profile
        .map(str::to_owned)
        .or_else(|| std::env::var("SQUALL_PROFILE").ok())
        .unwrap_or_else(|| "quick".to_owned());
    let settings = Config::embedded()
        .resolve(&file, &named, &[flags, environment])
        .map_err(Complaint::usage)?;
    if settings.out.is_empty() {
        return Err(Complaint::usage(
            "the directory for runs has an empty name: give --out a path",
        ));
    }
    Ok((settings, named))
}

/// The nearest `squall.toml`, here or above.
fn found() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors()
        .map(|dir| dir.join(FILE))
        .find(|path| path.is_file())
}

fn read(path: &Path) -> Result<Config, Complaint> {
    let named = |e: &dyn std::fmt::Display| Complaint::usage(format!("{}: {e}", path.display()));
    let text = fs::read_to_string(path).map_err(|e| named(&said(&e)))?;
    Config::parse(&text).map_err(|e: ConfigError| named(&e))
}
