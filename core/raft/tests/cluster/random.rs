//! Random schedules: messages get lost, doubled and reordered, nodes crash and
//! lose what they did not sync, logs are compacted, snapshots come late. The
//! promises must hold throughout, and once all is well again the cluster must
//! come to agree: nobody may be stuck for ever.

use crate::cluster::{Cluster, HEARTBEAT};
use crate::invariants::Entries;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use squall_api::{Bug, Role};
use squall_raft::marks;
use std::collections::BTreeSet;

/// What honest members never give each other reason for.
const NEVER: [&str; 9] = [
    marks::IGNORED_MISADDRESSED,
    marks::IGNORED_STRANGER,
    marks::IGNORED_TYPE,
    marks::IGNORED_MALFORMED,
    marks::IGNORED_SECOND_LEADER,
    marks::IGNORED_ACK_BEYOND_LOG,
    marks::IGNORED_CONFLICT_BELOW_COMMIT,
    marks::CLAMPED_COMMIT,
    marks::TERM_EXHAUSTED,
];

/// What takes too long, or too slow an apply lane, for random schedules; each
/// has a story of its own.
const TOLD_ELSEWHERE: [&str; 11] = [
    marks::READ_UNDER_LEASE,
    marks::SNAPSHOT_TIMED_OUT,
    marks::SNAPSHOT_TOO_OLD,
    marks::REPEATED_FORWARD,
    marks::APPLIED_CONF_CHANGE,
    marks::REFUSED_EARLY_CONF_CHANGE,
    marks::REFUSED_SECOND_CONF_CHANGE,
    marks::LEFT_JOINT,
    marks::STEPPED_DOWN_ON_REMOVAL,
    marks::WAITED_FOR_CONF_CHANGE,
    marks::ASKED_FOR_SNAPSHOT,
];

/// One thing that happens; `pick` chooses whom it happens to.
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
    Timeout,
    Rush {
        pick: usize,
    },
    Sync {
        pick: usize,
        outputs: usize,
    },
    Crash {
        pick: usize,
        keep: usize,
        torn: bool,
    },
    Propose {
        pick: usize,
    },
    Transfer {
        pick: usize,
        to: usize,
    },
    Read {
        pick: usize,
    },
    Compact {
        pick: usize,
    },
    TakeSnapshot {
        pick: usize,
    },
    Install {
        pick: usize,
    },
    Unreachable {
        pick: usize,
        peer: usize,
    },
    /// From now on, one node hears nobody and is heard by nobody.
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
        6 => pick().prop_map(|pick| Event::Lose { pick }),
        14 => Just(Event::Timeout),
        2 => pick().prop_map(|pick| Event::Rush { pick }),
        40 => (pick(), 1_usize..4).prop_map(|(pick, outputs)| Event::Sync { pick, outputs }),
        4 => (pick(), 0_usize..3, any::<bool>())
            .prop_map(|(pick, keep, torn)| Event::Crash { pick, keep, torn }),
        10 => pick().prop_map(|pick| Event::Propose { pick }),
        2 => (pick(), pick()).prop_map(|(pick, to)| Event::Transfer { pick, to }),
        6 => pick().prop_map(|pick| Event::Read { pick }),
        2 => pick().prop_map(|pick| Event::Compact { pick }),
        4 => pick().prop_map(|pick| Event::TakeSnapshot { pick }),
        4 => pick().prop_map(|pick| Event::Install { pick }),
        2 => (pick(), pick()).prop_map(|(pick, peer)| Event::Unreachable { pick, peer }),
        1 => pick().prop_map(|pick| Event::Isolate { pick }),
        1 => Just(Event::Rejoin),
    ]
}

/// The proposal that everybody must come to apply.
const MARKER: &str = "p0";

struct Run {
    cluster: Cluster,
    n: u64,
    proposals: u64,
    reads: u64,
    /// The furthest that any node's clock ran ahead.
    latest: u64,
    isolated: Option<u64>,
}

impl Run {
    fn new(schedule: &Schedule, bug: Option<Bug>) -> Run {
        let n = schedule.nodes;
        // Small appends and a small window, so that both limits are met.
        let tuned = Cluster::with_bug(n, bug).tune(|s| {
            s.max_append_bytes = 70;
            s.max_inflight = 2;
            s.max_uncommitted_bytes = 400;
            s.pre_vote = schedule.pre_vote;
            s.check_quorum = schedule.check_quorum;
        });
        let mut run = Run {
            cluster: tuned,
            n,
            proposals: 0,
            reads: 0,
            latest: 0,
            isolated: None,
        };
        run.cluster.mute();
        run
    }

