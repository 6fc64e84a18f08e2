//! Operations and events in words: `put k3 = "c2-17"`, `n2 became leader of
//! term 4`.

use squall_api::pb::{self, compare, request_op, response_op};
use squall_record::{
    Call, DropReason, Event, FaultPhase, Kind, Op, Outcome, Ret, RunPhase, Why, seconds,
};
use std::fmt::Write as _;

/// A call as people write it.
pub fn call(call: &Call) -> String {
    match call {
        Call::Range(r) => range(r),
        Call::RangeStream(r) => format!("{} in parts", range(r)),
        Call::Put(r) => put(r),
        Call::DeleteRange(r) => delete(r),
        Call::Txn(r) => txn(r),
        Call::HashKv(r) if r.revision > 0 => format!("hash_kv at rev {}", r.revision),
        Call::HashKv(_) => "hash_kv".into(),
        _ => call.name().into(),
    }
}

/// What came of an operation.
pub fn outcome(op: &Op) -> String {
    match &op.outcome {
        Outcome::Ok(ret) => {
            let mut text = answer(ret);
            if let Some(header) = ret.header() {
                let _ = write!(text, ", rev {}", header.revision);
            }
            text
        }
        Outcome::Refused(status) => format!("refused: {}", status.message),
        Outcome::Unknown(Why::Timeout) => "unknown: timed out".into(),
        Outcome::Unknown(Why::Reset) => "unknown: connection lost".into(),
        Outcome::Unknown(Why::Status(status)) => format!("unknown: {}", status.message),
        Outcome::Unknown(Why::RunEnded) => "unknown: the run ended first".into(),
    }
}

/// When an operation was open: `13.871s..14.203s`.
pub fn span(op: &Op) -> String {
    match op.ret {
        Some(ret) => format!("{}..{}", seconds(op.invoke), seconds(ret)),
        None => format!("{}..", seconds(op.invoke)),
    }
}

/// An event in a sentence, without its time.
pub fn event(event: &Event) -> String {
    let node = event
        .node
        .map_or_else(|| "the world".to_owned(), |n| format!("n{n}"));
    match &event.kind {
        Kind::Phase { phase } => match phase {
            RunPhase::Boot => "the cluster forms".into(),
            RunPhase::Safety => "load and faults begin".into(),
            RunPhase::Liveness => "everything is healed".into(),
            RunPhase::Audit => "the last reads, and the comparison of replicas".into(),
        },
        Kind::Fault {
            phase, label, what, ..
        } => {
            let verb = match phase {
                FaultPhase::Start => "sets in",
                FaultPhase::End => "ends",
            };
            if label.is_empty() || label == what {
                format!("fault {verb}: {what}")
            } else {
                format!("fault \"{label}\" {verb}: {what}")
            }
        }
        Kind::Started { incarnation: 0 } => format!("{node} starts"),
        Kind::Started { incarnation } => format!("{node} starts again (restart {incarnation})"),
        Kind::Ended {
            reason,
            illegal: true,
        } => format!("{node} dies: {reason}"),
        Kind::Ended { reason, .. } => format!("{node} stops: {reason}"),
        Kind::Crashed {
            disk,
            unsynced_sectors,
            lost_sectors,
        } => match (disk.as_ref(), *lost_sectors) {
            ("wiped", _) => format!("{node} crashes and loses its disk; the new one is empty"),
            (_, 0) if *unsynced_sectors == 0 => {
                format!("{node} crashes; everything it wrote had been synced")
            }
            (_, 0) => format!(
                "{node} crashes and loses none of its {}",
                sectors(*unsynced_sectors, "unsynced sector")
            ),
            ("torn_write", lost) => format!(
                "{node} crashes and loses or tears {lost} of its {}",
                sectors(*unsynced_sectors, "unsynced sector")
            ),
            (_, lost) => format!(
                "{node} crashes and loses {lost} of its {}",
                sectors(*unsynced_sectors, "unsynced sector")
            ),
        },
        Kind::Paused => format!("{node} is paused while its clocks run on"),
        Kind::Resumed => format!("{node} runs again"),
        Kind::Role { role, term, leader } => match role {
            squall_api::Role::Leader => format!("{node} becomes leader of term {term}"),
            squall_api::Role::Candidate => format!("{node} campaigns for term {term}"),
            squall_api::Role::Follower if *leader == 0 => {
                format!("{node} is a follower in term {term} and knows no leader")
            }
            squall_api::Role::Follower => format!("{node} follows n{leader} in term {term}"),
        },
        Kind::Commit { index } => format!("{node} commits up to index {index}"),
        Kind::Sent {
            to,
            what,
            term,
            index,
            entries,
            ..
        } => {
            let load = match entries {
                0 => String::new(),
                n => format!(" with {}", sectors(u64::from(*n), "entry")),
            };
            format!("{node} sends n{to} {what} (term {term}, index {index}){load}")
        }
        Kind::Delivered { msg, from } => format!("{node} receives message {msg} from n{from}"),
        Kind::Dropped { msg, to, why } => {
            let why = match why {
                DropReason::Loss => "lost by the link",
                DropReason::Partition => "a partition is in the way",
                DropReason::Down => "it is down",
                DropReason::Corrupt => "its checksum says that it was damaged",
                DropReason::Queue => "the link's queue is full",
            };
            format!("message {msg} from {node} does not reach n{to}: {why}")
        }
        Kind::SyncStarted { sync } => format!("{node} begins to sync its log (sync {sync})"),
        Kind::Synced { sync, took } => format!(
            "{node}'s log is durable (sync {sync}, after {}.{:03} ms)",
            took / 1_000_000,
            took / 1_000 % 1_000
        ),
        Kind::Applied {
            index,
            term,
            revision,
            ..
        } => format!("{node} applies index {index} of term {term}: revision {revision}"),
        Kind::SnapshotInstalled { index, revision } => {
            format!("{node} installs the leader's snapshot at index {index}, revision {revision}")
        }
        Kind::Invoked { op, client, what } => format!("c{client} sends {what} (#{op})"),
        Kind::Returned {
            op,
            client,
            outcome,
        } => format!("c{client} learns the outcome of #{op}: {outcome}"),
        Kind::StreamOpened {
            stream,
            client,
            what,
        } => format!("c{client} opens stream {stream}: {what}"),
        Kind::Heard { stream, client } => format!("c{client} is told something on stream {stream}"),
        Kind::StreamEnded { stream, client } => {
            format!("c{client} knows that stream {stream} has ended")
        }
        Kind::Mark { name } => format!("{node} passes {name}"),
        Kind::Violated { check, sentence } => format!("{check} is broken: {sentence}"),
    }
}

