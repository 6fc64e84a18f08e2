//! The node: its state, and the way in and out.

use crate::confchange::Configuration;
use crate::durability::Durability;
use crate::forwards::Forwards;
use crate::lease::Lease;
use crate::log::Log;
use crate::membership::Membership;
use crate::message::{is_forward, is_well_formed};
use crate::progress::Tracker;
use crate::reads::{ForwardedReads, ReadRounds};
use crate::transfer::{Transfer, is_transfer};
use crate::{LogBase, Output, Restored, Settings, marks};
use raft_proto::eraftpb::{Entry, HardState, Message, MessageType};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng as _;
use squall_api::{Bug, Role};
use std::collections::BTreeMap;

/// A Raft node without I/O.
///
/// Feed it with [`step`](Raft::step), [`propose`](Raft::propose),
/// [`read_index`](Raft::read_index) and the other verbs, call
/// [`on_deadline`](Raft::on_deadline) once the monotonic clock has reached
/// [`deadline`](Raft::deadline), and after every call [`take`](Raft::take)
/// what came of it. What an [`Output`] says about durability is all there is
/// to know about storage.
#[derive(Debug)]
pub struct Raft {
    pub(crate) settings: Settings,
    pub(crate) membership: Membership,
    rng: ChaCha8Rng,

    pub(crate) term: u64,
    pub(crate) vote: u64,
    pub(crate) role: Role,
    /// 0 if none is known; itself when it leads.
    pub(crate) leader: u64,
    pub(crate) log: Log,
    pub(crate) commit: u64,
    /// Invariant: `delivered <= min(commit, stable)`, and never falls.
    pub(crate) delivered: u64,
    pub(crate) durability: Durability,
    /// Term, vote and commit as they were last handed out to be persisted.
    handed_out: (u64, u64, u64),

    election_timeout: u64,
    pub(crate) election_deadline: u64,
    pub(crate) heartbeat_deadline: u64,
    /// Leader: when a quorum should have been heard, the next time.
    pub(crate) quorum_deadline: u64,
    /// Follower: when its leader was last heard.
    pub(crate) leader_heard: u64,

    /// Follower: the answers so far, if it asks whether it could win.
    pub(crate) poll: Option<BTreeMap<u64, bool>>,
    /// Candidate: the answers so far.
    pub(crate) votes: BTreeMap<u64, bool>,
    /// Leader: everybody's progress, its own included. Otherwise empty.
    pub(crate) tracker: Tracker,
    /// Leader: index of the empty entry that began its term.
    pub(crate) term_start: u64,
    pub(crate) rounds: ReadRounds,
    /// Leader: for how long nobody else can lead.
    pub(crate) lease: Lease,
    /// When a message or a deadline came last: not after what is sent now.
    pub(crate) clock: u64,
    /// Leader: the proposals that were forwarded to it in its term.
    pub(crate) forwards: Forwards,
    /// Leader: proposals were appended that followers were not yet sent.
    pub(crate) has_news: bool,
    /// Leader: bytes of the entries after the commit index.
    pub(crate) uncommitted_bytes: u64,
    /// Leader: whom leadership is being handed over to.
    pub(crate) transfer: Option<Transfer>,
    /// Leader: a snapshot was asked for and has not come.
    pub(crate) snapshot_asked: bool,
    /// Follower: reads that its leader was asked to confirm.
    pub(crate) forwarded: ForwardedReads,
    /// Follower: the snapshot that the state machine is being replaced by.
    pub(crate) installing: Option<LogBase>,
    /// Its configuration, if it says one.
    pub(crate) installing_configuration: Option<Configuration>,

    pub(crate) out: Output,
    to_self: Vec<Message>,
}

