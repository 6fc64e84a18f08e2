//! Keyed randomness: every draw is a function of the seed and of what it is
//! drawn for, so that no draw moves another.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The draws for one event of one entity in one named stream.
#[derive(Debug)]
pub(crate) struct Draw(ChaCha8Rng);

impl Draw {
    /// Draws that depend on these four and on nothing else.
    pub(crate) fn keyed(seed: u64, stream: &str, entity: u64, event: u64) -> Draw {
        let mut key = [0; 32];
        for (part, word) in [seed, hash(stream), entity, event].into_iter().enumerate() {
            key[8 * part..][..8].copy_from_slice(&word.to_le_bytes());
        }
        Draw(ChaCha8Rng::from_seed(key))
    }

    /// From 0 to `n - 1`, all alike.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "there is nothing below 0 to draw");
        // Lemire's method: the high word of a product, without its bias.
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(n);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// From `min` to `max`, both included, all alike.
    pub(crate) fn between(&mut self, min: u64, max: u64) -> u64 {
        assert!(min <= max, "the range {min}..{max} is empty");
        match (max - min).checked_add(1) {
            Some(n) => min + self.below(n),
            None => self.0.next_u64(),
        }
    }

    /// From `min` to `max`, both included, all alike.
    pub(crate) fn between_signed(&mut self, min: i64, max: i64) -> i64 {
        assert!(min <= max, "the range {min}..{max} is empty");
        min.wrapping_add_unsigned(self.between(0, max.abs_diff(min)))
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// From 0 to 1, 1 excluded.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Waiting times of that mean with no memory.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        // libm, not std: std's logarithm differs between platforms.
        -mean * libm::log(1.0 - self.unit())
    }

    /// Moves `n` elements, drawn at random, to the front (all, if there are fewer).
    pub(crate) fn shuffle_front<T>(&mut self, items: &mut [T], n: usize) {
        for i in 0..n.min(items.len()) {
            let from = i + self.below((items.len() - i) as u64) as usize;
            items.swap(i, from);
        }
    }
}

/// FNV-1a: turns a name into part of a key.
pub(crate) fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_draw_alike_and_any_difference_draws_otherwise() {
        let first = |seed, stream, entity, event| {
            Draw::keyed(seed, stream, entity, event).between(0, u64::MAX)
        };
        let base = first(1, "fault", 2, 3);
        assert_eq!(first(1, "fault", 2, 3), base);
        assert_ne!(first(2, "fault", 2, 3), base);
        assert_ne!(first(1, "clock", 2, 3), base);
        assert_ne!(first(1, "fault", 3, 3), base);
        assert_ne!(first(1, "fault", 2, 4), base);
    }

    #[test]
    fn draws_stay_in_their_range_and_reach_its_ends() {
        let mut seen = [0; 5];
        let mut sum = 0.0;
        for event in 0..4_000 {
            let mut draw = Draw::keyed(7, "test", 0, event);
            seen[(draw.between_signed(-2, 2) + 2) as usize] += 1;
            let unit = draw.unit();
            assert!((0.0..1.0).contains(&unit));
            let wait = draw.exponential(10.0);
            assert!(wait >= 0.0);
            sum += wait;
        }
        assert!(seen.iter().all(|n| (700..900).contains(n)), "{seen:?}");
        assert!((9.5..10.5).contains(&(sum / 4_000.0)), "{sum}");
        assert_eq!(Draw::keyed(7, "test", 0, 0).between(9, 9), 9);
        assert_eq!(
            Draw::keyed(7, "test", 0, 0).between_signed(i64::MAX, i64::MAX),
            i64::MAX
        );
        Draw::keyed(7, "test", 0, 0).between_signed(i64::MIN, i64::MAX);
    }
}