/// Bytes as text where they are text, in quotes, and safe for any terminal.
fn quoted(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("\"{}\"", shortened(text).escape_debug()),
        Err(_) => {
            let mut text = String::from("0x");
            for byte in bytes.iter().take(16) {
                let _ = write!(text, "{byte:02x}");
            }
            if bytes.len() > 16 {
                let _ = write!(text, "… ({} bytes)", bytes.len());
            }
            text
        }
    }
}

/// Long values cut, and padding at their end left out: `c5.17…`. The witness on
/// disk has them whole.
fn shortened(text: &str) -> String {
    const LENGTH_MAX: usize = 40;
    const PADDING_MIN: usize = 4;
    let bare = match text.chars().next_back() {
        Some(last) => text.trim_end_matches(last),
        None => text,
    };
    let bare = if text.len() - bare.len() >= PADDING_MIN && !bare.is_empty() {
        bare
    } else {
        text
    };
    let cut: String = bare.chars().take(LENGTH_MAX).collect();
    if cut.len() < text.len() {
        format!("{cut}…")
    } else {
        cut
    }
}

/// A key: without quotes if it is a plain word.
fn key(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && c != '"') => {
            text.to_owned()
        }
        _ => quoted(bytes),
    }
}

/// The keys that a request names: `k3`, `k0..k9` (without the end), `all keys`.
fn keys(from: &[u8], end: &[u8]) -> String {
    match (from, end) {
        (_, b"") => key(from),
        (b"\0", b"\0") => "all keys".into(),
        (_, b"\0") => format!("{}..", key(from)),
        _ if end == prefix_end(from) => format!("{}*", key(from)),
        _ => format!("{}..{}", key(from), key(end)),
    }
}

/// The end of the range of all keys that begin with `prefix`, as etcd's
/// clients compute it.
fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            return end;
        }
        end.pop();
    }
    vec![0]
}

fn range(r: &pb::RangeRequest) -> String {
    let mut text = format!("get {}", keys(&r.key, &r.range_end));
    if r.revision > 0 {
        let _ = write!(text, " at rev {}", r.revision);
    }
    if r.limit > 0 {
        let _ = write!(text, " limit {}", r.limit);
    }
    if r.count_only {
        text.push_str(" (count)");
    }
    if r.serializable {
        text.push_str(" (serializable)");
    }
    text
}