impl Raft {
    /// A follower as of the last time that it was alive.
    ///
    /// # Panics
    ///
    /// If the settings name no id or no timeouts, or if `restored` does not
    /// [`validate`](Restored::validate): these are its owner's to check.
    pub fn new(settings: Settings, restored: Restored, mut rng: ChaCha8Rng, now: u64) -> Raft {
        assert!(settings.id != 0, "node id 0 means nobody");
        assert!(settings.election_timeout > 0 && settings.heartbeat > 0);
        assert!(
            !settings.voters.contains(&0),
            "node id 0 among voters {:?}",
            settings.voters
        );
        if let Err(contradiction) = restored.validate() {
            panic!("node {} cannot restart: {contradiction}", settings.id);
        }

        let Restored {
            hard_state,
            base,
            entries,
            applied,
            configuration,
        } = restored;
        let at_birth = || Configuration::of(settings.voters.iter().copied());
        let configuration = configuration.unwrap_or_else(at_birth);
        let mut entries = entries;
        if settings.bugs.has(Bug::RestartAtCommit) {
            let committed = hard_state.commit.max(applied);
            entries.retain(|entry| entry.index <= committed);
        }
        let log = Log::new(base, entries);
        let (mut term, mut vote) = (hard_state.term, hard_state.vote);
        // An append reaches the disk before its hard state. If a crash came in
        // between, the node never voted in the term of its last entry.
        if log.last_term() > term {
            (term, vote) = (log.last_term(), 0);
        }
        if settings.bugs.has(Bug::ForgetVote) {
            vote = 0;
        }
        if settings.bugs.has(Bug::ForgetTerm) {
            (term, vote) = (log.last_term(), 0);
        }
        let forwarded = ForwardedReads::new(rng.next_u64());
        let mut raft = Raft {
            membership: Membership::new(configuration, applied),
            rng,
            term,
            vote,
            role: Role::Follower,
            leader: 0,
            commit: hard_state.commit.max(applied).max(base.index),
            delivered: applied,
            durability: Durability::new(log.last_index(), hard_state.term),
            handed_out: (hard_state.term, hard_state.vote, hard_state.commit),
            log,
            election_timeout: 0,
            election_deadline: 0,
            heartbeat_deadline: 0,
            quorum_deadline: 0,
            // It may have heard a leader just before it was stopped.
            leader_heard: now,
            poll: None,
            votes: BTreeMap::new(),
            tracker: Tracker::new(),
            term_start: 0,
            rounds: ReadRounds::default(),
            lease: Lease::default(),
            clock: now,
            forwards: Forwards::default(),
            has_news: false,
            uncommitted_bytes: 0,
            transfer: None,
            snapshot_asked: false,
            forwarded,
            installing: None,
            installing_configuration: None,
            out: Output::default(),
            to_self: Vec::new(),
            settings,
        };
        raft.draw_election_timeout(now);
        raft
    }

    /// When [`on_deadline`](Raft::on_deadline) is due, in monotonic nanoseconds.
    pub fn deadline(&self) -> u64 {
        match self.role {
            Role::Leader => self.heartbeat_deadline,
            Role::Follower | Role::Candidate => self.election_deadline,
        }
    }

    /// The clock has come to `now`. Does nothing before the deadline.
    pub fn on_deadline(&mut self, now: u64) {
        if now < self.deadline() {
            return;
        }
        self.clock = now;
        match self.role {
            Role::Leader => {
                // Counted from now: beats that a pause left out are not made up for.
                self.heartbeat_deadline = now.saturating_add(self.settings.heartbeat);
                if now >= self.quorum_deadline {
                    self.end_quorum_window(now);
                }
                if self.role == Role::Leader {
                    self.give_up_late_transfer(now);
                    self.give_up_lost_snapshots(now);
                    self.beat();
                }
            }
            Role::Follower | Role::Candidate => self.on_election_timeout(now),
        }
    }

    /// A message came from another member. It may be late, doubled, out of
    /// order, or nonsense: what is of no use is ignored, with a mark.
    pub fn step(&mut self, now: u64, msg: Message) {
        self.clock = now;
        if msg.to != self.settings.id {
            self.mark(marks::IGNORED_MISADDRESSED);
        } else if self.is_stranger(&msg) {
            self.mark(marks::IGNORED_STRANGER);
        } else if !is_well_formed(&msg) {
            self.mark(marks::IGNORED_MALFORMED);
        } else {
            self.step_checked(now, msg);
        }
    }

    /// Everything in the outputs up to number `through` is durable.
    ///
    /// # Panics
    ///
    /// If there was no such output.
    pub fn persisted(&mut self, now: u64, through: u64) {
        for msg in self.durability.persisted(through) {
            self.step_checked(now, msg);
        }
    }

