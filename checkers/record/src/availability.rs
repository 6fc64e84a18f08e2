//! How a cluster served while it was asked: outages, and how soon they ended.

use serde::{Deserialize, Serialize};

/// How a cluster served its clients' writes in one run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Availability {
    /// For how long there was load, in nanoseconds.
    pub asked_ns: u64,
    /// How often no write got through for longer than an election timeout.
    pub outages: u64,
    /// How long those times were together, in nanoseconds.
    pub out_ns: u64,
    /// The longest of them, the longest first.
    pub longest: Vec<Outage>,
    /// How soon a write got through after each fault, in the order of their ends.
    pub recoveries: Vec<Recovery>,
}

/// A time in which no write got through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// From when, in true nanoseconds.
    pub from: u64,
    /// Until when.
    pub to: u64,
    /// For how much of it a quorum of healthy voters heard each other, so that
    /// progress was owed.
    pub owed_ns: u64,
    /// Who was elected meanwhile, in order.
    pub elected: Vec<u64>,
    /// What stood in the way, in words: who did not reach whom, whose disk was
    /// ill, who was down.
    pub why: Vec<String>,
}

impl Outage {
    /// How long it was, in nanoseconds.
    pub fn lasted(&self) -> u64 {
        self.to - self.from
    }
}

/// How soon writes got through again after a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// What the fault is called.
    pub fault: String,
    /// When it ended, in true nanoseconds.
    pub ended: u64,
    /// How much later a write got through; `None` if none did before the load
    /// ended.
    pub took: Option<u64>,
}
