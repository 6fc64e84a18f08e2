//! The files of the log.

use std::path::{Path, PathBuf};

/// The directory of the log's segments.
pub(crate) const DIR: &str = "wal";
const SUFFIX: &str = ".wal";
const TEMPORARY: &str = ".tmp";

/// One file of the log, named `<sequence>-<first index>.wal`, both in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Counts segments, without gaps.
    pub(crate) seq: u64,
    /// Entries of a lower index are in earlier segments.
    pub(crate) first_index: u64,
    /// The highest index that was ever written into it; 0 for none.
    pub(crate) last_index: u64,
}

impl Segment {
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!(
            "{DIR}/{:016x}-{:016x}{SUFFIX}",
            self.seq, self.first_index
        ))
    }

    /// What it is called until it is complete.
    pub(crate) fn temporary_path(&self) -> PathBuf {
        let mut name = self.path().into_os_string();
        name.push(TEMPORARY);
        name.into()
    }

    pub(crate) fn from_path(path: &Path) -> Option<Segment> {
        let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
        let (seq, first) = name.split_once('-')?;
        let hex = |text: &str| (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok())?;
        Some(Segment {
            seq: hex(seq)?,
            first_index: hex(first)?,
            last_index: 0,
        })
    }
}

pub(crate) fn is_temporary(path: &Path) -> bool {
    path.to_str().is_some_and(|name| name.ends_with(TEMPORARY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_and_strangers_are_told() {
        let segment = Segment {
            seq: 3,
            first_index: 0x1f,
            last_index: 0,
        };
        assert_eq!(
            segment.path().to_str(),
            Some("wal/0000000000000003-000000000000001f.wal")
        );
        assert_eq!(Segment::from_path(&segment.path()), Some(segment.clone()));
        assert!(is_temporary(&segment.temporary_path()));
        assert_eq!(Segment::from_path(Path::new("wal/core.1234")), None);
    }
}
