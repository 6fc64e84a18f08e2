//! What members may only do once their disks say so, judged online: votes are
//! durable before they are sent, and a leader's commit index is on a quorum of
//! disks.
//!
//! What was written is taken from the members' own views; when it became
//! durable is not. The world tells when each sync began and ended, and a member
//! that counts on less, or on nothing, shows here, whatever it says. It need
//! not lose power for that.
//!
//! A disk that lies about a sync is believed: no member could know.

use crate::raft::shadow::Shadow;
use squall_api::eraftpb::{Message, MessageType};
use squall_api::{EntryId, LogChange, MembersView, RaftView, Role, SyncId};
use squall_record::{Check, Fact, Reason, Verdict, Witness, seconds};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The check's name: [`Disks::sent`].
pub const VOTES_DURABLE: &str = "raft.votes_durable";
/// The check's name: [`Disks::shown`].
pub const COMMITS_DURABLE: &str = "raft.commits_durable";

const VOTES_GUARANTEE: &str = "a vote is durable before it is sent";
const COMMITS_GUARANTEE: &str = "what a leader holds committed is on a quorum of disks";

/// Judges what members do against what their disks said to be durable.
///
/// Costs O(changes) a view and a sync, and O(voters) a commit.
#[derive(Debug)]
pub struct Disks {
    /// Who decides, for members that do not tell.
    first: Arc<MembersView>,
    members: BTreeMap<u64, Member>,
    votes: Judged,
    commits: Judged,
}

#[derive(Debug, Default)]
struct Judged {
    count: u64,
    broken: Option<Box<Witness>>,
}

/// A member's log and hard state, as written and as durable.
#[derive(Debug, Default)]
struct Member {
    /// Nothing yet, until this incarnation shows its whole log.
    written: Option<Image>,
    durable: Image,
    /// Changes between `durable` and `written`, numbered from `first_change` on.
    changes: Vec<Change>,
    first_change: u64,
    /// Syncs under way, and up to which change each reaches.
    syncs: BTreeMap<SyncId, u64>,
    /// The highest commit index that was judged, of which term.
    judged: (u64, u64),
    /// Its configuration, if it told.
    config: Option<Arc<MembersView>>,
}

#[derive(Debug, Clone)]
struct Image {
    term: u64,
    vote: u64,
    log: Shadow,
}

impl Default for Image {
    fn default() -> Image {
        Image {
            term: 0,
            vote: 0,
            log: Shadow::new(1, &[]),
        }
    }
}

#[derive(Debug)]
struct Change {
    term: u64,
    vote: u64,
    first_index: u64,
    log: Option<Arc<LogChange>>,
}

impl Image {
    /// Whether it is as it was after this change already.
    fn shows(&self, change: &Change) -> bool {
        change.log.is_none()
            && (self.term, self.vote) == (change.term, change.vote)
            && self.log.first() == change.first_index
    }

    fn apply(&mut self, change: &Change) {
        (self.term, self.vote) = (change.term, change.vote);
        if let Some(log) = &change.log {
            if self.log.takes(log) {
                self.log.apply(log);
            } else {
                self.log = Shadow::new(log.from, &log.entries);
            }
        }
        self.log.compact(change.first_index);
    }
}

impl Member {
    /// The disk has everything before change `upto`.
    fn settle(&mut self, upto: u64) {
        let count = (upto.saturating_sub(self.first_change) as usize).min(self.changes.len());
        for change in self.changes.drain(..count) {
            self.durable.apply(&change);
        }
        self.first_change += count as u64;
    }

    fn next_change(&self) -> u64 {
        self.first_change + self.changes.len() as u64
    }

    /// Whether the entry is on the disk, or went into a snapshot that is.
    fn has(&self, index: u64, entry: EntryId) -> bool {
        let log = &self.durable.log;
        index + 1 < log.first()
            || log
                .get(index)
                .map_or(index + 1 == log.first(), |e| e == entry)
    }
}

impl Disks {
    /// A cluster of these `first` members, all of whose disks are empty.
    pub fn new(first: MembersView) -> Disks {
        Disks {
            first: Arc::new(first),
            members: BTreeMap::new(),
            votes: Judged::default(),
            commits: Judged::default(),
        }
    }

    /// A step of `node` wrote what this view shows into its log. The first view
    /// of an incarnation is what the disk gave back.
    pub fn written(&mut self, node: u64, view: &RaftView) {
        let member = self.members.entry(node).or_default();
        let change = Change {
            term: view.term,
            vote: view.vote,
            first_index: view.first_index,
            log: view.log.clone(),
        };
        if let Some(written) = &mut member.written {
            // Views also tell of what is not on the disk.
            if !written.shows(&change) {
                written.apply(&change);
                member.changes.push(change);
            }
        } else {
            let mut image = Image::default();
            if change.log.is_none() {
                image.log = Shadow::new(view.first_index, &[]);
            }
            image.apply(&change);
            member.written = Some(image.clone());
            member.durable = image;
        }
    }

    /// A sync of `node`'s log begins: it reaches everything written so far.
    pub fn sync_started(&mut self, node: u64, id: SyncId) {
        let member = self.members.entry(node).or_default();
        member.syncs.insert(id, member.next_change());
    }

    /// The disk says that this sync has done its work.
    pub fn sync_ended(&mut self, node: u64, id: SyncId) {
        let member = self.members.entry(node).or_default();
        if let Some(upto) = member.syncs.remove(&id) {
            member.settle(upto);
        }
    }

