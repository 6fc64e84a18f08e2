//! Comparing an answer with the one that the specification gives.

use super::model::in_order_of;
use squall_api::pb::{self, KeyValue, ResponseHeader};
use squall_record::{Call, Ret};
use std::fmt::Display;

use pb::range_request::SortTarget;
use pb::request_op::Request as SubRequest;
use pb::response_op::Response as SubResponse;

/// The first field in which an answer is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The field: `kvs["k7"].mod_revision`.
    pub(crate) field: String,
    /// What the specification says.
    pub(crate) expected: String,
    /// What the client was told.
    pub(crate) got: String,
    /// The key that it is about, if it is about one.
    pub(crate) key: Option<bytes::Bytes>,
    /// The version that should have been shown, if it is about one version.
    pub(crate) expected_kv: Option<Box<KeyValue>>,
    /// The version that was shown.
    pub(crate) got_kv: Option<Box<KeyValue>>,
}

impl Difference {
    pub(crate) fn new(
        field: impl Into<String>,
        expected: impl Display,
        got: impl Display,
    ) -> Difference {
        Difference {
            field: field.into(),
            expected: expected.to_string(),
            got: got.to_string(),
            key: None,
            expected_kv: None,
            got_kv: None,
        }
    }

    pub(crate) fn about(mut self, key: &bytes::Bytes) -> Difference {
        self.key = Some(key.clone());
        self
    }

    fn between(mut self, expected: Option<&KeyValue>, got: Option<&KeyValue>) -> Difference {
        self.key = expected.or(got).map(|kv| kv.key.clone());
        self.expected_kv = expected.map(|kv| Box::new(kv.clone()));
        self.got_kv = got.map(|kv| Box::new(kv.clone()));
        self
    }
}

/// Whether `got` is what the specification answers to `call`. Member, cluster
/// and term in headers are not the specification's business, and the headers
/// inside a transaction may be left out.
pub(crate) fn agree(call: &Call, expected: &Ret, got: &Ret) -> Result<(), Difference> {
    match (call, expected, got) {
        (Call::Range(r), Ret::Range(expected), Ret::Range(got)) => {
            range(r, expected, got)?;
            outer(&expected.header, &got.header)
        }
        (Call::Put(_), Ret::Put(expected), Ret::Put(got)) => {
            put(expected, got)?;
            outer(&expected.header, &got.header)
        }
        (Call::DeleteRange(r), Ret::DeleteRange(expected), Ret::DeleteRange(got)) => {
            delete_range(r, expected, got)?;
            outer(&expected.header, &got.header)
        }
        (Call::Txn(r), Ret::Txn(expected), Ret::Txn(got)) => {
            txn(r, expected, got)?;
            outer(&expected.header, &got.header)
        }
        _ => Err(Difference::new(
            "answer",
            call.name(),
            "an answer to another call",
        )),
    }
}

fn outer(
    expected: &Option<ResponseHeader>,
    got: &Option<ResponseHeader>,
) -> Result<(), Difference> {
    let revision = |header: &Option<ResponseHeader>| header.map_or(0, |h| h.revision);
    same("header.revision", revision(expected), revision(got))
}

/// Inside a transaction etcd fills in the revision alone, and not everywhere.
fn inner(
    expected: &Option<ResponseHeader>,
    got: &Option<ResponseHeader>,
) -> Result<(), Difference> {
    match (expected, got) {
        (Some(expected), Some(got)) if got.revision != 0 => {
            same("inner header.revision", expected.revision, got.revision)
        }
        _ => Ok(()),
    }
}

fn range(
    r: &pb::RangeRequest,
    expected: &pb::RangeResponse,
    got: &pb::RangeResponse,
) -> Result<(), Difference> {
    let by = r.sort_target();
    if by == SortTarget::Key {
        kvs("kvs", &expected.kvs, &got.kvs)?;
    } else {
        sorted_kvs(by, r, &expected.kvs, &got.kvs)?;
    }
    same("more", expected.more, got.more)?;
    same("count", expected.count, got.count)
}

/// etcd's sort is not stable: keys that compare equal may come in any order,
/// and any of them may be the ones that a limit cuts off.
fn sorted_kvs(
    by: SortTarget,
    r: &pb::RangeRequest,
    expected: &[KeyValue],
    got: &[KeyValue],
) -> Result<(), Difference> {
    if expected == got {
        return Ok(());
    }
    same("kvs.length", expected.len(), got.len())?;
    let cut = r.limit > 0 && expected.len() == r.limit as usize;
    let last = expected.last();
    let mut left: Vec<&KeyValue> = expected.iter().collect();
    for (e, g) in expected.iter().zip(got) {
        let tied = in_order_of(by, e, g).is_eq();
        if let (true, Some(at)) = (tied, left.iter().position(|e| *e == g)) {
            left.swap_remove(at);
        } else if !(tied && cut && last.is_some_and(|l| in_order_of(by, l, g).is_eq())) {
            kv(&format!("kvs[{}]", name(&e.key)), e, g)?;
            return Err(Difference::new("kvs", "each key once", "a key twice").about(&g.key));
        }
    }
    Ok(())
}

fn put(expected: &pb::PutResponse, got: &pb::PutResponse) -> Result<(), Difference> {
    option_kv("prev_kv", expected.prev_kv.as_ref(), got.prev_kv.as_ref())
}

