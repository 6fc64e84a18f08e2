//! Randomness: one root seed, named streams, draws keyed by entity and event.
//!
//! No draw is taken in sequence from a shared generator. The n-th draw of an
//! entity is a pure function of (seed, stream, entity, n), so that a fault
//! which is removed from a run leaves every other draw as it was. That is what
//! makes a failing run shrink.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::ops::RangeInclusive;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// The root of all randomness of a run.
///
/// A stream's name gives the ChaCha key, the entity its nonce: streams of two
/// entities never overlap.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    seed: u64,
}

impl Streams {
    /// The streams of a run with this root seed.
    pub fn new(seed: u64) -> Streams {
        Streams { seed }
    }

    /// The draws of one entity in a stream, from its first event on.
    pub fn keyed(&self, stream: &'static str, entity: u64) -> Keyed {
        Keyed {
            rng: self.rng(stream, entity),
        }
    }

    /// A whole generator, for an entity that is sequential anyhow: a member, a
    /// workload. It yields the same words as [`Streams::keyed`] of the same
    /// name, so the two must not share a stream.
    pub fn rng(&self, stream: &'static str, entity: u64) -> ChaCha8Rng {
        let mut key = [0; 32];
        let halves =
            [self.seed, !self.seed].map(|seed| xxh3_128_with_seed(stream.as_bytes(), seed));
        key[..16].copy_from_slice(&halves[0].to_le_bytes());
        key[16..].copy_from_slice(&halves[1].to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(entity);
        rng
    }
}

/// Draws of one entity: the n-th call of [`Keyed::next`] is the same in every
/// run of the seed, however much of the draws before it was used.
#[derive(Debug, Clone)]
pub struct Keyed {
    rng: ChaCha8Rng,
}

impl Keyed {
    /// The draw for the entity's next event: one ChaCha block.
    #[expect(
        clippy::should_implement_trait,
        reason = "draws never end, and an iterator's adapters would hide how many were taken"
    )]
    pub fn next(&mut self) -> Draw {
        Draw {
            words: std::array::from_fn(|_| self.rng.next_u64()),
            taken: 0,
        }
    }
}

/// The randomness of one event: eight words, taken in order.
///
/// Every question takes exactly one word, whatever its answer, so that a
/// changed probability does not change the answers after it. The ninth panics.
#[derive(Debug, Clone)]
pub struct Draw {
    words: [u64; 8],
    taken: usize,
}

impl Draw {
    /// True with probability `p`; never at 0, always at 1.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Uniform in `r`, which must not be empty.
    pub fn range(&mut self, r: RangeInclusive<u64>) -> u64 {
        let (low, high) = r.into_inner();
        assert!(low <= high, "a draw from the empty range {low}..={high}");
        match (high - low).checked_add(1) {
            Some(n) => low + self.below(n),
            None => self.word(),
        }
    }

    /// Uniform in `0..n`; `n` must not be 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "a draw below 0");
        // The bias of at most n / 2^64 is beyond what a run can show.
        ((u128::from(self.word()) * u128::from(n)) >> 64) as u64
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    fn word(&mut self) -> u64 {
        assert!(
            self.taken < self.words.len(),
            "one event asked for more than {} words",
            self.words.len()
        );
        self.taken += 1;
        self.words[self.taken - 1]
    }
}
