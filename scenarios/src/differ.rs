//! Where two runs part: the first event that differs, and what made it happen.
//!
//! Every run leaves its rolling hash at a bounded number of checkpoints. The last
//! one that two runs share and the first that they do not enclose the event that
//! is looked for. Both runs are made again with that stretch recorded in full,
//! hash by hash. If the runs are of the same thing, and their difference comes
//! and goes, several are made until two differ.

use crate::runner::{RunFailure, RunOptions};
use crate::sweep::{Runner, guarded};
use crate::{Scenario, sweep};
use serde::Serialize;
use squall_record::{Checkpoint, Event, Part, PartKind, Run, Traced, Window, seconds};
use squall_reports::describe_event;
use std::fmt::Write as _;

/// How many runs are made of each side at most: a race that shows in one run of
/// four is missed once in ten thousand times.
const TRIES: usize = 16;
/// How many events are recorded where no checkpoint bounds them.
const TAIL_MAX: u64 = 100_000;
/// How many bytes are shown of what differs.
const SHOWN: usize = 24;

/// One of the two runs.
#[derive(Debug, Clone)]
pub struct Side<'a> {
    /// What it runs.
    pub scenario: &'a Scenario,
    /// Its seed.
    pub seed: u64,
    /// How it is made.
    pub options: RunOptions,
    /// Its checkpoints, as they were recorded.
    pub checkpoints: Vec<Checkpoint>,
}

/// Where two runs part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The last checkpoint that both share; none if they part before the first.
    pub agreed: Option<Checkpoint>,
    /// The stretch that was made again and recorded.
    pub window: Window,
    /// The first event of one that is not the other's.
    pub first: Option<Version>,
    /// What stands in its place in the other.
    pub second: Option<Version>,
    /// In which respects they differ, in words.
    pub respects: Vec<String>,
}

/// One run's version of an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Version {
    /// The event.
    pub event: Event,
    /// It in a sentence.
    pub sentence: String,
    /// The event that made it happen.
    pub cause: Option<Event>,
    /// That in a sentence.
    pub cause_sentence: Option<String>,
}

/// What came of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Compared {
    /// All that was made came out the same.
    Same,
    /// The runs part here.
    Differ(Box<Difference>),
}

/// Makes both runs again and looks for the first event that differs between any
/// two of them.
///
/// # Errors
/// If one of them ends without a verdict.
pub fn compare(
    runner: &impl Runner,
    first: &Side<'_>,
    second: &Side<'_>,
) -> Result<Compared, RunFailure> {
    let mut window = window(&first.checkpoints, &second.checkpoints);
    let mut made: Vec<Run> = Vec::new();
    let mut tries = 0;
    while tries < TRIES {
        let side = if tries % 2 == 0 { first } else { second };
        tries += 1;
        let run = traced(runner, side, window)?;
        let parted = made
            .iter()
            .find_map(|other| earlier(&other.checkpoints, &run.checkpoints, window));
        if let Some(earlier) = parted {
            // It comes and goes, and this time it came earlier. What was traced
            // until now, this run too, was traced in another window.
            window = earlier;
            made.clear();
            continue;
        }
        // The first side's version comes first, whichever was made first.
        for other in &made {
            let (a, b) = if tries % 2 == 0 {
                (other, &run)
            } else {
                (&run, other)
            };
            if let Some(at) = part(&a.trace, &b.trace) {
                return Ok(Compared::Differ(Box::new(difference(a, b, at, window))));
            }
        }
        made.push(run);
        if tries == 2 && !same_thing(first, second) {
            break;
        }
    }
    Ok(Compared::Same)
}

/// Compares a run of a sweep with one that should have been the same.
///
/// # Errors
/// As [`compare`].
pub fn locate(
    runner: &impl Runner,
    scenario: &Scenario,
    seed: u64,
    options: &RunOptions,
    runs: [&Run; 2],
) -> Result<Compared, RunFailure> {
    let [first, second] = runs.map(|run| Side {
        scenario,
        seed,
        options: options.clone(),
        checkpoints: run.checkpoints.clone(),
    });
    compare(runner, &first, &second)
}