fn delete_range(
    r: &pb::DeleteRangeRequest,
    expected: &pb::DeleteRangeResponse,
    got: &pb::DeleteRangeResponse,
) -> Result<(), Difference> {
    same("deleted", expected.deleted, got.deleted).map_err(|d| {
        if r.range_end.is_empty() {
            d.about(&r.key)
        } else {
            d
        }
    })?;
    kvs("prev_kvs", &expected.prev_kvs, &got.prev_kvs)
}

fn txn(
    r: &pb::TxnRequest,
    expected: &pb::TxnResponse,
    got: &pb::TxnResponse,
) -> Result<(), Difference> {
    same("succeeded", expected.succeeded, got.succeeded).map_err(|d| match &r.compare[..] {
        [only] if only.range_end.is_empty() => d.about(&only.key),
        _ => d,
    })?;
    same(
        "responses.length",
        expected.responses.len(),
        got.responses.len(),
    )?;
    let branch = if expected.succeeded {
        &r.success
    } else {
        &r.failure
    };
    for (i, (op, (expected, got))) in branch
        .iter()
        .zip(expected.responses.iter().zip(&got.responses))
        .enumerate()
    {
        sub(op, expected, got).map_err(|mut d| {
            d.field = format!("responses[{i}].{}", d.field);
            d
        })?;
    }
    Ok(())
}

fn sub(
    op: &pb::RequestOp,
    expected: &pb::ResponseOp,
    got: &pb::ResponseOp,
) -> Result<(), Difference> {
    match (&op.request, &expected.response, &got.response) {
        (
            Some(SubRequest::RequestRange(r)),
            Some(SubResponse::ResponseRange(expected)),
            Some(SubResponse::ResponseRange(got)),
        ) => {
            inner(&expected.header, &got.header)?;
            range(r, expected, got)
        }
        (
            Some(SubRequest::RequestPut(_)),
            Some(SubResponse::ResponsePut(expected)),
            Some(SubResponse::ResponsePut(got)),
        ) => {
            inner(&expected.header, &got.header)?;
            put(expected, got)
        }
        (
            Some(SubRequest::RequestDeleteRange(r)),
            Some(SubResponse::ResponseDeleteRange(expected)),
            Some(SubResponse::ResponseDeleteRange(got)),
        ) => {
            inner(&expected.header, &got.header)?;
            delete_range(r, expected, got)
        }
        (
            Some(SubRequest::RequestTxn(r)),
            Some(SubResponse::ResponseTxn(expected)),
            Some(SubResponse::ResponseTxn(got)),
        ) => txn(r, expected, got),
        _ => Err(Difference::new(
            "answer",
            "one to its request",
            "one to another request",
        )),
    }
}

fn option_kv(
    field: &str,
    expected: Option<&KeyValue>,
    got: Option<&KeyValue>,
) -> Result<(), Difference> {
    match (expected, got) {
        (None, None) => Ok(()),
        (Some(expected), Some(got)) => kv(field, expected, got),
        (expected, got) => {
            let text = |kv: Option<&KeyValue>| kv.map_or_else(|| "none".to_owned(), summary);
            Err(Difference::new(field, text(expected), text(got)).between(expected, got))
        }
    }
}

fn kvs(field: &str, expected: &[KeyValue], got: &[KeyValue]) -> Result<(), Difference> {
    let mut expected = expected.iter().peekable();
    let mut got = got.iter().peekable();
    loop {
        // The first key in order that only one of the two has is what is wrong.
        let (e, g) = match (expected.peek(), got.peek()) {
            (None, None) => return Ok(()),
            (Some(e), Some(g)) if e.key == g.key => (expected.next(), got.next()),
            (Some(e), Some(g)) if e.key > g.key => (None, got.next()),
            (Some(_), _) => (expected.next(), None),
            (None, Some(_)) => (None, got.next()),
        };
        match (e, g) {
            (Some(e), Some(g)) => kv(&format!("{field}[{}]", name(&e.key)), e, g)?,
            (e, g) => {
                let key = &e.or(g).expect("one of the two was taken").key;
                option_kv(&format!("{field}[{}]", name(key)), e, g)?;
            }
        }
    }
}

fn kv(field: &str, expected: &KeyValue, got: &KeyValue) -> Result<(), Difference> {
    let check = || {
        same(&format!("{field}.key"), name(&expected.key), name(&got.key))?;
        let f = |part: &str| format!("{field}.{part}");
        same(&f("mod_revision"), expected.mod_revision, got.mod_revision)?;
        same(&f("value"), name(&expected.value), name(&got.value))?;
        same(&f("version"), expected.version, got.version)?;
        same(
            &f("create_revision"),
            expected.create_revision,
            got.create_revision,
        )?;
        same(&f("lease"), expected.lease, got.lease)
    };
    if expected == got {
        return Ok(());
    }
    check().map_err(|d| d.between(Some(expected), Some(got)))
}

fn same<T: PartialEq + Display>(field: &str, expected: T, got: T) -> Result<(), Difference> {
    if expected == got {
        Ok(())
    } else {
        Err(Difference::new(field, expected, got))
    }
}

/// Bytes as people read them.
pub(crate) fn name(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!(
            "0x{}",
            bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()
        ),
    }
}

fn summary(kv: &KeyValue) -> String {
    format!("{} from revision {}", name(&kv.value), kv.mod_revision)
}
