//! Reads, snapshots, transfers of leadership and changes of members: the same
//! schedule through a cluster of each implementation.
//!
//! How many messages these take, and what stands in them, is another matter in
//! each. So each cluster has its own messages, which are delivered until all is
//! quiet, over links that hold or lose everything. Then both must be in the same
//! state, and must have answered the same reads with the same indexes. Clocks,
//! and whose election timeout ends when, are those of ours. What had to be evened
//! out stands where it is done, in [`Theirs`] and below.

use crate::cluster::{Cluster, Node, Settings, State};
use crate::ours::Ours;
use crate::theirs::Theirs;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use raft_proto::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};
use squall_api::Role;
use std::collections::BTreeMap;

const NODES: u64 = 5;

#[derive(Debug, Clone)]
enum Event {
    /// A tick of all clocks.
    Tick,
    /// The election timeout of a node passes: ticks of its clock alone.
    Timeout {
        pick: usize,
    },
    /// Asked of any node: one that follows forwards it.
    Propose {
        pick: usize,
    },
    /// The same.
    Read {
        pick: usize,
    },
    /// Asked of the leader.
    Transfer {
        pick: usize,
    },
    /// Asked of the leader.
    Change(Change),
    /// A node makes a snapshot, and keeps so many entries before it.
    Compact {
        pick: usize,
        keep: u64,
    },
    Crash {
        pick: usize,
    },
    /// Nothing reaches or leaves a node.
    Isolate {
        pick: usize,
    },
    /// Two nodes do not reach each other, and everybody else does.
    Cut {
        pick: usize,
        other: usize,
    },
    Heal,
}

#[derive(Debug, Clone)]
struct Change {
    transition: usize,
    /// Type and node of each.
    changes: Vec<(usize, u64)>,
}

impl Change {
    fn to_proto(&self) -> ConfChangeV2 {
        let transitions = [
            ConfChangeTransition::Auto,
            ConfChangeTransition::Implicit,
            ConfChangeTransition::Explicit,
        ];
        let types = [
            ConfChangeType::AddNode,
            ConfChangeType::RemoveNode,
            ConfChangeType::AddLearnerNode,
        ];
        let mut change = ConfChangeV2 {
            transition: transitions[self.transition],
            ..ConfChangeV2::default()
        };
        for &(change_type, node_id) in &self.changes {
            change.changes.push(ConfChangeSingle {
                change_type: types[change_type],
                node_id,
                ..ConfChangeSingle::default()
            });
        }
        change
    }
}

fn event() -> impl Strategy<Value = Event> {
    let pick = any::<usize>;
    let change = (
        0_usize..3,
        prop::collection::vec((0_usize..3, 1..=NODES), 0..4),
    );
    prop_oneof![
        12 => Just(Event::Tick),
        3 => pick().prop_map(|pick| Event::Timeout { pick }),
        8 => pick().prop_map(|pick| Event::Propose { pick }),
        5 => pick().prop_map(|pick| Event::Read { pick }),
        2 => pick().prop_map(|pick| Event::Transfer { pick }),
        5 => change.prop_map(|(transition, changes)| Event::Change(Change { transition, changes })),
        3 => (pick(), 0_u64..4).prop_map(|(pick, keep)| Event::Compact { pick, keep }),
        1 => pick().prop_map(|pick| Event::Crash { pick }),
        1 => pick().prop_map(|pick| Event::Isolate { pick }),
        1 => (pick(), pick()).prop_map(|(pick, other)| Event::Cut { pick, other }),
        2 => Just(Event::Heal),
    ]
}

#[derive(Debug, Clone)]
struct Schedule {
    settings: Settings,
    events: Vec<Event>,
}

/// With pre-vote or check-quorum, or both: without them raft-rs does not tell a
/// leader of an earlier term that it leads no more, and leaves it in office until
/// the next election.
fn schedule() -> impl Strategy<Value = Schedule> {
    let guards = prop_oneof![Just((true, false)), Just((false, true)), Just((true, true))];
    let settings = (1..=NODES, guards);
    let events = prop::collection::vec(event(), 30..300);
    (settings, events).prop_map(|((voters, (pre_vote, check_quorum)), events)| Schedule {
        settings: Settings {
            voters: (1..=voters).collect(),
            pre_vote,
            check_quorum,
        },
        events,
    })
}

