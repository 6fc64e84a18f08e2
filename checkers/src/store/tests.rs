//! The three paths against a brute-force oracle.

use super::agree::{Difference, agree};
use super::anchored::{self, Decision};
use super::keys::Keys;
use super::model::State;
use super::timeline::{Timeline, is_serializable, may_write};
use super::violation::Violation;
use super::{applied, complete, kernel, refute};
use crate::generate::{self, Shape};
use crate::linearizable::Applied;
use crate::search::Found;
use proptest::prelude::*;
use squall_record::{Op, Outcome};

/// Whether any order at all explains the history: every permutation, every
/// choice among the unknown.
pub(crate) fn brute_force(history: &[Op]) -> bool {
    let left: Vec<&Op> = history
        .iter()
        .filter(|op| match op.outcome {
            Outcome::Ok(_) => true,
            Outcome::Unknown(_) => may_write(&op.call),
            Outcome::Refused(_) => false,
        })
        .collect();
    place(&State::default(), &left)
}

fn place(state: &State, left: &[&Op]) -> bool {
    let ret = |op: &Op| match op.outcome {
        Outcome::Ok(_) => op.ret.unwrap_or(u64::MAX),
        _ => u64::MAX,
    };
    let invoke = |op: &Op| {
        if is_serializable(&op.call) {
            0
        } else {
            op.invoke
        }
    };
    if left.iter().all(|op| !matches!(op.outcome, Outcome::Ok(_))) {
        return true;
    }
    (0..left.len()).any(|i| {
        let op = left[i];
        if left.iter().any(|other| ret(other) < invoke(op)) {
            return false;
        }
        let mut next = state.clone();
        let Ok(expected) = next.answer(&op.call) else {
            return false;
        };
        if let Outcome::Ok(got) = &op.outcome
            && agree(&op.call, &expected, got).is_err()
        {
            return false;
        }
        let mut rest = left.to_vec();
        rest.remove(i);
        place(&next, &rest)
    })
}

fn tiny(seed: u64) -> generate::Generated {
    let mut shape = Shape {
        seed,
        ops: 3 + (seed % 5) as usize,
        clients: 2 + (seed / 5 % 3) as u32,
        hot_keys: 1 + (seed / 15 % 2) as u32,
        cold_keys: 0,
        unknown_per_mille: [0, 200, 500][(seed / 30 % 3) as usize],
        applied_per_mille: 500,
        txn_per_mille: [0, 300][(seed / 90 % 2) as usize],
        repeated_values: (seed / 180).is_multiple_of(2),
    };
    if shape.ops > 6 {
        shape.unknown_per_mille = shape.unknown_per_mille.min(300);
    }
    generate::history(&shape)
}

fn by_anchor(history: &[Op]) -> bool {
    let Ok(timeline) = Timeline::new(history) else {
        return false;
    };
    if timeline.check_order().is_err() {
        return false;
    }
    match anchored::decide(&timeline, &Keys::new(history), &mut 1_000_000) {
        Decision::Legal(fillers) => {
            let keys = Keys::new(history);
            assert!(
                kernel::explains(&timeline, &keys, &fillers),
                "{}",
                show(history)
            );
            true
        }
        Decision::Illegal(_) => false,
        Decision::Spent => panic!("a tiny history spent the budget"),
    }
}

fn by_search(history: &[Op]) -> bool {
    let Ok(timeline) = Timeline::new(history) else {
        return false;
    };
    match complete::decide(&timeline, &mut 10_000_000, 1 << 30) {
        Found::Legal(order) => {
            assert!(
                kernel::is_explained_by(&timeline, &order),
                "{}",
                show(history)
            );
            true
        }
        Found::Illegal { .. } => false,
        Found::Spent => panic!("a tiny history spent the budget"),
    }
}

fn by_witness(history: &[Op], applied: &[Applied]) -> bool {
    Timeline::new(history).is_ok_and(|timeline| {
        timeline.check_order().is_ok() && applied::verify(&timeline, &Keys::new(history), applied)
    })
}

