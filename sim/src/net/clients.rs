//! What faults do to the connections between clients and members.

use super::LatencyModel;
use crate::rng::{Keyed, Streams};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// Which way of a client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientWay {
    /// Both ways.
    Both,
    /// Calls, on their way to the member.
    Calls,
    /// Answers, on their way to the client.
    Answers,
}

/// The faults at work on connections, by member.
#[derive(Debug, Clone)]
pub(super) struct ClientLinks {
    streams: Streams,
    delays: BTreeMap<(u64, u32), Delay>,
    cuts: BTreeMap<(u64, u32), ClientWay>,
}

#[derive(Debug, Clone)]
struct Delay {
    way: ClientWay,
    what: LatencyModel,
    /// Calls and answers draw for themselves.
    draws: [Keyed; 2],
}

impl ClientWay {
    fn has(self, to_member: bool) -> bool {
        match self {
            ClientWay::Both => true,
            ClientWay::Calls => to_member,
            ClientWay::Answers => !to_member,
        }
    }
}

impl ClientLinks {
    pub(super) fn new(streams: Streams) -> ClientLinks {
        ClientLinks {
            streams,
            delays: BTreeMap::new(),
            cuts: BTreeMap::new(),
        }
    }

    pub(super) fn degrade(&mut self, fault: u32, member: u64, way: ClientWay, what: LatencyModel) {
        let draws = [0, 1].map(|direction| {
            let name = [u64::from(fault), member, direction].map(u64::to_le_bytes);
            self.streams
                .keyed("net/client_fault", xxh3_64(name.as_flattened()))
        });
        let delay = Delay { way, what, draws };
        self.delays.insert((member, fault), delay);
    }

    pub(super) fn cut(&mut self, fault: u32, member: u64, way: ClientWay) {
        self.cuts.insert((member, fault), way);
    }

    pub(super) fn is_troubled(&self, member: u64) -> bool {
        let of_member = (member, 0)..=(member, u32::MAX);
        self.delays.range(of_member.clone()).next().is_some()
            || self.cuts.range(of_member).next().is_some()
    }

    pub(super) fn heal(&mut self, fault: u32) -> bool {
        let before = self.delays.len() + self.cuts.len();
        self.delays.retain(|(_, by), _| *by != fault);
        self.cuts.retain(|(_, by), _| *by != fault);
        self.delays.len() + self.cuts.len() < before
    }

    /// How much later the next message of a member's connections arrives, and
    /// because of which faults.
    pub(super) fn delay(&mut self, member: u64, to_member: bool) -> (u64, Vec<u32>) {
        let (mut later, mut faults) = (0_u64, Vec::new());
        let of_member = self.delays.range_mut((member, 0)..=(member, u32::MAX));
        for ((_, fault), delay) in of_member {
            if delay.way.has(to_member) {
                let mut draw = delay.draws[usize::from(to_member)].next();
                later = later.saturating_add(delay.what.draw(&mut draw));
                faults.push(*fault);
            }
        }
        (later, faults)
    }

    /// The faults that cut one way of a member's connections.
    pub(super) fn cut_by(&self, member: u64, to_member: bool) -> Vec<u32> {
        let of_member = self.cuts.range((member, 0)..=(member, u32::MAX));
        of_member
            .filter(|(_, way)| way.has(to_member))
            .map(|((_, fault), _)| *fault)
            .collect()
    }
}
