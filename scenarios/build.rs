//! Finds the named points of the code, so that `squall list marks` can show
//! also those that no run has passed, with the place where they stand.
//!
//! A mark is a constant of a `marks.rs`, or a literal in a call of `mark`. Tests
//! have marks of their own, which are not ours.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

const CRATES: [&str; 3] = ["core/raft/src", "core/store/src", "sim/src"];

#[derive(Default)]
struct Mark {
    about: String,
    place: Option<String>,
}

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo says where this is"));
    let root = root.parent().expect("the workspace is above").to_owned();
    let mut files = Vec::new();
    for sources in CRATES {
        println!("cargo::rerun-if-changed={}", root.join(sources).display());
        collect(&root.join(sources), &mut files);
    }
    files.sort();
    let sources: Vec<(String, String)> = files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap_or(&path);
            let name = name.display().to_string().replace('\\', "/");
            let text = fs::read_to_string(&path).unwrap_or_default();
            (name, text)
        })
        .collect();

    let mut marks: BTreeMap<String, Mark> = BTreeMap::new();
    let mut constants: BTreeMap<String, String> = BTreeMap::new();
    for (_, text) in sources
        .iter()
        .filter(|(name, _)| name.ends_with("/marks.rs"))
    {
        declared(text, &mut marks, &mut constants);
    }
    for (name, text) in &sources {
        if name.ends_with("/marks.rs") {
            continue;
        }
        // Unit tests stand at the end of their file.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in (1..).zip(code.lines()) {
            let place = format!("{name}:{number}");
            for mark in passed(line, &constants) {
                marks
                    .entry(mark)
                    .or_default()
                    .place
                    .get_or_insert(place.clone());
            }
        }
    }

    let mut out = String::from("&[\n");
    for (name, Mark { about, place }) in marks {
        let place = place.unwrap_or_default();
        writeln!(
            out,
            "Mark {{ name: {name:?}, about: {about:?}, place: {place:?} }},"
        )
        .expect("a string takes everything");
    }
    out.push(']');
    let path = PathBuf::from(env::var("OUT_DIR").expect("cargo says where output goes"));
    fs::write(path.join("marks.rs"), out).expect("the output directory can be written");
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "tests") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
}

/// The constants of a `marks.rs`, with what their documentation says.
fn declared(
    text: &str,
    marks: &mut BTreeMap<String, Mark>,
    constants: &mut BTreeMap<String, String>,
) {
    let mut about = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("///") {
            about = format!("{about} {}", doc.trim()).trim().to_owned();
            continue;
        }
        if let Some((constant, name)) = constant(line) {
            constants.insert(constant.to_owned(), name.to_owned());
            marks.entry(name.to_owned()).or_default().about = about;
        }
        about = String::new();
    }
}

/// `pub const CAMPAIGNED: &str = "raft.campaigned";`
fn constant(line: &str) -> Option<(&str, &str)> {
    let (constant, value) = line.split_once(": &str = \"")?;
    let name = value.strip_suffix("\";")?;
    Some((constant.rsplit(' ').next()?, name))
}

/// The marks that a line of code passes.
fn passed(line: &str, constants: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("marks::") {
        let rest = &line[at + "marks::".len()..];
        let end = rest
            .find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_')
            .unwrap_or(rest.len());
        found.extend(constants.get(&rest[..end]).cloned());
    }
    for (at, _) in line.match_indices("mark(\"") {
        let rest = &line[at + "mark(\"".len()..];
        found.extend(rest.split('"').next().map(str::to_owned));
    }
    found
}
