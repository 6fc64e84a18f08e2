//! Why a node does not do what it is asked.

use crate::confchange::ConfChangeError;
use std::fmt;

/// A read has nobody to go to: no leader is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoLeader;

impl fmt::Display for NoLeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no leader is known")
    }
}

impl std::error::Error for NoLeader {}

/// Why a proposal is not taken. It certainly has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProposeError {
    /// No leader is known.
    NoLeader,
    /// Leadership is being handed over: ask the next leader.
    Transferring,
    /// Too much waits to be committed: ask again later.
    TooMuchUncommitted,
    /// The leader has committed nothing in its term yet: ask for the change of
    /// membership again.
    NothingCommitted,
    /// Another change of membership is under way.
    Changing,
    /// The configuration cannot be changed so.
    Impossible(ConfChangeError),
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            ProposeError::NoLeader => "no leader is known",
            ProposeError::Transferring => "leadership is being handed over",
            ProposeError::TooMuchUncommitted => "too many bytes wait to be committed",
            ProposeError::NothingCommitted => "the leader has committed nothing in its term yet",
            ProposeError::Changing => "another change of membership is under way",
            ProposeError::Impossible(why) => return why.fmt(f),
        };
        f.write_str(text)
    }
}

impl std::error::Error for ProposeError {}

/// Why leadership is not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferError {
    /// Only the leader can hand it over.
    NotLeader,
    /// Only a voter can lead.
    NoVoter,
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TransferError::NotLeader => "only the leader can hand over leadership",
            TransferError::NoVoter => "the member to lead next is no voter",
        })
    }
}

impl std::error::Error for TransferError {}
