//! The network: when a message arrives, if it does.

use crate::rng::{Draw, Keyed, Streams};
use squall_record::DropReason;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use xxhash_rust::xxh3::xxh3_64;

/// How a link behaves, each direction for itself.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkParams {
    /// Nanoseconds from sending to arrival, uniform.
    pub latency: RangeInclusive<u64>,
    /// Probability that a message is lost.
    pub loss: f64,
    /// Probability that a message that is not lost arrives twice.
    pub duplicate: f64,
    /// Whether a later message may arrive first; if not, a direction is FIFO.
    pub reorder: bool,
}

/// What becomes of a message. Times are true nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives at this time, if the link is still connected then.
    Deliver(u64),
    /// It arrives at both times, the earlier one first.
    DeliverTwice(u64, u64),
    /// It never arrives.
    Drop(DropReason),
}

/// All links between members, and between clients and members.
///
/// The n-th message of a direction draws its own loss, duplication and
/// latency, whether or not the direction is cut: a cut changes nothing for the
/// messages after it.
#[derive(Debug, Clone)]
pub struct Net {
    nodes: u64,
    link: LinkParams,
    client: LinkParams,
    streams: Streams,
    /// One per ordered pair of members.
    links: Vec<Link>,
    /// The directions that each fault cuts.
    cuts: BTreeMap<u32, BTreeSet<(u64, u64)>>,
    connections: BTreeMap<Connection, Direction>,
}

#[derive(Debug, Clone)]
struct Link {
    direction: Direction,
    /// How many faults cut it.
    cut: u32,
}

/// One direction, with its place in its stream of draws.
#[derive(Debug, Clone)]
struct Direction {
    draws: Keyed,
    /// Arrival of the last message: a FIFO direction never arrives before it.
    last: u64,
}

/// One direction of a client connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Connection {
    client: u32,
    conn: u64,
    member: u64,
    to_member: bool,
}

impl Net {
    /// A network of members 1 to `nodes`, every link connected.
    pub fn new(nodes: u64, link: LinkParams, client: LinkParams, s: &Streams) -> Net {
        let pairs = (1..=nodes).flat_map(|from| (1..=nodes).map(move |to| (from, to)));
        let links = pairs
            .map(|(from, to)| Link {
                direction: Direction {
                    draws: s.keyed("net/link", from << 32 | to),
                    last: 0,
                },
                cut: 0,
            })
            .collect();
        Net {
            nodes,
            link,
            client,
            streams: *s,
            links,
            cuts: BTreeMap::new(),
            connections: BTreeMap::new(),
        }
    }

    /// Sends a message of `_bytes` bytes (bandwidth is not limited) at true
    /// time `t`. A message in flight is lost if its direction is not
    /// [connected](Net::connected) when it should arrive.
    pub fn send(&mut self, t: u64, from: u64, to: u64, _bytes: usize) -> Fate {
        let at = self.index(from, to);
        let link = &mut self.links[at];
        let mut draw = link.direction.draws.next();
        let lost = draw.chance(self.link.loss);
        let twice = draw.chance(self.link.duplicate);
        let times = [0, 1].map(|_| t.saturating_add(draw.range(self.link.latency.clone())));
        if link.cut > 0 {
            return Fate::Drop(DropReason::Partition);
        }
        if lost {
            return Fate::Drop(DropReason::Loss);
        }
        let first = if twice {
            times[0].min(times[1])
        } else {
            times[0]
        };
        let first = link.direction.arrive(first, self.link.reorder);
        if !twice {
            return Fate::Deliver(first);
        }
        let second = times[0].max(times[1]);
        Fate::DeliverTwice(first, link.direction.arrive(second, self.link.reorder))
    }

    /// Whether the direction is free of cuts.
    pub fn connected(&self, from: u64, to: u64) -> bool {
        self.links[self.index(from, to)].cut == 0
    }

    /// Cuts one direction for as long as the fault lasts.
    pub fn cut(&mut self, fault: u32, from: u64, to: u64) {
        let at = self.index(from, to);
        if self.cuts.entry(fault).or_default().insert((from, to)) {
            self.links[at].cut += 1;
        }
    }

    /// Ends all cuts of a fault; those of other faults stay.
    pub fn heal(&mut self, fault: u32) {
        for (from, to) in self.cuts.remove(&fault).unwrap_or_default() {
            let at = self.index(from, to);
            self.links[at].cut -= 1;
        }
    }

    /// When a message of a client arrives at a member, sent at true time `t` on
    /// the client's connection number `conn`: a connection is FIFO per
    /// direction, loses nothing and repeats nothing.
    pub fn to_member(&mut self, t: u64, client: u32, conn: u64, member: u64) -> u64 {
        self.on_connection(t, client, conn, member, true)
    }

    /// When a message of a member arrives at a client; see [`Net::to_member`].
    pub fn to_client(&mut self, t: u64, client: u32, conn: u64, member: u64) -> u64 {
        self.on_connection(t, client, conn, member, false)
    }

    fn on_connection(
        &mut self,
        t: u64,
        client: u32,
        conn: u64,
        member: u64,
        to_member: bool,
    ) -> u64 {
        let key = Connection {
            client,
            conn,
            member,
            to_member,
        };
        let streams = self.streams;
        let direction = self.connections.entry(key).or_insert_with(|| {
            let stream = if to_member {
                "net/to_member"
            } else {
                "net/to_client"
            };
            let mut name = [0; 20];
            name[..4].copy_from_slice(&client.to_le_bytes());
            name[4..12].copy_from_slice(&conn.to_le_bytes());
            name[12..].copy_from_slice(&member.to_le_bytes());
            Direction {
                draws: streams.keyed(stream, xxh3_64(&name)),
                last: 0,
            }
        });
        let mut draw: Draw = direction.draws.next();
        let time = t.saturating_add(draw.range(self.client.latency.clone()));
        direction.arrive(time, false)
    }

    fn index(&self, from: u64, to: u64) -> usize {
        let known = 1..=self.nodes;
        assert!(
            known.contains(&from) && known.contains(&to),
            "no link from {from} to {to}: members are 1 to {}",
            self.nodes
        );
        ((from - 1) * self.nodes + (to - 1)) as usize
    }
}

impl Direction {
    fn arrive(&mut self, time: u64, reorder: bool) -> u64 {
        let time = if reorder { time } else { time.max(self.last) };
        self.last = self.last.max(time);
        time
    }
}
