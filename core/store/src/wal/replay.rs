//! From the segments on a disk to a log.

use super::record::{FORMAT, NoRecord, Place, Record, testifies_beyond};
use super::segment::{DIR, Segment, is_temporary};
use raft_proto::eraftpb::{Entry, HardState};
use squall_api::{Bug, Bugs, Disk, Open, OpenError};
use squall_raft::LogBase;
use std::io;
use std::path::{Path, PathBuf};

/// Every segment begins with so many records, durable before it got its name.
const START_RECORDS: usize = 3;

/// Whose log it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster: u64,
    pub(crate) member: u64,
}

/// What the segments say.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    bugs: Bugs,
    pub(crate) segments: Vec<Segment>,
    /// Files that an interrupted creation or purge left behind.
    pub(crate) leftovers: Vec<PathBuf>,
    /// `None` if there is no segment.
    pub(crate) identity: Option<Identity>,
    pub(crate) base: LogBase,
    /// The log after `base`, without gaps.
    pub(crate) entries: Vec<Entry>,
    pub(crate) hard_state: HardState,
    /// The part of the last segment that belongs to the log, as it was read.
    pub(crate) tail: Vec<u8>,
    /// Bytes of a torn tail, which does not.
    pub(crate) torn: u64,
}

/// Reads all segments. Changes nothing: what is refused may be looked at.
pub(crate) fn replay(disk: &dyn Disk, bugs: Bugs) -> Result<Replayed, OpenError> {
    let mut replayed = Replayed {
        bugs,
        ..Replayed::default()
    };
    let segments = replayed.find_segments(disk)?;
    let count = segments.len();
    for (i, segment) in segments.into_iter().enumerate() {
        replayed.segment(disk, segment, i + 1 == count)?;
    }
    replayed.finish()?;
    Ok(replayed)
}

impl Replayed {
    /// The segments in order; those that do not connect to the last one are
    /// leftovers. A purge removes from the front, and a power loss may bring
    /// some of the removed names back. That this is what happened, and no
    /// segment is missing, will be seen in [`finish`](Replayed::finish).
    fn find_segments(&mut self, disk: &dyn Disk) -> Result<Vec<Segment>, OpenError> {
        let mut segments = Vec::new();
        for path in disk.list(Path::new(DIR))? {
            if is_temporary(&path) {
                self.leftovers.push(path);
            } else if let Some(segment) = Segment::from_path(&path) {
                segments.push(segment);
            } else {
                return Err(OpenError::Corrupt(format!(
                    "{} is no segment of the log: move it out of the directory",
                    path.display()
                )));
            }
        }
        segments.sort_by_key(|segment| segment.seq);
        if let Some(pair) = segments.windows(2).find(|pair| pair[0].seq == pair[1].seq) {
            return Err(OpenError::Corrupt(format!(
                "{} and {} are the same segment of the log: restore the directory from one copy, \
                 or replace the member",
                pair[0].path().display(),
                pair[1].path().display()
            )));
        }
        let connected = segments
            .windows(2)
            .rposition(|pair| pair[0].seq + 1 != pair[1].seq)
            .map_or(0, |gap| gap + 1);
        let strays = segments.drain(..connected);
        self.leftovers.extend(strays.map(|stray| stray.path()));
        Ok(segments)
    }

    fn segment(
        &mut self,
        disk: &dyn Disk,
        mut segment: Segment,
        is_last: bool,
    ) -> Result<(), OpenError> {
        let path = segment.path();
        let mut bytes = read(disk, &path)?;
        let mut at = 0;
        let mut last_at = 0;
        let mut records = 0;
        while at < bytes.len() || records < START_RECORDS {
            let place = Place {
                segment: segment.seq,
                offset: at as u64,
            };
            let decoded = match self.bugs.has(Bug::UncheckedRecords) {
                true => Record::decode_unchecked(&bytes[at..]),
                false => Record::decode(&bytes[at..], place),
            };
            match decoded {
                Ok((Record::Identity { format, .. }, ..)) if format != FORMAT => {
                    return Err(OpenError::Corrupt(format!(
                        "{} is in format {format}, this build reads format {FORMAT}: run a build \
                         that reads it",
                        path.display()
                    )));
                }
                Ok((record, len, _)) => {
                    self.record(records, record, &mut segment)
                        .map_err(|what| corrupt(&path, at, &what))?;
                    last_at = at;
                    at += len;
                    records += 1;
                }
                // Before anything is cut off or refused: is this what the disk has?
                Err(_) if read(disk, &path)? != bytes => {
                    return Err(OpenError::Disk(io::Error::other(format!(
                        "two reads of {} differ: the disk returns wrong bytes and should be \
                         replaced",
                        path.display()
                    ))));
                }
                Err(NoRecord::Written(what)) => return Err(corrupt(&path, at, &what)),
                // The next segment began when all of this one was durable.
                Err(NoRecord::Damaged(what)) if !is_last || records < START_RECORDS => {
                    return Err(corrupt(&path, at, &what));
                }
                Err(NoRecord::Damaged(what)) => {
                    // After a power loss any part of what was not synced may be
                    // there, so intact records may follow a hole. Only testimony
                    // that the hole was durable once tells rot from a torn tail.
                    if let Some(synced) = testifies_beyond(&bytes, segment.seq, at)
                        && !self.bugs.has(Bug::CutRotAsTornTail)
                    {
                        let what =
                            format!("{what}; a later record says that {synced} bytes were durable");
                        return Err(corrupt(&path, at, &what));
                    }
                    if self.bugs.has(Bug::CutOneTooMany) && records > START_RECORDS {
                        at = last_at;
                        self.entries.pop();
                    }
                    self.torn = (bytes.len() - at) as u64;
                    bytes.truncate(at);
                }
            }
        }
        self.tail = bytes;
        self.segments.push(segment);
        Ok(())
    }