fn put(r: &pb::PutRequest) -> String {
    let value = if r.ignore_value {
        "its value".to_owned()
    } else {
        quoted(&r.value)
    };
    let mut text = format!("put {} = {value}", key(&r.key));
    if r.lease != 0 {
        let _ = write!(text, " lease {:x}", r.lease);
    }
    text
}

fn delete(r: &pb::DeleteRangeRequest) -> String {
    format!("delete {}", keys(&r.key, &r.range_end))
}

fn txn(r: &pb::TxnRequest) -> String {
    let branch = |ops: &[pb::RequestOp]| {
        let ops: Vec<String> = ops.iter().map(branch_op).collect();
        ops.join("; ")
    };
    let mut text = String::from("txn");
    if !r.compare.is_empty() {
        let compares: Vec<String> = r.compare.iter().map(compare).collect();
        let _ = write!(text, " if {}", compares.join(" and "));
    }
    if !r.success.is_empty() {
        let _ = write!(text, " {{ {} }}", branch(&r.success));
    }
    if !r.failure.is_empty() {
        let _ = write!(text, " else {{ {} }}", branch(&r.failure));
    }
    text
}

fn branch_op(op: &pb::RequestOp) -> String {
    match &op.request {
        Some(request_op::Request::RequestRange(r)) => range(r),
        Some(request_op::Request::RequestPut(r)) => put(r),
        Some(request_op::Request::RequestDeleteRange(r)) => delete(r),
        Some(request_op::Request::RequestTxn(r)) => txn(r),
        None => "nothing".into(),
    }
}

fn compare(c: &pb::Compare) -> String {
    let sign = match compare::CompareResult::try_from(c.result) {
        Ok(compare::CompareResult::Equal) => "==",
        Ok(compare::CompareResult::Greater) => ">",
        Ok(compare::CompareResult::Less) => "<",
        Ok(compare::CompareResult::NotEqual) => "!=",
        Err(_) => "?",
    };
    let what = match compare::CompareTarget::try_from(c.target) {
        Ok(compare::CompareTarget::Version) => "version",
        Ok(compare::CompareTarget::Create) => "create",
        Ok(compare::CompareTarget::Mod) => "mod",
        Ok(compare::CompareTarget::Value) => "value",
        Ok(compare::CompareTarget::Lease) => "lease",
        Err(_) => "?",
    };
    let with = match &c.target_union {
        Some(compare::TargetUnion::Version(n))
        | Some(compare::TargetUnion::CreateRevision(n))
        | Some(compare::TargetUnion::ModRevision(n)) => n.to_string(),
        Some(compare::TargetUnion::Lease(n)) => format!("{n:x}"),
        Some(compare::TargetUnion::Value(value)) => quoted(value),
        None if what == "value" => "\"\"".into(),
        None => "0".into(),
    };
    format!("{what}({}) {sign} {with}", keys(&c.key, &c.range_end))
}

fn answer(ret: &Ret) -> String {
    match ret {
        Ret::Range(r) | Ret::RangeStream(r) => range_answer(r),
        Ret::Put(r) => put_answer(r),
        Ret::DeleteRange(r) => format!("deleted {}", r.deleted),
        Ret::Txn(r) => txn_answer(r),
        Ret::HashKv(r) => format!("hash {:08x}", r.hash),
        Ret::Status(r) => format!("leader n{}, applied {}", r.leader, r.raft_applied_index),
        Ret::Cluster(r) => format!("{} members", r.members().len()),
        Ret::Compact(_)
        | Ret::Watch(_)
        | Ret::Lease(_)
        | Ret::Auth(_)
        | Ret::Maintenance(_)
        | Ret::Lock(_)
        | Ret::Election(_) => {
            let revision = ret.header().map_or(0, |header| header.revision);
            format!("done at revision {revision}")
        }
    }
}

fn range_answer(r: &pb::RangeResponse) -> String {
    match r.kvs.as_slice() {
        [] if r.count > 0 => format!("{} keys", r.count),
        [] => "nothing".into(),
        [kv] => format!("{} (mod {})", quoted(&kv.value), kv.mod_revision),
        kvs => {
            let shown: Vec<String> = kvs
                .iter()
                .map(|kv| format!("{}={}", key(&kv.key), quoted(&kv.value)))
                .collect();
            let more = if r.more { ", and more" } else { "" };
            format!("{}{more}", shown.join(" "))
        }
    }
}

