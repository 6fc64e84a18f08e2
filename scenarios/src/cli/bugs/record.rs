//! The track record: how fast each planted bug was found, and by what. Written by
//! `squall bugs measure --write`, and built in for `squall bugs list`.

use super::measure::{Measured, runs};
use crate::hunts;
use squall_api::Bug;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Where it stands in the repository.
pub(super) const FILE: &str = "docs/TRACK_RECORD.md";

/// The record that this build comes with.
const RECORD: &str = include_str!("../../../../docs/TRACK_RECORD.md");

const HEAD: &str = "| bug | id | scenario | runs, median | most | found | by | alone |";

/// What the record says of one bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    scenario: String,
    /// How many runs it took, the median of all starts.
    pub(super) median: String,
    most: String,
    /// From how many starts it was found, of how many.
    found: String,
    /// The checks that found it.
    pub(super) by: String,
    /// From how many starts one check found it with no other failing beside it.
    alone: u64,
}

impl Entry {
    /// The check that found it whenever it was found, if mostly no other failed beside
    /// that one.
    fn only(&self) -> Option<&str> {
        let found = self.found.split(' ').next()?.parse::<u64>().ok()?;
        let is_one = !self.by.is_empty() && !self.by.contains(',');
        (is_one && 2 * self.alone > found).then_some(&self.by)
    }
}

/// What a record says of each bug.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record(BTreeMap<Bug, Entry>);

impl Record {
    /// The one that is built in.
    pub(super) fn built_in() -> Record {
        Record::read(RECORD)
    }

    /// Reads what [`Record::markdown`] wrote; rows of bugs that are no longer planted
    /// are left out.
    pub(super) fn read(text: &str) -> Record {
        let behind = text.lines().skip_while(|line| *line != HEAD).skip(2);
        let rows = behind.take_while(|line| line.starts_with('|'));
        Record(rows.filter_map(row).collect())
    }

    pub(super) fn of(&self, bug: Bug) -> Option<&Entry> {
        self.0.get(&bug)
    }

    /// Takes what was measured, in place of what was known of the same bugs.
    pub(super) fn take(&mut self, all: &[Measured]) {
        for m in all {
            let Some(bug) = Bug::from_name(m.bug) else {
                continue;
            };
            let entry = Entry {
                scenario: m.scenarios.join(", "),
                median: runs(m),
                most: m.most_runs.to_string(),
                found: format!("{} of {}", m.found, m.starts),
                by: m.checks.join(", "),
                alone: m.alone,
            };
            self.0.insert(bug, entry);
        }
    }

    /// The record as a document.
    pub(super) fn markdown(&self) -> String {
        let mut out = String::from(
            "# Track record\n\nHow many runs it takes to find each planted bug, written by `squall bugs measure --write`. Each was\n\
             looked for from several first seeds that are far apart; the median counts a start that found nothing as\n\
             longer than any other. *Alone* counts the starts from which one check found the bug, and no other failed\n\
             beside it.\n\n",
        );
        let _ = writeln!(out, "{HEAD}\n|---|---|---|---:|---:|---:|---|---:|");
        for (bug, entry) in &self.0 {
            let Entry {
                scenario,
                median,
                most,
                found,
                by,
                alone,
            } = entry;
            let _ = writeln!(
                out,
                "| {} | {} | {scenario} | {median} | {most} | {found} | {by} | {alone} |",
                bug.name(),
                bug.id()
            );
        }
        self.checks(&mut out);
        unhunted(&mut out);
        out
    }

