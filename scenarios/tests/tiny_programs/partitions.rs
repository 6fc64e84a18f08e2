//! Partitions: who hears whom while they last.

use crate::made::*;
use crate::member::BEAT;
use std::collections::BTreeSet;

/// A partition for half a second.
fn partition(kind: &str, what: &str) -> Made {
    let fault = format!("[[fault]]\nat = \"500ms\"\nfor = \"500ms\"\npartition = {{ {what} }}\n");
    let made = make(kind, &fault);
    // Afterwards everybody hears everybody.
    let healed = made.during.end + BEAT + LATENCY;
    let heard = made.arrivals();
    assert_eq!(heard.len(), 20);
    assert!(
        heard
            .values()
            .all(|times| times.iter().any(|t| *t <= healed && made.during.end <= *t))
    );
    made
}

/// All links between two groups, both ways.
fn between(one: &[u64], other: &[u64]) -> BTreeSet<(u64, u64)> {
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b)));
    pairs.flat_map(|(a, b)| [(a, b), (b, a)]).collect()
}

shown! {
    one_way_is_one_way = "partition one_way", |kind| {
        let made = partition(kind, r#"from = "n1", to = "others""#);
        assert_eq!(made.silent(), BTreeSet::from([(1, 2), (1, 3), (1, 4), (1, 5)]));
    }

    an_isolated_member_hears_nobody_and_is_not_heard = "partition isolate", |kind| {
        let made = partition(kind, r#"isolate = "n1""#);
        assert_eq!(made.silent(), between(&[1], &[2, 3, 4, 5]));
    }

    halves_hear_themselves_only = "partition halves", |kind| {
        let silent = partition(kind, "halves = true").silent();
        let side = |of: u64| -> Vec<u64> {
            (1..=5).filter(|other| *other != of && silent.contains(&(of, *other))).collect()
        };
        let (other, mine) = (side(1), side(side(1)[0]));
        assert_eq!(mine.len().abs_diff(other.len()), 1);
        assert_eq!(silent, between(&mine, &other));
    }

    a_split_leaves_out_whom_it_does_not_name = "partition split", |kind| {
        let made = partition(kind, r#"split = [["n1"], ["n2", "n3"]]"#);
        assert_eq!(made.silent(), between(&[1], &[2, 3]));
    }

    a_bridge_is_heard_by_both_halves = "partition bridge", |kind| {
        let silent = partition(kind, r#"bridge = "n3""#).silent();
        assert!(silent.iter().all(|(from, to)| *from != 3 && *to != 3));
        assert_eq!(silent.len(), 2 * 2 * 2, "two halves of two");
    }

    in_a_ring_each_hears_two = "partition ring", |kind| {
        let silent = partition(kind, "ring = true").silent();
        for node in 1..=5 {
            let deaf_to = silent.iter().filter(|(_, to)| *to == node).count();
            assert_eq!(deaf_to, 2, "n{node}: {silent:?}");
        }
    }

    a_partial_partition_cuts_its_share = "partition partial", |kind| {
        let made = partition(kind, "partial = 0.25");
        assert_eq!(made.silent().len(), 5, "of 20");
    }

    what_flaps_comes_and_goes = "partition flapping", |kind| {
        let made = partition(kind, r#"from = "n1", to = "n2", flap = "100ms""#);
        let heard = made.heard(1, 2);
        let in_slot = |slot: u64| {
            let from = made.during.start + slot * 100 * MS;
            heard.iter().filter(|t| (from..from + 100 * MS).contains(*t)).count()
        };
        let slots = [0, 1, 2, 3, 4].map(in_slot);
        assert_eq!(slots.map(|heard| heard > 5), [false, true, false, true, false], "{slots:?}");
    }
}
