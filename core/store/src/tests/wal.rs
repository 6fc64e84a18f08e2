//! The write-ahead log under power failures, kills, rot and loss: what it said
//! is durable is there afterwards, as it was, or the log refuses to open.

use super::bench::config;
use super::crash_disk::CrashDisk;
use crate::wal::{Durable, Recovered, Wal};
use bytes::Bytes;
use raft_proto::eraftpb::{Entry, HardState};
use squall_api::{Bugs, Config, Open, OpenError, SyncId};
use squall_raft::{LogBase, Output};
use std::io;
use std::path::{Path, PathBuf};

const NOTHING: LogBase = LogBase { index: 0, term: 0 };

fn small_segments() -> Config {
    Config {
        wal_segment_bytes: 400,
        ..config()
    }
}

/// What a log holds.
#[derive(Debug, Clone, PartialEq, Default)]
struct State {
    hard_state: HardState,
    base: LogBase,
    entries: Vec<Entry>,
}

impl State {
    fn last_index(&self) -> u64 {
        self.base.index + self.entries.len() as u64
    }

    fn base_at(&self, index: u64) -> LogBase {
        let term = self.entries[(index - self.base.index - 1) as usize].term;
        LogBase { index, term }
    }
}

impl From<Recovered> for State {
    fn from(recovered: Recovered) -> State {
        State {
            hard_state: recovered.hard_state,
            base: recovered.base,
            entries: recovered.entries,
        }
    }
}

fn open(disk: &CrashDisk) -> Result<(Wal, Recovered), OpenError> {
    Wal::open(disk.shared(), &small_segments(), Bugs::NONE, NOTHING)
}

fn entry(index: u64, term: u64, bytes: usize) -> Entry {
    Entry {
        index,
        term,
        data: Bytes::from(vec![index as u8; bytes]),
        ..Entry::default()
    }
}

fn hard_state(term: u64, vote: u64, commit: u64) -> Option<HardState> {
    Some(HardState {
        term,
        vote,
        commit,
        ..HardState::default()
    })
}

/// A log in use, and beside it all that it was told.
struct Life {
    disk: CrashDisk,
    wal: Option<Wal>,
    /// The state after each record.
    history: Vec<State>,
    /// How much of the history each output ends.
    outputs: Vec<usize>,
    /// What the log said of the history is durable.
    durable: usize,
    rolled: usize,
    purged: usize,
}

impl Life {
    fn new(disk: CrashDisk) -> Life {
        Life {
            disk,
            wal: None,
            history: vec![State::default()],
            outputs: vec![0],
            durable: 0,
            rolled: 0,
            purged: 0,
        }
    }

    fn open(&mut self) -> io::Result<()> {
        match open(&self.disk) {
            Ok((wal, _)) => self.wal = Some(wal),
            Err(OpenError::Disk(e)) => return Err(e),
            Err(e) => panic!("{e}"),
        }
        Ok(())
    }

    fn wal(&mut self) -> &mut Wal {
        self.wal.as_mut().expect("it is open")
    }

    fn now(&self) -> &State {
        self.history.last().expect("it begins with nothing")
    }

    fn change(&mut self, change: impl FnOnce(&mut State)) {
        let mut state = self.now().clone();
        change(&mut state);
        self.history.push(state);
    }

    fn write(&mut self, output: Output) -> io::Result<()> {
        if let Some(base) = output.reset {
            self.change(|state| {
                state.base = base;
                state.entries.clear();
            });
        }
        for entry in output.append.clone() {
            self.change(|state| {
                let kept = entry.index - state.base.index - 1;
                state.entries.truncate(kept as usize);
                state.entries.push(entry);
            });
        }
        if let Some(new) = output.hard_state.clone() {
            self.change(|state| state.hard_state = new);
        }
        self.outputs.push(self.history.len() - 1);
        let seq = self.outputs.len() as u64 - 1;
        self.wal().write(&Output { seq, ..output })
    }

    /// Appends `count` entries of `bytes` bytes, in the last one's term.
    fn append(&mut self, count: u64, bytes: usize) -> io::Result<()> {
        let last = self.now().last_index();
        let term = self.now().hard_state.term;
        let append = (last + 1..=last + count).map(|i| entry(i, term, bytes));
        self.write(Output {
            append: append.collect(),
            ..Output::default()
        })
    }

    fn compact(&mut self, index: u64) -> io::Result<()> {
        let base = self.now().base_at(index);
        self.change(|state| {
            state
                .entries
                .drain(..(base.index - state.base.index) as usize);
            state.base = base;
        });
        self.wal().compact(base)
    }

    fn start_sync(&mut self) {
        self.wal().start_sync();
    }