/// What the schedules led to, so that it can be seen that they are worth something.
#[derive(Debug, Default)]
struct Seen {
    reads: usize,
    changes: usize,
    joint: usize,
    transfers: usize,
    snapshots: usize,
    ended_early: usize,
}

struct Both {
    ours: Cluster<Ours>,
    theirs: Cluster<Theirs>,
    last_id: u64,
    /// The read that is not answered yet, and the leader and its term when it was
    /// asked.
    open_read: Option<(u64, Option<(u64, u64)>)>,
    /// What follows need not be the same.
    is_over: bool,
    seen: Seen,
}

impl Both {
    fn new(settings: &Settings) -> Both {
        Both {
            ours: Cluster::new(NODES, settings),
            theirs: Cluster::new(NODES, settings),
            last_id: 0,
            open_read: None,
            is_over: false,
            seen: Seen::default(),
        }
    }

    fn happen(&mut self, event: &Event) -> Result<(), String> {
        if self.is_over {
            return Ok(());
        }
        let node = |pick: usize| pick as u64 % NODES + 1;
        let leader = self.leader();
        self.last_id += 1;
        let id = self.last_id;
        match event {
            Event::Tick => {
                for node in 1..=NODES {
                    self.tick(node);
                }
            }
            Event::Timeout { pick } => {
                let node = node(*pick);
                for _ in 0..40 {
                    let is_last = self.ours.nodes[&node].times_out_next();
                    self.tick(node);
                    if is_last {
                        break;
                    }
                }
            }
            Event::Propose { pick } => {
                let asked = node(*pick);
                if self.is_heard(asked) {
                    self.ours.on(asked, |node| node.propose(id));
                    self.theirs.on(asked, |node| node.propose(id));
                }
            }
            Event::Read { pick } => {
                let asked = node(*pick);
                if self.is_heard(asked) && self.may_read(asked) {
                    self.open_read = Some((id, self.reign()));
                    self.ours.on(asked, |node| node.read(id));
                    self.theirs.on(asked, |node| node.read(id));
                }
            }
            Event::Transfer { pick } => {
                let to = node(*pick);
                if let Some(leader) = leader.filter(|id| self.may_transfer(*id, to)) {
                    self.ours.on(leader, |node| node.transfer(to));
                    self.theirs.on(leader, |node| node.transfer(to));
                    self.settle();
                    self.seen.transfers += usize::from(to != leader && self.leader() == Some(to));
                }
            }
            Event::Change(change) => {
                let change = change.to_proto();
                if let Some(leader) = leader.filter(|id| self.may_change(*id, &change)) {
                    self.ours.on(leader, |node| node.change(id, &change));
                    self.theirs.on(leader, |node| node.change(id, &change));
                    self.seen.changes += 1;
                }
            }
            Event::Compact { pick, keep } => {
                self.ours.on(node(*pick), |node| node.compact(*keep));
                self.theirs.on(node(*pick), |node| node.compact(*keep));
            }
            Event::Crash { pick } => {
                self.ours.on(node(*pick), Node::crash);
                self.theirs.on(node(*pick), Node::crash);
            }
            Event::Isolate { pick } => {
                let alone = node(*pick);
                self.cut((1..=NODES).map(|other| (alone, other)));
            }
            Event::Cut { pick, other } => self.cut([(node(*pick), node(*other))].into_iter()),
            Event::Heal => self.cut([].into_iter()),
        }
        self.settle();
        self.tell_who_is_left_behind();
        self.compare()
    }

    fn tick(&mut self, id: u64) {
        let times_out = self.ours.nodes[&id].times_out_next();
        self.ours.on(id, |node| node.tick(times_out));
        self.theirs.on(id, |node| node.tick(times_out));
        self.settle();
    }

    fn settle(&mut self) {
        self.ours.settle();
        self.theirs.settle();
        for (id, theirs) in &mut self.theirs.nodes {
            theirs.transfers(self.ours.nodes[id].raft().transferring_to());
        }
    }

