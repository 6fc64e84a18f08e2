//! The write-ahead log: what makes a member's promises durable.
//!
//! Records are appended to the last of several segments and synced
//! asynchronously, at most one sync at a time; what is written meanwhile is
//! covered by the next (group commit). A failed sync is final: the pages that
//! could not be written may since count as clean, so that a second sync would
//! succeed and mean nothing. The process ends; the next one reads what the page
//! cache shows, and writes the segment that was being written anew. All earlier
//! ones were durable before it was begun.

mod dump;
mod record;
mod replay;
mod segment;

use raft_proto::eraftpb::{Entry, HardState};
use record::{FORMAT, Place, Record};
use replay::{Replayed, replay};
use segment::Segment;
use squall_api::OpenError;
use squall_api::{Bug, Bugs, Config, Disk, File, Open, SyncId};
use squall_raft::{LogBase, Output};
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use dump::{check_log, dump_log};
pub(crate) use replay::Identity;
pub(crate) use segment::DIR;

/// An open log.
#[derive(Debug)]
pub(crate) struct Wal {
    disk: Arc<dyn Disk>,
    bugs: Bugs,
    identity: Identity,
    segment_bytes: u64,
    /// All but the last, oldest first.
    closed: Vec<Segment>,
    last: Segment,
    file: Arc<dyn File>,
    /// Bytes written into the last segment, and how many of them are durable.
    written: u64,
    synced: u64,
    in_flight: Option<InFlight>,
    syncs: u64,
    /// The last output that was written.
    written_seq: u64,
    hard_state: HardState,
    base: LogBase,
    last_index: u64,
    /// Segments whose entries all are at or below this index can go, once the
    /// record that says so is durable: with the last segment up to the offset.
    purge: Option<(u64, u64)>,
    /// Records that were prepared and not written yet.
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct InFlight {
    id: SyncId,
    /// What is durable once it has ended.
    written: u64,
    seq: u64,
}

/// What a log held when it was opened.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) hard_state: HardState,
    pub(crate) base: LogBase,
    pub(crate) entries: Vec<Entry>,
    /// Bytes of a torn tail that were cut off.
    pub(crate) torn: u64,
}

/// What a sync brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Durable {
    /// Outputs up to this one are durable.
    pub(crate) seq: u64,
    /// A new segment was begun.
    pub(crate) rolled: bool,
    /// How many old segments were removed.
    pub(crate) purged: usize,
}

