//! Selectors: which nodes a fault is about, named by role or by number.

use super::document::{Node, Problem, Value};
use super::fields::{Read, unknown, wrong_kind};
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
    /// `random(2)`: so many nodes, running ones first.
    RandomOf(u64),
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
    /// `here`: the member that passed the mark at which the fault sets in.
    Here,
}

impl Selector {
    /// Every role, as it is written.
    pub const ROLES: [&'static str; 11] = [
        "leader",
        "follower",
        "followers",
        "random",
        "random(follower)",
        "random(2)",
        "minority",
        "majority",
        "others",
        "all",
        "here",
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
            Selector::RandomOf(count) => return write!(f, "random({count})"),
            Selector::RandomFollower => "random(follower)",
            Selector::Minority => "minority",
            Selector::Majority => "majority",
            Selector::Others => "others",
            Selector::All => "all",
            Selector::Here => "here",
        })
    }
}

impl Read for Selector {
    fn read(node: &Node) -> Result<Selector, Problem> {
        match &node.value {
            Value::Text(text) => match node_id(text) {
                Some(id) => Ok(Selector::Nodes(vec![id])),
                None => role(text, node),
            },
            Value::Array(items) => {
                let mut nodes = items.iter().map(read_id).collect::<Result<Vec<_>, _>>()?;
                nodes.sort_unstable();
                nodes.dedup();
                if nodes.is_empty() {
                    let expected = "expected nodes such as [\"n1\", \"n2\"]";
                    return Err(Problem::new(&node.place, "this list is empty", expected));
                }
                Ok(Selector::Nodes(nodes))
            }
            _ => Err(wrong_kind(
                node,
                "a node such as \"n2\", or a role such as \"leader\"",
            )),
        }
    }
}

fn role(text: &str, node: &Node) -> Result<Selector, Problem> {
    Ok(match text {
        "leader" => Selector::Leader,
        "follower" => Selector::Follower,
        "followers" => Selector::Followers,
        "random" => Selector::Random,
        "random(follower)" => Selector::RandomFollower,
        "minority" => Selector::Minority,
        "majority" => Selector::Majority,
        "others" => Selector::Others,
        "all" => Selector::All,
        "here" => Selector::Here,
        _ => {
            if let Some(count) = drawn(text) {
                return Ok(Selector::RandomOf(count));
            }
            let place = node.place.part(text, 0..text.len());
            let problem = unknown("selector", text, "", &Selector::ROLES, &place);
            return Err(problem.note("or a node such as \"n2\", or a list of them"));
        }
    })
}

fn read_id(node: &Node) -> Result<u64, Problem> {
    let expected = "expected a node such as \"n2\"; a list holds no roles";
    match &node.value {
        Value::Text(text) => node_id(text)
            .ok_or_else(|| Problem::new(&node.place, format!("`{text}` is no node"), expected)),
        _ => Err(wrong_kind(node, "a node such as \"n2\"")),
    }
}

/// `random(2)` is 2.
fn drawn(text: &str) -> Option<u64> {
    let count = text.strip_prefix("random(")?.strip_suffix(')')?;
    count.parse().ok().filter(|count| *count > 0)
}

/// `n2` is 2.
fn node_id(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('n')?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}
