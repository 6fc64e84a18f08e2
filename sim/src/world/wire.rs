//! Messages under way between two members, in one direction.

use bytes::BytesMut;
use squall_api::{FrameError, PeerFrame};
use std::collections::{BTreeSet, VecDeque};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A frame under way.
pub(crate) struct Flight {
    /// Unique in the run.
    pub(crate) msg: u64,
    /// The event that sent it.
    pub(crate) sent: u64,
    pub(crate) frame: PeerFrame,
    /// Says which of its bits were flipped, if any were.
    pub(crate) damage: Option<u64>,
}

/// One direction. What is under way is kept by the link time at which it
/// arrives, which a clog does not move; the queue of what is due only says when
/// to look.
#[derive(Default)]
pub(crate) struct Wire {
    /// In order of arrival, and of sending where that is equal.
    flights: VecDeque<(u64, Flight)>,
}

impl Wire {
    /// Takes a frame that arrives at link time `at`.
    pub(crate) fn push(&mut self, at: u64, flight: Flight) {
        if self.flights.back().is_none_or(|(last, _)| *last <= at) {
            self.flights.push_back((at, flight));
            return;
        }
        let before = self.flights.partition_point(|(other, _)| *other <= at);
        self.flights.insert(before, (at, flight));
    }

    /// The next frame that has arrived at link time `now`.
    pub(crate) fn pop(&mut self, now: u64) -> Option<Flight> {
        let arrived = self.flights.pop_front_if(|(at, _)| *at <= now);
        arrived.map(|(_, flight)| flight)
    }

    /// The link times at which frames arrive, in order.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = u64> + '_ {
        self.flights.iter().map(|(at, _)| *at)
    }
}

/// What the addressee makes of a frame of which one to eight bits were flipped.
pub(crate) fn damaged(frame: &PeerFrame, damage: u64) -> Result<PeerFrame, FrameError> {
    let mut wire = BytesMut::new();
    frame.encode(&mut wire);
    let bits = wire.len() as u64 * 8;
    // Each bit once: flipped twice it would be whole again.
    let flips: BTreeSet<u64> = (0..=damage % 8)
        .map(|n| xxh3_64_with_seed(&n.to_le_bytes(), damage) % bits)
        .collect();
    for bit in flips {
        wire[bit as usize / 8] ^= 1 << (bit % 8);
    }
    PeerFrame::decode(&mut wire)
}
