//! The hash chain of a run: what two runs are compared by, and what is recorded
//! of a stretch of one to see where they part.

use crate::Event;
use serde::{Deserialize, Serialize};

/// The rolling hash of a run right after one of its events. It covers every
/// event up to there, with its time and its payload, and every operation of
/// every disk, so that two runs with the same checkpoint have the same past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The event's number.
    pub seq: u64,
    /// True nanoseconds since the start of the run.
    pub t: u64,
    /// The hash, as 16 hexadecimal digits in a file.
    #[serde(with = "hex")]
    pub hash: u64,
}

/// The events numbered `after + 1` to `upto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The last event before it; 0 for none.
    pub after: u64,
    /// Its last event.
    pub upto: u64,
}

impl Window {
    /// Whether an event is in it.
    pub const fn holds(&self, seq: u64) -> bool {
        self.after < seq && seq <= self.upto
    }
}

/// An event, and all that the rolling hash took in since the one before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Traced {
    /// The event.
    pub event: Event,
    /// The rolling hash after it.
    #[serde(with = "hex")]
    pub hash: u64,
    /// What was hashed, in order.
    pub parts: Vec<Part>,
}

/// One thing that the rolling hash took in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is.
    pub what: PartKind,
    /// Whose it is: a member's id, or an operation's number; 0 for nobody's.
    pub of: u64,
    /// Its bytes: a message, request or answer as encoded, a name, a word; of a
    /// disk the hash of all its operations.
    pub bytes: Vec<u8>,
}

/// What the rolling hash takes in besides the numbers and times of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// A message that left a member.
    Message,
    /// Whether a message that arrived was taken in.
    Arrival,
    /// A call that reached a member.
    Call,
    /// An answer that left a member.
    Answer,
    /// An outcome that a client learned.
    Outcome,
    /// What a member did on its disk.
    Disk,
    /// A member's state after it applied an entry.
    State,
    /// A named point in the code.
    Mark,
}

mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(hash: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{hash:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        u64::from_str_radix(&text, 16)
            .map_err(|_| D::Error::custom(format!("{text:?} is no hash: 16 hexadecimal digits")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_survives_its_file() {
        let point = Checkpoint {
            seq: 64,
            t: 1_200_000,
            hash: 0x00ab_cdef_0123_4567,
        };
        let text = serde_json::to_string(&point).unwrap();
        assert_eq!(text, r#"{"seq":64,"t":1200000,"hash":"00abcdef01234567"}"#);
        assert_eq!(serde_json::from_str::<Checkpoint>(&text).unwrap(), point);
        let wrong = r#"{"seq":64,"t":1200000,"hash":"moon"}"#;
        let error = serde_json::from_str::<Checkpoint>(wrong).unwrap_err();
        assert!(error.to_string().contains("\"moon\" is no hash"), "{error}");
    }
}
