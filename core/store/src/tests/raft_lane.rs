//! The Raft lane, with its peers, its disk and the apply lane played by hand.

use super::bench::env;
use super::crash_disk::CrashDisk;
use crate::RaftLane;
use bytes::Bytes;
use raft_proto::eraftpb::{Entry, Message, MessageType, Snapshot};
use squall_api::{
    Config, Effect, Effects, Fatal, Input, LaneMsg, LogChange, Machine as _, NoStamp, Now, Open,
    OpenError, PeerBody, PeerFrame, RaftView, Role, SyncId, VERSION, View,
};
use squall_raft::LogBase;
use squall_raft::confchange::Configuration;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

const CLUSTER: u64 = 0xc1;
const NOTHING: LogBase = LogBase { index: 0, term: 0 };

fn alone() -> Config {
    Config::new(CLUSTER, 1, vec![1])
}

fn one_of_three() -> Config {
    Config::new(CLUSTER, 1, vec![1, 2, 3])
}

/// A lane, and what it did so far that a test asks about.
struct Bench {
    disk: CrashDisk,
    lane: RaftLane,
    now: Now,
    view: Option<RaftView>,
    marks: Vec<&'static str>,
}

impl Bench {
    fn new(cfg: Config) -> Bench {
        Bench::open(CrashDisk::default(), cfg, NOTHING).unwrap()
    }

    fn open(disk: CrashDisk, cfg: Config, applied: LogBase) -> Result<Bench, OpenError> {
        let now = Now::default();
        let configuration = Configuration::of(cfg.voters.iter().copied());
        let lane = RaftLane::open(env(&disk.shared(), cfg), now, applied, configuration)?;
        Ok(Bench {
            disk,
            lane,
            now,
            view: None,
            marks: Vec::new(),
        })
    }

    fn try_step(&mut self, input: Input) -> Result<Vec<Effect>, Fatal> {
        let mut fx = Effects::new(Arc::new(NoStamp));
        let outcome = self.lane.step(self.now, input, &mut fx);
        let effects: Vec<Effect> = fx.drain().map(|(_, effect)| effect).collect();
        for effect in &effects {
            match effect {
                Effect::View(View::Raft(view)) => self.view = Some(view.clone()),
                Effect::Mark(mark) => self.marks.push(mark),
                _ => {}
            }
        }
        outcome.map(|()| effects)
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        self.try_step(input).unwrap()
    }

    /// Waits for the lane's next timer.
    fn wait(&mut self) -> Vec<Effect> {
        self.now.mono = self.lane.deadline().unwrap().max(self.now.mono);
        self.step(Input::Deadline)
    }

    /// Ends the syncs that are under way, and those that follow.
    fn sync(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        loop {
            let syncs = self.disk.finish_syncs();
            if syncs.is_empty() {
                return effects;
            }
            for (id, result) in syncs {
                effects.extend(self.step(Input::Synced { id, result }));
            }
        }
    }

    fn hear(&mut self, from: u64, msg: Message) -> Vec<Effect> {
        self.step(Input::Peer(frame(from, msg)))
    }

    fn propose(&mut self, id: u64, data: &'static str) -> Vec<Effect> {
        let data = Bytes::from(data);
        self.step(Input::Lane(LaneMsg::Propose { id, data }))
    }

    fn view(&self) -> &RaftView {
        self.view.as_ref().expect("a view was shown")
    }

    fn has_passed(&self, mark: &str) -> bool {
        self.marks.contains(&mark)
    }

    /// Lets the member lead, alone or with the others' votes.
    fn elect(&mut self) {
        self.wait();
        self.wait();
        if self.view().role == Role::Follower {
            let next_term = self.view().term + 1;
            self.hear(
                2,
                message(MessageType::MsgRequestPreVoteResponse, next_term),
            );
        }
        self.sync();
        if self.view().role == Role::Candidate {
            let mut vote = message(MessageType::MsgRequestVoteResponse, self.view().term);
            vote.index = 0;
            self.hear(2, vote);
            self.sync();
        }
        assert_eq!(self.view().role, Role::Leader);
    }

    /// Starts again after a power failure that spares nothing unsynced.
    fn restart(self, cfg: Config, applied: LogBase) -> Bench {
        let mut bench = Bench::open(self.disk.after_power_loss(0), cfg, applied).unwrap();
        bench.wait();
        bench
    }
}