    /// Takes in the `nth` record of a segment.
    fn record(&mut self, nth: usize, record: Record, segment: &mut Segment) -> Result<(), String> {
        match (nth, record) {
            (
                0,
                Record::Identity {
                    cluster, member, ..
                },
            ) => {
                let identity = Identity { cluster, member };
                if self.identity.is_some_and(|other| other != identity) {
                    return Err(format!(
                        "it is of member {member} of cluster {cluster}, the segment before is not"
                    ));
                }
                self.identity = Some(identity);
                Ok(())
            }
            (1 | START_RECORDS.., Record::Compacted(base)) => self.compacted(base),
            (2 | START_RECORDS.., Record::HardState(state)) => {
                self.hard_state = state;
                Ok(())
            }
            (START_RECORDS.., Record::Reset(base)) => self.reset(base),
            (START_RECORDS.., Record::Entry(entry)) => {
                segment.last_index = segment.last_index.max(entry.index);
                self.entry(entry, segment.first_index)
            }
            (nth, record) => Err(format!("a segment's record {nth} cannot be {record:?}")),
        }
    }

    fn compacted(&mut self, base: LogBase) -> Result<(), String> {
        self.advances(base)?;
        if let Some(first) = self.entries.first().map(|entry| entry.index) {
            let gone = (base.index + 1).saturating_sub(first);
            if let Some(last) = gone.checked_sub(1) {
                match self.entries.get(last as usize) {
                    Some(entry) if entry.term == base.term => {}
                    other => {
                        return Err(format!(
                            "the log was compacted at {base:?}, but has {other:?} there"
                        ));
                    }
                }
            }
            self.entries.drain(..gone as usize);
        }
        self.base = base;
        Ok(())
    }

    fn reset(&mut self, base: LogBase) -> Result<(), String> {
        self.advances(base)?;
        self.base = base;
        self.entries.clear();
        Ok(())
    }

    fn advances(&self, base: LogBase) -> Result<(), String> {
        if base == self.base || base.index > self.base.index {
            return Ok(());
        }
        Err(format!(
            "the log's base goes from {:?} to {base:?}",
            self.base
        ))
    }

    /// An entry replaces everything from its index on.
    fn entry(&mut self, entry: Entry, segment_first: u64) -> Result<(), String> {
        let next = match self.entries.last() {
            Some(last) => last.index + 1,
            // What was before this segment may be purged, see `finish`.
            None => segment_first.max(self.base.index + 1),
        };
        if entry.index <= self.base.index || entry.index > next {
            return Err(format!(
                "entry {} cannot stand between {:?} and {next}",
                entry.index, self.base
            ));
        }
        let first = self.entries.first().map_or(entry.index, |e| e.index);
        let kept = entry.index.saturating_sub(first);
        self.entries.truncate(kept as usize);
        self.entries.push(entry);
        Ok(())
    }

    /// Whether what came before the oldest segment was compacted. Segments are
    /// purged only when a record that says so is durable in a later one.
    fn finish(&self) -> Result<(), OpenError> {
        let Some(oldest) = self.segments.first() else {
            return Ok(());
        };
        let first = self.entries.first().map_or(0, |entry| entry.index);
        let covered = first.max(oldest.first_index) - 1;
        if covered <= self.base.index {
            return Ok(());
        }
        Err(OpenError::Corrupt(format!(
            "{} is the oldest segment that connects to the log, but entries {} to {covered}, which \
             should stand before it, were not compacted: put the missing segments back, or \
             replace the member",
            oldest.path().display(),
            self.base.index + 1,
        )))
    }
}

pub(crate) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, Open::Existing)?;
    let mut bytes = vec![0; file.len()? as usize];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

fn corrupt(path: &Path, at: usize, what: &str) -> OpenError {
    OpenError::Corrupt(format!(
        "{} has a bad record at offset {at}: {what}; what it held was durable and may have been \
         acknowledged, so the member must not go on without it: replace the member, or restore \
         its data directory from a copy",
        path.display()
    ))
}
