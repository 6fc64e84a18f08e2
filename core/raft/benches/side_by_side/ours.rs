//! Three members of squall-raft.

use crate::{COMPACT_EVERY, ENTRY_BYTES, MAX_APPEND_BYTES, MAX_INFLIGHT, MEMBERS};
use bytes::Bytes;
use raft::storage::MemStorage;
use raft_proto::eraftpb::Message;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use squall_api::{Bugs, Role};
use squall_raft::{Raft, Restored, Settings};
use std::collections::VecDeque;

struct Member {
    raft: Raft,
    storage: MemStorage,
    committed: u64,
}

/// A cluster whose first member leads.
pub(crate) struct Ours {
    members: Vec<Member>,
    network: VecDeque<Message>,
    proposed: u64,
}

impl Ours {
    pub(crate) fn elected() -> Ours {
        let member = |id| Member {
            raft: Raft::new(
                Settings {
                    id,
                    voters: (1..=MEMBERS).collect(),
                    election_timeout: 1_000,
                    heartbeat: 100,
                    max_append_bytes: MAX_APPEND_BYTES,
                    max_inflight: MAX_INFLIGHT,
                    max_inflight_bytes: u64::MAX,
                    max_uncommitted_bytes: u64::MAX,
                    pre_vote: true,
                    check_quorum: true,
                    read_lease: 0,
                    bugs: Bugs::NONE,
                },
                Restored::default(),
                ChaCha8Rng::seed_from_u64(id),
                0,
            ),
            storage: MemStorage::new(),
            committed: 0,
        };
        let mut cluster = Ours {
            members: (1..=MEMBERS).map(member).collect(),
            network: VecDeque::new(),
            proposed: 0,
        };
        let due = cluster.members[0].raft.deadline();
        cluster.members[0].raft.on_deadline(due);
        cluster.settle();
        assert_eq!(cluster.members[0].raft.role(), Role::Leader);
        cluster
    }

    /// Proposes and commits everywhere; returns the commit index.
    pub(crate) fn commit(&mut self, batch: u64) -> u64 {
        for _ in 0..batch {
            self.proposed += 1;
            let leader = &mut self.members[0].raft;
            let data = Bytes::from(vec![b'x'; ENTRY_BYTES]);
            leader.propose(0, self.proposed, data).expect("it leads");
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
                member.raft.compact(committed);
                member.storage.wl().compact(committed).expect("in the log");
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
            member.raft.step(0, msg);
            member.flush(&mut self.network);
        }
    }
}

impl Member {
    fn flush(&mut self, network: &mut VecDeque<Message>) {
        loop {
            let out = self.raft.take();
            let must_persist = out.must_persist();
            network.extend(out.send);
            if must_persist {
                let mut storage = self.storage.wl();
                storage.append(&out.append).expect("no gap");
                if let Some(hard_state) = out.hard_state {
                    storage.set_hardstate(hard_state);
                }
            }
            network.extend(out.send_after_sync);
            if let Some(last) = out.committed.last() {
                self.committed = last.index;
            }
            if !must_persist {
                return;
            }
            self.raft.persisted(0, out.seq);
        }
    }
}
