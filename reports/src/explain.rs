//! A failure as a product: the sentence, how it came about, the operations that
//! show it, the argument, and lines to copy.

use crate::explanation::{Explanation, OpRow};
use crate::style::{BAD, BOLD, DIM, GOOD, UNSURE, count, paint, plural, printable};
use crate::table::{Column, cut, table, wrap};
use squall_record::{Fact, Verdict, seconds};
use std::fmt::Write as _;

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
    commands(&mut out, &next, width);
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

pub(crate) fn explanation_head(out: &mut String, e: &Explanation, width: usize) {
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

pub(crate) fn explanation_body(
    out: &mut String,
    e: &Explanation,
    width: usize,
    operations_max: usize,
) {
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
            let text = format!("{}: {}", other.check, other.sentence);
            wrap(out, "  - ", &text, width);
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

pub(crate) fn section(out: &mut String, title: &str) {
    let _ = writeln!(out, "\n  {}", paint(DIM, title));
}

/// Lines to copy: whole, whatever the width, with what each is good for beside
/// it, or above it where there is no room.
pub(crate) fn commands(out: &mut String, commands: &[(String, String)], width: usize) {
    const BETWEEN: usize = "    # ".len();
    let length = |text: &str| text.chars().count();
    let longest = commands.iter().map(|(c, _)| length(c)).max().unwrap_or(0);
    let fits = commands
        .iter()
        .all(|(_, good_for)| longest + BETWEEN + length(good_for) <= width);
    for (command, good_for) in commands {
        let note = paint(DIM, format!("# {good_for}"));
        let _ = if fits {
            writeln!(out, "  {command:<longest$}  {note}")
        } else {
            writeln!(out, "  {note}\n  {command}")
        };
    }
}
