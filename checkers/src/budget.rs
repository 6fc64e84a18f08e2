//! Budgets: what a run may cost.

use squall_record::{Check, Fact, Resources, Verdict, Witness};

/// The guarantee, in a sentence.
pub const GUARANTEE: &str = "the cluster needs no more than the scenario's budget for what it does";

/// What may be spent, as far as it is bounded.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Budget {
    /// Messages between members for each commit.
    pub messages_per_commit: Option<f64>,
    /// Bytes of messages between members for each commit.
    pub sent_per_commit: Option<u64>,
    /// Syncs of files and directories for each commit.
    pub syncs_per_commit: Option<f64>,
    /// Bytes written into files for each commit.
    pub written_per_commit: Option<u64>,
    /// Bytes that a member's log takes on its disk.
    pub log: Option<u64>,
    /// Bytes of a snapshot that a leader sends.
    pub snapshot: Option<u64>,
    /// Messages that members have said on one stream before its client takes them.
    pub unread: Option<u64>,
}

/// One line of a budget: its name, what was spent, what may be, and the unit.
struct Line {
    name: &'static str,
    what: &'static str,
    spent: f64,
    allowed: Option<f64>,
}

/// Judges each line of a budget, a check a line: `budget.log`.
pub fn check(resources: &Resources, budget: &Budget) -> Vec<Check> {
    let each = |total| resources.per_commit(total);
    let whole = |amount: Option<u64>| amount.map(|amount| amount as f64);
    let line = |name, what, spent, allowed| Line {
        name,
        what,
        spent,
        allowed,
    };
    let lines = [
        line(
            "messages_per_commit",
            "messages between members were sent for each commit",
            each(resources.messages),
            budget.messages_per_commit,
        ),
        line(
            "sent_per_commit",
            "bytes were sent between members for each commit",
            each(resources.sent_bytes),
            whole(budget.sent_per_commit),
        ),
        line(
            "syncs_per_commit",
            "syncs were made for each commit",
            each(resources.syncs),
            budget.syncs_per_commit,
        ),
        line(
            "written_per_commit",
            "bytes were written for each commit",
            each(resources.written_bytes),
            whole(budget.written_per_commit),
        ),
        line(
            "log",
            "bytes was what a member's log took on its disk",
            resources.log_bytes as f64,
            whole(budget.log),
        ),
        line(
            "snapshot",
            "bytes was the size of a snapshot that a leader sent",
            resources.snapshot_bytes as f64,
            whole(budget.snapshot),
        ),
        line(
            "unread",
            "messages waited on one stream for its client to take them",
            resources.unread as f64,
            whole(budget.unread),
        ),
    ];
    lines
        .iter()
        .filter_map(|line| judge(resources, line))
        .collect()
}

fn judge(resources: &Resources, line: &Line) -> Option<Check> {
    let allowed = line.allowed?;
    let verdict = match line.spent <= allowed {
        true => Verdict::Pass {
            judged: resources.commits.max(1),
            unknown: 0,
        },
        false => Verdict::Fail(Box::new(Witness {
            guarantee: GUARANTEE.into(),
            sentence: format!(
                "{} {}, of {} at most",
                amount(line.spent),
                line.what,
                amount(allowed)
            ),
            t: 0,
            node: None,
            ops: Vec::new(),
            facts: vec![
                Fact::new("commits", resources.commits.to_string()),
                Fact::new(
                    "messages",
                    format!("{}, {} bytes", resources.messages, resources.sent_bytes),
                ),
                Fact::new(
                    "disks",
                    format!(
                        "{} syncs, {} bytes written",
                        resources.syncs, resources.written_bytes
                    ),
                ),
            ],
            class: line.name.into(),
        })),
    };
    Some(Check {
        name: format!("budget.{}", line.name),
        verdict,
    })
}

/// Whole numbers as such, others with two digits.
fn amount(amount: f64) -> String {
    match amount.fract() == 0.0 {
        true => format!("{amount:.0}"),
        false => format!("{amount:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::broken;

    const RESOURCES: Resources = Resources {
        commits: 100,
        messages: 950,
        sent_bytes: 20_000,
        syncs: 330,
        written_bytes: 90_000,
        log_bytes: 65_536,
        snapshot_bytes: 4_000,
        unread: 700,
    };

    #[test]
    fn what_is_spent_beyond_a_line_of_the_budget_is_said() {
        let none = Budget::default();
        #[rustfmt::skip]
        let table = [
            (none, ""),
            (Budget { messages_per_commit: Some(9.5), ..none }, ""),
            (Budget { messages_per_commit: Some(9.4), ..none }, "budget.messages_per_commit/messages_per_commit"),
            (Budget { sent_per_commit: Some(199), ..none }, "budget.sent_per_commit/sent_per_commit"),
            (Budget { syncs_per_commit: Some(3.2), ..none }, "budget.syncs_per_commit/syncs_per_commit"),
            (Budget { written_per_commit: Some(899), ..none }, "budget.written_per_commit/written_per_commit"),
            (Budget { log: Some(65_536), snapshot: Some(4_000), unread: Some(700), ..none }, ""),
            (Budget { log: Some(65_535), ..none }, "budget.log/log"),
            (Budget { snapshot: Some(3_999), ..none }, "budget.snapshot/snapshot"),
            (Budget { unread: Some(699), ..none }, "budget.unread/unread"),
        ];
        for (budget, expected) in table {
            let checks = check(&RESOURCES, &budget);
            assert_eq!(broken(&checks).join(" "), expected, "{budget:?}");
        }
        let budget = Budget {
            syncs_per_commit: Some(3.25),
            ..none
        };
        let checks = check(&RESOURCES, &budget);
        let Verdict::Fail(witness) = &checks[0].verdict else {
            panic!("{checks:?}");
        };
        assert_eq!(
            witness.sentence,
            "3.30 syncs were made for each commit, of 3.25 at most"
        );
    }
}
