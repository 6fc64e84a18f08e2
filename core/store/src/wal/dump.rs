//! The log for people to read, damage included.

use super::record::{FORMAT, Place, Record};
use super::replay::{read, replay};
use super::segment::{DIR, Segment, is_temporary};
use prost::Message as _;
use raft_proto::eraftpb::Entry;
use squall_api::pb::{ConfChangeContext, InternalRaftRequest};
use squall_api::{Bugs, Disk, OpenError};
use squall_raft::{decode_conf_change, is_conf_change};
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// The segments of a log as text: a line for every record, with its offset, and
/// for an entry its index, term and decoded request. Changes nothing. A record
/// that does not decode ends its segment's lines, with what is wrong and where.
/// The second part says how many segments end so; the last one may, by a torn
/// write, and the others must not.
pub fn dump_log(disk: &dyn Disk) -> io::Result<(String, usize)> {
    let (mut out, mut damaged) = (String::new(), 0);
    for path in disk.list(Path::new(DIR))? {
        let name = path.display();
        if is_temporary(&path) {
            let _ = writeln!(out, "{name}: never finished; the next start removes it");
            continue;
        }
        let Some(segment) = Segment::from_path(&path) else {
            let _ = writeln!(out, "{name}: no segment of the log");
            damaged += 1;
            continue;
        };
        let bytes = read(disk, &path)?;
        let _ = writeln!(out, "{name}: {} bytes", bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let place = Place {
                segment: segment.seq,
                offset: at as u64,
            };
            match Record::decode(&bytes[at..], place) {
                Ok((record, len, _)) => {
                    let _ = writeln!(out, "  {at:>8}  {}", line(&record));
                    at += len;
                }
                Err(no_record) => {
                    let (left, what) = (bytes.len() - at, no_record.what());
                    let _ = writeln!(out, "  {at:>8}  BAD RECORD, {left} bytes left: {what}");
                    damaged += 1;
                    break;
                }
            }
        }
    }
    Ok((out, damaged))
}

/// Whether a member could start from a log, as far as the log alone says: the
/// bytes that it would cut off at the end, or why not, and what to do. Changes
/// nothing.
pub fn check_log(disk: &dyn Disk) -> Result<u64, OpenError> {
    Ok(replay(disk, Bugs::NONE)?.torn)
}

fn line(record: &Record) -> String {
    match record {
        Record::Identity {
            format,
            cluster,
            member,
        } => {
            let known = if *format == FORMAT { "" } else { " (unknown)" };
            format!("identity   format {format}{known} cluster {cluster:x} member {member}")
        }
        Record::Compacted(base) => {
            format!("compacted  up to index {} term {}", base.index, base.term)
        }
        Record::Reset(base) => format!("reset      to index {} term {}", base.index, base.term),
        Record::HardState(state) => format!(
            "state      term {} vote {} commit {}",
            state.term, state.vote, state.commit
        ),
        Record::Entry(entry) => format!(
            "entry      index {} term {} {}",
            entry.index,
            entry.term,
            request(entry)
        ),
    }
}

fn request(entry: &Entry) -> String {
    if is_conf_change(entry) {
        let Some(change) = decode_conf_change(entry) else {
            return format!("members: does not decode, {} bytes", entry.data.len());
        };
        let changes = change.changes.iter();
        let changes: Vec<String> = changes
            .map(|c| format!("{:?} {}", c.change_type, c.node_id))
            .collect();
        let proposal = ConfChangeContext::decode(change.context.clone())
            .ok()
            .and_then(|context| context.header)
            .map_or(0, |header| header.id);
        return format!("members {proposal:016x}: {}", changes.join(", "));
    }
    if entry.data.is_empty() {
        return "empty: a new leader's".into();
    }
    match InternalRaftRequest::decode(entry.data.clone()) {
        Ok(InternalRaftRequest {
            header,
            command: Some(command),
        }) => {
            let proposal = header.map_or(0, |header| header.id);
            format!("request {proposal:016x}: {command:?}")
        }
        Ok(_) => "request of unknown kind".into(),
        Err(e) => format!("request: does not decode: {e}"),
    }
}