fn agree_on(history: &[Op], applied: &[Applied]) {
    let truth = brute_force(history);
    let show = || show(history);
    assert_eq!(by_anchor(history), truth, "anchored\n{}", show());
    assert_eq!(by_search(history), truth, "search\n{}", show());
    assert!(
        truth || !by_witness(history, applied),
        "witness\n{}",
        show()
    );
    assert!(!(truth && is_refuted(history)), "refuted\n{}", show());
}

/// Whether any violation that could be claimed would be confirmed.
fn is_refuted(history: &[Op]) -> bool {
    let confirmed = |violation| refute::confirms(history, &violation);
    let answered = |i: &u32| matches!(history[*i as usize].outcome, Outcome::Ok(_));
    let ops: Vec<u32> = (0..history.len() as u32).filter(answered).collect();
    let single = ops.iter().any(|op| {
        let kv = Box::default();
        let difference = Box::new(Difference::new("field", 1, 2));
        let (op, tried) = (*op, 0);
        confirmed(Violation::NoRevision { op })
            || confirmed(Violation::Phantom { op, kv })
            || confirmed(Violation::Wrong {
                op,
                difference,
                tried,
            })
    });
    let pair = ops.iter().any(|a| {
        ops.iter().any(|b| {
            let (early, late, revision) = (*a, *b, 0);
            confirmed(Violation::Backwards { early, late })
                || confirmed(Violation::Reused {
                    first: early,
                    second: late,
                    revision,
                })
        })
    });
    let skipped = (1..20).any(|revision| {
        confirmed(Violation::Skipped {
            revision,
            shown_by: 0,
            candidates: 0,
            needed: 0,
        })
    });
    single || pair || skipped
}

fn show(history: &[Op]) -> String {
    let lines: Vec<String> = history
        .iter()
        .map(|op| serde_json::to_string(op).expect("an operation is JSON"))
        .collect();
    lines.join("\n")
}

proptest! {
    #![proptest_config(config(1))]

    #[test]
    fn correct_tiny_histories_pass_on_every_path(seed: u64) {
        let made = tiny(seed);
        assert!(by_witness(&made.history, &made.applied));
        agree_on(&made.history, &made.applied);
        assert!(brute_force(&made.history));
    }

    #[test]
    fn damaged_tiny_histories_are_judged_as_by_brute_force(seed: u64, damage: u64) {
        let mut made = tiny(seed);
        crate::generate::damage_somehow(&mut made.history, damage);
        agree_on(&made.history, &made.applied);
    }
}

proptest! {
    #![proptest_config(config(10))]

    #[test]
    fn damaged_histories_with_many_unknown_are_judged_alike_on_every_path(
        seed: u64,
        damage: [u64; 2],
    ) {
        let mut made = generate::history(&Shape {
            seed,
            ops: 8 + (seed % 9) as usize,
            clients: 2 + (seed / 9 % 4) as u32,
            hot_keys: 1 + (seed / 36 % 3) as u32,
            cold_keys: 0,
            unknown_per_mille: 450,
            applied_per_mille: 600,
            txn_per_mille: [0, 300, 600][(seed / 108 % 3) as usize],
            repeated_values: (seed / 324).is_multiple_of(2),
        });
        for damage in &damage[..(seed / 648 % 3) as usize] {
            crate::generate::damage_somehow(&mut made.history, *damage);
        }
        let search = by_search(&made.history);
        assert_eq!(by_anchor(&made.history), search, "{}", show(&made.history));
        assert!(search || !by_witness(&made.history, &made.applied));
    }
}

/// How many cases to try, fewer by a factor where each is costly. `SQUALL_CASES`
/// sets another number, for longer runs.
fn config(costly: u32) -> ProptestConfig {
    let cases = std::env::var("SQUALL_CASES").ok();
    let cases = cases.map_or(100_000, |n| n.parse().expect("SQUALL_CASES is a number"));
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases / costly)
    }
}