    fn finish_sync(&mut self) -> io::Result<()> {
        for (id, result) in self.disk.finish_syncs() {
            let done = self.wal().synced(id, result)?;
            let Durable {
                seq,
                rolled,
                purged,
            } = done.expect("it is the one under way");
            self.durable = self.durable.max(self.outputs[seq as usize]);
            self.rolled += usize::from(rolled);
            self.purged += purged;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.start_sync();
        self.finish_sync()
    }

    /// A follower's life, in which everything happens that can: writes that
    /// outrun a sync, a record larger than a segment, a conflict, compactions,
    /// a snapshot, a restart.
    fn live(&mut self) -> io::Result<()> {
        self.open()?;
        self.write(Output {
            hard_state: hard_state(1, 2, 0),
            ..Output::default()
        })?;
        self.start_sync();
        self.append(3, 50)?;
        self.finish_sync()?;
        self.append(1, 300)?;
        self.start_sync();
        self.append(2, 100)?;
        self.start_sync();
        self.finish_sync()?;
        self.sync()?;
        self.append(1, 2000)?;
        self.append(4, 10)?;
        self.sync()?;
        self.write(Output {
            append: vec![entry(8, 2, 80), entry(9, 2, 80)],
            hard_state: hard_state(2, 0, 7),
            ..Output::default()
        })?;
        self.sync()?;
        self.append(6, 90)?;
        self.compact(8)?;
        self.start_sync();
        self.append(1, 700)?;
        self.finish_sync()?;
        self.sync()?;
        self.write(Output {
            hard_state: hard_state(3, 1, 15),
            ..Output::default()
        })?;
        self.sync()?;

        self.open()?;
        // Opening made everything durable that it found.
        self.durable = self.history.len() - 1;
        self.append(3, 20)?;
        self.sync()?;
        self.write(Output {
            reset: Some(LogBase { index: 40, term: 3 }),
            hard_state: hard_state(3, 1, 40),
            ..Output::default()
        })?;
        self.append(4, 150)?;
        self.sync()?;
        self.append(1, 30)?;
        self.start_sync();
        self.compact(44)?;
        self.finish_sync()?;
        self.sync()?;
        self.append(2, 250)?;
        self.sync()?;
        self.append(2, 250)?;
        self.sync()?;
        self.compact(48)?;
        self.append(1, 30)?;
        self.sync()?;
        self.append(1, 30)
    }

    /// Opens what a failure left, which must be some state that the log had,
    /// not before what it said is durable.
    fn recover(&self, disk: &CrashDisk, context: &str) -> (Wal, State, u64) {
        let (wal, recovered) = open(disk).unwrap_or_else(|e| panic!("{context}: {e}"));
        let torn = recovered.torn;
        let state = State::from(recovered);
        assert!(
            self.history[self.durable..].contains(&state),
            "{context}: {state:#?} is not in what was written since {:#?}",
            self.history[self.durable]
        );
        (wal, state, torn)
    }
}

#[test]
fn power_failure_at_every_disk_operation_loses_nothing_that_was_durable() {
    let mut whole = Life::new(CrashDisk::default());
    whole.live().unwrap();
    assert!(whole.rolled >= 5, "{} segments", whole.rolled);
    assert!(whole.purged >= 4, "{} segments purged", whole.purged);
    let operations = whole.disk.operations();

    let (mut torn, mut recoveries, mut leftovers) = (0, 0, 0);
    for at in 1..=operations + 1 {
        let mut life = Life::new(CrashDisk::default());
        life.disk.fail_at(at);
        assert_eq!(life.live().is_err(), at <= operations);
        let fates = (0..16).map(|fate| (format!("fate {fate}"), life.disk.after_power_loss(fate)));
        let killed = [("killed".to_owned(), life.disk.after_kill())];
        for (how, left) in fates.chain(killed) {
            let context = format!("operation {at} of {operations}, {how}");
            leftovers += left
                .names()
                .iter()
                .filter(|name| name.to_string_lossy().ends_with(".tmp"))
                .count();

            // Recovery crashes as well, at each of its operations in turn.
            for again in 1.. {
                let disk = left.after_kill();
                disk.fail_at(again);
                let opened = open(&disk);
                if opened.is_ok() {
                    break;
                }
                recoveries += 1;
                for fate in 0..4 {
                    let context = format!("{context}, recovery {again}, fate {fate}");
                    life.recover(&disk.after_power_loss(fate), &context);
                }
            }

            let (mut wal, mut state, cut) = life.recover(&left, &context);
            torn += usize::from(cut > 0);
            let (_, same, _) = life.recover(&left.after_power_loss(0), &context);
            assert_eq!(same, state, "{context}: opening made it durable");

            let next = entry(state.last_index() + 1, 9, 40);
            let output = Output {
                seq: 1,
                append: vec![next.clone()],
                ..Output::default()
            };
            wal.write(&output).unwrap();
            wal.sync_now().unwrap();
            state.entries.push(next);
            let (_, reopened) = open(&left.after_power_loss(0)).unwrap();
            assert_eq!(State::from(reopened), state, "{context}: it goes on");
        }
    }
    assert!(torn > 50, "only {torn} torn tails");
    assert!(leftovers > 20, "only {leftovers} unfinished segments");
    assert!(recoveries > 1000, "only {recoveries} failed recoveries");
}

#[test]
fn what_is_written_during_a_sync_waits_for_the_next() {
    let mut life = Life::new(CrashDisk::default());
    life.open().unwrap();
    life.append(1, 10).unwrap();
    life.start_sync();
    life.append(1, 10).unwrap();
    life.start_sync();
    let syncs = life.disk.finish_syncs();
    assert_eq!(syncs.len(), 1, "one at a time");
    let synced = life.wal().synced(SyncId(1), Ok(())).unwrap();
    assert_eq!(synced.map(|done| done.seq), Some(1));
    let (_, left) = open(&life.disk.after_power_loss(0)).unwrap();
    assert_eq!(left.entries.len(), 1);
    life.sync().unwrap();
    let (_, left) = open(&life.disk.after_power_loss(0)).unwrap();
    assert_eq!(left.entries.len(), 2);
    life.start_sync();
    assert_eq!(life.disk.finish_syncs().len(), 0, "nothing is left to sync");
    let stale = life.wal().synced(SyncId(1), Ok(())).unwrap();
    assert_eq!(stale, None, "it ended long ago");
}

#[test]
fn a_failed_sync_is_final() {
    let mut life = Life::new(CrashDisk::default());
    life.open().unwrap();
    life.append(1, 10).unwrap();
    life.start_sync();
    let failed = Err(io::Error::other("the medium"));
    assert!(life.wal().synced(SyncId(1), failed).is_err());
}

/// Files as they are, each with its bytes.
fn files(disk: &CrashDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |name: PathBuf| {
        let file = disk.shared().open(&name, Open::Existing).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        (name, bytes)
    };
    disk.names().into_iter().map(read).collect()
}

fn disk_of(files: &[(PathBuf, Vec<u8>)]) -> CrashDisk {
    let disk = CrashDisk::default();
    for (name, bytes) in files {
        let file = disk.shared().open(name, Open::New).unwrap();
        file.write_at(0, bytes).unwrap();
    }
    disk
}

fn refusal(disk: &CrashDisk) -> String {
    let before = files(disk);
    match open(disk) {
        Err(OpenError::Corrupt(why)) => {
            assert_eq!(files(disk), before, "what is refused stays as it is");
            why
        }
        Err(e) => panic!("refused, but with: {e}"),
        Ok((_, found)) => panic!("it opened: {:#?}", State::from(found)),
    }
}

/// Several segments, all of them durable; the last record of the last one says
/// so up to the offset that comes with them.
fn several_segments() -> (Life, Vec<(PathBuf, Vec<u8>)>, usize) {
    let mut life = Life::new(CrashDisk::default());
    life.open().unwrap();
    for _ in 0..5 {
        life.write(Output {
            hard_state: hard_state(1, 2, 0),
            ..Output::default()
        })
        .unwrap();
        life.append(2, 120).unwrap();
        life.sync().unwrap();
    }
    assert!(life.rolled >= 2);
    life.append(1, 10).unwrap();
    life.sync().unwrap();
    let testified = files(&life.disk).pop().unwrap().1.len();
    life.append(1, 10).unwrap();
    life.sync().unwrap();
    let files = files(&life.disk);
    (life, files, testified)
}

#[test]
fn every_rotten_byte_is_noticed_unless_a_torn_tail_could_look_like_it() {
    let (life, files, testified) = several_segments();
    let last = files.len() - 1;
    for (i, (name, bytes)) in files.iter().enumerate() {
        for at in 0..bytes.len() {
            let mut rotten = files.clone();
            rotten[i].1[at] ^= 0x10;
            let disk = disk_of(&rotten);
            if i < last || at < testified {
                let why = refusal(&disk);
                assert!(why.contains(name.to_str().unwrap()), "byte {at}: {why}");
            } else {
                let (_, found) = open(&disk).unwrap();
                assert!(found.torn > 0, "byte {at}");
                let before = &life.history[life.history.len() - 2];
                assert_eq!(State::from(found), *before, "byte {at}");
            }
        }
    }
}

#[test]
fn a_refusal_says_where_what_and_what_to_do() {
    let (_, mut files, _) = several_segments();
    files[1].1[70] ^= 1;
    insta::assert_snapshot!(
        refusal(&disk_of(&files)),
        @"wal/0000000000000001-0000000000000003.wal has a bad record at offset 41: its checksum is eb9617ab, its bytes give 532a70ce; what it held was durable and may have been acknowledged, so the member must not go on without it: replace the member, or restore its data directory from a copy"
    );
    let (_, mut files, _) = several_segments();
    files.remove(1);
    insta::assert_snapshot!(
        refusal(&disk_of(&files)),
        @"wal/0000000000000002-0000000000000005.wal is the oldest segment that connects to the log, but entries 1 to 4, which should stand before it, were not compacted: put the missing segments back, or replace the member"
    );
    files.clear();
    let gone = LogBase { index: 7, term: 2 };
    let Err(error) = Wal::open(
        disk_of(&files).shared(),
        &small_segments(),
        Bugs::NONE,
        gone,
    ) else {
        panic!("it opened");
    };
    insta::assert_snapshot!(
        error,
        @"data is corrupt: the log is gone from wal/, though entry 7 was applied, and with it for whom the member voted: put the segments back, or replace the member"
    );
}

#[test]
fn a_segment_that_lost_its_end_or_all_of_it_is_missed() {
    let (_, files, _) = several_segments();
    for cut in [0, 1, 30, 200] {
        let mut cut_off = files.clone();
        cut_off[1].1.truncate(cut);
        refusal(&disk_of(&cut_off));
    }
    let mut cut_off = files.clone();
    cut_off.last_mut().unwrap().1.clear();
    refusal(&disk_of(&cut_off));
    for missing in 0..files.len() - 1 {
        let mut fewer = files.clone();
        fewer.remove(missing);
        refusal(&disk_of(&fewer));
    }
}

#[test]
fn a_file_that_is_no_segment_is_left_alone() {
    let (_, mut files, _) = several_segments();
    files.push(("wal/core.1234".into(), vec![1, 2, 3]));
    let why = refusal(&disk_of(&files));
    assert!(why.contains("wal/core.1234"), "{why}");
    let (first, bytes) = files[0].clone();
    files.pop();
    files.push(("wal/0000000000000000-0000000000000009.wal".into(), bytes));
    let why = refusal(&disk_of(&files));
    assert!(why.contains(first.to_str().unwrap()), "{why}");
}

#[test]
fn a_purged_segment_that_comes_back_is_removed_again() {
    let (mut life, before, _) = several_segments();
    let last = life.now().last_index();
    life.compact(last).unwrap();
    life.sync().unwrap();
    assert!(life.purged >= 2);
    let mut files = files(&life.disk);
    let kept = files.clone();
    files.insert(0, before[0].clone());
    let disk = disk_of(&files);
    life.recover(&disk, "with a segment that was purged");
    assert_eq!(disk.names(), [kept[0].0.clone()]);
}

#[test]
fn a_value_that_is_a_copy_of_the_log_is_no_testimony() {
    let mut life = Life::new(CrashDisk::default());
    life.open().unwrap();
    life.append(2, 20).unwrap();
    life.sync().unwrap();
    life.append(1, 20).unwrap();
    life.sync().unwrap();
    let (path, copy) = files(&life.disk).pop().unwrap();
    let output = Output {
        append: vec![Entry {
            data: [vec![0; 40], copy.clone(), copy.clone()].concat().into(),
            ..entry(4, 0, 0)
        }],
        ..Output::default()
    };
    life.write(output).unwrap();
    // The record's first byte was lost, the rest of it was not.
    let file = life.disk.shared().open(&path, Open::Existing).unwrap();
    file.write_at(copy.len() as u64, &[0xee]).unwrap();
    let (_, state, torn) = life.recover(&life.disk, "with a copy of the log in a value");
    assert_eq!(state.entries.len(), 3);
    assert!(torn > 2 * copy.len() as u64);
}

#[test]
fn the_log_of_another_member_or_cluster_is_refused() {
    let (_, files, _) = several_segments();
    let cfg = small_segments();
    for other in [
        Config {
            id: 2,
            ..cfg.clone()
        },
        Config { cluster: 9, ..cfg },
    ] {
        let disk = disk_of(&files);
        let error = Wal::open(disk.shared(), &other, Bugs::NONE, NOTHING)
            .err()
            .unwrap();
        assert!(matches!(error, OpenError::Identity { .. }), "{error}");
        assert_eq!(super::wal::files(&disk), files);
    }
}

#[test]
fn the_names_of_segments_are_in_order() {
    let (life, ..) = several_segments();
    let names = life.disk.names();
    assert!(names.is_sorted());
    assert_eq!(
        names[0],
        Path::new("wal/0000000000000000-0000000000000001.wal")
    );
}