    /// Which bugs only one check finds: what would go unnoticed without it.
    fn checks(&self, out: &mut String) {
        let mut by: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
        for name in hunts::CHECKS {
            by.entry(name).or_default();
        }
        for (bug, entry) in &self.0 {
            for check in entry.by.split(", ").filter(|check| !check.is_empty()) {
                let (alone, beside) = by.entry(check).or_default();
                let which = if entry.only().is_some() {
                    alone
                } else {
                    beside
                };
                which.push(bug.name());
            }
        }
        out.push_str(
            "\n## What each check is needed for\n\nBugs that this check found whenever they were found, mostly with no other beside \
             it; and those that it\nwas the first to find in some run, where mostly others failed as well, or instead in \
             another run.\n\n\
             | check | found by it alone | found by it among others | why not two alone |\n|---|---|---|---|\n",
        );
        for (check, (alone, beside)) in &by {
            let why = match alone.len() {
                0 | 1 => hunts::few(check).unwrap_or(""),
                _ => "",
            };
            let (alone, beside) = (alone.join(", "), beside.join(", "));
            let _ = writeln!(out, "| {check} | {alone} | {beside} | {why} |");
        }
    }
}

fn row(line: &str) -> Option<(Bug, Entry)> {
    let line = line.strip_prefix('|')?.strip_suffix('|')?;
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let [bug, _, scenario, median, most, found, by, alone] = cells[..] else {
        return None;
    };
    let entry = Entry {
        scenario: scenario.into(),
        median: median.into(),
        most: most.into(),
        found: found.into(),
        by: by.into(),
        alone: alone.parse().ok()?,
    };
    Some((Bug::from_name(bug)?, entry))
}

fn unhunted(out: &mut String) {
    let bugs = Bug::ALL.iter().copied();
    let unhunted: Vec<Bug> = bugs
        .filter(|bug| hunts::scenarios(*bug).is_empty())
        .collect();
    if unhunted.is_empty() {
        return;
    }
    out.push_str(
        "\n## Not found by scenarios\n\nSchedules and golden tests of the store's own crates find these, or \
         `scenarios/src/hunts.rs` says\nwhy nothing does:\n\n",
    );
    for bug in unhunted {
        let _ = writeln!(out, "* {} ({}): {}", bug.name(), bug.id(), bug.about());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_that_is_built_in_says_something_of_every_row() {
        let record = Record::built_in();
        let rows = RECORD.lines().filter(|line| row(line).is_some()).count();
        assert!(rows > 0, "{FILE} has no rows");
        assert_eq!(rows, record.0.len());
        assert_eq!(Record::read(&record.markdown()), record);
    }

    #[test]
    fn every_bug_that_is_hunted_was_measured() {
        let record = Record::built_in();
        let hunted = Bug::ALL.iter().copied();
        let unmeasured: Vec<&str> = hunted
            .filter(|bug| !hunts::scenarios(*bug).is_empty() && record.of(*bug).is_none())
            .map(Bug::name)
            .collect();
        assert!(
            unmeasured.is_empty(),
            "`squall bugs measure NAME --write` is due for {unmeasured:?}"
        );
    }

    #[test]
    fn what_is_measured_again_replaces_what_was_known_and_nothing_else() {
        let measured = |bug: Bug, checks: &[&str], alone: u64| Measured {
            bug: bug.name(),
            id: bug.id(),
            scenarios: &["healthy"],
            checks: checks.iter().map(|c| (*c).to_owned()).collect(),
            alone,
            starts: 10,
            found: 10,
            median_runs: Some(3),
            most_runs: 8,
        };
        let one = |alone| measured(Bug::ForgetVote, &["members"], alone);
        let two = measured(Bug::AckOnAppend, &["members", "monotonic"], 10);
        let mut record = Record::default();
        record.take(&[one(5), two]);
        let mut again = Record::read(&record.markdown());
        assert_eq!(again, record);
        again.take(&[one(6)]);
        let text = again.markdown();
        assert!(text.contains("| forget-vote | R02 | healthy | 3 | 8 | 10 of 10 | members | 6 |"));
        assert!(
            text.contains("| members | forget-vote | ack-on-append |"),
            "{text}"
        );
        assert!(text.contains("| monotonic |  | ack-on-append |"), "{text}");
    }
}
