//! Rows with a checksum: redb verifies pages when it recovers, not when it reads.
//!
//! ```text
//! value | crc u32
//! ```
//!
//! The CRC-32, little-endian, covers key and value: a row that a misdirected
//! write brought under another key is no row of that key.

use super::file::PATH;
use squall_api::Fatal;

const CRC_LEN: usize = 4;

/// The row as it is stored, in place of what `out` held.
pub(super) fn seal(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(value);
    out.extend_from_slice(&checksum(key, value).to_le_bytes());
}

/// The value of a stored row.
pub(super) fn open<'a>(key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], Fatal> {
    match stored.split_last_chunk::<CRC_LEN>() {
        Some((value, crc)) if u32::from_le_bytes(*crc) == checksum(key, value) => Ok(value),
        _ => Err(Fatal::Corrupt(format!(
            "{PATH}: the row of key {} is not what was written: the disk damaged it; replace the \
             disk, remove the member's data and let it rejoin",
            key.escape_ascii()
        ))),
    }
}

/// How long the value of a stored row is.
pub(super) fn value_len(stored: &[u8]) -> usize {
    stored.len().saturating_sub(CRC_LEN)
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_and_every_flipped_bit_is_noticed() {
        let mut stored = vec![1, 2, 3];
        seal(b"key", b"value", &mut stored);
        assert_eq!(open(b"key", &stored).unwrap(), b"value");
        for bit in 0..stored.len() * 8 {
            let mut damaged = stored.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(b"key", &damaged).is_err(), "bit {bit}");
        }
        for short in 0..stored.len() {
            assert!(open(b"key", &stored[..short]).is_err(), "{short} bytes");
        }
    }

    #[test]
    fn a_row_of_another_key_is_no_row() {
        let mut stored = Vec::new();
        seal(b"key", b"value", &mut stored);
        let error = open(b"kez", &stored).unwrap_err().to_string();
        assert!(
            error.contains("db/state.redb") && error.contains("kez"),
            "{error}"
        );
    }
}
