//! A cluster of either implementation, whose messages are delivered until all
//! is quiet.

use raft::StateRole;
use raft_proto::eraftpb::{ConfChangeV2, ConfState, Entry, EntryType, Message};
use squall_api::Role;
use std::collections::{BTreeMap, VecDeque};

/// In ticks.
pub(crate) const ELECTION_TIMEOUT: u64 = 10;
/// In ticks.
pub(crate) const HEARTBEAT: u64 = 1;
/// More messages than any event needs: they go in circles.
const MAX_MESSAGES: usize = 20_000;

/// What is the same for all nodes.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The first voters. All nodes begin with them as their configuration.
    pub(crate) voters: Vec<u64>,
    pub(crate) pre_vote: bool,
    pub(crate) check_quorum: bool,
}

/// One node of either implementation, with its disk: each step persists.
pub(crate) trait Node {
    fn open(id: u64, settings: &Settings) -> Self;
    fn step(&mut self, msg: Message);
    /// A tick of its clock, at which its election timeout may end.
    fn tick(&mut self, times_out: bool);
    fn propose(&mut self, id: u64);
    fn read(&mut self, ctx: u64);
    fn change(&mut self, id: u64, change: &ConfChangeV2);
    fn transfer(&mut self, to: u64);
    /// A snapshot to `peer` was lost.
    fn lost_snapshot(&mut self, peer: u64);
    /// Makes a snapshot of what is applied, and drops the log before it, but for
    /// so many entries.
    fn compact(&mut self, keep: u64);
    /// Loses its memory, but nothing that is durable.
    fn crash(&mut self);
    /// Persists and applies what came up; returns what it sends.
    fn settle(&mut self) -> Vec<Message>;
    fn state(&self) -> State;
    /// The reads that it has answered since the last call, as (ctx, index).
    fn take_read(&mut self) -> Vec<(u64, u64)>;
}

/// What is compared of a node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State {
    pub(crate) term: u64,
    pub(crate) vote: u64,
    pub(crate) role: Role,
    pub(crate) leader: u64,
    pub(crate) commit: u64,
    pub(crate) members: String,
    /// Index, and what is compared, of each entry.
    pub(crate) log: Vec<(u64, String)>,
    pub(crate) last_index: u64,
}

/// All nodes, and the messages between them.
pub(crate) struct Cluster<N> {
    pub(crate) nodes: BTreeMap<u64, N>,
    queue: VecDeque<Message>,
    /// Links that lose everything, as (from, to).
    pub(crate) cut: Vec<(u64, u64)>,
}

impl<N: Node> Cluster<N> {
    pub(crate) fn new(nodes: u64, settings: &Settings) -> Cluster<N> {
        Cluster {
            nodes: (1..=nodes).map(|id| (id, N::open(id, settings))).collect(),
            queue: VecDeque::new(),
            cut: Vec::new(),
        }
    }

    /// Something happens to a node.
    pub(crate) fn on(&mut self, id: u64, act: impl FnOnce(&mut N)) {
        let node = self.nodes.get_mut(&id).expect("a node of the cluster");
        act(node);
        let mut sent = node.settle();
        // raft-rs keeps its peers in a hash map: their order means nothing.
        sent.sort_by_key(|msg| msg.to);
        self.queue.extend(sent);
    }

    /// Delivers messages until there are none.
    pub(crate) fn settle(&mut self) {
        for _ in 0..MAX_MESSAGES {
            let Some(msg) = self.queue.pop_front() else {
                return;
            };
            let (from, to) = (msg.from, msg.to);
            if !self.cut.contains(&(from, to)) && self.nodes.contains_key(&to) {
                self.on(to, |node| node.step(msg));
            } else if msg.has_snapshot() {
                self.on(from, |node| node.lost_snapshot(to));
            }
        }
        panic!("messages go in circles: {:?}", self.queue.front());
    }

    /// All nodes' states.
    pub(crate) fn states(&self) -> BTreeMap<u64, State> {
        let state = |(id, node): (&u64, &N)| (*id, node.state());
        self.nodes.iter().map(state).collect()
    }

    /// The reads that were answered since the last call, in ascending order.
    pub(crate) fn take_read(&mut self) -> Vec<(u64, u64)> {
        let mut read: Vec<_> = self.nodes.values_mut().flat_map(N::take_read).collect();
        read.sort_unstable();
        read
    }
}

/// raft-rs's role, by our names. A poll needs no role of its own: nobody is asked
/// for a vote.
pub(crate) fn role(state: StateRole) -> Role {
    match state {
        StateRole::Leader => Role::Leader,
        StateRole::Candidate => Role::Candidate,
        StateRole::Follower | StateRole::PreCandidate => Role::Follower,
    }
}

/// What is compared of an entry.
pub(crate) fn plain_entry(entry: &Entry) -> (u64, String) {
    let kind = match entry.entry_type {
        EntryType::EntryNormal => "",
        _ => " change",
    };
    let term = entry.term;
    (
        entry.index,
        format!("t{term}{kind} {:02x?}", &entry.data[..]),
    )
}

/// The members, in ascending order.
pub(crate) fn members(mut state: ConfState) -> String {
    for ids in [
        &mut state.voters,
        &mut state.learners,
        &mut state.voters_outgoing,
        &mut state.learners_next,
    ] {
        ids.sort_unstable();
    }
    let ConfState {
        voters,
        learners,
        voters_outgoing,
        learners_next,
        auto_leave,
        ..
    } = state;
    format!(
        "voters {voters:?} & {voters_outgoing:?}, learners {learners:?}, then {learners_next:?}, \
         auto leave {auto_leave}"
    )
}
