//! Outputs and messages as lines of a story.

use raft_proto::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};
use raft_proto::eraftpb::{Entry, Message, MessageType};
use squall_raft::{Output, Raft, decode_conf_change, is_conf_change};

/// Compares a cluster's story with its golden file, named after the test.
macro_rules! assert_story {
    ($cluster:expr) => {
        insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!($cluster.story());
        })
    };
}
pub(crate) use assert_story;

/// A message: who to whom, its term, and what it says.
pub(crate) fn message(msg: &Message) -> String {
    let term = match msg.term {
        0 => String::new(),
        term => format!(" t{term}"),
    };
    format!("n{} -> n{}{term}: {}", msg.from, msg.to, body(msg))
}

/// A log: where it starts, and its terms.
pub(crate) fn log(raft: &Raft) -> String {
    let terms: Vec<Entry> = raft.entries_from(0).cloned().collect();
    match raft.base().index {
        0 => format!("log {}", entries(&terms)),
        base => format!("log after {base}/t{} {}", raft.base().term, entries(&terms)),
    }
}

/// What came of a call, a line for each thing.
pub(crate) fn output(id: u64, out: &Output) -> Vec<String> {
    let mut lines = Vec::new();
    if !out.marks.is_empty() {
        lines.push(format!("marks {}", out.marks.join(", ")));
    }
    let mut writes = Vec::new();
    if let Some(base) = out.reset {
        writes.push(format!("log restarts after {}/t{}", base.index, base.term));
    }
    if !out.append.is_empty() {
        writes.push(format!("log {}", entries(&out.append)));
    }
    if let Some(hs) = &out.hard_state {
        writes.push(format!(
            "term {}, vote {}, commit {}",
            hs.term, hs.vote, hs.commit
        ));
    }
    if !writes.is_empty() {
        lines.push(format!("n{id} writes #{}: {}", out.seq, writes.join("; ")));
    }
    for msg in &out.send {
        lines.push(format!("sends {}", message(msg)));
    }
    for msg in &out.send_after_sync {
        lines.push(format!("after #{} {}", out.seq, message(msg)));
    }
    if !out.committed.is_empty() {
        lines.push(format!("n{id} applies {}", entries(&out.committed)));
    }
    for (ctx, index) in &out.readable {
        lines.push(format!("n{id} may serve r{ctx} once {index} is applied"));
    }
    for ctx in &out.refused {
        lines.push(format!("n{id} refuses r{ctx}"));
    }
    if let Some(snapshot) = &out.install {
        let index = snapshot.get_metadata().index;
        lines.push(format!("n{id} starts to install the snapshot at {index}"));
    }
    if out.want_snapshot {
        lines.push(format!("n{id} wants a snapshot of its state"));
    }
    lines
}

fn body(msg: &Message) -> String {
    match msg.msg_type {
        MessageType::MsgRequestVote => {
            let why = if msg.context.is_empty() {
                ""
            } else {
                ", as the leader wishes"
            };
            format!(
                "RequestVote, log ends at {}/t{}{why}",
                msg.index, msg.log_term
            )
        }
        MessageType::MsgRequestPreVote => {
            format!(
                "RequestPreVote, log ends at {}/t{}",
                msg.index, msg.log_term
            )
        }
        MessageType::MsgRequestVoteResponse if msg.reject => "Vote refused".into(),
        MessageType::MsgRequestPreVoteResponse if msg.reject => "Pre-vote refused".into(),
        MessageType::MsgRequestPreVoteResponse => "Pre-vote granted".into(),
        MessageType::MsgRequestVoteResponse => "Vote granted".into(),
        MessageType::MsgAppend => format!(
            "Append after {}/t{} {}, commit {}",
            msg.index,
            msg.log_term,
            entries(&msg.entries),
            msg.commit
        ),
        MessageType::MsgAppendResponse if msg.request_snapshot > 0 => {
            "Snapshot requested: no configuration known".into()
        }
        MessageType::MsgAppendResponse if msg.reject => format!(
            "Append after {} rejected, hint {}/t{}",
            msg.index, msg.reject_hint, msg.log_term
        ),
        MessageType::MsgAppendResponse => format!("Append acknowledged up to {}", msg.index),
        MessageType::MsgHeartbeat => format!("Heartbeat, commit {}{}", msg.commit, round(msg)),
        MessageType::MsgHeartbeatResponse => format!("Heartbeat answered{}", round(msg)),
        MessageType::MsgSnapshot => {
            let metadata = msg.get_snapshot().get_metadata();
            format!("Snapshot at {}/t{}", metadata.index, metadata.term)
        }
        MessageType::MsgPropose => format!("Propose {}", entries(&msg.entries)),
        MessageType::MsgReadIndex => format!("ReadIndex for r{}", ctx(msg)),
        MessageType::MsgReadIndexResp => {
            format!("ReadIndex for r{} is {}", ctx(msg), msg.index)
        }
        MessageType::MsgTimeoutNow => "TimeoutNow".into(),
        other => format!("{other:?}"),
    }
}

/// What an entry says: a proposal's text, or a change of membership in braces.
pub(crate) fn data(entry: &Entry) -> String {
    if !is_conf_change(entry) {
        return String::from_utf8_lossy(&entry.data).into_owned();
    }
    let change = decode_conf_change(entry).expect("a change of membership");
    let single = |c: &ConfChangeSingle| {
        let kind = match c.change_type {
            ConfChangeType::AddNode => 'v',
            ConfChangeType::AddLearnerNode => 'l',
            ConfChangeType::RemoveNode => 'r',
        };
        format!("{kind}{}", c.node_id)
    };
    let all: Vec<String> = change.changes.iter().map(single).collect();
    match change.transition {
        ConfChangeTransition::Explicit => format!("{{{},explicit}}", all.join(",")),
        _ => format!("{{{}}}", all.join(",")),
    }
}

/// The change that [`data`] shows, with `explicit` last if the joint
/// configuration shall be left by hand.
pub(crate) fn parse_change(text: &str) -> ConfChangeV2 {
    let mut change = ConfChangeV2::default();
    for word in text.split_whitespace() {
        if word == "explicit" {
            change.transition = ConfChangeTransition::Explicit;
            continue;
        }
        let (kind, id) = word.split_at(1);
        change.changes.push(ConfChangeSingle {
            change_type: match kind {
                "v" => ConfChangeType::AddNode,
                "l" => ConfChangeType::AddLearnerNode,
                "r" => ConfChangeType::RemoveNode,
                _ => panic!("no change {word:?}"),
            },
            node_id: id.parse().expect("a node id"),
            ..Default::default()
        });
    }
    change
}

fn entries(entries: &[Entry]) -> String {
    let entry = |e: &Entry| {
        let data = data(e);
        let data = if data.is_empty() { "-".into() } else { data };
        match e.index {
            0 => data,
            index => format!("{index}/t{} {data}", e.term),
        }
    };
    let all: Vec<String> = entries.iter().map(entry).collect();
    format!("[{}]", all.join(", "))
}

fn round(msg: &Message) -> String {
    match <[u8; 8]>::try_from(&msg.context[..]) {
        Ok(round) => format!(", round {}", u64::from_be_bytes(round)),
        Err(_) => String::new(),
    }
}

/// A forwarded read's context; the nonce before it says nothing to people.
fn ctx(msg: &Message) -> u64 {
    let bytes = msg.entries.first().map_or(&[][..], |e| &e.data[..]);
    let last = bytes.last_chunk::<8>().copied().unwrap_or_default();
    u64::from_be_bytes(last)
}
