//! `squall lint`: scenario files, checked without running them.

use super::console::Console;
use super::{Complaint, Format};
use crate::Scenario;
use crate::rundir::said;
use serde::Serialize;
use squall_ci::Exit;
use std::fs;
use std::path::{Path, PathBuf};

/// Which files.
#[derive(Debug, clap::Args)]
pub(super) struct LintArgs {
    /// Scenario files, or directories of them
    #[arg(value_name = "FILE|DIR", required = true)]
    files: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Linted {
    file: String,
    scenario: Option<String>,
    problem: Option<String>,
}

pub(super) fn lint(
    args: &LintArgs,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Complaint> {
    let mut linted = Vec::new();
    for path in &args.files {
        for file in files(path)? {
            let (scenario, problem) = match Scenario::load(&file) {
                Ok(scenario) => (Some(scenario.name), None),
                Err(e) => (None, Some(e.to_string())),
            };
            linted.push(Linted {
                file: file.display().to_string(),
                scenario,
                problem,
            });
        }
    }
    if linted.is_empty() {
        return Err(Complaint {
            exit: Exit::NothingSelected,
            text: "no scenario file there".into(),
        });
    }
    match format {
        Format::Json => console.json(&linted)?,
        Format::Human => {
            for file in &linted {
                let text = match (&file.scenario, &file.problem) {
                    (_, Some(problem)) => format!("{}\n", problem.trim_end()),
                    (name, None) => {
                        format!("ok  {}  {}\n", file.file, name.as_deref().unwrap_or(""))
                    }
                };
                console.print(&text);
            }
        }
    }
    let bad = linted.iter().any(|file| file.problem.is_some());
    Ok(if bad { Exit::Usage } else { Exit::Pass })
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Complaint> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let named = |e: std::io::Error| Complaint::usage(format!("{}: {}", path.display(), said(&e)));
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(named)? {
        let file = entry.map_err(named)?.path();
        if file.extension().is_some_and(|e| e == "toml") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}
