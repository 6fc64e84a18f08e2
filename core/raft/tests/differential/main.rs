//! The same schedule through this crate and through raft-rs.
//!
//! Every node of a small cluster is a pair: ours and, beside it, one of
//! raft-rs with the same settings. What happens to a node happens to both:
//! the very same messages, ticks, timeouts, proposals, and crashes. After each
//! event both must be in the same term, with the same vote, role, leader,
//! commit index and log, and must have sent the same messages. One message
//! more or less, or one field of it, fails the test.
//!
//! The messages that travel are those of ours in one half of the schedules,
//! and those of raft-rs in the other, so that each also reads what the other
//! writes. Where both are right and yet differ, [`pair`] and [`plain`] say why
//! and even out just that. Snapshots and reads are not among these messages:
//! ours does them another way (asynchronously, and in numbered rounds of
//! heartbeats). What they lead to is compared by [`changes`], with changes of
//! members and transfers of leadership.

mod changes;
mod cluster;
mod ours;
mod pair;
mod plain;
mod theirs;

use pair::{Limits, Pair};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use raft_proto::eraftpb::Message;
use squall_api::Role;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy)]
enum Event {
    Deliver {
        pick: usize,
    },
    Double {
        pick: usize,
    },
    Lose {
        pick: usize,
    },
    /// A tick of a node's clock; a leader's heartbeat.
    Tick {
        pick: usize,
    },
    /// The election timeout passes: ticks until something happens.
    Timeout {
        pick: usize,
    },
    Propose {
        pick: usize,
        bytes: usize,
    },
    Crash {
        pick: usize,
    },
    Unreachable {
        pick: usize,
        peer: usize,
    },
    Isolate {
        pick: usize,
    },
    Rejoin,
}

fn event() -> impl Strategy<Value = Event> {
    let pick = || any::<usize>();
    prop_oneof![
        60 => pick().prop_map(|pick| Event::Deliver { pick }),
        4 => pick().prop_map(|pick| Event::Double { pick }),
        5 => pick().prop_map(|pick| Event::Lose { pick }),
        20 => pick().prop_map(|pick| Event::Tick { pick }),
        3 => pick().prop_map(|pick| Event::Timeout { pick }),
        12 => (pick(), 0_usize..40).prop_map(|(pick, bytes)| Event::Propose { pick, bytes }),
        1 => pick().prop_map(|pick| Event::Crash { pick }),
        1 => (pick(), pick()).prop_map(|(pick, peer)| Event::Unreachable { pick, peer }),
        1 => pick().prop_map(|pick| Event::Isolate { pick }),
        1 => Just(Event::Rejoin),
    ]
}

#[derive(Debug, Clone)]
struct Schedule {
    nodes: u64,
    limits: Limits,
    /// Whose messages travel.
    theirs_travel: bool,
    events: Vec<Event>,
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let nodes =
        prop_oneof![4 => Just(3_u64), 2 => Just(5), 1 => Just(4), 1 => Just(2), 1 => Just(1)];
    let limits = (any::<bool>(), any::<bool>(), any::<bool>(), 1_usize..5);
    let events = prop::collection::vec(event(), 50..600);
    (nodes, limits, any::<bool>(), events).prop_map(|(nodes, limits, theirs_travel, events)| {
        let (pre_vote, check_quorum, one_entry_a_message, max_inflight) = limits;
        Schedule {
            nodes,
            limits: Limits {
                pre_vote,
                check_quorum,
                one_entry_a_message,
                max_inflight,
            },
            theirs_travel,
            events,
        }
    })
}

struct Cluster {
    pairs: BTreeMap<u64, Pair>,
    network: Vec<Message>,
    theirs_travel: bool,
    proposals: u64,
    isolated: Option<u64>,
}

impl Cluster {
    fn new(schedule: &Schedule) -> Cluster {
        let ids = 1..=schedule.nodes;
        let pair = |id| (id, Pair::new(id, schedule.nodes, schedule.limits));
        Cluster {
            pairs: ids.map(pair).collect(),
            network: Vec::new(),
            theirs_travel: schedule.theirs_travel,
            proposals: 0,
            isolated: None,
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        let n = self.pairs.len() as u64;
        let node = |pick: usize| pick as u64 % n + 1;
        match event {
            Event::Deliver { pick } | Event::Double { pick } | Event::Lose { pick } => {
                if self.network.is_empty() {
                    return Ok(());
                }
                let at = pick % self.network.len();
                match event {
                    Event::Double { .. } => self.network.push(self.network[at].clone()),
                    Event::Lose { .. } => drop(self.network.remove(at)),
                    _ => {
                        let msg = self.network.remove(at);
                        let ends = [Some(msg.from), Some(msg.to)];
                        if !ends.contains(&self.isolated) {
                            return self.on(msg.to, |pair| pair.step(&msg));
                        }
                    }
                }
                Ok(())
            }
            Event::Tick { pick } => self.on(node(pick), Pair::tick),
            Event::Timeout { pick } => loop {
                let id = node(pick);
                let is_last = self.pairs[&id].is_due_next();
                self.on(id, Pair::tick)?;
                if is_last {
                    return Ok(());
                }
            },
            Event::Propose { pick, bytes } => {
                self.proposals += 1;
                let id = self.proposals;
                self.on(node(pick), |pair| pair.propose(id, bytes))
            }
            Event::Crash { pick } => self.on(node(pick), Pair::crash),
            Event::Unreachable { pick, peer } => {
                let peer = node(peer);
                self.on(node(pick), |pair| pair.unreachable(peer))
            }
            Event::Isolate { pick } => {
                self.isolated = Some(node(pick));
                Ok(())
            }
            Event::Rejoin => {
                self.isolated = None;
                Ok(())
            }
        }
    }

    fn on(&mut self, id: u64, act: impl FnOnce(&mut Pair)) -> Result<(), String> {
        let pair = self.pairs.get_mut(&id).expect("a node of the cluster");
        act(pair);
        let (ours, theirs) = pair.compare()?;
        self.network.extend(match self.theirs_travel {
            true => theirs,
            false => ours,
        });
        Ok(())
    }

    fn leaders(&self) -> usize {
        let leads = |pair: &&Pair| pair.ours().role() == Role::Leader;
        self.pairs.values().filter(leads).count()
    }

    fn commit(&self) -> u64 {
        let commits = self.pairs.values().map(|pair| pair.ours().commit());
        commits.max().unwrap_or(0)
    }
}

proptest! {
    #[test]
    fn both_do_the_same(schedule in schedule()) {
        let mut cluster = Cluster::new(&schedule);
        for (number, event) in schedule.events.iter().enumerate() {
            if let Err(difference) = cluster.happen(*event) {
                prop_assert!(false, "event {number}, {event:?}: {difference}");
            }
        }
    }
}

/// The schedules are worth something: leaders are elected in many, and much is
/// committed.
#[test]
fn schedules_elect_and_commit() {
    let mut runner = TestRunner::deterministic();
    let (mut led, mut committed) = (0, 0);
    for _ in 0..100 {
        let schedule = schedule().new_tree(&mut runner).unwrap().current();
        let mut cluster = Cluster::new(&schedule);
        let mut has_led = false;
        for event in schedule.events {
            cluster.happen(event).expect("no difference");
            has_led |= cluster.leaders() > 0;
        }
        led += usize::from(has_led);
        committed += cluster.commit();
    }
    println!("{led} of 100 schedules had a leader, {committed} entries were committed");
    assert!(led > 60 && committed > 300, "{led}, {committed}");
}
