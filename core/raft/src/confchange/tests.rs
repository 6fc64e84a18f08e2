//! Cases as a story: each line is a change, and what came of it.

use super::*;
use proptest::prelude::*;
use std::fmt::Write as _;

/// `v1` makes 1 a voter, `l1` a learner, `r1` removes it.
fn parse(change: &str) -> ConfChangeSingle {
    let (kind, id) = change.split_at(1);
    ConfChangeSingle {
        change_type: match kind {
            "v" => ConfChangeType::AddNode,
            "l" => ConfChangeType::AddLearnerNode,
            "r" => ConfChangeType::RemoveNode,
            _ => panic!("no change {change:?}"),
        },
        node_id: id.parse().expect("a node id"),
        ..Default::default()
    }
}

/// Lines of `simple CHANGE..`, `joint CHANGE..`, `auto-joint CHANGE..` and
/// `leave`, one after the other from voter 1; a refused one changes nothing.
fn story(lines: &[&str]) -> String {
    let mut now = Configuration::of([1]);
    let mut story = format!("{now}\n");
    for line in lines {
        let mut words = line.split(' ');
        let verb = words.next().expect("a verb");
        let changes: Vec<_> = words.map(parse).collect();
        let next = match verb {
            "simple" => now.simple(&changes),
            "joint" => now.enter_joint(false, &changes),
            "auto-joint" => now.enter_joint(true, &changes),
            "leave" => now.leave_joint(),
            _ => panic!("no verb {verb:?}"),
        };
        writeln!(story, "> {line}").unwrap();
        match next {
            Ok(next) => now = next,
            Err(why) => writeln!(story, "  refused: {why}").unwrap(),
        }
        writeln!(story, "  {now}").unwrap();
    }
    story
}

#[test]
fn simple_changes() {
    insta::assert_snapshot!(story(&[
        "simple v2",
        "simple v3",
        "simple v4 v5",
        "simple r1 v4",
        "simple l2",
        "simple v2 l4 l5",
        "simple r4 r5 r9",
        "simple r1",
        "simple r2",
        "simple r3",
        "simple v0",
        "leave",
    ]));
}

#[test]
fn joint_changes() {
    insta::assert_snapshot!(story(&[
        "joint v2 v3 l4",
        "joint v5",
        "simple v5",
        "leave",
        "auto-joint l1 r2 v4 v5",
        "leave",
        "joint r3 r4 r5",
        "joint",
        "leave",
    ]));
}

#[test]
fn a_change_in_the_log_is_simple_if_it_can_be() {
    let change = |transition, changes: &[&str]| ConfChangeV2 {
        transition,
        changes: changes.iter().map(|c| parse(c)).collect::<Vec<_>>().into(),
        ..Default::default()
    };
    let (auto, implicit, explicit) = (
        ConfChangeTransition::Auto,
        ConfChangeTransition::Implicit,
        ConfChangeTransition::Explicit,
    );
    let one = Configuration::of([1]);
    let told = |change: &ConfChangeV2| one.changed(change).map(|next| next.to_string());
    assert_eq!(told(&change(auto, &["v2"])).unwrap(), "voters=(1 2)");
    let joint = "voters=(1 2 3)&&(1)";
    assert_eq!(
        told(&change(auto, &["v2", "v3"])).unwrap(),
        format!("{joint} autoleave")
    );
    assert_eq!(
        told(&change(implicit, &["v2"])).unwrap(),
        "voters=(1 2)&&(1) autoleave"
    );
    assert_eq!(told(&change(explicit, &["v2", "v3"])).unwrap(), joint);
    assert_eq!(told(&change(auto, &[])), Err(ConfChangeError::NotJoint));
    let entered = one.changed(&change(explicit, &["v2", "l1"])).unwrap();
    let left = entered.changed(&change(auto, &[])).unwrap();
    assert_eq!(left.to_string(), "voters=(2) learners=(1)");
}

fn changes() -> impl Strategy<Value = Vec<ConfChangeSingle>> {
    let change = ("[vlr]", 0_u64..6).prop_map(|(kind, id)| parse(&format!("{kind}{id}")));
    prop::collection::vec(change, 0..5)
}

proptest! {
    /// From any configuration to the next, any quorum before shares a member
    /// with any quorum after: there is no moment at which two sets of members
    /// could decide apart. A configuration survives a snapshot.
    #[test]
    fn quorums_of_neighbours_overlap(
        steps in prop::collection::vec((0_u8..4, changes()), 1..12),
        yes in prop::collection::btree_set(0_u64..6, 0..6),
    ) {
        let mut now = Configuration::of([1, 2, 3]);
        for (verb, changes) in steps {
            let next = match verb {
                0 => now.simple(&changes),
                1 => now.enter_joint(false, &changes),
                2 => now.enter_joint(true, &changes),
                _ => now.leave_joint(),
            };
            let Ok(next) = next else { continue };
            let votes = |says| (0..6).map(|id| (id, yes.contains(&id) == says)).collect();
            let both = (now.voters.election(&votes(true)), next.voters.election(&votes(false)));
            let won = crate::quorum::Election::Won;
            prop_assert_ne!(both, (won, won), "{} and {}", now, next);
            prop_assert_eq!(&Configuration::from_state(&next.to_state()), &next);
            now = next;
        }
    }
}
