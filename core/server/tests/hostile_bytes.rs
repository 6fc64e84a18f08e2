//! Bytes that no member writes, on the peer port, in the log, and in backups:
//! refused with a reason, without a panic, in bounded memory.
//!
//! Every checksum here is right. Damage is found by checksums, and other tests
//! see to that; these bytes are somebody's work. An allocation beyond the limit
//! ends the process.

use bytes::{BufMut as _, BytesMut};
use cap::Cap;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use prost::Message as _;
use protobuf::Message as _;
use raft_proto::eraftpb::{ConfChangeV2, Entry, EntryType, Message, MessageType};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sha2::{Digest as _, Sha256};
use squall_api::pb::peer::{Forwarded, SnapshotChunk, WasRemovedRequest, forwarded};
use squall_api::pb::{LeaseTimeToLiveResponse, SnapshotRequest};
use squall_api::{
    Bugs, Config, Disk, Effect, Effects, Env, Fatal, FrameError, Input, LaneMsg, Machine as _,
    MaintenanceRequest, MaintenanceResponse, Metadata, NoStamp, Now, OpenError, PeerFrame, ReqId,
    Request, Response, SessionId,
};
use squall_server::FileDisk;
use squall_store::{ApplyLane, RaftLane, RestoreOptions, backup_status, restore};
use std::alloc::System;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, 640 << 20);

const CLUSTER: u64 = 7;
const MEBIBYTE: usize = 1 << 20;

/// Member 1 of three, on files.
struct Member {
    raft: RaftLane,
    apply: ApplyLane,
    now: Now,
}

impl Member {
    fn open(dir: &Path) -> Result<Member, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(FileDisk::open(dir, |_, _| {})?);
        let env = Env {
            disk,
            rng: ChaCha8Rng::seed_from_u64(1),
            bugs: Bugs::NONE,
            cfg: Config::new(CLUSTER, 1, vec![1, 2, 3]),
        };
        let now = Now { mono: 1, wall: 1 };
        let (raft, apply) = squall_store::open(env, now)?;
        Ok(Member { raft, apply, now })
    }

    /// Gives an input to one lane, and what comes of it to the other, and so on.
    /// Returns the answers to clients.
    fn take(&mut self, to_raft: bool, input: Input) -> Result<Vec<Response>, Fatal> {
        let mut answers = Vec::new();
        let mut inputs = vec![(to_raft, input)];
        while let Some((to_raft, input)) = inputs.pop() {
            let mut fx = Effects::new(Arc::new(NoStamp));
            match to_raft {
                true => self.raft.step(self.now, input, &mut fx)?,
                false => self.apply.step(self.now, input, &mut fx)?,
            }
            for (_, effect) in fx.drain() {
                match effect {
                    Effect::Lane(msg) => inputs.insert(0, (!to_raft, Input::Lane(msg))),
                    Effect::Reply { result, .. } => answers.extend(*result),
                    Effect::Send(_) | Effect::Mark(_) | Effect::View(_) => {}
                }
            }
        }
        Ok(answers)
    }

    fn backup(&mut self) -> Vec<u8> {
        let request = MaintenanceRequest::Snapshot(SnapshotRequest::default());
        let input = Input::Request {
            id: ReqId(1),
            session: SessionId(1),
            meta: Metadata::default(),
            req: Box::new(Request::Maintenance(request)),
        };
        let answers = self.take(false, input).expect("a healthy member");
        let blob = |answer| match answer {
            Response::Maintenance(MaintenanceResponse::Snapshot(part)) => part.blob,
            other => panic!("{other:?} is no part of a backup"),
        };
        answers.into_iter().flat_map(blob).collect()
    }
}

