//! From the segments on a disk to a log.

use super::record::{Record, testifies_beyond};
use super::segment::{DIR, Segment, is_temporary};
use raft_proto::eraftpb::{Entry, HardState};
use squall_api::Disk;
use squall_api::OpenError;
use squall_raft::LogBase;
use std::path::{Path, PathBuf};

/// Whose log it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster: u64,
    pub(crate) member: u64,
}

/// What the segments say.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) segments: Vec<Segment>,
    pub(crate) base: LogBase,
    /// The log after `base`, without gaps.
    pub(crate) entries: Vec<Entry>,
    pub(crate) hard_state: HardState,
    /// Bytes of the last segment that are part of the log.
    pub(crate) end: u64,
    /// Bytes of a torn tail, which are not.
    pub(crate) torn: u64,
    pub(crate) found: Option<Identity>,
    /// Entries up to this one were in segments that are gone. A later record
    /// must say that they were compacted: it was durable before they went.
    purged: Option<(u64, PathBuf, usize)>,
}

/// Reads all segments, after removing what an interrupted creation or purge
/// left behind. Changes nothing else.
pub(crate) fn replay(disk: &dyn Disk) -> Result<Replayed, OpenError> {
    let segments = tidy(disk)?;
    let mut replayed = Replayed::default();
    let count = segments.len();
    for (i, segment) in segments.into_iter().enumerate() {
        replayed.segment(disk, segment, i + 1 == count)?;
    }
    if let Some((last, path, at)) = &replayed.purged {
        let what = format!("the entries up to {last} are missing, and nothing says why");
        return Err(corrupt(path, *at, &what));
    }
    Ok(replayed)
}

/// The segments in order, without those that no longer connect to the last one.
fn tidy(disk: &dyn Disk) -> Result<Vec<Segment>, OpenError> {
    let mut segments = Vec::new();
    let mut removed = false;
    for path in disk.list(Path::new(DIR))? {
        if is_temporary(&path) {
            disk.remove(&path)?;
            removed = true;
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
    // A purge removes from the front, and a power loss may bring some of the
    // removed names back: what does not connect is older than the log.
    let connected = segments
        .windows(2)
        .rposition(|pair| pair[0].seq + 1 != pair[1].seq)
        .map_or(0, |gap| gap + 1);
    for stray in segments.drain(..connected) {
        disk.remove(&stray.path())?;
        removed = true;
    }
    if removed {
        disk.sync_dir(Path::new(DIR))?;
    }
    Ok(segments)
}

impl Replayed {
    fn segment(
        &mut self,
        disk: &dyn Disk,
        mut segment: Segment,
        is_last: bool,
    ) -> Result<(), OpenError> {
        let path = segment.path();
        let file = disk.open(&path, squall_api::Open::Existing)?;
        let mut bytes = vec![0; file.len()? as usize];
        file.read_at(0, &mut bytes)?;
        let mut at = 0;
        while at < bytes.len() {
            match Record::decode(&bytes[at..]) {
                Ok((record, len, _)) => {
                    self.record(record, &mut segment, at)
                        .map_err(|what| corrupt(&path, at, &what))?;
                    at += len;
                }
                Err(what) if !is_last => return Err(corrupt(&path, at, &what)),
                Err(what) => {
                    // After a power loss any part of what was not synced may be
                    // there, so intact records may follow a hole. Only testimony
                    // that the hole was durable once tells rot from a torn tail.
                    if let Some(synced) = testifies_beyond(&bytes, at) {
                        let what =
                            format!("{what}; a later record says it was durable up to {synced}");
                        return Err(corrupt(&path, at, &what));
                    }
                    self.torn = (bytes.len() - at) as u64;
                    break;
                }
            }
        }
        self.end = at as u64;
        self.segments.push(segment);
        Ok(())
    }

    fn record(&mut self, record: Record, segment: &mut Segment, at: usize) -> Result<(), String> {
        match record {
            Record::Identity { cluster, member } => {
                let identity = Identity { cluster, member };
                if self.found.is_some_and(|found| found != identity) {
                    return Err(format!("it is of member {member} of cluster {cluster}"));
                }
                self.found = Some(identity);
            }
            Record::Compacted(base) => self.compacted(base),
            Record::Reset(base) => {
                self.base = base;
                self.entries.clear();
                self.purged = None;
            }
            Record::Entry(entry) => {
                let is_first = segment.last_index == 0 && self.segments.is_empty();
                segment.last_index = segment.last_index.max(entry.index);
                return self.entry(entry, is_first.then(|| (segment.path(), at)));
            }
            Record::HardState(state) => self.hard_state = state,
        }
        Ok(())
    }

    fn compacted(&mut self, base: LogBase) {
        if base.index < self.base.index {
            return;
        }
        let gone = (base.index - self.base.index) as usize;
        self.entries.drain(..gone.min(self.entries.len()));
        self.base = base;
        self.purged.take_if(|(last, ..)| *last <= base.index);
    }

    /// `start` says where the entry is, if it is the first one of all.
    fn entry(&mut self, entry: Entry, start: Option<(PathBuf, usize)>) -> Result<(), String> {
        let first = self.base.index + 1;
        let next = first + self.entries.len() as u64;
        if entry.index < first {
            // Compacted since, in a segment that was not purged yet.
            return Ok(());
        }
        if entry.index > next {
            let Some((path, at)) = start else {
                return Err(format!(
                    "entry {} follows entry {}, the ones between are missing",
                    entry.index,
                    next - 1
                ));
            };
            let last = entry.index - 1;
            self.purged = Some((last, path, at));
            // Its term is not known before the record that explains the gap.
            self.base = LogBase {
                index: last,
                term: 0,
            };
        }
        self.entries
            .truncate((entry.index - self.base.index - 1) as usize);
        self.entries.push(entry);
        Ok(())
    }
}

fn corrupt(path: &Path, at: usize, what: &str) -> OpenError {
    OpenError::Corrupt(format!(
        "{} has a bad record at offset {at}: {what}; what it held was durable and may have been \
         acknowledged, so the member must not go on without it: replace the member, or restore \
         its data directory from a copy",
        path.display()
    ))
}
