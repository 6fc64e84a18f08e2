//! From judged runs to events, run directories, and one result.

use super::console::{Console, quoted};
use super::progress::Progress;
use super::select::Selected;
use super::{Complaint, Format};
use crate::rundir::{Leaving, RunDirs, said};
use crate::sweep::Judged;
use squall_ci::{Exit, Keep, Settings, headline, worst};
use squall_record::Event;
use squall_reports::{
    Document, ExitInfo, Explanation, Finding, Finished, Hunted, Replayed, RunFinished, Started,
    SweepEvent, Totals, screen, timeline,
};
use std::path::Path;

/// Takes what a command learns, in order; says it as it goes, and in the end.
pub(super) struct Reporter<'c, 'o> {
    console: &'c mut Console<'o>,
    format: Format,
    progress: Progress,
    totals: Totals,
    exit: Exit,
    dirs: Option<(RunDirs, Keep)>,
    overrides: Vec<String>,
    /// The command that runs it again, if there is a better one than scenario
    /// and seed.
    replay: Option<String>,
    /// What a document is to show of the run itself.
    events: Option<Vec<Event>>,
}

impl<'c, 'o> Reporter<'c, 'o> {
    pub(super) fn new(
        console: &'c mut Console<'o>,
        format: Format,
        started: Started,
        overrides: &[String],
    ) -> Reporter<'c, 'o> {
        let mut reporter = Reporter {
            console,
            format,
            progress: Progress::new(started.planned()),
            totals: Totals::default(),
            exit: Exit::Pass,
            dirs: None,
            overrides: overrides.to_vec(),
            replay: None,
            events: None,
        };
        reporter.totals.take(&SweepEvent::Started(started));
        reporter
    }

    /// Keeps run directories from now on.
    pub(super) fn keep(mut self, settings: &Settings) -> Self {
        let dirs = RunDirs::new(&settings.out, settings.keep_runs);
        self.dirs = Some((dirs, settings.keep));
        self
    }

    /// What is run again is this run directory.
    pub(super) fn replaying(&mut self, dir: &str) {
        let program = self.console.program();
        self.replay = Some(format!("{program} replay {}", quoted(dir)));
    }

    /// The runs that follow are made by another command than scenario and seed.
    pub(super) fn replay_with(&mut self, arguments: &str) {
        let program = self.console.program();
        self.replay = Some(format!("{program} replay {arguments}"));
    }

    /// Shows data that is no part of the result, before it.
    pub(super) fn show(&mut self, text: &str) {
        self.progress.clear(self.console);
        if self.format == Format::Human {
            self.console.print(text);
        }
    }

    /// Runs that failed so far.
    pub(super) fn failed(&self) -> u64 {
        self.totals.all().fail
    }

    /// Takes the next judged run.
    pub(super) fn judged(&mut self, judged: Judged, selected: &Selected) {
        self.exit = worst([self.exit, judged.exit]);
        let name = format!("{}@{}", judged.summary.scenario, judged.summary.seed);
        let failed = judged.summary.failure().is_some();
        self.progress.run(self.console, &name, failed);
        if let Some(difference) = &judged.difference {
            let program = self.console.program();
            let replay = replay_command(program, &judged.summary, selected, &self.overrides);
            let diff = replay.replacen(" replay ", " diff ", 1);
            self.warn(format!("{name}: {}: {diff}", difference.sentence()));
        }

        let mut explanation = self.explain(&judged, selected);
        let run_dir = self.leave(&judged, selected, &mut explanation);
        let Judged {
            summary,
            reproduced,
            ..
        } = judged;
        let finished = RunFinished {
            summary,
            reproduced,
        };
        self.totals
            .take(&SweepEvent::RunFinished(Box::new(finished)));
        if let Some(explanation) = explanation {
            let line = format!(
                "FAIL {name}  {}: {}",
                explanation.check, explanation.sentence
            );
            self.say(&line);
            let finding = Finding {
                fingerprint: explanation.fingerprint.clone(),
                run_dir,
                explanation,
            };
            self.totals.take(&SweepEvent::Finding(Box::new(finding)));
        }
    }

    /// Begins to count the runs of another sweep.
    pub(super) fn next_sweep(&mut self, planned: Option<u64>) {
        self.progress.restart(planned);
    }

    /// Takes a run of a hunt, which is expected to fail: it counts as nothing
    /// unless squall itself is at fault.
    pub(super) fn hunting(&mut self, judged: &Judged) {
        let name = format!(
            "{} in {}@{}",
            judged.summary.bugs.join(", "),
            judged.summary.scenario,
            judged.summary.seed
        );
        self.progress.run(self.console, &name, false);
        if matches!(judged.exit, Exit::Internal | Exit::Nondeterminism) {
            self.exit = worst([self.exit, judged.exit]);
            self.warn(format!("hunting {name}: {}", judged.exit.meaning()));
        }
    }