fn frame(from: u64, mut msg: Message) -> PeerFrame {
    (msg.from, msg.to) = (from, 1);
    PeerFrame {
        cluster: CLUSTER,
        from,
        to: 1,
        version: VERSION,
        body: PeerBody::Raft(Box::new(msg)),
    }
}

fn message(kind: MessageType, term: u64) -> Message {
    let mut msg = Message {
        term,
        ..Message::default()
    };
    msg.set_msg_type(kind);
    msg
}

/// Entries `from..=to` of the leader of `term`, behind an entry of that term.
fn append(term: u64, from: u64, to: u64) -> Message {
    let mut msg = message(MessageType::MsgAppend, term);
    msg.index = from - 1;
    msg.log_term = if from == 1 { 0 } else { term };
    let entry = |index| Entry {
        index,
        term,
        data: Bytes::from(index.to_string()),
        ..Entry::default()
    };
    msg.set_entries((from..=to).map(entry).collect());
    msg
}

fn snapshot(index: u64, term: u64) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.mut_metadata().index = index;
    snapshot.mut_metadata().term = term;
    snapshot
}

fn sent(effects: &[Effect]) -> Vec<(u64, MessageType)> {
    let sent = effects.iter().filter_map(|effect| match effect {
        Effect::Send(frame) => {
            assert_eq!((frame.cluster, frame.from), (CLUSTER, 1));
            let msg = frame.raft().unwrap();
            assert_eq!((msg.from, msg.to), (frame.from, frame.to));
            Some((frame.to, msg.get_msg_type()))
        }
        _ => None,
    });
    sent.collect()
}

/// Each message to the apply lane that brings entries, as indexes.
fn committed(effects: &[Effect]) -> Vec<Vec<u64>> {
    let committed = effects.iter().filter_map(|effect| match effect {
        Effect::Lane(LaneMsg::Committed(entries)) => {
            Some(entries.iter().map(|entry| entry.index).collect())
        }
        _ => None,
    });
    committed.collect()
}

fn refused(effects: &[Effect]) -> Vec<u64> {
    let refused = effects.iter().filter_map(|effect| match effect {
        Effect::Lane(LaneMsg::Refused { id }) => Some(*id),
        _ => None,
    });
    refused.collect()
}

fn applied(durable: u64) -> Input {
    Input::Lane(LaneMsg::Applied {
        index: durable,
        durable,
    })
}

#[test]
fn a_single_member_elects_itself_and_commits_what_is_durable() {
    let mut bench = Bench::new(alone());
    assert_eq!(bench.lane.deadline(), Some(0), "the first view is due");
    let effects = bench.wait();
    let first = LaneMsg::Leader { term: 0, leader: 0 };
    assert!(matches!(&effects[0], Effect::Lane(msg) if format!("{msg:?}") == format!("{first:?}")));
    let whole = LogChange {
        from: 1,
        entries: Vec::new(),
        conf_changes: Vec::new(),
    };
    assert_eq!(bench.view().log.as_deref(), Some(&whole));

    bench.wait();
    assert_eq!((bench.view().term, bench.view().vote), (1, 1));
    assert_eq!(
        bench.view().role,
        Role::Candidate,
        "its vote is not durable"
    );
    assert_eq!(committed(&bench.sync()), [[1]]);
    assert_eq!(bench.view().role, Role::Leader);
    assert!(bench.has_passed("leader.appended_before_fsync"));

    let effects = bench.propose(7, "x");
    assert_eq!(refused(&effects), [0; 0]);
    assert_eq!(committed(&effects), [[0; 0]; 0]);
    assert_eq!((bench.view().last_index, bench.view().commit), (2, 1));
    assert_eq!(committed(&bench.sync()), [[2]]);
}

#[test]
fn entries_that_one_sync_covers_come_in_one_message() {
    let mut bench = Bench::new(alone());
    bench.elect();
    for id in 0..4 {
        assert_eq!(committed(&bench.propose(id, "x")), [[0; 0]; 0]);
    }
    assert_eq!(committed(&bench.sync()), [vec![2], vec![3, 4, 5]]);
}

