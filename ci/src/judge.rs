//! From verdicts to an exit: by the check's name, never by its text.

use crate::{Exit, worst};
use squall_record::{Check, Summary, Verdict};

/// The exit that one check deserves. What a failure means depends on what the
/// check guards: `available`, `recovers` and `liveness` are promises of
/// progress, `reached` says whether a run exercised what it was made for, and
/// everything else is safety.
pub fn exit_of_check(check: &Check) -> Exit {
    match &check.verdict {
        Verdict::Pass { .. } => Exit::Pass,
        Verdict::Unknown(_) => Exit::Inconclusive,
        Verdict::Fail(_) => match family(&check.name) {
            "available" | "recovers" | "liveness" => Exit::Liveness,
            "reached" => Exit::NotHit,
            _ => Exit::Violation,
        },
    }
}

/// The exit that a run deserves: the worst of its checks, and inconclusive if
/// the run proves nothing although they pass.
pub fn judge(summary: &Summary) -> Exit {
    let unproved = !summary.inconclusive.is_empty() || summary.checks.is_empty();
    let run = if unproved {
        Exit::Inconclusive
    } else {
        Exit::Pass
    };
    worst(summary.checks.iter().map(exit_of_check).chain([run]))
}

/// The failed check that a run should be remembered by: the first of the worst.
pub fn headline(summary: &Summary) -> Option<&Check> {
    let failed = |check: &&Check| matches!(check.verdict, Verdict::Fail(_));
    let worst = worst(summary.checks.iter().filter(failed).map(exit_of_check));
    summary
        .checks
        .iter()
        .filter(failed)
        .find(|check| exit_of_check(check) == worst)
}

/// `recovers.after_fault` belongs to `recovers`.
fn family(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_record::{Reason, Resources, Stats, Witness};

    fn check(name: &str, verdict: Verdict) -> Check {
        Check {
            name: name.into(),
            verdict,
        }
    }

    fn fail() -> Verdict {
        Verdict::Fail(Box::new(Witness {
            guarantee: "a promise".into(),
            sentence: "it was broken".into(),
            t: 1,
            node: None,
            ops: Vec::new(),
            facts: Vec::new(),
            class: "broken".into(),
        }))
    }

    fn summary(checks: Vec<Check>) -> Summary {
        Summary {
            scenario: "s".into(),
            seed: 1,
            bugs: Vec::new(),
            world: "madsim".into(),
            hash: "00".into(),
            checks,
            inconclusive: Vec::new(),
            suspended: Vec::new(),
            stops: Vec::new(),
            availability: None,
            resources: Resources::default(),
            stats: Stats::default(),
        }
    }

    const PASS: Verdict = Verdict::Pass {
        judged: 9,
        unknown: 1,
    };

    #[test]
    fn a_failed_check_is_judged_by_what_it_guards() {
        for (name, exit) in [
            ("linearizable", Exit::Violation),
            ("raft.election_safety", Exit::Violation),
            ("availableish", Exit::Violation),
            ("available", Exit::Liveness),
            ("recovers.every_fault", Exit::Liveness),
            ("liveness", Exit::Liveness),
            ("reached", Exit::NotHit),
        ] {
            assert_eq!(exit_of_check(&check(name, fail())), exit, "{name}");
        }
    }

    #[test]
    fn unknown_is_never_pass() {
        let unknown = Verdict::Unknown(Reason::TooLittle("no reads".into()));
        let run = summary(vec![check("linearizable", PASS), check("raft", unknown)]);
        assert_eq!(judge(&run), Exit::Inconclusive);
        assert_eq!(judge(&summary(Vec::new())), Exit::Inconclusive);
        let mut run = summary(vec![check("linearizable", PASS)]);
        assert_eq!(judge(&run), Exit::Pass);
        run.inconclusive.push("no fault fired".into());
        assert_eq!(judge(&run), Exit::Inconclusive);
        run.checks.push(check("recovers", fail()));
        assert_eq!(judge(&run), Exit::Liveness);
        run.checks.push(check("raft.log_matching", fail()));
        assert_eq!(judge(&run), Exit::Violation);
        assert_eq!(headline(&run).unwrap().name, "raft.log_matching");
    }
}