    /// Everything that came up since the last call. Empty if nothing did.
    pub fn take(&mut self) -> Output {
        // Not with each proposal: those of one batch share their appends.
        if std::mem::take(&mut self.has_news) {
            self.send_news();
        }
        let mut out = std::mem::take(&mut self.out);
        out.append = self.log.take_unsaved();
        out.log_changed_from = self.log.take_changed_from();
        if self.role == Role::Leader && !out.append.is_empty() {
            out.marks.push(marks::APPENDED_BEFORE_FSYNC);
            let ack = self.own_ack();
            self.to_self.push(ack);
        }

        // The commit index needs no fsync of its own: a restarted node learns
        // it again. It goes along when something else is written.
        let (term, vote, commit) = self.handed_out;
        let writes_log = out.reset.is_some() || !out.append.is_empty();
        if (self.term, self.vote) != (term, vote) || (writes_log && self.commit != commit) {
            self.handed_out = (self.term, self.vote, self.commit);
            out.hard_state = Some(HardState {
                term: self.term,
                vote: self.vote,
                commit: self.commit,
                ..Default::default()
            });
        }

        if out.must_persist() {
            let covers = if writes_log { self.log.last_index() } else { 0 };
            let to_self = std::mem::take(&mut self.to_self);
            self.durability.handed_out(covers, self.term, to_self);
        }
        assert!(
            self.to_self.is_empty(),
            "node {} waits for itself without anything to persist: {:?}",
            self.settings.id,
            self.to_self
        );
        out.seq = self.durability.seq();

        let deliver = match self.settings.bugs.has(Bug::ApplyOnAppend) {
            true => self.durability.stable(),
            false => self.commit.min(self.durability.stable()),
        };
        if deliver > self.delivered && self.installing.is_none() {
            out.committed = self.log.range(self.delivered + 1, deliver);
            self.delivered = deliver;
        }
        out
    }

    /// Drops the log's entries up to `index`, though none that was not handed
    /// out as committed. Followers that need them get a snapshot.
    pub fn compact(&mut self, index: u64) {
        if self.installing.is_none() {
            self.log.compact(index.min(self.delivered));
        }
    }

    /// This node's id.
    pub fn id(&self) -> u64 {
        self.settings.id
    }

    /// Its current term.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// Whom it voted for in this term; 0 for nobody.
    pub fn vote(&self) -> u64 {
        self.vote
    }

    /// Its role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The leader of its term; 0 if it knows none.
    pub fn leader(&self) -> u64 {
        self.leader
    }

    /// The highest index that it knows to be committed.
    pub fn commit(&self) -> u64 {
        self.commit
    }

    /// The entry before the log's first one.
    pub fn base(&self) -> LogBase {
        self.log.base()
    }

    /// Index of the log's first entry, whether or not there is one.
    pub fn first_index(&self) -> u64 {
        self.log.first_index()
    }

    /// Index of the log's last entry; of the base if there is none.
    pub fn last_index(&self) -> u64 {
        self.log.last_index()
    }