/// A frame around a body of this kind, with the checksum that it should have.
fn frame(kind: u8, body: &[u8]) -> BytesMut {
    let mut tail = Vec::new();
    for number in [CLUSTER, 2, 1] {
        tail.extend_from_slice(&number.to_le_bytes());
    }
    let version = 1_u16.to_le_bytes();
    let len = (body.len() as u32 + 1).to_le_bytes();
    let mut hasher = crc32fast::Hasher::new();
    for part in [&version[..], &len, &tail, &[kind], body] {
        hasher.update(part);
    }
    let mut frame = BytesMut::new();
    frame.put_slice(b"sqRF");
    frame.put_slice(&version);
    frame.put_slice(&len);
    frame.put_u32_le(hasher.finalize());
    frame.put_slice(&tail);
    frame.put_u8(kind);
    frame.put_slice(body);
    frame
}

const RAFT: u8 = 1;
const FORWARDED: u8 = 2;
const CHUNK: u8 = 3;

fn refusal(kind: u8, body: &[u8]) -> String {
    match PeerFrame::decode(&mut frame(kind, body)) {
        Err(FrameError::Body(why)) => why,
        other => panic!("not refused: {:?}", other.map(|_| "a frame")),
    }
}

#[test]
fn frames_that_make_much_of_little_are_refused() {
    let most = 63 * MEBIBYTE;
    let too_much = "would take more than 268435456 bytes of memory";
    // Empty entries; members of a configuration, one by one and in one run.
    assert!(refusal(RAFT, &[0x3a, 0x00].repeat(most / 2)).ends_with(too_much));
    let in_conf_state = |voters: Vec<u8>| {
        let mut body = voters;
        // Message.snapshot, Snapshot.metadata, SnapshotMetadata.conf_state
        for tag in [0x0a, 0x12, 0x4a] {
            let mut outer = vec![tag];
            prost::encoding::encode_varint(body.len() as u64, &mut outer);
            outer.extend(body);
            body = outer;
        }
        body
    };
    assert!(refusal(RAFT, &in_conf_state([0x08, 0x01].repeat(most / 2))).ends_with(too_much));
    let mut run = vec![0x0a];
    prost::encoding::encode_varint(most as u64, &mut run);
    run.resize(most, 1);
    let why = refusal(RAFT, &in_conf_state(run));
    assert!(why.contains("claims 66060288 bytes"), "{why}");
    // Keys of a lease.
    let mut keys = vec![0x6a];
    prost::encoding::encode_varint(most as u64, &mut keys);
    keys.extend([0x2a, 0x00].repeat(most / 2));
    assert!(refusal(FORWARDED, &keys).ends_with(too_much));
    // Fields that nobody knows, each of which rust-protobuf would keep.
    let unknown: Vec<u8> = (20_u64..2_000_000)
        .flat_map(|field| {
            let mut tag = Vec::new();
            prost::encoding::encode_varint(field << 3, &mut tag);
            tag.push(0);
            tag
        })
        .collect();
    assert!(refusal(RAFT, &unknown).contains("the message has no field 20"));
    // Groups, one in the other.
    assert!(refusal(RAFT, &[0x3b].repeat(most)).contains("wire type 3"));
    assert!(refusal(CHUNK, &[0x0b].repeat(most)).contains("wire type 3"));
}

#[test]
fn lengths_that_are_claimed_are_not_reserved() {
    let mut claims = frame(RAFT, &[]);
    claims[6..10].copy_from_slice(&(64 * MEBIBYTE as u32).to_le_bytes());
    let refused = PeerFrame::decode(&mut claims);
    assert!(matches!(refused, Err(FrameError::Incomplete { .. })));
    claims[6..10].copy_from_slice(&u32::MAX.to_le_bytes());
    let refused = PeerFrame::decode(&mut claims);
    assert!(matches!(refused, Err(FrameError::TooLong { .. })));

    let dir = tempfile::tempdir().unwrap();
    let mut member = Member::open(dir.path()).unwrap();
    let mut msg = Message {
        msg_type: MessageType::MsgSnapshot,
        from: 2,
        to: 1,
        term: 9,
        ..Message::default()
    };
    msg.mut_snapshot().mut_metadata().index = 1_000;
    msg.mut_snapshot().mut_metadata().term = 9;
    for index in 1_000..1_100 {
        msg.mut_snapshot().mut_metadata().index = index;
        let chunk = SnapshotChunk {
            message: msg.write_to_bytes().unwrap().into(),
            total: 4 << 30,
            checksum: index,
            data: b"a little".to_vec().into(),
            ..SnapshotChunk::default()
        };
        let mut bytes = frame(CHUNK, &chunk.encode_to_vec());
        let frame = PeerFrame::decode(&mut bytes).expect("a frame");
        member.take(true, Input::Peer(frame)).expect("goes on");
    }
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0_u64..6, 1 => Just(u64::MAX), 1 => any::<u64>()]
}

