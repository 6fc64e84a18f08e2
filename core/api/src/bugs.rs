//! Planted bugs: known ways in which consensus stores went wrong. Each is a
//! switch that a run turns on by name; they prove that the testbed finds bugs.

/// A known mistake, planted in the store behind [`Bugs::has`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Bug {
    /// A follower acknowledges entries before its fsync.
    AckBeforeFsync,
    /// The leader answers the client on its own append, without a quorum.
    AckOnAppend,
    /// A member forgets over a restart for whom it voted.
    ForgetVote,
    /// The leader serves linearizable reads without confirming that it leads.
    UnconfirmedRead,
    /// A vote is granted to a candidate whose log is behind.
    VoteShorterLog,
}

impl Bug {
    /// Every planted bug, in the order in which they are listed.
    pub const ALL: [Bug; 5] = [
        Bug::AckBeforeFsync,
        Bug::AckOnAppend,
        Bug::ForgetVote,
        Bug::UnconfirmedRead,
        Bug::VoteShorterLog,
    ];

    /// The name by which a run asks for the bug: it says what the bug does.
    pub const fn name(self) -> &'static str {
        match self {
            Bug::AckBeforeFsync => "ack-before-fsync",
            Bug::AckOnAppend => "ack-on-append",
            Bug::ForgetVote => "forget-vote",
            Bug::UnconfirmedRead => "unconfirmed-read",
            Bug::VoteShorterLog => "vote-shorter-log",
        }
    }

    /// The catalogue id, an alias of the name.
    pub const fn id(self) -> &'static str {
        match self {
            Bug::AckBeforeFsync => "R06",
            Bug::AckOnAppend => "R40",
            Bug::ForgetVote => "R02",
            Bug::UnconfirmedRead => "R16",
            Bug::VoteShorterLog => "R04",
        }
    }

    /// What the store does wrong, in one sentence.
    pub const fn about(self) -> &'static str {
        match self {
            Bug::AckBeforeFsync => "a follower acknowledges entries before its fsync",
            Bug::AckOnAppend => "the leader answers the client on its own append, without a quorum",
            Bug::ForgetVote => "a member forgets over a restart for whom it voted",
            Bug::UnconfirmedRead => {
                "the leader serves linearizable reads without confirming that it still leads"
            }
            Bug::VoteShorterLog => "a vote is granted to a candidate whose log is behind",
        }
    }

    /// The bug of that name or catalogue id.
    pub fn from_name(name: &str) -> Option<Bug> {
        Bug::ALL
            .into_iter()
            .find(|bug| bug.name() == name || bug.id().eq_ignore_ascii_case(name))
    }
}

/// The set of planted bugs that one member carries. A value, never a global:
/// two members of one cluster may carry different bugs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bugs([u64; 4]);

impl Bugs {
    /// No bug planted: the only set that production ever sees.
    pub const NONE: Bugs = Bugs([0; 4]);

    /// This set, and `bug`.
    #[must_use]
    pub const fn with(mut self, bug: Bug) -> Bugs {
        self.0[bug as usize / 64] |= 1 << (bug as usize % 64);
        self
    }

    /// Whether `bug` is planted. Constant false without the feature
    /// `planted-bugs`, so that the compiler removes the wrong branch.
    #[inline]
    pub const fn has(self, bug: Bug) -> bool {
        cfg!(feature = "planted-bugs") && self.0[bug as usize / 64] >> (bug as usize % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_find_their_bug() {
        for bug in Bug::ALL {
            assert_eq!(Bug::from_name(bug.name()), Some(bug));
            assert_eq!(Bug::from_name(bug.id()), Some(bug));
        }
        assert_eq!(Bug::from_name("no-such-bug"), None);
    }

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_else() {
        let set = Bugs::NONE.with(Bug::ForgetVote);
        for bug in Bug::ALL {
            let planted = cfg!(feature = "planted-bugs") && bug == Bug::ForgetVote;
            assert_eq!(set.has(bug), planted, "{bug:?}");
        }
    }
}
