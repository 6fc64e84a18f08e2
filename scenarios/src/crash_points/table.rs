//! What a sweep did, counted.

use super::moments::Moment;
use crate::sweep::Judged;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// What a sweep did, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Disk operations of the run without crashes, all members together.
    pub operations: usize,
    /// Moments to crash at that the run has...
    pub moments: usize,
    /// ... and those of them that were left out because so many were not asked for.
    pub moments_left_out: usize,
    /// Images that differ by one unsynced change from all lost or all kept, and
    /// were not tried: `--images` bounds them.
    pub images_left_out: u64,
    /// Recoveries that do different things.
    pub recovery_shapes: usize,
    /// Runs that crashed once, and twice.
    pub crashed: [u64; 2],
    /// Runs that failed.
    pub failed: u64,
    /// It ended before everything was tried.
    pub unfinished: bool,
    rows: BTreeMap<(&'static str, String), Row>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Row {
    runs: u64,
    failed: u64,
}

impl Table {
    pub(super) fn count(&mut self, moments: &[Moment], judged: &Judged) {
        let Some(last) = moments.last() else { return };
        let failed = u64::from(judged.summary.failure().is_some());
        self.crashed[usize::from(moments.len() > 1)] += 1;
        self.failed += failed;
        let row = self.rows.entry(last.row()).or_default();
        row.runs += 1;
        row.failed += failed;
    }

    /// Whether something that was asked for was not tried.
    pub fn is_partial(&self) -> bool {
        self.unfinished || self.moments_left_out > 0
    }

    /// How many runs crashed while a member did this.
    pub fn runs_of(&self, work: &str) -> u64 {
        let rows = self.rows.iter().filter(|((w, _), _)| *w == work);
        rows.map(|(_, row)| row.runs).sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        writeln!(
            text,
            "  {:<30} {:<12} {:>7} {:>7}",
            "crashed at", "", "runs", "failed"
        )?;
        for ((work, step), row) in &self.rows {
            let failed = match row.failed {
                0 => "-".to_owned(),
                n => n.to_string(),
            };
            writeln!(text, "  {work:<30} {step:<12} {:>7} {failed:>7}", row.runs)?;
        }
        writeln!(
            text,
            "\n  {} disk operations, {} moments to crash at; {} runs crashed once, {} again in their \
             recovery ({} recoveries of different shape)",
            self.operations, self.moments, self.crashed[0], self.crashed[1], self.recovery_shapes
        )?;
        if self.images_left_out > 0 {
            writeln!(
                text,
                "  {} further images, each with one unsynced change alone lost or kept, were not \
                 tried: --images bounds how many are",
                self.images_left_out
            )?;
        }
        if self.moments_left_out > 0 {
            writeln!(
                text,
                "  {} moments were left out: drop --points to try them",
                self.moments_left_out
            )?;
        }
        if self.unfinished {
            writeln!(text, "  the sweep ended before everything was tried")?;
        }
        f.write_str(&text)
    }
}