    /// Takes the end of a hunt.
    pub(super) fn hunted(&mut self, hunted: Hunted) {
        if hunted.seed.is_none() {
            self.worsen(Exit::NotHit);
        }
        self.totals.take(&SweepEvent::Hunted(hunted));
    }

    /// Takes the comparison of a run with its record.
    pub(super) fn replayed(&mut self, replayed: Replayed) {
        if !replayed.same() {
            self.worsen(Exit::Nondeterminism);
        }
        self.totals.take(&SweepEvent::Replayed(replayed));
    }

    /// Something that changes no verdict: said at once, and in the result.
    pub(super) fn warn(&mut self, text: String) {
        let event = SweepEvent::Warning { text };
        self.totals.take(&event);
    }

    /// Makes the exit at least as bad as `exit`.
    pub(super) fn worsen(&mut self, exit: Exit) {
        self.exit = worst([self.exit, exit]);
    }

    /// Shows every event of a run up to `until`: before the result for people,
    /// in the document for programs.
    pub(super) fn timeline(&mut self, events: &[Event], until: u64) {
        self.progress.clear(self.console);
        match self.format {
            Format::Human => {
                let mut text = timeline(events, Some(until));
                text.push('\n');
                self.console.print(&text);
            }
            Format::Json => {
                let until = events.iter().take_while(|event| event.t <= until);
                self.events = Some(until.cloned().collect());
            }
        }
    }

    /// Says the result. `next` are commands worth typing, given how it went.
    pub(super) fn finish(
        mut self,
        stopped: Option<String>,
        next: impl FnOnce(&str, &Totals, Exit) -> Vec<(String, String)>,
    ) -> Result<Exit, Complaint> {
        if self.totals.all().runs == 0 {
            self.worsen(Exit::NothingSelected);
        }
        let finished = Finished {
            wall_ms: u64::try_from(self.progress.elapsed().as_millis()).unwrap_or(u64::MAX),
            exit: ExitInfo {
                code: self.exit.code(),
                meaning: self.exit.meaning().into(),
            },
            stopped,
        };
        self.totals.take(&SweepEvent::Finished(finished));
        self.progress.clear(self.console);
        let text = match self.format {
            Format::Human => {
                let next = next(self.console.program(), &self.totals, self.exit);
                screen(&self.totals, &next, self.console.width())
            }
            Format::Json => {
                let document = Document::of(&self.totals);
                match &self.events {
                    Some(events) => document.with_timeline(events).render(),
                    None => document.render(),
                }
            }
        };
        self.console.print(&text);
        Ok(self.exit)
    }

    fn explain(&self, judged: &Judged, selected: &Selected) -> Option<Explanation> {
        let check = headline(&judged.summary)?;
        let events = judged.run.as_ref().map_or(&[][..], |run| &run.events);
        let replay = match &self.replay {
            Some(replay) => replay.clone(),
            None => {
                let program = self.console.program();
                replay_command(program, &judged.summary, selected, &self.overrides)
            }
        };
        Explanation::of(&judged.summary, check, events, &replay)
    }

    /// Writes the run directory, if this run is one to keep. Failing to is a
    /// warning, and changes no verdict.
    fn leave(
        &mut self,
        judged: &Judged,
        selected: &Selected,
        explanation: &mut Option<Explanation>,
    ) -> Option<String> {
        let (dirs, keep) = self.dirs.as_ref()?;
        if explanation.is_none() && *keep == Keep::Failed {
            return None;
        }
        let leaving = Leaving {
            scenario: &selected.scenario,
            summary: &judged.summary,
            run: judged.run.as_deref(),
            explanation: explanation.as_ref(),
            exit: judged.exit.code(),
        };
        match dirs.write(&leaving) {
            Ok(path) => {
                let dir = path.display().to_string();
                if let Some(explanation) = explanation {
                    let program = self.console.program();
                    let replay = format!("{program} replay {}", quoted(&dir));
                    explanation.commands.replay_recorded = Some(replay);
                }
                Some(dir)
            }
            Err(e) => {
                let out = dirs.root().display();
                self.warn(format!("a run could not be kept in {out}: {}", said(&e)));
                None
            }
        }
    }

    /// Narration while a sweep goes on. Of a single run, the result says it all.
    fn say(&mut self, line: &str) {
        if !self.console.live() || self.totals.started.planned() != Some(1) {
            self.progress.clear(self.console);
            self.console.narrate(&format!("{line}\n"));
        }
    }
}

/// The command that runs it again, anywhere.
fn replay_command(
    program: &str,
    summary: &squall_record::Summary,
    selected: &Selected,
    overrides: &[String],
) -> String {
    let run = format!("{}@{}", selected.source, summary.seed);
    let mut command = format!("{program} replay '{}'", run.replace('\'', r"'\''"));
    for bug in &summary.bugs {
        command.push_str(&format!(" --bug {bug}"));
    }
    for value in overrides {
        command.push_str(&format!(" --set {}", quoted(value)));
    }
    command
}

/// A path, if it is one that a run directory could have.
pub(super) fn is_path(word: &str) -> bool {
    Path::new(word).is_dir()
}
