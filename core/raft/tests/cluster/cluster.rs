//! A cluster in memory. Nothing happens by itself: messages arrive, disks sync
//! and timeouts pass when a test says so, and each output that comes of it is
//! told and checked.

use crate::invariants::{Entries, Invariants};
use crate::tell;
use bytes::Bytes;
use raft_proto::eraftpb::{Entry, HardState, Message, MessageType, Snapshot};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use squall_api::{Bug, Bugs, Role};
use squall_raft::confchange::Configuration;
use squall_raft::{
    LogBase, Output, Raft, Restored, Settings, TransferError, decode_conf_change, is_conf_change,
};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

pub(crate) const ELECTION_TIMEOUT: u64 = 1_000;
pub(crate) const HEARTBEAT: u64 = 100;

/// The cluster, what it was seen to do, and what is known of its promises.
pub(crate) struct Cluster {
    pub(crate) now: u64,
    pub(crate) nodes: BTreeMap<u64, Node>,
    /// Messages under way, in the order in which they were sent.
    pub(crate) network: Vec<Message>,
    pub(crate) invariants: Invariants,
    settings: Settings,
    story: String,
    muted: bool,
}

/// A node, its disk, and its state machine.
pub(crate) struct Node {
    pub(crate) raft: Raft,
    /// What a crash leaves.
    durable: Wal,
    /// What was written and not synced, by the outputs it came in.
    unsynced: VecDeque<Unsynced>,
    /// The state: every entry applied, as index -> (term, data).
    pub(crate) state: Entries,
    /// How much of the state a crash leaves.
    state_durable: LogBase,
    /// The configuration in force since which index.
    confs: BTreeMap<u64, Configuration>,
    /// Changes of membership that are committed and not applied.
    waiting_changes: VecDeque<Entry>,
    holds_changes: bool,
    /// Snapshots to install, and wishes for one, wait for the test.
    pub(crate) install: Option<Snapshot>,
    pub(crate) want_snapshot: bool,
    /// (ctx, index) of every read that was confirmed.
    pub(crate) readable: Vec<(u64, u64)>,
    pub(crate) refused: Vec<u64>,
    pub(crate) marks: Vec<&'static str>,
    incarnation: u64,
}

#[derive(Clone, Default)]
struct Wal {
    hard_state: HardState,
    base: LogBase,
    entries: Vec<Entry>,
}

struct Unsynced {
    seq: u64,
    reset: Option<LogBase>,
    append: Vec<Entry>,
    hard_state: Option<HardState>,
    then_send: Vec<Message>,
}

impl Wal {
    fn has(&self, entry: &Entry) -> bool {
        let at = entry.index.checked_sub(self.base.index + 1);
        at.is_none_or(|at| self.entries.get(at as usize) == Some(entry))
    }

    fn write(&mut self, write: &Unsynced) {
        if let Some(base) = write.reset {
            self.base = base;
            self.entries.clear();
        }
        if let Some(first) = write.append.first() {
            let keep = first.index - self.base.index - 1;
            assert!(
                keep <= self.entries.len() as u64,
                "append leaves a gap in the WAL"
            );
            self.entries.truncate(keep as usize);
            self.entries.extend(write.append.iter().cloned());
        }
        if let Some(hard_state) = &write.hard_state {
            self.hard_state = hard_state.clone();
        }
    }
}

impl Cluster {
    /// Nodes 1 to `n`, newly born.
    pub(crate) fn new(n: u64) -> Cluster {
        Cluster::with_bug(n, None)
    }

    /// The same, each with this bug planted.
    pub(crate) fn with_bug(n: u64, bug: Option<Bug>) -> Cluster {
        let settings = Settings {
            id: 0,
            voters: (1..=n).collect(),
            election_timeout: ELECTION_TIMEOUT,
            heartbeat: HEARTBEAT,
            max_append_bytes: 1 << 20,
            max_inflight: 4,
            max_inflight_bytes: u64::MAX,
            max_uncommitted_bytes: u64::MAX,
            pre_vote: false,
            check_quorum: false,
            read_lease: 0,
            bugs: bug.map_or(Bugs::NONE, |bug| Bugs::NONE.with(bug)),
        };
        Cluster::start(settings, BTreeMap::new())
    }