    /// The disk says that everything written so far is durable: a step waited
    /// for it.
    pub fn synced(&mut self, node: u64) {
        let member = self.members.entry(node).or_default();
        member.settle(member.next_change());
    }

    /// `node`'s process is gone, with what was not durable.
    pub fn crashed(&mut self, node: u64) {
        let member = self.members.entry(node).or_default();
        member.written = None;
        member.changes.clear();
        member.syncs.clear();
        member.judged = (0, 0);
        member.config = None;
    }

    /// `node`'s disk was replaced by an empty one.
    pub fn wiped(&mut self, node: u64) {
        self.members.remove(&node);
    }

    /// `node` sends `msg` at true time `t`: if it is a vote, or asks for votes
    /// and so carries the sender's own, that vote must be durable.
    pub fn sent(&mut self, t: u64, node: u64, msg: &Message) -> Result<(), Box<Witness>> {
        let candidate = match msg.get_msg_type() {
            MessageType::MsgRequestVote => node,
            MessageType::MsgRequestVoteResponse if !msg.reject => msg.to,
            _ => return Ok(()),
        };
        let member = self.members.entry(node).or_default();
        self.votes.count += 1;
        let (term, vote) = (member.durable.term, member.durable.vote);
        if term > msg.term || (term, vote) == (msg.term, candidate) {
            return Ok(());
        }
        let on_disk = match vote {
            0 => format!("term {term} and no vote"),
            vote => format!("term {term} and a vote for n{vote}"),
        };
        self.votes.found(Witness {
            guarantee: VOTES_GUARANTEE.into(),
            sentence: format!(
                "n{node} voted for n{candidate} in term {} at {}, when its disk had {on_disk}",
                msg.term,
                seconds(t)
            ),
            t,
            node: Some(node),
            ops: Vec::new(),
            facts: vec![
                Fact::new(
                    format!("n{node}"),
                    format!("voted for n{candidate} in term {}", msg.term),
                ),
                Fact::new(format!("n{node}'s disk"), format!("synced: {on_disk}")),
            ],
            class: "vote-not-durable".into(),
        })
    }

    /// `node` shows itself at true time `t`: if it leads, what it holds
    /// committed must be on a quorum of disks, by the configuration that it has;
    /// while a joint change is under way, on one of either kind.
    pub fn shown(&mut self, t: u64, node: u64, view: &RaftView) -> Result<(), Box<Witness>> {
        let member = self.members.entry(node).or_default();
        if let Some(config) = &view.members {
            member.config = Some(config.clone());
        }
        let (term, commit) = member.judged;
        if view.role != Role::Leader || (term == view.term && view.commit <= commit) {
            return Ok(());
        }
        member.judged = (view.term, view.commit);
        // What it held committed when it took office is its predecessors' word.
        if term != view.term {
            return Ok(());
        }
        let index = view.commit;
        let entry = member.written.as_ref().and_then(|w| w.log.get(index));
        let Some(entry) = entry else { return Ok(()) };
        self.commits.count += 1;
        let config = member.config.clone().unwrap_or_else(|| self.first.clone());
        let has = |id: u64| self.members.get(&id).is_some_and(|m| m.has(index, entry));
        if config.is_quorum(has) {
            return Ok(());
        }
        let voters = config.voters.union(&config.outgoing).copied();
        let (holders, others): (Vec<u64>, Vec<u64>) = voters.partition(|id| has(*id));
        let voters = holders.len() + others.len();
        let names: Vec<String> = holders.iter().map(|id| format!("n{id}")).collect();
        let on = match names.as_slice() {
            [] => "on no disk".to_owned(),
            [one] => format!("only on the disk of {one}"),
            more => format!("only on the disks of {}", more.join(" and ")),
        };
        self.commits.found(Witness {
            guarantee: COMMITS_GUARANTEE.into(),
            sentence: format!(
                "n{node}, leader of term {}, held log index {index} committed at {}, when it was {on} of {voters} voters",
                view.term,
                seconds(t)
            ),
            t,
            node: Some(node),
            ops: Vec::new(),
            facts: vec![
                Fact::new(format!("n{node}"), format!("leads term {}, commit index {index}", view.term)),
                Fact::new(format!("log index {index}"), format!("{on}, as far as they were synced")),
            ],
            class: "commit-not-on-a-quorum".into(),
        })
    }

    /// One check for each property, with how much it judged.
    pub fn finish(self) -> Vec<Check> {
        [
            (VOTES_DURABLE, self.votes, "nobody voted"),
            (
                COMMITS_DURABLE,
                self.commits,
                "no leader committed anything",
            ),
        ]
        .into_iter()
        .map(|(name, judged, nothing)| Check {
            name: name.into(),
            verdict: match judged.broken {
                Some(witness) => Verdict::Fail(witness),
                None if judged.count == 0 => Verdict::Unknown(Reason::TooLittle(nothing.into())),
                None => Verdict::Pass {
                    judged: judged.count,
                    unknown: 0,
                },
            },
        })
        .collect()
    }
}

impl Judged {
    /// Keeps the first violation, and returns it.
    fn found(&mut self, witness: Witness) -> Result<(), Box<Witness>> {
        if self.broken.is_some() {
            return Ok(());
        }
        let witness = Box::new(witness);
        self.broken = Some(witness.clone());
        Err(witness)
    }
}

#[cfg(test)]
mod tests;
