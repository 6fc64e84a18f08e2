//! The search against a brute-force oracle, on random tiny histories of every
//! kind; and what must not depend on how the work is split or limited.

mod damage;
mod draw;
mod limits;
mod oracle;

use super::decide::{decide, only};
use super::{History, Kind};
use crate::linearizable::Budget;
use draw::histories;
use oracle::brute_force;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use squall_record::Verdict;
use std::num::NonZero;

const ONE: NonZero<usize> = NonZero::<usize>::MIN;
const KINDS: [Kind; 4] = [Kind::Register, Kind::CasRegister, Kind::Text, Kind::Lists];

/// Judges a history in every way there is; all must agree with brute force.
/// Whether it is legal.
fn agrees(history: &History) -> bool {
    let judgement = decide(history, Budget::default(), ONE);
    let legal = match judgement.verdict {
        Verdict::Pass { .. } => true,
        Verdict::Fail(_) => false,
        Verdict::Unknown(why) => panic!("a tiny history was not decided: {why}"),
    };
    assert_eq!(legal, brute_force(history), "{history:#?}");
    assert_eq!(only(history, Budget::default(), ONE), Some(legal));
    assert_eq!(judgement.core.is_empty(), legal, "a witness has operations");
    legal
}

/// How many cases to try, or `SQUALL_CASES`: the longer run that CONTRIBUTING.md
/// documents.
fn config(cases: u32) -> ProptestConfig {
    let more = std::env::var("SQUALL_CASES").ok();
    let more = more.map(|n| n.parse().expect("SQUALL_CASES is a number"));
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(more.unwrap_or(cases))
    }
}

/// Random histories are of no use if nearly all of them are good, or bad.
#[test]
fn random_histories_are_good_and_bad() {
    for kind in KINDS {
        let mut runner = TestRunner::deterministic();
        let mut draw = || histories(kind).new_tree(&mut runner).expect("no filter");
        let legal = (0..1_000)
            .filter(|_| brute_force(&draw().current()))
            .count();
        assert!((250..=750).contains(&legal), "{kind:?}: {legal} of 1000");
    }
}

proptest! {
    #![proptest_config(config(25_000))]

    #[test]
    fn registers_are_judged_as_by_brute_force(history in histories(Kind::Register)) {
        agrees(&history);
    }

    #[test]
    fn cas_registers_are_judged_as_by_brute_force(history in histories(Kind::CasRegister)) {
        agrees(&history);
    }

    #[test]
    fn strings_are_judged_as_by_brute_force(history in histories(Kind::Text)) {
        agrees(&history);
    }

    #[test]
    fn lists_are_judged_as_by_brute_force(history in histories(Kind::Lists)) {
        agrees(&history);
    }
}
