//! The rolling hash: what two runs must agree on to be called the same.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A chained hash: each part is hashed with all that went before as its seed,
/// so that order and boundaries count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollingHash(u64);

impl RollingHash {
    /// A hash that has seen nothing but `seed`.
    pub fn new(seed: u64) -> RollingHash {
        let mut hash = RollingHash(0);
        hash.mix_u64(seed);
        hash
    }

    /// Adds a number.
    #[inline]
    pub fn mix_u64(&mut self, v: u64) {
        self.0 = xxh3_64_with_seed(&v.to_le_bytes(), self.0);
    }

    /// Adds bytes under a tag that says what they are.
    #[inline]
    pub fn mix(&mut self, tag: u8, bytes: &[u8]) {
        let tagged = self.0.rotate_left(8) ^ u64::from(tag);
        self.0 = xxh3_64_with_seed(bytes, tagged);
    }

    /// The hash of everything so far.
    pub fn value(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(parts: &[(u8, &[u8])]) -> u64 {
        let mut hash = RollingHash::new(1);
        for (tag, bytes) in parts {
            hash.mix(*tag, bytes);
        }
        hash.value()
    }

    #[test]
    fn order_boundaries_tags_and_seed_count() {
        let ab = hash(&[(1, b"a"), (1, b"b")]);
        assert_eq!(ab, hash(&[(1, b"a"), (1, b"b")]));
        assert_ne!(ab, hash(&[(1, b"b"), (1, b"a")]));
        assert_ne!(ab, hash(&[(1, b"ab")]));
        assert_ne!(ab, hash(&[(1, b"ab"), (1, b"")]));
        assert_ne!(ab, hash(&[(2, b"a"), (1, b"b")]));
        assert_ne!(RollingHash::new(1), RollingHash::new(2));
    }
}
