//! Three members of raft-rs.

use crate::{COMPACT_EVERY, ENTRY_BYTES, MAX_APPEND_BYTES, MAX_INFLIGHT, MEMBERS};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};
use raft_proto::eraftpb::{Entry, Message};
use slog::{Discard, Logger, o};
use std::collections::VecDeque;

struct Member {
    node: RawNode<MemStorage>,
    committed: u64,
}

/// A cluster whose first member leads.
pub(crate) struct Theirs {
    members: Vec<Member>,
    network: VecDeque<Message>,
    proposed: u64,
}

impl Theirs {
    pub(crate) fn elected() -> Theirs {
        let member = |id| {
            let voters: Vec<u64> = (1..=MEMBERS).collect();
            let config = Config {
                id,
                election_tick: 10,
                heartbeat_tick: 1,
                max_size_per_msg: MAX_APPEND_BYTES,
                max_inflight_msgs: MAX_INFLIGHT,
                batch_append: true,
                pre_vote: true,
                check_quorum: true,
                ..Config::default()
            };
            let storage = MemStorage::new_with_conf_state((voters, vec![]));
            let node = RawNode::new(&config, storage, &Logger::root(Discard, o!()));
            Member {
                node: node.expect("a valid configuration"),
                committed: 0,
            }
        };
        let mut cluster = Theirs {
            members: (1..=MEMBERS).map(member).collect(),
            network: VecDeque::new(),
            proposed: 0,
        };
        cluster.members[0].node.campaign().expect("it may stand");
        cluster.settle();
        assert_eq!(cluster.members[0].node.raft.state, StateRole::Leader);
        cluster
    }

    /// Proposes and commits everywhere; returns the commit index.
    pub(crate) fn commit(&mut self, batch: u64) -> u64 {
        for _ in 0..batch {
            self.proposed += 1;
            // What members of ours give along: the proposal's id.
            let id = self.proposed.to_be_bytes().to_vec();
            let leader = &mut self.members[0].node;
            leader
                .propose(id, vec![b'x'; ENTRY_BYTES])
                .expect("it leads");
        }
        self.settle();
        let committed = self.members[0].committed;
        assert!(self.members.iter().all(|m| m.committed == committed));
        assert_eq!(
            committed,
            self.proposed + 1,
            "an empty entry began the term"
        );
        if committed % COMPACT_EVERY < batch {
            for member in &mut self.members {
                let mut storage = member.node.mut_store().wl();
                storage.compact(committed).expect("in the log");
            }
        }
        committed
    }

    fn settle(&mut self) {
        for member in &mut self.members {
            member.flush(&mut self.network);
        }
        while let Some(msg) = self.network.pop_front() {
            let member = &mut self.members[msg.to as usize - 1];
            member.node.step(msg).expect("a message of the cluster");
            member.flush(&mut self.network);
        }
    }
}

impl Member {
    /// In the order that raft-rs asks for: messages, entries, hard state,
    /// messages that waited for them, committed entries.
    fn flush(&mut self, network: &mut VecDeque<Message>) {
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            network.extend(ready.take_messages());
            let committed = ready.take_committed_entries();
            let mut storage = self.node.mut_store().wl();
            storage.append(ready.entries()).expect("no gap");
            if let Some(hard_state) = ready.hs() {
                storage.set_hardstate(hard_state.clone());
            }
            drop(storage);
            network.extend(ready.take_persisted_messages());
            self.learn(&committed);
            let mut light = self.node.advance(ready);
            network.extend(light.take_messages());
            self.learn(&light.take_committed_entries());
            self.node.advance_apply();
        }
    }

    fn learn(&mut self, committed: &[Entry]) {
        if let Some(last) = committed.last() {
            self.committed = last.index;
        }
    }
}
