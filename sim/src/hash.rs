//! The rolling hash: what two runs must agree on to be called the same, and the
//! chain of checkpoints that says from where on they do not.

use squall_record::Checkpoint;
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

/// How many checkpoints a chain has at most: about 20 KB in a file.
const CHECKPOINTS_MAX: usize = 256;
/// How many events lie between two of them at first.
const EVERY: u64 = 64;

/// Checkpoints of a rolling hash, at evenly spaced events. When there would be
/// too many, every other one is dropped: the spacing is always `EVERY` times a
/// power of two, so that chains of runs of different lengths have checkpoints in
/// common.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    every: u64,
    /// The event of the next one.
    next: u64,
    points: Vec<Checkpoint>,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain {
            every: EVERY,
            next: EVERY,
            points: Vec::new(),
        }
    }
}

impl Chain {
    /// Event `seq` at true time `t` brought the hash to `hash`.
    #[inline]
    pub(crate) fn passes(&mut self, seq: u64, t: u64, hash: RollingHash) {
        if seq == self.next {
            let hash = hash.value();
            self.points.push(Checkpoint { seq, t, hash });
            self.thin_out();
            self.next = seq + self.every;
        }
    }

    /// The checkpoints so far; the chain begins anew.
    pub(crate) fn take(&mut self) -> Vec<Checkpoint> {
        std::mem::take(self).points
    }

    fn thin_out(&mut self) {
        if self.points.len() == CHECKPOINTS_MAX {
            self.every *= 2;
            let every = self.every;
            self.points.retain(|point| point.seq % every == 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_stays_bounded_and_evenly_spaced() {
        for (events, spacing) in [
            (100, 64),
            (64 * 255, 64),
            (64 * 256, 128),
            (1_000_000, 4096),
        ] {
            let mut chain = Chain::default();
            for seq in 1..=events {
                chain.passes(seq, 10 * seq, RollingHash(seq));
            }
            let points = chain.take();
            assert!(points.len() < CHECKPOINTS_MAX, "{events}: {}", points.len());
            assert_eq!(points.len() as u64, events / spacing, "{events}");
            for (n, point) in (1..).zip(&points) {
                let seq = n * spacing;
                let expected = Checkpoint {
                    seq,
                    t: 10 * seq,
                    hash: seq,
                };
                assert_eq!(*point, expected, "{events}");
            }
        }
    }

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