/// A Raft message such as members send, but for what stands in it.
fn raft_message() -> impl Strategy<Value = Message> {
    let kinds = [
        MessageType::MsgAppend,
        MessageType::MsgSnapshot,
        MessageType::MsgHeartbeat,
        MessageType::MsgPropose,
        MessageType::MsgRequestVote,
        MessageType::MsgAppendResponse,
        MessageType::MsgReadIndex,
        MessageType::MsgTimeoutNow,
    ];
    let numbers = (number(), number(), number(), number());
    let bytes = || prop::collection::vec(any::<u8>(), 0..24);
    let entries = prop::collection::vec((0_u8..3, 1_u64..6, bytes()), 0..4);
    (0..kinds.len(), numbers, entries, bytes(), bytes()).prop_map(
        move |(kind, (term, index, log_term, commit), entries, context, data)| {
            let mut msg = Message {
                msg_type: kinds[kind],
                from: 2,
                to: 1,
                term,
                index,
                log_term,
                commit,
                context: context.into(),
                ..Message::default()
            };
            for (at, (entry_type, term, data)) in entries.into_iter().enumerate() {
                msg.entries.push(Entry {
                    entry_type: match entry_type {
                        0 => EntryType::EntryNormal,
                        1 => EntryType::EntryConfChange,
                        _ => EntryType::EntryConfChangeV2,
                    },
                    index: index.wrapping_add(at as u64 + 1),
                    term,
                    data: data.into(),
                    context: vec![0; 8].into(),
                    ..Entry::default()
                });
            }
            if msg.msg_type == MessageType::MsgSnapshot {
                let snapshot = msg.mut_snapshot();
                snapshot.data = data.into();
                snapshot.mut_metadata().index = index;
                snapshot.mut_metadata().term = log_term;
                snapshot.mut_metadata().mut_conf_state().voters = vec![1, 2, commit];
            }
            msg
        },
    )
}

/// What is done to bytes, each at some place.
#[derive(Debug, Clone)]
enum Damage {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let at = any::<prop::sample::Index>;
    let byte = prop_oneof![any::<u8>(), Just(0x0b), Just(0x3b), Just(0xff), Just(0x7f)];
    let one = prop_oneof![
        4 => (at(), byte).prop_map(|(at, byte)| Damage::Set(at, byte)),
        1 => at().prop_map(Damage::Cut),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..12))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
    ];
    prop::collection::vec(one, 0..4)
}

fn damaged(mut bytes: Vec<u8>, damage: &[Damage]) -> Vec<u8> {
    for one in damage {
        match one {
            _ if bytes.is_empty() => {}
            Damage::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Damage::Insert(at, new) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, new.iter().copied());
            }
        }
    }
    bytes
}

fn body() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let raft = raft_message().prop_map(|msg| (RAFT, msg.write_to_bytes().unwrap()));
    let chunk = (raft_message(), number(), number()).prop_map(|(msg, offset, total)| {
        let chunk = SnapshotChunk {
            message: msg.write_to_bytes().unwrap().into(),
            offset,
            total,
            checksum: xxh3_64(b"data"),
            data: b"data".to_vec().into(),
        };
        (CHUNK, chunk.encode_to_vec())
    });
    let forwarded = (any::<u64>(), any::<i64>(), any::<bool>()).prop_map(|(id, lease, asks)| {
        let answer = LeaseTimeToLiveResponse {
            id: lease,
            keys: vec![b"key".to_vec().into()],
            ..LeaseTimeToLiveResponse::default()
        };
        // Who is told that it was removed ends, as it should.
        let body = Some(match asks {
            true => forwarded::Body::WasRemoved(WasRemovedRequest {}),
            false => forwarded::Body::TimeLeft(answer),
        });
        (FORWARDED, Forwarded { id, body }.encode_to_vec())
    });
    let anything = (0_u8..6, prop::collection::vec(any::<u8>(), 0..64));
    prop_oneof![6 => raft, 2 => chunk, 2 => forwarded, 1 => anything]
}

