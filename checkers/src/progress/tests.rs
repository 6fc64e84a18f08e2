//! Named cases: what was in the way, what got done, and what is to be said.

use super::quorums::{Healthy, Quorums};
use super::{Terms, check};
use crate::rules::broken;
use squall_api::{MembersView, Role, pb};
use squall_record::{
    Availability, Call, Check, Condition, Event, FaultPhase, Kind, LinkTrouble, Op, Outcome, Ret,
    Trouble, Verdict, Why,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const S: u64 = 1_000_000_000;
const TERMS: Terms = Terms {
    election_timeout: S,
    from: 0,
    until: 60 * S,
};

/// Three voters that are asked for a write and a read every tenth of a second, in
/// turns, for a minute.
struct Case {
    /// Whole seconds in which nothing gets done.
    dead: Vec<std::ops::Range<u64>>,
    /// Seconds in which reads get done all the same.
    read: std::ops::Range<u64>,
    /// Seconds in which only reads do not.
    unread: std::ops::Range<u64>,
    /// Seconds in which nobody asks.
    quiet: std::ops::Range<u64>,
    conditions: Vec<Condition>,
    events: Vec<Event>,
}

fn case() -> Case {
    Case {
        dead: Vec::new(),
        read: 0..0,
        unread: 0..0,
        quiet: 0..0,
        conditions: vec![condition(0)],
        events: Vec::new(),
    }
}

fn condition(since: u64) -> Condition {
    Condition {
        since: since * S,
        members: Arc::new(MembersView::first(1..=3)),
        nodes: BTreeMap::new(),
        links: BTreeMap::new(),
    }
}

impl Case {
    fn dead(mut self, seconds: std::ops::Range<u64>) -> Case {
        self.dead.push(seconds);
        self
    }

    fn read(self, read: std::ops::Range<u64>) -> Case {
        Case { read, ..self }
    }

    fn unread(self, unread: std::ops::Range<u64>) -> Case {
        Case { unread, ..self }
    }

    fn quiet(self, quiet: std::ops::Range<u64>) -> Case {
        Case { quiet, ..self }
    }

    /// From a second on these nodes are in trouble, and no others.
    fn ill(mut self, from: u64, nodes: &[(u64, Trouble)]) -> Case {
        let mut condition = condition(from);
        for (node, trouble) in nodes {
            let troubles = condition.nodes.entry(*node).or_default();
            troubles.insert(*trouble);
        }
        self.conditions.push(condition);
        self
    }

    /// From a second on these links are cut, and no others.
    fn cut(mut self, from: u64, links: &[(u64, u64)]) -> Case {
        let mut condition = condition(from);
        let cut = links.iter().map(|link| (*link, LinkTrouble::Cut));
        condition.links = cut.collect();
        self.conditions.push(condition);
        self
    }

    fn event(mut self, t: u64, node: u64, kind: Kind) -> Case {
        self.events.push(Event {
            seq: self.events.len() as u64,
            t: t * S,
            node: Some(node),
            cause: None,
            kind,
        });
        self
    }

    fn role(self, t: u64, node: u64, role: Role) -> Case {
        let (term, leader) = (t, node);
        self.event(t, node, Kind::Role { role, term, leader })
    }

    fn judged(&self) -> (Check, Availability) {
        let mut history = Vec::new();
        let mut applied = Vec::new();
        for n in 0..600 {
            let invoke = n * S / 10 + 1;
            let second = invoke / S;
            if self.quiet.contains(&second) {
                continue;
            }
            let is_dead = self.dead.iter().any(|dead| dead.contains(&second));
            let header = Some(pb::ResponseHeader::default());
            let put = Ret::Put(pb::PutResponse {
                header,
                prev_kv: None,
            });
            let range = Ret::Range(pb::RangeResponse {
                header,
                ..pb::RangeResponse::default()
            });
            if !is_dead {
                applied.push(invoke + 1);
            }
            let calls = [
                (Call::Put(pb::PutRequest::default()), put, is_dead),
                (
                    Call::Range(pb::RangeRequest::default()),
                    range,
                    is_dead && !self.read.contains(&second) || self.unread.contains(&second),
                ),
            ];
            for (call, ret, is_dead) in calls {
                history.push(Op {
                    id: history.len() as u64,
                    client: 0,
                    process: 0,
                    member: 1 + n % 3,
                    invoke,
                    ret: Some(invoke + 2),
                    token: String::new(),
                    call,
                    outcome: match is_dead {
                        true => Outcome::Unknown(Why::Timeout),
                        false => Outcome::Ok(ret),
                    },
                });
            }
        }
        check(&history, &self.events, &self.conditions, &applied, TERMS)
    }

    fn said(&self) -> String {
        broken(&[self.judged().0]).join(" ")
    }
}

#[test]
fn progress_is_owed_while_a_quorum_can_work() {
    use Trouble::{Disk, Down, Paused};
    let write = "liveness.progress/no-write";
    let read = "liveness.progress/no-linearizable-read";
    let all = [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)];
    #[rustfmt::skip]
    let table: Vec<(&str, Case, &str)> = vec![
        ("all is well", case(), ""),
        ("a pause within the bound", case().dead(20..29), ""),
        ("a pause beyond it", case().dead(20..32), write),
        ("at the end", case().dead(45..60), write),
        ("from the start", case().dead(0..15), write),
        ("reads go on", case().dead(20..32).read(20..32), write),
        ("only reads stand still", case().unread(20..32), read),
        ("nobody asks", case().quiet(20..40), ""),
        ("one is down", case().ill(20, &[(1, Down)]).dead(20..32), write),
        ("two are down", case().ill(20, &[(1, Down), (2, Paused)]).dead(20..40).ill(40, &[]), ""),
        ("two were down, and are well again", case().ill(20, &[(1, Down), (2, Paused)]).dead(20..52).ill(40, &[]), write),
        ("a stalled disk counts", case().ill(20, &[(1, Down), (2, Disk("fsync_stall"))]).dead(20..40).ill(40, &[]), ""),
        ("all are cut off", case().cut(20, &all).dead(20..40).cut(40, &[]), ""),
        ("one is cut off", case().cut(20, &[(1, 2), (1, 3), (2, 1), (3, 1)]).dead(20..40).cut(40, &[]), write),
        ("one hears and is not heard", case().cut(20, &[(1, 2), (1, 3)]).dead(20..40).cut(40, &[]), write),
        ("one way of each link", case().cut(20, &[(1, 2), (2, 3), (3, 1)]).dead(20..40).cut(40, &[]), ""),
        ("they take turns", case().ill(20, &[(1, Down)]).ill(25, &[(2, Down)]).ill(30, &[(3, Down)]).ill(35, &[(1, Down)]).ill(40, &[]).dead(20..40), ""),
        ("two turns, and the third is always well", case().ill(20, &[(1, Down)]).ill(25, &[(2, Down)]).ill(30, &[(1, Down)]).ill(35, &[]).dead(20..34), ""),
    ];
    for (name, case, expected) in table {
        assert_eq!(case.said(), expected, "{name}");
    }
}