/// Whether two sides are the same run by right: then nothing may differ.
pub fn same_thing(first: &Side<'_>, second: &Side<'_>) -> bool {
    let schedules = (&first.options.follow, &second.options.follow);
    first.scenario.to_toml() == second.scenario.to_toml()
        && first.seed == second.seed
        && sweep::bug_names(first.options.bugs) == sweep::bug_names(second.options.bugs)
        && match schedules {
            (Some(a), Some(b)) => a == b,
            // What is not followed is drawn from the same seed.
            _ => true,
        }
}

/// The stretch in which two chains part.
fn window(first: &[Checkpoint], second: &[Checkpoint]) -> Window {
    let mut after = 0;
    for (a, b) in common(first, second) {
        if a.hash != b.hash {
            let upto = a.seq;
            return Window { after, upto };
        }
        after = a.seq;
    }
    let upto = after + TAIL_MAX;
    Window { after, upto }
}

/// The stretch in which two runs part, if that is before `window`.
fn earlier(first: &[Checkpoint], second: &[Checkpoint], than: Window) -> Option<Window> {
    let parts = common(first, second).any(|(a, b)| a.seq <= than.after && a.hash != b.hash);
    parts.then(|| window(first, second))
}

/// The checkpoints at events that both have one at.
fn common<'a>(
    first: &'a [Checkpoint],
    second: &'a [Checkpoint],
) -> impl Iterator<Item = (&'a Checkpoint, &'a Checkpoint)> {
    first.iter().filter_map(|a| {
        let b = second.binary_search_by_key(&a.seq, |b| b.seq).ok()?;
        Some((a, &second[b]))
    })
}

fn traced(runner: &impl Runner, side: &Side<'_>, window: Window) -> Result<Run, RunFailure> {
    let options = RunOptions {
        // For the causes, which may lie far back.
        record: true,
        trace: Some(window),
        ..side.options.clone()
    };
    guarded(runner, side.scenario, side.seed, &options)
}

/// The first place at which two traces of the same window differ.
fn part(first: &[Traced], second: &[Traced]) -> Option<usize> {
    let shorter = first.len().min(second.len());
    let differs = |&at: &usize| first[at].hash != second[at].hash || first[at] != second[at];
    (0..shorter)
        .find(differs)
        .or_else(|| (first.len() != second.len()).then_some(shorter))
}

fn difference(first: &Run, second: &Run, at: usize, window: Window) -> Difference {
    let (a, b) = (first.trace.get(at), second.trace.get(at));
    let agreed = first.checkpoints.iter().rfind(|p| p.seq <= window.after);
    Difference {
        agreed: agreed.copied(),
        window,
        first: a.map(|traced| version(traced, first)),
        second: b.map(|traced| version(traced, second)),
        respects: respects(a, b),
    }
}

fn version(traced: &Traced, run: &Run) -> Version {
    let cause = traced.event.cause.and_then(|seq| {
        let at = run.events.binary_search_by_key(&seq, |event| event.seq);
        at.ok().map(|at| run.events[at].clone())
    });
    Version {
        sentence: describe_event(&traced.event),
        cause_sentence: cause.as_ref().map(describe_event),
        event: traced.event.clone(),
        cause,
    }
}