/// A member may end because of what it was told, if it says why.
fn says_why(ended: Fatal) -> Result<(), TestCaseError> {
    match ended {
        Fatal::Corrupt(why) if !why.is_empty() => Ok(()),
        other => Err(TestCaseError::fail(format!("ended: {other}"))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_frame_brings_a_member_down(
        bodies in prop::collection::vec((body(), damage()), 1..40)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut member = Member::open(dir.path()).unwrap();
        for ((kind, body), damage) in bodies {
            let mut bytes = frame(kind, &damaged(body, &damage));
            match PeerFrame::decode(&mut bytes) {
                Ok(frame) => {
                    let to_raft = frame.is_for_raft();
                    if let Err(ended) = member.take(to_raft, Input::Peer(frame)) {
                        return says_why(ended);
                    }
                }
                Err(FrameError::Body(why)) => prop_assert!(!why.is_empty()),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }

    #[test]
    fn no_entry_brings_a_member_down(
        entries in prop::collection::vec((0_u8..3, prop::collection::vec(any::<u8>(), 0..40)), 1..6)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut member = Member::open(dir.path()).unwrap();
        let entry = |(at, (entry_type, data)): (usize, (u8, Vec<u8>))| Entry {
            entry_type: match entry_type {
                0 => EntryType::EntryNormal,
                1 => EntryType::EntryConfChange,
                _ => EntryType::EntryConfChangeV2,
            },
            index: at as u64 + 1,
            term: 1,
            data: data.into(),
            ..Entry::default()
        };
        let entries = entries.into_iter().enumerate().map(entry).collect();
        let mut fx = Effects::new(Arc::new(NoStamp));
        let committed = Input::Lane(LaneMsg::Committed(entries));
        if let Err(ended) = member.apply.step(member.now, committed, &mut fx) {
            says_why(ended)?;
        }
    }
}

/// A log that a member has just begun: its directory, and the one segment.
fn begun_log() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    drop(Member::open(dir.path()).unwrap());
    let log = std::fs::read_dir(dir.path().join("wal")).unwrap();
    let segment = log.map(|file| file.unwrap().path()).max().unwrap();
    (dir, segment)
}

/// Appends a record to a segment, as the log's format has it.
fn append_record(segment: &Path, bytes: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let name = segment.file_name().unwrap().to_str().unwrap();
    let sequence = u64::from_str_radix(&name[..16], 16).unwrap();
    let mut record = Vec::new();
    record.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    record.push(kind);
    record.extend_from_slice(&0_u64.to_le_bytes());
    record.extend_from_slice(payload);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&sequence.to_le_bytes());
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(&record);
    bytes.extend_from_slice(&hasher.finalize().to_le_bytes());
    bytes.extend_from_slice(&record);
}

fn payload() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let entry = (
        1_u64..4,
        0_u64..4,
        prop::collection::vec(any::<u8>(), 0..16),
        damage(),
    );
    let entry = entry.prop_map(|(index, term, data, damage)| {
        let entry = Entry {
            index,
            term,
            data: data.into(),
            ..Entry::default()
        };
        (4, damaged(entry.write_to_bytes().unwrap(), &damage))
    });
    let words = (1_u8..7, prop::collection::vec(number(), 0..4)).prop_map(|(kind, words)| {
        (
            kind,
            words.iter().flat_map(|word| word.to_le_bytes()).collect(),
        )
    });
    prop_oneof![3 => entry, 2 => words]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_log_brings_a_member_down(payloads in prop::collection::vec(payload(), 1..6)) {
        let (dir, segment) = begun_log();
        let mut bytes = std::fs::read(&segment).unwrap();
        for (kind, payload) in &payloads {
            append_record(&segment, &mut bytes, *kind, payload);
        }
        std::fs::write(&segment, &bytes).unwrap();
        match Member::open(dir.path()) {
            Ok(_) => {}
            Err(OpenError::Corrupt(why)) => prop_assert!(!why.is_empty()),
            Err(OpenError::Identity { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

#[test]
fn entries_of_a_log_that_run_past_their_end_are_refused() {
    let refused = [
        (&[0x22_u8, 0x7f, 0x01][..], "claims 127 bytes"),
        (&[0x23, 0x24], "no field 4 of wire type 3"),
        (&[0x10, 0xff], "a number does not end here"),
        (&[0xf8, 0x01, 0x00], "no field 31"),
    ];
    for (payload, reason) in refused {
        let (dir, segment) = begun_log();
        let mut bytes = std::fs::read(&segment).unwrap();
        append_record(&segment, &mut bytes, 4, payload);
        // Something intact behind it, that it is no torn end.
        let entry = Entry {
            index: 1,
            term: 1,
            ..Entry::default()
        };
        append_record(&segment, &mut bytes, 4, &entry.write_to_bytes().unwrap());
        std::fs::write(&segment, &bytes).unwrap();
        let Err(why) = Member::open(dir.path()) else {
            panic!("opened a log with an entry of {payload:02x?}");
        };
        let why = why.to_string();
        assert!(why.contains(reason), "{why}");
    }
}

/// A dump with its checksums made right again.
fn resealed(mut dump: Vec<u8>) -> Vec<u8> {
    if dump.len() >= 16 {
        let checksum = xxh3_64(&dump[16..]);
        dump[8..16].copy_from_slice(&checksum.to_le_bytes());
    }
    let seal = Sha256::digest(&dump);
    dump.extend_from_slice(&seal);
    dump
}

fn restored(backup: &[u8]) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(FileDisk::open(dir.path(), |_, _| {}).unwrap());
    let cfg = Config::new(8, 1, vec![1]);
    restore(&disk, &cfg, backup, RestoreOptions::default()).map_err(|why| why.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_backup_brings_a_restore_down(damage in damage()) {
        let dir = tempfile::tempdir().unwrap();
        let mut backup = Member::open(dir.path()).unwrap().backup();
        backup.truncate(backup.len() - 32);
        let backup = resealed(damaged(backup, &damage));
        if let Err(why) = backup_status(&backup) {
            prop_assert!(!why.to_string().is_empty());
        }
        if let Err(why) = restored(&backup) {
            prop_assert!(!why.is_empty());
        }
    }
}

#[test]
fn a_backup_that_claims_much_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut whole = Member::open(dir.path()).unwrap().backup();
    whole.truncate(whole.len() - 32);
    assert_eq!(restored(&resealed(whole.clone())), Ok(()));
    // Header, and seven numbers; then how long the membership is.
    let membership = 16 + 7 * 8;
    let mut claims = whole.clone();
    claims[membership..membership + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let refused = restored(&resealed(claims)).unwrap_err();
    assert!(refused.contains("its body ends early"), "{refused}");
    // The number of changes is the last thing in a dump without any.
    let mut claims = whole.clone();
    let last = claims.len() - 8;
    claims[last..].copy_from_slice(&u64::MAX.to_le_bytes());
    let refused = restored(&resealed(claims)).unwrap_err();
    assert!(refused.contains("its body ends early"), "{refused}");
}

#[test]
fn a_change_of_members_that_runs_past_its_end_is_none() {
    let overrun = [0x12_u8, 0x05, 0x10, 0x01];
    assert!(ConfChangeV2::parse_from_bytes(&overrun).is_ok());
    assert!(squall_api::wire::parse::<ConfChangeV2>(&overrun).is_err());
}
