//! Counting: the fold that every report starts with.

use crate::event::{Finding, Finished, Hunted, Replayed, RunVerdict, Started, SweepEvent};
use crate::service::Service;
use serde::Serialize;
use squall_record::{Resources, Stats, Suspended, Verdict};

/// How many different findings are kept. Of further kinds only the number is
/// known, so that a sweep of any length stays small.
const FINDINGS_MAX: usize = 64;
/// How many different reasons and warnings are kept.
const TEXTS_MAX: usize = 64;

/// A sweep in numbers, plus what is worth reading. Does not grow with the
/// number of runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Totals {
    /// What was planned.
    pub started: Started,
    /// Per scenario, in the order in which they ran.
    pub scenarios: Vec<Tally>,
    /// The first finding of each kind, with how often the kind was seen.
    pub findings: Vec<Counted<Finding>>,
    /// Findings of kinds beyond those that are kept.
    pub findings_left_out: u64,
    /// Hunts for planted bugs.
    pub hunts: Vec<Hunted>,
    /// Why runs proved nothing: each kind of reason, and which runs gave it.
    pub inconclusive: Vec<Unproved>,
    /// Checks that were not asked for, by what took away what they rest on.
    pub suspended: Vec<SuspendedBy>,
    /// How writes got through.
    pub service: Service,
    /// What it all cost.
    pub resources: Resources,
    /// Runs whose second run differed, as `scenario@seed`.
    pub nondeterministic: Vec<String>,
    /// Runs that were run twice.
    pub reproduced: u64,
    /// The comparison with a record, if there was one.
    pub replayed: Option<Replayed>,
    /// What people should know.
    pub warnings: Vec<String>,
    /// How it ended; `None` while it goes on.
    pub finished: Option<Finished>,
}

/// Something, and how often there was something of its kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Counted<T> {
    /// How often.
    pub runs: u64,
    /// The first of them.
    #[serde(flatten)]
    pub first: T,
}

/// Runs that proved nothing for the same reason, numbers aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unproved {
    /// The reason that the first of them gave.
    pub reason: String,
    /// How many.
    pub runs: u64,
    /// The first of them, as `scenario@seed`.
    pub first: String,
}

/// Checks that one kind of fault suspended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SuspendedBy {
    /// Which fault, and what it did: in the first of the runs.
    pub why: String,
    /// In how many runs.
    pub runs: u64,
    /// How many checks, in all of them.
    pub checks: u64,
    /// How many of them would have failed.
    pub would_fail: u64,
}

/// The counts of one scenario, or of all.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Tally {
    /// The scenario's name.
    pub scenario: String,
    /// Runs that were judged.
    pub runs: u64,
    /// Runs in which every check passed.
    pub pass: u64,
    /// Runs in which a check failed.
    pub fail: u64,
    /// Runs that proved nothing.
    pub inconclusive: u64,
    /// Operations in runs whose history was decided, one way or the other.
    pub operations_checked: u64,
    /// Everything that was counted in the runs, summed.
    pub stats: Stats,
}

impl Totals {
    /// Takes the next event.
    pub fn take(&mut self, event: &SweepEvent) {
        match event {
            SweepEvent::Started(started) => self.started = started.clone(),
            SweepEvent::RunFinished(run) => self.take_run(run),
            SweepEvent::Finding(finding) => self.take_finding(finding),
            SweepEvent::Hunted(hunted) => self.hunts.push(hunted.clone()),
            SweepEvent::Replayed(replayed) => self.replayed = Some(replayed.clone()),
            SweepEvent::Warning { text } => {
                if self.warnings.len() < TEXTS_MAX && !self.warnings.contains(text) {
                    self.warnings.push(text.clone());
                }
            }
            SweepEvent::Finished(finished) => self.finished = Some(finished.clone()),
        }
    }

    /// The sum over all scenarios.
    pub fn all(&self) -> Tally {
        let mut all = Tally::default();
        for tally in &self.scenarios {
            all.add(tally);
        }
        all
    }

