//! Linearizable reads without the log (section 6.4 of Ongaro's dissertation).
//!
//! A leader notes its commit index when a read comes, and answers once a
//! quorum has answered a heartbeat that was sent afterwards: nobody else can
//! have committed anything before the read came. Heartbeats are numbered in
//! rounds, which only rise within a term, so that the answer to a later round
//! confirms the earlier ones. One round is under way at a time; reads that
//! come meanwhile share the next.

use crate::message::{decode_id, message};
use crate::{NoLeader, Raft, marks};
use bytes::{BufMut as _, Bytes, BytesMut};
use raft_proto::eraftpb::{Entry, Message, MessageType};
use squall_api::{Bug, Role};
use std::collections::{BTreeMap, VecDeque};

/// A leader's reads that wait to be confirmed.
#[derive(Debug, Default)]
pub(crate) struct ReadRounds {
    started: u64,
    confirmed: u64,
    /// Invariant: in ascending order of rounds, none beyond `started + 1`.
    waiting: VecDeque<Read>,
}

#[derive(Debug)]
struct Read {
    round: u64,
    index: u64,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Local { ctx: u64 },
    Follower { id: u64, context: Bytes },
}

impl ReadRounds {
    /// The contexts of the reads that were asked here.
    pub(crate) fn into_local(self) -> impl Iterator<Item = u64> {
        self.waiting
            .into_iter()
            .filter_map(|read| match read.origin {
                Origin::Local { ctx } => Some(ctx),
                Origin::Follower { .. } => None,
            })
    }
}

/// A follower's reads that wait for its leader's answer.
///
/// The nonce tells the answers to this incarnation from those to an earlier
/// one, which may have used the same contexts.
#[derive(Debug)]
pub(crate) struct ForwardedReads {
    nonce: u64,
    asked_at: BTreeMap<u64, u64>,
}

impl ForwardedReads {
    /// None yet.
    pub(crate) fn new(nonce: u64) -> ForwardedReads {
        ForwardedReads {
            nonce,
            asked_at: BTreeMap::new(),
        }
    }

    /// Gives up on all of them, and says which they were.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = u64> + use<> {
        std::mem::take(&mut self.asked_at).into_keys()
    }

    fn encode(&self, ctx: u64) -> Bytes {
        let mut bytes = BytesMut::with_capacity(16);
        bytes.put_u64(self.nonce);
        bytes.put_u64(ctx);
        bytes.freeze()
    }

    fn decode(&self, bytes: &[u8]) -> Option<u64> {
        let (nonce, ctx) = bytes.split_first_chunk::<8>()?;
        (u64::from_be_bytes(*nonce) == self.nonce).then(|| decode_id(ctx))?
    }
}

impl Raft {
    /// Asks from which index on the reads known as `ctx` may be served. A
    /// leader confirms that it leads, a follower asks its leader. The answer
    /// comes as [`readable`](crate::Output::readable), or as
    /// [`refused`](crate::Output::refused) if the leader was lost meanwhile.
    pub fn read_index(&mut self, now: u64, ctx: u64) -> Result<(), NoLeader> {
        if self.role == Role::Leader {
            if self.settings.bugs.has(Bug::UnconfirmedRead) {
                self.out.readable.push((ctx, self.commit));
                return Ok(());
            }
            self.confirm(now, Origin::Local { ctx });
        } else if self.leader != 0 {
            self.forwarded.asked_at.insert(ctx, now);
            self.forward_read(ctx);
        } else {
            return Err(NoLeader);
        }
        Ok(())
    }

    /// A follower asks on behalf of its reads.
    pub(crate) fn handle_read_index(&mut self, now: u64, mut msg: Message) {
        if self.role != Role::Leader {
            return self.mark(marks::DROPPED_FORWARD);
        }
        let context = std::mem::take(&mut msg.entries[0].data);
        let origin = Origin::Follower {
            id: msg.from,
            context,
        };
        self.confirm(now, origin);
    }

    /// The leader of the current term answers.
    pub(crate) fn handle_read_index_response(&mut self, msg: &Message) {
        let mut ctx = self.forwarded.decode(&msg.entries[0].data);
        if self.settings.bugs.has(Bug::TakeAnyReadAnswer) {
            ctx = self.forwarded.asked_at.keys().next().copied();
        }
        let waited = ctx
            .filter(|ctx| self.leader == msg.from && self.forwarded.asked_at.remove(ctx).is_some());
        match waited {
            Some(ctx) => self.out.readable.push((ctx, msg.index)),
            None => self.mark(marks::IGNORED_STALE_READ),
        }
    }

