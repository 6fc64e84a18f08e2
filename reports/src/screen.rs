//! What a terminal shows: one screen for a sweep, and a failure as a product.

use crate::event::{Finding, RunVerdict};
use crate::explanation::{Explanation, OpRow};
use crate::style::{BAD, BOLD, DIM, GOOD, UNSURE, count, duration, paint, plural, printable};
use crate::table::{Column, cut, table, wrap};
use crate::totals::{Counted, Tally, Totals};
use squall_record::{Fact, Stats, Verdict, seconds};
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
        commands(&mut out, next);
    }
    out
}

/// A failure, explained, in `width` columns.
pub fn explain(explanation: &Explanation, width: usize) -> String {
    let mut out = String::new();
    explanation_head(&mut out, explanation, width);
    explanation_body(&mut out, explanation, width, usize::MAX);
    out.push('\n');
    let mut next = vec![(
        explanation.commands.replay.clone(),
        "runs it again, anywhere".to_owned(),
    )];
    if let Some(recorded) = &explanation.commands.replay_recorded {
        next.push((recorded.clone(), "follows the recorded schedule".into()));
    }
    next.push((
        explanation.commands.timeline.clone(),
        "every event up to the failure".into(),
    ));
    commands(&mut out, &next);
    out
}

/// A verdict about something that squall did not run.
#[derive(Debug, Clone, Copy)]
pub struct Judgement<'a> {
    /// What was judged: a file.
    pub subject: &'a str,
    /// The check.
    pub check: &'a str,
    /// What it guards.
    pub guarantee: &'a str,
    /// What it says.
    pub verdict: &'a Verdict,
    /// How it was decided, in a few words.
    pub how: &'a str,
}

/// A verdict, with its witness if it has one, in `width` columns.
pub fn judgement(judged: &Judgement<'_>, width: usize) -> String {
    let mut out = String::new();
    let (style, word) = match judged.verdict {
        Verdict::Pass { .. } => (GOOD, "PASS"),
        Verdict::Fail(_) => (BAD, "FAIL"),
        Verdict::Unknown(_) => (UNSURE, "UNKNOWN"),
    };
    let _ = write!(
        out,
        "{}  {} in {}",
        paint(style, word),
        judged.check,
        printable(judged.subject)
    );
    match judged.verdict {
        Verdict::Pass {
            judged: n,
            unknown: open,
        } => {
            let _ = writeln!(
                out,
                ": {}, {} of unknown outcome, decided {}",
                plural(*n, "operation"),
                count(*open),
                judged.how
            );
        }
        Verdict::Fail(witness) => {
            out.push_str("\n\n");
            broken(&mut out, &witness.sentence, &witness.guarantee, width);
            let operations: Vec<OpRow> = witness.ops.iter().map(OpRow::of).collect();
            argument(&mut out, &operations, &witness.facts, width, usize::MAX);
            out.push('\n');
        }
        Verdict::Unknown(reason) => {
            out.push('\n');
            wrap(&mut out, "  ", &reason.to_string(), width);
        }
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
            "seeds {}..{}",
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
        duration(tally.stats.simulated_ns / 1_000_000),
    ]
}

fn counts(out: &mut String, totals: &Totals, width: usize) {
    let Stats {
        simulated_ns: _,
        events,
        ops_ok,
        ops_refused,
        ops_unknown,
        unknown_applied,
        unknown_not_applied,
        txns_ok,
        keys: _,
        faults_planned,
        faults_fired,
        restarts,
        elections,
        snapshots_installed,
        messages,
        syncs,
        marks: _,
    } = totals.all().stats;
    let line = |out: &mut String, name: &str, text: String| {
        wrap(out, &format!("  {name:<9} "), &text, width);
    };
    line(
        out,
        "clients",
        format!(
            "{}: {} ok ({}), {} refused, {} unknown; of the unknown writes {} took effect, {} never did",
            plural(ops_ok + ops_refused + ops_unknown, "operation"),
            count(ops_ok),
            plural(txns_ok, "transaction"),
            count(ops_refused),
            count(ops_unknown),
            count(unknown_applied),
            count(unknown_not_applied),
        ),
    );
    line(
        out,
        "cluster",
        format!(
            "{}, {}, {} installed by followers",
            plural(elections, "election"),
            plural(restarts, "restart"),
            plural(snapshots_installed, "snapshot"),
        ),
    );
    line(
        out,
        "faults",
        format!(
            "{} of {} planned set in",
            count(faults_fired),
            count(faults_planned)
        ),
    );
    line(
        out,
        "world",
        format!(
            "{}, {}, {}",
            plural(events, "event"),
            plural(messages, "message"),
            plural(syncs, "sync")
        ),
    );
    if totals.reproduced > 0 {
        let differ = match totals.nondeterministic.len() {
            0 => "all came out the same".to_owned(),
            n => format!("{} DIFFERED", plural(n as u64, "run")),
        };
        line(
            out,
            "repeated",
            format!("{}: {differ}", plural(totals.reproduced, "run")),
        );
    }
}