    fn node(&self, pick: usize) -> u64 {
        pick as u64 % self.n + 1
    }

    fn happen(&mut self, event: Event) {
        let c = &mut self.cluster;
        match event {
            Event::Deliver { pick } | Event::Double { pick } | Event::Lose { pick } => {
                if c.network.is_empty() {
                    return;
                }
                let at = pick % c.network.len();
                match event {
                    Event::Deliver { .. } => {
                        let msg = c.network.remove(at);
                        let cut = [Some(msg.from), Some(msg.to)].contains(&self.isolated);
                        if !cut {
                            c.arrive(msg);
                        }
                    }
                    Event::Double { .. } => c.network.push(c.network[at].clone()),
                    _ => drop(c.network.remove(at)),
                }
            }
            Event::Timeout => {
                let next = (1..=self.n).min_by_key(|id| c.raft(*id).deadline());
                c.timeout(next.expect("there are nodes"));
            }
            // A node whose clock ran ahead of the others'.
            Event::Rush { pick } => {
                let (id, now) = (self.node(pick), self.cluster.now);
                self.cluster.timeout(id);
                self.latest = self.latest.max(self.cluster.now);
                self.cluster.now = now;
            }
            Event::Sync { pick, outputs } => {
                let id = self.node(pick);
                self.cluster.sync_some(id, outputs);
            }
            Event::Crash { pick, keep, torn } => {
                let id = self.node(pick);
                self.cluster.crash_torn(id, keep, torn);
            }
            Event::Propose { pick } => {
                self.proposals += 1;
                let id = self.node(pick);
                self.cluster.propose(id, self.proposals);
            }
            Event::Transfer { pick, to } => {
                let (id, to) = (self.node(pick), self.node(to));
                // Refused by all but leaders.
                let _ = self.cluster.transfer(id, to);
            }
            Event::Read { pick } => {
                self.reads += 1;
                let id = self.node(pick);
                self.cluster.read(id, self.reads);
            }
            Event::Compact { pick } => {
                let id = self.node(pick);
                self.cluster.compact(id);
            }
            Event::TakeSnapshot { pick } => {
                let id = self.node(pick);
                if self.cluster.nodes[&id].want_snapshot {
                    self.cluster.take_snapshot(id);
                }
            }
            Event::Install { pick } => {
                let id = self.node(pick);
                if self.cluster.nodes[&id].install.is_some() {
                    self.cluster.install(id);
                }
            }
            Event::Unreachable { pick, peer } => {
                let (id, peer) = (self.node(pick), self.node(peer));
                self.cluster.unreachable(id, peer);
            }
            Event::Isolate { pick } => self.isolated = Some(self.node(pick)),
            Event::Rejoin => self.isolated = None,
        }
    }

    /// Everything works again; says what is still wrong after a long while.
    fn heal(&mut self) -> Result<(), String> {
        self.cluster.now = self.cluster.now.max(self.latest);
        self.isolated = None;
        let mut marker = None;
        for _ in 0..400 {
            self.quiet_round();
            let leader = (1..=self.n).find(|id| {
                let raft = self.cluster.raft(*id);
                raft.role() == Role::Leader
                    && (1..=self.n).all(|o| self.cluster.raft(o).leader() == *id)
            });
            if let (Some(leader), None) = (leader, marker) {
                // Refused while leadership is handed over, or too much waits.
                marker = self.cluster.propose(leader, 0).then_some(());
            }
            let states: Vec<_> = self.cluster.nodes.values().map(|n| &n.state).collect();
            let has_marker = |s: &Entries| s.values().any(|(_, data)| *data == MARKER);
            if marker.is_some() && states.iter().all(|s| has_marker(s)) {
                return match states.windows(2).all(|w| w[0] == w[1]) {
                    true => Ok(()),
                    false => Err(format!("the states differ: {states:#?}")),
                };
            }
        }
        let rafts: Vec<_> = self.cluster.nodes.values().map(|n| &n.raft).collect();
        Err(format!("no agreement: {rafts:#?}"))
    }

