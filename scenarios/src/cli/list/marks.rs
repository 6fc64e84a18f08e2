//! `squall list marks`: the named points of the code, passed or not.

use super::super::console::Console;
use super::super::{Complaint, Format};
use super::{RunsArgs, kept, show};
use crate::marks::MARKS;
use serde::Serialize;
use squall_ci::Exit;
use squall_reports::Column;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct ListedMark<'a> {
    name: &'a str,
    passed: u64,
    place: &'a str,
    about: &'a str,
}

/// Shows every mark, and how often the kept runs passed it.
pub(super) fn marks(
    args: &RunsArgs,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Complaint> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut runs = 0;
    for (_, file) in kept(args)?.list().map_err(Complaint::usage)? {
        let Ok(file) = file else { continue };
        runs += 1;
        for (mark, n) in file.summary.stats.marks {
            *counts.entry(mark).or_default() += n;
        }
    }
    let known = MARKS.iter().map(|mark| ListedMark {
        name: mark.name,
        passed: counts.get(mark.name).copied().unwrap_or(0),
        place: mark.place,
        about: mark.about,
    });
    // An older build may have had others.
    let gone = counts
        .iter()
        .filter(|(name, _)| crate::marks::find(name).is_none());
    let gone = gone.map(|(name, passed)| ListedMark {
        name,
        passed: *passed,
        place: "",
        about: "not in this build",
    });
    let mut listed: Vec<ListedMark<'_>> = known.chain(gone).collect();
    listed.sort_by_key(|mark| mark.name);
    if format == Format::Json {
        console.json(&listed)?;
        return Ok(Exit::Pass);
    }
    let never = listed.iter().filter(|mark| mark.passed == 0).count();
    let total = listed.len();
    let columns = [
        Column::left("mark"),
        Column::right("passed"),
        Column::left("where"),
        Column::left("what happens there").wrapping(),
    ];
    let rows = listed.into_iter().map(|mark| {
        let passed = match mark.passed {
            0 => "never".to_owned(),
            n => n.to_string(),
        };
        vec![
            mark.name.to_owned(),
            passed,
            mark.place.to_owned(),
            mark.about.to_owned(),
        ]
    });
    show(console, &columns, rows.collect());
    let text = match runs {
        0 => {
            let program = console.program();
            format!("\n  no run is kept; {program} run --keep all keeps every run\n")
        }
        1 => format!("\n  1 kept run passed {} of {total} marks\n", total - never),
        runs => format!(
            "\n  {runs} kept runs passed {} of {total} marks\n",
            total - never
        ),
    };
    console.print(&text);
    Ok(Exit::Pass)
}
