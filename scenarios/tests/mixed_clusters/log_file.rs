//! A log that is only ever appended to, on the simulated disk.

use bytes::BufMut as _;
use protobuf::Message as _;
use raft::prelude::{Entry, HardState};
use squall_api::{Disk, File, Open};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What is in the log, in the order in which it was persisted.
#[derive(Debug)]
pub(crate) enum Record {
    Entry(Entry),
    HardState(HardState),
}

/// The file. Each record stands behind its length and checksum; what follows
/// the last sync may be lost or torn, and is cut off when it is opened.
#[derive(Debug)]
pub(crate) struct LogFile {
    file: Arc<dyn File>,
    end: u64,
    is_dirty: bool,
}

const HEADER: usize = 9;

impl LogFile {
    pub(crate) fn open(disk: Arc<dyn Disk>) -> io::Result<(LogFile, Vec<Record>)> {
        let path = Path::new("wal/raft-rs");
        let file = match disk.open(path, Open::Existing) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let file = disk.open(path, Open::New)?;
                disk.sync_dir(Path::new("wal"))?;
                file
            }
            opened => opened?,
        };
        let mut bytes = vec![0; file.len()? as usize];
        file.read_at(0, &mut bytes)?;
        let mut records = Vec::new();
        let mut end = 0;
        while let Some((record, length)) = decode(&bytes[end..]) {
            records.push(record);
            end += length;
        }
        file.set_len(end as u64)?;
        file.sync()?;
        let log = LogFile {
            file,
            end: end as u64,
            is_dirty: false,
        };
        Ok((log, records))
    }

    pub(crate) fn append(&mut self, record: &Record) -> io::Result<()> {
        let (kind, body) = match record {
            Record::Entry(entry) => (0, entry.write_to_bytes()),
            Record::HardState(state) => (1, state.write_to_bytes()),
        };
        let body = body.expect("no field is required");
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.put_u32_le(body.len() as u32);
        bytes.put_u32_le(crc32fast::hash(&body) ^ kind);
        bytes.put_u8(kind as u8);
        bytes.extend_from_slice(&body);
        self.file.write_at(self.end, &bytes)?;
        self.end += bytes.len() as u64;
        self.is_dirty = true;
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_dirty) {
            self.file.sync()?;
        }
        Ok(())
    }
}

fn decode(bytes: &[u8]) -> Option<(Record, usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let (&kind, rest) = rest.split_first()?;
    let body = rest.get(..u32::from_le_bytes(*length) as usize)?;
    // A tail of zeros would pass for empty records.
    if body.is_empty() || u32::from_le_bytes(*checksum) != crc32fast::hash(body) ^ u32::from(kind) {
        return None;
    }
    let record = match kind {
        0 => {
            let mut entry = Entry::default();
            entry.merge_from_bytes(body).ok()?;
            Record::Entry(entry)
        }
        1 => {
            let mut state = HardState::default();
            state.merge_from_bytes(body).ok()?;
            Record::HardState(state)
        }
        _ => return None,
    };
    Some((record, HEADER + body.len()))
}
