//! Which scenarios a command means.

use super::Complaint;
use crate::rundir::said;
use crate::{Scenario, library};
use squall_ci::Exit;
use std::fs;
use std::path::{Path, PathBuf};

/// A scenario, and what to call it on a command line.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) scenario: Scenario,
    /// A library name or a path.
    pub(super) source: String,
}

/// How alike a name must be to be suggested, from 0 to 1.
const ALIKE: f64 = 0.75;
const SUGGESTIONS_MAX: usize = 3;

/// Everything that `words` name: `library`, names of the library, files, and
/// directories of files. Overrides apply to all.
pub(super) fn select(words: &[String], overrides: &[String]) -> Result<Vec<Selected>, Complaint> {
    let mut selected: Vec<Selected> = Vec::new();
    for word in words {
        for found in one(word, overrides)? {
            match selected
                .iter()
                .find(|s| s.scenario.name == found.scenario.name)
            {
                None => selected.push(found),
                Some(known) if known.source == found.source => {}
                Some(known) => {
                    return Err(Complaint::usage(format!(
                        "two scenarios are called {:?}: {} and {}",
                        found.scenario.name, known.source, found.source
                    )));
                }
            }
        }
    }
    if selected.is_empty() {
        return Err(Complaint {
            exit: Exit::NothingSelected,
            text: format!("nothing to run: no scenario in {}", words.join(", ")),
        });
    }
    Ok(selected)
}

fn one(word: &str, overrides: &[String]) -> Result<Vec<Selected>, Complaint> {
    if word == "library" {
        return library::all()
            .iter()
            .map(|(name, text)| built_in(name, text, overrides))
            .collect();
    }
    if let Some(text) = library::get(word) {
        return Ok(vec![built_in(word, text, overrides)?]);
    }
    let path = Path::new(word);
    if path.is_dir() {
        let files = files(path)?;
        return files.iter().map(|file| load(file, overrides)).collect();
    }
    if path.exists() {
        return Ok(vec![load(path, overrides)?]);
    }
    Err(Complaint::usage(unknown(word)))
}

fn built_in(name: &str, text: &str, overrides: &[String]) -> Result<Selected, Complaint> {
    let scenario = Scenario::parse_with(name, text, overrides).map_err(Complaint::usage)?;
    Ok(Selected {
        scenario,
        source: name.to_owned(),
    })
}

fn load(path: &Path, overrides: &[String]) -> Result<Selected, Complaint> {
    let scenario = Scenario::load_with(path, overrides).map_err(Complaint::usage)?;
    Ok(Selected {
        scenario,
        source: path.display().to_string(),
    })
}

/// The scenario files of a directory, by name; not those below it.
fn files(dir: &Path) -> Result<Vec<PathBuf>, Complaint> {
    let named = |e: std::io::Error| Complaint::usage(format!("{}: {}", dir.display(), said(&e)));
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(named)? {
        let path = entry.map_err(named)?.path();
        if path.is_file() && path.extension().is_some_and(|e| e == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn unknown(word: &str) -> String {
    if let Some((name, seed)) = word.rsplit_once('@')
        && library::get(name).is_some()
    {
        return format!(
            "{word:?} is a run: squall replay '{word}', or squall run {name} --seed {seed}"
        );
    }
    if word.contains(std::path::MAIN_SEPARATOR) || word.ends_with(".toml") {
        return format!("{word}: no such file or directory");
    }
    let names = library::all().iter().map(|(name, _)| *name);
    let hint = match suggest(word, names).as_slice() {
        [] => "`squall list scenarios` shows all".to_owned(),
        alike => format!("did you mean {}?", alike.join(" or ")),
    };
    format!("there is no scenario {word:?}; {hint}")
}

/// Those of `names` that somebody who wrote `word` may have meant.
pub(super) fn suggest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let word = word.to_lowercase();
    let mut alike: Vec<(f64, &str)> = names
        .map(|name| {
            let part = word.len() >= 3 && name.split('-').any(|part| part == word);
            let distance = strsim::jaro_winkler(&word, name);
            (if part { 1.0 } else { distance }, name)
        })
        .filter(|(alike, _)| *alike >= ALIKE)
        .collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    alike.truncate(SUGGESTIONS_MAX);
    alike.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_or_a_part_of_a_name_is_enough_for_a_suggestion() {
        let names = [
            "power-loss-majority",
            "symmetric-partition",
            "election-storm",
        ];
        let suggested = |word| suggest(word, names.into_iter());
        assert_eq!(suggested("power-los-majority")[0], "power-loss-majority");
        assert_eq!(suggested("storm"), ["election-storm"]);
        assert!(suggested("xyz").is_empty());
    }
}
