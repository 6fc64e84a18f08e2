//! Bugs that squall once found, each as a small scenario with its story. They
//! stay mended.

use squall::Scenario;
use squall::runner::{RunOptions, run};
use squall_record::Verdict;
use std::path::Path;

const SEEDS: std::ops::RangeInclusive<u64> = 1..=5;

#[test]
fn every_regression_stays_mended() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no regression in {}", folder.display());
    for file in files {
        let scenario = Scenario::load(&file).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(
            file.file_stem().and_then(|s| s.to_str()),
            Some(&*scenario.name)
        );
        for seed in SEEDS {
            let run = run(&scenario, seed, &RunOptions::default())
                .unwrap_or_else(|e| panic!("{}@{seed}: {}", scenario.name, e.panic));
            for check in &run.summary.checks {
                let passed = matches!(check.verdict, Verdict::Pass { .. });
                assert!(passed, "{}@{seed}: {check:#?}", scenario.name);
            }
        }
    }
}