#[test]
fn without_a_leader_everything_is_refused_at_once() {
    let mut bench = Bench::new(one_of_three());
    assert_eq!(refused(&bench.propose(7, "x")), [7]);
    let read = Input::Lane(LaneMsg::ReadIndex { ctx: 8 });
    assert_eq!(refused(&bench.step(read)), [8]);
}

#[test]
fn reads_are_answered_where_the_member_leads() {
    let mut bench = Bench::new(alone());
    bench.elect();
    let effects = bench.step(Input::Lane(LaneMsg::ReadIndex { ctx: 8 }));
    assert!(
        effects
            .iter()
            .any(|e| matches!(e, Effect::Lane(LaneMsg::Readable { ctx: 8, index: 1 }))),
        "{effects:?}"
    );
}

#[test]
fn a_restart_shows_the_whole_log_and_commits_after_what_was_applied() {
    let mut bench = Bench::new(alone());
    bench.elect();
    bench.propose(7, "x");
    bench.propose(8, "y");
    let last = bench.view().log.as_ref().unwrap().entries.last().copied();
    bench.sync();
    let before = bench.view().clone();
    let mut bench = bench.restart(alone(), LogBase { index: 2, term: 1 });
    let view = bench.view();
    assert_eq!((view.term, view.vote), (before.term, before.vote));
    assert_eq!((view.first_index, view.last_index), (1, 3));
    let log = view.log.as_ref().unwrap();
    assert_eq!((log.from, log.entries.len()), (1, 3));
    assert_eq!(log.entries.last().copied(), last);
    bench.wait();
    assert_eq!(committed(&bench.sync()).concat(), [3, 4]);
}

#[test]
fn a_vote_leaves_only_when_it_is_durable() {
    let mut bench = Bench::new(one_of_three());
    bench.wait();
    let ask = message(MessageType::MsgRequestVote, 5);
    assert_eq!(sent(&bench.hear(2, ask)), []);
    assert_eq!((bench.view().term, bench.view().vote), (5, 2));
    let answer = (2, MessageType::MsgRequestVoteResponse);
    assert_eq!(sent(&bench.sync()), [answer]);
    let bench = bench.restart(one_of_three(), NOTHING);
    assert_eq!((bench.view().term, bench.view().vote), (5, 2));
}

#[test]
fn a_follower_acknowledges_only_what_is_durable() {
    let mut bench = Bench::new(one_of_three());
    bench.wait();
    let ack = (2, MessageType::MsgAppendResponse);
    assert_eq!(sent(&bench.hear(2, append(3, 1, 2))), []);
    assert_eq!(bench.view().last_index, 2);
    // The second append outruns the first one's sync, and needs one more.
    assert_eq!(sent(&bench.hear(2, append(3, 3, 3))), []);
    let [(id, result)] = bench.disk.finish_syncs().try_into().unwrap();
    let effects = bench.step(Input::Synced { id, result });
    assert_eq!(sent(&effects), [ack]);
    let unknown = SyncId(id.0 + 7);
    let result = Ok(());
    assert_eq!(
        sent(&bench.step(Input::Synced {
            id: unknown,
            result
        })),
        []
    );
    assert_eq!(sent(&bench.sync()), [ack]);
    assert_eq!(bench.restart(one_of_three(), NOTHING).view().last_index, 3);
}

#[test]
fn a_leader_sends_before_its_own_sync_and_passes_the_mark_afterwards() {
    let mut bench = Bench::new(one_of_three());
    bench.elect();
    for from in [2, 3] {
        let mut ack = message(MessageType::MsgAppendResponse, 1);
        ack.index = 1;
        bench.hear(from, ack);
    }
    let effects = bench.propose(7, "x");
    let append = MessageType::MsgAppend;
    assert_eq!(sent(&effects), [(2, append), (3, append)]);
    let last_sent = effects
        .iter()
        .rposition(|e| matches!(e, Effect::Send(_)))
        .unwrap();
    let marked = effects
        .iter()
        .position(|e| matches!(e, Effect::Mark("leader.appended_before_fsync")))
        .unwrap();
    assert!(marked > last_sent);
    let written = Bench::open(bench.disk.after_kill(), one_of_three(), NOTHING);
    let mut written = written.unwrap();
    written.wait();
    assert_eq!(written.view().last_index, 2, "a killed process wrote it");
    let lost = bench.restart(one_of_three(), NOTHING);
    assert_eq!(lost.view().last_index, 1, "but it was not durable");
}