    /// The same, as members run it: with pre-vote and check-quorum. Stories of
    /// the bare protocol are told without.
    pub(crate) fn sticky(n: u64) -> Cluster {
        Cluster::new(n).tune(|s| (s.pre_vote, s.check_quorum) = (true, true))
    }

    /// A cluster in which some nodes already have a log, committed up to
    /// `commit` in `term`: where stories begin in the middle.
    pub(crate) fn with_logs(n: u64, term: u64, commit: u64, logs: &[(u64, &[u64])]) -> Cluster {
        let template = Cluster::new(n).settings;
        let wal = |terms: &[u64]| Wal {
            hard_state: HardState {
                term,
                commit: commit.min(terms.len() as u64),
                ..Default::default()
            },
            base: LogBase::default(),
            entries: (1..)
                .zip(terms)
                .map(|(index, term)| Entry {
                    index,
                    term: *term,
                    ..Default::default()
                })
                .collect(),
        };
        let wals = logs.iter().map(|(id, terms)| (*id, wal(terms))).collect();
        Cluster::start(template, wals)
    }

    fn start(settings: Settings, mut wals: BTreeMap<u64, Wal>) -> Cluster {
        let mut cluster = Cluster {
            now: 0,
            nodes: BTreeMap::new(),
            network: Vec::new(),
            invariants: Invariants::default(),
            story: String::new(),
            muted: true,
            settings,
        };
        for id in cluster.settings.voters.clone() {
            let durable = wals.remove(&id).unwrap_or_default();
            let voters = Configuration::of(cluster.settings.voters.clone());
            let node = cluster.born(id, durable, voters);
            cluster.nodes.insert(id, node);
            cluster.settle_output(id);
        }
        cluster.muted = false;
        cluster
    }

    fn born(&self, id: u64, durable: Wal, configuration: Configuration) -> Node {
        let confs = BTreeMap::from([(0, configuration)]);
        Node {
            raft: self.open(id, 0, &durable, LogBase::default(), &confs),
            durable,
            unsynced: VecDeque::new(),
            state: Entries::new(),
            state_durable: LogBase::default(),
            confs,
            waiting_changes: VecDeque::new(),
            holds_changes: false,
            install: None,
            want_snapshot: false,
            readable: Vec::new(),
            refused: Vec::new(),
            marks: Vec::new(),
            incarnation: 0,
        }
    }

    fn open(
        &self,
        id: u64,
        incarnation: u64,
        wal: &Wal,
        applied: LogBase,
        confs: &BTreeMap<u64, Configuration>,
    ) -> Raft {
        let mut settings = self.settings.clone();
        settings.id = id;
        let mut restored = Restored {
            hard_state: wal.hard_state.clone(),
            base: wal.base,
            entries: wal.entries.clone(),
            applied: 0,
            configuration: Some(newest(confs, applied.index)),
        };
        restored.reconcile(applied);
        let rng = ChaCha8Rng::seed_from_u64(id * 1_000 + incarnation);
        Raft::new(settings, restored, rng, self.now)
    }

    /// Changes settings of all nodes, before the story begins.
    pub(crate) fn tune(mut self, change: impl FnOnce(&mut Settings)) -> Cluster {
        change(&mut self.settings);
        let wals = std::mem::take(&mut self.nodes);
        let wals = wals.into_iter().map(|(id, n)| (id, n.durable)).collect();
        Cluster::start(self.settings, wals)
    }

    // What a test may do.

    /// A heading in the story.
    pub(crate) fn say(&mut self, text: &str) {
        if !self.muted {
            writeln!(self.story, "\n{text}").unwrap();
        }
    }

    /// Does what need not be told.
    pub(crate) fn quietly(&mut self, act: impl FnOnce(&mut Cluster)) {
        self.muted = true;
        act(self);
        self.muted = false;
    }

    /// Nothing from here on is told.
    pub(crate) fn mute(&mut self) {
        self.muted = true;
    }

    /// The node's next timeout passes.
    pub(crate) fn timeout(&mut self, id: u64) {
        let what = match self.nodes[&id].raft.role() {
            Role::Leader => "heartbeat is due",
            _ => "election timeout passes",
        };
        self.tell(&format!("> n{id}: {what}"));
        self.now = self.now.max(self.nodes[&id].raft.deadline());
        let now = self.now;
        self.node(id).raft.on_deadline(now);
        self.settle_output(id);
    }