    /// A member that leaves, or whose leader does, may never hear that the change is
    /// committed: that depends on what of its leader's was under way. Where ours has
    /// heard it, raft-rs's is told. If it lacks entries, too, the two may go on
    /// differently, and the schedule [ends](Both::compare).
    fn tell_who_is_left_behind(&mut self) {
        for id in (1..=NODES)
            .filter(|id| self.is_left(*id))
            .collect::<Vec<_>>()
        {
            let commit = self.ours.nodes[&id].raft().commit();
            self.theirs.on(id, |node| node.hears_commit(commit));
        }
    }

    fn is_left(&self, id: u64) -> bool {
        match self.ours.nodes.get(&self.ours.nodes[&id].raft().leader()) {
            None => true,
            Some(leader) => {
                let leader = leader.raft();
                leader.role() != Role::Leader || !leader.configuration().contains(id)
            }
        }
    }

    /// Changes which links hold. Heartbeats follow: what a follower lacks because of
    /// the links before, raft-rs finds out by the answers to them, and ours mostly
    /// before that.
    ///
    /// Not while leadership is handed over to a node that is not reached: once it is,
    /// it hears in one of the two first what is committed, and in the other first
    /// that it is to stand for election.
    fn cut(&mut self, links: impl Iterator<Item = (u64, u64)>) {
        if (1..=NODES).any(|id| self.ours.nodes[&id].raft().transferring_to() != 0) {
            return;
        }
        let links: Vec<_> = links.flat_map(|(a, b)| [(a, b), (b, a)]).collect();
        self.ours.cut = links.clone();
        self.theirs.cut = links;
        for _ in 0..2 {
            for node in 1..=NODES {
                self.tick(node);
            }
        }
    }

    fn leader(&self) -> Option<u64> {
        let leads = |id: &u64| self.ours.nodes[id].raft().role() == Role::Leader;
        let leaders = (1..=NODES).filter(leads);
        leaders.max_by_key(|id| self.ours.nodes[id].raft().term())
    }

    /// Who leads, and in which term.
    fn reign(&self) -> Option<(u64, u64)> {
        let leader = self.leader()?;
        Some((leader, self.ours.nodes[&leader].raft().term()))
    }

    /// A leader of ours takes nothing from who is no member, as far as it knows, or
    /// of another term, nor does anybody else pass it on.
    fn is_heard(&self, id: u64) -> bool {
        let asked = self.ours.nodes[&id].raft();
        let Some(leader) = self.ours.nodes.get(&asked.leader()) else {
            return false;
        };
        let leader = leader.raft();
        leader.role() == Role::Leader
            && leader.term() == asked.term()
            && leader.configuration().contains(id)
    }

    /// Before its first commit of the term a leader of ours keeps a read, and one
    /// of raft-rs drops it. A read whose question or answer gets lost is asked
    /// again by ours, and not by raft-rs. While the answers to a heartbeat are
    /// missing, ours takes further reads along with the next one, where raft-rs sends
    /// another at once: so one read is open at a time. And where the
    /// leader alone is the quorum, raft-rs sends no heartbeat, by which learners hear
    /// what they lack; in a joint configuration it waits for one that nobody answers.
    fn may_read(&self, id: u64) -> bool {
        let raft = self.ours.nodes[&id].raft();
        let leader = match raft.leader() {
            0 => return false,
            leader => self.ours.nodes[&leader].raft(),
        };
        let voters = &leader.configuration().voters;
        let mut all = voters.incoming.iter().chain(voters.outgoing.iter());
        let members = leader.configuration().members();
        let is_alone = all.all(|voter| voter == leader.id());
        leader.role() == Role::Leader
            && !(is_alone && (leader.configuration().is_joint() || members.len() > 1))
            && leader.term_at(leader.commit()) == Some(leader.term())
            && (raft.role() == Role::Leader || self.ours.cut.is_empty())
            && self.open_read.is_none()
    }

