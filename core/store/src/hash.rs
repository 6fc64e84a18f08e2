//! `Maintenance.HashKV`: one number over all history, equal on equal replicas.

use crate::error::{Failed, Refusal};
use crate::mvcc::Mvcc;
use crate::revision::RevisionKey;
use crate::rows::Rows;
use squall_api::pb::{HashKvRequest, HashKvResponse, ResponseHeader};
use squall_api::{Bug, Fatal};

/// CRC-32C over the table's name and every change up to the revision asked
/// for, as etcd computes it; 0 asks for the current one. What is compacted does
/// not count, whether it was removed or not.
pub(crate) fn hash_kv(store: &mut Mvcc, req: &HashKvRequest) -> Result<HashKvResponse, Failed> {
    let current = store.current_revision();
    if req.revision > 0 && req.revision < store.compact_revision() {
        return Err(Refusal::Compacted.into());
    }
    if req.revision > current {
        return Err(Refusal::FutureRevision.into());
    }
    let upto = if req.revision == 0 {
        current
    } else {
        req.revision
    };
    let first_pending = store.first_pending().unwrap_or(i64::MAX);
    let counted = match store.has(Bug::HashIgnoresTail) {
        true => upto.min(first_pending - 1),
        false => upto,
    };
    let from = store.hashed_behind();
    let mut crc = Crc32c::default();
    crc.update(b"key");
    store.for_each_change(|key, value| {
        let revision = RevisionKey::parse(key).map_or(0, |key| key.revision().main);
        let within = (from + 1..=counted).contains(&revision);
        if within {
            crc.update(key);
            crc.update(value);
        }
    })?;
    Ok(HashKvResponse {
        header: Some(ResponseHeader {
            revision: current,
            ..ResponseHeader::default()
        }),
        hash: crc.finish(),
        compact_revision: store.compact_revision(),
        hash_revision: upto,
    })
}

/// CRC-32C over everything that the backend holds of the cluster's state:
/// history and the rows beside it.
pub(crate) fn hash_all(store: &mut Mvcc, rows: &Rows) -> Result<u32, Fatal> {
    let mut crc = Crc32c::default();
    crc.update(b"key");
    store.for_each_change(|key, value| {
        crc.update(key);
        crc.update(value);
    })?;
    crc.update(b"row");
    for (key, value) in rows.all() {
        crc.update(key);
        crc.update(value);
    }
    Ok(crc.finish())
}

/// CRC-32 with Castagnoli's polynomial.
struct Crc32c(u32);

impl Default for Crc32c {
    fn default() -> Crc32c {
        Crc32c(!0)
    }
}

impl Crc32c {
    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = TABLE[(self.0 as u8 ^ byte) as usize] ^ (self.0 >> 8);
        }
    }

    fn finish(self) -> u32 {
        !self.0
    }
}

const TABLE: [u32; 256] = {
    const POLYNOMIAL: u32 = 0x82F6_3B78;
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the CRC catalogue, and one of RFC 3720 B.4.
    #[test]
    fn the_checksum_is_castagnolis() {
        let crc = |bytes: &[u8]| {
            let mut crc = Crc32c::default();
            crc.update(bytes);
            crc.finish()
        };
        assert_eq!(crc(b"123456789"), 0xE306_9283);
        assert_eq!(crc(&[0; 32]), 0x8A91_36AA);
    }
}
