//! A node's two clocks, as functions of true time.

use squall_api::Now;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// Parts of a nanosecond in which the monotonic clock is kept: one part per
/// billion of drift moves it by one part per nanosecond of true time.
const PARTS: u128 = 1_000_000_000;
/// What the wall clock of an exact node shows when the run starts:
/// 2026-01-01T00:00:00Z, in nanoseconds since 1970.
const WALL_AT_START: i128 = 1_767_225_600 * 1_000_000_000;
const HOUR: u64 = 3_600 * 1_000_000_000;

/// How wrong a node's clocks are when the run starts.
#[derive(Debug, Clone, PartialEq)]
pub struct ClockParams {
    /// How far the wall clock is ahead of true time, in nanoseconds.
    pub wall_offset_ns: i64,
    /// How much too fast both clocks run, in parts per million: above -1,000,000.
    pub drift_ppm: f64,
}

/// What a fault does to a node's clocks while it lasts, on top of how wrong
/// they are anyway.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ClockFault {
    /// Both clocks stand still.
    pub freeze: bool,
    /// How much faster both clocks run, in parts per million. The drifts of
    /// several faults add up; the sum is kept above -999,000, where a clock
    /// almost stands.
    pub drift_ppm: f64,
    /// How much further ahead the wall clock is, in nanoseconds.
    pub wall_offset_ns: i64,
}

/// The clocks of one node.
///
/// The monotonic clock drifts, may be frozen, and never goes back; the wall
/// clock follows it, and has an offset and steps of its own. All arithmetic is
/// on integers: after a year of drift the clock is as exact as after a second.
#[derive(Debug, Clone)]
pub struct NodeClock {
    /// True time at which the present segment of constant rate began.
    since: u64,
    /// What mono showed at `since`, in 1/[`PARTS`] ns.
    base: u128,
    /// The same in whole ns, if it runs as fast as true time: then nothing has to
    /// be multiplied or divided.
    exact: Option<u64>,
    /// Parts per true nanosecond while it is not frozen; never 0.
    rate: u128,
    /// Whether it stands still, for whatever reason.
    frozen: bool,
    /// Drift without faults.
    own_ppm: f64,
    /// Frozen without faults.
    own_frozen: bool,
    faults: BTreeMap<u32, ClockFault>,
    /// What mono showed when the run started.
    origin: u64,
    /// What all steps and the offset come to, in nanoseconds.
    wall_offset: i128,
}

impl NodeClock {
    /// A clock as it is at true time 0.
    ///
    /// Mono starts somewhere between one hour and one day, at a place that
    /// comes from the drift; [`NodeClock::with_origin`] sets it.
    pub fn new(p: ClockParams) -> NodeClock {
        let origin = HOUR + xxh3_64(&p.drift_ppm.to_le_bytes()) % (23 * HOUR);
        let mut clock = NodeClock {
            since: 0,
            base: u128::from(origin) * PARTS,
            exact: None,
            rate: PARTS,
            frozen: false,
            own_ppm: p.drift_ppm,
            own_frozen: false,
            faults: BTreeMap::new(),
            origin,
            wall_offset: i128::from(p.wall_offset_ns),
        };
        clock.settle();
        clock
    }

    /// The same clock, its mono starting at `origin` nanoseconds.
    #[must_use]
    pub fn with_origin(mut self, origin: u64) -> NodeClock {
        self.base = self.base - u128::from(self.origin) * PARTS + u128::from(origin) * PARTS;
        self.origin = origin;
        self.settle();
        self
    }

    /// What the clocks show at true time `t`, which is not before the last change.
    pub fn now(&self, t: u64) -> Now {
        let mono = match self.exact {
            Some(base) => base + self.since_change(t),
            None => (self.parts_at(t) / PARTS) as u64,
        };
        let wall = WALL_AT_START + i128::from(mono - self.origin) + self.wall_offset;
        Now {
            mono,
            wall: wall.clamp(0, i128::from(u64::MAX)) as u64,
        }
    }