    /// The node's disk ends a sync of everything written so far.
    pub(crate) fn sync(&mut self, id: u64) {
        let all = self.nodes[&id].unsynced.len();
        self.sync_some(id, all);
    }

    /// A sync that covers only the first `outputs` of what is unsynced.
    pub(crate) fn sync_some(&mut self, id: u64, outputs: usize) {
        let now = self.now;
        let node = self.node(id);
        let mut through = None;
        let mut released = Vec::new();
        for _ in 0..outputs {
            let Some(write) = node.unsynced.pop_front() else {
                break;
            };
            node.durable.write(&write);
            through = Some(write.seq);
            released.extend(write.then_send);
        }
        let Some(through) = through else { return };
        node.raft.persisted(now, through);
        self.tell(&format!("> n{id}: disk synced"));
        for msg in released {
            self.depart(msg);
        }
        self.settle_output(id);
    }

    /// Messages that are under way from `from` to `to` arrive, in order.
    pub(crate) fn deliver(&mut self, from: u64, to: u64) {
        let arriving = self.lift(|m| m.from == from && m.to == to);
        assert!(
            !arriving.is_empty(),
            "nothing is under way from n{from} to n{to}\n{}",
            self.story
        );
        for msg in arriving {
            self.arrive(msg);
        }
    }

    /// Messages from `from` to `to` are lost.
    pub(crate) fn lose(&mut self, from: u64, to: u64) {
        for msg in self.lift(|m| m.from == from && m.to == to) {
            self.tell(&format!("> lost: {}", tell::message(&msg)));
        }
    }

    /// Everything under way to or from `id` is lost.
    pub(crate) fn isolate(&mut self, id: u64) {
        let lost = self.lift(|m| m.from == id || m.to == id);
        if !lost.is_empty() {
            self.tell(&format!("> lost: all under way to and from n{id}"));
        }
    }

    /// Messages and syncs happen until nothing is left to happen among `ids`;
    /// messages to and from others are lost.
    pub(crate) fn settle_among(&mut self, ids: &[u64]) {
        let lost = |m: &Message| !ids.contains(&m.to) || !ids.contains(&m.from);
        self.settle_but(ids, lost);
    }

    /// Time passes for `duration`: timeouts happen in their order, and messages
    /// arrive at once but for those that are lost.
    pub(crate) fn pass(&mut self, duration: u64, lost: impl Fn(&Message) -> bool) {
        let all: Vec<u64> = self.nodes.keys().copied().collect();
        let until = self.now + duration;
        loop {
            self.settle_but(&all, &lost);
            let deadline = |id: &u64| self.nodes[id].raft.deadline();
            let next = all.iter().copied().min_by_key(deadline).expect("a node");
            if deadline(&next) > until {
                break;
            }
            self.timeout(next);
        }
        self.now = until;
    }

    fn settle_but(&mut self, ids: &[u64], lost: impl Fn(&Message) -> bool) {
        for _ in 0..1_000 {
            self.network.retain(|m| !lost(m));
            let idle = |id: &u64| self.nodes[id].unsynced.is_empty();
            if self.network.is_empty() && ids.iter().all(idle) {
                return;
            }
            for id in ids {
                self.sync(*id);
            }
            for msg in std::mem::take(&mut self.network) {
                if !lost(&msg) {
                    self.arrive(msg);
                }
            }
        }
        panic!("the cluster does not come to rest\n{}", self.story);
    }

    /// Messages and syncs happen until nothing is left to happen.
    pub(crate) fn settle(&mut self) {
        let all: Vec<u64> = self.nodes.keys().copied().collect();
        self.settle_among(&all);
    }

    /// An operator changes the membership: `v4` makes 4 a voter, `l4` a learner,
    /// `r4` removes it; several go through a joint configuration.
    pub(crate) fn change(&mut self, id: u64, changes: &str) -> bool {
        self.tell(&format!("> n{id}: shall change the membership: {changes}"));
        let now = self.now;
        let change = tell::parse_change(changes);
        let refused = self.node(id).raft.propose_conf_change(now, 0, &change);
        if let Err(why) = refused {
            self.tell(&format!("    refused: {why}"));
        }
        self.settle_output(id);
        refused.is_ok()
    }

