//! What a terminal shows: one screen for a sweep, and a failure as a product.

use crate::counts::counts;
use crate::event::Finding;
use crate::explain::{commands, explanation_body, explanation_head, section};
use crate::style::{BAD, BOLD, GOOD, UNSURE, count, duration, paint, plural, printable};
use crate::table::{Column, table, wrap};
use crate::totals::{Counted, Tally, Totals};
use std::fmt::Write as _;

/// Rows of scenarios that fit a screen; beyond them, those that passed are
/// only counted.
const ROWS_MAX: usize = 24;
/// Findings that get a line of their own after the first one.
const FINDINGS_MAX: usize = 8;
/// Operations of a witness that a screen shows; `witness.json` has all.
const OPERATIONS_MAX: usize = 12;
/// Reasons and warnings that get a line.
const TEXTS_MAX: usize = 5;

/// A finished sweep on one screen of `width` columns: counts, the first
/// finding in full, the verdict, and `next`, the commands worth typing now,
/// each with what it is good for.
pub fn screen(totals: &Totals, next: &[(String, String)], width: usize) -> String {
    let mut out = String::new();
    heading(&mut out, totals);
    scenarios(&mut out, totals, width);
    counts(&mut out, totals, width);
    planted(&mut out, totals, width);
    let mut findings = totals.findings.iter();
    if let Some(first) = findings.next() {
        out.push('\n');
        finding(&mut out, &first.first, width);
        further(&mut out, first, findings.as_slice(), totals, width);
    }
    troubles(&mut out, totals, width);
    replayed(&mut out, totals, width);
    verdict(&mut out, totals);
    if !next.is_empty() {
        out.push('\n');
        commands(&mut out, next, width);
    }
    out
}

fn heading(out: &mut String, totals: &Totals) {
    let started = &totals.started;
    let what = match started.scenarios.as_slice() {
        [one] => one.clone(),
        many => plural(many.len() as u64, "scenario"),
    };
    let seeds = match (started.seeds, started.time_box_ms) {
        (Some(1), _) => format!("seed {}", started.first_seed),
        (Some(n), _) => format!(
            "seeds {} to {}",
            started.first_seed,
            started.first_seed.saturating_add(n - 1)
        ),
        (None, Some(ms)) => format!("seeds from {} for {}", started.first_seed, duration(ms)),
        (None, None) => format!("seeds from {}", started.first_seed),
    };
    let bugs = match started.bugs.as_slice() {
        [] => String::new(),
        bugs => format!(", planted: {}", bugs.join(", ")),
    };
    let _ = writeln!(
        out,
        "{}  {what}, {seeds}, profile {}{bugs}\n",
        paint(BOLD, "squall"),
        started.profile
    );
}

fn scenarios(out: &mut String, totals: &Totals, width: usize) {
    let columns = [
        Column::left("scenario").shrinking(),
        Column::right("runs"),
        Column::right("pass"),
        Column::right("fail"),
        Column::right("unknown"),
        Column::right("checked ops"),
        Column::right("simulated"),
    ];
    let all = totals.all();
    let crowded = totals.scenarios.len() > ROWS_MAX;
    let shown = |tally: &&Tally| !crowded || tally.pass < tally.runs;
    let mut rows: Vec<Vec<String>> = totals
        .scenarios
        .iter()
        .filter(shown)
        .take(ROWS_MAX)
        .map(|tally| row(&tally.scenario, tally))
        .collect();
    let left_out = totals.scenarios.len() - rows.len();
    if totals.scenarios.len() != 1 {
        let name = match left_out {
            0 => "all".to_owned(),
            n => format!("all, {n} not shown"),
        };
        rows.push(row(&name, &all));
    }
    table(out, &columns, &rows, width);
    out.push('\n');
}

fn row(name: &str, tally: &Tally) -> Vec<String> {
    let n = |n: u64| if n == 0 { "-".to_owned() } else { count(n) };
    vec![
        name.to_owned(),
        count(tally.runs),
        n(tally.pass),
        n(tally.fail),
        n(tally.inconclusive),
        n(tally.operations_checked),
        // One unit for the whole column: it is there to be compared.
        format!("{} s", count(tally.stats.simulated_ns / 1_000_000_000)),
    ]
}

fn planted(out: &mut String, totals: &Totals, width: usize) {
    if totals.hunts.is_empty() {
        return;
    }
    out.push('\n');
    let columns = [
        Column::left("planted bug"),
        Column::left("found"),
        Column::left("by").wrapping(),
    ];
    let rows: Vec<Vec<String>> = totals
        .hunts
        .iter()
        .map(|hunt| {
            let (found, by) = match hunt.seed {
                Some(seed) => (
                    format!("in {}", plural(hunt.runs, "run")),
                    format!(
                        "{} in {}@{seed}",
                        hunt.check.as_deref().unwrap_or("a check"),
                        hunt.scenario
                    ),
                ),
                None => (
                    "NOT FOUND".into(),
                    format!("{} of {}", plural(hunt.runs, "run"), hunt.scenario),
                ),
            };
            vec![hunt.bug.clone(), found, by]
        })
        .collect();
    table(out, &columns, &rows, width);
}

