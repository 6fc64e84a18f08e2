//! The workload generator: what each client asks for, and when.

use crate::format::Workload;
use squall_record::{Call, Outcome};

/// What one client last learned about each key: the ground for its compares.
#[derive(Debug, Clone, Default)]
pub struct Observed {}

impl Observed {
    /// Learns from the outcome of one of the client's operations.
    pub fn learn(&mut self, _call: &Call, _outcome: &Outcome) {
        todo!()
    }
}

/// The operations of one client, one after the other.
#[derive(Debug, Clone)]
pub struct Generator {
    client: u32,
}

impl Generator {
    /// The operations that `seed` draws for client number `client`.
    pub fn new(_workload: &Workload, _seed: u64, client: u32) -> Generator {
        Generator { client }
    }

    /// The client's next operation.
    pub fn next(&mut self, _observed: &Observed) -> Call {
        todo!("{}", self.client)
    }

    /// Nanoseconds from the client's previous operation to its next one.
    pub fn gap(&mut self) -> u64 {
        todo!()
    }
}