    /// An empty node starts, which no configuration has yet.
    pub(crate) fn add_node(&mut self, id: u64) {
        self.tell(&format!("> n{id}: starts empty"));
        let node = self.born(id, Wal::default(), Configuration::default());
        self.nodes.insert(id, node);
        self.settle_output(id);
    }

    /// The node applies no change of membership until it is told to.
    pub(crate) fn hold_changes(&mut self, id: u64, hold: bool) {
        self.node(id).holds_changes = hold;
        self.apply_changes(id);
    }

    /// A client proposes at a node.
    pub(crate) fn propose(&mut self, id: u64, proposal: u64) -> bool {
        self.tell(&format!("> n{id}: a client proposes p{proposal}"));
        let now = self.now;
        let data = Bytes::from(format!("p{proposal}"));
        let refused = self.node(id).raft.propose(now, proposal, data).err();
        let taken = refused.is_none();
        if let Some(why) = refused {
            self.tell(&format!("    refused: {why}"));
        }
        self.settle_output(id);
        taken
    }

    /// An operator wishes another to lead.
    pub(crate) fn transfer(&mut self, id: u64, to: u64) -> Result<(), TransferError> {
        self.tell(&format!("> n{id}: shall hand over to n{to}"));
        let now = self.now;
        let outcome = self.node(id).raft.transfer_leader(now, to);
        if let Err(why) = outcome {
            self.tell(&format!("    refused: {why}"));
        }
        self.settle_output(id);
        outcome
    }

    /// A client reads at a node.
    pub(crate) fn read(&mut self, id: u64, ctx: u64) -> bool {
        self.tell(&format!("> n{id}: a client reads, r{ctx}"));
        let now = self.now;
        self.invariants.read_asked(id, ctx);
        let taken = self.node(id).raft.read_index(now, ctx).is_ok();
        if !taken {
            self.tell("    refused: no leader is known");
        }
        self.settle_output(id);
        taken
    }

    /// The node's state is made durable, and its log compacted behind it.
    pub(crate) fn compact(&mut self, id: u64) {
        self.compact_but(id, 0);
    }

    /// The same, but a tail of so many entries is kept.
    pub(crate) fn compact_but(&mut self, id: u64, kept: u64) {
        let node = self.node(id);
        if node.install.is_some() {
            return;
        }
        if let Some((index, (term, _))) = node.state.last_key_value() {
            node.state_durable = LogBase {
                index: *index,
                term: *term,
            };
            node.raft.compact(index.saturating_sub(kept));
            let base = node.raft.base();
            // The WAL drops what the log dropped; losing that is harmless.
            let gone = base.index.saturating_sub(node.durable.base.index) as usize;
            if node.unsynced.is_empty() && gone > 0 {
                node.durable.entries.drain(..gone);
                node.durable.base = base;
            }
            self.tell(&format!("> n{id}: log compacted up to {}", base.index));
        }
        self.settle_output(id);
    }

    /// The node makes the snapshot that was wanted.
    pub(crate) fn take_snapshot(&mut self, id: u64) {
        self.take_snapshot_at(id, u64::MAX);
    }

    /// The same, though of its state as it was at `index`.
    pub(crate) fn take_snapshot_at(&mut self, id: u64, index: u64) {
        let now = self.now;
        let node = self.node(id);
        node.want_snapshot = false;
        let mut state = node.state.clone();
        state.retain(|at, _| *at <= index);
        let Some((index, (term, _))) = state.last_key_value() else {
            return;
        };
        let mut snapshot = Snapshot::default();
        snapshot.mut_metadata().index = *index;
        snapshot.mut_metadata().term = *term;
        snapshot.data = encode_state(&state);
        let configuration = newest(&node.confs, *index);
        snapshot
            .mut_metadata()
            .set_conf_state(configuration.to_state());
        node.raft.snapshot_taken(now, snapshot);
        self.tell(&format!("> n{id}: snapshot taken at {index}"));
        self.settle_output(id);
    }

    /// The node has installed the snapshot that it was given.
    pub(crate) fn install(&mut self, id: u64) {
        let now = self.now;
        let node = self.node(id);
        let snapshot = node.install.take().expect("a snapshot to install");
        let base = LogBase {
            index: snapshot.get_metadata().index,
            term: snapshot.get_metadata().term,
        };
        node.state = decode_state(&snapshot.data);
        let conf_state = snapshot.get_metadata().get_conf_state();
        node.confs = BTreeMap::from([(base.index, Configuration::from_state(conf_state))]);
        node.state_durable = base;
        node.raft.snapshot_installed(now, base);
        self.tell(&format!("> n{id}: snapshot installed"));
        self.settle_output(id);
    }