    /// Ours stands for election only for a leader that it follows, which it may not
    /// know yet when it has just started.
    fn may_transfer(&self, leader: u64, to: u64) -> bool {
        self.ours.nodes[&to].raft().leader() == leader
    }

    fn may_change(&self, leader: u64, change: &ConfChangeV2) -> bool {
        self.ours.nodes[&leader].may_change(change)
    }

    fn compare(&mut self) -> Result<(), String> {
        let (ours, theirs) = (self.ours.states(), self.theirs.states());
        let differ = |id: &&u64| plain(&ours[id], &theirs[id]) != plain(&theirs[id], &ours[id]);
        let different: Vec<&u64> = ours.keys().filter(differ).collect();
        if !different.is_empty() {
            let is_behind = |id: &&u64| self.is_left(**id) && is_behind(&ours[id], &theirs[id]);
            if different.iter().all(is_behind) {
                self.seen.ended_early += 1;
                self.is_over = true;
                return Ok(());
            }
            let told = |id: &u64| format!("n{id}: {:?}\n    {:?}\n", ours[id], theirs[id]);
            let told: String = different.into_iter().map(told).collect();
            return Err(format!("ours, and theirs:\n{told}"));
        }
        let (mine, other) = (self.ours.take_read(), self.theirs.take_read());
        let (answered, reign) = (|id| mine.iter().any(|(ctx, _)| *ctx == id), self.reign());
        self.open_read
            .take_if(|(id, asked_of)| answered(*id) || *asked_of != reign);
        if mine != other {
            return Err(format!("reads: ours {mine:?}, theirs {other:?}"));
        }
        self.note(&ours, mine.len());
        Ok(())
    }

    fn note(&mut self, states: &BTreeMap<u64, State>, reads: usize) {
        self.seen.reads += reads;
        let is_joint = |state: &State| !state.members.contains("& []");
        self.seen.joint += usize::from(states.values().any(is_joint));
    }
}

/// A state, with the part of the log that the other node has not compacted either:
/// a snapshot may be made a little later in one of the two.
fn plain(state: &State, other: &State) -> State {
    let first = other.log.first().map_or(other.last_index + 1, |e| e.0);
    let mut plain = state.clone();
    plain.log.retain(|entry| entry.0 >= first);
    plain
}

/// Whether one of the two has only part of the other's log, and does not differ
/// otherwise.
fn is_behind(a: &State, b: &State) -> bool {
    let (mut a, mut b) = (plain(a, b), plain(b, a));
    let common = a.log.len().min(b.log.len());
    for state in [&mut a, &mut b] {
        state.log.truncate(common);
        (state.commit, state.last_index) = (0, 0);
        state.members.clear();
    }
    a == b
}

proptest! {
    #[test]
    fn both_come_to_the_same(schedule in schedule()) {
        let mut both = Both::new(&schedule.settings);
        for (number, event) in schedule.events.iter().enumerate() {
            let happened = both.happen(event);
            prop_assert!(happened.is_ok(), "event {number}, {event:?}: {happened:?}");
        }
    }
}

/// The schedules are worth something.
#[test]
fn schedules_read_change_and_hand_over() {
    let mut runner = TestRunner::deterministic();
    let mut all = Seen::default();
    for _ in 0..60 {
        let schedule = schedule().new_tree(&mut runner).unwrap().current();
        let mut both = Both::new(&schedule.settings);
        for event in &schedule.events {
            both.happen(event).unwrap_or_else(|difference| {
                panic!("{event:?} {:?}: {difference}", &schedule.events)
            });
        }
        let Seen {
            reads,
            changes,
            joint,
            transfers,
            ended_early,
            ..
        } = both.seen;
        let nodes = both.ours.nodes.values();
        all.snapshots += nodes.map(|node| node.installed).sum::<usize>();
        all.reads += reads;
        all.changes += changes;
        all.joint += joint;
        all.transfers += transfers;
        all.ended_early += ended_early;
    }
    println!("{all:?}");
    assert!(
        all.reads > 100 && all.changes > 100 && all.joint > 20,
        "{all:?}"
    );
    assert!(
        all.transfers > 10 && all.snapshots > 10 && all.ended_early < 6,
        "{all:?}"
    );
}
