//! What a fault does to one direction, for as long as it lasts.

use super::{LatencyModel, LinkHits};
use crate::rng::{Keyed, Streams};
use std::ops::RangeInclusive;
use xxhash_rust::xxh3::xxh3_64;

/// What a fault does to one direction of a link, on top of how it is anyway.
///
/// [`LinkFault::NONE`] does nothing; set what should differ.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkFault {
    /// Added to every message's latency.
    pub delay: LatencyModel,
    /// Probability that a message is lost.
    pub loss: f64,
    /// Probability that a message arrives twice.
    pub duplicate: f64,
    /// Probability that a message falls behind: those sent after it may arrive
    /// first, also where a direction is FIFO otherwise.
    pub reorder: f64,
    /// By how many nanoseconds a message falls behind, uniform.
    pub reorder_by: RangeInclusive<u64>,
    /// Probability that one to eight of a frame's bits are flipped under way.
    /// Such a message arrives once.
    pub corrupt: f64,
    /// How much fits through, if that is limited.
    pub bandwidth: Option<Bandwidth>,
}

/// A link that takes time to send, and the queue before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bandwidth {
    /// Bytes that leave each second; not 0.
    pub bytes_per_second: u64,
    /// A message is dropped if more bytes than this wait before it. One that
    /// finds the link idle always goes, however large it is.
    pub queue_bytes: u64,
}

impl LinkFault {
    /// Leaves the direction as it is.
    pub const NONE: LinkFault = LinkFault {
        delay: LatencyModel::ZERO,
        loss: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
        reorder_by: 0..=0,
        corrupt: 0.0,
        bandwidth: None,
    };
}

/// A fault on a direction, with its place in its own stream of draws: a
/// message's draws under one fault do not depend on the other faults.
#[derive(Debug, Clone)]
pub(super) struct Overlay {
    what: LinkFault,
    draws: Keyed,
    /// Link time at which everything that was queued has left.
    free_at: u64,
}

/// What the overlays add to a message's way.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Extra {
    pub(super) delay: u64,
    pub(super) behind: Option<u64>,
    pub(super) lost: bool,
    pub(super) twice: bool,
    /// Says which bits are flipped.
    pub(super) damage: Option<u64>,
}

impl Overlay {
    pub(super) fn new(what: LinkFault, fault: u32, from: u64, to: u64, s: &Streams) -> Overlay {
        if let Some(bandwidth) = what.bandwidth {
            assert!(
                bandwidth.bytes_per_second > 0,
                "a bandwidth of 0 from n{from} to n{to}: clog the direction instead"
            );
        }
        let name = [u64::from(fault), from, to].map(u64::to_le_bytes);
        Overlay {
            what,
            draws: s.keyed("net/fault", xxh3_64(name.as_flattened())),
            free_at: 0,
        }
    }

    /// The next message's draws: eight words. Returns what they do to it.
    pub(super) fn touch(&mut self, extra: &mut Extra) -> LinkHits {
        let mut draw = self.draws.next();
        let lost = draw.chance(self.what.loss);
        extra.lost |= lost;
        let twice = draw.chance(self.what.duplicate);
        extra.twice |= twice;
        let behind = draw.chance(self.what.reorder);
        let by = draw.range(self.what.reorder_by.clone());
        if behind {
            extra.behind = Some(extra.behind.unwrap_or(0).saturating_add(by));
        }
        let corrupt = draw.chance(self.what.corrupt);
        let damage = draw.range(0..=u64::MAX);
        if corrupt {
            extra.damage = Some(damage);
        }
        let delay = self.what.delay.draw(&mut draw);
        extra.delay = extra.delay.saturating_add(delay);
        LinkHits {
            lost: lost.into(),
            duplicated: twice.into(),
            reordered: behind.into(),
            damaged: corrupt.into(),
            delayed: u64::from(delay > 0),
            ..LinkHits::default()
        }
    }

    /// When a message that comes to the queue at link time `t` has left it;
    /// `None` if the queue is full.
    pub(super) fn queue(&mut self, t: u64, bytes: u64) -> Option<u64> {
        const SECOND: u128 = 1_000_000_000;
        let Some(Bandwidth {
            bytes_per_second,
            queue_bytes,
        }) = self.what.bandwidth
        else {
            return Some(t);
        };
        let rate = u128::from(bytes_per_second);
        let waiting = u128::from(self.free_at.saturating_sub(t)) * rate / SECOND;
        if waiting > u128::from(queue_bytes) {
            return None;
        }
        let takes = (u128::from(bytes) * SECOND).div_ceil(rate);
        let takes = u64::try_from(takes).unwrap_or(u64::MAX);
        self.free_at = self.free_at.max(t).saturating_add(takes);
        Some(self.free_at)
    }
}