impl Wal {
    /// Opens the log of a member, or begins it where nothing was `applied` yet.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        cfg: &Config,
        bugs: Bugs,
        applied: LogBase,
    ) -> Result<(Wal, Recovered), OpenError> {
        let identity = Identity {
            cluster: cfg.cluster,
            member: cfg.id,
        };
        let Replayed {
            mut segments,
            leftovers,
            identity: found,
            base,
            entries,
            hard_state,
            tail,
            torn,
            ..
        } = replay(disk.as_ref(), bugs)?;
        if let Some(found) = found
            && found != identity
        {
            return Err(OpenError::Identity {
                found_cluster: found.cluster,
                found_member: found.member,
                expected: Box::new(cfg.clone()),
            });
        }
        if segments.is_empty() && applied.index > 0 {
            return Err(OpenError::Corrupt(format!(
                "the log is gone from {DIR}/, though entry {} was applied, and with it for whom \
                 the member voted: put the segments back, or replace the member",
                applied.index
            )));
        }
        if torn > 0 && bugs.has(Bug::RefuseTornTail) {
            return Err(OpenError::Corrupt(format!(
                "the log ends with {torn} bytes that are no record"
            )));
        }
        for leftover in &leftovers {
            disk.remove(leftover)?;
        }
        let is_new = segments.is_empty();
        let (last, bytes) = match segments.pop() {
            Some(last) => (last, tail),
            None => {
                let last = Segment {
                    seq: 0,
                    first_index: 1,
                    last_index: 0,
                };
                let start = Start {
                    identity,
                    base,
                    hard_state: &hard_state,
                };
                let bytes = start.encode(&last);
                (last, bytes)
            }
        };
        // Also a segment that was there is written anew. What was read may be
        // no more than the page cache's: written by a process that was killed,
        // or, worse, what an fsync failed to write, which counts as clean since
        // then, so that no further fsync will bring it to the disk.
        let file = match bugs.has(Bug::ReopenAfterFailedFsync) && !is_new {
            true => reopen(disk.as_ref(), &last, bytes.len() as u64)?,
            false => create(disk.as_ref(), &last, &bytes, bugs)?,
        };
        let written = bytes.len() as u64;
        let last_index = base.index + entries.len() as u64;
        let wal = Wal {
            disk,
            bugs,
            identity,
            segment_bytes: cfg.wal_segment_bytes,
            // Those that a crash saved from being purged.
            purge: (!segments.is_empty()).then_some((base.index, 0)),
            closed: segments,
            last,
            file,
            written,
            synced: written,
            in_flight: None,
            syncs: 0,
            written_seq: 0,
            hard_state: hard_state.clone(),
            base,
            last_index,
            scratch: Vec::new(),
        };
        Ok((
            wal,
            Recovered {
                hard_state,
                base,
                entries,
                torn,
            },
        ))
    }

    /// Writes what an output of Raft wants to be durable.
    pub(crate) fn write(&mut self, output: &Output) -> io::Result<()> {
        if let Some(base) = output.reset {
            self.put(&Record::Reset(base));
            self.base = base;
            self.last_index = base.index;
        }
        for entry in &output.append {
            self.put(&Record::Entry(entry.clone()));
            self.last.last_index = self.last.last_index.max(entry.index);
            self.last_index = entry.index;
        }
        if let Some(state) = &output.hard_state {
            self.put(&Record::HardState(state.clone()));
            self.hard_state = state.clone();
        }
        self.append()?;
        if output.hard_state.is_some() && self.bugs.has(Bug::SyncHardStateTwice) {
            self.file.sync()?;
        }
        self.written_seq = output.seq;
        Ok(())
    }

    /// Says that the entries up to `base` are not needed any more. Segments
    /// without any other entry are removed once that is durable.
    pub(crate) fn compact(&mut self, base: LogBase) -> io::Result<()> {
        self.put(&Record::Compacted(base));
        self.base = base;
        self.append()?;
        self.purge = Some((base.index, self.written));
        Ok(())
    }

    /// The log restarts after `base`, durably, before anything else happens: at
    /// opening, when the backend turns out to be ahead of the log.
    pub(crate) fn reset_at_open(&mut self, base: LogBase, state: &HardState) -> io::Result<()> {
        self.write(&Output {
            reset: Some(base),
            hard_state: Some(state.clone()),
            ..Output::default()
        })?;
        self.sync_now()
    }

    /// Prepares a record to stand behind all that was written or prepared.
    fn put(&mut self, record: &Record) {
        let place = Place {
            segment: self.last.seq,
            offset: self.written + self.scratch.len() as u64,
        };
        record.encode(place, self.synced, &mut self.scratch);
    }

    /// Writes what was prepared.
    fn append(&mut self) -> io::Result<()> {
        if self.bugs.has(Bug::RewriteBlock) {
            self.rewrite_block()?;
        }
        match self.file.write_at(self.written, &self.scratch) {
            Err(e)
                if e.kind() == io::ErrorKind::StorageFull && self.bugs.has(Bug::IgnoreFullDisk) => {
            }
            written => written?,
        }
        self.written += self.scratch.len() as u64;
        self.scratch.clear();
        Ok(())
    }

    /// A planted bug: the block in which the log ends is written once more.
    fn rewrite_block(&self) -> io::Result<()> {
        let start = self.written - self.written % 4096;
        let mut block = vec![0; (self.written - start) as usize];
        self.file.read_at(start, &mut block)?;
        self.file.write_at(start, &block)
    }

    /// Starts a sync if something was written that none covers, and none is
    /// under way.
    pub(crate) fn start_sync(&mut self) {
        let is_idle = self.written == self.synced && !self.bugs.has(Bug::SyncWhenIdle);
        if self.in_flight.is_some() || is_idle {
            return;
        }
        self.syncs += 1;
        let id = SyncId(self.syncs);
        self.in_flight = Some(InFlight {
            id,
            written: self.written,
            seq: self.written_seq,
        });
        self.file.start_sync(id);
    }

    /// A sync has ended. `None` if it is not the one under way.
    pub(crate) fn synced(
        &mut self,
        id: SyncId,
        result: io::Result<()>,
    ) -> io::Result<Option<Durable>> {
        let Some(done) = self.in_flight.take_if(|sync| sync.id == id) else {
            return Ok(None);
        };
        if self.bugs.has(Bug::IgnoreFailedFsync) && result.is_err() {
            self.start_sync();
            return Ok(None);
        }
        result?;
        self.synced = done.written;
        let mut durable = Durable {
            seq: done.seq,
            rolled: false,
            purged: 0,
        };
        if self.written >= self.segment_bytes {
            self.roll()?;
            durable.seq = self.written_seq;
            durable.rolled = true;
        }
        durable.purged = self.purge()?;
        Ok(Some(durable))
    }

    /// Makes everything durable, blocking.
    pub(crate) fn sync_now(&mut self) -> io::Result<()> {
        self.file.sync()?;
        self.synced = self.written;
        Ok(())
    }

    /// Closes the last segment and begins the next.
    fn roll(&mut self) -> io::Result<()> {
        if self.synced < self.written {
            self.sync_now()?;
        }
        let next = Segment {
            seq: self.last.seq + 1,
            first_index: self.last_index + 1,
            last_index: 0,
        };
        let start = Start {
            identity: self.identity,
            base: self.base,
            hard_state: &self.hard_state,
        };
        let bytes = start.encode(&next);
        self.file = create(self.disk.as_ref(), &next, &bytes, self.bugs)?;
        self.closed.push(std::mem::replace(&mut self.last, next));
        self.written = bytes.len() as u64;
        self.synced = self.written;
        if let Some((_, offset)) = &mut self.purge {
            // The new segment's header says it as well.
            *offset = 0;
        }
        Ok(())
    }

    fn purge(&mut self) -> io::Result<usize> {
        let Some((index, _)) = self.purge.take_if(|(_, offset)| *offset <= self.synced) else {
            return Ok(0);
        };
        let keep = self
            .closed
            .iter()
            .position(|segment| segment.last_index > index);
        let gone = keep.unwrap_or(self.closed.len());
        if self.bugs.has(Bug::KeepOldSegments) {
            return Ok(0);
        }
        for segment in self.closed.drain(..gone) {
            self.disk.remove(&segment.path())?;
        }
        if gone > 0 {
            self.disk.sync_dir(Path::new(DIR))?;
        }
        Ok(gone)
    }
}