fn planted(out: &mut String, totals: &Totals, width: usize) {
    if totals.hunts.is_empty() {
        return;
    }
    out.push('\n');
    let columns = [
        Column::left("planted bug"),
        Column::left("found"),
        Column::left("by").shrinking(),
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
    if let Some(dir) = &finding.run_dir {
        next.push((
            format!("less {dir}/findings/*/explain.txt"),
            "this explanation, uncut".into(),
        ));
    }
    next.push((
        explanation.commands.timeline.clone(),
        "every event up to the failure".into(),
    ));
    commands(out, &next);
    match &finding.run_dir {
        Some(dir) => wrap(out, "  kept in ", dir, width),
        None => wrap(out, "  ", "no run directory was written", width),
    }
}

fn explanation_head(out: &mut String, e: &Explanation, width: usize) {
    let bugs = match e.bugs.as_slice() {
        [] => String::new(),
        bugs => format!(", planted: {}", bugs.join(", ")),
    };
    let _ = writeln!(
        out,
        "{}  {} in {}@{}{bugs}\n",
        paint(BAD, "FAIL"),
        paint(BOLD, printable(&e.check)),
        printable(&e.scenario),
        e.seed
    );
    broken(out, &e.sentence, &e.guarantee, width);
}

fn broken(out: &mut String, sentence: &str, guarantee: &str, width: usize) {
    let mut text = String::new();
    wrap(&mut text, "  ", sentence, width);
    let _ = writeln!(out, "{}", paint(BOLD, text.trim_end()));
    wrap(out, "  Promised: ", guarantee, width);
}

fn explanation_body(out: &mut String, e: &Explanation, width: usize, operations_max: usize) {
    if !e.story.is_empty() {
        section(out, "What happened");
        for beat in &e.story {
            let time = seconds(beat.t).to_string();
            wrap(out, &format!("  {time:>9}  "), &beat.text, width);
        }
    }
    argument(out, &e.operations, &e.facts, width, operations_max);
    if !e.others.is_empty() {
        section(out, "In the same run");
        for other in &e.others {
            wrap(out, &format!("  {}: ", other.check), &other.sentence, width);
        }
    }
}

fn argument(out: &mut String, ops: &[OpRow], facts: &[Fact], width: usize, max: usize) {
    if !ops.is_empty() {
        section(out, "The operations that show it");
        operations(out, ops, width, max);
    }
    if !facts.is_empty() {
        section(out, "Why");
        let longest = facts.iter().map(|f| f.subject.chars().count()).max();
        let room = longest.unwrap_or(0).min(width / 3);
        for fact in facts {
            let subject = cut(&printable(&fact.subject), room);
            wrap(out, &format!("  {subject:<room$}  "), &fact.text, width);
        }
    }
}

fn operations(out: &mut String, ops: &[OpRow], width: usize, max: usize) {
    let columns = [
        Column::right("op"),
        Column::left("client"),
        Column::left("asked"),
        Column::right("sent"),
        Column::right("returned"),
        Column::left("operation").shrinking(),
        Column::left("result").shrinking(),
    ];
    let shown = ops.len().min(max);
    let rows: Vec<Vec<String>> = ops[ops.len() - shown..]
        .iter()
        .map(|op| {
            let returned = op
                .ret
                .map_or("never".to_owned(), |t| seconds(t).to_string());
            vec![
                format!("#{}", op.id),
                format!("c{}", op.client),
                format!("n{}", op.member),
                seconds(op.invoke).to_string(),
                returned,
                op.call.clone(),
                op.result.clone(),
            ]
        })
        .collect();
    let left_out = (ops.len() - shown) as u64;
    if left_out > 0 {
        let _ = writeln!(
            out,
            "  the last {shown}; {} before them in witness.json",
            count(left_out)
        );
    }
    table(out, &columns, &rows, width);
}

fn section(out: &mut String, title: &str) {
    let _ = writeln!(out, "\n  {}", paint(DIM, title));
}

fn further(
    out: &mut String,
    first: &Counted<Finding>,
    rest: &[Counted<Finding>],
    totals: &Totals,
    width: usize,
) {
    if first.runs > 1 {
        let times = format!("the same kind of failure in {}", plural(first.runs, "run"));
        wrap(out, "  seen in ", &times, width);
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
        let lead = format!("  {}@{}  ", e.scenario, e.seed);
        let text = format!("{}: {}{times}", e.check, e.sentence);
        wrap(out, &lead, &text, width);
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
        for (reason, runs) in totals.inconclusive.iter().take(TEXTS_MAX) {
            let lead = format!("  {}: ", plural(*runs, "run"));
            wrap(out, &lead, reason, width);
        }
        let left_out = totals.inconclusive.len().saturating_sub(TEXTS_MAX);
        if left_out > 0 {
            let _ = writeln!(out, "  and {left_out} more reasons");
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
    let mut parts = vec![format!(
        "{} of {} passed",
        count(all.pass),
        plural(all.runs, "run")
    )];
    for (n, verdict) in [
        (all.fail, RunVerdict::Fail),
        (all.inconclusive, RunVerdict::Inconclusive),
    ] {
        match (n, verdict) {
            (0, _) => {}
            (n, RunVerdict::Fail) => parts.push(format!("{} failed", count(n))),
            (n, _) => parts.push(format!("{} unknown", count(n))),
        }
    }
    parts.push(duration(finished.wall_ms));
    let _ = writeln!(out, "\n{}  {}", paint(style, word), parts.join(", "));
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

/// Lines to copy: whole, whatever the width, with what each is good for.
fn commands(out: &mut String, commands: &[(String, String)]) {
    let longest = commands.iter().map(|(c, _)| c.chars().count()).max();
    let room = longest.unwrap_or(0);
    for (command, good_for) in commands {
        let aligned = format!("{command:<room$}");
        let note = paint(DIM, format!("# {good_for}"));
        let _ = writeln!(out, "  {aligned}  {note}");
    }
}
