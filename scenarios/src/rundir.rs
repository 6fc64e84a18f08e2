//! Run directories: what a run leaves behind.
//!
//! ```text
//! target/squall/runs/latest -> 20261121T101502Z-leader-gray-failure-9f3c21d0
//! <run>/run.json         what ran, with which build, and what came of it
//!       scenario.toml    resolved, with every override
//!       schedule.toml    every drawn fault made concrete
//!       checkpoints.json the rolling hash along the way
//!       history.jsonl    every operation
//!       events.jsonl     every event
//!       findings/<fingerprint>/{explain.txt,witness.json}
//! ```
//!
//! A directory is written under another name and renamed, so that one that can
//! be seen is whole. The oldest are removed. Nothing here changes a verdict:
//! whoever writes turns an error into a warning.

use crate::{Scenario, Schedule};
use serde::{Deserialize, Serialize};
use squall_record::{
    Checkpoint, Event, FormatVersion, Run, Summary, Verdict, Witness, write_history, write_streams,
};
use squall_reports::Explanation;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The format of run directories that this build writes.
pub const FORMAT: FormatVersion = FormatVersion { major: 1, minor: 0 };
const KIND: &str = "squall-run";
const CHECKPOINTS: &str = "checkpoints.json";
const EVENTS_KIND: &str = "squall-events";
/// Beyond this many, the newest events are written: about 45 MB. `replay --until`
/// shows them all.
const EVENTS_MAX: usize = 300_000;
/// Wide enough that an explanation on disk is hardly ever cut.
const EXPLAIN_WIDTH: usize = 160;

/// `run.json`: what ran, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFile {
    /// `squall-run`.
    pub format: String,
    /// Of the whole directory.
    pub version: FormatVersion,
    /// Squall's version.
    pub squall: String,
    /// The commit that was checked out where it ran, if any was.
    #[serde(default)]
    pub commit: Option<String>,
    /// What was compiled in.
    #[serde(default)]
    pub features: Vec<String>,
    /// The command line.
    pub argv: Vec<String>,
    /// When it was written: UTC, as `20261121T101502Z`.
    pub written: String,
    /// What the run alone would exit with.
    pub exit: u8,
    /// The judged run: scenario, seed, bugs, checks, counts, rolling hash.
    pub summary: Summary,
}

/// A directory that holds run directories.
#[derive(Debug, Clone)]
pub struct RunDirs {
    root: PathBuf,
    keep: usize,
}

/// A run directory that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Where it is.
    pub path: PathBuf,
    /// Its `run.json`.
    pub file: RunFile,
    /// Its `scenario.toml`.
    pub scenario: Scenario,
    /// Its `checkpoints.json`; empty for a run that ended before it had any.
    pub checkpoints: Vec<Checkpoint>,
    /// Its `schedule.toml`; `None` for a run that ended before it had one.
    pub schedule: Option<Schedule>,
}

/// Why a run directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// There is none.
    #[error("there is no run {0:?}: `squall list runs` shows those that there are")]
    Missing(String),
    /// A file in it cannot be read.
    #[error("{}: cannot read: {}", path.display(), said(error))]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is a directory of something else.
    #[error("{}: not a run directory: there is no run.json in it", path.display())]
    NoRun {
        /// The directory.
        path: PathBuf,
    },
    /// It is a file.
    #[error("{}: this is a file; a run is a directory with a run.json in it", path.display())]
    NoDirectory {
        /// The file.
        path: PathBuf,
    },
    /// One of its TOML files is damaged; the message names file, line and column.
    #[error("{0}")]
    Toml(String),
    /// A file in it is damaged.
    #[error("{}: {message}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// It comes from the future.
    #[error("{}: run format {found} is newer than this build reads ({FORMAT})", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: FormatVersion,
    },
}