/// In which respects two versions of an event differ.
fn respects(first: Option<&Traced>, second: Option<&Traced>) -> Vec<String> {
    let (a, b) = match (first, second) {
        (Some(a), Some(b)) => (a, b),
        (Some(_), None) => return vec!["the second run has ended before it".into()],
        (None, Some(_)) => return vec!["the first run has ended before it".into()],
        (None, None) => return Vec::new(),
    };
    let mut respects = Vec::new();
    if a.event.t != b.event.t {
        let apart = a.event.t.abs_diff(b.event.t);
        respects.push(format!("its time: {apart} ns apart"));
    }
    if a.event.node != b.event.node {
        respects.push("the member".into());
    }
    if a.event.kind != b.event.kind {
        respects.push("what happened".into());
    }
    if a.event.cause != b.event.cause {
        respects.push("its cause".into());
    }
    let parts = a.parts.iter().zip(&b.parts).find(|(a, b)| a != b);
    match parts {
        Some((a, b)) => respects.push(parts_differ(a, b)),
        None if a.parts.len() != b.parts.len() => {
            let more = if a.parts.len() > b.parts.len() {
                &a.parts
            } else {
                &b.parts
            };
            let part = &more[a.parts.len().min(b.parts.len())];
            respects.push(format!("only one of them comes after {}", named(part)));
        }
        None => {}
    }
    respects
}

fn parts_differ(a: &Part, b: &Part) -> String {
    if (a.what, a.of) != (b.what, b.of) {
        return format!("{} in the first, {} in the second", named(a), named(b));
    }
    let at = a
        .bytes
        .iter()
        .zip(&b.bytes)
        .take_while(|(a, b)| a == b)
        .count();
    let mut text = format!("{}, from byte {at} on", named(a));
    for (which, part) in [("first", a), ("second", b)] {
        let end = part.bytes.len().min(at + SHOWN);
        let shown = part.bytes[at.min(end)..end].escape_ascii();
        let more = if end < part.bytes.len() { ".." } else { "" };
        let _ = write!(text, "; {which}: \"{shown}\"{more}");
    }
    text
}

/// What a hashed part is.
fn named(part: &Part) -> String {
    let of = part.of;
    match part.what {
        PartKind::Message => format!(
            "the bytes of a message from n{} to n{}",
            of >> 32,
            of as u32
        ),
        PartKind::Arrival => format!("whether message {of} is taken in"),
        PartKind::Call => format!("the bytes of the call of operation #{of}"),
        PartKind::Answer => format!("the bytes of the answer to operation #{of}"),
        PartKind::Outcome => format!("the outcome of operation #{of}"),
        PartKind::Disk => format!("what n{of} did on its disk"),
        PartKind::State => format!("the state of n{of} after an entry"),
        PartKind::Mark => format!("a mark of n{of}"),
    }
}

impl Difference {
    /// The difference in one sentence.
    pub fn sentence(&self) -> String {
        let (number, t) = match self.first.as_ref().or(self.second.as_ref()) {
            Some(version) => (version.event.seq, version.event.t),
            None => return "they differ".into(),
        };
        let says = |version: &Option<Version>| match version {
            Some(version) => version.sentence.clone(),
            None => "nothing, it has ended".to_owned(),
        };
        let (first, second) = (says(&self.first), says(&self.second));
        let what = match first == second {
            false => format!("\"{first}\" in one, \"{second}\" in the other"),
            true => format!(
                "\"{first}\" in both, but not {}",
                self.respects.join(", nor ")
            ),
        };
        format!(
            "event #{number} at {} is the first that differs: {what}",
            seconds(t)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(hashes: &[(u64, u64)]) -> Vec<Checkpoint> {
        let point = |&(seq, hash)| Checkpoint { seq, t: seq, hash };
        hashes.iter().map(point).collect()
    }

    #[test]
    fn the_window_lies_between_the_last_checkpoint_in_common_and_the_first_that_differs() {
        let a = chain(&[(64, 1), (128, 2), (192, 3), (256, 4)]);
        let b = chain(&[(64, 1), (128, 2), (192, 9), (256, 8)]);
        assert_eq!(
            window(&a, &b),
            Window {
                after: 128,
                upto: 192
            }
        );
        // A longer run has a checkpoint only at every other place.
        let sparse = chain(&[(128, 2), (256, 8), (384, 7)]);
        assert_eq!(
            window(&a, &sparse),
            Window {
                after: 128,
                upto: 256
            }
        );
        assert_eq!(window(&a, &a).after, 256);
        let apart = chain(&[(64, 5)]);
        assert_eq!(window(&a, &apart), Window { after: 0, upto: 64 });
    }
}
