//! The network: when a message arrives, if it does.

use crate::rng::{Draw, Keyed, Streams};
use clients::ClientLinks;
use fault::{Extra, Overlay};
use squall_record::{DropReason, LinkTrouble};
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_64;

mod clients;
mod fault;
mod hits;
mod latency;

pub use clients::ClientWay;
pub use fault::{Bandwidth, LinkFault};
pub use hits::LinkHits;
pub use latency::LatencyModel;

/// How a link behaves, each direction for itself.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkParams {
    /// From sending to arrival.
    pub latency: LatencyModel,
    /// Probability that a message is lost.
    pub loss: f64,
    /// Probability that a message that is not lost arrives twice.
    pub duplicate: f64,
    /// Whether a later message may arrive first; if not, a direction is FIFO.
    pub reorder: bool,
}

/// What becomes of a message. Times are true nanoseconds; a clog that sets in
/// while the message is under way moves them ([`Net::link_time`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives at this time, if the link is still connected then.
    Deliver(u64),
    /// It arrives at both times, the earlier one first.
    DeliverTwice(u64, u64),
    /// It arrives, but not as it was sent.
    Damaged {
        /// When it arrives.
        at: u64,
        /// Says which bits were flipped.
        damage: u64,
    },
    /// It never arrives.
    Drop(DropReason),
}

/// All links between members, and between clients and members.
///
/// The n-th message of a direction draws its own loss, duplication and
/// latency, whether or not the direction is cut: a cut changes nothing for the
/// messages after it. A fault's draws are its own, by message since it set in.
///
/// A fault ends by its number, and with it all that it did to any direction;
/// what other faults do there stays.
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
    /// The directions that each fault degrades, clogs or holds.
    touched: BTreeMap<u32, BTreeSet<(u64, u64)>>,
    connections: BTreeMap<Connection, Direction>,
    /// What faults do to connections of clients.
    client_links: ClientLinks,
    /// How many messages each fault did something to.
    hits: BTreeMap<u32, LinkHits>,
}

#[derive(Debug, Clone)]
struct Link {
    direction: Direction,
    /// How many faults cut it.
    cut: u32,
    /// What faults do to its messages, by fault.
    overlays: BTreeMap<u32, Overlay>,
    clogs: BTreeSet<u32>,
    holds: BTreeSet<u32>,
    /// How long it stood clogged before the present clog, and since when that
    /// lasts, in true nanoseconds.
    clogged: u64,
    clogged_since: u64,
}

