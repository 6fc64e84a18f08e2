//! Budgets that are spent, and threads, which change nothing.

use super::draw::{correct, histories};
use super::{KINDS, ONE};
use crate::generic::decide::decide;
use crate::generic::{Action, History, Kind, Operation};
use crate::linearizable::Budget;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use squall_record::{Reason, Verdict};
use std::num::NonZero;

/// Many small histories as one, each with keys of its own, one after another.
fn side_by_side(kind: Kind, parts: usize, bad: &[usize]) -> History {
    let mut runner = TestRunner::deterministic();
    let mut ops = Vec::new();
    for part in 0..parts {
        let history = if bad.contains(&part) {
            loop {
                let drawn = histories(kind).new_tree(&mut runner).expect("no filter");
                let drawn = drawn.current();
                if !super::brute_force(&drawn) {
                    break drawn;
                }
            }
        } else {
            let drawn = correct(kind).new_tree(&mut runner).expect("no filter");
            drawn.current()
        };
        for mut op in history.ops {
            op.process += 100 * part as u64;
            op.line += 7 * part as u64;
            op.ret = op.ret.map(|ret| ret + 7 * part as u64);
            rename(&mut op.action, part);
            ops.push(op);
        }
    }
    ops.sort_by_key(|op| op.line);
    History { kind, ops }
}

fn rename(action: &mut Action, part: usize) {
    use crate::generic::Micro;
    let rename = |key: &mut String| *key = format!("{key} of {part}");
    match action {
        Action::Read { key, .. }
        | Action::Write { key, .. }
        | Action::Cas { key, .. }
        | Action::Get { key, .. }
        | Action::Put { key, .. }
        | Action::Append { key, .. } => rename(key),
        Action::Txn(steps) => steps.iter_mut().for_each(|step| match step {
            Micro::Read { key, .. } | Micro::Append { key, .. } => rename(key),
        }),
    }
}

#[test]
fn threads_change_nothing_wherever_the_bad_part_is() {
    for kind in KINDS {
        for bad in [&[][..], &[0], &[17], &[39], &[3, 30], &[30, 3, 12]] {
            let history = side_by_side(kind, 40, bad);
            let alone = decide(&history, Budget::default(), ONE);
            assert_eq!(alone.core.is_empty(), bad.is_empty(), "{kind:?} {bad:?}");
            for threads in [2, 3, 8, 100] {
                let threads = NonZero::new(threads).expect("at least one");
                let together = decide(&history, Budget::default(), threads);
                assert_eq!(together, alone, "{kind:?} {bad:?} on {threads} threads");
            }
        }
    }
}

#[test]
fn threads_change_nothing_where_the_budget_is_too_small() {
    for kind in KINDS {
        let history = side_by_side(kind, 30, &[]);
        for budget in [
            Budget {
                steps: 0,
                bytes: 1 << 20,
            },
            Budget {
                steps: 40,
                bytes: 1 << 20,
            },
            Budget {
                steps: 90,
                bytes: 1 << 20,
            },
            Budget {
                steps: 1_000,
                bytes: 100,
            },
            Budget {
                steps: 1_000,
                bytes: 300,
            },
        ] {
            let alone = decide(&history, budget, ONE);
            for threads in [2, 5] {
                let threads = NonZero::new(threads).expect("at least one");
                assert_eq!(
                    decide(&history, budget, threads),
                    alone,
                    "{kind:?} {budget:?}"
                );
            }
        }
    }
}

/// Swaps that all overlap, round and round, and a read that comes one too late
/// in the circle: nothing but trying tells.
fn hard(n: u64) -> History {
    let mut ops: Vec<Operation> = (0..n)
        .map(|process| Operation {
            process,
            line: 1 + process,
            ret: Some(1_000 + process),
            action: Action::Cas {
                key: String::new(),
                from: Some(format!("{}", process % 3)),
                to: Some(format!("{}", (process + 1) % 3)),
                swapped: true,
            },
        })
        .collect();
    ops.push(Operation {
        process: n,
        line: 0,
        ret: Some(999),
        action: Action::Write {
            key: String::new(),
            value: Some("0".into()),
        },
    });
    ops.push(Operation {
        process: n,
        line: 1_999,
        ret: Some(2_000),
        action: Action::Read {
            key: String::new(),
            value: Some("2".into()),
        },
    });
    ops.sort_by_key(|op| op.line);
    History {
        kind: Kind::CasRegister,
        ops,
    }
}

fn spent(history: &History, budget: Budget) -> u64 {
    let judgement = decide(history, budget, ONE);
    match judgement.verdict {
        Verdict::Unknown(Reason::Budget { steps, .. }) => {
            assert_eq!(steps, judgement.steps);
            steps
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_budget_of_steps_is_spent_to_the_last_one() {
    let history = hard(24);
    for steps in [0, 1, 100, 5_000] {
        let budget = Budget {
            steps,
            ..Budget::default()
        };
        assert_eq!(spent(&history, budget), steps);
    }
}

#[test]
fn a_budget_of_bytes_is_spent_long_before_the_steps() {
    let history = hard(24);
    let few = spent(
        &history,
        Budget {
            bytes: 10_000,
            ..Budget::default()
        },
    );
    let more = spent(
        &history,
        Budget {
            bytes: 100_000,
            ..Budget::default()
        },
    );
    assert!(10 < few && few < more && more < 100_000, "{few} {more}");
}

proptest! {
    #![proptest_config(super::config(300))]

    #[test]
    fn a_larger_budget_never_changes_a_verdict(
        history in prop_oneof![histories(Kind::CasRegister), histories(Kind::Lists)], steps in 0..60u64,
    ) {
        let small = decide(&history, Budget { steps, ..Budget::default() }, ONE).verdict;
        let large = decide(&history, Budget::default(), ONE).verdict;
        match small {
            Verdict::Pass { .. } => prop_assert_eq!(small, large),
            Verdict::Fail(_) => prop_assert!(matches!(large, Verdict::Fail(_))),
            Verdict::Unknown(_) => {}
        }
    }
}
