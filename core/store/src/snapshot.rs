//! Snapshots on the wire: the whole state as a list, independent of how the
//! backend stores it.
//!
//! ```text
//! "sqSN" | format u32 | checksum u64 | body
//! body: cluster u64 | index u64 | term u64 | entry digest u64 | revision i64
//!     | compact revision i64 | state digest u64 | membership: length u32, bytes
//!     | rows: u64, each (key length u32, key, value length u32, value)
//!     | changes: u64, each (key length u8, key, value length u32, value)
//! ```
//!
//! All numbers are little-endian. The checksum is xxh3 over the body. A reader
//! refuses a format it does not know.

use crate::membership::Membership;
use crate::meta::Meta;
use crate::mvcc::Mvcc;
use crate::revision::RevisionKey;
use crate::rows::Rows;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use raft_proto::eraftpb::Snapshot;
use squall_api::{EntryId, Fatal};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: [u8; 4] = *b"sqSN";
const FORMAT: u32 = 3;
const HEADER_LEN: usize = 4 + 4 + 8;

/// What a snapshot holds.
#[derive(Debug, PartialEq)]
pub(crate) struct Contents {
    /// With `member` 0: a snapshot is of the cluster.
    pub(crate) meta: Meta,
    /// See [`Rows`].
    pub(crate) rows: BTreeMap<Bytes, Bytes>,
    pub(crate) changes: Vec<(RevisionKey, Bytes)>,
}

/// Takes a snapshot of the store as of `meta`.
pub(crate) fn take(store: &mut Mvcc, rows: &Rows, meta: &Meta) -> Result<Snapshot, Fatal> {
    let mut snapshot = Snapshot {
        data: dump(store, rows, meta)?,
        ..Snapshot::default()
    };
    let metadata = snapshot.mut_metadata();
    metadata.index = meta.index;
    metadata.term = meta.entry.term;
    metadata.set_conf_state(meta.membership.config.to_state());
    Ok(snapshot)
}

/// The store as of `meta`, in the format above.
pub(crate) fn dump(store: &mut Mvcc, rows: &Rows, meta: &Meta) -> Result<Bytes, Fatal> {
    let mut out = BytesMut::with_capacity(HEADER_LEN + 128 + store.stored_bytes() as usize);
    out.put_slice(&MAGIC);
    out.put_u32_le(FORMAT);
    out.put_u64_le(0);

    out.put_u64_le(meta.cluster);
    out.put_u64_le(meta.index);
    out.put_u64_le(meta.entry.term);
    out.put_u64_le(meta.entry.digest);
    out.put_i64_le(meta.revision);
    out.put_i64_le(meta.compact_revision);
    out.put_u64_le(meta.state);
    let membership = meta.membership.encode();
    out.put_u32_le(membership.len() as u32);
    out.put_slice(&membership);
    out.put_u64_le(rows.all().len() as u64);
    for bytes in rows.all().iter().flat_map(|(key, value)| [key, value]) {
        out.put_u32_le(bytes.len() as u32);
        out.put_slice(bytes);
    }
    let count_at = out.len();
    out.put_u64_le(0);
    let mut count: u64 = 0;
    store.for_each_change(|key, value| {
        count += 1;
        out.put_u8(key.len() as u8);
        out.put_slice(key);
        out.put_u32_le(u32::try_from(value.len()).expect("redb holds no value above 3 GiB"));
        out.put_slice(value);
    })?;
    out[count_at..count_at + 8].copy_from_slice(&count.to_le_bytes());
    let checksum = xxh3_64(&out[HEADER_LEN..]);
    out[8..HEADER_LEN].copy_from_slice(&checksum.to_le_bytes());

    Ok(out.freeze())
}

/// Reads a snapshot back; the error is a sentence that says what is wrong.
pub(crate) fn read(snapshot: &Snapshot) -> Result<Contents, String> {
    let contents = read_dump(snapshot.data.clone(), true)?;
    let (metadata, meta) = (snapshot.get_metadata(), &contents.meta);
    if (metadata.index, metadata.term) != (meta.index, meta.entry.term) {
        return Err(format!(
            "it says index {} term {}, and holds index {} term {}",
            metadata.index, metadata.term, meta.index, meta.entry.term
        ));
    }
    Ok(contents)
}

/// Reads a dump back, and its checksum if that is to be verified.
pub(crate) fn read_dump(mut data: Bytes, verify: bool) -> Result<Contents, String> {
    if data.len() < HEADER_LEN {
        return Err(format!("it has {} bytes, no header", data.len()));
    }
    let magic = data.split_to(4);
    if magic != MAGIC[..] {
        return Err(format!("it starts with {magic:?}"));
    }
    let format = data.get_u32_le();
    if format != FORMAT {
        return Err(format!(
            "its format is {format}, and this build reads {FORMAT}"
        ));
    }
    let (found, computed) = (data.get_u64_le(), xxh3_64(&data));
    if found != computed && verify {
        return Err(format!(
            "its checksum is {found:016x}, its bytes give {computed:016x}"
        ));
    }
    let contents = read_body(data).ok_or("its body ends early or has unknown parts")?;
    if !contents
        .changes
        .is_sorted_by(|a, b| a.0.revision() < b.0.revision())
    {
        return Err("its revisions are out of order".into());
    }
    Ok(contents)
}

fn read_body(mut body: Bytes) -> Option<Contents> {
    let body = &mut body;
    let meta = Meta {
        cluster: body.try_get_u64_le().ok()?,
        member: 0,
        index: body.try_get_u64_le().ok()?,
        entry: EntryId {
            term: body.try_get_u64_le().ok()?,
            digest: body.try_get_u64_le().ok()?,
        },
        revision: body.try_get_i64_le().ok()?,
        compact_revision: body.try_get_i64_le().ok()?,
        state: body.try_get_u64_le().ok()?,
        membership: {
            let len = body.try_get_u32_le().ok()?;
            Membership::decode(split(body, len as usize)?)?
        },
    };
    let rows = (0..body.try_get_u64_le().ok()?)
        .map(|_| {
            let mut bytes = || {
                let len = body.try_get_u32_le().ok()?;
                split(body, len as usize)
            };
            Some((bytes()?, bytes()?))
        })
        .collect::<Option<_>>()?;
    let changes = (0..body.try_get_u64_le().ok()?)
        .map(|_| {
            let key_len = body.try_get_u8().ok()?;
            let key = RevisionKey::parse(&split(body, key_len.into())?)?;
            let value_len = body.try_get_u32_le().ok()?;
            Some((key, split(body, value_len as usize)?))
        })
        .collect::<Option<_>>()?;
    body.is_empty().then_some(Contents {
        meta,
        rows,
        changes,
    })
}

fn split(body: &mut Bytes, len: usize) -> Option<Bytes> {
    (len <= body.len()).then(|| body.split_to(len))
}