#[test]
fn a_violation_says_who_could_have_worked_and_what_was_in_the_way() {
    let case = case()
        .role(1, 1, Role::Leader)
        .cut(20, &[(1, 2), (1, 3)])
        .role(24, 2, Role::Candidate)
        .role(27, 2, Role::Candidate)
        .dead(20..40)
        .cut(40, &[]);
    let (check, availability) = case.judged();
    let Verdict::Fail(witness) = check.verdict else {
        panic!("{check:?}");
    };
    assert_eq!(
        witness.sentence,
        "no write got done from 19.900s to 40.000s, although n2 and n3 were up and well and heard \
         each other, and 33 were asked of them in time: n1 led when it began; n1 did not reach n2 \
         and n3 from 20.000s to 40.000s; n2 stood for election 2 times"
    );
    let outage = &availability.longest[0];
    assert_eq!((outage.from / S, outage.to / S), (20, 40));
    assert_eq!(outage.owed_ns / S, 20);
    assert!(
        outage
            .why
            .contains(&"n2 stood for election 2 times".to_owned())
    );
}

#[test]
fn outages_and_recoveries_are_measured() {
    let fault = |phase| Kind::Fault {
        fault: 0,
        phase,
        label: "cut".into(),
        what: String::new(),
    };
    let case = case()
        .event(20, 1, fault(FaultPhase::Start))
        .event(23, 1, fault(FaultPhase::End))
        .dead(20..25)
        .dead(40..42)
        .event(55, 1, fault(FaultPhase::End))
        .dead(55..60);
    let (_, availability) = case.judged();
    assert_eq!(availability.outages, 3);
    assert_eq!(availability.out_ns / S, 12);
    let lasted: Vec<u64> = (availability.longest.iter())
        .map(|outage| (outage.lasted() + S / 2) / S)
        .collect();
    assert_eq!(lasted, [5, 5, 2]);
    let took: Vec<Option<u64>> = (availability.recoveries.iter())
        .map(|recovery| recovery.took.map(|took| took / S))
        .collect();
    assert_eq!(took, [Some(2), None]);
}

#[test]
fn a_quorum_is_healthy_for_as_long_as_all_its_members_are() {
    let mut five = condition(0);
    five.members = Arc::new(MembersView::first(1..=5));
    let mut two_down = five.clone();
    two_down.since = 10 * S;
    let down = BTreeSet::from([Trouble::Down]);
    two_down.nodes = BTreeMap::from([(4, down.clone()), (5, down)]);
    let all = Quorums::of(&[five, two_down]);
    assert_eq!(all.during(0, S).count(), 10);
    let left: Vec<&Healthy> = all.during(10 * S, 20 * S).collect();
    let expected = Healthy {
        members: vec![1, 2, 3],
        from: 0,
        to: u64::MAX,
    };
    assert_eq!(left, [&expected]);
    assert_eq!(all.length(5 * S, 20 * S), 15 * S);
}