    fn take_run(&mut self, run: &crate::RunFinished) {
        let name = &run.summary.scenario;
        let known = self.scenarios.iter().position(|t| &t.scenario == name);
        let at = known.unwrap_or_else(|| {
            self.scenarios.push(Tally {
                scenario: name.clone(),
                ..Tally::default()
            });
            self.scenarios.len() - 1
        });
        let tally = &mut self.scenarios[at];
        tally.runs += 1;
        match run.verdict() {
            RunVerdict::Pass => tally.pass += 1,
            RunVerdict::Fail => tally.fail += 1,
            RunVerdict::Inconclusive => tally.inconclusive += 1,
        }
        let stats = &run.summary.stats;
        let decided = run.summary.checks.iter().any(|check| {
            check.name == "linearizable" && !matches!(check.verdict, Verdict::Unknown(_))
        });
        if decided {
            tally.operations_checked += stats.ops_ok + stats.ops_refused + stats.ops_unknown;
        }
        tally.stats.add(stats);

        if let Some(availability) = &run.summary.availability {
            let run = format!("{name}@{}", run.summary.seed);
            self.service.take(availability, &run);
        }
        self.resources.add(&run.summary.resources);
        self.take_suspended(&run.summary.suspended);
        match run.reproduced {
            Some(true) => self.reproduced += 1,
            Some(false) => {
                self.reproduced += 1;
                if self.nondeterministic.len() < TEXTS_MAX {
                    self.nondeterministic
                        .push(format!("{name}@{}", run.summary.seed));
                }
            }
            None => {}
        }
        if run.verdict() == RunVerdict::Inconclusive {
            for reason in run.reasons() {
                self.take_reason(reason, format!("{name}@{}", run.summary.seed));
            }
        }
    }

    fn take_suspended(&mut self, suspended: &[Suspended]) {
        let Some(first) = suspended.first() else {
            return;
        };
        let kind = |why: &str| why.replace(|c: char| c.is_ascii_digit(), "");
        let known = self
            .suspended
            .iter()
            .position(|by| kind(&by.why) == kind(&first.why));
        let at = match known {
            Some(at) => at,
            None if self.suspended.len() < TEXTS_MAX => {
                self.suspended.push(SuspendedBy {
                    why: first.why.clone(),
                    runs: 0,
                    checks: 0,
                    would_fail: 0,
                });
                self.suspended.len() - 1
            }
            None => return,
        };
        let by = &mut self.suspended[at];
        by.runs += 1;
        by.checks += suspended.len() as u64;
        let would_fail = suspended.iter().filter(|s| s.would_fail.is_some());
        by.would_fail += would_fail.count() as u64;
    }

    fn take_reason(&mut self, reason: String, run: String) {
        let kind = |reason: &str| reason.replace(|c: char| c.is_ascii_digit(), "");
        let known = self
            .inconclusive
            .iter_mut()
            .find(|unproved| kind(&unproved.reason) == kind(&reason));
        if let Some(unproved) = known {
            unproved.runs += 1;
        } else if self.inconclusive.len() < TEXTS_MAX {
            self.inconclusive.push(Unproved {
                reason,
                runs: 1,
                first: run,
            });
        }
    }

    fn take_finding(&mut self, finding: &Finding) {
        let kind = |f: &Finding| (f.fingerprint.clone(), f.explanation.scenario.clone());
        let known = self
            .findings
            .iter()
            .position(|counted| kind(&counted.first) == kind(finding));
        match known {
            Some(at) => self.findings[at].runs += 1,
            None if self.findings.len() < FINDINGS_MAX => self.findings.push(Counted {
                runs: 1,
                first: finding.clone(),
            }),
            None => self.findings_left_out += 1,
        }
    }
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.runs += other.runs;
        self.pass += other.pass;
        self.fail += other.fail;
        self.inconclusive += other.inconclusive;
        self.operations_checked += other.operations_checked;
        self.stats.add(&other.stats);
    }
}
