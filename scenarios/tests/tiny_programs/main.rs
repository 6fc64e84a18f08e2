//! What each kind of fault does, from the lines of a scenario to the physics,
//! shown on members that only beat and count. A kind that is not shown here fails
//! a test.

/// Tests, each of a kind of fault, and the list of these kinds.
macro_rules! shown {
    ($($name:ident = $text:literal, |$kind:ident| $body:block)*) => {
        pub(crate) const SHOWN: &[&str] = &[$($text),*];
        $(
            #[test]
            fn $name() {
                let $kind = $text;
                $body
            }
        )*
    };
}

mod disks;
mod links;
mod made;
mod member;
mod partitions;
mod processes;

use made::{FSYNC, LATENCY, MS, PUT, WRITE, make};
use squall::format::FaultKind;

#[test]
fn every_kind_of_fault_is_shown_once() {
    let tables = [
        partitions::SHOWN,
        links::SHOWN,
        disks::SHOWN,
        processes::SHOWN,
    ];
    let mut shown = tables.concat();
    shown.sort_unstable();
    let mut kinds = FaultKind::ALL.map(FaultKind::name);
    kinds.sort_unstable();
    assert_eq!(shown, kinds);
}

#[test]
fn without_a_fault_every_beat_is_heard_and_every_put_counted() {
    // One that has nobody to hit: the scenario needs one.
    let sound = make(
        "clock_step",
        "[[fault]]\nat = \"500ms\"\nclock_step = { node = \"n5\", by = \"+1ms\" }\n",
    );
    let arrivals = sound.arrivals();
    assert_eq!(arrivals.len(), 20);
    for times in arrivals.values() {
        assert!(times.windows(2).all(|two| two[1] - two[0] == member::BEAT));
    }
    let took: Vec<u64> = sound
        .at_n1()
        .map(|op| op.ret.unwrap() - op.invoke)
        .collect();
    assert!(took.len() > 40 && took.iter().all(|took| *took == PUT));
    assert_eq!(PUT, 2 * LATENCY + WRITE + FSYNC);
    assert_eq!(PUT, 8 * MS);
    assert_eq!(sound.diary.opened(1), [""]);
}
