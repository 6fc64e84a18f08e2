//! What is kept of a run: events, the history, counts, and the rolling hash.

use crate::RollingHash;
use squall_record::{Event, Kind, Op, Outcome, Stats};

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
    pub(crate) events: Vec<Event>,
    pub(crate) history: Vec<Op>,
    pub(crate) stats: Stats,
    pub(crate) hash: RollingHash,
}

impl Recorder {
    pub(crate) fn new(keep: Keep, seed: u64) -> Recorder {
        Recorder {
            keep,
            seq: 0,
            events: Vec::new(),
            history: Vec::new(),
            stats: Stats::default(),
            hash: RollingHash::new(seed),
        }
    }

    /// Records an event that is always kept, and returns its number.
    pub(crate) fn notable(&mut self, t: u64, node: Option<u64>, kind: Kind) -> u64 {
        self.seq += 1;
        self.events.push(Event {
            seq: self.seq,
            t,
            node,
            cause: None,
            kind,
        });
        self.seq
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
        self.seq += 1;
        if self.keep == Keep::Everything {
            self.events.push(Event {
                seq: self.seq,
                t,
                node,
                cause,
                kind: kind(),
            });
        }
        self.seq
    }

    /// Passes a named point in the code.
    pub(crate) fn mark(&mut self, t: u64, node: u64, name: &'static str) {
        self.hash.mix(b'm', name.as_bytes());
        self.detail(t, Some(node), None, || Kind::Mark { name: name.into() });
    }

    /// Notes that a client knows an operation's outcome.
    pub(crate) fn returned(&mut self, t: u64, op: u64, outcome: Outcome) {
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
        self.hash.mix(b'r', word.as_bytes());
        self.hash.mix_u64(op);
        self.hash.mix_u64(t);
        let entry = &mut self.history[op as usize];
        entry.ret = Some(t);
        entry.outcome = outcome;
        let client = entry.client;
        self.detail(t, None, None, || Kind::Returned {
            op,
            client,
            outcome: word.into(),
        });
    }

    /// How many events there were, kept or not.
    pub(crate) fn events_seen(&self) -> u64 {
        self.seq
    }
}