/// What is written of a run.
#[derive(Debug, Clone, Copy)]
pub struct Leaving<'a> {
    /// The scenario, overrides applied.
    pub scenario: &'a Scenario,
    /// The judged run.
    pub summary: &'a Summary,
    /// The run itself; a panic leaves none.
    pub run: Option<&'a Run>,
    /// Its failure, explained.
    pub explanation: Option<&'a Explanation>,
    /// What it alone would exit with.
    pub exit: u8,
}

impl RunDirs {
    /// The run directories under `root`, of which the newest `keep` stay.
    pub fn new(root: impl Into<PathBuf>, keep: usize) -> RunDirs {
        RunDirs {
            root: root.into(),
            keep: keep.max(1),
        }
    }

    /// Where they are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a run directory, points `latest` at it, and removes the oldest.
    ///
    /// # Errors
    /// Whatever the file system says. What was half written is removed.
    pub fn write(&self, leaving: &Leaving<'_>) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.root)?;
        let written = timestamp(SystemTime::now());
        let partial = self.root.join(format!(".partial-{}", std::process::id()));
        // A process that died here left it; process ids come again.
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        let result = fill(&partial, leaving, &written).and_then(|()| {
            let path = self.unused(leaving.summary, &written);
            fs::rename(&partial, &path)?;
            Ok(path)
        });
        if result.is_err() {
            let _ = fs::remove_dir_all(&partial);
        }
        let path = result?;
        self.point_latest_at(&path)?;
        self.prune()?;
        Ok(path)
    }

    /// Every run directory, the oldest first, with what its `run.json` says.
    ///
    /// # Errors
    /// If the directory exists and cannot be listed.
    pub fn list(&self) -> io::Result<Vec<(String, Result<RunFile, RunDirError>)>> {
        let names = self.names()?;
        let read = |name: String| {
            let file = read_run_file(&self.root.join(&name));
            (name, file)
        };
        Ok(names.into_iter().map(read).collect())
    }