    /// Asks again for reads whose question or answer probably got lost.
    pub(crate) fn repeat_lost_reads(&mut self, now: u64) {
        let patience = self.settings.election_timeout;
        let mut lost = Vec::new();
        for (ctx, asked_at) in &mut self.forwarded.asked_at {
            if asked_at.saturating_add(patience) <= now {
                *asked_at = now;
                lost.push(*ctx);
            }
        }
        for ctx in lost {
            self.mark(marks::REPEATED_READ);
            self.forward_read(ctx);
        }
    }

    /// The round that a heartbeat sent now confirms, if it confirms anything.
    pub(crate) fn start_round(&mut self) -> Option<u64> {
        let rounds = &mut self.rounds;
        let lease = self.settings.read_lease;
        if lease > 0 {
            rounds.started += 1;
            self.lease.sent(rounds.started, self.clock, lease);
            return Some(rounds.started);
        }
        // The answers to the last round may be lost; whoever joined the next
        // one need not wait for them.
        if let Some(last) = rounds.waiting.back() {
            rounds.started = rounds.started.max(last.round);
            Some(rounds.started)
        } else {
            None
        }
    }

    /// A follower answered a heartbeat.
    pub(crate) fn handle_round(&mut self, msg: &Message) {
        let Some(round) = decode_id(&msg.context) else {
            return;
        };
        let Some(progress) = self.tracker.get_mut(&msg.from) else {
            return;
        };
        // Nobody can have answered what was not asked.
        if round <= self.rounds.started && round > progress.acked_round {
            progress.acked_round = round;
            self.advance_reads();
        }
    }

    /// Answers the reads that are confirmed, and starts the next round if some
    /// wait for it.
    pub(crate) fn advance_reads(&mut self) {
        if self.rounds.waiting.is_empty() {
            return;
        }
        self.note_confirmed();

        // Before the first commit of its term, a leader does not know what was
        // committed before it came.
        let before_commit = self.settings.bugs.has(Bug::ReadBeforeFirstCommit);
        while (self.commit >= self.term_start || before_commit)
            && let Some(read) = self.rounds.waiting.front()
            && read.round <= self.rounds.confirmed
        {
            let read = self.rounds.waiting.pop_front().expect("it was just seen");
            self.answer_read(read);
        }
        let next_waits = self
            .rounds
            .waiting
            .back()
            .is_some_and(|read| read.round > self.rounds.started);
        if next_waits && self.rounds.confirmed == self.rounds.started {
            self.beat();
        }
    }

    /// A round stays confirmed when voters join who have answered none.
    fn note_confirmed(&mut self) {
        self.rounds.confirmed = self.rounds.confirmed.max(self.confirmed_round());
    }

    /// The last round of heartbeats that a quorum answered.
    pub(crate) fn confirmed_round(&self) -> u64 {
        let (me, started) = (self.settings.id, self.rounds.started);
        self.agreed(|id| match id == me {
            true => started,
            false => self.tracker[&id].acked_round,
        })
    }

    fn confirm(&mut self, now: u64, origin: Origin) {
        if self.holds_lease(now) {
            self.mark(marks::READ_UNDER_LEASE);
            return self.answer_read(Read {
                round: 0,
                index: self.commit,
                origin,
            });
        }
        if self.commit < self.term_start {
            self.mark(marks::READ_BEFORE_FIRST_COMMIT);
        }
        self.note_confirmed();
        let is_idle = self.rounds.confirmed == self.rounds.started;
        self.rounds.waiting.push_back(Read {
            round: self.rounds.started + 1,
            index: match self.settings.bugs.has(Bug::ReadBeforeFirstCommit) {
                true => self.commit,
                false => self.commit.max(self.term_start),
            },
            origin,
        });
        if is_idle {
            self.beat();
            // Alone, it is a quorum.
            self.advance_reads();
        }
    }

    fn answer_read(&mut self, read: Read) {
        match read.origin {
            Origin::Local { ctx } => self.out.readable.push((ctx, read.index)),
            Origin::Follower { id, context } => {
                let mut answer = message(MessageType::MsgReadIndexResp, id);
                answer.index = read.index;
                answer.entries.push(Entry {
                    data: context,
                    ..Default::default()
                });
                self.send(answer);
            }
        }
    }

    fn forward_read(&mut self, ctx: u64) {
        let mut question = message(MessageType::MsgReadIndex, self.leader);
        question.entries.push(Entry {
            data: self.forwarded.encode(ctx),
            ..Default::default()
        });
        self.send(question);
    }
}
