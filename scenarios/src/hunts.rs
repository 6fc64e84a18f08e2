//! Which scenarios are known to find which planted bug.

use squall_api::Bug;

/// Names of the library scenarios that find `bug`, the quickest first.
pub const fn scenarios(bug: Bug) -> &'static [&'static str] {
    match bug {
        Bug::AckBeforeFsync => &["power-loss-majority"],
        Bug::AckOnAppend => &["symmetric-partition"],
        Bug::ForgetVote => &["election-storm"],
        Bug::UnconfirmedRead => &["one-way-partition-leader"],
        Bug::VoteShorterLog => &["election-storm"],
    }
}