    /// One heartbeat interval in which all messages and syncs arrive.
    fn quiet_round(&mut self) {
        self.cluster.settle();
        for id in 1..=self.n {
            if self.cluster.nodes[&id].want_snapshot {
                self.cluster.take_snapshot(id);
            }
            if self.cluster.nodes[&id].install.is_some() {
                self.cluster.install(id);
            }
        }
        self.cluster.now += HEARTBEAT;
        for id in 1..=self.n {
            if self.cluster.raft(id).deadline() <= self.cluster.now {
                self.cluster.timeout(id);
            }
        }
    }
}

/// A cluster, and what happens to it.
#[derive(Debug, Clone)]
struct Schedule {
    nodes: u64,
    pre_vote: bool,
    check_quorum: bool,
    events: Vec<Event>,
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let sizes = prop_oneof![4 => Just(3_u64), 3 => Just(5), 1 => Just(4), 1 => Just(2)];
    // Half of the time neither, where there is more to go wrong.
    let flags = prop_oneof![
        4 => Just((false, false)),
        2 => Just((true, true)),
        1 => Just((true, false)),
        1 => Just((false, true)),
    ];
    let settings = (sizes, flags);
    let events = prop::collection::vec(event(), 100..900);
    (settings, events).prop_map(|((nodes, (pre_vote, check_quorum)), events)| Schedule {
        nodes,
        pre_vote,
        check_quorum,
        events,
    })
}

proptest! {
    #[test]
    fn promises_hold_whatever_happens(schedule in schedule()) {
        let mut run = Run::new(&schedule, None);
        for event in schedule.events {
            run.happen(event);
            let broken = &run.cluster.invariants.broken;
            prop_assert!(broken.is_empty(), "{broken:#?}");
        }
        let healed = run.heal();
        prop_assert!(healed.is_ok(), "{}", healed.unwrap_err());
        let broken = &run.cluster.invariants.broken;
        prop_assert!(broken.is_empty(), "{broken:#?}");
        for node in run.cluster.nodes.values() {
            let nonsense = node.marks.iter().find(|m| NEVER.contains(m));
            prop_assert_eq!(nonsense, None);
        }
    }
}

/// The schedules are worth something: they come by every point of the code
/// that honest members can reach.
#[test]
fn schedules_reach_every_mark() {
    let mut runner = TestRunner::deterministic();
    let mut missing: BTreeSet<&str> = marks::ALL.into_iter().collect();
    missing.retain(|m| !NEVER.contains(m) && !TOLD_ELSEWHERE.contains(m));
    for _ in 0..2_000 {
        let schedule = schedule().new_tree(&mut runner).unwrap().current();
        let mut run = Run::new(&schedule, None);
        schedule
            .events
            .into_iter()
            .for_each(|event| run.happen(event));
        run.heal().expect("the cluster agrees in the end");
        for node in run.cluster.nodes.values() {
            missing.retain(|m| !node.marks.contains(m));
        }
        if missing.is_empty() {
            return;
        }
    }
    panic!("never reached: {missing:?}");
}

/// Bugs of Raft that short schedules show. The others are those of the store
/// and of membership, and those whose consequences take messages that are late
/// by elections, logs that are sent in pieces, or members that lag for long.
const SHOWN: [Bug; 12] = [
    Bug::AckBeforeFsync,
    Bug::AckOnAppend,
    Bug::ApplyOnAppend,
    Bug::CountOldVotes,
    Bug::ForgetVote,
    Bug::HalfQuorum,
    Bug::IgnorePrevTerm,
    Bug::KeepConflict,
    Bug::ReadBeforeFirstCommit,
    Bug::TruncateOnAppend,
    Bug::UnconfirmedRead,
    Bug::VoteShorterLog,
];

/// And they find planted bugs, without being told where to look.
#[test]
fn schedules_find_planted_bugs() {
    let mut missing = Vec::new();
    for bug in SHOWN {
        let mut runner = TestRunner::deterministic();
        let found = (1..=3_000).find(|_| {
            let schedule = schedule().new_tree(&mut runner).unwrap().current();
            let mut run = Run::new(&schedule, Some(bug));
            schedule.events.into_iter().any(|event| {
                run.happen(event);
                !run.cluster.invariants.broken.is_empty()
            })
        });
        println!("{}: found by schedule {found:?}", bug.name());
        if found.is_none() {
            missing.push(bug.name());
        }
    }
    assert!(missing.is_empty(), "not found: {missing:?}");
}
