//! docs/COVERAGE.md cannot rot: every proof that it names exists, and no row is
//! without one.

use squall::library;
use squall_api::Bug;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Names of all functions behind `#[test]`, or made by a macro of tests.
fn tests(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            if !path.ends_with("target") {
                tests(&path, found);
            }
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                match line.strip_prefix("fn ") {
                    Some(rest) if is_test => {
                        let name = rest.split('(').next().unwrap();
                        found.insert(name.to_owned());
                        is_test = false;
                    }
                    Some(_) => {}
                    None => is_test |= line == "#[test]",
                }
                is_test &= line.starts_with("#[") || line.is_empty();
            }
        }
    }
}

#[test]
fn every_row_names_proofs_that_exist_or_says_that_it_has_none() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut known = BTreeSet::new();
    for part in ["checkers", "core", "reports", "scenarios", "sim"] {
        tests(&root.join(part), &mut known);
    }
    let text = fs::read_to_string(root.join("docs/COVERAGE.md")).unwrap();
    let rows = text.lines().filter(|line| {
        line.starts_with("| ") && !line.starts_with("| Id ") && !line.starts_with("| Call ")
    });
    let (mut ids, mut wrong) = (BTreeSet::new(), Vec::new());
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let (id, proofs) = (cells[0], *cells.last().unwrap());
        if !ids.insert(id.to_owned()) {
            wrong.push(format!("{id} stands there twice"));
        }
        if matches!(proofs, "open" | "none" | "edge, later") {
            continue;
        }
        for proof in proofs.split(' ') {
            let exists = match proof.split_once(':') {
                Some(("test", name)) => known.contains(name),
                Some(("scenario", name)) => library::get(name).is_some(),
                Some(("bug", name)) => Bug::from_name(name).is_some_and(|bug| bug.name() == name),
                _ => false,
            };
            if !exists {
                wrong.push(format!("{id}: there is no {proof}"));
            }
        }
    }
    assert!(ids.len() > 200, "only {} rows were read", ids.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