/// What every segment begins with, so that the ones before it can go.
struct Start<'a> {
    identity: Identity,
    base: LogBase,
    hard_state: &'a HardState,
}

impl Start<'_> {
    fn encode(&self, segment: &Segment) -> Vec<u8> {
        let mut bytes = Vec::new();
        for record in [
            Record::Identity {
                format: FORMAT,
                cluster: self.identity.cluster,
                member: self.identity.member,
            },
            Record::Compacted(self.base),
            Record::HardState(self.hard_state.clone()),
        ] {
            let place = Place {
                segment: segment.seq,
                offset: bytes.len() as u64,
            };
            record.encode(place, 0, &mut bytes);
        }
        bytes
    }
}

/// Creates a segment that is either there, whole and durable, or not at all. A
/// segment of the same name is replaced in one step.
fn create(
    disk: &dyn Disk,
    segment: &Segment,
    bytes: &[u8],
    bugs: Bugs,
) -> io::Result<Arc<dyn File>> {
    let temporary = segment.temporary_path();
    let file = disk.open(&temporary, Open::New)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    disk.rename(&temporary, &segment.path())?;
    if !bugs.has(Bug::UnsyncedSegmentName) {
        disk.sync_dir(Path::new(DIR))?;
    }
    Ok(file)
}

/// A planted bug: goes on with a segment as if what it shows were durable.
fn reopen(disk: &dyn Disk, segment: &Segment, len: u64) -> io::Result<Arc<dyn File>> {
    let file = disk.open(&segment.path(), Open::Existing)?;
    file.set_len(len)?;
    file.sync()?;
    disk.sync_dir(Path::new(DIR))?;
    Ok(file)
}