#[test]
fn frames_that_are_not_for_this_member_are_refused_with_a_mark() {
    let mut bench = Bench::new(one_of_three());
    bench.wait();
    let good = frame(2, message(MessageType::MsgHeartbeat, 9));
    let mut claimed = message(MessageType::MsgHeartbeat, 9);
    (claimed.from, claimed.to) = (3, 1);
    let other_sender = PeerFrame {
        body: PeerBody::Raft(Box::new(claimed)),
        ..good.clone()
    };
    let other_cluster = PeerFrame {
        cluster: 9,
        ..good.clone()
    };
    let misaddressed = PeerFrame {
        to: 2,
        ..good.clone()
    };
    let newer = PeerFrame {
        version: VERSION + 1,
        ..good.clone()
    };
    for (frame, mark) in [
        (other_cluster, "raft_lane.refused_other_cluster"),
        (misaddressed, "raft_lane.refused_misaddressed"),
        (other_sender, "raft_lane.refused_misaddressed"),
        (newer, "raft_lane.refused_newer_version"),
    ] {
        bench.marks.clear();
        bench.step(Input::Peer(frame));
        assert_eq!((bench.view().term, &bench.marks[..]), (0, &[mark][..]));
    }
    bench.step(Input::Peer(good));
    assert_eq!((bench.view().term, bench.view().leader), (9, 2));
}

#[test]
fn a_torn_tail_is_cut_off_with_a_mark() {
    let mut bench = Bench::new(alone());
    bench.elect();
    let path = bench.disk.names().pop().unwrap();
    let disk = bench.disk.shared();
    let file = disk.open(&path, Open::Existing).unwrap();
    let end = file.len().unwrap();
    file.write_at(end, b"half a rec").unwrap();
    let disk = bench.disk.after_power_loss(1);
    let mut bench = Bench::open(disk, alone(), NOTHING).unwrap();
    assert_eq!(file_len(&bench.disk, path), end);
    bench.wait();
    assert_eq!(bench.marks, ["wal.tail_truncated"]);
    bench.wait();
    assert_eq!(committed(&bench.sync()).concat(), [1, 2]);
    assert_eq!(
        bench.marks.iter().filter(|m| m.starts_with("wal")).count(),
        1
    );
}

fn file_len(disk: &CrashDisk, path: PathBuf) -> u64 {
    let file = disk.shared().open(&path, Open::Existing).unwrap();
    file.len().unwrap()
}

#[test]
fn an_installed_snapshot_restarts_the_log() {
    let mut bench = Bench::new(one_of_three());
    bench.wait();
    bench.hear(2, append(3, 1, 4));
    bench.sync();
    let mut msg = message(MessageType::MsgSnapshot, 4);
    msg.set_snapshot(snapshot(50, 4));
    let effects = bench.hear(2, msg);
    let install = effects.iter().find_map(|effect| match effect {
        Effect::Lane(LaneMsg::Install(snapshot)) => Some(snapshot.clone()),
        _ => None,
    });
    assert_eq!(sent(&bench.sync()), [], "nothing is installed yet");
    let installed = LaneMsg::Installed(install.expect("a snapshot to install"));
    assert_eq!(sent(&bench.step(Input::Lane(installed))), []);
    assert_eq!((bench.view().first_index, bench.view().commit), (51, 50));
    assert_eq!(sent(&bench.sync()), [(2, MessageType::MsgAppendResponse)]);
    bench.hear(2, append(4, 51, 52));
    bench.sync();

    let bench = bench.restart(one_of_three(), LogBase { index: 50, term: 4 });
    let view = bench.view();
    assert_eq!((view.first_index, view.last_index), (51, 52));
    assert_eq!((view.term, view.commit), (4, 50));
}