fn put_answer(r: &pb::PutResponse) -> String {
    match &r.prev_kv {
        Some(kv) => format!("ok, was {}", quoted(&kv.value)),
        None => "ok".into(),
    }
}

fn txn_answer(r: &pb::TxnResponse) -> String {
    let verdict = if r.succeeded { "then" } else { "else" };
    let answers: Vec<String> = r.responses.iter().map(branch_answer).collect();
    if answers.is_empty() {
        verdict.into()
    } else {
        format!("{verdict} {{ {} }}", answers.join("; "))
    }
}

fn branch_answer(op: &pb::ResponseOp) -> String {
    match &op.response {
        Some(response_op::Response::ResponseRange(r)) => range_answer(r),
        Some(response_op::Response::ResponsePut(r)) => put_answer(r),
        Some(response_op::Response::ResponseDeleteRange(r)) => format!("deleted {}", r.deleted),
        Some(response_op::Response::ResponseTxn(r)) => txn_answer(r),
        None => "nothing".into(),
    }
}

/// `1 entry`, `3 entries`, `2 unsynced sectors`.
fn sectors(n: u64, noun: &str) -> String {
    match (n, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{n} {stem}ies"),
        (_, None) => format!("{n} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_record::Status;

    fn bytes(text: &str) -> bytes::Bytes {
        text.to_owned().into()
    }

    #[test]
    fn calls_read_like_a_shell() {
        let get = |from: &str, end: &str| {
            call(&Call::Range(pb::RangeRequest {
                key: bytes(from),
                range_end: bytes(end),
                ..Default::default()
            }))
        };
        assert_eq!(get("k3", ""), "get k3");
        assert_eq!(get("k", "l"), "get k*");
        assert_eq!(get("a", "c"), "get a..c");
        assert_eq!(get("\0", "\0"), "get all keys");
        assert_eq!(get("a b", ""), "get \"a b\"");
    }

    #[test]
    fn nothing_a_client_wrote_can_drive_the_terminal() {
        let put = Call::Put(pb::PutRequest {
            key: bytes("k\x1b[2J"),
            value: vec![0xff, 0x1b].into(),
            ..Default::default()
        });
        assert_eq!(call(&put), "put \"k\\u{1b}[2J\" = 0xff1b");
    }

    #[test]
    fn long_values_are_cut_and_padding_is_left_out() {
        assert_eq!(quoted(b"c5.17........."), "\"c5.17…\"");
        assert_eq!(quoted(b"c5.17..."), "\"c5.17...\"");
        assert_eq!(quoted(b"aaaaaaaa"), "\"aaaaaaaa\"");
        assert_eq!(quoted("xy".repeat(50).as_bytes()).chars().count(), 43);
    }

    #[test]
    fn a_transaction_fits_a_line() {
        let text = call(&Call::Txn(pb::TxnRequest {
            compare: vec![pb::Compare {
                target: compare::CompareTarget::Mod as i32,
                key: bytes("k1"),
                target_union: Some(compare::TargetUnion::ModRevision(41)),
                ..Default::default()
            }],
            success: vec![pb::RequestOp {
                request: Some(request_op::Request::RequestPut(pb::PutRequest {
                    key: bytes("k1"),
                    value: bytes("c2-17"),
                    ..Default::default()
                })),
            }],
            failure: vec![pb::RequestOp {
                request: Some(request_op::Request::RequestRange(pb::RangeRequest {
                    key: bytes("k1"),
                    ..Default::default()
                })),
            }],
        }));
        assert_eq!(
            text,
            "txn if mod(k1) == 41 { put k1 = \"c2-17\" } else { get k1 }"
        );
    }

    #[test]
    fn every_outcome_says_how_sure_it_is() {
        let op = |outcome| Op {
            token: String::new(),
            id: 1,
            client: 1,
            process: 1,
            member: 1,
            invoke: 13_871_000_000,
            ret: Some(14_203_900_000),
            call: Call::Status(pb::StatusRequest {}),
            outcome,
        };
        let status = Status::new(squall_record::Code::Unavailable, "etcdserver: no leader");
        for (result, expected) in [
            (Outcome::Unknown(Why::Timeout), "unknown: timed out"),
            (
                Outcome::Unknown(Why::Status(status.clone())),
                "unknown: etcdserver: no leader",
            ),
            (Outcome::Refused(status), "refused: etcdserver: no leader"),
        ] {
            assert_eq!(outcome(&op(result)), expected);
        }
        assert_eq!(span(&op(Outcome::Unknown(Why::Reset))), "13.871s..14.203s");
    }
}