/// One direction, with its place in its stream of draws.
#[derive(Debug, Clone)]
struct Direction {
    draws: Keyed,
    /// Arrival of the last message, in link time: a FIFO direction never
    /// arrives before it.
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
                overlays: BTreeMap::new(),
                clogs: BTreeSet::new(),
                holds: BTreeSet::new(),
                clogged: 0,
                clogged_since: 0,
            })
            .collect();
        Net {
            nodes,
            link,
            client,
            streams: *s,
            links,
            cuts: BTreeMap::new(),
            touched: BTreeMap::new(),
            connections: BTreeMap::new(),
            client_links: ClientLinks::new(*s),
            hits: BTreeMap::new(),
        }
    }

    /// Sends a message of `bytes` bytes at true time `t`. A message in flight
    /// is lost if its direction is not [connected](Net::connected) when it
    /// should arrive.
    pub fn send(&mut self, t: u64, from: u64, to: u64, bytes: usize) -> Fate {
        let at = self.index(from, to);
        let link = &mut self.links[at];
        let now = link.time(t);
        let mut draw = link.direction.draws.next();
        let lost = draw.chance(self.link.loss);
        let twice = draw.chance(self.link.duplicate);
        let latencies = [0, 1].map(|_| self.link.latency.draw(&mut draw));
        let mut extra = Extra::default();
        for (fault, overlay) in &mut link.overlays {
            let hits = overlay.touch(&mut extra);
            if link.cut == 0 {
                self.hits.entry(*fault).or_default().add(&hits);
            }
        }
        if link.cut > 0 {
            self.lost_to_cut(from, to);
            return Fate::Drop(DropReason::Partition);
        }
        if lost || extra.lost {
            return Fate::Drop(DropReason::Loss);
        }
        let mut leaves = now;
        for (fault, overlay) in &mut link.overlays {
            let left = overlay.queue(leaves, bytes as u64);
            if left != Some(leaves) {
                self.hits.entry(*fault).or_default().narrowed += 1;
            }
            match left {
                Some(at) => leaves = at,
                None => return Fate::Drop(DropReason::Queue),
            }
        }
        let twice = twice || extra.twice;
        let times =
            latencies.map(|latency| leaves.saturating_add(latency).saturating_add(extra.delay));
        let mut arrive = |time: u64| {
            let time = match extra.behind {
                // Nobody waits for one that falls behind.
                Some(by) => time.saturating_add(by),
                None => link.direction.arrive(time, self.link.reorder),
            };
            t.saturating_add(time - now)
        };
        if let Some(damage) = extra.damage {
            let at = arrive(times[0]);
            return Fate::Damaged { at, damage };
        }
        if !twice {
            return Fate::Deliver(arrive(times[0]));
        }
        let first = arrive(times[0].min(times[1]));
        Fate::DeliverTwice(first, arrive(times[0].max(times[1])))
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

    /// Lets a fault do something to the messages of a direction that are sent
    /// from now on, in place of what it did to them before.
    pub fn degrade(&mut self, fault: u32, from: u64, to: u64, what: LinkFault) {
        let at = self.index(from, to);
        self.touched.entry(fault).or_default().insert((from, to));
        let overlay = Overlay::new(what, fault, from, to, &self.streams);
        self.links[at].overlays.insert(fault, overlay);
    }

    /// Stops a direction at true time `t`: nothing moves on it while it is
    /// clogged. What is under way, or sent meanwhile, makes the rest of its way
    /// afterwards.
    pub fn clog(&mut self, t: u64, fault: u32, from: u64, to: u64) {
        let at = self.index(from, to);
        self.touched.entry(fault).or_default().insert((from, to));
        let link = &mut self.links[at];
        if link.clogs.is_empty() {
            link.clogged_since = t;
        }
        link.clogs.insert(fault);
    }

    /// Holds a direction: messages travel on it as ever, but wait before the
    /// addressee, and arrive all at once when it is released.
    pub fn hold(&mut self, fault: u32, from: u64, to: u64) {
        let at = self.index(from, to);
        self.touched.entry(fault).or_default().insert((from, to));
        self.links[at].holds.insert(fault);
    }

    /// Ends at true time `t` all that a fault did by degrading, clogging and
    /// holding. Returns the directions that it touched, in order: messages may
    /// be due on them.
    pub fn relieve(&mut self, t: u64, fault: u32) -> Vec<(u64, u64)> {
        let touched = self.touched.remove(&fault).unwrap_or_default();
        for &(from, to) in &touched {
            let at = self.index(from, to);
            let link = &mut self.links[at];
            link.overlays.remove(&fault);
            link.holds.remove(&fault);
            if link.clogs.remove(&fault) && link.clogs.is_empty() {
                link.clogged += t - link.clogged_since;
            }
        }
        touched.into_iter().collect()
    }

    /// Whether messages arrive on the direction now: it is neither clogged nor
    /// held. (Where it is cut they are lost.)
    pub fn moves(&self, from: u64, to: u64) -> bool {
        let link = &self.links[self.index(from, to)];
        link.clogs.is_empty() && link.holds.is_empty()
    }

    /// What is wrong with a direction, if anything is: the worst of it.
    pub fn trouble(&self, from: u64, to: u64) -> Option<LinkTrouble> {
        let link = &self.links[self.index(from, to)];
        let troubles = [
            (link.cut > 0, LinkTrouble::Cut),
            (!link.clogs.is_empty(), LinkTrouble::Clogged),
            (!link.holds.is_empty(), LinkTrouble::Held),
            (!link.overlays.is_empty(), LinkTrouble::Degraded),
        ];
        let first = troubles.into_iter().find(|(is_there, _)| *is_there);
        first.map(|(_, trouble)| trouble)
    }

    /// Whether a fault is at work on connections between clients and a member.
    pub fn troubles_clients(&self, member: u64) -> bool {
        self.client_links.is_troubled(member)
    }

    /// Notes that a message met the cuts of its direction.
    pub fn lost_to_cut(&mut self, from: u64, to: u64) {
        for (fault, cuts) in &self.cuts {
            if cuts.contains(&(from, to)) {
                self.hits.entry(*fault).or_default().cut += 1;
            }
        }
    }

    /// Notes that a message waits because its direction does not
    /// [move](Net::moves).
    pub fn kept(&mut self, from: u64, to: u64) {
        let link = &self.links[self.index(from, to)];
        for fault in link.clogs.union(&link.holds) {
            self.hits.entry(*fault).or_default().kept += 1;
        }
    }

    /// How many messages each fault did something to.
    pub fn hits(&self) -> &BTreeMap<u32, LinkHits> {
        &self.hits
    }

    /// How long the direction has not been clogged, up to true time `t`. A
    /// message that is sent at `t` and would arrive `d` later does so once this
    /// has grown by `d`.
    pub fn link_time(&self, t: u64, from: u64, to: u64) -> u64 {
        self.links[self.index(from, to)].time(t)
    }

    /// Forgets a connection that no message will use any more.
    pub fn forget(&mut self, client: u32, conn: u64, member: u64) {
        for to_member in [false, true] {
            self.connections.remove(&Connection {
                client,
                conn,
                member,
                to_member,
            });
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

    /// Delays what clients and a member say to each other, in the ways that
    /// `way` names, for as long as the fault lasts.
    pub fn delay_clients(&mut self, fault: u32, member: u64, way: ClientWay, delay: LatencyModel) {
        self.client_links.degrade(fault, member, way, delay);
    }

    /// Cuts the connections between clients and a member, in the ways that
    /// `way` names: they stay open, and what is sent on them arrives when the
    /// fault has ended, as TCP sends again what was lost.
    pub fn cut_clients(&mut self, fault: u32, member: u64, way: ClientWay) {
        self.client_links.cut(fault, member, way);
    }

    /// Ends what a fault does to connections of clients. Says whether it did
    /// anything.
    pub fn relieve_clients(&mut self, fault: u32) -> bool {
        self.client_links.heal(fault)
    }

    /// Whether something that would arrive now on a connection has to wait for
    /// the end of a fault.
    pub fn keeps_client(&mut self, member: u64, to_member: bool) -> bool {
        let by = self.client_links.cut_by(member, to_member);
        for fault in &by {
            self.hits.entry(*fault).or_default().client += 1;
        }
        !by.is_empty()
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
        let (later, faults) = self.client_links.delay(member, to_member);
        for fault in faults {
            self.hits.entry(fault).or_default().client += 1;
        }
        let latency = self.client.latency.draw(&mut draw).saturating_add(later);
        direction.arrive(t.saturating_add(latency), false)
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

impl Link {
    fn time(&self, t: u64) -> u64 {
        let present = if self.clogs.is_empty() {
            0
        } else {
            t - self.clogged_since
        };
        t - self.clogged - present
    }
}

impl Direction {
    fn arrive(&mut self, time: u64, reorder: bool) -> u64 {
        let time = if reorder { time } else { time.max(self.last) };
        self.last = self.last.max(time);
        time
    }
}
