//! Calls and clients in few words.

use crate::store::agree::name;
use squall_api::pb;
use squall_record::{Call, Op};

/// The client, as reports name it.
pub(crate) fn who(op: &Op) -> String {
    format!("c{}", op.client)
}

/// A call in few words: `put "k1" = "v"`.
pub(crate) fn call(call: &Call) -> String {
    match call {
        Call::Range(r) => range(r),
        Call::Put(r) => put(r),
        Call::DeleteRange(r) => format!("delete {}", interval(&r.key, &r.range_end)),
        Call::Txn(r) => txn(r),
        _ => call.name().into(),
    }
}

fn range(r: &pb::RangeRequest) -> String {
    let mut text = format!("read {}", interval(&r.key, &r.range_end));
    if r.revision > 0 {
        text += &format!(" at revision {}", r.revision);
    }
    if r.serializable {
        text += " (serializable)";
    }
    text
}

fn put(r: &pb::PutRequest) -> String {
    if r.ignore_value {
        format!("put {} with its old value", name(&r.key))
    } else {
        format!("put {} = {}", name(&r.key), name(&r.value))
    }
}

fn interval(key: &[u8], range_end: &[u8]) -> String {
    match (key, range_end) {
        (_, []) => name(key),
        ([0], [0]) => "all keys".into(),
        (_, [0]) => format!("[{}, ..)", name(key)),
        _ => format!("[{}, {})", name(key), name(range_end)),
    }
}

fn txn(r: &pb::TxnRequest) -> String {
    use pb::request_op::Request;
    let ops = |ops: &[pb::RequestOp]| -> String {
        let texts: Vec<String> = ops
            .iter()
            .map(|op| match &op.request {
                Some(Request::RequestRange(r)) => range(r),
                Some(Request::RequestPut(r)) => put(r),
                Some(Request::RequestDeleteRange(r)) => {
                    format!("delete {}", interval(&r.key, &r.range_end))
                }
                Some(Request::RequestTxn(r)) => txn(r),
                None => "nothing".into(),
            })
            .collect();
        texts.join(", ")
    };
    let compares: Vec<String> = r.compare.iter().map(compare).collect();
    let mut text = String::from("txn (");
    if !compares.is_empty() {
        text += &format!("if {} ", compares.join(" and "));
    }
    text += &format!(
        "then {}",
        if r.success.is_empty() {
            "nothing".into()
        } else {
            ops(&r.success)
        }
    );
    if !r.failure.is_empty() {
        text += &format!(" else {}", ops(&r.failure));
    }
    text + ")"
}

fn compare(c: &pb::Compare) -> String {
    use pb::compare::{CompareResult, TargetUnion};
    let is = match c.result() {
        CompareResult::Equal => "=",
        CompareResult::NotEqual => "!=",
        CompareResult::Greater => ">",
        CompareResult::Less => "<",
    };
    let target = c.target().as_str_name().to_lowercase();
    let value = match &c.target_union {
        Some(TargetUnion::Value(v)) => name(v),
        Some(
            TargetUnion::Version(n)
            | TargetUnion::CreateRevision(n)
            | TargetUnion::ModRevision(n)
            | TargetUnion::Lease(n),
        ) => n.to_string(),
        None => "0".into(),
    };
    format!("{target}({}) {is} {value}", interval(&c.key, &c.range_end))
}