    /// The node loses power, and what it did not sync but the first `keep`
    /// outputs of it, and starts again.
    pub(crate) fn crash(&mut self, id: u64, keep: usize) {
        self.crash_torn(id, keep, false);
    }

    /// The same. If `torn`, the output after the kept ones reached the disk as
    /// far as its log goes, but not its hard state.
    pub(crate) fn crash_torn(&mut self, id: u64, keep: usize, torn: bool) {
        self.tell(&format!("> n{id}: crashes and restarts"));
        let node = self.node(id);
        let mut unsynced = std::mem::take(&mut node.unsynced).into_iter();
        for write in unsynced.by_ref().take(keep) {
            node.durable.write(&write);
        }
        if let Some(mut write) = unsynced.next().filter(|_| torn) {
            write.hard_state = None;
            node.durable.write(&write);
        }
        node.incarnation += 1;
        node.waiting_changes.clear();
        node.confs.retain(|at, _| *at <= node.state_durable.index);
        node.install = None;
        node.want_snapshot = false;
        node.state
            .retain(|index, _| *index <= node.state_durable.index);
        let (incarnation, applied) = (node.incarnation, node.state_durable);
        // As its owner must: a log overtaken by an installed snapshot goes.
        let mut wal = node.durable.clone();
        let mut restored = Restored {
            hard_state: wal.hard_state.clone(),
            base: wal.base,
            entries: wal.entries.clone(),
            applied: 0,
            configuration: None,
        };
        if restored.reconcile(applied) {
            wal = Wal {
                hard_state: restored.hard_state,
                base: restored.base,
                entries: restored.entries,
            };
        }
        self.node(id).durable = wal.clone();
        self.invariants.crashed(id);
        let confs = self.nodes[&id].confs.clone();
        let raft = self.open(id, incarnation, &wal, applied, &confs);
        let text = format!(
            "    comes back in term {}, vote {}, with {}",
            raft.term(),
            raft.vote(),
            tell::log(&raft)
        );
        self.tell(&text);
        self.node(id).raft = raft;
        self.settle_output(id);
    }

    /// A message that was sent by nobody arrives.
    pub(crate) fn forge(&mut self, msg: Message) {
        self.arrive(msg);
    }

    // What a test may look at.

    /// The story so far, for a golden file. No promise may have been broken.
    pub(crate) fn story(&mut self) -> String {
        self.invariants.assert_kept();
        let story = std::mem::take(&mut self.story);
        format!("{}\n", story.trim())
    }

    pub(crate) fn raft(&self, id: u64) -> &Raft {
        &self.nodes[&id].raft
    }

    /// The terms of a node's log.
    pub(crate) fn terms(&self, id: u64) -> Vec<u64> {
        self.raft(id).entries_from(0).map(|e| e.term).collect()
    }

    /// Outputs that were written and not synced.
    pub(crate) fn unsynced(&self, id: u64) -> usize {
        self.nodes[&id].unsynced.len()
    }

    /// How many messages of that type are under way.
    pub(crate) fn under_way(&self, msg_type: MessageType) -> usize {
        let is_it = |m: &&Message| m.msg_type == msg_type;
        self.network.iter().filter(is_it).count()
    }

    /// Elects `id` and lets everybody follow it.
    pub(crate) fn elect(&mut self, id: u64) {
        self.timeout(id);
        self.settle();
        assert_eq!(self.raft(id).role(), Role::Leader, "n{id} was not elected");
    }

    /// Takes messages out of the network.
    pub(crate) fn lift(&mut self, which: impl Fn(&Message) -> bool) -> Vec<Message> {
        let (lifted, rest) = std::mem::take(&mut self.network)
            .into_iter()
            .partition(which);
        self.network = rest;
        lifted
    }

    /// A message arrives.
    pub(crate) fn arrive(&mut self, msg: Message) {
        self.tell(&format!("> {}", tell::message(&msg)));
        let (to, now) = (msg.to, self.now);
        self.node(to).raft.step(now, msg);
        self.settle_output(to);
    }

