//! One line on stderr that says how far a sweep is, while somebody watches.

use super::console::Console;
use std::time::{Duration, Instant};

/// How often the line is drawn at most.
const EVERY: Duration = Duration::from_millis(100);
const ERASE: &str = "\r\x1b[K";

pub(super) struct Progress {
    shown: bool,
    started: Instant,
    drawn: Option<Instant>,
    planned: Option<u64>,
    runs: u64,
    failed: u64,
}

impl Progress {
    pub(super) fn new(planned: Option<u64>) -> Progress {
        Progress {
            shown: false,
            started: Instant::now(),
            drawn: None,
            planned,
            runs: 0,
            failed: 0,
        }
    }

    /// Starts to count again, for the next sweep of the same command.
    pub(super) fn restart(&mut self, planned: Option<u64>) {
        self.planned = planned;
        self.runs = 0;
        self.failed = 0;
    }

    /// Wall time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// A run ended.
    pub(super) fn run(&mut self, console: &mut Console<'_>, name: &str, failed: bool) {
        self.runs += 1;
        self.failed += u64::from(failed);
        if !console.live() || self.drawn.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        self.shown = true;
        let runs = match self.planned {
            Some(n) => format!("{} of {n} runs", self.runs),
            None => format!("{} runs", self.runs),
        };
        let failed = match self.failed {
            0 => String::new(),
            n => format!(", {n} failed"),
        };
        let seconds = self.started.elapsed().as_secs();
        let line = format!("{runs}{failed}  {seconds} s  {name}");
        let room = console.width().saturating_sub(1);
        let line: String = line.chars().take(room).collect();
        console.narrate(&format!("{ERASE}{line}"));
    }

    /// Makes room for other text.
    pub(super) fn clear(&mut self, console: &mut Console<'_>) {
        if self.shown {
            console.narrate(ERASE);
            self.shown = false;
        }
    }
}
