//! `KV.Range`: which keys, which revision, which order, how many.

use crate::error::Failed;
use crate::index::Span;
use crate::mvcc::Mvcc;
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

/// How many keys have to be read: one more than the limit, to know whether
/// there are more, unless the limit applies to what sorting or filters leave.
/// As in etcd, a sort target without an order does sort, but only within the
/// limit.
fn fetch_limit(req: &RangeRequest) -> usize {
    let limit_comes_last = req.sort_order != SortOrder::None as i32
        || req.min_mod_revision != 0
        || req.max_mod_revision != 0
        || req.min_create_revision != 0
        || req.max_create_revision != 0;
    if req.limit <= 0 || limit_comes_last {
        usize::MAX
    } else {
        usize::try_from(req.limit).map_or(usize::MAX, |limit| limit.saturating_add(1))
    }
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