    /// The term of the entry at `index`, or of the base; `None` for others.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        self.log.term_at(index)
    }

    /// The log's entries at and after `index`.
    pub fn entries_from(&self, index: u64) -> impl Iterator<Item = &Entry> {
        self.log.entries_from(index)
    }

    fn step_checked(&mut self, now: u64, msg: Message) {
        if is_forward(msg.msg_type) {
            return match msg.msg_type {
                MessageType::MsgPropose => self.handle_propose(msg),
                _ => self.handle_read_index(now, msg),
            };
        }
        if msg.term == 0 || (msg.term < self.term && !self.takes_old_term(&msg)) {
            return self.handle_old_term(&msg);
        }
        let asks_vote = matches!(
            msg.msg_type,
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote
        );
        let is_unwished = asks_vote && !is_transfer(&msg);
        if msg.term > self.term && is_unwished && self.keeps_to_leader(now) {
            return self.mark(marks::KEPT_TO_LEADER);
        }
        // A poll, and a yes to it, are about a term that nobody is in yet.
        match msg.msg_type {
            MessageType::MsgRequestPreVote => return self.handle_poll(&msg),
            MessageType::MsgRequestPreVoteResponse if !msg.reject => {
                return self.handle_poll_answer(now, &msg);
            }
            _ => {}
        }
        if msg.term > self.term {
            self.enter_term(now, msg.term);
        }
        self.heard_follower(msg.from, msg.msg_type);
        match msg.msg_type {
            MessageType::MsgRequestVote => self.handle_request_vote(now, &msg),
            MessageType::MsgRequestVoteResponse => self.handle_vote(now, &msg),
            MessageType::MsgRequestPreVoteResponse => self.handle_poll_answer(now, &msg),
            MessageType::MsgAppend if self.follow(now, msg.from) => self.handle_append(msg),
            MessageType::MsgHeartbeat if self.follow(now, msg.from) => {
                self.handle_heartbeat(now, msg);
            }
            MessageType::MsgSnapshot if self.follow(now, msg.from) => self.handle_snapshot(msg),
            MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot => {
                self.mark(marks::IGNORED_SECOND_LEADER);
            }
            MessageType::MsgAppendResponse => self.handle_append_response(&msg),
            MessageType::MsgHeartbeatResponse => self.handle_heartbeat_response(&msg),
            MessageType::MsgTimeoutNow => self.handle_timeout_now(now, &msg),
            MessageType::MsgReadIndexResp => self.handle_read_index_response(&msg),
            _ => self.mark(marks::IGNORED_TYPE),
        }
    }

    /// Whether a planted bug lets a message of an earlier term pass.
    fn takes_old_term(&self, msg: &Message) -> bool {
        let bugs = self.settings.bugs;
        match msg.msg_type {
            MessageType::MsgAppend => bugs.has(Bug::AcceptOldTerm),
            MessageType::MsgRequestVoteResponse => bugs.has(Bug::CountOldVotes),
            _ => false,
        }
    }

    /// A leader of an earlier term learns the current one, and so does whoever
    /// asks whether it could win there; others need not.
    fn handle_old_term(&mut self, msg: &Message) {
        self.mark(marks::IGNORED_OLD_TERM);
        let from_leader = matches!(
            msg.msg_type,
            MessageType::MsgAppend | MessageType::MsgHeartbeat
        );
        if from_leader && msg.term < self.term {
            let answer = crate::message::message(MessageType::MsgAppendResponse, msg.from);
            self.send(answer);
        } else if msg.msg_type == MessageType::MsgRequestPreVote {
            self.handle_old_poll(msg);
        }
    }

    /// Sends at once, unless a crash could take the node back behind the term
    /// that the message shows.
    pub(crate) fn send(&mut self, mut msg: Message) {
        if is_forward(msg.msg_type) {
            msg.from = self.settings.id;
            self.out.send.push(msg);
        } else if self.term > self.durability.term() {
            self.send_after_sync(msg);
        } else {
            msg.from = self.settings.id;
            msg.term = self.term;
            self.out.send.push(msg);
        }
    }

    /// Sends at once, in a term that the node need not be in: the message
    /// promises nothing.
    pub(crate) fn send_in_term(&mut self, mut msg: Message, term: u64) {
        msg.from = self.settings.id;
        msg.term = term;
        self.out.send.push(msg);
    }

    /// Sends once everything that came up so far is durable.
    pub(crate) fn send_after_sync(&mut self, mut msg: Message) {
        msg.from = self.settings.id;
        msg.term = self.term;
        if msg.to == self.settings.id {
            self.to_self.push(msg);
        } else {
            self.out.send_after_sync.push(msg);
        }
    }

    pub(crate) fn mark(&mut self, name: &'static str) {
        self.out.marks.push(name);
    }

    /// Whether nothing can be made of what this sender says. A leader, or who
    /// wishes to lead, may be a member that this node has not heard of yet;
    /// those who answer or ask something of it may not.
    fn is_stranger(&self, msg: &Message) -> bool {
        let may_be_unknown = matches!(
            msg.msg_type,
            MessageType::MsgAppend
                | MessageType::MsgHeartbeat
                | MessageType::MsgSnapshot
                | MessageType::MsgRequestVote
                | MessageType::MsgRequestPreVote
                | MessageType::MsgTimeoutNow
        );
        msg.from == 0
            || msg.from == self.settings.id
            || !(may_be_unknown || self.configuration().contains(msg.from))
    }

    /// Draws a new election timeout from `[t, 2t)` and starts it.
    pub(crate) fn draw_election_timeout(&mut self, now: u64) {
        let t = self.settings.election_timeout;
        let spread = (u128::from(self.rng.next_u64()) * u128::from(t)) >> 64;
        self.election_timeout = t.saturating_add(spread as u64);
        self.restart_election_timeout(now);
    }

    /// Waits the drawn election timeout once more, from now.
    pub(crate) fn restart_election_timeout(&mut self, now: u64) {
        self.election_deadline = now.saturating_add(self.election_timeout);
    }
}