    /// Reads a run directory: a path, or a name (or `latest`) under the root.
    ///
    /// # Errors
    /// If there is none, it is damaged, or newer than this build.
    pub fn open(&self, name: &str) -> Result<Recorded, RunDirError> {
        let given = Path::new(name);
        let places = [given.to_owned(), self.root.join(given)];
        let Some(path) = places.iter().find(|path| path.is_dir()).cloned() else {
            return Err(match places.into_iter().find(|path| path.exists()) {
                Some(path) => RunDirError::NoDirectory { path },
                None => RunDirError::Missing(name.to_owned()),
            });
        };
        if !path.join("run.json").exists() {
            return Err(RunDirError::NoRun { path });
        }
        let file = read_run_file(&path)?;

        let scenario_path = path.join("scenario.toml");
        let text = read_text(&scenario_path)?;
        let scenario = Scenario::parse(&scenario_path.display().to_string(), &text)
            .map_err(|e| RunDirError::Toml(e.to_string()))?;

        let schedule_path = path.join("schedule.toml");
        let schedule = if schedule_path.exists() {
            let text = read_text(&schedule_path)?;
            let source = schedule_path.display().to_string();
            let schedule = Schedule::parse(&source, &text);
            Some(schedule.map_err(|e| RunDirError::Toml(e.to_string()))?)
        } else {
            None
        };
        let checkpoints = read_checkpoints(&path)?;
        Ok(Recorded {
            path,
            checkpoints,
            file,
            scenario,
            schedule,
        })
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(names),
            Err(e) => return Err(e),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_run_name(&name) && entry.path().join("run.json").is_file() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// A name nobody has yet: the same run may end twice in one second.
    fn unused(&self, summary: &Summary, written: &str) -> PathBuf {
        let hash = summary.hash.get(..8).unwrap_or("nohash");
        let name = format!("{written}-{}-{hash}", slug(&summary.scenario));
        let numbered = (2..).map(|n| self.root.join(format!("{name}-{n}")));
        std::iter::once(self.root.join(&name))
            .chain(numbered)
            .find(|path| !path.exists())
            .expect("an endless sequence of names has one that is free")
    }

    fn point_latest_at(&self, path: &Path) -> io::Result<()> {
        let name = path.file_name().unwrap_or_default();
        let latest = self.root.join("latest");
        let fresh = self.root.join(format!(".latest-{}", std::process::id()));
        let _ = fs::remove_file(&fresh);
        symlink(name.as_ref(), &fresh)?;
        fs::rename(&fresh, &latest)
    }

    /// Removes the oldest run directories, and nothing else.
    fn prune(&self) -> io::Result<()> {
        let names = self.names()?;
        let excess = names.len().saturating_sub(self.keep);
        for name in &names[..excess] {
            fs::remove_dir_all(self.root.join(name))?;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    fs::write(link, target.as_os_str().as_encoded_bytes())
}

fn fill(dir: &Path, leaving: &Leaving<'_>, written: &str) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let file = RunFile {
        format: KIND.into(),
        version: FORMAT,
        squall: env!("CARGO_PKG_VERSION").into(),
        commit: crate::commit::checked_out(),
        features: features(),
        argv: std::env::args_os()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect(),
        written: written.to_owned(),
        exit: leaving.exit,
        summary: leaving.summary.clone(),
    };
    write_json(&dir.join("run.json"), &file)?;
    fs::write(dir.join("scenario.toml"), leaving.scenario.to_toml())?;
    if let Some(run) = leaving.run {
        fs::write(dir.join("schedule.toml"), &run.schedule)?;
        write_json(&dir.join(CHECKPOINTS), &run.checkpoints)?;
        let mut history = BufWriter::new(File::create(dir.join("history.jsonl"))?);
        write_history(&mut history, &run.history)?;
        history.flush()?;
        if !run.streams.is_empty() {
            let mut streams = BufWriter::new(File::create(dir.join("streams.jsonl"))?);
            write_streams(&mut streams, &run.streams)?;
            streams.flush()?;
        }
        write_events(&dir.join("events.jsonl"), &run.events)?;
    }
    for check in &leaving.summary.checks {
        let (Verdict::Fail(witness), Some(fingerprint)) = (&check.verdict, check.fingerprint())
        else {
            continue;
        };
        let finding = dir.join("findings").join(slug(&fingerprint.0));
        fs::create_dir_all(&finding)?;
        write_witness(&finding, witness)?;
        if let Some(explanation) = leaving.explanation.filter(|e| e.check == check.name) {
            let text = squall_reports::explain(explanation, EXPLAIN_WIDTH);
            let text = anstream::adapter::strip_str(&text).to_string();
            fs::write(finding.join("explain.txt"), text)?;
            write_json(&finding.join("explain.json"), explanation)?;
        }
    }
    Ok(())
}

fn write_witness(dir: &Path, witness: &Witness) -> io::Result<()> {
    write_json(&dir.join("witness.json"), witness)
}

#[derive(Serialize)]
struct EventsHeader {
    format: &'static str,
    version: FormatVersion,
    /// How many lines follow.
    events: usize,
    /// How many older ones were left out.
    left_out: usize,
}

fn write_events(path: &Path, events: &[Event]) -> io::Result<()> {
    let left_out = events.len().saturating_sub(EVENTS_MAX);
    let mut out = BufWriter::new(File::create(path)?);
    let header = EventsHeader {
        format: EVENTS_KIND,
        version: FORMAT,
        events: events.len() - left_out,
        left_out,
    };
    serde_json::to_writer(&mut out, &header)?;
    out.write_all(b"\n")?;
    for event in &events[left_out..] {
        serde_json::to_writer(&mut out, event)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    serde_json::to_writer_pretty(&mut out, value)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Whether this build can read what is in `dir`; a directory that says nothing
/// about itself is taken as it is.
///
/// # Errors
/// If its `run.json` is damaged, or newer than this build.
pub fn readable(dir: &Path) -> Result<(), RunDirError> {
    match dir.join("run.json").exists() {
        true => read_run_file(dir).map(|_| ()),
        false => Ok(()),
    }
}

fn read_run_file(dir: &Path) -> Result<RunFile, RunDirError> {
    /// What every version has, read first: a newer one may have nothing else
    /// that this build knows.
    #[derive(Deserialize)]
    struct Head {
        format: String,
        version: FormatVersion,
    }
    let path = dir.join("run.json");
    let text = read_text(&path)?;
    let damaged = |e: serde_json::Error| RunDirError::Damaged {
        path: path.clone(),
        message: format!("not a run: {e}"),
    };
    let head: Head = serde_json::from_str(&text).map_err(damaged)?;
    if head.format != KIND {
        return Err(RunDirError::Damaged {
            message: format!("not a run: its format is {:?}, not {KIND:?}", head.format),
            path,
        });
    }
    if head.version.major > FORMAT.major {
        return Err(RunDirError::Newer {
            path,
            found: head.version,
        });
    }
    serde_json::from_str(&text).map_err(damaged)
}

fn read_checkpoints(dir: &Path) -> Result<Vec<Checkpoint>, RunDirError> {
    let path = dir.join(CHECKPOINTS);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = read_text(&path)?;
    serde_json::from_str(&text).map_err(|e| RunDirError::Damaged {
        message: format!("not a list of checkpoints: {e}"),
        path,
    })
}

fn read_text(path: &Path) -> Result<String, RunDirError> {
    fs::read_to_string(path).map_err(|error| RunDirError::Io {
        path: path.to_owned(),
        error,
    })
}

/// What an error of the file system says, without its number.
pub(crate) fn said(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    let mut text = text[..end].to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

fn features() -> Vec<String> {
    let planted = cfg!(feature = "planted-bugs").then(|| "planted-bugs".to_owned());
    planted.into_iter().collect()
}

/// Whether a directory is one of ours, by its name: `20261121T101502Z-...`.
fn is_run_name(name: &str) -> bool {
    const SHAPE: &[u8] = b"00000000T000000Z-";
    name.len() > SHAPE.len()
        && name.bytes().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            _ => byte == *shape,
        })
}

/// A file name for any text.
fn slug(text: &str) -> String {
    const LENGTH_MAX: usize = 80;
    let mut out = String::new();
    for c in text.chars().take(LENGTH_MAX) {
        if c.is_ascii_alphanumeric() || c == '_' || (c == '.' && !out.is_empty()) {
            out.push(c);
        } else if !out.ends_with('-') && !out.is_empty() {
            out.push('-');
        }
    }
    out.truncate(out.trim_end_matches(['-', '.']).len());
    if out.is_empty() {
        out.push('_');
    }
    out
}

/// UTC as `20261121T101502Z`.
fn timestamp(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    let of_day = seconds % 86_400;
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// The Gregorian date, so many days after 1970-01-01. Counts in years that
/// begin in March, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_0000_03_01: u64 = 719_468;
    const ERA: u64 = 146_097;
    let days = days + DAYS_TO_0000_03_01;
    let (era, of_era) = (days / ERA, days % ERA);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_those_of_a_calendar() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_709_251_200, "20240301T000000Z"),
            (1_795_256_102, "20261121T101502Z"),
            (4_107_542_399, "21000228T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(timestamp(time), text);
        }
    }

    #[test]
    fn only_our_own_directories_are_ever_removed() {
        assert!(is_run_name("20261121T101502Z-leader-gray-failure-9f3c21d0"));
        for name in [
            "latest",
            "src",
            "20261121T101502Z",
            "20261121-101502Z-x",
            ".partial-1",
        ] {
            assert!(!is_run_name(name), "{name}");
        }
    }

    #[test]
    fn any_text_makes_a_file_name() {
        assert_eq!(
            slug("raft.log_matching/two entries"),
            "raft.log_matching-two-entries"
        );
        assert_eq!(slug("../../etc/passwd"), "etc-passwd");
        assert_eq!(slug("\u{0}\u{1}"), "_");
        assert_eq!(slug(&"x".repeat(500)).len(), 80);
    }
}