fn finding(out: &mut String, finding: &Finding, width: usize) {
    let explanation = &finding.explanation;
    explanation_head(out, explanation, width);
    explanation_body(out, explanation, width, OPERATIONS_MAX);
    out.push('\n');
    let mut next = vec![(
        explanation.commands.replay.clone(),
        "runs it again, anywhere".to_owned(),
    )];
    next.push((
        explanation.commands.timeline.clone(),
        "every event up to the failure".into(),
    ));
    commands(out, &next, width);
    match &finding.run_dir {
        Some(dir) => {
            let _ = writeln!(out, "  kept in {}", printable(dir));
        }
        None => out.push_str("  no run directory was written\n"),
    }
}

fn further(
    out: &mut String,
    first: &Counted<Finding>,
    rest: &[Counted<Finding>],
    totals: &Totals,
    width: usize,
) {
    if first.runs > 1 {
        let text = format!("{} failed in this way", plural(first.runs, "run"));
        wrap(out, "  ", &text, width);
    }
    if rest.is_empty() {
        return;
    }
    section(out, "Also found");
    for Counted { runs, first } in rest.iter().take(FINDINGS_MAX) {
        let e = &first.explanation;
        let times = match runs {
            1 => String::new(),
            n => format!(" ({})", plural(*n, "run")),
        };
        let text = format!(
            "{}@{}: {}: {}{times}",
            e.scenario, e.seed, e.check, e.sentence
        );
        wrap(out, "  - ", &text, width);
    }
    let left_out = rest.len().saturating_sub(FINDINGS_MAX) as u64 + totals.findings_left_out;
    if left_out > 0 {
        let _ = writeln!(out, "  and {} more", count(left_out));
    }
}

fn troubles(out: &mut String, totals: &Totals, width: usize) {
    if !totals.nondeterministic.is_empty() {
        out.push('\n');
        let _ = write!(out, "{}  ", paint(BAD, "NOT DETERMINISTIC"));
        out.push('\n');
        for run in totals.nondeterministic.iter().take(TEXTS_MAX) {
            let text = format!("{run} came out differently when it was run again");
            wrap(out, "  ", &text, width);
        }
    }
    if !totals.inconclusive.is_empty() {
        out.push('\n');
        let _ = writeln!(out, "{}", paint(UNSURE, "UNKNOWN, which is not a pass"));
        for unproved in totals.inconclusive.iter().take(TEXTS_MAX) {
            let others = match unproved.runs {
                1 => String::new(),
                n => format!(" and {} more", count(n - 1)),
            };
            let text = format!("{}{others}: {}", unproved.first, unproved.reason);
            wrap(out, "  - ", &text, width);
        }
        let left_out = totals.inconclusive.len().saturating_sub(TEXTS_MAX);
        if left_out > 0 {
            let _ = writeln!(out, "  and {left_out} more reasons");
        }
    }
    if !totals.suspended.is_empty() {
        out.push('\n');
        let _ = writeln!(
            out,
            "{}",
            paint(UNSURE, "SUSPENDED, which is neither pass nor fail")
        );
        for suspended in totals.suspended.iter().take(TEXTS_MAX) {
            let broken = match suspended.would_fail {
                0 => String::new(),
                n => format!(", {n} of which would have failed"),
            };
            let text = format!(
                "{} in {}: {}{broken}",
                plural(suspended.checks, "check"),
                plural(suspended.runs, "run"),
                suspended.why
            );
            wrap(out, "  - ", &text, width);
        }
        let left_out = totals.suspended.len().saturating_sub(TEXTS_MAX);
        if left_out > 0 {
            let _ = writeln!(out, "  and for {left_out} more reasons");
        }
    }
    for warning in totals.warnings.iter().take(TEXTS_MAX) {
        wrap(out, "  warning: ", warning, width);
    }
}

fn replayed(out: &mut String, totals: &Totals, width: usize) {
    let Some(replayed) = &totals.replayed else {
        return;
    };
    out.push('\n');
    if replayed.same() {
        let text = format!(
            "the same run came out as in {}: rolling hash {}",
            replayed.run_dir, replayed.now
        );
        wrap(out, "REPRODUCED  ", &text, width);
    } else {
        let builds = replayed
            .builds
            .as_deref()
            .unwrap_or("both were made by the same build");
        let text = format!(
            "another run came out than in {}: its rolling hash is {}, now it is {}; {builds}",
            replayed.run_dir, replayed.recorded, replayed.now
        );
        wrap(out, "NOT REPRODUCED  ", &text, width);
    }
}

fn verdict(out: &mut String, totals: &Totals) {
    let Some(finished) = &totals.finished else {
        return;
    };
    let all = totals.all();
    let (style, word) = match finished.exit.code {
        0 => (GOOD, "PASS"),
        3 => (UNSURE, "UNKNOWN"),
        4 => (UNSURE, "NOTHING RAN"),
        130 => (UNSURE, "INTERRUPTED"),
        _ => (BAD, "FAIL"),
    };
    let mut parts = vec![format!("{} passed", count(all.pass))];
    if all.fail > 0 {
        parts.push(format!("{} failed", count(all.fail)));
    }
    if all.inconclusive > 0 {
        parts.push(format!("{} unknown", count(all.inconclusive)));
    }
    let _ = writeln!(
        out,
        "\n{}  {}: {}; {}",
        paint(style, word),
        plural(all.runs, "run"),
        parts.join(", "),
        duration(finished.wall_ms)
    );
    if let Some(why) = &finished.stopped {
        let _ = writeln!(out, "  stopped early: {}", printable(why));
    }
    if finished.exit.code != 0 {
        let _ = writeln!(
            out,
            "  exit {}: {}",
            finished.exit.code, finished.exit.meaning
        );
    }
}