    /// A node hears that another cannot be reached.
    pub(crate) fn unreachable(&mut self, id: u64, peer: u64) {
        self.tell(&format!("> n{id}: n{peer} is unreachable"));
        self.node(id).raft.unreachable(peer);
        self.settle_output(id);
    }

    fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).expect("a node of the cluster")
    }

    fn tell(&mut self, line: &str) {
        if !self.muted {
            writeln!(self.story, "  {line}").unwrap();
        }
    }

    fn depart(&mut self, msg: Message) {
        self.invariants.sent(&msg);
        self.network.push(msg);
    }

    /// Does with an output what a node's owner does.
    fn settle_output(&mut self, id: u64) {
        let out = self.node(id).raft.take();
        for line in tell::output(id, &out) {
            self.tell(&format!("    {line}"));
        }
        let Output {
            seq,
            reset,
            append,
            hard_state,
            send,
            send_after_sync,
            committed,
            readable,
            refused,
            install,
            want_snapshot,
            marks,
            log_changed_from,
        } = out;
        let must_persist = reset.is_some() || !append.is_empty() || hard_state.is_some();
        let now_durable = {
            let node = self.node(id);
            if must_persist {
                node.unsynced.push_back(Unsynced {
                    seq,
                    reset,
                    append,
                    hard_state,
                    then_send: Vec::new(),
                });
            }
            node.unsynced.is_empty()
        };
        for msg in send {
            self.depart(msg);
        }
        if now_durable {
            for msg in send_after_sync {
                self.depart(msg);
            }
        } else {
            let last = self.node(id).unsynced.back_mut().expect("it has one");
            last.then_send.extend(send_after_sync);
        }
        let node = self.nodes.get_mut(&id).expect("a node of the cluster");
        for entry in committed {
            if !node.durable.has(&entry) {
                self.invariants.broken.push(format!(
                    "applied is durable: n{id} applies entry {} of term {} before it is synced",
                    entry.index, entry.term
                ));
            }
            let data = tell::data(&entry);
            node.state.insert(entry.index, (entry.term, data.into()));
            if is_conf_change(&entry) {
                node.waiting_changes.push_back(entry);
            }
        }
        for (ctx, index) in &readable {
            self.invariants.read_confirmed(id, *ctx, *index);
        }
        for ctx in &refused {
            self.invariants.read_refused(id, *ctx);
        }
        node.readable.extend(readable);
        node.refused.extend(refused);
        node.marks.extend(marks);
        node.want_snapshot |= want_snapshot;
        if install.is_some() {
            node.install = install;
        }
        self.invariants
            .observe(&node.raft, &node.state, log_changed_from);
        self.apply_changes(id);
    }

    fn apply_changes(&mut self, id: u64) {
        let now = self.now;
        let node = self.node(id);
        if node.holds_changes {
            return;
        }
        let Some(entry) = node.waiting_changes.pop_front() else {
            return;
        };
        let before = newest(&node.confs, u64::MAX);
        let change = decode_conf_change(&entry).expect("a change of membership");
        let after = before.changed(&change).unwrap_or(before);
        node.confs.insert(entry.index, after.clone());
        node.raft
            .configuration_applied(now, entry.index, after.clone());
        self.tell(&format!("    n{id} is in {after} as of {}", entry.index));
        self.settle_output(id);
    }
}

/// The configuration as of `index`.
fn newest(confs: &BTreeMap<u64, Configuration>, index: u64) -> Configuration {
    let newest = confs.range(..=index).next_back();
    newest.map_or_else(Configuration::default, |(_, conf)| conf.clone())
}

fn encode_state(state: &Entries) -> Bytes {
    let mut text = String::new();
    for (index, (term, data)) in state {
        let data = std::str::from_utf8(data).expect("tests propose text");
        writeln!(text, "{index} {term} {data}").unwrap();
    }
    text.into()
}

fn decode_state(data: &Bytes) -> Entries {
    let text = std::str::from_utf8(data).expect("it was encoded from text");
    let line = |line: &str| {
        let mut words = line.split(' ');
        let mut word = || words.next().expect("three words a line").to_owned();
        let number = |word: String| word.parse().expect("a number");
        (number(word()), (number(word()), Bytes::from(word())))
    };
    text.lines().map(line).collect()
}
