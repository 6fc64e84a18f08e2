//! Histories on disk: JSON lines, a header and then one operation, or one
//! stream, a line.

use crate::{Op, Stream};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, BufRead, Write};

/// The format that this build writes.
pub const FORMAT: FormatVersion = FormatVersion { major: 1, minor: 0 };
const HISTORY: &str = "squall-history";
const STREAMS: &str = "squall-streams";

/// A format's version. A newer minor adds what older readers may ignore; a
/// newer major is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FormatVersion {
    /// Raised when older readers would misunderstand.
    pub major: u32,
    /// Raised when something was added.
    pub minor: u32,
}

impl fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    version: FormatVersion,
    /// How many lines follow: tells a whole file from a truncated one.
    ops: u64,
}

/// Why a history cannot be read: the line, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Reading failed.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// The first line is not a history's.
    #[error("line 1: not a squall history (its first line should be a {HISTORY:?} header): {0}")]
    Header(String),
    /// A format from the future.
    #[error("line 1: history format {found} is newer than this build reads ({FORMAT})")]
    Newer {
        /// The file's.
        found: FormatVersion,
    },
    /// A line is no operation.
    #[error("line {line}: {message}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        message: String,
    },
    /// The file ends early.
    #[error("truncated: the header announces {announced} operations, {found} are there")]
    Truncated {
        /// How many the header says.
        announced: u64,
        /// How many were read.
        found: u64,
    },
}

/// Writes a history that [`read_history`] reads back.
pub fn write_history(out: &mut impl Write, ops: &[Op]) -> io::Result<()> {
    write(out, HISTORY, ops)
}

/// Reads a history, or says which line is wrong.
pub fn read_history(input: impl BufRead) -> Result<Vec<Op>, HistoryError> {
    read(input, HISTORY)
}

/// Writes streams that [`read_streams`] reads back.
pub fn write_streams(out: &mut impl Write, streams: &[Stream]) -> io::Result<()> {
    write(out, STREAMS, streams)
}

/// Reads streams, or says which line is wrong.
pub fn read_streams(input: impl BufRead) -> Result<Vec<Stream>, HistoryError> {
    read(input, STREAMS)
}

fn write(out: &mut impl Write, kind: &str, lines: &[impl Serialize]) -> io::Result<()> {
    let header = Header {
        format: kind.into(),
        version: FORMAT,
        ops: lines.len() as u64,
    };
    serde_json::to_writer(&mut *out, &header)?;
    out.write_all(b"\n")?;
    for line in lines {
        serde_json::to_writer(&mut *out, line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn read<T: DeserializeOwned>(input: impl BufRead, kind: &str) -> Result<Vec<T>, HistoryError> {
    let mut lines = input.lines();
    let first = lines
        .next()
        .ok_or_else(|| HistoryError::Header("the file is empty".into()))??;
    let header: Header =
        serde_json::from_str(&first).map_err(|e| HistoryError::Header(e.to_string()))?;
    if header.format != kind {
        return Err(HistoryError::Header(format!(
            "its format is {:?}, and {kind:?} is wanted",
            header.format
        )));
    }
    if header.version.major > FORMAT.major {
        return Err(HistoryError::Newer {
            found: header.version,
        });
    }
    let mut found = Vec::new();
    for (i, line) in lines.enumerate() {
        let line = line?;
        let one = serde_json::from_str(&line).map_err(|e| HistoryError::Line {
            line: i as u64 + 2,
            message: e.to_string(),
        })?;
        found.push(one);
    }
    let count = found.len() as u64;
    if count < header.ops {
        return Err(HistoryError::Truncated {
            announced: header.ops,
            found: count,
        });
    }
    if count > header.ops {
        return Err(HistoryError::Line {
            line: header.ops + 2,
            message: format!("the header announces only {} operations", header.ops),
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Call, Code, Ended, Heard, Outcome, Ret, Said, Status, Why, WhyEnded};
    use squall_api::pb;

    fn ops() -> Vec<Op> {
        let outcomes = [
            Outcome::Ok(Ret::Put(pb::PutResponse::default())),
            Outcome::Refused(Status::new(
                Code::InvalidArgument,
                "etcdserver: key is not provided",
            )),
            Outcome::Unknown(Why::Timeout),
            Outcome::Unknown(Why::RunEnded),
        ];
        outcomes
            .into_iter()
            .enumerate()
            .map(|(i, outcome)| Op {
                token: String::new(),
                id: i as u64,
                client: 1,
                process: 1 + i as u32,
                member: 2,
                invoke: 10 * i as u64,
                ret: (i != 3).then_some(10 * i as u64 + 5),
                call: Call::Put(pb::PutRequest {
                    key: b"k1".as_slice().into(),
                    value: b"\xff".as_slice().into(),
                    ..Default::default()
                }),
                outcome,
            })
            .collect()
    }

    fn written() -> String {
        let mut out = Vec::new();
        write_history(&mut out, &ops()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_history_survives_the_file() {
        assert_eq!(read_history(written().as_bytes()).unwrap(), ops());
    }

    #[test]
    fn streams_survive_the_file_and_are_no_operations() {
        let stream = Stream {
            token: String::new(),
            id: 3,
            client: 1,
            member: 2,
            said: vec![Said {
                t: 5,
                message: Call::Watch(pb::WatchRequest::default()),
            }],
            heard: vec![Heard {
                t: 9,
                message: Ret::Watch(pb::WatchResponse::default()),
            }],
            end: Some(Ended {
                t: 11,
                why: WhyEnded::Reset,
            }),
        };
        let mut out = Vec::new();
        write_streams(&mut out, std::slice::from_ref(&stream)).unwrap();
        assert_eq!(read_streams(out.as_slice()).unwrap(), [stream]);
        let error = read_history(out.as_slice()).unwrap_err().to_string();
        assert!(
            error.contains("its format is \"squall-streams\""),
            "{error}"
        );
    }

    #[test]
    fn damage_is_named_with_its_line() {
        let text = written();
        let error = |text: &str| read_history(text.as_bytes()).unwrap_err().to_string();
        assert!(error("").contains("the file is empty"));
        assert!(error("hello\n").starts_with("line 1: not a squall history"));
        let newer = text.replacen("\"major\":1", "\"major\":9", 1);
        assert!(error(&newer).contains("9.0 is newer than this build reads (1.0)"));
        let short: String = text.lines().take(3).map(|l| format!("{l}\n")).collect();
        assert!(error(&short).contains("announces 4 operations, 2 are there"));
        let cut = &text[..text.len() - 20];
        assert!(error(cut).starts_with("line 5: "), "{}", error(cut));
        assert!(
            error(&format!("{text}{}\n", text.lines().last().unwrap())).starts_with("line 6: ")
        );
    }
}
