//! The moments of a run at which a crash finds something else than before.

use crate::plan::CrashPoint;
use crate::runner::{Done, NodeProbe};

/// A moment to crash at, and what happens there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) node: u64,
    pub(super) at: u64,
    pub(super) image: u32,
    /// While the member opens.
    pub(super) opening: bool,
    /// Just before the operation ends, not after it.
    pub(super) before: bool,
    pub(super) work: &'static str,
    pub(super) step: String,
}

impl Moment {
    pub(super) fn point(&self) -> CrashPoint {
        CrashPoint {
            node: self.node,
            at: self.at,
            image: self.image,
        }
    }

    /// What it is, as far as recoveries are compared.
    pub(super) fn kind(&self) -> (&'static str, String, bool) {
        (self.work, self.step.clone(), self.before)
    }

    /// The row that it is counted in.
    pub(super) fn row(&self) -> (&'static str, String) {
        (self.work, self.step.clone())
    }
}

/// The moments of a node between two times.
pub(super) fn moments(node: u64, probe: &NodeProbe, from: u64, until: u64) -> Vec<Moment> {
    let in_range = |operation: &&Done| operation.ended > from && operation.ended <= until;
    let operations = probe.operations.iter().filter(in_range);
    operations
        .flat_map(|operation| {
            let opening = probe
                .openings
                .iter()
                .find(|(from, to)| operation.begun >= *from && operation.ended <= *to);
            let first = opening.is_some_and(|opening| opening.0 == probe.openings[0].0);
            let moment = |before: bool| Moment {
                node,
                at: operation.ended - u64::from(before),
                image: 0,
                opening: opening.is_some(),
                before,
                work: work(operation, opening.is_some(), first),
                step: operation.what.clone(),
            };
            let durable = matches!(&*operation.what, "sync" | "sync_dir" | "finish_sync");
            [durable.then(|| moment(true)), Some(moment(false))]
        })
        .flatten()
        .collect()
}

/// The moments of a recovery.
pub(super) fn recovery(node: u64, probe: &NodeProbe, from: u64, to: u64) -> Vec<Moment> {
    let mut all = moments(node, probe, from, to);
    all.retain(|moment| moment.opening);
    all
}

/// What an operation is part of.
fn work(operation: &Done, opening: bool, first: bool) -> &'static str {
    let path = &operation.path;
    let in_log = path.starts_with("wal");
    if opening {
        return match (first, in_log) {
            (true, true) => "first start: log created",
            (true, false) => "first start: database created",
            (false, true) => "recovery: log",
            (false, false) => "recovery: database",
        };
    }
    let temporary = path.ends_with(".tmp");
    let names = matches!(&*operation.what, "rename" | "sync_dir");
    match (in_log, &*operation.what) {
        (true, "remove") => "log purged",
        (true, _) if temporary || names => "log segment begun",
        (true, "write" | "set_len") => "log appended",
        (true, _) => "log synced",
        (false, _) if temporary || names => "snapshot installed",
        (false, _) => "database committed",
    }
}
