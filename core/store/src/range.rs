//! `KV.Range`: which keys, which revision, which order, how many.

use crate::error::Failed;
use crate::index::Span;
use crate::mvcc::Mvcc;
use bytes::Bytes;
use prost::Message as _;
use squall_api::Bug;
use squall_api::pb::range_request::{SortOrder, SortTarget};
use squall_api::pb::{KeyValue, RangeRequest, RangeResponse, ResponseHeader};
use std::cmp::Ordering;

/// Answers a checked request. The header carries the store's revision, also
/// where an older one was asked for.
pub(crate) fn range(store: &Mvcc, req: &RangeRequest) -> Result<RangeResponse, Failed> {
    let at = store.resolve_revision(req.revision)?;
    let end: &[u8] = match store.has(Bug::ZeroEndIsEmpty) && req.range_end == [0][..] {
        true => &[],
        false => &req.range_end,
    };
    let span = Span::new(&req.key, end);
    let mut resp = RangeResponse {
        header: Some(ResponseHeader {
            revision: store.current_revision(),
            ..ResponseHeader::default()
        }),
        ..RangeResponse::default()
    };

    // `count` is of all keys, whatever limit and filters leave of them.
    let fetch = match store.has(Bug::SortWithinLimit) && req.limit > 0 {
        true => req.limit as usize,
        false => fetch_limit(req),
    };
    for (_, visible) in store.visible(span, at) {
        resp.count += 1;
        if !req.count_only && resp.kvs.len() < fetch {
            resp.kvs.push(store.read(visible)?);
        }
    }

    if store.has(Bug::CountWithinLimit) && !req.count_only {
        resp.count = resp.kvs.len() as i64;
    }
    resp.kvs.retain(|kv| passes(req, kv));
    sort(req, &mut resp.kvs);
    if req.limit > 0 && resp.kvs.len() as u64 > req.limit as u64 {
        resp.kvs.truncate(req.limit as usize);
        resp.more = true;
    }
    if req.keys_only {
        for kv in &mut resp.kvs {
            kv.value.clear();
        }
    }
    Ok(resp)
}

/// A part of a range.
#[derive(Debug)]
pub(crate) struct Part {
    /// The keys, and how many of the range's keys were passed.
    pub(crate) response: RangeResponse,
    /// The key that the rest begins with; none if this is the last part.
    pub(crate) next: Option<Bytes>,
}

/// The first part of a checked request in order of keys: about `max_bytes` long,
/// and at least a key. The last part also counts what is beyond the limit.
pub(crate) fn part(store: &Mvcc, req: &RangeRequest, max_bytes: usize) -> Result<Part, Failed> {
    let at = store.resolve_revision(req.revision)?;
    let mut response = RangeResponse::default();
    let mut bytes = 0;
    for (key, visible) in store.visible(Span::new(&req.key, &req.range_end), at) {
        if req.count_only {
            response.count += 1;
            continue;
        }
        if req.limit > 0 && response.kvs.len() as i64 >= req.limit {
            response.more = true;
            response.count += 1;
            continue;
        }
        if bytes >= max_bytes {
            let next = Some(key.clone());
            return Ok(Part { response, next });
        }
        response.count += 1;
        let mut kv = store.read(visible)?;
        if req.keys_only {
            kv.value.clear();
        }
        bytes += kv.encoded_len();
        response.kvs.push(kv);
    }
    let next = None;
    Ok(Part { response, next })
}

/// How many keys have to be read: one more than the limit, to know whether
/// there are more, unless the limit applies to what sorting or filters leave.
/// As in etcd, a sort target without an order does sort, but only within the
/// limit.
fn fetch_limit(req: &RangeRequest) -> usize {
    let limit_comes_last = req.sort_order != SortOrder::None as i32 || filters(req);
    if req.limit <= 0 || limit_comes_last {
        usize::MAX
    } else {
        usize::try_from(req.limit).map_or(usize::MAX, |limit| limit.saturating_add(1))
    }
}

/// Whether keys are left out for their revisions.
pub(crate) fn filters(req: &RangeRequest) -> bool {
    req.min_mod_revision != 0
        || req.max_mod_revision != 0
        || req.min_create_revision != 0
        || req.max_create_revision != 0
}

fn passes(req: &RangeRequest, kv: &KeyValue) -> bool {
    let within = |min: i64, revision: i64, max: i64| {
        (min == 0 || revision >= min) && (max == 0 || revision <= max)
    };
    within(req.min_mod_revision, kv.mod_revision, req.max_mod_revision)
        && within(
            req.min_create_revision,
            kv.create_revision,
            req.max_create_revision,
        )
}

/// Equal ones stay in order of their keys.
fn sort(req: &RangeRequest, kvs: &mut [KeyValue]) {
    let compare: fn(&KeyValue, &KeyValue) -> Ordering = match req.sort_target() {
        SortTarget::Key => |a, b| a.key.cmp(&b.key),
        SortTarget::Version => |a, b| a.version.cmp(&b.version),
        SortTarget::Create => |a, b| a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => |a, b| a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => |a, b| a.value.cmp(&b.value),
    };
    match (req.sort_order(), req.sort_target()) {
        // They come sorted by key.
        (SortOrder::None | SortOrder::Ascend, SortTarget::Key) => {}
        (SortOrder::None | SortOrder::Ascend, _) => kvs.sort_by(compare),
        (SortOrder::Descend, _) => kvs.sort_by(|a, b| compare(b, a)),
    }
}