    /// The first true nanosecond, not before the last change of the clock, at
    /// which `now().mono >= mono`; `None` if that never comes: the clock is
    /// frozen before it.
    pub fn true_at(&self, mono: u64) -> Option<u64> {
        if let Some(base) = self.exact {
            return self.since.checked_add(mono.saturating_sub(base));
        }
        let missing = (u128::from(mono) * PARTS).saturating_sub(self.base);
        match (missing, self.frozen) {
            (0, _) => Some(self.since),
            (_, true) => None,
            (_, false) => {
                let wait = missing.div_ceil(self.rate);
                u64::try_from(u128::from(self.since) + wait).ok()
            }
        }
    }

    /// Stops both clocks at true time `t`.
    pub fn freeze(&mut self, t: u64) {
        self.turn(t);
        self.own_frozen = true;
        self.settle();
    }

    /// Lets both clocks go on from where they stopped, unless a fault freezes
    /// them, too.
    pub fn thaw(&mut self, t: u64) {
        self.turn(t);
        self.own_frozen = false;
        self.settle();
    }

    /// Changes the drift at true time `t`; a frozen clock shows it once thawed.
    pub fn set_drift(&mut self, t: u64, ppm: f64) {
        self.turn(t);
        self.own_ppm = ppm;
        self.settle();
    }

    /// Lets a fault set in at true time `t`, in place of what it did before.
    pub fn disturb(&mut self, t: u64, fault: u32, what: ClockFault) {
        self.relieve(t, fault);
        self.wall_offset += i128::from(what.wall_offset_ns);
        self.faults.insert(fault, what);
        self.settle();
    }

    /// Ends what a fault does at true time `t`. The wall clock steps back by
    /// the fault's offset; what was lost or gained by freeze and drift stays so.
    pub fn relieve(&mut self, t: u64, fault: u32) {
        self.turn(t);
        if let Some(ended) = self.faults.remove(&fault) {
            self.wall_offset -= i128::from(ended.wall_offset_ns);
        }
        self.settle();
    }

    /// Steps the wall clock by `ns` nanoseconds, ahead or back.
    pub fn step_wall(&mut self, ns: i64) {
        self.wall_offset += i128::from(ns);
    }

    /// Whether it stands still, or is faster or slower by more than a tenth.
    pub fn is_off(&self) -> bool {
        self.frozen || self.rate.abs_diff(PARTS) > PARTS / 10
    }

    /// Makes rate and freeze what they should be in the new segment.
    fn settle(&mut self) {
        self.frozen = self.own_frozen || self.faults.values().any(|fault| fault.freeze);
        let faults = self.faults.values().map(|fault| fault.drift_ppm);
        self.rate = match faults.reduce(|a, b| a + b) {
            None => rate(self.own_ppm),
            Some(ppm) => rate((self.own_ppm + ppm).max(-999_000.0)),
        };
        let is_exact = !self.frozen && self.rate == PARTS && self.base.is_multiple_of(PARTS);
        self.exact = is_exact.then_some((self.base / PARTS) as u64);
    }

    /// Begins a new segment at `t`, to the part where the old one has come.
    fn turn(&mut self, t: u64) {
        self.base = self.parts_at(t);
        self.since = t;
    }

    fn parts_at(&self, t: u64) -> u128 {
        let rate = if self.frozen { 0 } else { self.rate };
        self.base + u128::from(self.since_change(t)) * rate
    }

    fn since_change(&self, t: u64) -> u64 {
        assert!(
            t >= self.since,
            "a clock was read at {t}, and changed at {} before that",
            self.since
        );
        t - self.since
    }
}

fn rate(ppm: f64) -> u128 {
    assert!(
        ppm.is_finite() && ppm > -999_999.0,
        "a drift of {ppm} ppm would stop the clock or turn it back: freeze it instead"
    );
    // Rounded to a part per billion once; never accumulated.
    let ppb = (ppm * 1_000.0).round() as i128;
    (PARTS as i128 + ppb) as u128
}
