//! The log as text.

use super::bench::{config, del, put};
use super::crash_disk::CrashDisk;
use crate::dump_log;
use crate::wal::Wal;
use prost::Message as _;
use raft_proto::eraftpb::{Entry, HardState};
use squall_api::pb::internal_raft_request::Command;
use squall_api::pb::{InternalRaftRequest, RequestHeader};
use squall_api::{Bugs, Open};
use squall_raft::{LogBase, Output};
use std::path::Path;

fn entry(index: u64, command: Option<Command>) -> Entry {
    let data = command.map(|command| {
        let header = Some(RequestHeader {
            id: 0xab00 + index,
            ..RequestHeader::default()
        });
        let command = Some(command);
        InternalRaftRequest { header, command }.encode_to_vec()
    });
    Entry {
        index,
        term: 2,
        data: data.unwrap_or_default().into(),
        ..Entry::default()
    }
}

#[test]
fn a_dump_of_the_log_shows_every_record_and_says_where_it_is_damaged() {
    let disk = CrashDisk::default();
    let nothing = LogBase { index: 0, term: 0 };
    let (mut wal, _) = Wal::open(disk.shared(), &config(), Bugs::NONE, nothing).unwrap();
    let output = Output {
        seq: 1,
        append: vec![
            entry(1, None),
            entry(2, Some(Command::Put(put("k", "v")))),
            entry(3, Some(Command::DeleteRange(del("a", "b")))),
        ],
        hard_state: Some(HardState {
            term: 2,
            vote: 3,
            commit: 1,
            ..HardState::default()
        }),
        ..Output::default()
    };
    wal.write(&output).unwrap();
    wal.sync_now().unwrap();
    let shared = disk.shared();
    let (text, damaged) = dump_log(shared.as_ref()).unwrap();
    assert_eq!(damaged, 0, "{text}");
    insta::assert_snapshot!("dump_of_a_log", text);

    let path = Path::new("wal/0000000000000000-0000000000000001.wal");
    let file = shared.open(path, Open::Existing).unwrap();
    file.write_at(150, &[0xee]).unwrap();
    let (text, damaged) = dump_log(shared.as_ref()).unwrap();
    assert_eq!(damaged, 1, "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.contains("BAD RECORD"), "{text}");
    assert!(text.contains("identity"), "{text}");
}