#[test]
fn a_backend_that_is_ahead_of_the_log_is_a_snapshot() {
    let mut bench = Bench::new(one_of_three());
    bench.wait();
    bench.hear(2, append(3, 1, 4));
    bench.sync();
    for ahead in [
        LogBase { index: 50, term: 4 },
        LogBase { index: 3, term: 2 },
    ] {
        let disk = bench.disk.after_power_loss(0);
        let mut once = Bench::open(disk, one_of_three(), ahead).unwrap();
        once.wait();
        assert_eq!(once.view().first_index, ahead.index + 1);
        let mut next = append(4, ahead.index + 1, ahead.index + 1);
        next.log_term = ahead.term;
        once.hear(2, next);
        once.sync();
        let again = once.restart(one_of_three(), ahead);
        let view = again.view();
        assert_eq!(
            (view.first_index, view.last_index),
            (ahead.index + 1, ahead.index + 1)
        );
        assert_eq!((view.term, view.commit), (4, ahead.index));
    }
}

#[test]
fn a_backend_that_contradicts_the_log_is_refused() {
    let mut bench = Bench::new(alone());
    bench.elect();
    for id in 0..20 {
        bench.propose(id, "x");
        bench.sync();
    }
    let cfg = Config {
        snapshot_entries: 5,
        catch_up_entries: 5,
        ..alone()
    };
    let mut bench = bench.restart(cfg.clone(), LogBase { index: 15, term: 1 });
    bench.elect();
    bench.step(applied(15));
    bench.sync();
    assert_eq!(bench.view().first_index, 11);
    for (index, term) in [(9, 1), (10, 2), (15, 2)] {
        let disk = bench.disk.after_power_loss(0);
        let applied = LogBase { index, term };
        match Bench::open(disk, cfg.clone(), applied) {
            Err(OpenError::Corrupt(why)) => assert!(why.contains(&index.to_string()), "{why}"),
            Err(e) => panic!("{applied:?}: {e}"),
            Ok(_) => panic!("{applied:?} opened"),
        }
    }
}

#[test]
fn the_log_is_compacted_behind_what_is_durable_in_the_backend() {
    let cfg = Config {
        snapshot_entries: 10,
        catch_up_entries: 5,
        wal_segment_bytes: 300,
        ..alone()
    };
    let mut bench = Bench::new(cfg.clone());
    bench.elect();
    for id in 0..20 {
        bench.propose(id, "x");
        bench.sync();
    }
    assert!(bench.has_passed("wal.segment_rolled"));
    let segments = bench.disk.names().len();
    bench.step(applied(14));
    assert_eq!(bench.view().first_index, 1);
    bench.step(applied(15));
    assert_eq!(bench.view().first_index, 11);
    assert_eq!(bench.disk.names().len(), segments, "not durable yet");
    bench.sync();
    assert!(bench.has_passed("wal.segment_purged"));
    assert!(bench.disk.names().len() < segments);
    bench.step(applied(24));
    assert_eq!(bench.view().first_index, 11);
    let bench = bench.restart(cfg, LogBase { index: 15, term: 1 });
    assert_eq!(
        (bench.view().first_index, bench.view().last_index),
        (11, 21)
    );
}

#[test]
fn a_clean_stop_makes_everything_durable() {
    let mut bench = Bench::new(alone());
    bench.elect();
    bench.propose(7, "x");
    let end = bench.try_step(Input::Stop);
    assert!(matches!(end, Err(Fatal::Stopped)), "{end:?}");
    let bench = bench.restart(alone(), NOTHING);
    assert_eq!(bench.view().last_index, 2);
}

#[test]
fn a_disk_error_ends_the_lane() {
    let mut bench = Bench::new(alone());
    bench.elect();
    bench.propose(7, "x");
    let [(id, _)] = bench.disk.finish_syncs().try_into().unwrap();
    let result = Err(io::Error::other("the medium"));
    let end = bench.try_step(Input::Synced { id, result });
    assert!(matches!(end, Err(Fatal::Disk(_))), "{end:?}");

    let mut bench = Bench::new(alone());
    bench.elect();
    bench.disk.fail_at(1);
    let data = Bytes::from("x");
    let end = bench.try_step(Input::Lane(LaneMsg::Propose { id: 7, data }));
    assert!(matches!(end, Err(Fatal::Disk(_))), "{end:?}");
}

#[test]
#[should_panic(expected = "an input of the apply lane")]
fn an_input_of_the_other_lane_is_a_bug() {
    let session = squall_api::SessionId(1);
    drop(Bench::new(alone()).try_step(Input::Closed(session)));
}
