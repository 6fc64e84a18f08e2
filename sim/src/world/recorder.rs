//! What is kept of a run: events, the history, counts, and the rolling hash.

use crate::hash::{Chain, RollingHash};
use squall_record::{
    Checkpoint, Event, Kind, Op, Outcome, Part, PartKind, Stats, Stream, Traced, Window,
};

/// How much is kept. The rolling hash does not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Phases, faults, starts and ends, roles, violations: enough for counts.
    Notable,
    /// Every event.
    Everything,
}

/// Keeps what happened.
pub(crate) struct Recorder {
    keep: Keep,
    seq: u64,
    hash: RollingHash,
    chain: Chain,
    pub(crate) events: Vec<Event>,
    pub(crate) history: Vec<Op>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) stats: Stats,
    /// The window whose events are kept with all that was hashed.
    window: Option<Window>,
    /// Whether the next event is in it.
    tracing: bool,
    parts: Vec<Part>,
    trace: Vec<Traced>,
}

/// What the rolling hash of a run leaves.
pub(crate) struct Hashed {
    pub(crate) hash: u64,
    pub(crate) checkpoints: Vec<Checkpoint>,
    pub(crate) trace: Vec<Traced>,
}

impl Recorder {
    pub(crate) fn new(keep: Keep, window: Option<Window>, seed: u64) -> Recorder {
        Recorder {
            keep,
            seq: 0,
            hash: RollingHash::new(seed),
            chain: Chain::default(),
            events: Vec::new(),
            history: Vec::new(),
            streams: Vec::new(),
            stats: Stats::default(),
            window,
            tracing: window.is_some_and(|window| window.holds(1)),
            parts: Vec::new(),
            trace: Vec::new(),
        }
    }

    /// Takes bytes into the rolling hash, ahead of the event that they belong to.
    pub(crate) fn mix(&mut self, what: PartKind, of: u64, bytes: &[u8]) {
        self.hash.mix_u64(of);
        self.hash.mix(tag(what), bytes);
        if self.tracing {
            self.parts.push(Part {
                what,
                of,
                bytes: bytes.to_vec(),
            });
        }
    }

    /// Records an event that is always kept, and returns its number.
    pub(crate) fn notable(
        &mut self,
        t: u64,
        node: Option<u64>,
        cause: Option<u64>,
        kind: Kind,
    ) -> u64 {
        self.event(t, node, cause, true, || kind)
    }

    /// Records an event that is kept only if everything is. `kind` is not even
    /// built otherwise.
    pub(crate) fn detail(
        &mut self,
        t: u64,
        node: Option<u64>,
        cause: Option<u64>,
        kind: impl FnOnce() -> Kind,
    ) -> u64 {
        let keep = self.keep == Keep::Everything;
        self.event(t, node, cause, keep, kind)
    }

    #[inline]
    fn event(
        &mut self,
        t: u64,
        node: Option<u64>,
        cause: Option<u64>,
        keep: bool,
        kind: impl FnOnce() -> Kind,
    ) -> u64 {
        self.seq += 1;
        self.hash.mix_u64(t ^ node.unwrap_or(0).rotate_right(8));
        let seq = self.seq;
        self.chain.passes(seq, t, self.hash);
        if keep || self.tracing {
            let event = Event {
                seq,
                t,
                node,
                cause,
                kind: kind(),
            };
            self.keep(event, keep);
        }
        if let Some(window) = self.window {
            self.tracing = window.holds(seq + 1);
        }
        seq
    }

    fn keep(&mut self, event: Event, keep: bool) {
        if self.tracing {
            self.trace.push(Traced {
                event: event.clone(),
                hash: self.hash.value(),
                parts: std::mem::take(&mut self.parts),
            });
        }
        if keep {
            self.events.push(event);
        }
    }

    /// The number that the next event will have.
    pub(crate) fn next(&self) -> u64 {
        self.seq + 1
    }

    /// Passes a named point in the code.
    pub(crate) fn mark(&mut self, t: u64, node: u64, cause: Option<u64>, name: &'static str) {
        self.mix(PartKind::Mark, node, name.as_bytes());
        self.detail(t, Some(node), cause, || Kind::Mark { name: name.into() });
    }

    /// Notes that a client knows an operation's outcome.
    pub(crate) fn returned(&mut self, t: u64, op: u64, cause: Option<u64>, outcome: Outcome) {
        let word = match &outcome {
            Outcome::Ok(_) => {
                self.stats.ops_ok += 1;
                "ok"
            }
            Outcome::Refused(_) => {
                self.stats.ops_refused += 1;
                "refused"
            }
            Outcome::Unknown(_) => {
                self.stats.ops_unknown += 1;
                "unknown"
            }
        };
        self.mix(PartKind::Outcome, op, word.as_bytes());
        let entry = &mut self.history[op as usize];
        entry.ret = Some(t);
        entry.outcome = outcome;
        let client = entry.client;
        self.detail(t, None, cause, || Kind::Returned {
            op,
            client,
            outcome: word.into(),
        });
    }

    /// How many events there were, kept or not.
    pub(crate) fn events_seen(&self) -> u64 {
        self.seq
    }

    /// Ends the chain.
    pub(crate) fn hashed(&mut self) -> Hashed {
        Hashed {
            hash: self.hash.value(),
            checkpoints: self.chain.take(),
            trace: std::mem::take(&mut self.trace),
        }
    }
}

/// Tells parts apart in the hash.
const fn tag(what: PartKind) -> u8 {
    match what {
        PartKind::Message => b's',
        PartKind::Arrival => b'a',
        PartKind::Call => b'c',
        PartKind::Answer => b'y',
        PartKind::Outcome => b'r',
        PartKind::Disk => b'd',
        PartKind::State => b'v',
        PartKind::Mark => b'm',
    }
}
