//! Selectors: which nodes a fault is about, named by role or by number.

use serde::{Serialize, Serializer};
use std::fmt;

/// Which nodes. Roles are resolved once, at the moment the fault sets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// `n2`, or a list `["n1", "n2"]`: these; sorted, never empty.
    Nodes(Vec<u64>),
    /// `leader`: who leads, or led last; the lowest id if nobody ever has.
    Leader,
    /// `follower`: the lowest running id that does not lead.
    Follower,
    /// `followers`: everyone but the leader.
    Followers,
    /// `random`: one running node.
    Random,
    /// `random(follower)`: one running node that does not lead.
    RandomFollower,
    /// `minority`: the largest number that is no majority, drawn at random.
    Minority,
    /// `majority`: the smallest majority, drawn at random.
    Majority,
    /// `others`: everyone whom the other side of a partition does not name.
    Others,
    /// `all`: everyone.
    All,
}

impl Selector {
    /// Every role, as it is written.
    pub const ROLES: [&'static str; 9] = [
        "leader",
        "follower",
        "followers",
        "random",
        "random(follower)",
        "minority",
        "majority",
        "others",
        "all",
    ];
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Selector::Nodes(nodes) => {
                for (i, node) in nodes.iter().enumerate() {
                    write!(f, "{}n{node}", if i == 0 { "" } else { " " })?;
                }
                return Ok(());
            }
            Selector::Leader => "leader",
            Selector::Follower => "follower",
            Selector::Followers => "followers",
            Selector::Random => "random",
            Selector::RandomFollower => "random(follower)",
            Selector::Minority => "minority",
            Selector::Majority => "majority",
            Selector::Others => "others",
            Selector::All => "all",
        })
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Selector::Nodes(nodes) if nodes.len() != 1 => {
                serializer.collect_seq(nodes.iter().map(|n| format!("n{n}")))
            }
            selector => serializer.collect_str(selector),
        }
    }
}
